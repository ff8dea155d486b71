"""How long `transform` and `embed_molecules` take beside the bare forward pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from torch import Tensor, nn

from benchmarks._data import N_FEATURES, library, profiles
from benchmarks._timing import Case, Comparison
from cloome_sk import CloomeEmbedder
from cloome_sk.encoders.base import Encoder

TOLERANCE = 1e-5


def rows(full: bool) -> Iterator[Case]:
    """Compare both ways to embed with torch alone, and molecules with RDKit before it."""
    embedder = CloomeEmbedder(max_epochs=1, device="cpu", random_state=0).fit(profiles(256, 64))
    n_rows, n_molecules = (100_000, 100_000) if full else (8_192, 4_096)

    table = profiles(n_rows, 64)
    network = _network(embedder, embedder.phenotype_, "phenotype.")
    prepared = torch.from_numpy(embedder.phenotype_.inputs(table).values)
    _check(embedder.transform(table), _forward(network, prepared))
    yield Comparison(
        "transform",
        f"{n_rows:,} profiles of {N_FEATURES} features",
        lambda: embedder.transform(table),
        "forward pass on prepared tensors",
        lambda: _forward(network, prepared),
    )
    del table, prepared

    smiles = library(n_molecules)
    network = _network(embedder, embedder.molecule_, "molecule.")
    bits = torch.from_numpy(_rdkit_bits(smiles))
    _check(embedder.embed_molecules(smiles), _forward(network, bits))
    yield Comparison(
        "embed_molecules",
        f"{n_molecules:,} distinct SMILES",
        lambda: embedder.embed_molecules(smiles),
        "RDKit loop + forward pass",
        lambda: _forward(network, torch.from_numpy(_rdkit_bits(smiles))),
    )
    few = smiles[: n_molecules // 16] * 16
    yield Comparison(
        "embed_molecules",
        f"{n_molecules:,} SMILES, each 16 times",
        lambda: embedder.embed_molecules(few),
        "RDKit loop + forward pass",
        lambda: _forward(network, torch.from_numpy(_rdkit_bits(few))),
    )


def _network(embedder: CloomeEmbedder, encoder: Encoder, prefix: str) -> nn.Module:
    """One side's network with the trained weights."""
    network = encoder.network(embedder.n_components_)
    weights = embedder.state_.items()
    network.load_state_dict(
        {name.removeprefix(prefix): torch.from_numpy(value) for name, value in weights
         if name.startswith(prefix)}
    )  # fmt: skip
    return network.eval()


def _forward(network: nn.Module, inputs: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return F.normalize(network(inputs), dim=1).numpy()


def _rdkit_bits(smiles: list[str]) -> np.ndarray:
    generator = rdFingerprintGenerator.GetMorganGenerator(3, fpSize=1024, includeChirality=True)
    return np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(text)) for text in smiles])


def _check(found: np.ndarray, expected: np.ndarray) -> None:
    if not np.allclose(found, expected, atol=TOLERANCE):
        raise AssertionError("the embeddings differ from those of the bare forward pass")
