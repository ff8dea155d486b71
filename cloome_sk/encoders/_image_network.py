"""The network that an image encoder's parameters ask for, and what sites it takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cloome_sk.encoders._image_checks import PURPOSE, normalization_kind

if TYPE_CHECKING:
    from torch import nn

Sides = tuple[int, int]


def check_network(encoder: Any) -> None:
    """Find out before images are read that crops fit, and that the network takes their size."""
    field = None if encoder.site_shape_ is None else encoder.site_shape_[1:]
    crops = [encoder.crop]
    if isinstance(encoder.augmentation, dict):
        crops.append(encoder.augmentation.get("crop"))
    for crop in crops:
        if crop is None:
            continue
        height, width = _sides(crop)
        if field is not None and (height > field[0] or width > field[1]):
            raise ValueError(
                f"{PURPOSE}: crop={crop!r} is larger than the sites, which have "
                f"{field[0]}x{field[1]} pixels as they are prepared."
            )
        _check_least(encoder, (height, width), f"crop={crop!r} gives")
    if field is not None:
        _check_least(encoder, field, "the sites are, as they are prepared,")
    seen = field if encoder.crop is None else _sides(encoder.crop)
    if encoder.custom and seen is not None:
        _try_out(encoder, seen)


def check_field(encoder: Any, field: Sides) -> None:
    """Refuse sites to embed that are too small for the crop, or for the network."""
    if _whole(encoder):
        _check_least(encoder, field, "the sites of this table are, as they are prepared,")
        return
    height, width = _sides(encoder.crop)
    if height > field[0] or width > field[1]:
        raise ValueError(
            f"{PURPOSE}: crop={encoder.crop!r} is larger than the sites of this table, which have "
            f"{field[0]}x{field[1]} pixels as they are prepared. To embed them, build the encoder "
            'with crop=None, evaluation="full", or with a smaller crop.'
        )


def least_field(encoder: Any) -> Sides:
    """A size that the network takes, for tables none of whose images can be read."""
    if encoder.crop is not None:
        return _sides(encoder.crop)
    if encoder.custom:
        raise ValueError(
            f"{PURPOSE}: no image of the table can be read, so nothing says how large they are."
        )
    return (_least(encoder),) * 2


def _whole(encoder: Any) -> bool:
    """Whether the whole field is embedded."""
    return encoder.evaluation == "full" or encoder.crop is None


def _sides(crop: Any) -> Sides:
    height, width = crop if isinstance(crop, (tuple, list)) else (crop, crop)
    return int(height), int(width)


def _least(encoder: Any) -> int:
    """Pixels a side that a network of this package needs."""
    from cloome_sk.networks import imagenet, resnet, small_cnn, vit

    if encoder.pooling == "legacy":
        return resnet.LEGACY_SMALLEST
    known = {"imagenet": imagenet, "small": small_cnn, "vit": vit}
    return known.get(network_name(encoder), resnet).SMALLEST


def _check_least(encoder: Any, sides: Sides, what: str) -> None:
    if encoder.custom or min(sides) >= (least := _least(encoder)):
        return
    from cloome_sk.networks import resnet, small_cnn

    name = network_name(encoder)
    instead = ""
    if encoder.pooling == "legacy":
        instead = f', or pooling="adaptive", which takes {resnet.SMALLEST}'
    elif least > small_cnn.SMALLEST and encoder.weights is None:
        instead = f', or network="small", which takes {small_cnn.SMALLEST}'
    of = "the network of weights=" if name == "imagenet" else f'network="{name}"'
    legacy = ' with pooling="legacy"' if encoder.pooling == "legacy" else ""
    raise ValueError(
        f"{PURPOSE}: {of}{legacy} takes images of at least {least} x {least} pixels, and {what} "
        f"{sides[0]} x {sides[1]}. Give it larger ones (size=, crop=){instead}."
    )


def _try_out(encoder: Any, sides: Sides) -> None:
    """Call a network of the user's on zeros of the size that training sees."""
    import torch

    n_channels, n_components = len(encoder.channels_), 3
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network = encoder.network(n_channels, n_components).eval()
        output = network(torch.zeros(1, n_channels, *sides))
    if tuple(output.shape) != (1, n_components):
        raise ValueError(
            f"{PURPOSE}: network= must map (n_sites, n_channels, height, width) to (n_sites, "
            f"n_components). Called with n_channels={n_channels} and n_components={n_components}, "
            f"it made of one site of {sides[0]}x{sides[1]} pixels an output of shape "
            f"{tuple(output.shape)}."
        )


def network_name(encoder: Any) -> str:
    """Which network of this package the parameters ask for."""
    if encoder.network != "auto":
        return encoder.network
    return "small" if encoder.weights is None else "imagenet"


def _backbone(encoder: Any) -> Callable[..., nn.Module]:
    if encoder.custom:
        return encoder.network
    from cloome_sk.networks import ImageNetResNet, ResNet, SmallCNN, SmallViT

    known: dict[str, Callable[..., nn.Module]] = {
        "small": SmallCNN,
        "vit": SmallViT,
        "resnet18": partial(ResNet, depth=18, pooling=encoder.pooling),
        "resnet50": partial(ResNet, depth=50, pooling=encoder.pooling),
        "imagenet": partial(
            ImageNetResNet,
            depth=encoder.depth_,
            channelwise=encoder.channelwise,
            normalize=normalization_kind(encoder) == "imagenet",
        ),
    }
    return known[network_name(encoder)]


def image_network(encoder: Any, n_components: int) -> nn.Module:
    """Build the network of a fitted encoder, with fresh weights."""
    from cloome_sk.networks import Augmentation, ImageNetwork

    augmentation = None
    if encoder.augmentation is not None:
        given = encoder.augmentation
        augmentation = Augmentation(**({} if isinstance(given, str) else given))
    # ImageNet's numbers belong to its network; given ones are used as learned ones are.
    kind = normalization_kind(encoder)
    kinds: dict[str | None, Any] = {"imagenet": None, "given": "dataset"}
    return ImageNetwork(
        _backbone(encoder)(len(encoder.channels_), n_components),
        encoder.mean_,
        encoder.std_,
        normalization=kinds.get(kind, kind),
        augmentation=augmentation,
        crop=encoder.crop,
        evaluation=encoder.evaluation,
    )
