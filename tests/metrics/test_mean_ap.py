"""Mean average precision against naive loops and copairs, and where copairs flatters."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from cloome_sk.metrics import mean_average_precision, profile_average_precision

RULES = {
    "pos_sameby": ["compound"],
    "pos_diffby": ["plate"],
    "neg_sameby": ["plate"],
    "neg_diffby": ["compound"],
}


@pytest.fixture
def wells():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "compound": np.repeat([f"c{i}" for i in range(20)], 5),
            "plate": np.tile(list("abcde"), 20),
        }
    )
    centres = rng.normal(size=(20, 12)) * rng.random((20, 1))
    return np.repeat(centres, 5, axis=0) + 0.7 * rng.normal(size=(100, 12)), table


def naive(X, table, rules):
    """Scikit-learn's average precision of each row, pairs by a double loop."""
    unit = X / np.linalg.norm(X, axis=1)[:, None]
    table = table.to_dict("list")
    values = []
    for i in range(len(X)):
        relevant, score = [], []
        for j in range(len(X)):
            if i == j:
                continue

            def fits(side, i=i, j=j):
                same = all(table[c][i] == table[c][j] for c in rules[f"{side}_sameby"])
                return same and all(table[c][i] != table[c][j] for c in rules[f"{side}_diffby"])

            if fits("pos") or fits("neg"):
                relevant.append(fits("pos"))
                score.append(unit[i] @ unit[j])
        known = 0 < sum(relevant) < len(relevant)
        values.append(average_precision_score(relevant, score) if known else np.nan)
    return np.array(values)


@pytest.mark.parametrize(
    "rules",
    [
        RULES,
        {**RULES, "pos_diffby": [], "neg_sameby": []},
        {"pos_sameby": ["plate"], "pos_diffby": [], "neg_sameby": [], "neg_diffby": ["plate"]},
    ],
)
@pytest.mark.parametrize("block_size", [None, 7])
def test_profiles_equal_naive_loops(wells, rules, block_size):
    X, table = wells
    found = profile_average_precision(X, table, block_size=block_size, **rules)
    assert found["average_precision"].to_numpy() == pytest.approx(naive(X, table, rules))


def test_profiles_equal_copairs(wells):
    copairs_map = pytest.importorskip("copairs.map")
    X, table = wells
    # A compound on one plate only has no positive elsewhere.
    table.loc[:4, "plate"] = "a"
    expected = copairs_map.average_precision(table, X, **RULES, progress_bar=False)
    found = profile_average_precision(X, table, **RULES)
    for ours, theirs in (
        ("average_precision", "average_precision"),
        ("normalized_average_precision", "normalized_average_precision"),
        ("n_positives", "n_pos_pairs"),
    ):
        kept = expected["n_pos_pairs"] > 0
        np.testing.assert_allclose(found.loc[kept, ours], expected.loc[kept, theirs], atol=1e-7)
    assert found.loc[:4, "average_precision"].isna().all()
    assert (found.loc[:4, "n_positives"] == 0).all()


def test_groups_equal_copairs(wells, tmp_path):
    copairs_map = pytest.importorskip("copairs.map")
    X, table = wells
    scores = copairs_map.average_precision(table, X, **RULES, progress_bar=False)
    expected = copairs_map.mean_average_precision(
        scores, ["compound"], 20_000, 0.05, 0, progress_bar=False, cache_dir=tmp_path
    ).set_index("compound")
    found = mean_average_precision(X, table, **RULES, null_size=20_000, random_state=0)
    found = found.set_index("compound")
    for name in ("mean_average_precision", "mean_normalized_average_precision"):
        np.testing.assert_allclose(found[name], expected[name].loc[found.index], atol=1e-7)
    # Both draw their null: the same p-values up to the error of 20,000 draws.
    theirs = expected["p_value"].loc[found.index]
    assert (found["p_value"] - theirs).abs().max() < 0.02
    assert (found["p_value"] < 0.01).any()
    assert (found["p_value"] > 0.2).any()
    from copairs.map import apply_fdr_correction

    corrected = apply_fdr_correction(found[["p_value"]].copy())["corrected_p_value"]
    np.testing.assert_allclose(found["corrected_p_value"], corrected)


