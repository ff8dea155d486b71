"""From the scores of single queries to figures with intervals, and to paired differences.

A study hands over one row a query: what part of the study it belongs to, the model, the metric, the
unit of evidence (a molecule) and the value. Queries of one unit are averaged first, and everything
below resamples or permutes units: two wells of one molecule are no independent evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom, ttest_1samp
from sklearn.utils import check_random_state

from cloome_sk.metrics import clopper_pearson
from cloome_sk.model_selection import leakage_report

UNITS = ["part", "model", "metric", "unit", "value", "chance"]
SCORES = ["part", "model", "metric", "value", "low", "high", "chance", "n", "p_chance"]
DIFFERENCES = [
    *("part", "metric", "model", "reference"),
    *("difference", "low", "high", "p", "p_holm", "n"),
]
RARE = 0.25
"""Up to this chance, and from 1 minus this on, a rate is compared with it as a count."""
FEWEST = 5
"""Units that an interval or a test against chance takes: fewer resample into next to nothing."""
LEAKAGE = ["part", "fold", "claim", "ok", "sentences"]


def scores_of(
    units: pd.DataFrame,
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Average over units, with bootstrap intervals over units.

    Parameters
    ----------
    units : DataFrame
        One row a query, columns `UNITS`. A row whose value is NaN says that its model has no
        answer there.
    confidence : float, default=0.95
        Coverage.
    n_bootstrap : int, default=2000
        Number of resamples.
    random_state : int, RandomState or None, default=0
        Seed. All models of a part and metric that answer for the same units have the same
        resamples.

    Returns
    -------
    DataFrame, one row a part, model and metric
        Columns `SCORES`, in the order of first appearance. ``n`` counts units; 0, and NaN
        otherwise, where a model has no answer; fewer than `FEWEST` have no interval. ``p_chance``
        is two-sided, of `chance_p`. Where all units have one value, which no resample changes, the
        interval is that of a binomial proportion, and missing for what is no proportion.

    Raises
    ------
    ValueError
        If columns are missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.evaluation.units import scores_of
    >>> units = pd.DataFrame({"part": "all", "model": "A", "metric": "R@1", "unit": list("aab"),
    ...                       "value": [1.0, 0.0, 1.0], "chance": 0.5})
    >>> scores_of(units)[["value", "chance", "n"]].to_numpy().tolist()
    [[0.75, 0.5, 2.0]]
    """
    _check(units)
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    tail = (1.0 - confidence) / 2
    rows: list[dict[str, Any]] = []
    for (part, metric), own in units.groupby(["part", "metric"], sort=False):
        for model, answers in own.groupby("model", sort=False):
            means = _unit_means(answers)
            row = {"part": part, "model": model, "metric": metric, "n": len(means)}
            row |= dict.fromkeys(("value", "low", "high", "chance", "p_chance"), np.nan)
            if len(means):
                values, chances = means["value"].to_numpy(), means["chance"].to_numpy()
                row["value"], row["chance"] = values.mean(), chances.mean()
                row["p_chance"] = chance_p(values, chances)
                if len(values) >= FEWEST and np.ptp(values) == 0:
                    if _are_proportions(values):
                        bounds = clopper_pearson(values.sum(), len(values), confidence=confidence)
                        row["low"], row["high"] = map(float, bounds)
                elif len(values) >= FEWEST:
                    draws = _resampled_means(values, n_bootstrap, seed)
                    row["low"], row["high"] = np.quantile(draws, [tail, 1.0 - tail])
            rows.append(row)
    table = pd.DataFrame(rows).reindex(columns=SCORES)
    places = {name: _places(units[name]) for name in ("part", "model", "metric")}
    return table.sort_values(
        list(places), key=lambda column: column.map(places[str(column.name)]), ignore_index=True
    )


