"""Layouts and the shortcut through the plate, against plain loops over sets and counts."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloome_sk.training import plate_layouts, plate_shortcut
from cloome_sk.training.plates import LayoutGatherer

wells = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), min_size=1, max_size=60)


@given(wells)
def test_layouts_are_the_chains_of_plates_that_share_half_their_molecules(rows):
    molecules, plates = np.array(rows).T
    held = {plate: set(molecules[plates == plate]) for plate in set(plates)}
    chain = {plate: {plate} for plate in held}
    for one, its in held.items():
        for other, others in held.items():
            if len(its & others) / len(its | others) >= 0.5 and other not in chain[one]:
                joined = chain[one] | chain[other]
                chain.update(dict.fromkeys(joined, joined))
    layouts = plate_layouts(molecules, plates)
    for i, one in enumerate(plates):
        for j, other in enumerate(plates):
            assert (layouts[i] == layouts[j]) == (other in chain[one])
    assert set(layouts) == set(range(layouts.max() + 1))


def test_layouts_are_the_same_however_many_plates_are_compared_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    molecules, plates = rng.integers(30, size=600), rng.integers(40, size=600)
    whole = plate_layouts(molecules, plates)
    assert 1 < whole.max() < 39
    monkeypatch.setattr("cloome_sk.training.plates.PLATES_AT_ONCE", 7)
    assert plate_layouts(molecules, plates).tolist() == whole.tolist()


def test_controls_on_every_plate_do_not_join_layouts():
    molecules = np.array(["c1", "a", "b", "c1", "a", "b", "c1", "d", "e"])
    assert plate_layouts(molecules, np.repeat(["P1", "P2", "P3"], 3)).tolist() == [0] * 6 + [1] * 3


def _by_hand(batch, molecules, plates):
    """The three figures of one batch, each row and each molecule in turn."""
    nats = accuracy = 0.0
    inside = sorted(set(molecules[batch]))
    for row in batch:
        belief = {}
        for molecule in inside:
            n_wells = np.sum(molecules == molecule)
            n_here = np.sum((molecules == molecule) & (plates == plates[row]))
            belief[molecule] = np.sum(molecules[batch] == molecule) * n_here / n_wells
        mine = belief[molecules[row]]
        base = np.mean(molecules[batch] == molecules[row])
        nats += log(mine / sum(belief.values())) - log(base)
        best = [m for m in inside if belief[m] > max(belief.values()) * (1 - 1e-9)]
        accuracy += (molecules[row] in best) / len(best)
    return nats / len(batch), accuracy / len(batch), 1 / len(inside)


@given(wells, st.integers(1, 12), st.integers(0, 99))
def test_the_shortcut_equals_its_formula(rows, batch_size, seed):
    molecules, plates = np.array(rows).T
    batch = np.random.default_rng(seed).permutation(len(rows))[:batch_size]
    measured = plate_shortcut([batch], molecules, plates)
    assert measured == pytest.approx(_by_hand(batch, molecules, plates), abs=1e-9)


def test_batches_count_by_their_rows():
    molecules, plates = np.arange(6), np.array([0, 0, 0, 1, 1, 2])
    batches = [[0, 3], [1, 2, 4, 5]]
    one, other = (plate_shortcut([batch], molecules, plates) for batch in batches)
    both = plate_shortcut(batches, molecules, plates)
    assert both == pytest.approx([(2 * a + 4 * b) / 6 for a, b in zip(one, other, strict=True)])


def test_one_molecule_a_plate_is_solved_and_the_same_on_all_plates_tells_nothing():
    alone = plate_shortcut([list(range(8))], np.arange(8), np.arange(8))
    assert alone == pytest.approx((log(8), 1, 1 / 8))
    molecules, plates = np.tile(np.arange(8), 5), np.repeat(np.arange(5), 8)
    shared = plate_shortcut([[0, 9, 18, 27, 36]], molecules, plates)
    assert shared == pytest.approx((0, 1 / 5, 1 / 5), abs=1e-12)


@given(wells, st.integers(1, 8), st.integers(0, 99))
def test_a_block_is_the_fewest_layouts_in_turn_that_hold_enough_molecules(rows, enough, seed):
    molecules, plates = (np.unique(c, return_inverse=True)[1] for c in np.array(rows).T)
    layouts = plate_layouts(molecules, plates)
    gatherer = LayoutGatherer(molecules, layouts, enough)
    blocks = gatherer.blocks(np.random.default_rng(seed))
    expected, current = {}, []
    block, turn = 0, np.random.default_rng(seed).permutation(layouts.max() + 1)
    for layout in turn:
        expected[layout] = block
        current.append(layout)
        if len(set(molecules[np.isin(layouts, current)])) >= enough:
            block, current = block + 1, []
    for layout in current:
        expected[layout] = max(block - 1, 0)
    assert blocks.tolist() == [expected[layout] for layout in layouts]
    assert gatherer.largest == max(len(set(molecules[layouts == one])) for one in expected)


@pytest.mark.parametrize("function", [plate_layouts, lambda m, p: plate_shortcut([[0]], m, p)])
def test_columns_that_do_not_fit_are_named(function):
    with pytest.raises(ValueError, match="`molecules` has 2 values for 3 rows"):
        function(["a", "b"], [0, 1, 2])
    with pytest.raises(ValueError, match=r"`plates` is missing in 1 of 3 rows.*row 1"):
        function(["a", "b", "c"], ["P1", None, "P2"])
    with pytest.raises(ValueError, match="`plates` is empty"):
        function([], [])


def test_no_batch_is_an_error():
    with pytest.raises(ValueError, match="no batch"):
        plate_shortcut([], [0, 1], [0, 1])
