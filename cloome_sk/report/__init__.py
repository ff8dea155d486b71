"""Pictures a person looks at."""

from __future__ import annotations

from cloome_sk.report.hits import plot_hits

__all__ = ["plot_hits"]
