"""Which pairs of the training table match each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, row_name


def positive_groups(
    X: Any,
    rows: np.ndarray,
    keys: np.ndarray,
    positives: str | list[str] | tuple[str, ...],
    contrast: bool = True,
) -> np.ndarray:
    """Codes of the training pairs; pairs of equal code are positives of each other.

    Parameters
    ----------
    X : DataFrame or ndarray
        The table.
    rows : ndarray of intp, shape (n_pairs,)
        Positions of the training pairs.
    keys : ndarray of object, shape (n_pairs,)
        Their molecules.
    positives : str or list of str
        "pair", "molecule", or the columns that must agree, where "molecule" is the molecule.
    contrast : bool, default=True
        Whether the pairs are trained on, so that one group of all is refused.

    Returns
    -------
    ndarray of intp, shape (n_pairs,)
        Codes 0, 1, ...

    Raises
    ------
    ValueError
        For fewer than two molecules or groups, or a column that is absent or has missing values.
    """
    n_molecules = len(np.unique(keys))
    if n_molecules < 2:
        raise ValueError(
            f"All {len(rows)} training pairs are of one molecule ({keys[0]}); a contrast needs at "
            "least two. Salts and stereoisomers count as one molecule."
        )
    if positives == "pair":
        return np.arange(len(rows))
    names = [positives] if isinstance(positives, str) else list(positives)
    if not names:
        raise ValueError('positives is empty; give "molecule", "pair" or a list of columns.')
    kind = "training" if contrast else "held-out"
    parts = {
        str(place): keys if name == "molecule" else _column(X, rows, name, kind)
        for place, name in enumerate(names)
    }
    groups = pd.DataFrame(parts).groupby(list(parts), sort=False).ngroup()
    codes = groups.to_numpy(dtype=np.intp, copy=True)  # torch refuses pandas' read-only memory
    if contrast and codes.max() == 0:
        raise ValueError(f"positives={positives!r} makes one group of all {len(rows)} pairs.")
    return codes


def one_row_a_bag(
    X: Any, rows: np.ndarray, phenotype: Any, bags: np.ndarray, keys: np.ndarray
) -> np.ndarray:
    """Places of the rows that stand for their bags; an error where a bag has several molecules."""
    distinct, first, codes = np.unique(bags, return_index=True, return_inverse=True)
    odd = np.flatnonzero(keys != keys[first][codes])
    if len(odd):
        row = int(rows[odd[0]])
        n_bags = len(np.unique(codes[odd]))
        raise ValueError(
            f"{n_bags} of {len(distinct)} bag(s) hold several molecules, such as "
            f"{phenotype.bag_name(X, row)} ({row_name(X, row)}): a bag and its molecule are one "
            "training pair. Choose group_by= so that the rows of a bag share their molecule."
        )
    return np.sort(first)


def _column(X: Any, rows: np.ndarray, name: str, kind: str) -> np.ndarray:
    if not isinstance(X, pd.DataFrame):
        raise ValueError(
            f"positives: {name!r} is looked for among the columns of X, but X is an array. Pass a "
            'DataFrame, or use "molecule" or "pair".'
        )
    column = X[match_column(X, name, purpose="positives")].iloc[rows]
    missing = np.flatnonzero(column.isna())
    if len(missing):
        raise ValueError(
            f"positives: column {column.name!r} is missing in {len(missing)} {kind} row(s), "
            f"first in {row_name(X, rows[missing[0]])}. Fill it, or leave the column out."
        )
    return column.to_numpy()
