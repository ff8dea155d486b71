"""The study of batches on a simulated library: its parts, one run by hand, its table."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from cloome_sk.evaluation import __main__ as command
from cloome_sk.evaluation.plate_batches import (
    BY_LAYOUT,
    CENTRED,
    IN_SHARES,
    KINDS,
    METRICS,
    MIXED,
    batch_tables,
    make_batch_embedder,
    shortcut_of,
    simulate_layouts,
    study_plate_batches,
)

SIZES = {"n_layouts": 3, "n_molecules": 64, "n_replicates": 2}


@pytest.fixture(scope="module")
def runs():
    return study_plate_batches(n_seeds=2, effects=(0.0, 2.0), max_epochs=6, **SIZES)


def test_each_layout_has_its_molecules_and_the_last_plate_is_for_the_test():
    screen = simulate_layouts(1.0, 0, **SIZES)
    assert screen.train.groupby("layout")["molecule"].nunique().tolist() == [64, 64, 64]
    assert screen.train.groupby("layout")["Metadata_Plate"].nunique().tolist() == [2, 2, 2]
    assert screen.test.groupby("layout")["Metadata_Plate"].nunique().tolist() == [1, 1, 1]
    assert not set(screen.test["Metadata_Plate"]) & set(screen.train["Metadata_Plate"])
    assert sorted(screen.test["molecule"]) == list(range(192))
    bits = [name for name in screen.train if name.startswith("bit_")]
    expected = screen.molecules.iloc[screen.train["molecule"]].to_numpy()
    np.testing.assert_array_equal(screen.train[bits].to_numpy(), expected)


def test_the_effect_moves_whole_plates_and_centring_takes_it_away():
    still, moved = (simulate_layouts(effect, 0, **SIZES) for effect in (0.0, 3.0))
    names = [name for name in still.train if name.startswith("Feature_")]
    apart = moved.train[names] - still.train[names]
    by_plate = apart.groupby(still.train["Metadata_Plate"])
    assert by_plate.std().to_numpy().max() < 1e-9
    assert by_plate.mean().to_numpy().std() > 2
    for one, other in (
        (still.centred_train, moved.centred_train),
        (still.centred_test, moved.centred_test),
    ):
        np.testing.assert_allclose(one[names], other[names], atol=1e-9)


def test_what_plates_give_away():
    train = simulate_layouts(0.0, 0, **SIZES).train
    given = {kind: shortcut_of(train, kind, 0).nats for kind in KINDS}
    assert given[BY_LAYOUT] == pytest.approx(0, abs=1e-9)
    # Three layouts: the plate tells log(3) nats of the layout.
    assert given[MIXED] == pytest.approx(np.log(3), abs=0.1)
    assert given[IN_SHARES] == pytest.approx(np.log(3), abs=0.05)


def test_a_run_by_hand(runs):
    screen = simulate_layouts(2.0, 1, **SIZES)
    embedder = make_batch_embedder(BY_LAYOUT, 6, 1).fit(screen.train)
    similarity = (
        embedder.embed_phenotypes(screen.test) @ embedder.embed_molecules(screen.molecules).T
    )
    ranks, inside = [], []
    for row, (molecule, layout) in enumerate(screen.test[["molecule", "layout"]].to_numpy()):
        ahead = similarity[row] > similarity[row, molecule]
        ranks.append(ahead.sum())
        inside.append(ahead[layout * 64 : (layout + 1) * 64].sum())
    ranks, inside = np.array(ranks), np.array(inside)
    expected = [
        (ranks == 0).mean(),
        (ranks < 10).mean(),
        (ranks / 191).mean(),
        (inside == 0).mean(),
        (inside / 63).mean(),
    ]
    row = runs.set_index(["effect", "seed", "kind"]).loc[(2.0, 1, BY_LAYOUT)]
    np.testing.assert_allclose(row[list(METRICS)].astype(float), expected, rtol=1e-6)


def test_plates_hurt_and_centring_heals(runs):
    rank = runs.groupby(["effect", "kind"])["relative rank"].mean()
    assert rank[2.0, MIXED] > rank[0.0, MIXED] + 0.05
    assert rank[2.0, CENTRED] == pytest.approx(rank[0.0, CENTRED], abs=0.02)


def test_intervals_are_those_of_the_paired_t_test(runs):
    text = batch_tables(runs)[2.0].loc[(BY_LAYOUT, "difference"), "relative rank"]
    own = runs[runs["effect"] == 2.0].pivot(index="seed", columns="kind", values="relative rank")
    limits = ttest_rel(own[BY_LAYOUT], own[MIXED]).confidence_interval(0.95)
    found = [float(number) for number in re.findall(r"[+-]\d\.\d+", text)]
    expected = [(own[BY_LAYOUT] - own[MIXED]).mean(), limits.low, limits.high]
    np.testing.assert_allclose(found, expected, atol=0.00051)


def test_the_same_again(runs):
    again = study_plate_batches(n_seeds=1, effects=(2.0,), max_epochs=6, **SIZES)
    first = runs[(runs["effect"] == 2.0) & (runs["seed"] == 0)].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, first)


@pytest.mark.slow
def test_command(capsys, tmp_path):
    command.main(["plate-batches", "--quick", "--seeds", "2", "--csv", str(tmp_path / "runs.csv")])
    said = capsys.readouterr().out
    assert "QUICK" in said
    assert "SIMULATED" in said
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 3 * 2 * len(KINDS)
