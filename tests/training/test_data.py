"""Batches of pairs against the naive way: index every row by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from cloome_sk.encoders._bags import Bags
from cloome_sk.training import PairDataset
from cloome_sk.training.data import as_batch

N_PAIRS, N_MOLECULES = 30, 7


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "phenotype": rng.normal(size=(N_PAIRS + 5, 4)).astype(np.float32),
        "phenotype_index": rng.permutation(N_PAIRS + 5)[:N_PAIRS],
        "molecule": rng.integers(0, 2, (N_MOLECULES, 6)).astype(np.uint8),
        "molecule_index": rng.integers(0, N_MOLECULES, N_PAIRS),
        "groups": rng.integers(0, 5, N_PAIRS),
    }


@pytest.fixture
def pairs(arrays):
    return PairDataset(
        (arrays["phenotype"], arrays["phenotype_index"]),
        (arrays["molecule"], arrays["molecule_index"]),
        arrays["groups"],
    )


@pytest.mark.parametrize(
    "rows", [[0], [3, 3], [29, 0, 7], list(range(N_PAIRS)), [5, 4, 5, 4, 3]], ids=str
)
def test_a_batch_holds_what_each_row_holds(pairs, arrays, rows):
    inputs, groups = pairs.__getitems__(rows)
    assert len(inputs) == len(rows)
    for place, row in enumerate(rows):
        phenotype = arrays["phenotype"][arrays["phenotype_index"][row]]
        molecule = arrays["molecule"][arrays["molecule_index"][row]]
        np.testing.assert_array_equal(inputs.phenotype[place], phenotype)
        np.testing.assert_array_equal(inputs.molecule[inputs.molecule_index[place]], molecule)
        assert groups[place] == arrays["groups"][row]


def test_a_batch_holds_each_distinct_molecule_once(pairs, arrays):
    rows = [1, 2, 3, 4, 5, 1, 2, 3]
    inputs, _ = pairs.__getitems__(rows)
    distinct = {int(arrays["molecule_index"][row]) for row in rows}
    assert len(inputs.molecule) == len(distinct) < len(rows)
    assert set(inputs.molecule_index.tolist()) == set(range(len(distinct)))


def test_types_are_kept(pairs):
    inputs, groups = pairs.__getitems__([0, 1])
    assert inputs.phenotype.dtype == torch.float32
    assert inputs.molecule.dtype == torch.uint8  # bytes, until they are on the device
    assert inputs.molecule_index.dtype == groups.dtype == torch.int64


def test_one_row_is_a_batch_of_one(pairs):
    one, group = pairs[4]
    several, groups = pairs.__getitems__([4])
    assert torch.equal(one.phenotype, several.phenotype)
    assert torch.equal(group, groups)
    assert len(one) == 1


def test_length_is_the_number_of_pairs(pairs):
    assert len(pairs) == N_PAIRS


def test_a_batch_goes_to_the_device_as_the_network_takes_it(pairs):
    inputs, _ = pairs.__getitems__([2, 9])
    moved = inputs.on("meta")
    assert [tensor.device.type for tensor in moved] == ["meta"] * 3
    assert [tuple(t.shape) for t in moved] == [
        tuple(t.shape) for t in (inputs.phenotype, inputs.molecule, inputs.molecule_index)
    ]


def test_a_loader_hands_the_batches_on_untouched(pairs):
    chosen = [[0, 1, 2], [29, 3]]
    for rows, batch in zip(
        chosen, DataLoader(pairs, batch_sampler=chosen, collate_fn=as_batch), strict=True
    ):
        inputs, groups = pairs.__getitems__(rows)
        assert torch.equal(batch.inputs.phenotype, inputs.phenotype)
        assert torch.equal(batch.groups, groups)


def test_the_arrays_are_shared_not_copied(pairs, arrays):
    assert np.shares_memory(pairs.phenotype.numpy(), arrays["phenotype"])
    assert np.shares_memory(pairs.molecule.numpy(), arrays["molecule"])


class ReadLater:
    """Values that note which rows were asked for, and give them with a number a row."""

    def __init__(self, values):
        self.values = values
        self.asked = []

    def __getitem__(self, rows):
        self.asked.append(rows.tolist())
        return self.values[rows], rows.astype(np.float32)


def test_values_that_are_read_later_are_read_for_their_batch_alone(arrays):
    later = ReadLater(arrays["phenotype"])
    pairs = PairDataset(
        (later, arrays["phenotype_index"]),
        (arrays["molecule"], arrays["molecule_index"]),
        arrays["groups"],
    )
    rows = [4, 29, 4]
    inputs, _ = pairs.__getitems__(rows)
    wanted = arrays["phenotype_index"][rows]
    assert later.asked == [wanted.tolist()]
    pixels, numbers = inputs.on("cpu")[0]
    np.testing.assert_array_equal(pixels, arrays["phenotype"][wanted])
    np.testing.assert_array_equal(numbers, wanted)
    assert len(inputs) == 3


@pytest.mark.parametrize("rows", [slice(0, 3), slice(2, 5), slice(4, 5), slice(0, 5)], ids=str)
def test_a_part_of_a_batch_is_the_batch_of_its_rows(pairs, arrays, rows):
    chosen = [5, 4, 5, 7, 3]
    inputs, _ = pairs.__getitems__(chosen)
    alone, _ = pairs.__getitems__(chosen[rows])
    assert torch.equal(inputs.part("phenotype", rows), alone.phenotype)
    assert inputs.n_rows("phenotype") == 5
    assert inputs.n_rows("molecule") == len(inputs.molecule)
    assert torch.equal(inputs.part("molecule", slice(1, 2)), inputs.molecule[1:2])


def test_a_part_of_bags_is_the_bags_of_its_rows(arrays):
    sizes = np.array([2, 1, 3, 1, 2])
    bags = Bags(np.arange(9.0)[:, None], np.arange(9), sizes)
    pairs = PairDataset(
        (bags, np.arange(5)), (arrays["molecule"], np.arange(5)), groups=np.arange(5)
    )
    chosen = [3, 0, 2, 1]
    inputs, _ = pairs.__getitems__(chosen)
    for rows in (slice(0, 2), slice(1, 4), slice(2, 3)):
        alone, _ = pairs.__getitems__(chosen[rows])
        for part, expected in zip(inputs.part("phenotype", rows), alone.phenotype, strict=True):
            assert torch.equal(part, expected)
