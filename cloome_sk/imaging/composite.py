"""One colour picture of the channels of a site."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cloome_sk.imaging.channels import Channels, channel_name
from cloome_sk.imaging.scaling import scale_image

COLOURS: Mapping[str, tuple[float, float, float]] = {
    "DNA": (0.0, 0.25, 1.0),
    "ER": (0.0, 0.7, 0.1),
    "RNA": (0.3, 0.4, 0.0),
    "AGP": (0.9, 0.35, 0.0),
    "Mito": (0.85, 0.0, 0.45),
    "Tubulin": (0.0, 0.75, 0.0),
    "Actin": (0.9, 0.1, 0.0),
}
"""Red, green and blue, 0 to 1, of what is brightest in each channel."""

# For channels of other names, in their order: white, cyan, yellow, magenta.
_OTHERS = ((0.6, 0.6, 0.6), (0.0, 0.65, 0.65), (0.6, 0.6, 0.0), (0.65, 0.0, 0.65))

PERCENTILES = (1.0, 99.8)
"""Percentiles of the pixels of a channel that become black and bright, unless limits are given."""


def composite(
    image: Any,
    channels: Iterable[str],
    *,
    colours: Mapping[str, tuple[float, float, float]] | None = None,
    limits: Any = None,
) -> np.ndarray:
    """Draw the channels of a site as one colour picture, as microscopists overlay them.

    Each channel is stretched from black to its colour, and the colours are added as light is. In
    Cell Painting, nuclei are blue, the endoplasmic reticulum green, RNA a dim yellow, actin, Golgi
    and plasma membrane orange, mitochondria magenta; elsewhere tubulin is green and actin red.

    The picture is for looking at. Every channel of every image has limits of its own by default, so
    brightness says nothing about the amount of stain; give the same `limits` to images that are to
    be compared.

    Parameters
    ----------
    image : array-like of int or float, shape (n_channels, H, W)
        Finite intensities, of any depth.
    channels : iterable of str, length n_channels
        Names of the channels, in any spelling that `channel_name` knows. Those without a colour in
        `COLOURS` get white, cyan, yellow and magenta in turn.
    colours : mapping of str to (float, float, float), optional
        Red, green and blue, 0 to 1, by channel, in place of those in `COLOURS`; three zeros leave
        a channel out.
    limits : array-like of float, shape (n_channels, 2), optional
        Intensities that become black and bright. By default the 1st and the 99.8th percentile of
        the pixels of each channel.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        The picture. Where added colours exceed what a screen can show, all three parts are reduced
        alike, so that bright cells keep their hue instead of turning white.

    Raises
    ------
    ValueError
        If the image is not (n_channels, H, W) with one name a channel, or the names repeat; if a
        colour is not three numbers from 0 to 1 or is of a channel that is not there; if limits
        have another shape or order, or values are not finite.
    TypeError
        If the image does not hold numbers, or a name is not a string.

    Notes
    -----
    About one man in twelve tells red from green badly. Five stains that overlap cannot be told
    apart by every eye in one picture; showing fewer channels helps most. Of the palettes for three,
    cyan, magenta and yellow on black serves nearly everybody::

        composite(
            image[:3],
            ["DNA", "ER", "Mito"],
            colours={"DNA": (0, 0.7, 0.7), "ER": (0.6, 0.6, 0), "Mito": (0.7, 0, 0.7)},
        )

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.imaging.composite import composite
    >>> image = np.array([[[0, 100, 200]], [[0, 0, 60]]], dtype=np.uint16)
    >>> composite(image, ["DAPI", "Actin"], limits=[[0, 100], [0, 60]])
    array([[[  0,   0,   0],
            [  0,  64, 255],
            [230,  89, 255]]], dtype=uint8)
    """
    pixels = np.asarray(image)
    names = Channels(channels).names
    if pixels.ndim != 3 or len(pixels) != len(names):
        raise ValueError(
            f"the image has shape {pixels.shape}, not (n_channels, H, W) with the {len(names)} "
            f"channels {', '.join(names)}."
        )
    palette = _palette(names, colours or {})
    if limits is None:
        stretched = scale_image(pixels, "percentile", percentiles=PERCENTILES)
    else:
        stretched = scale_image(pixels, "plate", limits=limits)
    light = np.zeros((3, *pixels.shape[1:]), dtype=np.float32)
    for channel, colour in zip(stretched, palette, strict=True):
        light += colour[:, np.newaxis, np.newaxis] * channel
    light /= np.maximum(1, light.max(axis=0) / 255)
    return np.ascontiguousarray(np.rint(light).astype(np.uint8).transpose(1, 2, 0))


def _palette(names: tuple[str, ...], colours: Mapping[str, Any]) -> np.ndarray:
    """Red, green and blue of each channel, float32 (n_channels, 3)."""
    wanted = {channel_name(name): colour for name, colour in colours.items()}
    # A palette may serve several assays, but a name that no assay uses is a slip of the pen.
    if strange := sorted(set(wanted) - set(names) - set(COLOURS)):
        raise ValueError(
            f"colours= names {', '.join(strange)}; the channels are {', '.join(names)}."
        )
    palette = []
    n_others = 0
    for name in names:
        colour = wanted.get(name, COLOURS.get(name))
        if colour is None:
            colour = _OTHERS[n_others % len(_OTHERS)]
            n_others += 1
        parts = np.asarray(colour)
        if parts.shape != (3,) or parts.dtype.kind not in "uif" or not _within(parts):
            raise ValueError(
                f"the colour of {name} must be (red, green, blue), each 0 to 1, got {colour!r}."
            )
        palette.append(parts)
    return np.array(palette, dtype=np.float32)


def _within(parts: np.ndarray) -> bool:
    return bool(((parts >= 0) & (parts <= 1)).all())
