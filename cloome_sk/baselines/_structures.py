"""Reading the structures and treated rows of a table, with errors that name the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, row_name
from cloome_sk.molecules import as_smiles, invalid_smiles
from cloome_sk.molecules.smiles import bad_molecules_message


def check_table(X: Any, purpose: str) -> pd.DataFrame:
    """Refuse what is not a table with rows."""
    if not isinstance(X, pd.DataFrame):
        raise TypeError(f"{purpose} takes a pandas DataFrame, got {type(X).__name__}.")
    if not len(X):
        raise ValueError(f"{purpose}: the table has no rows.")
    return X


def table_smiles(
    X: pd.DataFrame, purpose: str, *, column: str = "smiles", rows: np.ndarray | None = None
) -> np.ndarray:
    """Readable SMILES of some rows of a table (of all by default)."""
    name = match_column(X, column, purpose=purpose)
    rows = np.arange(len(X)) if rows is None else rows
    smiles = as_smiles(X[name].iloc[rows])
    bad = invalid_smiles(smiles)
    if bad:
        message = bad_molecules_message(
            bad, len(smiles), f"column {name!r}", lambda row: row_name(X, int(rows[row]))
        )
        raise ValueError(f"{purpose}: {message} Mend or drop those rows.")
    return smiles


def any_smiles(molecules: Any, purpose: str, *, column: str = "smiles") -> np.ndarray:
    """Readable SMILES of a table's column, or of a list of structures."""
    if isinstance(molecules, pd.DataFrame):
        return table_smiles(molecules, purpose, column=column)
    smiles = as_smiles(molecules)
    bad = invalid_smiles(smiles)
    if bad:
        message = bad_molecules_message(bad, len(smiles), "the list", "row {}".format)
        raise ValueError(f"{purpose}: {message} Mend or drop them.")
    return smiles
