"""Exact expectations over random orders of ties, of all candidates, and of sampled candidates.

Throughout, `above` candidates score higher than the best right one, and `tied` wrong and
`positives` right ones share its score.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma, gammaln

_OfAhead = Callable[[np.ndarray, np.ndarray], np.ndarray]


def log_binomial(n: ArrayLike, k: ArrayLike) -> np.ndarray:
    """Logarithm of n over k; minus infinity where there is no such choice."""
    n, k = np.broadcast_arrays(np.asarray(n, dtype=float), np.asarray(k, dtype=float))
    possible = (k >= 0) & (k <= n)
    safe_n, safe_k = np.where(possible, n, 0.0), np.where(possible, k, 0.0)
    value = gammaln(safe_n + 1) - gammaln(safe_k + 1) - gammaln(safe_n - safe_k + 1)
    return np.where(possible, value, -np.inf)


def hit_probability(
    k: int, above: np.ndarray, tied: np.ndarray, positives: np.ndarray
) -> np.ndarray:
    """Probability that a right candidate is among the first k, over random orders of the ties."""
    level = tied + positives
    places = np.clip(k - above, 0, level)
    miss = np.exp(log_binomial(tied, places) - log_binomial(level, places))
    # With one right candidate the places are a plain fraction, free of rounding.
    return np.where(positives == 1, places / level, 1.0 - miss)


def chance(k: int, n_candidates: np.ndarray, n_positives: np.ndarray) -> np.ndarray:
    """Probability of a hit within k when all candidates are in random order."""
    none = np.zeros_like(n_candidates)
    return hit_probability(k, none, n_candidates - n_positives, n_positives)


def expected_rank(above: np.ndarray, tied: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Mean rank of the first right candidate; with one of them, its mid-rank."""
    return above + (tied + positives + 1) / (positives + 1)


def expected_reciprocal_rank(
    above: np.ndarray, tied: np.ndarray, positives: np.ndarray
) -> np.ndarray:
    """Mean of one over the rank of the first right candidate."""
    value = 1.0 / (above + 1.0)
    one = (tied > 0) & (positives == 1)
    value[one] = (digamma(above[one] + tied[one] + 2.0) - digamma(above[one] + 1.0)) / (
        tied[one] + 1.0
    )
    for i in np.flatnonzero((tied > 0) & (positives > 1)):
        place = np.arange(1, tied[i] + 2)
        level = tied[i] + positives[i]
        first_here = np.exp(
            log_binomial(level - place, positives[i] - 1) - log_binomial(level, positives[i])
        )
        value[i] = (first_here / (above[i] + place)).sum()
    return value


def _over_ties(
    above: np.ndarray, tied: np.ndarray, n_wrong: np.ndarray, value_at: _OfAhead
) -> np.ndarray:
    """Mean of a function of the number ahead, which ties make uniform on above..above+tied."""
    result = np.empty(len(above))
    plain = tied == 0
    result[plain] = value_at(above[plain], n_wrong[plain])
    # An encoder that says the same of everything has as many ties as candidates, but few kinds.
    kinds, kind = np.unique(
        np.column_stack([above, tied, n_wrong])[~plain], axis=0, return_inverse=True
    )
    means = np.empty(len(kinds))
    for i, (first, width, wrong) in enumerate(kinds):
        ahead = first + np.arange(width + 1)
        means[i] = value_at(ahead, np.full(len(ahead), wrong)).mean()
    result[~plain] = means[kind.reshape(-1)]
    return result


def sampled_hit_probability(
    k: int, above: np.ndarray, tied: np.ndarray, n_wrong: np.ndarray, n_drawn: int
) -> np.ndarray:
    """Probability of a hit within k among the right candidate and `n_drawn` random wrong ones."""
    if k > n_drawn:
        return np.ones(len(above))

    def at(ahead: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        total = log_binomial(wrong, n_drawn)
        terms = [
            np.exp(log_binomial(ahead, j) + log_binomial(wrong - ahead, n_drawn - j) - total)
            for j in range(k)
        ]
        return np.minimum(np.sum(terms, axis=0), 1.0)

    return _over_ties(above, tied, n_wrong, at)


def sampled_reciprocal_rank(
    above: np.ndarray, tied: np.ndarray, n_wrong: np.ndarray, n_drawn: int
) -> np.ndarray:
    """Mean of one over the rank among the right candidate and `n_drawn` random wrong ones."""

    def at(ahead: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        # E[1 / (1 + X)] of a hypergeometric X, from C(a, x) / (x + 1) = C(a + 1, x + 1) / (a + 1).
        none = np.exp(
            log_binomial(wrong - ahead, n_drawn + 1) - log_binomial(wrong + 1, n_drawn + 1)
        )
        return (wrong + 1.0) / ((ahead + 1.0) * (n_drawn + 1.0)) * (1.0 - none)

    return _over_ties(above, tied, n_wrong, at)
