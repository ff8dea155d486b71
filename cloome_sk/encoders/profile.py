"""The phenotype side as a profile: CellProfiler measurements or any precomputed features."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from cloome_sk._tables import Columns, metadata_columns, profile_columns, shown
from cloome_sk.encoders.base import Encoder, Inputs, numeric_block

if TYPE_CHECKING:
    from torch import nn

_SCALERS = {"standard": StandardScaler, "robust": RobustScaler}


class ProfileEncoder(Encoder):
    """Encode image-based profiles with a multilayer perceptron.

    A profile is one row of numbers a sample: CellProfiler measurements, or the features of any
    frozen deep network. The scaling is learned from the training rows of `fit` alone. Plate
    effects are not its business: see `cloome_sk.preprocessing.ControlNormalizer`.

    Parameters
    ----------
    columns : str, list of str, int, list of int, slice, mask, callable or None, default=None
        The feature columns, chosen as in `sklearn.compose.ColumnTransformer`. None takes the
        columns named as CellProfiler does (``Cells_``, ``Cytoplasm_``, ``Nuclei_``), and those of
        `cloome_sk.ImageFeatures` (``Feature_``).
    scaling : {"standard", "robust", None}, default="standard"
        Scale each feature to mean 0 and standard deviation 1, or to median 0 and interquartile
        range 1, over the training rows; or not at all.
    clip : float or None, default=10.0
        Scaled values are clipped to this range on both sides (> 0); None does not clip.
    hidden_sizes : sequence of int, default=(512, 512)
        Width of each hidden layer (Linear, BatchNorm, ReLU, dropout); empty for a linear encoder.
    dropout : float, default=0.3
        Share of hidden units dropped in training, in [0, 1).
    input_dropout : float, default=0.1
        Share of features dropped in training, in [0, 1).

    Attributes
    ----------
    column_names_ : list of str or None
        The feature columns, where X was a DataFrame.
    column_positions_ : ndarray of intp
        Their positions in the fitted X.
    center_, scale_ : ndarray of float64, shape (n_columns,)
        What is subtracted and divided by.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.encoders import ProfileEncoder
    >>> X = np.random.default_rng(0).normal(5.0, 2.0, size=(100, 3))
    >>> encoder = ProfileEncoder(columns=[0, 1, 2]).fit(X)
    >>> values = encoder.inputs(X).values
    >>> values.dtype, values.shape, bool(abs(values.mean()) < 1e-6)
    (dtype('float32'), (100, 3), True)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "columns": "no_validation",
        "scaling": [StrOptions(set(_SCALERS)), None],
        "clip": [Interval(Real, 0, None, closed="neither"), None],
        "hidden_sizes": ["array-like"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "input_dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        columns: Columns = None,
        *,
        scaling: str | None = "standard",
        clip: float | None = 10.0,
        hidden_sizes: Sequence[int] = (512, 512),
        dropout: float = 0.3,
        input_dropout: float = 0.1,
    ) -> None:
        self.columns = columns
        self.scaling = scaling
        self.clip = clip
        self.hidden_sizes = hidden_sizes
        self.dropout = dropout
        self.input_dropout = input_dropout

    def _choose_columns(self, X: Any) -> Columns:
        found = profile_columns(X) if isinstance(X, pd.DataFrame) else []
        if not found:
            seen = (
                f"columns seen: {shown(metadata_columns(X))}"
                if isinstance(X, pd.DataFrame)
                else f"X is {type(X).__name__} without column names"
            )
            raise ValueError(
                "ProfileEncoder: no column is named like a CellProfiler measurement (Cells_, "
                f"Cytoplasm_, Nuclei_) or of ImageFeatures (Feature_); {seen}. Name the feature "
                "columns: ProfileEncoder(columns=...)."
            )
        return found

    def _fit_rows(self, X: Any, rows: np.ndarray) -> None:
        check_hidden_sizes(self.hidden_sizes, self._purpose)
        block = numeric_block(X, self.column_positions_, self._purpose)
        self.center_ = np.zeros(block.shape[1])
        self.scale_ = np.ones(block.shape[1])
        if self.scaling is not None:
            scaler = _SCALERS[self.scaling]().fit(block[rows].astype(np.float64))
            self.center_ = scaler.mean_ if self.scaling == "standard" else scaler.center_
            self.scale_ = scaler.scale_

    def inputs(self, X: Any) -> Inputs:
        """Scale and clip the feature columns.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            A table with the fitted columns.

        Returns
        -------
        Inputs
            Values are float32 of shape (n_samples, n_columns).

        Raises
        ------
        ValueError
            For a missing or non-numeric column, or a NaN or infinite value.
        """
        check_is_fitted(self)
        block = numeric_block(X, self._positions_in(X), self._purpose)
        values = block - self.center_.astype(block.dtype)
        values /= self.scale_.astype(block.dtype)
        if self.clip is not None:
            np.clip(values, -self.clip, self.clip, out=values)
        return Inputs(values.astype(np.float32, copy=False), np.arange(len(values)))

    def make_network(self, n_components: int) -> nn.Module:
        """Build the perceptron, with fresh weights.

        Parameters
        ----------
        n_components : int
            Size of the embedding.

        Returns
        -------
        MLP
            Maps float32 (n_samples, n_columns) to (n_samples, n_components).
        """
        from cloome_sk.networks import MLP

        return MLP(
            len(self.column_positions_),
            n_components,
            tuple(self.hidden_sizes),
            dropout=self.dropout,
            input_dropout=self.input_dropout,
        )


def check_hidden_sizes(hidden_sizes: Sequence[int], purpose: str) -> None:
    """Refuse layer widths that are not positive whole numbers."""
    for position, size in enumerate(hidden_sizes):
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise ValueError(
                f"{purpose}: hidden_sizes[{position}] must be a whole number of at least 1, "
                f"got {size!r}."
            )
