"""From rows of a table to the distinct sites they show."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import row_name
from cloome_sk.encoders._image_columns import (
    ORDER,
    PURPOSE,
    ImageColumns,
    by_channel,
    stated_orders,
)
from cloome_sk.imaging import ImageError
from cloome_sk.imaging.sources import SiteSources

LISTED = 12
ILLUMINATION = "Illum_"


@dataclass(frozen=True)
class SiteRows:
    """Distinct sites, and which of them each row shows.

    Attributes
    ----------
    sources : SiteSources
        Each distinct site once.
    index : ndarray of intp, shape (n_rows,)
        The site of each row, or -1 where a cell is empty.
    empty : dict of int to str
        Rows with an empty cell, and what is lacking.
    """

    sources: SiteSources
    index: np.ndarray
    empty: dict[int, str]

    def take(self, sites: np.ndarray) -> SiteRows:
        """Give some of the sites alone, without the rows that show them."""
        return SiteRows(self.sources.take(sites), self.index[:0], {})

    def usable_index(self, failed: dict[int, str]) -> np.ndarray:
        """The site of each row, or -1 where it has none that could be read."""
        if not failed:
            return self.index
        return np.where(np.isin(self.index, list(failed)), -1, self.index)

    def problems(self, rows: np.ndarray, failed: dict[int, str]) -> dict[int, str]:
        """Rows of the table without a usable image, and why."""
        lost = {
            int(rows[place]): failed[int(self.index[place])]
            for place in np.flatnonzero(np.isin(self.index, list(failed)))
        }
        return dict(sorted({**self.empty, **lost}.items()))

    def each(
        self,
        table: pd.DataFrame,
        read: Callable[[SiteSources, int], Any],
        on_error: str,
        failed: dict[int, str] | None = None,
    ) -> Iterator[Any]:
        """Read the sites one by one, in the order of the table, and note which rows failed."""
        for site in range(len(self.sources)):
            try:
                yield read(self.sources, site)
            except ImageError as error:
                if on_error == "raise":
                    row = row_name(table, int(self.sources.rows[site]))
                    raise ImageError(error.path, f"{error.reason} ({row})") from error
                if failed is not None:
                    failed[int(self.sources.rows[site])] = str(error)


def illumination_columns(table: pd.DataFrame, channels: tuple[str, ...]) -> list[Hashable]:
    """Columns of illumination functions by the channels they name; none, or one a channel."""
    there = [name for name in table.columns if str(name).startswith(ILLUMINATION)]
    by_name = by_channel(table, there, prefix=ILLUMINATION)
    absent = [f"{ILLUMINATION}{channel}" for channel in channels if channel not in by_name]
    if absent and len(absent) < len(channels):
        raise ValueError(
            f"{PURPOSE}: the table has illumination functions of some channels, but no column "
            f"{', '.join(absent)}. Add them, or set illumination=None to correct none."
        )
    return [] if absent else [by_name[channel] for channel in channels]


def site_rows(
    table: pd.DataFrame,
    columns: ImageColumns,
    rows: np.ndarray,
    *,
    illumination: list[Hashable],
    limits: np.ndarray | None = None,
    plates: np.ndarray | None = None,
) -> SiteRows:
    """Give the distinct sites of some rows.

    Parameters
    ----------
    table : DataFrame
        The user's table.
    columns : ImageColumns
        Where its images are.
    rows : ndarray of intp
        Positions of the rows.
    illumination : list of hashable
        Columns of illumination functions, one a channel; or empty.
    limits : ndarray of float64, shape (n_rows, n_channels, 2), optional
        Limits of the plate of each of the rows.
    plates : ndarray, shape (n_rows,), optional
        The plate of each of the rows, where one image on two plates becomes two sites.

    Returns
    -------
    SiteRows
        In the order in which they first appear.
    """
    columns = columns.in_table(table)
    names = [*columns.names, *illumination]
    cells = [_cells(table, name, rows) for name in names]
    empty = _empty_cells(rows, names, cells)
    keys = [] if plates is None else [plates]
    filled = np.array([row not in empty for row in rows.tolist()], dtype=bool)
    orders = None
    if columns.stacked and ORDER in table.columns:
        orders = np.full(len(rows), None, dtype=object)
        orders[filled] = stated_orders(table, rows[filled])
        keys.append(orders)
    first, codes = _distinct([column[filled] for column in (*cells, *keys)])
    index = np.full(len(rows), -1, dtype=np.intp)
    index[filled] = codes
    sites = np.flatnonzero(filled)[first]
    n_images = len(cells) - len(illumination)
    absolute = [_absolute(column[sites]) for column in cells]
    sources = SiteSources(
        channels=columns.channels,
        images=tuple(absolute[:n_images]),
        stacked=columns.stacked,
        orders=None if orders is None else orders[sites],
        order=columns.order,
        illumination=tuple(absolute[n_images:]) or None,
        limits=None if limits is None else limits[sites],
        rows=rows[sites],
    )
    return SiteRows(sources, index, empty)


def _cells(table: pd.DataFrame, name: Hashable, rows: np.ndarray) -> np.ndarray:
    """Cells of a column, which are paths, arrays or empty."""
    cells = table[name].to_numpy(dtype=object)[rows]
    for place in np.flatnonzero(~pd.isna(cells)).tolist():
        if not isinstance(cells[place], (str, PathLike, np.ndarray)):
            raise TypeError(
                f"{PURPOSE}: {row_name(table, int(rows[place]))}, column {name!r}: an image is a "
                f"path or an array, and this is {type(cells[place]).__name__}."
            )
    return cells


def _absolute(cells: np.ndarray) -> np.ndarray:
    """Paths that mean the same in a process that stands in another folder."""
    here = os.getcwd()
    out = np.empty(len(cells), dtype=object)
    for place, cell in enumerate(cells.tolist()):
        # Joining leaves a path that is absolute as it is.
        out[place] = cell if isinstance(cell, np.ndarray) else os.path.join(here, cell)
    return out


def refuse_empty(table: pd.DataFrame, empty: dict[int, str]) -> None:
    """Name the rows that lack an image."""
    listed = "; ".join(
        f"{row_name(table, row)}: {what}" for row, what in list(empty.items())[:LISTED]
    )
    raise ValueError(
        f"{PURPOSE}: {len(empty)} row(s) lack an image: {listed}"
        f"{'; ...' if len(empty) > LISTED else ''}. Drop these rows, or set on_error='skip'."
    )


def warn_skipped(table: pd.DataFrame, problems: dict[int, str], what: str) -> None:
    """Name the rows whose images are skipped, and what that means for them."""
    if not problems:
        return
    listed = "; ".join(
        f"{row_name(table, row)}: {reason}" for row, reason in list(problems.items())[:LISTED]
    )
    warnings.warn(
        f"{PURPOSE}: the images of {len(problems)} of {len(table)} row(s) cannot be read and are "
        f"{what}: {listed}{'; ...' if len(problems) > LISTED else ''}.",
        stacklevel=3,
    )


def _empty_cells(
    rows: np.ndarray, names: list[Hashable], cells: list[np.ndarray]
) -> dict[int, str]:
    empty: dict[int, str] = {}
    for name, column in zip(names, cells, strict=True):
        for place in np.flatnonzero(_is_empty(column)).tolist():
            empty.setdefault(int(rows[place]), f"column {name!r} is empty")
    return dict(sorted(empty.items()))


def _is_empty(column: np.ndarray) -> np.ndarray:
    return np.asarray(pd.isna(column), dtype=bool) | np.array(
        [isinstance(cell, str) and not cell.strip() for cell in column.tolist()], dtype=bool
    )


def _distinct(cells: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Where each distinct combination first stands, and the combination of each row."""
    everyone = np.arange(len(cells[0]))
    # An array is itself alone; its text would be the same for all that look alike at the rim.
    texts = [
        pd.Series(
            [f"array {id(c)}" if isinstance(c, np.ndarray) else str(c) for c in column.tolist()],
            dtype=object,
        )
        for column in cells
    ]
    # A file seldom serves two sites, and then nothing needs comparing.
    if any(column.is_unique for column in texts):
        return everyone, everyone
    codes, distinct = pd.MultiIndex.from_arrays(texts).factorize()
    first = np.full(len(distinct), len(everyone), dtype=np.intp)
    np.minimum.at(first, codes, everyone)
    return first, codes


def namer(table: pd.DataFrame) -> Callable[[int], str]:
    """Make a function that names rows of a table in messages."""

    def name(row: int) -> str:
        return row_name(table, row)

    return name


def check_table(X: Any) -> pd.DataFrame:
    """Refuse anything but a table with named columns."""
    if not isinstance(X, pd.DataFrame):
        raise TypeError(
            f"{PURPOSE}: images come in the columns of a pandas DataFrame, paths or arrays; got "
            f"{type(X).__name__}."
        )
    return X
