from __future__ import annotations

import io
import pickle
import re

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from cloome_sk import CloomeEmbedder
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import find_controls
from cloome_sk.retriever import CrossModalRetriever

DRUGS = [
    "CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "CCN(CC)CC",
    "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(C)NCC(O)COc1cccc2ccccc12",
    "CC(C)NCC(O)COc1cccc2ccccc12.Cl", "O=C(O)c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "OCC(O)CO",
]  # fmt: skip
FEATURES = ["Cells_A", "Cells_B", "Nuclei_C", "Nuclei_D"]


class FakeEmbedder(BaseEstimator):
    """Projects profiles at random and molecules by their letters; `?` cannot be read."""

    def __init__(self, seed=0, controls="auto"):
        self.seed = seed
        self.controls = controls

    def fit(self, X, y=None):
        rng = np.random.default_rng(self.seed)
        self.profile_weights_ = rng.normal(size=(len(FEATURES), 6))
        self.letter_weights_ = rng.normal(size=(128, 6))
        self.inv_tau_ = 20.0
        return self

    def embed_phenotypes(self, X):
        return self._unit(X[FEATURES].to_numpy(dtype=float) @ self.profile_weights_)

    def embed_molecules(self, molecules):
        if isinstance(molecules, pd.DataFrame):
            molecules = molecules["Metadata_smiles"]
        Z = np.full((len(molecules), 6), np.nan)
        for row, text in enumerate(molecules):
            if isinstance(text, str) and "?" not in text:
                weights = self.letter_weights_[[ord(letter) for letter in text]]
                Z[row] = (weights * np.arange(1, len(text) + 1)[:, None]).sum(axis=0)
        return self._unit(Z)

    def _unit(self, Z):
        return (Z / np.linalg.norm(Z, axis=1, keepdims=True)).astype(np.float32)

    def score(self, X, y=None):
        return 0.0


def make_table(n_rows=60, seed=0, missing=0.0, controls=0.0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n_rows, len(FEATURES))), columns=FEATURES)
    table.insert(0, "Metadata_Plate", rng.choice(["P1", "P2", "P3"], n_rows).astype(object))
    table.insert(1, "Metadata_smiles", rng.choice(DRUGS, n_rows).astype(object))
    table["Metadata_dose"] = rng.choice([1.0, 5.0], n_rows)
    table["Metadata_control_type"] = np.where(rng.random(n_rows) < controls, "negcon", None)
    for column in ("Metadata_Plate", "Metadata_dose"):
        table.loc[rng.random(n_rows) < missing, column] = None
    table.index = [f"well{row}" for row in range(n_rows)]
    return table


@pytest.fixture
def table():
    return make_table()


@pytest.fixture
def embedder(table):
    return FakeEmbedder().fit(table)


# ------------------------------------------------------------------ kneighbors


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [1, 7, 200])
def test_kneighbors_equals_scikit_learn(dtype, k):
    rng = np.random.default_rng(0)
    database, queries = rng.normal(size=(200, 8)), rng.normal(size=(30, 8)) * 50
    database, queries = database.astype(dtype), queries.astype(dtype)
    reference = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute")
    expected, rows = reference.fit(database.astype(float)).kneighbors(queries.astype(float))
    distances, indices = CrossModalRetriever(n_neighbors=k).fit(database).kneighbors(queries)
    np.testing.assert_array_equal(indices, rows)
    tolerance = 1e-14 if dtype == np.float64 else 5e-7
    np.testing.assert_allclose(distances, expected, rtol=0, atol=tolerance)
    assert distances.dtype == np.float64
    assert indices.dtype == np.intp


def test_without_queries_no_row_is_its_own_neighbour():
    database = np.random.default_rng(1).normal(size=(50, 5))
    reference = NearestNeighbors(n_neighbors=6, metric="cosine").fit(database)
    expected, rows = reference.kneighbors()
    retriever = CrossModalRetriever(n_neighbors=6).fit(database)
    distances, indices = retriever.kneighbors()
    np.testing.assert_array_equal(indices, rows)
    np.testing.assert_allclose(distances, expected, atol=1e-14)
    np.testing.assert_array_equal(retriever.kneighbors(return_distance=False), rows)


def test_ties_come_in_order_of_the_rows_however_many_there_are():
    rng = np.random.default_rng(2)
    distinct = rng.normal(size=(7, 64)).astype(np.float32)
    copies = rng.integers(0, 7, size=500)
    retriever = CrossModalRetriever(n_neighbors=120).fit(distinct[copies])
    distances, indices = retriever.kneighbors(rng.normal(size=(9, 64)).astype(np.float32))
    for row in range(9):
        order = sorted(range(120), key=lambda hit: (distances[row, hit], indices[row, hit]))
        assert order == list(range(120))
        nearest_copy = copies[indices[row, 0]]
        n_copies = (copies == nearest_copy).sum()
        np.testing.assert_array_equal(
            indices[row, :n_copies], np.flatnonzero(copies == nearest_copy)[:120]
        )
        assert len(np.unique(distances[row, :n_copies])) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [13, 37, 101, 203])
