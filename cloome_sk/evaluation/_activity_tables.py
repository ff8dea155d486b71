"""Figures of a split with their intervals, and paired differences, from the assays it scored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.evaluation._activity_resampled import Deviations, resampled
from cloome_sk.evaluation._activity_scores import share_above
from cloome_sk.evaluation._activity_split import ScoredSplit
from cloome_sk.evaluation.units import DIFFERENCES, FEWEST, SCORES, holm

HEADLINE = "AUROC"
GAIN = "AUPRC - prevalence"
RANGES = {HEADLINE: (0.0, 1.0), "AUPRC": (0.0, 1.0), GAIN: (-1.0, 1.0)}
"""Means over assays that have intervals, in the order of `weighted_scores`."""
COMPARED = (HEADLINE, GAIN)
"""The AUPRC of two models is as far apart as their gains are."""
THRESHOLDS = (0.7, 0.9)


def tables_of(
    found: ScoredSplit,
    model: str,
    *,
    confidence: float,
    n_bootstrap: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Scores and differences, as of `cloome_sk.evaluation.units`; and what was resampled."""
    scores: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    notes: list[str] = []
    assays = pd.DataFrame(found.assays)
    for part, folds in found.folds.items():
        figures = _figures(assays[assays["part"] == part])
        rows = np.unique(np.concatenate([f.rows for a in folds[model] for f in a]))
        units = np.full(len(found.groups), -1, dtype=np.intp)
        units[rows] = pd.factorize(found.groups[rows])[0]
        n_units = int(units.max()) + 1
        apart = resampled(folds, units, n_resamples=n_bootstrap, seed=seed)
        few = _fewest_of_a_label(found, part, model, units) < FEWEST
        notes.append(_about(part, found.split, n_units, len(rows), few))
        for name, own in figures.items():
            for metric, (value, chance) in own.items():
                row: dict[str, Any] = {
                    "part": part,
                    "model": name,
                    "metric": metric,
                    "value": value,
                }
                row |= {"chance": chance, "n": len(rows)}
                if metric in RANGES and not few:
                    at = list(RANGES).index(metric)
                    spread = Deviations.of(apart[name][at])
                    low, high = spread.interval(value, confidence)
                    row["low"], row["high"] = np.clip((low, high), *RANGES[metric])
                    row["p_chance"] = spread.p(value - chance)
                scores.append(row)
        for metric in COMPARED:
            at = list(RANGES).index(metric)
            family = []
            for name in figures:
                if name == model:
                    continue
                difference = figures[model][metric][0] - figures[name][metric][0]
                row = {"part": part, "metric": metric, "model": model}
                row |= {"reference": name, "difference": difference, "n": len(rows), "p": np.nan}
                if not few:
                    spread = Deviations.of(apart[model][at] - apart[name][at])
                    row["low"], row["high"] = spread.interval(difference, confidence)
                    row["p"] = spread.p(difference)
                family.append(row)
            corrected = holm([row["p"] for row in family])
            differences += [{**row, "p_holm": p} for row, p in zip(family, corrected, strict=True)]
    return (
        pd.DataFrame(scores).reindex(columns=SCORES),
        pd.DataFrame(differences).reindex(columns=DIFFERENCES),
        notes,
    )


def _figures(assays: pd.DataFrame) -> dict[str, dict[str, tuple[float, float]]]:
    """Of each model and metric, the figure over assays and that of a random order."""
    out = {}
    for name, own in assays.groupby("model", sort=False):
        auroc, prevalence = own["auroc"], own["prevalence"].mean()
        auprc, by_chance = own["auprc"].mean(), own["auprc_chance"].mean()
        figures = {
            HEADLINE: (auroc.mean(), 0.5),
            "AUPRC": (auprc, by_chance),
            GAIN: (auprc - prevalence, by_chance - prevalence),
            "median AUROC": (auroc.median(), 0.5),
        }
        for threshold in THRESHOLDS:
            by_chance = share_above(threshold, own["auroc_sd"].to_numpy()).mean()
            figures[f"AUROC > {threshold}"] = ((auroc > threshold).mean(), by_chance)
        out[str(name)] = {key: (float(a), float(b)) for key, (a, b) in figures.items()}
    return out


def _fewest_of_a_label(found: ScoredSplit, part: str, model: str, units: np.ndarray) -> int:
    """Units with an active of some assay, or with an inactive, whichever are fewer."""
    active: set[int] = set()
    inactive: set[int] = set()
    for assay in found.folds[part][model]:
        for fold in assay:
            is_active = np.isin(np.arange(len(fold.rows)), fold.actives)
            active |= set(units[fold.rows[is_active]].tolist())
            inactive |= set(units[fold.rows[~is_active]].tolist())
    return min(len(active), len(inactive))


def _about(part: str, split: str, n_units: int, n_molecules: int, few: bool) -> str:
    what = f"the {n_units:,} {split}s"
    if split != "molecule":
        what += f" of its {n_molecules:,} molecules"
    if few:
        return (
            f"{part}: no interval and no p, since fewer than {FEWEST} of {what} have one of the "
            "labels."
        )
    return f"{part}: intervals and p resample {what}."
