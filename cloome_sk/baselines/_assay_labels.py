"""Label matrices of many assays, dense with gaps or sparse, read into one form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csc_array, issparse

from cloome_sk._tables import shown


@dataclass(frozen=True)
class AssayLabels:
    """What was measured, assay by assay.

    Attributes
    ----------
    n_rows : int
        Rows of the matrix.
    rows : list of ndarray of intp
        Measured rows of each assay, ascending.
    y : list of ndarray of float
        Their labels, 0 or 1.
    names : list of str
        Of the assays.
    """

    n_rows: int
    rows: list[np.ndarray]
    y: list[np.ndarray]
    names: list[str]

    def __len__(self) -> int:
        return len(self.rows)

    def dense(self) -> np.ndarray:
        """As 0, 1 and NaN, shape (n_rows, n_assays)."""
        out = np.full((self.n_rows, len(self)), np.nan)
        for assay, (rows, y) in enumerate(zip(self.rows, self.y, strict=True)):
            out[rows, assay] = y
        return out


def read_labels(Y: Any, purpose: str) -> AssayLabels:
    """Read 0/1/NaN (dense) or -1/0/+1 (sparse, 0 is not measured).

    Parameters
    ----------
    Y : array-like or sparse matrix, shape (n_samples, n_assays)
        The labels.
    purpose : str
        Begins the messages.

    Returns
    -------
    AssayLabels
        The same whatever the form.

    Raises
    ------
    ValueError
        If there are other labels, no column, or not two dimensions.
    """
    if issparse(Y):
        if Y.ndim != 2:
            raise ValueError(f"{purpose}: Y must have a column an assay; its shape is {Y.shape}.")
        columns = csc_array(Y)
        columns.sum_duplicates()
        columns.sort_indices()
        parts = np.split(np.arange(columns.nnz), columns.indptr[1:-1])
        rows: list[np.ndarray] = []
        y: list[np.ndarray] = []
        for part in parts:
            signs = np.asarray(columns.data[part])
            at = columns.indices[part].astype(np.intp)
            measured = signs != 0
            _check(np.isin(signs, (-1, 0, 1)), at, len(rows), signs, "-1, +1, or 0", purpose)
            rows.append(at[measured])
            y.append((signs[measured] > 0).astype(float))
        return AssayLabels(Y.shape[0], rows, y, [f"assay {j}" for j in range(Y.shape[1])])
    frame = pd.DataFrame(Y) if np.ndim(Y) != 1 else pd.DataFrame({"assay 0": np.asarray(Y)})
    names = [str(c) if isinstance(Y, pd.DataFrame) else f"assay {c}" for c in frame.columns]
    if not names:
        raise ValueError(f"{purpose}: Y has no column, so there is no assay.")
    try:
        values = frame.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{purpose}: Y must hold 0, 1 and NaN; {error}.") from error
    measured = ~np.isnan(values)
    rows = [np.flatnonzero(column) for column in measured.T]
    y = [values[at, assay] for assay, at in enumerate(rows)]
    for assay, (at, labels) in enumerate(zip(rows, y, strict=True)):
        good = np.isin(labels, (0.0, 1.0))
        _check(good, at, assay, labels, "0, 1, or NaN where nothing was measured", purpose)
    if len(set(names)) < len(names):
        twice = pd.Index(names)[pd.Index(names).duplicated()].unique()
        raise ValueError(f"{purpose}: two columns of Y have one name: {shown(list(twice))}.")
    return AssayLabels(len(values), rows, y, names)


def _check(
    good: np.ndarray, rows: np.ndarray, assay: int, found: np.ndarray, allowed: str, purpose: str
) -> None:
    if not good.all():
        first = int(np.flatnonzero(~good)[0])
        form = "a sparse Y" if "-1" in allowed else "a dense Y (a sparse one holds -1 and +1)"
        raise ValueError(
            f"{purpose}: row {rows[first]}, column {assay} of Y holds {found[first]!r}; "
            f"{form} holds {allowed}."
        )
