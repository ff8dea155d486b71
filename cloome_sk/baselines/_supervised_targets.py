"""Labels as users hold them, read for a network: classes, assays, or numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from cloome_sk._tables import row_name, shown

WHO = "SupervisedEmbedder"
LISTED = 5


@dataclass(frozen=True)
class Targets:
    """Labels of the rows of a table.

    Attributes
    ----------
    values : ndarray
        Codes of classes, intp of shape (n_rows,), -1 for none; or float64 of shape
        (n_rows, n_outputs), NaN for none.
    labelled : ndarray of bool, shape (n_rows,)
        Which rows have any label.
    classes : ndarray or None
        What the codes stand for.
    names : ndarray of object or None
        Names of the columns, where they came with names.
    flat : bool
        Whether they came as one column without axes, (n_rows,).
    """

    values: np.ndarray
    labelled: np.ndarray
    classes: np.ndarray | None = None
    names: np.ndarray | None = None
    flat: bool = True

    @property
    def n_outputs(self) -> int:
        """Classes, assays or numbers."""
        return self.values.shape[1] if self.classes is None else len(self.classes)

    def column(self, number: int) -> str:
        """Name a column for a message."""
        return f"column {number}" if self.names is None else repr(self.names[number])


def read_targets(X: Any, y: Any, target: str) -> Targets:
    """Read the labels of the rows of X; a row may have none, or not all."""
    if y is None:
        raise ValueError(
            f"{WHO} requires y to be passed, but the target y is None: the labels that the network "
            "is trained on. A study of cloome_sk.evaluation gives none: there, wrap it in "
            "cloome_sk.evaluation.TrainedOnLabels, which takes them from a column."
        )
    return _classes(X, y) if target == "classes" else _matrix(X, y, target)


def _classes(X: Any, y: Any) -> Targets:
    if issparse(y):
        raise TypeError(f'{WHO}: target="classes" takes one class a row, got a sparse matrix.')
    values = _as_array(y)
    if values.ndim == 2 and values.shape[1] > 1:
        raise ValueError(
            f'{WHO}: target="classes" takes one class a row, and y should be a 1d array; got an '
            f'array of shape {values.shape}. For several columns use target="assays" or '
            '"regression".'
        )
    if values.ndim == 1 and isinstance(y, Iterable) and not isinstance(y, np.ndarray):
        # As objects first, or NumPy turns a missing label among strings into the word "nan".
        y = pd.Series(list(y), dtype=object).to_numpy()
    else:
        y = column_or_1d(values, warn=True)
    check_length(X, len(y))
    labelled = ~pd.isna(y)
    if not labelled.any():
        raise ValueError(f"{WHO}: no row of {len(y)} has a class; all of y is missing.")
    classes, codes = np.unique(_of_one_kind(y[labelled]), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"{WHO} needs at least two classes; y has one class only, {classes.tolist()[0]!r}."
        )
    values = np.full(len(y), -1, dtype=np.intp)
    values[labelled] = codes
    return Targets(values, labelled, classes=classes)


def _of_one_kind(labels: np.ndarray) -> np.ndarray:
    """Labels as an array that can be sorted."""
    if labels.dtype == object:
        kind = pd.api.types.infer_dtype(labels)
        if kind not in ("string", "integer", "floating", "boolean"):
            raise ValueError(
                f"{WHO}: Unknown label type: the classes in y are of mixed or unusual types "
                f"({kind}). Make them all strings, or all whole numbers."
            )
        labels = np.array(labels.tolist())
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(f"{WHO}: Input y contains infinity.")
    with warnings.catch_warnings():
        # Many classes of few rows are the normal case here, not a sign of a regression problem.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        check_classification_targets(labels)
    return labels


def _matrix(X: Any, y: Any, target: str) -> Targets:
    names, flat = None, False
    if issparse(y):
        block = _signs(y, target)
    elif isinstance(y, pd.DataFrame):
        names = np.array(y.columns, dtype=object)
        block = _numbers(y)
    else:
        values = y if isinstance(y, pd.Series) else _as_array(y)
        flat = values.ndim == 1
        block = _numbers(pd.DataFrame(values))
    check_length(X, len(block))
    if not block.shape[1]:
        raise ValueError(f"{WHO}: y has no column.")
    found = Targets(block, ~np.isnan(block).all(axis=1), names=names, flat=flat)
    infinite = np.isinf(block)
    if infinite.any():
        raise ValueError(
            f"{WHO}: Input y contains infinity: {infinite.sum()} value(s), "
            f"{_first(X, found, infinite)}."
        )
    if target == "assays":
        _check_results(X, found)
    if not found.labelled.any():
        raise ValueError(f"{WHO}: no row of {len(block)} has a label; all of y is missing.")
    return found


def _as_array(y: Any) -> np.ndarray:
    try:
        values = np.asarray(y)
    except ValueError as error:
        raise ValueError(f"{WHO}: y cannot be read as an array: {error}") from error
    if values.ndim not in (1, 2):
        raise ValueError(
            f"{WHO}: y must have one row a sample and one column a target, got an array of shape "
            f"{values.shape}."
        )
    return values


def _numbers(table: pd.DataFrame) -> np.ndarray:
    """A table as float64, NaN for what is missing."""
    columns = []
    for place in range(table.shape[1]):
        column = table.iloc[:, place]
        if getattr(column.dtype, "kind", "O") in "cmM":
            raise ValueError(
                f"{WHO}: y, column {column.name!r} is of type {column.dtype}, which is not "
                "supported: real numbers are."
            )
        numbers = pd.to_numeric(column, errors="coerce")
        lost = numbers.isna().to_numpy() & column.notna().to_numpy()
        if lost.any():
            row = int(np.argmax(lost))
            raise ValueError(
                f"{WHO}: y, column {column.name!r}, {row_name(table, row)}: {column.iloc[row]!r} "
                f"is no number ({int(lost.sum())} such value(s)). Names of classes are for "
                'target="classes".'
            )
        columns.append(numbers.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.column_stack(columns) if columns else np.zeros((len(table), 0))


def _signs(y: Any, target: str) -> np.ndarray:
    """Results of a sparse matrix: 1 active, -1 inactive, what is not stored was not measured."""
    if target != "assays":
        raise TypeError(
            f"{WHO}: a sparse y does not tell a zero from a missing number; pass an array or a "
            'DataFrame with NaN for target="regression".'
        )
    signs = y.toarray().astype(np.float64)
    odd = ~np.isin(signs, (-1.0, 0.0, 1.0))
    if odd.any():
        row, column = np.argwhere(odd)[0]
        raise ValueError(
            f"{WHO}: a sparse y holds 1 for active and -1 for inactive; row {row}, column {column} "
            f"is {signs[row, column]:g}."
        )
    return np.where(signs == 0, np.nan, (signs + 1) / 2)


def _check_results(X: Any, targets: Targets) -> None:
    odd = ~np.isnan(targets.values) & (targets.values != 0) & (targets.values != 1)
    if odd.any():
        hint = ""
        if (targets.values == -1).any():
            hint = (
                " If -1 is inactive and 0 not measured, as in sparse label matrices, pass "
                "scipy.sparse.csr_array(y)."
            )
        raise ValueError(
            f'{WHO}: Unknown label type: target="assays" takes 1 for active, 0 for inactive and '
            f"NaN for not measured; {odd.sum()} value(s) are something else, "
            f"{_first(X, targets, odd)}.{hint}"
        )


def _first(X: Any, targets: Targets, bad: np.ndarray) -> str:
    row, column = (int(place) for place in np.argwhere(bad)[0])
    return f"first in {row_name(X, row)}, {targets.column(column)}: {targets.values[row, column]:g}"


def check_length(X: Any, n_labels: int) -> None:
    """Refuse labels of another number of rows than the table."""
    if n_labels != len(X):
        raise ValueError(
            f"{WHO}: y has {n_labels} row(s) of labels for the {len(X)} rows of X (inconsistent "
            "numbers of samples)."
        )


def untold_columns(targets: Targets, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of assays without any result in the rows, and those with results of one kind."""
    results = targets.values[rows]
    active, inactive = (results == 1).any(axis=0), (results == 0).any(axis=0)
    empty = np.flatnonzero(~active & ~inactive)
    return empty, np.flatnonzero(active ^ inactive)


def named_columns(targets: Targets, columns: np.ndarray) -> str:
    """Columns for a message."""
    return shown([targets.column(int(number)) for number in columns], LISTED)
