"""Naming the class of molecules that no encoder and no classifier has seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from cloome_sk import CloomeEmbedder, ZeroShotMoAClassifier
from cloome_sk.demo.training import UNTRAINED, Fold
from cloome_sk.evaluation.screens import FEWEST, Screen
from cloome_sk.molecules import morgan_fingerprints

N_REFERENCES = 5
"""Reference rows of each class in zero-shot classification."""

BLOCKS = ["profile", "Morgan", "CLOOME"]
COMBINATIONS = [
    ["profile"],
    ["Morgan"],
    ["CLOOME"],
    ["profile", "CLOOME"],
    ["profile", "Morgan"],
    ["profile", "Morgan", "CLOOME"],
]
STRENGTHS = [1e-3, 1e-2, 1e-1, 1.0, 10.0]
"""Values of C, chosen among by cross-validation inside the training part, by molecule."""


def classification(
    screen: Screen, folds: Sequence[Fold], n_jobs: int | None = None
) -> pd.DataFrame:
    """Score logistic regression on features, on the molecules left out of each fold.

    Features are combined by averaging the log-probabilities of their separate classifiers.

    Parameters
    ----------
    screen : Screen
        The screen.
    folds : sequence of Fold
        Encoders, and the rows they have and have not seen.
    n_jobs : int or None, default=None
        Classifiers at a time.

    Returns
    -------
    DataFrame
        A row for each combination of features.
    """
    log_p = {block: _out_of_fold(screen, folds, block, n_jobs) for block in BLOCKS}
    return pd.DataFrame(
        {
            " + ".join(blocks).replace("profile", screen.feature_name): _scores(
                screen, folds, np.sum([log_p[block] for block in blocks], axis=0)
            )
            for blocks in COMBINATIONS
        }
    ).T


def _out_of_fold(
    screen: Screen, folds: Sequence[Fold], block: str, n_jobs: int | None = None
) -> np.ndarray:
    """Log-probabilities of each row, from the fold that had not seen its molecule."""
    labels = _labels(screen)
    out = np.full((len(screen.wells), len(labels)), LEAST)
    tests, jobs = [], []
    for fold in folds:
        features = _features(screen, fold.embedder, block)
        train, test = _with_class(screen, fold.train), _with_class(screen, fold.test)
        if block == "Morgan":  # one row a molecule says all there is
            train = train[~pd.Series(screen.molecules[train]).duplicated()]
        tests.append(test)
        known = screen.classes[train].astype(str)
        scaler = MinMaxScaler() if block == "Morgan" else StandardScaler()
        jobs.append((scaler, features[train], known, screen.molecules[train], features[test]))
    for test, (classes, log_p) in zip(
        tests,
        Parallel(n_jobs=n_jobs)(delayed(_log_p)(*job, STRENGTHS) for job in jobs),
        strict=True,
    ):
        out[np.ix_(test, np.searchsorted(labels, classes))] = log_p
    return np.maximum(out, LEAST)


def _log_p(
    scaler: Any,
    train: np.ndarray,
    known: np.ndarray,
    molecules: np.ndarray,
    test: np.ndarray,
    strengths: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and log-probabilities of the test rows."""
    probe = GridSearchCV(
        make_pipeline(scaler, LogisticRegression(class_weight="balanced", max_iter=1000)),
        {"logisticregression__C": strengths},
        cv=StratifiedGroupKFold(FEWEST - 1),
        scoring="balanced_accuracy",
    )
    with warnings.catch_warnings():
        # A class of few molecules may be missing on one side of an inner split, and one row a
        # molecule is few rows for many classes.
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        warnings.filterwarnings("ignore", "The least populated class")
        warnings.filterwarnings("ignore", "The number of unique classes")
        probe.fit(train, known, groups=molecules)
    return probe.classes_, probe.predict_log_proba(test)


LEAST = -20.0
"""Log-probability of a class that no training molecule of a fold has; the least that counts."""


