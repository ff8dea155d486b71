"""What the series that look alike under the microscope are active in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.evaluation._clustering_checks import (
    NO_FAMILY,
    assay_labels,
    check_same_rows,
    families_of,
    memberships,
)
from cloome_sk.evaluation._clustering_study import group_codes
from cloome_sk.evaluation._overlap_plot import draw_overlap
from cloome_sk.evaluation._overlap_tables import (
    Grouped,
    by_groups,
    families_of_pairs,
    pair_table,
    told_pairs,
)
from cloome_sk.evaluation.clustering_result import ClusteringStudy, WrittenStudy
from cloome_sk.metrics._checks import check_count

PURPOSE = "study_bioactivity_overlap"
SHOWN = 20


@dataclass(frozen=True)
class BioactivityOverlap(WrittenStudy):
    """What `study_bioactivity_overlap` found.

    Attributes
    ----------
    data : str
        What it was run on.
    pairs : DataFrame, one row a series and assay with enough tested members
        ``series``, ``map``, ``assay``, ``family``, ``n_tested`` and ``n_active`` members, their
        ``share``, ``base_rate`` (share of actives among all tested compounds of the assay),
        ``expected`` (probability that as many random tested compounds reach the cut), ``p``
        (Fisher's exact test, one-sided), ``p_binomial``, ``p_holm`` and ``q``
        (Benjamini-Hochberg) of ``p`` over all pairs, and ``overlaps``: whether the share is above
        the cut. Overlaps first, then by p. Members and compounds are groups of rows where these
        were given. Empty where no series is above the cut.
    families : DataFrame, one row a family of assays
        ``n_pairs``, ``n_overlaps``, how many are ``expected`` of random compounds, ``n_series`` and
        ``n_assays`` with an overlap, ``n_found`` overlaps of q below `alpha`.
    excluded : DataFrame, one row a series
        Series that are not looked at, and the ``reason``.
    map_cut, active_share, alpha : float
        Cuts.
    notes : tuple of str
        How it was made.
    """

    data: str
    pairs: pd.DataFrame
    families: pd.DataFrame
    excluded: pd.DataFrame
    map_cut: float
    active_share: float
    alpha: float
    notes: tuple[str, ...] = ()

    @property
    def overlaps(self) -> pd.DataFrame:
        """The pairs whose share of actives is above the cut."""
        return self.pairs[self.pairs["overlaps"]].reset_index(drop=True)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Arrange the figures for reading.

        Returns
        -------
        dict of str to DataFrame
            The overlaps of smallest p, and the families.
        """
        if not len(self.pairs):
            return {}
        rows = self.overlaps.head(SHOWN)
        text = rows[["series", "assay"]].copy()
        if (self.pairs["family"] != NO_FAMILY).any():
            text["family"] = rows["family"]
        text["active"] = [
            f"{active} of {tested}"
            for active, tested in zip(rows["n_active"], rows["n_tested"], strict=True)
        ]
        for name in ("base_rate", "map"):
            text[name] = [f"{value:.3f}" for value in rows[name]]
        for name in ("p", "q"):
            text[name] = [f"{value:.2g}" for value in rows[name]]
        n = len(self.overlaps)
        title = f"{'The first ' + str(SHOWN) + ' of ' if n > SHOWN else ''}{n:,} overlaps, by p"
        families = self.families.round({"expected": 2}).set_index("family")
        return {title: text.set_index("series"), "By family": families}

    def sentences(self) -> list[str]:
        """Say what the tables show, and no more.

        Returns
        -------
        list of str
            Sentences.
        """
        if not len(self.pairs):
            return [self._nothing()]
        own, n_series = self.overlaps, self.pairs["series"].nunique()
        found = own[own["q"] < self.alpha]
        out = [
            f"Of {n_series} series of mAP above {self.map_cut:g}, {own['series'].nunique()} have "
            f"more than {100 * self.active_share:g} % actives in at least one of "
            f"{self.pairs['assay'].nunique()} assays: {len(own)} of {len(self.pairs):,} pairs, "
            f"where {self.pairs['expected'].sum():.1f} are expected of random compounds.",
            f"{len(found)} of them have more actives than the assay's other compounds "
            f"(q < {self.alpha:g}).",
        ]
        if len(found):
            best = [
                f"{row['series']} in {row['assay']}" for row in found.head(5).to_dict("records")
            ]
            out.append(f"Of smallest p: {'; '.join(best)}.")
        return out

    def plot(self) -> Any:
        """Draw series by assays, with the share of actives, and counts by family.

        Returns
        -------
        matplotlib.figure.Figure
            Not shown.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return draw_overlap(
            self.pairs,
            self.families,
            active_share=self.active_share,
            alpha=self.alpha,
            title=f"bioactivity overlap, {self.data}",
            nothing="" if len(self.pairs) else self._nothing(),
        )

    def _stem(self) -> str:
        return f"bioactivity-overlap_{self.data}"

    def _frames(self) -> dict[str, pd.DataFrame]:
        return {"": self.pairs, "_families": self.families, "_excluded": self.excluded}

    def _nothing(self) -> str:
        """Say that no series is above the cut, and how close the closest comes."""
        known = self.excluded.dropna(subset="map")
        most = "none has one"
        if len(known):
            best = known.sort_values("map").to_dict("records")[-1]
            most = f"the highest is {best['map']:.3f}, of {best['series']}"
        return (
            f"None of {len(self.excluded)} series has an mAP above {self.map_cut:g}; {most}. "
            "No series is held together by these features well enough to be looked at."
        )


def study_bioactivity_overlap(
    membership: Any,
    assays: Any,
    series_map: ClusteringStudy | Mapping[Any, float] | pd.Series | Sequence[float],
    *,
    names: Sequence[Any] | None = None,
    families: Any = None,
    groups: Any = None,
    map_cut: float = 0.2,
    active_share: float = 0.6,
    min_tested: int = 3,
    alpha: float = 0.05,
    data: str = "assays",
) -> BioactivityOverlap:
    """Find the assays in which most tested members of a series are active.

    Parameters
    ----------
    membership : sparse or dense matrix of bool, or DataFrame, of shape (n_compounds, n_series)
        As in `study_chemotype_clustering`.
    assays : DataFrame or array of shape (n_compounds, n_assays)
        1 active, 0 inactive, NaN not tested.
    series_map : ClusteringStudy, Series, mapping or sequence
        The mAP of each series: what `study_chemotype_clustering` found, figures by the name of the
        series, or one figure a column of `membership`.
    names : sequence, optional
        Of the series. None: the columns of a DataFrame, else ``series 0`` and so on.
    families : Series, mapping or sequence, optional
        Protein family or type of each assay, by its name or in the order of columns.
    groups : array of shape (n_compounds,), optional
        Rows of one group count as one compound, e.g. the salts and stereoisomers of a molecule
        (`cloome_sk.molecules.molecule_key`). A group is in the series of any of its rows, tested
        where any of its rows is, and active where more than half of its tested rows are; the
        report says how often they disagree. None: every row by itself.
    map_cut : float, default=0.2
        Only series of an mAP above this are looked at. Where there is none, that is the finding:
        there are no pairs.
    active_share : float, default=0.6
        A pair overlaps when more than this share of the series' tested members are active.
    min_tested : int, default=3
        Members that an assay must have tested; groups of them, where given.
    alpha : float, default=0.05
        Overlaps of q below it are called found.
    data : str
        Name of the assays, for the report.

    Returns
    -------
    BioactivityOverlap
        All pairs looked at, those that overlap, and counts by family.

    Raises
    ------
    ValueError
        If rows or names do not match, a label is none of 1, 0 and NaN, or no assay has tested
        enough members of any series above the cut.

    Notes
    -----
    *p* asks whether members are active more often than the other compounds that the assay has
    tested: Fisher's exact test, one-sided, that is the hypergeometric probability of as many
    actives or more. ``p_binomial`` takes the assay's share of actives as known instead; the two are
    nearly the same where a series is a small part of the assay. Corrections are over all pairs with
    enough tested members and not over the overlaps alone, which were chosen for their actives.

    Copies of a molecule are active together whatever the series: without `groups`, four salts of
    one active molecule are four active members, and p is far too small.

    Members of a series resemble each other, and resembling compounds are active together: a small
    p says that the *series* is active, not that its members are independent evidence for that. In
    an assay most of whose compounds are active, a share above the cut is no news; ``expected`` says
    how many overlaps random compounds would have.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation import study_bioactivity_overlap
    >>> membership = np.arange(60)[:, None] // 10 == np.arange(2)
    >>> assays = np.zeros((60, 1))
    >>> assays[:9] = 1
    >>> found = study_bioactivity_overlap(membership, assays, [0.5, 0.1])
    >>> found.overlaps[["series", "n_active", "n_tested"]].to_numpy().tolist()
    [['series 0', 9, 10]]
    """
    check_count(min_tested, f"{PURPOSE}: min_tested")
    for name, value in (("active_share", active_share), ("map_cut", map_cut), ("alpha", alpha)):
        if isinstance(value, bool) or not 0 <= float(value) < 1:
            raise ValueError(f"{PURPOSE}: {name} must be at least 0 and below 1, got {value!r}.")
    check_same_rows(PURPOSE, membership=membership, assays=assays, groups=groups)
    labels = assay_labels(assays, PURPOSE)
    matrix, series = memberships(membership, len(labels), names, PURPOSE)
    family = families_of(families, list(labels.columns), "assay", PURPOSE)
    figures = _figures(series_map, series)
    results, merged = labels.to_numpy(), None
    if groups is not None:
        merged = by_groups(matrix, results, group_codes(groups, len(labels), "groups", PURPOSE))
        matrix, results = merged.membership, merged.labels
    above = figures > map_cut
    kept = np.flatnonzero(above)
    every = told_pairs(matrix[:, kept], results)
    pairs = pair_table(
        every,
        [series[place] for place in kept],
        figures[kept],
        list(labels.columns),
        family,
        min_tested=min_tested,
        active_share=active_share,
    )
    if len(kept) and not len(pairs):
        raise ValueError(
            f"{PURPOSE}: no assay has tested {min_tested} members of any of the {len(kept)} series "
            f"above the cut; the most are {int(every.n_tested.max())}"
            f"{'' if merged is None else ' groups'}. Lower min_tested."
        )
    looked = set(pairs["series"])
    reason = np.where(
        np.isnan(figures),
        "no mAP",
        np.where(~above, f"mAP not above {map_cut:g}", f"fewer than {min_tested} tested members"),
    )
    excluded = pd.DataFrame({"series": series, "map": figures, "reason": reason})
    excluded = excluded[[name not in looked for name in series]].reset_index(drop=True)
    notes = (
        f"{len(labels):,} compounds, {len(series)} series, {len(kept)} of mAP above {map_cut:g}, "
        f"{len(labels.columns)} assays; pairs are looked at where at least {min_tested} members "
        "are tested.",
        f"An overlap has more than {100 * active_share:g} % of the tested members active. p: "
        "Fisher's exact test against the other tested compounds, corrected over all pairs looked "
        "at; members of a series are no independent evidence of each other.",
        *([] if merged is None else [_about_groups(merged, len(labels))]),
    )
    return BioactivityOverlap(
        data=data,
        pairs=pairs,
        families=families_of_pairs(pairs, alpha),
        excluded=excluded,
        map_cut=float(map_cut),
        active_share=float(active_share),
        alpha=float(alpha),
        notes=notes,
    )


def _about_groups(merged: Grouped, n_rows: int) -> str:
    """What became one, and how far its rows agreed."""
    said = (
        f"The {n_rows:,} rows are {len(merged.labels):,} groups, each counted as one compound: in "
        "the series of any of its rows, active where more than half of its tested rows are. Of "
        f"{merged.n_tested:,} results of several rows, {merged.n_conflicts:,} disagree "
        f"({merged.n_even:,} evenly, which counts as inactive)."
    )
    if merged.n_partly:
        said += f" In {merged.n_partly:,} cases, some rows of a group are in a series, others not."
    return said


def _figures(series_map: Any, series: list[Any]) -> np.ndarray:
    """The mAP of each column of the membership; NaN for series that were too small to have one."""
    if isinstance(series_map, ClusteringStudy):
        if series_map.unit != "series":
            raise ValueError(
                f"{PURPOSE}: series_map is a study of {series_map.unit}s; pass that of "
                "study_chemotype_clustering."
            )
        small = dict.fromkeys(series_map.excluded["series"], np.nan)
        table = series_map.table.set_index("series")["map"]
        series_map = {**small, **table.to_dict()}
    if isinstance(series_map, pd.Series) and not series_map.index.is_unique:
        twice = series_map.index[series_map.index.duplicated()]
        raise ValueError(
            f"{PURPOSE}: series_map names {len(twice.unique())} series more than once: "
            f"{shown(twice.unique())}. Give one mAP each."
        )
    if isinstance(series_map, Mapping | pd.Series):
        lacking = [name for name in series if name not in series_map]
        if lacking:
            raise ValueError(
                f"{PURPOSE}: series_map has no mAP for {len(lacking)} series: {shown(lacking)}. "
                "Give one each; NaN where there is none."
            )
        found = [series_map[name] for name in series]
    else:
        found = list(series_map)
        if len(found) != len(series):
            raise ValueError(
                f"{PURPOSE}: series_map has {len(found)} figures for {len(series)} series."
            )
    figures = np.array(found, dtype=float)
    wrong = np.flatnonzero((figures < 0) | (figures > 1))
    if len(wrong):
        raise ValueError(
            f"{PURPOSE}: the mAP of {series[wrong[0]]!r} is {figures[wrong[0]]:g}; it must lie in "
            "[0, 1]."
        )
    return figures
