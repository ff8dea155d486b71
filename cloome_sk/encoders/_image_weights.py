"""ImageNet weights from a file, for the network of an image encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloome_sk.encoders._image_checks import PURPOSE

if TYPE_CHECKING:
    from torch import Tensor, nn

DEPTHS = (18, 34, 50)
"""Those that `cloome_sk.networks.ImageNetResNet` builds."""


def depth_of_weights(encoder: Any) -> int | None:
    """Read the file of an encoder, if there is one, and check it; the layers of its network."""
    if encoder.weights is None:
        return None
    import torch

    from cloome_sk.networks import ImageNetResNet

    state = _read(encoder)
    depth = _nearest_depth(state)
    # Built for the sake of its errors: all weights must be there, of the right shape and finite.
    with torch.random.fork_rng(devices=[]):
        _load(encoder, ImageNetResNet(1, None, depth=depth, head=False), state)
    return depth


def load_imagenet(encoder: Any, network: nn.Module) -> None:
    """Put the weights of the file of a fitted encoder, if there is one, into its network."""
    if encoder.weights is not None:
        _load(encoder, network.backbone, _read(encoder))


def _read(encoder: Any) -> dict[str, Tensor]:
    from cloome_sk.checkpoints import read_state

    return read_state(encoder.weights)


def _load(encoder: Any, network: Any, state: dict[str, Tensor]) -> None:
    try:
        network.load_imagenet(state)
    except ValueError as error:
        raise ValueError(f"{PURPOSE}: weights={str(encoder.weights)!r}: {error}") from error


def _nearest_depth(state: dict[str, Tensor]) -> int:
    """The depth whose names of weights are most like those of a file."""
    import torch

    from cloome_sk.networks import ImageNetResNet

    names = {name.removeprefix("module.") for name in state}
    with torch.device("meta"):
        known = {depth: set(ImageNetResNet(3, 1, depth=depth).state_dict()) for depth in DEPTHS}
    return min(known, key=lambda depth: len(known[depth] ^ names))
