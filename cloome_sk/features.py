"""ImageFeatures: a table of images becomes a table of the features of a trained network."""

from __future__ import annotations

from collections.abc import Hashable
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from cloome_sk._device import resolve_device
from cloome_sk._features_network import (
    PURPOSE,
    checked_encoder,
    count_features,
    feature_names,
    feature_settings,
    fitted_encoder,
    new_network,
    rebuilt_network,
    stored_state,
)
from cloome_sk._features_sites import replaced_columns, table_features
from cloome_sk._refit import unchanged_on_error
from cloome_sk._tables import shown
from cloome_sk.encoders._image_rows import check_table
from cloome_sk.imaging import SiteCache

if TYPE_CHECKING:
    from torch import nn

    from cloome_sk.encoders import ImageEncoder


class ImageFeatures(
    TransformerMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]
):
    """Replace the images of a table by features of a network that stays as it is.

    The expensive part is done once: each site goes through a trained network, whose last layer is
    left off, and becomes a row of numbers in columns named ``Feature_...``. What follows is light.
    The columns are profile columns like any other, which
    `cloome_sk.preprocessing.ControlNormalizer`, `cloome_sk.encoders.ProfileEncoder`,
    ``CloomeEmbedder(phenotype="auto")`` and `cloome_sk.baselines` take by themselves. Successors
    of CLOOME train light heads on features of frozen networks, larger ones than these [1]_.

    Parameters
    ----------
    encoder : ImageEncoder or None, default=None
        How images are read, prepared and normalised, and the network:
        ``ImageEncoder(weights=path)`` for ImageNet's weights in torchvision's format;
        ``channelwise=True`` there keeps the channels apart, and ``normalization="imagenet"`` is
        what the weights were trained with. Or ``ImageEncoder(network=...)`` with a callable that,
        called with n_channels and ``n_components=None``, gives a `torch.nn.Module` with weights
        of its own, from float32 (n_sites, n_channels, H, W) to (n_sites, n_features). There is no
        default: None is an error that says this. `augmentation` has no effect.
    cache : path or None, default=None
        A folder that keeps the features of each site for later calls, and other processes.
    device : str, default="auto"
        "auto" takes a CUDA device where there is one, else the CPU; or the name of a device.
    precision : {"fp32", "bf16"}, default="fp32"
        "bf16" computes convolutions in 16 bits, faster on GPUs and processors that have them.
        Features are float32 all the same.
    verbose : int, default=0
        Above 0: show a progress bar.

    Attributes
    ----------
    encoder_ : ImageEncoder
        The fitted encoder.
    state_ : dict of str to ndarray
        The weights. A pickle holds them, and does not need the file again.
    channels_ : tuple of str
        The channels, in the order the network takes them.
    feature_columns_ : list of str
        ``Feature_0000``, ...; with ``channelwise=True`` ``Feature_DNA_0000``, ..., all features
        of one channel after the other.
    other_columns_ : list
        The columns of the table of `fit` that are kept.
    n_features_in_ : int
        Number of columns of X in `fit`.
    feature_names_in_ : ndarray of str
        Names of the columns of X in `fit`, where all are strings.

    See Also
    --------
    CloomeEmbedder : Its `transform` gives the embeddings of a trained or published CLOOME.
    cloome_sk.preprocessing.ControlNormalizer : Features against the controls of their plate.
    cloome_sk.encoders.BagEncoder : All sites of a well as one input, of features too.
    cloome_sk.baselines.IntensityProfiles : The features that any network has to beat.

    Notes
    -----
    `fit` learns what the encoder learns, and nothing else: statistics for
    ``normalization="dataset"``, numbers of plates for "plate" (see
    ``encoder_.fit_plates``). Otherwise no image is read but, for a network of the user's without
    a crop, one for its shape. So one transformer serves all folds of a cross-validation, except
    with ``normalization="dataset"``, which sees the sites of `fit`.

    Features are not brought to unit length. Columns of CellProfiler in the same table stay, and
    default encoders then take both.

    A table of n sites takes 4 * n * n_features bytes: 8 KB a site for ResNet-50, 40 KB with five
    channels of their own. Pixels are read in blocks, and never all at once.

    **The cache** finds a site by the *content* of its images and illumination functions, and by
    all that decides its features: channels, scaling, size, `preprocess`, normalisation with its
    numbers, crop and evaluation, the values of all weights, the network's parts and their
    settings, and `precision`. What was found costs neither a pixel nor a step of the network. A
    file that was replaced, other weights, another setting: computed anew. Devices, numbers of
    threads and releases of torch change the last digits, and are not told apart. Of a network of
    the user's, the code of its methods counts, and not that of functions they call; a network of
    which too little can be told is refused. Nothing is ever removed by itself.

    References
    ----------
    .. [1] Lu, Weinberger, Kim & Lee, "CellCLIP: learning perturbation effects in Cell Painting
       via text-guided contrastive learning", NeurIPS 2025 (arXiv:2506.06290).

    Examples
    --------
    Random weights stand for torchvision's file here, such as ``resnet50-11ad3fa6.pth``:

    >>> import tempfile
    >>> import numpy as np, pandas as pd, torch
    >>> from cloome_sk import ImageFeatures
    >>> from cloome_sk.encoders import ImageEncoder
    >>> from cloome_sk.networks import ImageNetResNet
    >>> file = tempfile.mkdtemp() + "/resnet18.pth"
    >>> torch.save(ImageNetResNet(3, 1000, depth=18).state_dict(), file)
    >>> sites = list(np.random.default_rng(0).integers(200, 4000, (6, 40, 40)).astype(np.uint16))
    >>> X = pd.DataFrame(
    ...     {"Metadata_Well": list("ABC"), "Image_DNA": sites[:3], "Image_Mito": sites[3:]}
    ... )
    >>> encoder = ImageEncoder(weights=file, channelwise=True, normalization="imagenet")
    >>> table = ImageFeatures(encoder).fit_transform(X)
    >>> table.shape, list(table.columns[:2]), table.columns[-1]
    ((3, 1025), ['Metadata_Well', 'Feature_DNA_0000'], 'Feature_Mito_0511')
    """

    encoder_: ImageEncoder
    state_: dict[str, np.ndarray]
    feature_columns_: list[str]
    other_columns_: list[Hashable]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "encoder": "no_validation",
        "cache": [str, PathLike, None],
        "device": [str],
        "precision": [StrOptions({"fp32", "bf16"})],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        encoder: ImageEncoder | None = None,
        *,
        cache: str | PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "fp32",
        verbose: int = 0,
    ) -> None:
        self.encoder = encoder
        self.cache = cache
        self.device = device
        self.precision = precision
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: pd.DataFrame, y: Any = None) -> ImageFeatures:
        """Find the image columns, learn what the encoder learns, and load the weights.

        Parameters
        ----------
        X : DataFrame, shape (n_sites, n_columns)
            A table of sites.
        y : object, optional
            Ignored.

        Returns
        -------
        ImageFeatures
            Itself.

        Raises
        ------
        TypeError
            If X is no DataFrame, `encoder` no ImageEncoder, or, with `cache`, the network one of
            which it cannot be told for certain when it changes.
        ValueError
            If `encoder` is None or its weights would be random; for columns and channels that are
            not there, or parameters that do not go together.
        FileNotFoundError
            If there is no file of the weights.
        """
        encoder = checked_encoder(self.encoder)
        table = check_table(X)
        resolve_device(self.device)
        if self.cache == "memory":
            raise ValueError(
                f"{PURPOSE}: cache= names a folder, or is None; features are not kept in memory "
                "but in the table that transform gives."
            )
        with unchanged_on_error(self):
            validate_data(self, table, skip_check_array=True)
            self.encoder_ = fitted_encoder(encoder, table, self.verbose)
            network = new_network(self.encoder_)
            n_features = count_features(self.encoder_, network, table)
            if self.cache is not None:
                # Before a long first transform finds out what cannot be kept.
                feature_settings(self.encoder_, network, self.precision)
            self.state_ = stored_state(network)
            self.channels_ = self.encoder_.channels_
            self.feature_columns_ = feature_names(self.encoder_, n_features)
            self.other_columns_ = list(table.columns[~replaced_columns(self.encoder_, table)])
            self._network = network
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Give the table with features in place of images; each distinct site is computed once.

        Parameters
        ----------
        X : DataFrame, shape (n_sites, n_columns)
            A table with the fitted channels, under their column names or others that mean them.

        Returns
        -------
        DataFrame, shape (n_sites, n_other_columns + n_features)
            The same rows, and all columns but those of images and illumination functions, as
            they were; then the columns `feature_columns_`, float32. NaN where an image cannot be
            read and the encoder has ``on_error="skip"``.

        Raises
        ------
        cloome_sk.imaging.ImageError
            For an image that cannot be read; the message has its path and row.
        ValueError
            For a missing channel, an empty cell, a plate that was not seen in `fit`, or columns
            of these names that are there already.
        OSError
            If the folder of `cache` cannot be written to.

        Warns
        -----
        UserWarning
            With ``on_error="skip"``, for rows without a readable image.
        """
        check_is_fitted(self)
        table = check_table(X)
        taken = table.columns[table.columns.isin(self.feature_columns_)]
        if len(taken):
            raise ValueError(
                f"{PURPOSE}: the table has {len(taken)} of the columns to add already "
                f"({shown(taken, 3)}). Drop or rename them."
            )
        network, cache = self._ready_network(), None
        if self.cache is not None:
            settings = feature_settings(self.encoder_, network, self.precision)
            cache = SiteCache(self.cache, settings)
        features = table_features(
            self.encoder_,
            network,
            table,
            len(self.feature_columns_),
            cache=cache,
            device=resolve_device(self.device),
            precision=self.precision,
            verbose=self.verbose,
        )
        block = pd.DataFrame(features, index=table.index, columns=self.feature_columns_, copy=False)
        kept = table.loc[:, ~replaced_columns(self.encoder_, table)]
        out = pd.concat([kept, block], axis=1)
        out.attrs = dict(table.attrs)  # that a screen is simulated, for example
        return out

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns that `transform` gives for a table with the columns of `fit`.

        Parameters
        ----------
        input_features : array-like of str, optional
            The columns of `fit`; nothing else is accepted.

        Returns
        -------
        ndarray of object
            Columns that are kept, then those of features.

        Raises
        ------
        ValueError
            For other columns.
        """
        check_is_fitted(self)
        known = getattr(self, "feature_names_in_", None)
        if input_features is not None and (known is None or list(input_features) != known.tolist()):
            raise ValueError(f"{PURPOSE}: input_features must be the columns of the table of fit.")
        return np.asarray([*self.other_columns_, *self.feature_columns_], dtype=object)

    def set_output(self, *, transform: str | None = None) -> ImageFeatures:
        """Accept the setting of scikit-learn; a table comes back as a table in any case.

        Parameters
        ----------
        transform : {"default", "pandas"} or None, default=None
            None leaves the choice as it is.

        Returns
        -------
        ImageFeatures
            Itself.

        Raises
        ------
        ValueError
            For any other container.
        """
        if transform not in (None, "default", "pandas"):
            raise ValueError(f"{PURPOSE} gives pandas tables, not {transform!r}.")
        return self

    def _ready_network(self) -> nn.Module:
        """The network around the stored weights, rebuilt after loading."""
        if not hasattr(self, "_network"):
            self._network = rebuilt_network(self.encoder_, self.state_)
        return self._network

    def __getstate__(self) -> dict[str, Any]:
        """Leave the network out: it is rebuilt from `state_`."""
        inherited: Any = super().__getstate__()
        state = dict(inherited)
        state.pop("_network", None)
        return state

    def __sklearn_tags__(self) -> Any:
        """Say that columns of files come in, and float32 comes out."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.encoder is not None and (
            getattr(self.encoder, "on_error", None) == "skip"
        )
        tags.transformer_tags.preserves_dtype = []
        return tags
