"""Where the right candidate stands, by counting what scores above it instead of sorting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloome_sk.metrics._candidates import Candidates, Exclusion
from cloome_sk.metrics._scores import CosineScores, Scores

# Above this share of scores too close to call in float32, one float64 product of the whole block
# is cheaper than looking at them one by one.
_CROWDED = 0.02
_BLOCK_BYTES = 2**26


@dataclass
class RankCounts:
    """What was counted for each query; a dropped query has `n_positives` 0.

    `above` candidates score higher than the best right one, `tied` wrong ones and
    `tied_positives` right ones score the same. `behind` is the mean over the right candidates of
    the fraction of wrong ones that score higher, ties counting half.
    """

    above: np.ndarray
    tied: np.ndarray
    tied_positives: np.ndarray
    n_positives: np.ndarray
    n_candidates: np.ndarray
    behind: np.ndarray

    @classmethod
    def of_none(cls, n_queries: int) -> RankCounts:
        """Counts before anything was looked at: every query dropped."""
        above, tied, tied_positives, n_positives, n_candidates = np.zeros((5, n_queries), dtype=int)
        behind = np.full(n_queries, np.nan)
        return cls(above, tied, tied_positives, n_positives, n_candidates, behind)

    def __getitem__(self, keep: np.ndarray) -> RankCounts:
        return RankCounts(**{name: values[keep] for name, values in vars(self).items()})


def count_ranks(
    scores: Scores, candidates: Candidates, exclusion: Exclusion | None, block_size: int | None
) -> RankCounts:
    """Count, block by block; memory is a few blocks of `block_size` times the database rows."""
    scores.order = candidates.order
    counts = RankCounts.of_none(scores.n_queries)
    if block_size is None:
        block_size = max(1, _BLOCK_BYTES // (8 * scores.n_rows))
    several = bool((candidates.n_positives > 1).any())
    for start in range(0, scores.n_queries, block_size):
        stop = min(start + block_size, scores.n_queries)
        hidden = None if exclusion is None else exclusion(start, stop)
        if several or not isinstance(scores, CosineScores):
            _count_exactly(scores, candidates, hidden, start, stop, counts)
        else:
            _count_fast(scores, candidates, hidden, start, stop, counts)
    return counts


def _merged(block: np.ndarray, candidates: Candidates, hidden: np.ndarray | None) -> np.ndarray:
    """Scores of candidates; what is excluded, or has no row left, gets minus infinity."""
    if hidden is not None:
        block = np.where(hidden, block.dtype.type(-np.inf), block)
    return candidates.merge(block)


def _count_exactly(
    scores: Scores,
    candidates: Candidates,
    hidden: np.ndarray | None,
    start: int,
    stop: int,
    counts: RankCounts,
) -> None:
    """Count on scores that are right to within half of `slack`."""
    merged = _merged(scores.exact(start, stop), candidates, hidden)
    for query, row in enumerate(merged, start):
        first = candidates.first_positive[query]
        if first < 0:
            continue
        positives = row[first : first + candidates.n_positives[query]]
        if hidden is not None:
            positives = positives[positives > -np.inf]
            counts.n_candidates[query] = np.count_nonzero(row > -np.inf)
        else:
            counts.n_candidates[query] = len(row)
        counts.n_positives[query] = len(positives)
        if not len(positives):
            continue
        best = positives.max()
        above = np.count_nonzero(row > best + scores.slack)
        tied_positives = np.count_nonzero(positives >= best - scores.slack)
        level = np.count_nonzero(row >= best - scores.slack)
        counts.above[query] = above
        counts.tied_positives[query] = tied_positives
        counts.tied[query] = level - above - tied_positives
        n_wrong = counts.n_candidates[query] - len(positives)
        if len(positives) == 1:
            pairs = above + 0.5 * counts.tied[query]
        else:
            pairs = _pairs_behind(row, positives, scores.slack)
        counts.behind[query] = pairs / (n_wrong * len(positives)) if n_wrong else 0.5


def _pairs_behind(row: np.ndarray, positives: np.ndarray, slack: float) -> float:
    """Pairs of a right and a wrong candidate in which the wrong one scores higher; ties half."""
    ascending = np.sort(positives)
    total = 0.0
    # The right candidates are in `row` too, so their pairs among themselves are taken off.
    for scores, sign in ((row, 1), (ascending, -1)):
        higher = np.searchsorted(ascending + slack, scores, side="left").sum()
        at_least = np.searchsorted(ascending - slack, scores, side="right").sum()
        total += sign * (higher + at_least) / 2
    return float(total)


def _count_fast(
    scores: CosineScores,
    candidates: Candidates,
    hidden: np.ndarray | None,
    start: int,
    stop: int,
    counts: RankCounts,
) -> None:
    """Count on float32 scores; those too close to call are computed again in float64."""
    merged = _merged(scores.fast(start, stop), candidates, hidden)
    rows = np.arange(stop - start)
    first = candidates.first_positive[start:stop]
    best = np.where(first < 0, -np.inf, merged[rows, np.maximum(first, 0)])
    found = np.flatnonzero(best > -np.inf)
    band = np.float32(scores.band)
    high, low = (best + band).astype(np.float32), (best - band).astype(np.float32)
    above, near = np.zeros(len(rows), dtype=np.int64), np.ones(len(rows), dtype=np.int64)
    for row in found:
        above[row] = np.count_nonzero(merged[row] > high[row])
        near[row] = np.count_nonzero(merged[row] >= low[row]) - above[row]
    if (near - 1).sum() > _CROWDED * merged.size:
        _count_exactly(scores, candidates, hidden, start, stop, counts)
        return
    tied = np.zeros(len(rows), dtype=np.int64)
    for row in found[near[found] > 1]:
        close = np.flatnonzero((merged[row] >= low[row]) & (merged[row] <= high[row]))
        columns, owner = candidates.columns_of(close)
        exact = scores.exact_at(start + row, columns)
        if hidden is not None:
            exact[hidden[row, columns]] = -np.inf
        best_of = np.full(len(close), -np.inf)
        np.maximum.at(best_of, owner, exact)
        right = best_of[np.searchsorted(close, first[row])]
        above[row] += np.count_nonzero(best_of > right + scores.slack)
        tied[row] = np.count_nonzero(np.abs(best_of - right) <= scores.slack) - 1
    if hidden is None:
        n_candidates = np.full(len(found), candidates.n_candidates)
    else:
        n_candidates = np.count_nonzero(merged[found] > -np.inf, axis=1)
    queries = start + found
    counts.above[queries], counts.tied[queries] = above[found], tied[found]
    counts.tied_positives[queries] = counts.n_positives[queries] = 1
    counts.n_candidates[queries] = n_candidates
    n_wrong = np.maximum(n_candidates - 1, 1)
    behind = (above[found] + 0.5 * tied[found]) / n_wrong
    counts.behind[queries] = np.where(n_candidates > 1, behind, 0.5)
