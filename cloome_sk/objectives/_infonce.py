"""InfoNCE, with one positive a row or several."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cloome_sk.objectives._pairs import as_pairs, full_precision


def infonce(
    phenotype: Tensor, molecule: Tensor, inv_tau: float | Tensor, *, positives: Tensor | None = None
) -> Tensor:
    r"""Symmetric InfoNCE, the objective of CLIP and of CLOOME's retrieval model.

    .. math::
       L = \tfrac12 \mathrm{CE}(\tau^{-1} X Z^T, \mathrm{diag})
         + \tfrac12 \mathrm{CE}(\tau^{-1} Z X^T, \mathrm{diag})

    With `positives`, each positive pair is told from the row's negatives alone, and the terms of
    a row are averaged, so other positives are never pushed away (the form of SINCERE [3]_):

    .. math::
       L_{X \to Z} = \frac1N \sum_i \frac1{|P_i|} \sum_{p \in P_i}
       -\ln \frac{\exp(\tau^{-1} x_i \cdot z_p)}
       {\exp(\tau^{-1} x_i \cdot z_p) + \sum_{j \notin P_i} \exp(\tau^{-1} x_i \cdot z_j)}

    Parameters
    ----------
    phenotype, molecule : Tensor, shape (n_pairs, n_components)
        Row-normalised embeddings.
    inv_tau : float or scalar Tensor
        Inverse temperature, > 0.
    positives : Tensor of bool, shape (n_pairs, n_pairs), optional
        True where phenotype i and molecule j belong together; the diagonal must be True. By
        default each row's own pair alone.

    Returns
    -------
    Tensor, scalar
        The objective, >= 0. A row without any negative contributes 0.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the diagonal of `positives` is not all True.

    Notes
    -----
    Supervised contrastive learning (SupCon [4]_) averages over positives too, but leaves them all
    in each denominator, so that positives of one row compete: replicates are pushed apart once
    they are close, and the objective cannot reach 0. The weighted direction of `cwcl` with
    weights of 0 has that form.

    References
    ----------
    .. [1] van den Oord et al., "Representation Learning with Contrastive Predictive Coding",
       arXiv 1807.03748; symmetric as in Radford et al., arXiv 2103.00020.
    .. [2] Sanchez-Fernandez et al., Nat Commun 14:7339 (2023).
    .. [3] Feeney & Hughes, "SINCERE: Supervised Information Noise-Contrastive Estimation
       REvisited", arXiv 2309.14277.
    .. [4] Khosla et al., "Supervised Contrastive Learning", arXiv 2004.11362.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import infonce
    >>> unit = torch.eye(4)
    >>> round(float(infonce(unit, unit, inv_tau=1.0)), 4)  # ln(1 + 3 / e)
    0.7437
    """
    phenotype, molecule = as_pairs(phenotype, molecule, positives)
    with full_precision(phenotype):
        logits = inv_tau * phenotype @ molecule.T
        if positives is None:
            return (one_direction(logits) + one_direction(logits.T)) / 2
        return (one_direction(logits, positives) + one_direction(logits.T, positives.T)) / 2


def one_direction(logits: Tensor, positives: Tensor | None = None) -> Tensor:
    """Tell the positives of each row from its negatives; of its own pair alone by default."""
    if positives is None:
        return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))
    return _against_negatives(logits, positives)


def _against_negatives(logits: Tensor, positives: Tensor) -> Tensor:
    """Mean over rows of the mean over positives of -ln p(positive | positive or a negative)."""
    has_negative = ~positives.all(dim=1, keepdim=True)
    # A row without a negative stays unmasked: an empty log-sum-exp would have a NaN gradient.
    told = positives & has_negative
    negatives = torch.logsumexp(logits.masked_fill(told, -torch.inf), dim=1)
    row, column = torch.nonzero(told, as_tuple=True)
    positive = logits[row, column]
    terms = torch.logaddexp(positive, negatives[row]) - positive
    return (terms / positives.sum(dim=1)[row]).sum() / len(logits)
