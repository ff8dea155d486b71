"""Averages of the embeddings of rows that belong together, whatever model they are from."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import pandas as pd

from cloome_sk._tables import image_columns, metadata_columns, row_name
from cloome_sk.preprocessing._groups import LISTED, By, Groups, first_rows, group_rows

COUNT = "Metadata_n_embeddings"


def aggregate_embeddings(
    Z: Any, table: pd.DataFrame, by: By = "well", *, how: Literal["mean", "median"] = "mean"
) -> tuple[pd.DataFrame, np.ndarray]:
    """Average the embeddings of the rows of each well, plate, molecule or other group.

    Works on the embeddings of any model: those of sites become one for each well, those of wells
    one for each compound. To learn an average instead, see `cloome_sk.encoders.BagEncoder`.

    Parameters
    ----------
    Z : array-like, shape (n_rows, n_components)
        Embeddings, such as `CloomeEmbedder.transform` gives. They are averaged as they are: rows
        of unit length count alike, longer rows more. A row of NaN has no embedding.
    table : DataFrame, shape (n_rows, n_columns)
        The same rows.
    by : "well", "plate", "molecule", str or list of str, default="well"
        What the rows of a group share. "well": plate and well; "plate"; "molecule":
        `cloome_sk.molecules.molecule_key` of the column named ``smiles``; or columns, by their
        names, in any case and with or without ``Metadata_``.
    how : {"mean", "median"}, default="mean"
        The average of each component. A median withstands a few spoilt sites.

    Returns
    -------
    groups : DataFrame, shape (n_groups, n_columns_kept)
        One row a group, in the order in which groups first appear: the columns grouped by (for
        "molecule" the column ``Metadata_molecule_key``), all other columns but measurements and
        images that have one value within every group, and ``Metadata_n_embeddings``, how many
        embeddings went into the average.
    embeddings : ndarray, shape (n_groups, n_components)
        Unit vectors, float32 if `Z` is, else float64. NaN for groups without an embedding.

    Raises
    ------
    TypeError
        If `table` is no DataFrame.
    ValueError
        If `Z` and `table` differ in length, a row of `Z` is infinite or partly NaN, a column is
        absent, or a row does not say to which group it belongs.

    Warns
    -----
    UserWarning
        If rows have no embedding and are left out, and if the embeddings of a group cancel so
        that their average has no direction, which gives NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cloome_sk.preprocessing import aggregate_embeddings
    >>> sites = pd.DataFrame(
    ...     {"Metadata_Plate": "P1", "Metadata_Well": ["A01", "A01", "B07"],
    ...      "Metadata_Site": [1, 2, 1], "Metadata_smiles": ["CCO", "CCO", "CCN"]})
    >>> Z = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> wells, embeddings = aggregate_embeddings(Z, sites, by="well")
    >>> wells["Metadata_smiles"].tolist(), wells["Metadata_n_embeddings"].tolist()
    (['CCO', 'CCN'], [2, 1])
    >>> embeddings.round(3).tolist()
    [[0.707, 0.707], [0.0, 1.0]]
    """
    purpose = "aggregate_embeddings"
    if how not in ("mean", "median"):
        raise ValueError(f'{purpose}: how must be "mean" or "median", got {how!r}.')
    groups = group_rows(table, by, purpose=purpose)
    values = _embeddings(Z, table, purpose)
    present = ~np.isnan(values).all(axis=1)
    counts = np.bincount(groups.codes[present], minlength=len(groups))
    averages = _averages(values[present], groups.codes[present], counts, how)
    lengths = np.linalg.norm(averages, axis=1)
    cancelled = lengths <= _rounding(values[present], groups.codes[present], len(groups))
    lengths[cancelled] = np.nan
    _warn_absent(table, groups, present, counts)
    _warn_cancelled(groups, np.flatnonzero(cancelled), how)
    units = (averages / lengths[:, np.newaxis]).astype(values.dtype)
    return _described(table, groups, counts), units


def _embeddings(Z: Any, table: pd.DataFrame, purpose: str) -> np.ndarray:
    values = np.asarray(Z)
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    if values.ndim != 2 or len(values) != len(table):
        raise ValueError(
            f"{purpose}: Z must have one row of numbers for each of the {len(table)} row(s) of the "
            f"table, got an array of shape {values.shape}."
        )
    missing = np.isnan(values).all(axis=1)
    broken = np.flatnonzero(~missing & ~np.isfinite(values).all(axis=1))
    if len(broken):
        listed = "; ".join(row_name(table, int(row)) for row in broken[:LISTED])
        raise ValueError(
            f"{purpose}: {len(broken)} row(s) of Z are partly NaN or infinite: {listed}"
            f"{'; ...' if len(broken) > LISTED else ''}. Only a row of nothing but NaN stands for "
            "a sample without an embedding."
        )
    return values


def _averages(values: np.ndarray, codes: np.ndarray, counts: np.ndarray, how: str) -> np.ndarray:
    """Mean or median of each group in float64; NaN where there is nothing to average."""
    averages = np.full((len(counts), values.shape[1]), np.nan)
    if not len(values):
        return averages
    filled = np.flatnonzero(counts)
    ordered = values[np.argsort(codes, kind="stable")]
    starts = (np.cumsum(counts) - counts)[filled]
    if how == "mean":
        sums = np.add.reduceat(ordered, starts, axis=0, dtype=np.float64)
        averages[filled] = sums / counts[filled, np.newaxis]
    else:
        for group, start in zip(filled.tolist(), starts.tolist(), strict=True):
            averages[group] = np.median(ordered[start : start + counts[group]], axis=0)
    return averages


def _rounding(values: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Length up to which the average of a group may be nothing but rounding errors."""
    longest = np.zeros(n_groups)
    np.maximum.at(longest, codes, np.linalg.norm(values.astype(np.float64), axis=1))
    return longest * float(np.finfo(values.dtype).eps)


