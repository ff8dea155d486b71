"""How the time to find chemical series grows with the number of molecules.

There is no other implementation to compare with; what is shown is seconds, memory and series.
``python -m benchmarks.bench_series`` takes the JUMP compounds in the folder that CLOOME_SK_DATA
names: 1,000 to 30,000 of them, and with ``--full`` all 115,723.
"""

from __future__ import annotations

import argparse
from time import perf_counter
from typing import Any

import pandas as pd

from benchmarks._data import library
from benchmarks._memory import highest_megabytes
from benchmarks._timing import Reported
from cloome_sk.molecules import ChemicalSeries, invalid_smiles

SIZES = (1_000, 3_000, 10_000, 30_000)


def found(smiles: Any, n_jobs: int | None = None) -> dict[str, Any]:
    """Find the series of some molecules, as a record of the table."""
    start = perf_counter()
    finder = ChemicalSeries(n_jobs=n_jobs).fit(smiles)
    seconds = perf_counter() - start
    inside = float((finder.labels_ >= 0).mean())
    what = (
        f"{len(smiles):,} molecules: {len(finder.series_):,} series, {inside:.0%} in one, "
        f"{highest_megabytes() / 2**10:.1f} GB"
    )
    return {
        "name": f"chemical series, {what}",
        "seconds": seconds,
        "reference": "none",
        "reference_seconds": float("nan"),
    }


def rows(full: bool) -> list[Reported]:
    """Made-up libraries of two sizes, or of four."""

    def run() -> list[dict[str, Any]]:
        return [found(library(size)) for size in (SIZES if full else SIZES[:2])]

    return [Reported(run, most=1)]


def main() -> None:
    """Take the JUMP compounds and print a line for each number of them."""
    from cloome_sk.datasets import get_data_home

    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_series")
    parser.add_argument("--full", action="store_true", help="all compounds as well")
    parser.add_argument("--n-jobs", type=int, default=2, help="processes (%(default)s)")
    options = parser.parse_args()
    path = get_data_home() / "labels" / "jump_phenotypic_activity_115k.parquet"
    smiles = pd.read_parquet(path, columns=["smiles"])["smiles"]
    smiles = smiles.drop(smiles.index[list(invalid_smiles(smiles))])
    for size in (*SIZES, *([len(smiles)] if options.full else [])):
        record = found(smiles.sample(size, random_state=0), options.n_jobs)
        print(f"{record['seconds']:8.0f} s  {record['name']}", flush=True)


if __name__ == "__main__":
    main()
