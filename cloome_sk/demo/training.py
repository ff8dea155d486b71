"""Encoders and baselines that have not seen what they are scored on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold
from tqdm.auto import tqdm

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import UntrainedEmbedder, default_controls
from cloome_sk.evaluation.screens import Screen
from cloome_sk.model_selection import leakage_report

N_FOLDS = 5
N_IMAGE_FOLDS = 3
"""A network for images takes longer to train."""
HELD_OUT = 5
"""One in so many plates is held out, one at least."""

MODEL = "CLOOME"
UNTRAINED = "untrained encoder"
UNSEEN_MOLECULES = ["Tanimoto-kernel average", "CCA"]
UNSEEN_PLATES = [
    "random molecule codes",
    UNTRAINED,
    "LDA on compound labels",
    "profile",
    "cell count",
    "well position",
]
"""Names in `cloome_sk.baselines.default_controls` of what stands beside the encoders."""


@dataclass(frozen=True)
class Fold:
    """What was trained on some rows, and the rows of molecules it has not seen.

    Attributes
    ----------
    embedder : CloomeEmbedder
        Fitted.
    train, test : ndarray of int
        Rows.
    controls : dict of str to estimator
        What stands beside it, fitted on the same rows.
    """

    embedder: CloomeEmbedder
    train: np.ndarray
    test: np.ndarray
    controls: dict[str, Any]


def encoders_of_unseen_molecules(
    screen: Screen, seed: int, n_jobs: int | None = None
) -> list[Fold]:
    """Train one encoder a fold, and its controls; all rows of a molecule are on one side.

    Parameters
    ----------
    screen : Screen
        The screen.
    seed : int
        Of folds and encoders.
    n_jobs : int or None, default=None
        Folds at a time.

    Returns
    -------
    list of Fold
        Encoders, controls and rows.
    """
    n_folds = N_IMAGE_FOLDS if screen.has_images else N_FOLDS
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    strata = pd.Series(screen.classes).fillna("none")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        splits = list(splitter.split(screen.wells, strata, groups=screen.molecules))
    known = default_controls("unseen_molecules", columns=screen.features)
    jobs = []
    for train, _ in splits:
        embedder = screen.make_embedder(len(train), seed)
        controls = {name: known[name] for name in UNSEEN_MOLECULES}
        models = {MODEL: embedder, **controls, UNTRAINED: UntrainedEmbedder(embedder)}
        jobs.append((models, screen.wells.iloc[train]))
    trained = _all_fitted(jobs, n_jobs, desc="Training an encoder for each fold", unit="fold")
    return [
        Fold(models.pop(MODEL), train, test, models)
        for (train, test), models in zip(splits, trained, strict=True)
    ]


def encoders_of_unseen_plates(
    screen: Screen, seed: int, n_jobs: int | None = None
) -> dict[str, Any]:
    """Train an encoder, and its controls, on all plates but those held out.

    Parameters
    ----------
    screen : Screen
        The screen.
    seed : int
        Of plates, encoder and random codes.
    n_jobs : int or None, default=None
        Models at a time.

    Returns
    -------
    dict of str to estimator
        Fitted; the encoder first.
    """
    train, _ = plate_split(screen, seed)
    embedder = screen.make_embedder(len(train), seed)
    known = default_controls(
        "unseen_plates",
        table=screen.wells,
        embedder=embedder,
        columns=screen.features,
        random_state=seed,
    )
    models = {MODEL: embedder, **{name: known[name] for name in UNSEEN_PLATES if name in known}}
    named = {screen.feature_name if name == "profile" else name: models[name] for name in models}
    rows = screen.wells.iloc[train]
    trained = _all_fitted(
        [({name: model}, rows) for name, model in named.items()],
        n_jobs,
        desc="Training on all plates but those held out",
        unit="model",
    )
    return {name: model for models in trained for name, model in models.items()}


def _all_fitted(
    jobs: Sequence[tuple[dict[str, Any], pd.DataFrame]], n_jobs: int | None, desc: str, unit: str
) -> list[dict[str, Any]]:
    """Fit models on their rows. Processes of one thread wait for each other less than threads."""
    fitted = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(_fitted)(*job) for job in jobs)
    return list(tqdm(fitted, total=len(jobs), desc=desc, unit=unit))


def _fitted(models: dict[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    return {name: clone(model).fit(rows) for name, model in models.items()}


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
    n_held = max(1, plates.nunique() // HELD_OUT)
    splitter = GroupShuffleSplit(1, test_size=n_held, random_state=seed)
    return next(splitter.split(screen.wells, groups=plates))


def unseen_indeed(screen: Screen, folds: Sequence[Fold], seed: int) -> str:
    """Check that nothing is tested on a molecule, or a plate, that it was trained on.

    Parameters
    ----------
    screen : Screen
        The screen.
    folds : sequence of Fold
        Encoders, and the rows they have and have not seen.
    seed : int
        Which plates are held out.

    Returns
    -------
    str
        Sentences for the user.

    Raises
    ------
    RuntimeError
        If something is; the message is the leakage report.
    """
    splits: list[tuple[np.ndarray, np.ndarray, str, Any]] = [
        (fold.train, fold.test, "molecule", fold.embedder) for fold in folds
    ]
    splits.append((*plate_split(screen, seed), "plate", None))
    for train, test, claim, embedder in splits:
        report = leakage_report(
            screen.wells.iloc[train], screen.wells.iloc[test], claim=claim, embedder=embedder
        )
        if not report.ok:
            raise RuntimeError(str(report))
    return (
        f"Leakage reports: no molecule on both sides of any of {len(folds)} folds, no plate on "
        "both sides of the split by plates.\n"
    )
