"""What every image must satisfy, whichever file it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

MAX_PIXELS = 2**28
"""Default limit on the values (channels x height x width) of one image: 512 MiB as uint16."""

# Highly multiplexed assays reach some sixty channels; an image side this short is rarer.
MAX_CHANNELS = 64


class ImageError(ValueError):
    """An image that cannot be read, or is not what an image of a site must be.

    Parameters
    ----------
    path : str or None
        The file; None for an array that was given directly.
    reason : str
        What was found and, where there is something to do about it, what.

    Attributes
    ----------
    path, reason
        As given. The message is both.

    Examples
    --------
    >>> from cloome_sk.imaging import ImageError
    >>> raise ImageError("A01_s1.tif", "the file is empty (0 bytes)")
    Traceback (most recent call last):
    ...
    cloome_sk.imaging._checks.ImageError: A01_s1.tif: the file is empty (0 bytes)
    """

    def __init__(self, path: str | None, reason: str) -> None:
        # Both go to the base class: an exception is pickled, on its way out of a worker process,
        # as its class and these arguments.
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{'the array given' if self.path is None else self.path}: {self.reason}"


def sizes(shape: Iterable[int]) -> str:
    """A shape as people write it."""
    return " x ".join(str(side) for side in shape)


def check_size(path: str | None, shape: Iterable[int], max_pixels: int) -> None:
    """Refuse an image too large, or with nothing in it, by the shape its header states."""
    shape = tuple(int(side) for side in shape)
    count = math.prod(shape)
    if count > max_pixels:
        raise ImageError(
            path,
            f"holds {sizes(shape)} = {count:,} values by its header, more than "
            f"max_pixels={max_pixels:,}. Raise max_pixels if the image is meant to be this large",
        )
    if count < 1:
        raise ImageError(path, f"holds no pixel (shape {sizes(shape) or 'of a single number'})")


def channel_first(path: str | None, array: np.ndarray) -> np.ndarray:
    """Refuse an array that is neither (H, W) nor plausibly (C, H, W)."""
    if array.ndim not in (2, 3):
        raise ImageError(
            path,
            f"has {array.ndim} dimensions ({sizes(array.shape)}); an image is (height, width) or "
            "(channel, height, width)",
        )
    if array.ndim == 3:
        channels, height, width = array.shape
        if channels > MAX_CHANNELS or width < min(channels, height):
            last = width < min(channels, height)
            raise ImageError(
                path,
                f"has the shape {sizes(array.shape)}, which is not (channel, height, width): "
                + (
                    "the channels seem to come last. Transpose it to put them first"
                    if last
                    else f"there are at most {MAX_CHANNELS} channels"
                ),
            )
    return array


def intensities(path: str | None, array: np.ndarray) -> np.ndarray:
    """The array as uint8, uint16 or float32 without changing a value, or an error saying why not.

    float64 is rounded to float32, whose 24 bits exceed any camera; nothing else is rounded.
    """
    dtype = array.dtype
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return array if dtype.isnative else array.astype(dtype.newbyteorder("="))
    if dtype.kind in "iu":
        return _from_integers(path, array)
    if dtype.kind == "f":
        return _from_floats(path, array)
    found = {
        "b": "true/false values, a mask rather than an image",
        "c": f"complex numbers ({dtype.name})",
        "O": "Python objects",
    }.get(dtype.kind, f"values of type {dtype}")
    raise ImageError(path, f"holds {found}; intensities are uint8, uint16 or float32")


def _from_integers(path: str | None, array: np.ndarray) -> np.ndarray:
    _refuse_negative(path, array)
    highest = int(array.max())
    if highest > np.iinfo(np.uint16).max:
        raise ImageError(
            path,
            f"holds {array.dtype.name} values up to {highest:,}, which uint16 cannot hold. Save it "
            "as uint16 or float32",
        )
    return array.astype(np.uint8 if array.dtype.itemsize == 1 else np.uint16)


def _from_floats(path: str | None, array: np.ndarray) -> np.ndarray:
    strange = array.size - np.count_nonzero(np.isfinite(array))
    if strange:
        raise ImageError(
            path, f"{strange:,} of {array.size:,} values are not finite (NaN or infinite)"
        )
    _refuse_negative(path, array)
    if array.dtype.itemsize > 4 and array.max() > np.finfo(np.float32).max:
        raise ImageError(path, f"holds values up to {array.max():.3g}, too large for float32")
    return array.astype(np.float32, copy=False)


def _refuse_negative(path: str | None, array: np.ndarray) -> None:
    negative = np.count_nonzero(array < 0)
    if negative:
        raise ImageError(
            path,
            f"{negative:,} of {array.size:,} values are negative (lowest {array.min():g}); an "
            "intensity is not. Was a background subtracted? Clip at zero where it was",
        )


def cause(error: BaseException) -> str:
    """What a library's error says, or its kind where it says nothing."""
    text: Any = error.args[0] if len(error.args) == 1 else error
    text = " ".join(str(text).split())
    return (text if len(text) <= 200 else f"{text[:200]} ...") or type(error).__name__
