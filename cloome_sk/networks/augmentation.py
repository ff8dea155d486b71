"""Random views of images for training, drawn on the device for each sample of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Augmentation(nn.Module):
    """Show a training image cropped, mirrored, turned and a little brighter or darker.

    A cell has no up or down, and no preferred handedness, so mirror images and turns are as good
    as new fields; small changes of gain and offset, drawn for each channel, stand for those of
    staining and lamp. Each sample of a batch is drawn for itself. What moves pixels moves all
    channels alike. In evaluation mode nothing is changed.

    Random numbers come from torch's default generator of the device of the images.

    Parameters
    ----------
    crop : int, (height, width) or None, default=None
        Cut a window of this many pixels at a random place of the field; None keeps the field.
    flips : bool, default=True
        Mirror at random, up-down and left-right.
    turns : bool, default=True
        Turn by a random multiple of 90 degrees; of 180 where what is turned is not square.
    rotation : float, default=0.0
        Turn by a random angle between minus and plus this many degrees, in [0, 180]. Pixels are
        interpolated, which smooths the finest texture, and pixels from outside the field are
        reflections of those inside. 0 does not turn.
    jitter : (float, float), default=(0.1, 0.1)
        Largest relative change of gain, in [0, 1), and largest change of offset (>= 0). Images
        are normalised before it, so an offset of 0.1 is a tenth of a standard deviation.

    Notes
    -----
    Crops, mirror images and turns by 90 degrees need no arithmetic: `geometry` makes them of the
    bytes, before the network makes floats of what is left.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.augmentation import Augmentation
    >>> pixels = torch.zeros(4, 5, 100, 120, dtype=torch.uint8)
    >>> augmentation = Augmentation(crop=64)
    >>> view = augmentation.geometry(pixels)
    >>> view.shape, view.dtype
    (torch.Size([4, 5, 64, 64]), torch.uint8)
    >>> augmentation.eval()(pixels) is pixels
    True
    """

    def __init__(
        self,
        crop: int | tuple[int, int] | None = None,
        flips: bool = True,
        turns: bool = True,
        rotation: float = 0.0,
        jitter: tuple[float, float] = (0.1, 0.1),
    ) -> None:
        super().__init__()
        if not 0.0 <= rotation <= 180.0:
            raise ValueError(
                f"Augmentation: rotation must be from 0 to 180 degrees, got {rotation!r}."
            )
        if len(jitter) != 2 or not (0.0 <= jitter[0] < 1.0 and 0.0 <= jitter[1] < math.inf):
            raise ValueError(
                "Augmentation: jitter must be two numbers, the largest change of gain in [0, 1) "
                f"and the largest change of offset of at least 0, got {jitter!r}."
            )
        self.crop = image_size(crop, "Augmentation")
        self.flips = flips
        self.turns = turns
        self.rotation = float(rotation)
        self.jitter = (float(jitter[0]), float(jitter[1]))

    def extra_repr(self) -> str:
        """Show the settings in the network's description."""
        return (
            f"crop={self.crop}, flips={self.flips}, turns={self.turns}, "
            f"rotation={self.rotation}, jitter={self.jitter}"
        )

    def forward(self, images: Tensor) -> Tensor:
        """Move pixels, then change intensities.

        Parameters
        ----------
        images : Tensor, shape (n, n_channels, H, W)
            Normalised images.

        Returns
        -------
        Tensor of float32, shape (n, n_channels, height, width)
            In evaluation mode `images` themselves.
        """
        return self.intensity(self.geometry(images))

    def geometry(self, pixels: Tensor, crop: tuple[int, int] | None = None) -> Tensor:
        """Crop, rotate, mirror and turn.

        Parameters
        ----------
        pixels : Tensor of any dtype but uint16, shape (n, n_channels, H, W)
            The fields (torch has next to no operations on uint16).
        crop : (height, width) or None, default=None
            The crop where the augmentation has none of its own.

        Returns
        -------
        Tensor, shape (n, n_channels, height, width)
            Of the dtype of `pixels`; float32 after a rotation.

        Raises
        ------
        ValueError
            If the crop is larger than the field.
        """
        if not self.training:
            return pixels
        field = pixels.shape[2], pixels.shape[3]
        size = self.crop or crop or field
        corners = _random_corners(pixels, size)
        if self.rotation:
            pixels = self._rotated(pixels, corners, size)
            corners = torch.zeros_like(corners)
        elif size == field and not (self.flips or self.turns):
            return pixels
        mirrored = self._mirrored(len(pixels), square=size[0] == size[1], device=pixels.device)
        return _laid(pixels, corners, mirrored, size)

    def intensity(self, values: Tensor) -> Tensor:
        """Change gain and offset of each channel of each image.

        Parameters
        ----------
        values : Tensor, shape (n, n_channels, H, W)
            Normalised images.

        Returns
        -------
        Tensor, shape (n, n_channels, H, W)
            The images, changed.
        """
        if not self.training or self.jitter == (0.0, 0.0):
            return values
        shape = (2, *values.shape[:2], 1, 1)
        change = torch.rand(shape, device=values.device).mul_(2.0).sub_(1.0)
        gain, offset = self.jitter
        return torch.addcmul(offset * change[1], values, 1.0 + gain * change[0])

    def _mirrored(self, n: int, square: bool, device: torch.device) -> Tensor:
        """Whether each image is mirrored at the diagonal, then in its rows, then in its columns.

        These three choices make all eight ways to lay a square; a mirror image at the diagonal
        and one more are a quarter turn, mirror images of rows and of columns half a turn.
        """
        diagonal, rows, columns = torch.rand((3, n), device=device) < 0.5
        if not (square and self.turns):
            diagonal = torch.zeros_like(diagonal)
        if not self.flips:
            rows = rows & self.turns
            columns = rows ^ diagonal
        return torch.stack([diagonal, rows, columns], dim=1)

    def _rotated(self, pixels: Tensor, corners: Tensor, size: tuple[int, int]) -> Tensor:
        """Windows of a size, each seen at a random angle."""
        n, n_channels, *field = pixels.shape
        whole = torch.tensor(field, device=pixels.device)
        # Interpolated from what a turned window can reach, and not from the whole field.
        reach = 2 * math.ceil(math.hypot(*size) / 2 + 1)
        around = (min(field[0], reach), min(field[1], reach))
        sides, source = (torch.tensor(each, device=pixels.device) for each in (size, around))
        starts = (corners + (sides - source) // 2).clamp(min=0).minimum(whole - source)
        images = _laid(pixels, starts, starts.new_zeros((n, 3)), around).float()
        angle = torch.rand(n, device=images.device).mul_(2.0).sub_(1.0)
        angle = angle * math.radians(self.rotation)
        cosine, sine = angle.cos(), angle.sin()
        # From positions in the view to positions in the source, both from -1 to 1.
        (height, width), (from_height, from_width) = size, around
        y, x = (2.0 * (corners - starts + sides / 2) / source - 1.0).unbind(dim=1)
        to_source = torch.stack(
            [
                torch.stack([cosine * width / from_width, -sine * height / from_width, x], dim=1),
                torch.stack([sine * width / from_height, cosine * height / from_height, y], dim=1),
            ],
            dim=1,
        )
        grid = F.affine_grid(to_source, [n, n_channels, height, width], align_corners=False)
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


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
    >>> from cloome_sk.networks.augmentation import image_size
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
    >>> from cloome_sk.networks.augmentation import check_fits
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


def _random_corners(pixels: Tensor, crop: tuple[int, int]) -> Tensor:
    """First row and column, (n, 2), of a window at a random place of each field."""
    check_fits(crop, pixels)
    n, _, height, width = pixels.shape
    top = torch.randint(height - crop[0] + 1, (n,), device=pixels.device)
    left = torch.randint(width - crop[1] + 1, (n,), device=pixels.device)
    return torch.stack([top, left], dim=1)


def _laid(pixels: Tensor, corners: Tensor, mirrored: Tensor, size: tuple[int, int]) -> Tensor:
    """One window of each image, mirrored.

    One image after the other stays in the processor's cache: twenty times as fast as the same
    choices made for a whole batch at once.
    """
    height, width = size
    views = pixels.new_empty((len(pixels), pixels.shape[1], height, width))
    choices = torch.cat([corners, mirrored], dim=1).tolist()
    for i, (top, left, diagonal, rows, columns) in enumerate(choices):
        window = pixels[i, :, top : top + height, left : left + width]
        if diagonal:
            window = window.transpose(1, 2)
        axes = [axis for axis, chosen in ((1, rows), (2, columns)) if chosen]
        views[i] = window.flip(axes) if axes else window
    return views
