"""A further `fit` with encoders and objective of the one before, and what may differ in them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from cloome_sk._identity import hashed
from cloome_sk.encoders import MoleculeEncoder
from cloome_sk.encoders.base import Encoder

if TYPE_CHECKING:
    from cloome_sk.checkpoints import Checkpoint

MAY_CHANGE = ("n_jobs", "cache")
"""Parameters on which neither what `fit` of an encoder learns depends, nor its network."""

DROPOUTS = ("dropout", "input_dropout")
"""These may change too; but 0 is a network without such layers, whose weights have other names."""


def encoders_again(embedder: Any) -> tuple[Encoder, MoleculeEncoder]:
    """Give the fitted encoders, with those parameters set anew that may change.

    Parameters
    ----------
    embedder : CloomeEmbedder
        Fitted; `phenotype` and `molecule` may have been changed since. "auto" and None take what
        is there.

    Returns
    -------
    phenotype, molecule : Encoder
        Those of the earlier fit, or changed copies of them.

    Raises
    ------
    ValueError
        If other parameters were changed, all of which are named.
    """
    changes = {side: _changes(embedder, side) for side in ("phenotype", "molecule")}
    refused = [
        f"{name} ({_short(before)} before, {_short(now)} now)"
        for found in changes.values()
        for name, (before, now) in found.items()
        if not _may_change(name.rsplit("__")[-1], before, now)
    ]
    if refused:
        raise ValueError(
            "warm_start=True goes on with the encoders of the earlier fit, whose parameters were "
            f"changed since: {', '.join(refused)}. Set them back, or begin anew with "
            f"warm_start=False. Only {' and '.join(MAY_CHANGE)} may change, and "
            f"{' and '.join(DROPOUTS)} from one value above 0 to another."
        )
    phenotype, molecule = (
        _changed(getattr(embedder, f"{side}_"), {name: now for name, (_, now) in found.items()})
        for side, found in changes.items()
    )
    return phenotype, molecule


def check_same_file(embedder: Any, checkpoint: Checkpoint | None) -> None:
    """Refuse a checkpoint that is not the one of the earlier fit: its weights would be ignored."""
    if checkpoint is not None and checkpoint.sha256 != embedder.checkpoint_sha256_:
        raise ValueError(
            f"warm_start=True goes on from the weights of the earlier fit, and checkpoint="
            f"{str(embedder.checkpoint)!r} is not what that one began with. Set warm_start=False "
            "to begin with this file, or checkpoint=None."
        )


def objective_again(objective: Any, state: dict[str, np.ndarray]) -> Any:
    """Give an objective what it learned in the earlier fit, if it has such parameters at all."""
    import torch

    if not isinstance(objective, torch.nn.Module):
        return objective
    own = {
        name: tuple(value.shape)
        for name, value in objective.state_dict().items()
        if isinstance(value, torch.Tensor)
    }
    if not own or own != {name: value.shape for name, value in state.items()}:
        return objective
    objective = copy.deepcopy(objective)  # the user's keeps its own values
    given = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
    objective.load_state_dict(given, strict=False)  # all tensors are there, as was compared
    return objective


def as_arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Give the tensors of a state as arrays; half precision, which NumPy lacks, as float32."""
    small = {
        name: value.is_floating_point() and value.itemsize < 4 for name, value in state.items()
    }
    return {
        name: (value.float() if small[name] else value).numpy().copy()
        for name, value in state.items()
    }


def _changes(embedder: Any, side: str) -> dict[str, tuple[Any, Any]]:
    """Parameters that differ between the encoder that is given and the fitted one, by name."""
    given, fitted = getattr(embedder, side), getattr(embedder, f"{side}_")
    if given is None or isinstance(given, str):
        return {}
    if hasattr(given, "_validate_params"):
        given._validate_params()  # as `fit` of an encoder does, which is not called again
    before = {side: fitted} | {
        f"{side}__{name}": value for name, value in fitted.get_params(deep=True).items()
    }
    now = {side: given} | {
        f"{side}__{name}": value for name, value in given.get_params(deep=True).items()
    }
    return {
        name: (before[name], value)
        for name, value in now.items()
        if name in before and not _same(before[name], value)
    }


def _may_change(name: str, before: Any, now: Any) -> bool:
    return name in MAY_CHANGE or (name in DROPOUTS and bool(before > 0) == bool(now > 0))


def _same(one: Any, other: Any) -> bool:
    if hasattr(one, "get_params") or hasattr(other, "get_params"):
        return type(one) is type(other)  # their parameters are compared by themselves
    if isinstance(one, Real) and isinstance(other, Real):
        return bool(one == other)
    return one is other or hashed(one) == hashed(other)


def _changed(encoder: Any, params: dict[str, Any]) -> Any:
    if not params:
        return encoder
    encoder = copy.deepcopy(encoder)  # the earlier fit stays what it is, should this one fail
    for name, value in params.items():
        own = name.partition("__")[2]
        encoder.set_params(**{own: value})
        part, _, rest = own.partition("__")
        if rest and hasattr(encoder, f"{part}_"):  # the fitted copy of what is nested
            getattr(encoder, f"{part}_").set_params(**{rest: value})
    return encoder


def _short(value: Any) -> str:
    """Show a value, an encoder by its class."""
    text = type(value).__name__ if hasattr(value, "get_params") else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
