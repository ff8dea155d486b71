"""Bags of the inputs of another encoder, as a network takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cloome_sk.encoders.base import Inputs


class Bags:
    """Bags of the inputs of another encoder, put together when they are asked for.

    Indexing by a slice or an array of bags gives a tuple: the instances of these bags one after
    the other; whatever else the inner inputs give; and the bag of each instance, int64, counted
    from 0 in the order asked for.

    Parameters
    ----------
    values : ndarray, shape (n_instances, ...), or an object indexed like one
        The instances, each distinct one once. One may be in several bags.
    members : ndarray of intp
        Positions in `values` of the instances of all bags, bag after bag.
    sizes : ndarray of intp, shape (n_bags,)
        Instances of each bag (>= 1).

    Attributes
    ----------
    shape : tuple of int
        (n_bags, mean size of a bag, ...): what a bag takes in memory, on average.
    dtype : numpy dtype
        Of the instances.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.encoders._bags import Bags
    >>> bags = Bags(np.array([[1.0], [2.0], [3.0]]), np.array([0, 1, 2]), np.array([2, 1]))
    >>> instances, bag_index = bags[np.array([1, 0])]
    >>> instances.ravel().tolist(), bag_index.tolist()
    ([3.0, 1.0, 2.0], [0, 1, 1])
    """

    are_bags = True
    """How training tells that several entries are of one sample."""

    def __init__(self, values: Any, members: np.ndarray, sizes: np.ndarray) -> None:
        self.values = values
        self.members = members
        self.sizes = sizes
        mean_size = -(-len(members) // max(1, len(sizes)))
        self.shape = (len(sizes), mean_size, *values.shape[1:])
        self.dtype = values.dtype
        self._starts = np.cumsum(sizes) - sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, bags: Any) -> tuple[np.ndarray, ...]:
        """Instances of some bags, with what travels along, and the bag of each."""
        chosen = np.arange(len(self))[bags]
        sizes = self.sizes[chosen]
        bag_index = np.repeat(np.arange(len(chosen), dtype=np.int64), sizes)
        within = np.arange(len(bag_index)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        members = self.members[self._starts[chosen][bag_index] + within]
        parts = _each_once(self.values, members)
        kept = self._readable(members, bag_index, within)
        if not kept.all():
            return (*(part[kept] for part in parts), bag_index[kept])
        return (*parts, bag_index)

    @property
    def failed(self) -> dict[int, str]:
        """Bags of which no instance could be read so far, with the reason of the first."""
        reasons = self._unreadable
        if not reasons or not len(self):
            return {}
        lost = np.logical_and.reduceat(np.isin(self.members, list(reasons)), self._starts)
        return {
            bag: reasons[int(self.members[self._starts[bag]])]
            for bag in np.flatnonzero(lost).tolist()
        }

    @property
    def _unreadable(self) -> dict[int, str]:
        return getattr(self.values, "failed", {})

    def _readable(
        self, members: np.ndarray, bag_index: np.ndarray, within: np.ndarray
    ) -> np.ndarray:
        """Which instances count. A bag of none keeps its first: `failed` says what it is worth."""
        readable = ~np.isin(members, list(self._unreadable))
        if readable.all():
            return readable
        n_bags = int(bag_index[-1]) + 1
        empty = np.bincount(bag_index, weights=readable, minlength=n_bags) == 0
        return readable | (empty[bag_index] & (within == 0))


def _each_once(values: Any, members: np.ndarray) -> tuple[np.ndarray, ...]:
    """Instances in the order asked for, each read once though it be in several bags."""
    distinct, place = np.unique(members, return_inverse=True)
    shared = len(distinct) < len(members)
    given = values[distinct if shared else members]
    parts = given if isinstance(given, tuple) else (given,)
    return tuple(part[place] for part in parts) if shared else parts


def bagged(inner: Inputs, codes: np.ndarray) -> tuple[Bags, np.ndarray]:
    """Bags of what can be used, and the bag of each row; -1 where nothing of a bag can be."""
    usable = inner.index >= 0
    n_values = max(1, len(inner.values))
    # A bag is a set: what stands in it twice is there once.
    members = np.unique(codes[usable].astype(np.int64) * n_values + inner.index[usable])
    filled, sizes = np.unique(members // n_values, return_counts=True)
    place = np.full(int(codes.max(initial=-1)) + 1, -1, dtype=np.intp)
    place[filled] = np.arange(len(filled))
    return Bags(inner.values, (members % n_values).astype(np.intp), sizes), place[codes]
