"""How alike the samples of a batch are in one modality, as numbers from 0 to 1."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cloome_sk.objectives._pairs import at_least_float32, full_precision


@torch.no_grad()
def cosine_weights(features: Tensor) -> Tensor:
    """Weights ``(1 + cosine) / 2``, as in CWCL.

    Parameters
    ----------
    features : Tensor, shape (n_pairs, n_features)
        Fixed features of one modality: embeddings of a frozen model, or scaled profiles.

    Returns
    -------
    Tensor, shape (n_pairs, n_pairs)
        In [0, 1]: unrelated samples have 0.5, opposite ones 0. A row of zeros has 0.5 with all.

    References
    ----------
    .. [1] Srinivasa et al., arXiv 2309.14580.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import cosine_weights
    >>> cosine_weights(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]]))[0]
    tensor([1.0000, 0.5000, 0.0000])
    """
    with full_precision(features):
        unit = F.normalize(_numbers(features), dim=1)
        return ((1 + unit @ unit.T) / 2).clamp(0.0, 1.0)


@torch.no_grad()
def tanimoto_weights(features: Tensor) -> Tensor:
    r"""Tanimoto similarity of fingerprints, :math:`x \cdot y / (|x|^2 + |y|^2 - x \cdot y)`.

    Parameters
    ----------
    features : Tensor, shape (n_pairs, n_features)
        Fingerprints: bits, or other numbers >= 0.

    Returns
    -------
    Tensor, shape (n_pairs, n_pairs)
        In [0, 1]. Two empty fingerprints have 0.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import tanimoto_weights
    >>> bits = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=torch.uint8)
    >>> tanimoto_weights(bits)[0]
    tensor([1.0000, 0.6667, 0.0000])
    """
    with full_precision(features):
        rows = _numbers(features)
        common = rows @ rows.T
        squares = (rows * rows).sum(dim=1)
        union = squares[:, None] + squares[None, :] - common
        return torch.where(union > 0, common / union, 0.0).clamp(max=1.0)


def _numbers(features: Tensor) -> Tensor:
    return at_least_float32(features) if features.is_floating_point() else features.float()
