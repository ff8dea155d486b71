"""The network that an image encoder's parameters ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cloome_sk.encoders._image_checks import PURPOSE

if TYPE_CHECKING:
    from torch import nn


def check_network(encoder: Any) -> None:
    """Find out before images are read that crops fit, and that a network of the user's works."""
    height, width = encoder.site_shape_[1:]
    given = [encoder.crop]
    if isinstance(encoder.augmentation, dict):
        given.append(encoder.augmentation.get("crop"))
    for crop in given:
        sides = crop if isinstance(crop, (tuple, list)) else (crop or 0, crop or 0)
        if sides[0] > height or sides[1] > width:
            raise ValueError(
                f"{PURPOSE}: crop={crop!r} is larger than the sites, which have {height}x{width} "
                "pixels as they are prepared."
            )
    if encoder.custom:
        _try_out(encoder)


def _try_out(encoder: Any) -> None:
    import torch

    n_channels, n_components = len(encoder.channels_), 3
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network = encoder.network(n_channels, n_components).eval()
        # Zeros of the size that training sees.
        crop = encoder.crop or encoder.site_shape_[1:]
        sides = crop if isinstance(crop, (tuple, list)) else (crop, crop)
        output = network(torch.zeros(1, n_channels, *sides))
    if tuple(output.shape) != (1, n_components):
        raise ValueError(
            f"{PURPOSE}: network= must map (n_sites, n_channels, height, width) to (n_sites, "
            f"n_components). Called with n_channels={n_channels} and n_components={n_components}, "
            f"it made of one site of {sides[0]}x{sides[1]} pixels an output of shape "
            f"{tuple(output.shape)}."
        )


def _backbone(encoder: Any) -> Callable[..., nn.Module]:
    from cloome_sk.networks import ResNet, SmallCNN

    known: dict[str, Callable[..., nn.Module]] = {
        "small": SmallCNN,
        "resnet18": partial(ResNet, depth=18),
        "resnet50": partial(ResNet, depth=50),
    }
    return known[encoder.network] if isinstance(encoder.network, str) else encoder.network


def image_network(encoder: Any, n_components: int) -> nn.Module:
    """Build the network of a fitted encoder, with fresh weights."""
    from cloome_sk.networks import Augmentation, ImageNetwork

    backbone = _backbone(encoder)
    augmentation = None
    if encoder.augmentation is not None:
        given = encoder.augmentation
        augmentation = Augmentation(**({} if isinstance(given, str) else given))
    return ImageNetwork(
        backbone(len(encoder.channels_), n_components),
        encoder.mean_,
        encoder.std_,
        normalization=encoder.normalization,
        augmentation=augmentation,
        crop=encoder.crop,
        evaluation=encoder.evaluation,
    )
