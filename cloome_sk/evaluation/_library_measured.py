"""Compounds of a table of wells: structure, measured phenotype, mechanisms, and how to split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupShuffleSplit

from cloome_sk._embedding import unit_rows
from cloome_sk._tables import Columns, column_positions, profile_columns, shown
from cloome_sk.encoders.base import numeric_block
from cloome_sk.evaluation._library_items import limits_of_chance, replicate_distances
from cloome_sk.evaluation.annotations import Terms, row_terms, terms_of_molecules
from cloome_sk.model_selection import molecule_groups, scaffold_groups
from cloome_sk.model_selection._structures import smiles_column
from cloome_sk.preprocessing.controls import find_controls

PURPOSE = "study_library_selection"
SPLITS = {
    "molecule": "new molecules",
    "scaffold": "new scaffolds",
    "mechanism": "new mechanisms",
}
"""What compounds of the deck and held-back ones never share, and what that is called."""


@dataclass(frozen=True)
class Measured:
    """Compounds with measured phenotypes, in the order of their keys.

    Attributes
    ----------
    table : DataFrame
        The wells.
    control : ndarray of bool, shape (n_wells,)
        Negative controls.
    codes : ndarray of intp, shape (n_wells,)
        Compound of each well, -1 for controls.
    keys, smiles : ndarray of object, shape (n_compounds,)
        Molecule of each compound, and a structure of it.
    profiles : ndarray of float64, shape (n_compounds, n_features)
        Unit vectors of their mean profiles.
    terms : list of frozenset of str, or None
        Mechanisms of each, where there are any.
    active : ndarray of bool, shape (n_compounds,)
        Whether the wells of a compound are more alike than wells grouped at random.
    single : ndarray of bool, shape (n_compounds,)
        Whether there is one well only, which cannot tell (and `active` is False for it).
    radius : float
        1 − cosine up to which two are one phenotype.
    activity_p : float or None
        Of `active`; None where all are taken to have a phenotype.
    """

    table: pd.DataFrame
    control: np.ndarray
    codes: np.ndarray
    keys: np.ndarray
    smiles: np.ndarray
    profiles: np.ndarray
    terms: list[Terms] | None
    active: np.ndarray
    single: np.ndarray
    radius: float
    activity_p: float | None

    def __len__(self) -> int:
        return len(self.keys)

    def wells(self, compounds: np.ndarray, *, controls: bool) -> pd.DataFrame:
        """Wells of some compounds, with or without all controls."""
        own = np.isin(self.codes, compounds)
        return self.table[own | self.control if controls else own]

    def groups(self, split: str) -> np.ndarray:
        """What stays together: a value for each compound."""
        if split == "molecule":
            return self.keys
        if split == "scaffold":
            return scaffold_groups(self.smiles.tolist())
        if self.terms is None:
            raise ValueError(
                f"{PURPOSE}: splits='mechanism' needs mechanism=, the column that names them."
            )
        return connected(self.terms)

    def split(
        self, split: str, n_splits: int, deck_share: float, seed: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Compounds of the deck and held-back ones, again and again."""
        groups = self.groups(split)
        if len(set(groups)) < 2:
            raise ValueError(
                f"{PURPOSE}: all {len(self)} compounds are one group by {split}, which cannot be "
                "split."
            )
        shuffle = GroupShuffleSplit(n_splits, train_size=deck_share, random_state=seed)
        yield from shuffle.split(self.keys, groups=groups)


