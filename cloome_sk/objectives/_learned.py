"""Scalars of an objective that are trained with the encoders."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class LearnedObjective(nn.Module):
    """An objective some of whose scalar arguments are trained.

    Parameters
    ----------
    function : callable
        ``function(phenotype, molecule, inv_tau, *, positives, ...)``, scalar.
    initial : mapping of str to float
        The arguments of `function` that are trained, with their initial values.

    Raises
    ------
    ValueError
        If `function` has no argument of that name, or an initial value is not finite.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import LearnedObjective, siglip
    >>> objective = LearnedObjective(siglip, {"bias": -10.0})
    >>> objective(torch.eye(4), torch.eye(4), 10.0, positives=None).backward()
    >>> objective.bias.item(), objective.bias.grad.item() < 0
    (-10.0, True)
    """

    def __init__(self, function: Callable[..., Tensor], initial: Mapping[str, float]) -> None:
        super().__init__()
        self.function = function
        known = [*inspect.signature(function).parameters][3:]
        for name, value in initial.items():
            if name not in known or name in ("positives", "inputs"):
                raise ValueError(
                    f"initial: {function!r} has no scalar argument {name!r} after inv_tau; it has "
                    f"{', '.join(known) or 'none'}."
                )
            if not math.isfinite(value):
                raise ValueError(f"initial: {name} must start at a finite number, got {value}.")
            self.register_parameter(name, nn.Parameter(torch.tensor(float(value))))

    @property
    def reads(self) -> str | None:
        """What the function reads besides embeddings."""
        return getattr(self.function, "reads", None)

    def forward(
        self, phenotype: Tensor, molecule: Tensor, inv_tau: float | Tensor, **options: Any
    ) -> Tensor:
        """Evaluate the function at the present values.

        Parameters
        ----------
        phenotype, molecule : Tensor, shape (n_pairs, n_components)
            Row-normalised embeddings.
        inv_tau : float or scalar Tensor
            Inverse temperature.
        **options : dict
            `positives`, and whatever else the function takes.

        Returns
        -------
        Tensor, scalar
            The objective.
        """
        learned = dict(self.named_parameters(recurse=False))
        return self.function(phenotype, molecule, inv_tau, **options, **learned)
