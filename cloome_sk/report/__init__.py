"""Pictures a person looks at."""

from __future__ import annotations

from cloome_sk.report.hits import plot_hits
from cloome_sk.report.series import plot_series
from cloome_sk.report.structures import plot_structures

__all__ = ["plot_hits", "plot_series", "plot_structures"]
