"""What studies refuse, and what they report as not shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from cloome_sk.evaluation._training_seen import check_trained_before, leakage_of, refuse_seen
from cloome_sk.molecules import molecule_key

ETHANOL, AMINE = molecule_key(["CCO", "CCN"])
TRAIN, TEST = (pd.DataFrame({"smiles": [smiles]}) for smiles in ("CCO", "CCN"))


class Trained(BaseEstimator):
    """Says what it saw."""

    def __init__(self, keys=(ETHANOL,), sha=None):
        self.keys = keys
        self.sha = sha

    def fit(self, X=None, y=None):
        self.molecules_seen_ = np.array(self.keys, dtype=object)
        if self.sha is not None:
            self.checkpoint_sha256_ = self.sha
        return self

    def transform(self, X):
        return X


def wrapped(**options):
    """A frozen step before an embedder that is trained anew."""
    step = FrozenEstimator(Trained(**options).fit())
    return Pipeline([("step", step), ("embedder", Trained(("nothing",)).fit())])


def test_any_part_that_saw_a_test_molecule_is_refused():
    refuse_seen(wrapped(), [AMINE], "study_x")
    with pytest.raises(ValueError, match=rf"study_x: 1 of the 2 test molecules .*{AMINE}"):
        refuse_seen(wrapped(keys=(ETHANOL, AMINE)), [AMINE, AMINE, "other"], "study_x")


def test_digests_of_features_are_refused():
    digest = "0123456789abcdef"
    check_trained_before("m", Trained((digest,)).fit(), "study_x")  # is trained anew in a fold
    with pytest.raises(
        ValueError, match="study_x: model 'm' holds a FrozenEstimator that was trained on"
    ):
        check_trained_before("m", wrapped(keys=(digest,)), "study_x")


def test_a_claim_about_molecules_holds_as_far_as_the_model_knows():
    row = leakage_of("all", 3, TRAIN, TEST, "molecule", fitted=wrapped(), controls=None)
    assert (row["part"], row["fold"], row["claim"], row["ok"]) == ("all", 3, "molecule", True)
    assert "The embedder was trained on none of" in row["sentences"]
    seen = wrapped(keys=(AMINE,))
    assert not leakage_of("all", 0, TRAIN, TEST, "molecule", fitted=seen, controls=None)["ok"]
    none = leakage_of("all", 0, TRAIN, TEST, "molecule", controls=None)
    assert none["ok"]
    assert "embedder" not in none["sentences"]


def test_weights_from_elsewhere_leave_a_claim_about_molecules_open():
    started = wrapped(sha="0123456789abcdef")
    row = leakage_of("all", 0, TRAIN, TEST, ("scaffold", "molecule"), fitted=started, controls=None)
    assert not row["ok"]
    assert row["sentences"].startswith(
        "The model starts from weights of a checkpoint (SHA-256 0123"
    )
    train, test = TRAIN.assign(plate="P1"), TEST.assign(plate="P2")
    row = leakage_of("all", 0, train, test, "plate", fitted=started, controls=None)
    assert row["ok"]
    assert "not shown to hold" not in row["sentences"]
