"""Tanimoto similarity of many fingerprints: all neighbours above a threshold, and the nearest.

A matrix product of bit vectors counts the bits that two molecules share, at full length for most
pairs in vain: they are far apart. Here the columns are first added together into a few hundred.
The product of these counts can only be larger than the number of shared bits, so it tells which
pairs cannot reach the threshold; the few others are counted exactly.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from cloome_sk.molecules._packed import PackedBits, packed_bits

COARSE, FINE = 256, 512
"""Columns after adding: the fine ones cost twice, and pay where the threshold is low."""

LOW_THRESHOLD = 0.35
"""Below it, the coarse columns let too many pairs through to the exact count."""

PAIRS = 1 << 16
"""Pairs counted exactly at once: 16 MiB for 2,048 bits."""

BLOCK = 1024
"""Rows and columns of a block of the product: 4 MiB."""


def tanimoto_neighbors(
    fps: Any, threshold: float, *, block_size: int = BLOCK, verbose: int = 0
) -> csr_array:
    """Find all pairs of molecules with a Tanimoto similarity of at least the threshold.

    All pairs are compared, a block of rows at a time: time grows with the square of the number
    of molecules (about a minute of one core for 100,000), memory only with the number of
    molecules and of neighbours found. No result is approximate.

    Parameters
    ----------
    fps : array-like of 0 and 1, shape (n_molecules, n_bits)
        Binary fingerprints, such as `morgan_fingerprints` gives.
    threshold : float
        Least Tanimoto similarity of neighbours, in (0, 1].
    block_size : int, default=1024
        Rows compared at once; a block takes ``4 * block_size ** 2`` bytes.
    verbose : int, default=0
        Above 0: show a progress bar.

    Returns
    -------
    scipy.sparse.csr_array of float64, shape (n_molecules, n_molecules)
        The similarities of neighbours; symmetric, with an empty diagonal. The neighbours of
        molecule ``i`` are ``indices[indptr[i]:indptr[i + 1]]``, in ascending order.

    Raises
    ------
    ValueError
        For fingerprints that are not two-dimensional or hold other values than 0 and 1, or a
        threshold or block size out of range.

    Notes
    -----
    The similarity is the ratio of the numbers of common and of all set bits, in float64, as RDKit
    computes it, and two empty fingerprints have similarity 0.

    Examples
    --------
    >>> from cloome_sk.molecules import morgan_fingerprints, tanimoto_neighbors
    >>> bits = morgan_fingerprints(["CCCCO", "c1ccccc1", "CCCO"])
    >>> neighbors = tanimoto_neighbors(bits, 0.4)
    >>> neighbors.indices[neighbors.indptr[0] : neighbors.indptr[1]].tolist()
    [2]
    >>> round(float(neighbors[0, 2]), 3)
    0.583
    """
    check_threshold(threshold)
    check_block_size(block_size)
    packed = fps if isinstance(fps, PackedBits) else packed_bits(fps, "fps")
    n = len(packed)
    folded = _Folded(packed, FINE if threshold < LOW_THRESHOLD else COARSE)
    right = folded.columns(packed, block_size)
    slack = folded.slack(right, packed.counts)
    rate = threshold / (1 + threshold)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    with _bar(n * (n - 1) // 2, "Tanimoto", verbose) as bar:
        for start in range(0, n, block_size):
            block = slice(start, start + block_size)
            left = _against(right[block], np.full(len(right[block]), rate), packed.counts[block])
            for other in range(start, n, block_size):
                margin = left @ right[other : other + block_size].T
                near, far = np.divmod(np.flatnonzero(margin >= -slack), margin.shape[1])
                near, far = near + start, far + other
                upper = near < far
                found.append(_at_least(packed, near[upper], far[upper], threshold))
            done = len(left)
            bar.update(done * (n - start - done) + done * (done - 1) // 2)
    near, far, similarity = _joined(found)
    both = (np.concatenate([near, far]), np.concatenate([far, near]))
    return coo_array((np.concatenate([similarity, similarity]), both), shape=(n, n)).tocsr()


def nearest_tanimoto(
    query: Any, reference: Any, *, block_size: int = BLOCK, verbose: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Find the most similar reference molecule of each query molecule.

    Parameters
    ----------
    query : array-like of 0 and 1, shape (n_queries, n_bits)
        Binary fingerprints.
    reference : array-like of 0 and 1, shape (n_references, n_bits)
        Binary fingerprints; at least one.
    block_size : int, default=1024
        Rows compared at once; a block takes ``4 * block_size ** 2`` bytes.
    verbose : int, default=0
        Above 0: show a progress bar.

    Returns
    -------
    similarity : ndarray of float64, shape (n_queries,)
        Highest Tanimoto similarity to a reference, in [0, 1].
    index : ndarray of intp, shape (n_queries,)
        Position of that reference; the first one where several are equally similar.

    Raises
    ------
    ValueError
        For no reference, fingerprints of two lengths, values other than 0 and 1, or a block size
        out of range.

    Examples
    --------
    >>> from cloome_sk.molecules import morgan_fingerprints, nearest_tanimoto
    >>> reference = morgan_fingerprints(["CCCCO", "c1ccccc1"])
    >>> similarity, index = nearest_tanimoto(morgan_fingerprints(["CCCO"]), reference)
    >>> similarity.round(3), index
    (array([0.583]), array([0]))
    """
    check_block_size(block_size)
    asked = query if isinstance(query, PackedBits) else packed_bits(query, "query")
    known = reference if isinstance(reference, PackedBits) else packed_bits(reference, "reference")
    if not len(known):
        raise ValueError("nearest_tanimoto: there is no reference fingerprint to compare with.")
    if asked.n_bits != known.n_bits:
        raise ValueError(
            f"nearest_tanimoto: the query fingerprints have {asked.n_bits} bits, the reference "
            f"fingerprints {known.n_bits}; compute both with the same n_bits."
        )
    folded = _Folded(known, FINE)
    right = folded.columns(known, block_size)
    best = np.zeros(len(asked))
    index = np.zeros(len(asked), dtype=np.intp)
    # A first guess from references spread over all of them spares most of the exact counts.
    spread = np.arange(0, len(known), -(-len(known) // block_size))
    with _bar(len(asked) * len(known), "Nearest Tanimoto", verbose) as bar:
        for start in range(0, len(asked), block_size):
            block = slice(start, min(start + block_size, len(asked)))
            rows = np.arange(block.start, block.stop)
            own = folded.columns(asked, block_size, block)
            slack = folded.slack(own, asked.counts[block], right, known.counts)
            guess = spread[_guess(own, asked.counts[block], right[spread], known.counts[spread])]
            best[block], index[block] = _similarity(asked, rows, known, guess), guess
            for other in range(0, len(known), block_size):
                rate = best[block] / (1 + best[block])
                left = _against(own, rate, asked.counts[block])
                margin = left @ right[other : other + block_size].T
                near, far = np.divmod(np.flatnonzero(margin >= -slack), margin.shape[1])
                _improve(best, index, asked, near + start, known, far + other)
            bar.update(len(rows) * len(known))
    return best, index


def _improve(
    best: np.ndarray,
    index: np.ndarray,
    asked: PackedBits,
    near: np.ndarray,
    known: PackedBits,
    far: np.ndarray,
) -> None:
    """Take over the pairs that beat the best so far, or tie with it and stand first."""
    similarity = _similarity(asked, near, known, far)
    better = (similarity > best[near]) | ((similarity == best[near]) & (far < index[near]))
    near, far, similarity = near[better], far[better], similarity[better]
    order = np.lexsort((far, -similarity, near))
    rows, first = np.unique(near[order], return_index=True)
    best[rows], index[rows] = similarity[order][first], far[order][first]


class _Folded:
    """Which columns are added together: frequent bits apart from each other."""

    def __init__(self, packed: PackedBits, n_columns: int) -> None:
        self.n_columns = min(n_columns, packed.n_bits)
        frequency = np.zeros(packed.n_bits, dtype=np.int64)
        for start in range(0, len(packed), BLOCK):
            frequency += packed.unpacked(slice(start, start + BLOCK)).sum(axis=0, dtype=np.int64)
        self.order = np.argsort(-frequency, kind="stable")

    def columns(self, packed: PackedBits, block_size: int, rows: slice = slice(None)) -> np.ndarray:
        """Added columns, then a column of ones and one of the bits set, for `_against`."""
        start, stop, _ = rows.indices(len(packed))
        out = np.zeros((stop - start, self.n_columns + 2), dtype=np.float32)
        for first in range(start, stop, block_size):
            part = slice(first, min(first + block_size, stop))
            bits = packed.unpacked(part)[:, self.order]
            here = out[part.start - start : part.stop - start]
            for place in range(0, packed.n_bits, self.n_columns):
                piece = bits[:, place : place + self.n_columns]
                here[:, : piece.shape[1]] += piece
        out[:, -2] = 1
        out[:, -1] = packed.counts[start:stop]
        return out

    def slack(
        self,
        left: np.ndarray,
        left_counts: np.ndarray,
        right: np.ndarray | None = None,
        right_counts: np.ndarray | None = None,
    ) -> float:
        """More than the rounding of a float32 product of these columns can be."""
        right = left if right is None else right
        counts = left_counts if right_counts is None else right_counts
        if not left.size or not right.size:
            return 0.0
        largest = float(left[:, : self.n_columns].max()) * float(counts.max())
        return 0.01 + 2e-5 * (largest + float(left_counts.max()) + float(counts.max()))


def _against(columns: np.ndarray, rate: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Left factor whose product with the columns is the margin above a threshold t.

    Tanimoto c / (a + b - c) >= t is c - t / (1 + t) * (a + b) >= 0; `rate` is t / (1 + t).
    """
    left = columns.copy()
    left[:, -2] = -rate * counts
    left[:, -1] = -rate
    return left


def _guess(
    own: np.ndarray, counts: np.ndarray, right: np.ndarray, right_counts: np.ndarray
) -> np.ndarray:
    """For each row, the right column of highest similarity in the added columns."""
    common = own[:, :-2] @ right[:, :-2].T
    total = counts[:, None] + right_counts[None, :] - common
    return np.argmax(common / np.maximum(total, 1), axis=1)


def _similarity(
    left: PackedBits, rows: np.ndarray, right: PackedBits, columns: np.ndarray
) -> np.ndarray:
    """Tanimoto similarity of pairs, counted exactly."""
    out = np.zeros(len(rows))
    for start in range(0, len(rows), PAIRS):
        part = slice(start, start + PAIRS)
        near, far = rows[part], columns[part]
        common = np.bitwise_count(left.words[near] & right.words[far]).sum(axis=1, dtype=np.int64)
        total = left.counts[near] + right.counts[far] - common
        out[part] = common / np.maximum(total, 1)
    return out


def _at_least(
    packed: PackedBits, rows: np.ndarray, columns: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs that reach the threshold, and their similarity."""
    similarity = _similarity(packed, rows, packed, columns)
    kept = similarity >= threshold
    return rows[kept].astype(np.int32), columns[kept].astype(np.int32), similarity[kept]


def _joined(
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of all blocks."""
    none = np.zeros(0, dtype=np.int32)
    rows, columns, values = zip((none, none, np.zeros(0)), *parts, strict=True)
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(values)


def check_threshold(threshold: Any) -> None:
    """Refuse what is no similarity that tells neighbours apart."""
    if (
        isinstance(threshold, bool)
        or not isinstance(threshold, Real)
        or not 0 < float(threshold) <= 1
    ):
        raise ValueError(
            f"threshold must be a Tanimoto similarity in (0, 1], got {threshold!r}. At 0, every "
            "molecule is a neighbour of every other."
        )


def check_block_size(block_size: Any) -> None:
    """Refuse what is no number of rows."""
    if isinstance(block_size, bool) or not isinstance(block_size, Integral) or block_size < 1:
        raise ValueError(f"block_size must be an integer of at least 1, got {block_size!r}.")


def _bar(total: int, description: str, verbose: int) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=description, unit="pair", unit_scale=True, disable=not verbose)
