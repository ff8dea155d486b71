"""Smaller images by averaging areas."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np


def resize_image(image: Any, size: tuple[int, int]) -> np.ndarray:
    """Shrink an image: each new pixel is the mean of the area it covers.

    Light is conserved: the mean of the image stays what it was, up to rounding, and no pixel is
    left out, as happens where a filter samples a few of them. An old pixel that lies on the border
    of two new ones counts for each by the part that lies in it. (The ``BOX`` filter of Pillow
    counts a pixel wholly or not at all, which is the same for whole ratios only.)

    Parameters
    ----------
    image : array-like of int or float, shape (..., H, W)
        Intensities; leading axes, such as channels, stay.
    size : (int, int)
        New height and width, no larger than the old ones. The aspect ratio may change.

    Returns
    -------
    ndarray of the same dtype, shape (..., height, width)
        The shrunken image. Of integers, the mean is rounded to the nearest integer, from halfway
        to the even one; it is computed without error below 2^53, for 16 bit up to 370,000 pixels
        a side.

    Raises
    ------
    ValueError
        If a side would grow or vanish, or the image has fewer than two dimensions or no pixels.
    TypeError
        If the image does not hold numbers or the size is not two whole numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.imaging.resizing import resize_image
    >>> image = np.array([[10, 20, 30, 40], [30, 40, 50, 60]], dtype=np.uint16)
    >>> resize_image(image, (1, 2))
    array([[25, 45]], dtype=uint16)
    """
    pixels = np.asarray(image)
    if pixels.dtype.kind not in "uif":
        raise TypeError(f"the image holds {pixels.dtype}, not intensities (int or float).")
    if pixels.ndim < 2 or pixels.size == 0:
        raise ValueError(f"the image has shape {pixels.shape}, not (..., H, W) with pixels.")
    height, width = _checked_size(size, pixels.shape[-2:])
    if pixels.shape[-2:] == (height, width):
        return pixels.copy()
    rows = _overlaps(pixels.shape[-2], height)
    columns = _overlaps(pixels.shape[-1], width)
    planes = pixels.reshape(-1, *pixels.shape[-2:])
    out = np.empty((len(planes), height, width), dtype=pixels.dtype)
    exact = np.empty(planes.shape[1:])
    for plane, shrunken in zip(planes, out, strict=True):
        np.copyto(exact, plane)
        # Sums come first and the division last: sums of integers are exact.
        sums = rows @ exact
        sums = columns @ np.ascontiguousarray(sums.T)
        sums /= plane.size
        if out.dtype.kind != "f":
            np.rint(sums, out=sums)
        np.copyto(shrunken, sums.T, casting="unsafe")
    return out.reshape(*pixels.shape[:-2], height, width)


def _checked_size(size: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """The new height and width, if they are no larger than the old ones."""
    sides = np.asarray(size)
    if sides.shape != (2,) or sides.dtype.kind not in "iu":
        raise TypeError(f"size must be (height, width) in whole pixels, got {size!r}.")
    height, width = sides.tolist()
    if height < 1 or width < 1:
        raise ValueError(f"size={(height, width)} leaves no pixels.")
    if height > shape[0] or width > shape[1]:
        raise ValueError(
            f"size={(height, width)} is larger than the image of {shape[0]}x{shape[1]} pixels; "
            "images are shrunk, never enlarged, which would make detail up."
        )
    return height, width


@lru_cache(maxsize=64)
def _overlaps(n_old: int, n_new: int) -> Any:
    """How much of each old row lies in each new one, in units of 1 / n_new: sparse (n_new, n_old).

    In these units an old row is n_new long and a new one n_old, so all borders are integers.
    """
    from scipy.sparse import csr_array

    tops = n_old * np.arange(n_new)[:, np.newaxis]
    old = tops // n_new + np.arange(-(-n_old // n_new) + 1)
    overlap = np.minimum((old + 1) * n_new, tops + n_old) - np.maximum(old * n_new, tops)
    new, step = np.nonzero(overlap > 0)
    return csr_array(
        (overlap[new, step].astype(np.float64), (new, old[new, step])), shape=(n_new, n_old)
    )