@pytest.mark.parametrize("n_queries", [1, 2, 3, 9])
def test_equal_rows_tie_at_any_place_of_a_matrix_product(dtype, n_rows, n_queries):
    # The last digit of a BLAS product depends on where in the matrix a row stands.
    rng = np.random.default_rng(5)
    database = np.tile(rng.normal(size=100), (n_rows, 1)).astype(dtype)
    queries = rng.normal(size=(n_queries, 100)).astype(dtype)
    retriever = CrossModalRetriever().fit(database)
    for k in (1, 10):
        distances, indices = retriever.kneighbors(queries, k)
        np.testing.assert_array_equal(indices, np.tile(np.arange(k), (n_queries, 1)))
        np.testing.assert_array_equal(distances, distances[:, :1] * np.ones(k))


def test_a_row_is_at_distance_zero_of_itself():
    database = np.random.default_rng(3).normal(size=(40, 33)).astype(np.float32)
    distances, indices = CrossModalRetriever(n_neighbors=1).fit(database).kneighbors(database)
    np.testing.assert_array_equal(indices[:, 0], np.arange(40))
    np.testing.assert_array_equal(distances, 0.0)


@given(
    seed=st.integers(0, 1000),
    n_rows=st.integers(2, 40),
    k=st.integers(1, 5),
    exponent=st.integers(-300, 300),
)
def test_length_of_vectors_and_order_of_rows_do_not_matter(seed, n_rows, k, exponent):
    rng = np.random.default_rng(seed)
    k = min(k, n_rows)
    database, queries = rng.normal(size=(n_rows, 4)), rng.normal(size=(5, 4))
    distances, indices = CrossModalRetriever(n_neighbors=k).fit(database).kneighbors(queries)
    shuffled = rng.permutation(n_rows)
    scaled = (database * 10.0**exponent)[shuffled]
    again, rows = CrossModalRetriever(n_neighbors=k).fit(scaled).kneighbors(queries * 3)
    np.testing.assert_array_equal(shuffled[rows], indices)
    np.testing.assert_allclose(again, distances, atol=1e-14)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert (distances >= 0).all()
    assert (distances <= 2).all()


def test_small_blocks_change_nothing(table, embedder):
    retriever = CrossModalRetriever(embedder, query="phenotype", n_neighbors=4).fit(table)
    whole = retriever.search(table, group_by="molecule", exclude="plate"), retriever.kneighbors()
    with sklearn.config_context(working_memory=0.001):
        parts = retriever.search(table, group_by="molecule", exclude="plate")
        in_blocks = retriever.kneighbors()
    pd.testing.assert_frame_equal(whole[0], parts)
    np.testing.assert_array_equal(whole[1], in_blocks)


class Minimal:
    """An index that knows nothing of scikit-learn and answers in the reverse order."""

    def fit(self, Z):
        self.Z = Z

    def kneighbors(self, Z, n_neighbors):
        rows = np.argsort(-(Z @ self.Z.T), axis=1)[:, :n_neighbors][:, ::-1]
        return np.zeros(rows.shape), rows


@pytest.mark.parametrize(
    "index", [NearestNeighbors(), NearestNeighbors(algorithm="kd_tree", p=2), Minimal()]
)
@pytest.mark.parametrize("itself", [False, True])
def test_any_index_gives_the_distances_of_the_exact_search(index, itself):
    rng = np.random.default_rng(4)
    table = make_table(80, controls=0.2)
    queries = None if itself else make_table(20, seed=9)
    embedder = FakeEmbedder().fit(table)
    names = {"query": "phenotype", "n_neighbors": int(rng.integers(2, 9))}
    exact = CrossModalRetriever(embedder, **names).fit(table)
    hooked = CrossModalRetriever(embedder, neighbors=index, **names).fit(table)
    for expected, found in zip(exact.kneighbors(queries), hooked.kneighbors(queries), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert "Z" not in vars(index)
    assert "n_samples_fit_" not in vars(index)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.array([[0, -1], [0, 1]]), r"returned \[0, -1\] for query 0; expected 2 positions"),
        (np.array([[0, 1], [0, 99]]), r"\[0, 99\] for query 1"),
        (np.array([[0], [1]]), r"positions of shape \(2, 1\); expected \(2, 2\)"),
    ],
)
def test_an_index_that_finds_too_little_is_named(answer, message):
    class Poor(Minimal):
        def kneighbors(self, Z, n_neighbors):
            return np.zeros(answer.shape), answer

    retriever = CrossModalRetriever(neighbors=Poor()).fit(np.eye(3))
    with pytest.raises(ValueError, match=message):
        retriever.kneighbors(np.eye(3)[:2], 2)


# ---------------------------------------------------------------------- search


