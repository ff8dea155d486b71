"""Paired figures against loops, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cloome_sk.evaluation.paired import paired_figures


def cells(grid, metric="R@1"):
    rows = [
        (seed, f"m{molecule}", metric, grid[molecule, seed])
        for molecule in range(grid.shape[0])
        for seed in range(grid.shape[1])
        if not np.isnan(grid[molecule, seed])
    ]
    return pd.DataFrame(rows, columns=["seed", "molecule", "metric", "value"])


def test_figures_and_resamples_equal_a_loop():
    rng = np.random.default_rng(0)
    one, other = rng.random((7, 3)), rng.random((7, 3))
    one[2, 1] = other[2, 1] = np.nan
    found = paired_figures(
        {"A": cells(one), "B": cells(other)}, "A", ["B"], n_bootstrap=50, random_state=4
    ).set_index("model")
    generator = np.random.RandomState(4)
    molecules = generator.multinomial(7, np.full(7, 1 / 7), size=50)
    seeds = generator.multinomial(3, np.full(3, 1 / 3), size=50)
    resampled = []
    for of_molecules, of_seeds in zip(molecules, seeds, strict=True):
        drawn = [
            other[m, s] - one[m, s]
            for m in range(7)
            for s in range(3)
            for _ in range(of_molecules[m] * of_seeds[s])
            if not np.isnan(one[m, s])
        ]
        resampled.append(np.mean(drawn))
    low, high = np.quantile(resampled, [0.025, 0.975])
    row = found.loc["B"]
    assert row["value"] == pytest.approx(np.nanmean(other))
    assert row["difference"] == pytest.approx(np.nanmean(other - one))
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((low, high))
    # Of one difference alone, the largest deviation is its own.
    error = np.std(resampled)
    reach = np.quantile(np.abs(np.array(resampled) - row["difference"]) / error, 0.95) * error
    assert row["together_high"] - row["difference"] == pytest.approx(reach)
    assert found.loc["A", "difference"] == 0
    assert np.isnan(found.loc["A", "together_low"])
    assert found.loc["B", "n"] == 7


def test_the_intervals_of_many_are_wider_than_their_own_and_all_cover_no_difference():
    rng = np.random.default_rng(1)
    common = rng.random((60, 5))
    noisy = {f"S{n}": cells(common + 0.1 * rng.normal(size=common.shape)) for n in range(30)}
    found = paired_figures({"D": cells(common), **noisy}, "D", list(noisy))
    rows = found[found["model"] != "D"]
    assert (
        (rows["together_high"] - rows["together_low"])
        .gt(rows["difference_high"] - rows["difference_low"])
        .all()
    )
    assert rows["together_low"].lt(0).all()
    assert rows["together_high"].gt(0).all()


def test_a_true_difference_is_found_that_unpaired_intervals_hide():
    rng = np.random.default_rng(2)
    base = rng.random((50, 5))
    better = base + 0.05 + 0.02 * rng.normal(size=base.shape)
    row = paired_figures({"A": cells(base), "B": cells(better)}, "A", ["B"]).iloc[1]
    assert 0 < row["together_low"] < 0.05 < row["together_high"]
    assert row["low"] < base.mean()


def test_a_model_without_a_metric_has_no_row_of_it():
    grid = np.random.default_rng(3).random((4, 2))
    both = pd.concat([cells(grid), cells(grid, "replicate")])
    found = paired_figures({"A": both, "B": cells(grid, "replicate")}, "A", [])
    assert found.loc[found["model"] == "B", "metric"].tolist() == ["replicate"]
    assert found["together_low"].isna().all()
