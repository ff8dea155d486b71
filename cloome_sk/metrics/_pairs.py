"""Which profiles are positives and negatives of a query, by what their wells share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, profile_columns, row_name
from cloome_sk.metrics._checks import as_matrix

Columns = str | Sequence[str]
Rule = Callable[[int, int], np.ndarray]


def profiles_and_metadata(X: Any, metadata: Any) -> tuple[np.ndarray, pd.DataFrame]:
    """The features as an array and the table that describes their rows."""
    if metadata is None:
        if not isinstance(X, pd.DataFrame) or not profile_columns(X):
            raise ValueError(
                "Without metadata, X must be a DataFrame with CellProfiler columns (Cells_, "
                "Cytoplasm_, Nuclei_) or Feature_ columns, and the metadata columns beside them."
            )
        return as_matrix(X[profile_columns(X)], "X"), X
    if not isinstance(metadata, pd.DataFrame):
        raise TypeError(f"metadata must be a DataFrame, got {type(metadata).__name__}.")
    features = as_matrix(X, "X")
    if len(features) != len(metadata):
        raise ValueError(f"X has {len(features)} rows but metadata has {len(metadata)}.")
    return features, metadata


def query_rows(queries: Any, n_rows: int) -> np.ndarray:
    """A mask of the profiles that are scored."""
    if queries is None:
        return np.ones(n_rows, dtype=bool)
    mask = np.asarray(queries)
    if mask.shape != (n_rows,) or mask.dtype != bool:
        raise ValueError(
            f"queries must be a boolean array of {n_rows} rows, got shape {mask.shape} and dtype "
            f"{mask.dtype}."
        )
    return mask


def matched_columns(table: pd.DataFrame, names: Columns, purpose: str) -> list[Any]:
    """The columns as the table spells them."""
    names = [names] if isinstance(names, str) else list(names)
    return [match_column(table, name, purpose=purpose) for name in names]


def pair_rules(table: pd.DataFrame, by: dict[str, Columns]) -> tuple[Rule, Rule]:
    """For a block of queries, which profiles are positive and which are negative."""
    columns = {name: matched_columns(table, names, name) for name, names in by.items()}
    if not columns["pos_sameby"]:
        raise ValueError("pos_sameby is empty; name the column(s) that positives share.")
    if not columns["neg_sameby"] and not columns["neg_diffby"]:
        raise ValueError("Give neg_sameby or neg_diffby; without them nothing is negative.")
    codes: dict[Any, np.ndarray] = {}
    for column in {column for used in columns.values() for column in used}:
        code, _ = pd.factorize(table[column])
        if (code < 0).any():
            row = row_name(table, int(np.flatnonzero(code < 0)[0]))
            raise ValueError(
                f"metadata column {column!r} is missing a value in {row} ({int((code < 0).sum())} "
                "missing in all); drop these rows or give them a value of their own."
            )
        codes[column] = code.astype(np.int32)
    rules = []
    for side in ("pos", "neg"):
        same, differ = columns[f"{side}_sameby"], columns[f"{side}_diffby"]
        both = sorted({str(column) for column in same} & {str(column) for column in differ})
        if both:
            raise ValueError(f"{both} is in both {side}_sameby and {side}_diffby.")
        rules.append(_rule([codes[name] for name in same], [codes[name] for name in differ]))
    return rules[0], rules[1]


def _rule(same: list[np.ndarray], differ: list[np.ndarray]) -> Rule:
    def pairs(start: int, stop: int) -> np.ndarray:
        n_rows = len((same + differ)[0])
        mask = np.ones((stop - start, n_rows), dtype=bool)
        for code in same:
            mask &= code[start:stop, None] == code
        for code in differ:
            mask &= code[start:stop, None] != code
        mask[np.arange(stop - start), np.arange(start, stop)] = False
        return mask

    return pairs


def check_disjoint(both: np.ndarray, start: int, by: dict[str, Columns]) -> None:
    """Raise if some pair is positive and negative."""
    if both.any():
        query, other = np.argwhere(both)[0]
        raise ValueError(
            f"Rows {start + query} and {other} are a positive and a negative pair at once under "
            f"{by}; let neg_diffby name what positives share."
        )
