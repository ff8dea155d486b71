"""The figure of the overlap: series by assays, and the families of the assays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.evaluation._clustering_plot import short
from cloome_sk.evaluation.forest import CHANCE, MODEL

MOST_SERIES, MOST_ASSAYS, MOST_FAMILIES = 25, 30, 15


def draw_overlap(
    pairs: pd.DataFrame,
    families: pd.DataFrame,
    *,
    active_share: float,
    alpha: float,
    title: str,
    nothing: str,
) -> Any:
    """Draw the share of active members of each series in each assay.

    Parameters
    ----------
    pairs, families : DataFrame
        Of `BioactivityOverlap`.
    active_share : float
        Pairs above it have a frame.
    alpha : float
        Frames of q below it are drawn in the colour of findings.
    title : str
        Of the figure.
    nothing : str
        What is said where there is no pair.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown. Series and assays with an overlap, the first ones where there are too many;
        all of them where nothing overlaps; where no pair is looked at, words that say so.

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
    if not len(pairs):
        figure = Figure(figsize=(6.4, 1.8), layout="constrained")
        panel = figure.subplots()
        panel.set_axis_off()
        panel.text(0.5, 0.5, nothing, ha="center", va="center", fontsize=9, wrap=True)
        figure.suptitle(title, fontsize=10)
        return figure
    chosen = pairs[pairs["overlaps"]] if pairs["overlaps"].any() else pairs
    series = list(dict.fromkeys(chosen["series"]))
    assays = list(dict.fromkeys(chosen["assay"]))
    n_series, n_assays = len(series), len(assays)
    series, assays = series[:MOST_SERIES], assays[:MOST_ASSAYS]
    own = pairs[pairs["series"].isin(series) & pairs["assay"].isin(assays)]
    shown_families = families.head(MOST_FAMILIES)
    size = (4.6 + 0.27 * len(assays) + 3.2, 2.9 + 0.24 * max(len(series), len(shown_families)))
    figure = Figure(figsize=size, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[2.4 + 0.27 * len(assays), 2.6])
    rows, columns = own["series"].map(series.index), own["assay"].map(assays.index)
    points = left.scatter(
        columns, rows, c=own["share"], s=80, cmap="Greys", vmin=0, vmax=1, lw=0.5, ec="#BBBBBB"
    )
    for mask, colour in (
        (own["overlaps"] & (own["q"] < alpha), MODEL),
        (own["overlaps"] & ~(own["q"] < alpha), "#0072B2"),
    ):
        left.scatter(columns[mask], rows[mask], s=130, fc="none", ec=colour, lw=1.6)
    left.set_yticks(np.arange(len(series)), [short(name, 30) for name in series])
    left.set_xticks(np.arange(len(assays)), [short(name, 24) for name in assays], rotation=90)
    left.set_ylim(len(series) - 0.4, -0.6)
    left.set_xlim(-0.6, len(assays) - 0.4)
    left.tick_params(labelsize=8)
    left.grid(color="#EEEEEE", lw=0.6)
    left.set_axisbelow(True)
    count = f"{len(series)} of {n_series} series, {len(assays)} of {n_assays} assays"
    left.set_title(f"{count} with an overlap" if pairs["overlaps"].any() else count, fontsize=9)
    figure.colorbar(points, ax=left, shrink=0.7, label="share of tested members active")
    at = np.arange(len(shown_families))
    right.barh(at, shown_families["n_overlaps"], color="#BBBBBB", height=0.7)
    right.barh(at, shown_families["n_found"], color=MODEL, height=0.7)
    right.vlines(shown_families["expected"], at - 0.45, at + 0.45, color=CHANCE, lw=2.5)
    right.set_yticks(at, [short(name, 22) for name in shown_families["family"]])
    right.set_ylim(len(at) - 0.5, -0.5)
    right.set_xlim(left=0)
    right.set_xlabel("overlaps", fontsize=9)
    right.set_title("by family of the assay", fontsize=9)
    right.tick_params(labelsize=8)
    handles = [
        Line2D([], [], color=MODEL, marker="o", mfc="none", ls="", ms=9, mew=1.6,
               label=f"above {100 * active_share:g} %, q < {alpha:g}"),
        Line2D([], [], color="#0072B2", marker="o", mfc="none", ls="", ms=9, mew=1.6,
               label=f"above {100 * active_share:g} %, others"),
        Line2D([], [], color=CHANCE, marker="|", ls="", ms=10, mew=2,
               label="overlaps expected of random compounds"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure
