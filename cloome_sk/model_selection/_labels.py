"""Plates, wells and batches as text, so that 7, 7.0 and "7" are one plate."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, row_name, shown

LISTED = 5
JOINED = " / "
_POSITION = re.compile(r"([A-Za-z]{1,2})0*(\d{1,2})")


@dataclass(frozen=True)
class Labels:
    """The value of each row in one column, or in several together.

    Attributes
    ----------
    table : DataFrame
        Where they stand.
    columns : tuple of hashable
        The columns.
    values : ndarray of object, shape (n_rows,)
        Text; None where a value is missing.
    """

    table: pd.DataFrame
    columns: tuple[Hashable, ...]
    values: np.ndarray

    @property
    def missing(self) -> np.ndarray:
        """Positions of the rows without a value."""
        return np.flatnonzero(pd.isna(self.values))

    def complete(self, purpose: str) -> np.ndarray:
        """The values, if every row has one."""
        if len(self.missing):
            rows = "; ".join(row_name(self.table, int(row)) for row in self.missing[:LISTED])
            more = "; ..." if len(self.missing) > LISTED else ""
            raise ValueError(
                f"{purpose}: column {shown(map(repr, self.columns))} has no value in "
                f"{len(self.missing)} of {len(self.values)} rows: {rows}{more}. Fill it in, or "
                "leave these rows out."
            )
        return self.values


def read_labels(table: pd.DataFrame, columns: str | Sequence[str], *, purpose: str) -> Labels:
    """Read one column, or several joined."""
    names = [columns] if isinstance(columns, str) else columns
    if (
        not isinstance(names, Sequence)
        or not len(names)
        or not all(isinstance(name, str) for name in names)
    ):
        raise TypeError(f"{purpose}: expected the name of a column or several, got {columns!r}.")
    found = tuple(match_column(table, name, purpose=purpose) for name in names)
    parts = [as_text(table[name]) for name in found]
    values = parts[0].copy()
    for part in parts[1:]:
        missing = pd.isna(values) | pd.isna(part)
        values[~missing] = values[~missing] + JOINED + part[~missing]
        values[missing] = None
    return Labels(table, found, values)


def as_text(column: pd.Series) -> np.ndarray:
    """Each value as text, whole numbers without a decimal point; None where missing."""
    codes, distinct = pd.factorize(column)
    texts = np.array([*map(_text, distinct), None], dtype=object)
    return texts[codes]  # a missing value has code -1: the last entry


def _text(value: Any) -> str | None:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    # A blank cell of a spreadsheet is no plate.
    return str(value).strip() or None


def well_positions(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """Wells with one spelling (``a1`` is ``A01``), and whether all are positions on a plate."""
    codes, distinct = pd.factorize(values)
    matches = [_POSITION.fullmatch(text) for text in distinct]
    texts = [
        f"{match[1].upper()}{int(match[2]):02d}" if match else text
        for match, text in zip(matches, distinct, strict=True)
    ]
    return np.array([*texts, None], dtype=object)[codes], all(matches) and len(distinct) > 0
