"""Reading a table that a user names: text or parquet, identifiers kept as they are written."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.datasets._reading import read_csv, read_parquet

Source = str | os.PathLike[str] | pd.DataFrame

# Names and places that look like numbers to a reader of text, and lose their zeros.
_IDENTIFIER = re.compile(
    r"(?:image_)?(?:metadata_)?(?:.*(?:plate|well|barcode).*|site|row|col|column|sample_key)"
    r"|(?:image_)?(?:filename|pathname|url)_.*",
    re.IGNORECASE,
)


def read_table(source: Source, *, purpose: str) -> tuple[pd.DataFrame, str, Path | None]:
    """The table, what to call it in a message, and the folder it lies in.

    Text of columns that name something (plates, wells, files) stays text: plate ``0042`` is not
    42.
    """
    if isinstance(source, pd.DataFrame):
        _check_header(source.columns, f"{purpose}: the table")
        if not len(source):
            raise ValueError(f"{purpose}: the table has no rows.")
        return source, "the table", None
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            f"{purpose} takes a path or a pandas DataFrame, got {type(source).__name__}."
        )
    path = Path(source).expanduser()
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not there"
        raise FileNotFoundError(f"{purpose}: {str(path)!r} is {kind}; it should be a table.")
    remedy = f"({purpose} reads csv, tsv and txt, also compressed with gzip, and parquet.)"
    if path.suffix == ".parquet":
        table = read_parquet(path, required=(), remedy=remedy)
        _check_header(table.columns, f"{purpose}: {path.name!r}")
    else:
        table = _read_text(path, purpose, remedy)
    if not len(table):
        raise ValueError(f"{purpose}: {path.name!r} has a header but no rows.")
    return table, repr(path.name), path.parent.absolute()


def _read_text(path: Path, purpose: str, remedy: str) -> pd.DataFrame:
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith((".csv", ".tsv", ".txt")):
        raise ValueError(f"{purpose}: the name {path.name!r} does not say what it is. {remedy}")
    separator = "," if name.endswith(".csv") else "\t"
    header = _header(path, separator)
    _check_header([column for column in header if column], f"{purpose}: {path.name!r}")
    as_written = {column: str for column in header if _IDENTIFIER.fullmatch(column)}
    return read_csv(path, required=(), remedy=remedy, sep=separator, dtype=as_written)


def _header(path: Path, separator: str) -> list[str]:
    """The column names as written: pandas would number those that repeat."""
    try:
        with path.open("rb") as raw:
            zipped = path.name.lower().endswith(".gz")
            plain = gzip.GzipFile(fileobj=raw) if zipped else raw
            with io.TextIOWrapper(plain, encoding="utf-8-sig", newline="") as file:
                return next(csv.reader(file, delimiter=separator), [])
    except (OSError, EOFError, UnicodeDecodeError):
        return []  # pandas says what is wrong with it


def _check_header(columns: Iterable[object], which: str) -> None:
    seen: set[object] = set()
    doubled = [column for column in columns if column in seen or seen.add(column)]  # type: ignore[func-returns-value]
    if doubled:
        raise ValueError(
            f"{which} has the column(s) {shown(dict.fromkeys(doubled))} more than once; rename or "
            "remove the duplicates."
        )
