"""Folds by molecule, scaffold and plate, what is claimed to be new in each, and one-image draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from cloome_sk._tables import match_column, metadata_columns, shown
from cloome_sk.baselines._folds import Bench, prepare, seeds
from cloome_sk.baselines._structures import check_table, table_smiles
from cloome_sk.model_selection import scaffold_groups
from cloome_sk.preprocessing.controls import ControlRows, apply_controls, find_controls

PURPOSE = "study_retrieval"
SPLITS = ("molecule", "scaffold", "plate")
UNSEEN_MOLECULES, UNSEEN_SCAFFOLDS = "unseen molecules", "unseen scaffolds"
SEEN_ON_UNSEEN = "seen molecules on unseen plates"
SEEN_ELSEWHERE = f"{SEEN_ON_UNSEEN}, at other positions"
UNSEEN_ON_UNSEEN = "unseen molecules on unseen plates"
SAMPLE = 100
"""Candidates of the 1-in-100 protocol."""
_WELL = r"\s*[A-Za-z]{1,2}0*[1-9][0-9]?\s*"


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
        For each fold, positions among the treated rows, in an order that does not depend on that
        of the table; none where a fold has fewer than two molecules of this part, which leave
        nothing to choose from.
    draws : tuple of ndarray of intp, shape (n_draws, n_molecules)
        For each fold, places in `tested`: a random row of each molecule, in the order in which
        molecules first appear.
    n_lonely : int
        Folds with a single molecule of this part.
    reason : str
        Why no fold has any row of it, if so.
    """

    name: str
    claim: tuple[str, ...]
    tested: tuple[np.ndarray, ...]
    draws: tuple[np.ndarray, ...]
    n_lonely: int
    reason: str

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
        What is scored.
    rule : tuple or None
        Column and values of the control rows.
    renamed : dict of hashable to str
        Columns of plates and wells by the names that a leakage report looks for.
    well : str
        How the user names the column of wells.
    """

    name: str
    bench: Bench
    parts: tuple[Part, ...]
    rule: Any
    renamed: dict[Any, str]
    well: str

    def n_at_same_position(self, part: Part, number: int) -> int | None:
        """Test rows at a position where training has their molecule; None where it has not any."""
        if "molecule" in part.claim or self.bench.positions is None:
            return None
        train = self.bench.folds[number][0]
        return int(_same_position(self.bench, train, part.tested[number]).sum())

    def leakage_tables(
        self, train: pd.DataFrame, test: pd.DataFrame, claim: tuple[str, ...]
    ) -> tuple[pd.DataFrame, pd.DataFrame, Any, list[str]]:
        """Both tables with the usual column names, the control rule where it applies, remarks."""
        remarks = []
        if "position" in claim:
            # Treated rows have one; a claim is refused by the report for any row without.
            wells = train[match_column(train, self.well, purpose=PURPOSE)]
            placed = wells.astype(object).map(str).str.fullmatch(_WELL).to_numpy(bool)
            if not placed.all():
                n = int((~placed).sum())
                remarks.append(f"Left out: {_counted(n, 'control row')} without a well position.")
                train = train[placed]
        if self.renamed:
            usual = {_plain(name) for name in self.renamed.values()}
            away = [c for c in train.columns if _plain(c) in usual and c not in self.renamed]
            train, test = (X.drop(columns=away).rename(columns=self.renamed) for X in (train, test))
        known = self.rule is not None and apply_controls(train, *self.rule).n
        return train, test, self.rule if known else None, remarks

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
                    said.append(f"{part.name}: none, {part.reason}.")
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
    check_table(X, PURPOSE)
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
                purpose=PURPOSE,
            )
            if scaffolds is not None:
                _check_scaffolds(bench, scaffolds)
        except Exception as error:
            error.add_note(f"{PURPOSE}: split {name!r}; splits= says which are made.")
            raise
        places = content_places(bench, plate, well)
        parts = tuple(
            _part(bench, *what, places, n_draws, generator) for what in _parts(name, bench)
        )
        splits.append(Split(name, bench, parts, found.rule, renamed, well))
    return splits, found, resample_seed


def _checked_names(names: Sequence[str] | str) -> tuple[str, ...]:
    chosen = (names,) if isinstance(names, str) else tuple(names)
    unknown = [name for name in chosen if name not in SPLITS]
    if unknown or not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"{PURPOSE}: splits must be one or several of {', '.join(map(repr, SPLITS))}, "
            f"each once; got {names!r}."
        )
    return chosen


def _unusual_names(X: pd.DataFrame, plate: str, well: str, *, needed: bool) -> dict[Any, str]:
    """Columns of plates and wells that a leakage report would not find by itself."""
    out: dict[Any, str] = {}
    for usual, name in (("plate", plate), ("well", well)):
        if not isinstance(name, str):
            raise TypeError(f"{PURPOSE}: {usual} must be the name of a column, got {name!r}.")
        given = _plain(name) != usual
        if given or (usual == "plate" and needed):
            column = match_column(X, name, purpose=f"{PURPOSE}({usual}=)")
            if given:
                out[column] = f"Metadata_{usual.title()}"
    return out


def _scaffolds(X: pd.DataFrame, controls: ControlRows) -> np.ndarray:
    """Scaffold of each row of a table; control rows, which are in no fold, have none."""
    rows = np.flatnonzero(~controls.mask)
    out = np.full(len(X), "control", dtype=object)
    if len(rows):
        out[rows] = scaffold_groups(table_smiles(X, PURPOSE, rows=rows))
    return out


def _check_scaffolds(bench: Bench, scaffolds: np.ndarray) -> None:
    own = scaffolds[bench.rows]
    for number, (train, test) in enumerate(bench.folds):
        shared = set(own[train]) & set(own[test])
        if shared:
            raise ValueError(
                f"{PURPOSE}: fold {number} has {len(shared)} scaffold(s) both in training "
                f"and in test ({shown(sorted(shared), 5)}), so 'scaffold' would not be what it "
                "says. Use a splitter that keeps the groups it is given together."
            )


def _parts(name: str, bench: Bench) -> list[tuple[str, tuple[str, ...], list[np.ndarray], str]]:
    """Name, claim and test rows of each part of a split, and why there might be none."""
    tests = [test for _, test in bench.folds]
    if name == "molecule":
        return [(UNSEEN_MOLECULES, ("molecule",), tests, "no fold has a test row")]
    if name == "scaffold":
        return [(UNSEEN_SCAFFOLDS, ("scaffold", "molecule"), tests, "no fold has a test row")]
    seen, unseen, elsewhere = [], [], []
    for train, test in bench.folds:
        known = np.isin(bench.keys[test], np.unique(bench.keys[train]))
        seen.append(test[known])
        unseen.append(test[~known])
        elsewhere.append(seen[-1][~_same_position(bench, train, seen[-1])])
    new = "no molecule of the test plates is on a training plate, in any fold"
    placed = bench.positions is not None
    same = "every test row is at a position where a training plate has its molecule, in every fold"
    if not any(map(len, seen)):
        same = new
    return [
        (SEEN_ON_UNSEEN, ("plate", "position") if placed else ("plate",), seen, new),
        (
            SEEN_ELSEWHERE,
            ("plate",),
            elsewhere if placed else [test[:0] for test in tests],
            same
            if placed
            else "the table has no wells, so that it is not known whether the layout carries over",
        ),
        (
            UNSEEN_ON_UNSEEN,
            ("plate", "molecule"),
            unseen,
            "every molecule of the test plates is on a training plate too, in every fold",
        ),
    ]


def _same_position(bench: Bench, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Which test rows are at a position where training has their molecule."""
    if bench.positions is None:
        return np.zeros(len(test), dtype=bool)
    places = pd.MultiIndex.from_arrays([bench.keys, bench.positions])
    return np.asarray(places[test].isin(places[train]))


