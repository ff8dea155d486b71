"""What the ablation changes, one thing at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from sklearn.base import clone

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import (
    CCAEmbedder,
    CompoundLDAEmbedder,
    ProfileEmbedder,
    ProfileFeatures,
    TanimotoKernelEmbedder,
    UntrainedEmbedder,
    with_random_codes,
)
from cloome_sk.evaluation.screens import Screen

DEFAULT = "default"
PLATE = "Metadata_Plate"


@dataclass(frozen=True)
class Setting:
    """A setting of the embedder that differs from the default in one factor.

    Attributes
    ----------
    factor : str
        What it changes.
    name : str
        How.
    params : dict
        Parameters of the embedder.
    may_be_chosen : bool
        Whether its figure of validation may be compared with that of the others. It may not where
        validation has chosen the epoch already: the best of many epochs looks better than it is.
    """

    factor: str
    name: str
    params: dict[str, Any] = field(default_factory=dict)
    may_be_chosen: bool = True


SETTINGS = (
    Setting(DEFAULT, DEFAULT),
    Setting("objective", "InfoLOOB", {"objective": "infoloob"}),
    Setting("objective", "SigLIP", {"objective": "siglip"}),
    Setting("objective", "CWCL", {"objective": "cwcl"}),
    Setting("positives", "each pair alone", {"positives": "pair"}),
    Setting("batches", "plates in the shares of the table", {"batch_labels": PLATE}),
    Setting("batches", "32 pairs", {"batch_size": 32}),
    Setting("batches", "32 pairs, by plate layout", {"batch_size": 32, "batch_plates": PLATE}),
    Setting("schedule", "cosine", {"schedule": "cosine"}),
    Setting("schedule", "cosine with restarts", {"schedule": "cosine-restarts"}),
    Setting("schedule", "constant rate", {"schedule": None}),
    Setting("weights", "moving average, 0.99", {"ema_decay": 0.99}),
    Setting("weights", "of the best epoch", {"keep": "best"}, may_be_chosen=False),
    Setting("clipping", "gradient norm 1", {"clip_norm": 1.0}),
)
"""The default first: InfoNCE, the pairs of a molecule positive, mixed batches of 256, one cycle."""


def embedder_of(
    screen: Screen, setting: Setting, n_pairs: int, n_updates: int, seed: int
) -> CloomeEmbedder:
    """Make the embedder of a setting: the same number of updates for all.

    Parameters
    ----------
    screen : Screen
        Whose embedder it is.
    setting : Setting
        What is changed.
    n_pairs : int
        Training pairs.
    n_updates : int
        Updates, about: epochs are whole.
    seed : int
        Its `random_state`.

    Returns
    -------
    CloomeEmbedder
        Not fitted.
    """
    embedder = screen.make_embedder(n_pairs, seed).set_params(**setting.params)
    per_epoch = math.ceil(n_pairs / embedder.batch_size)
    return embedder.set_params(max_epochs=max(1, round(n_updates / per_epoch)))


def controls_of(screen: Screen, default: CloomeEmbedder, seed: int) -> dict[str, Any]:
    """Name what no claim about a setting should be made without.

    Parameters
    ----------
    screen : Screen
        Whose profiles they take.
    default : CloomeEmbedder
        The embedder without a change.
    seed : int
        Seed of the random codes.

    Returns
    -------
    dict of str to estimator
        Unfitted.
    """
    profile = ProfileFeatures(screen.features)
    return {
        "Tanimoto-kernel average": TanimotoKernelEmbedder(phenotype=profile),
        "CCA": CCAEmbedder(phenotype=profile),
        "random molecule codes": with_random_codes(default, random_state=seed),
        "untrained encoder": UntrainedEmbedder(clone(default)),
        "profile": ProfileEmbedder(phenotype=profile),
        "LDA on compound labels": CompoundLDAEmbedder(phenotype=profile),
    }
