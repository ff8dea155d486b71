"""The figure of a transfer study: each model on the source and on the target, joined."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.evaluation._transfer_align import TITLES
from cloome_sk.evaluation._transfer_scores import (
    CARRIED,
    NEW,
    PROBE,
    REPLICATES,
    SOURCE,
    ZERO_SHOT,
)

SIDES = {SOURCE: ("#0072B2", "o", -0.16), NEW: ("#D55E00", "s", 0.16)}
"""Colour (blue and vermilion of Okabe and Ito), mark and height of each side."""
GREY = "#999999"
DRAWN = (PROBE, ZERO_SHOT, CARRIED, REPLICATES)
"""Metrics of the figure, where none is chosen."""


def draw_transfer(scores: pd.DataFrame, *, model: str, title: str, joined: Collection[str]) -> Any:
    """Draw source and target with their intervals, a panel a metric, a row of panels an alignment.

    Parameters
    ----------
    scores : DataFrame
        Columns `cloome_sk.evaluation.units.SCORES`; parts and metrics of the study.
    model : str
        The model under test, whose name is bold.
    title : str
        Of the figure.
    joined : collection of str
        Metrics whose two sides a line joins: those that ask both for the same.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown. Metrics that the new molecules of the target do not answer are left out.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
    except ImportError as error:
        raise ImportError('Drawing needs matplotlib: pip install "cloome_sk[plot]".') from error
    endings = [end for end in TITLES.values() if (NEW + end) in set(scores["part"])]
    answered = scores[(scores["n"] > 0) & scores["part"].isin([NEW + end for end in endings])]
    metrics = list(dict.fromkeys(answered["metric"]))
    if len(metrics) > len(DRAWN):
        metrics = [name for name in metrics if name in DRAWN]
    panels = [(end, metric) for end in endings for metric in metrics]
    models = list(dict.fromkeys(scores["model"]))
    n_columns, n_rows = max(1, len(metrics)), max(1, len(endings))
    letters = max(map(len, models))
    figure = Figure(
        figsize=(
            1.0 + 0.075 * letters + 2.7 * n_columns,
            1.3 + n_rows * (0.75 + 0.3 * len(models)),
        ),
        layout="constrained",
    )
    axes = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    for (end, metric), panel in zip(panels, axes.ravel(), strict=False):
        own = scores[scores["metric"] == metric]
        _draw_panel(panel, own, models, end, metric in joined)
        panel.set_title(f"{metric}\n{end.removeprefix(', ')}".strip(), fontsize=9)
        panel.set_yticks(np.arange(len(models)), models)
        panel.set_ylim(len(models) - 0.4, -0.6)
        panel.tick_params(labelsize=8)
        panel.grid(axis="x", color="#DDDDDD", lw=0.6)
        panel.set_axisbelow(True)
        for label in panel.get_yticklabels():
            label.set_fontweight("bold" if label.get_text() == model else "normal")
    shown = set(scores.loc[(scores["n"] > 0) & scores["metric"].isin(metrics), "part"])
    sides = {
        side: style for side, style in SIDES.items() if shown & {side + end for end in endings}
    }
    handles: list[Any] = [
        Line2D([], [], color=colour, marker=mark, lw=1.5, label=side)
        for side, (colour, mark, _) in sides.items()
    ]
    handles += [
        Line2D([], [], color=colour, lw=1, ls=":", label=f"chance, {side.split(',')[0]}")
        for side, (colour, _, _) in sides.items()
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4 if n_columns > 2 else 2,
        fontsize=8,
        frameon=False,
    )
    figure.suptitle(f"{title} (bars: intervals over molecules)", fontsize=10)
    return figure


def _draw_panel(panel: Any, rows: pd.DataFrame, models: list[str], end: str, joined: bool) -> None:
    found = {
        side: rows[(rows["part"] == side + end) & (rows["n"] > 0)].set_index("model")
        for side in SIDES
    }
    for at, name in enumerate(models):
        ends = [
            (found[side].loc[name, "value"], at + height)
            for side, (_, _, height) in SIDES.items()
            if name in found[side].index
        ]
        if joined and len(ends) == 2:
            panel.plot(*zip(*ends, strict=True), color=GREY, lw=1.2, zorder=1)
        for side, (colour, mark, height) in SIDES.items():
            if name in found[side].index:
                row = found[side].loc[name]
                panel.hlines(at + height, row["low"], row["high"], color=colour, lw=1.3, alpha=0.6)
                panel.plot(row["value"], at + height, mark, color=colour, ms=5)
    for side, (colour, _, _) in SIDES.items():
        chance = found[side]["chance"].dropna()
        if len(chance):
            panel.axvline(chance.iloc[0], color=colour, lw=1, ls=":", zorder=0)
