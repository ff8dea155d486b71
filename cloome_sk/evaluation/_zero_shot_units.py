"""From the hits of all draws to the scores of queries, and of each draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cloome_sk.evaluation._zero_shot_plans import OWN_MAY, Plan, Rows
from cloome_sk.evaluation._zero_shot_scores import hits_of_scores
from cloome_sk.evaluation.units import UNITS

RECOGNISED = "molecule recognised"
"""What would be scored by knowing the molecules apart, and nothing of their classes."""
DRAWS = ["part", "model", "metric", "draw", "total", "n", "chance"]
"""One row a draw and fold: sum of the scores of its molecules, their number, and chance."""


@dataclass(frozen=True)
class Scored:
    """What one model scored in one fold.

    Attributes
    ----------
    units : DataFrame
        Columns `UNITS`; values NaN where the model has no embedding at all.
    draws : DataFrame
        Columns `DRAWS`, of the first metric.
    model : str
        The model.
    fold : int
        The fold.
    n_blank, n_asked : int
        Query rows that the model has no embedding of, and all.
    """

    units: pd.DataFrame
    draws: pd.DataFrame
    model: str
    fold: int
    n_blank: int = 0
    n_asked: int = 0


def scored(
    model: str,
    fold: int,
    answers: list[tuple[Plan, np.ndarray]],
    keys: np.ndarray,
    tops: tuple[int, ...],
    *,
    n_blank: int = 0,
    n_asked: int = 0,
) -> Scored:
    """Average hits over the draws in which a query counts, and over the molecules of each draw.

    Parameters
    ----------
    model, fold
        Whose.
    answers : list of (Plan, ndarray of float, shape (n_draws, n_tops, n_queries))
        Probability that the right class is named.
    keys : ndarray of object
        Molecules of the rows.
    tops : tuple of int
        How many classes are named.
    n_blank, n_asked : int
        Query rows without an embedding, and all.

    Returns
    -------
    Scored
        Of these.
    """
    units, draws = [], []
    for plan, hits in answers:
        names, of = np.unique(keys[plan.queries].astype(str), return_inverse=True)
        chances = [min(1.0, top / len(plan.classes)) for top in tops]
        for part, counted in plan.parts.items():
            times = counted.sum(axis=0)
            there = times > 0
            sums = np.einsum("dtq,dq->tq", hits[:, :, there], counted[:, there].astype(float))
            for top, value, chance in zip(tops, sums / times[there], chances, strict=True):
                units.append(
                    {
                        "part": part,
                        "model": model,
                        "metric": f"top-{top}",
                        "unit": names[of[there]],
                        "value": value,
                        "chance": chance,
                    }
                )
            for draw, (hit, own) in enumerate(zip(hits[:, 0], counted, strict=True)):
                rows = np.bincount(of[own], minlength=len(names))
                right = np.bincount(of[own], hit[own], minlength=len(names))
                met = rows > 0
                total = (right[met] / rows[met]).sum()
                draws.append(
                    [part, model, f"top-{tops[0]}", draw, total, int(met.sum()), chances[0]]
                )
    frames = [pd.DataFrame(one) for one in units]
    return Scored(
        pd.concat(frames, ignore_index=True)[UNITS],
        pd.DataFrame(draws, columns=DRAWS),
        model,
        fold,
        n_blank,
        n_asked,
    )


def recognised(
    rows: Rows, plans: list[Plan], tops: tuple[int, ...]
) -> Iterator[tuple[Plan, np.ndarray]]:
    """Hits of a model that gives every molecule a code of its own, at right angles to all others.

    Of each plan only the parts in which the molecule of a query may be a reference: in the others
    such a model is right by chance.
    """
    for plan in plans:
        parts = {part: own for part, own in plan.parts.items() if OWN_MAY in part}
        if not parts:
            continue
        of_query, of_pool = rows.molecules[plan.queries], rows.molecules[plan.pool]
        known, column = np.unique(of_pool, return_inverse=True)
        place = np.minimum(np.searchsorted(known, of_query), len(known) - 1)
        met = known[place] == of_query
        hits = np.empty((len(plan.draws), len(tops), len(plan.queries)))
        for draw, references in enumerate(plan.draws):
            counts = np.zeros((len(plan.classes), len(known)))
            np.add.at(counts, (np.arange(len(counts))[:, np.newaxis], column[references]), 1.0)
            cosines = counts / np.linalg.norm(counts, axis=1, keepdims=True)
            scores = np.where(met[:, np.newaxis], cosines.T[place], 0.0)
            hits[draw] = hits_of_scores(scores, plan.truth, tops, 1e-9)
        yield replace(plan, parts=parts), hits


def ties_for_silence(found: list[Scored]) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Put all folds together, and let a model tie where it answers in other folds only.

    Left out, a fold in which it cannot answer would do it no harm, as a single row does that it
    cannot embed. Where a model never answers, it has no figure.

    Returns
    -------
    units, draws : DataFrame
        Columns `UNITS` and `DRAWS`.
    notes : list of str
        Which models are silent where, with counts.
    """
    units = pd.concat([one.units.assign(fold=one.fold) for one in found], ignore_index=True)
    draws = pd.concat([one.draws for one in found], ignore_index=True)
    notes = []
    # Of each part and model, whether it answers in any fold.
    answers = units["value"].notna().groupby([units["part"], units["model"]]).transform("any")
    filled = units["value"].isna() & answers
    for model, rows in units[filled].groupby("model", sort=False):
        n_folds = units.loc[units["model"] == model, "fold"].nunique()
        notes.append(
            f"{model} has no embedding at all in {rows['fold'].nunique()} of {n_folds} folds "
            f"({rows['unit'].nunique()} molecules) of {rows['part'].nunique()} part(s), and "
            "answers in the others: there it ties all classes, as a single row without an "
            "embedding does."
        )
    units["value"] = units["value"].where(~filled, units["chance"])
    answers = draws["total"].notna().groupby([draws["part"], draws["model"]]).transform("any")
    tied = draws["total"].isna() & answers
    draws["total"] = draws["total"].where(~tied, draws["n"] * draws["chance"])
    for model in dict.fromkeys(one.model for one in found):
        own = [one for one in found if one.model == model]
        n_blank, n_asked = sum(one.n_blank for one in own), sum(one.n_asked for one in own)
        if n_blank:
            notes.append(
                f"{model} has no embedding of {n_blank} of {n_asked} query rows, which tie all "
                "classes."
            )
    return units[UNITS], draws, notes


def spread_over_draws(draws: pd.DataFrame, model: str) -> str:
    """Standard deviation over draws of a model's figures; nothing to say for a single draw."""
    own = draws[draws["model"] == model].dropna(subset=["total"])
    sums = own.groupby(["part", "draw"], sort=False)[["total", "n"]].sum()
    sums = sums[sums["n"] > 0]
    spread = (sums["total"] / sums["n"]).groupby("part", sort=False).std(ddof=1).dropna()
    if not len(spread):
        return ""
    said = "; ".join(f"{value:.3f} ({part})" for part, value in spread.items())
    return (
        f"A single draw of references would be less sure: standard deviation over draws of "
        f"{own['metric'].iloc[0]} of {model} {said}."
    )
