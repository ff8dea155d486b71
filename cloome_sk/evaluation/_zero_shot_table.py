"""The table of a zero-shot study: its treated rows, their classes, and the folds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.utils import check_random_state

from cloome_sk._tables import match_column, shown
from cloome_sk.baselines._folds import Bench, prepare
from cloome_sk.baselines._structures import check_table, table_smiles
from cloome_sk.baselines.well_features import plate_values, well_positions
from cloome_sk.evaluation._zero_shot_draws import deal_molecules
from cloome_sk.evaluation._zero_shot_order import order_by_content, reordered, sorted_codes
from cloome_sk.evaluation._zero_shot_plans import Rows
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing.controls import find_controls

PURPOSE = "study_zero_shot"


@dataclass(frozen=True)
class ZeroShotTable:
    """A table that was checked and split.

    Attributes
    ----------
    bench : Bench
        Treated rows, structures, molecules, folds.
    rows : Rows
        Codes of the treated rows.
    names : ndarray of object
        The classes, by code.
    n_unlabelled : int
        Treated rows without a class.
    order : ndarray of intp
        Positions in the table that was given, of the rows in the order of `bench`, which is the
        same however they are given.
    """

    bench: Bench
    rows: Rows
    names: np.ndarray
    n_unlabelled: int
    order: np.ndarray

    def with_table(self, table: pd.DataFrame, name: str) -> Bench:
        """The same rows and folds of a table with other features."""
        check_table(table, f"{PURPOSE}: tables[{name!r}]")
        bench = self.bench
        if len(table) != len(bench.table) or not table.index[self.order].equals(bench.table.index):
            raise ValueError(
                f"{PURPOSE}: tables[{name!r}] has {len(table)} rows and X {len(bench.table)}, or "
                "their index differs. It must hold the same rows, in the same order."
            )
        given = self.order[bench.rows]
        smiles = table_smiles(table, f"{PURPOSE}: tables[{name!r}]", rows=given)
        if not np.array_equal(smiles, bench.smiles):
            at = int(np.flatnonzero(smiles != bench.smiles)[0])
            raise ValueError(
                f"{PURPOSE}: row {given[at]} of tables[{name!r}] is {smiles[at]!r}, of X "
                f"{bench.smiles[at]!r}. It must hold the same rows, in the same order."
            )
        return replace(bench, table=table.iloc[self.order])


def read_table(
    X: pd.DataFrame,
    *,
    task: str,
    label: Any,
    groups: Any,
    cv: Any,
    together: int,
    plate: str | None,
    well: str | None,
    controls: Any,
    random_state: Any,
) -> ZeroShotTable:
    """Check a table, and split it so that `together` molecules of a class are in a fold."""
    check_table(X, PURPOSE)
    mask = find_controls(X, controls).mask
    rows = np.flatnonzero(~mask)
    if not len(rows):
        raise ValueError(f"{PURPOSE}: all {len(X)} rows are negative controls.")
    keys = molecule_key(table_smiles(X, PURPOSE, rows=rows))
    molecules, known = sorted_codes(pd.Series(keys, dtype=object))
    if len(known) < 2:
        raise ValueError(f"{PURPOSE}: the table has one molecule only, in {len(rows)} rows.")
    if task == "moa":
        classes, names = _classes(X, rows, label)
    else:
        classes, names = molecules, np.asarray(known, dtype=object)
        if label is not None:
            raise ValueError(
                f"{PURPOSE}: task='molecule' names molecules and takes no label, got {label!r:.60}."
            )
    generator = check_random_state(random_state)
    count = isinstance(cv, Integral) and not isinstance(cv, bool)
    if count and cv < 2:
        raise ValueError(f"{PURPOSE}: cv={cv}; at least 2 folds are needed.")
    if task == "moa" and groups is None and count:
        # Of several classes the first in the alphabet: any rule that no order of rows changes.
        of_molecule = np.full(len(known), len(names))
        labelled = classes >= 0
        np.minimum.at(of_molecule, molecules[labelled], classes[labelled])
        of_molecule[of_molecule == len(names)] = -1
        folds = deal_molecules(of_molecule, min(int(cv), len(known)), together, generator)
        groups, cv = np.full(len(X), -1), LeaveOneGroupOut()
        groups[rows] = folds[molecules]
    bench = prepare(
        X,
        task="unseen_molecules",
        y=None,
        groups=groups,
        cv=cv,
        plate="plate",
        well="well",
        controls=controls,
        random_state=generator.randint(2**31 - 1),
        purpose="study_zero_shot",
    )
    plates, positions = _plates(X, rows, plate), _positions(X, rows, well)
    order = order_by_content(X, rows, keys, classes)
    bench, treated = reordered(bench, order)
    return ZeroShotTable(
        bench,
        Rows(
            molecules[treated],
            classes[treated],
            None if plates is None else plates[treated],
            None if positions is None else positions[treated],
        ),
        names,
        int((classes < 0).sum()),
        order,
    )


def _classes(X: pd.DataFrame, rows: np.ndarray, label: Any) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the treated rows, −1 without a class, and the classes."""
    if label is None:
        raise ValueError(
            f"{PURPOSE}: task='moa' needs label, the column of classes or a class for each row."
        )
    if isinstance(label, str):
        values = X[match_column(X, label, purpose=f"{PURPOSE}(label=)")].to_numpy(object)
    else:
        values = np.asarray(pd.Series(label, dtype=object))
        if len(values) != len(X):
            raise ValueError(
                f"{PURPOSE}: label has {len(values)} value(s) for the {len(X)} rows of the table."
            )
    codes, names = sorted_codes(pd.Series(values[rows], dtype=object))
    if len(names) < 2:
        found = f"one class only ({names[0]!r})" if len(names) else "no class at all"
        raise ValueError(
            f"{PURPOSE}: label has {found} in the {len(rows)} treated rows; at least two classes "
            f"are needed. Columns of the table: {shown(X.columns)}."
        )
    return codes, names


def _plates(X: pd.DataFrame, rows: np.ndarray, plate: str | None) -> np.ndarray | None:
    if plate is None:
        return None
    try:
        values = plate_values(X, plate, purpose=PURPOSE)[rows]
    except ValueError as error:
        error.add_note("Where plates are not known, pass plate=None: parts that need them go.")
        raise
    return pd.factorize(values)[0]


def _positions(X: pd.DataFrame, rows: np.ndarray, well: str | None) -> np.ndarray | None:
    if well is None:
        return None
    letters, numbers = well_positions(X.iloc[rows], well, purpose=PURPOSE)
    return pd.factorize(letters + numbers.astype(str).astype(object))[0]
