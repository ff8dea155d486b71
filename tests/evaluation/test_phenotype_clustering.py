"""Assays in feature space: naive loops, copairs, planted assays, and how often chance is found."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import binom
from sklearn.metrics import average_precision_score

from cloome_sk.datasets import make_analogue_series, plant_assays
from cloome_sk.evaluation import _clustering_study, study_phenotype_clustering
from cloome_sk.evaluation.units import holm
from cloome_sk.metrics import average_precision_chance
from cloome_sk.molecules import morgan_fingerprints

SMALL = {"min_actives": 5, "min_inactives": 5, "min_compounds": 10}


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 8))
    Y = (X[:, :4] + 1.5 * rng.normal(size=(150, 4)) > 1.2).astype(float)
    Y[rng.random(Y.shape) < 0.3] = np.nan
    return X, pd.DataFrame(Y, columns=["one", "two", "three", "four"])


@pytest.fixture(scope="module")
def planted():
    """Analogue series whose mechanism shifts a profile, fingerprints, and assays of three kinds."""
    compounds = make_analogue_series(random_state=0)
    assays, truth = plant_assays(compounds, 30, random_state=1)
    rng = np.random.default_rng(0)
    centres = {moa: rng.normal(size=30) for moa in sorted(compounds["moa"].unique())}
    centres["GABA receptor modulator"] = np.zeros(30)
    profiles = np.stack([centres[moa] for moa in compounds["moa"]]) + 1.5 * rng.normal(
        size=(480, 30)
    )
    return profiles, morgan_fingerprints(compounds["smiles"]), assays, truth


def test_figures_equal_naive_loops(table):
    X, assays = table
    found = study_phenotype_clustering(X, assays, **SMALL, n_permutations=19)
    similarity = 1 - cdist(X, X, "cosine")
    assert set(found.table["assay"]) == set(assays)
    for row in found.table.itertuples():
        label = assays[row.assay].to_numpy()
        tested, active = np.flatnonzero(~np.isnan(label)), np.flatnonzero(label == 1)
        values = []
        for query in active:
            others = tested[tested != query]
            values.append(average_precision_score(label[others], similarity[query, others]))
        assert row.map == pytest.approx(np.mean(values))
        chance = average_precision_chance(len(active) - 1, len(tested) - 1)
        assert row.chance == pytest.approx(chance)
        assert row.normalized_map == pytest.approx((np.mean(values) - chance) / (1 - chance))
        counts = (row.n_actives, row.n_inactives, row.n_compounds)
        assert counts == (len(active), len(tested) - len(active), len(tested))
        own = found.queries[found.queries["assay"] == row.assay]
        assert own["compound"].tolist() == active.tolist()
        np.testing.assert_allclose(own["average_precision"], values)
    assert found.table["normalized_map"].is_monotonic_decreasing
    np.testing.assert_allclose(found.table["p_holm"], holm(found.table["p"]))


def test_values_equal_copairs(table):
    """With every compound tested, actives are one group and inactives are what they are not."""
    copairs_map = pytest.importorskip("copairs.map")
    X, assays = table
    label = assays["one"].fillna(0.0)
    wells = pd.DataFrame({"active": label, "compound": np.arange(150)})
    expected = copairs_map.average_precision(
        wells, X, ["active"], [], [], ["active"], progress_bar=False
    )
    expected = expected[expected["active"] == 1]
    found = study_phenotype_clustering(X, label.to_frame(), n_permutations=19)
    ours = found.queries.set_index("compound").loc[expected["compound"]]
    for mine, theirs in (
        ("average_precision", "average_precision"),
        ("n_positives", "n_pos_pairs"),
    ):
        np.testing.assert_allclose(ours[mine], expected[theirs], atol=1e-6)
    normalized = expected["normalized_average_precision"].mean()
    assert found.table["normalized_map"][0] == pytest.approx(normalized, abs=1e-6)


def test_p_is_the_share_of_relabelled_assays():
    """Against loops that deal the labels anew and score every one."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(40, 3))
    label = np.zeros(40)
    label[np.argsort(X[:, 0] + 2 * rng.normal(size=40))[-10:]] = 1
    similarity = 1 - cdist(X, X, "cosine")

    def score(own):
        values = []
        for query in np.flatnonzero(own):
            order = np.argsort(-similarity[query])
            right = own[order[order != query]]
            values.append((right * right.cumsum() / np.arange(1, 40)).sum() / right.sum())
        return np.mean(values)

    observed = score(label)
    null = [score(rng.permutation(label)) for _ in range(600)]
    expected = (1 + np.sum(np.array(null) >= observed)) / 601
    found = study_phenotype_clustering(
        X, label[:, None], min_actives=10, min_compounds=40, n_permutations=5000
    )
    assert 0.01 < expected < 0.9
    assert found.table["p"][0] == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 600))
    assert found.table["chance"][0] == pytest.approx(np.mean(null), abs=0.01)


