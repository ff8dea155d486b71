"""Retrieval both ways, of unseen molecules and on unseen plates, with the controls beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.baselines._fitted import embeds
from cloome_sk.demo.training import MODEL, Fold, plate_split
from cloome_sk.evaluation.screens import Screen
from cloome_sk.metrics import retrieval_metrics

TO_MOLECULE, TO_PHENOTYPE = "phenotype -> molecule", "molecule -> phenotype"
Tables = dict[str, pd.DataFrame]
"""For each direction of retrieval a row for each model, as `retrieval_metrics` gives it."""


def unseen_molecules(screen: Screen, folds: Sequence[Fold]) -> Tables:
    """Match the pooled phenotypes of unseen molecules with their structures.

    Parameters
    ----------
    screen : Screen
        The screen.
    folds : sequence of Fold
        Encoders and controls.

    Returns
    -------
    dict of str to DataFrame
        Both directions; candidates are the unseen molecules of the fold.
    """
    distinct = [np.unique(screen.molecules[fold.test], return_index=True) for fold in folds]
    keys = np.concatenate([names for names, _ in distinct])
    fold_of = np.repeat(np.arange(len(folds)), [len(names) for names, _ in distinct])
    apart = fold_of[:, None] != fold_of[None, :]
    rows: dict[str, dict[str, pd.Series]] = {TO_MOLECULE: {}, TO_PHENOTYPE: {}}
    for name in [MODEL, *folds[0].controls]:
        similarity = np.zeros(apart.shape)
        for number, (fold, (names, first)) in enumerate(zip(folds, distinct, strict=True)):
            model = fold.embedder if name == MODEL else fold.controls[name]
            wells = screen.wells.iloc[fold.test]
            phenotypes = _pooled(model.embed_phenotypes(wells), screen.molecules[fold.test], names)
            structures = model.embed_molecules(wells.iloc[first])
            own = np.ix_(fold_of == number, fold_of == number)
            similarity[own] = _unit(phenotypes) @ _unit(structures).T
        for direction, table in ((TO_MOLECULE, similarity), (TO_PHENOTYPE, similarity.T)):
            rows[direction][name] = retrieval_metrics(
                similarity=table, query_ids=keys, database_ids=keys, exclude=apart
            )
    return {direction: pd.DataFrame(found).T for direction, found in rows.items()}


def unseen_plates(screen: Screen, models: dict[str, Any], seed: int) -> Tables:
    """Match rows of held-out plates with the structures, and with rows, that training has seen.

    Parameters
    ----------
    screen : Screen
        The screen.
    models : dict of str to estimator
        Trained on the other plates.
    seed : int
        Which plates are held out, and resamples.

    Returns
    -------
    dict of str to DataFrame
        One row of a held-out plate, or the mean of all those of a molecule, against molecules; and
        one against the rows of the training plates, for models that know no structures too.
    """
    train, test = plate_split(screen, seed)
    test = test[np.isin(screen.molecules[test], np.unique(screen.molecules[train]))]
    wells, keys = screen.wells.iloc[test], screen.molecules[test]
    distinct, first = np.unique(keys, return_index=True)
    one = f"one {screen.unit} -> "
    rows: dict[str, dict[str, pd.Series]] = {
        f"{one}molecule": {},
        TO_PHENOTYPE: {},
        f"{one}{screen.unit} of the same molecule on another plate": {},
    }
    to_molecule, to_phenotype, to_replicate = rows.values()
    score = _scorer(seed)
    for name, model in models.items():
        phenotypes = model.embed_phenotypes(wells)
        if embeds(model, "molecule"):
            structures = model.embed_molecules(wells.iloc[first])
            pooled = _pooled(phenotypes, keys, distinct)
            to_molecule[name] = score(phenotypes, structures, keys, distinct)
            to_phenotype[name] = score(structures, pooled, distinct, distinct)
        seen = model.embed_phenotypes(screen.wells.iloc[train])
        to_replicate[name] = score(
            phenotypes, seen, keys, screen.molecules[train], duplicates="keep"
        )
    return {direction: pd.DataFrame(found).T for direction, found in rows.items()}


def _scorer(seed: int) -> Callable[..., pd.Series]:
    def score(
        query: np.ndarray, database: np.ndarray, query_ids: Any, database_ids: Any, **options: Any
    ) -> pd.Series:
        return retrieval_metrics(
            query,
            database,
            query_ids=query_ids,
            database_ids=database_ids,
            interval="bootstrap",  # over molecules, in which wells nest
            groups=query_ids,
            random_state=seed,
            **options,
        )

    return score


def _pooled(vectors: np.ndarray, keys: np.ndarray, distinct: np.ndarray) -> np.ndarray:
    """Mean vector of the rows of each molecule."""
    return np.array([vectors[keys == key].mean(axis=0) for key in distinct])


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of unit length."""
    wide = vectors.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)
