"""What a picture of chemical series says of each, from the studies that were made of them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pandas as pd

from cloome_sk._tables import shown

PURPOSE = "plot_series"
LETTERS = 42
"""Of a line of a caption."""

N_ASSAYS = 4
"""Assays that are named; how many more there are is said."""

Say = Callable[[str], list[str]]


class Scored(Protocol):
    """A ClusteringStudy, as far as it is read here."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a series."""

    @property
    def excluded(self) -> pd.DataFrame:
        """Series that are not scored, and the reason."""


class Overlapping(Protocol):
    """A BioactivityOverlap, as far as it is read here."""

    @property
    def pairs(self) -> pd.DataFrame:
        """One row a series and assay."""

    @property
    def excluded(self) -> pd.DataFrame:
        """Series that are not looked at, and the reason."""


def of_clustering(clustering: Any, series: Sequence[str]) -> Say:
    """Lines on how close the members of a series are to each other."""
    table, reasons = _parts(
        clustering,
        "table",
        ("series", "normalized_map", "q"),
        "clustering",
        "study_chemotype_clustering",
        series,
    )
    rows = table.set_index("series")

    def say(name: str) -> list[str]:
        if name not in rows.index:
            return textwrap.wrap(f"mAP not scored{_because(reasons.get(name))}", LETTERS)
        row = rows.loc[name]
        return [f"normalised mAP {row['normalized_map']:.2f}, q {row['q']:.2g}"]

    return say


def of_overlap(overlap: Any, series: Sequence[str]) -> Say:
    """Lines on the assays most of whose tested members of a series are active."""
    table, reasons = _parts(
        overlap,
        "pairs",
        ("series", "assay", "n_active", "n_tested", "overlaps"),
        "overlap",
        "study_bioactivity_overlap",
        series,
    )

    def say(name: str) -> list[str]:
        own = table[table["series"] == name]
        if own.empty:
            return textwrap.wrap(f"assays not looked at{_because(reasons.get(name))}", LETTERS)
        found = own[own["overlaps"].astype(bool)]
        if found.empty:
            s = "" if len(own) == 1 else "s"
            return textwrap.wrap(
                f"no overlap with {'any of ' if s else ''}{len(own)} assay{s}", LETTERS
            )
        lines = ["active of tested members in"]
        for row in found.head(N_ASSAYS).to_dict("records"):
            counts = f": {row['n_active']} of {row['n_tested']}"
            lines.append(f"  {shortened(str(row['assay']), LETTERS - 2 - len(counts))}{counts}")
        more = len(found) - N_ASSAYS
        return lines + ([f"  and {more} more assay{'' if more == 1 else 's'}"] if more > 0 else [])

    return say


def shortened(text: str, letters: int) -> str:
    """A text cut to a length, which it says it is."""
    return text if len(text) <= letters else text[: letters - 1].rstrip(" ,") + "…"


def _parts(
    study: Any,
    attribute: str,
    needed: tuple[str, ...],
    argument: str,
    source: str,
    series: Sequence[str],
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table of a study, and why it leaves series out; refused if it is of other series."""
    table = study if isinstance(study, pd.DataFrame) else getattr(study, attribute, None)
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"{PURPOSE}: {argument} must be what {source} returned, or its table "
            f"`{attribute}`, got {type(study).__name__}."
        )
    lacking = [name for name in needed if name not in table]
    if lacking:
        raise ValueError(
            f"{PURPOSE}: {argument} lacks the column(s) {', '.join(lacking)}: pass what {source} "
            f"returned, or its table `{attribute}`."
        )
    key = [name for name in ("series", "assay") if name in needed]
    twice = table.loc[table.duplicated(key), key]
    if len(twice):
        raise ValueError(
            f"{PURPOSE}: {argument} has more than one row of {shown(twice.iloc[0])}: pass the "
            "table of one study."
        )
    excluded = getattr(study, "excluded", None)
    reasons = {}
    if isinstance(excluded, pd.DataFrame) and {"series", "reason"} <= set(excluded):
        reasons = dict(zip(excluded["series"], excluded["reason"], strict=True))
    known = {*table["series"], *reasons}
    # A table alone does not name the series that were left out; a study names every one.
    unknown = [name for name in series if name not in known]
    if unknown and (table is not study or len(unknown) == len(series)):
        raise ValueError(
            f"{PURPOSE}: {argument} has no series {shown(unknown, 5)}; it has "
            f"{shown(known, 5) or 'none'}. Give {source} the membership that this ChemicalSeries "
            "found, with names=finder.get_feature_names_out()."
        )
    return table, reasons


def _because(reason: Any) -> str:
    return "" if reason is None or pd.isna(reason) or not reason else f": {reason}"
