"""Folds by molecule, scaffold and plate, what is claimed to be new in each, and one-image draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from cloome_sk._tables import match_column, shown
from cloome_sk.baselines._folds import Bench, prepare, seeds
from cloome_sk.baselines._structures import check_table, table_smiles
from cloome_sk.model_selection import scaffold_groups
from cloome_sk.preprocessing.controls import ControlRows, apply_controls, find_controls

SPLITS = ("molecule", "scaffold", "plate")
UNSEEN_MOLECULES, UNSEEN_SCAFFOLDS = "unseen molecules", "unseen scaffolds"
SEEN_ON_UNSEEN = "seen molecules on unseen plates"
UNSEEN_ON_UNSEEN = "unseen molecules on unseen plates"
SAMPLE = 100
"""Candidates of the 1-in-100 protocol."""


@dataclass(frozen=True)
class Part:
    """Test rows of a split that are scored among themselves.

    Attributes
    ----------
    name : str
        In words.
    claim : tuple of str
        What is new in them, as `cloome_sk.model_selection.leakage_report` takes it.
    tested : tuple of ndarray of intp
        For each fold, positions among the treated rows; none where a fold has fewer than two
        molecules of this part, which leave nothing to choose from.
    draws : tuple of ndarray of intp, shape (n_draws, n_molecules)
        For each fold, places in `tested`: a random row of each molecule, in the order in which
        molecules first appear.
    n_lonely : int
        Folds with a single molecule of this part.
    """

    name: str
    claim: tuple[str, ...]
    tested: tuple[np.ndarray, ...]
    draws: tuple[np.ndarray, ...]
    n_lonely: int

    @property
    def sizes(self) -> list[int]:
        """Molecules of each fold that is scored."""
        return [one.shape[1] for one in self.draws if one.size]

    @property
    def sampled(self) -> bool:
        """Whether every fold has the candidates of the 1-in-100 protocol."""
        return min(self.sizes, default=0) >= SAMPLE


@dataclass(frozen=True)
class Split:
    """One way to split a table.

    Attributes
    ----------
    name : str
        One of `SPLITS`.
    bench : Bench
        Rows, molecules and folds.
    parts : tuple of Part
        What is scored; parts share no row of a fold.
    rule : tuple or None
        Column and values of the control rows.
    renamed : dict of hashable to str
        Columns of plates and wells by the names that a leakage report looks for.
    """

    name: str
    bench: Bench
    parts: tuple[Part, ...]
    rule: Any
    renamed: dict[Any, str]

    def leakage_tables(
        self, train: pd.DataFrame, test: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
        """Both tables with the usual column names, and the control rule where it applies."""
        if self.renamed:
            usual = {_plain(name) for name in self.renamed.values()}
            away = [c for c in train.columns if _plain(c) in usual and c not in self.renamed]
            train, test = (X.drop(columns=away).rename(columns=self.renamed) for X in (train, test))
        known = self.rule is not None and apply_controls(train, *self.rule).n
        return train, test, self.rule if known else None

    def notes(self) -> list[str]:
        """What is tested and what is left out, with counts."""
        said = []
        for part in self.parts:
            sizes = part.sizes
            if part.n_lonely:
                said.append(
                    f"{part.name}: left out of {_counted(part.n_lonely, 'fold')} with a single "
                    "such molecule, which leaves nothing to choose from."
                )
            if not sizes:
                if not part.n_lonely:
                    reason = _REASONS.get(part.name, "no fold has a test row")
                    said.append(f"{part.name}: none, {reason}.")
                continue
            rows = np.concatenate(part.tested)
            low, high = min(sizes), max(sizes)
            size = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            few = f", fewer than {SAMPLE}, so R@k in {SAMPLE} is left out"
            said.append(
                f"{part.name}: {len(np.unique(self.bench.keys[rows])):,} molecules tested in "
                f"{_counted(len(sizes), 'fold')}, {len(np.unique(rows)):,} rows of the table; the "
                f"candidates of a query are the {size} molecules of its fold"
                f"{'' if part.sampled else few}."
            )
        return said


_REASONS = {
    SEEN_ON_UNSEEN: "no molecule of the test plates is on a training plate, in any fold",
    UNSEEN_ON_UNSEEN: "every molecule of the test plates is on a training plate too, in every fold",
}


def make_splits(
    X: pd.DataFrame,
    names: Sequence[str] | str,
    *,
    cv: Any,
    n_draws: int,
    controls: Any,
    plate: str,
    well: str,
    random_state: Any,
) -> tuple[list[Split], ControlRows, int]:
    """The splits of a table, all checked; its control rows, and the seed of resamples.

    Folds by molecule are those of `cloome_sk.baselines.compare` for the same `random_state`.
    """
    check_table(X, "study_retrieval")
    names = _checked_names(names)
    found = find_controls(X, controls)
    renamed = _unusual_names(X, plate, well, needed="plate" in names)
    fold_seed, resample_seed = seeds(random_state)
    generator = check_random_state(resample_seed)
    splits = []
    for name in names:
        scaffolds = _scaffolds(X, found) if name == "scaffold" else None
        try:
            bench = prepare(
                X,
                task="unseen_plates" if name == "plate" else "unseen_molecules",
                y=None,
                groups=scaffolds,
                cv=cv,
                plate=plate,
                well=well,
                controls=controls,
                random_state=fold_seed,
            )
            if scaffolds is not None:
                _check_scaffolds(bench, scaffolds)
        except Exception as error:
            error.add_note(f"study_retrieval: split {name!r}; splits= says which are made.")
            raise
        parts = tuple(_part(bench, *what, n_draws, generator) for what in _parts(name, bench))
        splits.append(Split(name, bench, parts, found.rule, renamed))
    return splits, found, resample_seed


def _checked_names(names: Sequence[str] | str) -> tuple[str, ...]:
    chosen = (names,) if isinstance(names, str) else tuple(names)
    unknown = [name for name in chosen if name not in SPLITS]
    if unknown or not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"study_retrieval: splits must be one or several of {', '.join(map(repr, SPLITS))}, "
            f"each once; got {names!r}."
        )
    return chosen


def _unusual_names(X: pd.DataFrame, plate: str, well: str, *, needed: bool) -> dict[Any, str]:
    """Columns of plates and wells that a leakage report would not find by itself."""
    out: dict[Any, str] = {}
    for usual, name in (("plate", plate), ("well", well)):
        if not isinstance(name, str):
            raise TypeError(f"study_retrieval: {usual} must be the name of a column, got {name!r}.")
        given = _plain(name) != usual
        if given or (usual == "plate" and needed):
            column = match_column(X, name, purpose=f"study_retrieval({usual}=)")
            if given:
                out[column] = f"Metadata_{usual.title()}"
    return out


def _scaffolds(X: pd.DataFrame, controls: ControlRows) -> np.ndarray:
    """Scaffold of each row of a table; control rows, which are in no fold, have none."""
    rows = np.flatnonzero(~controls.mask)
    out = np.full(len(X), "control", dtype=object)
    if len(rows):
        out[rows] = scaffold_groups(table_smiles(X, "study_retrieval", rows=rows))
    return out


def _check_scaffolds(bench: Bench, scaffolds: np.ndarray) -> None:
    own = scaffolds[bench.rows]
    for number, (train, test) in enumerate(bench.folds):
        shared = set(own[train]) & set(own[test])
        if shared:
            raise ValueError(
                f"study_retrieval: fold {number} has {len(shared)} scaffold(s) both in training "
                f"and in test ({shown(sorted(shared), 5)}), so 'scaffold' would not be what it "
                "says. Use a splitter that keeps the groups it is given together."
            )


def _parts(name: str, bench: Bench) -> list[tuple[str, tuple[str, ...], list[np.ndarray]]]:
    """Name, claim and test rows of each part of a split."""
    tests = [test for _, test in bench.folds]
    if name == "molecule":
        return [(UNSEEN_MOLECULES, ("molecule",), tests)]
    if name == "scaffold":
        return [(UNSEEN_SCAFFOLDS, ("scaffold", "molecule"), tests)]
    seen = [np.isin(bench.keys[test], np.unique(bench.keys[train])) for train, test in bench.folds]
    return [
        (SEEN_ON_UNSEEN, ("plate",), [t[mask] for t, mask in zip(tests, seen, strict=True)]),
        (
            UNSEEN_ON_UNSEEN,
            ("plate", "molecule"),
            [t[~mask] for t, mask in zip(tests, seen, strict=True)],
        ),
    ]


def _part(
    bench: Bench,
    name: str,
    claim: tuple[str, ...],
    tests: list[np.ndarray],
    n_draws: int,
    generator: np.random.RandomState,
) -> Part:
    """A part with its draws, which are the same for all models."""
    tested, draws, n_lonely = [], [], 0
    for rows in tests:
        codes = pd.factorize(bench.keys[rows])[0]
        n_molecules = len(np.unique(codes))
        n_lonely += n_molecules == 1
        if n_molecules < 2:
            rows, codes, n_molecules = rows[:0], codes[:0], 0
        tested.append(rows)
        draws.append(draw_rows(codes, n_draws, generator))
    return Part(name, claim, tuple(tested), tuple(draws), n_lonely)


def draw_rows(codes: np.ndarray, n_draws: int, generator: np.random.RandomState) -> np.ndarray:
    """A random row of each code 0, 1, ..., once a draw; shape (n_draws, n_codes)."""
    counts = np.bincount(codes)
    if not len(counts):
        return np.zeros((n_draws, 0), dtype=np.intp)
    order = np.argsort(codes, kind="stable")
    first = np.cumsum(counts) - counts
    return order[first + generator.randint(counts, size=(n_draws, len(counts)))]


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _plain(name: Any) -> str:
    """How a column is called, its case and prefix aside."""
    return str(name).lower().removeprefix("metadata_")
