"""Average precision of one ranked list, in expectation over random orders of ties."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma

from cloome_sk.metrics._checks import check_count, check_finite


def _harmonic(n: Any) -> Any:
    """The n-th harmonic number."""
    return digamma(np.asarray(n, dtype=float) + 1.0) + np.euler_gamma


def expected_average_precision(
    right: np.ndarray, wrong: np.ndarray, *, n: int | None = None, slack: float = 0.0
) -> float:
    """Mean of (1 / #right) Σ_{k ≤ n} precision@k · rel(k) over random orders of ties.

    `right` and `wrong` are the scores of the relevant and the other items; scores that differ by at
    most `slack` are tied. Needs at least one right item.
    """
    descending = np.sort(right)[::-1]
    starts = np.flatnonzero(np.concatenate([[True], descending[:-1] - descending[1:] > slack]))
    ends = np.concatenate([starts[1:], [len(descending)]])
    # The items are counted between the edges of each level of right ones, in one pass.
    lowest = np.nextafter(descending[ends - 1] - slack, -np.inf)
    edges = np.column_stack([lowest, descending[starts] + slack])[::-1].ravel()
    edges = np.maximum.accumulate(edges)
    between = np.bincount(np.searchsorted(edges, wrong, side="left"), minlength=len(edges) + 1)
    beyond = len(wrong) - np.cumsum(between)[:-1]
    reached, ahead = beyond[0::2][::-1], beyond[1::2][::-1]
    n_right, before = ends - starts, starts
    level, above = n_right + reached - ahead, before + ahead
    places = level if n is None else np.clip(n - above, 0, level)
    # At place j of a level, the item is right with probability n_right / level, and then
    # `before` + 1 + (j − 1) (n_right − 1) / (level − 1) right ones have been met on average.
    pace = (n_right - 1) / np.maximum(level - 1, 1)
    met = pace * places + (before + 1 - pace * (above + 1)) * (
        _harmonic(above + places) - _harmonic(above)
    )
    return float((n_right / level * met).sum() / len(right))


def average_precision_at_n(
    relevance: ArrayLike, score: ArrayLike, *, n: int | None = None
) -> float:
    """Average precision within the first n places of a ranked list.

    Parameters
    ----------
    relevance : array of shape (n_items,), bool or 0/1
        Which items are relevant. At least one must be.
    score : array of shape (n_items,)
        Larger ranks higher; finite. Pass minus the distance to rank by distance.
    n : int, optional
        Places looked at; more than there are items is allowed. None: all.

    Returns
    -------
    float in [0, 1]
        (1 / #relevant) Σ_{k ≤ n} precision@k · rel(k). The sum is divided by all relevant items, so
        1 cannot be reached when n is smaller than their number. Equal scores count with the mean
        over random orders of them.

    Raises
    ------
    ValueError
        If shapes differ, relevance is neither boolean nor 0/1, no item is relevant, or a score is
        not finite.

    See Also
    --------
    average_precision_chance : The value of a random order.
    sklearn.metrics.average_precision_score : The same for n=None without ties; it takes tied items
        as one step.

    Examples
    --------
    >>> from cloome_sk.metrics import average_precision_at_n
    >>> round(average_precision_at_n([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]), 4)
    0.8333
    >>> average_precision_at_n([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], n=2)
    0.5
    """
    relevant, scores = np.asarray(relevance), np.asarray(score)
    if relevant.ndim != 1 or scores.shape != relevant.shape:
        raise ValueError(
            "relevance and score must be 1-D and of one length, got shapes "
            f"{relevant.shape} and {scores.shape}."
        )
    if relevant.dtype.kind not in "biuf" or not np.isin(relevant, (0, 1)).all():
        raise ValueError("relevance must be boolean or 0/1, without missing values.")
    if scores.dtype.kind not in "iuf":
        raise ValueError(f"score must hold real numbers, got dtype {scores.dtype}.")
    check_finite(scores, "score")
    if n is not None:
        n = check_count(n, "n")
    relevant = relevant.astype(bool)
    if not relevant.any():
        raise ValueError("No item is relevant, so average precision is undefined.")
    scores = scores.astype(np.float64)
    return expected_average_precision(scores[relevant], scores[~relevant], n=n)


def average_precision_chance(
    n_relevant: ArrayLike, n_items: ArrayLike, *, n: int | None = None
) -> np.ndarray:
    """Mean of `average_precision_at_n` over random orders of the items.

    Parameters
    ----------
    n_relevant, n_items : int or array of int
        Relevant items, at least 1, and all items.
    n : int, optional
        Places looked at. None: all.

    Returns
    -------
    float64 of the broadcast shape
        Chance level μ0. Normalised average precision is (AP − μ0) / (1 − μ0).

    Raises
    ------
    ValueError
        If there are fewer than one relevant item, or more than items.

    Examples
    --------
    >>> from cloome_sk.metrics import average_precision_chance
    >>> print(average_precision_chance(1, 2), average_precision_chance(5, 5))
    0.75 1.0
    """
    right, items = np.asarray(n_relevant, dtype=float), np.asarray(n_items, dtype=float)
    if not ((right >= 1) & (right <= items)).all():
        raise ValueError("Chance needs 1 <= n_relevant <= n_items.")
    places = items if n is None else np.minimum(items, check_count(n, "n"))
    pace = (right - 1) / np.maximum(items - 1, 1)
    return (pace * places + (1 - pace) * _harmonic(places)) / items
