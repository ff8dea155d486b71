"""What a model was trained on is found wherever in it an embedder hides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline

from cloome_sk import CloomeEmbedder, CrossModalRetriever, ZeroShotMoAClassifier
from cloome_sk.datasets import make_profiles
from cloome_sk.model_selection import leakage_report
from cloome_sk.model_selection._seen import frozen_parts, molecules_seen, parts


class Wrapper(TransformerMixin, BaseEstimator):
    """Trains a clone of the embedder it is given."""

    def __init__(self, embedder):
        self.embedder = embedder

    def fit(self, X, y=None):
        self.embedder_ = clone(self.embedder).fit(X)
        return self

    def transform(self, X):
        return self.embedder_.transform(X)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    X = make_profiles(n_compounds=24, n_features=20, n_controls=4, random_state=0)
    return X[X["Metadata_control_type"].isna()].reset_index(drop=True)


def halves(table):
    smiles = table["Metadata_smiles"]
    first = smiles.isin(smiles.unique()[:12])
    return table[first], table[~first]


def embedder():
    return CloomeEmbedder(n_components=4, max_epochs=1, random_state=0)


@pytest.fixture(scope="module")
def fitted(table):
    return embedder().fit(halves(table)[0])


def labels(table):
    return np.arange(len(table)) % 2


MODELS = {
    "zero shot": lambda e, X: ZeroShotMoAClassifier(FrozenEstimator(e)).fit(X, labels(X)),
    "zero shot, bare": lambda e, X: ZeroShotMoAClassifier(e).fit(X, labels(X)),
    "retriever": lambda e, X: CrossModalRetriever(e).fit(X),
    "search": lambda e, X: GridSearchCV(
        make_pipeline(FrozenEstimator(e), LogisticRegression()),
        {"logisticregression__C": [1.0]},
        cv=2,
    ).fit(X, labels(X)),
    "calibrated": lambda e, X: CalibratedClassifierCV(
        make_pipeline(FrozenEstimator(e), LogisticRegression()), cv=2
    ).fit(X, labels(X)),
    "columns": lambda e, X: ColumnTransformer(
        [("profile", FrozenEstimator(e), list(X.columns))], verbose_feature_names_out=False
    ).fit(X),
    "union": lambda e, X: FeatureUnion([("a", FrozenEstimator(e)), ("b", FrozenEstimator(e))]),
    "voting": lambda e, X: VotingClassifier(
        [
            ("probe", make_pipeline(FrozenEstimator(e), LogisticRegression())),
            ("n", DummyClassifier()),
        ]
    ).fit(X, labels(X)),
    "frozen search": lambda e, X: FrozenEstimator(MODELS["search"](e, X)),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_embedder_is_found_inside(name, table, fitted):
    X = halves(table)[0]
    model = MODELS[name](fitted, X)
    assert molecules_seen(model) == set(fitted.molecules_seen_)
    train, test = halves(table)[1], X
    report = leakage_report(train, test, embedder=model)
    assert not report.ok
    assert report.table.loc["embedder", "n_shared"] == 12


@pytest.mark.parametrize("name", ["search", "calibrated"])
def test_what_is_trained_inside_is_found_too(name, table):
    """Without any FrozenEstimator: the clones that were fitted, wherever they are kept."""
    X = halves(table)[0]
    probe = make_pipeline(embedder(), LogisticRegression())
    model = {
        "search": GridSearchCV(probe, {"logisticregression__C": [1.0]}, cv=2),
        "calibrated": CalibratedClassifierCV(probe, cv=2),
    }[name].fit(X, labels(X))
    assert molecules_seen(model) == set(embedder().fit(X).molecules_seen_)


def test_two_embedders_are_counted_together(table, fitted):
    other = embedder().fit(halves(table)[1])
    union = FeatureUnion([("one", FrozenEstimator(fitted)), ("two", FrozenEstimator(other))])
    both = set(fitted.molecules_seen_) | set(other.molecules_seen_)
    assert len(both) == 24
    assert molecules_seen(union) == both
    assert leakage_report(*halves(table), embedder=union).table.loc["embedder", "n_shared"] == 12


def test_the_training_of_a_parameter_that_was_trained_again_does_not_count(table, fitted):
    second = halves(table)[1]
    model = Wrapper(fitted).fit(second)
    assert molecules_seen(model) == set(embedder().fit(second).molecules_seen_)
    assert molecules_seen(Wrapper(fitted)) == set(fitted.molecules_seen_)


def test_each_part_comes_once_also_where_models_hold_each_other(fitted):
    union = FeatureUnion([("a", fitted), ("b", make_pipeline(fitted))])
    union.itself_ = [union]
    found = list(parts(union))
    assert sum(part is fitted for part in found) == 1
    assert sum(part is union for part in found) == 1


def test_frozen_parts_are_those_inside_a_frozen_estimator(fitted):
    free, held = LogisticRegression(), make_pipeline(fitted)
    found = list(frozen_parts(make_pipeline(FrozenEstimator(held), free)))
    assert any(part is fitted for part in found)
    assert not any(part is free for part in found)
