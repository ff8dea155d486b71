"""How long it takes to decide the batches of an epoch."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch.utils.data import BatchSampler, RandomSampler

from benchmarks._timing import Case, Comparison
from cloome_sk.training import ReplicateSpreadingSampler

BATCH_SIZE = 256
SIMULATED = 3_000_000
"""Sites of a screen as large as JUMP."""


def rows(full: bool) -> Iterator[Case]:
    """Compare a new sampler and its first epoch with plain shuffling, which spreads nothing."""
    for screen, molecules, plates in _screens():
        size = f"{len(molecules):,} {screen}"
        active = molecules % 5 == 0
        choices: dict[str, dict[str, Any]] = {
            "spread replicates": {},
            "and keep to plate layouts": {"plates": plates},
            "and balance labels": {"plates": plates, "balance": active, "equal_shares": True},
        }
        for name, options in choices.items():
            yield Comparison(
                name,
                size,
                partial(_spread, molecules, options),
                "torch's BatchSampler(RandomSampler)",
                partial(_shuffle, molecules),
            )


def _screens() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The wells of the Bray screen where there are any, and a simulation of many more sites."""
    home = os.environ.get("CLOOME_SK_DATA")
    if home:
        path = Path(home) / "metadata" / "bray_idr0016_wells.parquet"
        wells = pd.read_parquet(path, columns=["broad_id", "plate_id"])
        codes = [pd.factorize(wells[column])[0] for column in wells]
        yield "wells of the Bray screen", codes[0], codes[1]
    else:
        yield "wells, simulated", *_layouts(155_722, 95)
    yield "sites, simulated", *_layouts(SIMULATED, 363)


def _layouts(n_rows: int, n_layouts: int) -> tuple[np.ndarray, np.ndarray]:
    """Molecules and plates: layouts of 320 molecules, each on four plates."""
    rng = np.random.default_rng(0)
    molecules = rng.integers(320 * n_layouts, size=n_rows)
    return molecules, molecules // 320 * 4 + rng.integers(4, size=n_rows)


def _spread(molecules: np.ndarray, options: dict[str, Any]) -> None:
    _consume(ReplicateSpreadingSampler(molecules, BATCH_SIZE, seed=0, **options))


def _shuffle(molecules: np.ndarray) -> None:
    _consume(BatchSampler(RandomSampler(range(len(molecules))), BATCH_SIZE, drop_last=False))


def _consume(batches: Iterable[list[int]]) -> None:
    """Make every batch, keep none."""
    deque(batches, maxlen=0)
