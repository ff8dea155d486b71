"""Hashes of image files, remembered as long as the files stay as they are."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cloome_sk.imaging._hash_table import HASH_BYTES, HashTable, forget_table, table_of
from cloome_sk.imaging.reading import ImageError

_LAYOUT = b"cloome_sk sites 1 "
"""Goes into every settings hash: entries of another layout of files are not found."""

SETTLED_NS = 2 * 10**9
"""Age in ns from which a change of a file shows in its time stamps, on the coarsest file systems
(FAT: 2 s)."""


class ContentHashes:
    """Hash image files and arrays by content; a file that did not change is read only once.

    A table in a folder remembers the hash of a file under its path, inode, size and times of
    modification and of status change (which no program can set back). Every process adds lines to a
    file of its own there, and lines that a kill or a crash left damaged are passed over: the image
    file is then read again.

    Parameters
    ----------
    folder : str or path-like
        Where the table is kept; made when something is first written to it.

    Notes
    -----
    Files that changed less than two seconds ago are hashed but not remembered, since a second
    change might leave the same time stamps. A change that leaves size and both times as they were
    goes unnoticed: one made past the file system, on the disk itself, or on a network file system
    that shows stale attributes for a few seconds.

    Objects travel to worker processes as the path of the folder; a process reads the table once.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> hashes = ContentHashes(tempfile.mkdtemp())
    >>> image = np.zeros((2, 4, 4), dtype=np.uint8)
    >>> same, other = hashes.of([image, image + 1])
    >>> len(same), same == hashes.of([image.copy()])[0], same == other
    (16, True, False)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(os.path.abspath(folder))
        # What other processes have added since this process last looked.
        forget_table(self.folder)

    def of(self, sources: Iterable[Any]) -> list[bytes | None]:
        """Hash each source by its content.

        Parameters
        ----------
        sources : iterable of str, path-like, ndarray or None
            Files, folders (OME-Zarr: all files in it, with their names) and arrays (dtype, shape
            and values).

        Returns
        -------
        list of bytes or None
            16 bytes for each source, None for None.

        Raises
        ------
        ImageError
            If a file is not there or cannot be read.
        TypeError
            If a source is of another type, or an array holds Python objects.
        """
        table = table_of(self.folder)
        new: dict[bytes, bytes] = {}
        found = [None if source is None else _hash(source, table, new) for source in sources]
        if new:
            table.add(new)
        return found


def _hash(source: Any, table: HashTable, new: dict[bytes, bytes]) -> bytes:
    if isinstance(source, np.ndarray):
        return array_hash(source)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"an image is a path or an array, not {type(source).__name__}")
    path = os.path.abspath(source)
    try:
        # Not opened before it is known to be a file: to open a named pipe waits for its writer.
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            known = table.known.get(_stamp(path, status))
            return _file_hash(path, new) if known is None else known
        if stat.S_ISDIR(status.st_mode):
            return _folder_hash(path, table, new)
    except FileNotFoundError:
        raise ImageError(os.fspath(source), "there is no such file") from None
    except (OSError, ValueError) as error:
        raise ImageError(os.fspath(source), f"cannot be opened: {error}") from error
    raise ImageError(os.fspath(source), "is neither a file nor a folder")


def array_hash(array: np.ndarray) -> bytes:
    """Hash an array by dtype, shape and values.

    Parameters
    ----------
    array : ndarray
        Numbers of any type and shape.

    Returns
    -------
    bytes
        16 bytes.

    Raises
    ------
    TypeError
        If it holds Python objects.

    Examples
    --------
    >>> import numpy as np
    >>> array_hash(np.zeros((2, 3))) == array_hash(np.zeros((3, 2)))
    False
    """
    if array.dtype.hasobject:
        raise TypeError("an image array holds numbers, not Python objects")
    found = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.digest()[:HASH_BYTES]


def settings_hash(settings: Mapping[str, Any] | bytes) -> str:
    """Hash settings by their values; the order of a mapping does not matter.

    Parameters
    ----------
    settings : mapping or bytes
        Texts, numbers, None, bytes, arrays, and lists and mappings of these.

    Returns
    -------
    str
        16 hexadecimal characters.

    Raises
    ------
    TypeError
        If there is anything else in it, which might change without its hash changing.

    Examples
    --------
    >>> settings_hash({"a": 1, "b": None}) == settings_hash({"b": None, "a": 1})
    True
    """
    if not isinstance(settings, bytes):
        settings = json.dumps(_plain(settings), sort_keys=True).encode()
    return hashlib.sha256(_LAYOUT + settings).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, np.ndarray):
        return {"array": array_hash(value).hex()}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _plain(item) for name, item in value.items()}
    raise TypeError(
        f"cannot tell for certain when {value!r} changes: settings of a cache are texts, numbers, "
        "None, bytes, arrays, and lists and mappings (with names that are texts) of these"
    )


def _file_hash(path: str, new: dict[bytes, bytes]) -> bytes:
    now = time.time_ns()
    with open(path, "rb", buffering=0) as file:
        before = _stamp(path, status := os.fstat(file.fileno()))
        # SHA-256 rather than BLAKE2: twice as fast on processors with instructions for it.
        content = hashlib.file_digest(file, "sha256").digest()[:HASH_BYTES]
        after = _stamp(path, os.fstat(file.fileno()))
    if before == after and now - status.st_ctime_ns >= SETTLED_NS:
        new[before] = content
    return content


def _folder_hash(path: str, table: HashTable, new: dict[bytes, bytes]) -> bytes:
    found = hashlib.sha256(b"folder")
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        encoded = os.fsencode(name)
        found.update(b"%d %b" % (len(encoded), encoded))
        found.update(_hash(os.path.join(path, name), table, new))
    return found.digest()[:HASH_BYTES]


def _stamp(path: str, status: os.stat_result) -> bytes:
    """What stays the same while a file stays the same, in 16 bytes."""
    # The inode tells where links lead, which to resolve costs ten times as much as the rest.
    text = b"%d %d %d %d " % (
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
    return hashlib.blake2b(text + os.fsencode(path), digest_size=HASH_BYTES).digest()
