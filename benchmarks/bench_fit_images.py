"""How long `fit` on images takes beside a training loop written by hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks import _by_hand
from benchmarks._data import library
from benchmarks._timing import Case, Comparison
from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder
from cloome_sk.networks import ResNet, SmallCNN

SIZES = {"small": (256, 64, 64, 3), "resnet50": (32, 96, 16, 1)}
"""Of each network: sites, pixels a side, sites in a batch, and epochs."""


def rows(full: bool) -> Iterator[Case]:
    """Compare `fit` on sites in memory with the same networks in a plain loop."""
    for network, (n_sites, side, batch_size, epochs) in SIZES.items():
        job = _Job(network, n_sites * (4 if full else 1), side, batch_size, epochs)
        size = f"{len(job.table)} sites 5x{side}x{side}, {network}, {epochs} epoch(s)"
        yield Comparison("fit on images", size, job.fit, "scaling, RDKit, torch loop", job.by_hand)


class _Job:
    """One training, by the package and by hand."""

    def __init__(
        self, network: str, n_sites: int, side: int, batch_size: int, max_epochs: int
    ) -> None:
        self.network, self.batch_size, self.max_epochs = network, batch_size, max_epochs
        generator = np.random.default_rng(0)
        self.pixels = generator.integers(0, 256, (n_sites, 5, side, side), dtype=np.uint8)
        smiles = np.array(library(n_sites // 4), dtype=object)[np.arange(n_sites) % (n_sites // 4)]
        self.table = pd.DataFrame({"Metadata_smiles": smiles, "Image": list(self.pixels)})

    def fit(self) -> CloomeEmbedder:
        encoder = ImageEncoder(
            channels=["DNA", "ER", "RNA", "AGP", "Mito"],
            network=self.network,
            scaling="none",
            augmentation=None,
        )
        return CloomeEmbedder(
            encoder,
            MoleculeEncoder(hidden_sizes=(256,)),
            n_components=128,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            device="cpu",
            random_state=0,
        ).fit(self.table)

    def by_hand(self) -> list[float]:
        torch.manual_seed(0)
        _, bits, molecule, groups = _by_hand.prepare(self.table.assign(Cells_nothing=0.0))
        values = self.pixels.astype(np.float32)
        mean, std = (torch.from_numpy(f(values, axis=(0, 2, 3))) for f in (np.mean, np.std))
        backbone = SmallCNN(5, 128) if self.network == "small" else ResNet(5, 128, depth=50)
        return _by_hand.train(
            nn.Sequential(_Normalized(mean, std), backbone),
            _by_hand.perceptron(1024, (256,), 128, 0.0, 0.0),
            torch.from_numpy(self.pixels),
            bits,
            molecule,
            groups,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            seed=0,
        )


class _Normalized(nn.Module):
    """Bytes to floats of mean 0 and deviation 1."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.mean, self.std = mean[:, None, None], std[:, None, None]

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.float() - self.mean) / self.std
