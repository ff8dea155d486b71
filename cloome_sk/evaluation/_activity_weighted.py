"""AUROC and average precision of one assay where molecules have weights, for many sets of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cloome_sk.evaluation._activity_scores import rounded


@dataclass(frozen=True)
class RankedFold:
    """An assay in a test fold, ordered once for all resamples.

    Attributes
    ----------
    rows : ndarray of intp, shape (n,)
        Molecules, that of the highest score first.
    actives : ndarray of intp, shape (n_active,)
        Places of the actives among these.
    starts, ends : ndarray of intp, shape (n_active,)
        Places from `starts` on and before `ends` have the score of the active.
    active_starts, active_ends : ndarray of intp, shape (n_active,)
        How many actives are before `starts` and before `ends`.
    """

    rows: np.ndarray
    actives: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    active_starts: np.ndarray
    active_ends: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, active: np.ndarray, scores: np.ndarray) -> RankedFold:
        """Order the molecules `rows` by their scores; `active` (bool) says which are active."""
        falling = -rounded(scores)
        order = np.argsort(falling, kind="stable")
        falling, actives = falling[order], np.flatnonzero(active[order])
        starts, ends = (np.searchsorted(falling, falling[actives], s) for s in ("left", "right"))
        before = (np.searchsorted(actives, places) for places in (starts, ends))
        return cls(rows[order], actives, starts, ends, *before)

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """Give what folds are joined by, for each column of `weights` (n_molecules, n_sets).

        Shape (5, n_sets): weight of right pairs and of all pairs; precision, weight and prevalence
        of the actives, summed by their weight. All 0 where one label has no weight, as a fold
        with one label has no part in the figures.
        """
        own = weights[self.rows]
        every, hits = _from_zero(own), _from_zero(own[self.actives])
        n, n_active = every[-1], hits[-1]
        n_inactive = n - n_active
        at, hits_at = every[self.ends], hits[self.active_ends]
        # Inactives with a higher score, and those with a score as high or higher: ties are halves.
        wrong = at - hits_at + every[self.starts] - hits[self.active_starts]
        weight = own[self.actives]
        right = (weight * (n_inactive - wrong / 2)).sum(axis=0)
        precision = np.divide(hits_at, at, out=np.zeros_like(at), where=at > 0)
        recalled = (weight * precision).sum(axis=0)
        prevalent = np.divide(n_active**2, n, out=np.zeros_like(n), where=n > 0)
        both = (n_active > 0) & (n_inactive > 0)
        return np.stack([right, n_active * n_inactive, recalled, n_active, prevalent]) * both


def weighted_scores(folds: Sequence[RankedFold], weights: np.ndarray) -> np.ndarray:
    """AUROC, AUPRC, and AUPRC less the prevalence, of one assay for many sets of weights.

    Parameters
    ----------
    folds : sequence of RankedFold
        Its test folds, at least one.
    weights : ndarray of float, shape (n_molecules, n_sets)
        Not negative; a whole number stands for so many copies of a molecule.

    Returns
    -------
    ndarray of float, shape (3, n_sets)
        Joined over folds as in `assay_scores`; NaN where no fold has weight on both labels.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation._activity_weighted import RankedFold, weighted_scores
    >>> active, scores = np.array([True, False, False]), np.array([0.5, 0.9, 0.1])
    >>> fold = RankedFold.of(np.arange(3), active, scores)
    >>> weights = np.array([[1, 1], [1, 0], [1, 0]], dtype=float)
    >>> weighted_scores([fold], weights)[0]
    array([0.5, nan])
    """
    right, pairs, recalled, actives, prevalent = np.sum(
        [fold.sums(weights) for fold in folds], axis=0
    )
    none = np.full_like(pairs, np.nan)
    auroc = np.divide(right, pairs, out=none.copy(), where=pairs > 0)
    auprc = np.divide(recalled, actives, out=none.copy(), where=actives > 0)
    prevalence = np.divide(prevalent, actives, out=none, where=actives > 0)
    return np.stack([auroc, auprc, auprc - prevalence])


def _from_zero(values: np.ndarray) -> np.ndarray:
    """Sums of the rows before each row, and of all."""
    out = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=out[1:])
    return out