def naive_search(queries, table, Z_queries, Z, k, group, exclude, candidates, own=False):
    """Every pair, one at a time."""
    hits = []
    for query in range(len(queries)):
        found = []
        for row in candidates:
            if own and row == query:
                continue
            shared = False
            for column in exclude:
                a, b = queries[column].iloc[query], table[column].iloc[row]
                shared |= not pd.isna(a) and not pd.isna(b) and a == b
            if not shared:
                a, b = Z_queries[query].astype(float), Z[row].astype(float)
                found.append((-sum(a * b) / np.sqrt(sum(a * a) * sum(b * b)), row))
        found.sort(key=lambda hit: (round(hit[0], 12), hit[1]))
        seen, rank = [], 0
        for negative, row in found:
            value = None if group is None else group[row]
            if rank == k or (value is not None and not pd.isna(value) and value in seen):
                continue
            seen.append(value)
            rank += 1
            hits.append((query, rank, row, -negative))
    return hits


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 5, 30])
@pytest.mark.parametrize("group_by", [None, "smiles", "plate", "molecule"])
@pytest.mark.parametrize("exclude", [(), ("plate",), ("dose", "Plate"), ("molecule", "plate")])
@pytest.mark.parametrize("modality", ["phenotype", "molecule"])
def test_search_equals_a_double_loop(seed, k, group_by, exclude, modality):
    table = make_table(50, seed, missing=0.2, controls=0.2)
    queries = make_table(8, seed + 100, missing=0.2)
    embedder = FakeEmbedder(seed).fit(table)
    retriever = CrossModalRetriever(embedder, query=modality, database=modality).fit(table)
    hits = retriever.search(queries, k, group_by=group_by, exclude=exclude)
    embed = embedder.embed_phenotypes if modality == "phenotype" else embedder.embed_molecules
    names = {"smiles": "Metadata_smiles", "plate": "Metadata_Plate", "dose": "Metadata_dose"}
    table["key"], queries["key"] = (
        molecule_key(each["Metadata_smiles"]) for each in (table, queries)
    )
    names["molecule"] = "key"
    expected = naive_search(
        queries,
        table,
        embed(queries),
        embed(table),
        k,
        None if group_by is None else table[names[group_by]].tolist(),
        [names[name.lower()] for name in exclude],
        np.flatnonzero(table["Metadata_control_type"].isna()),
    )
    found = hits[["query", "rank", "index"]].to_numpy().tolist()
    assert found == [list(hit[:3]) for hit in expected]
    np.testing.assert_allclose(hits["similarity"], [hit[3] for hit in expected], atol=1e-6)


def test_search_of_the_database_itself_equals_a_double_loop(table, embedder):
    retriever = CrossModalRetriever(embedder, query="phenotype").fit(table)
    hits = retriever.search(n_neighbors=3, exclude="plate")
    Z = embedder.embed_phenotypes(table)
    expected = naive_search(
        table, table, Z, Z, 3, None, ["Metadata_Plate"], range(len(table)), own=True
    )
    assert hits[["query", "rank", "index"]].to_numpy().tolist() == [list(h[:3]) for h in expected]


def test_search_agrees_with_kneighbors(table, embedder):
    retriever = CrossModalRetriever(embedder, n_neighbors=6).fit(table)
    distances, indices = retriever.kneighbors(["CCO", "CCN"])
    hits = retriever.search(["CCO", "CCN"])
    np.testing.assert_array_equal(hits["index"], indices.ravel())
    np.testing.assert_array_equal(1.0 - hits["similarity"], distances.ravel())
    assert hits["rank"].tolist() == [1, 2, 3, 4, 5, 6] * 2


def test_hits_show_the_metadata_and_not_the_features(table, embedder):
    retriever = CrossModalRetriever(embedder).fit(table)
    hits = retriever.search(["CCO"], 3)
    metadata = [name for name in table.columns if name not in FEATURES]
    assert list(hits.columns) == ["query", "rank", "index", "similarity", *metadata]
    for name in metadata:
        assert hits[name].tolist() == table[name].iloc[hits["index"]].tolist()
    chosen = retriever.search(["CCO"], 3, columns=["SMILES", "plate"])
    assert list(chosen.columns[4:]) == ["Metadata_smiles", "Metadata_Plate"]
    assert list(retriever.search(["CCO"], 3, columns=[]).columns) == list(hits.columns[:4])


def test_salt_and_stereoisomer_are_one_molecule(table, embedder):
    retriever = CrossModalRetriever(embedder, database="molecule").fit(DRUGS)
    by_smiles = retriever.search(["CCO"], 12, group_by="smiles")
    by_molecule = retriever.search(["CCO"], 12, group_by="molecule")
    assert len(by_smiles) == len(DRUGS)
    assert len(by_molecule) == len(set(molecule_key(DRUGS))) == len(DRUGS) - 2
    left = retriever.search(["CC(C)NCC(O)COc1cccc2ccccc12.Br"], 10, exclude="molecule")
    assert not left["smiles"].str.contains("cccc2ccccc12").any()
    assert len(left) == 10


