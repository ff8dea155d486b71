"""The form of X that the embedder takes: a table, or an array of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from cloome_sk.encoders.base import Encoder


def fit_table(estimator: BaseEstimator, X: Any) -> Any:
    """Check X in `fit`, and let the estimator remember its columns."""
    if isinstance(X, pd.DataFrame):
        _check_rows(X, least=2)
        validate_data(estimator, X, reset=True, skip_check_array=True)
        return X
    return validate_data(
        estimator, X, reset=True, dtype=None, ensure_all_finite=False, ensure_min_samples=2
    )


def full_table(estimator: BaseEstimator, X: Any, encoders: Sequence[Encoder]) -> Any:
    """Check X in `transform`; columns chosen by position need the columns of `fit` in order."""
    if not isinstance(X, pd.DataFrame):
        return validate_data(estimator, X, reset=False, dtype=None, ensure_all_finite=False)
    _check_rows(X, least=1)
    if any(encoder.needs_order for encoder in encoders):
        validate_data(estimator, X, reset=False, skip_check_array=True)
    return X


def part_table(estimator: BaseEstimator, X: Any, encoder: Encoder) -> Any:
    """Check X where one encoder reads it; an array of its columns alone will do."""
    is_matrix = not isinstance(X, pd.DataFrame) and getattr(X, "ndim", 0) == 2
    if is_matrix and X.shape[1] == len(encoder.column_positions_):
        return check_array(X, dtype=None, ensure_all_finite=False)
    return full_table(estimator, X, [encoder])


def check_enough(n_pairs: int, n_rows: int, controls: Any) -> None:
    """Refuse to contrast fewer than two pairs."""
    if n_pairs < 2:
        raise ValueError(
            f"{n_pairs} training pair(s) remain of n_samples={n_rows} ({controls}); a contrast "
            "needs at least two pairs of two molecules."
        )


def _check_rows(table: pd.DataFrame, least: int) -> None:
    if len(table) < least:
        raise ValueError(
            f"The table has {len(table)} row(s), n_samples={len(table)}, while at least {least} "
            f"{'are' if least > 1 else 'is'} needed."
        )
