"""Batches: every row once, replicates apart, never a single molecule."""

from __future__ import annotations

import numpy as np
import pytest

from cloome_sk.training import ReplicateSpreadingSampler


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
        assert counts.max() <= 2  # 1 on average; a start near a border gives 2 and 0
        assert (counts == 1).mean() > 0.3


def test_replicates_of_uneven_molecules_are_spread():
    groups = np.concatenate([np.zeros(100, dtype=int), np.arange(1, 301)])
    for batch in ReplicateSpreadingSampler(groups, batch_size=40, seed=2):
        share = (groups[batch] == 0).sum()
        assert 5 <= share <= 15  # 100 of 400 rows: 10 in a batch of 40


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