def test_queries_of_every_kind_agree(table, embedder):
    retriever = CrossModalRetriever(embedder, n_neighbors=3).fit(table)
    smiles = ["CCO", "c1ccccc1"]
    expected = retriever.kneighbors(smiles)
    for queries in (
        pd.Series(smiles),
        np.array(smiles, dtype=object),
        tuple(smiles),
        [Chem.MolFromSmiles(text) for text in smiles],
        pd.DataFrame({"Metadata_smiles": smiles}),
    ):
        for found, wanted in zip(retriever.kneighbors(queries), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_controls_are_no_candidates_but_may_ask():
    table = make_table(50, controls=0.3)
    is_control = table["Metadata_control_type"].notna().to_numpy()
    embedder = FakeEmbedder().fit(table)
    retriever = CrossModalRetriever(embedder, query="phenotype", n_neighbors=5).fit(table)
    np.testing.assert_array_equal(retriever.control_rows_, np.flatnonzero(is_control))
    np.testing.assert_array_equal(retriever.candidates_, np.flatnonzero(~is_control))
    indices = retriever.kneighbors(return_distance=False)
    assert indices.shape == (50, 5)
    assert not is_control[indices].any()
    everything = CrossModalRetriever(FakeEmbedder(controls=None).fit(table), query="phenotype").fit(
        table
    )
    assert len(everything.candidates_) == 50
    named = FakeEmbedder(controls=("plate", "P1")).fit(table)
    by_plate = CrossModalRetriever(named, query="phenotype").fit(table)
    assert set(table["Metadata_Plate"].iloc[by_plate.candidates_]) == {"P2", "P3"}


def test_a_library_without_the_control_column_is_all_candidates(table):
    named = FakeEmbedder(controls=("Metadata_Plate", "P1")).fit(table)
    library = pd.DataFrame({"Metadata_smiles": DRUGS})
    retriever = CrossModalRetriever(named, query="phenotype", database="molecule").fit(library)
    assert len(retriever.candidates_) == len(DRUGS)


class FakeWithRule(FakeEmbedder):
    """Keeps the rule that it found the controls by."""

    def fit(self, X, y=None):
        super().fit(X)
        self.controls_ = find_controls(X, self.controls)
        return self


def test_controls_are_those_of_the_rule_the_embedder_was_fitted_with():
    screen = make_table(40)
    screen["Metadata_control_type"] = ["negcon"] * 4 + [None] * 36
    embedder = FakeWithRule().fit(screen)
    other = make_table(6, seed=1)
    # In this table "auto" alone would take `vehicle`, which the embedder has never seen.
    other["Metadata_control_type"] = ["negcon", "vehicle", None, "vehicle", None, "negcon"]
    retriever = CrossModalRetriever(embedder, query="phenotype").fit(other)
    assert retriever.control_rows_.tolist() == [0, 5]
    library = pd.DataFrame({"Metadata_smiles": ["CS(C)=O", "CCO", "CCN"], "compound": "DMSO"})
    for query in ("phenotype", "molecule"):
        retriever = CrossModalRetriever(embedder, query=query, database="molecule").fit(library)
        assert retriever.control_rows_.tolist() == []
        assert retriever.candidates_.tolist() == [0, 1, 2]


def test_an_embedder_that_found_no_controls_goes_by_its_parameter():
    embedder = FakeWithRule().fit(make_table(40))
    assert embedder.controls_.rule is None
    table = make_table(40, controls=0.3)
    expected = np.flatnonzero(table["Metadata_control_type"].notna())
    retriever = CrossModalRetriever(embedder, query="phenotype").fit(table)
    np.testing.assert_array_equal(retriever.control_rows_, expected)
    embedder.set_params(controls=None)
    assert not len(CrossModalRetriever(embedder, query="phenotype").fit(table).control_rows_)


def test_every_row_that_cannot_be_embedded_is_kept_however_many(embedder):
    library = ["CCO", "?"] * 40
    retriever = CrossModalRetriever(embedder, database="molecule")
    with pytest.warns(UserWarning, match=r"\(\+28 more\) of the database.*`missing_rows_`"):
        retriever.fit(library)
    assert retriever.missing_rows_.tolist() == list(range(1, 80, 2))


def test_rows_that_cannot_be_embedded_are_named_and_never_hit(embedder):
    library = ["CCO", "?", "c1ccccc1", None, "CCN"]
    retriever = CrossModalRetriever(embedder, database="molecule", n_neighbors=3)
    with pytest.warns(UserWarning, match=r"rows 1, 3 of the database could not be embedded"):
        retriever.fit(library)
    np.testing.assert_array_equal(retriever.missing_rows_, [1, 3])
    assert set(retriever.kneighbors(["CCC"])[1][0]) == {0, 2, 4}
    with pytest.warns(UserWarning, match=r"row 0 of the queries could not be"):
        hits = retriever.search(["?", "CCC"])
    assert hits["query"].tolist() == [1, 1, 1]
    with pytest.warns(UserWarning, match=r"rows 0, 1 of the queries"):
        none = retriever.search(["?", "?"], exclude="smiles", group_by="molecule")
    assert len(none) == 0
    assert list(none.dtypes[:3]) == [np.intp] * 3
    with pytest.raises(ValueError, match=r"row 1 of the queries could not be embedded.*`search`"):
        retriever.kneighbors(["CCC", "?"])
    with pytest.raises(ValueError, match="rows 1, 3 of the queries"):
        retriever.kneighbors(n_neighbors=2)


def test_a_missing_value_is_shared_with_nobody(table, embedder):
    table["Metadata_Plate"] = None
    retriever = CrossModalRetriever(embedder, query="phenotype").fit(table)
    assert len(retriever.search(table[:1], 60, exclude="plate")) == 60
    assert len(retriever.search(table[:1], 60, group_by="plate")) == 60


def test_a_query_may_have_no_hit(table, embedder):
    table["Metadata_Plate"] = "P1"
    retriever = CrossModalRetriever(embedder, query="phenotype").fit(table)
    assert len(retriever.search(table[:3], exclude="plate")) == 0


# ------------------------------------------------------------------- bad input


def test_more_neighbours_than_candidates_names_both_numbers():
    table = make_table(30, controls=0.3)
    retriever = CrossModalRetriever(FakeEmbedder().fit(table)).fit(table)
    n = len(retriever.candidates_)
    for ask in (retriever.kneighbors, retriever.search):
        with pytest.raises(ValueError, match=rf"n_neighbors={n + 1} is more than the {n} candid"):
            ask(["CCO"], n + 1)
        with pytest.raises(ValueError, match=rf"n_neighbors={n} is more than the {n - 1} candid"):
            ask(None, n)
        assert np.shape(ask(["CCO"], n))[-1] > 0


@pytest.mark.parametrize("ask", ["kneighbors", "search"])
@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0, ValueError, "at least 1, got 0"),
        (-3, ValueError, "at least 1, got -3"),
        (2.0, TypeError, r"whole number, got 2\.0"),
        (True, TypeError, "whole number, got True"),
    ],
)
def test_number_of_neighbours(ask, k, error, message):
    retriever = CrossModalRetriever().fit(np.eye(4))
    with pytest.raises(error, match=message):
        getattr(retriever, ask)(np.eye(4), k)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_neighbors": 0}, "'n_neighbors' parameter of CrossModalRetriever must be an int"),
        ({"n_neighbors": 1.5}, "'n_neighbors' parameter"),
        ({"neighbors": "brute"}, "'neighbors' parameter"),
        ({"query": 3}, "'query' parameter"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(ValueError, match=message):
        CrossModalRetriever(**parameters).fit(np.eye(3))


@pytest.mark.parametrize("parameter", ["query", "database"])
def test_unknown_modality(table, embedder, parameter):
    retriever = CrossModalRetriever(embedder, **{parameter: "gene"})
    with pytest.raises(ValueError, match=rf"{parameter}='gene' is not a modality.*'molecule'"):
        retriever.fit(table)
    CrossModalRetriever(**{parameter: "gene"}).fit(np.eye(3))


@pytest.mark.parametrize("ask", ["kneighbors", "search"])
def test_unfitted(ask):
    with pytest.raises(NotFittedError):
        getattr(CrossModalRetriever(), ask)(np.eye(3))


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (np.eye(4), "X has 4 features, but CrossModalRetriever is expecting 3 features"),
        (np.full((1, 3), np.nan), "Input X contains NaN"),
        (np.full((1, 3), np.inf), "Input X contains infinity"),
        (np.empty((0, 3)), "0 sample"),
        (np.ones(3), "Expected 2D array"),
    ],
)
def test_bad_embeddings(queries, message):
    retriever = CrossModalRetriever(n_neighbors=1).fit(np.eye(3))
    with pytest.raises(ValueError, match=message):
        retriever.kneighbors(queries)
    with pytest.raises(ValueError, match=message):
        retriever.search(queries)


