"""Figures of several models on the same molecules and seeds, and their differences to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

COLUMNS = [
    "model",
    "metric",
    "value",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "together_low",
    "together_high",
    "n",
]


def paired_figures(
    scores: Mapping[str, pd.DataFrame],
    reference: str,
    compared: list[str],
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 4000,
    random_state: int = 0,
) -> pd.DataFrame:
    """Average over molecules and seeds, with intervals that resample both.

    Parameters
    ----------
    scores : mapping of str to DataFrame
        Of each model one row a seed, molecule and metric: ``seed``, ``molecule``, ``metric``,
        ``value``. A model may lack a metric.
    reference : str
        The model that the others are subtracted from.
    compared : list of str
        Models whose differences are one family: ``together`` is made to hold for all their metrics
        at once.
    confidence : float, default=0.95
        Coverage.
    n_bootstrap : int, default=4000
        Number of resamples.
    random_state : int, default=0
        Seed of the resamples, which are the same for all models.

    Returns
    -------
    DataFrame, one row a model and metric
        ``value`` with ``low`` and ``high``; ``difference`` to the reference, paired by molecule and
        seed, with its own interval ``difference_low`` to ``difference_high``; and, for those that
        are `compared`, ``together_low`` to ``together_high``: all of these intervals hold together
        with the given confidence. ``n`` is the number of molecules.

    Notes
    -----
    A figure is a mean over the cells of a table of molecules by seeds. A resample draws molecules
    and, apart from them, seeds, with replacement: two wells of one molecule, or two molecules under
    one seed, are no independent evidence. The intervals together are ``difference`` plus and minus
    c standard errors, where c is the quantile, over resamples, of the largest deviation of any
    difference in its standard errors (single-step max-T). With few seeds they are a little short.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.evaluation.paired import paired_figures
    >>> cells = [(seed, name) for seed in (0, 1) for name in "abcd"]
    >>> one = pd.DataFrame(cells, columns=["seed", "molecule"]).assign(metric="R@1", value=0.25)
    >>> found = paired_figures({"A": one, "B": one.assign(value=0.5)}, "A", ["B"])
    >>> found.set_index("model")["difference"].to_dict()
    {'A': 0.0, 'B': 0.25}
    """
    metrics = list(dict.fromkeys(m for table in scores.values() for m in table["metric"]))
    rng = check_random_state(random_state)
    tail = (1.0 - confidence) / 2
    rows: list[dict[str, Any]] = []
    draws: dict[int, np.ndarray] = {}
    for metric in metrics:
        cells = {
            model: table[table["metric"] == metric]
            .groupby(["molecule", "seed"])["value"]
            .mean()
            .unstack("seed")
            for model, table in scores.items()
        }
        cells = {model: own for model, own in cells.items() if len(own)}
        molecules = sorted(set().union(*(own.index for own in cells.values())))
        seeds = sorted(set().union(*(own.columns for own in cells.values())))
        weights = _resamples(rng, len(molecules), len(seeds), n_bootstrap)
        grids = {
            model: own.reindex(index=molecules, columns=seeds).to_numpy()
            for model, own in cells.items()
        }
        for model, grid in grids.items():
            own = _means(grid, *weights)
            row = {"model": model, "metric": metric, "value": own[0]}
            row["low"], row["high"] = np.quantile(own[1:], [tail, 1 - tail])
            row["n"] = int((~np.isnan(grid)).any(axis=1).sum())
            if reference in grids:
                apart = _means(grid - grids[reference], *weights)
                row["difference"] = apart[0]
                limits = np.quantile(apart[1:], [tail, 1 - tail])
                row["difference_low"], row["difference_high"] = limits
                if model in compared:
                    draws[len(rows)] = apart
            rows.append(row)
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    if draws:
        _put_together(table, draws, confidence)
    return table


def _put_together(table: pd.DataFrame, draws: dict[int, np.ndarray], confidence: float) -> None:
    """Add the intervals that hold for all differences at once."""
    places = list(draws)
    all_draws = np.column_stack([draws[place] for place in places])
    value, resampled = all_draws[0], all_draws[1:]
    error = resampled.std(axis=0)
    moved = error > 0
    furthest = (np.abs(resampled - value)[:, moved] / error[moved]).max(axis=1, initial=0.0)
    reach = np.quantile(furthest, confidence) * error
    table.loc[places, "together_low"] = value - reach
    table.loc[places, "together_high"] = value + reach


def _resamples(
    rng: np.random.RandomState, n_molecules: int, n_seeds: int, n_bootstrap: int
) -> tuple[np.ndarray, np.ndarray]:
    """How often each molecule, and each seed, counts: in the first row once."""
    return tuple(  # type: ignore[return-value]
        np.vstack([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap)])
        for n in (n_molecules, n_seeds)
    )


def _means(grid: np.ndarray, of_molecules: np.ndarray, of_seeds: np.ndarray) -> np.ndarray:
    """Mean over the cells that there are, in each resample."""
    there = ~np.isnan(grid)
    total = ((of_molecules @ np.where(there, grid, 0.0)) * of_seeds).sum(axis=1)
    counted = ((of_molecules @ there.astype(float)) * of_seeds).sum(axis=1)
    # A resample of molecules or seeds none of which has a value says nothing: the mean stays.
    return np.divide(
        total, counted, out=np.full(len(total), total[0] / counted[0]), where=counted > 0
    )
