"""What a comparison measures: ranks of molecules and replicates, and classes of molecules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from cloome_sk._embedding import unit_rows
from cloome_sk.metrics import bootstrap_interval, retrieval_ranks

BELOW_ANY_COSINE = -2.0
Row = dict[str, Any]


def ranked(
    name: str,
    units: np.ndarray,
    query: np.ndarray,
    database: np.ndarray,
    *,
    ks: tuple[int, ...] = (1, 5, 10),
    **options: Any,
) -> pd.DataFrame:
    """Scores of each query: one row for each metric, with the molecule it belongs to.

    Without an embedding a candidate comes last, and a query ties all candidates. Where a whole side
    has none, or no query has a right candidate, there is no score.
    """
    no_query, no_candidate = np.isnan(query).any(axis=1), np.isnan(database).any(axis=1)
    if no_query.all() or no_candidate.all():
        return _unanswered(name, ks)
    if no_query.any() or no_candidate.any():
        left = unit_rows(np.where(no_query[:, None], 1.0, query.astype(np.float64)))
        right = unit_rows(np.where(no_candidate[:, None], 1.0, database.astype(np.float64)))
        similarity = left @ right.T
        similarity[:, no_candidate] = BELOW_ANY_COSINE
        similarity[no_query] = BELOW_ANY_COSINE
        table = retrieval_ranks(similarity=similarity, ks=ks, **options)
    else:
        table = retrieval_ranks(query, database, ks=ks, **options)
    kept = table["n_positives"].to_numpy() > 0
    if not kept.any():
        return _unanswered(name, ks)
    table, units = table[kept], units[kept]
    columns = {f"R@{k} {name}": (table[f"R@{k}"], table[f"chance@{k}"]) for k in ks}
    half = pd.Series(0.5, index=table.index)
    columns[f"relative rank {name}"] = (table["relative_rank"], half)
    parts = [
        pd.DataFrame(
            {
                "metric": metric,
                "unit": units,
                "value": value.to_numpy(),
                "chance": chance.to_numpy(),
            }
        )
        for metric, (value, chance) in columns.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _unanswered(name: str, ks: tuple[int, ...]) -> pd.DataFrame:
    """One row for each metric that belongs to no molecule, so that the metric is listed."""
    metrics = [*(f"R@{k} {name}" for k in ks), f"relative rank {name}"]
    nothing = np.full(len(metrics), None, dtype=object)
    return pd.DataFrame({"metric": metrics, "unit": nothing, "value": np.nan, "chance": np.nan})


def summarised(scores: pd.DataFrame, confidence: float, n_bootstrap: int, seed: int) -> list[Row]:
    """Mean over the queries of each molecule, then over molecules, which are resampled."""
    out = []
    for metric, part in scores.groupby("metric", sort=False):
        means = part.dropna(subset=["unit"]).groupby("unit")[["value", "chance"]].mean()
        value = chance = np.nan
        low: Any = np.nan
        high: Any = np.nan
        if len(means):
            value, chance = means["value"].mean(), means["chance"].mean()
        if len(means) > 1:
            low, high = bootstrap_interval(
                means["value"].to_numpy(),
                confidence=confidence,
                n_bootstrap=n_bootstrap,
                random_state=seed,
            )
        out.append(
            {
                "metric": metric,
                "value": value,
                "low": low,
                "high": high,
                "chance": chance,
                "n": len(means),
            }
        )
    return out


def class_scores(
    records: pd.DataFrame,
    probabilities: np.ndarray,
    n_classes: int,
    confidence: float,
    n_bootstrap: int,
    seed: int,
) -> list[Row]:
    """Macro AUROC and balanced accuracy over molecules, which are resampled within their class.

    `records` has one row a molecule and test fold: ``fold``, ``unit`` (code of the molecule) and
    ``label`` (code of its class), in the order of `probabilities`.
    """
    fold, label = records["fold"].to_numpy(), records["label"].to_numpy()
    unit, names = pd.factorize(records["unit"])
    # Means of equal numbers differ in their last digit; they are ties.
    probabilities = np.round(probabilities, 12)
    weights = _resampled(unit, label, len(names), n_bootstrap, check_random_state(seed))
    rows = []
    tail = (1.0 - confidence) / 2
    for metric, draws, chance in (
        ("macro AUROC", _macro_auroc(probabilities, label, fold, n_classes, weights), 0.5),
        ("balanced accuracy", _recall(probabilities, label, n_classes, weights), 1 / n_classes),
    ):
        low, high = np.nanquantile(draws[1:], [tail, 1.0 - tail])
        rows.append(
            {
                "metric": metric,
                "value": draws[0],
                "low": low,
                "high": high,
                "chance": chance,
                "n": len(names),
            }
        )
    return rows


def _resampled(
    unit: np.ndarray,
    label: np.ndarray,
    n_units: int,
    n_bootstrap: int,
    generator: np.random.RandomState,
) -> np.ndarray:
    """How often each record counts: in the first row once, then in each resample."""
    of_unit = np.empty(n_units, dtype=np.intp)
    of_unit[unit] = label
    counts = np.ones((n_bootstrap + 1, n_units))
    for code in np.unique(of_unit):
        members = np.flatnonzero(of_unit == code)
        share = np.full(len(members), 1.0 / len(members))
        counts[1:, members] = generator.multinomial(len(members), share, size=n_bootstrap)
    return counts[:, unit]


def _macro_auroc(
    probabilities: np.ndarray,
    label: np.ndarray,
    fold: np.ndarray,
    n_classes: int,
    weights: np.ndarray,
) -> np.ndarray:
    """Share of right pairs, a molecule of the class and another of the same fold; mean of classes.

    Pairs across folds compare the scores of two models, and a fold that holds more of a class in
    test has seen less of it in training: pooled over folds, the class frequencies alone would score
    below one half.
    """
    right = np.zeros((len(weights), n_classes))
    pairs = np.zeros((len(weights), n_classes))
    for number in np.unique(fold):
        here = np.flatnonzero(fold == number)
        for code in np.unique(label[here]):
            positive, negative = here[label[here] == code], here[label[here] != code]
            first = probabilities[positive, code][:, None]
            second = probabilities[negative, code][None, :]
            wins = (first > second) + 0.5 * (first == second)
            right[:, code] += ((weights[:, positive] @ wins) * weights[:, negative]).sum(axis=1)
            pairs[:, code] += weights[:, positive].sum(axis=1) * weights[:, negative].sum(axis=1)
    return _mean_of_ratios(right, pairs)


def _recall(
    probabilities: np.ndarray, label: np.ndarray, n_classes: int, weights: np.ndarray
) -> np.ndarray:
    """Share of the molecules of a class that are named right; mean of classes."""
    right = weights * (probabilities.argmax(axis=1) == label)
    member = (label[:, None] == np.arange(n_classes)).astype(float)
    return _mean_of_ratios(right @ member, weights @ member)


def _mean_of_ratios(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Mean over the classes that have anything to count."""
    ratio = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    counted = (whole > 0).sum(axis=1)
    return np.divide(ratio.sum(axis=1), counted, out=np.full(len(part), np.nan), where=counted > 0)
