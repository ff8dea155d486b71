"""Two feature spaces on the same assays and series: which gain, which lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student
from scipy.stats import wilcoxon

from cloome_sk._tables import shown
from cloome_sk.evaluation._clustering_checks import NO_FAMILY
from cloome_sk.evaluation._clustering_study import benjamini_hochberg, jackknife_error
from cloome_sk.evaluation._comparison_plot import counted, draw_comparison
from cloome_sk.evaluation.clustering_result import ClusteringStudy, WrittenStudy
from cloome_sk.evaluation.units import differences_of, holm

PURPOSE = "study_clustering_comparison"
SHOWN = 8
FEWEST = 5
"""Units of a family that are compared by themselves."""


@dataclass(frozen=True)
class ClusteringComparison(WrittenStudy):
    """What `study_clustering_comparison` found.

    Attributes
    ----------
    first, second : str
        The two feature spaces; differences are first minus second.
    units : DataFrame, one row a study and unit, largest gain first
        ``study``, ``unit`` (name of the assay or series), ``family``, ``n`` members, ``first`` and
        ``second`` (normalised mAP), ``difference``, its ``se``, two-sided ``p``, ``p_holm`` and
        ``q`` over the units of the study, and ``verdict``: gains, loses, or not told apart.
    overall : DataFrame, one row a study, and one a family of it
        ``study``, ``family`` ("all" for the study), ``n`` units, ``n_gains``, ``n_loses``, mean
        ``difference`` with its interval ``low`` to ``high``, ``p`` (sign flips), ``p_wilcoxon``
        and ``p_holm`` of ``p``: of "all" over the studies, of families over those of the study.
    alpha : float
        Below this q a unit is said to gain or lose.
    notes : tuple of str
        How it was made.
    """

    first: str
    second: str
    units: pd.DataFrame
    overall: pd.DataFrame
    alpha: float = 0.05
    notes: tuple[str, ...] = ()

    def tables(self) -> dict[str, pd.DataFrame]:
        """Arrange the figures for reading.

        Returns
        -------
        dict of str to DataFrame
            The comparison of all, and the units of each study that differ most.
        """
        text = self.overall[["study", "family", "n", "n_gains", "n_loses"]].copy()
        text["difference"] = [
            f"{row['difference']:+.3f}"
            + ("" if pd.isna(row["low"]) else f" [{row['low']:+.3f}, {row['high']:+.3f}]")
            for row in self.overall.to_dict("records")
        ]
        for name in ("p", "p_wilcoxon", "p_holm"):
            text[name] = [f"{value:.2g}" for value in self.overall[name]]
        out = {f"{self.first} less {self.second}": text.set_index(["study", "family"])}
        for study, own in self.units.groupby("study", sort=False):
            most = own if len(own) <= 2 * SHOWN else pd.concat([own.head(SHOWN), own.tail(SHOWN)])
            rows = most[["unit", "n", "first", "second", "difference", "se"]].round(3)
            rows[["q", "verdict"]] = most[["q", "verdict"]]
            rows["q"] = [f"{value:.2g}" for value in rows["q"]]
            which = "largest gains and losses" if len(most) < len(own) else "gains and losses"
            named = rows.rename(columns={"first": self.first, "second": self.second})
            out[f"{study}, {which}"] = named.set_index("unit")
        return out

    def sentences(self) -> list[str]:
        """Say what the tables show, and no more.

        Returns
        -------
        list of str
            Sentences.
        """
        out = []
        for row in self.overall[self.overall["family"] == "all"].to_dict("records"):
            if pd.isna(row["p"]):
                continue
            told = "is not told apart from"
            if row["p_holm"] < self.alpha:
                told = "is above" if row["difference"] > 0 else "is below"
            units = counted(row["study"], row["n"])
            out.append(
                f"{row['study']}: {self.first} {told} {self.second} over {units} (normalised mAP "
                f"{row['difference']:+.3f}, p = {row['p_holm']:.2g}); {row['n_gains']} gain and "
                f"{row['n_loses']} lose by themselves (q < {self.alpha:g})."
            )
        return out

    def plot(self) -> Any:
        """Draw one space against the other, a panel a study and a point a unit.

        Returns
        -------
        matplotlib.figure.Figure
            Not shown.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return draw_comparison(
            self.units, self.overall, first=self.first, second=self.second, alpha=self.alpha
        )

    def _stem(self) -> str:
        return f"clustering-comparison_{self.first}_{self.second}"

    def _frames(self) -> dict[str, pd.DataFrame]:
        return {"": self.units, "_overall": self.overall}


