"""Two ways to do one job, timed in turn, and the table that shows them."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from math import isnan
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Protocol


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    name, size : str
        What was timed, on how much.
    seconds : list of float
        Of each repeat.
    reference : str
        What it is compared with.
    reference_seconds : list of float
        Of each repeat; NaN where the reference was not run.
    """

    name: str
    size: str
    seconds: list[float]
    reference: str
    reference_seconds: list[float]

    @property
    def ratios(self) -> list[float]:
        """Of each repeat: the two of a repeat ran one after the other, on one load of machine."""
        pairs = zip(self.seconds, self.reference_seconds, strict=True)
        return [ours / theirs for ours, theirs in pairs]

    def __str__(self) -> str:
        ratios = self.ratios
        if isnan(ratios[0]):
            cells, ratio, spread = "-", "-", ""
        else:
            cells, ratio = _time(median(self.reference_seconds)), f"{median(ratios):.2f}"
            spread = f"{min(ratios):.2f}-{max(ratios):.2f}" if len(ratios) > 1 else "one run"
        ours = _time(median(self.seconds))
        return _line(self.name, self.size, ours, self.reference, cells, ratio, spread)


class Case(Protocol):
    """What the modules yield: something that can be measured."""

    def measure(self, repeats: int) -> list[Row]:
        """Time it."""


@dataclass(frozen=True)
class Comparison:
    """A job done by the package and by a reference.

    Attributes
    ----------
    name, size, reference : str
        As in `Row`.
    ours, theirs : callable
        Do the job once.
    number : int, default=1
        How often the job is done in one timing: more for jobs of less than some milliseconds.
    before : callable, optional
        Called before each timing of `ours`, and not timed.
    """

    name: str
    size: str
    ours: Callable[[], Any]
    reference: str
    theirs: Callable[[], Any]
    number: int = 1
    before: Callable[[], Any] = field(default=lambda: None)

    def measure(self, repeats: int) -> list[Row]:
        """Time both in turn, after one untimed run of each; every other repeat starts with ours."""
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for repeat in range(-1, repeats):
            for is_ours in (True, False) if repeat % 2 else (False, True):
                job = self.ours if is_ours else self.theirs
                if is_ours:
                    self.before()
                start = perf_counter()
                for _ in range(self.number if repeat >= 0 else 1):
                    job()
                if repeat >= 0:
                    seconds[is_ours].append((perf_counter() - start) / self.number)
        return [Row(self.name, self.size, seconds[True], self.reference, seconds[False])]


@dataclass(frozen=True)
class Reported:
    """Rows from a function that times both sides itself, as records with the fields of `Row`.

    Attributes
    ----------
    run : callable
        Gives the records, in the same order each time; a name may hold the size after a comma.
    most : int, optional
        Largest number of repeats, for what takes long.
    """

    run: Callable[[], list[dict[str, Any]]]
    most: int | None = None

    def measure(self, repeats: int) -> list[Row]:
        """Run it as often as asked, and join the times of each record."""
        n_runs = repeats if self.most is None else min(repeats, self.most)
        runs = [self.run() for _ in range(n_runs)]
        return [_joined(records) for records in zip(*runs, strict=True)]


def _joined(records: Iterable[dict[str, Any]]) -> Row:
    """One row of several runs of a record."""
    records = list(records)
    name, _, size = records[0]["name"].partition(", ")
    return Row(
        name,
        size,
        [record["seconds"] for record in records],
        records[0]["reference"],
        [record["reference_seconds"] for record in records],
    )


HEADER = ("name", "size", "seconds", "compared with", "seconds", "ratio", "spread")
NAME, SIZE, REFERENCE = 30, 46, 46


def _line(*cells: str) -> str:
    """One line of the table; a cell that is too long moves the rest of its line."""
    name, size, seconds, reference, reference_seconds, ratio, spread = cells
    return (
        f"{name:<{NAME}} {size:<{SIZE}} {seconds:>9}  {reference:<{REFERENCE}} "
        f"{reference_seconds:>9} {ratio:>6}  {spread}"
    ).rstrip()


def _time(seconds: float) -> str:
    """Seconds with three figures or more, never in powers of ten."""
    if seconds >= 10:
        return f"{seconds:.1f}"
    return f"{seconds:.3f}" if seconds >= 0.1 else f"{seconds:.5f}"


def table(cases: Iterable[Case], repeats: int) -> Iterator[str]:
    """Give the lines of the table, each as soon as it is measured."""
    header = _line(*HEADER)
    yield header
    yield "-" * len(header)
    for case in cases:
        yield from map(str, case.measure(repeats))


PACKAGES = ("torch", "skorch", "scikit-learn", "rdkit", "numpy", "pandas")


def machine() -> str:
    """Describe what the figures were measured on: processor, threads, versions."""
    import torch

    import cloome_sk

    versions = [f"cloome_sk {cloome_sk.__version__}", f"Python {platform.python_version()}"]
    versions += [f"{package} {version(package)}" for package in PACKAGES]
    return (
        f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch thread(s), "
        f"{platform.system()}\n{', '.join(versions)}"
    )


def _processor() -> str:
    """The processor's name as the system gives it."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
