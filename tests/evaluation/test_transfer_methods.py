"""The methods of the transfer study: what each is trained on, and for how long."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import MorganFeatures, SupervisedEmbedder
from cloome_sk.datasets import make_screen
from cloome_sk.encoders import ImageEncoder, ProfileEncoder
from cloome_sk.evaluation._transfer_fit import n_updates
from cloome_sk.evaluation.trained_on_targets import TrainedOnTargets
from cloome_sk.evaluation.transfer_methods import (
    CELLPROFILER,
    CODES,
    INTENSITY,
    MODEL,
    ON_ACTIVITY,
    ON_CELLPROFILER,
    ON_ECFP,
    ON_INTENSITY,
    UNTRAINED,
    Effort,
    image_methods,
    profile_methods,
)
from cloome_sk.molecules import morgan_fingerprints
from cloome_sk.preprocessing import find_controls


class Labels(SupervisedEmbedder):
    """Notes the labels of each training."""

    seen: list[tuple] = []  # noqa: RUF012  a clone has its own attributes, not its class

    def fit(self, X, y=None):
        Labels.seen.append((X, y))
        return super().fit(X, y)


def network(**options):
    given = {"phenotype": ProfileEncoder(hidden_sizes=(8,)), "n_components": 4, "batch_size": 16}
    return Labels(**{**given, "target": "assays", "max_epochs": 1, "random_state": 0, **options})


def test_bits_of_the_treated_rows_are_the_labels(screen):
    Labels.seen = []
    model = TrainedOnTargets(network(), MorganFeatures(n_bits=128)).fit(screen)
    ((_, labels),) = Labels.seen
    treated = ~find_controls(screen).mask
    bits = morgan_fingerprints(
        screen.loc[treated, "Metadata_smiles"], radius=3, n_bits=128, use_chirality=True
    )
    varying = (bits == 0).any(axis=0) & (bits == 1).any(axis=0)
    assert np.isnan(labels[~treated]).all()
    np.testing.assert_array_equal(labels[treated], bits[:, varying])
    assert len(model.target_names_) == varying.sum()
    assert len(model.molecules_seen_) == 120


def test_missing_results_stay_missing_and_rows_without_any_are_not_trained_on(screen):
    rng = np.random.default_rng(0)
    results = rng.choice([0.0, 1.0, np.nan], size=(len(screen), 2))
    treated = ~find_controls(screen).mask
    results[: len(screen) // 2] = np.nan
    table = screen.assign(Metadata_a=results[:, 0], Metadata_b=results[:, 1], Metadata_c=1.0)
    Labels.seen = []
    model = TrainedOnTargets(network(), ["a", "b", "c"], n_updates=20).fit(table)
    ((_, labels),) = Labels.seen
    assert model.target_names_ == ["Metadata_a", "Metadata_b"]
    np.testing.assert_array_equal(labels[treated], results[treated])
    n_labelled = int((~np.isnan(results[treated])).any(axis=1).sum())
    assert model.network_.n_trained_ == n_labelled
    updates, rows = n_updates(model)
    assert rows == n_labelled
    assert abs(updates - 20) <= -(-n_labelled // 16) / 2
    assert f"which {n_labelled} of {treated.sum()}" in model.notes_[0]


def test_targets_of_one_kind_are_refused(screen):
    with pytest.raises(ValueError, match="none of 1 targets has both a 0 and a 1"):
        TrainedOnTargets(network(), ["a"]).fit(screen.assign(Metadata_a=1.0))


def test_updates_are_those_of_the_fit(screen):
    embedder = CloomeEmbedder(
        phenotype=ProfileEncoder(hidden_sizes=(8,)),
        n_components=4,
        max_epochs=3,
        batch_size=50,
        random_state=0,
    ).fit(screen)
    assert n_updates(embedder) == (3 * -(-embedder.n_pairs_ // 50), embedder.n_pairs_)
    assert n_updates(MorganFeatures()) == pytest.approx((np.nan, np.nan), nan_ok=True)


def test_profile_methods_share_encoder_and_effort(screen):
    features = [name for name in screen.columns if str(name).startswith("Cells_")]
    effort = Effort(ProfileEncoder(columns=features), n_rows=320, n_updates=50, batch_size=32)
    methods = profile_methods(effort, features, activity=["a"])
    assert next(iter(methods)) == MODEL
    assert {CODES, UNTRAINED, ON_ACTIVITY, ON_ECFP} <= set(methods)
    for method in methods.values():
        parameters = clone(method).get_params()
        epochs = [v for k, v in parameters.items() if k.endswith("max_epochs")]
        assert set(epochs) <= {5}
        sizes = [v for k, v in parameters.items() if k.endswith("phenotype__columns")]
        assert all(value == features for value in sizes)


def test_image_methods_answer_to_what_the_tables_have():
    effort = Effort(ImageEncoder(size=32), n_rows=100)
    plain = image_methods(effort)
    assert {INTENSITY, ON_INTENSITY, ON_ECFP, "SimCLR", "DINO"} <= set(plain)
    assert ON_ACTIVITY not in plain
    rich = image_methods(effort, activity=["a"], cellprofiler=["Cells_A"], weights="file.pth")
    assert {ON_ACTIVITY, CELLPROFILER, ON_CELLPROFILER, "ImageNet weights"} <= set(rich)
    assert ON_INTENSITY not in rich
    bare = image_methods(effort, structures=False)
    assert CODES not in bare
    assert ON_ECFP not in bare


def test_every_image_method_trains_on_one_table_and_embeds_another(tmp_path):
    options = {"n_compounds": 8, "n_plates": 2, "n_controls": 4, "size": 64, "pixel_size_um": 3.0}
    source = make_screen(tmp_path / "a", **options, random_state=0)
    target = make_screen(tmp_path / "b", **options, background=3.0, random_state=1)
    results = np.random.default_rng(0).choice([0.0, 1.0, np.nan], size=len(source))
    source = source.assign(Metadata_assay=results)
    effort = Effort(ImageEncoder(), n_rows=16, n_updates=2, batch_size=8, n_components=8, seed=0)
    for name, method in image_methods(effort, activity=["assay"]).items():
        fitted = clone(method).fit(source)
        vectors = pd.DataFrame(np.asarray(fitted.transform(target)))
        assert vectors.shape[0] == len(target), name
        assert np.isfinite(vectors).all(axis=None), name
        assert (vectors.std() > 0).any(), name
