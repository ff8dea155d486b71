"""Profiles as the features of a baseline: scaled, clipped, and sphered by choice."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from cloome_sk._tables import (
    Columns,
    column_positions,
    metadata_columns,
    profile_columns,
    shown,
)
from cloome_sk.baselines._structures import check_table
from cloome_sk.encoders.base import numeric_block
from cloome_sk.preprocessing._statistics import sphering_matrix


class ProfileFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Take the profile of each row: scaled and clipped over the training rows, sphered by choice.

    What an encoder has to beat. Plate effects are not its business: give it a table that
    `cloome_sk.preprocessing.ControlNormalizer` has been through for the control-normalised
    baseline, and the table as delivered for the raw one.

    Parameters
    ----------
    columns : str, list of str, int, list of int, slice, mask, callable or None, default=None
        The feature columns. None takes the columns named as CellProfiler does (``Cells_``,
        ``Cytoplasm_``, ``Nuclei_``), and those of `cloome_sk.ImageFeatures` (``Feature_``).
    clip : float or None, default=10.0
        Standardised values are clipped to this range on both sides (> 0); None does not clip.
    sphering : bool, default=False
        Whether to whiten (ZCA) by the covariance of the training rows.
    regularization : float, default=1.0
        Ridge of the sphering (>= 0), in units of the mean eigenvalue.

    Attributes
    ----------
    column_names_ : list of str
        The feature columns.
    scaler_ : StandardScaler
        Mean and standard deviation of the training rows.
    sphering_mean_, sphering_matrix_ : ndarray of float64
        Of shape (n_columns,) and (n_columns, n_columns); with ``sphering=True`` only.

    Examples
    --------
    >>> from cloome_sk.baselines import ProfileFeatures
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> ProfileFeatures(sphering=True).fit_transform(X).shape == (len(X), 150)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "columns": "no_validation",
        "clip": [Interval(Real, 0, None, closed="neither"), None],
        "sphering": ["boolean"],
        "regularization": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        columns: Columns = None,
        *,
        clip: float | None = 10.0,
        sphering: bool = False,
        regularization: float = 1.0,
    ) -> None:
        self.columns = columns
        self.clip = clip
        self.sphering = sphering
        self.regularization = regularization

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: pd.DataFrame, y: Any = None) -> ProfileFeatures:
        """Learn the scaling, and the sphering, from the rows of a table.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            The training rows.
        y : object, optional
            Ignored.

        Returns
        -------
        ProfileFeatures
            Itself.

        Raises
        ------
        TypeError
            If X is no DataFrame.
        ValueError
            For missing or non-numeric columns, NaN or infinite values; the message names them.
        """
        check_table(X, "ProfileFeatures")
        positions = column_positions(X, self._chosen(X), purpose="ProfileFeatures")
        if not len(positions):
            raise ValueError(f"ProfileFeatures: columns={self.columns!r} selects nothing.")
        self.column_names_ = [X.columns[position] for position in positions]
        block = numeric_block(X, positions, "ProfileFeatures").astype(np.float64)
        self.scaler_ = StandardScaler().fit(block)
        if self.sphering:
            self.sphering_mean_, self.sphering_matrix_ = sphering_matrix(
                self._scaled(block), self.regularization
            )
        return self

    def _chosen(self, X: pd.DataFrame) -> Columns:
        if self.columns is not None:
            return self.columns
        found = profile_columns(X)
        if not found:
            raise ValueError(
                "ProfileFeatures: no column is named like a CellProfiler measurement (Cells_, "
                "Cytoplasm_, Nuclei_) or of ImageFeatures (Feature_); columns seen: "
                f"{shown(metadata_columns(X))}. Name the feature columns: "
                "ProfileFeatures(columns=...). Of a table of images, cloome_sk.ImageFeatures and "
                "cloome_sk.baselines.IntensityProfiles make some."
            )
        return found

    def _scaled(self, block: np.ndarray) -> np.ndarray:
        values = self.scaler_.transform(block)
        return values if self.clip is None else np.clip(values, -self.clip, self.clip)

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Scale, clip and sphere profiles.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            A table with the fitted columns.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_features)
            The features.
        """
        check_is_fitted(self)
        check_table(X, "ProfileFeatures")
        positions = column_positions(X, self.column_names_, purpose="ProfileFeatures")
        values = self._scaled(numeric_block(X, positions, "ProfileFeatures").astype(np.float64))
        if self.sphering:
            values = (values - self.sphering_mean_) @ self.sphering_matrix_
        return values.astype(np.float32)

    @property
    def _n_features_out(self) -> int:
        return len(self.column_names_)
