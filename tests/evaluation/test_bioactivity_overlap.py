"""Series by assays: counts by loops, Fisher's test by SciPy, and how many overlaps chance makes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from scipy.stats import binomtest, false_discovery_control, fisher_exact

from cloome_sk.evaluation import study_bioactivity_overlap, study_chemotype_clustering


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    membership = pd.DataFrame(rng.random((200, 8)) < 0.08, columns=[f"s{at}" for at in range(8)])
    Y = (rng.random((200, 10)) < 0.3).astype(float)
    Y[membership["s1"], 2] = 1.0
    Y[membership["s3"], 4] = 1.0
    Y[rng.random(Y.shape) < 0.2] = np.nan
    return membership, pd.DataFrame(Y, columns=[f"a{at}" for at in range(10)])


FIGURES = pd.Series(
    [0.5, 0.4, 0.2, 0.9, 0.1, 0.3, np.nan, 0.8], index=[f"s{at}" for at in range(8)]
)


def test_every_pair_equals_loops_and_scipy(table):
    membership, assays = table
    found = study_bioactivity_overlap(membership, assays, FIGURES, min_tested=2)
    seen = 0
    for series in ("s0", "s1", "s3", "s5", "s7"):
        for assay in assays:
            label = assays[assay].to_numpy()
            own, tested = membership[series].to_numpy(), ~np.isnan(label)
            n, active = int((own & tested).sum()), int((own & (label == 1)).sum())
            rows = found.pairs[(found.pairs["series"] == series) & (found.pairs["assay"] == assay)]
            assert len(rows) == (n >= 2)
            if n < 2:
                continue
            seen += 1
            row = rows.iloc[0]
            assert (row["n_tested"], row["n_active"]) == (n, active)
            others = [int((~own & (label == value)).sum()) for value in (1, 0)]
            square = [[active, n - active], others]
            assert row["p"] == pytest.approx(fisher_exact(square, alternative="greater").pvalue)
            rate = (label == 1).sum() / tested.sum()
            assert row["base_rate"] == pytest.approx(rate)
            expected = binomtest(active, n, rate, alternative="greater").pvalue
            assert row["p_binomial"] == pytest.approx(expected)
            assert row["overlaps"] == (active > 0.6 * n + 1e-12)
            assert row["map"] == FIGURES[series]
    assert len(found.pairs) == seen > 40
    np.testing.assert_allclose(found.pairs["q"], false_discovery_control(found.pairs["p"]))
    reasons = found.excluded.set_index("series")["reason"].to_dict()
    assert reasons == {"s2": "mAP not above 0.2", "s4": "mAP not above 0.2", "s6": "no mAP"}


def test_planted_pairs_are_found(table):
    membership, assays = table
    found = study_bioactivity_overlap(membership, assays, FIGURES)
    told = found.overlaps[found.overlaps["q"] < 0.05]
    assert set(zip(told["series"], told["assay"], strict=True)) == {("s1", "a2"), ("s3", "a4")}
    assert "s3 in a4" in found.report()


def test_exactly_the_share_is_not_more_than_it():
    membership = (np.arange(50) < 5)[:, None]
    labels = np.zeros((50, 2))
    labels[:3, 0], labels[:4, 1] = 1, 1
    found = study_bioactivity_overlap(membership, labels, [0.5])
    assert found.pairs.set_index("assay")["overlaps"].to_dict() == {
        "assay 0": False,
        "assay 1": True,
    }


def test_expected_is_what_random_labels_give(table):
    membership, assays = table
    rng = np.random.default_rng(5)

    def deal(own):
        known = own.notna().to_numpy()
        out = own.to_numpy(copy=True)
        out[known] = rng.permutation(out[known])
        return out

    counts = []
    for _ in range(150):
        dealt = assays.apply(deal)
        found = study_bioactivity_overlap(membership, dealt, FIGURES)
        counts.append(found.pairs["overlaps"].sum())
    expected = found.pairs["expected"].sum()
    assert np.mean(counts) == pytest.approx(expected, abs=4 * np.std(counts) / np.sqrt(150))
    assert expected > 0.3


def test_random_pairs_are_found_as_often_as_alpha_says():
    """Fisher's test of counts is discrete: at most, not about, alpha."""
    rng = np.random.default_rng(0)
    membership = np.argsort(rng.random((40, 400)), axis=1).T < 15
    assays = (rng.random((400, 40)) < 0.4).astype(float)
    found = study_bioactivity_overlap(membership, assays, np.full(40, 0.5))
    assert 0.01 < (found.pairs["p"] <= 0.05).mean() < 0.06
    assert (found.overlaps["q"] < 0.05).sum() <= 1


def test_figures_come_from_a_study_of_series(table):
    membership, assays = table
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 6)) + 2 * membership[["s1", "s3"]].to_numpy() @ rng.normal(
        size=(2, 6)
    )
    study = study_chemotype_clustering(X, membership, n_permutations=19)
    found = study_bioactivity_overlap(membership, assays, study, map_cut=0.15)
    mine = study.table.set_index("series")["map"]
    assert set(found.pairs["series"]) == set(mine.index[mine > 0.15])