def _features(screen: Screen, embedder: CloomeEmbedder, block: str) -> np.ndarray:
    if block == "profile":
        return screen.wells[screen.features].to_numpy()
    if block == "Morgan":
        return morgan_fingerprints(screen.wells["Metadata_smiles"])
    return embedder.embed_phenotypes(screen.wells)


def zero_shot(screen: Screen, folds: Sequence[Fold], seed: int) -> pd.DataFrame:
    """Name classes from a few references of training molecules, with no classifier trained.

    Parameters
    ----------
    screen : Screen
        The screen.
    folds : sequence of Fold
        Encoders, and the rows they have and have not seen.
    seed : int
        Which wells are references.

    Returns
    -------
    DataFrame
        A row for each kind of reference.
    """
    labels = _labels(screen)
    names = zero_shot_names(screen)
    out = {name: np.zeros((len(screen.wells), len(labels))) for name in names}
    rng = np.random.default_rng(seed)
    for fold in folds:
        train, test = _with_class(screen, fold.train), _with_class(screen, fold.test)
        named = pd.Series(screen.classes[train].astype(str), index=train)
        shuffled = named.sample(frac=1, random_state=rng)
        wells = shuffled.groupby(shuffled).head(N_REFERENCES).index
        structures = named.index[~pd.Series(screen.molecules[train]).duplicated()]
        features = screen.wells[screen.features]
        untrained = fold.controls[UNTRAINED].embedder_
        kinds: list[tuple[Any, str, pd.Index, pd.DataFrame]] = [
            (None, "phenotype", wells, features),
            (untrained, "phenotype", wells, screen.wells),
            (fold.embedder, "phenotype", wells, screen.wells),
            (fold.embedder, "molecule", structures, screen.wells),
        ]
        for name, (embedder, reference, rows, table) in zip(names, kinds, strict=True):
            classifier = ZeroShotMoAClassifier(embedder, reference=reference)
            classifier.fit(table.iloc[rows], named[rows].to_numpy())
            places = np.searchsorted(labels, classifier.classes_)
            out[name][np.ix_(test, places)] = classifier.predict_proba(table.iloc[test])
    return pd.DataFrame({name: _scores(screen, folds, scores) for name, scores in out.items()}).T


def zero_shot_names(screen: Screen) -> list[str]:
    """Name the kinds of reference, in the order of `zero_shot`.

    Parameters
    ----------
    screen : Screen
        The screen.

    Returns
    -------
    list of str
        The last knows the structures of the reference molecules alone.
    """
    few = f"{N_REFERENCES} {screen.unit}s a class"
    return [
        f"{few}, {screen.feature_name}",
        f"{few}, {UNTRAINED}",
        f"{few}, CLOOME",
        "structures alone, CLOOME",
    ]


def _labels(screen: Screen) -> np.ndarray:
    return np.unique(screen.classes[pd.notna(screen.classes)].astype(str))


def _with_class(screen: Screen, rows: np.ndarray) -> np.ndarray:
    return rows[pd.notna(screen.classes[rows])]


def _scores(screen: Screen, folds: Sequence[Fold], log_p: np.ndarray) -> dict[str, float]:
    """Figures over rows, and chance; classes weigh the same whatever their number of rows.

    AUROC is taken within a fold, where one model gave all scores, over the classes tested there.
    """
    labels, rows = _labels(screen), _with_class(screen, np.arange(len(screen.wells)))
    aurocs = []
    for fold in folds:
        test = _with_class(screen, fold.test)
        for place, label in enumerate(labels):
            truth = screen.classes[test] == label
            if truth.any() and not truth.all():
                aurocs.append(roc_auc_score(truth, log_p[test, place]))
    named = labels[log_p[rows].argmax(axis=1)]
    return {
        "macro AUROC": float(np.mean(aurocs)),
        "chance AUROC": 0.5,
        "balanced accuracy": balanced_accuracy_score(screen.classes[rows].astype(str), named),
        "chance accuracy": 1 / len(labels),
        f"n_{screen.unit}s": len(rows),
        "n_molecules": len(np.unique(screen.molecules[rows])),
    }
