"""Whether the p and q of the hits of unseen molecules can be trusted, and whether any is found.

What `CrossModalRetriever.calibrate` and `search` compute for one calibration is computed here for
many deals of the same molecules, from one matrix of cosines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.confidence.nested import SLACK, NestedScores
from cloome_sk.confidence.significance import selective_q
from cloome_sk.evaluation._confidence_result import (
    ALPHAS,
    DIRECTIONS,
    LEVELS,
    PER_QUERY,
    found_part,
    nothing_part,
)
from cloome_sk.evaluation.units import FEWEST, SCORES
from cloome_sk.metrics import clopper_pearson

COUNTS = ("hits", "wrong", "any", "any wrong")
"""Of each query at a level of q: hits, wrong ones, and whether there is one."""
SHARES = ("deals with a hit", "queries wrong", "hits wrong")


@dataclass(frozen=True, eq=False)
class Direction:
    """The queries of a fold and how close all candidates are to them.

    Attributes
    ----------
    name : str
        From which modality to which.
    cosines : ndarray of float64, shape (n_queries, n_molecules)
        With the closest row of each candidate molecule; -1 where there is no embedding.
    of : ndarray of intp, shape (n_queries,)
        The molecule that each query is of.
    best_other : ndarray of float64, shape (n_queries,)
        Highest cosine with another molecule.
    """

    name: str
    cosines: np.ndarray
    of: np.ndarray
    best_other: np.ndarray

    @classmethod
    def between(cls, name: str, cosines: np.ndarray, of: np.ndarray) -> Direction:
        """Look for what is closest apart from the molecule itself."""
        others = cosines.copy()
        others[np.arange(len(of)), of] = -np.inf
        return cls(name, cosines, of, others.max(axis=1))


def directions_of(phenotypes: np.ndarray, of: np.ndarray, molecules: np.ndarray) -> list[Direction]:
    """Compare all rows with all structures.

    Parameters
    ----------
    phenotypes : ndarray of float, shape (n_rows, n_components)
        Unit vectors of rows; NaN where there is none.
    of : ndarray of intp, shape (n_rows,)
        The molecule of each row.
    molecules : ndarray of float, shape (n_molecules, n_components)
        Unit vectors of structures; NaN where there is none.

    Returns
    -------
    list of Direction
        A query a row, and a query a molecule.
    """
    with np.errstate(invalid="ignore"):
        cosines = phenotypes.astype(np.float64) @ molecules.astype(np.float64).T
    # A row without an embedding is as far from everything as can be: neither hit nor finder.
    cosines = np.where(np.isnan(cosines), -1.0, np.clip(cosines, -1.0, 1.0))
    n = len(molecules)
    closest = np.full((n, n), -1.0)
    np.maximum.at(closest, of, cosines)
    queries = (cosines, of), (closest.T, np.arange(n))
    return [Direction.between(name, *own) for name, own in zip(DIRECTIONS, queries, strict=True)]


def ask_hits(
    model: str,
    directions: list[Direction],
    names: np.ndarray,
    n_draws: int,
    seed: int,
    fold: int,
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Deal molecules to calibration and test, and look what the test queries find.

    Parameters
    ----------
    model : str
        Whose embeddings these are.
    directions : list of Direction
        Of the molecules that were not trained on, all of which are candidates.
    names : ndarray, shape (n_molecules,)
        What they are called in all folds.
    n_draws, seed, fold : int
        How often; of the deals, the same for all models; the fold.

    Returns
    -------
    units : list of dict
        Scores of molecules.
    counts : DataFrame
        A row a direction, level, draw and query with a hit: columns `COUNTS`.
    """
    n = len(names)
    units: list[dict[str, Any]] = []
    counts = []
    for draw, (known, asked, pick) in enumerate(deals(n, n_draws, seed)):
        for one in directions:
            rows = one_row_each(one.of, asked, pick)
            # What has no embedding, or nothing to find, is no evidence of how close others come.
            own = np.isin(one.of, known) & (one.best_other > -1.0)
            null = NestedScores.of(one.best_other[own], one.of[own])
            unit = names[one.of[rows]]
            units += _without_match(model, one, null, rows, unit)
            p = null.p_values(one.cosines[rows])
            q = selective_q(p.ravel(), p.min(axis=1)).reshape(p.shape)
            called = p <= PER_QUERY + SLACK
            right = called[np.arange(len(rows)), one.of[rows]]
            units += _found(model, one.name, f"p <= {PER_QUERY:.0%}", called, right, unit)
            for level in LEVELS:
                called = q <= level + SLACK
                right = called[np.arange(len(rows)), one.of[rows]]
                n_hits = called.sum(axis=1)
                units += _found(model, one.name, f"q <= {level:.0%}", called, right, unit)
                units += _number(model, one.name, f"q <= {level:.0%}", n_hits, unit)
                frame = pd.DataFrame({"hits": n_hits, "wrong": n_hits - right, "unit": unit})
                frame["any"], frame["any wrong"] = n_hits > 0, frame["wrong"] > 0
                frame["part"], frame["level"] = found_part(one.name), level
                frame["draw"] = fold * n_draws + draw
                counts.append(frame[frame["any"]])
    return units, pd.concat(counts).assign(model=model)


