"""The form of X that the embedder takes: a table, or an array of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
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


@contextmanager
def named(where: str) -> Iterator[None]:
    """Say of errors which table they are about: rows have the same numbers in both."""
    try:
        yield
    except ValueError as error:
        if type(error) is not ValueError:  # made of other arguments than a text
            error.add_note(f"This is about {where}.")
            raise
        raise ValueError(f"In {where}: {error}") from error


def check_held_out_table(table: Any, like: Any) -> None:
    """Refuse held-out pairs in another form than the training table, or none at all.

    Parameters
    ----------
    table : DataFrame or ndarray
        The held-out table.
    like : DataFrame or ndarray
        The training table.

    Raises
    ------
    ValueError
        If it has no rows, or cannot be read with the columns of the other.
    """
    wanted = "a DataFrame, as X is"
    if not isinstance(like, pd.DataFrame):
        wanted = f"an array of {like.shape[1]} columns, as X is"
    same = isinstance(table, pd.DataFrame) == isinstance(like, pd.DataFrame)
    if not isinstance(like, pd.DataFrame):
        same = same and np.ndim(table) == 2 and table.shape[1] == like.shape[1]
    if not same:
        raise ValueError(
            f"validation= takes {wanted}; got {type(table).__name__} of shape {table.shape}."
        )
    if not len(table):
        raise ValueError(
            "The table of validation= has 0 rows. Give a table with at least two other molecules, "
            "a share of the molecules of X such as validation=0.1, or None."
        )


def _check_rows(table: pd.DataFrame, least: int) -> None:
    if len(table) < least:
        raise ValueError(
            f"The table has {len(table)} row(s), n_samples={len(table)}, while at least {least} "
            f"{'are' if least > 1 else 'is'} needed."
        )
