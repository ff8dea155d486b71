"""What a picture of hits draws of each query and of each hit, by what asked and what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cloome_sk._tables import METADATA_PREFIX, image_columns, match_column, profile_columns
from cloome_sk.molecules import as_smiles
from cloome_sk.report._panels import draw_pixels, draw_profile, draw_structure
from cloome_sk.report._site_pictures import PURPOSE, Colours, SitePictures, site_pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Draw = Callable[[Axes, int], None]

WIDTH, INSIDE = 2.1, 2.0
"""Inches from panel to panel, and of a panel alone."""

FLAT = 0.6
"""Height over width of a structure under the pixels of its site."""


@dataclass(frozen=True)
class Page:
    """The panels of a picture of hits.

    Attributes
    ----------
    query, hit : tuple of callable
        What draws the panels of a query, side by side, and of a hit, one above the other; each is
        called with the panel and the number of the query or the row of the hit.
    heights : tuple of float
        Inches of the panels of a hit, without what is written over them.
    asked, found : ndarray of object
        SMILES of the queries and of all rows of the database; None where there is none.
    names : list of str
        What to call the queries where the user does not.
    place : callable
        From the row of a hit to its plate and well, or nothing.
    pictures : SitePictures or None
        The sites that are drawn as pixels.
    note : str
        What else the small print has to say.
    """

    query: tuple[Draw, ...]
    hit: tuple[Draw, ...]
    heights: tuple[float, ...]
    asked: np.ndarray
    found: np.ndarray
    names: list[str]
    place: Callable[[int], str]
    pictures: SitePictures | None = None
    note: str = ""


def asks_by_image(queries: Any) -> bool:
    """Whether queries are rows of a table of images."""
    return isinstance(queries, pd.DataFrame) and bool(image_columns(queries))


def page_of_sites(
    asked: np.ndarray,
    database: Any,
    rows: np.ndarray,
    channels: Sequence[str] | None,
    colours: Colours | None,
) -> Page:
    """Molecules asked and found rows of a table: pixels over structures, or these over profiles."""
    if not isinstance(database, pd.DataFrame):
        raise TypeError(
            f"{PURPOSE}: molecules find the rows of a table of images or profiles (a pandas "
            f"DataFrame); the database is {type(database).__name__}."
        )
    images, features = image_columns(database), profile_columns(database)
    if not images and not features:
        raise ValueError(
            "The database has no CellProfiler-named feature columns and no image columns to draw."
        )
    found = smiles_of(database, required=True)
    names = [""] * len(asked)
    if not images:
        profile = _profile(database, features)
        query, hit = _structure(asked), (_structure(found), profile)
        place = _wells(database)
        return Page((query,), hit, (1.75, 0.35), asked, found, names, place)
    pictures = site_pictures(database, rows, channels, colours)
    return Page(
        (_structure(asked, pictures.aspect),),
        (_pixels(pictures), _structure(found, FLAT)),
        (INSIDE * pictures.aspect, INSIDE * FLAT),
        asked,
        found,
        names,
        _sites(database),
        pictures,
        "The table has profiles too, which are not drawn." if features else "",
    )


def page_of_molecules(
    asked: np.ndarray,
    queries: pd.DataFrame,
    database: Any,
    channels: Sequence[str] | None,
    colours: Colours | None,
) -> Page:
    """Images asked and found molecules: structures, beside the pixels of the query."""
    pictures = site_pictures(queries, np.arange(len(queries)), channels, colours)
    found = smiles_of(database, required=True)
    place = _sites(queries)
    known = any(smiles is not None for smiles in asked)
    pixels = _pixels(pictures)
    return Page(
        (pixels, _structure(asked, pictures.aspect)) if known else (pixels,),
        (_structure(found, pictures.aspect),),
        (INSIDE * pictures.aspect,),
        asked,
        found,
        [place(row) for row in range(len(queries))],
        lambda row: "",
        pictures,
        "" if known else "The queries come without SMILES, so no hit is called right or other.",
    )


def smiles_of(molecules: Any, *, required: bool) -> np.ndarray:
    """SMILES of a list, or of the column of a table; None where there is none.

    A table need not have that column unless it is required.
    """
    if not isinstance(molecules, pd.DataFrame):
        return as_smiles(molecules)
    if not required and not _has(molecules, "smiles"):
        return np.full(len(molecules), None, dtype=object)
    return as_smiles(molecules[match_column(molecules, "smiles", purpose=PURPOSE)])


def _has(table: pd.DataFrame, name: str) -> bool:
    return any(str(column).lower().removeprefix(METADATA_PREFIX) == name for column in table)


def _wells(table: pd.DataFrame) -> Callable[[int], str]:
    """Plate and well of a row in words."""
    plate, well = (
        table[match_column(table, part, purpose=PURPOSE)].to_numpy(dtype=object)
        for part in ("plate", "well")
    )
    return lambda row: f"{plate[row]} {well[row]}"


def _sites(table: pd.DataFrame) -> Callable[[int], str]:
    """Plate, well and site of a row in words, as far as the table has them."""
    parts = [
        (sign, table[match_column(table, part, purpose=PURPOSE)].to_numpy(dtype=object))
        for part, sign in (("plate", ""), ("well", ""), ("site", "s"))
        if _has(table, part)
    ]
    return lambda row: " ".join(f"{sign}{column[row]}" for sign, column in parts)


def _structure(smiles: np.ndarray, aspect: float = 5 / 6) -> Draw:
    return lambda panel, row: draw_structure(panel, smiles[row], aspect)


def _profile(table: pd.DataFrame, features: list[Any]) -> Draw:
    return lambda panel, row: draw_profile(
        panel, table.iloc[row][features].to_numpy(dtype=np.float64)
    )


def _pixels(pictures: SitePictures) -> Draw:
    return lambda panel, row: draw_pixels(panel, pictures.of_row[row])
