"""How long `fit` takes beside a training loop written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import _by_hand
from benchmarks._data import profiles
from benchmarks._timing import Case, Comparison
from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.molecules.keys import _key
from cloome_sk.objectives import infonce
from cloome_sk.training import PairDataset, TrainingPlan, train_pairs
from cloome_sk.training.schedules import one_cycle

BATCH_SIZE = 256
DROPOUT = (0.3, 0.1)
"""Of the profile side: of hidden units and of inputs, the defaults."""

NETWORKS = {
    "default networks": ((512, 512), (1024,) * 4, 512),
    "small networks": ((128,), (128,), 64),
}
"""Hidden sizes of the profile and the molecule side, and the number of components."""


def rows(full: bool) -> Iterator[Case]:
    """Compare `fit` and the training in it with plain torch, on networks of two sizes."""
    n_pairs, n_molecules = (8_192, 1_024) if full else (2_048, 256)
    table = profiles(n_pairs, n_molecules)
    check_same_training(table.iloc[:512])
    for name, epochs in (("default networks", 3), ("small networks", 10)):
        job = _Job(table, NETWORKS[name], epochs * 3 if full else epochs, DROPOUT)
        size = f"{n_pairs:,} pairs, {job.max_epochs} epochs, {name}"
        yield Comparison("fit", size, job.fit, "scaling, RDKit, torch loop", job.all_by_hand,
                         before=_key.cache_clear)  # fmt: skip
        yield Comparison("fit: training alone", size, job.train, "torch loop", job.train_by_hand)


class _Job:
    """One training, by the package and by hand, from a table or from arrays."""

    def __init__(
        self, table: Any, networks: Any, max_epochs: int, dropout: tuple[float, float]
    ) -> None:
        self.table, self.max_epochs, self.dropout = table, max_epochs, dropout
        self.profile_sizes, self.molecule_sizes, self.n_components = networks
        self.tensors = _by_hand.prepare(table)
        hidden, inputs = dropout
        self.phenotype = ProfileEncoder(
            hidden_sizes=self.profile_sizes, dropout=hidden, input_dropout=inputs
        ).fit(table)
        self.molecule = MoleculeEncoder(hidden_sizes=self.molecule_sizes).fit(table)
        phenotype, molecule = self.phenotype.inputs(table), self.molecule.inputs(table)
        self.pairs = PairDataset(
            (phenotype.values, phenotype.index),
            (molecule.values, molecule.index),
            self.tensors[3].numpy(),
        )
        self.embedder = CloomeEmbedder(
            self.phenotype,
            self.molecule,
            n_components=self.n_components,
            batch_size=BATCH_SIZE,
            max_epochs=max_epochs,
            device="cpu",
            random_state=0,
        )
        self.plan = TrainingPlan(
            objective=infonce,
            inv_tau=14.3,
            learn_inv_tau=True,
            lr=1e-3,
            weight_decay=0.1,
            schedule=one_cycle,
            batch_size=BATCH_SIZE,
            max_epochs=max_epochs,
            seed=0,
            device="cpu",
            verbose=0,
        )

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """The two networks by hand."""
        n_features = self.tensors[0].shape[1]
        return (
            _by_hand.perceptron(n_features, self.profile_sizes, self.n_components, *self.dropout),
            _by_hand.perceptron(1024, self.molecule_sizes, self.n_components, 0.0, 0.0),
        )

    def fit(self) -> CloomeEmbedder:
        return self.embedder.fit(self.table)

    def all_by_hand(self) -> list[float]:
        return self._loop(_by_hand.prepare(self.table))[2]

    def train(self) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
        return train_pairs(
            partial(self.phenotype.make_network, self.n_components),
            partial(self.molecule.make_network, self.n_components),
            self.pairs,
            self.plan,
        )

    def train_by_hand(self) -> tuple[nn.Module, nn.Module, list[float]]:
        return self._loop(self.tensors)

    def _loop(self, tensors: Any) -> tuple[nn.Module, nn.Module, list[float]]:
        torch.manual_seed(0)
        networks = self.networks()
        history = _by_hand.train(
            *networks, *tensors, batch_size=BATCH_SIZE, max_epochs=self.max_epochs, seed=0
        )
        return *networks, history


def check_same_training(table: Any) -> None:
    """Train without dropout, the one thing drawn at random in training: the weights must agree."""
    job = _Job(table, NETWORKS["small networks"], 6, (0.0, 0.0))  # 12 updates: enough for a cycle
    state, history = job.train()
    profile_network, molecule_network, expected_history = job.train_by_hand()
    states = (profile_network.state_dict(), molecule_network.state_dict())
    expected = [value.numpy() for state_dict in states for value in state_dict.values()]
    found = [value for name, value in state.items() if name != "log_inv_tau"]
    same = all(np.allclose(*pair, atol=1e-4) for pair in zip(found, expected, strict=True))
    objectives = [epoch["objective"] for epoch in history]
    if not same or not np.allclose(objectives, expected_history, rtol=1e-4):
        raise AssertionError("the training by hand is not that of the package")
