"""What several test files share: the folder of real tables, a small simulated screen."""

from __future__ import annotations

import os
from pathlib import Path

# One thread for each test process: the processes fill the cores, and results do not depend on how
# many there are. Set before anything that starts a thread pool is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pandas as pd
import pytest

# A shared machine is slow at times; and the same commit must give the same result twice.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")

DATA_VARIABLE = "CLOOME_SK_DATA"


@pytest.fixture(scope="session")
def data_home() -> Path:
    """The folder with the public tables; tests that need it are skipped where it is not named."""
    named = os.environ.get(DATA_VARIABLE)
    if not named:
        pytest.skip(
            f"needs the public tables: set {DATA_VARIABLE} to the folder that holds profiles/"
        )
    folder = Path(named).expanduser()
    if not folder.is_dir():
        # Named but absent is a mistake, which a skip would hide.
        pytest.fail(f"{DATA_VARIABLE} names {named!r}, which is not a folder")
    return folder


@pytest.fixture(scope="session")
def _screen() -> pd.DataFrame:
    from cloome_sk.datasets import make_profiles

    return make_profiles(random_state=0)


@pytest.fixture
def screen(_screen: pd.DataFrame) -> pd.DataFrame:
    """A small simulated screen (plates, controls, replicates), a fresh copy for each test."""
    return _screen.copy()
