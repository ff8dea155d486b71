"""Study of confidence: whether sets cover, probabilities are calibrated, novelty is noticed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.utils import check_random_state
from tqdm.auto import tqdm

from cloome_sk.confidence.nested import unit_weights
from cloome_sk.evaluation._confidence_result import COVERAGES, ConfidenceStudy
from cloome_sk.evaluation.result import StudyResult
from cloome_sk.evaluation.screens import Screen
from cloome_sk.evaluation.units import LEAKAGE, SCORES, differences_of, leakage_row, scores_of
from cloome_sk.metrics import expected_calibration_error
from cloome_sk.zero_shot import ZeroShotMoAClassifier

PART = "classes of unseen molecules"
CLAIM = "molecule"
Embed = Callable[[np.ndarray, int], np.ndarray]
"""From the positions of training rows and a seed to embeddings of all rows."""


def study_confidence(
    table: pd.DataFrame,
    classes: Sequence[Any] | np.ndarray,
    molecules: Sequence[Any] | np.ndarray,
    models: Mapping[str, Embed],
    model: str,
    *,
    data: str,
    folds: int = 5,
    repeats: int = 20,
    random_state: int = 0,
    verbose: int = 0,
) -> StudyResult:
    """Measure how far a classifier by references can be trusted, on molecules never trained on.

    In each fold half of the molecules of every class train the embedding and are its references.
    The others are dealt, `repeats` times, to calibration (two thirds) and test.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        Treated wells with their structures; read for the leakage report.
    classes : array-like, shape (n_rows,)
        Class of each row, of at least two molecules each; None for rows to leave out.
    molecules : array-like, shape (n_rows,)
        Molecule of each row.
    models : mapping of str to callable
        Each takes the positions of the training rows and a seed, and gives embeddings of all rows,
        shape (n_rows, n_components).
    model : str
        The one under test.
    data : str
        Name of the screen.
    folds : int, default=5
        Number of halvings.
    repeats : int, default=20
        Deals to calibration and test in each.
    random_state : int, default=0
        Seed.
    verbose : int, default=0
        Above 0: a progress bar.

    Returns
    -------
    StudyResult
        Coverage and mean size of sets at 80, 90 and 95 %; top-1; log loss and expected calibration
        error before and after `calibrate`; AUROC of telling a class without references from the
        others by `novelty_p_value`. Wells of a molecule, and its repeats, are averaged; intervals
        resample molecules. Chance of a set size: sets drawn at random that cover as often.

    Raises
    ------
    ValueError
        If there are fewer than three classes, a class of one molecule, or no such model.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from cloome_sk.evaluation.confidence import study_confidence
    >>> rng = np.random.default_rng(0)
    >>> y, of = np.repeat(["actin", "DNA", "tubulin"], 20), np.arange(60)
    >>> X = np.eye(3)[of // 20] + 0.5 * rng.normal(size=(60, 3))
    >>> table = pd.DataFrame({"smiles": ["C" * (n + 1) for n in of]})
    >>> found = study_confidence(table, y, of, {"profile": lambda rows, seed: X}, "profile",
    ...                          data="toy", folds=2, repeats=3)
    >>> found.scores["metric"].tolist()[:2]
    ['coverage 80%', 'set size 80%']
    """
    classes, molecules = np.asarray(classes, dtype=object), np.asarray(molecules, dtype=object)
    named = np.flatnonzero(pd.notna(classes))
    labels = classes[named].astype(str)
    of = pd.factorize(molecules[named])[0]
    per_class = pd.Series(of).groupby(labels).nunique()
    if len(per_class) < 3 or per_class.min() < 2 or model not in models:
        raise ValueError(
            "study_confidence needs the model under test among `models`, and three classes or more "
            f"of at least two molecules each; got models {list(models)} and classes "
            f"{per_class.to_dict()}."
        )
    generator = check_random_state(random_state)
    units: list[dict[str, Any]] = []
    predicted: dict[str, list[pd.DataFrame]] = {name: [] for name in models}
    leaks, n_calibration = [], []
    for fold in tqdm(range(folds), desc="confidence", disable=not verbose):
        seed = int(generator.randint(2**31 - 1))
        train, pool = _halves(labels, of, np.random.RandomState(seed))
        leaks.append(
            leakage_row(
                PART,
                fold,
                table.iloc[named[train]].reset_index(drop=True),
                table.iloc[named[pool]].reset_index(drop=True),
                CLAIM,
            )
        )
        for name, embed in models.items():
            # Every model sees the same deals.
            deal = np.random.RandomState(seed)
            Z = embed(named[train], seed)[named]
            for _ in range(repeats):
                left_out = deal.choice(np.unique(labels))
                waiting = deal.permutation(np.unique(of[pool]))
                n_known = 2 * len(waiting) // 3
                calibration = np.isin(of, waiting[:n_known])
                test = pool & ~calibration
                n_calibration.append(n_known)
                fitted = _calibrated(Z, labels, of, train, calibration)
                units += _of_sets(name, fitted, Z[test], labels[test], of[test])
                rows, frame = _of_probabilities(name, fitted, Z[test], labels[test], of[test])
                units += rows
                predicted[name].append(frame)
                units += _of_novelty(name, Z, labels, of, (train, calibration, test), left_out)
    frame = pd.DataFrame(units).assign(part=PART)
    scores = pd.concat([scores_of(frame), _calibration_errors(predicted)], ignore_index=True)
    at = {name: place for place, name in enumerate(models)}
    scores = scores.sort_values("model", key=lambda names: names.map(at), kind="stable")
    n_cal = f"{min(n_calibration)} to {max(n_calibration)}"
    notes = (
        f"{data}: {len(named):,} rows of {of.max() + 1} molecules in {len(per_class)} classes; "
        f"{len(classes) - len(named):,} rows without a class, or one of too few molecules, are "
        "left out.",
        f"{folds} times half of the molecules of each class trained the embedding and served as "
        f"references; the others were dealt {repeats} times to calibration ({n_cal} molecules) "
        "and test. A coverage c can be had only with 1/(1 - c) - 1 calibration molecules; below, "
        "sets hold every class.",
        "Sets may cover more often than promised, by up to 2/(n + 1) for n calibration molecules. "
        "ECE is above 0 by chance alone; its interval resamples molecules too.",
        "Novelty: one class at a time, drawn at random, has no references and no calibration "
        "molecules; AUROC of its molecules against the test molecules of the other classes.",
    )
    return ConfidenceStudy(
        name="confidence",
        data=data,
        model=model,
        scores=scores.reset_index(drop=True),
        differences=differences_of(frame, model),
        leakage=pd.DataFrame(leaks).reindex(columns=LEAKAGE),
        headline="set size 90%",
        notes=notes,
        larger_is_better=False,
        n_calibration=(min(n_calibration), max(n_calibration)),
    )


def confidence_of_screen(
    screen: Screen,
    *,
    folds: int = 5,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> StudyResult:
    """Run the study of confidence on a screen.

    Parameters
    ----------
    screen : Screen
        From `cloome_sk.evaluation.screens.load_screen`.
    folds : int, default=5
        Trainings, each on half of the molecules.
    random_state : int, default=0
        Seed.
    n_jobs : int or None, default=None
        Processes that read images; profiles need none.
    verbose : int, default=0
        Above 0: a progress bar.

    Returns
    -------
    StudyResult
        Of CLOOME, the profile, the sphered profile, and random vectors: sets of any embedding
        cover, but those of random vectors are large.
    """

    def cloome(rows: np.ndarray, seed: int) -> np.ndarray:
        embedder = screen.make_embedder(len(rows), seed)
        if n_jobs is not None and "phenotype__n_jobs" in embedder.get_params():
            embedder.set_params(phenotype__n_jobs=n_jobs)
        embedder.fit(screen.wells.iloc[rows])
        return np.asarray(embedder.embed_phenotypes(screen.wells))

    def fixed(table: pd.DataFrame) -> Embed:
        return lambda rows, seed: table[screen.features].to_numpy(dtype=np.float64)

    def random(rows: np.ndarray, seed: int) -> np.ndarray:
        return np.random.RandomState(seed).normal(size=(len(screen.wells), 32))

    return study_confidence(
        screen.wells,
        screen.classes,
        screen.molecules,
        {
            "CLOOME": cloome,
            screen.feature_name: fixed(screen.normalised_wells),
            f"sphered {screen.feature_name}": fixed(screen.wells),
            "random vectors": random,
        },
        "CLOOME",
        data=screen.name,
        folds=folds,
        random_state=random_state,
        verbose=verbose,
    )


def _halves(
    labels: np.ndarray, of: np.ndarray, generator: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a random half, rounded down, of the molecules of each class, and the other rows."""
    chosen: list[int] = []
    for name in np.unique(labels):
        # A molecule of two classes is on one side with all of its rows.
        own = np.setdiff1d(np.unique(of[labels == name]), chosen)
        chosen += generator.permutation(own)[: max(1, len(own) // 2)].tolist()
    train = np.isin(of, chosen)
    return train, ~train


def _calibrated(
    Z: np.ndarray, labels: np.ndarray, of: np.ndarray, train: np.ndarray, calibration: np.ndarray
) -> ZeroShotMoAClassifier:
    fitted = ZeroShotMoAClassifier().fit(Z[train], labels[train])
    with warnings.catch_warnings():
        # With random vectors, the temperature ends at its bound.
        warnings.filterwarnings("ignore", message=".*ended at its bound")
        return fitted.calibrate(
            Z[calibration], labels[calibration], groups=of[calibration], n_folds=2
        )


def _rows(
    model: str, metric: str, values: np.ndarray, of: np.ndarray, chance: float = np.nan
) -> list[dict[str, Any]]:
    """Scores of wells as the means of their molecules, so that few rows are kept."""
    means = pd.Series(values, dtype=float).groupby(of).mean()
    return [
        {"model": model, "metric": metric, "unit": unit, "value": value, "chance": chance}
        for unit, value in means.items()
    ]


def _of_sets(
    model: str, fitted: ZeroShotMoAClassifier, Z: np.ndarray, labels: np.ndarray, of: np.ndarray
) -> list[dict[str, Any]]:
    out = []
    column = np.searchsorted(fitted.classes_, labels)
    for level in COVERAGES:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*calibration molecules")
            sets = fitted.predict_set(Z, level)
        hit = sets[np.arange(len(Z)), column]
        out += _rows(model, f"coverage {level:.0%}", hit, of)
        chance = level * len(fitted.classes_)
        out += _rows(model, f"set size {level:.0%}", sets.sum(axis=1), of, chance)
    return out


def _of_probabilities(
    model: str, fitted: ZeroShotMoAClassifier, Z: np.ndarray, labels: np.ndarray, of: np.ndarray
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    column = np.searchsorted(fitted.classes_, labels)
    rows = np.arange(len(Z))
    log_after = fitted.predict_log_proba(Z)
    # A softmax at another temperature is the softmax of rescaled logarithms.
    before = softmax(log_after * (fitted.inv_tau_uncalibrated_ / fitted.inv_tau_), axis=1)
    right = log_after.argmax(axis=1) == column
    n_classes = len(fitted.classes_)
    out = _rows(model, "top-1", right, of, 1.0 / n_classes)
    log_before = np.log(np.maximum(before[rows, column], np.finfo(float).tiny))
    out += _rows(model, "log loss before", -log_before, of, np.log(n_classes))
    out += _rows(model, "log loss after", -log_after[rows, column], of, np.log(n_classes))
    frame = pd.DataFrame({"unit": of, "right": right, "weight": unit_weights(of)})
    frame["before"], frame["after"] = before.max(axis=1), np.exp(log_after.max(axis=1))
    return out, frame


def _of_novelty(
    model: str,
    Z: np.ndarray,
    labels: np.ndarray,
    of: np.ndarray,
    sides: tuple[np.ndarray, np.ndarray, np.ndarray],
    left_out: str,
) -> list[dict[str, Any]]:
    """Share of known test molecules that look more familiar than each molecule left out."""
    train, calibration, test = sides
    new = labels == left_out
    known, asked = calibration & ~new, new & (calibration | test)
    if len(np.unique(of[known])) < 2 or not asked.any() or not (test & ~new).any():
        return []
    fitted = _calibrated(Z, labels, of, train & ~new, known)
    p = {
        name: pd.Series(fitted.novelty_p_value(Z[rows])).groupby(of[rows]).mean()
        for name, rows in (("new", asked), ("known", test & ~new))
    }
    others = p["known"].to_numpy()
    return [
        {
            "model": model,
            "metric": "novelty AUROC",
            "unit": unit,
            "value": np.mean(others > own) + 0.5 * np.mean(others == own),
            "chance": 0.5,
        }
        for unit, own in p["new"].items()
    ]


def _calibration_errors(
    predicted: Mapping[str, list[pd.DataFrame]], n_bootstrap: int = 500, seed: int = 0
) -> pd.DataFrame:
    """Expected calibration error over all repeats, intervals by resampling molecules."""
    rows = []
    for model, frames in predicted.items():
        frame = pd.concat(frames)
        codes, names = pd.factorize(frame["unit"])
        n = len(names)
        drawn = np.random.RandomState(seed).multinomial(n, np.full(n, 1 / n), size=n_bootstrap)
        for when in ("before", "after"):
            sure, right = frame[when].to_numpy(), frame["right"].to_numpy(dtype=float)
            weight = frame["weight"].to_numpy()
            value = expected_calibration_error(right.astype(int), sure, sample_weight=weight)
            # Sums of each molecule in each bin: a resample only adds them up anew.
            bins = np.clip(np.ceil(sure * 10).astype(int) - 1, 0, 9)
            gaps, mass = np.zeros((n, 10)), np.bincount(codes, weight, n)
            np.add.at(gaps, (codes, bins), weight * (right - sure))
            draws = np.abs(drawn @ gaps).sum(axis=1) / (drawn @ mass)
            low, high = np.quantile(draws, [0.025, 0.975])
            metric = f"ECE {when}"
            row = {"part": PART, "model": model, "metric": metric, "value": value}
            rows.append({**row, "low": low, "high": high, "n": n})
    return pd.DataFrame(rows).reindex(columns=SCORES)
