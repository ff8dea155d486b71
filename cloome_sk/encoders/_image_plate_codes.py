"""The plate of each row, and the numbers that are known of it."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, row_name, shown
from cloome_sk.encoders._image_checks import PURPOSE


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


def of_each_plate(
    X: pd.DataFrame, plate: str, rows: np.ndarray, known: dict[Hashable, np.ndarray]
) -> np.ndarray:
    """Numbers of the plate of each row; an error for a plate that none were learned for."""
    codes, names = plate_codes(X, plate, rows)
    unseen = [name for name in names if name not in known]
    if unseen:
        raise ValueError(
            f"{PURPOSE}: {len(unseen)} plate(s) were not seen in fit: {shown(map(repr, unseen))}. "
            "Add them by fit_plates(X) of the fitted encoder (embedder.phenotype_.fit_plates(X)), "
            "which reads their negative controls; or, for "
            "cross-validation, name the controls of all plates by plate_table=. Known: "
            f"{shown(map(repr, known), 5)}."
        )
    if not len(rows):
        return np.empty((0, *next(iter(known.values())).shape))
    return np.array([known[name] for name in names])[codes]
