"""Numbers learned from pixels: mean and standard deviation of each channel, limits of a plate."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, row_name, shown
from cloome_sk.encoders._image_checks import PURPOSE
from cloome_sk.imaging.sites import Sites
from cloome_sk.preprocessing.controls import find_controls

MOST_VALUES = 2**29
"""Pixel values that statistics are taken from; more would take long and change nothing."""
CONTROLS_A_PLATE = 64
"""Control sites that a plate's numbers are learned from."""


def channel_statistics(sites: Sites, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the pixels of each channel, float64 (n_channels,) each.

    Sites are left out evenly where there are more than `MOST_VALUES` values.
    """
    most = max(1, MOST_VALUES // int(np.prod(sites.shape[1:])))
    chosen = evenly(usable, most)
    n_channels = sites.shape[1]
    count, total, squares = 0, np.zeros(n_channels), np.zeros(n_channels)
    for run in np.array_split(chosen, max(1, len(chosen) // 16)):
        block = sites[run]
        pixels = block[0] if isinstance(block, tuple) else block
        count += pixels[:, 0].size
        for channel in range(n_channels):
            first, second = _moments(pixels[:, channel])
            total[channel] += first
            squares[channel] += second
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))


def _moments(pixels: np.ndarray) -> tuple[float, float]:
    """Sum and sum of squares."""
    if pixels.dtype == np.uint8:
        counts = np.bincount(pixels.ravel(), minlength=256)
        levels = np.arange(256, dtype=np.int64)
        return float(counts @ levels), float(counts @ levels**2)
    wide = pixels.astype(np.float64)
    return float(wide.sum()), float(np.square(wide).sum())


def evenly(items: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the items, spread over all of them."""
    if len(items) <= most:
        return items
    return items[np.linspace(0, len(items) - 1, most).round().astype(np.intp)]


def plate_codes(X: pd.DataFrame, plate: str, rows: np.ndarray) -> tuple[np.ndarray, list[Hashable]]:
    """Plates of some rows as numbers, and their names."""
    column = match_column(X, plate, purpose=f"{PURPOSE}(plate={plate!r})")
    labels = X[column].iloc[rows]
    missing = np.flatnonzero(labels.isna().to_numpy(dtype=bool))
    if len(missing):
        raise ValueError(
            f"{PURPOSE}: column {column!r} is missing a plate in {len(missing)} row(s), first "
            f"{row_name(X, int(rows[missing[0]]))}. Fill in the plate, or drop those rows."
        )
    codes, names = pd.factorize(labels)
    return codes, names.tolist()


def control_rows_by_plate(X: pd.DataFrame, plate: str, controls: Any) -> dict[Hashable, np.ndarray]:
    """Rows of the negative controls of each plate of a table; an error where there are none."""
    codes, names = plate_codes(X, plate, np.arange(len(X)))
    found = find_controls(X, controls)
    by_plate = {
        name: evenly(np.flatnonzero(found.mask & (codes == code)), CONTROLS_A_PLATE)
        for code, name in enumerate(names)
    }
    without = [name for name, rows in by_plate.items() if not len(rows)]
    if without:
        raise ValueError(
            f"{PURPOSE}: {len(without)} of {len(names)} plate(s) have no negative control to "
            f"learn from: {shown(without)} ({found}). Name the controls by controls=(column, "
            "value), leave these plates out, or choose a scaling and a normalization other than "
            '"plate".'
        )
    return by_plate


def of_each_plate(
    X: pd.DataFrame, plate: str, rows: np.ndarray, known: dict[Hashable, np.ndarray]
) -> np.ndarray:
    """Numbers of the plate of each row; an error for a plate that none were learned for."""
    codes, names = plate_codes(X, plate, rows)
    unseen = [name for name in names if name not in known]
    if unseen:
        raise ValueError(
            f"{PURPOSE}: {len(unseen)} plate(s) were not seen in fit: {shown(map(repr, unseen))}. "
            "Add them by fit_plates(X), which reads their negative controls; or, for "
            "cross-validation, name the controls of all plates by plate_table=. Known: "
            f"{shown(map(repr, known), 5)}."
        )
    return np.array([known[name] for name in names])[codes]


def usable_sites(sites: Sites) -> np.ndarray:
    """Positions of the sites that were not found unreadable."""
    return np.setdiff1d(np.arange(len(sites)), np.array(sorted(sites.failed), dtype=np.intp))