def _warn_absent(
    table: pd.DataFrame, groups: Groups, present: np.ndarray, counts: np.ndarray
) -> None:
    absent = np.flatnonzero(~present)
    if len(absent):
        listed = "; ".join(row_name(table, int(row)) for row in absent[:LISTED])
        warnings.warn(
            f"aggregate_embeddings: {len(absent)} of {len(table)} row(s) have no embedding (NaN) "
            f"and are left out: {listed}{'; ...' if len(absent) > LISTED else ''}. "
            f"{int((counts == 0).sum())} of {len(groups)} group(s) have no other and are NaN.",
            stacklevel=3,
        )


def _warn_cancelled(groups: Groups, cancelled: np.ndarray, how: str) -> None:
    if len(cancelled):
        listed = "; ".join(groups.name(code) for code in cancelled[:LISTED].tolist())
        warnings.warn(
            f"aggregate_embeddings: the {how} of {len(cancelled)} of {len(groups)} group(s) is the "
            f"zero vector, which has no direction, and is given as NaN: {listed}"
            f"{'; ...' if len(cancelled) > LISTED else ''}.",
            stacklevel=3,
        )


def _described(table: pd.DataFrame, groups: Groups, counts: np.ndarray) -> pd.DataFrame:
    """The groups' names, and what else all rows of each group have in common."""
    first = first_rows(groups.codes)
    described = set(metadata_columns(table)) - set(image_columns(table))
    new = {*groups.names.columns, COUNT}
    left = [
        place
        for place, name in enumerate(table.columns)
        if name in described
        and str(name) not in new
        and _is_constant(table.iloc[:, place], groups.codes, first)
    ]
    kept = table.iloc[first, left].reset_index(drop=True)
    return pd.concat([groups.names, kept, pd.Series(counts, name=COUNT)], axis=1)


def _is_constant(column: pd.Series, codes: np.ndarray, first: np.ndarray) -> bool:
    """Whether a column has one value, or none at all, within every group."""
    try:
        values, _ = pd.factorize(column)
    except TypeError:  # lists and arrays, which cannot be compared
        return False
    return bool((values == values[first][codes]).all())
