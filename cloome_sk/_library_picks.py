"""Greedy picking with bounds, so that few candidates are looked at again after each pick.

What a candidate adds can only shrink as more is picked, under both objectives. So what it added
when it was last looked at is a bound, and candidates are brought up to date from the highest bound
down until the best one stands above all bounds: the picks are those of looking at every candidate
after every pick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from cloome_sk._library_spaces import Space

TIE = 1e-9
"""Scores no further apart than this are equal: the last digits of a product depend on its shape."""

FEW, MANY = 16, 512
"""Candidates brought up to date at once: first few, then more while the best is not found."""


class Novelty(Protocol):
    """What candidates add to what is owned and picked."""

    values: np.ndarray
    """Bounds from above, shape (n_candidates,)."""

    fresh: np.ndarray
    """How many picks each of them takes into account."""

    def refresh(self, rows: np.ndarray) -> None:
        """Bring some up to date."""

    def picked(self, row: int) -> None:
        """Take note of a pick."""


class Farthest:
    """Distance to the nearest compound that is owned or picked, summed over spaces.

    Parameters
    ----------
    spaces : sequence of Space
        In each, candidates come first, then what is owned.
    weights : sequence of float
        What distances are multiplied by.
    n_candidates : int
        Number of candidates.
    owned : sequence of ndarray of intp
        For each space, the owned compounds that it knows.
    """

    def __init__(
        self,
        spaces: Sequence[Space],
        weights: Sequence[float],
        n_candidates: int,
        owned: Sequence[np.ndarray],
    ) -> None:
        every = np.arange(n_candidates)
        self.spaces, self.weights = spaces, weights
        self.distances = [
            space.nearest(every, known) for space, known in zip(spaces, owned, strict=True)
        ]
        self.picks: list[int] = []
        self.fresh = np.zeros(n_candidates, dtype=np.intp)
        self.values = np.zeros(n_candidates)
        self._sum(every)

    def refresh(self, rows: np.ndarray) -> None:
        """Look at the picks that some of the rows have not been compared with."""
        missing = np.array(self.picks[int(self.fresh[rows].min()) :], dtype=np.intp)
        for space, known in zip(self.spaces, self.distances, strict=True):
            known[rows] = np.minimum(known[rows], space.distances(rows, missing).min(axis=1))
        self.fresh[rows] = len(self.picks)
        self._sum(rows)

    def picked(self, row: int) -> None:
        """Take note of a pick."""
        self.picks.append(row)

    def _sum(self, rows: np.ndarray) -> None:
        parts = zip(self.weights, self.distances, strict=True)
        self.values[rows] = sum((weight * known[rows] for weight, known in parts), 0.0)


class Coverage:
    """How much closer the nearest compound of each target comes, on average, summed over spaces.

    This is the facility-location function: a target is served by what is owned or picked and most
    similar to it, and a compound adds what it serves better. Similarity is one less the distance
    in units of `usual`, and no less than 0.

    Parameters
    ----------
    spaces, n_candidates, owned
        As for `Farthest`.
    shares : sequence of float
        Weight of each space; in each, the candidate that adds most at first adds 1.
    usual : sequence of float
        Distance of unrelated compounds in each space.
    targets : ndarray of intp
        Compounds to be served.
    """

    def __init__(
        self,
        spaces: Sequence[Space],
        shares: Sequence[float],
        n_candidates: int,
        owned: Sequence[np.ndarray],
        usual: Sequence[float],
        targets: np.ndarray,
    ) -> None:
        self.spaces, self.usual, self.targets = spaces, usual, targets
        self.served = [
            np.maximum(1.0 - space.nearest(targets, known) / unit, 0.0)
            for space, known, unit in zip(spaces, owned, usual, strict=True)
        ]
        every = np.arange(n_candidates)
        gains = [
            np.concatenate([self._gains(place, part) for part in _parts(every)])
            for place in range(len(spaces))
        ]
        largest = [float(gain.max(initial=0.0)) for gain in gains]
        self.weights = [
            share / (most if most > 0 else 1.0) for share, most in zip(shares, largest, strict=True)
        ]
        self.n_picked = 0
        self.fresh = np.zeros(n_candidates, dtype=np.intp)
        self.values = sum(
            (weight * gain for weight, gain in zip(self.weights, gains, strict=True)),
            np.zeros(n_candidates),
        )

    def refresh(self, rows: np.ndarray) -> None:
        """Serve the targets anew by each of the rows."""
        values = np.zeros(len(rows))
        for place, weight in enumerate(self.weights):
            values += weight * self._gains(place, rows)
        self.values[rows] = values
        self.fresh[rows] = self.n_picked

    def picked(self, row: int) -> None:
        """Take note of a pick."""
        self.n_picked += 1
        for place, served in enumerate(self.served):
            np.maximum(served, self._similarity(place, np.array([row]))[0], out=served)

    def _similarity(self, place: int, rows: np.ndarray) -> np.ndarray:
        apart = self.spaces[place].distances(rows, self.targets)
        return np.maximum(1.0 - apart / self.usual[place], 0.0)

    def _gains(self, place: int, rows: np.ndarray) -> np.ndarray:
        more = self._similarity(place, rows) - self.served[place]
        return np.maximum(more, 0.0).mean(axis=1)


def pick(
    novelty: Novelty,
    extra: np.ndarray,
    budget: int,
    closes: Callable[[int], np.ndarray],
    advance: Callable[[], object] = lambda: None,
) -> Iterator[tuple[int, float]]:
    """Pick the best candidate again and again; of equal ones, the first.

    Parameters
    ----------
    novelty : Novelty
        What each candidate adds.
    extra : ndarray of float, shape (n_candidates,)
        What is added to it, the same all the time.
    budget : int
        Most picks.
    closes : callable
        From a pick to the candidates that may not be picked after it.
    advance : callable
        Called after each pick.

    Yields
    ------
    tuple of (int, float)
        The pick and its score; fewer than `budget` where no candidate is left.
    """
    bounds = novelty.values + extra
    for n_picked in range(budget):
        best = _best(novelty, extra, bounds, n_picked)
        if best is None:
            return
        yield best, float(bounds[best])
        advance()
        bounds[closes(best)] = -np.inf
        bounds[best] = -np.inf
        novelty.picked(best)


def _best(novelty: Novelty, extra: np.ndarray, bounds: np.ndarray, n_picked: int) -> int | None:
    """The first of the best candidates, after bringing up to date those that could be it."""
    size = FEW
    while True:
        top = float(bounds.max(initial=-np.inf))
        if top == -np.inf:
            return None
        tied = np.flatnonzero(bounds >= top - TIE)
        stale = tied[novelty.fresh[tied] < n_picked]
        if not len(stale):
            return int(tied[0])
        if len(stale) < size:
            place = max(len(bounds) - size, 0)
            high = np.argpartition(bounds, place)[place:]
            high = high[(novelty.fresh[high] < n_picked) & (bounds[high] > -np.inf)]
            stale = np.union1d(stale, high)
        for part in _parts(stale):
            novelty.refresh(part)
        bounds[stale] = novelty.values[stale] + extra[stale]
        size = min(2 * size, MANY)


def _parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Rows in parts of bounded size."""
    for start in range(0, len(rows), MANY):
        yield rows[start : start + MANY]
