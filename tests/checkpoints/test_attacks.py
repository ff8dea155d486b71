"""What a user of a checkpoint could believe to be done, and was not."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from torch import nn

from cloome_sk import CloomeEmbedder, CrossModalRetriever, ZeroShotMoAClassifier
from cloome_sk.checkpoints import PUBLISHED
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder
from cloome_sk.encoders import _image_reading as image_reading
from cloome_sk.molecules import morgan_fingerprints

SMILES = ["CCO", "c1ccccc1", "CC(=O)O", "CCN"]


def small(**changes):
    return ImageEncoder.published(
        **{"pooling": "adaptive", "crop": None, "evaluation": "full", **changes}
    )


@pytest.fixture(scope="module")
def sites():
    """Two sites of each of four compounds, and two control sites without a structure."""
    images = np.random.default_rng(0).gamma(2.0, 300.0, (10, 5, 36, 40)).astype(np.uint16)
    columns = {f"Image_{name}": list(images[:, i]) for i, name in enumerate(PUBLISHED.channels)}
    return pd.DataFrame(
        {
            **columns,
            "Metadata_Plate": "P1",
            "Metadata_Well": [f"A{1 + row // 2:02}" for row in range(10)],
            "Metadata_SMILES": [*np.repeat(SMILES, 2), None, None],
            "Metadata_control_type": [*[None] * 8, "negcon", "negcon"],
            "moa": [*np.tile(["a", "b"], 4), None, None],
        }
    )


def tuned(path, **changes):
    training = {"max_epochs": 1, "batch_size": 8} if "trainable" in changes else {}
    chosen = {"phenotype": small(), "random_state": 0, **training}
    return CloomeEmbedder(**{**chosen, "checkpoint": path, **changes})


def test_parts_are_trained_as_in_training(published_file, sites, monkeypatch):
    """The temperature is in the network as a whole, which it must not take out of training."""
    from cloome_sk.networks import ImageNetwork

    seen = []

    def record(module, inputs):
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, ImageNetwork)):
            seen.append((module, module.training))

    handle = nn.modules.module.register_module_forward_pre_hook(record)
    try:
        embedder = tuned(published_file, trainable=["phenotype.backbone.layer4", "molecule"])
        embedder.fit(sites)
    finally:
        handle.remove()
    trained = {module for module, training in seen if training}
    kinds = [type(module).__name__ for module in trained]
    assert "ImageNetwork" in kinds  # which crops at random, and augments, in training alone
    assert kinds.count("BatchNorm1d") == 4
    assert kinds.count("BatchNorm2d") == 10  # of the three blocks of layer4
    assert len({module for module, training in seen if not training}) == 53 - 10
    start = CloomeEmbedder.from_checkpoint(published_file, phenotype=small()).state_
    moved = {
        name.rsplit(".", 1)[0]
        for name, value in embedder.state_.items()
        if name.endswith("running_mean") and not np.array_equal(value, start[name])
    }
    assert len(moved) == 14
    assert all(name.startswith(("phenotype.backbone.layer4", "molecule")) for name in moved)
    assert embedder.inv_tau_ == pytest.approx(14.3)


def test_fine_tuning_is_reproducible(published_file, sites):
    chosen = {
        "trainable": ["phenotype.backbone.fc", "molecule", "log_inv_tau"],
        "lr_factors": {"phenotype": 0.1},
        "max_epochs": 10,
    }
    first = tuned(published_file, **chosen).fit(sites)
    torch.rand(3)
    second = clone(first).fit(sites)
    for name, value in first.state_.items():
        np.testing.assert_array_equal(value, second.state_[name], err_msg=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learn_inv_tau": True, "trainable": "molecule"}, "'log_inv_tau'"),
        ({"learn_inv_tau": True}, "learn_inv_tau=True asks"),
        ({"lr_factors": {"phenotype": 0.1}}, "trains nothing of a checkpoint"),
    ],
)
def test_what_would_have_no_effect_is_refused(published_file, sites, changes, message):
    with pytest.raises(ValueError, match=message):
        tuned(published_file, **changes).fit(sites)


def test_all_that_is_of_training_is_named_where_nothing_is_trained(published_file, sites, tmp_path):
    asked = {
        "validation": sites,
        "early_stopping": 2,
        "keep": "best",
        "batch_plates": "no such column",
        "checkpoint_dir": str(tmp_path / "states"),
        "objective": "siglip",
        "max_epochs": 5,
        "ema_decay": 0.9,
    }
    embedder = CloomeEmbedder(small(), checkpoint=published_file, random_state=0)
    with pytest.raises(ValueError, match=r"fit\(resume=True\): of training alone"):
        embedder.fit(sites, resume=True)
    embedder.set_params(**asked, callbacks=[], lr_factors={}, lr=np.float64(1e-3))
    with pytest.raises(ValueError, match="trains nothing of a checkpoint") as error:
        embedder.fit(sites, resume=True)
    listed = str(error.value).partition(": of training alone")[0]
    assert set(re.findall(r"(\w+)=", listed.replace("fit(resume", "(resume"))) == {
        *asked,
        "resume",
    }
    assert "validation=DataFrame of shape (10, 10)" in listed
    # Said outright, that nothing is trained is one choice among others.
    assert embedder.set_params(trainable=False).fit(sites).n_pairs_ == 0


def test_frozen_and_tuned_go_into_one_grid(published_file, sites):
    shared = {"lr_factors": {"phenotype": 0.1}, "learn_inv_tau": True}
    frozen = tuned(published_file, trainable=False, **shared).fit(sites)
    assert frozen.n_pairs_ == 0
    trained = tuned(published_file, trainable=["molecule", "log_inv_tau"], **shared).fit(sites)
    assert trained.inv_tau_ != pytest.approx(frozen.inv_tau_, abs=1e-6)


def test_a_pooling_that_no_file_has_is_not_left_random(published_file, sites):
    bags = BagEncoder(small(), "well", pooling="attention")
    message = r"phenotype\.pooling\.\S+.*would stay random: train them, trainable=\['pheno"
    with pytest.raises(ValueError, match=message) as error:
        CloomeEmbedder.from_checkpoint(published_file, phenotype=bags)
    with pytest.raises(ValueError, match="would stay random"):
        tuned(published_file, phenotype=bags).fit(sites)
    with pytest.raises(ValueError, match="would stay random"):
        tuned(published_file, phenotype=bags, trainable="molecule").fit(sites)
    fitted = tuned(published_file, phenotype=bags, trainable="phenotype.pooling").fit(sites)
    assert fitted.transform(sites).shape == (10, 512)
    assert str(published_file) in str(error.value)


def test_a_file_is_named_once(published_file):
    with pytest.raises(TypeError, match=r"given once.*'other\.pt'"):
        CloomeEmbedder.from_checkpoint(published_file, checkpoint="other.pt")


def test_the_published_numbers_stay_with_their_channels():
    names = ["DNA", "ER", "RNA", "AGP", "Mito"]
    with pytest.raises(ValueError, match=r"Mito, ER, RNA, AGP, DNA, in this order.*found by name"):
        ImageEncoder.published(channels=names)
    same = ImageEncoder.published(channels=["Mito", "ERSyto", "ERSytoBleed", "Ph_golgi", "Hoechst"])
    assert same.ready().channels_ == PUBLISHED.channels
    other = ImageEncoder.published(channels=names, normalization=([1.0] * 5, [2.0] * 5))
    assert other.ready().channels_ == tuple(names)


def test_pixels_are_not_held_where_nothing_is_trained(published_file, sites, monkeypatch):
    def full(n_bytes):
        raise MemoryError

    monkeypatch.setattr(image_reading, "check_memory", full)
    by_plate = small(normalization="plate")
    for phenotype in (by_plate, BagEncoder(by_plate, "well"), small(normalization="dataset")):
        embedder = tuned(published_file, phenotype=phenotype).fit(sites)
        assert embedder.transform(sites).shape == (10, 512)
    assert by_plate.cache == "memory"


class Bits(TransformerMixin, BaseEstimator):
    """The published fingerprint as a transformer."""

    def fit(self, X, y=None):
        self.n_fitted_ = len(X)
        return self

    def transform(self, X):
        return morgan_fingerprints(list(X)).astype(float)


def test_a_transformer_of_molecules_is_fitted_where_there_is_a_table(published_file, sites):
    molecule = MoleculeEncoder(features=Bits())
    embedder = tuned(published_file, molecule=molecule).fit(sites)
    assert embedder.molecule_.features_.n_fitted_ == 4
    expected = CloomeEmbedder.from_checkpoint(published_file).embed_molecules(SMILES)
    np.testing.assert_allclose(embedder.embed_molecules(SMILES), expected, atol=1e-6)
    with pytest.raises(ValueError, match="learns from a table: call fit"):
        CloomeEmbedder.from_checkpoint(published_file, molecule=molecule)


def test_precomputed_molecules_need_a_number():
    with pytest.raises(ValueError, match="n_inputs"):
        MoleculeEncoder(features="precomputed").ready()


def test_searches_and_classes_over_published_weights(published_file, sites):
    embedder = CloomeEmbedder.from_checkpoint(published_file, phenotype=small())
    treated = sites[:8]
    for given in (embedder, FrozenEstimator(embedder)):
        found = CrossModalRetriever(given).fit(sites).search(SMILES[:1], 8)
        assert sorted(found["index"]) == list(range(8))  # no control among them
        classes = ZeroShotMoAClassifier(given, reference="phenotype")
        classes.fit(treated, treated["moa"])
        assert classes.inv_tau_ == embedder.inv_tau_
    frozen = clone(CrossModalRetriever(FrozenEstimator(embedder))).fit(sites)
    assert frozen.n_samples_fit_ == 10


def test_a_structure_that_cannot_be_read_is_named_where_molecules_are_trained(
    published_file, sites
):
    broken = sites.copy()
    broken.loc[3, "Metadata_SMILES"] = "C1CC("
    with pytest.raises(ValueError, match=re.escape("row 3 cannot be parsed: 'C1CC('")):
        tuned(published_file, trainable="phenotype.backbone.fc").fit(broken)
    assert tuned(published_file).fit(broken).transform(broken).shape == (10, 512)
    skipping = MoleculeEncoder(on_error="skip")
    with pytest.warns(UserWarning, match="C1CC"):
        embedder = tuned(published_file, molecule=skipping, trainable="molecule").fit(broken)
    assert embedder.skipped_rows_.tolist() == [3]
    assert embedder.n_pairs_ == 7
