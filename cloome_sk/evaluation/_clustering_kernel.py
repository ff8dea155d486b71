r"""Mean average precision of very many sets at once: every query is ranked a single time.

With the places :math:`r_1 < r_2 < \dots` of the right items, average precision is the mean of
:math:`k / r_k`. So a ranking serves all sets that its query is in: the places of their members are
looked up and sorted, :math:`A \log A` steps for a set of A members instead of one for each ranked
compound. Of a level of L ties behind :math:`a` compounds, a right item has the expected weight
:math:`w = (H_{a+L} - H_a) / L`, and each pair of right items within the level adds
:math:`2 (L - (a + 1)(H_{a+L} - H_a)) / (L (L - 1))` instead of :math:`w`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from cloome_sk.evaluation._clustering_sets import LabelSets
from cloome_sk.evaluation._clustering_sources import Source

BLOCK_BYTES = 2**24
"""Similarities held at once, by each thread."""
LOOKED_UP = 2**18
"""Places looked up and sorted at once."""
FEW = 8
"""A universe of less than this part of all compounds is sorted by itself."""


@dataclass
class SetScores:
    """Of all sets of one `LabelSets`.

    Attributes
    ----------
    total, n_queries : ndarray, shape (n_sets,)
        Sum of average precisions, and of how many queries.
    precision : ndarray of float, shape (n_observed, size)
        Average precision of each member of the observed sets as query; NaN without a positive.
    n_positives, n_candidates : ndarray of int, shape (n_observed, size)
        What each query ranked.
    without : ndarray of float, shape (n_observed, size)
        Sum of average precisions, over the other queries, were this member's group not there.
    n_without : ndarray of int, shape (n_observed, size)
        Queries of that sum.
    """

    total: np.ndarray
    n_queries: np.ndarray
    precision: np.ndarray
    n_positives: np.ndarray
    n_candidates: np.ndarray
    without: np.ndarray
    n_without: np.ndarray

    @classmethod
    def empty(cls, sets: LabelSets) -> SetScores:
        """Nothing yet."""
        shape = (sets.n_observed, sets.members.shape[1])
        return cls(
            total=np.zeros(len(sets.members)),
            n_queries=np.zeros(len(sets.members), dtype=np.int64),
            precision=np.full(shape, np.nan),
            n_positives=np.zeros(shape, dtype=np.int64),
            n_candidates=np.zeros(shape, dtype=np.int64),
            without=np.zeros(shape),
            n_without=np.zeros(shape, dtype=np.int64),
        )

    def add(self, other: SetScores) -> None:
        """Take in what other queries found."""
        for name in ("total", "n_queries", "n_positives", "n_candidates", "without", "n_without"):
            getattr(self, name).__iadd__(getattr(other, name))
        known = ~np.isnan(other.precision)
        self.precision[known] = other.precision[known]


def score_sets(
    source: Source,
    sets: list[LabelSets],
    groups: np.ndarray,
    *,
    n: int | None = None,
    n_jobs: int | None = None,
    progress: Any = None,
) -> list[SetScores]:
    """Rank all compounds for every query, and score every set it is in.

    Blocks of queries are cut and added in one order, whatever `n_jobs`, which counts threads.
    """
    n_rows = len(groups)
    tables = Tables(n_rows, n)
    out = [SetScores.empty(one) for one in sets]
    needed = np.zeros(n_rows, dtype=bool)
    for one in sets:
        needed[one.members] = True
    step = max(1, BLOCK_BYTES // (8 * n_rows))
    jobs: Iterator[Any] = (
        delayed(_score_block)(
            source, sets, groups, tables, needed, start, min(start + step, n_rows)
        )
        for start in range(0, n_rows, step)
        if needed[start : start + step].any()
    )
    for found in Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(jobs):
        for own, one in zip(out, found, strict=True):
            own.add(one)
        if progress is not None:
            progress.update(1)
    return out


class Tables:
    """Harmonic numbers and reciprocal places, computed once."""

    def __init__(self, n_rows: int, n: int | None) -> None:
        self.n_rows, self.n = n_rows, n
        places = np.arange(1, n_rows + 1, dtype=np.float64)
        self.harmonic = np.concatenate([[0.0], np.cumsum(1 / places)])
        # One more, for what is not ranked.
        self.reciprocal = np.append(1 / places, 0.0)
        if n is not None:
            self.reciprocal[n:] = 0.0
        self.place_type = np.uint16 if n_rows < np.iinfo(np.uint16).max else np.int32
        self.places = np.arange(n_rows, dtype=self.place_type)


class Ranking:
    """One query's ranking of the compounds of one universe.

    `order` are its candidates, closest first, `level` numbers them by the level of ties (None: no
    ties), and `rows` are all compounds of the universe, the query and its group among them.
    """

    def __init__(
        self, order: np.ndarray, level: np.ndarray | None, rows: np.ndarray, tables: Tables
    ) -> None:
        self.n_candidates = len(order)
        self.within: np.ndarray | None = None
        starts = np.zeros(0, dtype=np.intp)
        if level is not None and len(order):
            starts = np.flatnonzero(np.append(True, level[1:] != level[:-1]))
        if 0 < len(starts) < len(order):
            size = np.diff(np.append(starts, len(order)))
            places = np.repeat(np.arange(len(starts), dtype=tables.place_type), size)
            self.weight, self.within = _of_levels(starts, size, tables)
            self.outside = len(starts)
        else:
            places = tables.places[: len(order)]
            self.weight, self.outside = tables.reciprocal, tables.n_rows
        # Of members and their ties; what is in the universe but not ranked comes last.
        self.place = np.empty(tables.n_rows, dtype=tables.place_type)
        self.place[rows] = self.outside
        self.place[order] = places

    def score(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average precision and number of positives of each set; NaN without a positive."""
        place = self.place[members]
        place.sort(axis=1)
        found = self.weight[place] @ np.arange(1.0, members.shape[1] + 1)
        if self.within is not None:
            tied = np.zeros(place.shape, dtype=bool)
            np.equal(place[:, 1:], place[:, :-1], out=tied[:, :-1])
            # Few members share a level with another: of a run of them, the second has one before
            # it, the third two.
            at = np.flatnonzero(tied)
            ahead = np.arange(len(at))
            begins = np.append(True, np.diff(at) != 1)[: len(at)]
            ahead -= np.maximum.accumulate(np.where(begins, ahead, 0)) - 1
            extra = ahead * self.within[place.ravel()[at]]
            found += np.bincount(at // place.shape[1], weights=extra, minlength=len(place))
        n_positives = (place < self.outside).sum(axis=1)
        return np.where(n_positives, found / np.maximum(n_positives, 1), np.nan), n_positives

    def score_without(self, members: np.ndarray, groups: GroupRows) -> np.ndarray:
        """Average precision were a member's whole group not there, for each member.

        NaN where no positive is left, and of members that are not ranked. Ties are placed at the
        reciprocal of their weight: this is for standard errors.
        """
        out = np.full(len(members), np.nan)
        place = self.place[members]
        order = np.argsort(place, kind="stable")[: int((place < self.outside).sum())]
        weight = self.weight[place[order]]
        k = np.arange(1.0, len(order) + 1)
        if len(order) > 1:
            kept = np.cumsum(k * weight)
            # The first right one, at place 1, moves up to nothing; it is behind none left out.
            moved = (k - 1) * weight / np.where(weight < 1, 1 - weight, 1.0)
            behind = np.cumsum(moved[::-1])[::-1]
            sums = np.append(0.0, kept[:-1]) + np.append(behind[1:], 0.0)
            out[order] = sums / (len(order) - 1)
        codes = groups.codes[members[order]]
        for code in np.unique(codes[groups.size[codes] > 1]):
            leaves = codes == code
            out[order[leaves]] = self._without_group(place[order], weight, leaves, groups.of(code))
        return out

    def _without_group(
        self, place: np.ndarray, weight: np.ndarray, leaves: np.ndarray, rows: np.ndarray
    ) -> float:
        """Average precision of the positives that stay when a group's rows leave the ranking."""
        if leaves.all():
            return np.nan
        gone = np.cumsum(leaves)[~leaves]
        right = np.flatnonzero(~leaves) + 1 - gone
        ahead = np.searchsorted(np.sort(self.place[rows]), place[~leaves])
        with np.errstate(divide="ignore"):
            at = 1 / weight[~leaves] - np.maximum(ahead, gone)
        return float((right / np.maximum(at, right)).mean())


class GroupRows:
    """Rows of each group within a universe."""

    def __init__(self, groups: np.ndarray, rows: np.ndarray) -> None:
        self.codes = groups
        self.size = np.bincount(groups[rows], minlength=int(groups.max()) + 1)
        self._rows = rows[np.argsort(groups[rows], kind="stable")]
        self._starts = np.cumsum(self.size) - self.size

    def of(self, code: int) -> np.ndarray:
        """Rows of one group."""
        return self._rows[self._starts[code] : self._starts[code] + self.size[code]]


def _of_levels(
    starts: np.ndarray, size: np.ndarray, tables: Tables
) -> tuple[np.ndarray, np.ndarray]:
    """Weight of a right item of each level, and what a pair within it adds; last, 0 for outside."""
    looked = size if tables.n is None else np.clip(tables.n - starts, 0, size)
    harmonic = tables.harmonic[starts + looked] - tables.harmonic[starts]
    single = size == 1
    weight = np.where(single, tables.reciprocal[starts], harmonic / size)
    pair = 2 * (looked - (starts + 1) * harmonic) / np.maximum(size * (size - 1.0), 1.0)
    return np.append(weight, 0.0), np.append(np.where(single, 0.0, pair - weight), 0.0)


class _Query:
    """One query's similarities, sorted over all compounds only where that is shared."""

    def __init__(
        self, query: int, similarity: np.ndarray, slack: float, groups: np.ndarray, tables: Tables
    ) -> None:
        self.query, self.similarity, self.slack = query, similarity, slack
        self.groups, self.tables = groups, tables
        self._order: np.ndarray | None = None
        self._level: np.ndarray | None = None

    def ranking(self, universe: np.ndarray, rows: np.ndarray) -> Ranking:
        """The compounds of a universe in order, the query's own group left out."""
        own = self.groups[self.query]
        if len(rows) * FEW < len(universe):
            kept = rows[self.groups[rows] != own]
            order, level = self._sorted(kept)
            return Ranking(order, level, rows, self.tables)
        if self._order is None:
            self._order, self._level = self._sorted(np.arange(len(universe)))
        mask = universe[self._order] & (self.groups[self._order] != own)
        level = None if self._level is None else self._level[mask]
        return Ranking(self._order[mask], level, rows, self.tables)

    def _sorted(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        similarity = self.similarity[rows]
        by = np.argsort(-similarity)
        ranked = similarity[by]
        gap = ranked[:-1] - ranked[1:] > self.slack
        return rows[by], None if gap.all() else np.append(0, np.cumsum(gap))


def _score_block(
    source: Source,
    sets: list[LabelSets],
    groups: np.ndarray,
    tables: Tables,
    needed: np.ndarray,
    start: int,
    stop: int,
) -> list[SetScores]:
    out = [SetScores.empty(one) for one in sets]
    by_universe: dict[int, list[int]] = {}
    for at, one in enumerate(sets):
        by_universe.setdefault(id(one.universe), []).append(at)
    rows_of = {key: np.flatnonzero(sets[ats[0]].universe) for key, ats in by_universe.items()}
    groups_of = {key: GroupRows(groups, rows) for key, rows in rows_of.items()}
    block = source.exact(start, stop)
    for row in (start + np.flatnonzero(needed[start:stop])).tolist():
        query = _Query(row, block[row - start], source.slack, groups, tables)
        for key, ats in by_universe.items():
            if not sets[ats[0]].universe[row]:
                continue
            held = {at: own for at in ats if len(own := sets[at].holding(row))}
            if not held:
                continue
            ranking = query.ranking(sets[ats[0]].universe, rows_of[key])
            for at, own in held.items():
                _add_query(out[at], sets[at], own, row, ranking, groups_of[key])
    return out


def _add_query(
    scores: SetScores,
    sets: LabelSets,
    held: np.ndarray,
    query: int,
    ranking: Ranking,
    groups: GroupRows,
) -> None:
    """Score the sets that a query is in."""
    step = max(1, LOOKED_UP // sets.members.shape[1])
    for first in range(0, len(held), step):
        part = held[first : first + step]
        precision, n_positives = ranking.score(sets.members[part])
        known = n_positives > 0
        scores.total[part] += np.where(known, precision, 0.0)
        scores.n_queries[part] += known
        if part[0] >= sets.n_observed:
            continue
        for row, value, count in zip(part, precision, n_positives, strict=True):
            if row >= sets.n_observed:
                break
            at = int(np.flatnonzero(sets.members[row] == query)[0])
            scores.precision[row, at] = value
            scores.n_positives[row, at] = count
            scores.n_candidates[row, at] = ranking.n_candidates
            # A query that has nothing to find has nothing to find without others either.
            if count:
                without = ranking.score_without(sets.members[row], groups)
                left = ~np.isnan(without)
                scores.without[row, left] += without[left]
                scores.n_without[row, left] += 1
