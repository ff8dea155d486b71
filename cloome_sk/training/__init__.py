"""Training the dual encoder: the skorch net, its batches and its callbacks."""

from __future__ import annotations

from cloome_sk.training.data import PairDataset
from cloome_sk.training.fitting import TrainingPlan, seeded, train_pairs
from cloome_sk.training.samplers import ReplicateSpreadingSampler

__all__ = [
    "PairDataset",
    "ReplicateSpreadingSampler",
    "TrainingPlan",
    "seeded",
    "train_pairs",
]
