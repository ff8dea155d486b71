"""What a plate map knows of a well: its plate, its row, its column, and how many cells it has."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.validation import check_is_fitted

from cloome_sk._tables import match_column, metadata_columns, profile_columns, row_name, shown
from cloome_sk.baselines._structures import check_table

_COUNT_NAMES = (
    *(
        "countcells",
        "cellcount",
        "cellscount",
        "ncells",
        "numcells",
        "numbercells",
        "numberofcells",
    ),
    *("cellscountcells", "countnuclei", "nucleicount", "nnuclei", "objectcount", "countobjects"),
    *("relcellcount", "relativecellcount", "normalizedcellcount"),
)
_WELL = re.compile(r"^([A-Za-z]{1,2})0*([1-9][0-9]?)$")
_PARTS = ("plate", "row", "column")


def well_positions(X: pd.DataFrame, well: str, *, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Row letters (object) and column numbers (int) of the wells; ``B9`` and ``b09`` are one."""
    name = match_column(X, well, purpose=purpose)
    found = [_WELL.match(str(value).strip()) for value in X[name]]
    bad = [row for row, match in enumerate(found) if match is None]
    if bad:
        listed = "; ".join(f"{row_name(X, row)}: {X[name].iloc[row]!r}" for row in bad[:5])
        raise ValueError(
            f"{purpose}: {len(bad)} value(s) of column {name!r} are no well names such as 'A01' "
            f"({listed})."
        )
    matches = [match for match in found if match is not None]
    rows = np.array([match[1].upper() for match in matches], dtype=object)
    return rows, np.array([int(match[2]) for match in matches])


def plate_values(X: pd.DataFrame, plate: str, *, purpose: str) -> np.ndarray:
    """The plate of each row, none missing."""
    name = match_column(X, plate, purpose=purpose)
    missing = np.flatnonzero(X[name].isna())
    if len(missing):
        raise ValueError(
            f"{purpose}: column {name!r} is missing in {len(missing)} row(s), first in "
            f"{row_name(X, missing[0])}."
        )
    return X[name].to_numpy(dtype=object)


