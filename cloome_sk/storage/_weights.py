"""Weights as the bytes of a safetensors file, and back, compared with the network they are for."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import safetensors.numpy

from cloome_sk.storage._errors import RefusedError

LISTED = 4


def to_bytes(state: dict[str, np.ndarray]) -> bytes:
    """Give weights as the content of a file."""
    arrays = {name: np.asarray(value, order="C") for name, value in state.items()}
    return safetensors.numpy.save(arrays)


def from_bytes(content: bytes) -> dict[str, np.ndarray]:
    """Read weights; arrays of their own, that may be written to."""
    try:
        found = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise RefusedError("", f"is no safetensors file of plain numbers ({error}).") from error
    return {name: np.array(found[name]) for name in sorted(found)}


def checked_state(embedder: Any, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give weights in the order of the network of a fitted embedder; all of them, and no other."""
    import torch

    from cloome_sk.networks import DualEncoder

    n_components = embedder.n_components_
    sides = [
        partial(encoder.make_network, n_components)
        for encoder in (embedder.phenotype_, embedder.molecule_)
    ]
    try:
        # Without memory behind it: a file may ask for more than there is.
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            own = DualEncoder(*(make() for make in sides)).state_dict()
    except Exception as error:  # torch has another one for each size that is none
        raise RefusedError("", f"the parameters make no network ({error}).") from error
    found = {name: (value.dtype.name, value.shape) for name, value in state.items()}
    wanted = {
        name: (str(value.dtype).removeprefix("torch."), tuple(value.shape))
        for name, value in own.items()
    }
    problems = [f"lacks {name}" for name in wanted if name not in found]
    problems += [f"has {name}, which is no weight of it" for name in found if name not in wanted]
    problems += [
        f"has {name} as {_shown(found[name])} in place of {_shown(wanted[name])}"
        for name in wanted
        if name in found and found[name] != wanted[name]
    ]
    if problems:
        more = len(problems) - LISTED
        listed = "; ".join(problems[:LISTED]) + (f"; and {more} more" if more > 0 else "")
        raise RefusedError("", f"is not of the network of config.json: it {listed}.")
    return {name: state[name] for name in own}


def _shown(form: tuple[str, tuple[int, ...]]) -> str:
    return f"{form[0]}{list(form[1])}"
