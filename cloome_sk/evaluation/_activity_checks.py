"""What an activity study refuses before anything is trained."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.evaluation._activity_folds import PURPOSE, Molecules
from cloome_sk.evaluation._training_seen import check_trained_before
from cloome_sk.metrics._checks import check_count
from cloome_sk.preprocessing import find_controls

SPLITS = ("molecule", "scaffold")
FEWEST_RESAMPLES = 20
"""With fewer, the smallest p there can be is not below 0.05."""


def check_rows(X: pd.DataFrame | None, Y: Any, smiles: Any, controls: Any) -> None:
    """Refuse rows in another order, which nothing else would show, and controls."""
    indexed = {
        name: value.index
        for name, value in (("X", X), ("Y", Y), ("smiles", smiles))
        if isinstance(value, (pd.DataFrame, pd.Series))
    }
    for (one, first), (other, second) in pairwise(indexed.items()):
        if len(first) == len(second) and not first.equals(second):
            row = int(np.flatnonzero(np.asarray(first != second))[0])
            raise ValueError(
                f"{PURPOSE}: the rows of {one} and {other} have different names, first in row "
                f"{row}: {first[row]!r} and {second[row]!r}. Bring them to one order, or reset "
                "both indexes where the order is the same already."
            )
    if X is not None:
        found = find_controls(X, controls)
        if found.mask.any():
            raise ValueError(
                f"{PURPOSE}: {int(found.mask.sum())} rows of X are negative controls "
                f"({found}), whose vehicle would be a molecule with labels. Leave them out of "
                "X, Y and smiles."
            )


def check_asked(
    models: Mapping[str, Any],
    model: str,
    X: pd.DataFrame | None,
    molecules: Molecules,
    splits: Sequence[str],
    kinds: Sequence[str] | None,
    standardize: Collection[str],
) -> None:
    """Refuse names that are not there, and features or tables of another length."""
    n_rows = len(molecules.code)
    if model not in models:
        raise ValueError(f"{PURPOSE}: no model {model!r} among {shown(list(models))}.")
    if unknown := [name for name in standardize if name not in models]:
        raise ValueError(f"{PURPOSE}: standardize names no model: {shown(unknown)}.")
    if not splits or any(split not in SPLITS for split in splits):
        raise ValueError(f"{PURPOSE}: splits must be of {SPLITS}, got {splits!r}.")
    if kinds is not None and len(kinds) != len(molecules.names):
        raise ValueError(
            f"{PURPOSE}: {len(kinds)} kinds for {len(molecules.names)} assays; one each."
        )
    if X is not None and len(X) != n_rows:
        raise ValueError(f"{PURPOSE}: X has {len(X)} rows for {n_rows} structures.")
    for name, features in models.items():
        if hasattr(features, "fit"):
            if X is None:
                raise ValueError(f"{PURPOSE}: model {name!r} is trained on X, which is None.")
            check_trained_before(name, features, PURPOSE)
        elif np.ndim(features) != 2 or len(features) != n_rows:
            raise ValueError(
                f"{PURPOSE}: the features of model {name!r} have shape {np.shape(features)}; "
                f"they must have a row for each of the {n_rows} structures."
            )


def check_numbers(confidence: float, n_bootstrap: int, cv: int, min_per_class: int) -> None:
    """Refuse what has no interval, fold or score, before hours of training and not after."""
    if not 0 < confidence < 1:
        raise ValueError(f"{PURPOSE}: confidence must be between 0 and 1, got {confidence!r}.")
    check_count(n_bootstrap, f"{PURPOSE}: n_bootstrap", minimum=FEWEST_RESAMPLES)
    check_count(cv, f"{PURPOSE}: cv", minimum=2)
    check_count(min_per_class, f"{PURPOSE}: min_per_class")


def check_enough(molecules: Molecules, min_per_class: int) -> np.ndarray:
    """Which assays have enough of both labels to be tried; at least one must."""
    Y = molecules.Y
    enough = ((Y == 1).sum(axis=0) >= min_per_class) & ((Y == 0).sum(axis=0) >= min_per_class)
    if not enough.any():
        raise ValueError(
            f"{PURPOSE}: none of the {len(enough)} assay(s) has {min_per_class} active and "
            f"{min_per_class} inactive molecules. Lower min_per_class, or bring more labels."
        )
    return enough
