"""Baselines that know no chemistry: the profile itself, and LDA on compound labels."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.linalg import eigh
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from cloome_sk.baselines._pairs_of_means import (
    PhenotypeBaseline,
    directions,
    group_means,
)
from cloome_sk.baselines._structures import any_smiles
from cloome_sk.molecules import molecule_key


class ProfileEmbedder(PhenotypeBaseline):
    """The profile itself as the embedding of a phenotype; molecules have none.

    Parameters
    ----------
    phenotype : transformer or None, default=None
        From rows of a table to profiles; None is a `ProfileFeatures`. Sphered profiles:
        ``ProfileFeatures(sphering=True)``.
    controls : "auto", (column, value or values) or None, default="auto"
        Rows that are not learned from, as in `CloomeEmbedder`.

    Attributes
    ----------
    mean_ : ndarray of float64, shape (n_components,)
        Mean profile of the training rows, which is subtracted.
    n_components_ : int
        Size of a profile.

    Examples
    --------
    >>> from cloome_sk.baselines import ProfileEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> ProfileEmbedder().fit_transform(X).shape == (len(X), 150)
    True
    """

    def __init__(self, *, phenotype: Any = None, controls: Any = "auto") -> None:
        self.phenotype = phenotype
        self.controls = controls

    def _fit_rows(self, X: pd.DataFrame, rows: np.ndarray, profiles: np.ndarray) -> None:
        self.mean_ = profiles.mean(axis=0)
        self.n_components_ = profiles.shape[1]

    def _phenotype_vectors(self, profiles: np.ndarray) -> np.ndarray:
        return profiles - self.mean_


class CompoundLDAEmbedder(PhenotypeBaseline):
    r"""Linear discriminant analysis with the molecules as classes.

    The axes tell the wells of one molecule from those of others: what can be had from knowing
    which wells are replicates, in a second and without any structure. A molecule seen in training
    is embedded as the mean of its wells; one that was not has no embedding (NaN).

    Each molecule counts the same. Between- and within-molecule covariance :math:`B` and :math:`W`
    give :math:`B v = \lambda\,(W + r \bar w I)\, v`, where :math:`\bar w` is the mean of the
    diagonal of :math:`W`.

    Parameters
    ----------
    n_components : int, default=128
        Number of axes (>= 1); fewer where there are fewer molecules or features.
    regularization : float, default=0.1
        The ridge :math:`r` (> 0).
    phenotype : transformer or None, default=None
        From rows of a table to profiles; None is a `ProfileFeatures`.
    controls : "auto", (column, value or values) or None, default="auto"
        Rows that are not learned from, as in `CloomeEmbedder`.

    Attributes
    ----------
    axes_ : ndarray of float64, shape (n_features, n_components)
        The axes, with :math:`v^T (W + r \bar w I) v = 1`.
    n_components_ : int
        Size of the embedding.
    molecules_seen_ : ndarray of object
        Keys of the training molecules.

    Examples
    --------
    >>> from cloome_sk.baselines import CompoundLDAEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> lda = CompoundLDAEmbedder().fit(X)
    >>> lda.embed_phenotypes(X).shape == (len(X), 23)
    True
    >>> bool(np.isnan(lda.embed_molecules(["CCOCCOCC"])).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PhenotypeBaseline._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "regularization": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_components: int = 128,
        *,
        regularization: float = 0.1,
        phenotype: Any = None,
        controls: Any = "auto",
    ) -> None:
        self.n_components = n_components
        self.regularization = regularization
        self.phenotype = phenotype
        self.controls = controls

    def _fit_rows(self, X: pd.DataFrame, rows: np.ndarray, profiles: np.ndarray) -> None:
        codes, smiles = self._see_molecules(X, rows)
        if len(smiles) == len(rows):
            raise ValueError(
                f"CompoundLDAEmbedder: each of {len(rows)} training rows is of another molecule, "
                "so nothing is known about what replicates have in common."
            )
        means = group_means(profiles, codes)
        self.mean_ = means.mean(axis=0)
        residual = (profiles - means[codes]) / np.sqrt(np.bincount(codes))[codes, None]
        within = residual.T @ residual / len(means)
        within.flat[:: len(within) + 1] += self.regularization * max(
            np.trace(within) / len(within), np.finfo(float).tiny
        )
        centred = means - self.mean_
        n_axes = min(self.n_components, len(means) - 1, profiles.shape[1])
        last = profiles.shape[1] - 1
        _, axes = eigh(
            centred.T @ centred / len(means), within, subset_by_index=[last - n_axes + 1, last]
        )
        self.axes_ = axes[:, ::-1]
        self.n_components_ = n_axes
        self._molecule_means = dict(
            zip(molecule_key(smiles), directions(centred @ self.axes_), strict=True)
        )

    def _phenotype_vectors(self, profiles: np.ndarray) -> np.ndarray:
        return (profiles - self.mean_) @ self.axes_

    def embed_molecules(self, molecules: Any) -> np.ndarray:
        """Look molecules up.

        Parameters
        ----------
        molecules : list of str or rdkit.Chem.Mol, or DataFrame
            The structures, or a table with a SMILES column.

        Returns
        -------
        ndarray of float32, shape (n_molecules, n_components)
            Unit vectors; NaN for molecules that training did not see.

        Raises
        ------
        ValueError
            For structures that cannot be read.
        """
        check_is_fitted(self)
        keys = molecule_key(any_smiles(molecules, type(self).__name__))
        unknown = np.full(self.n_components_, np.nan, dtype=np.float32)
        found = [self._molecule_means.get(key, unknown) for key in keys]
        return np.array(found, dtype=np.float32).reshape(len(keys), self.n_components_)
