"""Weight files in the authors' format, written from its description alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cloome_sk.checkpoints import _matching
from cloome_sk.networks.resnet import Bottleneck

NARROW = {"width": 4, "blocks": (1, 2, 1, 1)}


class NarrowResNet(nn.Module):
    """The layers of ResNet-50, fewer and narrower, so that files are small."""

    def __init__(self, n_channels: int, n_components: int, depth: int) -> None:
        super().__init__()
        assert depth == 50
        inputs = NARROW["width"]
        self.conv1 = nn.Conv2d(n_channels, inputs, 7, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        for stage, n_blocks in enumerate(NARROW["blocks"]):
            width = NARROW["width"] * 2**stage
            blocks = []
            for _ in range(n_blocks):
                blocks.append(Bottleneck(inputs, width, 1))
                inputs = 4 * width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, n_components)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the reader expect a network of few weights."""
    monkeypatch.setattr(_matching, "ResNet", NarrowResNet)


def authors_state(
    n_channels: int = 3,
    n_components: int = 6,
    width: int = NARROW["width"],
    blocks: tuple[int, ...] = NARROW["blocks"],
    n_bits: int = 16,
    hidden: tuple[int, ...] = (10, 12),
    seed: int = 0,
) -> OrderedDict[str, Tensor]:
    """Random weights under the names of the authors' ``CLIPGeneral(ResNet, MLP)``."""
    generator = torch.Generator().manual_seed(seed)
    state: OrderedDict[str, Tensor] = OrderedDict()

    def weight(name: str, *shape: int) -> None:
        state[name] = torch.randn(shape, generator=generator) * 0.1

    def norm(name: str, n: int) -> None:
        for part in ("weight", "bias", "running_mean"):
            weight(f"{name}.{part}", n)
        state[f"{name}.running_var"] = 0.5 + torch.rand(n, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7 + len(state))

    weight("visual.conv1.weight", width, n_channels, 7, 7)
    norm("visual.bn1", width)
    inputs = width
    for stage, n_blocks in enumerate(blocks, start=1):
        inside = width * 2 ** (stage - 1)
        for block in range(n_blocks):
            name = f"visual.layer{stage}.{block}"
            sizes = [(inside, inputs, 1), (inside, inside, 3), (4 * inside, inside, 1)]
            for number, (n_outputs, n_inputs, side) in enumerate(sizes, start=1):
                weight(f"{name}.conv{number}.weight", n_outputs, n_inputs, side, side)
                norm(f"{name}.bn{number}", n_outputs)
            if block == 0:
                weight(f"{name}.downsample.0.weight", 4 * inside, inputs, 1, 1)
                norm(f"{name}.downsample.1", 4 * inside)
            inputs = 4 * inside
    weight("visual.fc.weight", n_components, inputs)
    weight("visual.fc.bias", n_components)
    inputs = n_bits
    for layer, size in enumerate(hidden):
        weight(f"transformer.layers.{layer}.0.weight", size, inputs)
        weight(f"transformer.layers.{layer}.0.bias", size)
        norm(f"transformer.layers.{layer}.1", size)
        inputs = size
    weight(f"transformer.layers.{len(hidden)}.0.weight", n_components, inputs)
    weight(f"transformer.layers.{len(hidden)}.0.bias", n_components)
    state["logit_inv_tau"] = torch.tensor(14.3).log()
    return state


@pytest.fixture
def make_state() -> Callable[..., OrderedDict[str, Tensor]]:
    return authors_state


def trained(state: OrderedDict[str, Tensor]) -> dict[str, Any]:
    """What the authors' program stores after training: with optimizer, schedule and prefix."""
    floats = [nn.Parameter(value.clone()) for value in state.values() if value.is_floating_point()]
    optimizer = torch.optim.AdamW(floats)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    for value in floats:
        value.grad = torch.ones_like(value)
    optimizer.step()
    schedule.step()
    return {
        "epoch": 63,
        "name": "imgres=520_lr=0.001",
        "state_dict": OrderedDict((f"module.{name}", value) for name, value in state.items()),
        "optimizer": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
    }


@pytest.fixture
def as_trained() -> Callable[[OrderedDict[str, Tensor]], dict[str, Any]]:
    return trained


@pytest.fixture(scope="session")
def published_state() -> OrderedDict[str, Tensor]:
    """Weights of the published sizes, drawn so that the values of the layers stay of one order."""
    state = authors_state(
        n_channels=5,
        n_components=512,
        width=64,
        blocks=(3, 4, 6, 3),
        n_bits=1024,
        hidden=(1024,) * 4,
    )
    for name, value in state.items():
        if value.ndim >= 2:
            value *= 10 * (2 / value[0].numel()) ** 0.5
        elif value.ndim == 1 and name.endswith(".weight"):
            value += 0.7
    return state


@pytest.fixture(scope="session")
def published_file(published_state, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file such as the published ones: all names with the prefix of parallel training."""
    path = tmp_path_factory.mktemp("weights") / "cloome.pt"
    named = OrderedDict((f"module.{name}", value) for name, value in published_state.items())
    torch.save({"epoch": 63, "name": "run", "state_dict": named}, path)
    return path


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Store something with `torch.save`; in the format before version 1.6 if ``legacy``."""

    def save(content: Any, name: str = "weights.pt", legacy: bool = False) -> Path:
        path = tmp_path / name
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
        return path

    return save
