"""A picture of ranked structures: what was asked, what is true, and what was found instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cloome_sk._tables import image_columns, profile_columns
from cloome_sk.report._panels import (
    RIGHT,
    WRONG,
    draw_legend,
    draw_pixels,
    draw_profile,
    draw_structure,
    frame,
)
from cloome_sk.report._site_pictures import SitePictures, site_pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUTH = "#D55E00"
"""Vermilion, which stays apart from the blue and the grey in any colour vision."""

SHARED = "shared_"
NEEDED = (
    *("query", "query_smiles", "rank", "smiles", "similarity", "tanimoto"),
    *("scaffold_changed", "is_truth"),
)
WIDTH, STRUCTURE, STRIP = 2.15, 1.75, 0.3
"""Inches from panel to panel, and of the height of a structure and of a profile."""
LINE = 0.16
"""Inches of a line of writing over a panel."""
LETTERS = 30


def plot_structures(
    ranked: pd.DataFrame,
    queries: pd.DataFrame | None = None,
    *,
    names: Sequence[str] | None = None,
    title: str = "",
    n_hits: int | None = None,
    channels: Sequence[str] | None = None,
    colours: Mapping[str, tuple[float, float, float]] | None = None,
) -> Figure:
    """Draw queries, their true structures, and the structures found, with what they share.

    One row a query: its picture or profile where a table of them is given, the true structure,
    then the hits in order. Over each hit stand its cosine, its Tanimoto similarity to the truth,
    whether its scaffold is another, and for each annotation whether both have a term in common.
    A hit that shares an annotation has a thick blue frame, the true molecule a dashed vermilion
    one, others a thin grey one; all of it is written, too.

    Parameters
    ----------
    ranked : DataFrame
        What `cloome_sk.evaluation.rank_structures` returned.
    queries : DataFrame, optional
        The table of queries that was ranked, in the same order (of a pool of rows the first is
        drawn); its images (``Image_<channel>``,
        or ``Image``) are drawn, otherwise its CellProfiler-named features as a strip of colours
        from -3 to 3.
    names : sequence of str, optional
        What to call the queries drawn, in their order; by default their position.
    title : str, default=""
        A line above the picture.
    n_hits : int, optional
        Most hits drawn of a query; all by default.
    channels : sequence of str, optional
        Channels to draw; all by default.
    colours : mapping of str to (float, float, float), optional
        Red, green and blue, 0 to 1, by channel, as in `plot_hits`.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown and not saved.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    cloome_sk.imaging.ImageError
        If an image to be drawn cannot be read.
    TypeError
        If `ranked` or `queries` is no table.
    ValueError
        If there is nothing to draw, a column is missing, or the queries are others.

    Examples
    --------
    >>> from cloome_sk.baselines import TanimotoKernelEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.ranked_structures import rank_structures
    >>> from cloome_sk.report.structures import plot_structures
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> treated = X[X["Metadata_control_type"].isna()]
    >>> model = TanimotoKernelEmbedder().fit(X)
    >>> ranked = rank_structures(model, treated.iloc[:2], treated, k=3, shared="moa")
    >>> figure = plot_structures(ranked, treated.iloc[:2])
    >>> len(figure.axes)  # of two queries: a profile, the truth and three hits
    10
    """
    try:
        from matplotlib.figure import Figure as NewFigure
    except ImportError as error:
        raise ImportError('Drawing needs matplotlib: pip install "cloome_sk[plot]".') from error
    labels = _checked(ranked, queries, n_hits)
    own = ranked if n_hits is None else ranked[ranked["rank"] <= n_hits]
    asked = list(dict.fromkeys(own["query"].tolist()))
    if names is not None and len(names) != len(asked):
        raise ValueError(f"{len(names)} names were given for {len(asked)} queries.")
    pictures, features = _phenotypes(queries, asked, channels, colours)
    before = 2 if pictures is not None else 1
    width = before + int(own["rank"].max())
    heights = [STRUCTURE, STRIP] if features else [STRUCTURE]
    n_lines = 3 + len(labels)
    height = len(asked) * (sum(heights) + LINE * (n_lines + 2)) + (1.0 if pictures else 0.5)
    figure = NewFigure(figsize=(WIDTH * width, height), layout="constrained")
    grid = figure.add_gridspec(len(heights) * len(asked), width, height_ratios=heights * len(asked))
    for place, query in enumerate(asked):
        hits = own[own["query"] == query]
        top = len(heights) * place
        name = f"query {query}" if names is None else str(names[place])
        head = [_shortened(name), *_of_query(hits.iloc[0], labels)]
        if pictures is not None:
            panel = figure.add_subplot(grid[top, 0])
            draw_pixels(panel, pictures.of_row[query])
            _write(panel, ["asked", ""], n_lines)
        panel = figure.add_subplot(grid[top, before - 1])
        draw_structure(panel, _known(hits["query_smiles"].iloc[0]))
        frame(panel, TRUTH, 1.5)
        _write(panel, head, n_lines, bold=True)
        if features:
            assert queries is not None
            strip = figure.add_subplot(grid[top + 1, 0])
            draw_profile(strip, queries.iloc[query][features].to_numpy(dtype=np.float64))
        for _, hit in hits.iterrows():
            panel = figure.add_subplot(grid[top, before + int(hit["rank"]) - 1])
            draw_structure(panel, hit["smiles"])
            _mark(panel, hit, labels, n_lines)
    figure.suptitle(title, fontsize=10)
    if pictures is not None:
        draw_legend(
            figure,
            pictures.channels,
            pictures.colours,
            "One scale of brightness for all pictures, by channel.",
        )
    return figure


def _checked(ranked: Any, queries: Any, n_hits: Any) -> list[str]:
    """The annotations of ranked structures, if these can be drawn."""
    if not isinstance(ranked, pd.DataFrame):
        raise TypeError(
            "plot_structures: ranked must be the DataFrame that rank_structures returned, got "
            f"{type(ranked).__name__}."
        )
    lacking = [name for name in NEEDED if name not in ranked]
    if lacking:
        raise ValueError(
            f"plot_structures: ranked lacks the column(s) {', '.join(lacking)}: pass what "
            "rank_structures returned."
        )
    if n_hits is not None and (isinstance(n_hits, bool) or not n_hits >= 1):
        raise ValueError(f"plot_structures: n_hits must be at least 1, got {n_hits!r}.")
    if ranked.empty:
        raise ValueError("plot_structures: there is nothing to draw: no query has a hit.")
    if queries is not None:
        if not isinstance(queries, pd.DataFrame):
            raise TypeError(
                "plot_structures: queries are drawn from a table of images or profiles, got "
                f"{type(queries).__name__}. For molecules as queries leave it out."
            )
        if ranked["query"].max() >= len(queries):
            raise ValueError(
                f"plot_structures: ranked names query {ranked['query'].max()}, and the table of "
                f"queries has {len(queries)} row(s): pass the table that was ranked."
            )
    labels = [str(name)[len(SHARED) :] for name in ranked if str(name).startswith(SHARED)]
    bare = [name for of in labels for name in (of, f"query_{of}") if name not in ranked]
    if bare:
        raise ValueError(
            f"plot_structures: ranked lacks the column(s) {', '.join(bare)}, which belong to its "
            f"columns {SHARED}...: pass what rank_structures returned."
        )
    return labels


def _phenotypes(
    queries: pd.DataFrame | None,
    asked: list[int],
    channels: Sequence[str] | None,
    colours: Mapping[str, tuple[float, float, float]] | None,
) -> tuple[SitePictures | None, list[Any]]:
    """Pictures of the queries, or else the columns of their profiles."""
    if queries is None:
        return None, []
    if image_columns(queries):
        return site_pictures(queries, np.array(asked, dtype=np.intp), channels, colours), []
    features = profile_columns(queries)
    if not features:
        raise ValueError(
            "plot_structures: the table of queries has no CellProfiler-named feature columns and "
            "no image columns to draw. Leave it out to draw structures alone."
        )
    return None, features


def _known(smiles: Any) -> str | None:
    return None if pd.isna(smiles) else str(smiles)


def _of_query(hit: pd.Series, labels: list[str]) -> list[str]:
    """Annotations of the truth, a line each."""
    lines = ["true structure" if _known(hit["query_smiles"]) else "truth not known"]
    return lines + [_said(label, hit.get(f"query_{label}")) for label in labels]


def _said(label: str, terms: Any) -> str:
    text = "not known" if pd.isna(terms) else str(terms).replace("|", ", ")
    return _shortened(f"{label}: {text}")


def _mark(panel: Axes, hit: pd.Series, labels: list[str], n_lines: int) -> None:
    """Write over a hit what it is, and frame it by that."""
    is_truth = bool(pd.notna(hit["is_truth"]) and hit["is_truth"])
    flags = [hit[f"{SHARED}{label}"] for label in labels]
    shares = any(bool(flag) for flag in flags if pd.notna(flag))
    rank = f"{int(hit['rank'])}."
    lines = [f"{rank} the true molecule" if is_truth else f"{rank} other molecule"]
    if pd.isna(hit["tanimoto"]):
        lines = [rank]
    lines.append(f"cosine {hit['similarity']:.2f}" + _tanimoto(hit["tanimoto"]))
    lines.append(_scaffold(hit["scaffold_changed"]))
    lines += [_sharing(label, flag, hit) for label, flag in zip(labels, flags, strict=True)]
    colour, width = (TRUTH, 2.0) if is_truth else (RIGHT, 3.0) if shares else (WRONG, 0.8)
    frame(panel, colour, width)
    if is_truth:
        for edge in panel.spines.values():
            edge.set_linestyle((0, (4, 2)))
    _write(panel, lines, n_lines)


def _tanimoto(value: float) -> str:
    return "" if pd.isna(value) else f", Tanimoto {value:.2f}"


def _scaffold(changed: Any) -> str:
    return "" if pd.isna(changed) else "changed scaffold" if changed else "same scaffold"


def _sharing(label: str, flag: Any, hit: pd.Series) -> str:
    if pd.isna(flag):
        return f"{label} not known"
    if not flag:
        return f"other {label}"
    common = set(str(hit[label]).split("|")) & set(str(hit[f"query_{label}"]).split("|"))
    return _shortened(f"shares {label} {', '.join(sorted(common))}")


def _shortened(text: str) -> str:
    return text if len(text) <= LETTERS else text[: LETTERS - 1].rstrip(" ,") + "…"


def _write(panel: Axes, lines: list[str], n_lines: int, *, bold: bool = False) -> None:
    """Write over a panel, as many lines over each, so that panels stand level."""
    text = "\n".join([*lines, *[""] * (n_lines - len(lines))])
    panel.set_title(text, fontsize=7.5, loc="center", fontweight="bold" if bold else "normal")
