"""A network trained on labels takes its place in the studies of a screen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import SupervisedEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import ProfileEncoder
from cloome_sk.evaluation.trained_on_labels import TrainedOnLabels, network_on_labels
from cloome_sk.molecules import molecule_key


@pytest.fixture(scope="module", name="X")
def table():
    return make_profiles(n_compounds=24, random_state=0)


def test_equals_the_network_it_holds(X):
    network = SupervisedEmbedder(n_components=8, max_epochs=2, random_state=0)
    ours = TrainedOnLabels(network, "Metadata_moa").fit(X)
    theirs = network.fit(X, X["Metadata_moa"])
    assert np.array_equal(ours.transform(X), theirs.transform(X))


def test_rows_without_a_label_are_not_trained_on(X):
    few = X.copy()
    named = few["Metadata_moa"].isin(few["Metadata_moa"].dropna().unique()[:2])
    few["label"] = few["Metadata_moa"].where(named, None)
    network = SupervisedEmbedder(n_components=8, max_epochs=1, random_state=0)
    fitted = TrainedOnLabels(network, "label").fit(few)
    expected = np.unique(molecule_key(few.loc[named, "Metadata_smiles"]))
    assert fitted.molecules_seen_.tolist() == expected.tolist()


def test_same_network_as_the_embedder(X):
    embedder = CloomeEmbedder(
        phenotype=ProfileEncoder(hidden_sizes=(32,)), n_components=16, max_epochs=3, random_state=5
    )
    made = network_on_labels(embedder, "Metadata_moa").network
    assert made.target == "classes"
    for name in ("n_components", "max_epochs", "lr", "batch_size", "random_state"):
        assert getattr(made, name) == getattr(embedder, name)
    both = embedder.fit(X), made.fit(X, X["Metadata_moa"])
    sizes = [
        {name: value.shape for name, value in fitted.state_.items() if name.startswith("phenotype")}
        for fitted in both
    ]
    assert sizes[0] == sizes[1]


def test_assays_are_several_columns(X):
    labels = pd.DataFrame({"one": X["Metadata_moa"].eq("statin"), "two": True}).astype(float)
    labels["two"] = np.where(np.arange(len(X)) % 3, 1.0, 0.0)
    labels.loc[::2, "one"] = np.nan
    labels.loc[1, "one"] = 1.0
    table = pd.concat([X, labels], axis=1)
    embedder = CloomeEmbedder(n_components=8, max_epochs=1, random_state=0)
    fitted = network_on_labels(embedder, ["one", "two"]).fit(table)
    assert fitted.network_.n_outputs_ == 2
    assert fitted.transform(table).shape == (len(X), 8)
