"""Studies: a table, a model and its controls in; figures with chance and intervals out.

``python -m cloome_sk.evaluation --help`` lists them.
"""

from __future__ import annotations

from cloome_sk.evaluation._library_result import LibrarySelectionStudy
from cloome_sk.evaluation.ablation import AblationStudy, study_ablation
from cloome_sk.evaluation.activity import ActivityStudy, study_activity
from cloome_sk.evaluation.activity_data import (
    activity_of_assays,
    activity_of_screen,
    assays_of_molecules,
)
from cloome_sk.evaluation.bioactivity_overlap import (
    BioactivityOverlap,
    study_bioactivity_overlap,
)
from cloome_sk.evaluation.bioisostere_result import BioisostereStudy
from cloome_sk.evaluation.bioisosteres import bioisosteres_of_screen, study_bioisosteres
from cloome_sk.evaluation.chemotype_clustering import study_chemotype_clustering
from cloome_sk.evaluation.clustering_comparison import (
    ClusteringComparison,
    study_clustering_comparison,
)
from cloome_sk.evaluation.clustering_result import ClusteringStudy
from cloome_sk.evaluation.confidence import ConfidenceStudy, confidence_of_screen, study_confidence
from cloome_sk.evaluation.controls import ControlStudy, study_controls
from cloome_sk.evaluation.crops import CropStudy, make_crop_embedder, study_crops
from cloome_sk.evaluation.library_selection import study_library_selection
from cloome_sk.evaluation.phenotype_clustering import study_phenotype_clustering
from cloome_sk.evaluation.plate_batches import study_plate_batches
from cloome_sk.evaluation.ranked_structures import rank_structures
from cloome_sk.evaluation.result import StudyResult
from cloome_sk.evaluation.retrieval import retrieval_of_screen, study_retrieval
from cloome_sk.evaluation.screens import Screen, load_screen, make_embedder
from cloome_sk.evaluation.trained_on_labels import TrainedOnLabels, network_on_labels
from cloome_sk.evaluation.trained_on_targets import TrainedOnTargets
from cloome_sk.evaluation.transfer_labs import load_labs, transferability_of
from cloome_sk.evaluation.transfer_methods import Effort, image_methods, profile_methods
from cloome_sk.evaluation.transfer_result import TransferabilityStudy
from cloome_sk.evaluation.transferability import count_training_rows, study_transferability
from cloome_sk.evaluation.traps import TrapStudy, study_traps
from cloome_sk.evaluation.zero_shot import study_zero_shot, zero_shot_of_screen

__all__ = [
    "AblationStudy",
    "ActivityStudy",
    "BioactivityOverlap",
    "BioisostereStudy",
    "ClusteringComparison",
    "ClusteringStudy",
    "ConfidenceStudy",
    "ControlStudy",
    "CropStudy",
    "Effort",
    "LibrarySelectionStudy",
    "Screen",
    "StudyResult",
    "TrainedOnLabels",
    "TrainedOnTargets",
    "TransferabilityStudy",
    "TrapStudy",
    "activity_of_assays",
    "activity_of_screen",
    "assays_of_molecules",
    "bioisosteres_of_screen",
    "confidence_of_screen",
    "count_training_rows",
    "image_methods",
    "load_labs",
    "load_screen",
    "make_crop_embedder",
    "make_embedder",
    "network_on_labels",
    "profile_methods",
    "rank_structures",
    "retrieval_of_screen",
    "study_ablation",
    "study_activity",
    "study_bioactivity_overlap",
    "study_bioisosteres",
    "study_chemotype_clustering",
    "study_clustering_comparison",
    "study_confidence",
    "study_controls",
    "study_crops",
    "study_library_selection",
    "study_phenotype_clustering",
    "study_plate_batches",
    "study_retrieval",
    "study_transferability",
    "study_traps",
    "study_zero_shot",
    "transferability_of",
    "zero_shot_of_screen",
]
