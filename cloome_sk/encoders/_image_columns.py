"""Which columns of a table hold images, and of which channels."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import image_columns as text_columns
from cloome_sk._tables import metadata_columns, named_positions, row_name, shown
from cloome_sk.imaging import CELL_PAINTING, Channels, ImageError, channel_name, stored_channels

PURPOSE = "Images"
"""How messages begin: not only the encoder reads these columns."""
PROBED = 16
"""Stacks that are asked for their channels, where the first of them say nothing."""
STACK = "Image"
ORDER = "Metadata_Channels"
SEPARATOR = "|"


@dataclass(frozen=True)
class ImageColumns:
    """The image columns an encoder was fitted on.

    Attributes
    ----------
    channels : tuple of str
        Channels in the order the network takes them.
    names : tuple of hashable
        The column of each channel; or the one column of stacks.
    stacked : bool
        Whether there is one column of stacks.
    order : tuple of str or None
        Channels of a stack as the user gave them, for stacks that nothing else describes.
    """

    channels: tuple[str, ...]
    names: tuple[Hashable, ...]
    stacked: bool
    order: tuple[str, ...] | None = None

    def in_table(self, table: pd.DataFrame) -> ImageColumns:
        """Find the channels in another table: by these columns, other names, or in stacks."""
        if all(name in table.columns for name in self.names):
            named_positions(table, self.names, purpose=PURPOSE)
            return self
        there = by_channel(table, [name for name in image_columns(table) if name != STACK])
        if STACK in table.columns and not set(self.channels) <= set(there):
            return ImageColumns(self.channels, (STACK,), True, self.order)
        if not there:
            raise ValueError(
                f"{PURPOSE}: the table has no image columns; the model takes "
                f"{shown(self.channels)}, in columns such as {STACK}_{self.channels[0]}. Columns "
                f"seen: {shown(metadata_columns(table))}."
            )
        places = Channels(self.channels).positions_in(there, purpose=PURPOSE)
        columns = list(there.values())
        return ImageColumns(self.channels, tuple(columns[place] for place in places), False)


def image_columns(table: pd.DataFrame) -> list[Hashable]:
    """The columns of images, those of a known channel that are empty altogether included."""
    found = set(text_columns(table))
    for name in table.columns:
        suffix = str(name).removeprefix(f"{STACK}_")
        if suffix != str(name) and channel_name(suffix) in CELL_PAINTING:
            column = table[name]
            if isinstance(column, pd.Series) and len(table) and column.isna().all():
                found.add(name)
    return [name for name in table.columns if name in found]


def choose_columns(
    table: pd.DataFrame,
    columns: Any,
    channels: Sequence[str] | None,
    rows: np.ndarray | None = None,
    *,
    as_stacked: bool = True,
) -> ImageColumns:
    """Find image columns and channels, as the parameters of the encoder ask for.

    Where `as_stacked`, the channels that are asked for are also the order of stacks that nothing
    else describes.
    """
    rows = np.arange(len(table)) if rows is None else rows
    if not len(rows):
        raise ValueError(f"{PURPOSE}: the table has no rows.")
    wanted = None if channels is None else Channels(channels)
    given = _given(table, columns)
    if isinstance(given, str):
        return _stack(table, rows, given, wanted, as_stacked)
    named = by_channel(table, given) if not isinstance(given, Mapping) else _renamed(given)
    if wanted is not None:
        wanted.positions_in(named, purpose=PURPOSE)
    chosen = _usual_order(named) if wanted is None else wanted.names
    return ImageColumns(chosen, tuple(named[name] for name in chosen), False, None)


def _usual_order(channels: Iterable[str]) -> tuple[str, ...]:
    """The channels of Cell Painting in their usual order, then others as they come."""
    there = list(channels)
    usual = [name for name in CELL_PAINTING if name in there]
    return tuple(usual + [name for name in there if name not in usual])


def _given(table: pd.DataFrame, columns: Any) -> Any:
    """Names of columns, a mapping from channels to them, or the name of the column of stacks."""
    if isinstance(columns, Mapping):
        named_positions(table, list(columns.values()), purpose=PURPOSE)
        return columns
    if columns is not None:
        if not isinstance(columns, (str, list, tuple)) or not len(columns):
            raise TypeError(
                f"{PURPOSE}: columns= takes the name of the column of stacks, a list of the "
                f"columns of the channels, or a mapping from channels to columns; got {columns!r}."
            )
        names = [columns] if isinstance(columns, str) else list(columns)
        named_positions(table, names, purpose=PURPOSE)
        one_channel = len(names) == 1 and str(names[0]).startswith(f"{STACK}_")
        return names[0] if len(names) == 1 and not one_channel else names
    found = image_columns(table)
    if STACK in found and len(found) > 1:
        raise ValueError(
            f"{PURPOSE}: the table has stacks in the column {STACK!r} and single channels in "
            f"{shown([name for name in found if name != STACK])}: say which to take by columns=."
        )
    if found == [STACK]:
        return STACK
    if found:
        return found
    raw = [name for name in table.columns if str(name).startswith(("FileName_", "URL_"))]
    raise ValueError(
        f"{PURPOSE}: the table has no image columns. It takes paths or arrays in a column "
        "Image_<channel> for each channel, or stacks in one column Image. "
        + (
            f"This looks like a load_data table ({shown(raw, 3)}): read it with "
            "cloome_sk.datasets.read_load_data."
            if raw
            else f"Columns seen: {shown(metadata_columns(table))}."
        )
    )


def by_channel(
    table: pd.DataFrame, names: Sequence[Hashable], prefix: str = f"{STACK}_"
) -> dict[str, Hashable]:
    """Channels by what the columns are called; an error where two columns are one channel."""
    channels: dict[str, Hashable] = {}
    for name in names:
        channel = channel_name(str(name).removeprefix(prefix))
        if channel in channels:
            raise ValueError(
                f"{PURPOSE}: the columns {channels[channel]!r} and {name!r} both mean channel "
                f"{channel}. Drop one, or say which to take by columns={{channel: column}}."
            )
        channels[channel] = name
    return channels


def _renamed(given: Mapping[str, Hashable]) -> dict[str, Hashable]:
    return dict(zip(Channels(given).names, given.values(), strict=True))


def _stack(
    table: pd.DataFrame,
    rows: np.ndarray,
    name: str,
    wanted: Channels | None,
    as_stacked: bool,
) -> ImageColumns:
    rows = rows[table[name].notna().to_numpy(dtype=bool)[rows]]
    stated: list[tuple[str, ...]] = []
    if ORDER in table.columns:
        stated = [order for order in stated_orders(table, rows) if order is not None]
    if stated:
        chosen = wanted.names if wanted is not None else _usual_order(stated[0])
        for order in set(stated):
            Channels(chosen).positions_in(order, purpose=f"{PURPOSE}, column {ORDER}")
        return ImageColumns(chosen, (name,), True)
    if wanted is not None and as_stacked:
        return ImageColumns(wanted.names, (name,), True, wanted.names)
    for cell in table[name].iloc[rows[:PROBED]].tolist():
        own = _in_file(cell)
        if own is not None:
            chosen = _usual_order(Channels(own).names) if wanted is None else wanted.names
            return ImageColumns(chosen, (name,), True)
    advice = ", or name the channels in the order of the stacks: channels=[...]"
    raise ValueError(
        f"{PURPOSE}: nothing says which channel is which in the stacks of column {name!r}. Add a "
        f"column {ORDER} such as 'DNA{SEPARATOR}ER{SEPARATOR}RNA'{advice if as_stacked else ''}."
    )


def _in_file(cell: Any) -> tuple[str, ...] | None:
    """Channels that a file states itself; None for any other cell, or a file that is broken."""
    if not isinstance(cell, (str, PathLike)):
        return None
    try:
        return stored_channels(cell)
    except ImageError:
        return None  # another may say it, and reading this one will tell what is wrong with it


def stated_orders(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Canonical channels of the stacks of some rows, by the column that says them; else None."""
    codes, distinct = pd.factorize(table[ORDER].iloc[rows])
    orders = np.empty(len(distinct) + 1, dtype=object)
    for place, text in enumerate(distinct):
        try:
            orders[place] = Channels(str(text).split(SEPARATOR)).names
        except ValueError as error:
            row = int(rows[np.argmax(codes == place)])
            raise ValueError(
                f"{PURPOSE}: {row_name(table, row)}, column {ORDER}: {str(text)!r} does not name "
                f"the channels of a stack, such as 'DNA{SEPARATOR}ER': {error}"
            ) from error
    return orders[codes]  # -1, for a missing text, is the last entry: None
