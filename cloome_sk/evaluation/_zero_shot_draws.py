"""Which rows stand for a class: seeded draws of references, and folds that leave some to draw."""

from __future__ import annotations

import numpy as np


def draw_references(
    classes: np.ndarray,
    molecules: np.ndarray,
    n_classes: int,
    k: int,
    *,
    n_draws: int,
    spare: bool,
    generator: np.random.RandomState,
) -> np.ndarray:
    """Draw k rows of each class, many times, from its molecules in turn.

    The first j of the k are a draw of j. With `spare` one molecule of the class, another in each
    draw, gives no reference, so that there is one left to recognise the class in.

    Parameters
    ----------
    classes : ndarray of int, shape (n_rows,)
        Class of each row, from 0; −1 where a row is none to draw from.
    molecules : ndarray of int, shape (n_rows,)
        Molecule of each row.
    n_classes, k, n_draws : int
        How many.
    spare : bool
        Whether a molecule of each class is left out.
    generator : RandomState
        Draws.

    Returns
    -------
    ndarray of intp, shape (n_draws, n_classes, k)
        Positions of rows.
    """
    out = np.empty((n_draws, n_classes, k), dtype=np.intp)
    order = np.argsort(classes, kind="stable")
    bounds = np.searchsorted(classes[order], np.arange(n_classes + 1))
    for code in range(n_classes):
        rows = order[bounds[code] : bounds[code + 1]]
        names, owner = np.unique(molecules[rows], return_inverse=True)
        for draw in range(n_draws):
            place = np.empty(len(names), dtype=np.intp)
            place[generator.permutation(len(names))] = np.arange(len(names))
            mixed = generator.permutation(len(rows))
            if spare:
                mixed = mixed[place[owner[mixed]] < len(names) - 1]
            turn = _occurrence(owner[mixed])
            first = np.lexsort((place[owner[mixed]], turn))[:k]
            out[draw, code] = rows[mixed[first]]
    return out


def _occurrence(values: np.ndarray) -> np.ndarray:
    """How often each value stood before its place."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    out = np.empty(len(values), dtype=np.intp)
    out[order] = np.arange(len(values)) - np.searchsorted(ranked, ranked)
    return out


def deal_molecules(
    classes: np.ndarray, n_folds: int, size: int, generator: np.random.RandomState
) -> np.ndarray:
    """Deal molecules to folds, those of a class `size` at a time.

    Dealt one at a time, a class of few molecules would have one in each fold, and none of its own
    to be recognised by among the molecules that training did not see.

    Parameters
    ----------
    classes : ndarray of int, shape (n_molecules,)
        Class of each molecule; −1 for none.
    n_folds, size : int
        Number of folds; molecules of a class that stay together.
    generator : RandomState
        Shuffles classes and molecules.

    Returns
    -------
    ndarray of intp, shape (n_molecules,)
        The fold in which each molecule is tested.
    """
    fold = np.full(len(classes), -1, dtype=np.intp)
    turn = 0
    for code in generator.permutation(np.unique(classes[classes >= 0])):
        members = generator.permutation(np.flatnonzero(classes == code))
        whole = len(members) // size * size
        for start in range(0, whole, size):
            fold[members[start : start + size]] = turn % n_folds
            turn += 1
        if whole:
            # In another fold than those dealt last, so that each has the other in training.
            fold[members[whole:]] = turn % n_folds
    held = np.bincount(fold[fold >= 0], minlength=n_folds)
    for molecule in generator.permutation(np.flatnonzero(fold < 0)):
        fold[molecule] = smallest = int(held.argmin())
        held[smallest] += 1
    return fold
