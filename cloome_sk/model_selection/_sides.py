"""The training and the test set of a leakage report: tables, control rows, structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import METADATA_PREFIX, match_column, row_name
from cloome_sk.model_selection._labels import Labels, read_labels
from cloome_sk.molecules import as_smiles, invalid_smiles, molecule_key
from cloome_sk.molecules.smiles import bad_molecules_message, factorize
from cloome_sk.preprocessing.controls import (
    ControlRows,
    apply_controls,
    check_controls,
    find_controls,
)

PURPOSE = "leakage_report"
COLUMNS = ("smiles", "plate", "well", "batch", "source")
Columns = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Side:
    """One of the two sets.

    Attributes
    ----------
    name : str
        "training" or "test".
    table : DataFrame
        Its rows.
    controls : ControlRows
        Which rows are negative controls.
    columns : mapping of str to str or sequence of str
        Names given by the user in place of the usual ones.
    """

    name: str
    table: pd.DataFrame
    controls: ControlRows
    columns: Columns

    def __len__(self) -> int:
        return len(self.table)

    def lacks(self, what: str) -> str | None:
        """Why a column cannot be read, in words; None if it can."""
        if what in self.columns:
            return None  # named by the user: reading it raises where it is absent
        plain = [str(name).lower().removeprefix(METADATA_PREFIX) for name in self.table.columns]
        return None if what in plain else f"no {what} column in the {self.name} table"

    def labels(self, what: str) -> Labels:
        """Values of a column as text."""
        return read_labels(self.table, self.columns.get(what, what), purpose=self.purpose)

    @property
    def purpose(self) -> str:
        """How an error message points at this set."""
        return f"{PURPOSE}, {self.name} table"


@dataclass(frozen=True)
class SideMolecules:
    """The molecules of one set, without its controls.

    Attributes
    ----------
    rows : ndarray of intp, shape (n_rows_with_structure,)
        Rows that have a structure.
    codes : ndarray of intp, shape (n_rows_with_structure,)
        Which distinct SMILES each of them has.
    smiles, keys : ndarray of object, shape (n_distinct,)
        The distinct SMILES and their molecules.
    n_unreadable : int
        Treated rows without a readable structure.
    """

    rows: np.ndarray
    codes: np.ndarray
    smiles: np.ndarray
    keys: np.ndarray
    n_unreadable: int

    @property
    def row_keys(self) -> np.ndarray:
        """Molecule of each row in `rows`."""
        return self.keys[self.codes]


def read_sides(train: Any, test: Any, controls: Any, columns: Columns | None) -> tuple[Side, Side]:
    """Both sets as tables with their controls found."""
    columns = _checked_columns(columns)
    tables = [_as_table(X, name) for X, name in ((train, "training"), (test, "test"))]
    check_controls(controls)
    if isinstance(controls, tuple):
        column, values = controls
        several = isinstance(values, list | tuple | set | frozenset | np.ndarray | pd.Series)
        found = [apply_controls(X, column, list(values) if several else [values]) for X in tables]
        if not any(rows.n for rows in found):
            find_controls(tables[0], controls)  # says what is wrong with the rule
    else:
        found = [find_controls(X, controls) for X in tables]
    train_side, test_side = (
        Side(name, table, rows, columns)
        for name, table, rows in zip(("training", "test"), tables, found, strict=True)
    )
    return train_side, test_side


def _checked_columns(columns: Columns | None) -> Columns:
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise TypeError(
            f"{PURPOSE}: columns must be a mapping such as {{'plate': 'Assay_Plate_Barcode'}}, "
            f"got {type(columns).__name__}."
        )
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise ValueError(
            f"{PURPOSE}: columns names {unknown[0]!r}, which is none of {', '.join(COLUMNS)}."
        )
    if not isinstance(columns.get("smiles", ""), str):
        raise TypeError(f"{PURPOSE}: columns['smiles'] must be one name.")
    return dict(columns)


def _as_table(X: Any, name: str) -> pd.DataFrame:
    if not isinstance(X, pd.DataFrame):
        if getattr(X, "ndim", 1) != 1:
            raise TypeError(
                f"{PURPOSE}: the {name} set must be a DataFrame or a list of SMILES, got "
                f"{type(X).__name__} of shape {X.shape}."
            )
        X = pd.DataFrame({"smiles": as_smiles(X)})
    if not len(X):
        raise ValueError(f"{PURPOSE}: the {name} table has no rows.")
    return X


def read_molecules(side: Side, *, required: bool) -> SideMolecules | str:
    """The molecules of a set, or the reason in words why there are none."""
    missing = side.lacks("smiles")
    if missing:
        return missing
    column = match_column(
        side.table, str(side.columns.get("smiles", "smiles")), purpose=side.purpose
    )
    treated = np.flatnonzero(~side.controls.mask)
    smiles = as_smiles(side.table[column])[treated]
    bad = invalid_smiles(smiles)
    if bad and required:
        message = bad_molecules_message(
            bad,
            len(smiles),
            f"column {column!r}, controls aside,",
            lambda row: row_name(side.table, int(treated[row])),
        )
        raise ValueError(
            f"{side.purpose}: {message} The claim cannot be checked with them: leave these rows "
            "out, or name the controls among them by `controls`."
        )
    good = np.delete(np.arange(len(smiles)), list(bad))
    if not len(good):
        return f"the {side.name} table has no molecule besides its controls"
    codes, distinct = factorize(smiles[good])
    return SideMolecules(treated[good], codes, distinct, molecule_key(distinct), len(bad))