def read_measured(
    X: Any,
    features: Columns,
    smiles: str | None,
    mechanism: str | None,
    separator: str,
    controls: Any,
    radius: float | None,
    activity_p: float | None,
    seed: int = 0,
) -> Measured:
    """Read a table of wells."""
    if not isinstance(X, pd.DataFrame):
        raise TypeError(f"{PURPOSE}: X must be a pandas DataFrame, got {type(X).__name__}.")
    control = find_controls(X, controls).mask
    treated = np.flatnonzero(~control)
    if not len(treated):
        raise ValueError(f"{PURPOSE}: all {len(X)} rows are negative controls.")
    table = X.iloc[treated]
    keys = molecule_groups(table, column=smiles)
    names, place = np.unique(keys.astype(str), return_inverse=True)
    codes = np.full(len(X), -1, dtype=np.intp)
    codes[treated] = place
    texts = smiles_column(table, smiles, purpose=PURPOSE).astype(object)
    wells = _profiles(table, features)
    total = np.zeros((len(names), wells.shape[1]))
    np.add.at(total, place, wells)
    zero = np.flatnonzero(~total.any(axis=1))
    if len(zero):
        raise ValueError(
            f"{PURPOSE}: the profiles of {len(zero)} compound(s) average to zero, so that their "
            f"phenotype has no direction: {shown(names[zero], 5)}."
        )
    terms = None
    if mechanism is not None:
        known = terms_of_molecules(keys, row_terms(table, mechanism, separator, PURPOSE))
        terms = [known.get(name, frozenset()) for name in names]
        if not any(terms):
            raise ValueError(f"{PURPOSE}: no compound has a value in mechanism={mechanism!r}.")
    active, distance = _replication(wells, place, radius, activity_p, seed)
    single = (np.bincount(place) == 1) & ~active
    return Measured(
        X,
        control,
        codes,
        names.astype(object),
        texts.groupby(keys).min().reindex(names).to_numpy(dtype=object),
        unit_rows(total),
        terms,
        active,
        single,
        distance,
        activity_p,
    )


def _replication(
    wells: np.ndarray,
    codes: np.ndarray,
    radius: float | None,
    activity_p: float | None,
    seed: int = 0,
) -> tuple[np.ndarray, float]:
    """Which compounds have a phenotype, and how far apart replicates of one are."""
    alike = replicate_distances(wells, codes)
    if np.isnan(alike).all() and (radius is None or activity_p is not None):
        raise ValueError(
            f"{PURPOSE}: no compound has two wells, so that replicates tell neither who has a "
            "phenotype nor how far apart equal ones are; give radius= and activity_p=None."
        )
    active = np.ones(len(alike), dtype=bool)
    if activity_p is not None:
        limits = limits_of_chance(wells, codes, activity_p, seed)
        if np.nanmin(limits) <= 0:
            raise ValueError(
                f"{PURPOSE}: the distances of wells that are grouped at random vary so much that "
                f"no wells could be more alike than these (activity_p={activity_p}), which is so "
                "where all profiles share a direction: centre the profiles on controls first "
                "(`cloome_sk.preprocessing.ControlNormalizer`)."
            )
        active = alike <= limits
        if not active.any():
            raise ValueError(
                f"{PURPOSE}: no compound has wells that are more alike than wells that are grouped "
                f"at random (activity_p={activity_p}): there is no phenotype to cover."
            )
    return active, float(np.nanmedian(alike[active])) if radius is None else float(radius)


def connected(terms: list[Terms]) -> np.ndarray:
    """Group of each compound: those that share a term, directly or by way of others, are one."""
    every = {term: at for at, term in enumerate(sorted(frozenset().union(*terms)))}
    pairs = [(row, len(terms) + every[term]) for row, own in enumerate(terms) for term in own]
    rows, columns = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    n = len(terms) + len(every)
    links = csr_array((np.ones(len(pairs), dtype=bool), (rows, columns)), shape=(n, n))
    return connected_components(links, directed=False)[1][: len(terms)]


def _profiles(table: pd.DataFrame, features: Columns) -> np.ndarray:
    """Features of each well as finite numbers."""
    columns = profile_columns(table) if features is None else features
    if features is None and not columns:
        raise ValueError(
            f"{PURPOSE}: the table has no columns named as CellProfiler's features; name them by "
            "features=."
        )
    positions = column_positions(table, columns, purpose=PURPOSE)
    return numeric_block(table, positions, PURPOSE).astype(np.float64)
