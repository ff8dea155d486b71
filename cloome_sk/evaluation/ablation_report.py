"""What the ablation found: tables, a sentence for each setting, and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from cloome_sk.evaluation.ablation import CHOSEN, METRICS, RELATIVE_RANK, AblationStudy

NOTE = (
    "P>M: from the pooled phenotypes of a test molecule to molecules, one candidate a molecule; "
    "M>P: back;\nrelative rank: mean of both, 0 is best. seen: training molecules on plates not "
    "trained on; replicate: a well looks\nfor a well of its molecule among the training wells; "
    "elsewhere: among those at other well positions."
)


def report(study: AblationStudy) -> str:
    """Write the tables and what they say.

    Parameters
    ----------
    study : AblationStudy
        From `cloome_sk.evaluation.ablation.study_ablation`.

    Returns
    -------
    str
        Lines.
    """
    parts: list[tuple[str, Any]] = [
        ("How it was made", _protocol(study)),
        ("Validation (other molecules than those of the test)", validation_table(study)),
        ("Test: values", value_table(study)),
        (
            "Test: differences to the default, paired, with their 95 % intervals "
            "(* leaves out 0, ** with all of them together)",
            difference_table(study),
        ),
        ("What it says", "\n".join(sentences(study))),
    ]
    lines = []
    for title, body in parts:
        text = body if isinstance(body, str) else body.to_string()
        lines += ["", title, "-" * len(title), text]
    return "\n".join(lines)


def _protocol(study: AblationStudy) -> str:
    runs = study.validation
    n_folds, n_seeds = runs["fold"].nunique(), runs["seed"].nunique()
    n_molecules = int(study.figures.loc[study.figures["metric"] == RELATIVE_RANK, "n"].max())
    return (
        f"{n_folds} test parts by {study.split} x {n_seeds} seeds, about {study.n_updates} updates "
        f"a fit; {n_molecules} molecules tested, each in one part.\n"
        f"Intervals resample molecules and seeds. {NOTE}"
    )


def validation_table(study: AblationStudy) -> pd.DataFrame:
    """Mean relative rank in validation, and how often a setting was chosen.

    Parameters
    ----------
    study : AblationStudy
        The study.

    Returns
    -------
    DataFrame
        A row a setting.
    """
    runs = study.validation.pivot(index=["fold", "seed"], columns="model", values="value")
    runs = runs[[setting.name for setting in study.settings]]
    apart = runs.sub(runs.iloc[:, 0], axis=0)
    table = pd.DataFrame(
        {
            "relative rank": runs.mean().map("{:.3f}".format),
            "difference": apart.mean().map("{:+.3f}".format),
            "sd over runs": apart.std(ddof=1).map("{:.3f}".format),
            "chosen for": [
                f"{study.chosen.count(setting.name)} of {len(study.chosen)} parts"
                if setting.may_be_chosen
                else "(its epoch is)"
                for setting in study.settings
            ],
        }
    )
    return table.rename_axis(index=None)


def _wide(study: AblationStudy, texts: pd.Series) -> pd.DataFrame:
    """Models by metrics, in the order they were made."""
    rows = study.figures.assign(text=texts)
    table = rows.pivot(index="model", columns="metric", values="text")
    metrics = [name for name in METRICS if name in table]
    table = table.loc[list(dict.fromkeys(rows["model"])), metrics]
    return table.fillna("").rename_axis(index=None, columns=None)


def value_table(study: AblationStudy) -> pd.DataFrame:
    """Figures on the test parts.

    Parameters
    ----------
    study : AblationStudy
        The study.

    Returns
    -------
    DataFrame
        A row a model, chance last; intervals for the relative rank.
    """
    rows = study.figures
    texts = [
        f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"
        if row.metric == RELATIVE_RANK
        else f"{row.value:.3f}"
        for row in rows.itertuples()
    ]
    table = _wide(study, pd.Series(texts, index=rows.index))
    chance = rows.groupby("metric")["chance"].first()
    table.loc["(chance)"] = [f"{chance[name]:.3f}" for name in table.columns]
    return table


def difference_table(study: AblationStudy) -> pd.DataFrame:
    """Differences to the default on the test parts.

    Parameters
    ----------
    study : AblationStudy
        The study.

    Returns
    -------
    DataFrame
        A row a model other than the default.
    """
    rows = study.figures
    known = rows["difference"].notna()
    texts = [
        f"{_difference(row)}{_marks(row)}" if there else ""
        for row, there in zip(rows.itertuples(), known, strict=True)
    ]
    return _wide(study, pd.Series(texts, index=rows.index)).drop(index=study.settings[0].name)


def _difference(row: Any) -> str:
    value, low, high = (
        getattr(row, name) for name in ("difference", "difference_low", "difference_high")
    )
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _marks(row: Any) -> str:
    for mark, name in (("**", "together"), ("*", "difference")):
        low, high = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
        if low > 0 or high < 0:
            return mark
    return ""


def sentences(study: AblationStudy) -> list[str]:
    """Say of each setting whether it can be told from the default, and what validation chose.

    Parameters
    ----------
    study : AblationStudy
        The study.

    Returns
    -------
    list of str
        Lines.
    """
    figures = study.figures
    compared = figures[figures["together_low"].notna()]
    said = [
        f"Of {len(compared)} differences compared at once, "
        f"{sum(_marks(row) == '**' for row in compared.itertuples())} can be told from 0; taken "
        f"one at a time {sum(_marks(row) != '' for row in compared.itertuples())} would be, and "
        f"about {0.05 * len(compared):.0f} by chance alone."
    ]
    for setting in study.settings[1:]:
        own = figures[figures["model"] == setting.name]
        rank = next(own[own["metric"] == RELATIVE_RANK].itertuples())
        verdict = {
            "**": "differs from the default",
            "*": "differs from the default by itself, not among all comparisons",
            "": "is not distinguishable from the default",
        }[_marks(rank)]
        others = [
            f"{row.metric} {_difference(row)}{_marks(row)}"
            for row in own.itertuples()
            if row.metric != RELATIVE_RANK and _marks(row)
        ]
        rest = f" Otherwise: {'; '.join(others)}." if others else ""
        said.append(
            f"{setting.factor}, {setting.name}: {verdict}, relative rank {_difference(rank)}.{rest}"
        )
    return said + _choice(study)


def _choice(study: AblationStudy) -> list[str]:
    names = [setting.name for setting in study.settings if setting.may_be_chosen]
    means = study.validation.groupby("model")["value"].mean()[names]
    figures = study.figures[study.figures["metric"] == RELATIVE_RANK].set_index("model")
    default, chosen = figures.loc[study.settings[0].name], figures.loc[CHOSEN]
    return [
        f"Over all parts validation is best for: {means.idxmin()} ({means.min():.3f}; default "
        f"{means.iloc[0]:.3f}).",
        f"Chosen for each part ({', '.join(study.chosen)}), tested on molecules that took no part "
        f"in choosing: relative rank {chosen['value']:.3f} "
        f"[{chosen['low']:.3f}, {chosen['high']:.3f}], default {default['value']:.3f}, difference "
        f"{_difference(next(figures.loc[[CHOSEN]].itertuples()))}.",
    ]


def draw(study: AblationStudy, path: str | Path) -> None:
    """Draw the differences of three figures, with both kinds of intervals.

    Parameters
    ----------
    study : AblationStudy
        The study.
    path : path-like
        The image to write.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('Drawing needs matplotlib: pip install "cloome_sk[plot]".') from error
    metrics = (RELATIVE_RANK, "seen: R@1 P>M", "seen: replicate")
    names = [setting.name for setting in study.settings[1:]]
    figure = Figure(figsize=(12, 1 + 0.32 * len(names)), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(metrics), sharey=True), metrics, strict=True):
        rows = study.figures[study.figures["metric"] == metric].set_index("model").loc[names]
        for kind, width in (("together", 1), ("difference", 4)):
            axes.hlines(
                names, rows[f"{kind}_low"], rows[f"{kind}_high"], color="tab:blue", lw=width
            )
        axes.plot(rows["difference"], names, "o", color="black", ms=4)
        axes.axvline(0, color="gray", lw=1, ls=":")
        better = "left" if metric == RELATIVE_RANK else "right"
        axes.set(title=metric, xlabel=f"difference to the default (better: {better})")
    figure.axes[0].invert_yaxis()
    figure.savefig(path, dpi=150)
