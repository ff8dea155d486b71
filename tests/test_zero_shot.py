from __future__ import annotations

import io
import re

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, normalize

from cloome_sk import CloomeEmbedder
from cloome_sk.preprocessing import find_controls
from cloome_sk.zero_shot import ZeroShotMoAClassifier

CLASSES = ["actin", "DNA", "tubulin"]
SMILES = {"actin": ["CCO", "CCC"], "DNA": ["CCN", "CNC"], "tubulin": ["CCS", "CSC"]}


class FakeEmbedder(BaseEstimator):
    """Profiles are their own embedding; molecules lie where their class is; `?` is unreadable."""

    def __init__(self, controls="auto"):
        self.controls = controls

    def fit(self, X, y=None):
        self.centers_ = np.random.default_rng(0).normal(size=(3, 5))
        self.inv_tau_ = 7.5
        return self

    def embed_phenotypes(self, X):
        return normalize(X.filter(like="Cells_").to_numpy(dtype=float)).astype(np.float32)

    def embed_molecules(self, molecules):
        if isinstance(molecules, pd.DataFrame):
            molecules = molecules["smiles"]
        Z = np.full((len(molecules), 5), np.nan, dtype=np.float32)
        for row, text in enumerate(molecules):
            for place, name in enumerate(CLASSES):
                if text in SMILES[name]:
                    Z[row] = normalize(self.centers_[[place]])
        return Z


def make_table(n_rows=60, seed=0):
    rng = np.random.default_rng(seed)
    place = np.arange(n_rows) % 3
    centers = np.random.default_rng(0).normal(size=(3, 5))
    profiles = centers[place] + 0.15 * rng.normal(size=(n_rows, 5))
    table = pd.DataFrame(profiles, columns=[f"Cells_{letter}" for letter in "abcde"])
    table["smiles"] = [SMILES[CLASSES[each]][row % 2] for row, each in enumerate(place)]
    table["Metadata_control_type"] = None
    table.index = [f"well{row}" for row in range(n_rows)]
    return table, np.array(CLASSES)[place]


@pytest.fixture
def screen():
    return make_table()


@pytest.fixture
def embedder(screen):
    return FakeEmbedder().fit(screen[0])


def naive_scores(queries, references, labels, classes, aggregate):
    """Every query, class and reference, one at a time."""
    scores = np.empty((len(queries), len(classes)))
    for row, query in enumerate(queries):
        for column, name in enumerate(classes):
            units = [
                r / np.sqrt(sum(r**2)) for r, y in zip(references, labels, strict=True) if y == name
            ]
            length = np.sqrt(sum(query**2))
            if aggregate == "mean":
                mean = sum(units) / len(units)
                scores[row, column] = sum(query * mean) / length / np.sqrt(sum(mean**2))
            else:
                scores[row, column] = max(sum(query * unit) / length for unit in units)
    return scores


# ----------------------------------------------------------------------- scores


@given(
    seed=st.integers(0, 10_000),
    n_classes=st.integers(2, 5),
    n_components=st.integers(2, 6),
    aggregate=st.sampled_from(["mean", "max"]),
    inv_tau=st.floats(0.01, 200),
)
def test_scores_and_probabilities_equal_naive_loops(
    seed, n_classes, n_components, aggregate, inv_tau
):
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(n_classes), rng.integers(0, n_classes, 8)]
    references = rng.normal(size=(len(labels), n_components)) * rng.uniform(
        0.1, 9, (len(labels), 1)
    )
    queries = rng.normal(size=(6, n_components)) * 5
    model = ZeroShotMoAClassifier(aggregate=aggregate, inv_tau=inv_tau).fit(references, labels)
    scores = naive_scores(queries, references, labels, model.classes_, aggregate)
    decision = scores[:, 1] - scores[:, 0] if n_classes == 2 else scores
    np.testing.assert_allclose(model.decision_function(queries), decision, atol=1e-12)
    odds = np.exp(inv_tau * (scores - scores.max(axis=1, keepdims=True)))
    expected = odds / odds.sum(axis=1, keepdims=True)
    probabilities = model.predict_proba(queries)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities, expected, atol=1e-11)
    np.testing.assert_array_equal(model.predict(queries), scores.argmax(axis=1))
    np.testing.assert_array_equal(model.top_k(queries, n_classes), np.argsort(-scores, axis=1))


