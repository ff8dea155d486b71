"""Two feature spaces: differences, the jackknife beside loops, and how often nothing is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp, wilcoxon

from cloome_sk.evaluation import (
    study_chemotype_clustering,
    study_clustering_comparison,
    study_phenotype_clustering,
)
from cloome_sk.evaluation._clustering_study import jackknife_error


def assays_of(X, n_assays, rng, noise=1.5):
    weights = rng.normal(size=(X.shape[1], n_assays))
    score = X @ weights / np.linalg.norm(weights, axis=0) + noise * rng.normal(
        size=(len(X), n_assays)
    )
    return (score > np.quantile(score, 0.75, axis=0)).astype(float)


def scored(X, Y, name, **arguments):
    return study_phenotype_clustering(X, Y, model=name, n_permutations=19, **arguments)


@pytest.fixture(scope="module")
def studies():
    """Half of the assays follow one space, half the other; series are held by the first."""
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(2, 160, 4))
    Y = np.hstack([assays_of(A, 6, rng, 0.4), assays_of(B, 6, rng, 0.4)])
    Y = pd.DataFrame(Y, columns=[f"{space}{at}" for space in "AB" for at in range(6)])
    families = [f"of {name[0]}" for name in Y]
    membership = np.arange(160)[:, None] // 16 == np.arange(10)
    out = []
    for name, X in (("A", A), ("B", B)):
        held = X + (3 * membership @ rng.normal(size=(10, 4)) if name == "A" else 0)
        out.append(
            (
                scored(X, Y, name, families=families),
                study_chemotype_clustering(held, membership, model=name, n_permutations=19),
            )
        )
    return out


def test_who_gains_and_who_loses(studies):
    found = study_clustering_comparison(*studies)
    verdict = found.units.set_index("unit")["verdict"]
    assert (verdict[[f"A{at}" for at in range(6)]] == "gains").sum() >= 5
    assert (verdict[[f"B{at}" for at in range(6)]] == "loses").sum() >= 5
    assert not (verdict[[f"A{at}" for at in range(6)]] == "loses").any()
    assert (verdict[[f"series {at}" for at in range(10)]] == "gains").sum() >= 9
    overall = found.overall.set_index(["study", "family"])
    assert overall.loc[("phenotype-clustering", "all"), "p_holm"] > 0.05
    assert overall.loc[("chemotype-clustering", "all"), "p_holm"] < 0.05
    assert overall.loc[("phenotype-clustering", "of A"), "difference"] > 0
    assert overall.loc[("phenotype-clustering", "of B"), "difference"] < 0
    assert found.units.groupby("study", sort=False)["difference"].apply(
        lambda own: own.is_monotonic_decreasing
    ).all()  # fmt: skip


def test_figures_are_those_of_the_studies(studies):
    (one, _), (other, _) = studies
    found = study_clustering_comparison(one, other)
    mine, theirs = (study.table.set_index("assay")["normalized_map"] for study in (one, other))
    apart = (mine - theirs).loc[found.units["unit"]]
    np.testing.assert_allclose(found.units["difference"], apart)
    row = found.overall.iloc[0]
    assert row["difference"] == pytest.approx(apart.mean())
    assert row["p_wilcoxon"] == pytest.approx(wilcoxon(apart).pvalue)
    assert row["p"] == pytest.approx(ttest_1samp(apart, 0).pvalue, abs=0.05)
    assert row["n_gains"] == (found.units["verdict"] == "gains").sum()


def test_the_other_way_round_is_the_negative(studies):
    (one, _), (other, _) = studies
    there = study_clustering_comparison(one, other).units.set_index("unit")
    back = study_clustering_comparison(other, one).units.set_index("unit").loc[there.index]
    np.testing.assert_allclose(there["difference"], -back["difference"])
    np.testing.assert_allclose(there["p"], back["p"])


def test_a_space_against_itself_differs_in_nothing():
    X = np.random.default_rng(3).normal(size=(160, 4))
    Y = assays_of(X, 3, np.random.default_rng(4))
    found = study_clustering_comparison(scored(X, Y, "same"), scored(2 * X, Y, "doubled"))
    np.testing.assert_allclose(found.units["difference"], 0, atol=1e-12)
    np.testing.assert_allclose(found.units["p"], 1)
    assert (found.units["verdict"] == "not told apart").all()
    found.plot()


def test_the_error_is_the_jackknife_of_leaving_members_out():
    """Each active is left out of the table, and both studies are run anew."""
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(2, 110, 3))
    label = assays_of(A, 1, rng)
    few = {"min_actives": 5, "min_compounds": 50}

    def difference(kept):
        one, two = (scored(X[kept], label[kept], name, **few) for X, name in ((A, "A"), (B, "B")))
        return float(one.table["map"][0] - two.table["map"][0])

    everyone = np.arange(110)
    apart = np.array([difference(everyone != member) for member in np.flatnonzero(label[:, 0])])
    n = len(apart)
    expected = np.sqrt((n - 1) / n * ((apart - apart.mean()) ** 2).sum())
    found = study_clustering_comparison(scored(A, label, "A", **few), scored(B, label, "B", **few))
    chance = scored(A, label, "A", **few).table["chance"][0]
    assert found.units["se"][0] == pytest.approx(expected / (1 - chance))


def test_groups_leave_together():
    """Members of a group have one figure, of the mean without all of them: it counts once."""
    without = np.array([0.1, 0.1, -0.3, 0.2, 0.0])
    joined = jackknife_error(without, np.array([0, 0, 1, 2, 3]))
    assert joined == pytest.approx(jackknife_error([0.1, -0.3, 0.2, 0.0], np.arange(4)))
    assert np.isnan(jackknife_error(without, np.array([0, 0, 0, 1, 1])))
    assert np.isnan(jackknife_error([0.1, np.nan, 0.2, 0.3], np.arange(4)))


def test_spaces_of_one_worth_are_seldom_told_apart():
    """Two noisy copies of what assays follow: which is the better one is noise.

    Of assays of 75 actives, somewhat more than alpha are: the docstring says how many.
    """
    p = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        Z = rng.normal(size=(300, 4))
        Y = assays_of(Z, 30, rng, 0.7)
        one, two = (scored(Z + rng.normal(size=Z.shape), Y, name) for name in ("one", "two"))
        found = study_clustering_comparison(one, two)
        p.append(found.units["p"].to_numpy())
    assert 0.01 < np.mean(np.concatenate(p) <= 0.05) < 0.09


def test_the_figure_and_the_files(studies, tmp_path):
    found = study_clustering_comparison(*studies)
    assert len(found.plot().axes) == 2
    names = [path.name for path in found.write(tmp_path)]
    assert names == [f"clustering-comparison_A_B{end}" for end in (".csv", "_overall.csv", ".png")]
    report = found.report()
    assert "phenotype-clustering: A is not told apart from B over 12 assays" in report
    assert "chemotype-clustering: A is above B over 10 series" in report


def test_the_error_of_groups_is_that_of_the_table_without_each_group():
    """Groups of one to three rows, of which some are active; all rows leave, and all is rerun."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), rng.integers(1, 4, 40))
    X = rng.normal(size=(40, 4))[groups] + 0.5 * rng.normal(size=(len(groups), 4))
    label = (X[:, :1] + 0.5 * rng.normal(size=(len(groups), 1)) > 0.4).astype(float)
    few = {"min_actives": 5, "min_inactives": 5, "min_compounds": 20}

    def figure(kept):
        one = scored(X[kept], label[kept], "A", groups=groups[kept], **few)
        return one.table["map"][0]

    active = np.unique(groups[label[:, 0] == 1])
    sizes = np.bincount(groups[label[:, 0] == 1], minlength=40)[active]
    assert (sizes < np.bincount(groups)[active]).any()
    left = np.array([figure(groups != group) for group in active])
    expected = np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum())
    found = scored(X, label, "A", groups=groups, **few)
    own = found.queries.drop_duplicates("group").set_index("group")
    np.testing.assert_allclose(own.loc[active, "map_without"], left)
    assert found.table["se"][0] == pytest.approx(expected / (1 - found.table["chance"][0]))


