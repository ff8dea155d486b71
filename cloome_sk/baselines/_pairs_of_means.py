"""What the cross-modal baselines share: pairs of a molecule and its mean profile."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
    clone,
)
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import check_is_fitted

from cloome_sk._embedding import unit_rows
from cloome_sk.baselines._structures import any_smiles, check_table, table_smiles
from cloome_sk.baselines.molecule_features import MorganFeatures
from cloome_sk.baselines.profile_features import ProfileFeatures
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing.controls import find_controls


class PhenotypeBaseline(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """The phenotype side: unit vectors of rows of a table, learned from its treated rows."""

    phenotype: Any
    controls: Any
    n_components_: int

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "phenotype": [HasMethods(["fit", "transform"]), None],
        "controls": [StrOptions({"auto"}), tuple, None],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: pd.DataFrame, y: Any = None) -> Any:
        """Learn from the treated rows of a table.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            One row a sample, with profile and, where molecules are embedded, a SMILES column.
            Control rows are not learned from.
        y : object, optional
            Ignored.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        ValueError
            For missing columns, values that are not finite, structures that cannot be read, or
            too few rows or molecules.
        """
        name = type(self).__name__
        check_table(X, name)
        self.controls_ = find_controls(X, self.controls)
        rows = np.flatnonzero(~self.controls_.mask)
        if len(rows) < 2:
            raise ValueError(
                f"{name}: {len(rows)} row(s) remain of {len(X)} ({self.controls_}); at least two "
                "are needed."
            )
        base = ProfileFeatures() if self.phenotype is None else clone(self.phenotype)
        self.phenotype_ = base.fit(X.iloc[rows], None)  # a FrozenEstimator requires a y
        self._fit_rows(X, rows, self._profiles(X.iloc[rows]))
        return self

    def _see_molecules(self, X: pd.DataFrame, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Code of the molecule of each row, and the first SMILES of each molecule."""
        smiles = table_smiles(X, type(self).__name__, rows=rows)
        codes, keys = pd.factorize(molecule_key(smiles))
        if len(keys) < 2:
            raise ValueError(
                f"{type(self).__name__}: all {len(rows)} training rows are of one molecule "
                f"({keys[0]}); at least two are needed. Salts and stereoisomers count as one."
            )
        self.molecules_seen_ = np.unique(keys)
        _, first = np.unique(codes, return_index=True)
        return codes, smiles[first]

    def _profiles(self, X: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.phenotype_.transform(X), dtype=np.float64)

    @abstractmethod
    def _fit_rows(self, X: pd.DataFrame, rows: np.ndarray, profiles: np.ndarray) -> None:
        """Learn from the treated rows and set `n_components_`."""

    @abstractmethod
    def _phenotype_vectors(self, profiles: np.ndarray) -> np.ndarray:
        """Vectors of profiles, not yet of unit length."""

    def embed_phenotypes(self, X: pd.DataFrame) -> np.ndarray:
        """Embed phenotypes.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            A table with the phenotype's columns.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_components)
            Unit vectors; NaN where a row has no direction.
        """
        check_is_fitted(self)
        return directions(self._phenotype_vectors(self._profiles(X)))

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Embed phenotypes, as `embed_phenotypes`.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            A table with the phenotype's columns.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_components)
            Unit vectors; NaN where a row has no direction.
        """
        return self.embed_phenotypes(X)

    @property
    def _n_features_out(self) -> int:
        return self.n_components_


class CrossModalBaseline(PhenotypeBaseline):
    """Both sides, learned from one pair a molecule: its features and its mean profile.

    Averaging first gives each molecule the same say, whatever its number of wells.
    """

    molecule: Any

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PhenotypeBaseline._parameter_constraints,
        "molecule": [HasMethods(["fit", "transform"]), None],
    }

    def _fit_rows(self, X: pd.DataFrame, rows: np.ndarray, profiles: np.ndarray) -> None:
        codes, smiles = self._see_molecules(X, rows)
        base = MorganFeatures() if self.molecule is None else clone(self.molecule)
        self.molecule_ = base.fit(list(smiles))
        self._fit_pairs(group_means(profiles, codes), self._molecule_features(smiles))

    def _molecule_features(self, smiles: np.ndarray) -> np.ndarray:
        return np.asarray(self.molecule_.transform(list(smiles)), dtype=np.float64)

    @abstractmethod
    def _fit_pairs(self, profiles: np.ndarray, features: np.ndarray) -> None:
        """Learn from the mean profile and the features of each molecule."""

    @abstractmethod
    def _molecule_vectors(self, features: np.ndarray) -> np.ndarray:
        """Vectors of molecules, not yet of unit length."""

    def embed_molecules(self, molecules: Any) -> np.ndarray:
        """Embed molecules.

        Parameters
        ----------
        molecules : list of str or rdkit.Chem.Mol, or DataFrame
            The structures, or a table with a SMILES column.

        Returns
        -------
        ndarray of float32, shape (n_molecules, n_components)
            Unit vectors; NaN where a molecule has no direction.

        Raises
        ------
        ValueError
            For structures that cannot be read.
        """
        check_is_fitted(self)
        smiles = any_smiles(molecules, type(self).__name__)
        codes, distinct = pd.factorize(smiles)
        return directions(self._vectors_of(np.asarray(distinct, dtype=object)))[codes]

    def _vectors_of(self, smiles: np.ndarray) -> np.ndarray:
        return self._molecule_vectors(self._molecule_features(smiles))


def group_means(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Mean of the rows of each code 0, 1, ..."""
    sums = np.zeros((int(codes.max()) + 1, values.shape[1]))
    np.add.at(sums, codes, values)
    return sums / np.bincount(codes)[:, None]


def directions(vectors: np.ndarray) -> np.ndarray:
    """Rows of length one as float32; a row of zeros or NaN becomes NaN."""
    missing = ~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)
    unit = unit_rows(np.where(missing[:, None], 1.0, vectors)).astype(np.float32)
    unit[missing] = np.nan
    return unit
