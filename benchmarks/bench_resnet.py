"""How long the published network takes on sites, beside the authors' way: one by one, as it is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import nn

from benchmarks._timing import Case, Comparison
from benchmarks.bench_scaling import CHANNELS
from benchmarks.bench_sites import copies, example
from cloome_sk import CloomeEmbedder
from cloome_sk.checkpoints import PUBLISHED
from cloome_sk.networks import MLP, ResNet

SHARE = 0.01 / 100
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def rows(full: bool) -> Iterator[Case]:
    """Embed sites from their files with ResNet-50 on one thread, in float32 and in bfloat16."""
    n_sites = 32 if full else 8
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with TemporaryDirectory() as name:
            yield from _cases(Path(name), n_sites)
    finally:
        torch.set_num_threads(threads)


def _cases(folder: Path, n_sites: int) -> Iterator[Case]:
    network = random_network()
    weights = folder / "weights.pt"
    write_checkpoint(network, weights)
    fields, origin = example(folder)
    table = copies(folder / "sites", fields, n_sites, None)
    by_hand = partial(embedded_by_hand, network, table)
    expected = by_hand()
    size = f"{n_sites} sites, 5 x 520x696 uint16, {origin}"
    reference = "one by one, NCHW, fp32, BatchNorm apart"

    embedder = CloomeEmbedder.from_checkpoint(weights, device="cpu")
    _check(embedder.transform(table), expected, atol=1e-4)
    yield Comparison(
        "transform, ResNet-50, 1 thread",
        size,
        lambda: embedder.transform(table),
        reference,
        by_hand,
    )
    if not has_bf16():
        print("transform in bf16: not timed, this processor has no instructions for bfloat16")
        return
    half = CloomeEmbedder.from_checkpoint(weights, device="cpu", precision="bf16")
    _check(half.transform(table), expected, atol=1e-2)
    yield Comparison("the same, bf16", size, lambda: half.transform(table), reference, by_hand)


def embedded_by_hand(network: ResNet, table: pd.DataFrame) -> np.ndarray:
    """Embed site by site, in the steps of the authors' inference class."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (PUBLISHED.mean, PUBLISHED.std))
    embedded = []
    with torch.inference_mode():
        for paths in table[[f"Image_{name}" for name in CHANNELS]].to_numpy():
            site = np.stack([scaled_by_hand(np.array(Image.open(path))) for path in paths])
            values = torch.from_numpy(site.astype(np.float32))
            (height, width), (rows, columns) = values.shape[1:], PUBLISHED.crop
            top, left = (height - rows) // 2, (width - columns) // 2
            values = values[:, top : top + rows, left : left + columns]
            values = (values - mean) / std
            embedded.append(F.normalize(forward(network, values[None]), dim=1))
    return torch.cat(embedded).numpy()


def scaled_by_hand(channel: np.ndarray) -> np.ndarray:
    """Saturate the brightest 0.01 % of a channel, in double precision."""
    n_bright = round(channel.size * SHARE)
    brightest = np.argpartition(channel, -n_bright, axis=None)[-n_bright:]
    white = channel.ravel()[brightest].min()
    light = channel.astype(float) * 255 / white
    light[light > 255] = 255
    return light.astype(np.uint8)


def forward(network: ResNet, values: torch.Tensor) -> torch.Tensor:
    """Run the layers on a tensor as it lies in memory, each of them on its own."""
    values = network.maxpool(network.relu(network.bn1(network.conv1(values))))
    values = network.layer4(network.layer3(network.layer2(network.layer1(values))))
    return network.fc(F.avg_pool2d(values, 7, stride=1).mean(dim=(2, 3)))


def random_network() -> ResNet:
    """The published architecture; its BatchNorm with statistics as if it had been trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ResNet(len(CHANNELS), 512, pooling="legacy")
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
                module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def write_checkpoint(network: ResNet, path: Path) -> None:
    """Write a file in the authors' format: this network, and a molecule side that is not used."""
    molecule = MLP(PUBLISHED.n_bits, 512)
    state = {f"visual.{name}": value for name, value in network.state_dict().items()}
    for name, value in molecule.state_dict().items():
        _, layer, weight = name.split(".")
        state[f"transformer.layers.{int(layer) // 3}.{int(layer) % 3}.{weight}"] = value
    state["logit_inv_tau"] = torch.tensor(14.3).log()
    torch.save({"epoch": 1, "name": "random", "state_dict": state}, path)


def has_bf16() -> bool:
    """Whether the processor says, as Linux lists it, that it computes in bfloat16."""
    listing = Path("/proc/cpuinfo")
    if not listing.exists():
        return False
    flags = next((s for s in listing.read_text().splitlines() if s.startswith("flags")), "")
    return bool(BF16_FLAGS & set(flags.split()))


def _check(found: np.ndarray, expected: np.ndarray, atol: float) -> None:
    if not np.allclose(found, expected, atol=atol):
        raise AssertionError("the embeddings differ from those of the steps by hand")
