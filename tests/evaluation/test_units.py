"""Figures and differences over units, against plain loops and exact enumerations."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import permutation_test

from cloome_sk.evaluation.units import (
    chance_p,
    differences_of,
    holm,
    leakage_row,
    scores_of,
    sign_flip_p,
)


def made(values, model="A", part="all", metric="R@1", chance=0.1):
    """One query a unit."""
    units = [f"m{number}" for number in range(len(values))]
    return pd.DataFrame(
        {
            "part": part,
            "model": model,
            "metric": metric,
            "unit": units,
            "value": values,
            "chance": chance,
        }
    )


def test_queries_of_a_unit_count_together():
    table = made([1.0, 0.0, 1.0, 1.0]).assign(unit=["a", "a", "a", "b"])
    found = scores_of(table).iloc[0]
    assert found["value"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["n"] == 2


def test_order_is_that_of_first_appearance():
    table = pd.concat(
        [
            made([1.0, 0.5], model, part, metric)
            for part in ("z", "a")
            for metric in ("R@5", "R@1")
            for model in ("two", "one")
        ]
    )
    found = scores_of(table)
    rows = list(zip(found["part"], found["model"], found["metric"], strict=True))
    assert rows == [*product(("z", "a"), ("two", "one"), ("R@5", "R@1"))]


def test_intervals_cover_as_they_say():
    generator = np.random.RandomState(0)
    covered = 0
    for _ in range(300):
        values = generator.normal(0.3, 1.0, size=60)
        row = scores_of(made(values), n_bootstrap=400, random_state=generator).iloc[0]
        covered += row["low"] <= 0.3 <= row["high"]
    assert 0.90 <= covered / 300 <= 0.985


def test_a_model_without_an_answer_is_listed():
    table = pd.concat([made([1.0, 0.0]), made([np.nan, np.nan], "LDA")])
    found = scores_of(table).set_index("model")
    assert found.loc["LDA", "n"] == 0
    assert found.loc["LDA", ["value", "low", "high", "chance"]].isna().all()
    apart = differences_of(table, "A").iloc[0]
    assert apart["n"] == 0
    assert np.isnan(apart["p"])


def test_differences_are_paired_by_unit_not_by_row():
    first = made([0.2, 0.4, 0.9])
    second = made([0.1, 0.1, 0.5], "B").iloc[::-1]
    found = differences_of(pd.concat([first, second]), "A").iloc[0]
    assert found["difference"] == pytest.approx((0.1 + 0.3 + 0.4) / 3)
    # A unit that one of them lacks is in neither.
    found = differences_of(pd.concat([first, second[second["unit"] != "m2"]]), "A").iloc[0]
    assert found["difference"] == pytest.approx(0.2)
    assert found["n"] == 2


def test_p_is_that_of_all_sign_flips():
    apart = np.array([0.3, -0.1, 0.25, 0.0, 0.4, 0.05, 0.2])
    flips = np.array(list(product((-1, 1), repeat=len(apart))))
    exact = np.mean(np.abs(flips @ apart) >= abs(apart.sum()) - 1e-12)
    assert sign_flip_p(apart, 40_000, 0) == pytest.approx(exact, abs=0.01)


def test_p_agrees_with_scipy():
    generator = np.random.RandomState(1)
    one, two = generator.normal(0.3, 1, 40), generator.normal(0.0, 1, 40)
    reference = permutation_test(
        (one, two),
        lambda a, b: np.mean(a - b),
        permutation_type="samples",
        n_resamples=20_000,
        random_state=0,
    )
    assert sign_flip_p(one - two, 20_000, 0) == pytest.approx(reference.pvalue, abs=0.01)


def test_p_is_uniform_where_there_is_no_difference():
    generator = np.random.RandomState(2)
    p = [sign_flip_p(generator.normal(size=30), 199, seed) for seed in range(400)]
    assert 0.025 <= np.mean(np.array(p) <= 0.05) <= 0.085


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    found = holm([np.nan, 0.02, 0.03])
    assert np.isnan(found[0])
    assert found[1:].tolist() == pytest.approx([0.04, 0.04])


def test_families_are_parts_and_metrics():
    generator = np.random.RandomState(0)
    table = pd.concat(
        [
            made(generator.normal(size=12), model, part)
            for part in ("one", "two")
            for model in ("A", "B", "C")
        ]
    )
    found = differences_of(table, "A")
    for _, family in found.groupby("part"):
        assert family["p_holm"].tolist() == holm(family["p"].to_numpy()).tolist()


def test_same_seed_same_figures_and_other_rows_change_nothing():
    table = pd.concat([made([0.1, 0.5, 0.7]), made([0.0, 0.5, 0.1], "B")])
    pd.testing.assert_frame_equal(scores_of(table), scores_of(table))
    alone = scores_of(table[table["model"] == "A"]).iloc[0]
    assert alone.equals(scores_of(table).iloc[0])


def test_errors():
    with pytest.raises(ValueError, match=r"lack the column\(s\) unit"):
        scores_of(made([1.0]).drop(columns="unit"))
    with pytest.raises(ValueError, match="no model 'Z'"):
        differences_of(made([1.0, 0.0]), "Z")


def test_a_leak_is_found():
    train = pd.DataFrame({"smiles": ["CCO", "c1ccccc1O"]})
    row = leakage_row("all", 3, train, pd.DataFrame({"smiles": ["OCC"]}), "molecule", controls=None)
    assert (row["part"], row["fold"], row["ok"]) == ("all", 3, False)
    row = leakage_row("all", 3, train, pd.DataFrame({"smiles": ["CCN"]}), "molecule", controls=None)
    assert row["ok"]


@pytest.mark.parametrize(("n", "chance"), [(38, 1 / 12), (20, 1 / 20), (38, 1 / 38), (60, 0.45)])
def test_chance_is_told_from_chance_as_rarely_as_it_says(n, chance):
    generator = np.random.RandomState(3)
    runs = generator.rand(1500, n) < chance
    found = [scores_of(made(run.astype(float), chance=chance), n_bootstrap=2) for run in runs[:300]]
    p = np.array([chance_p(run.astype(float), np.full(n, chance)) for run in runs])
    assert p[:300].tolist() == pytest.approx([table.loc[0, "p_chance"] for table in found])
    for side in (runs.mean(axis=1) < chance, runs.mean(axis=1) > chance):
        assert np.mean((p < 0.05) & side) < 0.04


def test_more_hits_than_chance_are_told():
    generator = np.random.RandomState(4)
    runs = generator.rand(200, 60) < 0.25
    assert np.mean([chance_p(run.astype(float), np.full(60, 0.05)) < 0.05 for run in runs]) > 0.9
    ranks = generator.beta(2, 4, size=(200, 60))
    assert np.mean([chance_p(run, np.full(60, 0.5)) < 0.05 for run in ranks]) > 0.9


def test_averages_above_a_rare_chance_are_told_and_others_are_not():
    generator = np.random.RandomState(5)

    def p_of(mean, n=34, n_runs=1000):
        rates = generator.beta(mean, 1 - mean, size=(n_runs, n))
        averages = generator.binomial(120, rates) / 120
        return np.array([chance_p(run, np.full(n, 0.11)) for run in averages])

    assert np.mean(p_of(0.11) < 0.05) < 0.05
    assert np.mean(p_of(0.33) < 0.05) > 0.8  # as counts .6 of them


def test_no_hit_has_an_interval_and_is_not_below_chance():
    row = scores_of(made(np.zeros(38), chance=1 / 38)).iloc[0]
    assert row["low"] == 0
    assert row["high"] == pytest.approx(1 - 0.025 ** (1 / 38))
    assert row["p_chance"] > 0.5
    row = scores_of(made(np.full(9, 4.0), chance=3.0)).iloc[0]  # no proportion
    assert np.isnan([row["low"], row["high"]]).all()
    assert row["p_chance"] == 2**-8  # all signs alike, one way or the other


def test_few_units_have_no_interval():
    for n, known in ((4, False), (5, True)):
        both = pd.concat([made(np.arange(n) / 5), made(np.zeros(n), "B")])
        row, apart = scores_of(both).iloc[0], differences_of(both, "A").iloc[0]
        assert np.isfinite([row["low"], row["high"], row["p_chance"]]).all() == known
        assert np.isfinite([apart["low"], apart["high"]]).all() == known