@pytest.mark.real_data
def test_real_wells_equal_copairs(data_home):
    """Replicates on other plates against the negative controls of every plate, on CPJUMP1."""
    copairs_map = pytest.importorskip("copairs.map")
    wells = pd.read_parquet(data_home / "profiles" / "cpjump1_compound_wells.parquet")
    wells = wells[wells["Metadata_Plate"].isin(wells["Metadata_Plate"].unique()[:3])]
    # A hundred features are enough to rank by, and copairs gathers them for every pair.
    names = [name for name in wells if not name.startswith("Metadata_")][:100]
    metadata = wells[["Metadata_InChIKey", "Metadata_Plate", "Metadata_pert_type"]]
    treated = (metadata["Metadata_pert_type"] != "control").to_numpy()
    assert 0 < treated.sum() < len(treated)
    found = profile_average_precision(
        pd.concat([metadata, wells[names]], axis=1),
        pos_sameby="InChIKey",
        pos_diffby="plate",
        neg_diffby="pert_type",
        queries=treated,
    )
    expected = copairs_map.average_precision(
        metadata,
        wells[names].to_numpy(np.float64),
        ["Metadata_InChIKey"],
        ["Metadata_Plate"],
        [],
        ["Metadata_pert_type"],
        progress_bar=False,
    )
    kept = treated & (expected["n_pos_pairs"] > 0).to_numpy()
    assert kept.sum() > 500
    # copairs compares in float32, where a few neighbours in a ranking change places.
    difference = found["average_precision"].to_numpy() - expected["average_precision"].to_numpy()
    assert np.abs(difference[kept]).max() < 5e-3
    assert np.median(np.abs(difference[kept])) < 1e-9
    assert found.loc[~treated, "average_precision"].isna().all()


def test_profiles_that_are_all_equal_score_at_chance(wells):
    """Ties must not flatter: copairs places tied positives first and gives 1 here."""
    _, table = wells
    found = mean_average_precision(np.ones((100, 3)), table, **RULES, null_size=99, random_state=0)
    np.testing.assert_allclose(found["mean_average_precision"], found["chance"])
    np.testing.assert_allclose(found["mean_normalized_average_precision"], 0, atol=1e-12)
    assert (found["p_value"] > 0.2).all()


def test_profiles_of_one_direction_tie(wells):
    """Their cosines differ in the last digit only, by the rounding of their lengths."""
    _, table = wells
    rng = np.random.default_rng(0)
    X = rng.normal(size=37) * rng.uniform(0.1, 10, size=(100, 1))
    found = profile_average_precision(X, table, **RULES)
    np.testing.assert_allclose(found["average_precision"], found["chance"])


def test_few_pairs_cannot_be_significant():
    """One positive before one negative happens in half of all orders."""
    table = pd.DataFrame({"compound": ["a", "a", "b"]})
    X = np.array([[1, 0.0], [1, 0.1], [0, 1.0]])
    found = mean_average_precision(
        X, table, pos_sameby="compound", neg_diffby="compound", null_size=4000, random_state=0
    ).set_index("compound")
    assert found.loc["a", "mean_average_precision"] == 1
    assert found.loc["a", "p_value"] == pytest.approx(0.5, abs=0.05)


def test_p_values_of_noise_are_uniform():
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"compound": np.repeat(np.arange(300), 2)})
    table["control"] = table["compound"] >= 150
    found = mean_average_precision(
        rng.normal(size=(600, 40)),
        table,
        pos_sameby="compound",
        neg_diffby="control",
        queries=~table["control"].to_numpy(),
        null_size=2000,
        random_state=0,
    )
    assert len(found) == 150
    share = [(found["p_value"] < level).mean() for level in (0.1, 0.5, 0.9)]
    assert share == pytest.approx([0.1, 0.5, 0.9], abs=0.15)


def test_dropped_queries_are_counted_and_groups_stay(wells):
    X, table = wells
    table.loc[:4, "plate"] = "a"
    table.loc[5, "plate"] = "b"
    found = mean_average_precision(X, table, **RULES, null_size=50, random_state=0)
    found = found.set_index("compound")
    assert len(found) == 20
    assert found.loc["c0", "n_dropped"] == 5
    assert found.loc["c0", "n_profiles"] == 0
    assert found.loc["c0", ["mean_average_precision", "p_value", "corrected_p_value"]].isna().all()
    assert (found["n_profiles"] + found["n_dropped"] == 5).all()
    # The other corrected values are those of the 19 groups that have one.
    assert found["corrected_p_value"].notna().sum() == 19


def test_queries_leave_controls_out_but_use_them():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"Metadata_compound": ["x"] * 3 + ["DMSO"] * 6})
    table["control"] = table["Metadata_compound"] == "DMSO"
    X = rng.normal(size=(9, 5))
    found = profile_average_precision(
        X,
        table,
        pos_sameby="compound",
        neg_diffby="control",
        queries=~table["control"].to_numpy(),
    )
    assert found["n_negatives"].tolist() == [6] * 3 + [0] * 6
    assert found["average_precision"].notna().tolist() == [True] * 3 + [False] * 6


