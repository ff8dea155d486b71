"""Pairs as a torch dataset that hands out whole batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cloome_sk.networks.dual import as_tensors, on_device

Values = Tensor | tuple[Tensor, ...]


class PairInputs:
    """Network inputs of a batch of pairs; its length is the number of pairs.

    Parameters
    ----------
    phenotype : Tensor, shape (n_pairs, ...), or tuple of such
        Phenotype inputs.
    molecule : Tensor, shape (n_distinct, ...), or tuple of such
        Inputs of the distinct molecules of the batch.
    molecule_index : Tensor of int, shape (n_pairs,)
        The row of each pair in `molecule`.
    bags : sequence of str, default=()
        The sides, "phenotype" or "molecule", whose tuple ends with the bag of each instance.
    """

    def __init__(
        self,
        phenotype: Values,
        molecule: Values,
        molecule_index: Tensor,
        bags: Sequence[str] = (),
    ) -> None:
        self.phenotype = phenotype
        self.molecule = molecule
        self.molecule_index = molecule_index
        self.bags = tuple(bags)

    def __len__(self) -> int:
        return len(self.molecule_index)

    def rows(self, side: str) -> Values:
        """Give the inputs of one side, "phenotype" or "molecule", with a row for each pair."""
        if side == "phenotype":
            return self.phenotype
        if isinstance(self.molecule, tuple):
            return tuple(values[self.molecule_index] for values in self.molecule)
        return self.molecule[self.molecule_index]

    def n_rows(self, side: str) -> int:
        """Count the inputs of one side: pairs, or distinct molecules."""
        if side == "phenotype" or not len(self):
            return len(self)
        return int(self.molecule_index.max()) + 1

    def part(self, side: str, rows: slice) -> Values:
        """Give some consecutive inputs of one side, as its network takes them.

        Parameters
        ----------
        side : {"phenotype", "molecule"}
            Which inputs: a row a pair, or a row a distinct molecule.
        rows : slice
            Which of its `n_rows` rows, without a step.

        Returns
        -------
        Tensor or tuple of Tensor
            Their inputs; of bags the instances, and bags counted from 0.

        Raises
        ------
        ValueError
            If an entry of a tuple does not have one row an input.
        """
        values = self.phenotype if side == "phenotype" else self.molecule
        if side in self.bags:
            start, stop, _ = rows.indices(self.n_rows(side))
            bag = values[-1]
            inside = (bag >= start) & (bag < stop)
            return (*(value[inside] for value in values[:-1]), bag[inside] - start)
        parts = values if isinstance(values, tuple) else (values,)
        for place, value in enumerate(parts):
            if len(value) != self.n_rows(side):
                raise ValueError(
                    f"A batch of {self.n_rows(side)} {side} inputs cannot be taken apart: entry "
                    f"{place} of them has {len(value)} rows. Only tuples with one row an input, "
                    "and the bags of `BagEncoder`, can be embedded in parts."
                )
        return tuple(value[rows] for value in parts) if isinstance(values, tuple) else values[rows]

    def on(self, device: Any) -> tuple[Values, Values, Tensor]:
        """Give the inputs on a device, as the network takes them."""
        return (
            on_device(self.phenotype, device),
            on_device(self.molecule, device),
            self.molecule_index.to(device, non_blocking=True),
        )

    def pin_memory(self) -> PairInputs:
        """Give the inputs in memory from which a GPU copies while the processor goes on."""
        return PairInputs(
            pinned(self.phenotype),
            pinned(self.molecule),
            self.molecule_index.pin_memory(),
            self.bags,
        )


class Batch(NamedTuple):
    """What skorch unpacks as X and y."""

    inputs: PairInputs
    groups: Tensor


class PairDataset(Dataset):
    """Phenotype and molecule inputs of the training pairs.

    Parameters
    ----------
    phenotype, molecule : (values, index) pairs
        Network inputs, each distinct one once, and the row of each pair in them. Values are an
        ndarray, or an object that gives an ndarray, or a tuple of several, when it is indexed by
        an array of rows: images, which are read when their batch comes.
    groups : ndarray of int, shape (n_pairs,)
        Pairs of equal code are positives of each other.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.training import PairDataset
    >>> values = np.ones((3, 5), dtype=np.float32)
    >>> bits = np.eye(2, dtype=np.uint8)
    >>> index = np.array([0, 1, 1])
    >>> pairs = PairDataset((values, np.arange(3)), (bits, index), groups=index)
    >>> inputs, groups = pairs.__getitems__([1, 2])
    >>> inputs.molecule.tolist(), inputs.molecule_index.tolist(), groups.tolist()
    ([[0, 1]], [0, 0], [1, 1])
    """

    def __init__(
        self,
        phenotype: tuple[Any, np.ndarray],
        molecule: tuple[Any, np.ndarray],
        groups: np.ndarray,
    ) -> None:
        self.phenotype, self.phenotype_index = held(phenotype[0]), phenotype[1]
        self.molecule, self.molecule_index = held(molecule[0]), molecule[1]
        self.groups = torch.from_numpy(groups)
        sides = (("phenotype", phenotype[0]), ("molecule", molecule[0]))
        self.bags = tuple(side for side, values in sides if getattr(values, "are_bags", False))

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Give the batch of these rows, each distinct molecule in it once."""
        chosen = np.asarray(rows)
        distinct, index = np.unique(self.molecule_index[chosen], return_inverse=True)
        inputs = PairInputs(
            rows_of(self.phenotype, self.phenotype_index[chosen]),
            rows_of(self.molecule, distinct),
            torch.from_numpy(index),
            self.bags,
        )
        return Batch(inputs, self.groups[torch.from_numpy(chosen)])


def held(values: Any) -> Any:
    """Give an array as a tensor, and what is read only later as it is."""
    return torch.from_numpy(values) if isinstance(values, np.ndarray) else values


def rows_of(values: Any, rows: np.ndarray) -> Values:
    """Take some rows of a tensor, or of what is read only now."""
    if isinstance(values, Tensor):
        return values[torch.from_numpy(rows)]
    return as_tensors(values[rows])


def pinned(values: Values) -> Values:
    """Bring values into memory from which a GPU copies while the processor goes on."""
    if isinstance(values, tuple):
        return tuple(value.pin_memory() for value in values)
    return values.pin_memory()


def as_batch(batch: Any) -> Any:
    """Collate nothing: the dataset already made a batch."""
    return batch
