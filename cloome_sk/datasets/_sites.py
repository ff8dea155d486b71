"""What the readers of site tables share: one summary of bad rows, and names of wells and sites."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from cloome_sk._tables import METADATA_PREFIX, match_column, shown

IMAGE = "Image_"
ILLUMINATION = "Illum_"
PLATE, WELL, SITE = "Metadata_Plate", "Metadata_Well", "Metadata_Site"
LISTED = 12
"""How many rows of a kind a summary names; the rest is counted."""

OnError = Literal["raise", "skip"]

# 1536-well plates end at AF48.
_WELL = re.compile(r"([A-Za-z]|[Aa][A-Fa-f])[-_ ]?0*([1-9]|[1-3][0-9]|4[0-8])")


class Problems:
    """What is wrong with the rows of a table, gathered to be said at once.

    Parameters
    ----------
    purpose : str
        The function that speaks, and of what: the beginning of the message.
    n_rows : int
        How many rows there are.
    name : callable
        The name of a row for the message, from its position.
    noun : str
        What a row is.
    """

    def __init__(
        self, purpose: str, n_rows: int, name: Callable[[int], str], *, noun: str = "row"
    ) -> None:
        self.purpose = purpose
        self.noun = noun
        self._name = name
        self._bad = np.zeros(n_rows, dtype=bool)
        self._named = np.zeros(n_rows, dtype=bool)
        self._lines: list[str] = []
        self._advice: list[str] = []

    def add(
        self,
        what: str,
        rows: np.ndarray,
        *,
        found: Callable[[int], object] | None = None,
        advice: str = "",
        drop: np.ndarray | None = None,
    ) -> None:
        """Note a kind of problem.

        Parameters
        ----------
        what : str
            The problem, in a few words.
        rows : ndarray of bool of shape (n_rows,) or (n_rows, n)
            Where it is; with several columns, wherever one of them says so.
        found : callable, optional
            What was found in a row, from its position.
        advice : str
            What to do about it.
        drop : ndarray of bool of shape (n_rows,), optional
            The rows to leave out, if these are not all of `rows`.
        """
        rows = np.logical_or.reduce(np.asarray(rows).reshape(len(self._bad), -1), axis=1)
        positions = np.flatnonzero(rows)
        if not len(positions):
            return
        listed = [
            self._name(row) + (f": {found(row)}" if found is not None else "")
            for row in map(int, positions[:LISTED])
        ]
        rest = len(positions) - LISTED
        more = f"; ... (+{rest} more)" if rest > 0 else ""
        self._lines.append(f"  - {what} ({len(positions)}): {'; '.join(listed)}{more}")
        if advice and advice not in self._advice:
            self._advice.append(advice)
        self._bad |= rows if drop is None else drop
        self._named |= rows

    def settle(self, on_error: OnError, *, stacklevel: int = 3) -> np.ndarray:
        """Raise or warn of everything noted; returns which rows are good, (n_rows,) bool."""
        if not self._lines:
            return ~self._bad
        count = int(self._named.sum())
        advice = " ".join(self._advice)
        text = "\n".join([*self._lines, advice]).rstrip()
        bad = f"{count} of {len(self._bad)} {self.noun}s cannot be used"
        if on_error == "raise":
            skip = f"on_error='skip' leaves such {self.noun}s out."
            space = " " if advice else "\n"
            raise ValueError(f"{self.purpose}: {bad}:\n{text}{space}{skip}")
        if self._bad.all():
            raise ValueError(f"{self.purpose}: {bad}, so nothing is left:\n{text}")
        gone = f"{int(self._bad.sum())} of {len(self._bad)} {self.noun}s are left out"
        warnings.warn(f"{self.purpose}: {gone}:\n{text}", UserWarning, stacklevel=stacklevel)
        return ~self._bad


def check_choice(purpose: str, name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a word that is none of the choices."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{purpose}: {name} must be one of {choices}, got {value!r}.")


def as_text(values: Any) -> np.ndarray:
    """Each value as text, whole numbers without a decimal point; None where missing or blank."""
    codes, distinct = pd.factorize(pd.Series(values))
    return np.array([*map(_text, distinct), None], dtype=object)[codes]


def _text(value: Any) -> str | None:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip() or None


def well_names(values: np.ndarray) -> np.ndarray:
    """Wells with one spelling (``a1`` is ``A01``), None for what is no well of up to 1536."""
    codes, distinct = pd.factorize(values)
    found = [_WELL.fullmatch(text) for text in distinct]
    names = [match and f"{match[1].upper()}{int(match[2]):02d}" for match in found]
    return np.array([*names, None], dtype=object)[codes]


def wells_of_places(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Wells from rows (letters, or numbers from 1) and column numbers, as text; None if neither."""
    codes, distinct = pd.factorize(rows)
    letters = np.array([*map(_row_letters, distinct), None], dtype=object)[codes]
    whole = ~(pd.isna(letters) | pd.isna(columns))
    places = np.full(len(rows), None, dtype=object)
    places[whole] = letters[whole] + columns[whole]
    return well_names(places)


