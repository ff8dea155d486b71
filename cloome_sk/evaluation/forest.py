"""The figure of a study: every model with its interval beside chance."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

MODEL, OTHERS, CHANCE = "#D55E00", "#0072B2", "#666666"
"""Vermilion, blue and grey of Okabe and Ito, told apart in any colour vision and in print."""
MOST_COLUMNS = 3
"""Panels side by side; one more where that fills all rows, as for pairs of directions."""
WRAP = 38
"""Letters of a line of a panel's title."""


def draw_forest(
    rows: pd.DataFrame,
    *,
    metric: str,
    title: str,
    model: str | Collection[str],
    unit: str = "molecule",
    share: bool = True,
) -> Any:
    """Draw values with intervals, a panel a part and a row a model.

    Parameters
    ----------
    rows : DataFrame
        Scores of one metric, see `cloome_sk.evaluation.units.SCORES`. Models without an answer in
        a part have an empty row there.
    metric : str
        Its name.
    title : str
        Of the figure.
    model : str or collection of str
        The model under test, which is drawn in another colour and as a square.
    unit : str, default="molecule"
        What ``n`` counts; "" for a figure without numbers.
    share : bool, default=True
        Whether all panels show all models; else each shows those that have a row in it.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown.

    Raises
    ------
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.evaluation.forest import draw_forest
    >>> rows = pd.DataFrame({"part": "all", "model": ["A", "B"], "metric": "R@1",
    ...                      "value": [0.2, 0.1], "low": [0.1, 0.0], "high": [0.3, 0.2],
    ...                      "chance": 0.05, "n": 20})
    >>> len(draw_forest(rows, metric="R@1", title="toy", model="A").axes)
    1
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('Drawing needs matplotlib: pip install "cloome_sk[plot]".') from error
    from textwrap import fill

    parts = list(dict.fromkeys(rows["part"]))
    everyone = list(dict.fromkeys(rows["model"]))
    shown = {
        part: everyone if share else list(dict.fromkeys(rows.loc[rows["part"] == part, "model"]))
        for part in parts
    }
    tested = {model} if isinstance(model, str) else set(model)
    most_columns = MOST_COLUMNS + (len(parts) % 4 == 0) if share else 1
    n_columns = min(most_columns, len(parts))
    n_rows = -(-len(parts) // n_columns)
    letters = max(max(map(len, str(name).split("\n"))) for name in everyone)
    lines = sum(str(name).count("\n") + 1 for name in everyone) * (n_rows if share else 1)
    size = (1.2 + 0.075 * letters + 3.1 * n_columns, 0.9 + n_rows + 0.24 * lines)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(
        n_rows,
        n_columns,
        sharey=share,
        sharex=True,
        squeeze=False,
        height_ratios=None if share else [1 + len(shown[part]) for part in parts],
    ).ravel()
    for panel, part in zip(panels, parts, strict=False):
        names = shown[part]
        own = rows[rows["part"] == part].set_index("model").reindex(names)
        for at, name in enumerate(names):
            row = own.iloc[at]
            colour, mark = (MODEL, "s") if name in tested else (OTHERS, "o")
            panel.hlines(at, row["low"], row["high"], color=colour, lw=2)
            panel.plot(row["value"], at, mark, color=colour, ms=5)
            if not share and pd.notna(row["chance"]):
                panel.plot(row["chance"], at, "|", color=CHANCE, ms=11, mew=1.5)
        chance = own["chance"].dropna()
        if share and len(chance):
            line = chance.reindex([*tested, *chance.index]).dropna()
            panel.axvline(line.iloc[0], color=CHANCE, lw=1, ls="--")
        heading = fill(str(part), WRAP if share else 2 * WRAP)
        counts = own.loc[own["n"] > 0, "n"]
        if unit:
            most = int(counts.max()) if len(counts) else 0
            heading += f"\n{most:,} {unit}{'' if most == 1 else 's'}" if most else "\nno answer"
        panel.set_title(heading, fontsize=9)
        panel.set_yticks(np.arange(len(names)), names)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.tick_params(labelsize=8)
        panel.grid(axis="x", color="#DDDDDD", lw=0.6)
        panel.set_axisbelow(True)
    for panel in panels[len(parts) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(parts) - n_columns) : len(parts)]:
        panel.tick_params(labelbottom=True)
        panel.set_xlabel(metric, fontsize=9)
    figure.suptitle(f"{title} ({'dashed' if share else 'grey'}: chance)", fontsize=10)
    return figure
