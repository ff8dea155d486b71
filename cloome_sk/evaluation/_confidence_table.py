"""The table of a study of confidence: treated rows, classes, and halves of molecules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from cloome_sk._tables import match_column, shown
from cloome_sk.baselines._fitted import embeds
from cloome_sk.baselines._folds import Bench, prepare
from cloome_sk.baselines._structures import check_table, table_smiles
from cloome_sk.evaluation._training_seen import check_trained_before
from cloome_sk.metrics._checks import check_count
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import find_controls

PURPOSE = "study_confidence"
FEWEST_CLASSES = 3
"""One of them is left out to ask for what is new, and two remain to choose from."""


@dataclass(frozen=True)
class ConfidenceTable:
    """A table that was checked and split.

    Attributes
    ----------
    bench : Bench
        Treated rows, structures, molecules; each fold is (training rows, the others).
    labels : ndarray of object, shape (n_treated,)
        Class of each treated row as text; None where it has none, or one of a single molecule.
    molecules : ndarray of intp, shape (n_treated,)
        Code of the molecule of each treated row.
    seeds : list of int
        Of the deals of each fold.
    notes : tuple of str
        What was left out.
    halved : bool
        Whether folds are random halves, and not those of a splitter.
    """

    bench: Bench
    labels: np.ndarray
    molecules: np.ndarray
    seeds: list[int]
    notes: tuple[str, ...]
    halved: bool

    @property
    def labelled(self) -> np.ndarray:
        """Which treated rows have a class."""
        return pd.notna(self.labels)

    def with_table(self, table: pd.DataFrame, name: str) -> Bench:
        """The same rows and folds of a table with other features."""
        what = f"{PURPOSE}: tables[{name!r}]"
        check_table(table, what)
        bench = self.bench
        if not table.index.equals(bench.table.index):
            raise ValueError(
                f"{what} has {len(table)} rows and X {len(bench.table)}, or their index differs. "
                "It must hold the same rows, in the same order."
            )
        smiles = table_smiles(table, what, rows=bench.rows)
        if not np.array_equal(smiles, bench.smiles):
            at = int(np.flatnonzero(smiles != bench.smiles)[0])
            raise ValueError(
                f"{what}: row {bench.rows[at]} is {smiles[at]!r}, of X {bench.smiles[at]!r}. It "
                "must hold the same rows, in the same order."
            )
        return replace(bench, table=table)


def check_models(models: Any) -> list[str]:
    """Names of the models, each of which embeds phenotypes and may be used."""
    if not isinstance(models, Mapping):
        raise TypeError(
            f"{PURPOSE}: models is a dict of names and estimators, got {type(models).__name__}."
        )
    if not models:
        raise ValueError(f"{PURPOSE}: no models.")
    for name, model in models.items():
        if isinstance(model, type) or not embeds(model, "phenotype"):
            what = (
                f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
            )
            raise TypeError(
                f"{PURPOSE}: model {name!r} ({what}) is no estimator with embed_phenotypes. Pass "
                "an unfitted one, such as CloomeEmbedder() or "
                "cloome_sk.baselines.ProfileEmbedder(); it is trained in each fold."
            )
        check_trained_before(name, model, PURPOSE)
    return list(models)


def check_tables(
    tables: Mapping[str, pd.DataFrame] | None, names: list[str]
) -> Mapping[str, pd.DataFrame]:
    """Other tables, each of a model that there is."""
    unknown = [name for name in tables or {} if name not in names]
    if unknown:
        raise ValueError(
            f"{PURPOSE}: tables names {shown(map(repr, unknown))}, but the models are "
            f"{shown(map(repr, names))}."
        )
    return tables or {}


def read_table(
    X: pd.DataFrame, *, label: Any, cv: Any, controls: Any, random_state: Any
) -> ConfidenceTable:
    """Check a table, and halve its molecules, or let a splitter do so."""
    check_table(X, PURPOSE)
    rows = np.flatnonzero(~find_controls(X, controls).mask)
    if not len(rows):
        raise ValueError(f"{PURPOSE}: all {len(X)} rows are negative controls.")
    molecules = pd.factorize(molecule_key(table_smiles(X, PURPOSE, rows=rows)))[0]
    labels, notes = _labels(X, rows, label, molecules)
    generator = check_random_state(random_state)
    count = isinstance(cv, Integral) and not isinstance(cv, bool)
    if count:
        seeds = [int(generator.randint(2**31 - 1)) for _ in range(check_count(cv, "cv"))]
        cv = _Halves(labels, molecules, seeds)
    bench = prepare(
        X,
        task="unseen_molecules",
        y=None,
        groups=None,
        cv=cv,
        plate="plate",
        well="well",
        controls=controls,
        random_state=None,
        purpose=PURPOSE,
    )
    if not count:
        seeds = [int(generator.randint(2**31 - 1)) for _ in bench.folds]
    for number, (train, pool) in enumerate(bench.folds):
        _check_fold(number, labels[train], labels[pool], molecules[pool])
    return ConfidenceTable(bench, labels, molecules, seeds, notes, halved=count)


@dataclass(frozen=True)
class _Halves:
    """Splits the molecules of each class, and those of none, into random halves."""

    labels: np.ndarray
    molecules: np.ndarray
    seeds: list[int]

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Training rows and the others, for each seed."""
        for seed in self.seeds:
            train = np.isin(self.molecules, self._chosen(np.random.RandomState(seed)))
            yield np.flatnonzero(train), np.flatnonzero(~train)

    def _chosen(self, generator: np.random.RandomState) -> list[int]:
        """Codes of the molecules of the first half, rounded down, but one of each class."""
        named = pd.notna(self.labels)
        chosen: list[int] = []
        for name in np.unique(self.labels[named].astype(str)):
            # A molecule of two classes is on one side with all of its rows.
            own = np.setdiff1d(np.unique(self.molecules[self.labels == name]), chosen)
            chosen += generator.permutation(own)[: max(1, len(own) // 2)].tolist()
        unnamed = np.setdiff1d(self.molecules, self.molecules[named])
        return chosen + generator.permutation(unnamed)[: len(unnamed) // 2].tolist()


def _labels(
    X: pd.DataFrame, rows: np.ndarray, label: Any, molecules: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class of each treated row, and what is said of those without one."""
    if isinstance(label, str):
        values = X[match_column(X, label, purpose=f"{PURPOSE}(label=)")].to_numpy(object)
    else:
        values = np.asarray(pd.Series(label, dtype=object))
        if len(values) != len(X):
            raise ValueError(
                f"{PURPOSE}: label has {len(values)} value(s) for the {len(X)} rows of the table."
            )
    values = values[rows]
    known = pd.notna(values)
    labels = np.full(len(rows), None, dtype=object)
    labels[known] = values[known].astype(str)
    sizes = pd.Series(molecules[known]).groupby(labels[known]).nunique()
    alone = sizes.index[sizes < 2]
    labels[np.isin(labels.astype(str), alone) & known] = None
    if len(sizes) - len(alone) < FEWEST_CLASSES:
        raise ValueError(
            f"{PURPOSE} needs {FEWEST_CLASSES} classes or more of at least two molecules each; "
            f"label has {len(sizes) - len(alone)} of these, and {len(alone)} of one molecule "
            f"({shown(f'{name}: {n}' for name, n in sizes.items()) or 'no class at all'})."
        )
    named = pd.notna(labels)
    n_none = int((~named).sum())
    n_classes = len(sizes) - len(alone)
    note = (
        f"{int(named.sum()):,} of {len(rows):,} treated rows have a class ({n_classes} classes,"
        f" {len(np.unique(molecules[named]))} of {molecules.max() + 1} molecules)."
    )
    if n_none:
        note += (
            f" The {n_none:,} others are trained on, or are hits, but no class is asked of them."
        )
    if len(alone):
        note += f" Left out, as of one molecule only: {len(alone)} class(es), {shown(alone, 5)}."
    return labels, (note,)


def _check_fold(number: int, train: np.ndarray, pool: np.ndarray, molecules: np.ndarray) -> None:
    """Refuse a fold in which a class has no reference, or nothing is left to deal."""
    references = set(train[pd.notna(train)])
    named = pd.notna(pool)
    lacking = sorted(set(pool[named]) - references)
    if lacking or len(references) < FEWEST_CLASSES:
        raise ValueError(
            f"{PURPOSE}: in fold {number} no training molecule is of {len(lacking)} class(es) of "
            f"the others ({shown(lacking, 5)}), and {len(references)} classes have one. Nothing is "
            "promised for classes without references: use a splitter that is stratified by class, "
            "or a number of halvings."
        )
    n_left = len(np.unique(molecules[named]))
    if n_left < 3:
        raise ValueError(
            f"{PURPOSE}: in fold {number} are {n_left} molecules with a class that were not "
            "trained on; three or more are needed to calibrate with some and to test with others."
        )
