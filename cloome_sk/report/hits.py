"""A picture of queries and what was found: structures drawn, profiles as strips."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from cloome_sk._tables import match_column, profile_columns
from cloome_sk.molecules import as_smiles, molecule_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 3.0
"""Profile values are coloured between minus and plus this."""

RIGHT, WRONG = "#0072B2", "#767676"
"""A blue and a grey that stay apart for colour-blind readers."""


def plot_hits(
    hits: pd.DataFrame,
    queries: Any,
    database: pd.DataFrame,
    *,
    names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draw molecules and the wells they found.

    One row of panels a query: its structure, then its hits in order. A hit shows the structure
    that was in the well, the well's profile as a strip of colours, its similarity, and whether it
    is the molecule that was asked for.

    Parameters
    ----------
    hits : DataFrame
        What `CrossModalRetriever.search` returned.
    queries : list of str or rdkit.Chem.Mol, shape (n_queries,)
        The molecules that were asked for.
    database : DataFrame
        The table the retriever was fitted on, with CellProfiler-named features, plate, well and
        SMILES.
    names : sequence of str, optional
        Names of the queries.
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
    ValueError
        If there is nothing to draw, or the database lacks one of those columns.

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
    smiles = as_smiles(queries)
    _check_hits(hits, len(smiles), len(database), names)
    features = profile_columns(database)
    if not features:
        raise ValueError("The database has no CellProfiler-named feature columns to draw.")
    where = [match_column(database, name, purpose="plot_hits") for name in ("plate", "well")]
    structures = database[match_column(database, "smiles", purpose="plot_hits")]

    asked = molecule_key(smiles)
    width = int(hits["rank"].max())
    figure = NewFigure(figsize=(2.1 * (width + 1), 2.9 * len(smiles) + 0.5), layout="constrained")
    grid = figure.add_gridspec(2 * len(smiles), width + 1, height_ratios=[5, 1] * len(smiles))
    for query, text in enumerate(smiles):
        panel = figure.add_subplot(grid[2 * query, 0])
        _draw_structure(panel, text)
        panel.set_title(f"Query\n{names[query] if names is not None else ''}", fontsize=9)
        own = hits[hits["query"] == query]
        for rank, row, similarity in zip(
            own["rank"].tolist(), own["index"].tolist(), own["similarity"].tolist(), strict=True
        ):
            found = structures.iloc[row]
            right = molecule_key([found])[0] == asked[query]
            panel = figure.add_subplot(grid[2 * query, rank])
            _draw_structure(panel, found)
            _frame(panel, RIGHT if right else WRONG, 2.5 if right else 0.8)
            plate, well = database.iloc[row][where]
            verdict = "right molecule" if right else "other molecule"
            panel.set_title(
                f"{rank}. {verdict}\n{plate} {well}   cos {similarity:.2f}",
                fontsize=8,
                color=RIGHT if right else "black",
            )
            strip = figure.add_subplot(grid[2 * query + 1, rank])
            _draw_profile(strip, database.iloc[row][features].to_numpy(dtype=np.float64))
    figure.suptitle(title, fontsize=10)
    return figure


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


def _draw_structure(panel: Axes, smiles: str) -> None:
    from matplotlib.image import imread

    drawing = rdMolDraw2D.MolDraw2DCairo(360, 300)
    drawing.drawOptions().padding = 0.08  # type: ignore[assignment]
    rdMolDraw2D.PrepareAndDrawMolecule(drawing, Chem.MolFromSmiles(smiles))
    drawing.FinishDrawing()
    panel.imshow(imread(io.BytesIO(drawing.GetDrawingText())))
    _frame(panel, "none", 0)


def _draw_profile(panel: Axes, values: np.ndarray) -> None:
    panel.imshow(values[None, :], aspect="auto", cmap="PuOr", vmin=-SHOWN, vmax=SHOWN)
    _frame(panel, WRONG, 0.5)


def _frame(panel: Axes, colour: str, width: float) -> None:
    panel.set_xticks([])
    panel.set_yticks([])
    for edge in panel.spines.values():
        edge.set_color(colour)
        edge.set_linewidth(width)
