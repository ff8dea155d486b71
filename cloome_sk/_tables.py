"""Finding columns in a user's table, and saying clearly what is wrong when they are not there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

FEATURE_PREFIX = "Feature_"
"""How the columns of `cloome_sk.ImageFeatures` begin."""

PROFILE_PREFIXES = ("Cells_", "Cytoplasm_", "Nuclei_", FEATURE_PREFIX)
"""The compartments after which CellProfiler names its measurements, and features of networks."""

METADATA_PREFIX = "metadata_"

IMAGE_METADATA = (
    *("Image_Metadata_", "Image_FileName_", "Image_PathName_", "Image_URL_", "Image_MD5Digest_"),
    *("Image_ObjectsFileName_", "Image_ObjectsPathName_", "Image_ObjectsURL_", "Image_Processing"),
)
"""Columns of CellProfiler's own image tables, which describe an image and are none."""


def shown(names: Iterable[Hashable], limit: int = 12) -> str:
    """A list of names for an error message, cut to a readable length."""
    words = [str(name) for name in names]
    rest = len(words) - limit
    return ", ".join(words[:limit]) + (f", ... (+{rest} more)" if rest > 0 else "")


def _plain(name: Hashable) -> str:
    return str(name).lower().removeprefix(METADATA_PREFIX)


def metadata_columns(table: pd.DataFrame) -> list[Hashable]:
    """The columns that describe a sample rather than measure it."""
    return [name for name in table.columns if not str(name).startswith(PROFILE_PREFIXES)]


def profile_columns(table: pd.DataFrame) -> list[Hashable]:
    """The columns whose names mark them as measurements of CellProfiler, or `Feature_` columns."""
    return [name for name in table.columns if str(name).startswith(PROFILE_PREFIXES)]


def image_columns(table: pd.DataFrame) -> list[Hashable]:
    """The columns of image paths or arrays: ``Image``, or ``Image_<channel>``.

    CellProfiler's own measurements of whole images, ``Image_Intensity_...``, are numbers.
    """
    return [
        name
        for name, dtype in zip(table.columns, table.dtypes, strict=True)
        if (name == "Image" or str(name).startswith("Image_"))
        and not str(name).startswith(IMAGE_METADATA)
        and _holds_text(dtype)
    ]


def _holds_text(dtype: Any) -> bool:
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    return pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)


def match_column(table: pd.DataFrame, name: str, *, purpose: str) -> Hashable:
    """Find the column a user means by a name.

    Parameters
    ----------
    table : DataFrame
        The table to look in.
    name : str
        The exact name, or the name in any case and with or without a leading ``Metadata_``.
    purpose : str
        What the column is wanted for; goes into the error message.

    Returns
    -------
    hashable
        The name as it stands in the table.

    Raises
    ------
    ValueError
        If no column, or more than one, answers to the name.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk._tables import match_column
    >>> match_column(pd.DataFrame({"Metadata_Plate": ["P1"]}), "plate", purpose="exclude")
    'Metadata_Plate'
    """
    if name in table.columns:
        found = [name]
    else:
        found = [column for column in table.columns if _plain(column) == _plain(name)]
    if len(found) == 1 and list(table.columns).count(found[0]) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{purpose}: {name!r} could be any of the columns {shown(found)}; "
            "name one of them exactly, or rename the duplicates."
        )
    raise ValueError(
        f"{purpose}: the table has no column {name!r} (looked for in any case, with or without "
        f"'Metadata_'). Columns seen: {shown(metadata_columns(table)) or 'none'}"
        f"{_and_profiles(table)}."
    )


def _and_profiles(table: pd.DataFrame) -> str:
    found = profile_columns(table)
    frozen = any(str(name).startswith(FEATURE_PREFIX) for name in found)
    kind = "feature columns" if frozen else "CellProfiler features"
    return f", and {len(found)} {kind}" if found else ""


def row_name(table: Any, row: int) -> str:
    """How an error message points at a row: its position, and its label where that differs."""
    if isinstance(table, pd.DataFrame | pd.Series):
        label = table.index[row]
        if pd.isna(label) is True or not bool(label == row):
            plain = label.item() if isinstance(label, np.generic) else label
            return f"row {row} (index {plain!r})"
    return f"row {row}"


Columns = (
    str
    | int
    | slice
    | Sequence[Hashable]
    | Sequence[int]
    | Sequence[bool]
    | Callable[..., Any]
    | None
)
"""How a user names columns: what `sklearn.compose.ColumnTransformer` takes."""


def column_positions(X: Any, columns: Columns, *, purpose: str) -> np.ndarray:
    """Positions of the columns a user chose, by name, position, slice, mask or callable."""
    from sklearn.utils._indexing import _get_column_indices

    if callable(columns):
        columns = columns(X)
    n_columns = X.shape[1]
    names = list(X.columns) if isinstance(X, pd.DataFrame) else None
    wanted = _names_in(columns)
    if wanted is not None:
        if names is None:
            raise ValueError(
                f"{purpose}: columns are given by name ({shown(wanted)}) but X is an array without "
                "names. Pass a pandas DataFrame, or give the columns by position."
            )
        return named_positions(X, wanted, purpose=purpose)
    if isinstance(columns, slice) and columns == slice(None):
        return np.arange(n_columns)  # scikit-learn's helper would take it for labels
    try:
        found = np.asarray(_get_column_indices(X, columns), dtype=np.intp)
    except (ValueError, IndexError, TypeError) as error:
        raise ValueError(
            f"{purpose}: columns={columns!r} does not fit a table of {n_columns} feature(s) "
            f"({error})."
        ) from error
    if found.size and (found.max() >= n_columns or found.min() < 0):
        raise ValueError(
            f"{purpose}: column position {int(found.max())} was asked for, but the table has "
            f"{n_columns} feature(s)."
        )
    return found


def named_positions(table: pd.DataFrame, wanted: Sequence[Hashable], *, purpose: str) -> np.ndarray:
    """Positions of columns by their labels, of whatever type these are."""
    places: dict[Hashable, list[int]] = {}
    for position, name in enumerate(table.columns):
        places.setdefault(name, []).append(position)
    missing = [name for name in wanted if name not in places]
    if missing:
        raise ValueError(
            f"{purpose}: {len(missing)} column(s) are missing from the table: "
            f"{shown(missing)}. Columns seen: {shown(table.columns)}."
        )
    doubled = [name for name in wanted if len(places[name]) > 1]
    if doubled:
        raise ValueError(
            f"{purpose}: the column name(s) {shown(doubled)} stand more than once in the "
            "table; make them unique."
        )
    return np.array([places[name][0] for name in wanted], dtype=np.intp)


def _names_in(columns: Any) -> list[str] | None:
    """The names, if the columns are chosen by name."""
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        return None
    try:
        items = list(columns)
    except TypeError:
        return None
    if items and all(isinstance(item, str) for item in items):
        return items
    return None


def by_name(columns: Any) -> bool:
    """Whether a selection names its columns (and so does not depend on their order)."""
    return columns is None or callable(columns) or _names_in(columns) is not None