def test_mean_is_the_nearest_centroid_of_unit_vectors(screen):
    table, y = screen
    X = normalize(table.filter(like="Cells_").to_numpy())
    model = ZeroShotMoAClassifier().fit(X[:30], y[:30])
    reference = NearestCentroid().fit(X[:30], y[:30])
    reference.centroids_ = normalize(reference.centroids_)
    np.testing.assert_allclose(model.prototypes_, reference.centroids_, atol=1e-14)
    np.testing.assert_array_equal(model.predict(X[30:]), reference.predict(X[30:]))


def test_max_is_the_nearest_neighbour(screen):
    table, y = screen
    X = table.filter(like="Cells_").to_numpy()
    model = ZeroShotMoAClassifier(aggregate="max").fit(X[:30], y[:30])
    reference = KNeighborsClassifier(n_neighbors=1, metric="cosine").fit(X[:30], y[:30])
    np.testing.assert_array_equal(model.predict(X[30:]), reference.predict(X[30:]))


@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_equal_scores_go_in_order_of_the_classes(aggregate):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4, 64)).astype(np.float32)
    names = np.array([f"class{number:02d}" for number in range(40)])
    shuffled = rng.permutation(40)
    model = ZeroShotMoAClassifier(aggregate=aggregate).fit(vectors[shuffled % 4], names[shuffled])
    top = model.top_k(rng.normal(size=(50, 64)).astype(np.float32), 10)
    for row in top:
        assert row.tolist() == sorted(row)
        assert len({int(name[5:]) % 4 for name in row}) == 1
    np.testing.assert_array_equal(
        model.predict(vectors), [f"class{number:02d}" for number in range(4)]
    )


@pytest.mark.parametrize("aggregate", ["mean", "max"])
@pytest.mark.parametrize("n_classes", [13, 37, 101])
@pytest.mark.parametrize("n_queries", [1, 2, 3, 50])
def test_equal_classes_tie_at_any_place_of_a_matrix_product(aggregate, n_classes, n_queries):
    # The last digit of a BLAS product depends on where in the matrix a class stands.
    rng = np.random.default_rng(1)
    references = np.tile(rng.normal(size=100), (n_classes, 1))
    model = ZeroShotMoAClassifier(aggregate=aggregate).fit(references, np.arange(n_classes))
    top = model.top_k(rng.normal(size=(n_queries, 100)), n_classes)
    np.testing.assert_array_equal(top, np.tile(np.arange(n_classes), (n_queries, 1)))


def test_log_probabilities_stay_finite_and_blocks_change_nothing(screen):
    table, y = screen
    X = table.filter(like="Cells_").to_numpy()
    model = ZeroShotMoAClassifier(inv_tau=1e5).fit(X, y)
    log = model.predict_log_proba(X)
    assert np.isfinite(log).all()
    assert (model.predict_proba(X) == 0).any()
    np.testing.assert_allclose(np.exp(log), model.predict_proba(X), atol=1e-12)
    whole = model.decision_function(X)
    with sklearn.config_context(working_memory=0.001):
        np.testing.assert_allclose(model.decision_function(X), whole, rtol=0, atol=1e-14)


def test_length_of_vectors_does_not_matter(screen):
    table, y = screen
    X = table.filter(like="Cells_").to_numpy()
    scale = 10.0 ** np.random.default_rng(0).uniform(-150, 150, (len(X), 1))
    expected = ZeroShotMoAClassifier().fit(X, y).decision_function(X)
    found = ZeroShotMoAClassifier().fit(X * scale, y).decision_function(X * scale[::-1])
    np.testing.assert_allclose(found, expected, atol=1e-13)


