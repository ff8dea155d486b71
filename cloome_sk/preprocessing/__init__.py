"""Before anything is learned: which wells are controls, and profiles measured against them."""

from __future__ import annotations

from cloome_sk.preprocessing.aggregate import aggregate_embeddings
from cloome_sk.preprocessing.control_normalizer import ControlNormalizer
from cloome_sk.preprocessing.controls import ControlRows, apply_controls, find_controls

__all__ = [
    "ControlNormalizer",
    "ControlRows",
    "aggregate_embeddings",
    "apply_controls",
    "find_controls",
]
