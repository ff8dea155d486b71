"""What is in the wells, beside the images of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from cloome_sk._tables import METADATA_PREFIX, match_column, row_name, shown
from cloome_sk.datasets import _sites as sites
from cloome_sk.datasets._text_tables import Source, read_table

_PURPOSE = "join_metadata"
# What plate maps call the plate and the well, besides that.
_PLATES = ("plate", "plate_id", "plate_barcode", "assay_plate_barcode", "barcode")
_WELLS = ("well", "well_position", "well_id", "well_name", "cpd_well_position")


def join_metadata(
    table: pd.DataFrame,
    platemap: Source,
    *,
    on: str | Sequence[str] | Mapping[str, str] | None = None,
    unmapped: Literal["raise", "keep", "drop"] = "raise",
    unimaged: Literal["raise", "ignore"] = "raise",
) -> pd.DataFrame:
    """Add to each row of a site table what the plate map says of its well.

    Parameters
    ----------
    table : DataFrame
        A site table, as `read_load_data` or `scan_images` makes it; any table with a well column.
    platemap : path-like or DataFrame
        One row per well: csv, tsv or txt, also with ``.gz``, or parquet; or the table itself. A
        column for the row and one for the column of the plate will do in place of a well.
    on : str, sequence of str, or mapping, optional
        Columns to join on, in any case and with or without ``Metadata_``; a mapping gives the
        column of `platemap` for each of `table`. ``None`` joins on plate and well if both tables
        have a plate, else on the well: one layout for all plates. The plate map's columns may then
        also be named ``Assay_Plate_Barcode``, ``well_position`` and the like. Wells are compared
        by place (``A1`` is ``a01``), all else as text.
    unmapped : {"raise", "keep", "drop"}, default="raise"
        What to do with rows of `table` that the plate map does not know: an error that names their
        wells, keep them with missing values, or leave them out with a warning that names them.
    unimaged : {"raise", "ignore"}, default="raise"
        What to do about wells of the plate map that `table` has no row of: an error that names
        them, or nothing.

    Returns
    -------
    DataFrame
        The rows of `table` in their order, with its index and columns, and the other columns of
        the plate map, each with ``Metadata_`` in front.

    Raises
    ------
    FileNotFoundError
        If the plate map is not there.
    ValueError
        If a column to join on is missing, holds missing values or names that are no wells; if the
        plate map has two rows of one well; if both tables have another column of one name; or for
        wells that only one of them has.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.datasets import join_metadata
    >>> table = pd.DataFrame({
    ...     "Metadata_Plate": ["P1", "P1", "P1"], "Metadata_Well": ["A01", "A01", "A02"],
    ...     "Metadata_Site": [1, 2, 1],
    ... })
    >>> platemap = pd.DataFrame({"well_position": ["A1", "A2"], "smiles": ["CCO", "CS(C)=O"]})
    >>> join_metadata(table, platemap)["Metadata_smiles"].tolist()
    ['CCO', 'CCO', 'CS(C)=O']
    """
    sites.check_choice(_PURPOSE, "unmapped", unmapped, ("raise", "keep", "drop"))
    sites.check_choice(_PURPOSE, "unimaged", unimaged, ("raise", "ignore"))
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"{_PURPOSE} takes a pandas DataFrame, got {type(table).__name__}.")
    layout, label, _ = read_table(platemap, purpose=_PURPOSE)
    label = label if label != "the table" else "the plate map"
    here, there = _join_columns(table, layout, on, label)
    ours = [_key(table, name, "the table") for name in here]
    theirs = [_key(layout, name, label) for name in there]
    codes, known = _common_codes([k.values for k in ours], [k.values for k in theirs])
    _refuse_doubles(layout, known, theirs, label)

    used = {column for key in theirs for column in key.columns}
    added = layout[[column for column in layout.columns if column not in used]]
    added = added.rename(columns=_prefixed)
    _refuse_clashes(table, added, label)
    source = pd.Index(known).get_indexer(pd.Index(codes))

    absent = source < 0
    idle = ~np.isin(known, codes)
    said = [
        _said(absent, ours, f"rows of the table are of a well that {label} does not have"),
        _said(idle, theirs, f"rows of {label} are of a well that the table does not have"),
    ]
    refused = [
        said[0] if unmapped == "raise" or (unmapped == "drop" and absent.all()) else "",
        said[1] if unimaged == "raise" else "",
    ]
    if any(refused):
        raise ValueError(
            f"{_PURPOSE}, on {' and '.join(key.name for key in ours)}: "
            f"{' '.join(filter(None, refused))} The table has {_examples(ours)}; {label} has "
            f"{_examples(theirs)}. {_advice(*refused)}"
        )
    if unmapped == "drop" and absent.any():
        warnings.warn(f"{_PURPOSE}: left out: {said[0]}", UserWarning, stacklevel=2)
        table, source = table[~absent], source[~absent]
    # Row -1 is not in the plate map: its values are missing.
    added = added.reset_index(drop=True).reindex(source)
    added.index = table.index
    return sites.side_by_side([table, added], purpose=_PURPOSE)


class _Key(NamedTuple):
    """A column to join on."""

    name: str
    values: np.ndarray
    columns: list[Hashable]


def _plain(name: Hashable) -> str:
    return str(name).lower().removeprefix(METADATA_PREFIX)


def _prefixed(name: Hashable) -> str:
    prefix = "Metadata_"
    return str(name) if str(name).startswith(prefix) else prefix + str(name)


def _join_columns(
    table: pd.DataFrame,
    layout: pd.DataFrame,
    on: str | Sequence[str] | Mapping[str, str] | None,
    label: str,
) -> tuple[list[str], list[str]]:
    """Names of the columns to join on, in the table and in the plate map."""
    if isinstance(on, str):
        on = [on]
    if isinstance(on, Mapping):
        return list(on.keys()), list(on.values())
    if on is not None:
        if not on:
            raise ValueError(f"{_PURPOSE}: on= names no column.")
        return list(on), list(on)
    well = _first(layout, _WELLS) or "well"
    plate = _first(layout, _PLATES)
    if plate is None or sites.optional_column(table, "plate", purpose=_PURPOSE) is None:
        return ["well"], [well]
    return ["plate", "well"], [plate, well]


def _first(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The first name that the table has a column of."""
    seen = {_plain(column) for column in table.columns}
    return next((name for name in names if name in seen), None)


