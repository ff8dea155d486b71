"""Figures over repeated splits, which share compounds, and their paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from cloome_sk.evaluation.units import DIFFERENCES, FEWEST, SCORES, holm


def corrected_interval(
    values: np.ndarray, ratio: float, confidence: float
) -> tuple[float, float, float]:
    r"""Interval and p of a mean over repeated random splits, by the corrected resampled t-test.

    Parameters
    ----------
    values : ndarray of float, shape (n_splits,)
        A figure, or a difference, of each split.
    ratio : float
        Held-back compounds by deck compounds.
    confidence : float
        Coverage.

    Returns
    -------
    low, high, p : float
        p is two-sided, of a mean of 0. NaN for fewer than `FEWEST` splits, or where all are the
        same.

    Notes
    -----
    Splits of the same compounds are no independent evidence. The variance of the mean over
    :math:`J` splits is taken as :math:`(1/J + \rho) s^2`, with `ratio` :math:`\rho` and the
    variance over splits :math:`s^2` [1]_, and Student's t has :math:`J - 1` degrees of freedom.

    References
    ----------
    .. [1] Nadeau & Bengio, "Inference for the generalization error", Machine Learning 52:239-281
       (2003).
    """
    n = len(values)
    spread = float(values.std(ddof=1)) if n >= FEWEST else 0.0
    if spread <= 1e-12:
        return np.nan, np.nan, np.nan
    mean, error = float(values.mean()), spread * np.sqrt(1 / n + ratio)
    reach = error * student.ppf((1 + confidence) / 2, n - 1)
    return mean - reach, mean + reach, float(2 * student.sf(abs(mean) / error, n - 1))


def scores_over_splits(
    units: pd.DataFrame, ratios: Mapping[str, float], confidence: float
) -> pd.DataFrame:
    """Means over splits with corrected intervals, columns `SCORES`.

    Parameters
    ----------
    units : DataFrame
        ``part``, ``model``, ``metric``, ``unit`` (the split), ``value`` and ``chance``.
    ratios : mapping of str to float
        Held-back compounds by deck compounds, of each part.
    confidence : float
        Coverage.

    Returns
    -------
    DataFrame, one row a part, model and metric
        ``p_chance`` is of the differences to chance.
    """
    rows: list[dict[str, Any]] = []
    for (part, metric, model), own in units.groupby(["part", "metric", "model"], sort=False):
        values, chances = own["value"].to_numpy(), own["chance"].to_numpy()
        low, high, _ = corrected_interval(values, ratios[str(part)], confidence)
        rows.append(
            {
                "part": part,
                "model": model,
                "metric": metric,
                "value": values.mean(),
                "low": low,
                "high": high,
                "chance": chances.mean(),
                "n": len(values),
                "p_chance": corrected_interval(values - chances, ratios[str(part)], confidence)[2],
            }
        )
    return pd.DataFrame(rows, columns=SCORES)


def differences_over_splits(
    units: pd.DataFrame, model: str, ratios: Mapping[str, float], confidence: float
) -> pd.DataFrame:
    """One model less each other, split by split, columns `DIFFERENCES`.

    Parameters
    ----------
    units : DataFrame
        As for `scores_over_splits`.
    model : str
        The model under test.
    ratios : mapping of str to float
        Held-back compounds by deck compounds, of each part.
    confidence : float
        Coverage.

    Returns
    -------
    DataFrame, one row a part, metric and other model
        ``p_holm`` is corrected for the number of references of a part and metric.
    """
    rows: list[dict[str, Any]] = []
    for (part, metric), own in units.groupby(["part", "metric"], sort=False):
        by_model = own.pivot(index="unit", columns="model", values="value")
        family = []
        for reference in dict.fromkeys(own["model"]):
            if reference == model:
                continue
            apart = (by_model[model] - by_model[reference]).to_numpy()
            low, high, p = corrected_interval(apart, ratios[str(part)], confidence)
            family.append(
                {
                    **{"part": part, "metric": metric, "model": model, "reference": reference},
                    **{"difference": apart.mean(), "low": low, "high": high, "p": p},
                    "n": len(apart),
                }
            )
        corrected = holm([row["p"] for row in family])
        rows += [{**row, "p_holm": p} for row, p in zip(family, corrected, strict=True)]
    return pd.DataFrame(rows, columns=DIFFERENCES)
