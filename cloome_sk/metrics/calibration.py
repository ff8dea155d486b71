"""Whether predicted probabilities can be taken at their word."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cloome_sk.metrics._checks import check_count, check_finite
from cloome_sk.metrics._intervals import clopper_pearson

Strategy = Literal["uniform", "quantile"]


def reliability_curve(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    classes: Any = None,
    n_bins: int = 10,
    strategy: Strategy = "uniform",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Confidence against accuracy, in bins of confidence.

    Parameters
    ----------
    y_true : array of shape (n_samples,)
        True labels; with 1-D `y_proba`, boolean or 0/1.
    y_proba : array of shape (n_samples, n_classes) or (n_samples,)
        Probabilities of all classes, of which the largest counts as the prediction; or the
        probability of the positive class, which is then calibrated itself.
    classes : array of shape (n_classes,), optional
        The class of each column, as in ``classes_``. None: the sorted labels of `y_true`, where
        there are as many as columns.
    n_bins : int, default=10
        Number of bins.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width on [0, 1], or with about equally many samples each.
    confidence : float, default=0.95
        Coverage of the Clopper-Pearson interval of each accuracy.

    Returns
    -------
    DataFrame, one row a bin that holds samples
        ``lower`` and ``upper`` edge (a bin holds its upper edge, the first also its lower),
        ``n_samples``, mean ``confidence``, ``accuracy`` and its bounds ``accuracy_low`` and
        ``accuracy_high``. Where classes tie for the largest probability, the sample is right with
        the probability of a random choice among them.

    Raises
    ------
    ValueError
        If shapes do not fit, probabilities are not finite, outside [0, 1] or do not sum to 1, or a
        true label is no class.

    Examples
    --------
    >>> from cloome_sk.metrics import reliability_curve
    >>> curve = reliability_curve([1, 1, 0, 0], [0.9, 0.8, 0.7, 0.2], n_bins=2)
    >>> curve[["lower", "upper", "n_samples", "confidence", "accuracy"]]
       lower  upper  n_samples  confidence  accuracy
    0    0.0    0.5          1         0.2  0.000000
    1    0.5    1.0          3         0.8  0.666667
    """
    n_bins = _check_bins(n_bins, strategy)
    sure, right = _confidence_and_correctness(y_true, y_proba, classes)
    edges = _edges(sure, n_bins, strategy)
    bins = _bins(sure, edges)
    n_samples = np.bincount(bins, minlength=len(edges) - 1)
    held = np.flatnonzero(n_samples)
    hits = np.bincount(bins, weights=right, minlength=len(edges) - 1)[held]
    low, high = clopper_pearson(hits, n_samples[held], confidence=confidence)
    return pd.DataFrame(
        {
            "lower": edges[held],
            "upper": edges[held + 1],
            "n_samples": n_samples[held],
            "confidence": np.bincount(bins, weights=sure)[held] / n_samples[held],
            "accuracy": hits / n_samples[held],
            "accuracy_low": low,
            "accuracy_high": high,
        }
    )


def expected_calibration_error(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    classes: Any = None,
    n_bins: int = 10,
    strategy: Strategy = "uniform",
    sample_weight: Any = None,
) -> float:
    """Mean distance of confidence and accuracy over the bins of `reliability_curve`.

    Parameters
    ----------
    y_true : array of shape (n_samples,)
        True labels; with 1-D `y_proba`, boolean or 0/1.
    y_proba : array of shape (n_samples, n_classes) or (n_samples,)
        Probabilities of all classes, or of the positive one.
    classes : array of shape (n_classes,), optional
        The class of each column. None: the sorted labels of `y_true`.
    n_bins : int, default=10
        Number of bins. The error grows with it where bins hold few samples.
    strategy : {"uniform", "quantile"}, default="uniform"
        How bins are cut.
    sample_weight : array of shape (n_samples,), optional
        Weights (>= 0), of accuracies, confidences and bins, such as 1/k for each of the k wells of
        a molecule. They do not move the edges of bins.

    Returns
    -------
    float in [0, 1]
        ``Σ_b n_b / n · |accuracy_b − confidence_b|``; 0 is best. Chance alone keeps it above 0,
        the more so the fewer independent samples there are.

    Raises
    ------
    ValueError
        As `reliability_curve`; or if weights are negative, not finite, all zero or too few.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML (2017).

    Examples
    --------
    >>> from cloome_sk.metrics import expected_calibration_error
    >>> round(expected_calibration_error([1, 1, 0, 0], [0.9, 0.8, 0.7, 0.2], n_bins=2), 4)
    0.15
    """
    n_bins = _check_bins(n_bins, strategy)
    sure, right = _confidence_and_correctness(y_true, y_proba, classes)
    weights = _weights(sample_weight, len(sure))
    bins = _bins(sure, _edges(sure, n_bins, strategy))
    # The gap of a bin times its weight is the difference of two sums.
    gaps = np.bincount(bins, weights=weights * (right - sure))
    return float(np.abs(gaps).sum() / weights.sum())


