"""From the pixels of sites to embeddings: normalisation, augmentation and evaluation views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from cloome_sk.networks.augmentation import Augmentation
from cloome_sk.networks.view_sizes import check_fits, image_size, zoom_range

NORMALIZATIONS = ("dataset", "image", "plate", None)
"""Whose mean and standard deviation an image is normalised with."""

EVALUATIONS = ("full", "center", "tiles")
"""What of the field is embedded once the network is trained."""

CHUNK = 2**24
"""Pixel values (of all channels) that are embedded at a time: a bound on memory."""
CPU_CHUNK = 2**21
"""The same on a CPU: a site of five channels, or some crops. More leave the processor's caches, and
memory beyond 32 MB is asked from the system anew for each layer, which costs more than it computes.
"""

Plates = tuple[Tensor, Tensor, Tensor]
Normalization = Literal["dataset", "image", "plate"] | None


class ImageNetwork(nn.Module):
    """Normalise images on the device, then embed them with a backbone.

    Images travel as bytes, a quarter of the size of floats, and become floats here. In training
    mode each image is a random view of its field; in evaluation mode the embedding is a function
    of the image alone.

    Parameters
    ----------
    backbone : nn.Module
        Maps float32 (n, n_channels, height, width) to (n, n_components).
    mean, std : array-like, shape (n_channels,), or None
        Of the pixels of the training set, for `normalization="dataset"`. A standard deviation of
        0 counts as 1. May be None for the other normalisations.
    normalization : {"dataset", "image", "plate"} or None, default="dataset"
        Subtract the mean and divide by the standard deviation of the training set, of the image
        itself (its whole field, each channel), or of its plate (given with the images); or, with
        None, divide by 255.
    augmentation : Augmentation or None, default=None
        The random views of training.
    crop : int, (height, width) or None, default=None
        Size in pixels of the windows that training cuts at random places (where `augmentation`
        has no crop of its own) and that evaluation cuts; None for whole fields.
    evaluation : {"full", "center", "tiles"}, default="full"
        Embed the whole field, the crop in its middle, or as many evenly spread crops as cover
        the field, whose embeddings are averaged (before any normalisation to unit length).

    Raises
    ------
    ValueError
        For a parameter outside of what is listed, statistics that are missing, not finite or of
        different lengths, or `evaluation="center"` or `"tiles"` without a crop.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.images import ImageNetwork
    >>> from cloome_sk.networks.small_cnn import SmallCNN
    >>> network = ImageNetwork(SmallCNN(5, 64), mean=[30.0] * 5, std=[20.0] * 5).eval()
    >>> network(torch.zeros(2, 5, 100, 120, dtype=torch.uint8)).shape
    torch.Size([2, 64])
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        backbone: nn.Module,
        mean: ArrayLike | None,
        std: ArrayLike | None,
        *,
        normalization: Normalization = "dataset",
        augmentation: Augmentation | None = None,
        crop: int | tuple[int, int] | None = None,
        evaluation: Literal["full", "center", "tiles"] = "full",
    ) -> None:
        super().__init__()
        _check_choice("normalization", normalization, NORMALIZATIONS)
        _check_choice("evaluation", evaluation, EVALUATIONS)
        self.crop = image_size(crop, "ImageNetwork")
        if evaluation != "full" and self.crop is None:
            raise ValueError(
                f"ImageNetwork: evaluation={evaluation!r} cuts windows of the size `crop`, which "
                'is None: give a crop, or take evaluation="full".'
            )
        self.backbone = backbone
        self.normalization = normalization
        self.evaluation = evaluation
        self.augmentation = augmentation
        if augmentation is None and self.crop is not None:
            self.augmentation = _upright()
        means, deviations = _statistics(mean, std, required=normalization == "dataset")
        self.register_buffer("mean", means)
        self.register_buffer("std", deviations)

    def forward(self, inputs: Tensor | Plates) -> Tensor:
        """Embed images; not normalised to unit length.

        Parameters
        ----------
        inputs : Tensor, shape (n, n_channels, H, W), or tuple of Tensor
            Pixels of any real dtype. For `normalization="plate"` the pixels, and the mean and
            the standard deviation of the plate of each image, both of shape (n, n_channels).

        Returns
        -------
        Tensor of float32, shape (n, n_components)
            The embeddings.

        Raises
        ------
        TypeError
            For a tuple without, or a tensor with, `normalization="plate"`.
        ValueError
            For another number of axes or channels, or a crop larger than the field.
        """
        if self.training:
            return self.backbone(self.view(inputs))
        pixels, mean, std = self._unpacked(inputs)
        corners, (height, width) = self._evaluation_windows(pixels)
        chunk = CPU_CHUNK if pixels.device.type == "cpu" else CHUNK
        step = max(1, chunk // max(1, pixels.shape[1] * height * width))
        embedded = []
        for start in range(0, max(1, len(pixels)), step):
            part = slice(start, start + step)
            windows = [
                self.backbone(
                    _normalized(
                        pixels[part, :, top : top + height, left : left + width],
                        mean[part],
                        std[part],
                    )
                )
                for top, left in corners
            ]
            embedded.append(windows[0] if len(windows) == 1 else torch.stack(windows).mean(dim=0))
        return embedded[0] if len(embedded) == 1 else torch.cat(embedded)

    def view(
        self,
        inputs: Tensor | Plates,
        crop: int | tuple[int, int] | None = None,
        zoom: tuple[float, float] | None = None,
    ) -> Tensor:
        """Give a random view of each image: what `forward` feeds the backbone in training mode.

        Views are random in evaluation mode too. Without an augmentation they are upright.

        Parameters
        ----------
        inputs : Tensor, shape (n, n_channels, H, W), or tuple of Tensor
            As `forward` takes them.
        crop : int, (height, width) or None, default=None
            Size of the view in pixels. None is the crop of the augmentation, or of the network,
            or the whole field.
        zoom : (float, float) or None, default=None
            Shares of the sides of the field between which the side of the window is drawn that is
            resized to the view; see `Augmentation`, whose own are taken for None.

        Returns
        -------
        Tensor of float32, shape (n, n_channels, height, width)
            Normalised views.

        Raises
        ------
        TypeError, ValueError
            As `forward` does, and for a crop or a zoom that is none.
        """
        pixels, mean, std = self._unpacked(inputs)
        augmentation = self.augmentation
        size, zoom = image_size(crop, "ImageNetwork.view"), zoom_range(zoom, "ImageNetwork.view")
        if augmentation is None:
            if size is None and zoom is None:
                return _normalized(pixels, mean, std)
            augmentation = _upright()
        if pixels.dtype == torch.uint16:
            pixels = pixels.float()
        windows = augmentation.window(
            pixels, size or augmentation.crop or self.crop, zoom or augmentation.zoom
        )
        return augmentation.jittered(_normalized(windows, mean, std))

    def _unpacked(self, inputs: Tensor | Plates) -> Plates:
        """Pixels, and the mean and standard deviation, (n, n_channels), of each image."""
        if self.normalization == "plate":
            if isinstance(inputs, Tensor) or len(inputs) != 3:
                raise TypeError(
                    'ImageNetwork: normalization="plate" takes a tuple (pixels, mean, std), got '
                    f"{type(inputs).__name__}."
                )
            pixels, mean, std = inputs
            self._check_pixels(pixels)
            if mean.shape != pixels.shape[:2] or std.shape != pixels.shape[:2]:
                raise ValueError(
                    "ImageNetwork: mean and std of the plates must have one row an image and one "
                    f"column a channel, {tuple(pixels.shape[:2])}, got {tuple(mean.shape)} and "
                    f"{tuple(std.shape)}."
                )
            mean, std = mean.float(), std.float()
            return pixels, mean, std.masked_fill(std == 0, 1.0)
        if not isinstance(inputs, Tensor):
            raise TypeError(
                f"ImageNetwork: normalization={self.normalization!r} takes a tensor of pixels, got "
                f"{type(inputs).__name__}."
            )
        self._check_pixels(inputs)
        if self.normalization == "image":
            return inputs, *_image_statistics(inputs)
        if self.normalization is None:
            zero = torch.zeros((), device=inputs.device)
            return inputs, zero.expand(inputs.shape[:2]), (zero + 255.0).expand(inputs.shape[:2])
        assert self.mean is not None  # for the type checker: "dataset" asked for both
        assert self.std is not None
        return inputs, self.mean.expand(inputs.shape[:2]), self.std.expand(inputs.shape[:2])

    def _check_pixels(self, pixels: Tensor) -> None:
        if pixels.ndim != 4:
            raise ValueError(
                "ImageNetwork: images must have the axes (n, n_channels, H, W), got the shape "
                f"{tuple(pixels.shape)}."
            )
        if self.mean is not None and pixels.shape[1] != len(self.mean):
            raise ValueError(
                f"ImageNetwork: built for {len(self.mean)} channels, got {pixels.shape[1]}."
            )

    def _evaluation_windows(self, pixels: Tensor) -> tuple[list[tuple[int, int]], tuple[int, int]]:
        """First row and column of each window that is embedded, and their size."""
        field = pixels.shape[2], pixels.shape[3]
        if self.evaluation == "full" or self.crop is None:
            return [(0, 0)], field
        check_fits(self.crop, pixels)
        if self.evaluation == "center":
            # Rounded as torchvision's CenterCrop does, which published weights were used with.
            middle = [round((f - c) / 2) for f, c in zip(field, self.crop, strict=True)]
            return [(middle[0], middle[1])], self.crop
        rows, columns = (_spread(f, c) for f, c in zip(field, self.crop, strict=True))
        return list(product(rows, columns)), self.crop


def _upright() -> Augmentation:
    """Random windows, and nothing else."""
    return Augmentation(flips=False, turns=False, jitter=(0.0, 0.0))


def _spread(field: int, crop: int) -> list[int]:
    """Starts of the fewest windows that cover a side, as evenly spread as pixels allow."""
    n = math.ceil(field / crop)
    return [0] if n == 1 else [round(i * (field - crop) / (n - 1)) for i in range(n)]


def _normalized(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Subtract and divide, in float32, in a new tensor."""
    values = pixels.to(torch.float32, copy=True)
    return values.sub_(mean[:, :, None, None]).div_(std[:, :, None, None])


def _image_statistics(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of each image; 1 where a channel is constant."""
    step = max(1, CHUNK // max(1, pixels.shape[1:].numel()))
    means, deviations = [], []
    for start in range(0, max(1, len(pixels)), step):
        values = pixels[start : start + step].float().flatten(2)
        # Above its darkest pixel, so that a constant channel is 0 and its variance too, whatever
        # rounding does to a sum of large numbers.
        lowest = values.amin(dim=2)
        values = values - lowest[:, :, None]
        above = values.mean(dim=2)
        deviation = (values - above[:, :, None]).square_().mean(dim=2).sqrt_()
        means.append(lowest + above)
        deviations.append(deviation.masked_fill(deviation == 0, 1.0))
    return torch.cat(means), torch.cat(deviations)


def _statistics(
    mean: ArrayLike | None, std: ArrayLike | None, required: bool
) -> tuple[Tensor | None, Tensor | None]:
    """The statistics of the training set as float32 tensors, checked."""
    if mean is None and std is None and not required:
        return None, None
    if mean is None or std is None:
        raise ValueError(
            "ImageNetwork: mean and std of the training set are needed, for "
            'normalization="dataset", and always both or neither.'
        )
    means, deviations = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    if means.ndim != 1 or means.shape != deviations.shape:
        raise ValueError(
            "ImageNetwork: mean and std must have one number a channel each, got the shapes "
            f"{means.shape} and {deviations.shape}."
        )
    if not (np.isfinite(means).all() and np.isfinite(deviations).all() and (deviations >= 0).all()):
        raise ValueError(
            "ImageNetwork: mean and std must be finite, and std at least 0, got "
            f"{means.tolist()} and {deviations.tolist()}."
        )
    deviations = np.where(deviations == 0, np.float32(1.0), deviations)
    return torch.tensor(means), torch.tensor(deviations)


def _check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    if value not in choices:
        raise ValueError(f"ImageNetwork: {name} must be one of {list(choices)}, got {value!r}.")
