"""InfoLOOB over Hopfield-retrieved embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cloome_sk.objectives._pairs import as_pairs, full_precision, own_pairs


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
    phenotype, molecule = as_pairs(phenotype, molecule, positives)
    if positives is None:
        positives = own_pairs(len(phenotype), phenotype.device)
    if positives.all(dim=1).any() or positives.all(dim=0).any():
        row = int(torch.nonzero(positives.all(dim=1) | positives.all(dim=0))[0])
        raise ValueError(
            f"Row {row} has no negative among the {len(phenotype)} pair(s), so InfoLOOB is not "
            "defined: give pairs of at least two molecules."
        )
    with full_precision(phenotype):
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


def _leave_out(logits: Tensor, positives: Tensor) -> Tensor:
    """Mean over rows of ln(sum over negatives) minus the mean logit of the positives."""
    attraction = logits.masked_fill(~positives, 0.0).sum(dim=1) / positives.sum(dim=1)
    repulsion = torch.logsumexp(logits.masked_fill(positives, -torch.inf), dim=1)
    return (repulsion - attraction).mean()
