"""Public files the fetchers start from, pinned by repository, revision and, if known, content."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from cloome_sk.datasets._download import download, replacing
from cloome_sk.datasets._home import get_data_home

RAW_GITHUB = "https://raw.githubusercontent.com"
"""Host that serves the files of a GitHub repository at a revision."""


@dataclass(frozen=True)
class Source:
    """One file of a public git repository at one revision.

    `sha256` is that of the file as the repository holds it; ``None`` where it is not known here, so
    that only the revision pins the content. `compress` stores the file gzipped.
    """

    repository: str
    revision: str
    path: str
    sha256: str | None = None
    compress: bool = False

    def url(self, base_url: str = RAW_GITHUB) -> str:
        """Address of the file on a host that lays out repositories as GitHub does."""
        return f"{base_url.rstrip('/')}/{self.repository}/{self.revision}/{quote(self.path)}"

    @property
    def name(self) -> str:
        """File name without the folders."""
        return self.path.rsplit("/", 1)[-1]


def fetch_source(
    source: Source, target: Path, *, base_url: str, timeout: float, verbose: int
) -> str:
    """Put a public file at `target`, gzipped if the source says so; returns its SHA-256."""
    if not source.compress:
        return download(
            source.url(base_url), target, sha256=source.sha256, timeout=timeout, verbose=verbose
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as folder:
        plain = Path(folder) / source.name
        seen = download(
            source.url(base_url), plain, sha256=source.sha256, timeout=timeout, verbose=verbose
        )
        with replacing(target) as part, part.open("xb") as file:
            file.write(gzip.compress(plain.read_bytes(), mtime=0))
    return seen


def fetch_missing(
    sources: Mapping[str, Source],
    data_home: str | os.PathLike[str] | None,
    *,
    base_url: str,
    timeout: float,
    verbose: int,
) -> None:
    """Download those of the files (keys: paths in the data folder) that are not there yet."""
    home = get_data_home(data_home, create=True)
    for relative, source in sources.items():
        if not (home / relative).exists():
            fetch_source(
                source, home / relative, base_url=base_url, timeout=timeout, verbose=verbose
            )


def write_parquet(table: pd.DataFrame, target: Path) -> None:
    """Write a rebuilt table in one step, so that nobody ever reads half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        table.to_parquet(part, engine="pyarrow", index=False)
