"""Compounds that are owned or offered: what they are called, which molecule each is, who may go."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from cloome_sk._tables import METADATA_PREFIX, match_column, row_name, shown
from cloome_sk.model_selection._structures import smiles_column
from cloome_sk.molecules import as_smiles, invalid_smiles, molecule_key
from cloome_sk.molecules.smiles import bad_molecules_message

REFUSED = ["index", "name", "smiles", "reason", "detail"]
UNREADABLE, OWNED, EXCLUDED = "unreadable", "owned", "excluded"
FILTERED, DUPLICATE, NO_PHENOTYPE, FULL = "filtered", "duplicate", "no phenotype", "series full"


@dataclass(frozen=True)
class Compounds:
    """Rows of a table or list.

    Attributes
    ----------
    smiles : ndarray of object, shape (n_rows,)
        As given.
    keys : ndarray of object, shape (n_rows,)
        Molecules (`molecule_key`); None where a structure cannot be read.
    names : ndarray of object, shape (n_rows,)
        What to call them: their names where there are any, else their SMILES.
    unreadable : dict of int to str
        Rows whose structure cannot be read, and why.
    table : DataFrame or None
        What they were given as.
    told : tuple of hashable
        Its columns of structures and names.
    """

    smiles: np.ndarray
    keys: np.ndarray
    names: np.ndarray
    unreadable: dict[int, str]
    table: pd.DataFrame | None = None
    told: tuple[Hashable, ...] = ()

    def __len__(self) -> int:
        return len(self.smiles)

    @property
    def other_columns(self) -> np.ndarray:
        """Positions of the columns that are neither structures nor names."""
        labels = [] if self.table is None else list(self.table.columns)
        return np.array(
            [at for at, label in enumerate(labels) if label not in self.told], dtype=int
        )


def read_compounds(
    X: Any, column: str | None, name: str | None, *, purpose: str, skip: bool = False
) -> Compounds:
    """Read a table or list of structures; with `skip`, go on past those that cannot be read."""
    given = smiles_column(X, column, purpose=purpose)
    smiles = as_smiles(given)
    keys, bad = _keys(smiles, given, purpose, skip)
    if not isinstance(X, pd.DataFrame):
        return Compounds(smiles, keys, smiles, bad)
    called = _name_column(X, name, purpose)
    names = smiles.copy()
    if called is not None:
        known = np.flatnonzero(X[called].notna().to_numpy())
        names[known] = [str(X[called].iloc[row]) for row in known]
    return Compounds(smiles, keys, names, bad, X, (given.name, called))


def _keys(
    smiles: np.ndarray, given: Any, purpose: str, skip: bool
) -> tuple[np.ndarray, dict[int, str]]:
    """Molecule of each row, and the rows that cannot be read."""
    try:
        return molecule_key(smiles), {}
    except ValueError:
        bad = invalid_smiles(smiles)
        if not bad:
            raise
    if not skip:
        message = bad_molecules_message(bad, len(smiles), purpose, lambda row: row_name(given, row))
        raise ValueError(
            f"{message} Leave these rows out (`cloome_sk.molecules.invalid_smiles` lists them), or "
            'set on_error="refuse" for candidates.'
        )
    good = np.setdiff1d(np.arange(len(smiles)), list(bad))
    keys = np.full(len(smiles), None, dtype=object)
    keys[good] = molecule_key(smiles[good])
    return keys, bad


def _name_column(table: pd.DataFrame, name: str | None, purpose: str) -> Hashable | None:
    """The column of names, if there is one."""
    if name is not None:
        return match_column(table, name, purpose=purpose)
    found = [label for label in table.columns if _plain(label) == "name"]
    return found[0] if len(found) == 1 else None


def _plain(label: Hashable) -> str:
    return str(label).lower().removeprefix(METADATA_PREFIX)


def deck_of(owned: Compounds) -> tuple[pd.DataFrame, np.ndarray]:
    """The deck, a row a molecule, whichever order its rows are in; and the molecule of each row."""
    columns = {"name": owned.names, "smiles": owned.smiles, "molecule": owned.keys}
    every = pd.DataFrame(columns, dtype=object).sort_values(["molecule", "smiles", "name"])
    deck = every.drop_duplicates("molecule", ignore_index=True)
    return deck, pd.Index(deck["molecule"]).get_indexer(owned.keys)


def excluded_keys(exclude: Any, purpose: str) -> set[str]:
    """Molecules that are not to be picked."""
    if exclude is None:
        return set()
    return set(read_compounds(exclude, None, None, purpose=f"exclude= of {purpose}").keys)


class Admission:
    """Who is refused, each candidate for the first reason that holds.

    Parameters
    ----------
    compounds : Compounds
        The candidates.
    """

    def __init__(self, compounds: Compounds) -> None:
        self.compounds = compounds
        self.reasons: dict[int, tuple[str, str]] = {}
        for row, why in compounds.unreadable.items():
            self.refuse(row, UNREADABLE, why)

    @property
    def open(self) -> np.ndarray:
        """Positions of those that are not refused."""
        return np.setdiff1d(np.arange(len(self.compounds)), list(self.reasons))

    def refuse(self, row: int, reason: str, detail: str) -> None:
        """Refuse one, unless it is refused already."""
        self.reasons.setdefault(int(row), (reason, detail))

    def refuse_known(self, deck: pd.DataFrame, excluded: set[str]) -> None:
        """Refuse molecules that are owned, or not wanted."""
        names = dict(zip(deck["molecule"], deck["name"], strict=True))
        for row in self.open:
            key = self.compounds.keys[row]
            if key in names:
                self.refuse(row, OWNED, f"the same molecule as {names[key]}, which is owned")
            elif key in excluded:
                self.refuse(row, EXCLUDED, "the same molecule as one in exclude=")

    def refuse_filtered(self, filters: Any) -> None:
        """Refuse what does not pass the filters, with all rules that it violates."""
        rows = self.open
        if filters is None or not len(rows):
            return
        found = filters.explain(self.compounds.smiles[rows].tolist())
        for place, own in found[found["refused"].astype(bool)].groupby("row"):
            rules = (f"{rule}: {detail}" for rule, detail in zip(own.rule, own.detail, strict=True))
            self.refuse(rows[place], FILTERED, "; ".join(rules))

    def refuse_duplicates(self, quality: np.ndarray) -> None:
        """Keep of each molecule the row of best quality, then of first SMILES and name."""
        rows = self.open
        order = pd.DataFrame(
            {
                "key": self.compounds.keys[rows],
                "worse": -quality[rows],
                "smiles": self.compounds.smiles[rows],
                "name": self.compounds.names[rows],
                "row": rows,
            }
        ).sort_values(["key", "worse", "smiles", "name", "row"])
        kept = order.groupby("key")["row"].transform("first")
        for row, other in zip(order["row"], kept, strict=True):
            if row != other:
                said = f"the same molecule as row {other} ({self.compounds.names[other]})"
                self.refuse(row, DUPLICATE, said)

    def refuse_without(self, vectors: np.ndarray) -> np.ndarray:
        """Refuse those whose phenotype is NaN; the phenotypes of the others."""
        rows, there = self.open, ~np.isnan(vectors[:, 0])
        for row in rows[~there]:
            self.refuse(row, NO_PHENOTYPE, "its phenotype is not known")
        return vectors[there]

    def table(self) -> pd.DataFrame:
        """All that are refused, in the order of the rows."""
        rows = sorted(self.reasons)
        named = self.compounds
        return pd.DataFrame(
            [(row, named.names[row], named.smiles[row], *self.reasons[row]) for row in rows],
            columns=REFUSED,
        )

    def counts(self) -> str:
        """How many are refused for which reason, in words."""
        reasons = pd.Series([reason for reason, _ in self.reasons.values()], dtype=object)
        return shown(f"{n} {reason}" for reason, n in reasons.value_counts().items()) or "none"


def quality_values(source: Any, compounds: Compounds, rows: np.ndarray) -> np.ndarray:
    """How much each candidate is wanted, if each of the rows says so; 0 without a source."""
    purpose = "LibraryDesigner.select, quality="
    if source is None:
        return np.zeros(len(compounds))
    if isinstance(source, str):
        if compounds.table is None:
            raise ValueError(
                f"LibraryDesigner.select: quality={source!r} is looked for in a table, but the "
                "candidates are given as a list. Pass a DataFrame, or a callable."
            )
        column = compounds.table[match_column(compounds.table, source, purpose=purpose)]
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        values = np.full(len(compounds), np.nan)
        found = np.asarray(source(compounds.smiles[rows]), dtype=np.float64)
        if found.shape != (len(rows),):
            raise ValueError(
                f"LibraryDesigner.select: quality= gave an array of shape {found.shape} for "
                f"{len(rows)} structures; expected one number each."
            )
        values[rows] = found
    bad = rows[~np.isfinite(values[rows])]
    if len(bad):
        table = compounds.smiles if compounds.table is None else compounds.table
        raise ValueError(
            f"LibraryDesigner.select: the quality is no finite number in {len(bad)} of {len(rows)} "
            f"candidates that could be picked: {shown((row_name(table, row) for row in bad), 5)}. "
            "Fill it in, or leave these candidates out."
        )
    return values


def quality_ranks(quality: np.ndarray) -> np.ndarray:
    """From 0 for the least to 1 for the largest, equal ones the mean of their ranks."""
    if len(quality) < 2:
        return np.zeros(len(quality))
    return (rankdata(quality) - 1) / (len(quality) - 1)