def calibrating(n: int) -> int:
    """How many of n molecules calibrate: two thirds."""
    return 2 * n // 3


def deals(n: int, n_draws: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Molecules that calibrate, those that are asked, and a random number in [0, 1) for each."""
    # Of another stream than the deals of classes.
    generator = np.random.RandomState([seed, 1])
    for _ in range(n_draws):
        order = generator.permutation(n)
        known, asked = np.sort(order[: calibrating(n)]), np.sort(order[calibrating(n) :])
        yield known, asked, generator.random_sample(n)


def one_row_each(of: np.ndarray, asked: np.ndarray, pick: np.ndarray) -> np.ndarray:
    """One row of each molecule that is asked, by its random number."""
    order = np.argsort(of, kind="stable")
    first = np.searchsorted(of[order], asked)
    count = np.searchsorted(of[order], asked, side="right") - first
    return order[first + (pick[asked] * count).astype(np.intp)]


def _without_match(
    model: str, one: Direction, null: NestedScores, rows: np.ndarray, unit: np.ndarray
) -> list[dict[str, Any]]:
    """How often a query has a hit of small p although its molecule is left out."""
    p = null.p_values(one.best_other[rows])
    named = {"part": nothing_part(one.name), "model": model}
    out = []
    for alpha in ALPHAS:
        # The share of ranks among n + 1 that alpha holds.
        chance = np.floor(alpha * (null.n_groups + 1) + SLACK) / (null.n_groups + 1)
        small = (p <= alpha + SLACK).astype(float)
        more = {"metric": f"p <= {alpha:.0%}", "chance": chance}
        out += [{**named, **more, "unit": u, "value": v} for u, v in zip(unit, small, strict=True)]
    return out


def _found(
    model: str, direction: str, at: str, called: np.ndarray, right: np.ndarray, unit: np.ndarray
) -> list[dict[str, Any]]:
    """Whether the own molecule of each query is among its hits."""
    named = {"part": found_part(direction), "model": model, "metric": f"found, {at}"}
    # As many hits as these, drawn at random, would hold the molecule as often as that.
    chances = called.mean(axis=1)
    return [
        {**named, "unit": name, "value": float(truth), "chance": chance}
        for name, truth, chance in zip(unit, right, chances, strict=True)
    ]


def _number(
    model: str, direction: str, at: str, n_hits: np.ndarray, unit: np.ndarray
) -> list[dict[str, Any]]:
    """The number of hits of each query."""
    named = {"part": found_part(direction), "model": model, "metric": f"hits, {at}"}
    return [
        {**named, "unit": name, "value": float(number), "chance": np.nan}
        for name, number in zip(unit, n_hits, strict=True)
    ]


def wrong_shares(
    counts: pd.DataFrame,
    models: list[str],
    n_draws: int,
    chance: float,
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: int = 0,
) -> pd.DataFrame:
    """Share of deals with a hit, and among all hits, and queries with one, that of wrong ones.

    Parameters
    ----------
    counts : DataFrame
        Of `ask_hits`, all folds.
    models : list of str
        Those that were asked.
    n_draws : int
        Number of all draws, those without any hit among them.
    chance : float
        Share of the candidates that are wrong.
    confidence, n_bootstrap, random_state
        Of the intervals, which resample molecules and deals.

    Returns
    -------
    DataFrame
        Columns `SCORES`. ``queries wrong`` is the mean over deals, one without hits counting as
        0, which is what q promises; ``hits wrong`` is of all hits of all deals. NaN with ``n`` 0
        where there is no hit in any deal, and else ``n`` counts the molecules with one.
    """
    tail = (1.0 - confidence) / 2
    # Deals are resampled too: of few with a hit, one more or less changes the mean over deals. By
    # the stream of the molecules, as many deals as molecules would have the same weights.
    generator = np.random.RandomState([random_state, 1])
    deals_drawn = generator.multinomial(n_draws, np.full(n_draws, 1 / n_draws), n_bootstrap)
    out = []
    for direction, model, level in product(DIRECTIONS, models, LEVELS):
        part = found_part(direction)
        of_level = (counts["model"] == model) & (counts["level"] == level)
        own = counts[(counts["part"] == part) & of_level]
        n = own["unit"].nunique()
        named = {"part": part, "model": model, "n": n}
        if not n:
            out += [{**named, "metric": f"{metric}, q <= {level:.0%}"} for metric in SHARES]
            continue
        drawn = np.random.RandomState(random_state).multinomial(n, np.full(n, 1 / n), n_bootstrap)
        table = _tables(own, n_draws)
        values = _shares(table, np.ones((1, n)), np.ones((1, n_draws)))
        resampled = _shares(table, drawn, deals_drawn)
        for metric, (value,), draws in zip(SHARES, values, resampled, strict=True):
            row = {**named, "metric": f"{metric}, q <= {level:.0%}", "value": float(value)}
            if n >= FEWEST and value in (0.0, 1.0):
                low, high = clopper_pearson(value * n, n, confidence=confidence)
                row |= {"low": float(low), "high": float(high)}
            elif n >= FEWEST:
                row["low"], row["high"] = np.nanquantile(draws, [tail, 1.0 - tail])
            if metric == SHARES[-1]:
                row["chance"] = chance
            out.append(row)
    return pd.DataFrame(out).reindex(columns=SCORES)


def _tables(own: pd.DataFrame, n_draws: int) -> dict[str, np.ndarray]:
    """Each of the counts as a matrix, molecules by draws."""
    codes, names = pd.factorize(own["unit"])
    out = {}
    for name in COUNTS:
        out[name] = np.zeros((len(names), n_draws))
        np.add.at(out[name], (codes, own["draw"].to_numpy(np.intp)), own[name].to_numpy(float))
    return out


def _shares(
    table: dict[str, np.ndarray], molecules: np.ndarray, deals_: np.ndarray
) -> tuple[np.ndarray, ...]:
    """What `SHARES` names, for weights of molecules and of deals, a row a resample."""
    hits, wrong, some, some_wrong = (molecules @ table[name] for name in COUNTS)
    total = deals_.sum(axis=1)
    return (
        ((some > 0) * deals_).sum(axis=1) / total,
        (_ratio(some_wrong, some) * deals_).sum(axis=1) / total,
        # A resample without hits says nothing of hits, and is no share of 0.
        _ratio((wrong * deals_).sum(axis=1), (hits * deals_).sum(axis=1), np.nan),
    )


def _ratio(part: np.ndarray, whole: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    return np.divide(part, whole, out=np.full(whole.shape, otherwise), where=whole > 0)
