"""From the parameters of the embedder to a plan of training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from cloome_sk._device import resolve_device
from cloome_sk._parameters import initial_inv_tau, learns_inv_tau
from cloome_sk._start import trainable_patterns

if TYPE_CHECKING:
    from cloome_sk.training import TrainingPlan


def training_plan(embedder: Any) -> TrainingPlan:
    """Read the parameters; draws the seed, which advances a `RandomState` the user gave."""
    from cloome_sk.training import TrainingPlan
    from cloome_sk.training.processes import check_draws

    check_draws(embedder.random_state)
    rng = check_random_state(embedder.random_state)
    device = resolve_device(embedder.device)
    if embedder.compile:
        from cloome_sk.training.compiling import check_compiler

        check_compiler(device)
    return TrainingPlan(
        objective=chosen_objective(embedder),
        inv_tau=initial_inv_tau(embedder),
        learn_inv_tau=learns_inv_tau(embedder),
        lr=embedder.lr,
        weight_decay=embedder.weight_decay,
        schedule=chosen_schedule(embedder.schedule),
        batch_size=int(embedder.batch_size),
        max_epochs=int(embedder.max_epochs),
        seed=int(rng.randint(np.iinfo(np.int32).max)),
        device=device,
        verbose=embedder.verbose,
        trainable=trainable_patterns(embedder),
        lr_factors=tuple((embedder.lr_factors or {}).items()),
        precision=chosen_precision(embedder.precision, device),
        clip_norm=embedder.clip_norm,
        average_decay=embedder.ema_decay,
        chunk=embedder.gradient_cache,
        compiled=bool(embedder.compile),
    )


def chosen_objective(embedder: Any) -> Callable[..., Any]:
    """Give the objective of that name, with its parameters, or the user's own."""
    from cloome_sk.objectives import InputCWCL, LearnedObjective, infoloob, infonce, siglip

    if not isinstance(embedder.objective, str):
        return embedder.objective
    named: dict[str, Callable[..., Any]] = {
        "infonce": infonce,
        "infoloob": partial(infoloob, beta=embedder.beta),
        "siglip": LearnedObjective(siglip, {"bias": -10.0}),
        "cwcl": InputCWCL(),
    }
    return named[embedder.objective]


def chosen_schedule(schedule: Any) -> Callable[..., Any] | None:
    """Give the schedule of that name, or the user's own."""
    from cloome_sk.training.schedules import SCHEDULES

    return SCHEDULES[schedule] if isinstance(schedule, str) else schedule


def chosen_precision(precision: str, device: str) -> str:
    """Turn "auto" into bfloat16 on a GPU that computes in it, else float32."""
    import torch

    cuda = torch.device(device).type == "cuda"
    if precision == "auto":
        return "bf16" if cuda and torch.cuda.is_bf16_supported() else "fp32"
    return precision


def embedding_precision(precision: str) -> str:
    """Give what networks that are not trained compute in: float16 needs the scaling of training."""
    return "fp32" if precision == "fp16" else precision
