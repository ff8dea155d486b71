"""AUROC and average precision of one assay over several test folds, and what chance gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from cloome_sk.baselines._assay_folds import aurocs

DECIMALS = 10
"""Of the largest score: scores of equal features differ in their last digits, but they are ties."""
TINY = np.finfo(float).tiny


@dataclass(frozen=True)
class FoldScores:
    """An assay in a test fold: `active` (bool) and `scores`, both of shape (n,)."""

    active: np.ndarray
    scores: np.ndarray


def assay_scores(folds: Sequence[FoldScores]) -> dict[str, float]:
    """Join the folds of an assay: scores of two folds, which are two models', never meet.

    Parameters
    ----------
    folds : sequence of FoldScores
        Test folds with both labels, at least one.

    Returns
    -------
    dict of str to float
        ``auroc``, the share of right pairs of an active and an inactive of one fold; ``auprc`` and
        ``prevalence``, the mean over folds weighted by their actives; ``auprc_chance``, what a
        random order gives on average, likewise; ``auroc_sd``, the standard deviation of ``auroc``
        in a random order; ``n_active`` and ``n_inactive``.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation._activity_scores import FoldScores, assay_scores
    >>> fold = FoldScores(np.array([True, False, False]), np.array([0.9, 0.2, 0.1]))
    >>> found = assay_scores([fold, fold])
    >>> found["auroc"], found["auprc"], found["n_inactive"]
    (1.0, 1.0, 4)
    """
    n_active = np.array([fold.active.sum() for fold in folds], dtype=float)
    n_inactive = np.array([(~fold.active).sum() for fold in folds], dtype=float)
    n, pairs = n_active + n_inactive, n_active * n_inactive
    auroc = np.array(
        [aurocs(fold.scores[None], fold.active, decimals=DECIMALS)[0] for fold in folds]
    )
    precision = np.array([average_precision(fold.active, fold.scores) for fold in folds])
    chance = np.array(
        [random_average_precision(int(a), int(b)) for a, b in zip(n_active, n, strict=True)]
    )
    variance = (n + 1) / (12 * pairs)
    share = n_active / n_active.sum()
    return {
        "auroc": float(pairs @ auroc / pairs.sum()),
        "auroc_sd": float(np.sqrt(pairs**2 @ variance) / pairs.sum()),
        "auprc": float(share @ precision),
        "prevalence": float(share @ (n_active / n)),
        "auprc_chance": float(share @ chance),
        "n_active": int(n_active.sum()),
        "n_inactive": int(n_inactive.sum()),
    }


def average_precision(active: np.ndarray, scores: np.ndarray) -> float:
    """Mean over the actives of the precision at their score, equal scores taken together.

    Parameters
    ----------
    active : ndarray of bool, shape (n,)
        At least one.
    scores : ndarray of float, shape (n,)
        Larger is more active.

    Returns
    -------
    float
        As `sklearn.metrics.average_precision_score`.
    """
    scores = rounded(scores)
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(active[order])
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    recalled = np.diff(hits[last], prepend=0)
    return float(recalled @ (hits[last] / (last + 1)) / hits[-1])


def rounded(scores: np.ndarray) -> np.ndarray:
    """Scores over the largest of them, where those that are ties are equal."""
    return np.round(scores / max(float(np.abs(scores).max()), TINY), DECIMALS)


def random_average_precision(n_active: int, n: int) -> float:
    """Expected average precision of a random order, which is above the prevalence.

    Parameters
    ----------
    n_active, n : int
        Actives, and all; ``n_active < n``.

    Returns
    -------
    float
        In (0, 1).

    Notes
    -----
    Place k holds an active with probability P / N, and then 1 + (k - 1)(P - 1)/(N - 1) of the
    first k are expected to be active.
    """
    harmonic = float((1.0 / np.arange(1, n + 1)).sum())
    return (harmonic + (n_active - 1) / (n - 1) * (n - harmonic)) / n


def share_above(threshold: float, sd: np.ndarray) -> np.ndarray:
    """Probability that a random order has an AUROC above a threshold, by the normal approximation.

    Parameters
    ----------
    threshold : float
        In (0, 1).
    sd : ndarray of float, shape (n_assays,)
        Standard deviations of the AUROC in a random order.

    Returns
    -------
    ndarray of float, shape (n_assays,)
        What chance would have of each assay.
    """
    return norm.sf(threshold, 0.5, sd)
