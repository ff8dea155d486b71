"""The network that an image encoder's parameters ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def image_network(encoder: Any, n_components: int) -> nn.Module:
    """Build the network of a fitted encoder, with fresh weights."""
    from cloome_sk.networks import Augmentation, ImageNetwork, ResNet, SmallCNN

    known: dict[str, Callable[..., nn.Module]] = {
        "small": SmallCNN,
        "resnet18": partial(ResNet, depth=18),
        "resnet50": partial(ResNet, depth=50),
    }
    backbone = known[encoder.network] if isinstance(encoder.network, str) else encoder.network
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
