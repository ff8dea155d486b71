"""Arrays that NumPy saved: .npy and .npz, never a pickle."""

from __future__ import annotations

import zipfile
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from cloome_sk.imaging._checks import ImageError, cause, check_size, sizes

SAMPLE = "sample"
"""The key under which CLOOME's own files keep an image, channels last."""


def read_npy(file: BinaryIO, path: str, max_pixels: int) -> np.ndarray:
    """The array of an .npy file, mapped into memory: a private copy of what is written to."""
    try:
        file.seek(0)
        check_size(path, _header(file, path), max_pixels)
        # Without the subclass, which would follow the image through every operation on it.
        return np.asarray(npy.open_memmap(path, mode="c"))
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(path, f"is a broken or truncated .npy: {cause(error)}") from error


def read_npz(file: BinaryIO, path: str, max_pixels: int) -> np.ndarray:
    """The image of an .npz file: its only array, or the one that CLOOME calls ``sample``."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            wanted = f"{SAMPLE}.npy"
            if wanted not in names and len(names) != 1:
                keys = ", ".join(name.removesuffix(".npy") for name in names[:12])
                raise ImageError(
                    path,
                    f"holds {len(names)} arrays ({keys or 'none'}) and none is called {SAMPLE!r}; "
                    "an image is the only array of its file, or the one of that name",
                )
            # The other arrays of CLOOME's files are pickles; they are never touched.
            name = wanted if wanted in names else names[0]
            with archive.open(name) as member:
                check_size(path, _header(member, path), max_pixels)
            with archive.open(name) as member:
                array = npy.read_array(member, allow_pickle=False)
                # Reading on to the end also makes zipfile compare the checksum.
                if member.read(1):
                    raise ImageError(path, "holds an array with more bytes than its header states")
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(path, f"is a broken or truncated .npz: {cause(error)}") from error
    return _channels_from_last(path, array) if name == wanted else array


def _header(file: Any, path: str) -> tuple[int, ...]:
    """Shape of the array that follows; an error for pickled objects."""
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ImageError(path, f"has the .npy format {version}, whose fields have names")
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ImageError(
            path,
            "holds pickled Python objects, which are never loaded: unpickling runs code of the "
            "file's choosing. Save a numeric array",
        )
    return shape


def _channels_from_last(path: str, array: np.ndarray) -> np.ndarray:
    """CLOOME's (H, W, C) as (C, H, W)."""
    if array.ndim == 3 and array.shape[2] >= min(array.shape[:2]):
        raise ImageError(
            path,
            f"its array {SAMPLE!r} has the shape {sizes(array.shape)}; under this name CLOOME "
            "keeps (height, width, channel). Save a channel-first image under another name, such "
            "as 'image'",
        )
    return np.ascontiguousarray(np.moveaxis(array, 2, 0)) if array.ndim == 3 else array