def brier_score(
    y_true: ArrayLike, y_proba: ArrayLike, *, classes: Any = None, sample_weight: Any = None
) -> float:
    """Mean squared distance of the probabilities from the truth.

    Parameters
    ----------
    y_true : array of shape (n_samples,)
        True labels; with 1-D `y_proba`, boolean or 0/1.
    y_proba : array of shape (n_samples, n_classes) or (n_samples,)
        Probabilities of all classes, or of the positive one.
    classes : array of shape (n_classes,), optional
        The class of each column. None: the sorted labels of `y_true`.
    sample_weight : array of shape (n_samples,), optional
        Weights (>= 0) of the mean.

    Returns
    -------
    float
        0 is best. Summed over classes (at most 2) for 2-D `y_proba`; of the positive class alone
        (at most 1) for 1-D.

    Raises
    ------
    ValueError
        As `reliability_curve`.

    References
    ----------
    Brier, "Verification of forecasts expressed in terms of probability", Mon Weather Rev 78:1
    (1950).

    Examples
    --------
    >>> from cloome_sk.metrics import brier_score
    >>> round(brier_score(["a", "b"], [[0.9, 0.1], [0.4, 0.6]]), 4)
    0.17
    """
    proba, truth = _probabilities(y_true, y_proba, classes)
    weights = _weights(sample_weight, len(proba))
    if proba.ndim == 1:
        return float(np.average((proba - truth) ** 2, weights=weights))
    squares = (proba**2).sum(axis=1) - 2 * proba[np.arange(len(proba)), truth] + 1.0
    return float(np.average(squares, weights=weights))


def _check_bins(n_bins: Any, strategy: str) -> int:
    """A positive number of bins, cut in a known way."""
    n_bins = check_count(n_bins, "n_bins")
    if strategy not in ("uniform", "quantile"):
        raise ValueError(f"strategy must be 'uniform' or 'quantile', got {strategy!r}.")
    return n_bins


def _edges(sure: np.ndarray, n_bins: int, strategy: str) -> np.ndarray:
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    if strategy == "quantile":
        edges = np.unique(np.quantile(sure, edges))
        if len(edges) == 1:
            edges = np.repeat(edges, 2)
    return edges


def _bins(sure: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each sample; a bin holds its upper edge, the first also its lower."""
    return np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, len(edges) - 2)


def _weights(sample_weight: Any, n_samples: int) -> np.ndarray:
    """Checked weights; ones by default."""
    if sample_weight is None:
        return np.ones(n_samples)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n_samples,):
        raise ValueError(f"sample_weight must have shape ({n_samples},), got {weights.shape}.")
    check_finite(weights, "sample_weight")
    if (weights < 0).any() or not weights.any():
        raise ValueError("sample_weight must not be negative, nor all zero.")
    return weights


def _confidence_and_correctness(
    y_true: Any, y_proba: Any, classes: Any
) -> tuple[np.ndarray, np.ndarray]:
    """How sure each prediction is, and the probability that it is right."""
    proba, truth = _probabilities(y_true, y_proba, classes)
    if proba.ndim == 1:
        return proba, truth.astype(float)
    sure = proba.max(axis=1)
    largest = proba == sure[:, None]
    return sure, largest[np.arange(len(proba)), truth] / largest.sum(axis=1)


def _probabilities(y_true: Any, y_proba: Any, classes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Checked float64 probabilities, and the column (or 0/1) of each true label."""
    proba, labels = np.asarray(y_proba), np.asarray(y_true)
    if proba.ndim not in (1, 2) or proba.dtype.kind not in "fiub" or len(proba) == 0:
        raise ValueError(
            "y_proba must be a non-empty 1-D or 2-D array of numbers, got shape "
            f"{proba.shape} and dtype {proba.dtype}."
        )
    proba = proba.astype(np.float64)
    if labels.shape != (len(proba),):
        raise ValueError(f"y_true must have shape ({len(proba)},), got {labels.shape}.")
    if pd.isna(labels).any():
        raise ValueError(f"y_true: row {int(np.flatnonzero(pd.isna(labels))[0])} has no label.")
    check_finite(proba, "y_proba")
    outside = ((proba < 0) | (proba > 1)).reshape(len(proba), -1).any(axis=1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise ValueError(f"y_proba: row {row} is {proba[row]}, outside [0, 1].")
    if proba.ndim == 1:
        if classes is not None:
            raise ValueError("classes name the columns of a 2-D y_proba; y_proba is 1-D.")
        if not np.isin(labels, (0, 1)).all():
            raise ValueError("With 1-D y_proba, y_true must be boolean or 0/1.")
        return proba, labels.astype(np.int64)
    sums = proba.sum(axis=1)
    off = np.abs(sums - 1.0) > 1e-5
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise ValueError(f"y_proba: row {row} sums to {sums[row]:.6g}, not to 1.")
    return proba, _columns_of(labels, classes, proba.shape[1])


def _columns_of(labels: np.ndarray, classes: Any, n_classes: int) -> np.ndarray:
    names = pd.Index(np.unique(labels) if classes is None else np.asarray(classes))
    if len(names) != n_classes:
        raise ValueError(
            f"y_proba has {n_classes} columns but there are {len(names)} classes; pass classes= in "
            "the order of the columns (classes_ of the classifier)."
        )
    if names.has_duplicates:
        raise ValueError(f"classes holds {names[names.duplicated()].tolist()[0]!r} more than once.")
    columns = names.get_indexer(pd.Index(labels))
    if (columns < 0).any():
        row = int(np.flatnonzero(columns < 0)[0])
        raise ValueError(
            f"y_true: row {row} is {labels.tolist()[row]!r}, which is not among the classes."
        )
    return columns
