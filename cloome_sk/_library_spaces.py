"""Two ways in which compounds are near each other: by predicted phenotype and by structure."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from cloome_sk._nearest import row_blocks
from cloome_sk.molecules._packed import PackedBits
from cloome_sk.molecules.similarity import nearest_tanimoto

N_PAIRS = 10_000
"""Pairs of molecules that say what distance is usual."""


class Space(Protocol):
    """Compounds of which any two have a distance.

    Attributes
    ----------
    name : str
        What the distance is taken of.
    most : float
        No distance is larger.
    """

    name: str
    most: float

    def known(self, rows: np.ndarray) -> np.ndarray:
        """Whether each of some compounds has a place in it, bool, shape (n_rows,)."""

    def distances(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Distances of some compounds to some others, float64, shape (n_rows, n_columns)."""

    def nearest(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Distance of each of some compounds to the closest of some others, float64."""


class PhenotypeSpace:
    """Vectors of phenotypes, compared by 1 − cosine.

    Parameters
    ----------
    vectors : ndarray of float, shape (n_compounds, n_components)
        Unit vectors; NaN in a row that has none.
    """

    name = "phenotype"
    most = 2.0

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def known(self, rows: np.ndarray) -> np.ndarray:
        """Whether there is a vector."""
        return ~np.isnan(self.vectors[rows, 0])

    def distances(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """1 − cosine, in [0, 2]."""
        left = self.vectors[rows].astype(np.float64)
        return _distance(left, self.vectors[columns].astype(np.float64))

    def nearest(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Of the closest, a block of rows at a time."""
        right = self.vectors[columns].astype(np.float64)
        out = np.full(len(rows), self.most)
        for block in row_blocks(len(rows), 16 * max(len(columns), self.vectors.shape[1])):
            left = self.vectors[rows[block]].astype(np.float64)
            out[block] = _distance(left, right).min(axis=1, initial=self.most)
        return out


class StructureSpace:
    """Binary fingerprints, compared by 1 − Tanimoto similarity.

    Parameters
    ----------
    packed : PackedBits
        Of all compounds.
    """

    name = "structure"
    most = 1.0

    def __init__(self, packed: PackedBits) -> None:
        self.packed = packed
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def known(self, rows: np.ndarray) -> np.ndarray:
        """Every structure has a fingerprint."""
        return np.ones(len(rows), dtype=bool)

    def distances(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """1 − Tanimoto, in [0, 1]; two empty fingerprints have 1."""
        # Counts below 2^24 are whole numbers in float32, so that the product is exact.
        common = (self._bits(rows) @ self._columns(columns).T).astype(np.float64)
        counts = self.packed.counts
        total = counts[rows][:, np.newaxis] + counts[columns] - common
        return 1.0 - common / np.maximum(total, 1)

    def nearest(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Of the closest, by `nearest_tanimoto`."""
        if not len(rows) or not len(columns):
            return np.full(len(rows), self.most)
        return 1.0 - nearest_tanimoto(self._some(rows), self._some(columns))[0]

    def _bits(self, rows: np.ndarray) -> np.ndarray:
        words = np.ascontiguousarray(self.packed.words[rows])
        return np.unpackbits(words.view(np.uint8), axis=1).astype(np.float32)

    def _columns(self, columns: np.ndarray) -> np.ndarray:
        """Bits of columns, kept for the next time that the same array asks for them."""
        if self._last is None or self._last[0] is not columns:
            self._last = (columns, self._bits(columns))
        return self._last[1]

    def _some(self, rows: np.ndarray) -> PackedBits:
        packed = self.packed
        return PackedBits(
            np.ascontiguousarray(packed.words[rows]), packed.counts[rows], packed.n_bits
        )


def usual_distance(space: Space, order: np.ndarray) -> float:
    """Median distance of neighbours in an order that has nothing to do with the space.

    Parameters
    ----------
    space : Space
        Where distances are taken.
    order : ndarray of intp
        Compounds in the order of their keys, which are hashes: neighbours are random pairs.

    Returns
    -------
    float
        1 where there is no pair, or all are the same.
    """
    step = max(1, (len(order) - 1) // N_PAIRS)
    first = np.arange(0, len(order) - 1, step)[:N_PAIRS]
    found = [
        np.diagonal(space.distances(order[part], order[part + 1]))
        for part in np.array_split(first, max(1, len(first) // 256))
        if len(part)
    ]
    median = float(np.median(np.concatenate(found))) if found else 0.0
    return median if median > 0 else 1.0


def _distance(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """1 − inner product of unit vectors, without what rounding puts out of range."""
    return np.clip(1.0 - left @ right.T, 0.0, 2.0)
