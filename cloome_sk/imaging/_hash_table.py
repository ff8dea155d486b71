"""The table on disk that remembers the hashes of image files."""

from __future__ import annotations

import os
import warnings
import zlib
from pathlib import Path

HASH_BYTES = 16
"""Bytes of SHA-256 that are kept: two of 10^12 different images meet with probability 10^-15."""

_LINE_BYTES = 2 * HASH_BYTES + 1 + 2 * HASH_BYTES + 1 + 8


class HashTable:
    """The remembered hashes as this process knows them: stamp of a file -> hash of its content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = os.urandom(8).hex()
        self.known: dict[bytes, bytes] = {}
        self.warned = False
        for path in sorted(folder.glob("*.txt")):
            try:
                lines = path.read_bytes().split(b"\n")
            except OSError:
                # Costs only that the images are read again.
                continue
            self.known.update(filter(None, map(_parsed, lines)))

    def add(self, new: dict[bytes, bytes]) -> None:
        """Remember hashes, here and on disk."""
        self.known.update(new)
        # The process id, since a fork has the token of its parent.
        path = self.folder / f"{os.getpid()}-{self.token}.txt"
        try:
            try:
                file = open(path, "ab", buffering=0)  # noqa: SIM115
            except FileNotFoundError:
                os.makedirs(self.folder, exist_ok=True)
                file = open(path, "ab", buffering=0)  # noqa: SIM115
            with file:
                file.write(b"".join(_line(*item) for item in new.items()))
        except OSError as error:
            if not self.warned:
                self.warned = True
                warnings.warn(
                    f"cannot remember the hashes of image files in {self.folder} "
                    f"({error.strerror}): every run reads all images again to see whether they "
                    "changed.",
                    stacklevel=4,
                )


_TABLES: dict[Path, HashTable] = {}


def table_of(folder: Path) -> HashTable:
    """Give the table of a folder; read once a process, however often an object is unpickled."""
    if folder not in _TABLES:
        _TABLES[folder] = HashTable(folder)
    return _TABLES[folder]


def forget_table(folder: Path) -> None:
    """Have the table read again, with what other processes have added to it."""
    _TABLES.pop(folder, None)


def _line(stamp: bytes, content: bytes) -> bytes:
    """One line of the table; its checksum tells a whole line from a damaged one."""
    text = f"{stamp.hex()} {content.hex()}".encode()
    return b"%b %08x\n" % (text, zlib.crc32(text))


def _parsed(line: bytes) -> tuple[bytes, bytes] | None:
    """Stamp and content of a line, None if it is not whole."""
    if len(line) != _LINE_BYTES or line[-8:] != b"%08x" % zlib.crc32(line[:-9]):
        return None
    text = line.decode("ascii")
    return bytes.fromhex(text[: 2 * HASH_BYTES]), bytes.fromhex(text[2 * HASH_BYTES + 1 : -9])
