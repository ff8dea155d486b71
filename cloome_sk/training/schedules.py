"""Learning rates over a fit: functions of an optimizer and the number of its updates."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

Schedule = Callable[[Optimizer, int], Any]

FEWEST_CYCLED = 10
"""Fewer updates than this get a constant rate: a cycle of one is all beginning, which is ~0."""


def one_cycle(optimizer: Optimizer, n_steps: int) -> LRScheduler:
    """Go up over the first 30 % of the updates and down over the rest (Smith & Topin 2017).

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The rates of its groups are the highest ones.
    n_steps : int
        Updates of the whole fit.

    Returns
    -------
    torch.optim.lr_scheduler.LRScheduler
        To be stepped after each update.
    """
    if n_steps < FEWEST_CYCLED:
        return constant(optimizer, n_steps)
    rates = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, max_lr=rates, total_steps=n_steps, cycle_momentum=False)


def constant(optimizer: Optimizer, n_steps: int, *, warmup: float = 0.0) -> LRScheduler:
    """Keep the rate, after a linear warm-up.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimizer.
    n_steps : int
        Updates of the whole fit.
    warmup : float, default=0.0
        Share of the updates over which the rate rises linearly, in [0, 1).

    Returns
    -------
    torch.optim.lr_scheduler.LRScheduler
        To be stepped after each update.

    Raises
    ------
    ValueError
        For a share outside of [0, 1).
    """
    return _warmed(optimizer, n_steps, warmup, _flat)


def cosine(optimizer: Optimizer, n_steps: int, *, warmup: float = 0.05) -> LRScheduler:
    """Warm up, then go down to zero along half a cosine (Loshchilov & Hutter 2017).

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimizer.
    n_steps : int
        Updates of the whole fit.
    warmup : float, default=0.05
        Share of the updates over which the rate rises linearly, in [0, 1).

    Returns
    -------
    torch.optim.lr_scheduler.LRScheduler
        To be stepped after each update.

    Raises
    ------
    ValueError
        For a share outside of [0, 1).
    """
    return _warmed(optimizer, n_steps, warmup, partial(_restarting, n_cycles=1))


def cosine_restarts(
    optimizer: Optimizer, n_steps: int, *, warmup: float = 0.05, n_cycles: int = 7
) -> LRScheduler:
    """Warm up, then go down to zero along a cosine several times, as CLOOME's authors do.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimizer.
    n_steps : int
        Updates of the whole fit.
    warmup : float, default=0.05
        Share of the updates over which the rate rises linearly, in [0, 1).
    n_cycles : int, default=7
        How often the rate starts at its highest (>= 1).

    Returns
    -------
    torch.optim.lr_scheduler.LRScheduler
        To be stepped after each update.

    Raises
    ------
    ValueError
        For a share outside of [0, 1), or fewer than one cycle.

    References
    ----------
    .. [1] Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.training.schedules import cosine_restarts
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    >>> schedule = cosine_restarts(optimizer, 8, warmup=0.0, n_cycles=2)
    >>> rates = []
    >>> for _ in range(8):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 2))
    ...     optimizer.step()
    ...     schedule.step()
    >>> rates
    [1.0, 0.85, 0.5, 0.15, 1.0, 0.85, 0.5, 0.15]
    """
    if n_cycles < 1:
        raise ValueError(f"cosine_restarts: n_cycles must be 1 or more, got {n_cycles}.")
    return _warmed(optimizer, n_steps, warmup, partial(_restarting, n_cycles=n_cycles))


SCHEDULES: dict[str, Schedule] = {
    "one-cycle": one_cycle,
    "cosine": cosine,
    "cosine-restarts": cosine_restarts,
}
"""By name."""


def checked(schedule: Schedule, optimizer: Optimizer, n_steps: int) -> Any:
    """Make a scheduler, and refuse what cannot be stepped after each update.

    Parameters
    ----------
    schedule : callable
        Of the optimizer and the number of updates.
    optimizer : torch.optim.Optimizer
        The optimizer.
    n_steps : int
        Updates of the whole fit.

    Returns
    -------
    object
        The scheduler.

    Raises
    ------
    TypeError
        If what `schedule` gives is no scheduler of torch.
    ValueError
        If its `step` needs a measure, as that of `ReduceLROnPlateau`, or it ends before the fit.
    """
    made = schedule(optimizer, n_steps)
    methods = [getattr(made, name, None) for name in ("step", "state_dict", "load_state_dict")]
    if isinstance(made, Optimizer) or not all(map(callable, methods)):
        raise TypeError(
            f"schedule={schedule!r} must return a scheduler of torch for (optimizer, n_steps), and "
            f"returned {type(made).__name__}."
        )
    try:
        inspect.signature(made.step).bind()
    except TypeError as error:
        raise ValueError(needs_measure(type(made).__name__)) from error
    total = getattr(made, "total_steps", None)
    if isinstance(total, int) and total < n_steps:
        raise ValueError(
            f"schedule={schedule!r} returned a {type(made).__name__} that ends after {total} "
            f"updates, and this fit makes up to {n_steps}: the second argument is their number."
        )
    return made


def needs_measure(name: str) -> str:
    """Say what to use instead of a scheduler that waits for a measure.

    Parameters
    ----------
    name : str
        Of the scheduler.

    Returns
    -------
    str
        The message.
    """
    return (
        f"schedule= takes no {name}, which needs a measure at each step: rates here follow the "
        'number of updates, and are stepped after each. Use "one-cycle", "cosine", '
        '"cosine-restarts", or a function of (optimizer, n_steps) that gives another scheduler; '
        'to watch held-out molecules, use validation= with early_stopping= and keep="best".'
    )


def _warmed(
    optimizer: Optimizer, n_steps: int, warmup: float, after: Callable[[float], float]
) -> LRScheduler:
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup is a share of the updates in [0, 1), got {warmup!r}.")
    n_rising = math.ceil(warmup * n_steps)

    def factor(step: int) -> float:
        if step < n_rising:
            return (step + 1) / n_rising
        return after((step - n_rising) / max(1, n_steps - n_rising))

    return LambdaLR(optimizer, factor)


def _flat(progress: float) -> float:
    return 1.0


def _restarting(progress: float, n_cycles: int) -> float:
    if progress >= 1:
        return 0.0
    return 0.5 * (1 + math.cos(math.pi * (n_cycles * progress % 1)))