def test_planted_assays_are_found_and_random_ones_are_not(planted):
    profiles, bits, assays, truth = planted
    kind = truth.set_index("assay")["kind"]
    few = {"n_permutations": 299}
    by_profile = study_phenotype_clustering(profiles, assays, **few)
    by_structure = study_phenotype_clustering(bits, assays, metric="tanimoto", **few)
    found = {name: kind[study.found] for name, study in
             (("profile", by_profile), ("structure", by_structure))}  # fmt: skip
    assert (found["profile"] == "phenotype").sum() == 10
    assert (found["structure"] == "chemotype").sum() == 10
    # What the other kind follows is no business of the profile: its false finds stay few.
    assert (found["profile"] != "phenotype").sum() <= 1
    assert (found["structure"] == "random").sum() <= 1
    first = by_profile.table.head(10)["assay"]
    assert (kind[first] == "phenotype").all()


@pytest.mark.parametrize("clustered", [False, True])
def test_random_assays_are_found_as_often_as_alpha_says(clustered):
    """Also where features are tight clusters, whose queries are no independent evidence."""
    p = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(120, 6))
        if clustered:
            X = np.repeat(rng.normal(size=(12, 6)), 10, axis=0) + 0.05 * X
        Y = np.argsort(rng.random((40, 120)), axis=1).T < 30
        study = study_phenotype_clustering(X, Y.astype(float), n_permutations=99)
        p += study.table["p"].tolist()
    low, high = binom.ppf([0.001, 0.999], 200, 0.05) / 200
    assert low <= np.mean(np.array(p) <= 0.05) <= high
    low, high = binom.ppf([0.001, 0.999], 200, 0.5) / 200
    assert low <= np.mean(np.array(p) <= 0.5) <= high


def copies(seed):
    """Sixty molecules in three rows each; rows share their labels, and nothing is to be found."""
    rng = np.random.default_rng(seed)
    X = np.repeat(rng.normal(size=(60, 6)), 3, axis=0) + 1e-3 * rng.normal(size=(180, 6))
    Y = np.repeat(np.argsort(rng.random((20, 60)), axis=1).T < 15, 3, axis=0).astype(float)
    return X, Y, np.repeat(np.arange(60), 3)


def test_copies_are_found_unless_they_are_a_group():
    X, Y, molecule = copies(0)
    blind = study_phenotype_clustering(X, Y, n_permutations=99)
    assert (blind.table["p"] <= 0.05).all()
    p = []
    for seed in range(6):
        X, Y, molecule = copies(seed)
        study = study_phenotype_clustering(X, Y, groups=molecule, **SMALL, n_permutations=99)
        p += study.table["p"].tolist()
        assert (study.queries["n_candidates"] == 177).all()
        assert (study.queries["n_positives"] == 42).all()
    low, high = binom.ppf([0.001, 0.999], 120, 0.05) / 120
    assert low <= np.mean(np.array(p) <= 0.05) <= high


def test_copies_are_told_of():
    X, Y, molecule = copies(0)
    X = X[molecule * 3]
    X[1, 0], X[0, 0], X[2, 0] = 0.0, -0.0, 0.0
    assert (
        "180 compounds have exactly the features"
        in study_phenotype_clustering(X, Y, n_permutations=19).report()
    )
    grouped = study_phenotype_clustering(X, Y, groups=molecule, **SMALL, n_permutations=19)
    grouped = grouped.report()
    assert "exactly the features" not in grouped
    assert "60 groups" in grouped


def test_rows_of_a_group_are_counted_once():
    """Twenty-five copies of one active are one active: alone, and with a twenty-sixth, too few."""
    rng = np.random.default_rng(0)
    X, label = rng.normal(size=(120, 3)), (np.arange(120) < 26).astype(float)[:, None]
    copies = np.r_[np.zeros(25, int), np.arange(1, 96)]
    assert study_phenotype_clustering(X, label, n_permutations=19).table["n_actives"][0] == 26
    with pytest.raises(ValueError, match=r"any are 2, 94 and 96, rows of one group counted once"):
        study_phenotype_clustering(X, label, groups=copies)
    few = {**SMALL, "min_actives": 2}
    one = np.where(label[:, 0] == 1, 0, copies)
    with pytest.raises(ValueError, match=r"has 2 actives.*any are 1, 94 and 95"):
        study_phenotype_clustering(X, label, groups=one, **few)
    label[3] = 0
    mixed = study_phenotype_clustering(X, label, groups=copies, **few, n_permutations=19).table
    counts = mixed[["n_actives", "n_inactives", "n_compounds"]]
    assert counts.to_numpy().tolist() == [[2, 95, 96]]