def test_zero_vectors_are_named_and_treated_as_scikit_learn_does():
    database = np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    with pytest.warns(UserWarning, match="row 1 of X are zero vectors"):
        retriever = CrossModalRetriever(n_neighbors=3).fit(database)
    expected = NearestNeighbors(n_neighbors=3, metric="cosine").fit(database)
    for found, wanted in zip(
        retriever.kneighbors([[1.0, 0.5]]), expected.kneighbors([[1.0, 0.5]]), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-15)


@pytest.mark.parametrize("single", ["CCO", Chem.MolFromSmiles("CCO")])
def test_a_bare_structure_is_refused(table, embedder, single):
    retriever = CrossModalRetriever(embedder).fit(table)
    for ask in (retriever.kneighbors, retriever.search):
        with pytest.raises(TypeError, match="Put it in a list"):
            ask(single)


def test_bad_queries_to_an_embedder(table, embedder):
    retriever = CrossModalRetriever(embedder, query="phenotype").fit(table)
    with pytest.raises(KeyError, match="Nuclei_D"):
        retriever.kneighbors(table.drop(columns="Nuclei_D"))
    with pytest.raises(ValueError, match="no rows"):
        retriever.search(table[:0])
    with pytest.raises(TypeError, match=r"phenotypes come as a table.*got list"):
        retriever.kneighbors(["CCO"])
    retriever = CrossModalRetriever(embedder).fit(table)
    with pytest.raises(ValueError, match="no rows"):
        retriever.kneighbors([])


def test_a_column_that_is_not_there(table, embedder):
    retriever = CrossModalRetriever(embedder).fit(table)
    with pytest.raises(ValueError, match=r"group_by='batch'.*no column 'batch'.*Metadata_Plate"):
        retriever.search(["CCO"], group_by="batch")
    with pytest.raises(ValueError, match=r"exclude='plate', in the queries.*pass the queries as"):
        retriever.search(["CCO"], exclude=("plate",))
    with pytest.raises(ValueError, match="exclude='batch': the table has no column"):
        retriever.search(table, exclude="batch")
    with pytest.raises(ValueError, match="columns: the table has no column 'batch'"):
        retriever.search(["CCO"], columns=["batch"])


def test_types_that_could_never_agree(table, embedder):
    retriever = CrossModalRetriever(embedder).fit(table)
    queries = table.assign(Metadata_dose=table["Metadata_dose"].astype(str))
    with pytest.raises(ValueError, match=r"exclude='dose': .*numbers there and the other text"):
        retriever.search(queries, exclude="dose")
    whole = table.assign(Metadata_dose=table["Metadata_dose"].astype(int))
    pd.testing.assert_frame_equal(
        retriever.search(whole, exclude="dose"), retriever.search(table, exclude="dose")
    )


