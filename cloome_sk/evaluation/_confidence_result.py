"""What a study of confidence says of itself, above all where nothing can be promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.confidence.nested import SLACK
from cloome_sk.evaluation.forest import draw_forest
from cloome_sk.evaluation.result import StudyResult

CLASSES = "classes of unseen molecules"
COVERAGES = (0.8, 0.9, 0.95)
ALPHAS = (0.05, 0.1, 0.2)
LEVELS = (0.1, 0.2)
PER_QUERY = 0.1
"""The p at which molecules are found where nothing is corrected for the number of queries."""
DIRECTIONS = ("phenotype to molecule", "molecule to phenotype")


def found_part(direction: str) -> str:
    """The part in which the molecule of a query is among the candidates."""
    return f"hits of unseen molecules, {direction}"


def nothing_part(direction: str) -> str:
    """The part in which the molecule of a query is left out, so that every hit is wrong."""
    return f"{found_part(direction)}, own molecule left out"


@dataclass(frozen=True)
class ConfidenceStudy(StudyResult):
    """A study whose sentences also say whether what is promised is kept.

    Beside these it has the attributes of `StudyResult`.

    Attributes
    ----------
    n_calibration : tuple of (int, int)
        Fewest and most calibration molecules of a deal, for classes.
    n_calibration_hits : tuple of (int, int)
        The same for hits.
    n_queries : tuple of (int, int)
        Fewest and most molecules that look for theirs in a deal.
    n_deals : int
        Number of deals, over all folds.
    """

    n_calibration: tuple[int, int] = (0, 0)
    n_calibration_hits: tuple[int, int] = (0, 0)
    n_queries: tuple[int, int] = (0, 0)
    n_deals: int = 0

    def sentences(self) -> list[str]:
        """Say what was promised and found, and what the headline shows.

        Returns
        -------
        list of str
            One for each level of coverage, those of any study, and for each direction of search
            those about p and q.
        """
        own = self._own(CLASSES)
        out = []
        for level in COVERAGES:
            row = own.loc[f"coverage {level:.0%}"]
            if self._too_few(level):
                out.append(self._about_too_few(level))
                continue
            size = float(own["value"][f"set size {level:.0%}"])
            held = bool(row["high"] >= level)
            out.append(
                f"Sets of {self.model} that promise {level:.0%} hold the true class of "
                f"{self._kept(row, held, 'no less than', 'LESS THAN')}; mean size "
                f"{size:.1f} classes."
            )
        out += super().sentences()
        for direction in DIRECTIONS:
            if len(self._own(found_part(direction))):
                out.append(f"{direction}: {self._about_p(direction)}")
                out += [f"{direction}: {self._about_q(direction, level)}" for level in LEVELS]
                out.append(f"{direction}: {self._about_single(direction)}")
        return out

    def plot(self, metric: str | None = None) -> Any:
        """Draw one metric: a panel a part, a row a model, with intervals and chance.

        Parameters
        ----------
        metric : str, optional
            By default the headline; where too few molecules calibrate for it, the size of sets of
            the highest coverage that they allow for.

        Returns
        -------
        matplotlib.figure.Figure
            Not shown.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no such metric.
        """
        level = _level_of(self.headline)
        if metric is None and level is not None and self._too_few(level):
            allowed = [lower for lower in COVERAGES if not self._too_few(lower)]
            metric = f"set size {max(allowed):.0%}" if allowed else None
        return super().plot(metric)

    def plot_hits(self) -> Any:
        """Draw of the hits how often one is called without a match, and how often one is found.

        Returns
        -------
        matplotlib.figure.Figure
            Not shown. A panel a direction and figure, all of them shares of molecules.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If no model embeds molecules.
        """
        panels = []
        for direction in DIRECTIONS:
            found, single = found_part(direction), f"p <= {PER_QUERY:.0%}"
            for part, metric, title in (
                (nothing_part(direction), single, f"false alarms, {single}"),
                (found, f"found, {single}", f"own molecule found, {single}"),
                (
                    found,
                    f"found, q <= {LEVELS[-1]:.0%}",
                    f"own molecule found, q <= {LEVELS[-1]:.0%}",
                ),
            ):
                rows = self.scores[
                    (self.scores["part"] == part) & (self.scores["metric"] == metric)
                ]
                # No line break inside of "p <= 10%".
                level = title.rpartition(", ")[2]
                kept = title.replace(level, level.replace(" ", "\N{NO-BREAK SPACE}"))
                panels.append(rows.assign(part=f"{direction}: {kept}"))
        rows = pd.concat(panels)
        if not len(rows):
            raise ValueError("There are no hits to draw: no model embeds molecules.")
        return draw_forest(
            rows,
            metric="share of molecules",
            title=f"{self.name} in hits, {self.data}",
            model=self.model,
            unit=self.unit,
        )

    def _figures(self) -> dict[str, Any]:
        figures = super()._figures()
        if self.scores["part"].isin([found_part(direction) for direction in DIRECTIONS]).any():
            figures["_hits"] = self.plot_hits()
        return figures

    def _own(self, part: str) -> pd.DataFrame:
        """Figures of the model under test."""
        mine = (self.scores["model"] == self.model) & (self.scores["part"] == part)
        return self.scores[mine].set_index("metric")

    def _kept(self, row: Any, held: bool, well: str, badly: str) -> str:
        """A share with its interval, and whether that is what was promised."""
        if pd.isna(row["high"]):
            return f"{row['value']:.1%}, {int(row['n'])} {self.unit}(s), too few for an interval"
        return (
            f"{row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}] of molecules, "
            f"{well if held else badly} promised"
        )

    def _too_few(self, level: float) -> bool:
        """Whether no deal has the calibration molecules to exclude anything at this level."""
        return self.n_calibration[1] < fewest_molecules(level)

    def _about_too_few(self, level: float) -> str:
        return (
            f"{between(self.n_calibration)} calibration molecules cannot give a coverage of "
            f"{level:.0%}, which takes {fewest_molecules(level)}: every set holds every class, "
            "whatever the model."
        )

    def _about_p(self, direction: str) -> str:
        """Whether p is small no more often than it says, where there is nothing to find."""
        own = self._own(nothing_part(direction))
        said, beyond = [], []
        for alpha in ALPHAS:
            row, least = own.loc[f"p <= {alpha:.0%}"], fewest_molecules(1.0 - alpha)
            if self.n_calibration_hits[1] < least:
                beyond.append(f"p <= {alpha:.0%} takes {least}")
                continue
            held = not row["low"] > alpha + SLACK
            kept = self._kept(row, held, "no more than", "MORE THAN")
            said.append(f"p <= {alpha:.0%} for {kept}")
        out = f"where its own molecule is left out, the best hit of {self.model} has "
        out = f"{out}{'; '.join(said)}." if said else ""
        if beyond:
            n = between(self.n_calibration_hits)
            out = f"{out} {', '.join(beyond)} mismatched molecules, and there are {n}.".strip()
        return out

    def _about_single(self, direction: str) -> str:
        """What is found by a query that is the only one."""
        if self.n_calibration_hits[1] < fewest_molecules(1.0 - PER_QUERY):
            return f"p <= {PER_QUERY:.0%} cannot be had by a single query either."
        row = self._own(found_part(direction)).loc[f"found, p <= {PER_QUERY:.0%}"]
        return (
            f"not corrected for the number of queries, hits of {self.model} with p <= "
            f"{PER_QUERY:.0%} hold the own molecule of {row['value']:.1%}{_interval(row)} of "
            f"molecules (as many at random: {row['chance']:.1%})."
        )

    def _about_q(self, direction: str, level: float) -> str:
        """What is found at a level of q, and how much of it is wrong; or that nothing is."""
        own, least = self._own(found_part(direction)), fewest_molecules(1.0 - level)
        most = self.n_calibration_hits[1]
        n = between(self.n_calibration_hits)
        if most < least:
            return (
                f"no hit can have q <= {level:.0%}, which takes {least} mismatched molecules to "
                f"calibrate with; there are {n}, whatever the model."
            )
        found = own.loc[f"found, q <= {level:.0%}"]
        wrong = own.loc[f"queries wrong, q <= {level:.0%}"]
        if not wrong["n"]:
            needed = int(np.ceil(self.n_queries[1] / (level * (most + 1)) - SLACK))
            return (
                f"NO hit of {self.model} has q <= {level:.0%} in any of {self.n_deals} deals. With "
                f"{n} mismatched molecules p is {1 / (most + 1):.3f} at best, and {needed} of "
                f"{between(self.n_queries)} queries or more would have to reach that at once."
            )
        kept = ""
        if pd.notna(wrong["low"]):
            held = not wrong["low"] > level + SLACK
            kept = f"{_interval(wrong)}, {'no more than' if held else 'MORE THAN'} promised"
        value = own["value"].astype(float)
        share = float(value[f"hits wrong, q <= {level:.0%}"])
        n_deals = round(float(value[f"deals with a hit, q <= {level:.0%}"]) * self.n_deals)
        number = float(value[f"hits, q <= {level:.0%}"])
        return (
            f"{self.model} has hits with q <= {level:.0%} in {n_deals} of {self.n_deals} deals, "
            f"{number:.2f} a query over all. They hold the own molecule of {found['value']:.1%}"
            f"{_interval(found)} of molecules (as many at random: {found['chance']:.1%}). Of all "
            f"these hits {share:.1%} are wrong ({int(wrong['n'])} {self.unit}s have one). "
            "The share of queries with a wrong one among those with any is "
            f"{wrong['value']:.1%}{kept}, as a mean over deals, which counts those without hits "
            "as 0."
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


def between(counts: Sequence[int]) -> str:
    """Fewest to most, or the one number."""
    fewest, most = min(counts), max(counts)
    return f"{most}" if fewest == most else f"{fewest} to {most}"


def _interval(row: Any) -> str:
    return "" if pd.isna(row["low"]) else f" [{row['low']:.1%}, {row['high']:.1%}]"
