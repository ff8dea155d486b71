"""How long it takes to decide the batches of an epoch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
from torch.utils.data import BatchSampler, RandomSampler

from benchmarks._timing import Case, Comparison
from cloome_sk.training import ReplicateSpreadingSampler

BATCH_SIZE = 256
SIZES = ((155_722, 30_324), (3_000_000, 116_000))
"""Rows and molecules: the wells of the Bray screen, and the sites of one as large as JUMP."""


def rows(full: bool) -> Iterator[Case]:
    """Compare a new sampler and its first epoch with plain shuffling, which spreads nothing."""
    for n_rows, n_molecules in SIZES:
        groups = np.random.default_rng(0).integers(n_molecules, size=n_rows)
        yield Comparison(
            "ReplicateSpreadingSampler",
            f"{n_rows:,} rows, {n_molecules:,} molecules",
            partial(_spread, groups),
            "torch's BatchSampler(RandomSampler), no spreading",
            partial(_shuffle, groups),
        )


def _spread(groups: np.ndarray) -> None:
    _consume(ReplicateSpreadingSampler(groups, BATCH_SIZE, seed=0))


def _shuffle(groups: np.ndarray) -> None:
    _consume(BatchSampler(RandomSampler(range(len(groups))), BATCH_SIZE, drop_last=False))


def _consume(batches: Iterable[list[int]]) -> None:
    """Make every batch, keep none."""
    deque(batches, maxlen=0)
