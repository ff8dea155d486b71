"""Studies: a table, a model and its controls in; figures with chance and intervals out.

``python -m cloome_sk.evaluation --help`` lists them.
"""

from __future__ import annotations

from cloome_sk.evaluation.ablation import AblationStudy, study_ablation
from cloome_sk.evaluation.controls import ControlStudy, study_controls
from cloome_sk.evaluation.crops import CropStudy, make_crop_embedder, study_crops
from cloome_sk.evaluation.plate_batches import study_plate_batches
from cloome_sk.evaluation.screens import Screen, load_screen, make_embedder

__all__ = [
    "AblationStudy",
    "ControlStudy",
    "CropStudy",
    "Screen",
    "load_screen",
    "make_crop_embedder",
    "make_embedder",
    "study_ablation",
    "study_controls",
    "study_crops",
    "study_plate_batches",
]
