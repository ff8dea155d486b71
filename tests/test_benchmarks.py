"""The benchmarks start and know their subjects; how fast anything is, is no test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_help_names_every_module():
    shown = _python("-m", "benchmarks", "--help")
    assert shown.returncode == 0, shown.stderr
    modules = {path.stem.removeprefix("bench_") for path in ROOT.glob("benchmarks/bench_*.py")}
    assert {"fit", "embed", "molecules", "import"} <= modules
    for name in modules:
        assert f"{name}: " in shown.stdout


def test_an_unknown_subject_is_named_beside_the_known_ones():
    shown = _python("-m", "benchmarks", "fits")
    assert shown.returncode == 2
    assert "no subject named fits; there are import, fit," in shown.stderr


def test_every_module_can_be_imported_and_gives_rows():
    code = (
        "from importlib import import_module\n"
        "from benchmarks.__main__ import SUBJECTS\n"
        "for name in SUBJECTS:\n"
        "    assert callable(import_module(f'benchmarks.bench_{name}').rows), name\n"
    )
    shown = _python("-c", code)
    assert shown.returncode == 0, shown.stderr


def test_times_of_repeats_are_paired():
    code = (
        "from benchmarks._timing import Comparison, Row, table\n"
        "calls = []\n"
        "case = Comparison('a', 'b', lambda: calls.append('ours'), 'c',\n"
        "                  lambda: calls.append('theirs'), before=lambda: calls.append('before'))\n"
        "rows = case.measure(3)\n"
        "ours, theirs = ['before', 'ours'], ['theirs']\n"
        "assert calls == 2 * [*ours, *theirs, *theirs, *ours], calls\n"
        "assert len(rows[0].seconds) == len(rows[0].reference_seconds) == 3\n"
        "row = Row('name', 'size', [1.0, 4.0, 3.0], 'by hand', [2.0, 4.0, 2.0])\n"
        "assert row.ratios == [0.5, 1.0, 1.5]\n"
        "assert str(row).split() == 'name size 3.000 by hand 2.000 1.00 0.50-1.50'.split()\n"
    )
    shown = _python("-c", code)
    assert shown.returncode == 0, shown.stderr


def test_training_by_hand_is_that_of_the_package():
    code = (
        "from benchmarks._data import profiles\n"
        "from benchmarks.bench_fit import check_same_training\n"
        "check_same_training(profiles(512, 64))\n"
    )
    shown = _python("-c", code)
    assert shown.returncode == 0, shown.stderr