def test_studies_of_other_numbers_of_places_are_refused():
    rng = np.random.default_rng(0)
    membership = np.arange(90)[:, None] // 10 == np.arange(6)
    X = rng.normal(size=(90, 5))
    few, whole = (
        study_chemotype_clustering(X, membership, model=name, n=n, n_permutations=19)
        for name, n in (("few", 5), ("whole", None))
    )
    with pytest.raises(ValueError, match=r"look at other numbers of places.*'series 0', chance is"):
        study_clustering_comparison(few, whole)


def test_studies_that_do_not_fit_are_refused(studies):
    (one, series), (other, _) = studies
    with pytest.raises(ValueError, match="same kinds of study in one order"):
        study_clustering_comparison(one, series)
    with pytest.raises(ValueError, match="same kinds of study in one order"):
        study_clustering_comparison([], [])
    with pytest.raises(ValueError, match="both feature spaces are called 'A'"):
        study_clustering_comparison(one, one)
    with pytest.raises(ValueError, match="several feature spaces: A, B"):
        study_clustering_comparison([one, studies[1][1]], [other, series])
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        study_clustering_comparison(one, other, alpha=0)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(160, 4)), assays_of(rng.normal(size=(160, 4)), 12, rng)
    named = pd.DataFrame(Y, columns=one.table["assay"].sort_values())
    with pytest.raises(ValueError, match="not of the same assays: their members"):
        study_clustering_comparison(one, scored(X, named, "B"))
    with pytest.raises(ValueError, match="not of the same assays: only one has A0"):
        study_clustering_comparison(one, scored(X, named.drop(columns="A0"), "B"))
