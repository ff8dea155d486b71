"""The pairwise sigmoid objective of SigLIP."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cloome_sk.objectives._pairs import as_pairs, full_precision, own_pairs


def siglip(
    phenotype: Tensor,
    molecule: Tensor,
    inv_tau: float | Tensor,
    bias: float | Tensor = -10.0,
    *,
    positives: Tensor | None = None,
) -> Tensor:
    r"""Sigmoid objective: each of the N² pairs of a batch is matching or not, on its own.

    .. math::
       L = -\frac1N \sum_i \sum_j \ln \sigma\left(y_{ij} (\tau^{-1} x_i \cdot z_j + b)\right),
       \quad y_{ij} = \begin{cases} 1 & j \in P_i \\ -1 & \text{else} \end{cases}

    Of N² pairs about N match, so at first most of the gradient would only say "no"; the bias
    starts where that is known. The authors learn both scalars, from :math:`\tau^{-1} = 10` and
    :math:`b = -10`; ``LearnedObjective(siglip, {"bias": -10.0})`` does.

    Parameters
    ----------
    phenotype, molecule : Tensor, shape (n_pairs, n_components)
        Row-normalised embeddings.
    inv_tau : float or scalar Tensor
        Inverse temperature, > 0.
    bias : float or scalar Tensor, default=-10.0
        Added to each logit.
    positives : Tensor of bool, shape (n_pairs, n_pairs), optional
        True where phenotype i and molecule j belong together; the diagonal must be True. By
        default each row's own pair alone. Each positive counts in full: a row with several weighs
        more than one with a single positive, which differs from `infonce`.

    Returns
    -------
    Tensor, scalar
        The objective, >= 0.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the diagonal of `positives` is not all True.

    References
    ----------
    .. [1] Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023, arXiv 2303.15343.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import siglip
    >>> unit = torch.eye(4)
    >>> round(float(siglip(unit, unit, inv_tau=1.0, bias=0.0)), 4)  # 3 ln 2 + ln(1 + 1 / e)
    2.3927
    """
    phenotype, molecule = as_pairs(phenotype, molecule, positives)
    if positives is None:
        positives = own_pairs(len(phenotype), phenotype.device)
    with full_precision(phenotype):
        logits = inv_tau * phenotype @ molecule.T + bias
        return -F.logsigmoid(torch.where(positives, logits, -logits)).sum() / len(logits)