def _key(table: pd.DataFrame, name: str, label: str) -> _Key:
    purpose = f"{_PURPOSE}: {label}"
    if _plain(name) not in _WELLS:
        column = match_column(table, name, purpose=purpose)
        values = stands = sites.as_text(table[column])
        columns = [column]
    else:
        values, stands, columns = sites.find_wells(table, name, purpose=purpose)
    bad = np.flatnonzero(pd.isna(values))
    if len(bad):
        listed = (
            f"{row_name(table, row)}: {stands[row]!r}" for row in map(int, bad[: sites.LISTED])
        )
        raise ValueError(
            f"{purpose}: {len(bad)} row(s) have no {name} to join on ({'; '.join(listed)}"
            f"{'; ...' if len(bad) > sites.LISTED else ''}). Wells are written as 'A01', up to "
            "'AF48'; remove rows that stand for no well."
        )
    return _Key(name, values, columns)


def _common_codes(
    ours: list[np.ndarray], theirs: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """One number for each combination of values, the same in both tables."""
    n = len(ours[0])
    both = {
        str(i): pd.factorize(np.concatenate(pair))[0]
        for i, pair in enumerate(zip(ours, theirs, strict=True))
    }
    codes = pd.DataFrame(both).groupby(list(both), sort=False).ngroup().to_numpy()
    return codes[:n], codes[n:]


def _named(keys: Sequence[_Key]) -> Callable[[int], str]:
    return lambda row: " ".join(str(key.values[row]) for key in keys)


def _refuse_doubles(
    layout: pd.DataFrame, known: np.ndarray, theirs: Sequence[_Key], label: str
) -> None:
    doubled = np.flatnonzero(pd.Series(known).duplicated(keep=False))
    if not len(doubled):
        return
    name = _named(theirs)
    listed = shown([f"{name(row)} ({row_name(layout, row)})" for row in map(int, doubled)])
    others = [column for column in layout.columns if not any(column in k.columns for k in theirs)]
    raise ValueError(
        f"{_PURPOSE}: {len(doubled)} rows of {label} are of a "
        f"{'/'.join(key.name for key in theirs)} that it has more than once: {listed}. Remove "
        f"repeats, or name in on= what tells them apart; its other columns are {shown(others)}."
    )


def _refuse_clashes(table: pd.DataFrame, added: pd.DataFrame, label: str) -> None:
    ours = {_plain(column): column for column in table.columns}
    clashing = [column for column in added.columns if _plain(column) in ours]
    if clashing:
        raise ValueError(
            f"{_PURPOSE}: the column(s) {shown(ours[_plain(column)] for column in clashing)} of "
            f"the table are in {label} too. Join on them (on=), or rename or drop them in one."
        )


def _said(absent: np.ndarray, keys: Sequence[_Key], what: str) -> str:
    """Which wells only one of the tables has, empty if none."""
    if not absent.any():
        return ""
    wells = dict.fromkeys(map(_named(keys), map(int, np.flatnonzero(absent))))
    return f"{int(absent.sum())} of {len(absent)} {what}: {shown(wells, sites.LISTED)}."


def _examples(keys: Sequence[_Key]) -> str:
    rows = range(min(len(keys[0].values), 1000))
    return shown(dict.fromkeys(map(_named(keys), rows)), 3)


def _advice(unmapped: str, unimaged: str) -> str:
    advice = []
    if unmapped:
        advice.append("unmapped='keep' leaves values missing, 'drop' leaves rows out.")
    if unimaged:
        advice.append("unimaged='ignore' is for wells that were not imaged.")
    return " ".join(advice)
