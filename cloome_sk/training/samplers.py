"""Which pairs stand together in a batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


class ReplicateSpreadingSampler:
    """Batches that hold as few replicates of one molecule as the data allow.

    Each epoch visits every row once, in batches of almost equal size. The rows of a molecule are
    placed at equal distances along the epoch, from a random start, so its replicates meet as
    seldom as possible: replicates in one batch teach nothing about each other's molecule. A
    batch that would hold a single molecule, or a single group of positives, is joined to its
    neighbour, since a contrast needs two.

    Parameters
    ----------
    molecules : ndarray of int, shape (n_pairs,)
        Code of each pair's molecule; at least two distinct.
    batch_size : int
        Largest number of pairs in a batch (>= 2), joined batches excepted.
    seed : int
        Epoch e draws from ``numpy.random.default_rng([seed, e])``.
    groups : ndarray of int, shape (n_pairs,), optional
        Code of each pair's positives, if not its molecule; at least two distinct.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.training import ReplicateSpreadingSampler
    >>> molecules = np.array([0, 0, 0, 1, 1, 1])
    >>> sampler = ReplicateSpreadingSampler(molecules, batch_size=2, seed=0)
    >>> [sorted(molecules[batch].tolist()) for batch in sampler]
    [[0, 1], [0, 1], [0, 1]]
    """

    def __init__(
        self,
        molecules: np.ndarray,
        batch_size: int,
        seed: int,
        groups: np.ndarray | None = None,
    ) -> None:
        self.molecules = np.unique(molecules, return_inverse=True)[1]
        self.contrasts = [self.molecules, *([] if groups is None else [np.asarray(groups)])]
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self._n_batches = -(-len(self.molecules) // batch_size)

    def __len__(self) -> int:
        """Number of batches, before any are joined."""
        return self._n_batches

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order(np.random.default_rng([self.seed, self.epoch]))
        self.epoch += 1
        for batch in self._joined(np.array_split(order, self._n_batches)):
            yield batch.tolist()

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        n_pairs = len(self.molecules)
        shuffled = rng.permutation(n_pairs)
        together = shuffled[np.argsort(self.molecules[shuffled], kind="stable")]
        sizes = np.bincount(self.molecules)
        within = np.arange(n_pairs) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        start = rng.random(len(sizes))
        place = (np.repeat(start, sizes) + within / np.repeat(np.maximum(sizes, 1), sizes)) % 1.0
        return together[np.argsort(place, kind="stable")]

    def _joined(self, batches: list[np.ndarray]) -> Iterator[np.ndarray]:
        waiting = np.empty(0, dtype=np.intp)
        ready: np.ndarray | None = None
        for batch in batches:
            waiting = np.concatenate([waiting, batch])
            if all((codes[waiting] != codes[waiting[0]]).any() for codes in self.contrasts):
                if ready is not None:
                    yield ready
                ready, waiting = waiting, waiting[:0]
        if ready is not None:
            yield np.concatenate([ready, waiting])
