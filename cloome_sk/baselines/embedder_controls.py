"""The same embedder with one thing taken away: the right pairs, or the chemistry."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import check_is_fitted

from cloome_sk._tables import match_column, row_name
from cloome_sk.baselines._structures import check_table, table_smiles
from cloome_sk.baselines.molecule_features import RandomMoleculeCodes
from cloome_sk.embedder import CloomeEmbedder
from cloome_sk.encoders import MoleculeEncoder
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing.controls import find_controls

_EMBEDS = HasMethods(["fit", "embed_phenotypes", "embed_molecules"])


class EmbedderControl(TransformerMixin, BaseEstimator):
    """An embedder that another one stands in for after `fit`."""

    embedder: Any
    embedder_: Any

    @property
    def controls(self) -> Any:
        """How the embedder knows control rows."""
        return getattr(self.embedder, "controls", "auto")

    @property
    def molecules_seen_(self) -> Any:
        """Keys of the training molecules."""
        check_is_fitted(self)
        return self.embedder_.molecules_seen_

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Give what `transform` of the embedder gives.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            The table.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_components)
            Unit vectors.
        """
        check_is_fitted(self)
        return self.embedder_.transform(X)

    def embed_phenotypes(self, X: pd.DataFrame) -> np.ndarray:
        """Embed phenotypes.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            A table with the phenotype's columns.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_components)
            Unit vectors.
        """
        check_is_fitted(self)
        return self.embedder_.embed_phenotypes(X)

    def embed_molecules(self, molecules: Any) -> np.ndarray:
        """Embed molecules.

        Parameters
        ----------
        molecules : list of str or rdkit.Chem.Mol, or DataFrame
            The structures, or a table with a SMILES column.

        Returns
        -------
        ndarray of float32, shape (n_molecules, n_components)
            Unit vectors.
        """
        check_is_fitted(self)
        return self.embedder_.embed_molecules(molecules)


