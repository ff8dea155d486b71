"""What the rows of a search are: their metadata, and which of them share a value."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, row_name, shown
from cloome_sk.molecules import invalid_smiles, molecule_key
from cloome_sk.molecules.smiles import bad_molecules_message

HIT_COLUMNS = ("query", "rank", "index", "similarity")

_NUMBERS = frozenset(
    {"integer", "floating", "mixed-integer-float", "decimal", "complex", "boolean"}
)


def metadata_of(X: Any) -> pd.DataFrame | None:
    """The table that describes the rows; a list of structures is a table of one column."""
    if isinstance(X, pd.DataFrame):
        return X
    return pd.DataFrame({"smiles": pd.Series(X, dtype=object)}) if X.ndim == 1 else None


def hit_columns(metadata: pd.DataFrame | None, columns: Sequence[str] | None) -> np.ndarray:
    """Positions of the columns of the database to show beside each hit."""
    if metadata is None:
        if columns is not None:
            raise ValueError(f"columns={columns!r}: {_NO_METADATA}")
        return np.array([], dtype=np.intp)
    if columns is None:
        chosen = np.arange(metadata.shape[1])
    else:
        columns = [columns] if isinstance(columns, str) else columns
        names = [match_column(metadata, name, purpose="columns") for name in columns]
        place: dict[Hashable, int] = {name: at for at, name in enumerate(metadata.columns)}
        chosen = np.array([place[name] for name in names], dtype=np.intp)
    taken = [name for name in metadata.columns[chosen] if name in HIT_COLUMNS]
    if taken:
        raise ValueError(
            f"The database has column(s) named {shown(taken)}, like the columns of the hits. "
            "Rename them before `fit`, or choose others by `columns=`."
        )
    return chosen


_NO_METADATA = (
    "the database has no columns to choose from. It was fitted on a matrix; fit it on a table "
    "(pandas DataFrame) with that column, and with an embedder."
)


def group_codes(
    metadata: pd.DataFrame | None, name: str, candidates: np.ndarray, structures: Hashable
) -> np.ndarray:
    """Code of the group of each database row; each row with a missing value has its own."""
    values = _column(metadata, name, candidates, structures, f"group_by={name!r}")
    codes = np.asarray(pd.factorize(values)[0], dtype=np.intp)
    missing = codes < 0
    codes[missing] = codes.max(initial=-1) + 1 + np.arange(missing.sum())
    return codes


def clash_codes(
    queries: pd.DataFrame | None,
    asked: np.ndarray,
    metadata: pd.DataFrame | None,
    candidates: np.ndarray,
    name: str,
    structures: Hashable,
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the asked queries and of all database rows: equal where they share a value."""
    purpose = f"exclude={name!r}"
    of_database = _column(metadata, name, candidates, structures, purpose)
    if queries is None:
        raise ValueError(
            f"{purpose}: the queries are a matrix without column names. Pass a table (pandas "
            "DataFrame) with that column, or leave it out of `exclude`."
        )
    try:
        of_queries = _column(queries, name, asked, structures, f"{purpose}, in the queries")
    except ValueError as error:
        raise ValueError(
            f"{error} To exclude by it, pass the queries as a table that has it; otherwise leave "
            "it out of `exclude`."
        ) from error
    of_queries = of_queries[asked]
    kinds = {_kind(of_queries), _kind(of_database)}
    if kinds == {"numbers", "text"}:
        raise ValueError(
            f"{purpose}: one of the queries and the database has numbers there and the other "
            "text, so that no value could ever agree. Bring both to one type."
        )
    codes = np.asarray(pd.factorize(np.concatenate([of_queries, of_database]))[0], dtype=np.intp)
    return codes[: len(of_queries)], codes[len(of_queries) :]


def _column(
    table: pd.DataFrame | None,
    name: str,
    rows: np.ndarray,
    structures: Hashable,
    purpose: str,
) -> np.ndarray:
    """Values of a column, or the name of each molecule; None outside of `rows`."""
    if table is None:
        raise ValueError(f"{purpose}: {_NO_METADATA}")
    out = np.full(len(table), None, dtype=object)
    if name != "molecule":
        found = match_column(table, name, purpose=purpose)
        out[rows] = table[found].to_numpy(dtype=object)[rows]
        return out
    if structures not in table.columns:
        structures = match_column(table, "smiles", purpose=purpose)
    smiles = table[structures].to_numpy(dtype=object)
    known = rows[~pd.isna(smiles[rows])]
    try:
        out[known] = molecule_key(smiles[known])
    except ValueError as error:
        message = bad_molecules_message(
            invalid_smiles(smiles[known]),
            len(known),
            f"column {structures!r}",
            lambda row: row_name(table, int(known[row])),
        )
        raise ValueError(f"{purpose}: {message}") from error
    return out


def _kind(values: np.ndarray) -> str:
    """Whether a column holds numbers or text; what pandas calls it if neither."""
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    return "text" if inferred == "string" else "numbers" if inferred in _NUMBERS else inferred
