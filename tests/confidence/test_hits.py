"""Significance of hits: definitions by loops, error rates under no signal, planted pairs."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import normalize

from cloome_sk.confidence import NestedScores, selective_q
from cloome_sk.retriever import CrossModalRetriever


@given(seed=st.integers(0, 10_000), n=st.integers(1, 30), ties=st.booleans())
def test_q_of_best_hits_is_benjamini_hochberg(seed, n, ties):
    p = np.random.default_rng(seed).uniform(0.01, 1, n)
    p = np.ceil(p * 8) / 8 if ties else p
    np.testing.assert_allclose(selective_q(p, p), false_discovery_control(p))


@pytest.mark.parametrize("seed", range(10))
def test_q_is_the_least_level_at_which_a_hit_passes(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    best = rng.integers(1, 40, n) / 40
    p = np.minimum(best[rng.integers(0, n, 6)] + rng.integers(0, 10, 6) / 40, 1.0)
    levels = np.arange(1, 2001) / 2000
    n_selected = np.zeros(len(levels))
    for k in range(1, n + 1):
        n_selected[np.sort(best)[k - 1] <= levels * k / n + 1e-12] = k
    for one, found in zip(p, selective_q(p, best), strict=True):
        passing = levels[one <= levels * n_selected / n + 1e-12]
        assert found == pytest.approx(passing[0] if len(passing) else 1.0, abs=6e-4)


def test_p_equals_a_loop_over_molecules():
    rng = np.random.default_rng(0)
    database, null = rng.normal(size=(40, 6)), rng.normal(size=(30, 6))
    groups = np.arange(30) % 20
    retriever = CrossModalRetriever(n_neighbors=3).fit(database).calibrate(null, groups=groups)
    queries = rng.normal(size=(7, 6))
    hits = retriever.search(queries, significance=True)
    cosines = normalize(null) @ normalize(database).T
    for hit in hits.itertuples():
        total = 1.0
        for group in set(groups):
            own = cosines[groups == group].max(axis=1)
            total += np.mean(own >= hit.similarity)
        assert hit.p == pytest.approx(total / (len(set(groups)) + 1))
    plain = retriever.search(queries)
    pd.testing.assert_frame_equal(plain, hits.drop(columns=["p", "q"]))
    assert list(hits.columns)[:6] == ["query", "rank", "index", "similarity", "p", "q"]


@pytest.mark.parametrize("size", [3, 64, 512])
def test_p_of_a_tie_does_not_depend_on_how_many_are_asked(size):
    """A query like all of the calibration is as close as all of them, alone or among others."""
    rng = np.random.default_rng(size)
    for _ in range(10):
        kind = rng.normal(size=(1, size)).astype(np.float32)
        retriever = CrossModalRetriever(n_neighbors=1).fit(rng.normal(size=(50, size)))
        retriever.calibrate(np.repeat(kind, 99, 0), groups=np.arange(99))
        # What a network gives for the same well in another batch.
        other = kind * (1 + 1e-7 * rng.normal(size=kind.shape)).astype(np.float32)
        for queries in (kind, np.repeat(kind, 7, 0), other):
            assert (retriever.search(queries, significance=True)["p"] == 1).all()


def screen_of(rng, n_molecules, n_wells, noise=0.4, size=12):
    middle = rng.normal(size=(n_molecules, size))
    of = np.repeat(np.arange(n_molecules), n_wells)
    return middle[of] + noise * rng.normal(size=(len(of), size)), of


@pytest.mark.filterwarnings("ignore:CrossModalRetriever")
def test_without_matches_few_queries_have_a_significant_hit():
    shares, any_hit = [], []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        wells, of = screen_of(rng, 160, 4)
        database, null, queries = of < 60, (of >= 60) & (of < 140), of >= 140
        retriever = CrossModalRetriever(n_neighbors=5).fit(wells[database])
        retriever.calibrate(wells[null], groups=of[null])
        # One well a molecule: the family of queries is then one of independent molecules.
        hits = retriever.search(wells[queries][::4], significance=True)
        best = hits[hits["rank"] == 1]
        shares.append((best["p"] <= 0.1).mean())
        any_hit.append((hits["q"] <= 0.1).any())
    assert np.mean(shares) <= 0.1 + 3 * np.std(shares) / np.sqrt(120)
    assert np.mean(shares) >= 0.1 - 1 / 81 - 3 * np.std(shares) / np.sqrt(120)
    # Without any match, one significant hit is already a false discovery rate of 1.
    assert np.mean(any_hit) <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 120)


def test_planted_pairs_are_found_and_few_others():
    wrong, found = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        wells, of = screen_of(rng, 300, 4)
        first = np.arange(len(of)) % 4 < 2
        # Molecules 0-19 are in the database and asked; 100-119 are asked only.
        database = (of < 100) & first
        null = of >= 120
        queries = ~first & ((of < 20) | ((of >= 100) & (of < 120)))
        retriever = CrossModalRetriever(n_neighbors=5).fit(wells[database])
        retriever.calibrate(wells[null], groups=of[null])
        hits = retriever.search(wells[queries], significance=True)
        right = of[database][hits["index"]] == of[queries][hits["query"]]
        called = hits["q"] <= 0.1
        per_query = (called & ~right).groupby(hits["query"]).any()
        selected = called.groupby(hits["query"]).any()
        wrong.append(per_query.sum() / max(selected.sum(), 1))
        found.append((called & right).groupby(hits["query"]).any()[of[queries] < 20].mean())
    assert np.mean(wrong) <= 0.1 + 3 * np.std(wrong) / np.sqrt(30)
    assert np.mean(found) > 0.7


# ------------------------------------------------------------- tables and an embedder


class FakeEmbedder(BaseEstimator):
    """Profiles are their own embedding; it was trained on ethanol."""

    def fit(self, X, y=None):
        self.molecules_seen_ = np.array(["LFQSCWFLJHTTHZ"], dtype=object)
        return self

    def embed_phenotypes(self, X):
        return normalize(X.filter(like="Cells_").to_numpy(dtype=float))

    def embed_molecules(self, molecules):
        smiles = molecules["smiles"] if isinstance(molecules, pd.DataFrame) else molecules
        return normalize(CODES[[len(text) for text in smiles]])


CODES = np.random.default_rng(9).normal(size=(99, 5))


def table_of(smiles, seed=0, plates=3):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(len(smiles), 5)), columns=[f"Cells_{i}" for i in "abcde"])
    table["smiles"] = smiles
    table["Metadata_Plate"] = [f"P{row % plates}" for row in range(len(smiles))]
    return table


MOLECULES = ["C" * n for n in range(3, 33)]
OTHERS = ["C" * n + "N" for n in range(3, 33)]


def fitted(database_of, **options):
    """A retriever for phenotypes among phenotypes or molecules."""
    database = table_of(MOLECULES)
    options = {"query": "phenotype", "database": database_of, "n_neighbors": 2, **options}
    return CrossModalRetriever(FakeEmbedder().fit(database), **options).fit(database)


@pytest.fixture
def retriever():
    return fitted("phenotype")


@pytest.mark.parametrize("form", ["CCCC", "[NH3+]CCCC.[Cl-]"])
def test_within_one_modality_molecules_of_the_database_are_refused(form):
    own = fitted("phenotype").fit(table_of([*MOLECULES, "CCCCN"]))
    queries = table_of([*OTHERS[4:], form], seed=1)
    with pytest.raises(
        ValueError, match=r"1 of 27 molecules \(1 rows, first row 26\) are in the da"
    ):
        own.calibrate(queries)
    # Neither are they where the groups are given, or hits have to be of other plates.
    for more in ({"groups": range(27)}, {"exclude": "plate"}):
        with pytest.raises(ValueError, match="which is of phenotypes as the queries are"):
            own.calibrate(queries, **more)
    assert own.null_ is None
    # A negative control of the database is no hit, so that its molecule may be asked.
    own.embedder.controls = ("control", "yes")
    database = table_of([*MOLECULES, "CCCCN"]).assign(control=["no"] * 31)
    database.loc[database["smiles"] == "CCCC", "control"] = "yes"
    database.loc[database["smiles"] == "CCCCN", "control"] = "yes"
    own.fit(database).calibrate(queries)
    assert own.null_.n_molecules == 27
    # Of the other modality, they may be in the database.
    fitted("molecule").calibrate(queries)


@pytest.mark.filterwarnings("ignore:CrossModalRetriever")
def test_of_molecules_that_are_no_candidates_p_holds_within_one_modality():
    """And it would not, were molecules of the database let in: their largest cosines are pairs."""
    alpha, repeats, n = 0.05, 600, 19
    low, naive = [], []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        database, null, new = (
            pd.DataFrame(rng.normal(size=(size, 5)), columns=[f"Cells_{i}" for i in "abcde"])
            for size in (n, n, 1)
        )
        database["smiles"], null["smiles"], new["smiles"] = MOLECULES[:n], OTHERS[:n], "CO"
        own = CrossModalRetriever(
            FakeEmbedder().fit(None), query="phenotype", database="phenotype", n_neighbors=1
        ).fit(database)
        hit = own.calibrate(null).search(new, significance=True)
        low.append(hit["p"][0] <= alpha)
        Z = own.embeddings_
        nearest = (Z @ Z.T - 3 * np.eye(n)).max(axis=1)
        naive.append((1 + (nearest >= hit["similarity"][0]).sum()) / (n + 1) <= alpha + 1e-9)
    error = np.sqrt(alpha * (1 - alpha) / repeats)
    assert alpha - 3 * error <= np.mean(low) <= alpha + 3 * error
    assert np.mean(naive) > 1.5 * alpha


@pytest.mark.filterwarnings("ignore:CrossModalRetriever")
def test_p_holds_for_molecules_of_a_database_of_the_other_modality():
    """Phenotypes that are like their molecule; calibration molecules are all of the database."""
    alpha, repeats, n = 0.05, 1500, 19
    low = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        codes = normalize(rng.normal(size=(n + 1, 5)))
        wells = normalize(codes + 0.3 * rng.normal(size=codes.shape))
        cosines = wells @ codes[:n].T
        cosines[np.arange(n), np.arange(n)] = -2
        null = NestedScores.of(cosines[:n].max(axis=1), np.arange(n))
        low.append(null.p_values(cosines[n].max()) <= alpha)
    error = np.sqrt(alpha * (1 - alpha) / repeats)
    assert np.mean(low) <= alpha * (1 + 1 / (n - 1)) + 3 * error


@pytest.mark.parametrize("exclude", [(), "plate", ("Metadata_Plate", "molecule")])
def test_own_molecule_and_excluded_rows_are_left_out_of_the_null(exclude):
    database, queries = table_of(MOLECULES), table_of(MOLECULES[:25] * 2, seed=1)
    retriever = fitted("molecule").calibrate(queries, exclude=exclude)
    assert retriever.null_.n_molecules == 25
    cosines = normalize(queries.filter(like="Cells_").to_numpy())
    cosines = cosines @ retriever.embedder.embed_molecules(database["smiles"]).T
    for row in range(50):
        for column in range(30):
            plate = queries["Metadata_Plate"][row] == database["Metadata_Plate"][column]
            if queries["smiles"][row] == database["smiles"][column] or (exclude and plate):
                cosines[row, column] = -2
    np.testing.assert_allclose(retriever.null_.best.values, np.sort(cosines.max(axis=1)))


def test_search_must_exclude_what_calibrate_did(retriever):
    queries = table_of(OTHERS[:25], seed=1)
    retriever.calibrate(queries, exclude="Plate")
    hits = retriever.search(queries, exclude="Metadata_Plate", significance=True)
    assert {"p", "q"} <= set(hits.columns)
    with pytest.raises(ValueError, match="calibrate excluded plate"):
        retriever.search(queries, significance=True)


def test_refusals(retriever):
    queries = table_of(OTHERS[:25], seed=1)
    with pytest.raises(NotFittedError, match=r"call calibrate\(X\)"):
        retriever.search(queries, significance=True)
    with pytest.raises(ValueError, match=r"row 2\) were used to train the embedder"):
        retriever.calibrate(table_of(["CCC", "CCCC", "OCC"]))
    with pytest.raises(ValueError, match="which rows are wells of one molecule"):
        retriever.calibrate(queries.drop(columns="smiles"))
    alone = fitted("molecule").fit(queries[:1])
    with pytest.raises(ValueError, match="no candidate is left for row 0 of"):
        alone.calibrate(table_of(OTHERS[:1], seed=1))
    with pytest.warns(UserWarning, match="19 are needed"):
        retriever.calibrate(queries[:5])
    database = table_of(MOLECULES).assign(q=1)
    named = CrossModalRetriever(retriever.embedder, query="phenotype", n_neighbors=1)
    named.fit(database).calibrate(queries)
    with pytest.raises(ValueError, match=r"column\(s\) named q"):
        named.search(queries, significance=True)
    assert "p" in named.search(queries, significance=True, columns=["smiles"])


def test_databases_without_structures_are_said(retriever):
    bare = table_of(MOLECULES).drop(columns="smiles")
    own = CrossModalRetriever(retriever.embedder, query="phenotype").fit(bare)
    with pytest.warns(UserWarning, match="the database has no structures.*p is wrong"):
        own.calibrate(table_of(OTHERS[:25], seed=1))
    with pytest.warns(UserWarning, match="the queries have no structures"):
        fitted("molecule").calibrate(bare, groups=range(30))


def test_pickle_keeps_the_null_fit_and_clone_forget_it(retriever):
    queries = table_of(OTHERS[:25], seed=1)
    retriever.calibrate(queries)
    hits = retriever.search(queries, significance=True)
    again = pickle.loads(pickle.dumps(retriever)).search(queries, significance=True)
    pd.testing.assert_frame_equal(hits, again)
    assert not hasattr(clone(retriever), "null_")
    assert retriever.fit(table_of(MOLECULES)).null_ is None
