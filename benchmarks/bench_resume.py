"""What it costs to keep the state of training."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks._data import profiles
from benchmarks._timing import Case, Comparison
from cloome_sk import CloomeEmbedder


def rows(full: bool) -> Iterator[Case]:
    """Compare a fit that keeps its state with one that does not, and going on with beginning."""
    n_pairs, epochs = (8_192, 20) if full else (2_048, 5)
    job = _Job(profiles(n_pairs, n_pairs // 8), epochs)
    size = f"{n_pairs:,} pairs, {epochs} epochs of {n_pairs // 256} updates, 21 MB of weights"
    try:
        yield Comparison("fit, state after each epoch", size, job.each_epoch, "fit", job.plain)
        yield Comparison("fit, state every 4 updates", size, job.each_fourth, "fit", job.plain)
        yield Comparison("fit(resume=True) when done", size, job.resume, "fit", job.plain)
    finally:
        shutil.rmtree(job.folder)


class _Job:
    """Fits that differ in what they keep."""

    def __init__(self, table: Any, max_epochs: int) -> None:
        self.table, self.max_epochs = table, max_epochs
        self.folder = tempfile.mkdtemp()

    def _embedder(self, **changes: Any) -> CloomeEmbedder:
        return CloomeEmbedder(max_epochs=self.max_epochs, device="cpu", random_state=0, **changes)

    def plain(self) -> CloomeEmbedder:
        return self._embedder().fit(self.table)

    def each_epoch(self) -> CloomeEmbedder:
        return self._embedder(checkpoint_dir=self.folder).fit(self.table)

    def each_fourth(self) -> CloomeEmbedder:
        return self._embedder(checkpoint_dir=self.folder, checkpoint_every=4).fit(self.table)

    def resume(self) -> CloomeEmbedder:
        return self._embedder(checkpoint_dir=self.folder).fit(self.table, resume=True)
