"""Linear and training-free maps between profiles and fingerprints, used like a `CloomeEmbedder`."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.utils._param_validation import Interval, StrOptions

from cloome_sk._nearest import blocks
from cloome_sk.baselines._pairs_of_means import CrossModalBaseline
from cloome_sk.baselines.tanimoto import tanimoto

_ALPHAS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
BLOCK = 1024
"""Molecules whose similarities to all training molecules are held at a time."""


class RidgeEmbedder(CrossModalBaseline):
    """Predict one modality from the other by ridge regression, and compare in the predicted one.

    Parameters
    ----------
    target : {"profile", "fingerprint"}, default="profile"
        What is predicted: the mean profile from the fingerprint, or the fingerprint from the
        profile. The embedding space is that of the target, centred on the training molecules.
    alphas : sequence of float, default=(1, 10, 100, 1e3, 1e4, 1e5)
        Penalties (> 0) to choose from, by leaving one training molecule out.
    phenotype : transformer or None, default=None
        From rows of a table to profiles; None is a `ProfileFeatures`.
    molecule : transformer or None, default=None
        From SMILES to features; None is `MorganFeatures`.
    controls : "auto", (column, value or values) or None, default="auto"
        Rows that are not learned from, as in `CloomeEmbedder`.

    Attributes
    ----------
    ridge_ : RidgeCV
        The regression.
    n_components_ : int
        Size of the embedding.
    molecules_seen_ : ndarray of object
        Keys of the training molecules.

    Examples
    --------
    >>> from cloome_sk.baselines import RidgeEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> ridge = RidgeEmbedder().fit(X)
    >>> ridge.embed_phenotypes(X).shape == (len(X), 150), ridge.embed_molecules(["CCO"]).shape
    (True, (1, 150))
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CrossModalBaseline._parameter_constraints,
        "target": [StrOptions({"profile", "fingerprint"})],
        "alphas": ["array-like"],
    }

    def __init__(
        self,
        target: str = "profile",
        *,
        alphas: Sequence[float] = _ALPHAS,
        phenotype: Any = None,
        molecule: Any = None,
        controls: Any = "auto",
    ) -> None:
        self.target = target
        self.alphas = alphas
        self.phenotype = phenotype
        self.molecule = molecule
        self.controls = controls

    def _fit_pairs(self, profiles: np.ndarray, features: np.ndarray) -> None:
        given, wanted = (features, profiles) if self.target == "profile" else (profiles, features)
        self.given_mean_, self.wanted_mean_ = given.mean(axis=0), wanted.mean(axis=0)
        self.ridge_ = RidgeCV(alphas=self.alphas, fit_intercept=False)
        self.ridge_.fit(given - self.given_mean_, wanted - self.wanted_mean_)
        self.n_components_ = wanted.shape[1]

    def _predicted(self, given: np.ndarray) -> np.ndarray:
        return self.ridge_.predict(given - self.given_mean_).reshape(len(given), -1)

    def _phenotype_vectors(self, profiles: np.ndarray) -> np.ndarray:
        if self.target == "profile":
            return profiles - self.wanted_mean_
        return self._predicted(profiles)

    def _molecule_vectors(self, features: np.ndarray) -> np.ndarray:
        if self.target == "profile":
            return self._predicted(features)
        return features - self.wanted_mean_