def study_clustering_comparison(
    first: ClusteringStudy | Sequence[ClusteringStudy],
    second: ClusteringStudy | Sequence[ClusteringStudy],
    *,
    alpha: float = 0.05,
    random_state: int | np.random.RandomState | None = 0,
) -> ClusteringComparison:
    """Compare two feature spaces on the same assays and series, unit by unit.

    Parameters
    ----------
    first, second : ClusteringStudy or sequence of them
        One study, or a phenotype and a chemotype study, of each feature space, made of the same
        compounds, assays, memberships, groups and ``n``.
    alpha : float, default=0.05
        Units of q below it are said to gain or lose.
    random_state : int, RandomState or None, default=0
        Seed of sign flips and resamples.

    Returns
    -------
    ClusteringComparison
        Differences of all units together, and of each by itself.

    Raises
    ------
    ValueError
        If the studies are of other kinds, of other units, of other members, or of another ``n``.

    Notes
    -----
    *All units together*: differences of normalised mAP are paired by assay (series), tested by
    random signs and by Wilcoxon's signed-rank test; the interval resamples units. Both take units
    to be independent, which assays that share compounds are not quite: p is somewhat too small
    where many assays share their actives.

    *A unit by itself*: a t-test of the difference with a jackknife standard error over its members
    (groups of them, where given), both spaces losing the same one. It answers whether the
    difference would hold for other actives of the same assay. With few members it errs: of
    simulated spaces of one worth, 4 % of assays of 45 actives and 7 % of assays of 75, but 9 % of
    series of 12 members, had p below 0.05.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation import study_chemotype_clustering, study_clustering_comparison
    >>> rng = np.random.default_rng(0)
    >>> membership = np.arange(90)[:, None] // 10 == np.arange(6)
    >>> noise = rng.normal(size=(90, 20))
    >>> signal = noise + 2 * membership @ rng.normal(size=(6, 20))
    >>> studies = [
    ...     study_chemotype_clustering(Z, membership, model=name, n_permutations=99)
    ...     for name, Z in (("signal", signal), ("noise", noise))
    ... ]
    >>> found = study_clustering_comparison(*studies)
    >>> found.units["verdict"].unique().tolist()
    ['gains']
    """
    firsts = [first] if isinstance(first, ClusteringStudy) else list(first)
    seconds = [second] if isinstance(second, ClusteringStudy) else list(second)
    if not 0 < alpha < 1:
        raise ValueError(f"{PURPOSE}: alpha must lie between 0 and 1, got {alpha!r}.")
    kinds = [[one.name for one in studies] for studies in (firsts, seconds)]
    if not firsts or kinds[0] != kinds[1] or len(set(kinds[0])) != len(kinds[0]):
        raise ValueError(
            f"{PURPOSE}: first and second must be the same kinds of study in one order, each once; "
            f"got {kinds[0]} and {kinds[1]}."
        )
    names = _model(firsts, "first"), _model(seconds, "second")
    if names[0] == names[1]:
        raise ValueError(
            f"{PURPOSE}: both feature spaces are called {names[0]!r}; give model= another name."
        )
    units = pd.concat(
        [_compared(one, other, alpha) for one, other in zip(firsts, seconds, strict=True)],
        ignore_index=True,
    )
    overall = _overall(units, names, random_state)
    notes = (
        "Normalised mAP, (AP − chance) / (1 − chance), paired by unit. Together: random signs, "
        "Wilcoxon's signed ranks, intervals that resample units; Holm over the studies, and over "
        "the families of a study. Units share compounds, which these tests do not know.",
        "Each unit: t-test with a jackknife error over its members; q by Benjamini-Hochberg.",
    )
    return ClusteringComparison(*names, units, overall, float(alpha), notes)


def _model(studies: list[ClusteringStudy], which: str) -> str:
    names = {one.model for one in studies}
    if len(names) > 1:
        raise ValueError(
            f"{PURPOSE}: the studies of {which} are of several feature spaces: "
            f"{shown(sorted(names))}."
        )
    return names.pop()


