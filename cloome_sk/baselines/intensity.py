"""How bright the channels of a site are: the simplest features an image has."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from cloome_sk._tables import Columns, row_name, shown
from cloome_sk.baselines._structures import check_table
from cloome_sk.encoders._image_columns import choose_columns
from cloome_sk.encoders._image_rows import (
    SiteRows,
    illumination_columns,
    refuse_empty,
    site_rows,
    warn_skipped,
)
from cloome_sk.imaging import ImageError
from cloome_sk.imaging.intensity import INTENSITY_STATISTICS, intensity_features
from cloome_sk.imaging.sources import SiteSources, stacked_planes

PURPOSE = "IntensityProfiles"
RUN = 16
"""Sites handed to a process at a time."""


class IntensityProfiles(
    TransformerMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]
):
    """Append the intensity statistics of each channel to a table of sites.

    Mean, standard deviation and seven percentiles of the pixels of each channel, corrected for
    illumination but not scaled: what an image says without a word about shape, texture or place.
    An encoder of images has to beat them; that they find most of a signal is a sign of staining,
    cell count or exposure, not of morphology.

    The columns are profile columns like any other. Name them to what takes profiles, as below,
    and put `cloome_sk.preprocessing.ControlNormalizer` between for the control-normalised
    baseline.

    Parameters
    ----------
    columns : str, list of str, dict or None, default=None
        The image columns, as for `cloome_sk.encoders.ImageEncoder`. None takes ``Image``, or all
        named ``Image_<channel>``.
    channels : list of str or None, default=None
        Channels to measure. None: all there are. For stacks that nothing else describes, it also
        says their order.
    illumination : {"auto", None}, default="auto"
        "auto" divides by the illumination functions in the columns ``Illum_<channel>`` where the
        table of `fit` has them; tables need them ever after.
    on_error : {"raise", "skip"}, default="raise"
        Whether an image that cannot be read is an error, or gives a row of NaN and a warning that
        lists the rows.
    n_jobs : int or None, default=None
        Processes that read images, as joblib counts them.

    Attributes
    ----------
    channels_ : tuple of str
        The channels, in the order of the columns.
    intensity_columns_ : list of str
        The columns that are appended: ``Image_Intensity_<statistic>_<channel>``, all statistics of
        one channel after the other.
    illumination_ : bool
        Whether images are divided by illumination functions.

    See Also
    --------
    cloome_sk.imaging.intensity.intensity_features : The statistics of one image.
    ProfileFeatures : Takes the columns as the features of a classifier.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cloome_sk.baselines import ProfileFeatures
    >>> from cloome_sk.baselines.intensity import IntensityProfiles
    >>> rng = np.random.default_rng(0)
    >>> sites = [rng.integers(200, 4000, size=(32, 40)).astype(np.uint16) for _ in range(6)]
    >>> X = pd.DataFrame({"Image_Hoechst": sites[:3], "Image_Mito": sites[3:]})
    >>> intensity = IntensityProfiles().fit(X)
    >>> measured = intensity.transform(X)
    >>> measured.shape
    (3, 20)
    >>> intensity.intensity_columns_[0], intensity.intensity_columns_[-1]
    ('Image_Intensity_Mean_DNA', 'Image_Intensity_Percentile99_Mito')

    As features of a classifier, in a pipeline that starts from the images:

    >>> from sklearn.compose import make_column_selector
    >>> from sklearn.pipeline import make_pipeline
    >>> chosen = make_column_selector("^Image_Intensity_")
    >>> make_pipeline(IntensityProfiles(), ProfileFeatures(columns=chosen)).fit_transform(X).shape
    (3, 18)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "columns": "no_validation",
        "channels": ["array-like", None],
        "illumination": [StrOptions({"auto"}), None],
        "on_error": [StrOptions({"raise", "skip"})],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        columns: Columns | Mapping[str, Hashable] = None,
        *,
        channels: Sequence[str] | None = None,
        illumination: str | None = "auto",
        on_error: str = "raise",
        n_jobs: int | None = None,
    ) -> None:
        self.columns = columns
        self.channels = channels
        self.illumination = illumination
        self.on_error = on_error
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: pd.DataFrame, y: Any = None) -> IntensityProfiles:
        """Find the image columns and their channels; nothing is learned from pixels.

        Parameters
        ----------
        X : DataFrame, shape (n_sites, n_columns)
            A table of sites.
        y : object, optional
            Ignored.

        Returns
        -------
        IntensityProfiles
            Itself.

        Raises
        ------
        TypeError
            If X is no DataFrame.
        ValueError
            For a table without image columns or without the channels asked for, or with the
            illumination functions of some channels only.
        """
        table = check_table(X, PURPOSE)
        self.image_columns_ = choose_columns(table, self.columns, self.channels)
        self.channels_ = self.image_columns_.channels
        self.illumination_ = self.illumination == "auto" and bool(
            illumination_columns(table, self.channels_)
        )
        self.intensity_columns_ = [
            f"Image_Intensity_{_title(statistic)}_{channel}"
            for channel in self.channels_
            for statistic in INTENSITY_STATISTICS
        ]
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Read the images of a table, each distinct site once, and append their statistics.

        Parameters
        ----------
        X : DataFrame, shape (n_sites, n_columns)
            A table with the fitted channels, under their column names or others that mean them.

        Returns
        -------
        DataFrame, shape (n_sites, n_columns + n_channels * 9)
            The same rows and columns, with the columns `intensity_columns_` as float64, in the
            units of the pixels.

        Raises
        ------
        cloome_sk.imaging.ImageError
            For an image that cannot be read; the message has its path and row.
        ValueError
            For a missing channel, an empty cell, missing illumination functions, or columns of
            these names that are there already.

        Warns
        -----
        UserWarning
            With ``on_error="skip"``, for rows without a readable image.
        """
        check_is_fitted(self)
        table = check_table(X, PURPOSE)
        taken = [name for name in self.intensity_columns_ if name in table.columns]
        if taken:
            raise ValueError(
                f"{PURPOSE}: the table has {len(taken)} of the columns to append already "
                f"({shown(taken, 3)}). Drop or rename them."
            )
        rows = np.arange(len(table))
        found = self._rows(table, rows)
        values, failed = self._measured(table, found)
        index = found.usable_index(failed)
        block = np.full((len(table), len(self.intensity_columns_)), np.nan)
        block[index >= 0] = values[index[index >= 0]]
        warn_skipped(table, found.problems(rows, failed), "left without intensities (NaN)")
        appended = pd.DataFrame(block, index=table.index, columns=self.intensity_columns_)
        return pd.concat([table, appended], axis=1)

    def _rows(self, table: pd.DataFrame, rows: np.ndarray) -> SiteRows:
        """Find the distinct sites; refuse empty cells unless they are skipped."""
        illumination: list[Hashable] = []
        if self.illumination_:
            illumination = illumination_columns(table, self.channels_)
            if not illumination:
                raise ValueError(
                    f"{PURPOSE}: it was fitted on images divided by illumination functions, and "
                    "the table has no columns Illum_<channel>."
                )
        found = site_rows(table, self.image_columns_, rows, illumination=illumination)
        if found.empty and self.on_error == "raise":
            refuse_empty(table, found.empty)
        return found

    def _measured(self, table: pd.DataFrame, found: SiteRows) -> tuple[np.ndarray, dict[int, str]]:
        """Statistics of each distinct site, and what is wrong with those that have none."""
        from joblib import Parallel, delayed

        sources = found.sources
        runs = [
            sources.take(np.arange(start, min(start + RUN, len(sources))))
            for start in range(0, len(sources), RUN)
        ]
        measured = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(_measure)(run, self.on_error == "raise") for run in runs
        )
        values = np.full((len(sources), len(self.intensity_columns_)), np.nan)
        failed: dict[int, str] = {}
        site = 0
        for outcomes in measured:
            for outcome in outcomes:
                if not isinstance(outcome, ImageError):
                    values[site] = outcome
                elif self.on_error == "raise":
                    row = row_name(table, int(sources.rows[site]))
                    raise ImageError(outcome.path, f"{outcome.reason} ({row})") from outcome
                else:
                    failed[site] = str(outcome)
                site += 1
        return values, failed


def _title(statistic: str) -> str:
    """A statistic as CellProfiler would write it in the name of a column."""
    return "".join(word.capitalize() for word in statistic.split("_"))


def _measure(sources: SiteSources, stop: bool) -> list[np.ndarray | ImageError]:
    """Statistics of each site, or the error; by choice nothing after the first error."""
    outcomes: list[np.ndarray | ImageError] = []
    for site in range(len(sources)):
        try:
            outcomes.append(intensity_features(stacked_planes(sources, site, None)))
        except ImageError as error:
            outcomes.append(error)
            if stop:
                break
    return outcomes
