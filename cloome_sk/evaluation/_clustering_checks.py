"""What the clustering studies refuse before anything is compared."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array, csr_array, issparse

from cloome_sk._tables import row_name, shown
from cloome_sk.metrics._checks import check_count

NO_FAMILY = "(no family)"


def assay_labels(assays: Any, purpose: str) -> pd.DataFrame:
    """Labels as float, 1, 0 or NaN, one column an assay of a distinct name."""
    if isinstance(assays, pd.DataFrame):
        table = assays
    else:
        matrix = np.asarray(assays)
        if matrix.ndim != 2:
            raise ValueError(
                f"{purpose}: assays must be a table, compounds by assays, got shape {matrix.shape}."
            )
        table = pd.DataFrame(matrix, columns=[f"assay {at}" for at in range(matrix.shape[1])])
    if not table.shape[0] or not table.shape[1]:
        raise ValueError(f"{purpose}: assays is empty: shape {table.shape}.")
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise ValueError(f"{purpose}: assays has more than one column {twice[0]!r}.")
    columns = {}
    for name in table.columns:
        try:
            values = pd.to_numeric(table[name]).to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{purpose}: assay {name!r} must hold 1, 0 or NaN; it has dtype "
                f"{table[name].dtype}. Leave columns that are no assays out."
            ) from error
        wrong = np.flatnonzero(~(np.isnan(values) | (values == 0) | (values == 1)))
        if len(wrong):
            raise ValueError(
                f"{purpose}: assay {name!r} must hold 1 (active), 0 (inactive) or NaN (not "
                f"tested); {row_name(table, int(wrong[0]))} is {values[wrong[0]]:g}."
            )
        columns[name] = values
    return pd.DataFrame(columns, index=table.index)


def memberships(membership: Any, n_rows: int | None, names: Any, purpose: str) -> Any:
    """Membership as CSR of bool, and the name of each series."""
    given = membership
    if isinstance(membership, pd.DataFrame):
        names = list(membership.columns) if names is None else names
        membership = membership.to_numpy()
    if not issparse(membership):
        membership = np.asarray(membership)
        if membership.ndim != 2 or membership.dtype.kind not in "biuf":
            raise ValueError(
                f"{purpose}: membership must be a matrix of bool, compounds by series, got shape "
                f"{membership.shape} and dtype {membership.dtype}."
            )
    matrix = coo_array(membership)
    if not matrix.shape[0] or not matrix.shape[1]:
        raise ValueError(f"{purpose}: membership is empty: shape {matrix.shape}.")
    _check_only_bits(matrix, given, purpose)
    if n_rows is not None and matrix.shape[0] != n_rows:
        raise ValueError(
            f"{purpose}: membership has {matrix.shape[0]} rows for {n_rows} compounds; one each, "
            "in the same order."
        )
    # A sparse matrix may name one entry several times: as bools they are one member.
    matrix = csr_array(matrix.astype(bool))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    n_series = matrix.shape[1]
    names = [f"series {at}" for at in range(n_series)] if names is None else list(names)
    if len(names) != n_series or len(set(names)) != n_series:
        raise ValueError(
            f"{purpose}: names must hold {n_series} distinct names of series, got {len(names)} "
            f"({len(set(names))} distinct)."
        )
    return matrix, names


def _check_only_bits(matrix: coo_array, given: Any, purpose: str) -> None:
    """Refuse a membership that is neither 0 nor 1, and name the first."""
    wrong = np.flatnonzero(~np.isin(matrix.data, (0, 1)))
    if not len(wrong):
        return
    rows, columns = matrix.coords
    first = wrong[np.lexsort((columns[wrong], rows[wrong]))[0]]
    row, column = int(rows[first]), int(columns[first])
    where = f"column {column}"
    if isinstance(given, pd.DataFrame):
        where = f"column {given.columns[column]!r}"
    raise ValueError(
        f"{purpose}: membership must hold 0 and 1, or False and True, only; "
        f"{row_name(given, row)}, {where} is {matrix.data[first]:g} ({len(wrong)} such value(s) "
        "in all). A compound whose series are not known is in none: 0."
    )


def check_dense(features: Any, purpose: str) -> None:
    """Refuse sparse features, which have no rows as arrays have them."""
    if issparse(features):
        raise ValueError(
            f"{purpose}: features is a sparse {type(features).__name__} of shape "
            f"{features.shape}; pass features.toarray(), or a function that gives blocks of "
            "similarities."
        )


def n_groups_of(chosen: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Groups with a chosen row, in each column of a matrix of bool."""
    n_groups = int(codes.max()) + 1
    if n_groups == len(codes):
        return chosen.sum(axis=0)
    rows, columns = np.nonzero(chosen)
    pairs = np.unique(columns * n_groups + codes[rows])
    return np.bincount(pairs // n_groups, minlength=chosen.shape[1])


def families_of(families: Any, names: list[Any], what: str, purpose: str) -> list[str]:
    """The family of each assay (or series); a missing one is said to be none."""
    if families is None:
        return [NO_FAMILY] * len(names)
    if isinstance(families, pd.Series | Mapping):
        lacking = [name for name in names if name not in families]
        if lacking:
            raise ValueError(
                f"{purpose}: families has no entry for {len(lacking)} {what}(s): {shown(lacking)}. "
                "Give one each; None where it is not known."
            )
        if isinstance(families, pd.Series) and not families.index.is_unique:
            raise ValueError(f"{purpose}: families names a {what} more than once.")
        found = [families[name] for name in names]
    else:
        found = list(families)
        if len(found) != len(names):
            raise ValueError(
                f"{purpose}: {len(found)} families for {len(names)} {what}s; one each."
            )
    return [NO_FAMILY if pd.isna(one) else str(one) for one in found]


def check_same_rows(purpose: str, **tables: Any) -> None:
    """Refuse tables whose rows have other names, which nothing else would show."""
    indexed = [
        (name, one.index)
        for name, one in tables.items()
        if isinstance(one, pd.DataFrame | pd.Series)
    ]
    for (one, first), (other, second) in pairwise(indexed):
        if len(first) == len(second) and not first.equals(second):
            row = int(np.flatnonzero(np.asarray(first != second))[0])
            raise ValueError(
                f"{purpose}: the rows of {one} and {other} have different names, first in row "
                f"{row}: {first[row]!r} and {second[row]!r}. Bring them to one order, or reset "
                "both indexes where the order is the same already."
            )


def check_settings(
    purpose: str, *, n: int | None, n_permutations: int, top: float, alpha: float
) -> None:
    """Refuse numbers out of range."""
    if n is not None:
        check_count(n, f"{purpose}: n")
    check_count(n_permutations, f"{purpose}: n_permutations", minimum=19)
    for name, value in (("top", top), ("alpha", alpha)):
        if isinstance(value, bool) or not isinstance(value, float) or not 0 < value < 1:
            raise ValueError(f"{purpose}: {name} must lie between 0 and 1, got {value!r}.")


def n_same(features: Any, groups: np.ndarray) -> int:
    """Rows whose features are those of a row of another group."""
    if callable(features) or np.ndim(features) != 2:
        return 0
    seen: dict[bytes, set[int]] = {}
    # Minus zero is zero.
    keys = [(row + 0).tobytes() for row in np.asarray(features)]
    for key, group in zip(keys, groups.tolist(), strict=True):
        seen.setdefault(key, set()).add(group)
    return sum(len(seen[key]) > 1 for key in keys)
