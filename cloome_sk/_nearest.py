"""Exact nearest neighbours by cosine, with rows left out and rows grouped before the cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn import get_config

CHUNK = 4096
"""Rows taken to float64 at a time."""


class Hits(NamedTuple):
    """The hits of all queries one after the other, best first within a query.

    Attributes
    ----------
    query, row : ndarray of intp, shape (n_hits,)
        Positions of the query and of the database row.
    similarity : ndarray of float64, shape (n_hits,)
        Cosine, in [-1, 1].
    """

    query: np.ndarray
    row: np.ndarray
    similarity: np.ndarray


def blocks(n_rows: int, size: int) -> Iterator[slice]:
    """Cut rows into blocks of at most `size`; none for no rows."""
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def row_blocks(n_rows: int, row_bytes: int) -> Iterator[slice]:
    """Blocks of rows that each keep to scikit-learn's `working_memory` setting, if one row does."""
    return blocks(n_rows, max(int(get_config()["working_memory"] * 2**20) // row_bytes, 1))


def cosine(query: np.ndarray, database: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Cosine of one vector with some rows, in float64, the same for equal rows wherever they are.

    A matrix product would be faster, but its last digit depends on where a row stands in it, and
    equal vectors (replicates of a molecule) must tie exactly.
    """
    query = query.astype(np.float64)
    squared = np.einsum("j,j->", query, query)
    out = np.empty(len(rows))
    for chunk in blocks(len(rows), CHUNK):
        vectors = database[rows[chunk]].astype(np.float64)
        dots = np.einsum("ij,j->i", vectors, query)
        length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors) * squared)
        out[chunk] = dots / np.where(length > 0, length, 1.0)
    return np.clip(out, -1.0, 1.0)


def nearest(
    queries: np.ndarray,
    database: np.ndarray,
    n_neighbors: int,
    *,
    candidates: np.ndarray,
    own: np.ndarray | None = None,
    clashes: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    groups: np.ndarray | None = None,
) -> Hits:
    """Find the most similar database rows of each query, ties in order of the rows.

    Parameters
    ----------
    queries : ndarray of float, shape (n_queries, n_components)
        Unit vectors.
    database : ndarray of float, shape (n_rows, n_components)
        Unit vectors; rows that are not candidates may hold anything.
    n_neighbors : int
        Most hits a query gets.
    candidates : ndarray of intp
        Ascending positions of the rows that may be hits.
    own : ndarray of intp, shape (n_queries,), optional
        The database row that each query is, never its own hit.
    clashes : sequence of (ndarray of int, ndarray of int)
        Codes of the queries and of the database rows; a row is no hit of a query that has the
        same code. Negative codes are missing values and equal nothing.
    groups : ndarray of int, shape (n_rows,), optional
        A query gets the best row of each group only.

    Returns
    -------
    Hits
        Fewer than `n_neighbors` for a query where there are no more.
    """
    order = candidates
    group_of, starts = None, None
    if groups is not None:
        order = candidates[np.argsort(groups[candidates], kind="stable")]
        _, starts, group_of = np.unique(groups[order], return_index=True, return_inverse=True)
    column_of = np.full(len(database), -1, dtype=np.intp)
    column_of[order] = np.arange(len(order))
    every_row = len(order) == len(database) and groups is None

    # Rows are short-listed by the fast product and ranked by `cosine`. The product of unit
    # vectors is off by less than half of `margin`, so no row that belongs to the best is missed.
    margin = 2 * (queries.shape[1] + 8) * np.finfo(np.result_type(queries, database)).eps
    found: list[tuple[int, np.ndarray, np.ndarray]] = []
    row_bytes = 3 * len(database) * queries.dtype.itemsize + 2 * len(database)
    for block in row_blocks(len(queries), row_bytes):
        # Rows without an embedding are NaN; they are not in `order`.
        with np.errstate(invalid="ignore"):
            product = queries[block] @ database.T
        if not every_row:
            product = product[:, order]
        for query_codes, row_codes in clashes:
            codes = query_codes[block, np.newaxis]
            product[(codes == row_codes[order]) & (codes >= 0)] = -np.inf
        if own is not None:
            column = column_of[own[block]]
            at = np.flatnonzero(column >= 0)
            product[at, column[at]] = -np.inf
        best = product if starts is None else np.maximum.reduceat(product, starts, axis=1)
        last = max(best.shape[1] - n_neighbors, 0)
        threshold = np.partition(best, last, axis=1)[:, last]
        for row, similar in enumerate(product):
            short = (similar >= threshold[row] - margin) & (similar > -np.inf)
            if group_of is not None:
                short &= similar >= best[row][group_of] - margin
            rows = order[np.flatnonzero(short)]
            query = block.start + row
            similarity = cosine(queries[query], database, rows)
            rank = np.lexsort((rows, -similarity))
            if groups is not None:
                _, first = np.unique(groups[rows[rank]], return_index=True)
                rank = rank[np.sort(first)]
            rank = rank[:n_neighbors]
            found.append((query, rows[rank], similarity[rank]))
    sizes = [len(rows) for _, rows, _ in found]
    return Hits(
        np.repeat(np.array([query for query, _, _ in found], dtype=np.intp), sizes),
        np.concatenate([rows for _, rows, _ in found] or [np.empty(0, dtype=np.intp)]),
        np.concatenate([similarity for _, _, similarity in found] or [np.empty(0)]),
    )


def ask_index(
    index: Any,
    queries: np.ndarray,
    database: np.ndarray,
    k: int,
    *,
    candidates: np.ndarray,
    own: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Hits by an index over the candidates, with exact cosines and ties in order of the rows.

    Parameters
    ----------
    index : object
        Fitted to ``database[candidates]``; has ``kneighbors(Z, n_neighbors)``.
    queries, database, candidates, own
        As for `nearest`.
    k : int
        Hits of each query.

    Returns
    -------
    indices : ndarray of intp, shape (n_queries, k)
        Positions of the hits in the database.
    similarity : ndarray of float64, shape (n_queries, k)
        Cosine, in [-1, 1].

    Raises
    ------
    ValueError
        If the index returns too few positions, or such as are none.
    """
    name = type(index).__name__
    n_candidates = len(candidates)
    wanted = k if own is None else k + 1
    _, found = index.kneighbors(queries, wanted)
    found = np.asarray(found)
    if found.shape != (len(queries), wanted):
        raise ValueError(
            f"neighbors={name}: kneighbors returned positions of shape {found.shape}; "
            f"expected {(len(queries), wanted)}."
        )
    if found.min() < 0 or found.max() >= n_candidates:
        row = int(np.argmax(((found < 0) | (found >= n_candidates)).any(axis=1)))
        raise ValueError(
            f"neighbors={name}: kneighbors returned {found[row].tolist()} for query {row}; "
            f"expected {wanted} positions from 0 to {n_candidates - 1}. Approximate indices "
            "return -1 where they find too few: let it search wider, or ask for fewer."
        )
    rows = candidates[found]
    indices = np.empty((len(queries), k), dtype=np.intp)
    similarity = np.empty((len(queries), k))
    for query, hits in enumerate(rows):
        exact = cosine(queries[query], database, hits)
        if own is not None:
            exact[hits == own[query]] = -np.inf
        best = np.lexsort((hits, -exact))[:k]
        indices[query], similarity[query] = hits[best], exact[best]
    return indices, similarity
