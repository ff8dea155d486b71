"""Similarities of queries and database rows, a block of queries at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from cloome_sk.metrics._checks import as_embeddings, as_matrix, check_finite, chunks

_UNIT_32 = 2.0**-24
_UNIT_64 = 2.0**-53


class MatrixScores:
    """A similarity matrix the user computed; its numbers are compared as they stand."""

    slack = 0.0
    band: float | None = None

    def __init__(self, similarity: Any) -> None:
        self.similarity = as_matrix(similarity, "similarity")
        self.n_queries, self.n_rows = self.similarity.shape
        self.order: np.ndarray | None = None

    def exact(self, start: int, stop: int) -> np.ndarray:
        """A block of shape (stop - start, n_rows); a view of the matrix where not reordered."""
        block = np.asarray(self.similarity[start:stop])
        check_finite(block, "similarity", first_row=start)
        if block.dtype.kind != "f":
            block = block.astype(np.float64)
        return block if self.order is None else block[:, self.order]


class CosineScores:
    """Cosine similarities of two sets of vectors.

    Blocks are float32 products, whose last digits depend on where a row happens to stand. Scores
    that differ by more than `band` are in the right order for certain (the rounding error of a
    product of unit vectors of length d is at most (d + 4) units in the last place); the others are
    computed again in float64, where differences below `slack`, again the bound on the rounding
    error, count as ties.
    """

    def __init__(self, query: Any, database: Any) -> None:
        self.query, self._query_lengths = as_embeddings(query, "query")
        self.database, self._lengths = as_embeddings(database, "database")
        n_dimensions = self.query.shape[1]
        if n_dimensions != self.database.shape[1]:
            raise ValueError(
                f"query has {n_dimensions} columns and database {self.database.shape[1]}; "
                "both must come from one embedding space."
            )
        self.n_queries, self.n_rows = len(self.query), len(self.database)
        self.band: float | None = 2 * (n_dimensions + 4) * _UNIT_32
        self.slack = 4 * (n_dimensions + 4) * _UNIT_64
        self._order: np.ndarray | None = None
        self._unit: np.ndarray | None = None

    @property
    def order(self) -> np.ndarray | None:
        """Which database row stands in each column; None for their own order."""
        return self._order

    @order.setter
    def order(self, order: np.ndarray | None) -> None:
        self._order = order
        self._unit = None

    def _rows(self, columns: slice | np.ndarray) -> np.ndarray:
        """Unit vectors, float64, of the database rows that stand in the given columns."""
        rows = columns if self._order is None else self._order[columns]
        return self.database[rows].astype(np.float64) / self._lengths[rows, None]

    def _queries(self, start: int, stop: int) -> np.ndarray:
        """Unit vectors, float64, of some queries."""
        query = self.query[start:stop].astype(np.float64)
        return query / self._query_lengths[start:stop, None]

    def _cut(self) -> list[slice]:
        return chunks(self.n_rows, self.query.shape[1] * 8)

    def fast(self, start: int, stop: int) -> np.ndarray:
        """A float32 block, right to within half of `band`."""
        if self._unit is None:
            self._unit = np.empty(self.database.shape, dtype=np.float32)
            for columns in self._cut():
                self._unit[columns] = self._rows(columns)
        return self._queries(start, stop).astype(np.float32) @ self._unit.T

    def exact(self, start: int, stop: int) -> np.ndarray:
        """A float64 block, right to within half of `slack`."""
        query = self._queries(start, stop)
        block = np.empty((stop - start, self.n_rows))
        for columns in self._cut():
            block[:, columns] = query @ self._rows(columns).T
        return block

    def exact_at(self, query: int, columns: np.ndarray) -> np.ndarray:
        """Float64 scores of one query at some columns."""
        unit = self._queries(query, query + 1)[0]
        scores = np.empty(len(columns))
        for part in chunks(len(columns), self.query.shape[1] * 8):
            scores[part] = self._rows(columns[part]) @ unit
        return scores


Scores = MatrixScores | CosineScores
