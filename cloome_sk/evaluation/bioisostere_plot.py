"""The figure of the bioisostere study: what the first hits share, beside two kinds of chance."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.evaluation.forest import CHANCE, MODEL, OTHERS

MOST_COLUMNS = 3
WRAP_NAME, WRAP_TITLE = 30, 34


def draw_shares(
    scores: pd.DataFrame, enrichment: pd.DataFrame, *, model: str, k: int, data: str
) -> Any:
    """Draw the share of right hits of each model, with chance, and chance matched for Tanimoto.

    Parameters
    ----------
    scores : DataFrame
        The rows of ``shared@k`` of a study.
    enrichment : DataFrame
        The rows of that k of `BioisostereStudy.enrichment`.
    model : str
        The model under test, drawn in another colour and as a square.
    k : int
        Number of hits.
    data : str
        Name of the table.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown. A panel a part; at the right of each row how many times the matched chance.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is nothing to draw.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
    except ImportError as error:
        raise ImportError('Drawing needs matplotlib: pip install "cloome_sk[plot]".') from error
    parts, names = (list(dict.fromkeys(scores[name])) for name in ("part", "model"))
    if not parts:
        raise ValueError(f"No molecule has more than {k} candidates: there is nothing to draw.")
    n_columns = min(MOST_COLUMNS, len(parts))
    n_rows = -(-len(parts) // n_columns)
    size = (2.6 + 3.9 * n_columns, 1.1 + n_rows * (1.0 + 0.36 * len(names)))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).ravel()
    for panel, part in zip(panels, parts, strict=False):
        rows = scores[scores["part"] == part].set_index("model").reindex(names)
        like = enrichment[(enrichment["part"] == part) & (enrichment["matched"] == "Tanimoto")]
        like = like.set_index("model").reindex(names)
        for at, name in enumerate(names):
            row = rows.iloc[at]
            colour, mark = (MODEL, "s") if name == model else (OTHERS, "o")
            panel.hlines(at, row["low"], row["high"], color=colour, lw=2)
            panel.plot(row["value"], at, mark, color=colour, ms=6)
            matched = like["chance"].iloc[at]
            panel.plot(matched, at, "D", mfc="white", mec="black", ms=4.5, zorder=3)
            panel.text(
                *(1.02, at, ratio_text(like.iloc[at])),
                transform=panel.get_yaxis_transform(),
                va="center",
                fontsize=7.5,
            )
        chance = rows["chance"].dropna()
        if len(chance):
            panel.axvline(chance.iloc[0], color=CHANCE, lw=1, ls="--")
        panel.set_title(
            f"{fill(str(part), WRAP_TITLE)}\n{int(rows['n'].max()):,} molecules", fontsize=9
        )
        panel.text(1.02, -0.75, "× matched", transform=panel.get_yaxis_transform(), fontsize=7.5)
        panel.set_yticks(np.arange(len(names)), [fill(name, WRAP_NAME) for name in names])
        panel.tick_params(labelsize=8)
        panel.set_xlim(left=0)
        panel.grid(axis="x", color="#DDDDDD", lw=0.6)
        panel.set_axisbelow(True)
        panel.set_xlabel(f"share of the first {k} hits" if k > 1 else "first hits", fontsize=8)
    panels[0].set_ylim(len(names) - 0.5, -0.6)
    for panel in panels[len(parts) :]:
        panel.set_visible(False)
    marks = [
        Line2D([], [], color=MODEL, marker="s", lw=2, label=f"{model}, interval over molecules"),
        Line2D([], [], color=OTHERS, marker="o", lw=2, label="controls and references"),
        Line2D([], [], color=CHANCE, ls="--", lw=1, label="chance"),
        Line2D(
            *([], []),
            marker="D",
            mfc="white",
            mec="black",
            lw=0,
            label="chance among candidates equally similar to the truth",
        ),
    ]
    figure.legend(
        handles=marks, loc="outside lower center", ncols=min(4, 2 * n_columns), fontsize=8
    )
    figure.suptitle(f"bioisosteres, {data}", fontsize=10)
    return figure


def ratio_text(row: Any) -> str:
    """How many times chance, with its interval; a dash where chance is 0."""
    if pd.isna(row["enrichment"]):
        return "-"
    if pd.isna(row["low"]):
        return f"{row['enrichment']:.2f}"
    return f"{row['enrichment']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
