"""What no single parameter of the embedder can be checked for: whether they go together."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from cloome_sk._start import check_start


def learns_inv_tau(embedder: Any) -> bool:
    """Whether training changes the temperature; by itself, for the objectives that bound it."""
    if isinstance(embedder.learn_inv_tau, str):
        return isinstance(embedder.objective, str) and embedder.objective != "infoloob"
    return bool(embedder.learn_inv_tau)


def initial_inv_tau(embedder: Any) -> float:
    """Give the inverse temperature at the start: CLOOME's, or where SigLIP's authors begin."""
    if not isinstance(embedder.inv_tau, str):
        return float(embedder.inv_tau)
    return 10.0 if isinstance(embedder.objective, str) and embedder.objective == "siglip" else 14.3


def check_together(embedder: Any, resume: bool = False) -> None:
    """Refuse a temperature that would run away, and what is no objective or no phenotype side."""
    if not isinstance(embedder.objective, str):
        check_objective(embedder.objective)
    elif learns_inv_tau(embedder) and embedder.objective == "infoloob":
        raise ValueError(
            'learn_inv_tau=True does not go with objective="infoloob": that objective has no '
            'lower bound in the temperature. Use learn_inv_tau="auto" or False.'
        )
    check_start(embedder, resume)
    _check_validation(embedder)
    _check_states(embedder, resume)
    _check_schedule(embedder.schedule)
    _check_callbacks(embedder)
    if hasattr(embedder.phenotype, "keys"):
        raise ValueError(
            "phenotype= takes a phenotype encoder such as ProfileEncoder, got "
            f"{type(embedder.phenotype).__name__}, which reads molecules."
        )


def check_objective(objective: Any) -> None:
    """Refuse a callable that cannot be called as an objective is."""
    options = {"positives": None}
    if getattr(objective, "reads", None) is not None:
        options["inputs"] = None
    try:
        inspect.signature(objective).bind(None, None, None, **options)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"objective={objective!r} cannot be called as objective(phenotype, molecule, inv_tau, "
            f"{', '.join(f'{name}=...' for name in options)}): {error}."
        ) from error


def check_holders(embedder: Any, params: Mapping[str, Any]) -> None:
    """Refuse nested parameters where no encoder was given to hold them."""
    for side, encoder in (("phenotype", "ProfileEncoder"), ("molecule", "MoleculeEncoder")):
        nested = [name for name in params if name.startswith(f"{side}__")]
        holder = params.get(side, getattr(embedder, side, None))
        if nested and (holder is None or isinstance(holder, str)):
            raise ValueError(
                f"{nested[0]}: {side}={holder!r} has no parameters of its own. Give an "
                f"encoder first: {type(embedder).__name__}({side}={encoder}())."
            )


def _check_validation(embedder: Any) -> None:
    wants = {
        f"keep={embedder.keep!r}": embedder.keep == "best",
        f"early_stopping={embedder.early_stopping!r}": embedder.early_stopping is not None,
    }
    asked = [text for text, wanted in wants.items() if wanted]
    if asked and embedder.validation is None:
        raise ValueError(
            f"{' and '.join(asked)} need held-out molecules to tell which epoch is better: set "
            "validation=0.1, or a table of other molecules."
        )

    reads = embedder.objective == "cwcl" if isinstance(embedder.objective, str) else False
    reads = reads or getattr(embedder.objective, "reads", None) is not None
    if embedder.validation is not None and embedder.monitor == "valid_objective" and reads:
        raise ValueError(
            f"monitor='valid_objective' does not go with objective={embedder.objective!r}, which "
            "reads the inputs of a batch and is not evaluated on held-out pairs. Choose another, "
            'such as monitor="valid_relative_rank".'
        )


def _check_schedule(schedule: Any) -> None:
    """Refuse what cannot be called with an optimizer and a number, or waits for a measure."""
    if schedule is None or isinstance(schedule, str):
        return
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    from cloome_sk.training.schedules import needs_measure

    made = schedule.func if isinstance(schedule, partial) else schedule
    if isinstance(made, type) and issubclass(made, ReduceLROnPlateau):
        raise ValueError(needs_measure(made.__name__))
    try:
        inspect.signature(schedule).bind(None, 1)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"schedule={schedule!r} cannot be called as schedule(optimizer, n_steps): {error}. It "
            "is given the optimizer and the number of updates, and gives a scheduler of torch."
        ) from error


def _check_callbacks(embedder: Any) -> None:
    """Refuse what is no callback of skorch, and the one that would throw a training away."""
    if not embedder.callbacks:
        return
    from skorch.callbacks import Callback, EarlyStopping

    for given in embedder.callbacks:
        callback = given[1] if isinstance(given, tuple) and len(given) == 2 else given
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, Callback):
            raise TypeError(
                "callbacks= takes a list of callbacks of skorch, such as "
                f"skorch.callbacks.TensorBoard(...), or (name, callback); got {given!r}."
            )
        if issubclass(kind, EarlyStopping):
            raise ValueError(
                "callbacks: skorch's EarlyStopping ends training as an interruption, and nothing "
                "is kept. Use early_stopping= with validation=."
            )


def _check_states(embedder: Any, resume: bool) -> None:
    if not isinstance(resume, (bool, np.bool_)):
        raise TypeError(f"resume= takes True or False, got {resume!r}.")
    if embedder.checkpoint_dir is None and (resume or embedder.checkpoint_every is not None):
        asked = "resume=True" if resume else f"checkpoint_every={embedder.checkpoint_every}"
        raise ValueError(
            f"{asked} needs a folder in which the state of training is kept: set checkpoint_dir=."
        )
    if embedder.checkpoint_dir is not None and embedder.random_state is None:
        warnings.warn(
            "checkpoint_dir= with random_state=None: each fit draws a seed of its own, so that "
            "resume=True will find nothing to go on from. Set random_state to a number.",
            stacklevel=4,
        )
