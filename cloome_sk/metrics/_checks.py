"""What the metrics accept, and what they say when they are given something else."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def as_matrix(values: Any, name: str) -> np.ndarray:
    """A 2-D array of real numbers, not yet looked at for NaN."""
    array = np.asarray(values)
    if array.ndim != 2:
        raise ValueError(
            f"{name} must be 2-D (one row a sample), got {array.ndim} dimension(s) with shape "
            f"{array.shape}."
        )
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise ValueError(f"{name} is empty: shape {array.shape}.")
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} must hold real numbers, got dtype {array.dtype}; pass only "
            "its numeric columns."
        )
    return array


def check_finite(array: np.ndarray, name: str, *, first_row: int = 0) -> None:
    """Raise for the first NaN or infinite value; `first_row` is where the block starts."""
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if finite.all():
        return
    place = tuple(np.argwhere(~finite)[0])
    column = f", column {place[1]}" if len(place) > 1 else ""
    raise ValueError(
        f"{name} must be finite: row {first_row + place[0]}{column} is {array[place]} "
        f"({int((~finite).sum())} such value(s) seen here). Drop or repair these rows first."
    )


def as_embeddings(values: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A finite 2-D array without zero rows, and the float64 length of each row."""
    array = as_matrix(values, name)
    lengths = np.empty(len(array))
    for rows in chunks(len(array), array.shape[1] * 8):
        check_finite(array[rows], name, first_row=rows.start)
        lengths[rows] = np.linalg.norm(array[rows].astype(np.float64), axis=1)
    if not lengths.all():
        row = int(np.flatnonzero(lengths == 0)[0])
        raise ValueError(
            f"{name}: row {row} is all zeros, so its cosine similarity is undefined "
            f"({int((lengths == 0).sum())} such row(s)). Drop it, or pass similarity= instead."
        )
    return array, lengths


def chunks(n_rows: int, row_bytes: int, limit: int = 2**24) -> list[slice]:
    """Cut rows into slices of at most `limit` bytes (and at least one row)."""
    step = max(1, limit // max(1, row_bytes))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def as_labels(values: ArrayLike, name: str, n_rows: int) -> np.ndarray:
    """A 1-D object array of one label a row, none of them missing."""
    labels = np.asarray(values, dtype=object)
    if labels.ndim != 1 or len(labels) != n_rows:
        raise ValueError(
            f"{name} must hold one label for each of {n_rows} rows, got {labels.shape}."
        )
    missing = np.asarray(pd.isna(labels))
    if missing.any():
        raise ValueError(
            f"{name}: row {int(np.flatnonzero(missing)[0])} has no label ({int(missing.sum())} "
            "missing in all). Drop these rows, or give them labels of their own."
        )
    return labels


def check_ks(ks: Sequence[int] | int) -> tuple[int, ...]:
    """The cut-offs k as distinct positive integers, in the order given."""
    values = (ks,) if isinstance(ks, int | np.integer) else tuple(ks)
    if not values:
        raise ValueError("ks is empty; give at least one cut-off, for example ks=(1, 5, 10).")
    for k in values:
        if isinstance(k, bool | np.bool_) or not isinstance(k, numbers.Integral) or k < 1:
            raise ValueError(f"ks must be positive integers, got {k!r}.")
    if len(set(values)) != len(values):
        raise ValueError(f"ks holds a value more than once: {values}.")
    return tuple(int(k) for k in values)


def check_count(value: Any, name: str, *, minimum: int = 1) -> int:
    """An integer of at least `minimum`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)
    if not whole or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}.")
    return int(value)


def check_fraction(value: Any, name: str) -> float:
    """A number strictly between 0 and 1."""
    if not isinstance(value, float | np.floating) or not 0 < value < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {value!r}.")
    return float(value)
