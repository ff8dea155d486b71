"""Many sets on one ranking, against the definition, scikit-learn, and the package's own metric."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import chisquare
from sklearn.metrics import average_precision_score

from cloome_sk.evaluation import _clustering_kernel
from cloome_sk.evaluation._clustering_kernel import score_sets
from cloome_sk.evaluation._clustering_sets import LabelSets, plans_of
from cloome_sk.evaluation._clustering_sources import source_of
from cloome_sk.metrics import average_precision_at_n


def naive(similarity, universe, own, groups, score):
    """Average precision of each member, by loops over queries and candidates."""
    out = []
    for query in own:
        relevant, scores = [], []
        for other in range(len(similarity)):
            if universe[other] and groups[other] != groups[query]:
                relevant.append(other in own)
                scores.append(similarity[query, other])
        out.append(score(relevant, scores) if any(relevant) else np.nan)
    return np.array(out)


@pytest.fixture
def made_up():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(70, 6))
    universes = [np.ones(70, dtype=bool), rng.random(70) < 0.7]
    sets = [
        np.array([rng.choice(np.flatnonzero(universe), 12, replace=False) for _ in range(9)])
        for universe in universes
    ]
    return X, [
        LabelSets(universe, own.astype(np.int32), 3)
        for universe, own in zip(universes, sets, strict=True)
    ]


def check(similarity, sets, groups, found, score, **tolerance):
    for one, scores in zip(sets, found, strict=True):
        for row, own in enumerate(one.members):
            expected = naive(similarity, one.universe, set(own.tolist()), groups, score)
            expected = dict(zip(set(own.tolist()), expected, strict=True))
            values = np.array([expected[member] for member in own])
            known = ~np.isnan(values)
            assert scores.n_queries[row] == known.sum()
            assert scores.total[row] == pytest.approx(values[known].sum(), **tolerance)
            if row < one.n_observed:
                np.testing.assert_allclose(scores.precision[row], values, rtol=1e-9)


def test_equals_scikit_learn_without_ties(made_up):
    X, sets = made_up
    similarity = 1 - cdist(X, X, "cosine")
    groups = np.arange(70)
    found = score_sets(source_of(X, "cosine", 70, "test"), sets, groups)
    check(similarity, sets, groups, found, average_precision_score)


@pytest.mark.parametrize("n", [None, 1, 5, 30, 500])
@pytest.mark.parametrize("grouped", [False, True])
def test_equals_the_metric_with_ties_groups_and_cut(made_up, n, grouped):
    """Whole numbers tie in large levels; a query leaves its group out."""
    _, sets = made_up
    rng = np.random.default_rng(1)
    X = rng.integers(0, 3, size=(70, 2)).astype(float)
    groups = rng.integers(0, 25, size=70) if grouped else np.arange(70)
    found = score_sets(source_of(X, "euclidean", 70, "test"), sets, groups, n=n)

    def score(relevant, scores):
        return average_precision_at_n(relevant, scores, n=n)

    check(-cdist(X, X, "sqeuclidean"), sets, groups, found, score)


def test_everything_alike_is_one_level(made_up):
    _, sets = made_up
    groups = np.arange(70)
    found = score_sets(source_of(np.ones((70, 3)), "cosine", 70, "test"), sets, groups)
    check(np.ones((70, 70)), sets, groups, found, average_precision_at_n)


def test_leaving_a_member_out_is_scoring_without_it(made_up):
    X, sets = made_up
    groups = np.arange(70)
    source = source_of(X, "cosine", 70, "test")
    found = score_sets(source, sets, groups)
    for one, scores in zip(sets, found, strict=True):
        for row in range(one.n_observed):
            for at, member in enumerate(one.members[row]):
                universe = one.universe.copy()
                universe[member] = False
                rest = LabelSets(universe, np.delete(one.members[row], at)[None], 1)
                (expected,) = score_sets(source, [rest], groups)
                assert scores.without[row, at] == pytest.approx(expected.total[0])
                assert scores.n_without[row, at] == 11


def test_leaving_out_the_only_positive_leaves_no_query():
    rng = np.random.default_rng(0)
    one = LabelSets(np.ones(8, dtype=bool), np.array([[1, 4]], dtype=np.int32), 1)
    (found,) = score_sets(
        source_of(rng.normal(size=(8, 3)), "cosine", 8, "test"), [one], np.arange(8)
    )
    assert found.n_queries.tolist() == [2]
    assert found.n_without.tolist() == [[0, 0]]
    np.testing.assert_allclose(found.without, 0, atol=1e-12)


def test_results_do_not_depend_on_threads_or_on_what_is_looked_up_at_once(made_up, monkeypatch):
    X, sets = made_up
    source, groups = source_of(X, "cosine", 70, "test"), np.arange(70)
    monkeypatch.setattr(_clustering_kernel, "BLOCK_BYTES", 70 * 8 * 9)
    first = score_sets(source, sets, groups)
    second = score_sets(source, sets, groups, n_jobs=2)
    monkeypatch.setattr(_clustering_kernel, "LOOKED_UP", 24)
    third = score_sets(source, sets, groups)
    for one, two, three in zip(first, second, third, strict=True):
        np.testing.assert_array_equal(one.total, two.total)
        np.testing.assert_allclose(one.total, three.total, rtol=1e-12)
        np.testing.assert_allclose(one.precision, three.precision, rtol=1e-12)


def one_plan(own, universe, groups, strata, seed=0):
    (plan,), places = plans_of([own], [universe], groups=groups, strata=strata, seed=seed)
    assert places == [(0, 0)]
    return plan


def test_draws_are_uniform_over_the_universe():
    universe = np.arange(20) % 4 != 0
    own = np.array([1, 2, 3], dtype=np.int32)
    sets = one_plan(own, universe, np.arange(20), np.zeros(20, dtype=int)).draw(6000)
    assert sets.members[0].tolist() == own.tolist()
    drawn = sets.members[1:]
    assert (np.diff(np.sort(drawn, axis=1), axis=1) > 0).all()
    counts = np.bincount(drawn.ravel(), minlength=20)
    assert (counts[~universe] == 0).all()
    assert chisquare(counts[universe]).pvalue > 1e-3


def test_draws_keep_groups_and_strata():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), np.tile([1, 2, 3], 10))
    strata = (np.arange(len(groups)) >= 30).astype(int)
    groups[:3] = [0, 1, 1]
    own = np.flatnonzero(np.isin(groups, rng.choice(30, 12, replace=False))).astype(np.int32)
    universe = np.ones(len(groups), dtype=bool)
    sets = one_plan(own, universe, groups, strata).draw(200)

    def pattern(members):
        """Of every group, its size, strata and how many are in; sorted."""
        chosen = np.isin(np.arange(len(groups)), members)
        return sorted(
            (tuple(strata[groups == group]), int(chosen[groups == group].sum()))
            for group in range(30)
        )

    expected = pattern(own)
    for members in sets.members[1:]:
        assert pattern(members) == expected
    assert len(np.unique(np.sort(sets.members, axis=1), axis=0)) > 100


def test_groups_of_different_sizes_cannot_move():
    groups = np.repeat(np.arange(4), [1, 2, 3, 4])
    own = np.flatnonzero(groups == 2).astype(np.int32)
    plan = one_plan(own, np.ones(10, dtype=bool), groups, np.zeros(10, dtype=int))
    assert not plan.can_move
    assert (np.sort(plan.draw(20).members, axis=1) == own).all()
    half = one_plan(own[:1], np.ones(10, dtype=bool), groups, np.zeros(10, dtype=int))
    assert not half.can_move
    assert one_plan(own, np.ones(10, dtype=bool), np.arange(10), np.zeros(10, dtype=int)).can_move


def test_sets_of_one_composition_share_their_draws():
    universe = np.ones(30, dtype=bool)
    labels = [
        np.arange(start, start + size, dtype=np.int32) for start, size in [(0, 4), (9, 4), (5, 6)]
    ]
    plans, places = plans_of(
        labels, [universe] * 3, groups=np.arange(30), strata=np.zeros(30, dtype=int), seed=3
    )
    assert places == [(0, 0), (0, 1), (1, 0)]
    alone, _ = plans_of(
        labels[:1], [universe], groups=np.arange(30), strata=np.zeros(30, dtype=int), seed=3
    )
    np.testing.assert_array_equal(plans[0].draw(50).members[2:], alone[0].draw(50).members[1:])


def test_a_compound_that_is_there_twice_is_refused():
    """Its draws would have places that nothing is dealt to."""
    own = np.array([1, 1, 2], dtype=np.int32)
    with pytest.raises(ValueError, match="A set of 3 compounds has 2 distinct ones"):
        one_plan(own, np.ones(9, dtype=bool), np.arange(9), np.zeros(9, dtype=int))


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "tanimoto"])
def test_blocks_of_a_source_are_the_whole(metric):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 30))
    if metric == "tanimoto":
        X = (X > 0.5).astype(np.uint8)
        expected = 1 - cdist(X.astype(bool), X.astype(bool), "jaccard")
    else:
        expected = 1 - cdist(X, X, "cosine") if metric == "cosine" else -(cdist(X, X) ** 2)
    source = source_of(X, metric, 40, "test")
    found = np.concatenate([source.exact(0, 13), source.exact(13, 40)])
    np.testing.assert_allclose(found, expected, atol=1e-12)
