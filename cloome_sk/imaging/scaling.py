"""From the depth of a camera to 8 bit: which intensity becomes white, which black."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

SCALINGS = ("cloome", "cloome-package", "percentile", "plate", "none")
"""What `scale_image` knows."""

PERCENTILES = (0.1, 99.9)
"""Percentiles of the pixels that become 0 and 255, unless others are asked for."""

# Share of the pixels of a channel that saturate, in percent, and the factor.
_SATURATION = {"cloome": (0.0028, 256), "cloome-package": (0.01, 255)}

# Pixels worked on at a time: 256 KiB as float32, which the second-level cache of a core holds.
_BLOCK = 2**16


def scale_image(
    image: Any,
    scaling: str = "cloome",
    *,
    limits: Any = None,
    percentiles: tuple[float, float] | None = None,
) -> np.ndarray:
    """Scale the channels of an image to 8 bit, each for itself.

    ================== ============================================ ==============================
    scaling            high, the intensity that saturates           8-bit value of intensity x
    ================== ============================================ ==============================
    ``cloome``         smallest of the brightest 0.0028 % of pixels floor(x · 256 / high)
    ``cloome-package`` smallest of the brightest 0.01 % of pixels   floor(x · 255 / high)
    ``percentile``     99.9th percentile (low: the 0.1th)           floor((x - low) · 255 /
                                                                    (high - low))
    ``plate``          `limits`, as of `pixel_limits`               the same
    ``none``           none                                         x, whatever its type
    ================== ============================================ ==============================

    All values are clipped to 0 and 255. ``cloome`` is what the images of the CLOOME paper [1]_
    were made with (``src/preprocess/preprocess_image.py`` of its code); ``cloome-package`` is what
    the authors' later inference class does (``src/cloome/model.py``), and gives brighter images
    than those the published weights were trained on.

    Parameters
    ----------
    image : array-like of int or float, shape (n_channels, H, W) or (H, W)
        Finite intensities of any depth.
    scaling : str, default="cloome"
        One of `SCALINGS`.
    limits : array-like of float, shape (n_channels, 2), optional
        For ``"plate"`` only: low and high of each channel; shape (2,) for an image (H, W).
    percentiles : (float, float), optional
        For ``"percentile"`` only: those that become 0 and 255, each 0 to 100. `PERCENTILES` by
        default.

    Returns
    -------
    ndarray of uint8, same shape
        The scaled image; for ``"none"``, the image itself.

    Raises
    ------
    ValueError
        If the scaling is unknown, the image has another number of dimensions, no pixels, or values
        that are not finite, or if limits or percentiles are missing, misplaced or impossible.
    TypeError
        If the image does not hold numbers.

    Notes
    -----
    *How many pixels saturate*: the share of H · W, rounded half to even as the authors do, but
    never less than one. Theirs rounds to none below 17,858 pixels (134 x 134), and then makes the
    whole image white. Pixels that tie with the last of them saturate as well.

    *Where high is low*, as in a channel without light, there is nothing to scale by: what exceeds
    it becomes 255, all else 0. A channel that is zero everywhere so stays zero. A constant channel
    above zero is its own threshold, hence white in the first two scalings.

    *Rounding*: results are those of the formula in double precision, for every depth. The authors'
    code multiplies by the rounded quotient 256 / high instead, which makes 19,017 of the two
    thousand million pairs of 16-bit intensity and threshold one grey level darker.

    *A percentile* is the smallest intensity that at least so many percent of the pixels do not
    exceed, hence always the intensity of a pixel.

    References
    ----------
    .. [1] Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases
       for queries with chemical structures", Nat Commun 14:7339 (2023).

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.imaging.scaling import scale_image
    >>> image = np.array([[0, 100, 200, 4000]], dtype=np.uint16)
    >>> scale_image(image)
    array([[  0,   6,  12, 255]], dtype=uint8)
    >>> scale_image(image, "plate", limits=[100, 300])
    array([[  0,   0, 127, 255]], dtype=uint8)
    """
    if scaling not in SCALINGS:
        raise ValueError(f"scaling={scaling!r} is unknown; there are {', '.join(SCALINGS)}.")
    if limits is not None and scaling != "plate":
        raise ValueError(f"limits= goes with scaling='plate', not with {scaling!r}.")
    if percentiles is not None and scaling != "percentile":
        raise ValueError(f"percentiles= goes with scaling='percentile', not with {scaling!r}.")
    image = _checked(image)
    if scaling == "none":
        return image
    channels = image.reshape(-1, *image.shape[-2:])
    if scaling == "plate":
        bounds = _checked_limits(limits, len(channels))
    elif scaling == "percentile":
        low_and_high = _checked_percentiles(*(percentiles or PERCENTILES))
        bounds = [_percentiles(channel, low_and_high) for channel in channels]
    else:
        share, _ = _SATURATION[scaling]
        n_bright = max(1, round(channels[0].size * (share / 100)))
        # Below zero there is no light: a threshold there would turn the image to its negative.
        bounds = [(0.0, max(0.0, _brightest(channel, n_bright))) for channel in channels]
    _, factor = _SATURATION.get(scaling, (None, 255))
    out = np.empty(channels.shape, dtype=np.uint8)
    for channel, (low, high), scaled in zip(channels, bounds, out, strict=True):
        _stretch(channel.reshape(-1), low, high, factor, out=scaled.reshape(-1))
    return out.reshape(image.shape)


def pixel_limits(
    images: Iterable[Any], low: float = PERCENTILES[0], high: float = PERCENTILES[1]
) -> np.ndarray:
    """Find the intensities between which most pixels of a set of images lie, channel by channel.

    Meant for the negative controls of a plate: with these limits, ``scale_image(image, "plate",
    limits=limits)`` takes the difference between plates away and leaves that between treatments.
    The images are gone through once, and are never in memory together.

    Parameters
    ----------
    images : iterable of array-like, each of shape (n_channels, H, W)
        Images of the same channels; heights and widths may differ. Either all hold unsigned
        integers of 8 or 16 bit, or all hold floats.
    low, high : float, default=0.1 and 99.9
        Percentiles of the pixels of all images taken together, 0 to 100.

    Returns
    -------
    ndarray of float64, shape (n_channels, 2)
        Low and high of each channel. Of integers exact, by counting each intensity: the smallest
        that at least so many percent of the pixels do not exceed. Of floats, which have too many
        distinct values to count, that percentile rounded down to 12 significant bits, up to 1 part
        in 2,048 less; what is below zero counts as zero.

    Raises
    ------
    ValueError
        If there are no images, the images differ in channels or depth, hold values that are not
        finite, or the percentiles are impossible.
    TypeError
        If an image holds neither floats nor unsigned integers of 8 or 16 bit.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.imaging.scaling import pixel_limits
    >>> controls = (np.arange(2000, dtype=np.uint16).reshape(2, 20, 50) for site in range(4))
    >>> pixel_limits(controls, 1, 99)
    array([[   9.,  989.],
           [1009., 1989.]])
    """
    wanted = _checked_percentiles(low, high)
    counts: np.ndarray | None = None
    floats = False
    for place, image in enumerate(images):
        pixels = _checked(image, f"image {place}")
        if pixels.ndim != 3:
            raise ValueError(f"image {place} has shape {pixels.shape}, not (n_channels, H, W).")
        kind, size = pixels.dtype.kind, pixels.dtype.itemsize
        if kind != "f" and (kind != "u" or size > 2):
            raise TypeError(
                f"image {place} holds {pixels.dtype}; limits are found for float, uint8 and uint16."
            )
        if counts is None:
            floats = kind == "f"
            counts = np.zeros((len(pixels), 2**19 if floats else 2**16), dtype=np.int64)
        elif len(counts) != len(pixels):
            raise ValueError(
                f"image {place} has {len(pixels)} channels, those before it {len(counts)}."
            )
        elif floats != (kind == "f"):
            raise ValueError(
                f"image {place} holds {pixels.dtype}, those before it "
                f"{'floats' if floats else 'integers'}; limits are of one scale."
            )
        for channel, count in zip(pixels.reshape(len(pixels), -1), counts, strict=True):
            _add_counts(count, channel)
    if counts is None:
        raise ValueError("there are no images to find limits of.")
    totals = np.cumsum(counts, axis=1)
    found = np.array([np.searchsorted(total, _ranks(total[-1], wanted)) for total in totals])
    if floats:
        found = (found.astype(np.uint32) << _SHIFT).view(np.float32)
    return found.astype(np.float64)


def _checked(image: Any, name: str = "the image") -> np.ndarray:
    """The image as an array of finite numbers in native byte order."""
    pixels = np.asarray(image)
    if pixels.dtype.kind not in "uif":
        raise TypeError(f"{name} holds {pixels.dtype}, not intensities (int or float).")
    if pixels.ndim not in (2, 3):
        raise ValueError(f"{name} has shape {pixels.shape}, not (n_channels, H, W) or (H, W).")
    if pixels.size == 0:
        raise ValueError(f"{name} has shape {pixels.shape}, hence no pixels.")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        n_bad = pixels.size - np.count_nonzero(np.isfinite(pixels))
        raise ValueError(f"{n_bad} of {pixels.size} pixels of {name} are NaN or infinite.")
    return pixels if pixels.dtype.isnative else pixels.astype(pixels.dtype.newbyteorder("="))


def _checked_limits(limits: Any, n_channels: int) -> list[tuple[float, float]]:
    """Low and high of each channel."""
    if limits is None:
        raise ValueError(
            "scaling='plate' needs limits=, shape (n_channels, 2); pixel_limits finds them."
        )
    given = np.asarray(limits, dtype=np.float64)
    if given.shape == (2,) and n_channels == 1:
        given = given[np.newaxis]
    if given.shape != (n_channels, 2):
        raise ValueError(f"limits has shape {given.shape}, not ({n_channels}, 2).")
    for channel, (low, high) in enumerate(given.tolist()):
        # Written so that NaN fails; the difference is infinite where a limit is.
        if not (low <= high and np.isfinite(high - low)):
            raise ValueError(
                f"limits of channel {channel} are {low} and {high}; they must be finite, the lower "
                "one first."
            )
    return [(low, high) for low, high in given.tolist()]


def _checked_percentiles(low: float, high: float) -> tuple[float, float]:
    if not 0 <= low < high <= 100:
        raise ValueError(f"percentiles must be 0 <= low < high <= 100, got {low} and {high}.")
    return low, high


def _brightest(channel: np.ndarray, n_pixels: int) -> float:
    """Smallest of the brightest pixels of a channel (H, W)."""
    width = channel.shape[1]
    if 8 * n_pixels <= width:
        # The maxima of the columns are cheap to find. As many columns as pixels are asked for
        # reach the same number of maxima, so the threshold is no lower than the last of these, and
        # what exceeds it stands in these columns.
        maxima = channel.max(axis=0)
        reached = np.partition(maxima, width - n_pixels)[width - n_pixels]
        channel = channel[:, maxima >= reached]
    pixels = channel.reshape(-1)
    return float(np.partition(pixels, pixels.size - n_pixels)[pixels.size - n_pixels])


def _ranks(n_pixels: int, percentiles: tuple[float, float]) -> np.ndarray:
    """How many pixels, counted from the darkest, so many percent of all are."""
    ranks = np.ceil(n_pixels * np.array(percentiles, dtype=np.float64) / 100)
    return np.maximum(1, ranks).astype(np.int64)


def _percentiles(channel: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    first, last = _ranks(channel.size, percentiles) - 1
    # One place at a time: for two, NumPy leaves its vectorised selection, ten times slower.
    pixels = np.partition(channel.reshape(-1), last)
    high = float(pixels[last])
    pixels[: last + 1].partition(first)
    return float(pixels[first]), high


@cache
def _constant(value: int, dtype: Any) -> np.ndarray:
    """A block of one value: np.minimum with an array takes half the time of one with a number."""
    block = np.full(_BLOCK, value, dtype=dtype)
    block.setflags(write=False)
    return block


def _stretch(pixels: np.ndarray, low: float, high: float, factor: int, out: np.ndarray) -> None:
    """Write floor((pixels - low) · factor / (high - low)), clipped to 0 and 255, to `out`."""
    divisor = (high - low) / 256
    if divisor == 0:
        np.multiply(pixels > low, np.uint8(255), out=out)
        return
    # float32 is exact here where intensities and limits are integers of 16 bit. The product is an
    # integer below 2^24, hence exact, and so is the divisor. Their quotient q lies below an integer
    # k <= 256 by 1 / (high - low) at least, if it is not k itself. That exceeds k · 2^-24, while
    # two floats around q are k · 2^-23 apart at most: q is never rounded up to k.
    exact = (
        pixels.dtype.kind == "u"
        and pixels.dtype.itemsize <= 2
        and all(limit.is_integer() and 0 <= limit < 2**16 for limit in (low, high))
    )
    dtype = np.float32 if exact else np.float64
    black, white = _constant(0, dtype), _constant(255, dtype)
    block = np.empty(min(_BLOCK, pixels.size), dtype=dtype)
    for start in range(0, pixels.size, _BLOCK):
        part = pixels[start : start + _BLOCK]
        values = block[: part.size]
        np.copyto(values, part)
        if low:
            np.subtract(values, low, out=values)
        if factor != 256:
            # Both sides are divided by 256, a power of two, which changes no rounding.
            np.multiply(values, factor / 256, out=values)
        np.divide(values, divisor, out=values)
        np.minimum(values, white[: part.size], out=values)
        if low or pixels.dtype.kind != "u":
            np.maximum(values, black[: part.size], out=values)
        np.copyto(out[start : start + _BLOCK], values, casting="unsafe")


# Floats are counted by the first 19 bits after their sign as float32, which are ordered as the
# numbers are: 8 of the exponent and 11 of the fraction, which make 12 significant ones.
_SHIFT = 12


def _bins(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype.kind == "u":
        return pixels
    # The absolute value turns negative zeros into positive ones.
    lit = np.abs(np.maximum(pixels, 0), dtype=np.float32)
    return (lit.view(np.uint32) >> _SHIFT).astype(np.intp)


def _add_counts(counts: np.ndarray, pixels: np.ndarray) -> None:
    """Count each intensity of a channel."""
    bins = _bins(pixels)
    # Counting from the first bin in use keeps the counted range within the caches.
    first = int(bins.min())
    found = np.bincount(bins - bins.dtype.type(first))
    counts[first : first + len(found)] += found
