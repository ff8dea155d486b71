"""Reading a profile table: which columns are features, and their values."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import (
    Columns,
    column_positions,
    metadata_columns,
    profile_columns,
    row_name,
    shown,
)
from cloome_sk.preprocessing._plates import LISTED, PURPOSE


def feature_positions(X: Any, columns: Columns) -> np.ndarray:
    """Positions of the features a user chose, or of those whose names mark them."""
    if columns is None and not isinstance(X, pd.DataFrame):
        return np.arange(X.shape[1])
    if columns is None and not profile_columns(X):
        raise ValueError(
            f"{PURPOSE}: no column is named like a CellProfiler measurement (Cells_, Cytoplasm_, "
            f"Nuclei_) or of ImageFeatures (Feature_). Columns seen: "
            f"{shown(metadata_columns(X)) or 'none'}. Name the feature columns: "
            f"{PURPOSE}(columns=[...])."
        )
    wanted: Any = profile_columns(X) if columns is None else columns
    positions = column_positions(X, wanted, purpose=PURPOSE)
    if not len(positions):
        raise ValueError(f"{PURPOSE}: columns={columns!r} selects no feature.")
    if len(np.unique(positions)) < len(positions):
        raise ValueError(f"{PURPOSE}: columns={columns!r} selects a feature more than once.")
    return positions


def feature_values(X: Any, positions: np.ndarray, plate: Hashable) -> np.ndarray:
    """Features as float32, where the table has nothing finer, or float64; all finite."""
    if isinstance(X, pd.DataFrame):
        chosen = X.iloc[:, positions]
        words = [
            name
            for name, dtype in zip(chosen.columns, chosen.dtypes, strict=True)
            if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_complex_dtype(dtype)
        ]
        if words:
            raise ValueError(
                f"{PURPOSE}: {len(words)} of {len(positions)} feature columns are not real "
                f"numbers: {shown(f'{name} ({chosen[name].dtype})' for name in words)}. "
                "Convert them, or leave them out of `columns`."
            )
        single = all(dtype == np.float32 for dtype in chosen.dtypes)
        values = chosen.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
    else:
        values = X[:, positions]
    # The sum is finite if all values are: one cheap pass, and no mask in the usual case.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(values.sum(dtype=np.float64))
    if suspicious and not (finite := np.isfinite(values)).all():
        raise ValueError(_not_finite(X, values, finite, positions, plate))
    return values


def _not_finite(
    X: Any, values: np.ndarray, finite: np.ndarray, positions: np.ndarray, plate: Hashable
) -> str:
    """Name the wells and features that are NaN or infinite."""
    names = np.asarray(X.columns)[positions] if isinstance(X, pd.DataFrame) else positions
    rows = np.flatnonzero(~finite.all(axis=1))
    listed = []
    for row in rows[:LISTED].tolist():
        bad = np.flatnonzero(~finite[row])
        if len(bad) == len(positions) > 1:
            where = f"all {len(bad)} features"
        else:
            where = shown(
                (f"{'NaN' if np.isnan(values[row, i]) else 'inf'} in {names[i]}" for i in bad), 3
            )
        listed.append(f"{_well_name(X, row, plate)}: {where}")
    return (
        f"{PURPOSE}: {len(rows)} of {len(values)} rows hold NaN or infinity: {'; '.join(listed)}"
        f"{f'; ... (+{len(rows) - LISTED} more rows)' if len(rows) > LISTED else ''}. Drop those "
        "rows, for example X = X[np.isfinite(X[features]).all(axis=1)], or those features."
    )


def _well_name(X: Any, row: int, plate: Hashable) -> str:
    """A row by its position and, where the table tells, by plate and well."""
    text = row_name(X, row)
    if not isinstance(X, pd.DataFrame):
        return text
    wells = [name for name in X.columns if str(name).lower() in ("metadata_well", "well")]
    known = [f"plate {X[plate].iloc[row]}"] if plate is not None and plate in X.columns else []
    if len(wells) == 1:
        known.append(f"well {X[wells[0]].iloc[row]}")
    return f"{text} [{', '.join(known)}]" if known else text


def with_features(X: pd.DataFrame, positions: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """The table with some columns replaced, everything else as it was."""
    source = np.full(X.shape[1], -1, dtype=np.intp)
    source[positions] = np.arange(len(positions))
    pieces = []
    # Neighbouring columns are carried over together: one by one, a wide table takes minutes.
    breaks = np.flatnonzero(np.diff(source < 0) | (np.diff(source) > 1)) + 1
    for run in np.split(np.arange(X.shape[1]), breaks):
        if source[run[0]] < 0:
            pieces.append(X.iloc[:, run])
            continue
        in_order = (np.diff(source[run]) == 1).all()
        part = (
            values[:, source[run[0]] : source[run[-1]] + 1] if in_order else values[:, source[run]]
        )
        pieces.append(pd.DataFrame(part, index=X.index, columns=X.columns[run]))
    out = pd.concat(pieces, axis=1)
    out.attrs = dict(X.attrs)  # which wells a loader dropped, that a screen is simulated
    return out
