"""A picture of chemical series: scaffolds, some members, and what is known of each series."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.utils.validation import check_is_fitted

from cloome_sk._tables import shown
from cloome_sk.molecules import ChemicalSeries, as_smiles, molecule_key, parent_smiles
from cloome_sk.report._panels import RIGHT, WRONG, frame
from cloome_sk.report._series_captions import (
    PURPOSE,
    Overlapping,
    Say,
    Scored,
    of_clustering,
    of_overlap,
    shortened,
)
from cloome_sk.report._series_molecules import aligned, pictures, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION, WIDTH, STRUCTURE = 2.5, 2.0, 1.6
"""Inches: the width of a caption and of a structure, and the height of a structure."""

LINE = 0.155
"""Inches of a line of writing."""

LETTERS, LETTERS_AN_INCH = 30, 16
"""Of the name of a member, and of the small print."""


def plot_series(
    finder: ChemicalSeries,
    smiles: Any,
    *,
    names: Sequence[Any] | None = None,
    series: Sequence[str] | None = None,
    n_series: int = 10,
    n_members: int = 4,
    clustering: Scored | pd.DataFrame | None = None,
    overlap: Overlapping | pd.DataFrame | None = None,
    title: str = "",
) -> Figure:
    """Draw chemical series: a row each, with its scaffold, some members and what is known of it.

    The first column says how many molecules the series has and which share of the background
    contains its scaffold; with `clustering`, how close its members are to each other, and with
    `overlap`, in which assays most tested members are active. Then come the scaffold, in a blue
    frame, and members, in which it lies the same way and is coloured: the smallest member, then
    each time the one farthest from those before (Tanimoto distance). A row has one scale.

    Parameters
    ----------
    finder : ChemicalSeries
        Fitted.
    smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
        The structures among which members are looked for: those of `fit`, or others. Parents are
        drawn (`parent_smiles`), and each molecule counts once (`molecule_key`).
    names : sequence, shape (n_samples,), optional
        What to write over a member; None or NaN for nothing.
    series : sequence of str, optional
        Names in ``finder.series_`` of those to draw, in this order, such as ``study.found`` of a
        clustering study. By default the largest with a member among `smiles`.
    n_series : int, default=10
        Most series drawn where `series` is None; how many there are is written below.
    n_members : int, default=4
        Most members drawn of a series.
    clustering : ClusteringStudy or DataFrame, optional
        What `cloome_sk.evaluation.study_chemotype_clustering` found with
        ``names=finder.get_feature_names_out()``, or its ``table``.
    overlap : BioactivityOverlap or DataFrame, optional
        What `cloome_sk.evaluation.study_bioactivity_overlap` found with the same names, or its
        ``pairs``. The first four assays are named.
    title : str, default=""
        A line above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown and not saved.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    sklearn.exceptions.NotFittedError
        If `finder` is not fitted.
    TypeError
        If `finder` is no ChemicalSeries, or a study is none.
    ValueError
        If a structure cannot be read, a series is not known or has no member among `smiles`, a
        study is of other series, or a number is out of range.

    See Also
    --------
    cloome_sk.molecules.ChemicalSeries : Finds the series.

    Notes
    -----
    A study and `finder` are brought together by the names of series alone: ``series_0`` of another
    fit has the same name and is another series.

    Examples
    --------
    >>> from cloome_sk.molecules import ChemicalSeries
    >>> from cloome_sk.report import plot_series
    >>> groups = ["F", "Cl", "Br", "OC", "C(F)(F)F", "N(C)C"]
    >>> quinolones = [f"CCn1cc(C(=O)O)c(=O)c2cc(F)c({group})cc12" for group in groups]
    >>> finder = ChemicalSeries(min_size=5).fit(quinolones)
    >>> figure = plot_series(finder, quinolones, n_members=3)
    >>> len(figure.axes)  # the caption, the scaffold and three members
    5
    """
    try:
        from matplotlib.figure import Figure as NewFigure
    except ImportError as error:
        raise ImportError('Drawing needs matplotlib: pip install "cloome_sk[plot]".') from error
    _check(finder, n_series, n_members)
    found = _Members.among(finder, smiles, names)
    chosen, note = _chosen(finder, found, series, n_series)
    says: list[Say] = []
    if clustering is not None:
        says.append(of_clustering(clustering, chosen))
    if overlap is not None:
        says.append(of_overlap(overlap, chosen))
    facts = {str(row["series"]): row for row in finder.series_.to_dict("records")}
    places = {name: place for place, name in enumerate(facts)}
    captions = [
        [
            *_size(facts[name], len(found.of[places[name]])),
            *(line for say in says for line in say(name)),
        ]
        for name in chosen
    ]
    named = names is not None
    inches = [max(STRUCTURE + LINE * named, LINE * (len(lines) + 1)) + 0.1 for lines in captions]
    n_members = min(n_members, max(len(found.of[places[name]]) for name in chosen))
    widths = [CAPTION, *[WIDTH] * (1 + n_members)]
    figure = NewFigure(figsize=(sum(widths), sum(inches) + 0.8), layout="constrained")
    grid = figure.add_gridspec(len(chosen), len(widths), height_ratios=inches, width_ratios=widths)
    for at, (name, lines) in enumerate(zip(chosen, captions, strict=True)):
        _write(figure.add_subplot(grid[at, 0]), name, lines)
        own = found.of[places[name]]
        options = {"radius": int(finder.radius), "n_bits": int(finder.n_bits)}
        own = own[spread(found.smiles[own].tolist(), n_members, **options)]
        scaffold, members = aligned(
            str(facts[name]["scaffold"]),
            str(facts[name]["smarts"]),
            found.smiles[own].tolist(),
            chiral=bool(finder.match_chirality),
        )
        for column, picture in enumerate(pictures([scaffold, *members]), start=1):
            panel = figure.add_subplot(grid[at, column])
            panel.imshow(picture)
            panel.set_anchor("N")
            frame(panel, RIGHT if column == 1 else WRONG, 1.8 if column == 1 else 0.4)
            if named:
                label = "scaffold" if column == 1 else found.names[own[column - 2]]
                panel.set_title(shortened(label, LETTERS), fontsize=7.5, pad=2)
    figure.suptitle(title, fontsize=10)
    small_print = "\n".join(
        textwrap.fill(line, int(LETTERS_AN_INCH * sum(widths))) for line in note
    )
    figure.supxlabel(small_print, fontsize=7.5, color="#404040")
    return figure


@dataclass(frozen=True)
class _Members:
    """Distinct molecules, and which of them are members of each series."""

    smiles: np.ndarray
    names: list[str]
    of: list[np.ndarray]

    @classmethod
    def among(cls, finder: ChemicalSeries, smiles: Any, names: Any) -> _Members:
        """Look for members among structures."""
        given = as_smiles(smiles)
        if not len(given):
            raise ValueError(
                f"{PURPOSE}: there are no structures among which to look for members. Pass those "
                "that ChemicalSeries was fitted on, or others."
            )
        if names is not None and len(names) != len(given):
            raise ValueError(
                f"{PURPOSE}: {len(names)} names were given for {len(given)} structures; one each, "
                "in the same order."
            )
        rows = finder.transform(given)
        parents = parent_smiles(given)
        table = pd.DataFrame({"key": molecule_key(parents).astype(str), "parent": parents})
        # Of the rows of one molecule, one that does not depend on their order.
        distinct = table.sort_values(["key", "parent"], kind="stable").drop_duplicates("key")
        first = distinct.index.to_numpy(dtype=np.intp)
        columns = csr_matrix(rows)[first].tocsc()
        said = [""] * len(given) if names is None else list(names)
        return cls(
            smiles=parents[first],
            names=["" if pd.isna(said[row]) else str(said[row]) for row in first],
            of=[np.sort(own) for own in np.split(columns.indices, columns.indptr[1:-1])],
        )


def _check(finder: Any, n_series: Any, n_members: Any) -> None:
    if not isinstance(finder, ChemicalSeries):
        raise TypeError(
            f"{PURPOSE}: finder must be a fitted ChemicalSeries, got {type(finder).__name__}."
        )
    check_is_fitted(finder, "series_")
    for name, value in (("n_series", n_series), ("n_members", n_members)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{PURPOSE}: {name} must be an integer of at least 1, got {value!r}.")
    if finder.series_.empty:
        raise ValueError(
            f"{PURPOSE}: this ChemicalSeries found no series among its {finder.n_molecules_} "
            f"molecules. Fit it with a lower min_size={finder.min_size} or "
            f"min_atoms={finder.min_atoms}, or a higher max_background={finder.max_background:g}."
        )


def _chosen(
    finder: ChemicalSeries, found: _Members, series: Any, n_series: int
) -> tuple[list[str], list[str]]:
    """Names of the series to draw, and the lines to write below the picture."""
    every = finder.series_["series"].tolist()
    populated = [name for name, own in zip(every, found.of, strict=True) if len(own)]
    note = [
        "Blue: the scaffold. Members: the smallest, then those farthest from the ones before. "
        "Background: molecules at large that contain the scaffold."
    ]
    if not populated:
        raise ValueError(
            f"{PURPOSE}: none of the {len(found.smiles)} molecules given is a member of one of the "
            f"{len(every)} series. Pass the structures that this ChemicalSeries was fitted on, or "
            "others that contain its scaffolds."
        )
    if series is None:
        chosen = populated[:n_series]
        if len(chosen) < len(every):
            empty = len(every) - len(populated)
            without = f"; without a member among the molecules given: {empty}" if empty else ""
            note.append(f"Drawn: the largest {len(chosen)} of {len(every)} series{without}.")
        return chosen, note
    chosen = [series] if isinstance(series, str) else list(series)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"{PURPOSE}: series must name one or more series, each once, got {shown(chosen, 5)}."
            if chosen
            else f"{PURPOSE}: series is empty. Name some, or leave it out to draw the largest."
        )
    unknown = [name for name in chosen if name not in every]
    if unknown:
        raise ValueError(
            f"{PURPOSE}: there is no series {shown(unknown, 5)}; this ChemicalSeries found "
            f"{shown(every)} (its series_)."
        )
    empty_ones = [name for name in chosen if name not in populated]
    if empty_ones:
        raise ValueError(
            f"{PURPOSE}: no member of {shown(empty_ones, 5)} is among the {len(found.smiles)} "
            "molecules given. Pass the structures that were fitted, or draw only series with "
            f"members among these: {shown(populated)}."
        )
    return chosen, note


def _size(row: dict[Any, Any], n_given: int) -> list[str]:
    size = f"{row['n_members']} molecules"
    if n_given != row["n_members"]:
        size += f" fitted, {n_given} given"
    return [size, f"{100 * row['background']:.2g} % of the background"]


def _write(panel: Axes, name: str, lines: list[str]) -> None:
    """Write the caption of a series."""
    frame(panel, "none", 0)
    where: dict[str, Any] = {
        "xy": (0, 1),
        "xycoords": "axes fraction",
        "va": "top",
        "annotation_clip": False,
    }
    panel.annotate(shortened(name, LETTERS), fontsize=8.5, fontweight="bold", **where)
    where |= {"xytext": (0, -13), "textcoords": "offset points"}
    panel.annotate("\n".join(lines), fontsize=7.5, **where)
