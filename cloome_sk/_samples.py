"""From the rows of a table to training pairs, and to those that are held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cloome_sk._pairs import one_row_a_bag, positive_groups
from cloome_sk._tables import match_column, row_name
from cloome_sk.encoders.base import Encoder, Inputs
from cloome_sk.preprocessing.controls import ControlRows, apply_controls, find_controls

if TYPE_CHECKING:
    from cloome_sk.training import PairDataset


@dataclass(frozen=True)
class Samples:
    """Pairs as the networks take them.

    Attributes
    ----------
    rows : ndarray of intp
        Their rows in the table; of a bag the first.
    keys : ndarray of object
        Their molecules.
    phenotype, molecule : Inputs
        One entry a pair.
    groups : ndarray of intp
        Pairs of equal code are positives of each other.
    skipped : ndarray of intp
        Rows that could not be read.
    batching : dict of str to ndarray
        What else decides which pairs stand together in a batch.
    """

    rows: np.ndarray
    keys: np.ndarray
    phenotype: Inputs
    molecule: Inputs
    groups: np.ndarray
    skipped: np.ndarray
    batching: dict[str, np.ndarray]

    def pairs(self) -> PairDataset:
        """Give the pairs as training takes them."""
        from cloome_sk.training import PairDataset

        sides = self.phenotype, self.molecule
        first, second = ((side.values, side.index) for side in sides)
        return PairDataset(first, second, self.groups)


def samples(
    X: Any,
    rows: np.ndarray,
    keys: np.ndarray,
    phenotype: Encoder,
    phenotype_inputs: Inputs,
    molecule_inputs: Inputs,
    positives: Any,
    batching: Mapping[str, str | None] | None = None,
    contrast: bool = True,
) -> Samples:
    """Leave out what could not be read, and take bags once.

    Parameters
    ----------
    X : DataFrame or ndarray
        The table.
    rows : ndarray of intp, shape (n_rows,)
        The rows of pairs.
    keys : ndarray of object, shape (n_rows,)
        Their molecules.
    phenotype : Encoder
        Fitted.
    phenotype_inputs, molecule_inputs : Inputs
        One entry a row of `rows`.
    positives : str or list of str
        What makes pairs positives of each other.
    batching : mapping of str to str or None, optional
        Columns that decide which pairs stand together in a batch; None for none.
    contrast : bool, default=True
        Whether all pairs being positives of each other is an error.

    Returns
    -------
    Samples
        The pairs.
    """
    usable = np.flatnonzero(phenotype_inputs.index >= 0)
    skipped, kept = np.setdiff1d(rows, rows[usable]), usable
    if getattr(phenotype, "pools", False):
        bags = phenotype_inputs.index[usable]
        kept = usable[one_row_a_bag(X, rows[usable], phenotype, bags, keys[usable])]
    groups = np.zeros(0, dtype=np.intp)
    if len(kept) > 1:
        groups = positive_groups(X, rows[kept], keys[kept], positives, contrast)
    return Samples(
        rows[kept],
        keys[kept],
        phenotype_inputs.take(kept),
        molecule_inputs.take(kept),
        groups,
        skipped,
        {
            name: _labels(X, rows[kept], column)
            for name, column in (batching or {}).items()
            if column is not None
        },
    )


def _labels(X: Any, rows: np.ndarray, column: str) -> np.ndarray:
    """Values of a column; an error where one is missing."""
    if not isinstance(X, pd.DataFrame):
        raise ValueError(
            f"Batches by {column!r}: X is {type(X).__name__} without column names; pass a "
            "DataFrame."
        )
    values = X[match_column(X, column, purpose="Batches")].iloc[rows]
    if values.isna().any():
        row = int(rows[np.argmax(values.isna().to_numpy())])
        raise ValueError(f"Batches by {column!r}: {row_name(X, row)} has no value there.")
    return pd.factorize(values)[0]


def held_out(keys: np.ndarray, size: float, seed: int) -> np.ndarray:
    """Choose molecules for validation, whole ones: which of the rows are of them.

    Parameters
    ----------
    keys : ndarray of object, shape (n_rows,)
        The molecule of each row.
    size : float
        Share of the molecules, in (0, 1).
    seed : int
        Of the choice.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        True for rows that training does not see.

    Raises
    ------
    ValueError
        If fewer than two molecules would be on one of the sides.
    """
    molecules = np.unique(keys)
    n_held = round(size * len(molecules))
    if n_held < 2 or len(molecules) - n_held < 2:
        raise ValueError(
            f"validation={size} holds out {n_held} of {len(molecules)} molecules; training and "
            "validation need two each."
        )
    chosen = np.random.default_rng(seed).permutation(len(molecules))[:n_held]
    return np.isin(keys.astype(str), molecules[chosen].astype(str))


def validation_samples(
    X: Any,
    phenotype: Encoder,
    molecule: Any,
    controls: ControlRows,
    asked: Any,
    training_keys: np.ndarray,
    positives: Any,
    verbose: int = 0,
) -> Samples:
    """Prepare the pairs of another table with fitted encoders.

    Parameters
    ----------
    X : DataFrame or ndarray
        The table; its control rows are left out.
    phenotype, molecule : Encoder
        Fitted.
    controls : ControlRows
        Those of the training table, whose rule finds those of this one.
    asked : "auto", tuple or None
        How to find them where the training table has none.
    training_keys : ndarray of object
        Molecules that training sees, of which none may be here.
    positives : str or list of str
        What makes pairs positives of each other.
    verbose : int, default=0
        Above 0: show a progress bar where images are read.

    Returns
    -------
    Samples
        The pairs.

    Raises
    ------
    ValueError
        For fewer than two molecules, or one that training sees.
    """
    if isinstance(X, pd.DataFrame) and controls.rule is not None:
        own = apply_controls(X, *controls.rule)
    else:
        own = find_controls(X, asked)
    molecule_inputs = molecule.inputs(X, optional=own.mask)
    rows = np.flatnonzero(~own.mask & (molecule_inputs.index >= 0))
    keys = molecule.keys(X, rows)
    if len(np.unique(keys)) < 2:
        raise ValueError(
            f"{len(rows)} of {len(X)} row(s) can be used, with {len(np.unique(keys))} molecule(s), "
            f"and two molecules are needed to find one among others. {own}"
        )
    seen = np.isin(keys.astype(str), training_keys.astype(str))
    if seen.any():
        raise ValueError(
            f"{len(np.unique(keys[seen]))} of {len(np.unique(keys))} molecules "
            f"({int(seen.sum())} rows) are in the training table too, so that it would not tell "
            "what the model makes of new molecules. Split by molecule: "
            "cloome_sk.model_selection.molecule_groups, or validation=0.1."
        )
    return held_samples(X, rows, keys, phenotype, molecule_inputs.take(rows), positives, verbose)


def held_samples(
    X: Any,
    rows: np.ndarray,
    keys: np.ndarray,
    phenotype: Encoder,
    molecule_inputs: Inputs,
    positives: Any,
    verbose: int = 0,
) -> Samples:
    """Prepare the pairs of rows that training does not see.

    Parameters
    ----------
    X : DataFrame or ndarray
        Their table.
    rows : ndarray of intp, shape (n_rows,)
        The rows.
    keys : ndarray of object, shape (n_rows,)
        Their molecules.
    phenotype : Encoder
        Fitted.
    molecule_inputs : Inputs
        One entry a row of `rows`.
    positives : str or list of str
        What makes pairs positives of each other.
    verbose : int, default=0
        Above 0: show a progress bar where images are read.

    Returns
    -------
    Samples
        The pairs.

    Raises
    ------
    ValueError
        If fewer than two molecules can be read.
    """
    inputs = phenotype.read_inputs(X, rows, verbose, "left out of validation")
    left = keys[inputs.index >= 0]
    if len(np.unique(left)) < 2:
        raise ValueError(
            f"{len(left)} of {len(rows)} row(s) can be read, with {len(np.unique(left))} "
            "molecule(s), and two molecules are needed to find one among others."
        )
    return samples(X, rows, keys, phenotype, inputs, molecule_inputs, positives, contrast=False)
