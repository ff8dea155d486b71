"""Python values as JSON that remembers their types: tuples, arrays, numbers of NumPy, NaN."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.encoders._image_columns import ImageColumns
from cloome_sk.preprocessing.controls import ControlRows

SIGN = "$"
"""What the name of a type begins with: ``{"$tuple": [1, 2]}``."""
NUMBERS = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
}
"""Types of NumPy that are stored."""
LABELS = {"str", "object", "bool", "int64", "float64"}
"""Types of a pandas Index that are stored."""


def encode(value: Any, where: str) -> Any:
    """Give a value as what JSON has; a TypeError that names `where` for what it has not."""
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if type(value) is list:
        return _items(value, where)
    if type(value) is dict:
        return _encode_dict(value, where)
    encoder = _ENCODERS.get(type(value))
    if encoder is not None:
        return encoder(value, where)
    if isinstance(value, np.generic):
        return _encode_number(value, where)
    if isinstance(value, PurePath):
        return {"$path": str(value)}
    if isinstance(value, np.dtype) and value.name in NUMBERS:
        return {"$dtype": value.name}
    raise TypeError(refusal(value, where))


def refusal(value: Any, where: str) -> str:
    """Say that a value is not stored."""
    kind = type(value).__name__
    what = f"a {kind}"
    if callable(value):
        name = getattr(value, "__qualname__", None)
        what = f"{name}, a {kind}" if name else what
    return (
        f"{where} is {what}, which cannot be stored without code, and the folder holds none: "
        "nothing was written. joblib.dump(embedder, path) stores it, for whoever trusts the file."
    )


def _items(values: Iterable[Any], where: str) -> list[Any]:
    return [encode(value, f"{where}[{place}]") for place, value in enumerate(values)]


def _encode_dict(value: dict[Any, Any], where: str) -> dict[str, Any]:
    if all(type(name) is str and not name.startswith(SIGN) for name in value):
        return {name: encode(part, f"{where}[{name!r}]") for name, part in value.items()}
    return {
        "$dict": [
            [encode(name, f"a key of {where}"), encode(part, f"{where}[{name!r}]")]
            for name, part in value.items()
        ]
    }


def _encode_number(value: np.generic, where: str) -> dict[str, Any]:
    if isinstance(value, np.str_):
        return {"$numpy": ["str", str(value)]}
    if value.dtype.name not in NUMBERS:
        raise TypeError(refusal(value, where))
    return {"$numpy": [value.dtype.name, encode(value.item(), where)]}


def _encode_array(value: np.ndarray, where: str) -> dict[str, Any]:
    name = {"U": "str", "O": "object"}.get(value.dtype.kind, value.dtype.name)
    if name not in (*NUMBERS, "str", "object"):
        raise TypeError(refusal(value, f"{where} (of {value.dtype})"))
    values = _items(value.ravel().tolist(), where)
    return {"$array": {"dtype": name, "shape": list(value.shape), "values": values}}


def _encode_index(value: pd.Index, where: str) -> dict[str, Any]:
    if str(value.dtype) not in LABELS:
        raise TypeError(refusal(value, f"{where} (of {value.dtype})"))
    name = encode(value.name, f"{where}.name")
    values = _items(value.tolist(), where)
    return {"$index": {"dtype": str(value.dtype), "name": name, "values": values}}


def _encode_random_state(value: np.random.RandomState, where: str) -> dict[str, Any]:
    state = value.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        raise TypeError(refusal(value, f"{where} (over {state['bit_generator']})"))
    return {
        "$random_state": {
            "key": state["state"]["key"].tolist(),
            "pos": int(state["state"]["pos"]),
            "has_gauss": int(state["has_gauss"]),
            "gauss": float(state["gauss"]),
        }
    }


def _encode_controls(value: ControlRows, where: str) -> dict[str, Any]:
    return {
        "$controls": {
            "n_rows": len(value.mask),
            "rows": np.flatnonzero(value.mask).tolist(),
            "column": encode(value.column, f"{where}.column"),
            "values": _items(value.values, f"{where}.values"),
        }
    }


def _encode_columns(value: ImageColumns, where: str) -> dict[str, Any]:
    return {
        "$image_columns": {
            "channels": _items(value.channels, where),
            "names": _items(value.names, where),
            "stacked": value.stacked,
            "order": None if value.order is None else _items(value.order, where),
        }
    }


def _sorted_items(values: Iterable[Any], where: str) -> list[Any]:
    return _items(sorted(values, key=repr), where)  # the same set, the same file


_ENCODERS: dict[type, Callable[[Any, str], Any]] = {
    tuple: lambda value, where: {"$tuple": _items(value, where)},
    set: lambda value, where: {"$set": _sorted_items(value, where)},
    frozenset: lambda value, where: {"$frozenset": _sorted_items(value, where)},
    slice: lambda value, where: {"$slice": _items([value.start, value.stop, value.step], where)},
    np.ndarray: _encode_array,
    np.memmap: _encode_array,
    pd.Index: _encode_index,
    np.random.RandomState: _encode_random_state,
    ControlRows: _encode_controls,
    ImageColumns: _encode_columns,
}
