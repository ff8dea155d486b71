"""What a query may find: database rows merged to candidates, and rows taken out of the race."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.metrics._checks import as_labels

Exclusion = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Candidates:
    """How database rows become candidates, and which of them are right for a query.

    The columns of a score block are database rows in the given `order`: first one row of every
    candidate, then a second row of those that have one, and so on. `layers` holds the lengths of
    these runs. Candidates with many rows come first, so each layer is a prefix of the candidates
    and merging is one contiguous maximum a layer. It writes to the block, but only where there is
    a second layer, and then the block is a reordered copy.
    """

    order: np.ndarray | None
    layers: np.ndarray
    first_positive: np.ndarray
    n_positives: np.ndarray

    @property
    def n_candidates(self) -> int:
        """Number of candidates before any exclusion."""
        return int(self.layers[0])

    def merge(self, block: np.ndarray) -> np.ndarray:
        """The best score of each candidate, written over the first layer of the block."""
        merged = block[:, : self.n_candidates]
        start = self.n_candidates
        for size in self.layers[1:]:
            np.maximum(merged[:, :size], block[:, start : start + size], out=merged[:, :size])
            start += size
        return merged

    def columns_of(self, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns of some candidates, and the position among them of each column's owner."""
        starts = np.concatenate([[0], np.cumsum(self.layers)[:-1]])
        held = candidates[:, None] < self.layers
        owner, layer = np.nonzero(held)
        return starts[layer] + candidates[owner], owner


def pair_by_row(n_queries: int, n_rows: int) -> Candidates:
    """Row i of the queries matches row i of the database."""
    if n_queries != n_rows:
        raise ValueError(
            f"Without ids, row i of the queries matches row i of the database, but there are "
            f"{n_queries} queries and {n_rows} database rows. Pass query_ids and database_ids."
        )
    return Candidates(None, np.array([n_rows]), np.arange(n_rows), np.ones(n_rows, dtype=np.intp))


def pair_by_id(query_ids: Any, database_ids: Any, n_queries: int, n_rows: int, *, merge: bool):
    """Rows with the query's id are right; merged to one candidate an id, or kept as rows."""
    query = as_labels(query_ids, "query_ids", n_queries)
    database = as_labels(database_ids, "database_ids", n_rows)
    codes, names = pd.factorize(np.concatenate([database, query]))
    sizes = np.bincount(codes[:n_rows], minlength=len(names))
    # Largest first; ids that only queries have get size 0 and so the last places.
    place = np.empty(len(names), dtype=np.intp)
    place[np.argsort(-sizes, kind="stable")] = np.arange(len(names))
    row_place, query_place = place[codes[:n_rows]], place[codes[n_rows:]]
    by_size = np.sort(sizes)[::-1]
    known = by_size[query_place] > 0
    by_id = np.argsort(row_place, kind="stable")
    starts = np.concatenate([[0], np.cumsum(by_size)[:-1]])
    if not merge:
        return Candidates(
            by_id,
            np.array([n_rows]),
            np.where(known, starts[query_place], -1),
            np.where(known, by_size[query_place], 0),
        )
    layer = np.arange(n_rows) - starts[row_place[by_id]]
    # Without duplicates the rows stay as they are, which spares a copy of every block.
    order = by_id[np.argsort(layer, kind="stable")] if layer.any() else None
    first = np.where(known, query_place, -1)
    return Candidates(order, np.bincount(layer), first, known.astype(np.intp))


def as_exclusion(
    exclude: Any, n_queries: int, n_rows: int, order: np.ndarray | None
) -> Exclusion | None:
    """Turn what the user passed as `exclude` into masks of blocks, columns in candidate order."""
    if exclude is None:
        return None
    if callable(exclude):
        mask = _checked_callable(exclude, n_rows)
    elif isinstance(exclude, tuple | list):
        mask = _equal_labels(exclude, n_queries, n_rows)
    else:
        matrix = np.asarray(exclude)
        if matrix.shape != (n_queries, n_rows) or matrix.dtype != bool:
            raise ValueError(
                f"exclude must be a boolean matrix of shape {(n_queries, n_rows)}, a pair (labels "
                "of the queries, labels of the database), or a callable of (start, stop); got an "
                f"array of shape {matrix.shape} and dtype {matrix.dtype}."
            )
        mask = _slices_of(matrix)
    if order is None:
        return mask
    return lambda start, stop: mask(start, stop)[:, order]


def _slices_of(matrix: np.ndarray) -> Exclusion:
    return lambda start, stop: matrix[start:stop]


def _checked_callable(exclude: Callable[[int, int], Any], n_rows: int) -> Exclusion:
    def mask(start: int, stop: int) -> np.ndarray:
        block = np.asarray(exclude(start, stop))
        if block.shape != (stop - start, n_rows) or block.dtype != bool:
            raise ValueError(
                f"exclude({start}, {stop}) must return a boolean array of shape "
                f"{(stop - start, n_rows)}, got shape {block.shape} and dtype {block.dtype}."
            )
        return block

    return mask


def _equal_labels(exclude: Any, n_queries: int, n_rows: int) -> Exclusion:
    """Rows that share a label with the query, in any of the columns; missing labels share none."""
    if len(exclude) != 2:
        raise ValueError(
            "exclude as labels is a pair (labels of the queries, labels of the database), got "
            f"{len(exclude)} item(s)."
        )
    query, database = (_label_columns(labels) for labels in exclude)
    if query.shape[1] != database.shape[1] or len(query) != n_queries or len(database) != n_rows:
        raise ValueError(
            f"exclude: expected labels of {n_queries} queries and {n_rows} database rows in the "
            f"same number of columns, got shapes {query.shape} and {database.shape}."
        )
    coded = []
    for column in range(query.shape[1]):
        codes, _ = pd.factorize(np.concatenate([query[:, column], database[:, column]]))
        of_query, of_database = codes[:n_queries].copy(), codes[n_queries:]
        # pd.factorize gives every missing label the code -1; -2 matches nothing.
        of_query[of_query == -1] = -2
        coded.append((of_query.astype(np.int32), of_database.astype(np.int32)))

    def mask(start: int, stop: int) -> np.ndarray:
        shared = np.zeros((stop - start, n_rows), dtype=bool)
        for of_query, of_database in coded:
            shared |= of_query[start:stop, None] == of_database
        return shared

    return mask


def _label_columns(labels: Any) -> np.ndarray:
    array = np.asarray(labels, dtype=object)
    return array[:, None] if array.ndim == 1 else array
