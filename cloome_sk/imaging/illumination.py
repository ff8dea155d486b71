"""Illumination correction with the functions that a plate came with."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import numpy as np

from cloome_sk.imaging.reading import ImageError, read_image

# Two plates of five channels, so that sites in the order of their plates read each file once; of
# 1080 x 1080 pixels these are 47 MB in every process.
_KEPT = 10


def read_illumination(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the illumination function of a channel of a plate.

    CellProfiler's CorrectIlluminationCalculate [1]_ estimates it over the images of a plate, and
    SaveImages stores it as ``.npy``; JUMP publishes it so, one file a plate and channel.

    Parameters
    ----------
    path : str or path
        An ``.npy`` file, an ``.npz`` file with one array, or another format that `read_image`
        reads, such as a float TIFF. Pickled arrays are never loaded.

    Returns
    -------
    ndarray of float32, shape (H, W)
        How brightly each place of the field is lit, relative to others; above zero everywhere.

    Raises
    ------
    ImageError
        If the file cannot be read, does not hold one (H, W) array of numbers, or a value is not
        above zero or not finite. The message has the path and the reason.

    See Also
    --------
    illumination_function : The same, kept in memory for the next site.
    correct_illumination : Divide by the function.

    References
    ----------
    .. [1] CellProfiler modules CorrectIlluminationCalculate and SaveImages; Stirling et al.,
       "CellProfiler 4: improvements in speed, utility and usability", BMC Bioinformatics 22:433
       (2021).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from cloome_sk.imaging.illumination import read_illumination
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "IllumDNA.npy"
    ...     np.save(path, [[1.0, 1.25], [1.25, 1.5]])
    ...     function = read_illumination(path)
    >>> function
    array([[1.  , 1.25],
           [1.25, 1.5 ]], dtype=float32)
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"expected the path of an illumination function, got {path!r}.")
    function = read_image(path)
    if function.ndim == 3 and len(function) == 1:
        function = function[0]
    if function.ndim != 2:
        raise ImageError(
            str(path),
            f"has shape {function.shape}; an illumination function is (height, width), one file a "
            "channel",
        )
    n_dark = function.size - np.count_nonzero(function > 0)
    if n_dark:
        raise ImageError(
            str(path),
            f"{n_dark:,} of {function.size:,} values are zero: an image is divided by its "
            "illumination function, which must be above zero everywhere",
        )
    # A copy, since read_image may have mapped the file into memory.
    return np.array(function, dtype=np.float32)


def illumination_function(path: str | os.PathLike[str]) -> np.ndarray:
    """Give the illumination function in a file, which is read again only when it has changed.

    For thousands of sites of a plate. Each process keeps the last ten functions it used.

    Parameters
    ----------
    path : str or path
        As for `read_illumination`.

    Returns
    -------
    ndarray of float32, shape (H, W)
        The function, read-only, since all callers share it.

    Raises
    ------
    ImageError
        As `read_illumination`.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"expected the path of an illumination function, got {path!r}.")
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        # Reading says what is wrong with it.
        return read_illumination(path)
    return _kept(os.fspath(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=_KEPT)
def _kept(path: str, modified: int, size: int) -> np.ndarray:
    """The function in a file as it was written at a certain time."""
    function = read_illumination(path)
    function.setflags(write=False)
    return function


def correct_illumination(image: Any, functions: Any) -> np.ndarray:
    """Divide an image by its illumination functions, pixel by pixel.

    This is what CellProfiler's CorrectIlluminationApply [1]_ does with the method *Divide*. There,
    intensities are 0 to 1 (16-bit ones divided by 65,535), and what exceeds 1 after the division,
    which happens where the function is below 1, is clipped by default. Here, intensities keep their
    unit and nothing is clipped: the bright end is left to the scaling.

    Parameters
    ----------
    image : array-like of int or float, shape (n_channels, H, W) or (H, W)
        Intensities as the camera gave them.
    functions : array-like of float, same shape
        The function of each channel, above zero everywhere; see `read_illumination`.

    Returns
    -------
    ndarray of float32, same shape
        The corrected intensities.

    Raises
    ------
    ValueError
        If the shapes differ, or a function has values that are not above zero.
    TypeError
        If the image does not hold numbers.

    References
    ----------
    .. [1] CellProfiler module CorrectIlluminationApply; Stirling et al., "CellProfiler 4:
       improvements in speed, utility and usability", BMC Bioinformatics 22:433 (2021).

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.imaging.illumination import correct_illumination
    >>> image = np.array([[1000, 1250], [1250, 1500]], dtype=np.uint16)
    >>> correct_illumination(image, [[1, 1.25], [1.25, 1.5]])
    array([[1000., 1000.],
           [1000., 1000.]], dtype=float32)
    """
    pixels = np.asarray(image)
    if pixels.dtype.kind not in "uif":
        raise TypeError(f"the image holds {pixels.dtype}, not intensities (int or float).")
    divisors = np.asarray(functions, dtype=np.float32)
    if pixels.shape != divisors.shape or pixels.ndim not in (2, 3) or pixels.size == 0:
        raise ValueError(
            f"the image has shape {pixels.shape} and its illumination functions {divisors.shape}; "
            "both must be (n_channels, H, W), or both (H, W), with the same sizes."
        )
    # Written so that NaN fails.
    if not divisors.min() > 0:
        raise ValueError("an illumination function has values that are not above zero.")
    return np.divide(pixels, divisors, dtype=np.float32, casting="same_kind")
