"""Values back from JSON, with the types they had; nothing else than `encode` makes is taken."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.encoders._image_columns import ImageColumns
from cloome_sk.preprocessing.controls import ControlRows
from cloome_sk.storage._encoding import LABELS, NUMBERS, SIGN
from cloome_sk.storage._errors import RefusedError


def decode(value: Any, key: str) -> Any:
    """Give back what `encode` was given; `RefusedError` for anything that it does not make."""
    if isinstance(value, list):
        return [decode(part, f"{key}[{place}]") for place, part in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise RefusedError(key, "is a number too large for float64.")
    if not isinstance(value, dict):
        return value
    tags = [name for name in value if name.startswith(SIGN)]
    if not tags:
        return {name: decode(part, f"{key}.{name}") for name, part in value.items()}
    if len(value) != 1 or tags[0] not in _DECODERS:
        raise RefusedError(key, f"{', '.join(value)} is no form of value that this release knows.")
    try:
        return _DECODERS[tags[0]](value[tags[0]], f"{key}.{tags[0]}")
    except (TypeError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise RefusedError(f"{key}.{tags[0]}", f"is malformed ({error}).") from error


def parts_of(value: Any, names: set[str], key: str) -> dict[str, Any]:
    """Refuse anything but a dictionary of exactly these names."""
    if not isinstance(value, dict):
        raise RefusedError(key, f"should be a dictionary, and is {type(value).__name__}.")
    lacking, unknown = sorted(names - set(value)), sorted(set(value) - names)
    if lacking or unknown:
        found = [f"lacks {name}" for name in lacking] + [f"has {name}" for name in unknown]
        raise RefusedError(key, f"{', '.join(found)}; it should have {', '.join(sorted(names))}.")
    return value


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise RefusedError(key, f"should be a list, and is {type(value).__name__}.")
    return decode(value, key)


def _float(value: Any, key: str) -> float:
    if value not in ("nan", "inf", "-inf"):
        raise RefusedError(key, f"{value!r} is none of nan, inf and -inf.")
    return float(value)


def _dict(value: Any, key: str) -> dict[Any, Any]:
    pairs = _list(value, key)
    found = dict(pairs)  # a ValueError or TypeError for what is no list of pairs
    if len(found) != len(pairs):
        raise RefusedError(key, "has a key twice.")
    return found


def _number(value: Any, key: str) -> Any:
    dtype, number = _list(value, key)
    if dtype == "str" and isinstance(number, str):
        return np.str_(number)
    if dtype not in NUMBERS or not isinstance(number, (bool, int, float)):
        raise RefusedError(key, f"{dtype!r} is no type of number that this release stores.")
    return _exactly(np.asarray(number), dtype, [number], key)[()]


def _array(value: Any, key: str) -> np.ndarray:
    given = parts_of(value, {"dtype", "shape", "values"}, key)
    dtype, values = given["dtype"], _list(given["values"], f"{key}.values")
    shape = tuple(_list(given["shape"], f"{key}.shape"))
    if any(type(side) is not int or side < 0 for side in shape) or math.prod(shape) != len(values):
        raise RefusedError(key, f"has {len(values)} values, which is not the shape {list(shape)}.")
    if dtype == "object":
        flat = np.empty(len(values), dtype=object)
        flat[:] = values
        return flat.reshape(shape)
    if dtype == "str" and all(type(part) is str for part in values):
        return np.array(values, dtype=str).reshape(shape)
    if dtype not in NUMBERS or any(type(part) not in (bool, int, float) for part in values):
        raise RefusedError(key, f"its values are not of the type {dtype!r}.")
    return _exactly(np.array(values, dtype=object), dtype, values, key).reshape(shape)


def _exactly(values: np.ndarray, dtype: str, given: list[Any], key: str) -> np.ndarray:
    """Numbers as a type that holds each of them: no 300 as uint8, no 0.5 as int64."""
    with np.errstate(all="ignore"):
        numbers = values.astype(dtype)
    for number, stored in zip(given, numbers.ravel().tolist(), strict=True):
        if number != stored and not (number != number and stored != stored):
            raise RefusedError(key, f"{number!r} is no {dtype}.")
    return numbers


def _index(value: Any, key: str) -> pd.Index:
    given = parts_of(value, {"dtype", "name", "values"}, key)
    if given["dtype"] not in LABELS:
        raise RefusedError(key, f"{given['dtype']!r} is no type of index that this release stores.")
    values = _list(given["values"], f"{key}.values")
    return pd.Index(values, dtype=given["dtype"], name=decode(given["name"], f"{key}.name"))


def _random_state(value: Any, key: str) -> np.random.RandomState:
    given = parts_of(value, {"key", "pos", "has_gauss", "gauss"}, key)
    words = _exactly(np.array(given["key"], dtype=object), "uint32", given["key"], key)
    if words.shape != (624,) or given["pos"] not in range(625):
        raise RefusedError(key, "is no state of NumPy's RandomState.")
    state = np.random.RandomState()
    state.set_state(("MT19937", words, given["pos"], given["has_gauss"], given["gauss"]))
    return state


def _controls(value: Any, key: str) -> ControlRows:
    given = parts_of(value, {"n_rows", "rows", "column", "values"}, key)
    n_rows, rows = given["n_rows"], given["rows"]
    if type(n_rows) is not int or not isinstance(rows, list):
        raise RefusedError(key, "n_rows is no number of rows, or rows no list of them.")
    if any(type(row) is not int for row in rows) or rows != sorted(set(rows)):
        raise RefusedError(f"{key}.rows", "are no positions of rows in ascending order.")
    if rows and (rows[0] < 0 or rows[-1] >= n_rows):
        raise RefusedError(f"{key}.rows", f"are not within a table of {n_rows} rows.")
    mask = np.zeros(n_rows, dtype=bool)
    mask[rows] = True
    values = tuple(_list(given["values"], f"{key}.values"))
    return ControlRows(mask, decode(given["column"], f"{key}.column"), values)


def _image_columns(value: Any, key: str) -> ImageColumns:
    given = parts_of(value, {"channels", "names", "stacked", "order"}, key)
    channels = tuple(_list(given["channels"], f"{key}.channels"))
    names = tuple(_list(given["names"], f"{key}.names"))
    order = None if given["order"] is None else tuple(_list(given["order"], f"{key}.order"))
    stacked = given["stacked"]
    if type(stacked) is not bool or len(names) != (1 if stacked else len(channels)):
        raise RefusedError(key, f"{len(names)} columns do not hold {len(channels)} channels.")
    return ImageColumns(channels, names, stacked, order)


def _dtype(value: Any, key: str) -> np.dtype:
    if value not in NUMBERS:
        raise RefusedError(key, f"{value!r} is no type of number that this release stores.")
    return np.dtype(value)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise RefusedError(key, f"should be a text, and is {type(value).__name__}.")
    return value


_DECODERS: dict[str, Callable[[Any, str], Any]] = {
    "$float": _float,
    "$dict": _dict,
    "$tuple": lambda value, key: tuple(_list(value, key)),
    "$set": lambda value, key: set(_list(value, key)),
    "$frozenset": lambda value, key: frozenset(_list(value, key)),
    "$slice": lambda value, key: slice(*_list(value, key)),
    "$dtype": _dtype,
    "$path": lambda value, key: Path(_text(value, key)),
    "$numpy": _number,
    "$array": _array,
    "$index": _index,
    "$random_state": _random_state,
    "$controls": _controls,
    "$image_columns": _image_columns,
}
