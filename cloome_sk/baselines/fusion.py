"""Late fusion: several classifiers, each with its own view of a row, decide together."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import Bunch, column_or_1d
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

FLOOR = 1e-6
"""Log-probabilities are taken of no less: one classifier's zero must not silence the others."""


class LateFusionClassifier(ClassifierMixin, _BaseComposition):
    """Average the log-probabilities of classifiers that were fitted separately.

    On small tables this beats classifying the features side by side, where the larger block of
    features wins by its size. Wrap a member in `sklearn.calibration.CalibratedClassifierCV` to
    calibrate it first.

    Parameters
    ----------
    estimators : list of (str, classifier)
        Classifiers with `predict_proba`, by unique names. Each is cloned and fitted on the same
        rows.
    weights : list of float or None, default=None
        Weight of each (>= 0, not all 0). None: equal.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The classes, sorted.
    estimators_ : list of classifiers
        The fitted members.
    named_estimators_ : Bunch
        The same, by name.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from cloome_sk.baselines import LateFusionClassifier
    >>> X, y = np.array([[0.0], [0.2], [0.9], [1.0]]), ["a", "a", "b", "b"]
    >>> fused = LateFusionClassifier([("lr", LogisticRegression()), ("nb", GaussianNB())])
    >>> fused.fit(X, y).predict([[0.1], [0.8]]).tolist()
    ['a', 'b']
    """

    def __init__(
        self, estimators: list[tuple[str, Any]], *, weights: list[float] | None = None
    ) -> None:
        self.estimators = estimators
        self.weights = weights

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, those of the members as ``name__parameter``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include those of the members.

        Returns
        -------
        dict
            Names and values.
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> LateFusionClassifier:
        """Set parameters, those of the members as ``name__parameter``.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        LateFusionClassifier
            Itself.
        """
        self._set_params("estimators", **params)
        return self

    def fit(self, X: Any, y: Any) -> LateFusionClassifier:
        """Fit each member.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            The rows; each member takes what it knows.
        y : array-like, shape (n_samples,)
            The class of each.

        Returns
        -------
        LateFusionClassifier
            Itself.

        Raises
        ------
        ValueError
            Without members, for names that repeat, or weights that do not fit.
        TypeError
            For a member without `predict_proba`.
        """
        if not self.estimators:
            raise ValueError("LateFusionClassifier: estimators is empty.")
        self._validate_names([name for name, _ in self.estimators])
        self._checked_weights()
        for name, estimator in self.estimators:
            if not hasattr(estimator, "predict_proba"):
                raise TypeError(
                    f"LateFusionClassifier: {name!r} ({type(estimator).__name__}) has no "
                    "predict_proba. Wrap it in CalibratedClassifierCV."
                )
        y = column_or_1d(y)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        self.estimators_ = [clone(estimator).fit(X, y) for _, estimator in self.estimators]
        names = [name for name, _ in self.estimators]
        self.named_estimators_ = Bunch(**dict(zip(names, self.estimators_, strict=True)))
        return self

    def _checked_weights(self) -> np.ndarray:
        if self.weights is None:
            return np.full(len(self.estimators), 1.0 / len(self.estimators))
        weights = np.asarray(self.weights, dtype=float)
        if (
            weights.shape != (len(self.estimators),)
            or not (weights >= 0).all()
            or not (np.isfinite(weights).all() and weights.any())
        ):
            raise ValueError(
                f"LateFusionClassifier: weights must be {len(self.estimators)} numbers of at least "
                f"0, one a member and not all 0, got {self.weights!r}."
            )
        return weights / weights.sum()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Give the softmax of the mean log-probability.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            The rows.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes)
            Probabilities.
        """
        check_is_fitted(self)
        logs = [np.log(np.maximum(member.predict_proba(X), FLOOR)) for member in self.estimators_]
        return softmax(np.tensordot(self._checked_weights(), logs, axes=1), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Name the most probable class.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            The rows.

        Returns
        -------
        ndarray, shape (n_samples,)
            Classes.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
