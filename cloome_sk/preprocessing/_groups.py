"""Which rows of a table belong together: the sites of a well, the wells of a molecule."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, row_name
from cloome_sk.molecules import as_smiles, invalid_smiles, molecule_key
from cloome_sk.molecules.smiles import bad_molecules_message

LISTED = 5
KEYWORDS = {"well": ("plate", "well"), "plate": ("plate",)}
MOLECULE_KEY = "Metadata_molecule_key"

By = str | Sequence[str]
"""What names a group: "well", "plate", "molecule", or columns."""


@dataclass(frozen=True)
class Groups:
    """The group of each row.

    Attributes
    ----------
    codes : ndarray of intp, shape (n_rows,)
        0 to n_groups - 1, in the order in which groups first appear.
    names : DataFrame, shape (n_groups, n_columns)
        What the rows of a group have in common: one column for each that was grouped by.
    """

    codes: np.ndarray
    names: pd.DataFrame

    def __len__(self) -> int:
        return len(self.names)

    def name(self, code: int) -> str:
        """Say which group one is, for a message: ``Metadata_Plate 'P1', Metadata_Well 'A01'``."""
        row = self.names.iloc[code]
        return ", ".join(f"{column} {_plain(value)!r}" for column, value in row.items())


def group_rows(table: Any, by: By, rows: np.ndarray | None = None, *, purpose: str) -> Groups:
    """Group rows of a table.

    Parameters
    ----------
    table : DataFrame
        One row a sample.
    by : "well", "plate", "molecule", str or list of str
        What the rows of a group share. "well": plate and well; "plate"; "molecule":
        `cloome_sk.molecules.molecule_key` of the column named ``smiles``; or columns, by their
        names, in any case and with or without ``Metadata_``.
    rows : ndarray of intp, optional
        Positions of the rows to group; all by default.
    purpose : str
        Who asks; goes into error messages.

    Returns
    -------
    Groups
        One code for each of the rows.

    Raises
    ------
    TypeError
        If `table` is no DataFrame.
    ValueError
        For a column that is absent, a row without a value in it, or a structure that cannot be
        read.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.preprocessing._groups import group_rows
    >>> table = pd.DataFrame({"Plate": ["P1", "P1", "P2"], "Well": ["A01", "A01", "A01"]})
    >>> groups = group_rows(table, "well", purpose="example")
    >>> groups.codes.tolist(), groups.name(1)
    ([0, 0, 1], "Plate 'P2', Well 'A01'")
    """
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"{purpose}: rows are grouped by columns of a pandas DataFrame, got "
            f"{type(table).__name__}."
        )
    chosen = np.arange(len(table)) if rows is None else rows
    if isinstance(by, str) and by == "molecule":
        parts = {MOLECULE_KEY: pd.Series(_molecules(table, chosen, purpose))}
    else:
        columns = [_column(table, by, name, purpose) for name in _names(by, purpose)]
        parts = {str(column): _complete(table, column, chosen, purpose) for column in columns}
    values = pd.DataFrame(parts)
    numbers = values.groupby(list(parts), sort=False, observed=True).ngroup()
    codes = np.asarray(pd.factorize(numbers)[0], dtype=np.intp)
    return Groups(codes, values.iloc[first_rows(codes)].reset_index(drop=True))


def _names(by: Any, purpose: str) -> list[str]:
    if isinstance(by, str):
        return list(KEYWORDS.get(by, (by,)))
    names = list(by) if isinstance(by, list | tuple) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f'{purpose}: groups are named by "well", "plate", "molecule", a column or a list of '
            f"columns, got {by!r}."
        )
    return names


def _column(table: pd.DataFrame, by: By, name: str, purpose: str) -> Hashable:
    try:
        return match_column(table, name, purpose=f"{purpose}, by {by!r}")
    except ValueError as error:
        if by == "well" and name == "plate":
            raise ValueError(
                f"{error} A well is told apart by its plate: add the column, or name the columns "
                "to group by."
            ) from None
        raise


def _complete(table: pd.DataFrame, column: Hashable, rows: np.ndarray, purpose: str) -> pd.Series:
    """Values of a column in some rows; an error where one is missing or blank."""
    values = table[column].iloc[rows].reset_index(drop=True)
    blank = np.array([isinstance(each, str) and not each.strip() for each in values], dtype=bool)
    missing = np.flatnonzero(values.isna().to_numpy(dtype=bool) | blank)
    if len(missing):
        listed = "; ".join(row_name(table, int(rows[place])) for place in missing[:LISTED])
        raise ValueError(
            f"{purpose}: column {column!r}, which rows are grouped by, has no value in "
            f"{len(missing)} of {len(rows)} row(s): {listed}"
            f"{'; ...' if len(missing) > LISTED else ''}. Fill it in, or leave these rows out."
        )
    return values


def _molecules(table: pd.DataFrame, rows: np.ndarray, purpose: str) -> np.ndarray:
    column = match_column(table, "smiles", purpose=f"{purpose}, by 'molecule'")
    smiles = as_smiles(table[column].iloc[rows])
    if bad := invalid_smiles(smiles):
        named = bad_molecules_message(
            bad, len(smiles), f"column {column!r}", lambda place: row_name(table, int(rows[place]))
        )
        raise ValueError(
            f"{purpose}: rows are grouped by molecule, and {named} Mend or drop those rows, or "
            "group by a column that names the treatment."
        )
    return molecule_key(smiles)


def first_rows(codes: np.ndarray) -> np.ndarray:
    """Where each group first stands."""
    return np.unique(codes, return_index=True)[1]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
