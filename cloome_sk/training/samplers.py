"""Which pairs stand together in a batch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from cloome_sk.training._dealing import deal
from cloome_sk.training.plates import LayoutGatherer, codes_of, plate_layouts


class ReplicateSpreadingSampler:
    r"""Batches that hold as few replicates of one molecule as the data allow.

    Each epoch visits every row once, in batches of almost equal size, and spreads the r rows of a
    molecule evenly: over K batches, each holds r / K of them, rounded down or up, so none is in a
    batch twice if it can be avoided. Replicates in one batch teach nothing about each other's
    molecule. A batch that would hold a single molecule, or a single group of positives, is
    joined to its neighbour, since a contrast needs two.

    Parameters
    ----------
    molecules : ndarray, shape (n_pairs,)
        Code or name of each pair's molecule; at least two distinct.
    batch_size : int
        Largest number of pairs in a batch (>= 2), joined batches excepted.
    seed : int
        Epoch e draws from ``numpy.random.default_rng([seed, e])`` alone.
    groups : ndarray, shape (n_pairs,), optional
        Code of each pair's positives, if not its molecule; at least two distinct.
    plates : ndarray, shape (n_pairs,), optional
        Code or name of each pair's plate: makes batches that cannot be solved by plate, as
        explained below. Without it, pairs of all plates are mixed.
    balance : ndarray, shape (n_pairs,), optional
        A label of each pair, as active and inactive: each batch holds its labels in the shares of
        the whole, to within one row a label. With `plates`, about in the shares of the layouts
        that the batch is taken from. A molecule with pairs of several labels is spread for each
        label by itself.
    equal_shares : bool, default=False
        Make the shares of the labels equal, by repeating rows: each of the n rows of a label is
        in an epoch ``n_largest / n`` times, rounded down or up.

    Attributes
    ----------
    epoch : int
        The epoch that the next iteration is of.

    Raises
    ------
    ValueError
        If a column differs from `molecules` in length or has missing values, there are fewer than
        two molecules or groups, `batch_size` is below 2, or `equal_shares` lacks `balance`.

    Warns
    -----
    UserWarning
        If `plates` has no effect, because a batch needs the molecules of all layouts to be full.

    Notes
    -----
    **What lets a batch be solved by plate.** A network that recognises the plate of a phenotype
    and remembers on which plates each molecule stands needs no biology to tell apart molecules of
    different plates. Mixing plates evenly is therefore the worst that can be done for a library
    that was screened layout by layout. Within a plate the plate leaves all molecules in doubt, and
    so it does within the replicate plates of one layout, since each molecule stands on all of
    them. `plate_shortcut` measures, for given batches, how much the plate gives away.

    So with `plates`, each batch is taken from one layout (`plate_layouts`), replicates mixed
    over its plates. Where the layout has fewer distinct molecules than `batch_size`, several
    are mixed, as few as hold enough; k layouts of equal parts give the plate log(k) nats. The
    order of layouts is drawn anew for each epoch, and so is which layouts share the batch on the
    border of both. The objective then estimates the information between phenotype and molecule
    *given* the layout, as negatives from the same value of an unwanted variable do [1]_ [2]_.

    The price is that molecules of different layouts are hardly ever contrasted directly, and what
    distinguishes the chemistry of whole layouts is not learnt: it cannot be told from the plates.
    Networks with batch normalisation see one layout's statistics in training and those of all
    of them later. If all plates hold the same molecules, there is one layout, and `plates`
    changes nothing.

    **The opposite**, batches in which the plates stand in the shares of the whole, is
    ``balance=plates`` without `plates`; studies compare with it.

    **Resuming.** The batches of an epoch depend on the arguments and on its number alone, so the
    position is two integers which the training loop knows: the epoch, and how many of its batches
    were trained on. The sampler does not count the latter, since a loader asks for batches long
    before they are used.

    References
    ----------
    .. [1] M. Q. Ma, Y.-H. H. Tsai, P. P. Liang, H. Zhao, K. Zhang, R. Salakhutdinov,
       L.-P. Morency, "Conditional contrastive learning for improving fairness in self-supervised
       learning", arXiv:2106.02866, 2021.
    .. [2] Y.-H. H. Tsai, T. Li, M. Q. Ma, H. Zhao, K. Zhang, L.-P. Morency, R. Salakhutdinov,
       "Conditional contrastive learning with kernel", ICLR 2022, arXiv:2202.05458.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.training import ReplicateSpreadingSampler
    >>> molecules = np.array([0, 0, 0, 1, 1, 1])
    >>> sampler = ReplicateSpreadingSampler(molecules, batch_size=2, seed=0)
    >>> [sorted(molecules[batch].tolist()) for batch in sampler]
    [[0, 1], [0, 1], [0, 1]]

    Two layouts of two plates each; no batch mixes them:

    >>> molecules = np.array(list("abab" "cdcd"))
    >>> plates = np.array(["P1", "P1", "P2", "P2", "P3", "P3", "P4", "P4"])
    >>> sampler = ReplicateSpreadingSampler(molecules, batch_size=2, seed=0, plates=plates)
    >>> sorted("".join(sorted(molecules[batch])) for batch in sampler)
    ['ab', 'ab', 'cd', 'cd']

    The second process of two takes the second half of each batch, and training goes on after the
    third batch of the epoch with number 5:

    >>> part = sampler.for_rank(1, 2)
    >>> part.set_epoch(5, batch=3)
    >>> [len(batch) for batch in part]
    [1]
    """

    def __init__(
        self,
        molecules: np.ndarray,
        batch_size: int,
        seed: int,
        groups: np.ndarray | None = None,
        *,
        plates: np.ndarray | None = None,
        balance: np.ndarray | None = None,
        equal_shares: bool = False,
    ) -> None:
        self.molecules = codes_of(molecules, "molecules")
        self.contrasts = [self.molecules]
        if groups is not None:
            self.contrasts.append(codes_of(groups, "groups", like=self.molecules))
        for codes, name in zip(self.contrasts, ("molecules", "groups"), strict=False):
            if not codes.any():
                raise ValueError(f"`{name}` holds one value only; a contrast needs two.")
        if batch_size < 2:
            raise ValueError(
                f"`batch_size` must be 2 or more, since a contrast needs two, not {batch_size}."
            )
        if equal_shares and balance is None:
            raise ValueError(
                "`equal_shares` needs the labels whose shares it makes equal: give `balance`."
            )
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self._done = 0
        self._labels = None if balance is None else codes_of(balance, "balance", self.molecules)
        self._equal_shares = equal_shares
        self._gatherer = None if plates is None else self._layouts(plates)
        n_rows = len(self.molecules)
        if equal_shares and self._labels is not None:
            n_rows = len(np.unique(self._labels)) * int(np.bincount(self._labels).max())
        self._n_batches = -(-n_rows // batch_size)
        self._smallest = n_rows // self._n_batches

    def __len__(self) -> int:
        """Number of batches, before any are joined."""
        return self._n_batches

    def __iter__(self) -> Iterator[list[int]]:
        epoch, done = self.epoch, self._done
        self.epoch, self._done = epoch + 1, 0
        batches = self.batches(epoch)
        if done > len(batches):
            raise ValueError(f"Epoch {epoch} has {len(batches)} batches; {done} cannot be done.")
        for batch in batches[done:]:
            yield batch.tolist()

    def set_epoch(self, epoch: int, batch: int = 0) -> None:
        """Say where the next iteration starts; the one after it is of the next epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.
        batch : int, default=0
            How many of its batches were trained on.

        Raises
        ------
        ValueError
            If one of them is negative.
        """
        if epoch < 0 or batch < 0:
            raise ValueError(f"Neither epoch ({epoch}) nor batch ({batch}) can be negative.")
        self.epoch, self._done = epoch, batch

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Give the batches of an epoch, which depend on nothing that was drawn before.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.

        Returns
        -------
        list of ndarray of int
            The rows of each batch.
        """
        rng = np.random.default_rng([self.seed, epoch])
        blocks = None if self._gatherer is None else self._gatherer.blocks(rng)
        if self._labels is None or not self._equal_shares:
            dealt = deal(rng, self.molecules, self._n_batches, blocks, self._labels)
            return list(self._joined(dealt))
        rows = _repeated(rng, self._labels)
        blocks = None if blocks is None else blocks[rows]
        dealt = deal(rng, self.molecules[rows], self._n_batches, blocks, self._labels[rows])
        return list(self._joined([rows[chosen] for chosen in dealt]))

    def for_rank(self, rank: int, world_size: int) -> RankBatches:
        """Give the part of each batch that one of several processes takes.

        Parameters
        ----------
        rank, world_size : int
            Number of the process, from 0, and how many there are.

        Returns
        -------
        RankBatches
            Iterates over the same epochs, slice by slice. What the processes take, one after the
            other in the order of their ranks, is the batch of a single process.

        Raises
        ------
        ValueError
            If there is no such rank, or more processes than pairs in the smallest batch.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"Of {world_size} processes none has rank {rank}; ranks start at 0.")
        if world_size > self._smallest:
            raise ValueError(
                f"{world_size} processes cannot share batches of {self._smallest} pairs: raise "
                "`batch_size`, which counts the pairs of all processes together."
            )
        return RankBatches(self, rank, world_size)

    def _layouts(self, plates: np.ndarray) -> LayoutGatherer:
        codes = codes_of(plates, "plates", like=self.molecules)
        layouts = plate_layouts(self.molecules, codes)
        gatherer = LayoutGatherer(self.molecules, layouts, self.batch_size)
        if layouts.any() and not gatherer.blocks(np.random.default_rng(self.seed)).any():
            warnings.warn(
                f"Batches are not balanced by plate: the {layouts.max() + 1} plate layouts hold "
                f"at most {gatherer.largest} distinct molecules each, so a batch of "
                f"{self.batch_size} needs all of them. Lower `batch_size` to "
                f"{gatherer.largest} or less.",
                stacklevel=3,
            )
        return gatherer

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


class RankBatches:
    """The part of each global batch that one process takes; made by `for_rank`.

    Parameters
    ----------
    sampler : ReplicateSpreadingSampler
        Gives the global batches. Its position is shared with this object.
    rank, world_size : int
        Number of the process, from 0, and how many there are.
    """

    def __init__(self, sampler: ReplicateSpreadingSampler, rank: int, world_size: int) -> None:
        self.sampler = sampler
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        """Number of batches, before any are joined."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.sampler:
            yield batch[self._cut(batch, self.rank) : self._cut(batch, self.rank + 1)]

    def set_epoch(self, epoch: int, batch: int = 0) -> None:
        """Say where the next iteration starts, as `ReplicateSpreadingSampler.set_epoch`.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.
        batch : int, default=0
            How many of its batches were trained on.
        """
        self.sampler.set_epoch(epoch, batch)

    def _cut(self, batch: list[int], rank: int) -> int:
        return len(batch) * rank // self.world_size


def _repeated(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Rows, repeated until each label has as many as the largest."""
    most = int(np.bincount(labels).max())
    chosen = []
    for label in range(int(labels.max()) + 1):
        rows = np.flatnonzero(labels == label)
        times, rest = divmod(most, len(rows))
        chosen += [np.tile(rows, times), rng.permutation(rows)[:rest]]
    return np.concatenate(chosen)