def test_a_profile_table_brings_its_own_metadata(wells):
    X, table = wells
    features = pd.DataFrame(X, columns=[f"Cells_{i}" for i in range(X.shape[1])])
    whole = pd.concat([table.add_prefix("Metadata_"), features], axis=1)
    pd.testing.assert_frame_equal(
        profile_average_precision(whole, **RULES), profile_average_precision(X, table, **RULES)
    )


def test_the_null_is_seeded_and_nothing_is_written(wells, tmp_path, monkeypatch):
    X, table = wells
    monkeypatch.setenv("HOME", str(tmp_path))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = mean_average_precision(X, table, **RULES, null_size=200, random_state=4)
    second = mean_average_precision(X, table, **RULES, null_size=200, random_state=4)
    pd.testing.assert_frame_equal(first, second)
    assert list(tmp_path.iterdir()) == []
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_the_p_values_of_a_group_do_not_depend_on_the_others(wells):
    X, table = wells
    rules = {**RULES, "neg_sameby": [], "neg_diffby": ["control"]}
    table["control"] = table["compound"] == "c19"
    arguments = {**rules, "null_size": 500, "random_state": 0}
    whole = mean_average_precision(X, table, **arguments).set_index("compound")
    part = np.r_[0:10, 95:100]
    few = mean_average_precision(X[part], table.iloc[part], **arguments).set_index("compound")
    pd.testing.assert_series_equal(few.loc["c0":"c1", "p_value"], whole.loc["c0":"c1", "p_value"])


def test_without_copairs_the_error_says_what_to_install(wells, monkeypatch):
    X, table = wells
    monkeypatch.setitem(sys.modules, "copairs.compute", None)
    with pytest.raises(ImportError, match=r'pip install "cloome_sk\[eval\]"'):
        mean_average_precision(X, table, **RULES)
    # The values themselves need nothing.
    assert profile_average_precision(X, table, **RULES)["average_precision"].notna().all()


def test_memory_does_not_grow_with_the_pairs():
    rng = np.random.default_rng(0)
    n_profiles = 4000
    table = pd.DataFrame({"compound": np.repeat(np.arange(n_profiles // 4), 4)})
    X = rng.normal(size=(n_profiles, 8)).astype(np.float32)
    rules = {"pos_sameby": "compound", "neg_diffby": "compound"}
    profile_average_precision(X[:40], table[:40], **rules)
    tracemalloc.start()
    profile_average_precision(X, table, block_size=100, **rules)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A list of all eight million pairs would take 64 MB before any similarity.
    assert peak < 15e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pos_sameby": "absent"}, "no column 'absent'"),
        ({"pos_sameby": []}, "pos_sameby is empty"),
        ({"neg_sameby": [], "neg_diffby": []}, "nothing is negative"),
        ({"pos_diffby": ["compound"]}, "both pos_sameby and pos_diffby"),
        ({"neg_sameby": ["compound"], "neg_diffby": []}, "positive and a negative pair at once"),
        ({"queries": [True]}, "boolean array of 100 rows"),
        ({"metadata": None}, "Without metadata"),
        ({"block_size": 0}, "block_size"),
    ],
)
def test_bad_arguments_are_named(wells, change, message):
    X, table = wells
    arguments = {"metadata": table, **RULES, "pos_diffby": [], **change}
    with pytest.raises(ValueError, match=message):
        profile_average_precision(X, **arguments)


def test_bad_tables_are_named(wells):
    X, table = wells
    with pytest.raises(ValueError, match="100 rows but metadata has 99"):
        profile_average_precision(X, table[1:], **RULES)
    with pytest.raises(TypeError, match="must be a DataFrame"):
        profile_average_precision(X, table.to_dict(), **RULES)
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match="row 3, column 2 is nan"):
        profile_average_precision(X, table, **RULES)
    X[3] = 0
    with pytest.raises(ValueError, match="row 3 is all zeros"):
        profile_average_precision(X, table, **RULES)
    table.loc[7, "plate"] = None
    with pytest.raises(ValueError, match="column 'plate' is missing a value in row 7"):
        profile_average_precision(X, table, **RULES)


def test_no_pair_at_all(wells):
    X, table = wells
    table["compound"] = [f"c{i}" for i in range(100)]
    with pytest.raises(ValueError, match="None of the 100 queries"):
        mean_average_precision(X, table, **RULES)
    with pytest.raises(ValueError, match="null_size"):
        mean_average_precision(X, table, **RULES, null_size=0)