def test_embeddings_alone_have_no_columns():
    retriever = CrossModalRetriever(n_neighbors=1).fit(np.eye(3))
    for request in ({"group_by": "plate"}, {"exclude": "plate"}, {"columns": ["plate"]}):
        with pytest.raises(ValueError, match=r"plate.*no columns to choose from"):
            retriever.search(np.eye(3), **request)


def test_structures_that_cannot_be_read_are_named_when_molecules_are_compared(table, embedder):
    table["Metadata_smiles"] = table["Metadata_smiles"].astype(object)
    table.iloc[4, table.columns.get_loc("Metadata_smiles")] = "C1CC"
    table.iloc[5, table.columns.get_loc("Metadata_smiles")] = None
    retriever = CrossModalRetriever(embedder, query="phenotype").fit(table)
    with pytest.raises(ValueError, match=r"row 4 \(index 'well4'\) cannot be parsed: 'C1CC'"):
        retriever.search(table[:1], group_by="molecule")
    table.iloc[4, table.columns.get_loc("Metadata_smiles")] = None
    retriever.fit(table)
    hits = retriever.search(table[:1], 60, group_by="molecule")
    assert {4, 5} <= set(hits["index"])


def test_a_column_named_like_a_hit_column(table, embedder):
    retriever = CrossModalRetriever(embedder).fit(table.assign(rank=1))
    with pytest.raises(ValueError, match=r"column.*named rank, like the columns of the hits"):
        retriever.search(["CCO"])
    assert len(retriever.search(["CCO"], 2, columns=["plate"])) == 2


def test_nothing_to_search(table, embedder):
    table["Metadata_control_type"] = "negcon"
    with pytest.raises(ValueError, match="none of the 60 rows can be a hit: 60 are negative con"):
        CrossModalRetriever(embedder).fit(table)


@pytest.mark.parametrize("broken", [0.0, np.inf])
def test_an_embedder_without_direction_is_named(table, broken):
    class Broken(FakeEmbedder):
        def embed_phenotypes(self, X):
            Z = super().embed_phenotypes(X)
            Z[3] = broken
            return Z

    with pytest.raises(ValueError, match=r"Broken.embed_phenotypes gave row 3 \(index 'well3'\)"):
        CrossModalRetriever(Broken().fit(table)).fit(table)


# ------------------------------------------------------------------- embedders


class Doubler(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.features_ = list(X.columns)
        return self

    def transform(self, X):
        return X.assign(**{name: X[name] ** 3 for name in FEATURES})


def scorer(retriever, X, y=None):
    hits = retriever.search(X, 1)
    return float(hits["similarity"].mean())


def test_an_unfitted_embedder_is_named_with_the_way_out(table):
    for bad in (FakeEmbedder(), make_pipeline(Doubler(), FakeEmbedder())):
        with pytest.raises(NotFittedError, match=r"CrossModalRetriever\(FrozenEstimator\(embe"):
            CrossModalRetriever(bad).fit(table)


def test_what_is_no_embedder(table):
    with pytest.raises(TypeError, match=r"takes a fitted CloomeEmbedder.*NearestNeighbors has no"):
        CrossModalRetriever(NearestNeighbors().fit(np.eye(3))).fit(table)


def test_fit_never_trains_the_embedder(table, embedder):
    before = pickle.dumps(embedder)
    CrossModalRetriever(embedder).fit(table[:20]).kneighbors(["CCO"])
    assert pickle.dumps(embedder) == before


def test_every_wrapping_gives_the_same_answer(table, embedder):
    expected = CrossModalRetriever(embedder).fit(table).kneighbors(["CCO"])
    cubed = make_pipeline(Doubler(), FakeEmbedder()).fit(table)
    for wrapped in (
        FrozenEstimator(embedder),
        Pipeline([("none", "passthrough"), ("embedder", embedder)]),
        FrozenEstimator(Pipeline([("embedder", FrozenEstimator(embedder))])),
        make_pipeline(FunctionTransformer(), FrozenEstimator(embedder)),
    ):
        found = CrossModalRetriever(wrapped).fit(table).kneighbors(["CCO"])
        np.testing.assert_array_equal(found, expected)
    by_pipeline = CrossModalRetriever(cubed, query="phenotype").fit(table)
    by_hand = CrossModalRetriever(embedder, query="phenotype").fit(Doubler().transform(table))
    np.testing.assert_array_equal(
        by_pipeline.kneighbors(table), by_hand.kneighbors(Doubler().transform(table))
    )
    np.testing.assert_array_equal(by_pipeline.kneighbors(), by_hand.kneighbors())


def test_clone_unfits_a_bare_embedder_and_keeps_a_frozen_one(table, embedder):
    with pytest.raises(NotFittedError, match="FrozenEstimator"):
        clone(CrossModalRetriever(embedder)).fit(table)
    frozen = clone(CrossModalRetriever(FrozenEstimator(embedder))).fit(table)
    bare = CrossModalRetriever(embedder).fit(table)
    np.testing.assert_array_equal(frozen.kneighbors(["CCO"]), bare.kneighbors(["CCO"]))


def test_cross_validation_in_every_mode(table, embedder):
    bare = CrossModalRetriever(embedder, query="phenotype", n_neighbors=1)
    with pytest.raises(NotFittedError, match=re.escape("FrozenEstimator(embedder)")):
        cross_val_score(bare, table, scoring=scorer, cv=3, error_score="raise")
    frozen = CrossModalRetriever(FrozenEstimator(embedder), query="phenotype")
    scores = cross_val_score(frozen, table, scoring=scorer, cv=3)
    Z = embedder.embed_phenotypes(table)
    plain = cross_val_score(CrossModalRetriever(), Z, scoring=scorer, cv=3)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, plain, atol=1e-7)


