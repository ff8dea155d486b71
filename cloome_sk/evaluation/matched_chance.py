"""How many right hits a ranking has, and how many it would have by chance, without drawing lots."""

from __future__ import annotations

import numpy as np

TIE_DIGITS = 10
"""Similarities that agree to so many decimals are ties."""


def top_weights(similarity: np.ndarray, k: int) -> np.ndarray:
    """Give the probability of each candidate to be among the first k, ties broken by chance.

    Parameters
    ----------
    similarity : ndarray of float, shape (n_candidates,)
        Of one query.
    k : int
        Number of hits, from 1 to n_candidates.

    Returns
    -------
    ndarray of float64, shape (n_candidates,)
        In [0, 1]; the sum is k.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation.matched_chance import top_weights
    >>> top_weights(np.array([0.9, 0.5, 0.5, 0.1]), 2).tolist()
    [1.0, 0.5, 0.5, 0.0]
    """
    values = np.round(similarity.astype(np.float64), TIE_DIGITS)
    last = np.partition(values, len(values) - k)[len(values) - k]
    above, level = values > last, values == last
    return above + level * ((k - above.sum()) / level.sum())


def matched_chance(weights: np.ndarray, right: np.ndarray, bins: np.ndarray) -> tuple[float, float]:
    r"""Give the expected number of right hits if each hit were drawn from its own bin.

    With :math:`w_b` hits in bin :math:`b`, which has :math:`N_b` candidates and :math:`R_b` right
    ones, drawing :math:`w_b` of the :math:`N_b` without replacement finds :math:`w_b R_b / N_b`
    right ones on average (hypergeometric). The sum over the bins is exact: no lot is drawn.

    Parameters
    ----------
    weights : ndarray of float, shape (n_candidates,)
        From `top_weights`.
    right : ndarray of bool, shape (n_candidates,)
        Which candidates are right.
    bins : ndarray of int, shape (n_candidates,)
        Bin of each candidate, from 0.

    Returns
    -------
    expected : float
        Number of right hits.
    bound : float
        Number of hits in bins that hold only right candidates, or only wrong ones: whichever of
        them is drawn, the count is the same, so that these hits cannot differ from chance.

    Examples
    --------
    Two hits; the first shares its bin with a wrong candidate, the second is alone in its own.

    >>> import numpy as np
    >>> from cloome_sk.evaluation.matched_chance import matched_chance
    >>> matched_chance(np.array([1.0, 1.0, 0.0]), np.array([True, False, False]),
    ...                np.array([0, 1, 0]))
    (0.5, 1.0)
    """
    size = np.bincount(bins)
    found = np.bincount(bins, weights=right, minlength=len(size))
    drawn = np.bincount(bins, weights=weights, minlength=len(size))
    share = np.divide(found, size, out=np.zeros(len(size)), where=size > 0)
    bound = drawn[(share == 0) | (share == 1)].sum()
    return float((drawn * share).sum()), float(bound)


def enrichment(
    shares: np.ndarray,
    chances: np.ndarray,
    *,
    confidence: float,
    n_bootstrap: int,
    random_state: int,
) -> tuple[float, float, float]:
    """Divide the mean share by the mean chance, with an interval that resamples units.

    Parameters
    ----------
    shares, chances : ndarray of float, shape (n_units,)
        What was found, and what chance would find.
    confidence : float
        Coverage.
    n_bootstrap : int
        Number of resamples.
    random_state : int
        Seed.

    Returns
    -------
    tuple of float
        Value, low and high; NaN where a mean chance is 0: nothing can be divided by it.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation.matched_chance import enrichment
    >>> enrichment(np.array([0.4, 0.2]), np.array([0.2, 0.1]), confidence=0.95, n_bootstrap=100,
    ...            random_state=0)
    (2.0, 2.0, 2.0)
    """
    if not len(shares) or not chances.sum():
        return np.nan, np.nan, np.nan
    value = float(shares.sum() / chances.sum())
    if len(shares) < 2:
        return value, np.nan, np.nan
    generator = np.random.RandomState(random_state)
    n = len(shares)
    counts = generator.multinomial(n, np.full(n, 1 / n), size=n_bootstrap)
    found, expected = counts @ shares, counts @ chances
    if not expected.all():
        return value, np.nan, np.nan
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(found / expected, [tail, 1.0 - tail])
    return value, float(low), float(high)
