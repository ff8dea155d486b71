"""Simulated screens on which it is known what each baseline must find."""

from __future__ import annotations

import pandas as pd
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.preprocessing import ControlNormalizer


def small_embedder(**params) -> CloomeEmbedder:
    """An embedder that is quick to fit, and still learns."""
    defaults = {
        "phenotype": ProfileEncoder(hidden_sizes=(64,), dropout=0.0, input_dropout=0.0),
        "molecule": MoleculeEncoder(hidden_sizes=(64,)),
        "n_components": 16,
        "max_epochs": 15,
        "device": "cpu",
        "random_state": 0,
    }
    return CloomeEmbedder(**(defaults | params))


@pytest.fixture
def small():
    return small_embedder


def normalised(**params) -> pd.DataFrame:
    return ControlNormalizer().fit_transform(make_profiles(random_state=0, **params))


@pytest.fixture(scope="session")
def _strong() -> pd.DataFrame:
    return normalised(signal=2.0, inactive_fraction=0.0, position_effect=0.0)


@pytest.fixture
def strong(_strong) -> pd.DataFrame:
    """Compounds with large effects, partly shared by the mechanism, on normalised plates."""
    return _strong.copy()


@pytest.fixture
def tiny() -> pd.DataFrame:
    """A screen for tests that only ask whether something runs."""
    return make_profiles(n_compounds=24, n_features=20, n_controls=6, random_state=0)