def _row_letters(row: str) -> str | None:
    if not row.isdecimal():
        return row
    number = int(row)
    if not 1 <= number <= 32:
        return None
    return chr(64 + number) if number <= 26 else "A" + chr(64 + number - 26)


def site_numbers(values: np.ndarray) -> np.ndarray:
    """Sites as float, NaN for what is no whole number from 0 on; `values` is text or None."""
    codes, distinct = pd.factorize(values)
    numbers = [float(text) if text.isdecimal() else np.nan for text in distinct]
    return np.array([*numbers, np.nan])[codes]


def optional_column(table: pd.DataFrame, name: str, *, purpose: str) -> Hashable | None:
    """The column as `match_column` finds it, None if there is none."""
    wanted = name.lower().removeprefix(METADATA_PREFIX)
    if any(str(column).lower().removeprefix(METADATA_PREFIX) == wanted for column in table.columns):
        return match_column(table, name, purpose=purpose)
    return None


def find_wells(
    table: pd.DataFrame, well: str, *, purpose: str
) -> tuple[np.ndarray, np.ndarray, list[Hashable]]:
    """The wells of a table with one spelling, as they stand there, and the columns read.

    A table without the column, but with one for the row and one for the column of the plate, will
    do.
    """
    column = optional_column(table, well, purpose=purpose)
    places = [optional_column(table, name, purpose=purpose) for name in ("row", "column", "col")]
    row, across = places[0], places[1] if places[1] is not None else places[2]
    if column is not None or row is None or across is None:
        column = match_column(table, well, purpose=purpose)
        stands = as_text(table[column])
        return well_names(stands), stands, [column]
    rows, columns = as_text(table[row]), as_text(table[across])
    stands = np.array([f"{r}/{c}" for r, c in zip(rows, columns, strict=True)], dtype=object)
    return wells_of_places(rows, columns), stands, [row, across]


def _shown_value(values: np.ndarray, row: int) -> str:
    return repr(values[row])


def check_sites(
    problems: Problems,
    plates: np.ndarray,
    wells: np.ndarray,
    sites: np.ndarray,
    *,
    stands: tuple[np.ndarray, ...],
) -> np.ndarray:
    """Note rows without a place on a plate; returns which rows have one, (n_rows,) bool.

    `stands` are the plates, wells and sites as the source spells them.
    """
    whole = np.ones(len(plates), dtype=bool)
    kinds = (
        ("plate", pd.isna(plates), ""),
        ("well", pd.isna(wells), "Wells are written as 'A01', up to 'AF48'."),
        ("site", np.isnan(sites), "Sites are whole numbers."),
    )
    for (word, bad, advice), given in zip(kinds, stands, strict=True):
        absent = pd.isna(given)
        problems.add(f"no {word}", bad & absent)
        named = partial(_shown_value, given)
        problems.add(f"no {word} name", bad & ~absent, found=named, advice=advice)
        whole &= ~bad
    return whole


def repeated(*columns: np.ndarray, keep: Literal["first", False] = False) -> np.ndarray:
    """Which rows repeat another's values in all columns, (n_rows,) bool."""
    codes = {str(i): pd.factorize(column)[0] for i, column in enumerate(columns)}
    return pd.DataFrame(codes).duplicated(keep=keep).to_numpy()


def side_by_side(parts: Sequence[pd.DataFrame], *, purpose: str) -> pd.DataFrame:
    """The columns of all parts in one table; two of one name are an error."""
    names = pd.Index([name for part in parts for name in part.columns])
    if not names.is_unique:
        raise ValueError(
            f"{purpose}: the table would have two columns {shown(names[names.duplicated()])}: "
            "rename or remove those that the source has."
        )
    return pd.concat(list(parts), axis=1)
