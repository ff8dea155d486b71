"""Where the files of a table lie on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd

from cloome_sk._tables import shown

# Two letters at least: "C:" is a drive.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def is_address(place: str) -> bool:
    """Whether a place is not on this machine, such as ``s3://bucket/folder``."""
    return _ADDRESS.match(place) is not None


class Files:
    """The files that a table names: one column per channel, held as codes of folder and name.

    A plate of a thousand sites names a thousand files of one folder: text is put together only for
    the result, and compared as numbers.

    Attributes
    ----------
    columns : list of str
        Names of the columns.
    """

    def __init__(self) -> None:
        self.columns: list[str] = []
        self._folders: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._folder_codes: list[np.ndarray] = []
        self._name_codes: list[np.ndarray] = []
        self._here: list[str] = []

    def add(self, column: str, folders: pd.Series, names: pd.Series) -> None:
        """Add the files of a column by folder and name."""
        self._append(column, _coded(folders, self._folders), _coded(names, self._names))

    def add_urls(self, column: str, urls: pd.Series) -> None:
        """Add the files of a column by their address; ``file:`` addresses become paths."""
        codes, distinct = pd.factorize(urls)
        parts = [_local(str(url).strip()).replace("\\", "/").rpartition("/") for url in distinct]
        coded = (
            _coded(pd.Series([part[which] for part in parts], dtype=str), index)
            for which, index in ((0, self._folders), (2, self._names))
        )
        self._append(column, *(np.append(one, -1)[codes] for one in coded))

    def _append(self, column: str, folders: np.ndarray, names: np.ndarray) -> None:
        self.columns.append(column)
        self._folder_codes.append(folders)
        self._name_codes.append(names)
        self._here = list(self._folders)

    def folders(self) -> list[str]:
        """The folders, as the table names them."""
        return list(self._folders)

    def move(self, here: Mapping[str, str]) -> None:
        """Exchange the folders for where they are on this machine."""
        self._here = [here[folder] for folder in self._folders]

    def missing(self) -> np.ndarray:
        """Where no file is named, (n_rows, n_columns) bool."""
        return (self._by_row(self._folder_codes) < 0) | (self._by_row(self._name_codes) < 0)

    def numbers(self) -> np.ndarray:
        """One number for each file, -1 for none, (n_rows, n_columns) int."""
        places = {place: number for number, place in enumerate(dict.fromkeys(self._here))}
        same = np.array([*(places[place] for place in self._here), -1])
        folders = same[self._by_row(self._folder_codes)].astype(np.int64)
        numbers = folders * len(self._names) + self._by_row(self._name_codes)
        numbers[self.missing()] = -1
        return numbers

    def remote(self) -> np.ndarray:
        """Where the file is not on this machine, (n_rows, n_columns) bool."""
        remote = np.array([*map(is_address, self._here), False])
        return remote[self._by_row(self._folder_codes)] & ~self.missing()

    def path(self, row: int, column: int) -> str:
        """The path of one file."""
        folder = self._here[self._folder_codes[column][row]]
        return _with_slash(folder) + list(self._names)[self._name_codes[column][row]]

    def paths(self, rows: np.ndarray) -> pd.DataFrame:
        """Paths of the files of some rows, one column of text each."""
        starts = pd.array([*map(_with_slash, self._here)], dtype="str")
        names = pd.array(list(self._names), dtype="str")
        both = zip(self.columns, self._folder_codes, self._name_codes, strict=True)
        return pd.DataFrame(
            {
                column: pd.Series(starts.take(folder[rows], allow_fill=True))
                + pd.Series(names.take(name[rows], allow_fill=True))
                for column, folder, name in both
            }
        )

    def not_there(self) -> np.ndarray:
        """Where a file of this machine does not exist, (n_rows, n_columns) bool.

        Every folder is listed once: asking for each file takes minutes on a network drive.
        """
        wanted = ~(self.missing() | self.remote())
        numbers = self.numbers()
        distinct, back = np.unique(np.where(wanted, numbers, -1), return_inverse=True)
        absent = np.zeros(len(distinct), dtype=bool)
        names = list(self._names)
        places = list(dict.fromkeys(self._here))
        seen, listing = -1, None
        for i, number in enumerate(distinct):  # ordered by folder
            if number < 0:
                continue
            place, name = divmod(int(number), len(names))
            if place != seen:
                seen, listing = place, _listing(places[place])
            if listing is None:
                absent[i] = True
            elif names[name] not in listing:
                # Not in this case, or in a folder of its own: the disk knows.
                absent[i] = not os.path.isfile(_with_slash(places[place]) + names[name])
        return absent[back].reshape(wanted.shape)

    def _by_row(self, codes: list[np.ndarray]) -> np.ndarray:
        return np.column_stack(codes)


def _coded(values: pd.Series, index: dict[str, int]) -> np.ndarray:
    """The number of each text in `index`, which grows; -1 where missing or blank."""
    codes, distinct = pd.factorize(values)
    texts = [str(value).strip() for value in distinct]
    numbers = [index.setdefault(text, len(index)) if text else -1 for text in texts]
    return np.array([*numbers, -1])[codes]


def _with_slash(folder: str) -> str:
    return folder if folder.endswith(("/", "\\")) else f"{folder}/"


def _local(url: str) -> str:
    parts = urlsplit(url) if url.lower().startswith("file:") else None
    return url if parts is None else url2pathname(parts.path)


def replace_starts(
    folders: Iterable[str], replace: Mapping[str, str | os.PathLike[str]], *, purpose: str
) -> dict[str, str]:
    """The folders with the beginnings that `replace` names exchanged; the longest one counts."""
    starts = sorted(
        ((old.rstrip("/\\"), os.fspath(new)) for old, new in replace.items()),
        key=lambda pair: -len(pair[0]),
    )
    folders = list(folders)
    used: set[str] = set()
    moved = {}
    for folder in folders:
        moved[folder] = folder
        for old, new in starts:
            rest = folder[len(old) :]
            if folder.startswith(old) and (not rest or rest[0] in "/\\"):
                moved[folder] = _absolute(new + rest.replace("\\", "/"), None)
                used.add(old)
                break
    idle = [old for old, _ in starts if old not in used]
    if idle:
        raise ValueError(
            f"{purpose}: no folder of the table begins with {shown(map(repr, idle))} (replace=). "
            f"Folders seen: {shown(map(repr, folders), 3)}."
        )
    return moved


def find_under(
    folders: Iterable[str], root: str | os.PathLike[str], *, purpose: str
) -> dict[str, str]:
    """For each folder its longest tail that is a folder below `root`, else `root` itself."""
    base = Path(root).expanduser().absolute()
    if not base.is_dir():
        raise FileNotFoundError(f"{purpose}: root={str(base)!r} is not a folder.")
    found: dict[str, str] = {}
    for folder in folders:
        parts = [part for part in re.split(r"[\\/]+", folder) if part not in ("", ".", "..")]
        tails = (base.joinpath(*parts[start:]) for start in range(len(parts)))
        found[folder] = str(next((tail for tail in tails if tail.is_dir()), base))
    return found


def beside(folders: Iterable[str], base: Path | None) -> dict[str, str]:
    """Folders as they are; a relative one is below `base`, the folder of the table."""
    return {folder: _absolute(folder, base) for folder in folders}


def _absolute(folder: str, base: Path | None) -> str:
    if is_address(folder) or _DRIVE.match(folder):
        return folder
    place = Path(folder).expanduser()
    return str((base / place if base else place).absolute())


def _listing(folder: str) -> set[str] | None:
    try:
        return set(os.listdir(folder))
    except OSError:
        return None
