"""Shape and dtype of image files, from their headers: no pixel is read, nothing is unpickled."""

from __future__ import annotations

import os
import warnings
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy

_THREADS = 8
"""Most of the time goes into waiting for the disk."""


class Header(NamedTuple):
    """What a file says of its image."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{' x '.join(map(str, self.shape))} {self.dtype}"


def read_headers(files: np.ndarray, read: Callable[[str], Header]) -> list[Header | str | None]:
    """Headers of an object array of paths: None where there is none, the reason if unreadable."""

    def attempt(path: str | None) -> Header | str | None:
        if path is None:
            return None
        try:
            return read(path)
        # tifffile's own error is a ValueError, Pillow's an OSError, except for its bomb.
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            return f"{path}: {type(error).__name__}: {error}"
        except Exception as error:
            if type(error).__name__ != "DecompressionBombError":
                raise
            return f"{path}: {error}"

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(attempt, files.ravel(), chunksize=64))


def image(path: str) -> Header:
    """Header of a TIFF, npy, npz with one array, or whatever Pillow knows."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in (".tif", ".tiff"):
        import tifffile

        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            return Header(tuple(map(int, series.shape)), str(series.dtype))
    if suffix == ".npy":
        with open(path, "rb") as stream:
            return _npy(stream)
    if suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise ValueError(f"holds {len(names)} arrays instead of one")
            with archive.open(names[0]) as member:
                return _npy(member)
    if suffix == ".zarr":
        raise ValueError("shapes of .zarr are not checked; leave check_shapes=False")
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as picture:
            bands = picture.getbands()
            shape = (picture.height, picture.width) + ((len(bands),) if len(bands) > 1 else ())
            return Header(shape, picture.mode)


def npz_sample(path: str) -> Header:
    """Header of the array ``sample`` of an npz."""
    with zipfile.ZipFile(path) as file, file.open("sample.npy") as stream:
        return _npy(stream)


def _npy(stream: IO[bytes]) -> Header:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"npy format {version} is not known")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    return Header(tuple(shape), str(dtype))
