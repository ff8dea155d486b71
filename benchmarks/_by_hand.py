"""The training of `CloomeEmbedder.fit` as one would write it for one experiment, in plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F  # noqa: N812
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from cloome_sk.objectives import infonce
from cloome_sk.training import ReplicateSpreadingSampler


def perceptron(
    n_inputs: int, sizes: Sequence[int], n_components: int, dropout: float, input_dropout: float
) -> nn.Sequential:
    """Linear, BatchNorm, ReLU and dropout for each size, then Linear."""
    layers: list[nn.Module] = [nn.Dropout(input_dropout)] if input_dropout else []
    for size in sizes:
        layers += [nn.Linear(n_inputs, size), nn.BatchNorm1d(size), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
        n_inputs = size
    return nn.Sequential(*layers, nn.Linear(n_inputs, n_components))


def train(
    profile_network: nn.Module,
    molecule_network: nn.Module,
    profiles: Tensor,
    bits: Tensor,
    molecule: Tensor,
    groups: Tensor,
    *,
    batch_size: int,
    max_epochs: int,
    seed: int,
) -> list[float]:
    """Train in place; the mean objective of each epoch.

    `molecule` is the row of each pair in `bits`, `groups` the code of the pair's molecule. The
    batches are those of the package, each distinct molecule is embedded once in a batch, and the
    mask of positives is used only in batches that hold replicates, all as the package does it.
    """
    log_inv_tau = nn.Parameter(torch.tensor(14.3).log())
    sampler = ReplicateSpreadingSampler(groups.numpy(), batch_size, seed)
    weights = [*profile_network.parameters(), *molecule_network.parameters(), log_inv_tau]
    decayed: dict[str, Any] = {"params": [weight for weight in weights if weight.ndim >= 2]}
    others = {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0}
    optimizer = torch.optim.AdamW([decayed, others], lr=1e-3, weight_decay=0.1, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-3, total_steps=max_epochs * len(sampler), cycle_momentum=False
    )
    profile_network.train()
    molecule_network.train()
    history = []
    for _ in range(max_epochs):
        total = 0.0
        for rows in sampler:
            chosen = torch.tensor(rows)
            distinct, place = torch.unique(molecule[chosen], return_inverse=True)
            optimizer.zero_grad()
            z = F.normalize(molecule_network(bits[distinct].float()), dim=1)[place]
            x = F.normalize(profile_network(profiles[chosen]), dim=1)
            same = groups[chosen][:, None] == groups[chosen][None, :]
            positives = same if int(same.sum()) > len(rows) else None
            loss = infonce(x, z, log_inv_tau.exp(), positives=positives)
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                log_inv_tau.clamp_(0.0, np.log(100.0))
            total += loss.item() * len(rows)
        history.append(total / len(groups))
    return history


def prepare(table: pd.DataFrame) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scaled profiles, fingerprints, and codes of a table that is known to be in order."""
    features = table.filter(regex="^Cells_").to_numpy(np.float32)
    scaled = np.clip(StandardScaler().fit_transform(features), -10, 10)
    codes, smiles = pd.factorize(table["Metadata_smiles"])
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    generator = rdFingerprintGenerator.GetMorganGenerator(3, fpSize=1024, includeChirality=True)
    bits = np.array([generator.GetFingerprintAsNumPy(molecule) for molecule in molecules])
    keys = [Chem.MolToInchiKey(molecule)[:14] for molecule in molecules]
    groups = pd.factorize(np.array(keys, dtype=object))[0][codes]
    return (
        torch.from_numpy(scaled),
        torch.from_numpy(bits),
        torch.from_numpy(codes),
        torch.from_numpy(groups),
    )
