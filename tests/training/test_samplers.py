"""Batches: every row once, replicates apart, plates of no use, never a single molecule."""

from __future__ import annotations

import warnings
from math import log

import numpy as np
import pandas as pd
import pytest
from torch.utils.data import DataLoader

from cloome_sk.training import ReplicateSpreadingSampler, plate_layouts, plate_shortcut


@pytest.mark.parametrize("n_pairs", [2, 3, 10, 257, 1000])
@pytest.mark.parametrize("batch_size", [3, 7, 256, 5000])
def test_every_row_once_an_epoch_in_batches_of_almost_equal_size(n_pairs, batch_size):
    groups = np.arange(n_pairs)
    sampler = ReplicateSpreadingSampler(groups, batch_size, seed=0)
    batches = list(sampler)
    assert sorted(row for batch in batches for row in batch) == list(range(n_pairs))
    sizes = [len(batch) for batch in batches]
    assert len(batches) == len(sampler) == -(-n_pairs // batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_a_pair_left_alone_joins_a_neighbour():
    batches = list(ReplicateSpreadingSampler(np.arange(257), 2, seed=0))
    assert sorted(row for batch in batches for row in batch) == list(range(257))
    assert sorted(len(batch) for batch in batches) == [2] * 127 + [3]


def test_replicates_stand_in_different_batches():
    groups = np.repeat(np.arange(50), 8)
    for batch in ReplicateSpreadingSampler(groups, batch_size=50, seed=1):
        counts = np.bincount(groups[batch], minlength=50)
        assert (counts == 1).all()


def test_replicates_of_uneven_molecules_are_spread():
    groups = np.concatenate([np.zeros(100, dtype=int), np.arange(1, 301)])
    for batch in ReplicateSpreadingSampler(groups, batch_size=40, seed=2):
        share = (groups[batch] == 0).sum()
        assert share == 10  # 100 of 400 rows


@pytest.mark.parametrize("seed", range(5))
def test_no_batch_holds_a_single_molecule(seed):
    groups = np.array([0] * 99 + [1])
    batches = list(ReplicateSpreadingSampler(groups, batch_size=10, seed=seed))
    assert sorted(row for batch in batches for row in batch) == list(range(100))
    for batch in batches:
        assert len(set(groups[batch])) > 1


def test_epochs_differ_and_a_seed_repeats_them():
    groups = np.repeat(np.arange(20), 3)
    first, again, other = (ReplicateSpreadingSampler(groups, 10, seed=s) for s in (3, 3, 4))
    epochs = [list(first), list(first)]
    assert epochs[0] != epochs[1]
    assert epochs == [list(again), list(again)]
    assert epochs[0] != list(other)


def test_rows_are_not_visited_in_table_order():
    order = [row for batch in ReplicateSpreadingSampler(np.arange(1000), 100, 0) for row in batch]
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1


def library(n_layouts=12, n_molecules=40, n_plates=4, n_controls=2):
    """Molecules and plates of a library: layouts on replicate plates, two controls on each."""
    layout = np.arange(n_layouts)[:, None, None]
    own = layout * n_molecules + np.arange(n_molecules) + n_controls
    wells = np.concatenate(
        [
            np.broadcast_to(np.arange(n_controls), (n_layouts, n_plates, n_controls)),
            np.broadcast_to(own, (n_layouts, n_plates, n_molecules)),
        ],
        axis=2,
    )
    plates = np.broadcast_to(
        layout * n_plates + np.arange(n_plates)[:, None], (n_layouts, n_plates, 1)
    )
    shuffled = np.random.default_rng(0).permutation(wells.size)
    plates = np.broadcast_to(plates, wells.shape)
    return wells.ravel()[shuffled], plates.ravel()[shuffled]


@pytest.mark.parametrize("batch_size", [8, 32, 42])
def test_plates_say_little_within_a_layout_and_nearly_all_when_they_are_mixed(batch_size):
    molecules, plates = library()
    layouts = plate_layouts(molecules, plates)
    assert layouts.max() + 1 == 12
    sampler = ReplicateSpreadingSampler(molecules, batch_size, seed=0, plates=plates)
    batches = sampler.batches(0)
    assert sorted(np.concatenate(batches)) == list(range(len(molecules)))
    # 11 borders between 12 layouts; each is in one batch at most.
    n_layouts = np.array([len(set(layouts[batch])) for batch in batches])
    assert n_layouts.max() <= 2
    assert (n_layouts == 2).sum() <= 11
    by_layout = plate_shortcut(batches, molecules, plates)
    assert by_layout.nats <= log(2) * (n_layouts == 2).mean() + 1e-9
    mixed = ReplicateSpreadingSampler(molecules, batch_size, seed=0).batches(0)
    confounded = ReplicateSpreadingSampler(molecules, batch_size, 0, balance=plates).batches(0)
    for batches in (mixed, confounded):
        # The entropy of the layouts of the batch, less what the controls take from it.
        assert plate_shortcut(batches, molecules, plates).nats > 0.7 * log(min(batch_size, 12))


def test_replicates_of_a_layout_are_spread_over_its_batches():
    molecules, plates = library(n_controls=0)
    sampler = ReplicateSpreadingSampler(molecules, 32, seed=0, plates=plates)
    for epoch in range(3):
        for batch in sampler.batches(epoch):  # 160 rows are 5 batches, or 4 and two parts
            assert len(set(molecules[batch])) == len(batch)


def test_which_layouts_share_a_batch_changes_with_the_epoch():
    molecules, plates = library(n_molecules=41)
    layouts = plate_layouts(molecules, plates)
    sampler = ReplicateSpreadingSampler(molecules, 30, seed=0, plates=plates)
    shared = [{frozenset(layouts[batch]) for batch in sampler.batches(epoch)} for epoch in range(4)]
    assert len(set().union(*shared)) > max(map(len, shared))


def test_layouts_that_are_too_small_are_mixed_as_few_as_can_be():
    molecules, plates = library(n_controls=0)
    layouts = plate_layouts(molecules, plates)
    batches = ReplicateSpreadingSampler(molecules, 80, seed=0, plates=plates).batches(0)
    assert [len(set(layouts[batch])) for batch in batches] == [2] * 24
    assert all(len(set(molecules[batch])) == 80 for batch in batches)
    assert plate_shortcut(batches, molecules, plates).nats == pytest.approx(log(2), abs=0.01)


def test_plates_without_effect_are_told():
    molecules, plates = library(n_layouts=3)
    with pytest.warns(UserWarning, match=r"3 plate layouts hold at most 42 .* `batch_size` to 42"):
        ReplicateSpreadingSampler(molecules, 300, seed=0, plates=plates)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ReplicateSpreadingSampler(molecules, 42, seed=0, plates=plates)
        # All plates alike: there is nothing to balance.
        ReplicateSpreadingSampler(np.tile(np.arange(9), 4), 300, 0, plates=np.repeat(range(4), 9))


@pytest.mark.parametrize("with_plates", [False, True])
def test_every_batch_has_the_labels_of_the_whole(with_plates):
    molecules, plates = library(n_controls=0)
    active = np.where(molecules % 10 < 3, "active", "inactive")
    sampler = ReplicateSpreadingSampler(
        molecules, 40, seed=0, balance=active, plates=plates if with_plates else None
    )
    batches = sampler.batches(0)
    assert sorted(np.concatenate(batches)) == list(range(len(molecules)))
    for batch in batches:
        assert (active[batch] == "active").sum() == 12
        assert len(set(molecules[batch])) == len(batch)


@pytest.mark.parametrize("with_plates", [False, True])
def test_equal_shares_repeat_rows_evenly(with_plates):
    molecules, plates = library(n_controls=0)
    labels = np.select([molecules % 10 < 2, molecules % 10 < 5], [0, 1], 2)
    sampler = ReplicateSpreadingSampler(
        molecules,
        30,
        seed=0,
        balance=labels,
        equal_shares=True,
        plates=plates if with_plates else None,
    )
    batches = sampler.batches(0)
    times = np.bincount(np.concatenate(batches), minlength=len(molecules))
    assert len(batches) == len(sampler) == 3 * 960 // 30
    assert [set(times[labels == label]) for label in range(3)] == [{2, 3}, {1, 2}, {1}]
    counts = np.array([np.bincount(labels[batch], minlength=3) for batch in batches])
    assert counts.sum(axis=0).tolist() == [960] * 3
    if with_plates:  # the repeats are drawn from the whole, so layouts get more and less of them
        assert np.abs(counts - 10).max() <= 4
    else:
        assert (counts == 10).all()
        assert all(len(set(molecules[batch])) == 30 for batch in batches)


def _sampler(options):
    molecules, plates = library()
    return ReplicateSpreadingSampler(molecules, 32, 5, groups=molecules // 3, **options(plates))


OPTIONS = [
    lambda plates: {},
    lambda plates: {"plates": plates},
    lambda plates: {"balance": plates % 3, "equal_shares": True, "plates": plates},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_new_sampler_goes_on_where_another_stopped(options):
    first = _sampler(options)
    whole = [list(first) for _ in range(3)]
    for epoch, done in ((0, 0), (1, 7), (2, len(whole[2]))):
        resumed = _sampler(options)
        resumed.set_epoch(epoch, batch=done)
        assert list(resumed) == whole[epoch][done:]
        assert resumed.epoch == epoch + 1
        assert [batch.tolist() for batch in resumed.batches(0)] == whole[0]
        if epoch < 2:
            assert list(resumed) == whole[epoch + 1]


def test_a_loader_that_asks_ahead_does_not_move_the_position():
    rows = np.arange(len(library()[0]))
    sampler = _sampler(OPTIONS[1])
    whole = [batch.tolist() for batch in DataLoader(rows, batch_sampler=sampler)]
    sampler.set_epoch(0, batch=3)
    loader = DataLoader(rows, batch_sampler=sampler, num_workers=1, prefetch_factor=4)
    assert [batch.tolist() for batch in loader] == whole[3:]


def test_more_batches_done_than_there_are_is_an_error():
    sampler = _sampler(OPTIONS[0])
    sampler.set_epoch(0, batch=1000)
    with pytest.raises(ValueError, match=r"Epoch 0 has \d+ batches; 1000 cannot be done"):
        next(iter(sampler))
    with pytest.raises(ValueError, match="negative"):
        sampler.set_epoch(-1)


def test_numpys_own_generator_is_left_alone():
    np.random.seed(0)  # noqa: NPY002  the global generator is what is watched
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    list(_sampler(OPTIONS[2]))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("world_size", [1, 2, 3, 7, 20])
def test_the_parts_of_all_ranks_are_the_global_batches(options, world_size):
    whole = list(_sampler(options))
    parts = [_sampler(options).for_rank(r, world_size) for r in range(world_size)]
    assert {len(part) for part in parts} == {len(_sampler(options))}
    for batch, *slices in zip(whole, *parts, strict=True):
        assert [row for taken in slices for row in taken] == batch
        sizes = [len(taken) for taken in slices]
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 1
    parts[-1].set_epoch(0, batch=4)
    n_last = [len(batch) - len(batch) * (world_size - 1) // world_size for batch in whole]
    assert list(parts[-1]) == [batch[-n:] for batch, n in zip(whole, n_last, strict=True)][4:]


def test_ranks_that_cannot_be_are_errors():
    sampler = _sampler(OPTIONS[0])
    with pytest.raises(ValueError, match="2 processes none has rank 2"):
        sampler.for_rank(2, 2)
    with pytest.raises(ValueError, match=r"33 processes cannot share batches of 3\d pairs"):
        sampler.for_rank(0, 33)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"molecules": [0, 0, 0]}, "`molecules` holds one value"),
        ({"groups": [1, 1, 1]}, "`groups` holds one value"),
        ({"batch_size": 1}, "`batch_size` must be 2 or more"),
        ({"equal_shares": True}, "give `balance`"),
        ({"plates": [0, 1]}, "`plates` has 2 values for 3 rows"),
        ({"plates": ["P1", None, "P2"]}, "`plates` is missing in 1 of 3"),
        ({"balance": ["active", "inactive", None]}, "`balance` is missing in 1 of 3"),
    ],
)
def test_what_cannot_be_batched_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ReplicateSpreadingSampler(
            **{"molecules": [0, 1, 2], "batch_size": 2, "seed": 0} | arguments
        )


def test_the_bray_screen_is_solved_by_plate_unless_batches_keep_to_layouts(data_home):
    wells = pd.read_parquet(data_home / "metadata" / "bray_idr0016_wells.parquet")
    wells = wells[wells["broad_id"] != "DMSO"]
    molecules, plates = wells["broad_id"].to_numpy(), wells["plate_id"].to_numpy()
    solved = {
        name: plate_shortcut(
            ReplicateSpreadingSampler(molecules, 256, 0, **options).batches(0), molecules, plates
        )
        for name, options in {"mixed": {}, "layouts": {"plates": plates}}.items()
    }
    # 103 layouts of 4 plates, mostly: a mixed batch holds wells of about 90 of them.
    assert solved["mixed"].nats > log(50)
    assert solved["mixed"].accuracy > 50 * solved["mixed"].chance
    # One layout in most batches, and two of them in one batch of five.
    assert solved["layouts"].nats < log(2) / 4
    assert solved["layouts"].accuracy < 3 * solved["layouts"].chance
