"""What every encoder shares: remembering its columns, and one form of network input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from cloome_sk._tables import Columns, by_name, column_positions, named_positions, row_name, shown

if TYPE_CHECKING:
    from torch import nn

    from cloome_sk.preprocessing.controls import ControlRows

LISTED = 5


@dataclass(frozen=True)
class Inputs:
    """Network inputs, each distinct one once.

    Attributes
    ----------
    values : ndarray, shape (n_distinct, ...), or an object indexed like one
        What the network takes. An object may read what it gives when it is asked for it, has a
        `shape`, a `dtype` and a dict `failed` of what it could not give, and may give tuples.
    index : ndarray of intp, shape (n_samples,)
        For each sample the row of `values`, or -1 where it has no usable input.
    report : callable, optional
        Warns of samples that turned out to have no usable input; called after `values` were read.
    """

    values: Any
    index: np.ndarray
    report: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: np.ndarray) -> Inputs:
        """Give the inputs of some samples."""
        return Inputs(self.values, self.index[rows], self.report)

    def expand(self, distinct: np.ndarray) -> np.ndarray:
        """Give each sample its row of what was computed for the distinct values; NaN for none."""
        if len(self.index) == len(distinct) and (self.index == np.arange(len(distinct))).all():
            return distinct
        expanded = np.full((len(self.index), *distinct.shape[1:]), np.nan, dtype=distinct.dtype)
        usable = self.index >= 0
        expanded[usable] = distinct[self.index[usable]]
        return expanded


class Encoder(BaseEstimator, ABC):
    """Base of the encoders: `fit` learns from rows, `inputs` prepares, `make_network` builds."""

    custom = False
    """Whether the network is not of this package, and must be built as its authors would."""

    pools = False
    """Whether several rows share one input, so that training takes it once."""

    learns = True
    """Whether, with these parameters, `fit` learns anything but where the columns are."""

    columns: Columns
    column_names_: list[Any] | None
    column_positions_: np.ndarray

    @property
    def _purpose(self) -> str:
        return type(self).__name__

    @abstractmethod
    def _choose_columns(self, X: Any) -> Columns:
        """Answer `columns=None`: each encoder knows what to look for."""

    def fit(self, X: Any, rows: np.ndarray | None = None) -> Encoder:
        """Learn columns, and whatever is learned from data, from the training rows.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            The table.
        rows : ndarray of intp, optional
            Positions of the training rows; all by default.

        Returns
        -------
        Encoder
            Itself.
        """
        self._validate_params()
        columns = self._choose_columns(X) if self.columns is None else self.columns
        self.column_positions_ = column_positions(X, columns, purpose=self._purpose)
        if not len(self.column_positions_):
            raise ValueError(
                f"{self._purpose}: columns={self.columns!r} selects nothing from a table of "
                f"{X.shape[1]} feature(s)."
            )
        self.column_names_ = (
            [X.columns[position] for position in self.column_positions_]
            if isinstance(X, pd.DataFrame)
            else None
        )
        self._fit_rows(X, np.arange(X.shape[0]) if rows is None else rows)
        return self

    @abstractmethod
    def _fit_rows(self, X: Any, rows: np.ndarray) -> None:
        """Check parameters, and learn from the training rows."""

    def fit_inputs(
        self,
        X: Any,
        rows: np.ndarray,
        verbose: int = 0,
        controls: ControlRows | None = None,
    ) -> Inputs:
        """Fit, and give the inputs of the training rows.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            The table.
        rows : ndarray of intp
            Positions of the training rows.
        verbose : int, default=0
            Above 0: show a progress bar where this takes long.
        controls : ControlRows, optional
            The negative controls of the table.

        Returns
        -------
        Inputs
            One entry a training row.
        """
        return self.fit(X, rows).read_inputs(X, rows, verbose)

    def read_inputs(
        self, X: Any, rows: np.ndarray, verbose: int = 0, lost: str = "left out of training"
    ) -> Inputs:
        """Give the inputs of some rows, to be used again and again, without learning anything.

        Unlike those of `inputs`, samples without a usable input are known at once, and reported.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            A table with the fitted columns.
        rows : ndarray of intp
            Positions of the rows.
        verbose : int, default=0
            Above 0: show a progress bar where this takes long.
        lost : str, default="left out of training"
            What a warning says of rows that cannot be read.

        Returns
        -------
        Inputs
            One entry a row of `rows`; -1 in its index where nothing could be read.
        """
        return self.inputs(X).take(rows)

    @property
    def needs_order(self) -> bool:
        """Whether columns were chosen by position, so that their order must not change."""
        return not by_name(self.columns)

    def _positions_in(self, X: Any) -> np.ndarray:
        """Positions of the fitted columns in a table, a full array, or an array of them alone."""
        if isinstance(X, pd.DataFrame) and self.column_names_ is not None:
            return named_positions(X, self.column_names_, purpose=self._purpose)
        if X.shape[1] == len(self.column_positions_):
            return np.arange(X.shape[1])
        return self.column_positions_

    @abstractmethod
    def inputs(self, X: Any) -> Inputs:
        """Turn the columns of a table into network inputs.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            A table with the fitted columns.

        Returns
        -------
        Inputs
            Values and the row of each sample in them.
        """

    @abstractmethod
    def make_network(self, n_components: int) -> nn.Module:
        """Build the network, with fresh weights.

        Parameters
        ----------
        n_components : int
            Size of the embedding.

        Returns
        -------
        torch.nn.Module
            Maps a batch of input values to (n_samples, n_components).
        """

    def ready(self, X: Any = None) -> Encoder:
        """Become fitted where nothing has to be learned: for weights that are there already.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features), optional
            A table to find the columns in; without one they are found in each table anew.

        Returns
        -------
        Encoder
            Itself.

        Raises
        ------
        ValueError
            If the parameters ask for something that only `fit` can learn.
        """
        raise ValueError(
            f"{self._purpose} learns from the table it is fitted on, and cannot do without: call "
            "fit with a table."
        )

    def load_weights(self, network: nn.Module) -> None:
        """Put the weights of a file into a fresh network, where the parameters name one.

        Parameters
        ----------
        network : torch.nn.Module
            From `make_network`.
        """

    def pretrained_part(self, network: nn.Module) -> nn.Module:
        """Give the part of the network whose weights files name.

        Parameters
        ----------
        network : torch.nn.Module
            From `make_network`.

        Returns
        -------
        torch.nn.Module
            The network itself, or the part inside of what prepares its input or pools its output.
        """
        return network


def numeric_block(X: Any, positions: np.ndarray, purpose: str) -> np.ndarray:
    """Columns of a table as finite floats that fit float32, shape (n_samples, len(positions)).

    float32 where all columns are; else float64, which still tells 100,000,001 from 100,000,000.
    """
    if isinstance(X, pd.DataFrame):
        chosen = X.iloc[:, positions]
        _refuse_words(chosen, purpose)
        single = all(bool(dtype == np.float32) for dtype in chosen.dtypes)
        block = chosen.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
    else:
        values = np.asarray(X)[:, positions]
        single = bool(values.dtype == np.float32)
        block = values.astype(np.float32 if single else np.float64, copy=False)
    if not _usable(block).all():
        raise ValueError(_not_finite_message(X, block, positions, purpose))
    return block


def _usable(block: np.ndarray) -> np.ndarray:
    if block.dtype == np.float32:
        return np.isfinite(block)
    return np.abs(block) <= np.finfo(np.float32).max  # which no NaN is


def _refuse_words(chosen: pd.DataFrame, purpose: str) -> None:
    """Name the columns, or in columns of mixed type the cells, that are no real numbers."""
    odd = [
        place
        for place, dtype in enumerate(chosen.dtypes)
        if not pd.api.types.is_object_dtype(dtype)
        and (not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_complex_dtype(dtype))
    ]
    if odd:
        first = chosen.iloc[:, odd[0]]
        example = f", such as {str(first.iloc[0])!r}" if len(first) else ""
        raise ValueError(
            f"{purpose}: {len(odd)} of {chosen.shape[1]} columns are not numeric: "
            f"{shown(chosen.columns[odd])} (the first is {first.dtype}{example}). Leave them out "
            "of `columns`, or turn them into real numbers."
        )
    for name, column in chosen.items():
        if pd.api.types.is_object_dtype(column.dtype):
            lost = (
                pd.to_numeric(column, errors="coerce").isna().to_numpy() & column.notna().to_numpy()
            )
            if lost.any():
                row = int(np.argmax(lost))
                raise ValueError(
                    f"{purpose}: {row_name(chosen, row)}, column {name!r}: {column.iloc[row]!r} is "
                    f"no number ({int(lost.sum())} such value(s) in this column)."
                )


def _not_finite_message(X: Any, block: np.ndarray, positions: np.ndarray, purpose: str) -> str:
    bad = ~_usable(block)
    rows, columns = np.nonzero(bad)
    names = X.columns[positions] if isinstance(X, pd.DataFrame) else positions
    n_rows = int(bad.any(axis=1).sum())
    listed = "; ".join(
        f"{row_name(X, int(row))}, column {names[int(column)]!r}: "
        f"{'NaN' if np.isnan(block[row, column]) else 'inf, or too large for float32'}"
        for row, column in list(zip(rows, columns, strict=True))[:LISTED]
    )
    return (
        f"{purpose}: Input contains NaN or infinity: {len(rows)} value(s) in {n_rows} row(s), "
        f"{listed}{'; ...' if len(rows) > LISTED else ''}. "
        "Drop those rows or fill the values before."
    )
