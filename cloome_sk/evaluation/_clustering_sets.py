"""Sets of compounds that count as right, and the random sets they are compared with."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np


@dataclass(frozen=True)
class LabelSets:
    """Sets of one size among the compounds of one universe.

    Attributes
    ----------
    universe : ndarray of bool, shape (n_compounds,)
        The compounds that are ranked, and that a set is drawn from.
    members : ndarray of int32, shape (n_sets, size)
        Compounds of each set.
    n_observed : int
        So many sets, the first ones, are real; the others are drawn.
    """

    universe: np.ndarray
    members: np.ndarray
    n_observed: int
    _sets: np.ndarray = field(init=False, repr=False)
    _starts: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Turn the sets round: of each compound, which sets it is in."""
        flat = self.members.ravel()
        order = np.argsort(flat, kind="stable")
        size = max(self.members.shape[1], 1)
        object.__setattr__(self, "_sets", (order // size).astype(np.int32))
        counts = np.bincount(flat, minlength=len(self.universe))
        object.__setattr__(self, "_starts", np.concatenate([[0], np.cumsum(counts)]))

    def holding(self, compound: int) -> np.ndarray:
        """Which sets a compound is in, in ascending order."""
        return self._sets[self._starts[compound] : self._starts[compound + 1]]


@dataclass(frozen=True)
class Plan:
    """What to draw: random sets like the observed ones, in one universe.

    Attributes
    ----------
    universe : ndarray of bool, shape (n_compounds,)
        Compounds that a set is drawn from.
    observed : ndarray of int32, shape (n_observed, size)
        Sets whose random counterparts are the same.
    blocks : list of (ndarray, ndarray)
        Blocks that may stand for each other: compounds of each, shape (n_blocks, block_size), and
        the patterns of members to be dealt to them, bool of shape (n_patterns, block_size), no
        pattern being empty. All patterns together have as many members as a set.
    entropy : list of int
        Seed of the draws, which depends on this plan alone.
    """

    universe: np.ndarray
    observed: np.ndarray
    blocks: list[tuple[np.ndarray, np.ndarray]]
    entropy: list[int]

    def __post_init__(self) -> None:
        """Refuse patterns that would not fill a set, whose rest would be anything."""
        dealt = sum(int(patterns.sum()) for _, patterns in self.blocks)
        if dealt != self.observed.shape[1]:
            raise ValueError(
                f"A set of {self.observed.shape[1]} compounds has {dealt} distinct ones in its "
                "universe; each must be there once."
            )

    def n_bytes(self, n_draws: int) -> int:
        """Memory that the sets take when drawn."""
        return 8 * (n_draws + len(self.observed)) * self.observed.shape[1]

    @property
    def can_move(self) -> bool:
        """Whether any draw can differ from what was observed."""
        return any(
            0 < len(patterns) < len(rows)
            or (len(patterns) > 1 and len(np.unique(patterns, axis=0)) > 1)
            for rows, patterns in self.blocks
        )

    def draw(self, n_draws: int) -> LabelSets:
        """Observed sets first, then random ones."""
        rng = np.random.default_rng(np.random.SeedSequence(self.entropy))
        n_observed, size = self.observed.shape
        members = np.empty((n_observed + n_draws, size), dtype=np.int32)
        members[:n_observed] = self.observed
        for place in range(n_observed, len(members)):
            at = 0
            for rows, patterns in self.blocks:
                if not len(patterns):
                    continue
                chosen = rows[rng.choice(len(rows), len(patterns), replace=False)][patterns]
                members[place, at : at + len(chosen)] = chosen
                at += len(chosen)
        return LabelSets(self.universe, members, n_observed)


def plans_of(
    labels: list[np.ndarray],
    universes: list[np.ndarray],
    *,
    groups: np.ndarray,
    strata: np.ndarray,
    seed: int,
) -> tuple[list[Plan], list[tuple[int, int]]]:
    """Plans of random sets, shared where universe and composition are the same.

    Parameters
    ----------
    labels : list of ndarray of int32
        Compounds of each observed set, ascending.
    universes : list of ndarray of bool
        Compounds that it was drawn from, one array an observed set.
    groups, strata : ndarray of int, shape (n_compounds,)
        Compounds of one group move together; a compound is only replaced by one of its stratum.
    seed : int
        Of all draws.

    Returns
    -------
    plans : list of Plan
    places : list of (int, int)
        Of each observed set, its plan and its row there.
    """
    found: dict[tuple[Hashable, ...], list[int]] = {}
    blocks_of: dict[Hashable, list[tuple[np.ndarray, np.ndarray]]] = {}
    for place, (own, universe) in enumerate(zip(labels, universes, strict=True)):
        blocks = _blocks(own, universe, groups, strata)
        key = (np.packbits(universe).tobytes(), len(own), _composition(blocks))
        found.setdefault(key, []).append(place)
        blocks_of.setdefault(key, blocks)
    plans: list[Plan] = []
    places = [(0, 0)] * len(labels)
    for kind, members in found.items():
        for row, place in enumerate(members):
            places[place] = (len(plans), row)
        # Seeded by what is drawn, so that an assay's p is the same whatever stands beside it.
        entropy = [seed, *(crc32(repr(part).encode()) for part in kind)]
        observed = np.array([labels[place] for place in members], dtype=np.int32)
        plans.append(Plan(universes[members[0]], observed, blocks_of[kind], entropy))
    return plans, places


def _blocks(
    own: np.ndarray, universe: np.ndarray, groups: np.ndarray, strata: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Groups that may stand for each other, of one size and of the same strata."""
    rows = np.flatnonzero(universe)
    order = np.lexsort((rows, strata[rows], groups[rows]))
    rows = rows[order]
    starts = np.flatnonzero(np.diff(groups[rows], prepend=groups[rows[0]] - 1))
    sizes = np.diff(starts, append=len(rows))
    is_own = np.zeros(len(universe), dtype=bool)
    is_own[own] = True
    out = []
    for size in np.unique(sizes):
        of_size = rows[starts[sizes == size][:, None] + np.arange(size)]
        kinds, kind = np.unique(strata[of_size], axis=0, return_inverse=True)
        for code in range(len(kinds)):
            same = of_size[kind.reshape(-1) == code]
            patterns = is_own[same]
            patterns = patterns[patterns.any(axis=1)]
            # In an order of their own: sets of one composition are dealt the same draws.
            out.append((same, patterns[np.lexsort(patterns.T)]))
    return out


def _composition(blocks: list[tuple[np.ndarray, np.ndarray]]) -> tuple[bytes, ...]:
    """What two observed sets must share to share their draws, whatever the order of patterns."""
    return tuple(
        b"".join(sorted(map(bytes, np.packbits(patterns, axis=1)))) for _, patterns in blocks
    )
