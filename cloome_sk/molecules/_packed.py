"""Binary fingerprints with eight bits to a byte, as they are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 1024
"""Rows packed and unpacked at once."""


@dataclass(frozen=True)
class PackedBits:
    """Binary fingerprints, eight bits to a byte.

    Attributes
    ----------
    words : ndarray of uint64, shape (n_molecules, n_words)
        The bits, filled up with zeros.
    counts : ndarray of int64, shape (n_molecules,)
        Bits set.
    n_bits : int
        Length of a fingerprint.
    """

    words: np.ndarray
    counts: np.ndarray
    n_bits: int

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def of_blocks(cls, blocks: Iterator[np.ndarray], n_bits: int) -> PackedBits:
        """Pack blocks of rows of 0 and 1."""
        n_bytes = -(-n_bits // 64) * 8
        packed = []
        for block in blocks:
            rows = np.zeros((len(block), n_bytes), dtype=np.uint8)
            rows[:, : -(-n_bits // 8)] = np.packbits(block, axis=1)
            packed.append(rows)
        rows = np.concatenate(packed) if packed else np.zeros((0, n_bytes), dtype=np.uint8)
        words = rows.view(np.uint64)
        counts = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
        return cls(words, counts, n_bits)

    def unpacked(self, rows: slice) -> np.ndarray:
        """Some rows as 0 and 1."""
        return np.unpackbits(self.words[rows].view(np.uint8), axis=1, count=self.n_bits)


def packed_bits(fps: Any, name: str) -> PackedBits:
    """Pack a matrix of 0 and 1, checking it on the way."""
    matrix = np.asarray(fps)
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf" or not matrix.shape[1]:
        raise ValueError(
            f"{name}: expected a matrix of fingerprints, (n_molecules, n_bits) of 0 and 1, got an "
            f"array of shape {matrix.shape} and dtype {matrix.dtype}."
        )
    blocks = (
        _checked(matrix[start : start + BLOCK], start, name)
        for start in range(0, len(matrix), BLOCK)
    )
    return PackedBits.of_blocks(blocks, matrix.shape[1])


def _checked(block: np.ndarray, start: int, name: str) -> np.ndarray:
    set_bits = block == 1
    wrong = ~(set_bits | (block == 0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name}: fingerprints must hold 0 and 1 only; row {row + start}, bit {column} is "
            f"{block[row, column]}. Counts are made binary by `fps > 0`."
        )
    return set_bits
