"""The plate of each row, the reference wells, and how many of them are on each plate."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, metadata_columns, row_name, shown
from cloome_sk.preprocessing.controls import apply_controls, check_controls, find_controls

PURPOSE = "ControlNormalizer"
LISTED = 5
BLOCK = 2048
"""Rows handled at once: a block of a thousand features in float64 stays near the cache."""


Rule = tuple[Hashable, tuple[Any, ...]] | None
"""Column and values by which controls are known; None when every row is the reference."""


def reference_rows(X: Any, controls: Any) -> tuple[np.ndarray, Rule, str]:
    """Which rows are the reference, the rule that told them apart, and a sentence on it."""
    if isinstance(controls, str) and controls == "all":
        everything = f"All {X.shape[0]} rows serve as the reference."
        return np.ones(X.shape[0], dtype=bool), None, everything
    if controls is None:
        raise ValueError(
            f"{PURPOSE} cannot do without a reference: controls must be 'auto', (column, value or "
            "list of values), or 'all' for every row; got None."
        )
    check_controls(controls)
    found = find_controls(X, controls)
    if not found.n:
        raise ValueError(
            f"{PURPOSE}: no negative control found in {X.shape[0]} rows. {_seen(X)}. Name them: "
            "controls=(column, value); or controls='all' takes every row as reference. "
            "Within cross-validation, normalise before splitting."
        )
    return found.mask, found.rule, str(found)


def reference_rows_again(X: pd.DataFrame, rule: Rule) -> np.ndarray:
    """Which rows of another table are the reference; an error when none is."""
    if rule is None:
        return np.ones(len(X), dtype=bool)
    found = apply_controls(X, *rule)
    if not found.n:
        raise ValueError(
            f"{PURPOSE}.fit_plates: no row is a control by the rule of `fit`: column {rule[0]!r} "
            f"is {shown(map(repr, rule[1]))}. {_seen(X)}."
        )
    return found.mask


def refuse_metadata(features: Sequence[Hashable] | None, plate: Hashable, rule: Rule) -> None:
    """The plate and the control column describe a well; they are not measured on it."""
    described = {plate, rule[0] if rule else None} - {None}
    if both := described.intersection(features or ()):
        raise ValueError(
            f"{PURPOSE}: `columns` takes {shown(both)} as a feature, but that column tells plates "
            "or controls apart. Leave it out."
        )


def _seen(X: Any) -> str:
    """What an error message says about the columns there are."""
    if not isinstance(X, pd.DataFrame):
        return f"X is {type(X).__name__} without column names"
    return f"Columns seen: {shown(metadata_columns(X)) or 'only CellProfiler features'}"


def plate_column(X: Any, plate: str | None) -> Hashable:
    """The column that names the plate; None when all rows are one plate."""
    if plate is None:
        return None
    if not isinstance(X, pd.DataFrame):
        raise ValueError(
            f"{PURPOSE}: X is {type(X).__name__} without column names, so no plate can be looked "
            "up. Pass a pandas DataFrame, or set plate=None (all rows are one plate) together "
            "with controls='all' (every row is part of the reference)."
        )
    return match_column(X, plate, purpose=f"{PURPOSE}(plate={plate!r})")


def plate_labels(X: pd.DataFrame, column: Hashable) -> pd.Series:
    """The plate of each row; an error where it is missing."""
    labels = X[column]
    missing = np.flatnonzero(labels.isna().to_numpy(dtype=bool))
    if len(missing):
        rows = "; ".join(row_name(X, int(row)) for row in missing[:LISTED])
        raise ValueError(
            f"{PURPOSE}: column {column!r} is missing a plate in {len(missing)} row(s): {rows}"
            f"{'; ...' if len(missing) > LISTED else ''}. Fill in the plate, or drop those rows."
        )
    return labels


def number_plates(X: Any, plate: Hashable, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Plate number of each control, and all plates, those without controls included."""
    if plate is None:
        return np.zeros(int(mask.sum()), dtype=np.intp), np.array([None], dtype=object)
    codes, plates = pd.factorize(plate_labels(X, plate))
    return codes[mask], np.asarray(plates, dtype=object)


def count_controls(codes: np.ndarray, plates: np.ndarray, min_controls: int) -> np.ndarray:
    """Controls on each plate; an error where there are too few."""
    counts = np.bincount(codes, minlength=len(plates)).astype(np.int64)
    few = np.flatnonzero(counts < min_controls)
    if len(few):
        listed = (
            f"{'all rows' if plates[i] is None else plates[i]} ({counts[i]} controls)" for i in few
        )
        raise ValueError(
            f"{PURPOSE}: {len(few)} of {len(plates)} plate(s) have fewer than "
            f"min_controls={min_controls} controls: {shown(listed)}. Leave these plates out, name "
            "more wells in `controls`, or lower min_controls."
        )
    return counts


def known_plates(X: Any, plate: Hashable, plates: np.ndarray) -> np.ndarray:
    """Position of each row's plate among those fitted; an error for a plate not seen."""
    if plate is None:
        return np.zeros(X.shape[0], dtype=np.intp)
    labels = plate_labels(X, plate)
    codes = pd.Index(plates).get_indexer(pd.Index(labels, dtype=object))
    unseen = labels[codes < 0].unique().tolist()
    if len(unseen):
        raise ValueError(
            f"{PURPOSE}: {len(unseen)} plate(s) were not seen in fit: {shown(map(repr, unseen))}. "
            "Add them with fit_plates(X_controls), which takes their negative controls. "
            f"Known: {shown(map(repr, plates.tolist()), 5)}."
        )
    return codes


def rows_by_plate(codes: np.ndarray) -> Iterator[tuple[int, np.ndarray | slice]]:
    """Each plate's number with its rows, in blocks."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    ends = np.cumsum(counts)
    for plate, (start, end) in enumerate(zip(ends - counts, ends, strict=True)):
        for first in range(start, end, BLOCK):
            rows = order[first : min(first + BLOCK, end)]
            # Tables mostly come plate by plate; a slice then spares gathering the rows one by one.
            together = rows[-1] - rows[0] == len(rows) - 1
            yield plate, slice(rows[0], rows[-1] + 1) if together else rows
