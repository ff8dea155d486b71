"""Exact chances against lots that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from cloome_sk.evaluation.matched_chance import enrichment, matched_chance, top_weights


def _table(seed: int, n: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.RandomState(seed)
    return rng.randint(6, size=n) / 6, rng.rand(n) < 0.3, rng.choice([0, 1, 3], size=n)


@pytest.mark.parametrize("k", [1, 5, 10, 24])
def test_weights_are_the_share_of_random_orders_of_ties(k: int) -> None:
    similarity, _, _ = _table(1)
    rng = np.random.RandomState(0)
    counts = np.zeros(len(similarity))
    n_draws = 4000
    for _ in range(n_draws):
        counts[np.lexsort((rng.rand(len(similarity)), -similarity))[:k]] += 1
    weights = top_weights(similarity, k)
    assert weights.sum() == pytest.approx(k)
    assert np.abs(weights - counts / n_draws).max() < 0.04


def test_rounding_errors_are_ties() -> None:
    assert top_weights(np.array([0.1 + 0.2, 0.3]), 1).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("seed", range(4))
def test_matched_chance_is_the_mean_of_draws_from_the_bins(seed: int) -> None:
    _, right, bins = _table(seed)
    rng = np.random.RandomState(seed)
    distinct = rng.permutation(len(right)).astype(float)
    hits = np.argsort(-distinct)[:8]
    expected, _ = matched_chance(top_weights(distinct, 8), right, bins)
    drawn = []
    for _ in range(6000):
        found = 0
        for bin_ in np.unique(bins[hits]):
            size = int((bins[hits] == bin_).sum())
            found += right[rng.choice(np.flatnonzero(bins == bin_), size, replace=False)].sum()
        drawn.append(found)
    assert expected == pytest.approx(np.mean(drawn), abs=5 * np.std(drawn) / np.sqrt(6000) + 1e-9)


def test_one_bin_is_matched_for_nothing() -> None:
    similarity, right, _ = _table(2)
    expected, bound = matched_chance(top_weights(similarity, 6), right, np.zeros(24, dtype=int))
    assert expected == pytest.approx(6 * right.mean())
    assert bound == 0


def test_a_bin_for_each_candidate_leaves_no_choice() -> None:
    similarity, right, _ = _table(3)
    weights = top_weights(similarity, 6)
    expected, bound = matched_chance(weights, right, np.arange(24))
    assert expected == pytest.approx(weights[right].sum())
    assert bound == pytest.approx(6)


def test_a_ranking_within_bins_by_lot_has_no_excess() -> None:
    """Under the hypothesis that the bin is all that matters, share and matched chance agree."""
    _, right, bins = _table(4, n=60)
    rng = np.random.RandomState(0)
    apart = []
    for _ in range(3000):
        weights = top_weights(bins + rng.rand(60), 12)
        apart.append(weights[right].sum() - matched_chance(weights, right, bins)[0])
    assert abs(np.mean(apart)) < 5 * np.std(apart) / np.sqrt(3000)
    assert np.std(apart) > 0


def test_enrichment_is_a_ratio_of_means_and_covers_it() -> None:
    rng = np.random.RandomState(0)
    covered = 0
    for seed in range(200):
        chances = rng.uniform(0.05, 0.2, size=60)
        shares = rng.binomial(10, np.clip(2 * chances, 0, 1)) / 10
        value, low, high = enrichment(
            shares, chances, confidence=0.95, n_bootstrap=400, random_state=seed
        )
        assert value == pytest.approx(shares.mean() / chances.mean())
        assert low < value < high
        covered += low <= 2 <= high
    assert 178 <= covered <= 200


def test_nothing_to_divide_by() -> None:
    options = {"confidence": 0.95, "n_bootstrap": 50, "random_state": 0}
    assert np.isnan(enrichment(np.array([0.2]), np.array([0.0]), **options)).all()  # type: ignore[arg-type]
    assert np.isnan(enrichment(np.empty(0), np.empty(0), **options)).all()  # type: ignore[arg-type]
    value, low, high = enrichment(np.array([0.2, 0.1]), np.array([0.0, 0.1]), **options)  # type: ignore[arg-type]
    assert value == pytest.approx(3)
    assert np.isnan([low, high]).all()
