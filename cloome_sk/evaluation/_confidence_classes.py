"""Whether the sets, probabilities and novelties of a classifier by references can be trusted."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from cloome_sk.confidence.nested import unit_weights
from cloome_sk.evaluation._confidence_hits import calibrating
from cloome_sk.evaluation._confidence_result import CLASSES, COVERAGES
from cloome_sk.evaluation.units import SCORES
from cloome_sk.metrics import expected_calibration_error
from cloome_sk.zero_shot import ZeroShotMoAClassifier


def ask_classes(
    model: str,
    Z: np.ndarray,
    labels: np.ndarray,
    of: np.ndarray,
    train: np.ndarray,
    n_draws: int,
    seed: int,
) -> tuple[list[dict[str, Any]], pd.DataFrame, int]:
    """Deal the molecules that were not trained on to calibration and test, and score the test.

    Parameters
    ----------
    model : str
        Whose embeddings these are.
    Z : ndarray of float, shape (n_rows, n_components)
        Of rows that have a class.
    labels, of : ndarray, shape (n_rows,)
        Class and molecule of each.
    train : ndarray of bool, shape (n_rows,)
        Which rows are references.
    n_draws, seed : int
        How often, and of the deals, which are the same for all models.

    Returns
    -------
    units : list of dict
        Scores of molecules.
    predicted : DataFrame
        Confidence and success of each row, for the calibration error.
    n_calibration : int
        Molecules that calibrate.
    """
    units: list[dict[str, Any]] = []
    predicted = []
    # Of another stream than the halves, which the same seed made: dealt with their numbers,
    # calibration and test would not be alike.
    deal = np.random.RandomState([seed, 2])
    pool = ~train
    for _ in range(n_draws):
        left_out = deal.choice(np.unique(labels))
        waiting = deal.permutation(np.unique(of[pool]))
        n_known = calibrating(len(waiting))
        calibration = np.isin(of, waiting[:n_known])
        test = pool & ~calibration
        fitted = _calibrated(Z, labels, of, train, calibration)
        units += _of_sets(model, fitted, Z[test], labels[test], of[test])
        rows, frame = _of_probabilities(model, fitted, Z[test], labels[test], of[test])
        units += rows
        predicted.append(frame)
        units += _of_novelty(model, Z, labels, of, (train, calibration, test), left_out)
    return units, pd.concat(predicted).assign(model=model), n_known


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
    named = {"part": CLASSES, "model": model, "metric": metric, "chance": chance}
    return [{**named, "unit": unit, "value": value} for unit, value in means.items()]


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
            "part": CLASSES,
            "model": model,
            "metric": "novelty AUROC",
            "unit": unit,
            "value": np.mean(others > own) + 0.5 * np.mean(others == own),
            "chance": 0.5,
        }
        for unit, own in p["new"].items()
    ]


def calibration_errors(
    predicted: Mapping[str, list[pd.DataFrame]],
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: int = 0,
) -> pd.DataFrame:
    """Expected calibration error over all draws, intervals by resampling molecules.

    Parameters
    ----------
    predicted : mapping of str to list of DataFrame
        Of each model, what `ask_classes` predicted in each fold.
    confidence : float, default=0.95
        Coverage.
    n_bootstrap, random_state : int
        Resamples and their seed.

    Returns
    -------
    DataFrame
        Columns `SCORES`.
    """
    rows = []
    tail = (1.0 - confidence) / 2
    for model, frames in predicted.items():
        frame = pd.concat(frames)
        codes, names = pd.factorize(frame["unit"])
        n = len(names)
        drawn = np.random.RandomState(random_state).multinomial(n, np.full(n, 1 / n), n_bootstrap)
        for when in ("before", "after"):
            sure, right = frame[when].to_numpy(), frame["right"].to_numpy(dtype=float)
            weight = frame["weight"].to_numpy()
            value = expected_calibration_error(right.astype(int), sure, sample_weight=weight)
            # Sums of each molecule in each bin: a resample only adds them up anew.
            bins = np.clip(np.ceil(sure * 10).astype(int) - 1, 0, 9)
            gaps, mass = np.zeros((n, 10)), np.bincount(codes, weight, n)
            np.add.at(gaps, (codes, bins), weight * (right - sure))
            draws = np.abs(drawn @ gaps).sum(axis=1) / (drawn @ mass)
            low, high = np.quantile(draws, [tail, 1.0 - tail])
            row = {"part": CLASSES, "model": model, "metric": f"ECE {when}", "value": value}
            rows.append({**row, "low": low, "high": high, "n": n})
    return pd.DataFrame(rows).reindex(columns=SCORES)