def test_grid_search_in_every_mode(table, embedder):
    grid = {"query": ["phenotype", "molecule"]}
    with pytest.raises(NotFittedError, match=re.escape("FrozenEstimator(embedder)")):
        GridSearchCV(
            CrossModalRetriever(embedder), grid, scoring=scorer, cv=2, error_score="raise"
        ).fit(table)
    search = GridSearchCV(
        CrossModalRetriever(FrozenEstimator(embedder)), grid, scoring=scorer, cv=2
    ).fit(table)
    assert search.best_params_ == {"query": "phenotype"}
    assert len(search.best_estimator_.search(table, 2)) == 2 * len(table)
    plain = GridSearchCV(CrossModalRetriever(), {"n_neighbors": [1, 2]}, scoring=scorer, cv=2).fit(
        embedder.embed_phenotypes(table)
    )
    assert plain.best_estimator_.n_samples_fit_ == len(table)


def test_training_the_embedder_again_moves_nothing_until_the_next_fit(table):
    for embedder in (FakeEmbedder(), make_pipeline(Doubler(), FakeEmbedder())):
        embedder.fit(table)
        retriever = CrossModalRetriever(embedder).fit(table)
        before = retriever.kneighbors(["CCO"])
        inner = embedder if isinstance(embedder, FakeEmbedder) else embedder[-1]
        inner.set_params(seed=5).fit(table)
        np.testing.assert_array_equal(retriever.kneighbors(["CCO"]), before)
        assert (retriever.fit(table).kneighbors(["CCO"])[0] != before[0]).any()


class FailsToEmbed(FakeEmbedder):
    def embed_phenotypes(self, X):
        raise RuntimeError("no embedding")


@pytest.mark.parametrize("failure", ["embedding", "index", "candidates", "modality", "numbers"])
def test_a_failed_refit_leaves_the_earlier_fit_whole(table, embedder, failure):
    class Unfit(Minimal):
        def fit(self, Z):
            raise RuntimeError("no index")

    retriever = CrossModalRetriever(embedder, query="phenotype", n_neighbors=3).fit(table)
    before = vars(retriever).copy()
    expected = retriever.search(table[:5])
    other = FakeEmbedder(seed=1).fit(table)
    X = make_table(9, seed=4)
    new = {"embedder": other, "query": "molecule"}
    if failure == "embedding":
        new["embedder"] = FailsToEmbed(seed=1).fit(table)
    elif failure == "index":
        new["neighbors"] = Unfit()
    elif failure == "candidates":
        X["Metadata_control_type"] = "negcon"
    elif failure == "modality":
        new["database"] = "image"
    else:
        new["embedder"], X = None, pd.DataFrame({"a": [1.0, np.nan]})
    retriever.set_params(**new)
    with pytest.raises((RuntimeError, ValueError)):
        retriever.fit(X)
    after = vars(retriever)
    assert set(after) == set(before)
    assert all(after[name] is before[name] for name in before if name.endswith("_"))
    pd.testing.assert_frame_equal(retriever.search(table[:5]), expected)


def test_a_failed_first_fit_leaves_nothing_fitted(table):
    retriever = CrossModalRetriever(FailsToEmbed().fit(table))
    with pytest.raises(RuntimeError, match="no embedding"):
        retriever.fit(table)
    with pytest.raises(NotFittedError):
        retriever.search(["CCO"])


def test_another_embedder_by_set_params(table, embedder):
    other = FakeEmbedder(seed=3).fit(table)
    retriever = CrossModalRetriever(embedder).fit(table)
    retriever.set_params(embedder=FrozenEstimator(other)).fit(table)
    expected = CrossModalRetriever(other).fit(table).kneighbors(["CCO"])
    np.testing.assert_array_equal(retriever.kneighbors(["CCO"]), expected)


@pytest.mark.parametrize("neighbors", [None, NearestNeighbors()])
def test_a_reloaded_retriever_gives_the_same_answer(table, embedder, neighbors):
    retriever = CrossModalRetriever(embedder, neighbors=neighbors).fit(table)
    file = io.BytesIO()
    joblib.dump(retriever, file)
    file.seek(0)
    again = joblib.load(file)
    np.testing.assert_array_equal(again.kneighbors(["CCO"]), retriever.kneighbors(["CCO"]))
    pd.testing.assert_frame_equal(
        again.search(table, group_by="molecule", exclude="plate"),
        retriever.search(table, group_by="molecule", exclude="plate"),
    )


