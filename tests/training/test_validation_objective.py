"""The objective on held-out pairs: which of them are positives, and when it is not measured."""

from __future__ import annotations

import numpy as np
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder


@pytest.fixture(scope="module")
def X():  # noqa: N802
    return make_profiles(n_compounds=40, random_state=0)


def quick(**changes):
    chosen = {
        "phenotype": ProfileEncoder(hidden_sizes=(32,)),
        "molecule": MoleculeEncoder(hidden_sizes=(32,)),
        "n_components": 16,
        "batch_size": 32,
        "max_epochs": 2,
        "random_state": 0,
    }
    return CloomeEmbedder(**{**chosen, **changes})


def treated(X):
    return X[X["Metadata_control_type"].isna()]


@pytest.mark.parametrize("positives", ["molecule", "pair", ["Metadata_moa"]])
def test_the_objective_has_the_positives_of_training(X, positives):
    names = treated(X)["Metadata_smiles"].unique()
    held = treated(X)[treated(X)["Metadata_smiles"].isin(names[:12])].reset_index(drop=True)
    rest = X[~X["Metadata_smiles"].isin(names[:12])]
    embedder = quick(validation=held, positives=positives).fit(rest)
    Z = embedder.embed_phenotypes(held).astype(float)
    logits = embedder.inv_tau_ * Z @ embedder.embed_molecules(held).astype(float).T
    labels = {"molecule": held["Metadata_smiles"], "pair": held.index}
    label = np.array(labels.get(str(positives), held["Metadata_moa"]))
    total = 0.0
    for scores in (logits, logits.T):
        for row in range(len(held)):
            same = label == label[row]
            negatives = np.exp(scores[row, ~same]).sum()
            total += np.mean(np.log1p(negatives / np.exp(scores[row, same]))) / len(held) / 2
    assert embedder.history_["valid_objective"].iloc[-1] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("objective", ["infonce", "infoloob"])
def test_an_objective_without_negatives_is_not_measured(X, objective):
    names = treated(X)["Metadata_smiles"].unique()
    X = X.assign(half=np.where(X["Metadata_smiles"].isin(names[:12]), "held", X["Metadata_moa"]))
    X["half"] = X["half"].fillna("none")
    held, rest = X[X["half"] == "held"], X[X["half"] != "held"]
    chosen = {"validation": held, "positives": ["half"], "objective": objective}
    history = quick(**chosen).fit(rest).history_
    assert "valid_objective" not in history
    assert history["valid_relative_rank"].between(0, 1).all()
    with pytest.raises(ValueError, match="all held-out pairs are positives of each other"):
        quick(**chosen, monitor="valid_objective").fit(rest)
