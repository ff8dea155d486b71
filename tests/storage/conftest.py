"""Small fitted embedders of every kind that is stored, with tables to embed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder, ProfileEncoder
from cloome_sk.storage import load_embedder, save_embedder

SMILES = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "CCCl", "OCCO"]


def save(embedder, folder, **options):
    save_embedder(embedder, folder, **options)
    return folder


def load(folder):
    return load_embedder(folder, CloomeEmbedder)


def molecule(**changes):
    return MoleculeEncoder(**{"n_bits": 32, "hidden_sizes": (8,), **changes})


def profile(**changes):
    return ProfileEncoder(**{"hidden_sizes": [8], **changes})


def small(*sides, **changes):
    chosen = {"n_components": 4, "max_epochs": 2, "batch_size": 16, "random_state": 0}
    return CloomeEmbedder(*(sides or (profile(), molecule())), **{**chosen, **changes})


@pytest.fixture(scope="session")
def wells():
    return make_profiles(n_compounds=12, n_plates=2, random_state=0)


@pytest.fixture(scope="session")
def fitted(wells):
    """An embedder of profiles, which no test changes."""
    return small().fit(wells)


@pytest.fixture(scope="session")
def sites():
    """Images of two channels on two plates, some of them controls."""
    rng = np.random.default_rng(0)
    n = 16
    images = rng.gamma(2.0, 300.0, (n, 2, 20, 24)).astype(np.uint16)
    return pd.DataFrame(
        {
            "Image_Hoechst": list(images[:, 0]),
            "Image_Mito": list(images[:, 1]),
            "Metadata_Plate": np.repeat([7, 8], n // 2),
            "Metadata_Well": [f"A{1 + row % 8:02}" for row in range(n)],
            "Metadata_SMILES": (["CS(C)=O"] * 2 + SMILES) * 2,
            "Metadata_control_type": (["negcon"] * 2 + ["trt"] * 6) * 2,
        }
    )


def images(**changes):
    return ImageEncoder(**{"network": "small", **changes})


def array_case():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20, 9)).astype(np.float32)
    sides = (
        profile(columns=[0, 1, 2, 3]),
        MoleculeEncoder(
            columns=slice(4, 9), features="precomputed", hidden_sizes=np.array([6]), dropout=0.1
        ),
    )
    return small(*sides).fit(X), X


def case(name, wells, sites, fitted):
    """An embedder and a table to embed, by what is particular about it."""
    if name == "arrays, precomputed":
        return array_case()
    if name == "tables":
        return fitted, wells
    if name == "auto, both, infoloob":
        embedder = CloomeEmbedder(
            n_components=4, max_epochs=1, output="both", objective="infoloob", random_state=0
        )
        return embedder.fit(wells), wells
    if name == "siglip, pandas":
        embedder = small(objective="siglip", positives=["molecule", "plate"])
        return embedder.set_output(transform="pandas").fit(wells), wells
    if name == "images":
        return small(images(size=(16, 18), channels=["Mito", "DNA"]), molecule()).fit(sites), sites
    if name == "images, plates":
        encoder = images(
            scaling="plate",
            normalization="plate",
            augmentation={"flips": False, "jitter": (0.1, 0.0)},
        )
        return small(encoder, molecule()).fit(sites), sites
    if name == "images, plates of text":
        X = sites.assign(Metadata_Plate=[f"P{plate}" for plate in sites["Metadata_Plate"]])
        return small(images(normalization="plate"), molecule()).fit(X), X
    if name == "images, given numbers":
        encoder = images(
            channels=["DNA", "Mito"],
            normalization=(np.array([30.0, 40.0], np.float32), [9, 8]),
            crop=16,
            evaluation="center",
        )
        return small(encoder, molecule(), trainable=["molecule", "phenotype.*"]).fit(sites), sites
    if name == "bags of images":
        encoder = BagEncoder(images(), group_by=("SMILES",), pooling="attention")
        return small(encoder, molecule()).fit(sites), sites
    if name == "bags of profiles":
        return small(BagEncoder(profile(), "pert_iname", max_size=2), molecule()).fit(wells), wells
    if name == "validation":
        chosen = {"validation": 0.3, "keep": "best", "early_stopping": 3, "ema_decay": 0.9}
        return small(**chosen).fit(wells), wells
    raise KeyError(name)


CASES = [
    "arrays, precomputed",
    "tables",
    "auto, both, infoloob",
    "siglip, pandas",
    "images",
    "images, plates",
    "images, plates of text",
    "images, given numbers",
    "bags of images",
    "bags of profiles",
    "validation",
]


@pytest.fixture(scope="session", params=CASES)
def embedder_and_table(request, wells, sites, fitted):
    return case(request.param, wells, sites, fitted)


@pytest.fixture(scope="session")
def kit():
    """What makes, saves and loads small embedders."""
    return SimpleNamespace(
        save=save, load=load, molecule=molecule, profile=profile, small=small, images=images
    )
