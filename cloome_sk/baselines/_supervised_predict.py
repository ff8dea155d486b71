"""What the head of a supervised embedder says of new rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, softmax
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from cloome_sk._embedding import missing_rows, shown_rows
from cloome_sk._validation import full_table
from cloome_sk.baselines._supervised_score import score


def _has_probabilities(embedder: Any) -> bool:
    if getattr(embedder, "_target", embedder.target) == "regression":
        raise AttributeError('target="regression" has no probabilities; use predict.')
    return True


class PredictsLabels:
    """`predict`, `predict_proba` and `score`: the head on the embedding as it is."""

    phenotype_: Any
    state_: dict[str, np.ndarray]
    classes_: np.ndarray
    _target: str
    _flat: bool
    _center: Any
    _scale: Any
    _unknown: np.ndarray
    _embedded: Any

    def predict(self, X: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Predict the labels.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            A table with the phenotype's columns.

        Returns
        -------
        ndarray
            Classes: entries of `classes_`, shape (n_samples,). Assays: float64 of 1 where the
            probability is above one half, else 0, NaN for an assay without training results.
            Regression: float64. Both of shape (n_samples, n_outputs), or (n_samples,) where y was.

        Raises
        ------
        ValueError
            If an image is skipped, so that there is nothing to predict from.
        """
        scores = self._scores(X, "predict")
        if self._target == "classes":
            return self.classes_[np.argmax(scores, axis=1)]
        if self._target == "assays":
            scores = np.where(np.isnan(scores), np.nan, scores > 0)
        else:
            scores = scores * self._scale + self._center
        return scores[:, 0] if self._flat else scores

    @available_if(_has_probabilities)
    def predict_proba(self, X: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Give the probability of each class, or of activity in each assay; not calibrated.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            A table with the phenotype's columns.

        Returns
        -------
        ndarray of float64
            Classes: shape (n_samples, n_classes), in the order of `classes_`; rows sum to 1. With
            ``class_weight="balanced"`` they are those of classes that are equally frequent.
            Assays: probability of activity, (n_samples, n_assays), NaN for an assay without
            training results.

        Raises
        ------
        ValueError
            If an image is skipped.
        """
        scores = self._scores(X, "predict_proba")
        return softmax(scores, axis=1) if self._target == "classes" else expit(scores)

    def score(self, X: pd.DataFrame | np.ndarray, y: Any) -> float:
        """Measure how well labels are predicted.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            A table with the phenotype's columns.
        y : array-like
            The labels, as in `fit`. Rows without one do not count.

        Returns
        -------
        float
            Classes: accuracy. Assays: mean AUROC over the assays with results of both classes.
            Regression: mean coefficient of determination over the targets.

        Raises
        ------
        ValueError
            If nothing can be measured.
        """
        return score(self, X, y)

    def _scores(self, X: Any, method: str) -> np.ndarray:
        """What the head gives, float64 (n_samples, n_outputs)."""
        check_is_fitted(self)
        Z = self._embedded(full_table(self, X, [self.phenotype_]), unit=False).astype(np.float64)
        missing = missing_rows(Z)
        if len(missing):
            raise ValueError(
                f"SupervisedEmbedder.{method}: {shown_rows(missing)} could not be read, so nothing "
                "can be predicted. Leave them out."
            )
        scores = Z @ self.state_["head.weight"].T.astype(np.float64) + self.state_["head.bias"]
        scores[:, self._unknown] = np.nan
        return scores
