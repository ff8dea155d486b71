"""Encoders that have not seen what they are scored on, and retrieval with them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold
from tqdm.auto import tqdm

from cloome_sk import CloomeEmbedder
from cloome_sk.evaluation.screens import Screen, make_embedder
from cloome_sk.metrics import retrieval_metrics
from cloome_sk.model_selection import leakage_report

N_FOLDS = 5


@dataclass(frozen=True)
class Fold:
    """An encoder, the rows it was trained on, and the rows of molecules it has not seen."""

    embedder: CloomeEmbedder
    train: np.ndarray
    test: np.ndarray


def encoders_of_unseen_molecules(screen: Screen, seed: int) -> Iterator[Fold]:
    """Train one encoder a fold; all wells of a molecule are on one side.

    Parameters
    ----------
    screen : Screen
        The screen.
    seed : int
        Of folds and encoders.

    Yields
    ------
    Fold
        Encoder and rows.
    """
    splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    strata = pd.Series(screen.classes).fillna("none")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        splits = list(splitter.split(screen.wells, strata, groups=screen.molecules))
    for train, test in tqdm(splits, desc="Training an encoder for each fold", unit="fold"):
        embedder = make_embedder(len(train), seed).fit(screen.wells.iloc[train])
        yield Fold(embedder, train, test)


def unseen_indeed(screen: Screen, folds: Sequence[Fold]) -> str:
    """Check that no fold tests a molecule that its encoder was trained on.

    Parameters
    ----------
    screen : Screen
        The screen.
    folds : sequence of Fold
        Encoders, and the rows they have and have not seen.

    Returns
    -------
    str
        A sentence for the user.

    Raises
    ------
    RuntimeError
        If one does; the message is the leakage report.
    """
    for fold in folds:
        report = leakage_report(
            screen.wells.iloc[fold.train],
            screen.wells.iloc[fold.test],
            claim="molecule",
            embedder=fold.embedder,
        )
        if not report.ok:
            raise RuntimeError(str(report))
    return f"Leakage report: no molecule on both sides of any of {len(folds)} folds.\n"


def unseen_molecules(screen: Screen, folds: Sequence[Fold]) -> pd.DataFrame:
    """Match the pooled phenotypes of unseen molecules with their structures.

    Parameters
    ----------
    screen : Screen
        The screen.
    folds : sequence of Fold
        Encoders.

    Returns
    -------
    DataFrame
        Both directions; candidates are the unseen molecules of the fold.
    """
    phenotypes, structures, keys, fold_of = [], [], [], []
    for number, fold in enumerate(folds):
        wells, molecules = screen.wells.iloc[fold.test], screen.molecules[fold.test]
        distinct, first = np.unique(molecules, return_index=True)
        embedded = fold.embedder.embed_phenotypes(wells)
        phenotypes += [embedded[molecules == key].mean(axis=0) for key in distinct]
        structures.append(fold.embedder.embed_molecules(wells.iloc[first]))
        keys += list(distinct)
        fold_of += [number] * len(distinct)
    folds_apart = np.array(fold_of)[:, None] != np.array(fold_of)[None, :]
    return pd.DataFrame(
        {
            name: retrieval_metrics(
                query, database, query_ids=keys, database_ids=keys, exclude=folds_apart
            )
            for name, query, database in _directions(np.array(phenotypes), np.vstack(structures))
        }
    ).T


def unseen_plates(screen: Screen, seed: int) -> tuple[CloomeEmbedder, pd.DataFrame]:
    """Match wells of held-out plates with the structures of molecules seen on other plates.

    Parameters
    ----------
    screen : Screen
        The screen.
    seed : int
        Of plates and encoder.

    Returns
    -------
    embedder : CloomeEmbedder
        Trained on the other plates.
    table : DataFrame
        Both directions; candidates are the molecules (or their pooled wells).
    """
    train, test = plate_split(screen, seed)
    embedder = make_embedder(len(train), seed).fit(screen.wells.iloc[train])
    test = test[np.isin(screen.molecules[test], embedder.molecules_seen_)]
    wells, keys = screen.wells.iloc[test], screen.molecules[test]
    distinct, first = np.unique(keys, return_index=True)
    phenotypes = embedder.embed_phenotypes(wells)
    structures = embedder.embed_molecules(wells.iloc[first])
    pooled = np.array([phenotypes[keys == key].mean(axis=0) for key in distinct])

    def score(query: np.ndarray, database: np.ndarray, query_ids: np.ndarray) -> pd.Series:
        return retrieval_metrics(
            query,
            database,
            query_ids=query_ids,
            database_ids=distinct,
            interval="bootstrap",  # over molecules, in which wells nest
            groups=query_ids,
            random_state=seed,
        )

    table = {
        "one well -> molecule": score(phenotypes, structures, keys),
        "molecule -> phenotype": score(structures, pooled, distinct),
    }
    return embedder, pd.DataFrame(table).T


def plate_split(screen: Screen, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hold out about a fifth of the plates, at least one.

    Parameters
    ----------
    screen : Screen
        The screen.
    seed : int
        Which plates.

    Returns
    -------
    train : ndarray of int
        Rows of the other plates.
    test : ndarray of int
        Rows of the plates held out.
    """
    plates = screen.wells["Metadata_Plate"]
    n_held = max(1, plates.nunique() // N_FOLDS)
    splitter = GroupShuffleSplit(1, test_size=n_held, random_state=seed)
    return next(splitter.split(screen.wells, groups=plates))


def _directions(
    phenotypes: np.ndarray, structures: np.ndarray
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    return [
        ("phenotype -> molecule", phenotypes, structures),
        ("molecule -> phenotype", structures, phenotypes),
    ]