def test_a_database_on_disk_can_be_searched(tmp_path):
    database = np.random.default_rng(0).normal(size=(30, 4))
    retriever = CrossModalRetriever().fit(database)
    joblib.dump(retriever, tmp_path / "retriever.joblib")
    mapped = joblib.load(tmp_path / "retriever.joblib", mmap_mode="r")
    assert isinstance(mapped.embeddings_, np.memmap)
    np.testing.assert_array_equal(mapped.kneighbors(database), retriever.kneighbors(database))


# ----------------------------------------------------------- the real embedder


@pytest.fixture(scope="module")
def trained():
    from cloome_sk.datasets import make_profiles

    screen = make_profiles(n_compounds=12, n_plates=2, n_features=20, random_state=0)
    return screen, CloomeEmbedder(n_components=16, max_epochs=2, random_state=0).fit(screen)


@pytest.mark.parametrize("query", ["phenotype", "molecule"])
@pytest.mark.parametrize("database", ["phenotype", "molecule"])
def test_real_embedder_equals_plain_embeddings(trained, query, database):
    screen, embedder = trained
    treated = np.flatnonzero(screen["Metadata_control_type"].isna())
    retriever = CrossModalRetriever(embedder, query=query, database=database).fit(screen)
    np.testing.assert_array_equal(retriever.candidates_, treated)
    embed = {"phenotype": embedder.embed_phenotypes, "molecule": embedder.embed_molecules}
    index = NearestNeighbors(n_neighbors=5, metric="cosine").fit(
        embed[database](screen)[treated].astype(float)
    )
    expected, _ = index.kneighbors(embed[query](screen[:10]).astype(float))
    distances, indices = retriever.kneighbors(screen[:10], 5)
    np.testing.assert_allclose(distances, expected, atol=1e-6)
    assert np.isin(indices, treated).all()
    assert not any(name.startswith("Cells_") for name in retriever.metadata_)


def test_real_embedder_search(trained):
    screen, embedder = trained
    retriever = CrossModalRetriever(FrozenEstimator(embedder)).fit(screen)
    hits = retriever.search(["CCO", "c1ccccc1"], 5, group_by="molecule")
    keys = molecule_key(hits["Metadata_smiles"])
    assert not pd.DataFrame({"query": hits["query"], "key": keys}).duplicated().any()
    treated = screen[screen["Metadata_control_type"].isna()]
    others = retriever.search(treated, 3, exclude=("plate", "molecule"))
    asked = treated.iloc[others["query"]]
    assert (asked["Metadata_Plate"].to_numpy() != others["Metadata_Plate"].to_numpy()).all()
    assert (molecule_key(asked["Metadata_smiles"]) != molecule_key(others["Metadata_smiles"])).all()
    with pytest.raises(NotFittedError, match="FrozenEstimator"):
        clone(CrossModalRetriever(embedder)).fit(screen)


def test_real_embedder_reports_unreadable_structures(trained):
    from cloome_sk.encoders import MoleculeEncoder

    screen, _ = trained
    embedder = CloomeEmbedder(
        molecule=MoleculeEncoder(on_error="skip"), n_components=4, max_epochs=1, random_state=0
    ).fit(screen)
    library = pd.DataFrame({"Metadata_smiles": ["CCO", "C1CC", "CCN"]})
    library["Metadata_vendor"] = list("abc")
    retriever = CrossModalRetriever(embedder, query="phenotype", database="molecule")
    with (
        pytest.warns(UserWarning, match="row 1 of the database could not"),
        pytest.warns(UserWarning, match="C1CC"),
    ):
        retriever.fit(library)
    hits = retriever.search(screen[:2], 2, group_by="molecule")
    assert set(hits["Metadata_vendor"]) == {"a", "c"}


@pytest.mark.real_data
def test_replicates_in_a_real_screen(data_home):
    wells = pd.read_parquet(data_home / "profiles" / "cpjump1_compound_wells.parquet")
    features = [name for name in wells if str(name).startswith(("Cells_", "Cytoplasm_", "Nuclei_"))]

    class Signs(FakeEmbedder):
        def embed_phenotypes(self, X):
            return self._unit(np.arcsinh(X[features].to_numpy(dtype=float)))

    retriever = CrossModalRetriever(Signs().fit(wells), query="phenotype").fit(wells)
    controls = wells["Metadata_control_type"] == "negcon"
    np.testing.assert_array_equal(retriever.control_rows_, np.flatnonzero(controls))
    asked = wells[~controls].sample(40, random_state=0)
    hits = retriever.search(asked, 5, group_by="pert_iname", exclude=("plate", "well"))
    Z = Signs().embed_phenotypes(wells).astype(float)
    similarity = Signs().embed_phenotypes(asked).astype(float) @ Z.T
    for query in range(len(asked)):
        row = asked.iloc[query]
        allowed = (
            ~controls
            & (wells["Metadata_Plate"] != row["Metadata_Plate"])
            & (wells["Metadata_Well"] != row["Metadata_Well"])
        ).to_numpy()
        best = (
            wells.assign(similarity=similarity[query])[allowed]
            .groupby("Metadata_pert_iname")["similarity"]
            .max()
            .nlargest(5)
        )
        found = hits[hits["query"] == query]
        assert found["Metadata_pert_iname"].tolist() == best.index.tolist()
        np.testing.assert_allclose(found["similarity"], best, atol=1e-6)
