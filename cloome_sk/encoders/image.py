"""The phenotype side as images: the channels of a site, read, scaled and augmented."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from cloome_sk._tables import Columns
from cloome_sk.checkpoints.published import PUBLISHED
from cloome_sk.encoders._image_checks import (
    CONSTRAINTS,
    check_image_parameters,
    check_published_order,
)
from cloome_sk.encoders._image_columns import choose_columns
from cloome_sk.encoders._image_fitting import fit_encoder, make_ready, read_rows, to_learn
from cloome_sk.encoders._image_network import image_network
from cloome_sk.encoders._image_plates import learn_further_plates
from cloome_sk.encoders._image_rows import check_table, warn_skipped
from cloome_sk.encoders._image_sites import find_rows, make_sites, shape_in
from cloome_sk.encoders._image_weights import load_imagenet
from cloome_sk.encoders.base import Encoder, Inputs
from cloome_sk.preprocessing.controls import ControlRows

if TYPE_CHECKING:
    from torch import nn


class ImageEncoder(Encoder):
    """Encode microscopy images with a convolutional network or a transformer.

    A row is one site (field of view, or crop of a cell). Its channels are files, one in each of
    the columns ``Image_<channel>``, or arrays of shape (H, W); or one column ``Image`` holds
    stacks, files or arrays of shape (n_channels, H, W), whose order a column
    ``Metadata_Channels`` states (``"Mito|ER|RNA|AGP|DNA"``). Channels are matched by name, never
    by position: a table with other spellings (``Image_Hoechst`` for ``Image_DNA``) or another
    order gives the same embeddings, and one that lacks a channel is refused.

    A site is corrected for illumination, preprocessed, scaled to 8 bits and shrunk to `size`; its
    bytes travel to the device, to be cropped, augmented (in training alone) and normalised there.

    Parameters
    ----------
    columns : str, list of str, dict or None, default=None
        The image columns: the one of stacks, those of the channels, or a mapping from channels
        to columns. None takes ``Image``, or all named ``Image_<channel>``.
    channels : list of str or None, default=None
        Channels the network takes, in its order. None: all there are, those of Cell Painting as
        DNA, ER, RNA, AGP, Mito. For stacks that nothing else describes it also says their order,
        but not together with numbers for `normalization`, which belong to a model that exists.
    size : int, (int, int) or None, default=None
        Pixels (height, width) to shrink sites to, by averaging areas; one number is the shorter
        side. None keeps them. Nothing is enlarged.
    network : {"auto", "small", "vit", "resnet18", "resnet50"} or callable, default="auto"
        "small" is made for a laptop, and takes sites, or crops, from 16 pixels a side, as does
        "vit", a small transformer; "resnet50" is the paper's, and takes 32. "auto" is "small", or
        the network of `weights`. A callable (a `torch.nn.Module` class, or `functools.partial`)
        is called with n_channels and n_components, and must map float32
        (n_sites, n_channels, H, W) to (n_sites, n_components).
    weights : path or None, default=None
        A file of ImageNet weights in torchvision's format (ResNet 18, 34 or 50), from which
        training starts; see `cloome_sk.networks.ImageNetResNet`. They go with ``network="auto"``.
        A trained model needs the file no more.
    channelwise : bool, default=False
        With `weights`: whether each channel goes through the network alone, as a grey RGB image,
        and the features of all stand side by side; this suits features that are not trained
        further. By default the first convolution is widened to all channels.
    pooling : {"adaptive", "legacy"}, default="adaptive"
        How "resnet18" and "resnet50" make one vector of the last map: its mean, or as the authors'
        code does, which published weights need; that takes 221 pixels a side.
    scaling : {"cloome", "cloome-package", "percentile", "plate", "none"}, default="cloome"
        How pixels become 8-bit numbers, see `cloome_sk.imaging.scale_image`. "plate" takes the
        limits of each channel from the negative controls of the plate. "none" leaves the pixels
        as they are, for images that are scaled already.
    illumination : {"auto", None}, default="auto"
        "auto" divides by the illumination functions in the columns ``Illum_<channel>`` where the
        table of `fit` has them; a model fitted with them needs them ever after.
    preprocess : callable or None, default=None
        From an array (n_channels, H, W) to another; it must be picklable for `n_jobs` and
        `cache`.
    normalization : {"dataset", "image", "plate", "imagenet", None} or pair, default="dataset"
        What mean and standard deviation of each channel are subtracted and divided by: those of
        the training sites, of each image itself, or of the negative controls of its plate. None
        divides by 255; "imagenet", for `weights`, does too and then takes ImageNet's numbers. Or
        a pair (mean, std) of sequences, one number for each of `channels`, which must be given:
        grey levels of the 8 bits after scaling.
    augmentation : {"default", None} or dict, default="default"
        In training alone: "default" flips, turns by 90 degrees, and changes gain and offset of
        each channel a little. A dict is given to `cloome_sk.networks.Augmentation`: zoom too.
    crop : int, (int, int) or None, default=None
        Pixels (height, width) of a crop, at random in training.
    evaluation : {"full", "center", "tiles"}, default="full"
        What is embedded after training: the full field, the central crop, or crops that cover
        the field, whose outputs are averaged.
    cache : "memory", path or None, default="memory"
        Where prepared sites are kept during `fit`: in memory; in a folder, across fits and
        processes, keyed by content and settings; or nowhere, so that each epoch reads them.
        `transform` reads a site once, and keeps it only in a folder.
    on_error : {"raise", "skip"}, default="raise"
        Whether an image that cannot be read is an error, or is left out of training and embedded
        as NaN, with a warning that names the rows.
    n_jobs : int or None, default=None
        Processes that read images, as joblib counts them.
    plate : str, default="plate"
        The column that names the plate, in any case and with or without ``Metadata_``. It is
        read where `scaling` or `normalization` is "plate".
    controls : "auto" or (column, value or values), default="auto"
        The negative controls of a plate, for the same purpose.
    plate_table : DataFrame or None, default=None
        The negative controls of all plates that will ever be given, to learn plates from in place
        of the table of `fit`: for cross-validation, which leaves out plates, or controls.

    Attributes
    ----------
    channels_ : tuple of str
        Channels in the order the network takes them.
    site_shape_ : tuple of int or None
        (n_channels, height, width) of a prepared site. None after `ready`: `inputs` then takes
        the shape that most sites of its table have.
    site_dtype_ : numpy dtype
        uint8, but for ``scaling="none"``.
    depth_ : int or None
        Layers of the network in the file `weights`.
    mean_, std_ : ndarray of float64, shape (n_channels,), or None
        Of the pixels of the training sites after scaling, for ``normalization="dataset"``; or
        the numbers that `normalization` gives.
    plate_limits_, plate_statistics_ : dict of plate to ndarray, shape (n_channels, 2)
        Limits for ``scaling="plate"``; mean and standard deviation for ``normalization="plate"``.
    column_names_ : list of str or None
        The image columns. None after `ready` without a table: they are found in each table anew.
    column_positions_ : ndarray of intp
        Their positions in the fitted table.

    See Also
    --------
    cloome_sk.datasets.read_load_data : Table of a plate from its load_data file.
    cloome_sk.datasets.scan_images : Table of a folder of images.

    References
    ----------
    .. [1] Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases
       for queries with chemical structures", Nat Commun 14:7339 (2023).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from cloome_sk.encoders import ImageEncoder
    >>> sites = list(np.random.default_rng(0).integers(200, 4000, (6, 32, 40)).astype(np.uint16))
    >>> X = pd.DataFrame({"Image_Hoechst": sites[:3], "Image_Mito": sites[3:]})
    >>> ImageEncoder(size=16).fit(X).site_shape_
    (2, 16, 20)
    >>> ImageEncoder.published().ready().channels_
    ('Mito', 'ER', 'RNA', 'AGP', 'DNA')
    """

    plate_limits_: dict[Hashable, np.ndarray]
    plate_statistics_: dict[Hashable, np.ndarray]
    controls_: ControlRows | None

    _parameter_constraints: ClassVar[dict[str, Any]] = CONSTRAINTS

    def __init__(
        self,
        columns: Columns | Mapping[str, Hashable] = None,
        *,
        channels: Sequence[str] | None = None,
        size: int | tuple[int, int] | None = None,
        network: str | Callable[[int, int], nn.Module] = "auto",
        weights: str | PathLike[str] | None = None,
        channelwise: bool = False,
        pooling: Literal["adaptive", "legacy"] = "adaptive",
        scaling: str = "cloome",
        illumination: str | None = "auto",
        preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
        normalization: str | tuple[ArrayLike, ArrayLike] | ArrayLike | None = "dataset",
        augmentation: str | dict[str, Any] | None = "default",
        crop: int | tuple[int, int] | None = None,
        evaluation: Literal["full", "center", "tiles"] = "full",
        cache: str | PathLike[str] | None = "memory",
        on_error: str = "raise",
        n_jobs: int | None = None,
        plate: str = "plate",
        controls: Any = "auto",
        plate_table: pd.DataFrame | None = None,
    ) -> None:
        self.columns = columns  # type: ignore[assignment]
        self.channels = channels
        self.size = size
        self.network = network
        self.weights = weights
        self.channelwise = channelwise
        self.pooling = pooling
        self.scaling = scaling
        self.illumination = illumination
        self.preprocess = preprocess
        self.normalization = normalization
        self.augmentation = augmentation
        self.crop = crop
        self.evaluation = evaluation
        self.cache = cache
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.plate = plate
        self.controls = controls
        self.plate_table = plate_table

    @classmethod
    def published(cls, **changes: Any) -> Self:
        """Give an encoder with the settings of the published CLOOME.

        They are in `cloome_sk.checkpoints.PUBLISHED`. Channels, normalisation and pooling are what
        the weights were trained with, the scaling is that of the authors' inference class. The
        crop in the middle is the whole field of the training images; smaller sites need
        ``crop=None, evaluation="full"``.

        Parameters
        ----------
        **changes : dict
            Parameters that shall differ, by name.

        Returns
        -------
        ImageEncoder
            Not fitted; see `ready`.

        Raises
        ------
        TypeError
            For a name that is no parameter.
        ValueError
            For `channels` in another order with the published `normalization`, whose numbers, like
            the weights, belong to channels in the published order.
        """
        check_published_order(changes)
        settings = {
            "channels": list(PUBLISHED.channels),
            "network": "resnet50",
            "pooling": PUBLISHED.pooling,
            "scaling": PUBLISHED.scaling,
            "illumination": None,
            "normalization": (PUBLISHED.mean, PUBLISHED.std),
            "crop": PUBLISHED.crop,
            "evaluation": "center",
        }
        return cls(**{**settings, **changes})

    def _choose_columns(self, X: Any) -> Columns:
        return list(choose_columns(check_table(X), self.columns, self.channels).names)

    def fit(self, X: Any, rows: np.ndarray | None = None) -> ImageEncoder:
        """Learn columns, channels, shape and statistics from the training rows.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features)
            The table.
        rows : ndarray of intp, optional
            Positions of the training rows; all by default.

        Returns
        -------
        ImageEncoder
            Itself.

        Raises
        ------
        cloome_sk.imaging.ImageError
            For an image that cannot be read, or has another shape than the others.
        ValueError, TypeError
            For columns and channels that are not there, or parameters that do not go together.
        """
        self.fit_inputs(X, np.arange(len(check_table(X))) if rows is None else rows)
        return self

    def fit_inputs(
        self,
        X: Any,
        rows: np.ndarray,
        verbose: int = 0,
        controls: ControlRows | None = None,
    ) -> Inputs:
        """Fit, and give the inputs of the training rows, having read each image once.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features)
            The table.
        rows : ndarray of intp
            Positions of the training rows.
        verbose : int, default=0
            Above 0: show a progress bar.
        controls : ControlRows, optional
            The negative controls of the table, where the parameter `controls` is "auto".

        Returns
        -------
        Inputs
            One entry a training row; -1 in its index where an image was skipped.
        """
        self._validate_params()
        check_image_parameters(self)
        return fit_encoder(self, check_table(X), rows, verbose, controls)

    def read_inputs(
        self, X: Any, rows: np.ndarray, verbose: int = 0, lost: str = "left out of training"
    ) -> Inputs:
        """Give the inputs of some rows, each image read once and kept as `cache` says.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features)
            A table with the fitted channels.
        rows : ndarray of intp
            Positions of the rows.
        verbose : int, default=0
            Above 0: show a progress bar.
        lost : str, default="left out of training"
            What a warning says of rows whose images cannot be read.

        Returns
        -------
        Inputs
            One entry a row of `rows`; -1 in its index where an image was skipped.
        """
        check_is_fitted(self, "mean_")
        return read_rows(self, check_table(X), rows, verbose, lost)

    def ready(self, X: Any = None) -> ImageEncoder:
        """Become fitted without reading an image, for weights that are there already.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features), optional
            A table to find the columns in. Without one they are found in each table anew, by the
            names of their channels.

        Returns
        -------
        ImageEncoder
            Itself; its `site_shape_` is None.

        Raises
        ------
        ValueError
            If something would have to be learned; all such parameters are named. `channels` must
            be given (or `weights` and a table), and `illumination` be None, or a table given.
        """
        self._validate_params()
        check_image_parameters(self)
        make_ready(self, None if X is None else check_table(X))
        return self

    def _fit_rows(self, X: Any, rows: np.ndarray) -> None:
        self.fit_inputs(X, rows)

    def fit_plates(self, X: pd.DataFrame) -> ImageEncoder:
        """Learn the limits or statistics of further plates from their negative controls.

        Controls are told by the column and the values by which they were in `fit`.

        Parameters
        ----------
        X : DataFrame
            A table with the controls of those plates, and any other rows.

        Returns
        -------
        ImageEncoder
            Itself.

        Raises
        ------
        ValueError
            If a plate has no negative control that can be read, or neither `scaling` nor
            `normalization` is "plate".
        """
        check_is_fitted(self, "mean_")
        learn_further_plates(self, check_table(X))
        return self

    def inputs(self, X: Any) -> Inputs:
        """Find the sites of a table; their pixels are read when the values are indexed.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features)
            A table with the fitted channels.

        Returns
        -------
        Inputs
            Values are `cloome_sk.imaging.sites.Sites`, which give uint8 arrays of shape
            (n, n_channels, height, width).

        Raises
        ------
        ValueError
            For a missing channel, an empty cell, a plate that was not seen in `fit`, or sites
            that are smaller than the crop, or than the network takes.
        """
        check_is_fitted(self, "mean_")
        table = check_table(X)
        rows = np.arange(len(table))
        found = find_rows(self, table, rows)
        sites = make_sites(self, table, found, shape=shape_in(self, table, found))

        def report() -> None:
            warn_skipped(table, found.problems(rows, sites.failed), "embedded as NaN")

        return Inputs(sites, found.index, report)

    @property
    def learns(self) -> bool:  # type: ignore[override]
        """Whether, with these parameters, `fit` learns anything but where the columns are."""
        return bool(to_learn(self, with_table=True))

    @property
    def custom(self) -> bool:  # type: ignore[override]
        """Whether the network is the user's own."""
        return not isinstance(self.network, str)

    def make_network(self, n_components: int) -> nn.Module:
        """Build the network, with fresh weights.

        Parameters
        ----------
        n_components : int
            Size of the embedding.

        Returns
        -------
        cloome_sk.networks.ImageNetwork
            Maps pixels (n_sites, n_channels, height, width) to (n_sites, n_components).
        """
        return image_network(self, n_components)

    def load_weights(self, network: nn.Module) -> None:
        """Put the ImageNet weights of the file `weights`, if there is one, into a fresh network.

        Parameters
        ----------
        network : cloome_sk.networks.ImageNetwork
            From `make_network`. Its last layer, which makes the embedding, stays random.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is gone, or holds other weights than in `fit`.
        """
        load_imagenet(self, network)

    def pretrained_part(self, network: nn.Module) -> nn.Module:
        """Give the network without what normalises, crops and augments its input.

        Parameters
        ----------
        network : cloome_sk.networks.ImageNetwork
            From `make_network`.

        Returns
        -------
        torch.nn.Module
            What maps normalised images to embeddings: a `cloome_sk.networks.ResNet`, for example.
        """
        return network.backbone  # type: ignore[return-value]
