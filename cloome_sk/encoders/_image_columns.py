"""Which columns of a table hold images, and of which channels."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import image_columns, metadata_columns, named_positions, row_name, shown
from cloome_sk.imaging import CELL_PAINTING, Channels, ImageError, channel_name, stored_channels

PURPOSE = "Images"
"""How messages begin: not only the encoder reads these columns."""
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
    order: tuple[str, ...] | None

    def names_in(self, table: pd.DataFrame) -> tuple[Hashable, ...]:
        """Find the columns in another table: by their names, else by the channels these mean."""
        if self.stacked:
            if self.names[0] in table.columns:
                return self.names
            raise ValueError(
                f"{PURPOSE}: the column {self.names[0]!r} of image stacks is missing from the "
                f"table. Columns seen: {shown(metadata_columns(table))}."
            )
        if all(name in table.columns for name in self.names):
            return self.names
        there = by_channel(table, image_columns(table))
        places = Channels(self.channels).positions_in(there, purpose=PURPOSE)
        columns = list(there.values())
        return tuple(columns[place] for place in places)

    def orders_in(self, table: pd.DataFrame) -> np.ndarray | None:
        """Channels in the stack of each row; None where the files have to say."""
        if not self.stacked:
            return None
        if ORDER in table.columns:
            return _stated_orders(table)
        if self.order is None:
            return None
        orders = np.empty(len(table), dtype=object)
        orders[:] = [self.order] * len(table)
        return orders


def choose_columns(
    table: pd.DataFrame, columns: Any, channels: Sequence[str] | None
) -> ImageColumns:
    """Find image columns and channels, as the parameters of the encoder ask for."""
    wanted = None if channels is None else Channels(channels)
    given = _given(table, columns)
    if isinstance(given, str):
        return _stack(table, given, wanted)
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


def _stack(table: pd.DataFrame, name: str, wanted: Channels | None) -> ImageColumns:
    if ORDER in table.columns:
        chosen = wanted.names if wanted is not None else _usual_order(_stated_orders(table)[0])
        for order in set(_stated_orders(table)):
            Channels(chosen).positions_in(order, purpose=f"{PURPOSE}, column {ORDER}")
        return ImageColumns(chosen, (name,), True, None)
    first = table[name].iloc[0]
    stated = None if isinstance(first, np.ndarray) or pd.isna(first) else _in_file(first)
    if stated is not None:
        chosen = wanted.names if wanted is not None else _usual_order(Channels(stated).names)
        return ImageColumns(chosen, (name,), True, None)
    if wanted is None:
        raise ValueError(
            f"{PURPOSE}: nothing says which channel is which in the stacks of column {name!r}. "
            f"Add a column {ORDER} such as 'DNA{SEPARATOR}ER{SEPARATOR}RNA', or name the "
            "channels in the order of the stacks: channels=[...]."
        )
    return ImageColumns(wanted.names, (name,), True, wanted.names)


def _in_file(path: Any) -> tuple[str, ...] | None:
    try:
        return stored_channels(path)
    except ImageError:
        return None  # reading it will say what is wrong, and with which row


def _stated_orders(table: pd.DataFrame) -> np.ndarray:
    """Canonical channels of each row, by its text in the column of orders."""
    texts = table[ORDER]
    missing = np.flatnonzero(texts.isna().to_numpy(dtype=bool))
    if len(missing):
        raise ValueError(
            f"{PURPOSE}: column {ORDER} is empty in {len(missing)} row(s), first "
            f"{row_name(table, int(missing[0]))}: it must name the channels of the stack, such as "
            f"'DNA{SEPARATOR}ER{SEPARATOR}RNA'."
        )
    codes, distinct = pd.factorize(texts)
    orders = np.empty(len(distinct), dtype=object)
    orders[:] = [Channels(str(text).split(SEPARATOR)).names for text in distinct]
    return orders[codes]
