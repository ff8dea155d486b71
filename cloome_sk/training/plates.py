"""What the plate gives away about the molecule, and which plates hold the same molecules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

SAME_LAYOUT = 0.5
"""Plates that share at least this part of their molecules (Jaccard) were laid out alike."""

PLATES_AT_ONCE = 512
"""Plates that are compared with all others at a time, which bounds the memory."""


def plate_layouts(molecules: np.ndarray, plates: np.ndarray) -> np.ndarray:
    """Tell which plates are replicates of one layout: hold the same molecules, for the most part.

    Two plates belong together if half of the molecules on either are on both (Jaccard index of
    0.5 or more), or if a chain of such plates joins them. Controls that stand on every plate do
    not join plates, as long as they are the smaller part of them.

    Parameters
    ----------
    molecules, plates : array-like, shape (n_rows,)
        The molecule of each well (or site) and its plate: names or codes, none missing.

    Returns
    -------
    ndarray of int, shape (n_rows,)
        The code of each row's layout, from 0.

    Raises
    ------
    ValueError
        If the two differ in length, or a row has no molecule or no plate.

    Examples
    --------
    >>> from cloome_sk.training import plate_layouts
    >>> molecules = ["a", "b", "b", "a", "c", "d"]
    >>> plates = ["P1", "P1", "P2", "P2", "P3", "P3"]
    >>> plate_layouts(molecules, plates).tolist()
    [0, 0, 0, 0, 1, 1]
    """
    plate = codes_of(plates, "plates")
    found = _found(codes_of(molecules, "molecules", like=plate), plate)
    found.data[:] = 1
    n_found = found.sum(axis=1)
    pairs = []
    for first in range(0, found.shape[0], PLATES_AT_ONCE):
        shared = (found[first : first + PLATES_AT_ONCE] @ found.T).tocoo()
        one, other = shared.coords[0] + first, shared.coords[1]
        alike = shared.data >= SAME_LAYOUT * (n_found[one] + n_found[other] - shared.data)
        pairs.append((one[alike], other[alike]))
    ends = tuple(np.concatenate(side) for side in zip(*pairs, strict=True))
    shape = (len(n_found), len(n_found))
    joined = csr_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=shape)
    return connected_components(joined, directed=False)[1][plate]


class PlateShortcut(NamedTuple):
    """How far the plates alone solve the batches; averages over the rows of all batches.

    Attributes
    ----------
    nats : float
        By how much the plates lower the cross-entropy of naming the molecule, from about
        ``log(batch_size)``. 0: the plate says nothing. May be slightly negative, by chance.
    accuracy : float
        Share of rows whose molecule the plates name, ties shared out.
    chance : float
        The same for a guess among the molecules of the batch.
    """

    nats: float
    accuracy: float
    chance: float


def plate_shortcut(
    batches: Iterable[np.ndarray | list[int]], molecules: np.ndarray, plates: np.ndarray
) -> PlateShortcut:
    r"""Measure how far batches can be solved by whoever sees plates only.

    A network that recognises the plate of a phenotype, and has learnt on which plates each
    molecule stands, can pick the molecule among those of the batch without looking at the cells.
    With :math:`n(m, p)` rows of molecule :math:`m` on plate :math:`p` in the whole table, and
    :math:`b(m)` in the batch, the best it can believe is

    .. math:: q(m \mid p) \propto b(m) \, n(m, p) / n(m),

    and what this gains over ignoring the plate, the mean of
    :math:`\log q(m_i \mid p_i) - \log (b(m_i) / \sum b)`, is what an InfoNCE objective can
    gain from the plates alone. It is 0 for a batch whose molecules stand on the same plates. If no
    two plates share a molecule it is the entropy of the plates of the batch, which is largest for
    a batch that holds each plate once.

    Parameters
    ----------
    batches : iterable of ndarray or list of int
        The rows of each batch.
    molecules, plates : array-like, shape (n_rows,)
        The molecule and the plate of each row of the whole table: names or codes, none missing.

    Returns
    -------
    PlateShortcut
        Means over all rows of all batches.

    Raises
    ------
    ValueError
        If there is no batch, the two columns differ in length, or a value is missing.

    References
    ----------
    The gain of a critic is the mutual information that InfoNCE bounds: A. van den Oord et al.,
    "Representation learning with contrastive predictive coding", arXiv:1807.03748, 2018, sec. 2.3.

    Examples
    --------
    Two plates with molecules of their own: a batch from both is half solved by the plates, and a
    batch from one is not.

    >>> from cloome_sk.training import plate_shortcut
    >>> molecules, plates = ["a", "b", "c", "d"], ["P1", "P1", "P2", "P2"]
    >>> [round(value, 3) for value in plate_shortcut([[0, 2]], molecules, plates)]
    [0.693, 1.0, 0.5]
    >>> [round(value, 3) for value in plate_shortcut([[0, 1], [2, 3]], molecules, plates)]
    [0.0, 0.5, 0.5]
    """
    plate = codes_of(plates, "plates")
    molecule = codes_of(molecules, "molecules", like=plate)
    found = _found(molecule, plate).astype(float)
    habits = found.multiply(1 / found.sum(axis=0)[None, :]).tocsr()
    totals, n_rows = np.zeros(3), 0
    for batch in batches:
        rows = np.asarray(batch)
        seen, at_plate = np.unique(plate[rows], return_inverse=True)
        inside, mine, times = np.unique(molecule[rows], return_inverse=True, return_counts=True)
        belief = habits[seen][:, inside].toarray() * times
        belief = (belief / belief.sum(axis=1, keepdims=True))[at_plate]
        believed = belief[np.arange(len(rows)), mine]
        best = np.isclose(belief, belief.max(axis=1, keepdims=True), rtol=1e-9, atol=0)
        hit = best[np.arange(len(rows)), mine] / best.sum(axis=1)
        gain = np.log(believed) - np.log(times[mine] / len(rows))
        totals += gain.sum(), hit.sum(), len(rows) / len(inside)
        n_rows += len(rows)
    if not n_rows:
        raise ValueError("There is no batch to measure.")
    return PlateShortcut(*(totals / n_rows).tolist())


class LayoutGatherer:
    """Neighbouring layouts of an epoch, as few together as hold enough distinct molecules.

    Parameters
    ----------
    molecules, layouts : ndarray of int, shape (n_rows,)
        Codes from 0.
    enough : int
        Distinct molecules that a block must hold.
    """

    def __init__(self, molecules: np.ndarray, layouts: np.ndarray, enough: int) -> None:
        self.layouts = layouts
        self.enough = enough
        self._n_molecules = int(molecules.max()) + 1
        found = _found(molecules, layouts)
        self._found = np.split(found.indices, found.indptr[1:-1])

    @property
    def largest(self) -> int:
        """Distinct molecules of the layout that has most of them."""
        return max(map(len, self._found))

    def blocks(self, rng: np.random.Generator) -> np.ndarray:
        """Give the block of each row, in the order of the epoch."""
        block = np.zeros(len(self._found), dtype=np.intp)
        last_seen_in = np.full(self._n_molecules, -1)
        current = n_distinct = 0
        for layout in rng.permutation(len(self._found)):
            new = self._found[layout][last_seen_in[self._found[layout]] != current]
            last_seen_in[new] = current
            block[layout] = current
            n_distinct += len(new)
            if n_distinct >= self.enough:
                current, n_distinct = current + 1, 0
        # What is left at the end has too few molecules of its own.
        return np.minimum(block, max(current - 1, 0))[self.layouts]


def codes_of(values: np.ndarray, name: str, like: np.ndarray | None = None) -> np.ndarray:
    """Code the values of a column from 0, in the order of their first rows.

    Parameters
    ----------
    values : array-like, shape (n_rows,)
        Names or codes.
    name : str
        What errors call it.
    like : ndarray, optional
        A column of the same table.

    Returns
    -------
    ndarray of int, shape (n_rows,)
        Codes from 0.

    Raises
    ------
    ValueError
        If a value is missing, the column is empty or not one-dimensional, or not as long as
        `like`.
    """
    column = pd.Series(values)
    if not len(column):
        raise ValueError(f"`{name}` is empty.")
    if like is not None and len(column) != len(like):
        raise ValueError(f"`{name}` has {len(column):,} values for {len(like):,} rows.")
    codes = pd.factorize(column)[0]
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise ValueError(
            f"`{name}` is missing in {len(missing):,} of {len(column):,} rows, the first of them "
            f"row {missing[0]:,}. Give each row a value, or leave these rows out."
        )
    return codes


def _found(molecules: np.ndarray, places: np.ndarray) -> csr_array:
    """How often each molecule (column) is found at each place (row)."""
    shape = (int(places.max()) + 1, int(molecules.max()) + 1)
    once = np.ones(len(molecules), dtype=np.int32)
    return csr_array((once, (places, molecules)), shape=shape)  # the constructor adds duplicates
