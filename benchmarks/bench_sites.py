"""What a cache and a second process save when sites are read for training."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import tifffile

from benchmarks._timing import Case, Comparison
from benchmarks.bench_scaling import CHANNELS, simulated
from cloome_sk.encoders import ImageEncoder
from cloome_sk.imaging.sites import Sites

BATCH = 16


def rows(full: bool) -> Iterator[Case]:
    """Read an epoch of sites with and without a cache; read sites in one process and in two."""
    n_sites = 256 if full else 64
    with TemporaryDirectory() as name:
        folder = Path(name)
        fields, origin = example(folder)
        for compression, stored in ((None, "uncompressed"), ("zlib", "deflate")):
            table = copies(folder / stored, fields, n_sites, compression)
            size = f"{n_sites} sites, 5 x 520x696 uint16, {stored}, {origin}"
            yield from _cases(table, folder, size)


def _cases(table: pd.DataFrame, folder: Path, size: str) -> Iterator[Case]:
    plain = values(table, cache=None)
    kept = values(table, cache=folder / "cache")
    kept.visit(nothing)
    held = values(table, cache="memory")
    held.hold(nothing)
    np.testing.assert_array_equal(kept[0:BATCH], plain[0:BATCH])
    without = partial(epoch, plain)
    yield Comparison("epoch, cache folder", size, partial(epoch, kept), "no cache", without)
    yield Comparison("epoch, in memory", size, partial(epoch, held), "no cache", without)
    one, two = values(table, cache=None, n_jobs=1), values(table, cache=None, n_jobs=2)
    yield Comparison(
        "read + scale, two processes",
        size,
        partial(two.visit, nothing),
        "one process",
        partial(one.visit, nothing),
    )
    yield Comparison(
        "fill a cache, two processes",
        size,
        partial(fill, table, folder / "two", 2),
        "one process",
        partial(fill, table, folder / "one", 1),
    )


def nothing(n_done: int) -> None:
    """Show no progress."""


def fill(table: pd.DataFrame, folder: Path, n_jobs: int) -> None:
    """Prepare all sites into an empty cache."""
    shutil.rmtree(folder, ignore_errors=True)
    values(table, cache=folder, n_jobs=n_jobs).visit(nothing)


def values(table: pd.DataFrame, cache: Any, n_jobs: int | None = None) -> Sites:
    """Sites of a table as an encoder gives them to training."""
    encoder = ImageEncoder(cache=cache, n_jobs=n_jobs)
    encoder.fit(table, np.arange(2))
    return encoder.inputs(table).values


def epoch(sites: Sites) -> None:
    """All sites once, in batches in random order."""
    order = np.random.default_rng(0).permutation(len(sites))
    for start in range(0, len(order), BATCH):
        sites[order[start : start + BATCH]]


def example(folder: Path) -> tuple[list[np.ndarray], str]:
    """The channels of a field: that of the CLOOME paper, or a simulated one."""
    home = os.environ.get("CLOOME_SK_DATA")
    real = Path(home, "images", "cloome_example") if home else None
    if real is not None and real.is_dir():
        return [tifffile.imread(real / f"{name}.tif") for name in CHANNELS], "real field"
    return [tifffile.imread(path) for path in simulated(folder)], "simulated field"


def copies(
    folder: Path, fields: list[np.ndarray], n_sites: int, compression: str | None
) -> pd.DataFrame:
    """Sites that are the field rolled by some pixels, so that each is a file of its own."""
    folder.mkdir()
    table: dict[str, list[str]] = {f"Image_{name}": [] for name in CHANNELS}
    for site in range(n_sites):
        for name, field in zip(CHANNELS, fields, strict=True):
            path = folder / f"{site}_{name}.tif"
            tifffile.imwrite(path, np.roll(field, 7 * site, axis=1), compression=compression)
            table[f"Image_{name}"].append(str(path))
    return pd.DataFrame(table)
