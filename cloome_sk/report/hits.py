"""A picture of queries and hits: structures drawn, sites as pixels, profiles as strips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, row_name
from cloome_sk.molecules import invalid_smiles, molecule_key
from cloome_sk.molecules.smiles import bad_molecules_message
from cloome_sk.report._pages import (
    WIDTH,
    Page,
    asks_by_image,
    page_of_molecules,
    page_of_sites,
    smiles_of,
)
from cloome_sk.report._panels import RIGHT, WRONG, draw_legend, frame
from cloome_sk.report._site_pictures import PURPOSE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT_MOLECULE = "right molecule"


def plot_hits(
    hits: pd.DataFrame,
    queries: Any,
    database: Any,
    *,
    names: Sequence[str] | None = None,
    title: str = "",
    channels: Sequence[str] | None = None,
    colours: Mapping[str, tuple[float, float, float]] | None = None,
    label: str | None = None,
) -> Figure:
    """Draw queries and what they found: molecules and sites or wells, in either direction.

    One row of panels a query: the query, then its hits in order, each with its similarity and
    whether it is the molecule that was asked for.

    ============== ============== =============================================================
    queries        database       what is drawn
    ============== ============== =============================================================
    molecules      images         of a hit the pixels of the site, and the structure in its well
    molecules      profiles       of a hit the structure in its well, and its profile as a strip
                                  of colours
    images         molecules      of the query its pixels and, where known, the structure in its
                                  well; of a hit the structure
    ============== ============== =============================================================

    A table with both images and profiles is drawn as images, and the picture says so.

    Parameters
    ----------
    hits : DataFrame
        What `CrossModalRetriever.search` returned.
    queries : list of str or rdkit.Chem.Mol, or DataFrame, shape (n_queries,)
        What was asked for. A table with image columns (``Image_<channel>``, or ``Image``) asks by
        its images; to ask by its molecules, pass its column of SMILES. Any other table asks by
        that column.
    database : DataFrame, or list of str or rdkit.Chem.Mol
        What the retriever was fitted on. For queries that are molecules a table with plate, well
        and SMILES, and with image columns or CellProfiler-named features; for images a table with
        SMILES, or a list of structures.
    names : sequence of str, optional
        Names of the queries. Images have those of plate and well by default.
    title : str, default=""
        A line above the picture.
    channels : sequence of str, optional
        Channels to draw; by default all that the table has. For stacks that nothing else
        describes, it also says their order.
    colours : mapping of str to (float, float, float), optional
        Red, green and blue, 0 to 1, by channel, in place of those of
        `cloome_sk.imaging.composite`, which has a palette for the colour-blind.
    label : str, optional
        A column of the database to write over each hit, such as the name of the compound or its
        mechanism; in any case and with or without ``Metadata_``.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown and not saved.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    cloome_sk.imaging.ImageError
        If an image to be drawn cannot be read; the message has its path and row.
    TypeError
        If molecules asked and the database is no table.
    ValueError
        If there is nothing to draw, or a column, an image or a readable structure is missing.

    Notes
    -----
    Each channel has one scale of brightness for all panels. Black and full colour are the 1st and
    99.8th percentile of its pixels in the typical site drawn (the median over the sites), and
    stand in the legend. So a dark panel is a dark site, be it by treatment or by the staining of
    its plate. Pixels are drawn as they are stored, without illumination correction; large sites
    are shrunk by averaging areas.

    Examples
    --------
    >>> from cloome_sk import CloomeEmbedder, CrossModalRetriever
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.report import plot_hits
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> embedder = CloomeEmbedder(n_components=16, max_epochs=2, random_state=0).fit(X)
    >>> retriever = CrossModalRetriever(embedder).fit(X)
    >>> aspirin = ["CC(=O)Oc1ccccc1C(=O)O"]
    >>> figure = plot_hits(retriever.search(aspirin, n_neighbors=3), aspirin, X)
    >>> len(figure.axes)
    7
    """
    try:
        from matplotlib.figure import Figure as NewFigure
    except ImportError as error:
        raise ImportError('Drawing needs matplotlib: pip install "cloome_sk[plot]".') from error
    by_image = asks_by_image(queries)
    asked = smiles_of(queries, required=not by_image)
    _check_hits(hits, len(asked), len(database), names)
    asked_keys = _keys(asked, np.arange(len(asked)), queries, "the queries", every=not by_image)
    rows = np.unique(hits["index"].to_numpy(dtype=np.intp))
    if by_image:
        page = page_of_molecules(asked, queries, database, channels, colours)
    else:
        page = page_of_sites(asked, database, rows, channels, colours)
    found_keys = _keys(page.found, rows, database, "the database")
    labels = _labels(database, label)

    before, n_rows = len(page.query), len(page.heights)
    width = before + int(hits["rank"].max())
    extra = "" if labels is None else "\n"  # aligns what is written over queries and hits
    height = sum(page.heights) + (0.5 if labels is None else 0.65)
    margin = 0.5 if page.pictures is None else 1.0
    figure = NewFigure(figsize=(WIDTH * width, height * len(asked) + margin), layout="constrained")
    grid = figure.add_gridspec(n_rows * len(asked), width, height_ratios=page.heights * len(asked))
    for query in range(len(asked)):
        top = n_rows * query
        panels = [figure.add_subplot(grid[top, column]) for column in range(before)]
        for panel, draw in zip(panels, page.query, strict=True):
            draw(panel, query)
        name = page.names[query] if names is None else names[query]
        panels[0].set_title(f"Query\n{name}{extra}", fontsize=9)
        if before > 1:
            panels[1].set_title(f"in this well\n{extra}", fontsize=8)
        own = hits[hits["query"] == query]
        for rank, row, similarity in zip(
            own["rank"].tolist(), own["index"].tolist(), own["similarity"].tolist(), strict=True
        ):
            column = before + rank - 1
            panels = [figure.add_subplot(grid[top + place, column]) for place in range(n_rows)]
            for panel, draw in zip(panels, page.hit, strict=True):
                draw(panel, row)
            verdict = _verdict(asked_keys[query], found_keys[row])
            where = f"{page.place(row)}   cos {similarity:.2f}".lstrip()
            said = f"{rank}. {verdict}\n{where}{extra}{'' if labels is None else labels[row]}"
            _mark(panels[0], said, right=verdict == RIGHT_MOLECULE)
    figure.suptitle(title, fontsize=10)
    _draw_small_print(figure, page)
    return figure


def _mark(panel: Axes, said: str, *, right: bool) -> None:
    """Write over a hit what it is, and frame it by whether it is right."""
    frame(panel, RIGHT if right else WRONG, 2.5 if right else 0.8)
    panel.set_title(said, fontsize=8, color=RIGHT if right else "black")


def _verdict(asked: str | None, found: str | None) -> str:
    """Whether a hit is the molecule that was asked for; nothing where that is not known."""
    if asked is None:
        return ""
    if found is None:
        return "molecule unknown"
    return RIGHT_MOLECULE if asked == found else "other molecule"


def _draw_small_print(figure: Figure, page: Page) -> None:
    """Say which colour is which channel, and what was done to the pixels."""
    if page.pictures is None:
        return
    names = [
        f"{channel} {_number(low)} to {_number(high)}"
        for channel, (low, high) in zip(page.pictures.channels, page.pictures.limits, strict=True)
    ]
    scale = "One scale of brightness for all panels; stored intensities from black to full colour:"
    draw_legend(figure, names, page.pictures.colours, f"{page.note}\n{scale}".lstrip())


def _number(intensity: float) -> str:
    return f"{intensity:,.0f}" if abs(intensity) >= 100 else f"{intensity:.3g}"


def _labels(database: Any, label: str | None) -> list[str] | None:
    """What to write over each row of the database."""
    if label is None:
        return None
    if not isinstance(database, pd.DataFrame):
        raise ValueError(
            f"{PURPOSE}: label={label!r} names a column, and the database is a list of structures."
        )
    column = database[match_column(database, label, purpose=f"{PURPOSE}(label={label!r})")]
    return ["" if lost else str(value) for value, lost in zip(column, column.isna(), strict=True)]


def _keys(
    smiles: np.ndarray, rows: np.ndarray, source: Any, what: str, *, every: bool = False
) -> dict[int, str | None]:
    """Name the molecule of each of some rows, None where it has none and need not have one."""
    known = [row for row in rows.tolist() if every or smiles[row] is not None]
    if bad := invalid_smiles(smiles[known]):
        message = bad_molecules_message(
            bad, len(known), what, lambda place: row_name(source, known[place])
        )
        raise ValueError(f"{PURPOSE}: {message}")
    keys: dict[int, str | None] = dict.fromkeys(rows.tolist())
    keys.update(zip(known, molecule_key(smiles[known]), strict=True))
    return keys


def _check_hits(
    hits: pd.DataFrame, n_queries: int, n_rows: int, names: Sequence[str] | None
) -> None:
    """Refuse hits that do not belong to these queries and this database."""
    lacking = [name for name in ("query", "rank", "index", "similarity") if name not in hits]
    if lacking:
        raise ValueError(
            f"hits lack the column(s) {', '.join(lacking)}: pass what CrossModalRetriever.search "
            "returned."
        )
    if hits.empty or not n_queries:
        raise ValueError(f"There is nothing to draw: {n_queries} queries, {len(hits)} hits.")
    for column, size, what in [("query", n_queries, "queries"), ("index", n_rows, "database rows")]:
        if hits[column].max() >= size:
            raise ValueError(
                f"hits are of other {what}: they name {column} {hits[column].max()}, and there are "
                f"{size} {what}."
            )
    if names is not None and len(names) != n_queries:
        raise ValueError(f"{len(names)} names were given for {n_queries} queries.")