def content_places(bench: Bench, plate: str, well: str) -> np.ndarray:
    """Place of each treated row in an order of what rows hold, whatever the order of the table.

    By molecule, plate, well, the other metadata, and the features; what is equal in all of them is
    one and the same.
    """
    own = bench.table.iloc[bench.rows]
    wanted = {_plain(plate): 0, _plain(well): 1}
    described = metadata_columns(own)
    first = sorted(
        (name for name in described if _plain(name) in wanted), key=lambda n: wanted[_plain(n)]
    )
    by: list[np.ndarray] = [bench.keys, *(_as_text(own[name]).to_numpy() for name in first)]
    by += [_hashes(own[described]), _hashes(own)]
    order = np.lexsort([pd.factorize(values, sort=True)[0] for values in reversed(by)])
    places = np.empty(len(own), dtype=np.intp)
    places[order] = np.arange(len(own))
    return places


def _hashes(table: pd.DataFrame) -> np.ndarray:
    """A number of each row that its values make."""
    plain = table.set_axis(range(table.shape[1]), axis=1)
    numbers = plain.select_dtypes("number")
    texts = plain.drop(columns=numbers.columns).apply(_as_text)
    hashes = pd.util.hash_pandas_object(pd.concat([numbers, texts], axis=1), index=False)
    return hashes.to_numpy()


def _as_text(column: pd.Series) -> pd.Series:
    return column.astype(object).map(str)


def _part(
    bench: Bench,
    name: str,
    claim: tuple[str, ...],
    tests: list[np.ndarray],
    reason: str,
    places: np.ndarray,
    n_draws: int,
    generator: np.random.RandomState,
) -> Part:
    """A part with its draws, which are the same for all models."""
    tested, draws, n_lonely = [], [], 0
    for rows in tests:
        rows = rows[np.argsort(places[rows])]
        codes = pd.factorize(bench.keys[rows])[0]
        n_molecules = len(np.unique(codes))
        n_lonely += n_molecules == 1
        if n_molecules < 2:
            rows, codes, n_molecules = rows[:0], codes[:0], 0
        tested.append(rows)
        draws.append(draw_rows(codes, n_draws, generator))
    return Part(name, claim, tuple(tested), tuple(draws), n_lonely, reason)


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
