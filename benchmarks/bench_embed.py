"""How long `transform` and `embed_molecules` take beside the bare forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

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

COPIES = 16


def rows(full: bool) -> Iterator[Case]:
    """Compare both ways to embed with torch alone, and molecules with RDKit before it."""
    embedder = CloomeEmbedder(max_epochs=1, device="cpu", random_state=0).fit(profiles(256, 64))
    n_rows, n_molecules = (100_000, 100_000) if full else (8_192, 2_048)

    yield from _profiles_cases(embedder, n_rows)
    distinct = library(n_molecules)
    few = distinct[: n_molecules // COPIES] * COPIES
    yield _molecules_case(embedder, distinct, f"{n_molecules:,} distinct SMILES")
    yield _molecules_case(embedder, few, f"{n_molecules:,} SMILES, each {COPIES} times")


def _profiles_cases(embedder: CloomeEmbedder, n_rows: int) -> Iterator[Case]:
    table, encoder = profiles(n_rows, 64), embedder.phenotype_
    network = _network(embedder, encoder, "phenotype.")
    prepared = torch.from_numpy(encoder.inputs(table).values)
    center, scale = encoder.center_.astype(np.float32), encoder.scale_.astype(np.float32)

    def scaled_forward() -> np.ndarray:
        values = table.iloc[:, encoder.column_positions_].to_numpy()
        clipped = np.clip((values - center) / scale, -encoder.clip, encoder.clip)
        return _forward(network, torch.from_numpy(clipped))

    _check(embedder.transform(table), _forward(network, prepared))
    _check(embedder.transform(table), scaled_forward())
    size = f"{n_rows:,} profiles of {N_FEATURES} features"
    transform = partial(embedder.transform, table)
    forward = partial(_forward, network, prepared)
    yield Comparison("transform", size, transform, "forward pass on prepared tensors", forward)
    yield Comparison("transform", size, transform, "scaling, clip, forward pass", scaled_forward)


def _molecules_case(embedder: CloomeEmbedder, smiles: list[str], size: str) -> Case:
    network = _network(embedder, embedder.molecule_, "molecule.")
    _check(embedder.embed_molecules(smiles), _forward(network, _rdkit_bits(smiles)))
    return Comparison(
        "embed_molecules",
        size,
        lambda: embedder.embed_molecules(smiles),
        "RDKit loop + forward pass",
        lambda: _forward(network, _rdkit_bits(smiles)),
    )


def _network(embedder: CloomeEmbedder, encoder: Encoder, prefix: str) -> nn.Module:
    """One side's network with the trained weights."""
    network = encoder.make_network(embedder.n_components_)
    weights = embedder.state_.items()
    network.load_state_dict(
        {name.removeprefix(prefix): torch.from_numpy(value) for name, value in weights
         if name.startswith(prefix)}
    )  # fmt: skip
    return network.eval()


def _forward(network: nn.Module, inputs: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return F.normalize(network(inputs), dim=1).numpy()


def _rdkit_bits(smiles: list[str]) -> Tensor:
    generator = rdFingerprintGenerator.GetMorganGenerator(3, fpSize=1024, includeChirality=True)
    molecules = (Chem.MolFromSmiles(text) for text in smiles)
    bits = np.array([generator.GetFingerprintAsNumPy(molecule) for molecule in molecules])
    return torch.from_numpy(bits).float()


def _check(found: np.ndarray, expected: np.ndarray) -> None:
    if not np.allclose(found, expected, atol=1e-5):
        raise AssertionError("the embeddings differ from those of the bare forward pass")
