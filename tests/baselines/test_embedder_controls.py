"""Shuffled pairs, random codes and untrained weights: what exactly is taken away."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, clone

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import (
    RandomMoleculeCodes,
    ShuffledPairs,
    TanimotoKernelEmbedder,
    UntrainedEmbedder,
    with_random_codes,
)
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder
from cloome_sk.molecules import molecule_key


class Recorder(BaseEstimator):
    """Keeps the table it was fitted on."""

    controls = "auto"

    def fit(self, X, y=None):
        self.table_ = X
        self.molecules_seen_ = np.array([])
        return self

    def embed_phenotypes(self, X):
        return np.ones((len(X), 2))

    embed_molecules = transform = embed_phenotypes


def shuffled(table, **params):
    return ShuffledPairs(Recorder(), random_state=0, **params).fit(table).embedder_.table_


def test_pairs_are_permuted_over_treated_rows_and_nothing_else_moves(tiny):
    out = shuffled(tiny)
    control = tiny["Metadata_control_type"].notna()
    pd.testing.assert_frame_equal(
        out.drop(columns="Metadata_smiles"), tiny.drop(columns="Metadata_smiles")
    )
    before, after = tiny["Metadata_smiles"], out["Metadata_smiles"]
    assert (before[control] == after[control]).all()
    assert sorted(before) == sorted(after)
    assert (before[~control] != after[~control]).mean() > 0.8
    assert before.tolist() == tiny["Metadata_smiles"].tolist()


def test_molecules_swap_as_a_whole(tiny):
    out = shuffled(tiny, level="molecule")
    treated = tiny["Metadata_control_type"].isna()
    pairs = pd.DataFrame({"old": tiny["Metadata_smiles"], "new": out["Metadata_smiles"]})[treated]
    assert (pairs.groupby("old")["new"].nunique() == 1).all()
    assert (pairs.groupby("new")["old"].nunique() == 1).all()
    assert (pairs["old"] != pairs["new"]).mean() > 0.8


@pytest.mark.parametrize("level", ["pair", "molecule"])
def test_within_a_class_the_class_of_every_structure_stays(level, tiny):
    out = shuffled(tiny, level=level, within="moa")
    treated = tiny["Metadata_control_type"].isna()
    moa = tiny[treated].set_index("Metadata_smiles")["Metadata_moa"].to_dict()
    assert (out[treated]["Metadata_smiles"].map(moa) == tiny[treated]["Metadata_moa"]).all()
    assert (out["Metadata_smiles"] != tiny["Metadata_smiles"]).sum() > 20


def test_the_number_of_moved_rows_is_counted_by_molecule(tiny):
    fitted = ShuffledPairs(Recorder(), random_state=0).fit(tiny)
    before = molecule_key(tiny["Metadata_smiles"])
    after = molecule_key(fitted.embedder_.table_["Metadata_smiles"])
    assert fitted.n_moved_ == (before != after).sum()


def test_shuffling_that_cannot_be_is_an_error(tiny):
    treated = tiny[tiny["Metadata_control_type"].isna()].reset_index(drop=True)
    own_class = treated.assign(own=treated["Metadata_smiles"])
    with pytest.raises(ValueError, match=r"no structure changed its place.*within 'own'"):
        shuffled(own_class, within="own")
    treated.loc[4, "Metadata_moa"] = np.nan
    with pytest.raises(ValueError, match=r"'Metadata_moa' is missing in 1 treated row.*row 4"):
        shuffled(treated, within="moa")
    with pytest.raises(ValueError, match="'embedder' parameter"):
        ShuffledPairs(object()).fit(tiny)


def test_random_codes_keep_all_but_the_features(small):
    embedder = small(molecule=MoleculeEncoder(hidden_sizes=(8,), input_dropout=0.2))
    copy = with_random_codes(embedder, random_state=3)
    assert isinstance(copy.molecule.features, RandomMoleculeCodes)
    assert copy.molecule.hidden_sizes == (8,)
    assert copy.molecule.input_dropout == 0.2
    assert embedder.molecule.features == "morgan"
    assert copy.get_params()["max_epochs"] == embedder.max_epochs
    assert with_random_codes(CloomeEmbedder()).molecule.hidden_sizes == (1024,) * 4
    with pytest.raises(TypeError, match="got TanimotoKernelEmbedder"):
        with_random_codes(TanimotoKernelEmbedder())


def test_random_codes_train_and_embed(tiny, small):
    fitted = with_random_codes(small(max_epochs=2), random_state=0).fit(tiny)
    assert fitted.embed_molecules(["CCO"]).shape == (1, 16)


def test_untrained_weights_are_those_training_starts_from(tiny, small, monkeypatch):
    embedder = small(max_epochs=1)
    untrained = UntrainedEmbedder(embedder).fit(tiny).embedder_
    seen = {}

    def stop_at_once(network, *others):
        seen.update({name: value.clone() for name, value in network.state_dict().items()})
        return network.state_dict()

    monkeypatch.setattr("cloome_sk.training.fitting._train", stop_at_once)
    clone(embedder).fit(tiny)
    weights = [name for name in seen if "running" not in name and "tracked" not in name]
    assert len(weights) > 8
    for name in weights:
        np.testing.assert_array_equal(untrained.state_[name], seen[name].numpy())


def test_untrained_norms_hold_mean_and_variance_of_the_training_inputs(tiny, small):
    fitted = UntrainedEmbedder(small()).fit(tiny).embedder_
    treated = tiny[tiny["Metadata_control_type"].isna()]
    inputs = torch.as_tensor(fitted.phenotype_.inputs(treated).values)
    layer = fitted._network.phenotype.layers[0]
    with torch.no_grad():
        hidden = layer(inputs).numpy()
    norm = fitted._network.phenotype.layers[1]
    np.testing.assert_allclose(norm.running_mean.numpy(), hidden.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(norm.running_var.numpy(), hidden.var(axis=0, ddof=1), rtol=1e-4)


def test_untrained_is_reproducible_leaves_torch_alone_and_survives_clone(tiny, small):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    control = UntrainedEmbedder(small())
    first = control.fit(tiny).embed_phenotypes(tiny)
    assert torch.rand(1) == expected
    np.testing.assert_array_equal(clone(control).fit(tiny).embed_phenotypes(tiny), first)
    assert not np.allclose(
        clone(control).set_params(embedder__random_state=1).fit_transform(tiny), first
    )
    with pytest.raises(TypeError, match="takes a CloomeEmbedder"):
        UntrainedEmbedder(TanimotoKernelEmbedder()).fit(tiny)


def test_few_moved_rows_are_warned_of_and_foretold(tiny):
    treated = tiny["Metadata_control_type"].isna()
    smiles = tiny["Metadata_smiles"]
    # One class of four molecules; every other molecule is a class of its own.
    paired = dict(zip(smiles[treated].unique()[:4], "aaaa", strict=True))
    own = tiny.assign(own=smiles.map(lambda one: paired.get(one, one)))
    lonely = ShuffledPairs(Recorder(), level="molecule", within="own", random_state=1)
    with pytest.warns(UserWarning, match=rf"only \d+ of {treated.sum()} treated rows .*'own'"):
        lonely.fit(own)
    assert 0 < lonely.n_moved_ < treated.sum() / 2
    assert lonely.share_moved(own) == lonely.n_moved_ / treated.sum()
    free = ShuffledPairs(Recorder(), level="molecule", random_state=0).fit(tiny)
    assert free.share_moved(tiny) == free.n_moved_ / treated.sum() > 0.5


@pytest.mark.parametrize("normalization", ["dataset", "plate"])
def test_an_untrained_encoder_of_images_has_settled_norms(normalization):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_control_type": ["negcon"] * 4 + [None] * 8,
            "Metadata_smiles": ["CCO", "CCN", "CCC", "CCCC"] * 3,
            "Image_DNA": list(rng.integers(0, 4000, size=(12, 20, 20)).astype(np.uint16)),
        }
    )
    embedder = UntrainedEmbedder(
        CloomeEmbedder(ImageEncoder(normalization=normalization), n_components=8, random_state=0)
    )
    embedded = embedder.fit(table).embed_phenotypes(table)
    assert np.isfinite(embedded).all()
    assert embedded.std(axis=0).max() > 0.01
