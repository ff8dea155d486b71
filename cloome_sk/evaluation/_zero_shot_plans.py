"""What every model is asked in a fold: the classes, the references, and which rows are queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloome_sk.evaluation._zero_shot_draws import draw_references

OWN_MAY, OWN_NOT = "own molecule may be a reference", "own molecule is no reference"
"""Ends of the names of parts, where a class is recognised; "own" is that of the query."""


@dataclass(frozen=True)
class Rows:
    """The treated rows of a table.

    Attributes
    ----------
    molecules : ndarray of intp
        Code of the molecule.
    classes : ndarray of intp
        Code of the class, −1 for none. Of the task of molecules, the molecule.
    plates : ndarray of intp or None
        Code of the plate.
    positions : ndarray of intp or None
        Code of the well position.

    Draws go by the order of rows and of codes: see `cloome_sk.evaluation._zero_shot_order`.
    """

    molecules: np.ndarray
    classes: np.ndarray
    plates: np.ndarray | None
    positions: np.ndarray | None = None

    def apart(self, place: np.ndarray, queries: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Which queries share molecule and place with no reference of a draw; none is one."""
        here = self.molecules * (int(place.max()) + 1) + place
        return np.array([~np.isin(here[queries], here[references]) for references in drawn])


@dataclass(frozen=True)
class Plan:
    """One way to choose references, in one fold.

    Attributes
    ----------
    pool, queries : ndarray of intp
        Rows that references are drawn from, and rows that are asked for.
    classes : ndarray of intp
        Codes of the classes to choose from.
    truth : ndarray of intp, shape (n_queries,)
        Position of the right class in `classes`.
    draws : ndarray of intp, shape (n_draws, n_classes, k)
        Positions in `pool`.
    parts : dict of str to ndarray of bool, shape (n_draws, n_queries)
        For each part of the study, which queries count in which draw.
    """

    pool: np.ndarray
    queries: np.ndarray
    classes: np.ndarray
    truth: np.ndarray
    draws: np.ndarray
    parts: dict[str, np.ndarray]


