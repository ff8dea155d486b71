"""What the objectives share: checked pairs, in a precision that sums can be taken in."""

from __future__ import annotations

import torch
from torch import Tensor

LOW = (torch.float16, torch.bfloat16)


def as_pairs(
    phenotype: Tensor, molecule: Tensor, positives: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Check the arguments of an objective; give embeddings of at least float32."""
    check_pairs(phenotype, molecule, positives)
    return at_least_float32(phenotype), at_least_float32(molecule)


def at_least_float32(values: Tensor) -> Tensor:
    """Leave float32 and float64 as they are."""
    return values.float() if values.dtype in LOW else values


def full_precision(values: Tensor) -> torch.autocast:
    """Undo an autocast around the objective, whose products would be of low precision again."""
    return torch.autocast(values.device.type, enabled=False)


def own_pairs(n_pairs: int, device: torch.device) -> Tensor:
    """Mark each row's own pair."""
    return torch.eye(n_pairs, dtype=torch.bool, device=device)


def check_pairs(phenotype: Tensor, molecule: Tensor, positives: Tensor | None) -> None:
    """Refuse matrices that are no pairs, and a mask that is not theirs."""
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
