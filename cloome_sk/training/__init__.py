"""Training the dual encoder: the skorch net, its batches and its callbacks."""

from __future__ import annotations

from cloome_sk.training.data import PairDataset
from cloome_sk.training.fitting import TrainingPlan, seeded, train_pairs
from cloome_sk.training.plates import PlateShortcut, plate_layouts, plate_shortcut
from cloome_sk.training.samplers import RankBatches, ReplicateSpreadingSampler

__all__ = [
    "PairDataset",
    "PlateShortcut",
    "RankBatches",
    "ReplicateSpreadingSampler",
    "TrainingPlan",
    "plate_layouts",
    "plate_shortcut",
    "seeded",
    "train_pairs",
]