# ----------------------------------------------------------------------- labels


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series])
def test_a_control_without_a_label_is_left_out(screen, embedder, missing, kind):
    table, y = screen
    table.loc[["well0", "well7"], "Metadata_control_type"] = "negcon"
    labels = y.astype(object)
    labels[[0, 7]] = missing
    model = ZeroShotMoAClassifier(embedder).fit(table, kind(labels))
    assert model.left_out_.tolist() == [0, 7]
    assert model.classes_.tolist() == sorted(CLASSES)
    kept = np.delete(np.arange(len(y)), [0, 7])
    expected = ZeroShotMoAClassifier(embedder).fit(table.iloc[kept], y[kept])
    np.testing.assert_array_equal(model.prototypes_, expected.prototypes_)


def test_a_labelled_control_is_a_class(screen, embedder):
    table, y = screen
    table.loc["well0", "Metadata_control_type"] = "negcon"
    labels = y.astype(object)
    labels[0] = "vehicle"
    model = ZeroShotMoAClassifier(embedder).fit(table, labels)
    assert "vehicle" in model.classes_
    assert model.left_out_.tolist() == []
    assert model.predict(table[:1]).tolist() == ["vehicle"]


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_row_without_a_label_is_named(screen, embedder, missing):
    table, y = screen
    labels = y.astype(object)
    labels[[4, 9]] = missing
    with pytest.raises(ValueError, match=r"row 4 \(index 'well4'\) has no label \(2 such"):
        ZeroShotMoAClassifier(embedder).fit(table, labels)
    with pytest.raises(ValueError, match="row 4 has no label"):
        ZeroShotMoAClassifier().fit(np.eye(6), [0, 1, 0, 1, missing, 1])


@pytest.mark.parametrize(
    "labels",
    [
        [3, 1, 3],
        np.array([3, 1, 3]),
        np.array([3, 1, 3], dtype=object),
        pd.Series([3, 1, 3], index=[5, 6, 7]),
        pd.Series([3, 1, 3], dtype="Int64"),
        pd.Series([3, 1, 3], dtype="category"),
    ],
)
def test_labels_of_every_kind(labels):
    model = ZeroShotMoAClassifier().fit([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]], labels)
    assert model.classes_.tolist() == [1, 3]
    assert model.predict([[1.0, 0.0], [0.0, 1.0]]).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "requires y to be passed"),
        ([0, 1], "inconsistent numbers of samples"),
        (["a", "a", "a"], "at least two classes; got one class, 'a'"),
        (["a", 1, "b"], "mixed or unusual types"),
        ([0.1, 0.2, 0.3], "Unknown label type"),
        (np.array([0.0, 1.0, np.inf]), "infinity"),
        (np.eye(3), "1d array"),
    ],
)
def test_bad_labels(labels, message):
    with pytest.raises(ValueError, match=re.compile(message)):
        ZeroShotMoAClassifier().fit(np.eye(3), labels)


def test_only_unlabelled_controls(screen, embedder):
    table, _ = screen
    table["Metadata_control_type"] = "negcon"
    with pytest.raises(ValueError, match="all rows are controls without a label"):
        ZeroShotMoAClassifier(embedder).fit(table, [None] * len(table))


def test_a_column_of_labels_is_flattened_with_a_warning():
    with pytest.warns(DataConversionWarning):
        model = ZeroShotMoAClassifier().fit(np.eye(2), [[0], [1]])
    assert model.predict(np.eye(2)).tolist() == [0, 1]


# -------------------------------------------------------------------- modalities


