"""What every claim is compared with: controls as estimators, one comparison, the layout test."""

from __future__ import annotations

from cloome_sk.baselines.assay_probe import AssayProbe
from cloome_sk.baselines.classifiers import (
    cell_count_classifier,
    chance_classifier,
    concatenation_classifier,
    late_fusion_classifier,
    linear_probe,
    morgan_classifier,
    physchem_classifier,
    position_classifier,
    profile_classifier,
)
from cloome_sk.baselines.comparison import compare
from cloome_sk.baselines.crossmodal import CCAEmbedder, RidgeEmbedder, TanimotoKernelEmbedder
from cloome_sk.baselines.defaults import default_controls
from cloome_sk.baselines.dino import DINOEmbedder
from cloome_sk.baselines.embedder_controls import ShuffledPairs, with_random_codes
from cloome_sk.baselines.fusion import LateFusionClassifier
from cloome_sk.baselines.identity import CompoundLDAEmbedder, ProfileEmbedder
from cloome_sk.baselines.intensity import IntensityProfiles
from cloome_sk.baselines.layout import layout_test
from cloome_sk.baselines.molecule_features import (
    MorganFeatures,
    PhyschemDescriptors,
    RandomMoleculeCodes,
)
from cloome_sk.baselines.profile_features import ProfileFeatures
from cloome_sk.baselines.simclr import SimCLREmbedder
from cloome_sk.baselines.supervised import SupervisedEmbedder
from cloome_sk.baselines.tanimoto import TanimotoNeighborsClassifier
from cloome_sk.baselines.untrained import UntrainedEmbedder
from cloome_sk.baselines.well_features import CellCount, PlatePosition

__all__ = [
    "AssayProbe",
    "CCAEmbedder",
    "CellCount",
    "CompoundLDAEmbedder",
    "DINOEmbedder",
    "IntensityProfiles",
    "LateFusionClassifier",
    "MorganFeatures",
    "PhyschemDescriptors",
    "PlatePosition",
    "ProfileEmbedder",
    "ProfileFeatures",
    "RandomMoleculeCodes",
    "RidgeEmbedder",
    "ShuffledPairs",
    "SimCLREmbedder",
    "SupervisedEmbedder",
    "TanimotoKernelEmbedder",
    "TanimotoNeighborsClassifier",
    "UntrainedEmbedder",
    "cell_count_classifier",
    "chance_classifier",
    "compare",
    "concatenation_classifier",
    "default_controls",
    "late_fusion_classifier",
    "layout_test",
    "linear_probe",
    "morgan_classifier",
    "physchem_classifier",
    "position_classifier",
    "profile_classifier",
    "with_random_codes",
]
