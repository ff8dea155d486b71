"""Classify phenotypes by a few reference rows: no classifier is trained."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from cloome_sk._class_labels import read_labels
from cloome_sk._embedding import (
    as_rows,
    missing_rows,
    open_embedder,
    plain_embeddings,
    shown_rows,
)
from cloome_sk._nearest import row_blocks
from cloome_sk._refit import unchanged_on_error
from cloome_sk._tables import shown
from cloome_sk.confidence.classes import CalibratedClasses
from cloome_sk.confidence.heldout import structures_of

PAPER_INV_TAU = 14.3


class ZeroShotMoAClassifier(CalibratedClasses, ClassifierMixin, BaseEstimator):
    """Name the class of a phenotype by its similarity to reference rows of each class.

    The references are a few phenotypes of each class, as in the CLOOME paper [1]_, or molecules
    known to belong to it, of which no image need ever have been taken. Nothing is trained: the
    score of a class is a cosine in the space of the embedder.

    Parameters
    ----------
    embedder : fitted CloomeEmbedder, FrozenEstimator, Pipeline or None, default=None
        Embeds references and queries; never trained here. Cross-validation clones it, which
        unfits a bare embedder: pass ``FrozenEstimator(embedder)`` there. The last step of a
        `Pipeline` may be the embedder; its earlier steps are applied to tables, not to lists of
        structures. None: rows are embeddings already, as a float array or table.
    reference : {"phenotype", "molecule"}, default="phenotype"
        The modality of the reference rows. Queries are phenotypes always. With ``embedder=None``
        a name only.
    aggregate : {"mean", "max"}, default="mean"
        The score of a class: cosine with the normalised mean of its reference vectors, or the
        best cosine with any one of them.
    inv_tau : float or "auto", default="auto"
        Inverse temperature (> 0) of the probabilities. ``"auto"`` takes `inv_tau_` of the
        embedder, or 14.3, the paper's, where there is none.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The classes, sorted.
    prototypes_ : ndarray of float64, shape (n_prototypes, n_components)
        Unit vectors, in order of the classes: one a class (``"mean"``) or one a reference row.
    prototype_classes_ : ndarray of intp, shape (n_prototypes,)
        The position in `classes_` of each prototype, ascending.
    left_out_ : ndarray of intp
        Positions of all reference rows that stand for no class: controls without a label, and
        rows that could not be embedded, of which the warning of `fit` cuts a long list.
    inv_tau_ : float
        The inverse temperature in use; a learned one after `calibrate`.
    inv_tau_uncalibrated_ : float
        The one that was given.
    calibrated_ : bool
        Whether `calibrate` was called since the last `fit`.
    calibration_ : Calibration or None
        What it learned, with figures before and after; ``print(model.calibration_)``.
    n_features_in_ : int
        Size of the embeddings, with ``embedder=None``.

    See Also
    --------
    cloome_sk.CrossModalRetriever : The closest rows instead of classes.

    Notes
    -----
    The probabilities are a softmax of cosines, at a temperature that was chosen for another task
    (to tell the pairs of a batch apart). They rank classes; they are **not calibrated** until
    `calibrate` has learned a temperature from molecules held out for it. `predict_set` then gives
    sets of classes of a known coverage, `novelty_p_value` says what is unlike all references.

    References
    ----------
    .. [1] Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases
       for queries with chemical structures", Nat Commun 14:7339 (2023).

    Examples
    --------
    >>> from cloome_sk import ZeroShotMoAClassifier
    >>> references = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]
    >>> moa = ZeroShotMoAClassifier().fit(references, ["tubulin", "tubulin", "actin"])
    >>> moa.predict([[2.0, 0.3], [0.2, 0.7]])
    array(['tubulin', 'actin'], dtype='<U7')
    >>> moa.classes_
    array(['actin', 'tubulin'], dtype='<U7')
    >>> moa.predict_proba([[1.0, 0.9]]).round(2)
    array([[0.17, 0.83]])
    >>> moa.top_k([[1.0, 0.9]], k=2)
    array([['tubulin', 'actin']], dtype='<U7')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "embedder": "no_validation",
        "reference": [StrOptions({"phenotype", "molecule"})],
        "aggregate": [StrOptions({"mean", "max"})],
        "inv_tau": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        embedder: Any = None,
        *,
        reference: str = "phenotype",
        aggregate: str = "mean",
        inv_tau: float | str = "auto",
    ) -> None:
        self.embedder = embedder
        self.reference = reference
        self.aggregate = aggregate
        self.inv_tau = inv_tau

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any) -> ZeroShotMoAClassifier:
        """Embed the references of each class.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_references, n_features), or list of structures
            The references: a table with the columns of the `reference` modality; for molecules
            also a list of SMILES or RDKit molecules. With ``embedder=None`` the embeddings.
        y : array-like, shape (n_references,)
            The class of each. A control whose label is missing is left out; controls that have
            one are references like any other row. A control is one by the rule that the embedder
            found in its `fit` (`controls_`): a table without that column has none. By its
            `controls` where it found none.

        Returns
        -------
        ZeroShotMoAClassifier
            Itself.

        Raises
        ------
        NotFittedError
            If the embedder is not fitted.
        ValueError
            If a row that is no control lacks a label, if there are fewer than two classes, if a
            class has no reference that can be embedded, if the vectors of a class cancel out, or
            if an embedding is a zero vector or not finite.

        Warns
        -----
        UserWarning
            If labelled rows could not be embedded; it names the first, `left_out_` holds all.
        """
        with unchanged_on_error(self):
            if self.embedder is None:
                self.embedder_ = None
                Z = plain_embeddings(self, X, reset=True)
                controls = np.zeros(len(Z), dtype=bool)
            else:
                self.embedder_ = open_embedder(self.embedder, self, {"phenotype", self.reference})
                X = as_rows(
                    X, self.reference, f"ZeroShotMoAClassifier, reference={self.reference!r}"
                )
                controls = self.embedder_.control_rows(X)
            labels, labelled = read_labels(X, y, controls)
            if self.embedder_ is not None:
                Z = self.embedder_.embed(X, self.reference)
            embedded = np.ones(len(Z), dtype=bool)
            embedded[missing_rows(Z)] = False
            self.classes_, codes = np.unique(labels, return_inverse=True)
            if len(self.classes_) < 2:
                raise ValueError(
                    "ZeroShotMoAClassifier needs references of at least two classes; got one "
                    f"class, {self.classes_.tolist()[0]!r}."
                )
            codes = codes[embedded[labelled]]
            empty = np.setdiff1d(np.arange(len(self.classes_)), codes)
            if len(empty):
                raise ValueError(
                    "ZeroShotMoAClassifier: none of the reference rows could be embedded of "
                    f"class(es) {shown(map(repr, self.classes_[empty].tolist()))}."
                )
            lost = np.flatnonzero(labelled & ~embedded)
            if len(lost):
                warnings.warn(
                    f"ZeroShotMoAClassifier: {shown_rows(lost)} of the references could not be "
                    "embedded and stand for no class (all of them are in `left_out_`).",
                    stacklevel=3,
                )
            self.left_out_ = np.flatnonzero(~(labelled & embedded))
            order = np.argsort(codes, kind="stable")
            references = Z[labelled & embedded][order].astype(np.float64)
            if self.aggregate == "mean":
                self.prototypes_ = _prototypes(references, codes[order], self.classes_)
                self.prototype_classes_ = np.arange(len(self.classes_))
            else:
                self.prototypes_, self.prototype_classes_ = references, codes[order]
            structures = structures_of(X, self.embedder_)
            self._reference_structures = None if structures is None else structures[labelled]
            self.inv_tau_ = self.inv_tau_uncalibrated_ = self._inv_tau()
            self.calibrated_, self.calibration_ = False, None
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Score the classes.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            Phenotypes: a table with their columns, or with ``embedder=None`` embeddings.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes) or (n_samples,)
            Cosine with each class, in [−1, 1]. With two classes the second minus the first, in
            [−2, 2], as scikit-learn has it.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If a row cannot be embedded.
        """
        scores = self._scores(X, "decision_function")
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        """Name the class of the highest score, the first of equal ones.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            Phenotypes, as for `decision_function`.

        Returns
        -------
        ndarray, shape (n_samples,)
            Entries of `classes_`.
        """
        best = np.argmax(self._scores(X, "predict"), axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Softmax of the scores times `inv_tau_`; believable only after `calibrate`.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            Phenotypes, as for `decision_function`.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes)
            Probabilities, rows sum to 1.
        """
        scores = self._scores(X, "predict_proba")
        return softmax(scores * self.inv_tau_, axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of `predict_proba`, finite where a probability rounds to zero.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            Phenotypes, as for `decision_function`.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes)
            Log-probabilities.
        """
        scores = self._scores(X, "predict_log_proba")
        return log_softmax(scores * self.inv_tau_, axis=1)

    def top_k(self, X: Any, k: int = 5) -> np.ndarray:
        """Name the classes of the highest scores.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            Phenotypes, as for `decision_function`.
        k : int, default=5
            How many, from 1 to the number of classes.

        Returns
        -------
        ndarray, shape (n_samples, k)
            Entries of `classes_`, best first; equal scores in order of `classes_`.

        Raises
        ------
        ValueError
            If `k` is less than 1 or more than the number of classes.
        """
        check_is_fitted(self)
        if isinstance(k, bool) or not isinstance(k, Integral):
            raise TypeError(f"k must be a whole number, got {k!r}.")
        if not 1 <= k <= len(self.classes_):
            raise ValueError(f"k={k}, but there are {len(self.classes_)} classes to choose from.")
        scores = self._scores(X, "top_k")
        return self.classes_[np.argsort(-scores, axis=1, kind="stable")[:, :k]]

    def _scores(self, X: Any, method: str) -> np.ndarray:
        """Cosine of each row with each class, float64."""
        check_is_fitted(self)
        if self.embedder_ is None:
            queries = plain_embeddings(self, X, reset=False)
        else:
            X = as_rows(X, "phenotype", f"ZeroShotMoAClassifier.{method}")
            queries = self.embedder_.embed(X, "phenotype")
            missing = missing_rows(queries)
            if len(missing):
                raise ValueError(
                    f"ZeroShotMoAClassifier.{method}: {shown_rows(missing)} could not be "
                    "embedded, so no class can be named. Leave them out."
                )
        # Equal vectors must score equally, but the last digit of a matrix product depends on the
        # column: so each distinct prototype is one column.
        distinct, column = np.unique(self.prototypes_, axis=0, return_inverse=True)
        starts = np.searchsorted(self.prototype_classes_, np.arange(len(self.classes_)))
        scores = np.empty((len(queries), len(self.classes_)))
        row_bytes = 8 * (queries.shape[1] + len(distinct) + len(column))
        for block in row_blocks(len(queries), row_bytes):
            cosines = queries[block].astype(np.float64) @ distinct.T
            scores[block] = np.maximum.reduceat(cosines[:, column], starts, axis=1)
        return np.clip(scores, -1.0, 1.0)

    def _inv_tau(self) -> float:
        if self.inv_tau != "auto":
            return float(self.inv_tau)
        embedder = None if self.embedder_ is None else self.embedder_.embedder
        return float(getattr(embedder, "inv_tau_", PAPER_INV_TAU))


def _prototypes(references: np.ndarray, codes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Normalised mean of the reference vectors of each class."""
    starts = np.searchsorted(codes, np.arange(len(classes)))
    means = np.add.reduceat(references, starts, axis=0)
    means /= np.diff(np.append(starts, len(codes)))[:, np.newaxis]
    length = np.sqrt(np.einsum("ij,ij->i", means, means))
    flat = np.flatnonzero(length < 1e-12)
    if len(flat):
        name = classes.tolist()[flat[0]]
        raise ValueError(
            f"ZeroShotMoAClassifier: the reference vectors of class {name!r} cancel out, so "
            "their mean has no direction. Use other references, or aggregate='max'."
        )
    return means / length[:, np.newaxis]
