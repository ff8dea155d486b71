"""The structures of a table or list, each distinct SMILES once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, row_name
from cloome_sk.molecules import as_smiles, invalid_smiles, molecule_key
from cloome_sk.molecules._packed import PackedBits
from cloome_sk.molecules.fingerprints import distinct_fingerprints
from cloome_sk.molecules.parents import parent_smiles
from cloome_sk.molecules.smiles import bad_molecules_message, factorize

CHUNK = 4096
"""Molecules fingerprinted before they are packed."""


@dataclass(frozen=True)
class Structures:
    """Distinct structures and where they stand.

    Attributes
    ----------
    codes : ndarray of intp, shape (n_rows,)
        Which distinct structure each row has.
    smiles : ndarray of object, shape (n_distinct,)
        The distinct SMILES, as they first appear.
    keys : ndarray of object, shape (n_distinct,)
        Their molecules.
    """

    codes: np.ndarray
    smiles: np.ndarray
    keys: np.ndarray


def read_structures(
    X: Any, column: str | None, *, purpose: str, tautomers: bool = False
) -> Structures:
    """The structures of a table or list; an error that names rows where one cannot be read."""
    given = smiles_column(X, column, purpose=purpose)
    smiles = as_smiles(given)
    codes, distinct = factorize(smiles)
    bad: dict[int, str] = {}
    keys = np.zeros(0, dtype=object)
    if (codes < 0).any():
        bad = invalid_smiles(smiles)
    else:
        try:
            keys = molecule_key(distinct, tautomers=tautomers)
        except ValueError:
            bad = invalid_smiles(smiles)
            if not bad:
                raise
    if bad:
        where = f"column {given.name!r}" if isinstance(X, pd.DataFrame) else "the list"
        message = bad_molecules_message(bad, len(smiles), where, lambda row: row_name(given, row))
        raise ValueError(
            f"{purpose}: {message} Without a structure a row has no group: leave these rows out "
            "(`cloome_sk.molecules.invalid_smiles` lists them)."
        )
    return Structures(codes, distinct, keys)


def smiles_column(X: Any, column: str | None, *, purpose: str) -> Any:
    """The column of structures of a table; a list as it is."""
    if isinstance(X, pd.DataFrame):
        if column is not None and not isinstance(column, str):
            raise TypeError(f"{purpose}: column must be the name of a column, got {column!r}.")
        return X[match_column(X, "smiles" if column is None else column, purpose=purpose)]
    if column is not None:
        raise ValueError(
            f"{purpose}: column={column!r} is looked for in a table, but the structures are given "
            f"as {type(X).__name__}. Pass a DataFrame, or leave `column` out."
        )
    if getattr(X, "ndim", 1) != 1:
        raise ValueError(
            f"{purpose}: expected a DataFrame with a column of SMILES, or a list of SMILES or "
            f"RDKit molecules; got {type(X).__name__} of shape {X.shape}."
        )
    return X


def packed_fingerprints(
    smiles: np.ndarray, *, radius: int, n_bits: int, use_chirality: bool
) -> PackedBits:
    """Morgan fingerprints of the parents of readable, distinct SMILES."""
    parents = parent_smiles(smiles)
    blocks = (
        np.array(
            distinct_fingerprints(
                parents[start : start + CHUNK],
                radius=radius,
                n_bits=n_bits,
                use_chirality=use_chirality,
            ),
            dtype=np.uint8,
        ).reshape(-1, n_bits)
        for start in range(0, len(parents), CHUNK)
    )
    return PackedBits.of_blocks(blocks, n_bits)
