"""What sizes of crops, and what ranges of zoom, there are."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

from torch import Tensor


def image_size(size: int | tuple[int, int] | None, purpose: str) -> tuple[int, int] | None:
    """Give a size in pixels as (height, width).

    Parameters
    ----------
    size : int, (height, width) or None
        One number is both sides.
    purpose : str
        Whose size it is, for the error.

    Returns
    -------
    (int, int) or None
        Height and width.

    Raises
    ------
    ValueError
        If it is neither a whole number of at least 1 nor two of them.

    Examples
    --------
    >>> from cloome_sk.networks.view_sizes import image_size
    >>> image_size(64, "ImageNetwork"), image_size((520, 696), "ImageNetwork")
    ((64, 64), (520, 696))
    """
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    whole = all(isinstance(side, Integral) and not isinstance(side, bool) for side in sides)
    if len(sides) != 2 or not whole or min(sides) < 1:
        raise ValueError(
            f"{purpose}: crop must be a whole number of pixels of at least 1, or two of them "
            f"(height, width), got {size!r}."
        )
    return int(sides[0]), int(sides[1])


def check_large_enough(images: Tensor, smallest: int, purpose: str) -> None:
    """Refuse images that a network would shrink to nothing.

    Parameters
    ----------
    images : Tensor, shape (..., H, W)
        Images.
    smallest : int
        Pixels a side that the network needs.
    purpose : str
        Whose size it is, for the error.

    Raises
    ------
    ValueError
        If a side has fewer.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.view_sizes import check_large_enough
    >>> check_large_enough(torch.zeros(1, 5, 32, 16), 16, "SmallCNN")
    """
    height, width = images.shape[-2:]
    if min(height, width) < smallest:
        raise ValueError(
            f"{purpose} needs images of at least {smallest} x {smallest} pixels, got "
            f"{height} x {width}."
        )


def zoom_range(zoom: Sequence[float] | None, purpose: str) -> tuple[float, float] | None:
    """Give the shares of a field between which a zoom is drawn, as two floats.

    Parameters
    ----------
    zoom : (float, float) or None
        The smallest and the largest.
    purpose : str
        Whose zoom it is, for the error.

    Returns
    -------
    (float, float) or None
        The two.

    Raises
    ------
    ValueError
        If they are not two numbers with 0 < smallest <= largest <= 1.

    Examples
    --------
    >>> from cloome_sk.networks.view_sizes import zoom_range
    >>> zoom_range((0.5, 1), "ImageNetwork")
    (0.5, 1.0)
    """
    if zoom is None:
        return None
    pair = isinstance(zoom, Sequence) and len(zoom) == 2
    numbers = pair and all(isinstance(share, Real) for share in zoom)
    if not numbers or not 0.0 < zoom[0] <= zoom[1] <= 1.0:
        raise ValueError(
            f"{purpose}: zoom must be two shares of the sides of the field, the smallest and the "
            f"largest, both above 0 and at most 1, got {zoom!r}."
        )
    return float(zoom[0]), float(zoom[1])


def check_fits(crop: tuple[int, int], pixels: Tensor) -> None:
    """Refuse a crop that is larger than the field.

    Parameters
    ----------
    crop : (height, width)
        Size of the crop.
    pixels : Tensor, shape (..., H, W)
        The fields.

    Raises
    ------
    ValueError
        If the crop is higher or wider than the field.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.view_sizes import check_fits
    >>> check_fits((64, 64), torch.zeros(1, 5, 100, 60))
    Traceback (most recent call last):
    ValueError: A crop of 64 x 64 pixels does not fit into a field of 100 x 60 pixels (height x ...
    """
    height, width = pixels.shape[-2:]
    if crop[0] > height or crop[1] > width:
        raise ValueError(
            f"A crop of {crop[0]} x {crop[1]} pixels does not fit into a field of {height} x "
            f"{width} pixels (height x width): choose a smaller crop, or None for the whole field."
        )
