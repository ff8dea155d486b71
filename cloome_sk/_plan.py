"""From the parameters of the embedder to a plan of training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from cloome_sk._device import resolve_device
from cloome_sk._parameters import learns_inv_tau
from cloome_sk._start import trainable_patterns

if TYPE_CHECKING:
    from cloome_sk.training import TrainingPlan


def training_plan(embedder: Any) -> TrainingPlan:
    """Read the parameters; draws the seed, which advances a `RandomState` the user gave."""
    from cloome_sk.objectives import infoloob, infonce
    from cloome_sk.training import TrainingPlan

    loob = partial(infoloob, beta=embedder.beta)
    rng = check_random_state(embedder.random_state)
    return TrainingPlan(
        objective=infonce if embedder.objective == "infonce" else loob,
        inv_tau=embedder.inv_tau,
        learn_inv_tau=learns_inv_tau(embedder),
        lr=embedder.lr,
        weight_decay=embedder.weight_decay,
        schedule=embedder.schedule,
        batch_size=int(embedder.batch_size),
        max_epochs=int(embedder.max_epochs),
        seed=int(rng.randint(np.iinfo(np.int32).max)),
        device=resolve_device(embedder.device),
        verbose=embedder.verbose,
        trainable=trainable_patterns(embedder),
        lr_factors=tuple((embedder.lr_factors or {}).items()),
        precision=embedder.precision,
    )
