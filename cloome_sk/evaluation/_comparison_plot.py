"""The figure of a comparison: one feature space against the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.evaluation._clustering_plot import short
from cloome_sk.evaluation.forest import CHANCE, MODEL, OTHERS

NAMED = 3
"""At most so many units of a verdict, the furthest off the diagonal, are named."""
STYLES = {
    "gains": (MODEL, "s", MODEL),
    "loses": (OTHERS, "o", OTHERS),
    "not told apart": ("#888888", "o", "white"),
}
"""Colour of the edge, mark and filling."""


def counted(study: str, n: int) -> str:
    """So many assays, or series."""
    return f"{n:,} {'series' if study.startswith('chemotype') else 'assay' + 's' * (n != 1)}"


def draw_comparison(
    units: pd.DataFrame, overall: pd.DataFrame, *, first: str, second: str, alpha: float
) -> Any:
    """Draw the normalised mAP of every unit in both spaces, a panel a study.

    Parameters
    ----------
    units, overall : DataFrame
        Of `ClusteringComparison`.
    first, second : str
        Names of the spaces: the first is drawn upwards.
    alpha : float
        Of the verdicts, for the legend.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown. Above the diagonal, the first space is better.

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
    studies = list(dict.fromkeys(units["study"]))
    figure = Figure(figsize=(0.4 + 4.8 * len(studies), 5.3), layout="constrained")
    panels = figure.subplots(1, len(studies), squeeze=False)[0]
    for panel, study in zip(panels, studies, strict=True):
        own = units[units["study"] == study]
        _draw_study(panel, own, first, second)
        row = overall[(overall["study"] == study) & (overall["family"] == "all")].iloc[0]
        span = "" if pd.isna(row["low"]) else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
        panel.set_title(
            f"{study}, {counted(study, len(own))}\n"
            f"mean {row['difference']:+.3f}{span}, p = {row['p_holm']:.2g}",
            fontsize=9,
        )
    words = {"gains": f"{first} gains (q < {alpha:g})", "loses": f"{first} loses (q < {alpha:g})"}
    handles = [
        Line2D([], [], color=edge, marker=mark, mfc=fill, ls="", ms=6, label=words.get(name, name))
        for name, (edge, mark, fill) in STYLES.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.suptitle("(mAP − chance) / (1 − chance)", fontsize=10)
    return figure


def _draw_study(panel: Any, own: pd.DataFrame, first: str, second: str) -> None:
    both = own[["first", "second"]].to_numpy()
    low, high = min(float(np.nanmin(both)), 0.0), float(np.nanmax(both))
    margin = 0.06 * max(high - low, 0.05)
    limits = (low - margin, high + margin)
    panel.plot(limits, limits, color=CHANCE, lw=1, ls="--", zorder=0)
    panel.axhline(0, color="#CCCCCC", lw=0.8, zorder=0)
    panel.axvline(0, color="#CCCCCC", lw=0.8, zorder=0)
    size = 26 if len(own) <= 100 else 10
    for verdict, (edge, mark, fill) in reversed(STYLES.items()):
        rows = own[own["verdict"] == verdict]
        panel.scatter(rows["second"], rows["first"], s=size, marker=mark, fc=fill, ec=edge, lw=1)
        if verdict == "not told apart":
            continue
        furthest = rows.reindex(rows["difference"].abs().sort_values(ascending=False).index)
        taken: list[float] = []
        for row in furthest.to_dict("records"):
            # Of names that would stand on each other, the first one.
            if any(abs(row["first"] - other) < 0.045 * (limits[1] - limits[0]) for other in taken):
                continue
            if len(taken) == NAMED:
                break
            taken.append(row["first"])
            right = row["second"] > sum(limits) / 2
            panel.annotate(
                short(row["unit"], 26),
                (row["second"], row["first"]),
                xytext=(-6 if right else 6, 0),
                textcoords="offset points",
                ha="right" if right else "left",
                va="center",
                fontsize=7,
                color=edge,
                bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.4},
            )
    panel.set_xlim(limits)
    panel.set_ylim(limits)
    panel.set_aspect("equal")
    panel.set_xlabel(second, fontsize=9)
    panel.set_ylabel(first, fontsize=9)
    panel.tick_params(labelsize=8)
    panel.grid(color="#EEEEEE", lw=0.6)
    panel.set_axisbelow(True)