class ShuffledPairs(EmbedderControl):
    """Train an embedder on wrong pairs.

    What it still reaches does not come from pairs of phenotype and structure. Negative controls,
    as the embedder knows them, keep their structure.

    Parameters
    ----------
    embedder : CloomeEmbedder or any estimator with its methods
        Cloned and trained.
    level : {"pair", "molecule"}, default="pair"
        "pair": the structures are permuted over training rows, so that replicates fall apart.
        "molecule": whole molecules swap structures; the wells of one stay the wells of one, and
        what is lost is which structure that is.
    within : str or None, default=None
        A column of class labels: structures are permuted among the rows of one class only, which
        leaves everything that the class alone explains.
    smiles : str, default="smiles"
        The column of structures, in any case and with or without ``Metadata_``.
    random_state : int, RandomState or None, default=None
        Seed of the permutation.

    Attributes
    ----------
    embedder_ : estimator
        The embedder trained on the wrong pairs.
    n_moved_ : int
        How many training rows got the structure of another molecule.

    Examples
    --------
    >>> from cloome_sk.baselines import ShuffledPairs, TanimotoKernelEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> shuffled = ShuffledPairs(TanimotoKernelEmbedder(), level="molecule", random_state=0)
    >>> shuffled.fit(X).n_moved_ > 80
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "embedder": [_EMBEDS],
        "level": [StrOptions({"pair", "molecule"})],
        "within": [str, None],
        "smiles": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        embedder: Any,
        *,
        level: str = "pair",
        within: str | None = None,
        smiles: str = "smiles",
        random_state: Any = None,
    ) -> None:
        self.embedder = embedder
        self.level = level
        self.within = within
        self.smiles = smiles
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: pd.DataFrame, y: Any = None) -> ShuffledPairs:
        """Permute the structures of the treated rows, and train.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            The training table.
        y : object, optional
            Ignored.

        Returns
        -------
        ShuffledPairs
            Itself.

        Raises
        ------
        ValueError
            For missing columns, missing classes, or where no structure can change its place.

        Warns
        -----
        UserWarning
            If less than half of the treated rows get the structure of another molecule.
        """
        check_table(X, "ShuffledPairs")
        rows = np.flatnonzero(~find_controls(X, self.controls).mask)
        smiles, keys, source = self._permutation(X, rows)
        self.n_moved_ = int((keys != keys[source]).sum())
        if not self.n_moved_:
            raise ValueError(
                f"ShuffledPairs: no structure changed its place among {len(rows)} treated rows of "
                f"{len(np.unique(keys))} molecule(s)"
                + (f" within {self.within!r}." if self.within else ".")
            )
        if self.n_moved_ < len(rows) / 2:
            warnings.warn(
                f"ShuffledPairs: only {self.n_moved_} of {len(rows)} treated rows got the "
                "structure of another molecule"
                + (f" within {self.within!r}" if self.within else "")
                + ", so most of the right pairs are left: a score like that of the embedder shows "
                "little. Merge classes of few molecules.",
                UserWarning,
                stacklevel=2,
            )
        name = match_column(X, self.smiles, purpose="ShuffledPairs")
        swapped = X.copy()
        column = X[name].to_numpy(dtype=object, copy=True)
        column[rows] = smiles[source]
        swapped[name] = column
        self.embedder_ = clone(self.embedder).fit(swapped)
        return self

    def share_moved(self, X: pd.DataFrame) -> float:
        """Say how much `fit` would permute, without training.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            The training table.

        Returns
        -------
        float
            Share, in [0, 1], of the treated rows that would get the structure of another molecule;
            that of `fit` where `random_state` is an int.
        """
        check_table(X, "ShuffledPairs")
        rows = np.flatnonzero(~find_controls(X, self.controls).mask)
        _, keys, source = self._permutation(X, rows)
        return float((keys != keys[source]).mean())

    def _permutation(
        self, X: pd.DataFrame, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """SMILES and key of each treated row, and the place whose structure it gets."""
        smiles = table_smiles(X, "ShuffledPairs", column=self.smiles, rows=rows)
        keys = molecule_key(smiles)
        generator = check_random_state(self.random_state)
        return (
            smiles,
            keys,
            _permuted(self._classes(X, rows), self._units(X, rows, keys), generator),
        )

    def _classes(self, X: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Code of the class of each treated row; all one class without `within`."""
        if self.within is None:
            return np.zeros(len(rows), dtype=np.intp)
        name = match_column(X, self.within, purpose="ShuffledPairs(within=)")
        codes, _ = pd.factorize(X[name].iloc[rows])
        missing = rows[codes < 0]
        if len(missing):
            raise ValueError(
                f"ShuffledPairs: column {name!r} is missing in {len(missing)} treated row(s), "
                f"first in {row_name(X, missing[0])}: name their class, or drop them."
            )
        return codes

    def _units(self, X: pd.DataFrame, rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Code of what moves as one: a row, or the rows of one molecule."""
        return np.arange(len(rows)) if self.level == "pair" else pd.factorize(keys)[0]


def _permuted(
    classes: np.ndarray, units: np.ndarray, generator: np.random.RandomState
) -> np.ndarray:
    """For each row, the row whose structure it gets; units of one class swap structures."""
    source = np.arange(len(units))
    for code in range(int(classes.max()) + 1):
        rows = np.flatnonzero(classes == code)
        of_unit, names = pd.factorize(units[rows])
        _, first = np.unique(of_unit, return_index=True)
        source[rows] = rows[first[generator.permutation(len(names))]][of_unit]
    return source


def with_random_codes(
    embedder: CloomeEmbedder, *, n_features: int = 1024, random_state: Any = None
) -> CloomeEmbedder:
    """Give a copy of an embedder whose molecules are `RandomMoleculeCodes`.

    Parameters
    ----------
    embedder : CloomeEmbedder
        Phenotype side, networks and training are kept.
    n_features : int, default=1024
        Length of a code.
    random_state : int, RandomState or None, default=None
        Seed of the codes.

    Returns
    -------
    CloomeEmbedder
        Unfitted.

    Raises
    ------
    TypeError
        If `embedder` is no `CloomeEmbedder`.

    Examples
    --------
    >>> from cloome_sk import CloomeEmbedder
    >>> from cloome_sk.baselines import with_random_codes
    >>> with_random_codes(CloomeEmbedder(), random_state=0).molecule.features
    RandomMoleculeCodes(random_state=0)
    """
    if not isinstance(embedder, CloomeEmbedder):
        raise TypeError(f"with_random_codes takes a CloomeEmbedder, got {type(embedder).__name__}.")
    copy = clone(embedder)
    molecule = copy.molecule if copy.molecule is not None else MoleculeEncoder()
    codes = RandomMoleculeCodes(n_features=n_features, random_state=random_state)
    if isinstance(molecule.features, str) and molecule.features == "precomputed":
        # Codes are made from structures; columns of numbers name none.
        molecule = molecule.set_params(columns=None)
    return copy.set_params(molecule=molecule.set_params(features=codes))
