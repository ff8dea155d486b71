"""Inner folds of an assay: whole groups, both labels in each; and AUROC of many scores at once."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


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


def aurocs(scores: np.ndarray, active: np.ndarray, decimals: int) -> np.ndarray:
    """Area under the ROC curve of each row of scores, ties one half.

    Parameters
    ----------
    scores : ndarray of float, shape (n_scores, n)
        A row for each model.
    active : ndarray of bool, shape (n,)
        Both values must be there.
    decimals : int
        Of the largest score in a row, beyond which scores are ties: those of equal rows differ in
        their last digits.

    Returns
    -------
    ndarray of float, shape (n_scores,)
        In [0, 1].
    """
    largest = np.abs(scores).max(axis=1, keepdims=True)
    scaled = np.divide(scores, largest, out=np.zeros_like(scores), where=largest > 0)
    ranks = rankdata(np.round(scaled, decimals), axis=1)
    n_active = active.sum()
    wins = ranks[:, active].sum(axis=1) - n_active * (n_active + 1) / 2
    return wins / (n_active * (len(active) - n_active))