class CCAEmbedder(CrossModalBaseline):
    r"""Canonical correlation of profiles and fingerprints, both reduced by PCA.

    Each side is projected on its first `n_pca` principal axes and scaled by
    :math:`(\lambda_j + r \bar\lambda)^{-1/2}`; the singular vectors of the cross-covariance are the
    canonical axes [1]_, and each is weighted by the root of its singular value, so that the inner
    product of two vectors is their canonical covariance. With :math:`r = 0` this is plain CCA of
    the principal components; with large :math:`r` partial least squares.

    Parameters
    ----------
    n_components : int, default=16
        Number of canonical axes (>= 1); fewer where the data have fewer.
    n_pca : int, default=64
        Number of principal axes of each side (>= 1); fewer where the data have fewer.
    regularization : float, default=1.0
        The ridge :math:`r` (>= 0), in units of the mean eigenvalue kept.
    phenotype : transformer or None, default=None
        From rows of a table to profiles; None is a `ProfileFeatures`.
    molecule : transformer or None, default=None
        From SMILES to features; None is `MorganFeatures`.
    controls : "auto", (column, value or values) or None, default="auto"
        Rows that are not learned from, as in `CloomeEmbedder`.

    Attributes
    ----------
    correlations_ : ndarray of float64, shape (n_components,)
        The singular values; the canonical correlations for :math:`r = 0`.
    n_components_ : int
        Size of the embedding.
    molecules_seen_ : ndarray of object
        Keys of the training molecules.

    References
    ----------
    .. [1] Hotelling, "Relations between two sets of variates", Biometrika 28:321 (1936).

    Examples
    --------
    >>> from cloome_sk.baselines import CCAEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> CCAEmbedder(n_components=4).fit(X).embed_molecules(["CCO", "c1ccccc1"]).shape
    (2, 4)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CrossModalBaseline._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_pca": [Interval(Integral, 1, None, closed="left")],
        "regularization": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int = 16,
        *,
        n_pca: int = 64,
        regularization: float = 1.0,
        phenotype: Any = None,
        molecule: Any = None,
        controls: Any = "auto",
    ) -> None:
        self.n_components = n_components
        self.n_pca = n_pca
        self.regularization = regularization
        self.phenotype = phenotype
        self.molecule = molecule
        self.controls = controls

    def _fit_pairs(self, profiles: np.ndarray, features: np.ndarray) -> None:
        self.profile_mean_, profile_axes = self._whitening(profiles, "profiles")
        self.feature_mean_, feature_axes = self._whitening(features, "molecule features")
        left = (profiles - self.profile_mean_) @ profile_axes
        right = (features - self.feature_mean_) @ feature_axes
        U, self.correlations_, Vt = np.linalg.svd(
            left.T @ right / (len(left) - 1), full_matrices=False
        )
        self.correlations_ = self.correlations_[: self.n_components]
        self.n_components_ = len(self.correlations_)
        weight = np.sqrt(self.correlations_)
        self.profile_axes_ = profile_axes @ U[:, : self.n_components_] * weight
        self.feature_axes_ = feature_axes @ Vt[: self.n_components_].T * weight

    def _whitening(self, values: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
        mean = values.mean(axis=0)
        _, singular, Vt = np.linalg.svd(values - mean, full_matrices=False)
        variance = singular**2 / (len(values) - 1)
        n_kept = min(self.n_pca, int((variance > variance.max() * 1e-10).sum()))
        if not n_kept:
            raise ValueError(f"CCAEmbedder: the {what} of all training molecules are the same.")
        variance = variance[:n_kept]
        return mean, Vt[:n_kept].T / np.sqrt(variance + self.regularization * variance.mean())

    def _phenotype_vectors(self, profiles: np.ndarray) -> np.ndarray:
        return (profiles - self.profile_mean_) @ self.profile_axes_

    def _molecule_vectors(self, features: np.ndarray) -> np.ndarray:
        return (features - self.feature_mean_) @ self.feature_axes_


class TanimotoKernelEmbedder(CrossModalBaseline):
    r"""Predict the profile of a molecule as the average of training profiles, by similarity.

    Nothing is trained. The predicted profile of molecule :math:`m` is

    .. math:: \hat p(m) = \frac{\sum_i T(m, m_i)^\gamma\, p_i}{\sum_i T(m, m_i)^\gamma}

    over the training molecules, with their mean profiles :math:`p_i` and the Tanimoto similarity
    :math:`T` of binary fingerprints. Predictions are centred at the mean prediction for the
    training molecules, each predicted without itself, and profiles at the mean :math:`p_i`: what
    all predictions share says nothing about any molecule.

    Parameters
    ----------
    power : float, default=2.0
        The exponent :math:`\gamma` (> 0). The larger, the more the closest molecules count.
    phenotype : transformer or None, default=None
        From rows of a table to profiles; None is a `ProfileFeatures`.
    molecule : transformer or None, default=None
        From SMILES to binary features; None is `MorganFeatures`.
    controls : "auto", (column, value or values) or None, default="auto"
        Rows that are not learned from, as in `CloomeEmbedder`.

    Attributes
    ----------
    profiles_ : ndarray of float64, shape (n_molecules, n_components)
        Mean profile of each training molecule, centred.
    features_ : ndarray of float64, shape (n_molecules, n_bits)
        Their fingerprints.
    n_components_ : int
        Size of the embedding: that of a profile.
    molecules_seen_ : ndarray of object
        Keys of the training molecules.

    Notes
    -----
    `fit` compares all pairs of training molecules, so its time grows with their square; its memory
    does not: similarities are held for 1,024 molecules at a time (about 1 GB with 30,000 training
    molecules).

    Examples
    --------
    >>> from cloome_sk.baselines import TanimotoKernelEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> TanimotoKernelEmbedder().fit(X).embed_molecules(["CCO"]).shape
    (1, 150)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CrossModalBaseline._parameter_constraints,
        "power": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        power: float = 2.0,
        *,
        phenotype: Any = None,
        molecule: Any = None,
        controls: Any = "auto",
    ) -> None:
        self.power = power
        self.phenotype = phenotype
        self.molecule = molecule
        self.controls = controls

    def _fit_pairs(self, profiles: np.ndarray, features: np.ndarray) -> None:
        if not np.isin(features, (0, 1)).all():
            raise ValueError(
                "TanimotoKernelEmbedder: the molecule features are not binary, and the Tanimoto "
                "similarity is one of bits. Use fingerprints of 0 and 1."
            )
        self.mean_ = profiles.mean(axis=0)
        self.profiles_, self.features_ = profiles - self.mean_, features
        self.n_components_ = profiles.shape[1]
        total = np.zeros(self.n_components_)
        for block in blocks(len(features), BLOCK):
            weight = tanimoto(features[block], features) ** self.power
            weight[np.arange(len(weight)), np.arange(block.start, block.stop)] = 0.0
            total += self._average(weight).sum(axis=0)
        self.prediction_mean_ = total / len(features)

    def _average(self, weight: np.ndarray) -> np.ndarray:
        total = weight.sum(axis=1, keepdims=True)
        # Without any shared bit all training molecules are equally far: their mean, which is 0.
        sums = weight @ self.profiles_
        return np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)

    def _phenotype_vectors(self, profiles: np.ndarray) -> np.ndarray:
        return profiles - self.mean_

    def _molecule_vectors(self, features: np.ndarray) -> np.ndarray:
        out = np.empty((len(features), self.n_components_))
        for block in blocks(len(features), BLOCK):
            out[block] = self._average(tanimoto(features[block], self.features_) ** self.power)
        return out - self.prediction_mean_