def _compared(one: ClusteringStudy, other: ClusteringStudy, alpha: float) -> pd.DataFrame:
    """Differences of the units of one kind of study, with error and verdict."""
    unit = one.unit
    keys = [unit, "compound", "group", "n_positives", "n_candidates"]
    order = [unit, "compound"]
    mine, theirs = (
        study.queries.sort_values(order, kind="stable", ignore_index=True) for study in (one, other)
    )
    if len(mine) != len(theirs) or not mine[keys].equals(theirs[keys]):
        only = set(one.table[unit]) ^ set(other.table[unit])
        detail = (
            f"only one has {shown(sorted(map(str, only)), 5)}"
            if only
            else ("their members, groups or ranked compounds differ")
        )
        raise ValueError(
            f"{PURPOSE}: the two {one.name} studies are not of the same {unit}s: {detail}. Run "
            "both on the same compounds, labels and groups."
        )
    # Of the same candidates and positives, chance differs by the places looked at.
    apart = ~np.isclose(mine["chance"], theirs["chance"], rtol=1e-9, atol=0, equal_nan=True)
    if apart.any():
        first = int(np.flatnonzero(apart)[0])
        raise ValueError(
            f"{PURPOSE}: the two {one.name} studies look at other numbers of places: for the same "
            f"query of {mine[unit][first]!r}, chance is {mine['chance'][first]:.4g} and "
            f"{theirs['chance'][first]:.4g}. Run both with one n=."
        )
    rows = one.table.merge(other.table, on=unit, suffixes=("", "_second"))
    # Without a member, both spaces rank the same compounds, so that chance is the same for both.
    scale = rows.set_index(unit)["chance"].rsub(1.0)
    apart = mine.assign(without=mine["map_without"] - theirs["map_without"])
    values = []
    for name, own in apart.groupby(unit, sort=False):
        n = own["group"].nunique()
        error = jackknife_error(own["without"], own["group"]) / scale[name]
        values.append((name, len(own), error, n))
    errors = pd.DataFrame(values, columns=[unit, "n", "se", "n_groups"])
    rows = rows.drop(columns="se").merge(errors, on=unit)
    table = pd.DataFrame(
        {
            "study": one.name,
            "unit": rows[unit],
            "family": rows["family"],
            "n": rows["n"],
            "first": rows["normalized_map"],
            "second": rows["normalized_map_second"],
        }
    )
    table["difference"] = table["first"] - table["second"]
    table["se"] = rows["se"]
    table["p"] = _t_test(table["difference"], rows["se"], rows["n_groups"])
    table["p_holm"] = holm(table["p"].to_numpy())
    table["q"] = benjamini_hochberg(table["p"].to_numpy())
    told = table["q"] < alpha
    table["verdict"] = np.where(
        told, np.where(table["difference"] > 0, "gains", "loses"), "not told apart"
    )
    return table.sort_values("difference", ascending=False, kind="stable", ignore_index=True)


def _t_test(difference: pd.Series, error: pd.Series, n_groups: pd.Series) -> np.ndarray:
    """Two-sided p; 1 where both spaces agree to the bit, NaN without an error."""
    apart, spread = difference.to_numpy(), error.to_numpy()
    p = np.full(len(apart), np.nan)
    moves = spread > 1e-12
    with np.errstate(invalid="ignore"):
        p[moves] = 2 * student.sf(np.abs(apart[moves]) / spread[moves], n_groups[moves] - 1)
    p[~moves & (np.abs(apart) < 1e-12)] = 1.0
    return p


def _overall(units: pd.DataFrame, names: tuple[str, str], random_state: Any) -> pd.DataFrame:
    """All units of a study, and those of a family, tested together."""
    rows: list[dict[str, Any]] = []
    for study, own in units.groupby("study", sort=False):
        parts = [("all", own)]
        families = own.groupby("family", sort=True)
        if families.ngroups > 1 or own["family"].iloc[0] != NO_FAMILY:
            parts += [(str(name), part) for name, part in families if len(part) >= FEWEST]
        of_study = [
            {"study": study, "family": family, **_together(part, names, random_state)}
            for family, part in parts
        ]
        for row, p in zip(of_study[1:], holm([row["p"] for row in of_study[1:]]), strict=True):
            row["p_holm"] = p
        rows += of_study
    table = pd.DataFrame(rows)
    every = table["family"] == "all"
    table.loc[every, "p_holm"] = holm(table.loc[every, "p"].to_numpy())
    return table


def _together(part: pd.DataFrame, names: tuple[str, str], random_state: Any) -> dict[str, Any]:
    columns = {"part": "all", "metric": "normalised mAP", "chance": 0.0, "unit": part["unit"]}
    long = pd.concat(
        [
            pd.DataFrame({**columns, "model": name, "value": part[side]})
            for side, name in zip(("first", "second"), names, strict=True)
        ]
    )
    found = differences_of(long, names[0], random_state=random_state).iloc[0]
    apart = part["difference"].dropna().to_numpy()
    ranks = np.nan
    if np.abs(apart).max(initial=0.0) > 0:
        ranks = float(wilcoxon(apart).pvalue)
    return {
        "n": len(apart),
        "n_gains": int((part["verdict"] == "gains").sum()),
        "n_loses": int((part["verdict"] == "loses").sum()),
        **{name: float(found[name]) for name in ("difference", "low", "high", "p")},
        "p_wilcoxon": ranks,
        "p_holm": np.nan,
    }
