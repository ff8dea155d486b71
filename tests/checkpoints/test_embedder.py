"""CloomeEmbedder with weights from a file: used as they are, or trained further."""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import UntrainedEmbedder
from cloome_sk.checkpoints import CheckpointError, read_checkpoint
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder, ProfileEncoder
from cloome_sk.model_selection import leakage_report

SMILES = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "CCCl", "OCCO"]
CHANNELS = ("Mito", "ER", "RNA", "AGP", "DNA")


def small(**changes):
    """The published settings, for sites too small for the published crop and pooling."""
    chosen = {"pooling": "adaptive", "crop": None, "evaluation": "full", **changes}
    return ImageEncoder.published(**chosen)


@pytest.fixture(scope="module")
def sites():
    """Sites whose brightness in one channel tells their label, two of each of six compounds."""
    rng = np.random.default_rng(0)
    images = rng.gamma(2.0, 300.0, (12, 5, 40, 48))
    label = np.tile([0, 1], 6)
    images[label == 1, 0, 10:20] *= 4
    columns = {
        f"Image_{name}": list(images[:, place].astype(np.uint16))
        for place, name in enumerate(CHANNELS)
    }
    return pd.DataFrame(
        {
            **columns,
            "Metadata_Plate": "P1",
            "Metadata_Well": [f"A{1 + row // 2:02}" for row in range(12)],
            "Metadata_SMILES": np.repeat(SMILES, 2),
            "label": label,
        }
    )


@pytest.fixture(scope="module")
def frozen(published_file):
    return CloomeEmbedder.from_checkpoint(published_file, phenotype=small())


def quick(path, **changes):
    training = {"max_epochs": 1, "batch_size": 12} if "trainable" in changes else {}
    chosen = {"phenotype": small(), "random_state": 0, **training}
    return CloomeEmbedder(**{**chosen, "checkpoint": path, **changes})


def file_state(path):
    """The file's weights, by the names of `state_`."""
    checkpoint = read_checkpoint(path)
    return {
        **{f"phenotype.backbone.{name}": value for name, value in checkpoint.phenotype.items()},
        **{f"molecule.{name}": value for name, value in checkpoint.molecule.items()},
        "log_inv_tau": np.float32(checkpoint.log_inv_tau),
    }


# ------------------------------------------------------------------------------ as they are


def test_it_can_be_used_at_once(frozen, sites, published_file):
    embedded = frozen.transform(sites)
    assert embedded.shape == (12, 512)
    assert embedded.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)
    checkpoint = read_checkpoint(published_file)
    assert frozen.checkpoint_sha256_ == checkpoint.sha256
    assert frozen.inv_tau_ == pytest.approx(checkpoint.inv_tau)
    assert frozen.phenotype_.channels_ == CHANNELS
    assert frozen.trainable is False


def test_fit_trains_nothing(sites, published_file):
    embedder = quick(published_file).fit(sites)
    expected = file_state(published_file)
    assert set(expected) <= set(embedder.state_)
    for name, value in expected.items():
        np.testing.assert_array_equal(embedder.state_[name], value, err_msg=name)
    assert embedder.n_pairs_ == 0
    assert len(embedder.history_) == 0
    assert embedder.molecules_seen_.tolist() == []


def test_fit_and_loading_give_the_same(frozen, sites, published_file):
    expected = frozen.transform(sites)
    np.testing.assert_array_equal(quick(published_file).fit(sites).transform(sites), expected)
    np.testing.assert_array_equal(clone(frozen).fit(sites).transform(sites), expected)
    with pytest.raises(NotFittedError):
        clone(frozen).transform(sites)


def test_images_alone_are_enough(frozen, sites, published_file):
    images = sites[[name for name in sites if name.startswith("Image_")]]
    embedder = quick(published_file).fit(images)
    np.testing.assert_array_equal(embedder.transform(images), frozen.transform(sites))
    # The molecule side works on lists all the same, and misses its column only where it is read.
    assert embedder.embed_molecules(SMILES).shape == (6, 512)
    with pytest.raises(ValueError, match="smiles"):
        embedder.embed_molecules(images)


def test_molecules_of_a_table_with_controls_without_structure(frozen, sites):
    table = sites.assign(
        Metadata_control_type=["negcon", "negcon", *[None] * 10],
        Metadata_SMILES=[None, None, *sites["Metadata_SMILES"][2:]],
    )
    embedded = frozen.embed_molecules(table)
    assert np.isnan(embedded[:2]).all()
    np.testing.assert_array_equal(embedded[2:], frozen.embed_molecules(sites)[2:])


