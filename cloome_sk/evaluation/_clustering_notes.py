"""What the clustering studies say about how they were made, and their families in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.evaluation._clustering_checks import n_same
from cloome_sk.evaluation._clustering_study import Asked


def about_sets(
    asked: Asked, features: Any, metric: str, grouped: bool, still: Sequence[Any], unit: str
) -> list[str]:
    """Features, groups, permutations, and what may be read wrongly."""
    how = "a function's similarities" if callable(features) else f"{metric} similarity"
    notes = [
        f"{how.capitalize()}; ties by expectation, chance exact; p from {asked.n_permutations:,} "
        f"random sets, scored in full (none is below {1 / (asked.n_permutations + 1):.2g})."
    ]
    if grouped:
        n_groups = len(np.unique(asked.groups))
        notes.append(
            f"The compounds are {n_groups:,} groups; a query does not rank its own group, and "
            "random sets move groups of one size as a whole."
        )
    same = n_same(features, asked.groups)
    if same:
        notes.append(
            f"{same:,} compounds have exactly the features of another one"
            + (" of another group" if grouped else "")
            + ": if these are copies of a molecule, they find each other whatever the features "
            "are worth. Pass groups= to leave a query's copies out."
        )
    if still:
        notes.append(
            f"Of {len(still)} {unit}(s), no random set can differ from the observed one, since "
            f"{_why_still(grouped, bool(asked.strata.any()))}; their p is 1 and says nothing: "
            f"{shown(still, 5)}."
        )
    return notes


def _why_still(grouped: bool, matched: bool) -> str:
    """What keeps the members of a set in their places."""
    if grouped and matched:
        return "no other groups have the sizes and the bins (`match`) of theirs"
    if grouped:
        return "no other groups have the sizes of theirs"
    return "their bins (`match`) hold no other compounds"


def about_resolution(n_permutations: int, n_units: int, alpha: float, unit: str) -> list[str]:
    """Say so where too few permutations keep what is there from being found."""
    least = 1 / (n_permutations + 1)
    # The smallest q of k units that share the smallest p is n_units * least / k.
    needed = int(np.floor(n_units * least / alpha)) + 1
    if needed <= 1:
        return []
    plural = unit if unit == "series" else f"{unit}s"
    return [
        f"With {n_permutations:,} random sets and {n_units} {plural}, no fewer than {needed} can "
        "be found together; raise n_permutations to find fewer."
    ]


def count_families(table: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Units, found ones and top ones of each family, those with most found first."""
    counted = table.assign(found=table["q"] < alpha).groupby("family", sort=True)
    out = counted.agg(
        n=("found", "size"),
        n_found=("found", "sum"),
        n_top=("top", "sum"),
        normalized_map=("normalized_map", "mean"),
    )
    out = out.reset_index()
    return out.sort_values(
        ["n_found", "normalized_map"], ascending=False, kind="stable", ignore_index=True
    )
