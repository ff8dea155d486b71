"""Pairs as a torch dataset that hands out whole batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset


class PairInputs:
    """Network inputs of a batch of pairs; its length is the number of pairs.

    Parameters
    ----------
    phenotype : Tensor, shape (n_pairs, ...)
        Phenotype inputs.
    molecule : Tensor, shape (n_distinct, ...)
        Inputs of the distinct molecules of the batch.
    molecule_index : Tensor of int, shape (n_pairs,)
        The row of each pair in `molecule`.
    """

    def __init__(self, phenotype: Tensor, molecule: Tensor, molecule_index: Tensor) -> None:
        self.phenotype = phenotype
        self.molecule = molecule
        self.molecule_index = molecule_index

    def __len__(self) -> int:
        return len(self.phenotype)

    def on(self, device: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Give the three tensors on a device, as the network takes them."""
        return (
            self.phenotype.to(device, non_blocking=True),
            self.molecule.to(device, non_blocking=True),
            self.molecule_index.to(device, non_blocking=True),
        )


class Batch(NamedTuple):
    """What skorch unpacks as X and y."""

    inputs: PairInputs
    groups: Tensor


class PairDataset(Dataset):
    """Phenotype and molecule inputs of the training pairs.

    Parameters
    ----------
    phenotype, molecule : (values, index) pairs of ndarray
        Network inputs, each distinct one once, and the row of each pair in them.
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
        phenotype: tuple[np.ndarray, np.ndarray],
        molecule: tuple[np.ndarray, np.ndarray],
        groups: np.ndarray,
    ) -> None:
        self.phenotype, self.phenotype_index = torch.from_numpy(phenotype[0]), phenotype[1]
        self.molecule, self.molecule_index = torch.from_numpy(molecule[0]), molecule[1]
        self.groups = torch.from_numpy(groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Give the batch of these rows, each distinct molecule in it once."""
        chosen = np.asarray(rows)
        distinct, index = np.unique(self.molecule_index[chosen], return_inverse=True)
        inputs = PairInputs(
            self.phenotype[torch.from_numpy(self.phenotype_index[chosen])],
            self.molecule[torch.from_numpy(distinct)],
            torch.from_numpy(index),
        )
        return Batch(inputs, self.groups[torch.from_numpy(chosen)])


def as_batch(batch: Any) -> Any:
    """Collate nothing: the dataset already made a batch."""
    return batch