class CellCount(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Take the number of cells of each well, as one feature.

    Toxic compounds leave few cells, so the count alone tells many classes apart. A phenotype that
    does no better than it says nothing about morphology.

    Parameters
    ----------
    column : str, default="auto"
        The column, in any case and with or without ``Metadata_``. "auto" knows the usual names,
        such as ``Metadata_Count_Cells``, ``cell_count`` and ``Metadata_rel_cellcount``.

    Attributes
    ----------
    column_ : str
        The column in use.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.baselines import CellCount
    >>> CellCount().fit_transform(pd.DataFrame({"Metadata_Count_Cells": [120, 80]}))
    array([[120.],
           [ 80.]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {"column": [str]}

    def __init__(self, column: str = "auto") -> None:
        self.column = column

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: pd.DataFrame, y: Any = None) -> CellCount:
        """Find the column.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            The table.
        y : object, optional
            Ignored.

        Returns
        -------
        CellCount
            Itself.

        Raises
        ------
        ValueError
            If no column, or more than one, answers to the name.
        """
        check_table(X, "CellCount")
        if self.column != "auto":
            self.column_ = match_column(X, self.column, purpose="CellCount")
        else:
            self.column_ = _count_column(X)
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Read the count.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            The table.

        Returns
        -------
        ndarray of float64, shape (n_samples, 1)
            The count.

        Raises
        ------
        ValueError
            If a count is not a finite number.
        """
        check_is_fitted(self)
        check_table(X, "CellCount")
        name = match_column(X, str(self.column_), purpose="CellCount")
        counts = pd.to_numeric(X[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        bad = np.flatnonzero(~np.isfinite(counts))
        if len(bad):
            raise ValueError(
                f"CellCount: column {name!r} holds no finite number in {len(bad)} row(s), first in "
                f"{row_name(X, bad[0])}: {X[name].iloc[bad[0]]}."
            )
        return counts[:, None]

    @property
    def _n_features_out(self) -> int:
        return 1


def has_cell_count(X: pd.DataFrame) -> bool:
    """Whether `CellCount` would find a column by itself."""
    plain = {_plain(name) for name in metadata_columns(X)}
    return not plain.isdisjoint(_COUNT_NAMES)


def _plain(name: Hashable) -> str:
    text = str(name).lower()
    for prefix in ("image_metadata_", "metadata_", "image_"):
        text = text.removeprefix(prefix)
    return re.sub(r"[^a-z0-9]", "", text)


def _count_column(X: pd.DataFrame) -> Hashable:
    names = metadata_columns(X)
    for wanted in _COUNT_NAMES:
        found = [name for name in names if _plain(name) == wanted]
        if len(found) > 1:
            raise ValueError(
                f"CellCount: the columns {shown(found)} could all be the cell count; name one: "
                "CellCount(column=...)."
            )
        if found:
            return found[0]
    raise ValueError(
        "CellCount: no column is named like a cell count (Metadata_Count_Cells, cell_count, "
        f"Metadata_rel_cellcount, ...). Columns seen: {shown(names) or 'none'}, and "
        f"{len(profile_columns(X))} CellProfiler features. Name it: CellCount(column=...)."
    )


class PlatePosition(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Take where a well is: its plate, row and column, one indicator each.

    What a model can score without looking at a cell, wherever the layout is not random.

    Parameters
    ----------
    plate, well : str, default="plate", "well"
        The columns, in any case and with or without ``Metadata_``. Wells are named ``A01``.
    parts : sequence of {"plate", "row", "column"}, default=("plate", "row", "column")
        What to use. The column of what is not used need not exist.

    Attributes
    ----------
    encoder_ : OneHotEncoder
        Of the parts; plates, rows and columns not seen in `fit` are all zeros.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.baselines import PlatePosition
    >>> wells = pd.DataFrame({"Metadata_Plate": ["P1", "P1"], "Metadata_Well": ["A01", "B02"]})
    >>> PlatePosition(parts=["row"]).fit_transform(wells)
    array([[1., 0.],
           [0., 1.]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "plate": [str],
        "well": [str],
        "parts": ["array-like"],
    }

    def __init__(
        self, plate: str = "plate", well: str = "well", *, parts: Sequence[str] = _PARTS
    ) -> None:
        self.plate = plate
        self.well = well
        self.parts = parts

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: pd.DataFrame, y: Any = None) -> PlatePosition:
        """Learn which plates, rows and columns there are.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            The table.
        y : object, optional
            Ignored.

        Returns
        -------
        PlatePosition
            Itself.

        Raises
        ------
        ValueError
            For a missing column, a missing plate, or a well that is not named like ``A01``.
        """
        parts = list(self.parts)
        if not parts or set(parts) - set(_PARTS):
            raise ValueError(f"PlatePosition: parts must be some of {_PARTS}, got {parts!r}.")
        self.encoder_ = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        self.encoder_.fit(self._values(X))
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Indicate the plate, row and column of each well.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_columns)
            The table.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_features)
            0 or 1.
        """
        check_is_fitted(self)
        return self.encoder_.transform(self._values(X))

    def _values(self, X: pd.DataFrame) -> np.ndarray:
        check_table(X, "PlatePosition")
        found: dict[str, np.ndarray] = {}
        if "plate" in self.parts:
            found["plate"] = plate_values(X, self.plate, purpose="PlatePosition").astype(str)
        if {"row", "column"} & set(self.parts):
            rows, columns = well_positions(X, self.well, purpose="PlatePosition")
            found |= {"row": rows, "column": columns.astype(str)}
        return np.column_stack([found[part].astype(object) for part in self.parts])

    @property
    def _n_features_out(self) -> int:
        return sum(len(categories) for categories in self.encoder_.categories_)
