"""The learned temperature against SciPy, a grid, a loop and the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import log_loss

from cloome_sk.confidence import fit_inv_tau
from cloome_sk.confidence.nested import unit_weights
from cloome_sk.confidence.temperature import cross_validated
from cloome_sk.metrics import brier_score, expected_calibration_error


def drawn(n, inv_tau, seed=0, n_classes=4):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-1, 1, size=(n, n_classes))
    proba = softmax(inv_tau * scores, axis=1)
    codes = (proba.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return scores, np.minimum(codes, n_classes - 1), rng.uniform(0.1, 2, n)


def naive_loss(inv_tau, scores, codes, weights):
    total = 0.0
    for row, code, weight in zip(scores, codes, weights, strict=True):
        total -= weight * (
            inv_tau * row[code] - math.log(sum(math.exp(inv_tau * score) for score in row))
        )
    return total


@pytest.mark.parametrize("inv_tau", [0.5, 3.0, 14.3])
def test_equals_scipy_and_a_grid_over_a_naive_loop(inv_tau):
    scores, codes, weights = drawn(150, inv_tau)
    found = fit_inv_tau(scores, codes, weights)
    best = minimize_scalar(
        naive_loss,
        bounds=(0.01, 100),
        args=(scores, codes, weights),
        method="bounded",
        options={"xatol": 1e-8},
    )
    assert found == pytest.approx(best.x, rel=1e-4)
    losses = [naive_loss(found * f, scores, codes, weights) for f in np.linspace(0.5, 1.5, 101)]
    assert np.argmin(losses) == 50


@pytest.mark.parametrize("inv_tau", [1.0, 5.0, 30.0])
def test_recovers_a_known_temperature(inv_tau):
    scores, codes, _ = drawn(20_000, inv_tau, seed=1)
    assert fit_inv_tau(scores, codes) == pytest.approx(inv_tau, rel=0.1)


def test_bounds():
    scores = np.eye(3) * 0.2
    assert fit_inv_tau(scores, [0, 1, 2]) == 1000.0
    assert fit_inv_tau(scores, [1, 2, 0]) == 0.01
    assert fit_inv_tau(np.zeros((3, 3)), [0, 1, 2]) == 0.01


def test_repeating_the_wells_of_a_molecule_changes_nothing():
    scores, codes, _ = drawn(60, 4.0, seed=2)
    groups = np.arange(60)
    often = np.r_[groups, np.repeat(groups[:5], 20)]
    once = fit_inv_tau(scores, codes, unit_weights(groups))
    assert fit_inv_tau(scores[often], codes[often], unit_weights(often)) == pytest.approx(once)
    assert fit_inv_tau(scores[often], codes[often]) != pytest.approx(once, rel=1e-3)


def test_figures_are_of_molecules_that_the_temperature_was_not_learned_on():
    scores, codes, _ = drawn(40, 2.0, seed=3)
    groups = np.repeat(np.arange(10), 4)
    weights = unit_weights(groups)
    table = cross_validated(scores, codes, groups, weights, 14.3, 10, 0)
    proba = np.empty_like(scores)
    for group in range(10):
        out = groups == group
        proba[out] = softmax(scores[out] * fit_inv_tau(scores[~out], codes[~out], weights[~out]), 1)
    for column, p in (("after", proba), ("before", softmax(14.3 * scores, axis=1))):
        expected = log_loss(codes, p, labels=range(4))  # four wells each: equal weights
        assert table.loc["log_loss", column] == pytest.approx(expected)
        assert table.loc["brier", column] == pytest.approx(brier_score(codes, p))
        assert table.loc["ece", column] == pytest.approx(expected_calibration_error(codes, p))
    assert table.loc["log_loss", "after"] < table.loc["log_loss", "before"]
