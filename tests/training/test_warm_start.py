"""A further fit with encoders and objective of the one before: what may change, and what not."""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles, make_screen
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder, ProfileEncoder
from cloome_sk.objectives import infonce


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


# ------------------------------------------------------------------------------ objective


class Weighed(torch.nn.Module):
    """InfoNCE of embeddings with a learned weight for each component, and a state beside it."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.ones(8))

    def forward(self, phenotype, molecule, inv_tau, *, positives=None):
        return infonce(phenotype * self.weights, molecule, inv_tau, positives=positives)

    def get_extra_state(self):
        return {"note": "mine"}

    def set_extra_state(self, state):
        assert state == {"note": "mine"}


def still(embedder):
    """Let a further fit change next to nothing."""
    return embedder.set_params(max_epochs=1, lr=1e-12, weight_decay=0.0)


@pytest.mark.parametrize("way", ["same", "joblib", "folder"])
def test_what_the_objective_learned_is_gone_on_from(X, tmp_path, way):
    embedder = quick(objective="siglip", max_epochs=3, lr=1e-2).fit(X)
    bias = embedder.history_["bias"].iloc[-1]
    assert abs(bias + 10) > 1e-3
    assert {name: float(value) for name, value in embedder.objective_state_.items()} == {
        "bias": bias
    }
    if way == "joblib":
        joblib.dump(embedder, tmp_path / "embedder.joblib")
        embedder = joblib.load(tmp_path / "embedder.joblib")
    elif way == "folder":
        embedder.save(tmp_path / "embedder")
        embedder = CloomeEmbedder.load(tmp_path / "embedder")
    still(embedder).fit(X)
    assert embedder.history_["bias"].iloc[-1] == pytest.approx(bias, abs=1e-6)
    still(embedder).set_params(warm_start=False).fit(X)
    assert embedder.history_["bias"].iloc[-1] == pytest.approx(-10, abs=1e-6)


def test_so_is_what_an_objective_of_ones_own_learned(X):
    objective = Weighed()
    embedder = quick(objective=objective, max_epochs=3, lr=1e-2).fit(X)
    learned = embedder.objective_state_["weights"]
    assert np.abs(learned - 1).max() > 1e-3
    still(embedder).fit(X)
    np.testing.assert_allclose(embedder.objective_state_["weights"], learned, atol=1e-6)
    assert objective.weights.tolist() == [1.0] * 8
    # Another objective begins with its own values.
    still(embedder).set_params(objective="siglip").fit(X)
    assert float(embedder.objective_state_["bias"]) == pytest.approx(-10, abs=1e-6)
    assert embedder.set_params(objective="infonce").fit(X).objective_state_ == {}


def test_it_is_of_the_epoch_whose_weights_are_kept(X, tmp_path, monkeypatch):
    from cloome_sk.training.validation import Validation

    def best_is_the_second(self, network, objective):
        seen.append(1)
        return {"valid_relative_rank": 0.1 if len(seen) == 2 else 0.5}

    class Stop(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(Validation, "__call__", best_is_the_second)
    chosen = {"objective": "siglip", "max_epochs": 4, "lr": 1e-2, "validation": 0.3}
    chosen.update(keep="best", checkpoint_dir=tmp_path, warm_start=False)
    seen = []
    whole = quick(**chosen).fit(X)
    assert float(whole.objective_state_["bias"]) == whole.history_["bias"][1]
    assert whole.history_["bias"].nunique() == 4
    seen = []
    with pytest.raises(KeyboardInterrupt):
        quick(**chosen, callbacks=[Stop()]).fit(X)
    resumed = quick(**chosen).fit(X, resume=True)
    assert len(seen) == 4  # three before, one after
    assert resumed.objective_state_ == whole.objective_state_