@pytest.mark.parametrize("aggregate", ["mean", "max"])
@pytest.mark.parametrize("reference", ["phenotype", "molecule"])
def test_an_embedder_equals_its_embeddings(screen, embedder, aggregate, reference):
    table, y = screen
    model = ZeroShotMoAClassifier(embedder, reference=reference, aggregate=aggregate)
    model.fit(table[:20], y[:20])
    embed = {"phenotype": embedder.embed_phenotypes, "molecule": embedder.embed_molecules}
    plain = ZeroShotMoAClassifier(aggregate=aggregate, inv_tau=7.5)
    plain.fit(embed[reference](table[:20]), y[:20])
    queries = embedder.embed_phenotypes(table[20:])
    np.testing.assert_allclose(
        model.predict_proba(table[20:]), plain.predict_proba(queries), atol=1e-6
    )
    assert model.score(table[20:], y[20:]) > 0.9


def test_classes_from_structures_alone(screen, embedder):
    table, y = screen
    structures = [smiles for name in CLASSES for smiles in SMILES[name]]
    model = ZeroShotMoAClassifier(embedder, reference="molecule")
    model.fit(structures, np.repeat(CLASSES, 2))
    assert (model.predict(table.drop(columns="smiles")) == y).mean() > 0.9


def test_references_that_cannot_be_embedded(embedder):
    model = ZeroShotMoAClassifier(embedder, reference="molecule")
    with pytest.warns(UserWarning, match=r"row 1 of the references could not be embedded"):
        model.fit(["CCO", "?", "CCN"], ["a", "a", "b"])
    assert model.left_out_.tolist() == [1]
    with pytest.raises(ValueError, match=r"none of the reference rows.*class\(es\) 'b'"):
        model.fit(["CCO", "CCN", "?"], ["a", "c", "b"])


def test_every_reference_that_cannot_be_embedded_is_kept_however_many(embedder):
    model = ZeroShotMoAClassifier(embedder, reference="molecule")
    with pytest.warns(UserWarning, match=r"\(\+28 more\) of the references.*`left_out_`"):
        model.fit(["CCO", "?"] * 40, ["a", "a", "b", "b"] * 20)
    assert model.left_out_.tolist() == list(range(1, 80, 2))


class FakeWithRule(FakeEmbedder):
    """Keeps the rule that it found the controls by."""

    def fit(self, X, y=None):
        super().fit(X)
        self.controls_ = find_controls(X, self.controls)
        return self


def test_only_controls_of_the_fitted_rule_may_go_without_a_label(screen):
    table, y = screen
    table["Metadata_control_type"] = ["negcon"] * 4 + [None] * (len(table) - 4)
    embedder = FakeWithRule().fit(table)
    labels = y.astype(object)
    labels[:2] = None
    assert ZeroShotMoAClassifier(embedder).fit(table, labels).left_out_.tolist() == [0, 1]
    table["Metadata_control_type"] = ["negcon", "vehicle"] + [None] * (len(table) - 2)
    with pytest.raises(ValueError, match=r"row 1 .*has no label .* is no negative control"):
        ZeroShotMoAClassifier(embedder).fit(table, labels)


class FailsToEmbed(FakeEmbedder):
    def embed_phenotypes(self, X):
        raise RuntimeError("no embedding")


@pytest.mark.parametrize("failure", ["embedding", "labels", "one class", "cancel", "numbers"])
def test_a_failed_refit_leaves_the_earlier_fit_whole(screen, embedder, failure):
    table, y = screen
    model = ZeroShotMoAClassifier(embedder).fit(table, y)
    before = vars(model).copy()
    expected = model.predict_proba(table)
    X, labels, new = table, y, FakeEmbedder().fit(table)
    if failure == "embedding":
        new = FailsToEmbed().fit(table)
    elif failure == "labels":
        labels = np.append(y[:-1].astype(object), None)
    elif failure == "one class":
        labels = np.full(len(table), "actin")
    elif failure == "cancel":
        new, X, labels = None, [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], ["a", "a", "b"]
    else:
        new, X, labels = None, pd.DataFrame({"a": [1.0, np.nan]}), ["a", "b"]
    model.set_params(embedder=new)
    with pytest.raises((RuntimeError, ValueError)):
        model.fit(X, labels)
    after = vars(model)
    assert set(after) == set(before)
    assert all(after[name] is before[name] for name in before if name.endswith("_"))
    np.testing.assert_array_equal(model.predict_proba(table), expected)


