"""The figure of a clustering study: the best units, all of them, and their families."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.evaluation._clustering_checks import NO_FAMILY
from cloome_sk.evaluation.forest import CHANCE, MODEL, OTHERS

BEST = 20
"""Units that are drawn with their names."""
LETTERS = 34
FAMILIES = 15


def short(name: Any, letters: int = LETTERS) -> str:
    """A name cut to what fits beside an axis."""
    text = str(name)
    return text if len(text) <= letters else text[: letters - 1] + "…"


def draw_clustering(
    table: pd.DataFrame, families: pd.DataFrame, *, unit: str, alpha: float, title: str
) -> Any:
    """Draw mAP of the best units, normalised mAP of all in order, and counts by family.

    Parameters
    ----------
    table, families : DataFrame
        Of `ClusteringStudy`.
    unit : str
        Name of the column of names.
    alpha : float
        Units of q below it are drawn in another colour and filled.
    title : str
        Of the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown.

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
    known = table[table["normalized_map"].notna()].reset_index(drop=True)
    best = known.head(BEST)
    has_families = bool((families["family"] != NO_FAMILY).any())
    shown_families = families.head(FAMILIES) if has_families else families.head(0)
    n_lines = max(len(best), len(shown_families), 8)
    figure = Figure(
        figsize=(11.5 if has_families else 8.5, 1.6 + 0.24 * n_lines), layout="constrained"
    )
    panels = figure.subplots(1, 2 + has_families, width_ratios=[1.25, 1, 0.9][: 2 + has_families])
    _draw_best(panels[0], best, unit, alpha)
    _draw_all(panels[1], known, unit, alpha)
    if has_families:
        _draw_families(panels[2], shown_families, unit, alpha)
    plural = unit if unit == "series" else f"{unit}s"
    handles = [
        Line2D([], [], color=MODEL, marker="s", ls="", ms=5, label=f"{plural} of q < {alpha:g}"),
        Line2D([], [], color=OTHERS, marker="o", ls="", ms=5, mfc="white", label="others"),
        Line2D([], [], color=CHANCE, marker="|", ls="", ms=9, mew=1.5, label="chance"),
        Line2D([], [], color="#444444", lw=1.2, label="± 1.96 standard errors"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def _draw_best(panel: Any, best: pd.DataFrame, unit: str, alpha: float) -> None:
    # Errors are those of the normalised figure; here they stand in units of mAP.
    reach = 1.96 * best["se"].fillna(0.0) * (1 - best["chance"])
    for at in range(len(best)):
        row, found = best.iloc[at], bool(best["q"].iloc[at] < alpha)
        colour, mark = (MODEL, "s") if found else (OTHERS, "o")
        low, high = max(row["map"] - reach.iloc[at], 0.0), min(row["map"] + reach.iloc[at], 1.0)
        panel.hlines(at, low, high, color=colour, lw=1.2)
        panel.plot(row["map"], at, mark, color=colour, ms=5, mfc=colour if found else "white")
        panel.plot(row["chance"], at, "|", color=CHANCE, ms=9, mew=1.5)
    panel.set_yticks(np.arange(len(best)), [short(name) for name in best[unit]])
    panel.set_ylim(max(len(best), 1) - 0.5, -0.5)
    panel.set_xlim(left=0)
    panel.set_xlabel("mAP", fontsize=9)
    what = f"the best {len(best)}" if len(best) == BEST else f"all {len(best)}"
    panel.set_title(f"{what}, with chance", fontsize=9)
    _quiet(panel, "x")


def _draw_all(panel: Any, known: pd.DataFrame, unit: str, alpha: float) -> None:
    place = np.arange(1, len(known) + 1)
    value, found = known["normalized_map"].to_numpy(), (known["q"] < alpha).to_numpy()
    reach = 1.96 * known["se"].fillna(0.0).to_numpy()
    size = 4 if len(known) <= 100 else 2.5
    panel.vlines(place, value - reach, value + reach, color="#BBBBBB", lw=0.8, zorder=1)
    panel.plot(place[~found], value[~found], "o", color=OTHERS, mfc="white", ms=size)
    panel.plot(place[found], value[found], "s", color=MODEL, ms=size)
    panel.axhline(0, color=CHANCE, lw=1, ls="--", zorder=0)
    panel.set_xlabel(f"rank of the {unit}", fontsize=9)
    panel.set_ylabel("(mAP − chance) / (1 − chance)", fontsize=9)
    plural = unit if unit == "series" or len(known) == 1 else f"{unit}s"
    panel.set_title(f"{len(known):,} {plural}, {int(found.sum()):,} found", fontsize=9)
    _quiet(panel, "y")


def _draw_families(panel: Any, families: pd.DataFrame, unit: str, alpha: float) -> None:
    at = np.arange(len(families))
    panel.barh(at, families["n"], color="#DDDDDD", height=0.7)
    panel.barh(at, families["n_found"], color=MODEL, height=0.7)
    for place, (n_found, n) in enumerate(zip(families["n_found"], families["n"], strict=True)):
        panel.text(n, place, f" {n_found} of {n}", va="center", fontsize=7)
    panel.set_yticks(at, [short(name, 22) for name in families["family"]])
    panel.set_ylim(len(families) - 0.5, -0.5)
    panel.set_xlim(0, 1.25 * families["n"].max())
    plural = unit if unit == "series" else f"{unit}s"
    panel.set_xlabel(plural, fontsize=9)
    panel.set_title(f"by family, of q < {alpha:g}", fontsize=9)
    _quiet(panel, "x")


def _quiet(panel: Any, axis: str) -> None:
    panel.tick_params(labelsize=8)
    panel.grid(axis=axis, color="#DDDDDD", lw=0.6)
    panel.set_axisbelow(True)
