"""Contrastive objectives: functions of two matrices of embeddings, scalar out.

Both matrices hold one unit vector a row; row i of one and row i of the other belong to one sample.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["infoloob", "infonce"]


def infonce(
    phenotype: Tensor, molecule: Tensor, inv_tau: float | Tensor, *, positives: Tensor | None = None
) -> Tensor:
    r"""Symmetric InfoNCE, the objective of CLIP and of CLOOME's retrieval model.

    .. math::
       L = \tfrac12 \mathrm{CE}(\tau^{-1} X Z^T, \mathrm{diag})
         + \tfrac12 \mathrm{CE}(\tau^{-1} Z X^T, \mathrm{diag})

    With `positives`, each positive pair is told from the row's negatives alone, and the terms of
    a row are averaged, so other positives are never pushed away:

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

    References
    ----------
    .. [1] van den Oord et al., "Representation Learning with Contrastive Predictive Coding",
       arXiv 1807.03748; symmetric as in Radford et al., arXiv 2103.00020.
    .. [2] Sanchez-Fernandez et al., Nat Commun 14:7339 (2023).

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import infonce
    >>> unit = torch.eye(4)
    >>> round(float(infonce(unit, unit, inv_tau=1.0)), 4)  # ln(1 + 3 / e)
    0.7437
    """
    _check_pairs(phenotype, molecule, positives)
    logits = inv_tau * phenotype @ molecule.T
    if positives is None:
        diagonal = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2
    return (_against_negatives(logits, positives) + _against_negatives(logits.T, positives.T)) / 2


def infoloob(
    phenotype: Tensor,
    molecule: Tensor,
    inv_tau: float | Tensor,
    beta: float | None = 14.3,
    *,
    positives: Tensor | None = None,
) -> Tensor:
    r"""InfoLOOB over embeddings retrieved from modern Hopfield networks, the objective of CLOOB.

    The batch itself is the stored pattern of each modality:

    .. math::
       U_x &= \mathrm{norm}(\mathrm{softmax}(\beta X X^T) X), \quad
       U_z = \mathrm{norm}(\mathrm{softmax}(\beta Z X^T) X) \\
       V_x &= \mathrm{norm}(\mathrm{softmax}(\beta X Z^T) Z), \quad
       V_z = \mathrm{norm}(\mathrm{softmax}(\beta Z Z^T) Z)

    .. math::
       L = -\frac{\tau}{N} \sum_i \ln \frac{\exp(\tau^{-1} U_{x_i} \cdot U_{z_i})}
       {\sum_{j \neq i} \exp(\tau^{-1} U_{x_i} \cdot U_{z_j})}
       -\frac{\tau}{N} \sum_i \ln \frac{\exp(\tau^{-1} V_{z_i} \cdot V_{x_i})}
       {\sum_{j \neq i} \exp(\tau^{-1} V_{z_i} \cdot V_{x_j})}

    The positive is left out of the denominator ("leave one out bound"), so the objective has no
    lower bound in the inverse temperature, which is why that must stay fixed.

    Parameters
    ----------
    phenotype, molecule : Tensor, shape (n_pairs, n_components)
        Row-normalised embeddings.
    inv_tau : float or scalar Tensor
        Inverse temperature, > 0.
    beta : float or None, default=14.3
        Inverse temperature of the Hopfield retrieval, > 0; None leaves the retrieval out
        (:math:`U_x = V_x = X`, :math:`U_z = V_z = Z`).
    positives : Tensor of bool, shape (n_pairs, n_pairs), optional
        True where phenotype i and molecule j belong together; the diagonal must be True. All
        positives leave the denominator, and the numerator is averaged over them in the logarithm.

    Returns
    -------
    Tensor, scalar
        The objective, unbounded below.

    Raises
    ------
    ValueError
        If the shapes do not fit, the diagonal of `positives` is not all True, or a row has no
        negative at all (the bound is an empty sum there).

    References
    ----------
    .. [1] Fuerst et al., "CLOOB: Modern Hopfield Networks with InfoLOOB Outperform CLIP",
       arXiv 2110.11316.
    .. [2] Sanchez-Fernandez et al., Nat Commun 14:7339 (2023).

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import infoloob
    >>> unit = torch.eye(4)
    >>> round(float(infoloob(unit, unit, inv_tau=1.0, beta=None)), 4)  # 2 (ln 3 - 1)
    0.1972
    """
    _check_pairs(phenotype, molecule, positives)
    if positives is None:
        positives = torch.eye(len(phenotype), dtype=torch.bool, device=phenotype.device)
    if positives.all(dim=1).any() or positives.all(dim=0).any():
        row = int(torch.nonzero(positives.all(dim=1) | positives.all(dim=0))[0])
        raise ValueError(
            f"Row {row} has no negative among the {len(phenotype)} pair(s), so InfoLOOB is not "
            "defined: give pairs of at least two molecules."
        )
    if beta is None:
        by_image = inv_tau * phenotype @ molecule.T
        by_structure = by_image.T
    else:
        cross = phenotype @ molecule.T
        u_x = _retrieve(phenotype @ phenotype.T, phenotype, beta)
        u_z = _retrieve(cross.T, phenotype, beta)
        v_x = _retrieve(cross, molecule, beta)
        v_z = _retrieve(molecule @ molecule.T, molecule, beta)
        by_image = inv_tau * u_x @ u_z.T
        by_structure = inv_tau * v_z @ v_x.T
    return (_leave_out(by_image, positives) + _leave_out(by_structure, positives.T)) / inv_tau


def _retrieve(similarity: Tensor, stored: Tensor, beta: float) -> Tensor:
    return F.normalize(torch.softmax(beta * similarity, dim=1) @ stored, dim=1)


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


def _leave_out(logits: Tensor, positives: Tensor) -> Tensor:
    """Mean over rows of ln(sum over negatives) minus the mean logit of the positives."""
    attraction = logits.masked_fill(~positives, 0.0).sum(dim=1) / positives.sum(dim=1)
    repulsion = torch.logsumexp(logits.masked_fill(positives, -torch.inf), dim=1)
    return (repulsion - attraction).mean()


def _check_pairs(phenotype: Tensor, molecule: Tensor, positives: Tensor | None) -> None:
    if phenotype.ndim != 2 or phenotype.shape != molecule.shape:
        raise ValueError(
            "phenotype and molecule must be matrices of one shape (n_pairs, n_components), got "
            f"{tuple(phenotype.shape)} and {tuple(molecule.shape)}."
        )
    n_pairs = len(phenotype)
    if positives is None:
        return
    if positives.shape != (n_pairs, n_pairs) or positives.dtype != torch.bool:
        raise ValueError(
            f"positives must be a boolean matrix of shape ({n_pairs}, {n_pairs}), got "
            f"{positives.dtype} of shape {tuple(positives.shape)}."
        )
    if not bool(positives.diagonal().all()):
        row = int(torch.nonzero(~positives.diagonal())[0])
        raise ValueError(
            f"positives: the diagonal must be True, but row {row} is not its own pair."
        )
