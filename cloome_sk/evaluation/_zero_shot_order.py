"""An order of rows that depends on what they hold alone, so that a study does not on theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import metadata_columns
from cloome_sk.baselines._folds import Bench

FIRST = ("plate", "well")
"""Columns that come before the others, named in any case and with or without ``Metadata_``."""


def order_by_content(
    X: pd.DataFrame, rows: np.ndarray, keys: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Sort rows by molecule, plate, well, the other metadata and, where these tie, all features.

    Parameters
    ----------
    X : DataFrame, shape (n_rows, n_columns)
        The table.
    rows : ndarray of intp
        Positions of the treated rows. The others come last.
    keys : ndarray of object, shape (n_treated,)
        Their molecules.
    classes : ndarray of intp, shape (n_treated,)
        Codes of their classes.

    Returns
    -------
    ndarray of intp, shape (n_rows,)
        Positions in X. Rows that hold the same in every column stay as they are.
    """
    treated = np.zeros(len(X), dtype=bool)
    treated[rows] = True
    of_row = np.full(len(X), "", dtype=object)
    of_row[rows] = keys
    of_class = np.full(len(X), -1)
    of_class[rows] = classes
    levels = [~treated, _codes(pd.Series(of_row)), of_class]
    columns = [(_rank(str(name)), at) for at, name in enumerate(X.columns)]
    described = set(metadata_columns(X))
    levels += [_codes(X.iloc[:, at]) for _, at in sorted(columns) if X.columns[at] in described]
    levels = [level for level in levels if len(level) and (level != level[0]).any()]
    known = pd.DataFrame(dict(enumerate(levels)))
    alike = known.duplicated(keep=False).to_numpy()
    if alike.any():
        levels.append(np.where(alike, _digest(X), 0))
    return np.lexsort(levels[::-1]) if levels else np.arange(len(X))


def reordered(bench: Bench, order: np.ndarray) -> tuple[Bench, np.ndarray]:
    """A bench whose table is in another order, and the treated rows in that order.

    Folds were dealt before, as a splitter may go by the position of rows.
    """
    place = np.argsort(order)[bench.rows]
    treated = np.argsort(place)
    back = np.argsort(treated)
    moved = replace(
        bench,
        table=bench.table.iloc[order],
        rows=place[treated],
        smiles=bench.smiles[treated],
        keys=bench.keys[treated],
        folds=[(np.sort(back[train]), np.sort(back[test])) for train, test in bench.folds],
    )
    return moved, treated


def sorted_codes(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes in the order of the values as text, −1 for a missing one, and the values."""
    codes, names = pd.factorize(values)
    rank = np.argsort(np.array([str(name) for name in names], dtype=object), kind="stable")
    # The last place is that of code −1.
    place = np.append(np.argsort(rank), -1)
    return place[codes], np.asarray(names, dtype=object)[rank]


def _codes(column: pd.Series) -> np.ndarray:
    """Rank of each value of a column, as text; −1 for a missing one."""
    return sorted_codes(column.map(str, na_action="ignore"))[0]


def _rank(name: str) -> tuple[int, str]:
    plain = name.lower().removeprefix("metadata_")
    return (FIRST.index(plain) if plain in FIRST else len(FIRST), name)


def _digest(X: pd.DataFrame) -> np.ndarray:
    """A number for what each row holds; columns in the order of their names."""
    out: Any = np.zeros(len(X), dtype=np.uint64)
    for at in sorted(range(X.shape[1]), key=lambda at: str(X.columns[at])):
        column = X.iloc[:, at]
        if not pd.api.types.is_numeric_dtype(column):
            column = column.map(str)
        value = pd.util.hash_pandas_object(column, index=False).to_numpy()
        out = out * np.uint64(31) + value
    return out