def test_families_and_files(table, tmp_path):
    membership, assays = table
    families = {name: ("kinase" if at < 5 else "GPCR") for at, name in enumerate(assays)}
    found = study_bioactivity_overlap(membership, assays, FIGURES, families=families)
    for row in found.families.itertuples():
        own = found.pairs[found.pairs["family"] == row.family]
        overlaps = own[own["overlaps"]]
        assert (row.n_pairs, row.n_overlaps) == (len(own), len(overlaps))
        assert row.n_series == overlaps["series"].nunique()
        assert row.expected == pytest.approx(own["expected"].sum())
    assert [path.suffix for path in found.write(tmp_path)] == [".csv"] * 3 + [".png"]
    nothing = study_bioactivity_overlap(membership, assays * 0, FIGURES)
    assert not len(nothing.overlaps)
    nothing.plot()
    assert "0 of them" in nothing.report()


def test_copies_of_a_molecule_count_once():
    """Four salts of one active molecule are one active member, and no finding."""
    membership, labels = (np.arange(200) < 6)[:, None], np.zeros((200, 1))
    labels[:4], labels[50:60] = 1, 1
    molecule = np.r_[np.zeros(4, int), np.arange(1, 197)]
    blind = study_bioactivity_overlap(membership, labels, [0.5]).pairs.iloc[0]
    assert (blind["n_tested"], blind["n_active"], blind["overlaps"]) == (6, 4, True)
    assert blind["p"] < 0.001
    found = study_bioactivity_overlap(membership, labels, [0.5], groups=molecule)
    row = found.pairs.iloc[0]
    assert (row["n_tested"], row["n_active"], row["overlaps"]) == (3, 1, False)
    assert row["p"] == pytest.approx(fisher_exact([[1, 2], [10, 184]], "greater").pvalue)
    assert row["base_rate"] == pytest.approx(11 / 197)
    assert "200 rows are 197 groups" in found.report()


def test_groups_are_what_loops_make_of_their_rows(table):
    membership, assays = table
    groups = np.random.default_rng(3).integers(0, 90, 200)
    found = study_bioactivity_overlap(membership, assays, FIGURES, groups=groups, min_tested=1)
    names = np.unique(groups)
    own = pd.DataFrame({one: [membership.loc[groups == name, one].any() for name in names]
                        for one in membership})  # fmt: skip
    rows, conflicts, even = {}, 0, 0
    for assay in assays:
        rows[assay] = []
        for name in names:
            known = assays.loc[groups == name, assay].dropna()
            active = int((known == 1).sum())
            conflicts += 0 < active < len(known)
            even += active > 0 and 2 * active == len(known)
            rows[assay].append(float(2 * active > len(known)) if len(known) else np.nan)
    merged = study_bioactivity_overlap(own, pd.DataFrame(rows), FIGURES, min_tested=1)
    pd.testing.assert_frame_equal(found.pairs, merged.pairs)
    assert even > 20
    assert f"{conflicts:,} disagree ({even:,} evenly" in found.report()
    single = study_bioactivity_overlap(membership, assays, FIGURES, groups=np.arange(200))
    alone = study_bioactivity_overlap(membership, assays, FIGURES)
    pd.testing.assert_frame_equal(single.pairs, alone.pairs)


def test_no_series_above_the_cut_is_a_finding(table, tmp_path):
    membership, assays = table
    some = study_bioactivity_overlap(membership, assays, FIGURES)
    none = study_bioactivity_overlap(membership, assays, FIGURES, map_cut=0.95)
    assert none.pairs.columns.tolist() == some.pairs.columns.tolist()
    assert none.families.columns.tolist() == some.families.columns.tolist()
    assert len(none.pairs) == len(none.overlaps) == len(none.families) == 0
    assert none.excluded["series"].tolist() == membership.columns.tolist()
    said = "None of 8 series has an mAP above 0.95; the highest is 0.900, of s3."
    assert said in none.report()
    assert said in none.plot().axes[0].texts[0].get_text()
    assert len(none.write(tmp_path)) == 4
    unknown = study_bioactivity_overlap(membership, assays, np.full(8, np.nan))
    assert "none has one" in unknown.report()


def test_an_entry_that_is_there_twice_is_one_member():
    twice = csr_array((np.ones(11, bool), np.zeros(11, int),
                       np.r_[0, 2, np.arange(3, 12), np.full(30, 11)]), shape=(40, 1))  # fmt: skip
    labels = (np.arange(40) < 2).astype(float)[:, None]
    found = study_bioactivity_overlap(twice, labels, [0.5])
    dense = study_bioactivity_overlap(twice.toarray(), labels, [0.5])
    assert dense.pairs["n_tested"].tolist() == [10]
    pd.testing.assert_frame_equal(found.pairs, dense.pairs)


@pytest.mark.parametrize(
    ("figures", "arguments", "message"),
    [
        (FIGURES, {"active_share": 1.0}, "active_share must be at least 0 and below 1"),
        (FIGURES, {"min_tested": 0}, "min_tested must be an integer"),
        (FIGURES, {"min_tested": 150}, "no assay has tested 150 members"),
        (FIGURES * 3, {}, "the mAP of 's0' is 1.5"),
        ([0.5], {}, "1 figures for 8 series"),
        ({"s0": 0.5}, {}, "no mAP for 7 series: s1"),
        (pd.concat([FIGURES, FIGURES[["s3"]]]), {}, "names 1 series more than once: s3"),
        (FIGURES, {"groups": [1, 2]}, "groups must hold one value for each of 200"),
    ],
)
def test_bad_arguments_are_named(table, figures, arguments, message):
    with pytest.raises(ValueError, match=message):
        study_bioactivity_overlap(*table, figures, **arguments)
