"""Similarities of compounds, a block of queries at a time, whatever they are computed from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from cloome_sk._tables import profile_columns
from cloome_sk.evaluation._clustering_checks import check_dense
from cloome_sk.metrics._checks import as_matrix, check_finite
from cloome_sk.metrics._scores import CosineScores
from cloome_sk.molecules._packed import packed_bits

METRICS = ("cosine", "euclidean", "tanimoto", "precomputed")


class Source(Protocol):
    """What gives the similarity of some queries to all compounds."""

    slack: float
    """Similarities that differ by at most this are ties."""

    def exact(self, start: int, stop: int) -> np.ndarray:
        """Similarities, float, of shape (stop - start, n_compounds)."""


class _Blocks:
    """A function of the user's, whose answers are checked."""

    slack = 0.0

    def __init__(self, function: Callable[[int, int], Any], n_rows: int, purpose: str) -> None:
        self.function, self.n_rows, self.purpose = function, n_rows, purpose

    def exact(self, start: int, stop: int) -> np.ndarray:
        block = np.asarray(self.function(start, stop))
        if block.shape != (stop - start, self.n_rows):
            raise ValueError(
                f"{self.purpose}: features({start}, {stop}) gave an array of shape {block.shape}; "
                f"the similarities of {stop - start} queries to all {self.n_rows} compounds have "
                f"shape {(stop - start, self.n_rows)}."
            )
        if block.dtype.kind not in "fiu":
            raise ValueError(
                f"{self.purpose}: features({start}, {stop}) gave dtype {block.dtype}; similarities "
                "are real numbers."
            )
        check_finite(block, f"{self.purpose}: similarity", first_row=start)
        return block.astype(np.float64, copy=False)


class _Euclidean:
    """Minus the squared Euclidean distance, which ranks as the distance does."""

    slack = 0.0

    def __init__(self, matrix: np.ndarray, purpose: str) -> None:
        check_finite(matrix, f"{purpose}: features")
        self.matrix = matrix.astype(np.float64)

    def exact(self, start: int, stop: int) -> np.ndarray:
        return -cdist(self.matrix[start:stop], self.matrix, "sqeuclidean")


class _Tanimoto:
    """Tanimoto similarity of binary fingerprints: ratios of whole numbers, whose ties are exact."""

    slack = 0.0

    def __init__(self, matrix: np.ndarray, purpose: str) -> None:
        self.packed = packed_bits(matrix, f"{purpose}: features")

    def exact(self, start: int, stop: int) -> np.ndarray:
        counts = self.packed.counts
        own = self.packed.unpacked(slice(start, stop)).astype(np.float32)
        common = np.empty((stop - start, len(counts)))
        for first in range(0, len(counts), 1024):
            part = slice(first, first + 1024)
            # A float32 product counts to 16 million without error.
            common[:, part] = own @ self.packed.unpacked(part).astype(np.float32).T
        total = counts[start:stop, None] + counts[None, :] - common
        return common / np.maximum(total, 1)


class _Precomputed:
    """A square matrix of similarities."""

    slack = 0.0

    def __init__(self, matrix: np.ndarray, purpose: str) -> None:
        if matrix.shape[0] != matrix.shape[1]:
            raise ValueError(
                f"{purpose}: metric='precomputed' takes a square matrix of similarities, got shape "
                f"{matrix.shape}."
            )
        check_finite(matrix, f"{purpose}: similarity")
        self.matrix = matrix

    def exact(self, start: int, stop: int) -> np.ndarray:
        return self.matrix[start:stop].astype(np.float64)


def source_of(features: Any, metric: str, n_rows: int, purpose: str) -> Source:
    """The similarities that features and metric mean, for `n_rows` compounds."""
    if metric not in METRICS:
        raise ValueError(f"{purpose}: metric must be one of {METRICS}, got {metric!r}.")
    if callable(features):
        return _Blocks(features, n_rows, purpose)
    check_dense(features, purpose)
    if isinstance(features, pd.DataFrame):
        features = features[profile_columns(features) or list(features.columns)]
    matrix = as_matrix(features, f"{purpose}: features")
    if len(matrix) != n_rows:
        raise ValueError(
            f"{purpose}: features has {len(matrix)} rows for {n_rows} compounds; one row each, in "
            "the same order."
        )
    if metric == "cosine":
        return CosineScores(matrix, matrix)
    kinds: dict[str, Callable[[np.ndarray, str], Source]] = {
        "euclidean": _Euclidean,
        "tanimoto": _Tanimoto,
        "precomputed": _Precomputed,
    }
    return kinds[metric](matrix, purpose)
