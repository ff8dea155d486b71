"""The two tables of a transfer study, read, and which of their molecules training may see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from cloome_sk._tables import match_column, row_name
from cloome_sk.baselines._structures import check_table, table_smiles
from cloome_sk.baselines.well_features import plate_values
from cloome_sk.molecules import as_smiles, invalid_smiles, molecule_key
from cloome_sk.preprocessing.controls import find_controls

PURPOSE = "study_transferability"
SIDES = ("source", "target")
FEWEST_MOLECULES = 2
"""Of a class that is asked for: one to learn from, one to be told."""


@dataclass(frozen=True)
class Lab:
    """A table; all arrays are in the order of its rows.

    Attributes
    ----------
    name : str
        "source" or "target".
    table : DataFrame
        All rows, numbered from 0.
    control : ndarray of bool
        Which rows are negative controls.
    molecules : ndarray of object
        Name of the molecule; None for controls.
    classes : ndarray of object
        Class; None for controls, for rows without one, and for molecules with several.
    plates, batches : ndarray of object
        Plate of each row, and that on whose controls embeddings are aligned.
    several : tuple of str
        Molecules that bear several classes.
    keys : ndarray of object, or None
        Structure of each treated row, as `cloome_sk.molecules.molecule_key` names it; None where
        the table does not have all structures.
    """

    name: str
    table: pd.DataFrame = field(repr=False)
    control: np.ndarray
    molecules: np.ndarray
    classes: np.ndarray
    plates: np.ndarray
    batches: np.ndarray
    several: tuple[str, ...]
    keys: np.ndarray | None = None

    def class_of(self) -> dict[str, Any]:
        """The class of each molecule, None where no row of it has one."""
        rows = np.flatnonzero(~self.control)
        known = [row for row in rows if self.classes[row] is not None]
        # Some rows of a molecule may have no class, such as those of another dose.
        return {
            **dict.fromkeys(self.molecules[rows]),
            **{self.molecules[row]: self.classes[row] for row in known},
        }

    def rows_of(self, molecules: set[str]) -> np.ndarray:
        """Positions of the treated rows of some molecules."""
        return np.flatnonzero(pd.Series(self.molecules).isin(molecules).to_numpy())


def read_lab(
    name: str,
    X: Any,
    *,
    label: str | None,
    molecule: str | None,
    plate: str,
    align_by: str,
    controls: Any,
) -> Lab:
    """Read one of the tables; the errors say which."""
    purpose = f"{PURPOSE}, {name}"
    table = check_table(X, purpose)
    control = find_controls(table, controls).mask
    rows = np.flatnonzero(~control)
    if not len(rows):
        raise ValueError(f"{purpose}: all {len(table)} rows are negative controls.")
    molecules = np.full(len(table), None, dtype=object)
    if molecule is None:
        molecules[rows] = molecule_key(table_smiles(table, purpose, rows=rows))
        keys: np.ndarray | None = molecules
    else:
        keys = _structures(table, rows, purpose)
        column = match_column(table, molecule, purpose=f"{purpose} (molecule=)")
        missing = rows[table[column].iloc[rows].isna().to_numpy()]
        if len(missing):
            raise ValueError(
                f"{purpose}: column {column!r}, which names molecules, is missing in "
                f"{len(missing)} treated row(s), first in {row_name(table, missing[0])}."
            )
        molecules[rows] = table[column].iloc[rows].astype(str).to_numpy(dtype=object)
    classes = np.full(len(table), None, dtype=object)
    several: tuple[str, ...] = ()
    if label is not None:
        column = match_column(table, label, purpose=f"{purpose} (label)")
        given = _plain(table[column])
        known = rows[pd.notna(given[rows])]
        classes[known] = given[known]
        counts = pd.Series(given[known]).groupby(molecules[known]).nunique()
        several = tuple(counts.index[counts > 1])
        classes[pd.Series(molecules).isin(several).to_numpy()] = None
    return Lab(
        name,
        table,
        control,
        molecules,
        classes,
        plate_values(table, plate, purpose=purpose),
        plate_values(table, align_by, purpose=purpose),
        several,
        keys,
    )


def _structures(table: pd.DataFrame, rows: np.ndarray, purpose: str) -> np.ndarray | None:
    """Keys of the structures of treated rows, where all have one that can be read."""
    if not any(str(name).lower().removeprefix("metadata_") == "smiles" for name in table.columns):
        return None
    smiles = as_smiles(table[match_column(table, "smiles", purpose=purpose)].iloc[rows])
    if invalid_smiles(smiles):
        return None
    keys = np.full(len(table), None, dtype=object)
    keys[rows] = molecule_key(smiles)
    return keys


def _plain(labels: pd.Series) -> np.ndarray:
    """Classes of one kind however they were read: 1.0 beside missing values is 1, blank is none."""

    def plain(value: Any) -> Any:
        if pd.isna(value) or (isinstance(value, str) and not value.strip()):
            return None
        if isinstance(value, float | np.floating) and float(value).is_integer():
            return int(value)
        return value.item() if isinstance(value, np.generic) else value

    found = np.empty(len(labels), dtype=object)
    found[:] = [plain(value) for value in labels]
    return found


def check_same_kind(source: Lab, target: Lab) -> None:
    """Refuse classes that look alike and are not: 1 on one side, "1" on the other."""
    first, second = (
        {name for name in lab.class_of().values() if name is not None} for lab in (source, target)
    )
    texts = {str(name): name for name in second - first}
    for name in sorted(first - second, key=str):
        if str(name) in texts:
            other = texts[str(name)]
            raise ValueError(
                f"{PURPOSE}: class {name!r} of the source is {type(name).__name__}, and {other!r} "
                f"of the target {type(other).__name__}. Give both columns the same type."
            )


@dataclass(frozen=True)
class Split:
    """Which molecules training sees, and in which fold each of the others is asked for.

    Attributes
    ----------
    held_out : set of str
        Molecules of the source that no method is trained on.
    trained : set of str
        The others of the source.
    fold_of : dict of str to int
        Fold of each molecule of both tables: a molecule is in one fold, on whichever side.
    carried_fold_of : dict of str to int
        That for what is learned on the source. A molecule that only the target has is in the fold
        of one of the source of its class, so that as many of the class teach it as teach a molecule
        of the source.
    n_folds : int
        Their number.
    """

    held_out: set[str]
    trained: set[str]
    fold_of: dict[str, int]
    carried_fold_of: dict[str, int]
    n_folds: int


def split_molecules(
    source: Lab,
    target: Lab,
    *,
    hold_out: float,
    needed: int,
    n_folds: int,
    random_state: Any,
) -> Split:
    """Hold out molecules of the source, class by class, and deal all molecules to folds.

    Of each class the share `hold_out` is taken of the molecules that the target has too and of
    those that it has not; at least `needed`, where there are so many. Molecules without a class are
    one class here. Nothing depends on the order of rows, and what is held out on no label of the
    target; folds spread the classes of both sides.
    """
    generator = check_random_state(random_state)
    classes = source.class_of()
    shared = set(target.class_of())
    held: set[str] = set()
    for members in _by_class(classes, generator):
        both, own = ([m for m in members if (m in shared) is common] for common in (True, False))
        taken = both[: round(hold_out * len(both))] + own[: round(hold_out * len(own))]
        rest = [m for m in members if m not in taken]
        unlabelled = classes[members[0]] is None
        if hold_out > 0 and not unlabelled and len(members) >= needed:
            taken += rest[: max(0, needed - len(taken))]
        held.update(taken)
    trained = set(classes) - held
    if not trained:
        raise ValueError(
            f"{PURPOSE}: all {len(held)} molecules of the source would be held out, and none is "
            f"left to train on. Ask for a smaller hold_out than {hold_out} or fewer references."
        )
    parts = {
        "held out": {m: classes[m] for m in held},
        "new": {m: c for m, c in target.class_of().items() if m not in trained},
        "seen": {m: c for m, c in target.class_of().items() if m in trained},
    }
    fold_of = _deal(parts, trained, n_folds, generator)
    carried = fold_of
    if held:
        carried = _deal({"source": classes}, trained, n_folds, generator)
        others = {m: c for m, c in target.class_of().items() if m not in classes}
        carried |= _beside(others, classes, carried, n_folds, generator)
    return Split(held, trained, fold_of, carried, n_folds)


def _by_class(class_of: dict[str, Any], generator: np.random.RandomState) -> list[list[str]]:
    """Molecules of each class in random order, those without a class last."""
    members: dict[Any, list[str]] = {}
    for molecule in sorted(class_of):
        members.setdefault(class_of[molecule], []).append(molecule)
    names = sorted(members, key=lambda name: (name is None, str(name)))
    return [
        [members[name][place] for place in generator.permutation(len(members[name]))]
        for name in names
    ]


def _deal(
    parts: dict[str, dict[str, Any]],
    trained: set[str],
    n_folds: int,
    generator: np.random.RandomState,
) -> dict[str, int]:
    """Spread each class of each part over the folds as evenly as can be."""
    counts: dict[tuple[str, Any], np.ndarray] = {}
    total = np.zeros(n_folds)
    fold_of: dict[str, int] = {}
    everyone = sorted(set().union(trained, *parts.values()))
    # Those of several parts first: they are the hardest to place.
    order = [everyone[place] for place in generator.permutation(len(everyone))]
    order.sort(key=lambda name: -sum(name in part for part in parts.values()))
    for molecule in order:
        own = [
            counts.setdefault((part, members[molecule]), np.zeros(n_folds))
            for part, members in parts.items()
            if molecule in members
        ]
        crowd = np.sum(own, axis=0) if own else np.zeros(n_folds)
        fold = int(np.lexsort((generator.random_sample(n_folds), total, crowd))[0])
        for count in own:
            count[fold] += 1
        total[fold] += 1
        fold_of[molecule] = fold
    return fold_of


def _beside(
    others: dict[str, Any],
    classes: dict[str, Any],
    fold_of: dict[str, int],
    n_folds: int,
    generator: np.random.RandomState,
) -> dict[str, int]:
    """Put each of the target's own molecules into the fold of one of the source of its class."""
    folds: dict[Any, list[int]] = {}
    for molecule in sorted(classes):
        folds.setdefault(classes[molecule], []).append(fold_of[molecule])
    out = {}
    for molecule in sorted(others):
        own = folds.get(others[molecule], [])
        # One alone must teach, or nothing does.
        free = own if len(own) > 1 else [fold for fold in range(n_folds) if fold not in own]
        out[molecule] = free[generator.randint(len(free))]
    return out


def asked_classes(classes: np.ndarray, molecules: np.ndarray, fewest: int) -> list[Any]:
    """Classes with so many molecules, sorted by name."""
    known = np.array([name is not None for name in classes], dtype=bool)
    sizes = pd.Series(molecules[known]).groupby(classes[known]).nunique()
    return sorted(sizes.index[sizes >= fewest], key=str)