def differences_of(
    units: pd.DataFrame,
    model: str,
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    n_permutations: int = 9999,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Subtract every other model from one, unit by unit, and test the differences.

    Parameters
    ----------
    units : DataFrame
        As in `scores_of`.
    model : str
        The model under test.
    confidence : float, default=0.95
        Coverage of each interval on its own.
    n_bootstrap : int, default=2000
        Number of resamples of units.
    n_permutations : int, default=9999
        Number of random sign flips.
    random_state : int, RandomState or None, default=0
        Seed.

    Returns
    -------
    DataFrame, one row a part, metric and other model
        Columns `DIFFERENCES`: ``difference`` is `model` minus ``reference``, over the ``n`` units
        for which both have an answer; ``p`` is two-sided; ``p_holm`` is corrected for the number of
        references of the same part and metric. NaN where no unit has both answers.

    Raises
    ------
    ValueError
        If columns are missing, or there is no such model.

    Notes
    -----
    Under the hypothesis that model and reference are exchangeable for every unit, the sign of each
    difference is arbitrary: ``p`` is the share of random signs, the observed ones among them, whose
    mean lies as far from 0. Holm's procedure [1]_ then holds whatever the dependence between the
    references is. Metrics and parts are not corrected for: read the one that was chosen beforehand.

    References
    ----------
    .. [1] S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
       of Statistics 6(2), 1979.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.evaluation.units import differences_of
    >>> one = pd.DataFrame({"part": "all", "model": "A", "metric": "R@1", "unit": list("abcdefgh"),
    ...                     "value": 1.0, "chance": 0.5})
    >>> both = pd.concat([one, one.assign(model="B", value=0.5)])
    >>> found = differences_of(both, "A")
    >>> found[["reference", "difference", "n"]].to_numpy().tolist()
    [['B', 0.5, 8]]
    >>> bool(abs(found.loc[0, "p"] - 2 / 2**8) < 0.003)
    True
    """
    _check(units)
    if model not in set(units["model"]):
        raise ValueError(f"There is no model {model!r} among {sorted(set(units['model']))}.")
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    tail = (1.0 - confidence) / 2
    rows: list[dict[str, Any]] = []
    for (part, metric), own in units.groupby(["part", "metric"], sort=False):
        means = {name: _unit_means(answers) for name, answers in own.groupby("model", sort=False)}
        if model not in means:
            continue
        family = []
        for reference in means:
            if reference == model:
                continue
            apart = (means[model]["value"] - means[reference]["value"]).dropna().to_numpy()
            row: dict[str, Any] = {"part": part, "metric": metric, "model": model}
            row |= {"reference": reference, "n": len(apart)}
            if len(apart):
                row["difference"] = apart.mean()
                row["p"] = sign_flip_p(apart, n_permutations, seed)
            if len(apart) >= FEWEST:
                draws = _resampled_means(apart, n_bootstrap, seed)
                row["low"], row["high"] = np.quantile(draws, [tail, 1.0 - tail])
            family.append(row)
        corrected = holm([row.get("p", np.nan) for row in family])
        rows += [{**row, "p_holm": p} for row, p in zip(family, corrected, strict=True)]
    return pd.DataFrame(rows).reindex(columns=DIFFERENCES)


def chance_p(values: np.ndarray, chances: np.ndarray) -> float:
    """Test whether units do as chance does.

    Parameters
    ----------
    values, chances : ndarray of float, shape (n_units,)
        What each unit has, and what chance gives it.

    Returns
    -------
    float
        Two-sided p; NaN for fewer than `FEWEST` units, or without a chance.

    Notes
    -----
    Rates of rare hits, or rare misses, are compared as counts, by a binomial test of the mean
    chance: a resample of units none of which has a hit knows no hits, and would tell every small
    screen from chance. Where values are averages over the wells of a unit, they vary less than
    counts do, and the test misses much. Rare rates are skewed, so that a t-test errs on one side
    only, where there is less than is rare; on the other it takes a difference for real less often
    than it may. There, the smaller p of the two counts. All else is compared by a t-test of the
    differences; by their signs where all are one and the same.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation.units import chance_p
    >>> bool(chance_p(np.zeros(38), np.full(38, 1 / 38)) > 0.7)
    True
    """
    if len(values) < FEWEST or not np.isfinite(chances).all():
        return np.nan
    n, expected = len(values), float(chances.mean())
    apart = values - chances
    if np.ptp(apart) > 1e-12:
        p = float(ttest_1samp(apart, 0.0).pvalue)
    else:
        # No deviation to compare with: how likely all signs are to be alike.
        p = 2.0 ** (1 - n) if abs(apart[0]) > 1e-12 else 1.0
    if not (min(expected, 1 - expected) <= RARE and 0 < expected < 1 and _are_proportions(values)):
        return p
    hits, slack = float(values.sum()), 1e-9 * n
    more = float(binom.sf(np.floor(hits + slack) - 1, n, expected))
    fewer = float(binom.cdf(np.ceil(hits - slack), n, expected))
    as_counts = min(1.0, 2 * min(more, fewer))
    beyond_what_is_rare = (apart.mean() > 0) == (expected < 0.5)
    return min(p, as_counts) if beyond_what_is_rare and np.ptp(apart) > 1e-12 else as_counts


def sign_flip_p(apart: np.ndarray, n_permutations: int, seed: int) -> float:
    """Give the two-sided p of a mean difference under random signs.

    Parameters
    ----------
    apart : ndarray of float, shape (n_units,)
        Differences.
    n_permutations : int
        Random signs.
    seed : int
        Of these.

    Returns
    -------
    float
        In (0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation.units import sign_flip_p
    >>> sign_flip_p(np.zeros(5), 99, 0)
    1.0
    """
    generator = np.random.RandomState(seed)
    observed = abs(apart.sum())
    # Sums of the same numbers in another order differ in their last digits; they are ties.
    slack = 1e-12 * np.abs(apart).sum()
    further = 0
    for size in _blocks(n_permutations, len(apart)):
        signs = 2.0 * generator.randint(2, size=(size, len(apart))) - 1.0
        further += int((np.abs(signs @ apart) >= observed - slack).sum())
    return (1 + further) / (1 + n_permutations)


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Correct p-values of one family by Holm's step-down procedure.

    Parameters
    ----------
    p : array-like of float, shape (n_tests,)
        NaN where there was no test.

    Returns
    -------
    ndarray of float, shape (n_tests,)
        Corrected, at most 1; NaN stays.

    Examples
    --------
    >>> from cloome_sk.evaluation.units import holm
    >>> holm([0.01, 0.04, 0.02]).tolist()
    [0.03, 0.04, 0.04]
    """
    values = np.asarray(p, dtype=float)
    out = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = values[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return out


def leakage_row(
    part: str,
    fold: int,
    train: pd.DataFrame,
    test: pd.DataFrame,
    claim: str | Sequence[str],
    *,
    embedder: Any = None,
    controls: Any = "auto",
) -> dict[str, Any]:
    """Ask for the leakage report of one fold, as a row of a study.

    Parameters
    ----------
    part : str
        Part of the study.
    fold : int
        Number of the fold.
    train, test : DataFrame
        Its two tables.
    claim : str or sequence of str
        What is claimed to be new, as in `cloome_sk.model_selection.leakage_report`.
    embedder : estimator, optional
        The fitted model.
    controls : "auto", (column, value or values) or None, default="auto"
        Which rows are negative controls.

    Returns
    -------
    dict
        Keys `LEAKAGE`; ``sentences`` are those of the report, a line each.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.evaluation.units import leakage_row
    >>> ethanol = pd.DataFrame({"smiles": ["CCO"]})
    >>> leakage_row("all", 0, ethanol, ethanol, "molecule", controls=None)["ok"]
    False
    """
    report = leakage_report(train, test, claim, embedder=embedder, controls=controls)
    return {
        "part": part,
        "fold": fold,
        "claim": ", ".join(report.claim),
        "ok": report.ok,
        "sentences": "\n".join(report.sentences),
    }


def _check(units: pd.DataFrame) -> None:
    lacking = [name for name in UNITS if name not in units.columns]
    if lacking:
        raise ValueError(f"The scores of queries lack the column(s) {', '.join(lacking)}.")


def _are_proportions(values: np.ndarray) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _places(column: pd.Series) -> dict[Any, int]:
    """In which order values first appear."""
    return {name: at for at, name in enumerate(pd.unique(column))}


def _unit_means(answers: pd.DataFrame) -> pd.DataFrame:
    known = answers[answers["value"].notna() & answers["unit"].notna()]
    return known.groupby("unit")[["value", "chance"]].mean()


def _resampled_means(values: np.ndarray, n_bootstrap: int, seed: int) -> np.ndarray:
    """Means of resamples, which for one seed are the same units whatever the values."""
    generator = np.random.RandomState(seed)
    n = len(values)
    share = np.full(n, 1 / n)
    draws = [
        generator.multinomial(n, share, size=size) @ values / n for size in _blocks(n_bootstrap, n)
    ]
    return np.concatenate(draws)


def _blocks(n_rows: int, n_columns: int) -> list[int]:
    """Row counts of blocks of a matrix that take some megabytes each."""
    size = max(1, 2**20 // max(n_columns, 1))
    return [min(size, n_rows - start) for start in range(0, n_rows, size)]
