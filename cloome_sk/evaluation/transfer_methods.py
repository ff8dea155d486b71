"""The methods of the transfer study, on images and on profiles: one encoder, one effort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.pipeline import make_pipeline

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import (
    DINOEmbedder,
    IntensityProfiles,
    MorganFeatures,
    ProfileFeatures,
    SimCLREmbedder,
    SupervisedEmbedder,
    UntrainedEmbedder,
    with_random_codes,
)
from cloome_sk.encoders import MoleculeEncoder
from cloome_sk.evaluation.trained_on_targets import TrainedOnTargets
from cloome_sk.features import ImageFeatures

MODEL, CODES, UNTRAINED = "CLOOME", "CLOOME, random codes", "untrained network"
INTENSITY, CELLPROFILER, PROFILE = "intensity features", "CellProfiler features", "profile"
IMAGENET = "ImageNet weights"
ON_ACTIVITY, ON_ECFP = "supervised: activity", "supervised: ECFP"
ON_INTENSITY, ON_CELLPROFILER = "supervised: intensities", "supervised: CellProfiler"
SIMCLR, DINO, VIT = "SimCLR", "DINO", "DINO, ViT"


@dataclass(frozen=True)
class Effort:
    """What all trained methods have in common.

    Attributes
    ----------
    encoder : encoder
        `cloome_sk.encoders.ImageEncoder` or `ProfileEncoder`: images, network and augmentation.
    n_rows : int
        Training rows, about; from these and `n_updates` comes the number of epochs.
    n_updates : int
        Updates of each network, about; the study reports how many there were.
    batch_size, n_components : int
        As in `cloome_sk.CloomeEmbedder`.
    lr : float
        As there.
    seed : int
        Of weights and batches.

    Examples
    --------
    >>> from cloome_sk.encoders import ProfileEncoder
    >>> from cloome_sk.evaluation.transfer_methods import Effort
    >>> Effort(ProfileEncoder(), n_rows=640, n_updates=100, batch_size=64).shared["max_epochs"]
    10
    """

    encoder: Any
    n_rows: int
    n_updates: int = 100
    batch_size: int = 64
    n_components: int = 128
    lr: float = 1e-3
    seed: int = 0

    @property
    def shared(self) -> dict[str, Any]:
        """Parameters of every embedder."""
        return {
            "phenotype": clone(self.encoder),
            "n_components": self.n_components,
            "lr": self.lr,
            "batch_size": self.batch_size,
            "max_epochs": max(1, round(self.n_updates / -(-self.n_rows // self.batch_size))),
            "random_state": self.seed,
        }

    def supervised(self, targets: Any, target: str) -> TrainedOnTargets:
        """Give the same network, to be trained on labels.

        Parameters
        ----------
        targets : estimator or sequence of str
            Labels, as `TrainedOnTargets` takes them.
        target : str
            Their kind, as `SupervisedEmbedder` takes it: "assays" or "regression".

        Returns
        -------
        TrainedOnTargets
            To be fitted; about as many updates as the others.
        """
        network = SupervisedEmbedder(**self.shared, target=target)
        return TrainedOnTargets(network, targets, n_updates=self.n_updates)


def image_methods(
    effort: Effort,
    *,
    molecule: Any = None,
    structures: bool = True,
    activity: Sequence[str] = (),
    cellprofiler: Sequence[str] = (),
    weights: str | PathLike[str] | None = None,
    vit: bool = False,
    n_jobs: int | None = None,
) -> dict[str, Any]:
    """Give the methods on images.

    Parameters
    ----------
    effort : Effort
        With an `ImageEncoder`.
    molecule : encoder, optional
        Molecule side of CLOOME.
    structures : bool, default=True
        Whether the tables have structures, for ECFP and random codes.
    activity : sequence of str, default=()
        Columns of assay results of the source, 1, 0 and missing.
    cellprofiler : sequence of str, default=()
        Columns of CellProfiler features, in both tables. Where there are none, the intensities of
        the channels stand in for them.
    weights : path-like, optional
        A file of ImageNet weights, whose features are taken as they are.
    vit : bool, default=False
        Whether to train DINO with a small vision transformer, too.
    n_jobs : int, optional
        Processes that measure intensities.

    Returns
    -------
    dict of str to estimator
        CLOOME first, which is the method under test.

    Examples
    --------
    >>> from cloome_sk.encoders import ImageEncoder
    >>> from cloome_sk.evaluation.transfer_methods import Effort, image_methods
    >>> list(image_methods(Effort(ImageEncoder(size=96), n_rows=300)))[:3]
    ['CLOOME', 'CLOOME, random codes', 'intensity features']
    """
    chosen = make_column_selector("^Image_Intensity_")
    intensity = make_pipeline(IntensityProfiles(n_jobs=n_jobs), ProfileFeatures(columns=chosen))
    cloome = CloomeEmbedder(**effort.shared, molecule=_molecule(molecule))
    methods: dict[str, Any] = {MODEL: cloome}
    if structures:
        methods[CODES] = with_random_codes(cloome, random_state=effort.seed)
    methods[INTENSITY] = intensity
    if len(cellprofiler):
        methods[CELLPROFILER] = ProfileFeatures(columns=list(cellprofiler))
    methods[UNTRAINED] = UntrainedEmbedder(cloome)
    if weights is not None:
        imagenet = clone(effort.encoder).set_params(network="auto", weights=weights)
        imagenet.set_params(channelwise=True, normalization="imagenet")
        methods[IMAGENET] = make_pipeline(ImageFeatures(imagenet), ProfileFeatures())
    if len(activity):
        methods[ON_ACTIVITY] = effort.supervised(list(activity), "assays")
    if structures:
        methods[ON_ECFP] = effort.supervised(MorganFeatures(), "assays")
    if len(cellprofiler):
        features = ProfileFeatures(columns=list(cellprofiler))
        methods[ON_CELLPROFILER] = effort.supervised(features, "regression")
    else:
        methods[ON_INTENSITY] = effort.supervised(intensity, "regression")
    # On the rows that the others are trained on: without the controls.
    methods[SIMCLR] = SimCLREmbedder(**effort.shared, with_controls=False)
    methods[DINO] = DINOEmbedder(**effort.shared, with_controls=False)
    if vit:
        transformer = clone(methods[DINO])
        methods[VIT] = transformer.set_params(phenotype__network="vit")
    return methods


def profile_methods(
    effort: Effort, columns: Sequence[str], *, activity: Sequence[str] = ()
) -> dict[str, Any]:
    """Give the methods on profiles: the profile as it is, and networks on it.

    Parameters
    ----------
    effort : Effort
        With a `ProfileEncoder` of these columns.
    columns : sequence of str
        Features that both tables have.
    activity : sequence of str, default=()
        Columns of assay results of the source.

    Returns
    -------
    dict of str to estimator
        CLOOME first. DINO is not among them: it crops images.

    Examples
    --------
    >>> from cloome_sk.encoders import ProfileEncoder
    >>> from cloome_sk.evaluation.transfer_methods import Effort, profile_methods
    >>> effort = Effort(ProfileEncoder(), n_rows=300)
    >>> list(profile_methods(effort, ["Cells_A", "Cells_B"]))[2:]
    ['profile', 'untrained network', 'supervised: ECFP', 'SimCLR']
    """
    cloome = CloomeEmbedder(**effort.shared, molecule=_molecule(None))
    methods: dict[str, Any] = {
        MODEL: cloome,
        CODES: with_random_codes(cloome, random_state=effort.seed),
        PROFILE: ProfileFeatures(columns=list(columns)),
        UNTRAINED: UntrainedEmbedder(cloome),
    }
    if len(activity):
        methods[ON_ACTIVITY] = effort.supervised(list(activity), "assays")
    methods[ON_ECFP] = effort.supervised(MorganFeatures(), "assays")
    methods[SIMCLR] = SimCLREmbedder(**effort.shared, with_controls=False)
    return methods


def _molecule(molecule: Any) -> Any:
    """The molecule side: that which is given, or a small one."""
    if molecule is not None:
        return clone(molecule)
    return MoleculeEncoder(hidden_sizes=(512,), input_dropout=0.2)
