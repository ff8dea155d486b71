"""How much a score drops from source to target, with molecules that both have kept together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from cloome_sk.evaluation.units import FEWEST, holm, sign_flip_p

COLUMNS = [
    *("part", "metric", "model", "source", "target", "drop", "low", "high", "n_source"),
    *("n_target", "n_both", "reference", "difference", "difference_low", "difference_high"),
    *("p", "p_holm"),
]


def drops_of(
    units: pd.DataFrame,
    model: str,
    pairs: dict[str, tuple[str, str]],
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    n_permutations: int = 9999,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Subtract the figure of the source from that of the target, and compare models by it.

    Parameters
    ----------
    units : DataFrame
        As of `cloome_sk.evaluation.units.scores_of`.
    model : str
        The model under test.
    pairs : dict of str to (str, str)
        Name of a drop, and the parts of source and target.
    confidence, n_bootstrap, n_permutations, random_state
        As in `cloome_sk.evaluation.units.differences_of`.

    Returns
    -------
    DataFrame, one row a drop, metric and model
        Columns `COLUMNS`. ``drop`` is target minus source, negative where something is lost;
        ``difference`` is the drop of the model under test minus that of this row's model, positive
        where the model under test loses less; ``p_holm`` is corrected over the other models.

    Notes
    -----
    The interval resamples the molecules of both sides together: one that both have is drawn for
    both. The test flips the sign of the difference between two models molecule by molecule, on both
    sides at once, as they are exchangeable under its hypothesis.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.evaluation._transfer_drop import drops_of
    >>> one = pd.DataFrame({"part": "s", "model": "A", "metric": "probe", "unit": list("abcdef"),
    ...                     "value": 0.75, "chance": 0.5})
    >>> both = pd.concat([one, one.assign(part="t", value=0.5)])
    >>> drops_of(both, "A", {"drop": ("s", "t")})["drop"].tolist()
    [-0.25]
    """
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    rows: list[dict[str, Any]] = []
    for name, (source, target) in pairs.items():
        for metric in dict.fromkeys(units["metric"]):
            own = units[units["metric"] == metric]
            before, after = (_grid(own[own["part"] == part]) for part in (source, target))
            if before.empty or after.empty or model not in before.index:
                continue
            options = (confidence, n_bootstrap, n_permutations, seed)
            rows += [
                {"part": name, "metric": metric, **row}
                for row in _of_metric(before, after, model, options)
            ]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _grid(units: pd.DataFrame) -> pd.DataFrame:
    """Models by molecules."""
    known = units[units["value"].notna() & units["unit"].notna()]
    return known.pivot_table(index="model", columns="unit", values="value", sort=False)


def _of_metric(
    source: pd.DataFrame, target: pd.DataFrame, model: str, options: tuple[float, int, int, int]
) -> list[dict[str, Any]]:
    confidence, n_bootstrap, n_permutations, seed = options
    everyone = sorted(set(source.columns) | set(target.columns))
    both = set(source.columns) & set(target.columns)
    source, target = source.reindex(columns=everyone), target.reindex(columns=everyone)
    generator = np.random.RandomState(seed)
    share = np.full(len(everyone), 1 / len(everyone))
    drawn = generator.multinomial(len(everyone), share, size=n_bootstrap)
    weights = np.vstack([np.ones((1, len(everyone))), drawn])
    tail = [(1 - confidence) / 2, (1 + confidence) / 2]
    models = [name for name in source.index if name in target.index]
    draws = {
        name: [_means(side.loc[name], weights) for side in (source, target)] for name in models
    }
    if model not in models:
        return []
    rows: list[dict[str, Any]] = []
    for name in models:
        before, after = draws[name]
        counts = {
            "n_source": source.loc[name].notna().sum(),
            "n_target": target.loc[name].notna().sum(),
        }
        row: dict[str, Any] = {"model": name, "source": before[0], "target": after[0]}
        row |= {"drop": after[0] - before[0], **counts, "n_both": len(both)}
        enough = min(counts.values()) >= FEWEST
        if enough:
            row["low"], row["high"] = np.nanquantile((after - before)[1:], tail)
        if name != model:
            first, second = draws[model]
            apart = (second - first) - (after - before)
            row |= {"reference": model, "difference": apart[0]}
            if enough:
                row["difference_low"], row["difference_high"] = np.nanquantile(apart[1:], tail)
                row["p"] = sign_flip_p(
                    _contributions(source, target, model, name), n_permutations, seed
                )
        rows.append(row)
    corrected = holm([row.get("p", np.nan) for row in rows])
    return [{**row, "p_holm": p} for row, p in zip(rows, corrected, strict=True)]


def _contributions(
    source: pd.DataFrame, target: pd.DataFrame, model: str, other: str
) -> np.ndarray:
    """What each molecule adds to the difference of two drops; their sum is that difference."""
    parts = []
    for side in (source, target):
        apart = (side.loc[model] - side.loc[other]).to_numpy(dtype=float)
        parts.append(np.nan_to_num(apart / max(1, np.isfinite(apart).sum())))
    return parts[1] - parts[0]


def _means(values: pd.Series, weights: np.ndarray) -> np.ndarray:
    """Mean over the molecules that there are, in each resample; NaN where none was drawn."""
    known = values.notna().to_numpy()
    counted = weights[:, known].sum(axis=1)
    total = weights[:, known] @ values.to_numpy(dtype=float)[known]
    return np.divide(total, counted, out=np.full(len(total), np.nan), where=counted > 0)
