"""Inner folds of an assay: whole groups, both labels in each; and AUROC of many scores at once."""

from __future__ import annotations

import numpy as np


def assay_folds(y: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray | None:
    """Deal the labelled rows of an assay to folds, groups as a whole.

    Groups with an active are dealt first, those with most actives before the others, then the
    groups without one from the largest; to and fro, so that folds are even. Nothing is drawn.

    Parameters
    ----------
    y : ndarray of float, shape (n,)
        0 or 1.
    groups : ndarray, shape (n,)
        What must stay together.
    n_folds : int
        Most folds; fewer where fewer groups have an active, or fewer have none.

    Returns
    -------
    ndarray of intp, shape (n,), or None
        Fold of each row, every fold with both labels; None where there are not two such folds.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.baselines._assay_folds import assay_folds
    >>> assay_folds(np.array([1, 1, 0, 0, 0]), np.array(list("abcde")), 5)
    array([0, 1, 1, 0, 0])
    """
    names, first, code = np.unique(groups, return_index=True, return_inverse=True)
    n_active, size = np.bincount(code, weights=y), np.bincount(code)
    order = np.lexsort((first, -size, -n_active))
    n_with = int((n_active > 0).sum())
    n_folds = min(n_folds, n_with, len(names) - n_with)
    if n_folds < 2:
        return None
    of_group = np.empty(len(names), dtype=np.intp)
    of_group[order[:n_with]] = _to_and_fro(n_with, n_folds)
    of_group[order[n_with:]] = n_folds - 1 - _to_and_fro(len(names) - n_with, n_folds)
    return of_group[code]


def _to_and_fro(n: int, n_folds: int) -> np.ndarray:
    place = np.arange(n) % (2 * n_folds)
    return np.minimum(place, 2 * n_folds - 1 - place)


def aurocs(
    scores: np.ndarray, active: np.ndarray, decimals: int, ranked: np.ndarray | None = None
) -> np.ndarray:
    """Area under the ROC curve of each row of scores, ties one half.

    Parameters
    ----------
    scores : ndarray of float, shape (n_scores, n)
        A row for each model.
    active : ndarray of bool, shape (n,) or (n_scores, n)
        Both values must be there.
    decimals : int
        Of the largest score in a row, beyond which scores are ties: those of equal rows differ in
        their last digits. At most 14.
    ranked : ndarray of bool, shape (n_scores, n), optional
        Which scores count. None: all of them.

    Returns
    -------
    ndarray of float, shape (n_scores,)
        In [0, 1]; NaN where a score is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.baselines._assay_folds import aurocs
    >>> scores = np.array([[0.1, 0.2, 0.3, 0.4], [0.1, 0.3, 0.3, 0.4]])
    >>> aurocs(scores, np.array([False, True, False, True]), 10)
    array([0.75 , 0.875])
    """
    ranked = np.ones(scores.shape, dtype=bool) if ranked is None else ranked
    row = np.nonzero(ranked)[0]
    largest = np.abs(scores).max(axis=1, where=ranked, initial=0).astype(np.float64)
    known = np.isfinite(largest)
    largest[~known | (largest == 0)] = 1
    scaled = np.where(known[row], scores[ranked], 0) / largest[row]
    # One sort ranks all rows: what is of a row lies between what is of its neighbours.
    keys = np.rint(scaled * 10.0**decimals).astype(np.int64) + 3 * 10**decimals * row
    won = np.broadcast_to(active, scores.shape)[ranked]
    inactive = np.sort(keys[~won])
    twice = np.searchsorted(inactive, keys[won]) + np.searchsorted(inactive, keys[won], "right")
    n_active = np.bincount(row[won], minlength=len(scores))
    n_inactive = np.bincount(row[~won], minlength=len(scores))
    wins = np.bincount(row[won], weights=twice, minlength=len(scores)) / 2
    wins -= (np.cumsum(n_inactive) - n_inactive) * n_active
    return np.where(known, wins / (n_active * n_inactive), np.nan)