def test_inverse_temperature(screen, embedder):
    table, y = screen
    assert ZeroShotMoAClassifier(embedder).fit(table, y).inv_tau_ == 7.5
    assert ZeroShotMoAClassifier(FrozenEstimator(embedder)).fit(table, y).inv_tau_ == 7.5
    assert ZeroShotMoAClassifier(embedder, inv_tau=3).fit(table, y).inv_tau_ == 3.0
    X = embedder.embed_phenotypes(table)
    model = ZeroShotMoAClassifier().fit(X, y)
    assert model.inv_tau_ == 14.3
    expected = softmax(14.3 * model.decision_function(X), axis=1)
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-12)


# --------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "parameters",
    [{"inv_tau": 0}, {"inv_tau": -1.0}, {"inv_tau": "learn"}, {"aggregate": "median"},
     {"reference": "gene"}, {"inv_tau": np.nan}],
)  # fmt: skip
def test_parameters_are_checked(parameters):
    name = next(iter(parameters))
    with pytest.raises(ValueError, match=f"The '{name}' parameter of ZeroShotMoAClassifier"):
        ZeroShotMoAClassifier(**parameters).fit(np.eye(2), [0, 1])


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0, ValueError, "k=0, but there are 3 classes"),
        (4, ValueError, "k=4, but there are 3 classes"),
        (1.0, TypeError, "whole number"),
        (True, TypeError, "whole number"),
    ],
)
def test_number_of_classes_to_name(k, error, message):
    with pytest.raises(error, match=message):
        ZeroShotMoAClassifier().fit(np.eye(3), [0, 1, 2]).top_k(np.eye(3), k)


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "predict_log_proba", "decision_function", "top_k"]
)
def test_unfitted_and_bad_queries(method, embedder, screen):
    table, y = screen
    with pytest.raises(NotFittedError):
        getattr(ZeroShotMoAClassifier(), method)(np.eye(2))
    model = ZeroShotMoAClassifier().fit(np.eye(5), list("abcde"))
    for X, message in (
        (np.eye(3), "X has 3 features, but ZeroShotMoAClassifier is expecting 5"),
        (np.full((1, 5), np.nan), "NaN"),
        (np.empty((0, 5)), "0 sample"),
    ):
        with pytest.raises(ValueError, match=message):
            getattr(model, method)(X)
    model = ZeroShotMoAClassifier(embedder).fit(table, y)
    ask = model.predict if method == "top_k" else getattr(model, method)
    with pytest.raises(TypeError, match="phenotypes come as a table"):
        ask(["CCO"])
    with pytest.raises(ValueError, match="no rows"):
        ask(table[:0])


def test_queries_without_an_embedding_are_named(screen):
    class Holes(FakeEmbedder):
        def embed_phenotypes(self, X):
            Z = super().embed_phenotypes(X)
            Z[X["smiles"] == "CCS"] = np.nan
            return Z

    table, y = screen
    model = ZeroShotMoAClassifier(Holes().fit(table))
    with pytest.warns(UserWarning, match="of the references could not be embedded"):
        model.fit(table, y)
    with pytest.raises(ValueError, match=r"predict: rows 2, 8 could not be embedded"):
        model.predict(table[:9])


def test_references_that_cancel_out():
    with pytest.raises(ValueError, match="reference vectors of class 'a' cancel out"):
        ZeroShotMoAClassifier().fit([[1.0, 0.0], [-2.0, 0.0], [0.0, 1.0]], ["a", "a", "b"])
    model = ZeroShotMoAClassifier(aggregate="max")
    model.fit([[1.0, 0.0], [-2.0, 0.0], [0.0, 1.0]], ["a", "a", "b"])
    assert model.predict([[-1.0, 0.1]]).tolist() == ["a"]


# --------------------------------------------------------------------- embedders