@dataclass(frozen=True)
class Question:
    """What a study asks; the attributes are parameters of `study_zero_shot`."""

    task: str
    reference: str
    k: tuple[int, ...]
    n_draws: int
    row: str
    class_name: str

    def plans(
        self, rows: Rows, train: np.ndarray, test: np.ndarray, generator: np.random.RandomState
    ) -> list[Plan]:
        """Give all plans of a fold; none where there are fewer than two classes to choose from."""
        if self.task == "molecule":
            return self._held_out(rows, test, generator)
        train, test = (side[rows.classes[side] >= 0] for side in (train, test))
        return [
            *self._held_out(rows, test, generator),
            *self._trained_on(rows, train, test, generator),
        ]

    def _held_out(
        self, rows: Rows, test: np.ndarray, generator: np.random.RandomState
    ) -> list[Plan]:
        """References and queries among the molecules that training did not see."""
        pool = self._pool(rows, test)
        sizes = _sizes(rows.classes[pool], rows.molecules[pool])
        if self.task == "moa":
            enough = sizes["rows"] - sizes["most"] >= max(self.k)
        else:
            # A well is no query of itself; a structure is of another modality.
            enough = sizes["rows"] >= max(self.k) + (self.reference == "phenotype")
        kept = sizes.index[enough].to_numpy()
        pool, queries = (side[np.isin(rows.classes[side], kept)] for side in (pool, test))
        if len(kept) < 2:
            return []
        draws = self._draws(rows, pool, kept, generator, spare=self.task == "moa")
        plans = []
        for k in self.k:
            drawn = pool[draws[:, :, :k]].reshape(len(draws), -1)
            parts = self._held_out_parts(rows, queries, drawn, k)
            plans.append(_plan(rows, pool, queries, kept, draws[:, :, :k], parts))
        return plans

    def _held_out_parts(
        self, rows: Rows, queries: np.ndarray, drawn: np.ndarray, k: int
    ) -> dict[str, np.ndarray]:
        """Which queries count, by each rule, when those rows are references."""
        wells, name = f"{self.row}s", self._named(k, "unseen")
        every = np.ones((len(drawn), len(queries)), dtype=bool)
        elsewhere = None
        if self.reference == "phenotype":
            every = np.array([~np.isin(queries, references) for references in drawn])
            if rows.plates is not None:
                elsewhere = rows.apart(rows.plates, queries, drawn)
        if self.task == "molecule":
            which = "all its" if self.reference == "molecule" else "its other"
            parts = {f"{name}: {which} {wells}": every}
            if elsewhere is not None:
                parts[f"{name}: its {wells} on other plates"] = elsewhere
                if rows.positions is not None:
                    moved = elsewhere & rows.apart(rows.positions, queries, drawn)
                    # Where replicates share their position on all plates, there is none to ask.
                    if moved.any():
                        parts[f"{name}: its {wells} on other plates at other positions"] = moved
            return parts
        parts = {}
        if self.reference == "molecule":
            parts[f"{name}: {OWN_MAY}"] = every
        elif elsewhere is not None:
            parts[f"{name}: {OWN_MAY} on another plate"] = elsewhere
        of_query = rows.molecules[queries]
        others = np.array([~np.isin(of_query, rows.molecules[refs]) for refs in drawn])
        return {**parts, f"{name}: {OWN_NOT}": others}

    def _trained_on(
        self, rows: Rows, train: np.ndarray, test: np.ndarray, generator: np.random.RandomState
    ) -> list[Plan]:
        """References among the training molecules, queries among the others."""
        pool = self._pool(rows, train)
        sizes = _sizes(rows.classes[pool], rows.molecules[pool])
        kept = sizes.index[sizes["rows"] >= max(self.k)].to_numpy()
        pool, queries = (side[np.isin(rows.classes[side], kept)] for side in (pool, test))
        if len(kept) < 2 or not len(queries):
            return []
        draws = self._draws(rows, pool, kept, generator, spare=False)
        every = np.ones((len(draws), len(queries)), dtype=bool)
        return [
            _plan(
                rows,
                pool,
                queries,
                kept,
                draws[:, :, :k],
                {f"{self._named(k, 'training')}: unseen molecules": every},
            )
            for k in self.k
        ]

    def _pool(self, rows: Rows, side: np.ndarray) -> np.ndarray:
        """Rows to draw from: of a structure one, however many wells it has."""
        if self.reference == "phenotype":
            return side
        pairs = np.column_stack([rows.molecules[side], rows.classes[side]])
        return side[np.sort(np.unique(pairs, axis=0, return_index=True)[1])]

    def _draws(
        self,
        rows: Rows,
        pool: np.ndarray,
        kept: np.ndarray,
        generator: np.random.RandomState,
        *,
        spare: bool,
    ) -> np.ndarray:
        return draw_references(
            np.searchsorted(kept, rows.classes[pool]),
            rows.molecules[pool],
            len(kept),
            max(self.k),
            # The one structure of a molecule is the same in every draw.
            n_draws=1 if self.task == self.reference == "molecule" else self.n_draws,
            spare=spare,
            generator=generator,
        )

    def _named(self, k: int, whose: str) -> str:
        """The beginning of the name of a part, which says whether references were trained on."""
        if self.task == self.reference == "molecule":
            return "unseen molecule by its structure"
        what = "structure" if self.reference == "molecule" else self.row
        references = f"{k} {what}{'' if k == 1 else 's'}"
        if self.task == "molecule":
            return f"unseen molecule by {references}"
        return f"{self.class_name} by {references} of {whose} molecules"


def _plan(
    rows: Rows,
    pool: np.ndarray,
    queries: np.ndarray,
    kept: np.ndarray,
    draws: np.ndarray,
    parts: dict[str, np.ndarray],
) -> Plan:
    truth = np.searchsorted(kept, rows.classes[queries])
    return Plan(pool, queries, kept, truth, draws, parts)


def _sizes(classes: np.ndarray, molecules: np.ndarray) -> pd.DataFrame:
    """Rows of each class, and of the molecule that has most of them."""
    counts = pd.DataFrame({"class": classes, "molecule": molecules}).value_counts()
    of_class = counts.groupby("class")
    return pd.DataFrame({"rows": of_class.sum(), "most": of_class.max()}).sort_index()
