"""Series by assays: how many members are tested and active, and how unlikely that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.stats import binom, hypergeom

from cloome_sk.evaluation._clustering_study import benjamini_hochberg
from cloome_sk.evaluation.units import holm

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Pairs:
    """Counts, each of shape (n_series, n_assays), or one an assay."""

    n_tested: np.ndarray
    n_active: np.ndarray
    assay_tested: np.ndarray
    assay_active: np.ndarray


@dataclass(frozen=True)
class Grouped:
    """A table of compounds as one of groups.

    Attributes
    ----------
    membership : csr_array of bool, shape (n_groups, n_series)
    labels : ndarray of float, shape (n_groups, n_assays)
    n_tested, n_conflicts, n_even : int
        Results of groups with several tested rows; those whose rows disagree; of these, those with
        as many active rows as inactive ones.
    n_partly : int
        Groups of which some rows are in a series and others are not, counted for each series.
    """

    membership: csr_array
    labels: np.ndarray
    n_tested: int
    n_conflicts: int
    n_even: int
    n_partly: int


def by_groups(membership: Any, labels: np.ndarray, codes: np.ndarray) -> Grouped:
    """One row a group: in the series of any of its rows, active where most tested rows are."""
    n_rows, n_groups = len(codes), int(codes.max()) + 1
    rows = (np.ones(n_rows, dtype=np.int64), (codes, np.arange(n_rows)))
    turned = csr_array(rows, shape=(n_groups, n_rows))
    sizes = np.bincount(codes, minlength=n_groups)
    members = turned @ membership.astype(np.int64)
    of_member = np.repeat(sizes, np.diff(members.indptr))
    tested = turned @ (~np.isnan(labels)).astype(np.int64)
    active = turned @ (labels == 1).astype(np.int64)
    apart = (active > 0) & (active < tested)
    merged = np.where(tested > 0, (2 * active > tested).astype(float), np.nan)
    return Grouped(
        members.astype(bool),
        merged,
        n_tested=int((tested > 1).sum()),
        n_conflicts=int(apart.sum()),
        n_even=int((apart & (2 * active == tested)).sum()),
        n_partly=int((members.data < of_member).sum()),
    )


def told_pairs(membership: Any, labels: np.ndarray) -> Pairs:
    """Count tested and active members of every series in every assay."""
    tested, active = ~np.isnan(labels), labels == 1
    # Counts of numbers, as a product of bools would be a bool.
    turned = membership.T.astype(np.int64)
    return Pairs(
        np.asarray(turned @ tested.astype(np.int64)),
        np.asarray(turned @ active.astype(np.int64)),
        tested.sum(axis=0),
        active.sum(axis=0),
    )


def pair_table(
    counts: Pairs,
    series: Sequence[Any],
    figures: np.ndarray,
    assays: Sequence[Any],
    families: Sequence[str],
    *,
    min_tested: int,
    active_share: float,
) -> pd.DataFrame:
    """One row a pair with enough tested members, overlaps first, then by p."""
    row, column = np.nonzero(counts.n_tested >= min_tested)
    tested, active = counts.n_tested[row, column], counts.n_active[row, column]
    of_assay, hits = counts.assay_tested[column], counts.assay_active[column]
    # More than the share: one more than the whole number below it, 3 of 5 being no more than 0.6.
    needed = np.floor(active_share * tested + _ROUNDING).astype(np.int64)
    table = pd.DataFrame(
        {
            "series": pd.Series([series[at] for at in row.tolist()], dtype=object).infer_objects(),
            "map": figures[row],
            "assay": pd.Series(
                [assays[at] for at in column.tolist()], dtype=object
            ).infer_objects(),
            "family": [families[at] for at in column.tolist()],
            "n_tested": tested,
            "n_active": active,
            "share": active / np.maximum(tested, 1),
            "base_rate": hits / np.maximum(of_assay, 1),
            "expected": hypergeom.sf(needed, of_assay, hits, tested),
            "p": np.clip(hypergeom.sf(active - 1, of_assay, hits, tested), 0.0, 1.0),
            "p_binomial": binom.sf(active - 1, tested, hits / np.maximum(of_assay, 1)),
        }
    )
    table["p_holm"] = holm(table["p"].to_numpy())
    table["q"] = benjamini_hochberg(table["p"].to_numpy())
    table["overlaps"] = active > needed
    return table.sort_values(
        ["overlaps", "p", "share"],
        ascending=[False, True, False],
        kind="stable",
        ignore_index=True,
    )


def families_of_pairs(pairs: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Counts of each family of assays, those with most overlaps first."""
    rows = []
    for family, own in pairs.groupby("family", sort=True):
        overlaps = own[own["overlaps"]]
        rows.append(
            {
                "family": family,
                "n_pairs": len(own),
                "n_overlaps": len(overlaps),
                "expected": own["expected"].sum(),
                "n_series": overlaps["series"].nunique(),
                "n_assays": overlaps["assay"].nunique(),
                "n_found": int((overlaps["q"] < alpha).sum()),
            }
        )
    columns = ["family", "n_pairs", "n_overlaps", "expected", "n_series", "n_assays", "n_found"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("n_overlaps", ascending=False, kind="stable", ignore_index=True)