def test_a_set_that_cannot_move_is_named():
    rng = np.random.default_rng(0)
    groups = np.r_[np.zeros(3, int), np.ones(4, int), np.arange(2, 60)]
    label = (groups < 2).astype(float)[:, None]
    few = {**SMALL, "min_actives": 2}
    found = study_phenotype_clustering(rng.normal(size=(65, 3)), label, groups=groups, **few)
    assert found.table["p"].tolist() == [1.0]
    assert "no other groups have the sizes of theirs; their p is 1" in found.report()


def test_an_assay_of_groups_does_not_depend_on_the_others():
    """Assays of one composition, whose patterns stand in another order of groups."""
    X, groups = np.random.default_rng(0).normal(size=(120, 5)), np.repeat(np.arange(60), 2)

    def label(whole, half):
        out = np.zeros(120)
        out[[2 * group + row for group in whole for row in (0, 1)]] = 1
        out[[2 * group for group in half]] = 1
        return out

    columns = {"A": label(range(1, 13), [0, 13, 14, 20]), "B": label(range(47, 59), range(20, 24))}

    def p(*names):
        assays = pd.DataFrame({name: columns[name] for name in names})
        found = study_phenotype_clustering(X, assays, groups=groups, **SMALL, n_permutations=199)
        return found.table.set_index("assay")["p"].to_dict()

    assert p("A", "B") == p("B", "A") == {**p("A"), **p("B")}


def test_features_that_are_all_equal_score_at_chance(table):
    _, assays = table
    found = study_phenotype_clustering(np.ones((150, 3)), assays, **SMALL, n_permutations=19)
    np.testing.assert_allclose(found.table["map"], found.table["chance"])
    np.testing.assert_allclose(found.table["p"], 1)


def test_a_function_and_a_matrix_give_what_features_give(table):
    X, assays = table
    similarity = -cdist(X, X, "sqeuclidean")
    first = study_phenotype_clustering(X, assays, metric="euclidean", **SMALL)
    for features, metric in ((similarity, "precomputed"), (lambda a, b: similarity[a:b], "cosine")):
        other = study_phenotype_clustering(features, assays, metric=metric, **SMALL)
        pd.testing.assert_frame_equal(first.table, other.table)


def test_an_assay_does_not_depend_on_the_others_nor_on_threads_or_rounds(table, monkeypatch):
    X, assays = table
    whole = study_phenotype_clustering(X, assays, **SMALL).table.set_index("assay")
    alone = study_phenotype_clustering(X, assays[["two"]], **SMALL).table.set_index("assay")
    columns = ["map", "chance", "normalized_map", "se", "p"]
    pd.testing.assert_series_equal(alone.loc["two", columns], whole.loc["two", columns])
    monkeypatch.setattr(_clustering_study, "SET_BYTES", 1)
    monkeypatch.setattr(_clustering_study, "BLOCK_BYTES", 8 * 150 * 40)
    again = study_phenotype_clustering(X, assays, **SMALL, n_jobs=2).table.set_index("assay")
    pd.testing.assert_frame_equal(again, whole)


def test_the_global_generator_is_untouched(table):
    X, assays = table
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    study_phenotype_clustering(X, assays, **SMALL, random_state=3)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_memory_does_not_grow_with_the_pairs():
    rng = np.random.default_rng(0)
    X, label = rng.normal(size=(4000, 4)), (np.arange(4000) < 30).astype(float)[:, None]
    study_phenotype_clustering(X[:200], label[:200], n_permutations=19)
    tracemalloc.start()
    study_phenotype_clustering(X, label, n_permutations=19)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All similarities would take 128 MB.
    assert peak < 80e6


