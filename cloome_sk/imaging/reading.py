"""Image files as arrays: one reader for the formats that microscopes and archives use."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cloome_sk.imaging._checks import (
    MAX_PIXELS,
    ImageError,
    channel_first,
    check_size,
    intensities,
)
from cloome_sk.imaging._plain_tiff import parse_plain_tiff, read_plain_tiff

__all__ = ["MAX_PIXELS", "ImageError", "read_image", "stored_channels"]

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"

Source = str | os.PathLike[str] | np.ndarray


def read_image(source: Source, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read the image of one site from a file.

    Parameters
    ----------
    source : str, path or ndarray
        A TIFF (also BigTIFF, multi-page, OME-TIFF), PNG, JPEG, ``.npy`` or ``.npz`` file, or the
        folder of an OME-Zarr image. The content decides which, not the file's ending. An array is
        checked in the same way.
    max_pixels : int, default=2**28
        Largest number of values (channels x height x width) an image may have. It is compared with
        the file's header before anything is unpacked, so that a small file cannot fill the memory.

    Returns
    -------
    ndarray, shape (H, W) or (C, H, W), dtype uint8, uint16 or float32
        The values as they are stored, not scaled. One channel gives (H, W); several, the three of
        an RGB image among them, come first. An ``.npy`` file is mapped into memory, so its values
        are read when they are used; an array that needs no conversion is returned itself.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated, of no known format or larger than `max_pixels`;
        if it is a Z stack, a time series, a mask, or has a palette or transparency; if it holds
        NaN, infinite or negative values, or integers above 65535. The message begins with the
        path.
    TypeError
        If `source` is neither a path nor an array.
    ValueError
        If `max_pixels` is not a positive integer.

    See Also
    --------
    stored_channels : The names of the channels, where the file states them.

    Notes
    -----
    * 8 and 16-bit integers keep their type, 12-bit ones become uint16. Other integers become uint8
      or uint16 if every value fits, and float64 is rounded to float32.
    * The pages of a TIFF that says nothing about them are its channels, in their order; those of an
      OME-TIFF come in the order of its channels. A file that is one plane of a larger OME set is
      read as this plane.
    * In an ``.npz`` the image is the only array (channels first) or the one called ``sample``, in
      which CLOOME's files keep (H, W, C). Pickled arrays are never loaded.
    * An OME-Zarr is read at its highest resolution. A chunk that is absent has the fill value, as
      the format defines it; an image without any chunk is refused.
    * Orientation and colour profiles of PNG and JPEG files are not applied.
    * TIFFs compressed by LZW, Zstandard and others need the optional package imagecodecs, OME-Zarr
      needs zarr: ``pip install "cloome_sk[images]"`` brings both.

    Examples
    --------
    >>> import tempfile, numpy as np, tifffile
    >>> from cloome_sk.imaging import read_image
    >>> with tempfile.NamedTemporaryFile(suffix=".tif") as file:
    ...     tifffile.imwrite(file, np.full((5, 20, 30), 700, "uint16"), photometric="minisblack")
    ...     image = read_image(file.name)
    >>> image.shape, image.dtype
    ((5, 20, 30), dtype('uint16'))
    """
    if not isinstance(max_pixels, Integral) or isinstance(max_pixels, bool) or max_pixels < 1:
        raise ValueError(f"max_pixels={max_pixels!r} is not a positive integer")
    if isinstance(source, np.ndarray):
        check_size(None, source.shape, int(max_pixels))
        return intensities(None, channel_first(None, source))
    path = _path(source)
    image = _stored(path, int(max_pixels))
    # Of a mapped file in C order this copies nothing.
    image = np.ascontiguousarray(intensities(path, channel_first(path, image)))
    return image[0] if image.ndim == 3 and len(image) == 1 else image


