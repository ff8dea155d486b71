"""Honest splits: groups for scikit-learn's splitters, and a report of what a split leaks."""

from __future__ import annotations

from cloome_sk.model_selection.groups import (
    cluster_groups,
    molecule_groups,
    plate_groups,
    scaffold_groups,
)
from cloome_sk.model_selection.leakage import leakage_report
from cloome_sk.model_selection.leakage_result import LeakageReport

__all__ = [
    "LeakageReport",
    "cluster_groups",
    "leakage_report",
    "molecule_groups",
    "plate_groups",
    "scaffold_groups",
]
