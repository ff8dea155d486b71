"""One number that makes a softmax of cosines believable, and how believable it is then."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import softmax
from sklearn.metrics import log_loss
from sklearn.utils import check_random_state

from cloome_sk.metrics import brier_score, expected_calibration_error

LOWEST, HIGHEST = 0.01, 1000.0
"""Bounds of a learned inverse temperature: below, all classes are within 2 % of each other; above,
a difference in cosine of 0.01 decides with certainty."""
BEFORE, AFTER = "before", "after"


def fit_inv_tau(scores: Any, codes: Any, weights: Any = None) -> float:
    """Find the inverse temperature of greatest likelihood.

    Parameters
    ----------
    scores : array of float, shape (n_rows, n_classes)
        Cosine with each class, in [−1, 1].
    codes : array of int, shape (n_rows,)
        Column of the true class.
    weights : array of float, shape (n_rows,), optional
        Weight (> 0) of each row; equal by default.

    Returns
    -------
    float
        In [0.01, 1000]; a bound where the likelihood grows beyond it.

    Notes
    -----
    The loss ``−Σ w log softmax(inv_tau · scores)[true class]`` is convex in `inv_tau`: its
    derivative, the expected minus the true score, has one root at most, which is bracketed [1]_.

    References
    ----------
    .. [1] Guo et al., "On calibration of modern neural networks", ICML (2017): temperature scaling.

    Examples
    --------
    >>> from cloome_sk.confidence import fit_inv_tau
    >>> scores = [[0.5, 0.0], [0.5, 0.0], [0.5, 0.0], [0.5, 0.0]]
    >>> round(fit_inv_tau(scores, [0, 0, 0, 1]), 3)  # log(3) / 0.5: right three times of four
    2.197
    """
    scores = np.asarray(scores, dtype=np.float64)
    rows = np.arange(len(scores))
    true = scores[rows, np.asarray(codes)]
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)

    def slope(log_inv_tau: float) -> float:
        expected = (softmax(scores * math.exp(log_inv_tau), axis=1) * scores).sum(axis=1)
        return float(weights @ (expected - true))

    low, high = math.log(LOWEST), math.log(HIGHEST)
    if slope(low) >= 0.0:
        return LOWEST
    if slope(high) <= 0.0:
        return HIGHEST
    return math.exp(brentq(slope, low, high, xtol=1e-10))


def cross_validated(
    scores: np.ndarray,
    codes: np.ndarray,
    groups: np.ndarray,
    weights: np.ndarray,
    inv_tau: float,
    n_folds: int,
    random_state: Any,
) -> pd.DataFrame:
    """Measure probabilities at the given and at a learned temperature, on molecules left out.

    Parameters
    ----------
    scores : ndarray of float, shape (n_rows, n_classes)
        Cosine with each class.
    codes : ndarray of int, shape (n_rows,)
        Column of the true class.
    groups : ndarray of int, shape (n_rows,)
        Code of the molecule, from 0 without gaps.
    weights : ndarray of float, shape (n_rows,)
        Weight of each row.
    inv_tau : float
        The given inverse temperature.
    n_folds : int
        Folds of molecules, at most as many as there are.
    random_state : int, RandomState or None
        Deals the molecules.

    Returns
    -------
    DataFrame
        Rows ``log_loss``, ``ece``, ``brier``; columns ``before`` (given temperature) and ``after``
        (learned on the other folds).
    """
    n_groups = int(groups.max()) + 1
    fold = (check_random_state(random_state).permutation(n_groups) % n_folds)[groups]
    learned = np.empty(len(scores))
    for number in range(n_folds):
        out = fold == number
        learned[out] = fit_inv_tau(scores[~out], codes[~out], weights[~out])
    columns = {}
    for name, inverse in ((BEFORE, np.full(len(scores), inv_tau)), (AFTER, learned)):
        columns[name] = loss_figures(softmax(scores * inverse[:, None], axis=1), codes, weights)
    return pd.DataFrame(columns)


def loss_figures(proba: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Logarithmic loss, expected calibration error and Brier score of weighted rows.

    Parameters
    ----------
    proba : ndarray of float, shape (n_rows, n_classes)
        Probabilities.
    codes : ndarray of int, shape (n_rows,)
        Column of the true class.
    weights : ndarray of float, shape (n_rows,)
        Weight of each row.

    Returns
    -------
    dict of str to float
        ``log_loss`` in nats, ``ece`` in ten bins, ``brier`` summed over classes.
    """
    classes = np.arange(proba.shape[1])
    return {
        "log_loss": float(log_loss(codes, proba, labels=classes, sample_weight=weights)),
        "ece": expected_calibration_error(codes, proba, classes=classes, sample_weight=weights),
        "brier": brier_score(codes, proba, classes=classes, sample_weight=weights),
    }
