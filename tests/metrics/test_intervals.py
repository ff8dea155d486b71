"""Clopper-Pearson against scipy and the published tables; the bootstrap against theory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from cloome_sk.metrics import bootstrap_interval, clopper_pearson

# Sanchez-Fernandez et al., Nat Commun 14:7339 (2023), Tables 3 and 4: accuracy in percent with its
# interval, as printed. Number of queries: rows of CLOOME, GapNet, CellProfiler at top 1, 5, 10.
PUBLISHED = {
    43778: [
        "18.4 18.1 18.8", "41.5 41.1 42.0", "56.2 55.8 56.7",
        "0.361 0.307 0.422", "1.07 0.973 1.17", "1.78 1.66 1.91",
        "2.68 2.53 2.84", "8.24 7.99 8.51", "12.6 12.3 12.9",
    ],
    28248: [
        "22.3 21.9 22.9", "50.8 50.2 51.4", "67.1 66.6 67.7",
        "0.517 0.437 0.608", "1.62 1.47 1.77", "2.56 2.38 2.75",
        "3.64 3.42 3.86", "10.4 10.0 10.7", "15.6 15.1 16.0",
    ],
    8826: [
        "13.0 12.3 13.7", "35.3 34.3 36.3", "48.0 46.9 49.0",
        "1.09 0.882 1.33", "4.68 4.25 5.14", "8.63 8.06 9.24",
        "2.87 2.53 3.24", "9.46 8.86 10.1", "14.9 14.2 15.7",
    ],
    4056: [
        "18.5 17.3 19.7", "47.9 46.4 49.5", "61.3 59.7 62.8",
        "1.92 1.52 2.39", "9.00 8.14 9.92", "17.2 16.1 18.4",
        "4.54 3.92 5.22", "15.3 14.2 16.4", "24.5 23.2 25.8",
    ],
}  # fmt: skip
# Table 3, CLOOME, scaffold split, top-1: no count of 28,248 that rounds to 22.3 % has this
# interval (22.3 % goes with [21.8, 22.7] to [21.9, 22.8]).
INCONSISTENT = {(28248, "22.3 21.9 22.9")}
CASES = [(n, text) for n, texts in PUBLISHED.items() for text in texts]


def explained(n: int, text: str) -> bool:
    """Whether an integer count of n rounds to the printed share and to both printed bounds."""
    digits = [len(number.split(".")[1]) for number in text.split()]
    share, low, high = (float(number) for number in text.split())
    for count in range(int((share - 0.1) / 100 * n), int((share + 0.1) / 100 * n) + 2):
        bounds = clopper_pearson(count, n)
        shown = [
            round(100 * float(v), d) for v, d in zip((count / n, *bounds), digits, strict=True)
        ]
        if shown == [share, low, high]:
            return True
    return False


@pytest.mark.parametrize(("n", "text"), CASES)
def test_published_intervals_follow_from_whole_counts(n, text):
    assert explained(n, text) == ((n, text) not in INCONSISTENT)


def test_there_are_36_published_intervals():
    assert len(CASES) == 36


def test_recall_of_the_published_checkpoint():
    low, high = clopper_pearson(64, 2115)
    assert (round(100 * 64 / 2115, 2), round(100 * low, 2), round(100 * high, 2)) == (
        3.03,
        2.34,
        3.85,
    )


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 40), (7, 40), (40, 40), (64, 2115)])
def test_whole_counts_equal_scipy(hits, n, confidence):
    expected = binomtest(hits, n).proportion_ci(confidence, method="exact")
    assert clopper_pearson(hits, n, confidence=confidence) == pytest.approx(tuple(expected))


def test_fractional_counts_interpolate():
    counts = np.linspace(0, 20, 81)
    low, high = clopper_pearson(counts, 20)
    assert (np.diff(low) > 0).all()
    assert (np.diff(high)[:-4] > 0).all()
    assert ((low <= counts / 20) & (counts / 20 <= high)).all()
    assert high[-1] == 1
    assert low[0] == 0


def test_rounding_of_a_sum_of_probabilities_is_forgiven():
    assert clopper_pearson(10 + 1e-12, 10)[1] == 1
    assert clopper_pearson(-1e-13, 10)[0] == 0


@pytest.mark.parametrize(("hits", "n"), [(11, 10), (-1, 10), (0, 0), (np.nan, 3), ([1, 9], [4, 4])])
def test_impossible_counts(hits, n):
    with pytest.raises(ValueError, match=r"must lie in \[0, n\]"):
        clopper_pearson(hits, n)


def test_bootstrap_of_independent_values_is_near_the_normal_interval():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(values, n_bootstrap=4000, random_state=0)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_bootstrap_draws_whole_groups():
    """Values that are constant in a group: the interval is that of the groups, not of the rows."""
    rng = np.random.default_rng(1)
    by_group = rng.normal(size=50)
    groups = np.repeat(np.arange(50), 20)
    nested = bootstrap_interval(by_group[groups], groups, n_bootstrap=4000, random_state=0)
    plain = bootstrap_interval(by_group, n_bootstrap=4000, random_state=0)
    assert nested == pytest.approx(plain, abs=1e-12)


def test_bootstrap_weighs_groups_by_their_rows():
    values, groups = [1.0, 1.0, 1.0, 0.0], list("aaab")
    low, high = bootstrap_interval(values, groups, n_bootstrap=999, random_state=0)
    # Both groups drawn give 3/4; one of them drawn twice gives 0 or 1.
    assert (low, high) == (0, 1)
    inner = bootstrap_interval(values, groups, confidence=0.4, n_bootstrap=999, random_state=0)
    assert inner == (0.75, 0.75)


def test_bootstrap_is_seeded_and_leaves_the_global_generator_alone():
    values = np.arange(10.0)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert bootstrap_interval(values, random_state=3) == bootstrap_interval(values, random_state=3)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_bootstrap_of_columns_uses_the_same_resamples():
    values = np.random.default_rng(0).normal(size=30)
    low, high = bootstrap_interval(np.column_stack([values, 2 * values]), random_state=0)
    assert low[1] == pytest.approx(2 * low[0])
    assert high[1] == pytest.approx(2 * high[0])


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        ([], {}, "non-empty"),
        ([1.0, np.nan], {}, "row 1 is nan"),
        ([1.0, 2.0], {"groups": ["a", "a"]}, "two groups"),
        ([1.0, 2.0], {"groups": ["a", None]}, "row 1 has no label"),
        ([1.0, 2.0], {"groups": ["a"]}, "one label for each of 2"),
        ([1.0, 2.0], {"confidence": 1.0}, "confidence"),
        ([1.0, 2.0], {"n_bootstrap": 2.5}, "n_bootstrap"),
    ],
)
def test_bootstrap_refuses(values, arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, **arguments)
