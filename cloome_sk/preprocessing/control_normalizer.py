"""ControlNormalizer: profiles measured against the negative controls of their own plate."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from cloome_sk._refit import unchanged_on_error
from cloome_sk._tables import Columns, column_positions, shown
from cloome_sk.preprocessing._plates import (
    PURPOSE,
    count_controls,
    known_plates,
    number_plates,
    plate_column,
    plate_labels,
    reference_rows,
    reference_rows_again,
    refuse_metadata,
    rows_by_plate,
)
from cloome_sk.preprocessing._profiles import feature_positions, feature_values, with_features
from cloome_sk.preprocessing._statistics import learn_plates, sphering_matrix, standardize
from cloome_sk.preprocessing.controls import Controls

ENOUGH_TO_SPHERE = 50


class ControlNormalizer(
    OneToOneFeatureMixin,
    TransformerMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]
):
    r"""Normalise profiles against the negative controls of their plate.

    A table goes in and the same table comes out, same rows, columns, order and index: features are
    normalised, as float32, and other columns stay as they were. For a feature :math:`x` of a well
    on plate :math:`p`:

    1. **Location and scale.** :math:`z = (x - m_p) / s_p`, where :math:`m_p` is the median of the
       plate's :math:`n_p` controls and :math:`s_p = w_p\,MAD_p + (1 - w_p)\,MAD`, with
       :math:`w_p = n_p / (n_p + n_0)` and :math:`n_0` = `shrinkage`. :math:`MAD_p` is the median
       absolute deviation of the plate's controls times 1.4826; the pooled :math:`MAD` is the same
       over the controls of all plates, each measured from its own plate's median.
    2. **Clip** to :math:`\pm` `clip`.
    3. **Signed log**: :math:`\mathrm{sign}(z) \log(1 + |z|)`.
    4. **Sphering** (typical variation normalisation [1]_): subtract the mean of all normalised
       controls and multiply by :math:`(C + r \bar\lambda I)^{-1/2}`, where :math:`C` is their
       covariance, :math:`\bar\lambda` its mean eigenvalue and :math:`r` =
       `sphering_regularization`. It turns down what varies among controls (position, staining,
       focus). Being symmetric (ZCA [2]_), it leaves columns their names; with :math:`r > 0` it
       exists for any number of controls.

    Where :math:`MAD_p` is zero, the pooled one stands in for it. Where that is zero too (most
    controls equal their plate's median), it is replaced by the root mean square of the deviations,
    or by 1 where controls never differ. Zero means below ten rounding errors of the location.

    Parameters
    ----------
    columns : str, list of str, int, list of int, slice, mask, callable or None, default=None
        The feature columns, chosen as in `sklearn.compose.ColumnTransformer`. None takes the
        columns named as CellProfiler does (``Cells_``, ``Cytoplasm_``, ``Nuclei_``), and those of
        `cloome_sk.ImageFeatures` (``Feature_``); of an array, all.
    plate : str or None, default="plate"
        The column that names the plate, in any case and with or without ``Metadata_``. None: all
        rows are one plate.
    controls : {"auto", "all"} or tuple, default="auto"
        The wells that serve as reference: what `find_controls` finds by itself, or
        ``(column, value or list of values)``. ``"all"`` takes every well, controls or not.
    shrinkage : float, default=16.0
        Number of controls :math:`n_0` (>= 0) that the pooled scale counts for: 0 uses each plate's
        own scale, ``inf`` one scale for all plates.
    clip : float or None, default=10.0
        Largest absolute value after step 1 (> 0); None does not clip.
    signed_log : bool, default=True
        Whether to do step 3.
    sphering : {"auto"} or bool, default="auto"
        Whether to do step 4; ``"auto"`` does with 50 controls or more.
    sphering_regularization : float, default=1.0
        The ridge :math:`r` (>= 0) in units of the mean eigenvalue. 0 whitens fully, for which
        controls have to outnumber features by far.
    min_controls : int, default=3
        The fewest controls (>= 1) a plate may have.
    verbose : int, default=0
        1 prints what was taken as control, and shows a progress bar in `transform`.

    Attributes
    ----------
    controls_ : str
        What was taken as control, in one sentence.
    control_rule_ : tuple or None
        ``(column, values)`` of the controls; None for ``"all"``.
    plates_ : ndarray of object, shape (n_plates,)
        Plates known, in order of appearance.
    n_controls_ : ndarray of int64, shape (n_plates,)
        Controls on each.
    location_, scale_ : ndarray of float64, shape (n_plates, n_selected)
        :math:`m_p` and :math:`s_p`, in units of the feature.
    pooled_scale_ : ndarray of float64, shape (n_selected,)
        The pooled :math:`MAD`.
    sphering_mean_, sphering_matrix_ : ndarray of float64 or None
        Of shape (n_selected,) and (n_selected, n_selected); None without sphering.
    column_names_ : list of str or None
        The features, where X was a DataFrame.
    column_positions_ : ndarray of intp, shape (n_selected,)
        Their positions in the fitted X.

    Raises
    ------
    ValueError
        If a plate has too few controls or was not seen in `fit`; for features that are missing,
        not numeric, NaN or infinite. Messages name plates, rows and columns.

    See Also
    --------
    find_controls : Which rows are controls.

    Notes
    -----
    **Use it before splitting.** ``X = ControlNormalizer().fit_transform(X)`` is one line ahead of
    cross-validation. This is not a leak: it never looks at labels, nor at any treated well, test
    or training; it uses the vehicle wells that are imaged on every plate for this very purpose,
    as they will be on tomorrow's plate. It *is* transductive in these controls: scale and sphering
    see the controls of test plates. Inside a pipeline under ``GroupKFold`` by molecule, all
    vehicle wells fall in one fold, and other folds have no controls to learn from.
    ``controls="all"`` does look at treated wells, test wells among them: say so with your figures.

    An array has no plates: it needs ``plate=None, controls="all"`` and gives float32 throughout.

    References
    ----------
    .. [1] Ando, McLean, Berndl (2017), Improving Phenotypic Measurements in High-Content Imaging
       Screens, bioRxiv 161422.
    .. [2] Kessy, Lewin, Strimmer (2018), Optimal Whitening and Decorrelation, The American
       Statistician 72(4).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cloome_sk.preprocessing import ControlNormalizer
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(
    ...     {
    ...         "Metadata_Plate": np.repeat(["P1", "P2"], 40),
    ...         "Metadata_pert_iname": np.tile(["DMSO", "taxol"], 40),
    ...         "Cells_AreaShape_Area": rng.normal(900, 50, 80) + np.repeat([0, 400], 40),
    ...         "Nuclei_Intensity_MeanIntensity_DNA": rng.normal(0.2, 0.01, 80),
    ...     }
    ... )
    >>> normalizer = ControlNormalizer().fit(X)
    >>> print(normalizer.controls_)
    40 of 80 rows are negative controls: Metadata_pert_iname is 'DMSO'.
    >>> normalized = normalizer.transform(X)
    >>> list(normalized.columns) == list(X.columns)
    True
    >>> dmso = normalized[normalized["Metadata_pert_iname"] == "DMSO"]
    >>> dmso.groupby("Metadata_Plate")["Cells_AreaShape_Area"].median().round(2).tolist()
    [0.0, 0.0]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "columns": "no_validation",
        "plate": [str, None],
        "controls": "no_validation",
        "shrinkage": [Interval(Real, 0, np.inf, closed="both")],
        "clip": [Interval(Real, 0, None, closed="neither"), None],
        "signed_log": ["boolean"],
        "sphering": [StrOptions({"auto"}), "boolean"],
        "sphering_regularization": [Interval(Real, 0, None, closed="left")],
        "min_controls": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        columns: Columns = None,
        plate: str | None = "plate",
        controls: Controls | Literal["all"] = "auto",
        *,
        shrinkage: float = 16.0,
        clip: float | None = 10.0,
        signed_log: bool = True,
        sphering: bool | Literal["auto"] = "auto",
        sphering_regularization: float = 1.0,
        min_controls: int = 3,
        verbose: int = 0,
    ) -> None:
        self.columns = columns
        self.plate = plate
        self.controls = controls
        self.shrinkage = shrinkage
        self.clip = clip
        self.signed_log = signed_log
        self.sphering = sphering
        self.sphering_regularization = sphering_regularization
        self.min_controls = min_controls
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> ControlNormalizer:
        """Learn location and scale of each plate, and the sphering, from the controls.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_columns)
            One row a sample. Rows other than controls have no influence.
        y : None
            Ignored.

        Returns
        -------
        ControlNormalizer
            Itself.
        """
        with unchanged_on_error(self):
            if isinstance(X, pd.DataFrame):
                validate_data(self, X, skip_check_array=True)
            else:
                X = validate_data(
                    self,
                    X,
                    dtype=(np.float64, np.float32),
                    ensure_all_finite=False,
                    ensure_min_samples=self.min_controls,
                )
            plate = plate_column(X, self.plate)
            self.column_positions_ = feature_positions(X, self.columns)
            self.column_names_ = (
                list(X.columns[self.column_positions_]) if isinstance(X, pd.DataFrame) else None
            )
            mask, self.control_rule_, self.controls_ = reference_rows(X, self.controls)
            refuse_metadata(self.column_names_, plate, self.control_rule_)
            values = feature_values(X, self.column_positions_, plate)[mask]
            codes, self.plates_ = number_plates(X, plate, mask)
            self.n_controls_ = count_controls(codes, self.plates_, self.min_controls)
            self.location_, self.scale_, self.pooled_scale_ = learn_plates(
                values, codes, self.n_controls_, self.shrinkage
            )
            self._fit_sphering(values, codes)
            if self.verbose:
                print(  # noqa: T201 - what `verbose` asks for
                    f"{PURPOSE}: {self.controls_} {len(self.plates_)} plate(s) with "
                    f"{self.n_controls_.min()} to {self.n_controls_.max()} controls; "
                    f"{'no ' if self.sphering_matrix_ is None else ''}sphering."
                )
        return self

    def fit_plates(self, X: pd.DataFrame) -> ControlNormalizer:
        """Add plates from their controls; scale pool, sphering and known plates stay as they are.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            Wells of plates not seen before. Controls are found by the rule of `fit`; other rows
            have no influence.

        Returns
        -------
        ControlNormalizer
            Itself.

        Raises
        ------
        ValueError
            If no row is a control by that rule, a plate is known already or has too few controls,
            or ``plate=None``.
        """
        check_is_fitted(self)
        if self.plate is None:
            raise ValueError(f"{PURPOSE}.fit_plates: with plate=None there is only one plate.")
        plate = plate_column(X, self.plate)
        mask = reference_rows_again(X, self.control_rule_)
        known = pd.Index(self.plates_).intersection(pd.Index(plate_labels(X, plate).unique()))
        if len(known):
            raise ValueError(
                f"{PURPOSE}.fit_plates: known already: plate(s) {shown(known)}. Pass only new "
                "plates, or fit anew."
            )
        values = feature_values(X, self._positions_in(X), plate)[mask]
        codes, plates = number_plates(X, plate, mask)
        n_controls = count_controls(codes, plates, self.min_controls)
        location, scale, _ = learn_plates(
            values, codes, n_controls, self.shrinkage, self.pooled_scale_
        )
        with unchanged_on_error(self):
            self.plates_ = np.concatenate([self.plates_, plates])
            self.n_controls_ = np.concatenate([self.n_controls_, n_controls])
            self.location_ = np.concatenate([self.location_, location])
            self.scale_ = np.concatenate([self.scale_, scale])
        return self

    def transform(self, X: Any) -> Any:
        """Normalise every row, control or not, against its plate.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_columns)
            A table with the plate and the feature columns of `fit`; other columns may differ.

        Returns
        -------
        DataFrame or ndarray, shape (n_samples, n_columns)
            The same table with float32 features. An array where an array was given.
        """
        check_is_fitted(self)
        if not isinstance(X, pd.DataFrame):
            X = validate_data(
                self, X, dtype=(np.float64, np.float32), ensure_all_finite=False, reset=False
            )
        plate = plate_column(X, self.plate)
        positions = self._positions_in(X)
        codes = known_plates(X, plate, self.plates_)
        values = feature_values(X, positions, plate)
        normalized = np.empty(values.shape, dtype=np.float32)
        for rows, block in self._blocks(values, codes):
            if self.sphering_matrix_ is not None:
                block = (block - self.sphering_mean_) @ self.sphering_matrix_
            normalized[rows] = block
        if isinstance(X, pd.DataFrame):
            return with_features(X, positions, normalized)
        whole = X.astype(np.float32)
        whole[:, positions] = normalized
        config = getattr(self, "_sklearn_output_config", {})
        if config.get("transform", get_config()["transform_output"]) == "pandas":
            return pd.DataFrame(whole, columns=self.get_feature_names_out())
        return whole

    def set_output(self, *, transform: str | None = None) -> ControlNormalizer:
        """Choose the container that arrays come back in; tables always come back as tables.

        Parameters
        ----------
        transform : {"default", "pandas"} or None, default=None
            None leaves the choice as it is.

        Returns
        -------
        ControlNormalizer
            Itself.
        """
        # scikit-learn's own wrapper would rename columns where metadata differ from those of fit.
        if transform not in (None, "default", "pandas"):
            raise ValueError(f"{PURPOSE} gives 'default' or 'pandas' output, not {transform!r}.")
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}
        return self

    def _fit_sphering(self, values: np.ndarray, codes: np.ndarray) -> None:
        """Learn how normalised controls vary together."""
        self.sphering_mean_ = self.sphering_matrix_ = None
        if not (len(values) >= ENOUGH_TO_SPHERE if self.sphering == "auto" else self.sphering):
            return
        if len(values) < 2:
            raise ValueError(f"{PURPOSE}: sphering needs two controls or more; X has one sample.")
        controls = np.empty(values.shape)
        for rows, block in self._blocks(values, codes):
            controls[rows] = block
        self.sphering_mean_, self.sphering_matrix_ = sphering_matrix(
            controls, self.sphering_regularization
        )

    def _positions_in(self, X: Any) -> np.ndarray:
        """Positions of the fitted features: by name where `fit` knew names."""
        names = self.column_names_
        if isinstance(X, pd.DataFrame) and names and all(isinstance(name, str) for name in names):
            return column_positions(X, names, purpose=PURPOSE)
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, skip_check_array=True, reset=False)
        return self.column_positions_

    def _blocks(
        self, values: np.ndarray, codes: np.ndarray
    ) -> Iterator[tuple[np.ndarray | slice, np.ndarray]]:
        """Rows of one plate at a time, normalised in float64, not yet sphered."""
        from tqdm import tqdm

        with tqdm(total=len(codes), disable=not self.verbose, desc=PURPOSE, unit="row") as bar:
            for plate, rows in rows_by_plate(codes):
                learned = self.location_[plate], self.scale_[plate]
                block = standardize(values[rows], *learned, self.clip, self.signed_log)
                yield rows, block
                bar.update(len(block))

    def __sklearn_tags__(self) -> Tags:
        """State that float32 comes out."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
