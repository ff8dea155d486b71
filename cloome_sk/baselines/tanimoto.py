"""Similarity of fingerprints, and the classifier that has no other idea."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from cloome_sk.baselines._structures import any_smiles
from cloome_sk.molecules import molecule_key, morgan_fingerprints


def tanimoto(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Tanimoto similarity of binary rows, shape (n_left, n_right); 0 where both are empty."""
    first, second = left.astype(np.float32), right.astype(np.float32)
    # Counts of bits are whole numbers, which float32 holds exactly up to 2**24.
    shared = (first @ second.T).astype(np.float64)
    either = first.sum(axis=1)[:, None] + second.sum(axis=1)[None, :] - shared
    return np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)


class TanimotoNeighborsClassifier(ClassifierMixin, BaseEstimator):
    r"""Give a molecule the classes of the training molecules that look most like it.

    The probability of class :math:`c` is :math:`(\epsilon\,\pi_c + \sum_k s_k y_{kc}) / (\epsilon +
    \sum_k s_k)` over the `n_neighbors` most similar training molecules, with their similarity
    :math:`s_k`, the share :math:`y_{kc}` of their rows in the class, and the share :math:`\pi_c` of
    all training molecules: nothing similar leaves the prior.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of training molecules (>= 1); all, where there are fewer.
    smiles : str, default="smiles"
        The column of structures, in any case and with or without ``Metadata_``.
    radius : int, default=3
        Radius of the Morgan environments, in bonds (>= 0).
    n_bits : int, default=1024
        Length of the fingerprint (>= 1).
    use_chirality : bool, default=True
        Whether stereochemistry enters the fingerprint.
    smoothing : float, default=0.1
        The weight :math:`\epsilon` of the prior (> 0).

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The classes, sorted.
    fingerprints_ : ndarray of uint8, shape (n_molecules, n_bits)
        Of the training molecules (`cloome_sk.molecules.molecule_key`), each in its first form.
    shares_ : ndarray of float64, shape (n_molecules, n_classes)
        The share of the rows of each molecule in each class.
    prior_ : ndarray of float64, shape (n_classes,)
        Their mean.

    Examples
    --------
    >>> from cloome_sk.baselines import TanimotoNeighborsClassifier
    >>> model = TanimotoNeighborsClassifier(n_neighbors=1)
    >>> model.fit(["CCCCO", "c1ccccc1N"], ["alcohol", "aniline"]).predict(["CCCCCO"]).tolist()
    ['alcohol']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "smiles": [str],
        "radius": [Interval(Integral, 0, None, closed="left")],
        "n_bits": [Interval(Integral, 1, None, closed="left")],
        "use_chirality": ["boolean"],
        "smoothing": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        smiles: str = "smiles",
        radius: int = 3,
        n_bits: int = 1024,
        use_chirality: bool = True,
        smoothing: float = 0.1,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.smiles = smiles
        self.radius = radius
        self.n_bits = n_bits
        self.use_chirality = use_chirality
        self.smoothing = smoothing

    def _bits(self, smiles: np.ndarray) -> np.ndarray:
        return morgan_fingerprints(
            smiles, radius=self.radius, n_bits=self.n_bits, use_chirality=self.use_chirality
        )

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> TanimotoNeighborsClassifier:
        """Remember the training molecules and their classes.

        Parameters
        ----------
        X : DataFrame, or list of str or rdkit.Chem.Mol
            A table with a column of SMILES, or the structures.
        y : array-like, shape (n_samples,)
            The class of each row.

        Returns
        -------
        TanimotoNeighborsClassifier
            Itself.
        """
        y = column_or_1d(y)
        check_classification_targets(y)
        smiles = any_smiles(X, type(self).__name__, column=self.smiles)
        check_consistent_length(smiles, y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        molecule, _ = pd.factorize(molecule_key(smiles))
        _, first = np.unique(molecule, return_index=True)
        counts = np.zeros((len(first), len(self.classes_)))
        np.add.at(counts, (molecule, codes), 1.0)
        self.fingerprints_ = self._bits(smiles[first])
        self.shares_ = counts / counts.sum(axis=1, keepdims=True)
        self.prior_ = self.shares_.mean(axis=0)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Weigh the classes of the neighbours.

        Parameters
        ----------
        X : DataFrame, or list of str or rdkit.Chem.Mol
            A table with a column of SMILES, or the structures.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes)
            Probabilities.
        """
        check_is_fitted(self)
        codes, distinct = pd.factorize(any_smiles(X, type(self).__name__, column=self.smiles))
        similarity = tanimoto(self._bits(np.asarray(distinct, dtype=object)), self.fingerprints_)
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : self.n_neighbors]
        weight = np.take_along_axis(similarity, nearest, axis=1)
        votes = np.einsum("ik,ikc->ic", weight, self.shares_[nearest])
        total = weight.sum(axis=1, keepdims=True) + self.smoothing
        return ((votes + self.smoothing * self.prior_) / total)[codes]

    def predict(self, X: Any) -> np.ndarray:
        """Name the most probable class.

        Parameters
        ----------
        X : DataFrame, or list of str or rdkit.Chem.Mol
            A table with a column of SMILES, or the structures.

        Returns
        -------
        ndarray, shape (n_samples,)
            Classes.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
