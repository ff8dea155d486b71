"""Molecules of an activity study, their labels and folds, and what a model gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import GroupKFold

from cloome_sk.baselines._assay_labels import read_labels
from cloome_sk.baselines.assay_probe import AssayProbe
from cloome_sk.evaluation._training_seen import refuse_seen
from cloome_sk.model_selection import scaffold_groups
from cloome_sk.molecules import molecule_key

PURPOSE = "study_activity"


@dataclass(frozen=True)
class Molecules:
    """Rows joined to molecules.

    Attributes
    ----------
    code : ndarray of intp, shape (n_rows,)
        Molecule of each row.
    keys : ndarray of object, shape (n_molecules,)
        `cloome_sk.molecules.molecule_key` of each.
    smiles : ndarray of object, shape (n_molecules,)
        The first structure of each.
    Y : ndarray of float, shape (n_molecules, n_assays)
        0, 1, or NaN for not measured or contradictory.
    names : list of str
        Of the assays.
    n_conflicts : int
        Labels that are NaN because rows of the molecule contradict each other.
    """

    code: np.ndarray
    keys: np.ndarray
    smiles: np.ndarray
    Y: np.ndarray
    names: list[str]
    n_conflicts: int

    @classmethod
    def of(cls, smiles: Any, Y: Any) -> Molecules:
        """Join the rows of a molecule; agreeing labels count once."""
        texts = np.asarray(list(smiles), dtype=object)
        labels = read_labels(Y, PURPOSE)
        if labels.n_rows != len(texts):
            raise ValueError(
                f"{PURPOSE}: Y has {labels.n_rows} rows for {len(texts)} structures. Where Y has a "
                "row a molecule, and structures repeat, bring it to their rows by "
                "assays_of_molecules."
            )
        code, keys = pd.factorize(molecule_key(texts))
        _, first = np.unique(code, return_index=True)
        counts = np.zeros((2, len(keys), len(labels)), dtype=np.int32)
        for assay, (rows, y) in enumerate(zip(labels.rows, labels.y, strict=True)):
            np.add.at(counts[:, :, assay], (y.astype(np.intp), code[rows]), 1)
        joined = np.full(counts.shape[1:], np.nan)
        joined[counts[0] > 0] = 0.0
        joined[counts[1] > 0] = 1.0
        conflicts = (counts > 0).all(axis=0)
        joined[conflicts] = np.nan
        return cls(code, keys, texts[first], joined, labels.names, int(conflicts.sum()))

    def means(self, features: np.ndarray) -> np.ndarray:
        """Mean of the rows of each molecule."""
        sums = np.zeros((len(self.keys), features.shape[1]))
        np.add.at(sums, self.code, features)
        return sums / np.bincount(self.code)[:, None]

    def splits(
        self, split: str, n_folds: int, seed: int
    ) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """Groups of the molecules, and training and test molecules of each fold."""
        groups = self.keys if split == "molecule" else scaffold_groups(list(self.smiles))
        n_groups = len(np.unique(groups.astype(str)))
        if n_groups < 2:
            raise ValueError(f"{PURPOSE}: all molecules are one {split}; nothing to split.")
        kind = GroupKFold(n_splits=min(n_folds, n_groups), shuffle=True, random_state=seed)
        return groups, list(kind.split(self.keys, groups=groups.astype(str)))


def molecule_features(
    name: str, model: Any, table: pd.DataFrame | None, molecules: Molecules, train: np.ndarray
) -> tuple[np.ndarray, Any]:
    """Features of all molecules, from an array or an estimator trained on some; and the latter."""
    fitted = None
    if hasattr(model, "fit"):
        assert table is not None
        inside = np.zeros(len(molecules.keys), dtype=bool)
        inside[train] = True
        fitted = clone(model).fit(table[inside[molecules.code]], None)
        refuse_seen(fitted, molecules.keys[~inside], f"{PURPOSE}, model {name!r}")
        values = np.asarray(fitted.transform(table), dtype=np.float64)
    else:
        values = np.asarray(model, dtype=np.float64)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{PURPOSE}: {int(bad.sum())} row(s) of the features of model {name!r} are "
            f"missing or infinite, first row {int(np.flatnonzero(bad)[0])}. Leave those rows out "
            "of all models, labels and structures."
        )
    return molecules.means(values), fitted


def probed(
    probe: AssayProbe,
    features: np.ndarray,
    molecules: Molecules,
    groups: np.ndarray,
    fold: tuple[np.ndarray, np.ndarray],
    standardize: bool,
) -> tuple[AssayProbe, np.ndarray]:
    """Fit a probe on training molecules, and score the test molecules."""
    train, test = fold
    if standardize:
        deviation = features[train].std(axis=0)
        # A feature that does not vary in training says nothing in test.
        varies = deviation > 1e-12 * np.abs(features[train]).max(axis=0, initial=1.0)
        features = (features - features[train].mean(axis=0))[:, varies] / deviation[varies]
    fitted = clone(probe).fit(features[train], molecules.Y[train], groups=groups[train])
    return fitted, fitted.decision_function(features[test])


def scored_folds(
    Y: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]], assay: int
) -> list[tuple[int, np.ndarray]]:
    """Folds with both labels in training and in test, with the places of the measured in test."""
    out = []
    for number, (train, test) in enumerate(folds):
        known = np.flatnonzero(~np.isnan(Y[test, assay]))
        sides = (Y[train, assay], Y[test, assay])
        if all((side == 0).any() and (side == 1).any() for side in sides):
            out.append((number, known))
    return out