def test_the_pickle_needs_no_file(sites, published_file, tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(published_file.read_bytes())
    embedder = CloomeEmbedder.from_checkpoint(path, phenotype=small())
    expected = embedder.transform(sites)
    joblib.dump(embedder, tmp_path / "fitted.joblib")
    path.unlink()
    np.testing.assert_array_equal(
        joblib.load(tmp_path / "fitted.joblib").transform(sites), expected
    )
    with pytest.raises(FileNotFoundError, match=r"weights\.pt"):
        clone(embedder).fit(sites)


def test_every_fold_uses_the_weights(frozen, sites, published_file):
    embedded, y = frozen.transform(sites), sites["label"]
    model = make_pipeline(quick(published_file), LogisticRegression())
    folds = StratifiedKFold(3)
    found = cross_validate(model, sites, y, cv=folds, return_estimator=True)
    for fitted in found["estimator"]:
        np.testing.assert_array_equal(fitted[0].transform(sites), embedded)
    alone = cross_validate(LogisticRegression(), embedded, y, cv=folds)
    np.testing.assert_array_equal(found["test_score"], alone["test_score"])
    np.testing.assert_array_equal(
        cross_val_predict(model, sites, y, cv=folds, method="decision_function"),
        cross_val_predict(LogisticRegression(), embedded, y, cv=folds, method="decision_function"),
    )


def test_a_grid_search_keeps_the_weights(frozen, sites, published_file):
    model = make_pipeline(quick(published_file), LogisticRegression())
    grid = {"logisticregression__C": [0.1, 10.0], "cloomeembedder__phenotype__n_jobs": [None]}
    search = GridSearchCV(model, grid, cv=2).fit(sites, sites["label"])
    np.testing.assert_array_equal(
        search.best_estimator_[0].transform(sites), frozen.transform(sites)
    )


def test_wells_of_several_sites(frozen, sites, published_file):
    embedder = CloomeEmbedder.from_checkpoint(published_file, phenotype=BagEncoder(small(), "well"))
    wells = embedder.transform(sites)
    assert len(np.unique(wells, axis=0)) == 6
    network = frozen._ready_network().phenotype  # means are taken before the length becomes 1
    import torch

    with torch.inference_mode():
        pixels = torch.from_numpy(frozen.phenotype_.inputs(sites).values[np.arange(2)])
        mean = network(pixels).mean(dim=0)
    np.testing.assert_allclose(wells[0], mean / mean.norm(), atol=1e-5)
    fitted = clone(embedder).fit(sites)
    np.testing.assert_array_equal(fitted.transform(sites), wells)


def test_plates_are_learned_by_fit_alone(sites, published_file):
    controls = sites.assign(Metadata_control_type=["negcon"] * 2 + [None] * 10)
    by_plate = small(normalization="plate")
    with pytest.raises(ValueError, match="normalization"):
        CloomeEmbedder.from_checkpoint(published_file, phenotype=by_plate)
    embedder = quick(published_file, phenotype=by_plate).fit(controls)
    assert list(embedder.phenotype_.plate_statistics_) == ["P1"]
    assert embedder.transform(controls).shape == (12, 512)


def test_leakage_cannot_be_told_of_what_the_file_was_trained_on(frozen, sites):
    with pytest.raises(ValueError, match=r"cannot be checked.*checkpoint.*not known"):
        leakage_report(sites[:6], sites[6:], embedder=frozen)
    text = str(leakage_report(sites[:6], sites[6:], embedder=frozen, claim="plate"))
    assert "embedder: not checked" in text
    assert "trained on none" not in text


def test_leakage_of_what_fine_tuning_saw(published_file, sites):
    embedder = quick(published_file, trainable="phenotype.backbone.fc").fit(sites[:6])
    text = str(leakage_report(sites[:6], sites[4:], embedder=embedder))
    assert "trained on 1 of 4 test molecules" in text
    assert "checkpoint was trained on before is not known" in text


# ---------------------------------------------------------------------------- other sizes


def test_a_file_of_other_sizes_says_which(make_state, save, sites):
    wide = {"width": 64, "blocks": (3, 4, 6, 3)}
    few = save(make_state(n_channels=5, n_components=8, n_bits=1024, **wide), "few.pt")
    with pytest.raises(CheckpointError, match=r"8 components, and n_components=512"):
        CloomeEmbedder(checkpoint=few).fit(sites)
    embedder = CloomeEmbedder.from_checkpoint(few, phenotype=small())
    assert embedder.n_components == 8
    assert embedder.molecule_.hidden_sizes == (10, 12)
    assert embedder.transform(sites).shape == (12, 8)

    with pytest.raises(CheckpointError, match=r"\(10, 1024\) in the file and \(16, 1024\)"):
        CloomeEmbedder.from_checkpoint(
            few, phenotype=small(), molecule=MoleculeEncoder(hidden_sizes=(16, 12))
        )
    with pytest.raises(CheckpointError, match=r"conv1.weight is \(64, 5, 7, 7\) in the file"):
        quick(
            few,
            n_components=8,
            phenotype=small(channels=["DNA", "ER"], normalization=([1.0, 1.0], [1.0, 1.0])),
        ).fit(sites)
    with pytest.raises(CheckpointError, match=r"do not fit the network of phenotype="):
        quick(few, n_components=8, phenotype=small(network="small", pooling="adaptive")).fit(sites)

    three = save(make_state(n_channels=3, n_components=8, n_bits=1024, **wide), "three.pt")
    with pytest.raises(CheckpointError, match="takes 3 channels, the published model 5"):
        CloomeEmbedder.from_checkpoint(three)
    named = small(channels=["DNA", "ER", "Mito"], normalization=([30.0] * 3, [20.0] * 3))
    embedder = CloomeEmbedder.from_checkpoint(three, phenotype=named)
    assert embedder.transform(sites).shape == (12, 8)


def test_other_fingerprints_come_precomputed(make_state, save, sites):
    path = save(make_state(n_channels=5, n_components=8, n_bits=24, width=64, blocks=(3, 4, 6, 3)))
    embedder = CloomeEmbedder.from_checkpoint(path, phenotype=small())
    bits = np.random.default_rng(0).integers(0, 2, (3, 24))
    assert embedder.embed_molecules(bits).shape == (3, 8)
    assert embedder.transform(sites).shape == (12, 8)
    with pytest.raises(ValueError, match="24 numeric features, got list"):
        embedder.embed_molecules(SMILES)
    with pytest.raises(ValueError, match=r"columns=\[...\] a table"):
        embedder.embed_molecules(sites)
    with pytest.raises(ValueError, match="24 numeric features"):
        embedder.embed_molecules(bits[:, :20])

    names = [f"bit_{place}" for place in range(24)]
    table = pd.concat([sites[:3], pd.DataFrame(bits, columns=names)], axis=1)
    by_name = MoleculeEncoder(names, features="precomputed", hidden_sizes=(10, 12))
    embedder = CloomeEmbedder.from_checkpoint(path, phenotype=small(), molecule=by_name)
    np.testing.assert_array_equal(
        embedder.embed_molecules(table[table.columns[::-1]]), embedder.embed_molecules(bits)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": None, "trainable": False}, "no weights but random ones"),
        ({"trainable": ["phenotype.nothing"]}, "'phenotype.nothing' fits no weight"),
        ({"trainable": True, "lr_factors": {"phenotype.head": 0.1}}, "'phenotype.head' fits no"),
        ({"lr_factors": {"phenotype": 0.0}}, "positive factors"),
        ({"phenotype": ProfileEncoder()}, "ProfileEncoder"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_parameters_that_do_not_go_together(published_file, sites, changes, message):
    with pytest.raises(ValueError, match=message):
        quick(published_file, **changes).fit(sites)


def test_patterns_must_be_names(published_file, sites):
    with pytest.raises(TypeError, match="names of weights"):
        quick(published_file, trainable=["molecule", 3]).fit(sites)


# ----------------------------------------------------------------------------- fine-tuning


def changed(embedder, path):
    """Names of the weights that differ from those of the file."""
    return {
        name
        for name, value in file_state(path).items()
        if not np.array_equal(embedder.state_[name], value)
    }


def test_parts_are_trained_and_the_rest_stays(published_file, sites):
    embedder = quick(published_file, trainable=["phenotype.backbone.fc", "molecule.*.12.*"])
    found = changed(embedder.fit(sites), published_file)
    layer = {name for name in embedder.state_ if name.startswith("molecule.layers.12.")}
    assert layer
    assert found == {"phenotype.backbone.fc.weight", "phenotype.backbone.fc.bias"} | layer


def test_all_is_trained_from_the_weights_of_the_file(published_file, sites):
    embedder = quick(published_file, trainable=True, lr=1e-6, schedule=None).fit(sites)
    found = changed(embedder, published_file)
    assert {"log_inv_tau", "phenotype.backbone.conv1.weight"} <= found
    assert "phenotype.backbone.bn1.running_mean" in found
    start = file_state(published_file)
    for name, value in start.items():
        if "running" not in name and "tracked" not in name:
            # One update of AdamW moves a weight by the learning rate at most, decay apart.
            np.testing.assert_allclose(embedder.state_[name], value, atol=1.2e-6, err_msg=name)
    assert embedder.n_pairs_ == 12
    assert len(embedder.molecules_seen_) == 6


def test_parts_learn_at_their_own_rates(published_file, sites):
    embedder = quick(
        published_file,
        trainable=True,
        lr=1e-3,
        weight_decay=0.0,
        schedule=None,
        lr_factors={"phenotype": 0.1, "phenotype.backbone.fc": 0.5},
    ).fit(sites)
    start = file_state(published_file)

    def largest_step(name):
        return np.abs(embedder.state_[name] - start[name]).max()

    # The first update of Adam is the rate, whatever the gradient.
    assert largest_step("molecule.layers.12.weight") == pytest.approx(1e-3, rel=1e-2)
    assert largest_step("phenotype.backbone.conv1.weight") == pytest.approx(1e-4, rel=1e-2)
    assert largest_step("phenotype.backbone.fc.weight") == pytest.approx(5e-4, rel=1e-2)


def test_the_untrained_control_leaves_the_weights_out(published_file, sites):
    control = UntrainedEmbedder(quick(published_file)).fit(sites).embedder_
    assert control.state_["phenotype.backbone.fc.weight"].shape == (512, 2048)
    same = [
        name
        for name, value in file_state(published_file).items()
        if name.endswith("weight") and np.array_equal(control.state_[name], value)
    ]
    assert same == []
    assert len(control.history_) == 0
