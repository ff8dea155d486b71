"""The network of frozen features: that of an image encoder, without its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cloome_sk._tables import FEATURE_PREFIX
from cloome_sk.encoders import BagEncoder, ImageEncoder
from cloome_sk.encoders._image_checks import check_image_parameters, normalization_kind
from cloome_sk.encoders._image_columns import choose_columns
from cloome_sk.encoders._image_sites import preparation

if TYPE_CHECKING:
    from torch import nn

PURPOSE = "ImageFeatures"
VERSION = 1
"""Raised whenever the networks of this package give other features than before."""
SEEDS = (0, 1)


def checked_encoder(encoder: Any) -> ImageEncoder:
    """A copy of the encoder to fit, if features can be had by it."""
    how = (
        "Give it ImageEncoder(weights=path), where path is a file of ImageNet weights in "
        "torchvision's format (resnet18, 34 or 50), or ImageEncoder(network=...) with a network "
        "that brings weights of its own."
    )
    if encoder is None:
        raise ValueError(f"{PURPOSE}: encoder= says which trained network to take. {how}")
    if isinstance(encoder, type) and issubclass(encoder, ImageEncoder):
        raise TypeError(f"{PURPOSE}: encoder= takes an ImageEncoder, not its class. {how}")
    if isinstance(encoder, BagEncoder):
        raise TypeError(
            f"{PURPOSE}: features are those of single rows: give encoder= the ImageEncoder inside "
            "of the BagEncoder. To pool the rows of a well, train BagEncoder(ProfileEncoder()) on "
            "the features."
        )
    if not isinstance(encoder, ImageEncoder):
        raise TypeError(
            f"{PURPOSE}: encoder= takes an ImageEncoder, got {type(encoder).__name__}. {how}"
        )
    if encoder.weights is None and isinstance(encoder.network, str):
        raise ValueError(
            f"{PURPOSE}: the weights of ImageEncoder(network={encoder.network!r}) would be random. "
            f"{how} A network that is trained here, or a published CLOOME, belongs into "
            "CloomeEmbedder, whose transform gives what it finds."
        )
    copy = clone(encoder)
    if copy.cache == "memory":
        # Each site is read once, so that kept pixels would only fill the memory.
        copy.set_params(cache=None)
    return copy


def fitted_encoder(encoder: ImageEncoder, table: pd.DataFrame, verbose: int) -> ImageEncoder:
    """Have an encoder learn what it must, and read no more than that takes."""
    network, channels = encoder.network, encoder.channels
    encoder._validate_params()
    check_image_parameters(encoder)
    if encoder.custom:
        # What is learned does not depend on the network, which need not have a head.
        encoder.set_params(network=_stand_in)
        if channels is None:
            # Whoever brings weights to this table has them for its channels.
            found = choose_columns(table, encoder.columns, None).channels
            encoder.set_params(channels=list(found))
    if normalization_kind(encoder) in ("dataset", "plate") or encoder.scaling in ("plate", "none"):
        encoder.fit_inputs(table, np.arange(len(table)), verbose)
    else:
        encoder.ready(table)
    return encoder.set_params(network=network, channels=channels)


def _stand_in(n_channels: int, n_components: int) -> nn.Module:
    """A network for images of any size."""
    from torch import nn

    means = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*means, nn.Linear(n_channels, n_components))


def new_network(encoder: ImageEncoder) -> nn.Module:
    """The network of a fitted encoder with the weights it is to have, in evaluation mode."""
    import torch

    if not encoder.custom:
        with torch.random.fork_rng(devices=[]):
            network = _without_head(encoder, encoder.make_network(1))
            encoder.load_weights(network)
        return network.eval()
    built = []
    for seed in SEEDS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            built.append(_custom(encoder))
    _refuse_random(*built)
    return built[0].eval()


def rebuilt_network(encoder: ImageEncoder, state: dict[str, np.ndarray]) -> nn.Module:
    """The network around stored weights, in evaluation mode."""
    import torch

    with (
        torch.device("cpu" if encoder.custom else "meta"),
        torch.random.fork_rng(devices=[]),
    ):
        network = (
            _custom(encoder) if encoder.custom else _without_head(encoder, encoder.make_network(1))
        )
    weights = {
        # A memory-mapped array is read-only, which torch does not have.
        name: torch.from_numpy(value if value.flags.writeable else value.copy())
        for name, value in state.items()
    }
    network.load_state_dict(weights, assign=True)
    return network.eval()


def stored_state(network: nn.Module) -> dict[str, np.ndarray]:
    """The weights of a network as plain arrays, without a copy where they are on the CPU."""
    state = {}
    for name, tensor in network.state_dict().items():
        try:
            state[name] = tensor.detach().cpu().numpy()
        except (TypeError, RuntimeError, AttributeError) as error:
            raise ValueError(
                f"{PURPOSE}: the weight {name!r} of network= has the type {tensor.dtype}, which "
                'cannot be stored. Have the network in float32; precision="bf16" computes in half '
                "of that."
            ) from error
    return state


def count_features(encoder: ImageEncoder, network: nn.Module, table: pd.DataFrame) -> int:
    """How many features a network gives."""
    import torch

    if not encoder.custom:
        return int(encoder.pretrained_part(network).n_features)  # type: ignore[arg-type]
    shape = (1, len(encoder.channels_), *_seen(encoder, table))
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        output = encoder.pretrained_part(network)(torch.zeros(shape))
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 1:
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ValueError(
            f"{PURPOSE}: network= must map (n_sites, n_channels, height, width) to (n_sites, "
            f"n_features). It made of one site, {shape}, {got}."
        )
    return int(output.shape[1])


def _seen(encoder: ImageEncoder, table: pd.DataFrame) -> tuple[int, ...]:
    """Height and width of what the network is given: of a crop, or of the first site."""
    crop: Any = encoder.crop
    if crop is not None and encoder.evaluation != "full":
        return tuple(crop) if isinstance(crop, (tuple, list)) else (crop, crop)
    if encoder.site_shape_ is not None:
        return encoder.site_shape_[1:]
    some = table.iloc[:1] if encoder.on_error == "raise" else table
    return encoder.inputs(some).values.shape[2:]


def feature_names(encoder: ImageEncoder, n_features: int) -> list[str]:
    """Columns of the features; with the channel, where each belongs to one."""
    groups = [FEATURE_PREFIX]
    if not encoder.custom and encoder.channelwise:
        groups = [f"{FEATURE_PREFIX}{channel}_" for channel in encoder.channels_]
    n_each = n_features // len(groups)
    digits = max(4, len(str(n_each - 1)))
    return [f"{group}{place:0{digits}d}" for group in groups for place in range(n_each)]


def feature_settings(encoder: ImageEncoder, network: nn.Module, precision: str) -> dict[str, Any]:
    """All that decides what features a site gets, as values that a cache can compare."""
    from cloome_sk._features_identity import network_identity, weights_hash

    return {
        "features": VERSION,
        "preparation": preparation(encoder).settings(),
        "normalization": network.normalization,
        "crop": network.crop,
        "evaluation": network.evaluation,
        "weights": weights_hash(network),  # the mean and deviation of channels among them
        "network": network_identity(encoder.pretrained_part(network)),
        "precision": precision,
    }


def _without_head(encoder: ImageEncoder, network: nn.Module) -> nn.Module:
    from torch import nn

    encoder.pretrained_part(network).fc = nn.Identity()
    return network


def _custom(encoder: ImageEncoder) -> nn.Module:
    try:
        return encoder.make_network(None)  # type: ignore[arg-type]
    except Exception as error:
        raise ValueError(
            f"{PURPOSE}: network= is called with n_channels={len(encoder.channels_)} and "
            "n_components=None, to give a network with its own weights and without a head. "
            f"{encoder.network!r} raised {type(error).__name__}: {error}"
        ) from error


def _refuse_random(one: nn.Module, other: nn.Module) -> None:
    """Refuse a network that starts from other weights each time it is made."""
    import torch

    again = other.state_dict()
    moved = [
        name
        for name, value in one.state_dict().items()
        if name not in again or not torch.equal(value, again[name])
    ]
    if moved:
        raise ValueError(
            f"{PURPOSE}: network= must bring weights of its own, and {len(moved)} of its "
            f"{len(again)} weights are random: they differ between two calls, such as "
            f"{moved[0].removeprefix('backbone.')!r}. Load them where the network is made."
        )
