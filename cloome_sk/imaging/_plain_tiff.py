"""The TIFF that most microscopes write, one grey plane in strips, without a general reader.

A general reader spends a millisecond on a file like that, most of it on tags and strips that need
no thought. Whatever is not this plain is left to it.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from cloome_sk.imaging._checks import ImageError, cause, check_size

UNCOMPRESSED = 1
# LZW, deflate (two numbers), PackBits: libtiff decodes them, within the size the header states.
_LIBTIFF = (5, 8, 32946, 32773)

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PREDICTOR, _FORMAT = 273, 277, 278, 279, 317, 339
_SUBFILE, _DESCRIPTION, _PLANES = 254, 270, 33629

# Tags that say nothing about the layout of the pixels: texts, resolution, orientation, range of
# values, and the private remarks of MetaMorph (33628-33631) and PerkinElmer (65200, 65500).
_REMARKS = {
    *(255, 269, 271, 272, 274, 280, 281, 282, 283, 284, 285, 286, 287, 296, 297, 305, 306),
    *(315, 316, 318, 319, 340, 341, 33628, 33630, 33631, 65200, 65500),
}
_LAYOUT = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _OFFSETS, _SAMPLES, _ROWS),
    *(_COUNTS, _PREDICTOR, _FORMAT, _SUBFILE, _DESCRIPTION, _PLANES),
}
_KNOWN = _REMARKS | _LAYOUT
# A description that may speak of more planes than the file has directories.
_SPEAKING = (b"<OME", b"OME>", b"ImageJ=", b'"shape"')
_FORMATS = {3: ("H", 2), 4: ("I", 4)}


@dataclass(frozen=True)
class PlainTiff:
    """Where the strips of a one-plane grey TIFF are."""

    shape: tuple[int, int]
    dtype: np.dtype
    compression: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]


def parse_plain_tiff(file: BinaryIO) -> PlainTiff | None:
    """The layout of a plain TIFF; None for any other, broken ones among them."""
    file.seek(0)
    head = file.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None or len(head) < 8:
        return None
    try:
        tags = _directory(file, order, struct.unpack(order + "I", head[4:])[0])
        return None if tags is None else _layout(tags, order)
    except (struct.error, KeyError, IndexError):
        return None


def read_plain_tiff(
    file: BinaryIO, path: str, size: int, layout: PlainTiff, max_pixels: int
) -> np.ndarray | None:
    """The plane; None where its compression needs the general reader."""
    if layout.compression != UNCOMPRESSED:
        try:
            from imagecodecs import tiff_decode
        except ImportError:
            return None
    check_size(path, layout.shape, max_pixels)
    check_extent(path, size, layout.offsets, layout.counts)
    if layout.compression == UNCOMPRESSED:
        return _copy_strips(file, path, layout)
    file.seek(0)
    try:
        plane = tiff_decode(file.read())
    except Exception as error:
        raise ImageError(path, f"its compressed data cannot be decoded: {cause(error)}") from error
    # Another opinion on what the header means is a reason to ask the general reader.
    same = plane.shape == layout.shape and plane.dtype == layout.dtype.newbyteorder("=")
    return plane if same else None


def check_extent(path: str, size: int, offsets: tuple[int, ...], counts: tuple[int, ...]) -> None:
    """Refuse a file that ends before its pixels do, or that left some of them out."""
    end = max(offset + count for offset, count in zip(offsets, counts, strict=True))
    if end > size:
        raise ImageError(
            path,
            f"is truncated: its pixels run to byte {end:,}, the file has {size:,} bytes. "
            "Copy it again",
        )
    absent = sum(1 for count in counts if count == 0)
    if absent:
        raise ImageError(
            path, f"{absent:,} of its {len(counts):,} strips or tiles were never written"
        )


def _directory(file: BinaryIO, order: str, start: int) -> dict[int, tuple[int, ...]] | None:
    """The numeric tags of the only directory; None if there are several or unknown tags."""
    file.seek(start)
    (count,) = struct.unpack(order + "H", file.read(2))
    entries = file.read(count * 12 + 4)
    if len(entries) < count * 12 + 4 or any(entries[count * 12 :]):
        return None
    tags: dict[int, tuple[int, ...]] = {}
    for position in range(0, count * 12, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", entries, position)
        if tag not in _KNOWN:
            return None
        if tag in _REMARKS:
            continue
        if tag == _PLANES:
            # MetaMorph keeps the number of planes of a stack in the length of this tag.
            if number != 1:
                return None
            continue
        inline = entries[position + 8 : position + 12]
        if tag == _DESCRIPTION:
            text = inline if number <= 4 else _far(file, order, inline, number)
            if any(word in text for word in _SPEAKING):
                return None
            continue
        letter, width = _FORMATS[kind]
        if number > 2**20:
            return None
        raw = inline if number * width <= 4 else _far(file, order, inline, number * width)
        tags[tag] = struct.unpack_from(f"{order}{number}{letter}", raw)
    return tags


def _far(file: BinaryIO, order: str, inline: bytes, length: int) -> bytes:
    file.seek(struct.unpack(order + "I", inline)[0])
    return file.read(length)


def _layout(tags: dict[int, tuple[int, ...]], order: str) -> PlainTiff | None:
    """The layout that the tags describe; None if it is not one grey plane of 8 or 16 bits."""

    def one(tag: int, default: int) -> int:
        return tags.get(tag, (default,))[0]

    height, width = tags[_HEIGHT][0], tags[_WIDTH][0]
    bits, compression, predictor = one(_BITS, 1), one(_COMPRESSION, 1), one(_PREDICTOR, 1)
    plain = (
        bits in (8, 16)
        and min(height, width) > 0
        and tags[_PHOTOMETRIC][0] == 1
        and (one(_FORMAT, 1), one(_SAMPLES, 1), one(_FILL_ORDER, 1), one(_SUBFILE, 0))
        == (1, 1, 1, 0)
        and (
            (compression == UNCOMPRESSED and predictor == 1)
            or (compression in _LIBTIFF and predictor in (1, 2))
        )
    )
    if not plain:
        return None
    rows = min(one(_ROWS, height), height)
    offsets, counts = tags[_OFFSETS], tags[_COUNTS]
    if rows < 1 or not len(offsets) == len(counts) == math.ceil(height / rows):
        return None
    if compression == UNCOMPRESSED:
        full = rows * width * bits // 8
        last = (height - (len(counts) - 1) * rows) * width * bits // 8
        if counts[-1] != last or any(count != full for count in counts[:-1]):
            return None
    dtype = np.dtype(f"{order}u{bits // 8}")
    return PlainTiff((height, width), dtype, compression, offsets, counts)


def _copy_strips(file: BinaryIO, path: str, layout: PlainTiff) -> np.ndarray:
    """The pixels of an uncompressed file, read straight into their place."""
    pixels = np.empty(math.prod(layout.shape) * layout.dtype.itemsize, np.uint8)
    place = 0
    for offset, length in _runs(layout):
        file.seek(offset)
        # The size was checked; a file that shrinks under the reader still must not pass.
        if file.readinto(pixels[place : place + length].data) != length:  # type: ignore[attr-defined]
            raise ImageError(path, "is truncated: it ended while it was being read")
        place += length
    plane = pixels.view(layout.dtype).reshape(layout.shape)
    return plane if layout.dtype.isnative else plane.astype(layout.dtype.newbyteorder("="))


def _runs(layout: PlainTiff) -> list[tuple[int, int]]:
    """The strips as (offset, length), those that follow one another joined."""
    runs: list[tuple[int, int]] = []
    start, length = layout.offsets[0], 0
    for offset, count in zip(layout.offsets, layout.counts, strict=True):
        if offset != start + length:
            runs.append((start, length))
            start, length = offset, 0
        length += count
    return [*runs, (start, length)]
