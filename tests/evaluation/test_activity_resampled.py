"""Weighted figures beside scikit-learn, and what intervals and p of resamples promise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, kstest
from sklearn.metrics import average_precision_score, roc_auc_score

from cloome_sk.evaluation._activity_resampled import BLOCK, Deviations, resampled
from cloome_sk.evaluation._activity_scores import FoldScores, assay_scores
from cloome_sk.evaluation._activity_weighted import RankedFold, weighted_scores
from cloome_sk.evaluation.units import scores_of

N = 60


def made_folds(generator, *, n_folds=3, decimals=1):
    """Test folds of an assay: molecules, labels and scores with many ties."""
    measured = generator.permutation(N)[:50]
    folds = []
    for rows in np.array_split(measured, n_folds):
        active = generator.permutation(np.arange(len(rows)) < 5)
        folds.append((rows, active, np.round(generator.normal(size=len(rows)) + active, decimals)))
    return folds


def ranked(folds):
    return [RankedFold.of(*fold) for fold in folds]


def by_scikit_learn(folds, weights):
    """AUROC, AUPRC and prevalence of one set of weights, fold by fold."""
    sums = np.zeros(5)
    for rows, active, scores in folds:
        weight = weights[rows]
        n_active, n_inactive = weight[active].sum(), weight[~active].sum()
        if n_active > 0 and n_inactive > 0:
            pairs = n_active * n_inactive
            auroc = roc_auc_score(active, scores, sample_weight=weight)
            auprc = average_precision_score(active, scores, sample_weight=weight)
            sums += [
                pairs * auroc,
                pairs,
                n_active * auprc,
                n_active,
                n_active**2 / (n_active + n_inactive),
            ]
    if not sums[1]:
        return [np.nan] * 3
    auprc, prevalence = sums[2] / sums[3], sums[4] / sums[3]
    return [sums[0] / sums[1], auprc, auprc - prevalence]


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_weighted_figures_are_those_of_scikit_learn(decimals):
    generator = np.random.default_rng(decimals)
    folds = made_folds(generator, decimals=decimals)
    weights = generator.gamma(0.5, size=(N, 20))
    weights[generator.random(weights.shape) < 0.3] = 0
    expected = [by_scikit_learn(folds, column) for column in weights.T]
    np.testing.assert_allclose(weighted_scores(ranked(folds), weights).T, expected, rtol=1e-12)


def test_whole_weights_are_repeated_molecules():
    generator = np.random.default_rng(0)
    folds = made_folds(generator)
    weights = generator.poisson(1, size=(N, 20)).astype(float)
    found = weighted_scores(ranked(folds), weights)
    for column, figures in zip(weights.T, found.T, strict=True):
        copies = [
            [np.repeat(values, column[fold[0]].astype(int)) for values in fold] for fold in folds
        ]
        both = [fold for fold in copies if len(set(fold[1])) == 2]
        plain = assay_scores([FoldScores(active, scores) for _, active, scores in both])
        assert figures[0] == pytest.approx(plain["auroc"])
        assert figures[1] == pytest.approx(plain["auprc"])
        assert figures[2] == pytest.approx(plain["auprc"] - plain["prevalence"])


def test_a_fold_without_one_label_has_no_part():
    folds = made_folds(np.random.default_rng(0))
    weights = np.ones((N, 3))
    rows, active, _ = folds[0]
    weights[rows[active], 0] = 0
    weights[rows[~active], 1] = 0
    weights[np.concatenate([rows[active] for rows, active, _ in folds]), 2] = 0
    found = weighted_scores(ranked(folds), weights)
    rest = weighted_scores(ranked(folds[1:]), np.ones((N, 1)))[:, 0]
    np.testing.assert_allclose(found[:, 0], rest)
    np.testing.assert_allclose(found[:, 1], rest)
    assert np.isnan(found[:, 2]).all()


@pytest.mark.parametrize("n_units", [N, 12])
def test_resamples_are_those_of_a_loop(n_units):
    """The same weights for both models and all assays; an assay that is lost has no part."""
    generator = np.random.default_rng(1)
    models = {name: [made_folds(generator) for _ in range(3)] for name in "AB"}
    for assays in models.values():
        # Two actives: one resample in seven loses both.
        rows, scores = np.arange(N), np.round(generator.normal(size=N), 1)
        assays.append([(rows, rows < 2, scores)])
    units = np.arange(N) % n_units
    n = BLOCK + 4
    folds = {name: [ranked(assay) for assay in assays] for name, assays in models.items()}
    found = resampled(folds, units, n_resamples=n, seed=3)
    drawn = np.random.RandomState(3).multinomial(n_units, np.full(n_units, 1 / n_units), size=n)
    n_lost = 0
    for name, assays in models.items():
        plain = np.array([by_scikit_learn(assay, np.ones(N)) for assay in assays])
        # On both sides of the border between two blocks.
        for at in range(BLOCK - 6, n):
            of_unit = drawn[at]
            figures = np.array([by_scikit_learn(assay, of_unit[units]) for assay in assays])
            left = ~np.isnan(figures[:, 0])
            n_lost += int((~left).sum())
            expected = (figures - plain)[left].mean(axis=0)
            np.testing.assert_allclose(found[name][:, at], expected, atol=1e-12)
    assert n_lost


def test_molecules_in_no_fold_are_not_drawn():
    folds = made_folds(np.random.default_rng(0))
    measured = np.sort(np.concatenate([rows for rows, *_ in folds]))
    units = np.full(N, -1)
    units[measured] = np.arange(len(measured))
    place = np.zeros(N, dtype=int)
    place[measured] = np.arange(len(measured))
    closed = [(place[rows], *rest) for rows, *rest in folds]
    options = {"n_resamples": 20, "seed": 0}
    some = resampled({"m": [ranked(folds)]}, units, **options)["m"]
    all_ = resampled({"m": [ranked(closed)]}, np.arange(len(measured)), **options)["m"]
    np.testing.assert_array_equal(some, all_)


def simulated(generator, n_molecules=75, n_assays=5, n_models=1):
    """Assays that are next to copies of one another, and scores that know nothing."""
    active = generator.permutation(np.arange(n_molecules) < n_molecules // 3)
    models = {}
    for model in range(n_models):
        shared = generator.normal(size=n_molecules)
        models[model] = [
            [
                RankedFold.of(rows, active[rows], (shared + noise)[rows])
                for rows in np.array_split(np.arange(n_molecules), 3)
            ]
            for noise in 0.1 * generator.normal(size=(n_assays, n_molecules))
        ]
    figures = {
        model: [weighted_scores(assay, np.ones((n_molecules, 1)))[0, 0] for assay in assays]
        for model, assays in models.items()
    }
    return models, figures, np.arange(n_molecules)


def test_intervals_cover_chance_where_assays_are_copies():
    """Resampled molecules cover at the nominal rate; resampled assays do not."""
    generator = np.random.default_rng(0)
    n, covered, by_assays = 160, 0, 0
    p = []
    for run in range(n):
        models, figures, units = simulated(generator)
        value = np.mean(figures[0])
        spread = Deviations.of(resampled(models, units, n_resamples=200, seed=run)[0][0])
        low, high = spread.interval(value, 0.9)
        covered += low <= 0.5 <= high
        p.append(spread.p(value - 0.5))
        rows = pd.DataFrame({"value": figures[0], "unit": np.arange(len(figures[0]))})
        rows = rows.assign(part="all", model="m", metric="AUROC", chance=0.5)
        over = scores_of(rows, confidence=0.9, n_bootstrap=200, random_state=run).iloc[0]
        by_assays += over["low"] <= 0.5 <= over["high"]
    low, high = binom.interval(0.999, n, 0.9)
    assert low <= covered <= high
    assert by_assays < n / 2
    assert kstest(p, "uniform").pvalue > 0.001


def test_paired_p_is_uniform_where_models_are_alike():
    generator = np.random.default_rng(1)
    n, p = 160, []
    for run in range(n):
        models, figures, units = simulated(generator, n_models=2)
        apart = resampled(models, units, n_resamples=200, seed=run)
        spread = Deviations.of(apart[0][0] - apart[1][0])
        p.append(spread.p(np.mean(figures[0]) - np.mean(figures[1])))
    assert kstest(p, "uniform").pvalue > 0.001
    for level in (0.05, 0.2):
        low, high = binom.interval(0.999, n, level)
        assert low <= np.sum(np.array(p) <= level) <= high


def test_what_a_resample_adds_to_the_auprc_is_taken_off():
    """Copies of actives lift the mean of resamples, and not the middle of the interval."""
    generator = np.random.default_rng(2)
    models, _, units = simulated(generator)
    apart = resampled(models, units, n_resamples=500, seed=0)[0][1]
    assert apart.mean() > 0.02
    low, high = Deviations.of(apart).interval(0.4, 0.95)
    assert (low + high) / 2 == pytest.approx(0.4, abs=0.02)


def test_models_that_are_one_are_not_told_apart():
    models, _, units = simulated(np.random.default_rng(3))
    twice = {"A": models[0], "B": models[0]}
    apart = resampled(twice, units, n_resamples=50, seed=0)
    same = Deviations.of(apart["A"][0] - apart["B"][0])
    assert same.p(0.0) == 1.0
    assert np.isnan(same.interval(0.0, 0.95)).all()
    assert np.isnan(same.p(0.1))
    assert np.isnan(Deviations.of(np.full(3, np.nan)).interval(0.5, 0.95)).all()


def test_p_of_a_planted_distance_is_as_small_as_resamples_allow():
    spread = Deviations.of(np.random.default_rng(0).normal(size=999))
    assert spread.p(10.0) == 1 / 1000
    assert spread.p(-10.0) == 1 / 1000
    assert spread.p(1.96) == pytest.approx(0.05, abs=0.02)
