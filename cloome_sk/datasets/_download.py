"""Downloading one public file: all of it, the right one, or nothing."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

_CHUNK = 1 << 16
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class DownloadError(OSError):
    """A public file could not be downloaded, or what arrived is not that file."""


def download(
    url: str,
    path: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    timeout: float = 60.0,
    verbose: int = 0,
) -> str:
    """Download a file and put it in place only once it is complete and verified.

    Parameters
    ----------
    url : str
        An http or https address; redirects are followed.
    path : path-like
        Where the file goes. Folders are made. An existing file is replaced in one step, so that a
        reader sees the old file or the new one, never a part.
    sha256 : str, optional
        Expected SHA-256 of the content, in hexadecimal. ``None`` accepts any content.
    timeout : float, default=60.0
        Seconds to wait for the connection and for each further piece.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    str
        SHA-256 of what arrived, in hexadecimal.

    Raises
    ------
    DownloadError
        If the host cannot be reached or answers with an error, if the body is shorter than
        announced, if it is a Git LFS pointer instead of the file, or if its SHA-256 is another one.
        Nothing is left at `path` (or what was there before).
    ValueError
        If the address is not http or https.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"Only http and https addresses can be downloaded; got {url!r}.")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        with part.open("xb") as file:
            seen = _receive(url, file, target, timeout=timeout, verbose=verbose)
        if sha256 is not None and seen != sha256.lower():
            raise DownloadError(
                f"{url} is not the expected file: SHA-256 {seen} instead of {sha256.lower()}. "
                f"Nothing was written to {str(target)!r}. Either the source has changed or "
                "something on the way replaced the answer; do not use the file."
            )
    return seen


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Name a file to write beside `target`; it becomes `target` only if nothing was raised."""
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _receive(url: str, file: BinaryIO, target: Path, *, timeout: float, verbose: int) -> str:
    request = Request(url, headers={"User-Agent": "cloome_sk"})
    digest = hashlib.sha256()
    received = 0
    try:
        with urlopen(request, timeout=timeout) as answer:
            announced = answer.headers.get("Content-Length")
            total = int(announced) if announced is not None else None
            with _progress(target.name, total, verbose) as advance:
                while chunk := answer.read(_CHUNK):
                    if received == 0 and chunk.startswith(_LFS_POINTER):
                        raise DownloadError(
                            f"{url} answered with a Git LFS pointer, not with the file itself. "
                            "Large files of that repository lie elsewhere: pass "
                            "base_url='https://media.githubusercontent.com/media'."
                        )
                    file.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    advance(len(chunk))
    except HTTPError as error:
        raise DownloadError(
            f"{url} answered {error.code} ({error.reason}). The file may have moved; if you have "
            f"a copy, put it at {str(target)!r}."
        ) from error
    except (URLError, TimeoutError, ConnectionError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise DownloadError(
            f"Cannot download {url}: {reason or type(error).__name__}. Is this machine offline? "
            f"If you have a copy of the file, put it at {str(target)!r}."
        ) from error
    # http.client ends a read of pieces silently when the connection closes early.
    if total is not None and received != total:
        raise DownloadError(
            f"{url} broke off after {received:,} of {total:,} bytes; nothing was written to "
            f"{str(target)!r}. Try again."
        )
    return digest.hexdigest()


@contextmanager
def _progress(name: str, total: int | None, verbose: int):
    if not verbose:
        yield lambda n: None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1024, desc=name) as bar:
        yield bar.update
