"""Whether the weights of a file are those of the networks here, and of which sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cloome_sk.checkpoints._describing import listing
from cloome_sk.checkpoints._loading import CheckpointError
from cloome_sk.networks import MLP, ResNet

TEMPERATURE = "logit_inv_tau"
_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_MOLECULE_LAYER = re.compile(r"transformer\.layers\.(\d+)\.")


def match_networks(
    path: Path, state: Mapping[str, Tensor]
) -> tuple[dict[str, tuple[str, str]], dict[str, Any]]:
    """Compare weights with the networks of their sizes.

    Returns
    -------
    homes : dict of str to tuple
        For each name of the authors, the part ("phenotype" or "molecule") and the name there.
    sizes : dict
        n_channels, n_components, n_bits and hidden_sizes.

    Raises
    ------
    CheckpointError
        For missing and unknown names, and for other sizes than can be built.
    """
    homes = _homes(state)
    _check_names(path, state, homes)
    for name, value in state.items():
        _check_stored(path, name, value)
    sizes = _sizes(path, state)
    _check_shapes(path, state, homes, sizes)
    return homes, sizes


def _homes(state: Mapping[str, Tensor]) -> dict[str, tuple[str, str]]:
    """For each name of the authors, the network it belongs to and its name there."""
    layers = {match[1] for name in state if (match := _MOLECULE_LAYER.match(name))}
    with torch.device("meta"):
        networks = {
            "visual": ResNet(1, 1, depth=50),
            "transformer": MLP(1, 1, [1] * (len(layers) - 1)),
        }
    homes = {f"visual.{name}": ("phenotype", name) for name in networks["visual"].state_dict()}
    for name in networks["transformer"].state_dict():
        # The authors number blocks of Linear, BatchNorm and ReLU, and within a block its layers.
        _, position, weight = name.split(".")
        block, layer = divmod(int(position), 3)
        homes[f"transformer.layers.{block}.{layer}.{weight}"] = ("molecule", name)
    return homes


def _check_names(path: Path, state: Mapping[str, Tensor], homes: Mapping[str, Any]) -> None:
    missing = [name for name in [*homes, TEMPERATURE] if name not in state]
    unknown = [name for name in state if name not in homes and name != TEMPERATURE]
    if missing or unknown:
        found = [f"it lacks {listing(map(repr, missing))}"] if missing else []
        found += [f"it has {listing(map(repr, unknown))}, not known here"] if unknown else []
        raise CheckpointError(
            path,
            f"is not a CLOOME: {'; '.join(found)}. Expected are a ResNet-50 under 'visual.', a "
            "multilayer perceptron under 'transformer.layers.' and 'logit_inv_tau'.",
        )


def _sizes(path: Path, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The sizes that a network may have, from the shapes of the weights that decide them."""
    n_layers = sum(
        bool(re.fullmatch(r"transformer\.layers\.\d+\.0\.weight", name)) for name in state
    )
    hidden = [f"transformer.layers.{layer}.0.weight" for layer in range(n_layers)]
    deciding = {"visual.conv1.weight": 4, "visual.fc.weight": 2, **dict.fromkeys(hidden, 2)}
    for name, n_dimensions in deciding.items():
        shape = tuple(state[name].shape)
        if len(shape) != n_dimensions or 0 in shape:
            raise CheckpointError(
                path,
                f"the weight {name!r} has the shape {shape}; expected are {n_dimensions} "
                "dimensions, none of them 0.",
            )
    return {
        "n_channels": state["visual.conv1.weight"].shape[1],
        "n_components": state["visual.fc.weight"].shape[0],
        "n_bits": state[hidden[0]].shape[1],
        "hidden_sizes": tuple(state[name].shape[0] for name in hidden[:-1]),
    }


def _check_shapes(
    path: Path,
    state: Mapping[str, Tensor],
    homes: Mapping[str, tuple[str, str]],
    sizes: Mapping[str, Any],
) -> None:
    """Compare every weight with the networks of these sizes."""
    n_components = sizes["n_components"]
    with torch.device("meta"):
        networks = {
            "phenotype": ResNet(sizes["n_channels"], n_components, depth=50),
            "molecule": MLP(sizes["n_bits"], n_components, sizes["hidden_sizes"]),
        }
    expected = {part: network.state_dict() for part, network in networks.items()}
    wanted = {name: expected[part][own_name] for name, (part, own_name) in homes.items()}
    wanted[TEMPERATURE] = torch.zeros((), device="meta")
    wrong = [
        f"{name!r} has the shape {_kind(state[name])}, expected {_kind(value)}"
        for name, value in wanted.items()
        if state[name].shape != value.shape or is_float(state[name]) != is_float(value)
    ]
    if wrong:
        raise CheckpointError(
            path,
            f"is a CLOOME of other sizes than can be built here: {listing(wrong, '; ')}. Free "
            "are the number of channels, of input bits and of hidden units, and the size of the "
            "embedding, which is one for both sides; the widths of the ResNet are not.",
        )


def _check_stored(path: Path, name: str, value: Tensor) -> None:
    """Refuse what is no array of numbers: sparse, quantised, without data, or repeated in place."""
    plain = value.layout is torch.strided and value.device.type == "cpu" and not value.is_nested
    if not plain or value.dtype not in _FLOATS | {torch.int64}:
        raise CheckpointError(
            path,
            f"the weight {name!r} is stored as {value.layout}, {value.dtype} on "
            f"{value.device.type}; expected is a plain array of floating-point numbers.",
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise CheckpointError(
            path,
            f"the weight {name!r} states the shape {tuple(value.shape)} and stores fewer numbers.",
        )


def is_float(value: Tensor) -> bool:
    """Whether these are weights, and not the counter of a BatchNorm."""
    return value.dtype.is_floating_point


def _kind(value: Tensor) -> str:
    return str(tuple(value.shape)) + ("" if is_float(value) else " of whole numbers")
