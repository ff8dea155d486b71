"""Molecules as they are counted, and which of them contain which structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.sparse import csr_matrix

from cloome_sk.molecules._series_collection import Collection
from cloome_sk.molecules.keys import molecule_key
from cloome_sk.molecules.parents import parent_smiles
from cloome_sk.molecules.smiles import as_smiles, bad_molecules_message, invalid_smiles

CHUNK = 2048
"""Molecules that are held as structures at once, by each process."""


def parents_of(smiles: Any, where: str) -> np.ndarray:
    """Parent of each row; the message about those that cannot be read says where they are."""
    smiles = as_smiles(smiles)
    if bad := invalid_smiles(smiles):
        raise ValueError(bad_molecules_message(bad, len(smiles), where, "row {}".format))
    return parent_smiles(smiles)


def molecules_of(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of each row's molecule, and one parent of each molecule, in an order of their own."""
    _, codes = np.unique(molecule_key(parents).astype(str), return_inverse=True)
    table = pd.Series(parents).groupby(codes).min()
    return codes, table.to_numpy(dtype=object)


def members(
    smiles: Sequence[str],
    smarts: Sequence[str],
    *,
    match_chirality: bool,
    n_jobs: int | None,
    verbose: int,
) -> csr_matrix:
    """Molecules by structures, True where the molecule contains the structure."""
    from tqdm.auto import tqdm

    shape = (len(smiles), len(smarts))
    if not all(shape):
        return csr_matrix(shape, dtype=bool)
    chunks = [tuple(smiles[start : start + CHUNK]) for start in range(0, len(smiles), CHUNK)]
    jobs = (delayed(_matches)(chunk, tuple(smarts), match_chirality) for chunk in chunks)
    run: Iterator[Any] = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    rows, columns = [], []
    with tqdm(total=len(smiles), desc="Members", unit="mol", disable=not verbose) as bar:
        for place, (found, of) in enumerate(run):
            rows.append(found + place * CHUNK)
            columns.append(of)
            bar.update(len(chunks[place]))
    places = np.concatenate(rows), np.concatenate(columns)
    matrix = csr_matrix((np.ones(len(places[0]), dtype=bool), places), shape=shape)
    matrix.sort_indices()
    return matrix


def _matches(
    smiles: tuple[str, ...], smarts: tuple[str, ...], match_chirality: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Molecule and structure of each match."""
    collection = Collection(smiles)
    rows, columns = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for place, text in enumerate(smarts):
        hits = collection.matches(text, chiral=match_chirality)
        rows.append(np.array(hits, dtype=np.int64))
        columns.append(np.full(len(hits), place, dtype=np.int64))
    return np.concatenate(rows), np.concatenate(columns)


def distinct(membership: csr_matrix, max_overlap: float) -> np.ndarray:
    """Columns to keep: of those that share too many members, the first.

    Parameters
    ----------
    membership : csr_matrix of bool, shape (n_molecules, n_structures)
        The more important structures first.
    max_overlap : float
        Largest Jaccard similarity of the members of two columns. Columns of the same members are
        one, whatever it is.

    Returns
    -------
    ndarray of intp
        Positions of the columns, ascending.
    """
    counts = membership.astype(np.int32)
    sizes = np.asarray(counts.sum(axis=0)).ravel()
    shared = (counts.T @ counts).tocsr()
    kept = np.zeros(len(sizes), dtype=bool)
    for column in range(len(sizes)):
        near = slice(shared.indptr[column], shared.indptr[column + 1])
        others, common = shared.indices[near], shared.data[near]
        jaccard = common / (sizes[others] + sizes[column] - common)
        near_kept = jaccard[kept[others]]
        kept[column] = not ((near_kept > max_overlap) | (near_kept >= 1)).any()
    return np.flatnonzero(kept)
