"""Random views of images for training, drawn on the device for each sample of its own."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from cloome_sk.networks.view_sizes import check_fits, image_size, zoom_range


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
    zoom : (float, float) or None, default=None
        Cut instead a window of a random size, at a random place, and shrink or enlarge it to
        `crop`, or to the size of the field. Its sides are a share of those of the largest window
        of that shape in the field, drawn evenly between these two, in (0, 1]. Networks then learn
        to see past the size of cells. None does not zoom.

    Notes
    -----
    Crops, mirror images and turns by 90 degrees need no arithmetic: `geometry` makes them of the
    bytes, before the network makes floats of what is left. What zooms is bilinear, over as many
    pixels as make one where it shrinks (so that fine texture does not become coarse).

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
        zoom: tuple[float, float] | None = None,
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
        self.zoom = zoom_range(zoom, "Augmentation")

    def extra_repr(self) -> str:
        """Show the settings in the network's description."""
        return (
            f"crop={self.crop}, flips={self.flips}, turns={self.turns}, "
            f"rotation={self.rotation}, jitter={self.jitter}, zoom={self.zoom}"
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
            Of the dtype of `pixels`; float32 after a rotation or a zoom.

        Raises
        ------
        ValueError
            If the crop is larger than the field, and nothing zooms.
        """
        return self.window(pixels, self.crop or crop, self.zoom) if self.training else pixels

    def window(
        self,
        pixels: Tensor,
        crop: tuple[int, int] | None,
        zoom: tuple[float, float] | None = None,
    ) -> Tensor:
        """Do what `geometry` does, in evaluation mode too, with another crop and zoom.

        Parameters
        ----------
        pixels : Tensor of any dtype but uint16, shape (n, n_channels, H, W)
            The fields.
        crop : (height, width) or None
            Size of the result; None is that of the field.
        zoom : (float, float) or None, default=None
            As the parameter of this name; None does not zoom, whatever the parameter is.

        Returns
        -------
        Tensor, shape (n, n_channels, height, width)
            As `geometry` gives it.

        Raises
        ------
        ValueError
            If the crop is larger than the field, and `zoom` is None.
        """
        field = pixels.shape[2], pixels.shape[3]
        size = crop or field
        if zoom is not None:
            pixels = self._zoomed(pixels, size, zoom)
            corners = torch.zeros((len(pixels), 2), dtype=torch.int64, device=pixels.device)
        else:
            corners = _random_corners(pixels, size)
            if self.rotation:
                pixels = self._rotated(pixels, corners, size)
                corners = torch.zeros_like(corners)
            elif size == field and not (self.flips or self.turns):
                return pixels
        mirrored = self._mirrored(len(pixels), square=size[0] == size[1], device=pixels.device)
        return _laid(pixels, corners, mirrored, size)

    def intensity(self, values: Tensor) -> Tensor:
        """Change gain and offset of each channel of each image; in evaluation mode nothing.

        Parameters
        ----------
        values : Tensor, shape (n, n_channels, H, W)
            Normalised images.

        Returns
        -------
        Tensor, shape (n, n_channels, H, W)
            The images, changed.
        """
        return self.jittered(values) if self.training else values

    def jittered(self, values: Tensor) -> Tensor:
        """Do what `intensity` does, in evaluation mode too.

        Parameters
        ----------
        values : Tensor, shape (n, n_channels, H, W)
            Normalised images.

        Returns
        -------
        Tensor, shape (n, n_channels, H, W)
            The images, changed.
        """
        if self.jitter == (0.0, 0.0):
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

    def _zoomed(self, pixels: Tensor, size: tuple[int, int], zoom: tuple[float, float]) -> Tensor:
        """Windows of random sizes (and angles), each brought to one size; float32."""
        n, n_channels, height, width = pixels.shape
        low, high = zoom
        draws = torch.rand((3, n), device=pixels.device)
        share = low + (high - low) * draws[0]
        largest = min(height / size[0], width / size[1])
        field, shape = (torch.tensor(s, device=pixels.device) for s in ((height, width), size))
        sides = (share[:, None] * largest * shape).round().long().clamp(min=1).minimum(field)
        corners = (draws[1:].T * (field - sides + 1)).long().minimum(field - sides)
        views = torch.empty((n, n_channels, *size), device=pixels.device)
        choices = torch.cat([corners, sides], dim=1).tolist()
        for i, (top, left, rows, columns) in enumerate(choices):
            image = pixels[i : i + 1]
            if self.rotation:
                window = self._rotated(image, corners[i : i + 1], (rows, columns))
            else:
                window = image[:, :, top : top + rows, left : left + columns].float()
            # What enlarges has no need of it, and is twice as fast without.
            shrinks = rows > size[0] or columns > size[1]
            views[i] = F.interpolate(window, size, mode="bilinear", antialias=shrinks)[0]
        return views

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
