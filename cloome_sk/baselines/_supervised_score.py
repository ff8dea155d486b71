"""How well a supervised embedder predicts labels; those that are missing do not count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from cloome_sk.baselines._supervised_targets import WHO, check_length, read_targets


def score(embedder: Any, X: Any, y: Any) -> float:
    """Accuracy of classes, mean AUROC of assays, mean coefficient of determination of numbers."""
    target = embedder._target
    predict = embedder.predict_proba if target == "assays" else embedder.predict
    predicted = predict(X)
    if target == "classes":
        return _accuracy(X, y, predicted)
    truth = read_targets(X, y, target).values
    predicted = predicted.reshape(len(predicted), -1)
    if truth.shape[1] != predicted.shape[1]:
        raise ValueError(
            f"{WHO}.score: y has {truth.shape[1]} column(s), and was fitted with "
            f"{predicted.shape[1]}."
        )
    measure = roc_auc_score if target == "assays" else r2_score
    values = []
    for column in range(truth.shape[1]):
        there = ~np.isnan(truth[:, column])
        known, guessed = truth[there, column], predicted[there, column]
        # A column that never changes has neither an AUROC nor a variance to explain.
        if len(np.unique(known)) > 1 and not np.isnan(guessed).any():
            values.append(measure(known, guessed))
    if not values:
        raise ValueError(f"{WHO}.score: no column of y has two different values to tell apart.")
    return float(np.mean(values))


def _accuracy(X: Any, y: Any, predicted: np.ndarray) -> float:
    if y is None or issparse(y):
        raise ValueError(f"{WHO}.score: y must be the class of each row, got {type(y).__name__}.")
    labels = pd.Series(y if isinstance(y, pd.Series) else list(np.ravel(y)), dtype=object)
    check_length(X, len(labels))
    there = labels.notna().to_numpy()
    if not there.any():
        raise ValueError(f"{WHO}.score: no row of {len(labels)} has a class.")
    return float(accuracy_score(np.array(labels[there].tolist()), predicted[there]))
