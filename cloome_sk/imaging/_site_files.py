"""Files of cached sites: what is in them, how they are written whole and read with a check."""

from __future__ import annotations

import io
import os
import re
from contextlib import suppress
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np

_HEADER_BYTES = 128
_MARK = b"cloomesk"
_ANNOUNCED = re.compile(rb"'descr': '([<|][buif][0-9]{1,2})',.*'shape': \(([0-9, ]*)\)")


def write_site(path: str, temporary: str, key: str, site: np.ndarray) -> None:
    """Write a site to a temporary file and rename it; OSError leaves neither of them behind."""
    site = site.astype(stored_dtype(site.dtype), copy=False)
    pixels = _bytes(site)
    try:
        with _opened(temporary) as file:
            file.write(_header(site.shape, site.dtype)[0])
            file.write(pixels.data)
            file.write(_trailer(key, site, pixels))
        _move(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.remove(temporary)
        raise


def read_site(path: str, key: str) -> np.ndarray | None:
    """Read a site as it was stored; None if it is not there or damaged."""
    with suppress(OSError), open(path, "rb", buffering=0) as file:
        if (found := _announced(file)) is not None:
            site = np.empty(*found)
            return site if _fill(file, site, key) else None
    return None


def read_site_into(path: str, key: str, out: np.ndarray) -> bool:
    """Read a site of the shape and dtype of a contiguous array; False if it is not there."""
    with suppress(OSError), open(path, "rb", buffering=0) as file:
        header = bytearray(_HEADER_BYTES)
        expected = _header(out.shape, out.dtype)[0]
        return _read(file, header) and header == expected and _fill(file, out, key)
    return False


def has_site(path: str) -> bool:
    """Whether there is a file of a site, of the length that its header says."""
    with suppress(OSError), open(path, "rb", buffering=0) as file:
        return _announced(file) is not None
    return False


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "xb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return open(path, "xb")


def _move(source: str, target: str) -> None:
    try:
        os.replace(source, target)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(source, target)


def stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same dtype in the byte order that sites are kept in; TypeError if not of real numbers."""
    if dtype.kind not in "buif":
        raise TypeError(f"a cached site holds real numbers, not {dtype}")
    return dtype.newbyteorder("<")


@lru_cache(maxsize=64)
def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[bytes, int]:
    """Header of a NumPy file (version 1.0), always of the same length, and its checksum."""
    text = f"{{'descr': {stored_dtype(dtype).str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    length = _HEADER_BYTES - 10
    header = np.lib.format.magic(1, 0) + length.to_bytes(2, "little")
    header += text.ljust(length - 1).encode() + b"\n"
    if len(header) != _HEADER_BYTES:
        raise ValueError(f"a cached site cannot have {len(shape)} axes")
    return header, _checksum(np.frombuffer(header, dtype=np.uint8))


@lru_cache(maxsize=64)
def _parsed(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Shape and dtype of a header that `_header` wrote."""
    if (found := _ANNOUNCED.search(header)) is None:
        return None
    kind, axes = found.groups()
    shape = tuple(map(int, re.findall(rb"[0-9]+", axes)))
    try:
        dtype = np.dtype(kind.decode())
        return (shape, dtype) if _header(shape, dtype)[0] == header else None
    except (TypeError, ValueError):
        return None


def _announced(file: io.FileIO) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Shape and dtype that a file says it has, if its length agrees."""
    header = bytearray(_HEADER_BYTES)
    if not _read(file, header) or (found := _parsed(bytes(header))) is None:
        return None
    shape, dtype = found
    length = _HEADER_BYTES + int(np.prod(shape, dtype=object)) * dtype.itemsize + len(_MARK) + 8
    return found if os.fstat(file.fileno()).st_size == length else None


def _fill(file: io.FileIO, site: np.ndarray, key: str) -> bool:
    """Read pixels and what follows them; False if they are not what was written."""
    pixels = _bytes(site)
    # One byte more than there should be tells a file that is too long.
    trailer = bytearray(len(_MARK) + 9)
    return (
        _read(file, pixels.data)
        and file.readinto(trailer) == len(trailer) - 1
        and trailer[:-1] == _trailer(key, site, pixels)
    )


def _read(file: io.FileIO, view: bytearray | memoryview) -> bool:
    """Fill a buffer; False at an earlier end of the file."""
    view = memoryview(view)
    while view:
        if not (count := file.readinto(view)):
            return False
        view = view[count:]
    return True


def _bytes(site: np.ndarray) -> np.ndarray:
    """Its bytes in C order; the same memory where they lie so."""
    return site.reshape(-1).view(np.uint8)


def _trailer(key: str, site: np.ndarray, pixels: np.ndarray) -> bytes:
    """Mark, and checksum of key, header and pixels: no file stands in for another."""
    total = int(key[:16], 16) + _header(site.shape, site.dtype)[1] + _checksum(pixels)
    return _MARK + (total % 2**64).to_bytes(8, "little")


def _checksum(data: np.ndarray) -> int:
    """Sum of bytes taken eight at a time.

    A lost block, a block of another file and a flipped bit all show, at half the time of a CRC.
    """
    whole = len(data) // 8 * 8
    total = int(np.add.reduce(data[:whole].view("<u8"), dtype=np.uint64))
    return total + int.from_bytes(data[whole:].tobytes(), "little")
