"""Chemical series in feature space: naive loops, matched random sets, and false finds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist
from scipy.stats import binom
from sklearn.metrics import average_precision_score

from cloome_sk.datasets import make_analogue_series
from cloome_sk.evaluation import study_chemotype_clustering
from cloome_sk.metrics import average_precision_chance
from cloome_sk.molecules import morgan_fingerprints


@pytest.fixture
def table():
    """Overlapping series of several sizes; the first three are held together."""
    rng = np.random.default_rng(0)
    membership = np.zeros((140, 6), dtype=bool)
    for series, size in enumerate((8, 12, 8, 8, 12, 4)):
        membership[rng.choice(140, size, replace=False), series] = True
    X = rng.normal(size=(140, 10)) + 1.5 * membership[:, :3] @ rng.normal(size=(3, 10))
    return X, pd.DataFrame(membership, columns=list("abcdef"))


def test_figures_equal_naive_loops(table):
    X, membership = table
    found = study_chemotype_clustering(X, membership, n_permutations=19)
    similarity = 1 - cdist(X, X, "cosine")
    assert set(found.table["series"]) == set("abcde")
    assert found.excluded[["series", "n_members"]].to_numpy().tolist() == [["f", 4]]
    for row in found.table.itertuples():
        own = membership[row.series].to_numpy()
        values = []
        for query in np.flatnonzero(own):
            rest = np.arange(140) != query
            values.append(average_precision_score(own[rest], similarity[query, rest]))
        assert row.n_members == own.sum()
        assert row.map == pytest.approx(np.mean(values))
        assert row.chance == pytest.approx(average_precision_chance(own.sum() - 1, 139))


def test_p_is_the_share_of_random_sets(table):
    X, membership = table
    similarity = 1 - cdist(X, X, "cosine")
    rng = np.random.default_rng(1)

    def score(own):
        values = []
        for query in np.flatnonzero(own):
            order = np.argsort(-similarity[query])
            right = own[order[order != query]]
            values.append((right * right.cumsum() / np.arange(1, 140)).sum() / right.sum())
        return np.mean(values)

    found = study_chemotype_clustering(X, membership, n_permutations=4999)
    p = found.table.set_index("series")["p"]
    null = np.array([score(rng.permutation(membership["d"].to_numpy())) for _ in range(300)])
    expected = (null >= score(membership["d"].to_numpy())).mean()
    assert p["d"] == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 300))


def test_tight_series_are_found(table):
    X, membership = table
    found = study_chemotype_clustering(X, membership)
    assert set(found.found) == set("abc")


def test_sparse_and_dense_and_names(table):
    X, membership = table
    dense = study_chemotype_clustering(X, membership)
    sparse = study_chemotype_clustering(X, csr_matrix(membership), names=list("abcdef"))
    pd.testing.assert_frame_equal(dense.table, sparse.table)
    unnamed = study_chemotype_clustering(X, membership.to_numpy())
    assert set(unnamed.table["series"]) == {f"series {at}" for at in range(5)}


def test_an_entry_that_is_there_twice_is_one_member(table):
    X, membership = table
    once = csr_matrix(membership)
    twice = csr_matrix((np.ones(2 * once.nnz, bool), np.repeat(once.indices, 2), 2 * once.indptr),
                       shape=once.shape)  # fmt: skip
    single, double = (
        study_chemotype_clustering(X, one, n_permutations=19) for one in (once, twice)
    )
    pd.testing.assert_frame_equal(single.table, double.table)


def test_groups_are_counted_once_and_bins_are_named():
    rng = np.random.default_rng(0)
    X, membership = rng.normal(size=(60, 4)), np.arange(60)[:, None] // 6 == np.arange(2)
    copies = np.where(np.arange(60) < 6, 0, np.arange(60))
    found = study_chemotype_clustering(X, membership, groups=copies, n_permutations=19)
    assert found.excluded[["series", "n_members"]].to_numpy().tolist() == [["series 0", 1]]
    assert found.table["n_members"].tolist() == [6]
    own_bin = np.where(membership[:, 1], 1, 0)
    still = study_chemotype_clustering(X, membership, match=own_bin, n_permutations=19)
    assert still.table.set_index("series")["p"]["series 1"] == 1
    assert "their bins (`match`) hold no other compounds; their p is 1" in still.report()
    assert "sizes" not in still.report()


def test_sparse_features_are_refused(table):
    with pytest.raises(ValueError, match=r"features is a sparse csr_matrix of shape \(140, 10\)"):
        study_chemotype_clustering(csr_matrix(table[0]), table[1])


def test_structures_hold_analogues_together_and_noise_does_not():
    compounds = make_analogue_series(20, 10, n_mechanisms=4, random_state=1)
    membership = pd.get_dummies(compounds["series"])
    bits = morgan_fingerprints(compounds["smiles"])
    found = study_chemotype_clustering(bits, membership, metric="tanimoto", groups=None)
    assert len(found.found) == 20
    noise = np.random.default_rng(0).normal(size=(200, 10))
    assert len(study_chemotype_clustering(noise, membership).found) <= 1


@pytest.mark.parametrize("clustered", [False, True])
def test_random_series_are_found_as_often_as_alpha_says(clustered):
    p = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(150, 6))
        if clustered:
            X = np.repeat(rng.normal(size=(15, 6)), 10, axis=0) + 0.05 * X
        membership = np.argsort(rng.random((40, 150)), axis=1).T < 10
        p += study_chemotype_clustering(X, membership, n_permutations=99).table["p"].tolist()
    low, high = binom.ppf([0.001, 0.999], 200, 0.05) / 200
    assert low <= np.mean(np.array(p) <= 0.05) <= high


def test_what_all_compounds_of_a_bin_share_is_no_finding():
    """Series lie within plates, and features are of the plate: matched sets explain them."""
    blind, matched = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        plate = np.repeat(np.arange(4), 40)
        X = rng.normal(size=(4, 8))[plate] + 0.7 * rng.normal(size=(160, 8))
        membership = np.zeros((160, 20), dtype=bool)
        for series in range(20):
            own = rng.choice(np.flatnonzero(plate == series % 4), 8, replace=False)
            membership[own, series] = True
        blind += study_chemotype_clustering(X, membership, n_permutations=99).table["p"].tolist()
        study = study_chemotype_clustering(X, membership, match=plate, n_permutations=99)
        matched += study.table["p"].tolist()
        assert "each of 4 bins" in study.report()
    assert np.mean(np.array(blind) <= 0.05) > 0.9
    low, high = binom.ppf([0.001, 0.999], 80, 0.05) / 80
    assert low <= np.mean(np.array(matched) <= 0.05) <= high


def test_the_figure_and_the_files(table, tmp_path):
    X, membership = table
    found = study_chemotype_clustering(
        X, membership, families=dict(zip("abcdef", "xxyyzz", strict=True))
    )
    assert len(found.plot().axes) == 3
    assert [path.suffix for path in found.write(tmp_path)] == [".csv"] * 3 + [".png"]
    assert "3 of 5 series" in found.report()
    assert len(study_chemotype_clustering(X, membership).plot().axes) == 2


@pytest.mark.parametrize(
    ("membership", "arguments", "message"),
    [
        (np.full((140, 2), 2), {}, "must hold 0 and 1.*row 0, column 0 is 2"),
        (np.where(np.eye(140, 2), np.nan, 0), {}, "row 0, column 0 is nan"),
        (pd.DataFrame({"a": [0.0] * 7 + [np.nan] * 133}), {}, "row 7, column 'a' is nan"),
        (np.ones((139, 2)), {}, "139 rows for 140 compounds"),
        (np.ones(140), {}, "must be a matrix of bool"),
        (np.array([["a"]] * 140), {}, "must be a matrix of bool"),
        (np.ones((140, 0)), {}, "membership is empty"),
        (np.ones((140, 2)), {}, "none of the 2 series"),
        (np.ones((140, 2)), {"names": ["a", "a"]}, "2 distinct names"),
        (np.eye(140, 2), {"min_members": 1}, "min_members must be an integer of at least 2"),
        (np.eye(140, 2), {"match": [0]}, "match must hold one value for each of 140"),
    ],
)
def test_bad_arguments_are_named(table, membership, arguments, message):
    with pytest.raises(ValueError, match=message):
        study_chemotype_clustering(table[0], membership, **arguments)
