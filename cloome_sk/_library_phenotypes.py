"""Phenotypes of owned and offered compounds as unit vectors: predicted, measured, or given."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cloome_sk._embedding import FittedEmbedder, unit_rows
from cloome_sk._library_compounds import Compounds
from cloome_sk._tables import shown


def check_phenotypes(values: Any, n_rows: int, purpose: str) -> np.ndarray | None:
    """Unit vectors of phenotypes that were given as numbers, NaN where a row has none."""
    if values is None:
        return None
    try:
        given = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{purpose}: phenotypes are not numeric ({error}).") from error
    if given.ndim != 2 or len(given) != n_rows or not given.shape[1]:
        raise ValueError(
            f"{purpose}: phenotypes have shape {given.shape}; expected one row for each of "
            f"{n_rows} compounds, in the same order."
        )
    missing = np.isnan(given).all(axis=1)
    usable = np.isfinite(given).all(axis=1) & given.any(axis=1)
    bad = np.flatnonzero(~missing & ~usable)
    if len(bad):
        raise ValueError(
            f"{purpose}: phenotypes of {len(bad)} row(s) have no direction, being zero, partly NaN "
            f"or infinite: rows {shown(bad)}. A compound without a phenotype has NaN in all "
            "columns."
        )
    out = np.full(given.shape, np.nan)
    out[~missing] = unit_rows(given[~missing])
    return out


def phenotypes_of_deck(
    embedder: FittedEmbedder | None,
    smiles: np.ndarray,
    given: np.ndarray | None,
    codes: np.ndarray,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Phenotype of each owned molecule, and what was subtracted from the measured ones.

    Parameters
    ----------
    embedder : FittedEmbedder or None
        Predicts phenotypes.
    smiles : ndarray of object, shape (n_molecules,)
        A structure of each molecule.
    given : ndarray of float64, shape (n_rows, n_components), or None
        Measured ones of the rows of the deck.
    codes : ndarray of intp, shape (n_rows,)
        Molecule of each row.

    Returns
    -------
    vectors : ndarray of float, shape (n_molecules, n_components), or None
        Unit vectors, NaN where there is none; None where nothing tells phenotypes.
    shift : ndarray of float64, shape (n_components,), or None
        Mean difference of measured and predicted ones, where there are both.
    """
    if not len(smiles):
        return None, None
    measured = None if given is None else _means(given, codes, len(smiles))
    if embedder is None:
        return measured, None
    predicted = embedder.embed(smiles, "molecule")
    if measured is None:
        return predicted, None
    if measured.shape != predicted.shape:
        raise ValueError(
            f"LibraryDesigner.fit: measured phenotypes have {measured.shape[1]} components, those "
            f"that the embedder predicts {predicted.shape[1]}. Give its `embed_phenotypes` of the "
            "deck."
        )
    both = np.isfinite(measured[:, 0]) & np.isfinite(predicted[:, 0])
    if not both.any():
        raise ValueError(
            "LibraryDesigner.fit: no owned compound has both a measured and a predicted phenotype, "
            "so that there is nothing to bring them together by. Leave `phenotypes` out."
        )
    shift = (measured[both] - predicted[both].astype(np.float64)).mean(axis=0)
    out = predicted.astype(np.float64)
    there = np.isfinite(measured[:, 0])
    out[there] = unit_rows(measured[there] - shift)
    return out, shift


def phenotypes_of_candidates(
    embedder: FittedEmbedder | None,
    known: np.ndarray | None,
    candidates: Compounds,
    rows: np.ndarray,
    given: np.ndarray | None,
) -> np.ndarray | None:
    """Unit vectors of some candidates, NaN where there is none; None where nothing tells them."""
    if embedder is not None and len(rows):
        vectors = embedder.embed(candidates.smiles[rows], "molecule")
    elif given is not None:
        vectors = given[rows]
    else:
        return None
    if known is not None and known.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"LibraryDesigner.select: phenotypes of candidates have {vectors.shape[1]} components, "
            f"those of the deck {known.shape[1]}."
        )
    return vectors


def warn_of_lost(vectors: np.ndarray | None, names: Any, stacklevel: int) -> None:
    """Say which owned compounds have no phenotype."""
    lost = np.zeros(len(names), dtype=bool) if vectors is None else np.isnan(vectors[:, 0])
    if lost.any():
        warnings.warn(
            f"LibraryDesigner: {int(lost.sum())} of {len(lost)} owned compounds have no phenotype "
            f"and count by their structure only: {shown(names[lost], 5)}.",
            stacklevel=stacklevel,
        )


def _means(given: np.ndarray, codes: np.ndarray, n_molecules: int) -> np.ndarray:
    """Direction of the mean over the rows of each molecule that have a phenotype."""
    there = np.isfinite(given[:, 0])
    total = np.zeros((n_molecules, given.shape[1]))
    np.add.at(total, codes[there], given[there])
    out = np.full(total.shape, np.nan)
    # Rows that cancel each other out leave no direction.
    known = np.linalg.norm(total, axis=1) > 1e-9
    out[known] = unit_rows(total[known])
    return out