def test_assays_with_few_compounds_are_named(table):
    X, assays = table
    assays["few"] = np.where(np.arange(150) < 8, 1.0, np.nan)
    found = study_phenotype_clustering(X, assays, **SMALL, n_permutations=19)
    assert found.excluded["assay"].tolist() == ["few"]
    reason = "fewer than 5 inactives, fewer than 10 compounds"
    assert found.excluded["reason"].tolist() == [reason]
    with pytest.raises(ValueError, match=r"none of the 5 assay.* 25 actives, 25 inactives and 500"):
        study_phenotype_clustering(X, assays, min_compounds=500)


def test_families_and_top(planted):
    profiles, _, assays, truth = planted
    families = truth.set_index("assay")["family"]
    found = study_phenotype_clustering(
        profiles, assays, families=families, top=0.1, n_permutations=199
    )
    assert found.table["top"].sum() == 3
    assert found.table["top"].head(3).all()
    assert found.families["n"].sum() == 30
    counted = found.table[found.table["q"] < 0.05].groupby("family").size()
    for row in found.families.itertuples():
        assert row.n_found == counted.get(row.family, 0)
    assert "By family" in found.tables()
    assert len(found.plot().axes) == 3


def test_too_few_permutations_are_told_of(table):
    """One assay beats all random sets, of so few that its q cannot be below alpha among four."""
    X, assays = table
    X[assays["one"] == 1] += 5
    few = study_phenotype_clustering(X, assays[["one", "four"]], **SMALL, n_permutations=19)
    assert "no fewer than 3 can be found together" in few.report()
    assert "one" not in few.found
    many = study_phenotype_clustering(X, assays[["one", "four"]], **SMALL, n_permutations=199)
    assert "can be found together" not in many.report()
    assert "one" in many.found


def test_what_is_written(table, tmp_path):
    X, assays = table
    found = study_phenotype_clustering(X, assays, **SMALL, model="my model", data="a/b")
    names = [path.name for path in found.write(tmp_path / "new")]
    assert names[0] == "phenotype-clustering_my-model_a-b.csv"
    assert names[-1].endswith(".png")
    back = pd.read_csv(tmp_path / "new" / names[0])
    assert back["assay"].tolist() == found.table["assay"].tolist()
    assert "random sets (q < 0.05)" in found.report()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "manhattan"}, "metric must be one of"),
        ({"metric": "tanimoto"}, "fingerprints must hold 0 and 1 only; row 0"),
        ({"metric": "precomputed"}, "square matrix"),
        ({"n_permutations": 5}, "n_permutations must be an integer of at least 19"),
        ({"top": 0}, "top must lie between 0 and 1"),
        ({"alpha": 2.0}, "alpha must lie between 0 and 1"),
        ({"n": 0}, "n must be an integer"),
        ({"min_actives": 1}, "min_actives must be an integer of at least 2"),
        ({"groups": [1, 2]}, "groups must hold one value for each of 150"),
        ({"groups": [None] * 150}, "groups is missing in row 0"),
        ({"families": {"one": "kinase"}}, r"no entry for 3 assay\(s\): two, three, four"),
        ({"families": ["kinase"]}, "1 families for 4 assays"),
    ],
)
def test_bad_arguments_are_named(table, change, message):
    X, assays = table
    with pytest.raises(ValueError, match=message):
        study_phenotype_clustering(X, assays, **{**SMALL, **change})


def test_bad_tables_are_named(table):
    X, assays = table
    with pytest.raises(ValueError, match="features has 149 rows for 150 compounds"):
        study_phenotype_clustering(X[1:], assays, **SMALL)
    with pytest.raises(ValueError, match=r"features and assays have different names.*row 0"):
        study_phenotype_clustering(pd.DataFrame(X), assays.iloc[::-1], **SMALL)
    with pytest.raises(ValueError, match=r"assay 'one' must hold 1 \(active\).*is -1"):
        study_phenotype_clustering(X, assays.replace({"one": {0.0: -1.0}}), **SMALL)
    with pytest.raises(ValueError, match="assay 'smiles' must hold 1, 0 or NaN"):
        study_phenotype_clustering(X, assays.assign(smiles="CCO"), **SMALL)
    with pytest.raises(ValueError, match="more than one column 'one'"):
        study_phenotype_clustering(X, assays.rename(columns={"two": "one"}), **SMALL)
    with pytest.raises(ValueError, match=r"features\(0, 150\) gave an array of shape \(150, 8\)"):
        study_phenotype_clustering(lambda a, b: X[a:b], assays, **SMALL)
    X[7, 3] = np.nan
    for metric in ("cosine", "euclidean"):
        with pytest.raises(ValueError, match="row 7, column 3 is nan"):
            study_phenotype_clustering(X, assays, metric=metric, **SMALL)
