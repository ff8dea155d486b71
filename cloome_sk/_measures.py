"""What is measured on held-out pairs after each epoch."""

from __future__ import annotations

KS = (1, 5, 10)

LARGER_IS_BETTER = {f"valid_R@{k}": True for k in KS} | {
    "valid_relative_rank": False,
    "valid_median_rank": False,
    "valid_objective": False,
}
"""The measures, and in which direction they are good."""
