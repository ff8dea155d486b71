"""Hierarchical conformal p-values against loops, the usual rank rule, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloome_sk.confidence import NestedScores
from cloome_sk.confidence.nested import unit_weights


@given(seed=st.integers(0, 10_000), n_wells=st.integers(1, 30), n_groups=st.integers(1, 8))
def test_p_values_equal_a_loop_over_molecules(seed, n_wells, n_groups):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, n_groups, n_wells)
    scores, new = rng.integers(0, 6, n_wells), rng.integers(-1, 8, 5)
    expected = []
    for one in new:
        total = 1.0
        for group in set(groups):
            own = [s for s, g in zip(scores, groups, strict=True) if g == group]
            total += sum(s >= one for s in own) / len(own)
        expected.append(total / (len(set(groups)) + 1))
    found = NestedScores.of(scores, groups).p_values(new)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("n", [5, 9, 10, 19, 40])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2, 0.5])
def test_one_well_a_molecule_is_the_rank_rule_of_split_conformal(n, alpha):
    scores = np.random.default_rng(n).normal(size=n)
    rank = math.ceil(round((n + 1) * (1 - alpha), 9))
    limit = np.inf if rank > n else np.sort(scores)[rank - 1]
    new = np.concatenate([scores, scores + 2e-6, [scores.max() + 5]])
    kept = NestedScores.of(scores, np.arange(n)).p_values(new) > alpha + 1e-9
    assert kept.tolist() == (new <= limit).tolist()


def test_valid_for_dependent_wells_where_wells_taken_as_units_are_not():
    rng = np.random.default_rng(0)
    ours, naive = [], []
    for _ in range(4000):
        # Molecules with high scores have few wells.
        center = rng.normal(size=21)
        sizes = np.where(center > 0.5, 1, 12)
        groups = np.repeat(np.arange(21), sizes)
        scores = center[groups] + 0.01 * rng.normal(size=len(groups))
        known = groups > 0
        new = scores[~known][rng.integers(sizes[0])]
        ours.append(NestedScores.of(scores[known], groups[known]).p_values(new))
        naive.append(NestedScores.of(scores[known], np.arange(known.sum())).p_values(new))
    for alpha in (0.1, 0.2, 0.3):
        slack = 3 * math.sqrt(alpha * (1 - alpha) / 4000)
        assert np.mean(np.array(ours) <= alpha) <= alpha + slack
        assert np.mean(np.array(ours) <= alpha) >= alpha - 2 / 21 - slack
        assert np.mean(np.array(naive) <= alpha) > alpha + 3 * slack


def test_rounding_breaks_no_tie_and_can_only_raise_p():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, 60) / 5
    groups = rng.integers(0, 20, 60)
    scores = NestedScores.of(values + 4e-7 * rng.uniform(-1, 1, 60), groups)
    exact = NestedScores.of(values, groups, tie=0.0)
    new = np.arange(-1, 7) / 5
    expected = exact.p_values(new)
    for error in (-4e-7, 0.0, 4e-7):
        np.testing.assert_allclose(scores.p_values(new + error), expected)

    wide = NestedScores.of(values, groups, tie=0.1)
    assert wide.p_values(0.3) == exact.p_values(0.2)
    assert wide.p_values(0.31) == exact.p_values(0.4)


def test_weights_sum_to_one_a_group():
    weights = unit_weights(["a", "b", "a", "c", "a"])
    np.testing.assert_allclose(weights, [1 / 3, 1, 1 / 3, 1, 1 / 3])
