"""Rows dealt to the batches of an epoch, as cards to players."""

from __future__ import annotations

import numpy as np
import pandas as pd


def deal(
    rng: np.random.Generator,
    molecules: np.ndarray,
    n_batches: int,
    blocks: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Give every row to one batch, the rows of a molecule to batches as different as can be.

    Rows that are sorted by molecule and dealt in turn, one to each batch, put a molecule of r rows
    into r batches if there are as many; sorted by label and molecule, they share out the labels
    too. Blocks of rows come one after the other along the epoch, and each is dealt to the batches
    that it fills. A batch on the border of two blocks is dealt to less often by each, in
    proportion to its part.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the order of molecules, of the rows of a molecule, of the batches and inside them.
    molecules : ndarray of int, shape (n_rows,)
        Codes from 0.
    n_batches : int
        At most `n_rows`; their sizes differ by one at most.
    blocks : ndarray of int, shape (n_rows,), optional
        Codes from 0, in the order of the epoch.
    labels : ndarray of int, shape (n_rows,), optional
        Codes from 0.

    Returns
    -------
    list of ndarray of int
        The rows of each batch.
    """
    n_rows = len(molecules)
    run = molecules
    if labels is not None:
        # One order of molecules for all labels could deal all of theirs to the same batches.
        run = pd.factorize(labels * (int(molecules.max()) + 1) + molecules)[0]
    place = rng.permutation(int(run.max()) + 1)[run]
    if labels is not None:
        place += labels * (int(place.max()) + 1)
    if blocks is not None:
        place += blocks * (int(place.max()) + 1)
    hand = rng.permutation(n_rows)
    hand = hand[np.argsort(place[hand], kind="stable")]

    sizes = np.full(n_batches, n_rows // n_batches)
    sizes[: n_rows % n_batches] += 1
    batch = np.repeat(np.arange(n_batches), sizes)
    block = np.zeros(n_rows, dtype=np.intp) if blocks is None else np.sort(blocks)
    turns = _turns(block, batch, rng.permutation(n_batches))

    order = np.empty(n_rows, dtype=np.intp)
    order[turns] = hand
    return [rng.permutation(rows) for rows in np.split(order, np.cumsum(sizes)[:-1])]


def _turns(block: np.ndarray, batch: np.ndarray, seat: np.ndarray) -> np.ndarray:
    """The places of the epoch in the order in which they are dealt to, block after block."""
    starts = np.flatnonzero(np.diff(block, prepend=-1) | np.diff(batch, prepend=-1))
    sizes = np.diff(starts, append=len(batch))
    within = np.arange(len(batch)) - np.repeat(starts, sizes)
    # Between two turns of a batch every other batch that is as large or one smaller has its turn:
    # (j + 1/2) / s < (j + 1/2) / (s - 1) < (j + 3/2) / s. So a lap holds each of them once.
    filled = (within + 0.5) / np.repeat(sizes, sizes)
    return np.lexsort((seat[batch], block + filled))