def test_cross_validation_in_every_mode(screen, embedder):
    table, y = screen
    bare = ZeroShotMoAClassifier(embedder)
    with pytest.raises(NotFittedError, match=re.escape("ZeroShotMoAClassifier(FrozenEstimator(")):
        cross_val_score(bare, table, y, error_score="raise")
    with pytest.raises(ValueError, match=re.escape("FrozenEstimator(embedder)")):
        cross_val_score(bare, table, y)
    frozen = cross_val_score(ZeroShotMoAClassifier(FrozenEstimator(embedder)), table, y)
    plain = cross_val_score(ZeroShotMoAClassifier(), embedder.embed_phenotypes(table), y)
    np.testing.assert_array_equal(frozen, plain)
    pipe = make_pipeline(FunctionTransformer(), embedder)
    piped = cross_val_score(ZeroShotMoAClassifier(FrozenEstimator(pipe)), table, y)
    np.testing.assert_array_equal(piped, plain)


def test_grid_search_in_every_mode(screen, embedder):
    table, y = screen
    grid = {"aggregate": ["mean", "max"], "inv_tau": ["auto", 30.0]}
    with pytest.raises(NotFittedError, match=re.escape("FrozenEstimator(embedder)")):
        GridSearchCV(ZeroShotMoAClassifier(embedder), grid, error_score="raise").fit(table, y)
    frozen = GridSearchCV(
        ZeroShotMoAClassifier(FrozenEstimator(embedder)), grid, scoring="neg_log_loss"
    ).fit(table, y)
    plain = GridSearchCV(
        ZeroShotMoAClassifier(), {**grid, "inv_tau": [7.5, 30.0]}, scoring="neg_log_loss"
    ).fit(embedder.embed_phenotypes(table), y)
    np.testing.assert_allclose(
        frozen.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"], rtol=1e-5
    )
    assert frozen.predict(table).shape == (60,)


def test_clone_and_set_params(screen, embedder):
    table, y = screen
    with pytest.raises(NotFittedError, match="FrozenEstimator"):
        clone(ZeroShotMoAClassifier(embedder)).fit(table, y)
    model = ZeroShotMoAClassifier().set_params(embedder=FrozenEstimator(embedder))
    expected = ZeroShotMoAClassifier(embedder).fit(table, y).predict_proba(table)
    np.testing.assert_array_equal(clone(model).fit(table, y).predict_proba(table), expected)


def test_a_reloaded_classifier_gives_the_same_answer(screen, embedder):
    table, y = screen
    model = ZeroShotMoAClassifier(embedder, aggregate="max").fit(table, y)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    again = joblib.load(file)
    np.testing.assert_array_equal(again.predict_proba(table), model.predict_proba(table))


@pytest.mark.parametrize("reference", ["phenotype", "molecule"])
def test_real_embedder(reference):
    from cloome_sk.datasets import make_profiles

    screen = make_profiles(n_compounds=12, n_plates=2, n_features=20, random_state=0)
    embedder = CloomeEmbedder(n_components=16, max_epochs=2, random_state=0).fit(screen)
    model = ZeroShotMoAClassifier(FrozenEstimator(embedder), reference=reference)
    model.fit(screen, screen["Metadata_moa"])
    controls = np.flatnonzero(screen["Metadata_control_type"].notna())
    treated = screen.drop(index=screen.index[controls])
    np.testing.assert_array_equal(model.left_out_, controls)
    assert model.inv_tau_ == embedder.inv_tau_
    embed = {"phenotype": embedder.embed_phenotypes, "molecule": embedder.embed_molecules}
    plain = ZeroShotMoAClassifier(inv_tau=embedder.inv_tau_)
    plain.fit(embed[reference](treated), treated["Metadata_moa"])
    np.testing.assert_allclose(
        model.predict_proba(screen),
        plain.predict_proba(embedder.embed_phenotypes(screen)),
        atol=1e-6,
    )
    with pytest.raises(NotFittedError, match="FrozenEstimator"):
        clone(ZeroShotMoAClassifier(embedder)).fit(screen, screen["Metadata_moa"])
