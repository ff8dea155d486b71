"""What a study of confidence says of itself, above all where nothing can be promised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.confidence.nested import SLACK
from cloome_sk.evaluation.result import StudyResult

COVERAGES = (0.8, 0.9, 0.95)


@dataclass(frozen=True)
class ConfidenceStudy(StudyResult):
    """A study whose sentences also say whether the sets cover what they promise.

    Beside these it has the attributes of `StudyResult`.

    Attributes
    ----------
    n_calibration : tuple of (int, int)
        Fewest and most calibration molecules of a deal.
    """

    n_calibration: tuple[int, int] = (0, 0)

    def sentences(self) -> list[str]:
        """Say what coverage was promised and found, and what the headline shows.

        Returns
        -------
        list of str
            One for each level of coverage, then those of any study.
        """
        own = self.scores[self.scores["model"] == self.model].set_index("metric")
        out = []
        for level in COVERAGES:
            row = own.loc[f"coverage {level:.0%}"]
            if self._too_few(level):
                out.append(self._about_too_few(level))
                continue
            size = float(own["value"][f"set size {level:.0%}"])
            if pd.isna(row["high"]):
                kept = f", {int(row['n'])} {self.unit}(s), too few for an interval"
            else:
                less = "no less than" if row["high"] >= level else "LESS THAN"
                kept = f" [{row['low']:.1%}, {row['high']:.1%}] of molecules, {less} promised"
            out.append(
                f"Sets of {self.model} that promise {level:.0%} hold the true class of "
                f"{row['value']:.1%}{kept}; mean size {size:.1f} classes."
            )
        return out + super().sentences()

    def _too_few(self, level: float) -> bool:
        """Whether no deal has the calibration molecules to exclude anything at this level."""
        return self.n_calibration[1] < fewest_molecules(level)

    def _about_too_few(self, level: float) -> str:
        fewest, most = self.n_calibration
        n = f"{most}" if fewest == most else f"{fewest} to {most}"
        return (
            f"{n} calibration molecules cannot give a coverage of {level:.0%}, which takes "
            f"{fewest_molecules(level)}: every set holds every class, whatever the model."
        )

    def _about_chance(self, row: Any) -> str:
        level = _level_of(self.headline)
        if level is not None and self._too_few(level):
            return f"{self._about_too_few(level)} {self.headline} says nothing of {self.model}."
        return super()._about_chance(row)

    def _about_others(self, part: str) -> str:
        level = _level_of(self.headline)
        if level is not None and self._too_few(level):
            return ""
        return super()._about_others(part)


def fewest_molecules(level: float) -> int:
    """Number of calibration molecules below which no class can be excluded at a coverage.

    Parameters
    ----------
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    int
        ``ceil(1 / (1 - level) - 1)``.

    Examples
    --------
    >>> from cloome_sk.evaluation._confidence_result import fewest_molecules
    >>> [fewest_molecules(level) for level in (0.8, 0.9, 0.95)]
    [4, 9, 19]
    """
    return int(np.ceil(1.0 / (1.0 - level) - 1.0 - SLACK))


def _level_of(metric: str) -> float | None:
    """The coverage that a metric of sets is of."""
    return next((level for level in COVERAGES if metric == f"set size {level:.0%}"), None)
