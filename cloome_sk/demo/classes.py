"""Naming the class of molecules that no encoder and no classifier has seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from cloome_sk import CloomeEmbedder, ZeroShotMoAClassifier
from cloome_sk._tables import profile_columns
from cloome_sk.demo.retrieval import Fold
from cloome_sk.evaluation.screens import FEWEST, Screen
from cloome_sk.molecules import morgan_fingerprints

N_REFERENCES = 5
"""Reference wells of each class in zero-shot classification."""

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


def classification(screen: Screen, folds: Sequence[Fold]) -> pd.DataFrame:
    """Score logistic regression on features, on the molecules left out of each fold.

    Features are combined by averaging the log-probabilities of their separate classifiers.

    Parameters
    ----------
    screen : Screen
        The screen.
    folds : sequence of Fold
        Encoders, and the rows they have and have not seen.

    Returns
    -------
    DataFrame
        A row for each combination of features.
    """
    log_p = {block: _out_of_fold(screen, folds, block) for block in BLOCKS}
    return pd.DataFrame(
        {
            " + ".join(blocks): _scores(
                screen, folds, np.sum([log_p[block] for block in blocks], axis=0)
            )
            for blocks in COMBINATIONS
        }
    ).T


def _out_of_fold(screen: Screen, folds: Sequence[Fold], block: str) -> np.ndarray:
    """Log-probabilities of each well, from the fold that had not seen its molecule."""
    labels = _labels(screen)
    out = np.full((len(screen.wells), len(labels)), LEAST)
    for fold in folds:
        features = _features(screen, fold.embedder, block)
        train, test = _with_class(screen, fold.train), _with_class(screen, fold.test)
        if block == "Morgan":  # one row a molecule says all there is
            train = train[~pd.Series(screen.molecules[train]).duplicated()]
        probe = GridSearchCV(
            make_pipeline(
                MinMaxScaler() if block == "Morgan" else StandardScaler(),
                LogisticRegression(class_weight="balanced", max_iter=1000),
            ),
            {"logisticregression__C": STRENGTHS},
            cv=StratifiedGroupKFold(FEWEST - 1),
            scoring="balanced_accuracy",
        )
        with warnings.catch_warnings():
            # A class of few molecules may be missing on one side of an inner split.
            warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
            warnings.filterwarnings("ignore", "The least populated class")
            probe.fit(
                features[train],
                screen.classes[train].astype(str),
                groups=screen.molecules[train],
            )
        places = np.searchsorted(labels, probe.classes_)
        out[np.ix_(test, places)] = probe.predict_log_proba(features[test])
    return np.maximum(out, LEAST)


LEAST = -20.0
"""Log-probability of a class that no training molecule of a fold has; the least that counts."""


def _features(screen: Screen, embedder: CloomeEmbedder, block: str) -> np.ndarray:
    if block == "profile":
        return screen.wells[profile_columns(screen.wells)].to_numpy()
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
    out = {name: np.zeros((len(screen.wells), len(labels))) for name in ZERO_SHOT}
    rng = np.random.default_rng(seed)
    for fold in folds:
        train, test = _with_class(screen, fold.train), _with_class(screen, fold.test)
        named = pd.Series(screen.classes[train].astype(str), index=train)
        shuffled = named.sample(frac=1, random_state=rng)
        wells = shuffled.groupby(shuffled).head(N_REFERENCES).index
        structures = named.index[~pd.Series(screen.molecules[train]).duplicated()]
        profiles = screen.wells[profile_columns(screen.wells)]
        for name, (embedder, reference, rows, table) in {
            ZERO_SHOT[0]: (None, "phenotype", wells, profiles),
            ZERO_SHOT[1]: (fold.embedder, "phenotype", wells, screen.wells),
            ZERO_SHOT[2]: (fold.embedder, "molecule", structures, screen.wells),
        }.items():
            classifier = ZeroShotMoAClassifier(embedder, reference=reference)
            classifier.fit(table.iloc[rows], named[rows].to_numpy())
            places = np.searchsorted(labels, classifier.classes_)
            out[name][np.ix_(test, places)] = classifier.predict_proba(table.iloc[test])
    return pd.DataFrame({name: _scores(screen, folds, scores) for name, scores in out.items()}).T


ZERO_SHOT = [
    f"{N_REFERENCES} wells a class, profile",
    f"{N_REFERENCES} wells a class, CLOOME",
    "structures alone, CLOOME",
]


def _labels(screen: Screen) -> np.ndarray:
    return np.unique(screen.classes[pd.notna(screen.classes)].astype(str))


def _with_class(screen: Screen, rows: np.ndarray) -> np.ndarray:
    return rows[pd.notna(screen.classes[rows])]


def _scores(screen: Screen, folds: Sequence[Fold], log_p: np.ndarray) -> dict[str, float]:
    """Figures over wells, and chance; classes weigh the same whatever their number of wells.

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
        "n_wells": len(rows),
        "n_molecules": len(np.unique(screen.molecules[rows])),
    }
