"""Rows, molecules and folds of a comparison, checked so that no fold leaks what it claims."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.utils import check_random_state

from cloome_sk._tables import match_column, metadata_columns, row_name, shown
from cloome_sk.baselines._structures import table_smiles
from cloome_sk.baselines.well_features import plate_values, well_positions
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing.controls import find_controls

TASKS = ("unseen_molecules", "unseen_plates", "classes")


def seeds(random_state: Any) -> tuple[int, int]:
    """Seed of the folds, and that of the resamples."""
    folds, resamples = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=2)
    return int(folds), int(resamples)


@dataclass(frozen=True)
class Bench:
    """A table to compare on.

    Attributes
    ----------
    task : str
        One of `TASKS`.
    table : DataFrame
        All rows, controls among them.
    rows : ndarray of intp
        Positions of the treated rows; all arrays below are in their order.
    smiles, keys : ndarray of object
        Structure, and name of the molecule.
    plates, positions : ndarray of object or None
        Plate and well position, where the task needs them and the table has them.
    labels : ndarray or None
        Class of each row, for ``"classes"``.
    folds : list of (train, test)
        Positions in `rows`.
    plate_column : str
        How the user names the column of plates.
    """

    task: str
    table: pd.DataFrame
    rows: np.ndarray
    smiles: np.ndarray
    keys: np.ndarray
    plates: np.ndarray | None
    positions: np.ndarray | None
    labels: np.ndarray | None
    folds: list[tuple[np.ndarray, np.ndarray]]
    plate_column: str

    def training_table(self, train: np.ndarray) -> pd.DataFrame:
        """Training rows, with the control rows that belong to them, in the order of the table.

        Controls are no query and no candidate. For unseen plates those of the training plates
        come along, otherwise all: every plate is in training then.
        """
        if self.task == "classes":
            return self.table.iloc[self.rows[train]]
        kept = np.ones(len(self.table), dtype=bool)
        kept[self.rows] = False
        if self.plates is not None:
            of_row = plate_values(self.table, self.plate_column, purpose="training plates")
            kept &= pd.Series(of_row).isin(self.plates[train]).to_numpy()
        kept[self.rows[train]] = True
        return self.table[kept]


def prepare(
    X: pd.DataFrame,
    *,
    task: str,
    y: Any,
    groups: Any,
    cv: Any,
    plate: str,
    well: str,
    controls: Any,
    random_state: Any,
    purpose: str = "compare",
) -> Bench:
    """Check a table, and split it; errors begin with the `purpose`."""
    if task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(map(repr, TASKS))}, got {task!r}.")
    if (y is not None) != (task == "classes"):
        raise ValueError(
            "task='classes' needs y, the class of each row, and the other tasks take none; got "
            f"task={task!r} and y={'None' if y is None else 'labels'}."
        )
    rows = np.flatnonzero(~find_controls(X, controls).mask)
    if not len(rows):
        raise ValueError(f"{purpose}: all {len(X)} rows are negative controls.")
    smiles = table_smiles(X, purpose, rows=rows)
    keys = molecule_key(smiles)
    plates = positions = labels = None
    if task == "unseen_plates":
        plates = plate_values(X, plate, purpose=purpose)[rows]
        positions = _positions(X.iloc[rows], well, purpose)
    if task == "classes":
        labels = _values(X, rows, y, "y", purpose)
        _check_classes(labels, keys, purpose)
    grouping = (keys if plates is None else plates) if groups is None else None
    if grouping is None:
        grouping = _values(X, rows, groups, "groups", purpose)
    folds = _split(X.iloc[rows], labels, grouping, cv, task, random_state, purpose)
    _check_folds(folds, keys if plates is None else plates, task, purpose)
    return Bench(task, X, rows, smiles, keys, plates, positions, labels, folds, plate)


def _positions(X: pd.DataFrame, well: str, purpose: str) -> np.ndarray | None:
    plain = {str(name).lower().removeprefix("metadata_") for name in metadata_columns(X)}
    if well not in X.columns and well.lower().removeprefix("metadata_") not in plain:
        return None
    letters, numbers = well_positions(X, well, purpose=purpose)
    return np.array([f"{a}{b}" for a, b in zip(letters, numbers, strict=True)], dtype=object)


def _values(X: pd.DataFrame, rows: np.ndarray, values: Any, name: str, purpose: str) -> np.ndarray:
    """Labels of the treated rows, from a column or an array of the table's length."""
    if isinstance(values, str):
        series = X[match_column(X, values, purpose=f"{purpose}({name}=)")]
    else:
        series = pd.Series(np.asarray(values, dtype=object) if isinstance(values, list) else values)
        if len(series) != len(X):
            raise ValueError(
                f"{purpose}: {name} has {len(series)} value(s) for the {len(X)} rows of the table."
            )
    chosen = series.iloc[rows]
    missing = rows[chosen.isna().to_numpy()]
    if len(missing):
        raise ValueError(
            f"{purpose}: {name} is missing in {len(missing)} treated row(s), first in "
            f"{row_name(X, missing[0])}. Drop those rows first."
        )
    return chosen.to_numpy()


def _check_classes(labels: np.ndarray, keys: np.ndarray, purpose: str) -> None:
    molecules = pd.Series(keys).groupby(labels).nunique()
    if len(molecules) < 2:
        raise ValueError(f"{purpose}: y has one class only ({molecules.index[0]!r}).")
    alone = molecules.index[molecules < 2]
    if len(alone):
        raise ValueError(
            f"{purpose}: {len(alone)} class(es) have one molecule only: {shown(alone)}. A molecule "
            "that training did not see cannot be told to be of a class that it did not see either: "
            "drop their rows."
        )


def _split(
    X: pd.DataFrame,
    labels: Any,
    groups: np.ndarray,
    cv: Any,
    task: str,
    random_state: Any,
    purpose: str,
) -> list[tuple[np.ndarray, np.ndarray]]:
    if isinstance(cv, Integral) and not isinstance(cv, bool):
        n_groups = pd.Series(groups).nunique()
        if n_groups < 2 or cv < 2:
            raise ValueError(
                f"{purpose}: cv={cv} folds of {n_groups} group(s); both must be over 1."
            )
        kind = StratifiedGroupKFold if task == "classes" else GroupKFold
        seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
        cv = kind(n_splits=min(int(cv), n_groups), shuffle=True, random_state=seed)
    if isinstance(cv, str) or not hasattr(cv, "split"):
        raise TypeError(f"{purpose}: cv must be a number of folds or a splitter, got {cv!r}.")
    return [(np.asarray(train), np.asarray(test)) for train, test in cv.split(X, labels, groups)]


def _check_folds(
    folds: list[tuple[np.ndarray, np.ndarray]], claimed: np.ndarray, task: str, purpose: str
) -> None:
    what = "plate" if task == "unseen_plates" else "molecule"
    for number, (train, test) in enumerate(folds):
        shared = set(claimed[train]) & set(claimed[test])
        if shared:
            raise ValueError(
                f"{purpose}: fold {number} has {len(shared)} {what}(s) both in training and in "
                f"test ({shown(sorted(map(str, shared)), 5)}), so task={task!r} would not be what "
                f"it says. Use a splitter that keeps groups together, and groups no finer than a "
                f"{what}."
            )
