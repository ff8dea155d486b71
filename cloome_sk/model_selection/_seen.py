"""What any part of a model, however deep, says it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from sklearn.frozen import FrozenEstimator

_METHODS = ("fit", "predict", "predict_proba", "embed_phenotypes", "embed_molecules")
_CONTAINERS = (list, tuple, Mapping)
_HEX = frozenset("0123456789abcdef")


def parts(model: Any) -> Iterator[Any]:
    """A model and every estimator inside it: in its parameters, or fitted by it; each once.

    Where a parameter has a fitted counterpart (``embedder`` and ``embedder_``), only that is
    looked at: what the parameter was trained on before, the model does not use.
    """
    waiting = [model]
    # Held, not only numbered: a list made for this walk could leave its id to another object.
    visited: dict[int, Any] = {}
    while waiting:
        part = waiting.pop()
        if id(part) in visited:
            continue
        visited[id(part)] = part
        if not isinstance(part, _CONTAINERS):
            yield part
        waiting += [value for value in _inside(part) if _may_hold(value)]


def frozen_parts(model: Any) -> Iterator[Any]:
    """The parts that no `fit` of the model trains again, since a `FrozenEstimator` holds them."""
    for part in parts(model):
        if isinstance(part, FrozenEstimator):
            yield from parts(part.estimator)


def molecules_seen(model: Any) -> set[str]:
    """Keys of the molecules that any part of a model says it was trained on."""
    return {str(key) for part in parts(model) for key in getattr(part, "molecules_seen_", ())}


def knows_digests_only(part: Any) -> bool:
    """Whether a part was trained on precomputed features, which name no molecule."""
    keys = [str(key) for key in getattr(part, "molecules_seen_", ())]
    return bool(keys) and all(len(key) == 16 and set(key) <= _HEX for key in keys)


def _inside(part: Any) -> list[Any]:
    if isinstance(part, Mapping):
        return list(part.values())
    if isinstance(part, _CONTAINERS):
        return list(part)
    if is_dataclass(part):
        return [getattr(part, field.name) for field in fields(part)]
    attributes = getattr(part, "__dict__", {})
    if not hasattr(part, "get_params"):
        # Such as the members of a CalibratedClassifierCV, which are no estimators by themselves.
        return list(attributes.values())
    fitted = {
        name: value
        for name, value in attributes.items()
        if name.endswith("_") and not name.startswith("_")
    }
    kept = [
        value
        for name, value in part.get_params(deep=False).items()
        if not _may_hold(fitted.get(f"{name}_"))
    ]
    return [*kept, *fitted.values()]


def _may_hold(value: Any) -> bool:
    """Whether to look inside a value: an estimator, what stands for one, or several of them."""
    if isinstance(value, type):
        return False
    return (
        isinstance(value, _CONTAINERS)
        or is_dataclass(value)
        or any(hasattr(value, name) for name in _METHODS)
        or hasattr(value, "molecules_seen_")
    )
