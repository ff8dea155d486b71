"""Average precision within n against the definition, over every order of ties, and scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from cloome_sk.metrics import average_precision_at_n, average_precision_chance


def by_definition(ranked, n):
    """(1 / #relevant) sum over k <= n of precision@k * rel(k)."""
    total = 0.0
    for k in range(1, min(n, len(ranked)) + 1):
        precision = sum(ranked[:k]) / k
        total += precision * ranked[k - 1]
    return total / sum(ranked)


def over_all_orders(relevance, score, n):
    values = [
        by_definition([relevance[i] for i in order], n)
        for order in itertools.permutations(range(len(score)))
        if all(score[a] >= score[b] for a, b in itertools.pairwise(order))
    ]
    return np.mean(values)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=6).filter(
        lambda items: any(relevant for relevant, _ in items)
    ),
    st.integers(1, 8),
)
def test_equals_the_mean_over_every_order_of_the_ties(items, n):
    relevance, score = zip(*items, strict=True)
    expected = over_all_orders(relevance, score, n)
    assert average_precision_at_n(relevance, score, n=n) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [1, 10, 73, 400, 999])
def test_equals_the_loop_on_long_lists(n):
    rng = np.random.default_rng(n)
    relevance, score = rng.random(400) < 0.2, rng.normal(size=400)
    ranked = relevance[np.argsort(-score)].tolist()
    assert average_precision_at_n(relevance, score, n=n) == pytest.approx(by_definition(ranked, n))


def test_equals_scikit_learn_without_ties():
    rng = np.random.default_rng(0)
    relevance, score = rng.integers(0, 2, 1000), rng.permutation(1000)
    expected = average_precision_score(relevance, score)
    assert average_precision_at_n(relevance, score) == pytest.approx(expected)
    assert average_precision_at_n(relevance, score, n=5000) == pytest.approx(expected)


@pytest.mark.parametrize(("n_relevant", "n_items"), [(1, 1), (1, 2), (2, 5), (4, 6), (6, 6)])
@pytest.mark.parametrize("n", [None, 1, 3, 50])
def test_chance_is_the_mean_over_every_order(n_relevant, n_items, n):
    ranked = [1] * n_relevant + [0] * (n_items - n_relevant)
    values = [by_definition(order, n or n_items) for order in itertools.permutations(ranked)]
    expected = np.mean(values)
    assert average_precision_chance(n_relevant, n_items, n=n) == pytest.approx(expected)
    # Scores that say nothing are at chance.
    assert average_precision_at_n(ranked, np.zeros(n_items), n=n) == pytest.approx(expected)


def test_chance_equals_copairs():
    normalization = pytest.importorskip("copairs.map.normalization")
    right, items = np.array([1, 3, 40, 5]), np.array([2, 300, 41, 10_000])
    expected = [
        normalization.expected_ap(m, total - m) for m, total in zip(right, items, strict=True)
    ]
    assert average_precision_chance(right, items) == pytest.approx(expected)


def test_few_places_cannot_reach_one():
    assert average_precision_at_n([1, 1, 1, 0], [4, 3, 2, 1], n=2) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("relevance", "score", "n", "message"),
    [
        ([1, 0], [0.1], None, "one length"),
        ([[1, 0]], [[0.1, 0.2]], None, "must be 1-D"),
        ([2, 0], [0.1, 0.2], None, "boolean or 0/1"),
        ([1, np.nan], [0.1, 0.2], None, "boolean or 0/1"),
        (["a", "b"], [0.1, 0.2], None, "boolean or 0/1"),
        ([0, 0], [0.1, 0.2], None, "No item is relevant"),
        ([1, 0], [0.1, np.nan], None, "row 1 is nan"),
        ([1, 0], ["a", "b"], None, "real numbers"),
        ([1, 0], [0.1, 0.2], 0, "n must be an integer of at least 1"),
    ],
)
def test_bad_input_is_named(relevance, score, n, message):
    with pytest.raises(ValueError, match=message):
        average_precision_at_n(relevance, score, n=n)


@pytest.mark.parametrize(("n_relevant", "n_items"), [(0, 3), (4, 3), ([1, 5], [2, 4])])
def test_impossible_counts(n_relevant, n_items):
    with pytest.raises(ValueError, match="n_relevant"):
        average_precision_chance(n_relevant, n_items)
