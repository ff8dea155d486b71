"""Intervals for a mean over queries: exact for independent ones, resampled for nested ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import betaincinv
from sklearn.utils import check_random_state

from cloome_sk.metrics._checks import as_labels, check_count, check_finite, check_fraction


def clopper_pearson(
    hits: ArrayLike, n: ArrayLike, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Exact interval of a proportion, for whole or fractional counts.

    Parameters
    ----------
    hits : float or array of float, in [0, n]
        Number of hits. Fractional counts arise from ties, where a query counts with its
        probability of a hit; the beta quantiles interpolate between the whole counts.
    n : int or array of int, at least 1
        Number of independent queries.
    confidence : float, default=0.95
        Coverage, strictly between 0 and 1.

    Returns
    -------
    low : float64 array of the broadcast shape, in [0, 1]
        Lower bound, as a proportion.
    high : float64 array of the broadcast shape, in [0, 1]
        Upper bound.

    Raises
    ------
    ValueError
        If a count lies outside [0, n] or `n` is below 1.

    References
    ----------
    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26:404 (1934).

    Examples
    --------
    >>> from cloome_sk.metrics import clopper_pearson
    >>> low, high = clopper_pearson(64, 2115)
    >>> print(f"{64 / 2115:.2%} [{low:.2%}, {high:.2%}]")
    3.03% [2.34%, 3.85%]
    """
    check_fraction(confidence, "confidence")
    count, total = np.broadcast_arrays(np.asarray(hits, dtype=float), np.asarray(n, dtype=float))
    rounding = 1e-9 * np.abs(total)
    wrong = ~((count >= -rounding) & (count <= total + rounding) & (total >= 1))
    if wrong.any():
        first = tuple(np.argwhere(wrong)[0])
        raise ValueError(
            f"hits must lie in [0, n] with n of at least 1, got {count[first]} of {total[first]}."
        )
    count = np.clip(count, 0.0, total)
    tail = (1.0 - confidence) / 2
    with np.errstate(all="ignore"):
        low = betaincinv(count, total - count + 1.0, tail)
        high = betaincinv(count + 1.0, total - count, 1.0 - tail)
    return np.where(count == 0, 0.0, low)[()], np.where(count == total, 1.0, high)[()]


def bootstrap_interval(
    values: ArrayLike,
    groups: Any = None,
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of a mean, resampling whole groups.

    Wells of one compound are not independent: a compound that is easy to find is easy in all its
    wells. Drawing compounds, each with all its wells, keeps that in the interval.

    Parameters
    ----------
    values : array of shape (n,) or (n, m)
        One value (or m of them) a query, finite.
    groups : array of shape (n,), optional
        The compound of each query. None: every query for itself.
    confidence : float, default=0.95
        Coverage, strictly between 0 and 1.
    n_bootstrap : int, default=2000
        Number of resamples.
    random_state : int, RandomState or None, default=None
        Seed of the resamples.

    Returns
    -------
    low : float64, scalar or array of shape (m,)
        Lower quantile of the mean over resamples.
    high : float64, scalar or array of shape (m,)
        Upper quantile. With few groups the two are too close, and where every value is the same
        they are equal.

    Raises
    ------
    ValueError
        If there are fewer than two groups, or a value is not finite.

    Examples
    --------
    >>> from cloome_sk.metrics import bootstrap_interval
    >>> found = [1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1]
    >>> compound = list("aaabbbcccddd")
    >>> low, high = bootstrap_interval(found, compound, random_state=0)
    >>> print(f"{low:.2f} to {high:.2f}")
    0.42 to 0.67
    """
    check_fraction(confidence, "confidence")
    check_count(n_bootstrap, "n_bootstrap")
    table = np.asarray(values, dtype=float)
    if table.ndim not in (1, 2) or len(table) == 0:
        raise ValueError(f"values must be a non-empty 1-D or 2-D array, got shape {table.shape}.")
    check_finite(table, "values")
    columns = table.reshape(len(table), -1)
    if groups is None:
        codes = np.arange(len(columns))
    else:
        codes, _ = pd.factorize(as_labels(groups, "groups", len(columns)))
    n_groups = int(codes.max()) + 1
    if n_groups < 2:
        raise ValueError("A bootstrap over compounds needs at least two groups, got one.")
    # One matrix product a resample gives the sums of every column and, last, the number of rows.
    totals = np.zeros((n_groups, columns.shape[1] + 1))
    np.add.at(totals, codes, np.column_stack([columns, np.ones(len(columns))]))
    generator = check_random_state(random_state)
    means = np.empty((n_bootstrap, columns.shape[1]))
    for draw in range(n_bootstrap):
        drawn = np.bincount(generator.randint(n_groups, size=n_groups), minlength=n_groups)
        sums = drawn @ totals
        means[draw] = sums[:-1] / sums[-1]
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return (low[0], high[0]) if table.ndim == 1 else (low, high)
