"""Reading a table from the data folder, and saying what is wrong with it when that fails."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.datasets._home import get_data_home


def find_file(data_home: str | os.PathLike[str] | None, relative: str, *, remedy: str) -> Path:
    """The path of a file in the data folder; an error saying how to get it if it is not there."""
    path = get_data_home(data_home) / relative
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}. {remedy}")
    return path


def read_parquet(path: Path, *, required: Iterable[str], remedy: str) -> pd.DataFrame:
    """Read a parquet file exactly as it is on disk and check that it holds what is needed."""
    require_pyarrow(f"{path.name} is a parquet file")
    with _damage_explained(path, remedy):
        table = pd.read_parquet(path, engine="pyarrow")
    _check_columns(table, required, path, remedy)
    return table


def read_csv(path: Path, *, required: Iterable[str], remedy: str, **options: Any) -> pd.DataFrame:
    """Read a (compressed) text table; the same errors as `read_parquet`."""
    with _damage_explained(path, remedy):
        table = pd.read_csv(path, **options)
    _check_columns(table, required, path, remedy)
    return table


def require_pyarrow(what: str) -> None:
    """Stop with an install hint when pyarrow is absent."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ImportError(f'{what}, which needs pyarrow: pip install "cloome_sk[data]"') from error


@contextmanager
def _damage_explained(path: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise
    # pyarrow's errors are OSError and ValueError, those of gzip EOFError, OSError and zlib.error.
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{str(path)!r} ({path.stat().st_size:,} bytes) cannot be read: "
            f"{type(error).__name__}: {error}. It is probably truncated, or not the file its name "
            f"says: delete it and get it again. {remedy}"
        ) from error


def _check_columns(table: pd.DataFrame, required: Iterable[str], path: Path, remedy: str) -> None:
    missing = [name for name in required if name not in table.columns]
    if missing:
        raise ValueError(
            f"{str(path)!r} lacks the column(s) {shown(missing)}; columns seen: "
            f"{shown(table.columns)}. It is not the table its name says. {remedy}"
        )