def stored_channels(path: str | os.PathLike[str]) -> tuple[str, ...] | None:
    """The names of an image's channels, as far as its file states them.

    Parameters
    ----------
    path : str or path
        An image file or OME-Zarr folder.

    Returns
    -------
    tuple of str or None
        One name for each channel of :func:`read_image`, spelled as in the file; None if the format
        has no names (all but OME-TIFF and OME-Zarr), or not every channel of the file has one.

    Raises
    ------
    ImageError
        If the file is missing or broken.
    TypeError
        If `path` is not a path.

    Examples
    --------
    >>> import tempfile, numpy as np, tifffile
    >>> from cloome_sk.imaging import Channels, stored_channels
    >>> with tempfile.NamedTemporaryFile(suffix=".ome.tif") as file:
    ...     tifffile.imwrite(
    ...         file, np.zeros((2, 20, 30), "uint16"), ome=True, photometric="minisblack",
    ...         metadata={"axes": "CYX", "Channel": {"Name": ["Hoechst", "Ph_golgi"]}},
    ...     )
    ...     names = stored_channels(file.name)
    >>> names, Channels(names)
    (('Hoechst', 'Ph_golgi'), Channels('DNA', 'AGP'))
    """
    path = _path(path)
    if os.path.isdir(path):
        from cloome_sk.imaging._ome_zarr import zarr_channels

        _refuse_folder(path)
        return zarr_channels(path)
    with _open(path) as file:
        if not _beginning(file, path).startswith(_TIFF):
            return None
        from cloome_sk.imaging._tiff import tiff_channels

        return tiff_channels(file, path)


def _stored(path: str, max_pixels: int) -> np.ndarray:
    """The image as the reader of its format gives it."""
    # Readers are imported where they are needed: a table of TIFFs loads no Pillow and no zarr.
    try:
        file = _open(path)
    except ImageError:
        if not os.path.isdir(path):
            raise
        from cloome_sk.imaging._ome_zarr import read_ome_zarr

        _refuse_folder(path)
        return read_ome_zarr(path, max_pixels)
    with file:
        beginning = _beginning(file, path)
        if beginning.startswith(_TIFF):
            size = os.fstat(file.fileno()).st_size
            layout = parse_plain_tiff(file)
            if layout is not None:
                image = read_plain_tiff(file, path, size, layout, max_pixels)
                if image is not None:
                    return image
            from cloome_sk.imaging._tiff import read_tiff

            return read_tiff(file, path, size, max_pixels)
        if beginning.startswith((_PNG, _JPEG)):
            from cloome_sk.imaging._pictures import read_picture

            return read_picture(file, path, max_pixels)
        from cloome_sk.imaging._arrays import read_npy, read_npz

        if beginning.startswith(_NPY):
            return read_npy(file, path, max_pixels)
        if beginning.startswith(_ZIP):
            return read_npz(file, path, max_pixels)
    raise ImageError(
        path,
        f"is no image of a known format: it begins with {beginning!r}. Known are TIFF, PNG, JPEG, "
        ".npy, .npz and OME-Zarr",
    )


def _path(source: str | os.PathLike[str]) -> str:
    path = os.fspath(source) if isinstance(source, str | os.PathLike) else None
    if not isinstance(path, str):
        raise TypeError(f"an image is given as a path or an array, got {type(source).__name__}")
    return path


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        remote = "; remote addresses are not read, download it first" if "://" in path else ""
        where = "" if remote or os.path.isabs(path) else f" in the current folder, {os.getcwd()}"
        raise ImageError(path, f"there is no such file{where}{remote}") from None
    except (OSError, ValueError) as error:
        raise ImageError(path, f"cannot be opened: {error}") from error


def _beginning(file: BinaryIO, path: str) -> bytes:
    beginning = file.read(16)
    if not beginning:
        raise ImageError(path, "the file is empty (0 bytes)")
    return beginning


def _refuse_folder(path: str) -> None:
    from cloome_sk.imaging._ome_zarr import is_zarr

    if not is_zarr(Path(path)):
        raise ImageError(path, "is a folder, not an image file, and no OME-Zarr either")
