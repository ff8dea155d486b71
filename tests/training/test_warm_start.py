"""A further fit with the encoders of the one before: what may change in them, and what may not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles, make_screen
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder, ProfileEncoder


@pytest.fixture(scope="module", name="X")
def table():
    return make_profiles(n_compounds=24, random_state=0)


def quick(**changes):
    chosen = {
        "phenotype": ProfileEncoder(hidden_sizes=(16,)),
        "molecule": MoleculeEncoder(hidden_sizes=(16,), n_bits=64),
        "n_components": 8,
        "max_epochs": 1,
        "random_state": 0,
        "warm_start": True,
    }
    return CloomeEmbedder(**{**chosen, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phenotype__scaling": "robust"}, r"phenotype__scaling \('standard' before, 'robust' now"),
        ({"phenotype__clip": None}, "phenotype__clip"),
        ({"molecule__radius": 2}, r"molecule__radius \(3 before, 2 now\)"),
        ({"molecule__hidden_sizes": (32,)}, "molecule__hidden_sizes"),
        (
            {"molecule__use_chirality": False, "phenotype__clip": 5.0},
            "phenotype__clip .*, molecule__use_chirality",
        ),
        (
            {"phenotype": BagEncoder(ProfileEncoder(), group_by="pert_iname")},
            r"phenotype \(ProfileEncoder before, BagEncoder now\)",
        ),
        ({"phenotype__dropout": "little"}, "'dropout' parameter of ProfileEncoder must be"),
    ],
)
def test_changed_parameters_of_encoders_are_named(X, changes, message):
    embedder = quick().fit(X)
    state, encoder = embedder.state_, embedder.phenotype_
    embedder.set_params(**changes)
    with pytest.raises(ValueError, match=message):
        embedder.fit(X)
    assert embedder.state_ is state
    assert embedder.phenotype_ is encoder
    if "dropout" not in message:
        assert embedder.set_params(warm_start=False).fit(X)


def test_equal_values_are_not_changes(X):
    embedder = quick().fit(X)
    encoder = embedder.phenotype_
    embedder.set_params(phenotype__hidden_sizes=[16], molecule=MoleculeEncoder(n_bits=64))
    embedder.set_params(molecule__hidden_sizes=(16,), phenotype__clip=10).fit(X)
    assert embedder.phenotype_ is encoder
    # "auto" and None take what is there.
    embedder.set_params(phenotype="auto", molecule=None).fit(X)
    assert embedder.phenotype_ is encoder


def test_encoders_that_were_copied_are_not_changes(tmp_path):
    sites = make_screen(tmp_path, n_compounds=6, n_plates=1, n_sites=1, size=32, random_state=0)
    plates = pd.DataFrame({"plate": ["P1"], "note": [None]})
    channels = [name.removeprefix("Image_") for name in sites if name.startswith("Image_")]
    shared = (0.5,) * len(channels)
    encoder = ImageEncoder(
        channels=channels,
        normalization=(shared, shared),
        plate_table=plates,
        preprocess=lambda images: images,
    )
    embedder = quick(phenotype=encoder).fit(sites)
    before = embedder.phenotype_
    assert embedder.fit(sites).phenotype_ is before


def test_dropout_may_change_but_not_from_or_to_none(X):
    first = quick().fit(X)
    unchanged = quick().fit(X).fit(X)
    before = first.phenotype_
    first.set_params(phenotype__dropout=0.05).fit(X)
    assert (first.phenotype_.dropout, before.dropout) == (0.05, 0.3)
    np.testing.assert_array_equal(first.phenotype_.center_, before.center_)
    assert first.history_["objective"][0] != unchanged.history_["objective"][0]
    with pytest.raises(ValueError, match=r"phenotype__dropout \(0.05 before, 0.0 now\)"):
        first.set_params(phenotype__dropout=0.0).fit(X)


def test_where_images_are_kept_may_change_inside_of_bags_too(tmp_path):
    sites = make_screen(tmp_path, n_compounds=6, n_plates=1, n_sites=2, size=32, random_state=0)
    encoder = BagEncoder(ImageEncoder(), group_by=["plate", "well"])
    embedder = quick(phenotype=encoder).fit(sites)
    before = embedder.phenotype_
    embedder.set_params(phenotype__encoder__cache=None).fit(sites)
    assert embedder.phenotype_.encoder_.cache is None
    assert before.encoder_.cache == "memory"
    embedder.set_params(phenotype__encoder__scaling="range")
    with pytest.raises(ValueError, match="phenotype__encoder__scaling"):
        embedder.fit(sites)
