"""The phenotype side as images: the channels of a site, read, scaled and augmented."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from numbers import Integral
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from cloome_sk._refit import unchanged_on_error
from cloome_sk._tables import Columns, named_positions
from cloome_sk.encoders._image_checks import PURPOSE, check_image_parameters
from cloome_sk.encoders._image_columns import choose_columns
from cloome_sk.encoders._image_network import check_network, image_network
from cloome_sk.encoders._image_plates import (
    learn_known_plates,
    learn_plates,
    of_each_plate,
    plate_codes,
)
from cloome_sk.encoders._image_reading import open_cache, read_sites, usual_shape
from cloome_sk.encoders._image_rows import (
    SiteRows,
    check_table,
    illumination_columns,
    namer,
    refuse_empty,
    site_rows,
    warn_skipped,
)
from cloome_sk.encoders._image_statistics import channel_statistics, usable_sites
from cloome_sk.encoders.base import Encoder, Inputs
from cloome_sk.imaging import SCALINGS
from cloome_sk.imaging.preparation import Preparation
from cloome_sk.imaging.sites import Sites
from cloome_sk.preprocessing.controls import ControlRows, apply_controls

if TYPE_CHECKING:
    from torch import nn


class ImageEncoder(Encoder):
    """Encode microscopy images with a convolutional network.

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
        DNA, ER, RNA, AGP, Mito. For stacks that nothing else describes, it also says their order.
    size : int, (int, int) or None, default=None
        Pixels (height, width) to shrink sites to, by averaging areas; one number is the shorter
        side. None keeps them. Nothing is enlarged.
    network : {"small", "resnet18", "resnet50"} or callable, default="small"
        "small" is made for a laptop; "resnet50" is the paper's. A callable (a
        `torch.nn.Module` class, or a `functools.partial` of one) is called with n_channels and
        n_components, and must map float32 (n_sites, n_channels, H, W) to
        (n_sites, n_components).
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
    normalization : {"dataset", "image", "plate", None}, default="dataset"
        What mean and standard deviation of each channel are subtracted and divided by: those of
        the training sites, of each image itself, or of the negative controls of its plate. None
        divides by 255.
    augmentation : {"default", None} or dict, default="default"
        In training alone: "default" flips, turns by 90 degrees, and changes gain and offset of
        each channel a little. A dict is given to `cloome_sk.networks.Augmentation`.
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
    site_shape_ : tuple of int
        (n_channels, height, width) of a prepared site.
    site_dtype_ : numpy dtype
        uint8, but for ``scaling="none"``.
    mean_, std_ : ndarray of float64, shape (n_channels,), or None
        Of the pixels of the training sites after scaling, for ``normalization="dataset"``.
    plate_limits_, plate_statistics_ : dict of plate to ndarray, shape (n_channels, 2)
        Limits for ``scaling="plate"``; mean and standard deviation for ``normalization="plate"``.
    column_names_ : list of str
        The image columns.
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
    """

    plate_limits_: dict[Hashable, np.ndarray]
    plate_statistics_: dict[Hashable, np.ndarray]
    controls_: ControlRows | None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "columns": "no_validation",
        "channels": ["array-like", None],
        "size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "network": [StrOptions({"small", "resnet18", "resnet50"}), callable],
        "scaling": [StrOptions(set(SCALINGS))],
        "illumination": [StrOptions({"auto"}), None],
        "preprocess": [callable, None],
        "normalization": [StrOptions({"dataset", "image", "plate"}), None],
        "augmentation": [StrOptions({"default"}), dict, None],
        "crop": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "evaluation": [StrOptions({"full", "center", "tiles"})],
        "cache": [str, PathLike, None],
        "on_error": [StrOptions({"raise", "skip"})],
        "n_jobs": [Integral, None],
        "plate": [str],
        "controls": [StrOptions({"auto"}), tuple],
        "plate_table": [pd.DataFrame, None],
    }

    def __init__(
        self,
        columns: Columns | Mapping[str, Hashable] = None,
        *,
        channels: Sequence[str] | None = None,
        size: int | tuple[int, int] | None = None,
        network: str | Callable[[int, int], nn.Module] = "small",
        scaling: str = "cloome",
        illumination: str | None = "auto",
        preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
        normalization: Literal["dataset", "image", "plate"] | None = "dataset",
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
        table = check_table(X)
        with unchanged_on_error(self):
            self.image_columns_ = choose_columns(table, self.columns, self.channels, rows)
            self.channels_ = self.image_columns_.channels
            self.column_names_ = list(self.image_columns_.names)
            self.column_positions_ = named_positions(table, self.column_names_, purpose=PURPOSE)
            self.illumination_ = self.illumination == "auto" and bool(
                illumination_columns(table, self.channels_)
            )
            self.mean_ = self.std_ = None
            found = self._rows(table, rows, limited=False)
            usual = self._usual_shape(table, found)
            if usual is None:
                what = f"none of the images of {len(rows)} row(s) can be read"
                raise ValueError(f"{PURPOSE}: {what}.")
            self.site_shape_, self.site_dtype_ = usual
            check_network(self)
            learn_known_plates(self, table, controls, verbose)
            if self.scaling == "plate":
                found = self._rows(table, rows)
            sites = self._sites(table, found)
            read_sites(sites, self.cache, self.on_error, verbose)
            warn_skipped(table, found.problems(rows, sites.failed), "left out of training")
            sites.on_error = "raise"  # what fails from now on is no longer left out of training
            if self.normalization == "dataset":
                self.mean_, self.std_ = channel_statistics(sites, usable_sites(sites))
        return Inputs(sites, found.usable_index(sites.failed))

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
        if self.controls_ is None or self.controls_.rule is None:
            raise ValueError(
                f"{PURPOSE}: nothing is learned of plates: neither scaling nor normalization is "
                '"plate".'
            )
        table = check_table(X)
        with unchanged_on_error(self):
            learn_plates(self, table, apply_controls(table, *self.controls_.rule), verbose=0)
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
            For a missing channel, an empty cell, or a plate that was not seen in `fit`.
        """
        check_is_fitted(self, "mean_")
        table = check_table(X)
        rows = np.arange(len(table))
        found = self._rows(table, rows)
        usual = None
        if self.crop is not None and self.evaluation != "full":
            # Crops are of one size whatever that of the field.
            usual = self._usual_shape(table, self._rows(table, rows, limited=False))
        sites = self._sites(table, found, shape=usual[0] if usual else None)

        def report() -> None:
            warn_skipped(table, found.problems(rows, sites.failed), "embedded as NaN")

        return Inputs(sites, found.index, report)

    def _rows(self, table: pd.DataFrame, rows: np.ndarray, limited: bool = True) -> SiteRows:
        """Find the distinct sites of some rows; refuse empty cells unless they are skipped."""
        illumination: list[Hashable] = []
        if self.illumination_:
            illumination = illumination_columns(table, self.channels_)
            if not illumination:
                raise ValueError(
                    f"{PURPOSE}: this model was fitted on images divided by illumination "
                    "functions, and the table has no columns Illum_<channel>."
                )
        limits = plates = None
        if "plate" in (self.scaling, self.normalization):
            plates, _ = plate_codes(table, self.plate, rows)
        if limited and self.scaling == "plate":
            limits = of_each_plate(table, self.plate, rows, self.plate_limits_)
        found = site_rows(
            table,
            self.image_columns_,
            rows,
            illumination=illumination,
            limits=limits,
            plates=plates,
        )
        if found.empty and self.on_error == "raise":
            refuse_empty(table, found.empty)
        return found

    def _usual_shape(
        self, table: pd.DataFrame, found: SiteRows
    ) -> tuple[tuple[int, ...], np.dtype] | None:
        return usual_shape(table, found, self._preparation, self.on_error)

    @property
    def custom(self) -> bool:  # type: ignore[override]
        """Whether the network is the user's own."""
        return not isinstance(self.network, str)

    @property
    def _preparation(self) -> Preparation:
        pair = isinstance(self.size, (tuple, list))
        size = (int(self.size[0]), int(self.size[1])) if pair else self.size  # type: ignore[index]
        return Preparation(self.scaling, size, self.preprocess)

    def _sites(
        self,
        table: pd.DataFrame,
        found: SiteRows,
        extras: bool = True,
        shape: tuple[int, ...] | None = None,
    ) -> Sites:
        prepare = self._preparation
        along: tuple[np.ndarray, ...] = ()
        if extras and self.normalization == "plate":
            numbers = of_each_plate(
                table, self.plate, found.sources.rows, self.plate_statistics_
            ).astype(np.float32)
            along = (numbers[..., 0], numbers[..., 1])
        return Sites(
            found.sources,
            prepare,
            shape=self.site_shape_ if shape is None else shape,
            dtype=self.site_dtype_,
            where=namer(table),
            on_error=self.on_error,
            n_jobs=self.n_jobs,
            cache=open_cache(self.cache, prepare),
            extras=along,
        )

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
