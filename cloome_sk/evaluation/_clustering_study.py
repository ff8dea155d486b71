"""What the clustering studies share: sets scored, compared with random ones, and corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control
from sklearn.utils import check_random_state

from cloome_sk.evaluation._clustering_kernel import BLOCK_BYTES, SetScores, score_sets
from cloome_sk.evaluation._clustering_sets import Plan, plans_of
from cloome_sk.evaluation._clustering_sources import Source
from cloome_sk.evaluation.units import holm
from cloome_sk.metrics import average_precision_chance

SCORED = ["map", "chance", "normalized_map", "se", "p", "p_holm", "q", "n_queries", "rank", "top"]
SET_BYTES = 2**28
"""Random sets held at once."""
_ROUNDING = 1e-9
"""Means of the same numbers in another order differ in their last digits; they are ties."""


@dataclass(frozen=True)
class Asked:
    """What the sets are scored with.

    Attributes
    ----------
    source : Source
        Similarities.
    groups, strata : ndarray of int, shape (n_compounds,)
        Rows that are no evidence for each other, and rows that may stand for each other.
    n : int or None
        Places looked at.
    n_permutations : int
        Random sets.
    top : float
        Share of units that are called the top.
    random_state : int, RandomState or None
    n_jobs : int or None
    verbose : bool
    """

    source: Source
    groups: np.ndarray
    strata: np.ndarray
    n: int | None
    n_permutations: int
    top: float
    random_state: Any
    n_jobs: int | None
    verbose: bool


def scored_sets(
    asked: Asked, unit: str, names: Sequence[Any], labels: list[np.ndarray], universes: list[Any]
) -> tuple[pd.DataFrame, pd.DataFrame, list[Any]]:
    """Score every set.

    Returns
    -------
    table : DataFrame, one row a set
        `unit`, then `SCORED`.
    queries : DataFrame, one row a set and member
    still : list
        Names of sets whose random counterparts cannot differ from them.
    """
    seed = int(check_random_state(asked.random_state).randint(np.iinfo(np.int32).max))
    plans, places = plans_of(labels, universes, groups=asked.groups, strata=asked.strata, seed=seed)
    found = _score_plans(asked, plans)
    rows, queries, still = [], [], []
    for at, (name, (plan, row)) in enumerate(zip(names, places, strict=True)):
        scores = found[plan]
        own = _queries(scores, row, asked.n)
        own.insert(0, unit, name)
        own.insert(1, "compound", labels[at])
        own.insert(2, "group", asked.groups[labels[at]])
        rows.append({unit: name, **_figures(scores, row, own)})
        queries.append(own)
        if not plans[plan].can_move:
            still.append(name)
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"].to_numpy())
    table["q"] = benjamini_hochberg(table["p"].to_numpy())
    table["rank"] = table["normalized_map"].rank(ascending=False, method="min").astype("Int64")
    n_top = max(1, int(np.ceil(asked.top * len(table) - _ROUNDING)))
    table["top"] = (table["rank"] <= n_top).fillna(False).astype(bool)
    return table[[unit, *SCORED]], pd.concat(queries, ignore_index=True), still


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Corrected p-values of the tests that there are; NaN stays."""
    corrected = np.full(len(p), np.nan)
    known = ~np.isnan(p)
    if known.any():
        corrected[known] = false_discovery_control(p[known])
    return corrected


def group_codes(values: Any, n_rows: int, name: str, purpose: str) -> np.ndarray:
    """Rows of equal values by number; every row by itself where nothing was given."""
    if values is None:
        return np.arange(n_rows)
    given = np.asarray(values, dtype=object)
    if given.ndim != 1 or len(given) != n_rows:
        raise ValueError(
            f"{purpose}: {name} must hold one value for each of {n_rows} compounds, got shape "
            f"{given.shape}."
        )
    missing = np.asarray(pd.isna(given))
    if missing.any():
        raise ValueError(
            f"{purpose}: {name} is missing in row {int(np.flatnonzero(missing)[0])} "
            f"({int(missing.sum())} rows in all). Give such a compound a value of its own."
        )
    return pd.factorize(given)[0]


def _score_plans(asked: Asked, plans: list[Plan]) -> list[SetScores]:
    """Draw and score in rounds whose sets fit the memory, each a pass over the queries."""
    rounds: list[list[Plan]] = []
    held = SET_BYTES
    for plan in plans:
        held += plan.n_bytes(asked.n_permutations)
        if held > SET_BYTES:
            rounds.append([])
            held = plan.n_bytes(asked.n_permutations)
        rounds[-1].append(plan)
    from tqdm.auto import tqdm

    n_rows = len(asked.groups)
    n_blocks = -(-n_rows // max(1, BLOCK_BYTES // (8 * n_rows)))
    found: list[SetScores] = []
    with tqdm(
        total=len(rounds) * n_blocks, desc="Clustering", unit="block", disable=not asked.verbose
    ) as bar:
        for one in rounds:
            drawn = [plan.draw(asked.n_permutations) for plan in one]
            found += score_sets(
                asked.source, drawn, asked.groups, n=asked.n, n_jobs=asked.n_jobs, progress=bar
            )
    return found


def _queries(scores: SetScores, row: int, n: int | None) -> pd.DataFrame:
    precision = scores.precision[row]
    positives, candidates = scores.n_positives[row], scores.n_candidates[row]
    chance = np.full(len(precision), np.nan)
    known = positives > 0
    chance[known] = average_precision_chance(positives[known], candidates[known], n=n)
    counted = scores.n_without[row]
    return pd.DataFrame(
        {
            "average_precision": precision,
            "chance": chance,
            "n_positives": positives,
            "n_candidates": candidates,
            "map_without": np.divide(
                scores.without[row],
                counted,
                out=np.full(len(counted), np.nan),
                where=counted > 0,
            ),
        }
    )


def _figures(scores: SetScores, row: int, queries: pd.DataFrame) -> dict[str, Any]:
    """Mean, chance, normalised mean, standard error and p of one set."""
    known = queries["average_precision"].notna()
    n_queries = int(known.sum())
    out: dict[str, Any] = dict.fromkeys(("map", "chance", "normalized_map", "se", "p"), np.nan)
    out["n_queries"] = n_queries
    if not n_queries:
        return out
    precision = queries.loc[known, "average_precision"].to_numpy()
    chance = queries.loc[known, "chance"].to_numpy()
    out["map"], out["chance"] = float(precision.mean()), float(chance.mean())
    below = chance < 1
    if below.any():
        normalized = (precision[below] - chance[below]) / (1 - chance[below])
        out["normalized_map"] = float(normalized.mean())
    spread = jackknife_error(queries["map_without"], queries["group"])
    out["se"] = spread / (1 - out["chance"]) if out["chance"] < 1 else np.nan
    counted = np.maximum(scores.n_queries, 1)
    means = scores.total / counted
    null = means[len(scores.precision) :]
    out["p"] = float((1 + (null >= means[row] - _ROUNDING).sum()) / (1 + len(null)))
    return out


def jackknife_error(without: Any, groups: Any) -> float:
    """Standard error of a mean from what it is without each group, given for each of its members.

    NaN for fewer than three groups.
    """
    left = pd.Series(np.asarray(without, dtype=float))
    left = left[~pd.Series(np.asarray(groups)).duplicated()]
    n = len(left)
    if n < 3 or left.isna().any():
        return np.nan
    return float(np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))
