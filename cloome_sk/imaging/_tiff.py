"""TIFF files of every other kind, through tifffile."""

from __future__ import annotations

import importlib.util
import logging
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, BinaryIO

import numpy as np
import tifffile

from cloome_sk.imaging._checks import ImageError, cause, check_size, sizes
from cloome_sk.imaging._ome import is_ome, parse_ome, plane_order, several_planes
from cloome_sk.imaging._plain_tiff import check_extent

_DEFLATE = (8, 32946)
_JPEG = (6, 7, 34892, 33007)
_PHOTOMETRIC = {0: "MINISWHITE (white is zero)", 3: "PALETTE", 5: "CMYK", 6: "YCBCR", 8: "CIELAB"}
# What zlib cannot exceed, and how far an unbounded decoder may go before its end is looked up.
_ZLIB_RATIO, _ZLIB_LIMIT = 1032, 2**30

_complaints: ContextVar[list[str] | None] = ContextVar("_complaints", default=None)


class _Collect(logging.Filter):
    """Keeps what tifffile logs about the file being read; lets everything else pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        complaints = _complaints.get()
        if complaints is None:
            return True
        # A tag that cannot be parsed is most often a private one; the image is not concerned.
        if record.levelno >= logging.ERROR and "TiffTag.fromfile" not in record.getMessage():
            complaints.append(re.sub(r"^<tifffile\.\w+ .*?> ", "", record.getMessage()))
        return False


logging.getLogger("tifffile").addFilter(_Collect())


@contextmanager
def _opened(file: BinaryIO, path: str) -> Iterator[tuple[tifffile.TiffFile, list[str]]]:
    """The file open in tifffile, whose log goes into a list and whose errors become ours."""
    complaints: list[str] = []
    token = _complaints.set(complaints)
    file.seek(0)
    try:
        # OME-XML and MicroManager's tables may name other files: one path reads one file.
        with tifffile.TiffFile(file, is_ome=False, is_mmstack=False, is_ndtiff=False) as tiff:
            yield tiff, complaints
    except ImageError:
        raise
    except Exception as error:
        # tifffile meets a broken file with whichever error comes first: struct.error, KeyError,
        # IndexError, ZeroDivisionError and more.
        reason = complaints[0] if complaints else cause(error)
        if "imagecodecs" in reason or isinstance(error, ImportError):
            reason = (
                f"its compression needs the imagecodecs package ({reason}): "
                'pip install "cloome_sk[images]"'
            )
        else:
            reason = f"is not a TIFF that can be read: {reason}"
        raise ImageError(path, reason) from error
    finally:
        _complaints.reset(token)


def read_tiff(file: BinaryIO, path: str, size: int, max_pixels: int) -> np.ndarray:
    """The channels of a TIFF, (H, W) or (C, H, W), in their stored depth."""
    with _opened(file, path) as (tiff, complaints):
        n_pages = len(tiff.pages)
        if n_pages:
            check_size(path, tiff.pages.first.shape, max_pixels)
        _refuse_broken(path, complaints, n_pages)
        first = tiff.pages.first
        if is_ome(first.description):
            pages = [tiff.pages[index] for index in _ome_order(path, first, n_pages)]
            if any(page.shape != first.shape or page.dtype != first.dtype for page in pages):
                raise ImageError(path, "its planes differ in size or type")
            shape = (len(pages), *first.shape)
            order = _channel_axes(path, shape, "C" + first.axes)
            _check_pages(path, size, pages, max_pixels, shape)
            array = np.stack([page.asarray(maxworkers=1) for page in pages])
        else:
            series = _only_series(path, tiff)
            _refuse_broken(path, complaints, n_pages)
            order = _channel_axes(path, series.shape, series.axes)
            _check_series(path, size, series, max_pixels)
            array = series.asarray(maxworkers=1)
        _refuse_broken(path, complaints, n_pages)
        kept = sorted(order)
        dropped = tuple(axis for axis in range(array.ndim) if axis not in kept)
        return array.squeeze(dropped).transpose([kept.index(axis) for axis in order])


def tiff_channels(file: BinaryIO, path: str) -> tuple[str, ...] | None:
    """The channel names of an OME-TIFF that describes just the planes it holds."""
    with _opened(file, path) as (tiff, complaints):
        _refuse_broken(path, complaints, len(tiff.pages))
        first = tiff.pages.first
        image = parse_ome(path, first.description) if is_ome(first.description) else None
        if image is None or image.names is None:
            return None
        return image.names if len(image.names) == len(tiff.pages) * first.samplesperpixel else None


def _ome_order(path: str, first: Any, n_pages: int) -> list[int]:
    """The pages of an OME-TIFF in the order of its channels."""
    if n_pages == 1:
        # Whatever the set it belongs to, one plane is one plane.
        return [0]
    image = parse_ome(path, first.description)
    if image is None:
        raise ImageError(
            path,
            f"the order of its {n_pages} planes is described in another file of its OME set. Save "
            "it as a file that describes itself",
        )
    return plane_order(path, image, n_pages)


def _refuse_broken(path: str, complaints: list[str], n_pages: int) -> None:
    if complaints:
        raise ImageError(path, f"is a broken or truncated TIFF: {complaints[0]}")
    if n_pages == 0:
        raise ImageError(path, "is a TIFF without any image")


def _only_series(path: str, tiff: tifffile.TiffFile) -> Any:
    # tifffile takes any page of half the size for a level of a pyramid; the file must say so.
    images = [
        level
        for series in tiff.series
        for number, level in enumerate(series.levels)
        if number == 0 or not (level.keyframe.is_reduced or level.keyframe.is_subifd)
    ]
    if len(images) != 1:
        found = "; ".join(sizes(image.shape) for image in images[:5])
        raise ImageError(
            path, f"holds {len(images)} images of different size or type ({found}); one is a site"
        )
    return tiff.series[0]


def _check_series(path: str, size: int, series: Any, max_pixels: int) -> None:
    _check_pages(path, size, list(series.pages), max_pixels, series.shape)
    # Planes stored as one block have a single directory; the block must be there to its end.
    if series.dataoffset is not None:
        check_extent(path, size, (series.dataoffset,), (series.nbytes,))


def _check_pages(
    path: str, size: int, pages: list[Any], max_pixels: int, shape: tuple[int, ...]
) -> None:
    """All that can be known before anything is decoded."""
    check_size(path, shape, max_pixels)
    first = pages[0]
    colour = first.photometric
    if not (colour == 1 or colour == 2 or (colour == 6 and first.compression in _JPEG)):
        raise ImageError(
            path,
            f"has the colour model {_PHOTOMETRIC.get(int(colour), str(colour))}; intensities are "
            "grey (MINISBLACK) or RGB. Convert it to greyscale, one image a channel",
        )
    if colour == 2 and (first.samplesperpixel != 3 or first.extrasamples):
        raise ImageError(
            path,
            f"is RGB with {first.samplesperpixel} samples a pixel, so with an alpha or other "
            "channel beside the colours. Save it without",
        )
    if any(kind in (1, 2) for kind in first.extrasamples):
        raise ImageError(path, "has an alpha channel (transparency). Save it without")
    if first.is_tiled:
        check_size(path, (first.tilelength, first.tilewidth, first.tiledepth), max_pixels)
    for page in pages:
        check_extent(path, size, page.dataoffsets, page.databytecounts)
        if first.compression in _DEFLATE:
            _check_deflate(path, page)


def _check_deflate(path: str, page: Any) -> None:
    """Refuse a deflate bomb; only zlib, in place of imagecodecs, would unpack it to its end."""
    if max(page.databytecounts) * _ZLIB_RATIO <= _ZLIB_LIMIT or _has_imagecodecs():
        return
    file = page.parent.filehandle
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        try:
            unpacked = zlib.decompressobj().decompress(file.read(count), page.nbytes + 2**20)
        except zlib.error as error:
            raise ImageError(path, f"its deflate data are broken: {cause(error)}") from error
        if len(unpacked) > page.nbytes + 2**19:
            raise ImageError(path, "a strip unpacks to more bytes than the image has")


def _has_imagecodecs() -> bool:
    return importlib.util.find_spec("imagecodecs") is not None


def _channel_axes(path: str, shape: tuple[int, ...], axes: str) -> list[int]:
    """The positions of the axis of channels, if there is one, and of Y and X."""
    extra = [
        position
        for position, (axis, size) in enumerate(zip(axes, shape, strict=True))
        if axis not in "YX" and size > 1
    ]
    for axis, words in (("Z", "Z stack"), ("T", "time series")):
        for position in extra:
            if axes[position] == axis:
                raise ImageError(path, several_planes(words, shape[position]))
    # C: channels, S: samples of a pixel, I and Q: pages that nothing is said about.
    unusual = len(extra) > 1 or any(axes[position] not in "CSIQ" for position in extra)
    if unusual or (axes.count("Y"), axes.count("X")) != (1, 1):
        found = ", ".join(f"{axis}={size}" for axis, size in zip(axes, shape, strict=True))
        raise ImageError(path, f"has the axes {found}; a site has Y, X and one axis of channels")
    return [*extra, axes.index("Y"), axes.index("X")]
