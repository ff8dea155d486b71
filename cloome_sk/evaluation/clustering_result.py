"""What a clustering study gives back: assays, or series, ranked by how close their actives are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.evaluation._clustering_checks import NO_FAMILY
from cloome_sk.evaluation._clustering_plot import draw_clustering

SHOWN = 15
"""Rows of a table in the report."""


class WrittenStudy(ABC):
    """What the studies of clustering share: a report of notes, tables and sentences, and files."""

    notes: tuple[str, ...]

    @abstractmethod
    def tables(self) -> dict[str, pd.DataFrame]:
        """Arrange the figures for reading."""

    @abstractmethod
    def sentences(self) -> list[str]:
        """Say what the tables show."""

    @abstractmethod
    def plot(self) -> Any:
        """Draw the figure."""

    @abstractmethod
    def _stem(self) -> str:
        """What the names of files begin with."""

    @abstractmethod
    def _frames(self) -> dict[str, pd.DataFrame]:
        """What `write` makes a CSV file of, by the ending of its name."""

    def report(self) -> str:
        """Write everything down.

        Returns
        -------
        str
            How it was made, the tables, and what they say.
        """
        sections = [("How it was made", "\n".join(self.notes))]
        sections += [(title, table.to_string()) for title, table in self.tables().items()]
        sections.append(("What it says", "\n".join(self.sentences())))
        lines: list[str] = []
        for title, body in sections:
            lines += ["", title, "-" * len(title), body]
        return "\n".join(lines).removeprefix("\n")

    def write(self, folder: str | PathLike[str]) -> list[Path]:
        """Write tables as CSV and the figure as PNG.

        Parameters
        ----------
        folder : path-like
            Made where it is not there. Files of the same names are replaced.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ImportError
            If matplotlib is not installed; nothing is written then.
        """
        figure = self.plot()
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        # In a file's name, no space and no slash.
        stem = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in self._stem())
        written = []
        for ending, frame in self._frames().items():
            written.append(where / f"{stem}{ending}.csv")
            frame.to_csv(written[-1], index=False)
        written.append(where / f"{stem}.png")
        figure.savefig(written[-1], dpi=150)
        return written


@dataclass(frozen=True)
class ClusteringStudy(WrittenStudy):
    """What `study_phenotype_clustering` or `study_chemotype_clustering` found.

    Attributes
    ----------
    name : str
        ``phenotype-clustering`` or ``chemotype-clustering``.
    data, model : str
        What it was run on, and whose features they are.
    unit : {"assay", "series"}
        What is ranked.
    table : DataFrame, one row a unit, best first
        The unit's name, its ``family``, its counts, ``map``, ``chance`` (of a random ranking),
        ``normalized_map`` (mean of (AP − chance) / (1 − chance)), ``se`` of that, permutation
        ``p``, ``p_holm`` and ``q`` (Benjamini-Hochberg) over all units, ``n_queries``, ``rank`` and
        ``top``.
    queries : DataFrame, one row a unit and member
        ``compound`` (row number), ``group``, ``average_precision``, ``chance``, ``n_positives``,
        ``n_candidates`` and ``map_without``, the mean were this member's group not there.
    families : DataFrame, one row a family
        ``n`` units, ``n_found`` of q below `alpha`, ``n_top``, mean ``normalized_map``.
    excluded : DataFrame, one row a unit that is not scored
        Its counts and the ``reason``.
    notes : tuple of str
        How it was measured.
    alpha : float
        Below this q a unit is said to be found.
    """

    name: str
    data: str
    model: str
    unit: str
    table: pd.DataFrame
    queries: pd.DataFrame
    families: pd.DataFrame
    excluded: pd.DataFrame
    notes: tuple[str, ...] = ()
    alpha: float = 0.05

    @property
    def found(self) -> list[Any]:
        """Units of q below alpha, best first."""
        return self.table.loc[self.table["q"] < self.alpha, self.unit].tolist()

    def tables(self) -> dict[str, pd.DataFrame]:
        """Arrange the figures for reading.

        Returns
        -------
        dict of str to DataFrame
            The best units, with figures as text; then the families, where there are any.
        """
        rows = self.table.head(SHOWN)
        counts = [name for name in rows.columns if name != "n_queries" and name.startswith("n_")]
        best = rows[[self.unit]].copy()
        if (self.table["family"] != NO_FAMILY).any():
            best["family"] = rows["family"]
        best[counts] = rows[counts]
        for name in ("map", "chance", "normalized_map"):
            best[name] = [f"{value:.3f}" for value in rows[name]]
        for name in ("p", "q"):
            best[name] = [f"{value:.2g}" for value in rows[name]]
        units = self._units(len(self.table))
        title = f"{units}, by normalised mAP"
        if len(self.table) > SHOWN:
            title = f"The best {SHOWN} of {title}"
        out = {title: best.set_index(self.unit)}
        if (self.families["family"] != NO_FAMILY).any():
            out["By family"] = self.families.round({"normalized_map": 3}).set_index("family")
        return out

    def sentences(self) -> list[str]:
        """Say what the table shows, and no more.

        Returns
        -------
        list of str
            Sentences.
        """
        n, found = len(self.table), self.found
        noun = self.unit if self.unit == "series" or n != 1 else "assay"
        out = [
            f"{self.model}: the members of {len(found)} of {self._units(n)} are closer to each "
            f"other than those of random sets (q < {self.alpha:g})."
        ]
        top = self.table[self.table["top"]]
        if len(top):
            out.append(
                f"The top {noun}{'' if len(top) == 1 or noun == 'series' else 's'} by normalised "
                f"mAP: {shown(top[self.unit], 5)} "
                f"(from {top['normalized_map'].max():.3f} to {top['normalized_map'].min():.3f}; "
                f"median of all {self.table['normalized_map'].median():.3f})."
            )
        return out

    def plot(self) -> Any:
        """Draw the best units with their chance, all of them in order, and families.

        Returns
        -------
        matplotlib.figure.Figure
            Not shown.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return draw_clustering(
            self.table,
            self.families,
            unit=self.unit,
            alpha=self.alpha,
            title=f"{self.name}, {self.model}, {self.data}",
        )

    def _stem(self) -> str:
        return f"{self.name}_{self.model}_{self.data}"

    def _frames(self) -> dict[str, pd.DataFrame]:
        return {"": self.table, "_families": self.families, "_excluded": self.excluded}

    def _units(self, n: int) -> str:
        return f"{n:,} {self.unit}{'' if n == 1 or self.unit == 'series' else 's'}"
