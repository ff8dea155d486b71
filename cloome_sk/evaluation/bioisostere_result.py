"""What the bioisostere study found: shares of hits beside two chances, in words and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.evaluation.bioisostere_folds import (
    CANDIDATES_MEASURED,
    NEAREST_PROFILE,
    STRUCTURE_KNOWN,
    Ranking,
    Setting,
)
from cloome_sk.evaluation.bioisostere_plot import draw_shares, ratio_text
from cloome_sk.evaluation.matched_chance import enrichment
from cloome_sk.evaluation.result import StudyResult

NOTHING, TANIMOTO = "nothing", "Tanimoto"
ENRICHMENT = [
    *("part", "model", "k", "matched", "share", "chance"),
    *("enrichment", "low", "high", "bound", "best", "n"),
]


@dataclass(frozen=True)
class BioisostereStudy(StudyResult):
    """What `study_bioisosteres` found.

    Beside these it has the attributes of `StudyResult`.

    Attributes
    ----------
    enrichment : DataFrame, one row a part, model, k and kind of chance
        ``share`` of the first ``k`` that has a term in common with the truth; ``chance``, the same
        of candidates ``matched`` for ``"nothing"`` or ``"Tanimoto"``; their ratio ``enrichment``
        with its interval; ``bound``, the share of hits in bins of Tanimoto that hold only right or
        only wrong candidates and so cannot differ from matched chance (NaN for ``"nothing"``);
        ``best``, the share that a perfect ranking would have; ``n`` molecules.
    k : int
        The number of hits that sentences and the figure speak of.
    """

    enrichment: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=ENRICHMENT))
    k: int = 5

    def with_notes(self, notes: Sequence[str]) -> BioisostereStudy:
        """Add notes.

        Parameters
        ----------
        notes : sequence of str
            What else is to be said.

        Returns
        -------
        BioisostereStudy
            The same with them.

        Examples
        --------
        >>> from cloome_sk.evaluation.bioisostere_result import BioisostereStudy
        >>> frame = pd.DataFrame()
        >>> study = BioisostereStudy("b", "toy", "A", frame, frame, frame, "excess@5")
        >>> study.with_notes(["One."]).notes
        ('One.',)
        """
        return replace(self, notes=(*self.notes, *notes))

    def enrichment_tables(self) -> dict[str, pd.DataFrame]:
        """Arrange shares and enrichments at `k` for reading.

        Returns
        -------
        dict of str to DataFrame
            For each part a row a model: the share, and how many times chance it is, with interval.
        """
        out = {}
        own = self.enrichment[self.enrichment["k"] == self.k]
        for part, rows in own.groupby("part", sort=False):
            kinds = {name: rows[rows["matched"] == name].set_index("model") for name in KINDS}
            plain, like = kinds[NOTHING], kinds[TANIMOTO]
            out[f"{part}, first {self.k} hits, {int(plain['n'].max())} molecules"] = pd.DataFrame(
                {
                    "share": plain["share"].map("{:.3f}".format),
                    "chance": plain["chance"].map("{:.3f}".format),
                    "times chance": [ratio_text(row) for _, row in plain.iterrows()],
                    "Tanimoto-matched chance": like["chance"].map("{:.3f}".format),
                    "times matched chance": [ratio_text(row) for _, row in like.iterrows()],
                    "hits bound": like["bound"].map("{:.2f}".format),
                    "best share": plain["best"].map("{:.3f}".format),
                }
            ).rename_axis(None)
        return out

    def sentences(self) -> list[str]:
        """Say what the first hits share, beside both chances, and what is told apart.

        Returns
        -------
        list of str
            Of each part two: about enrichment, and about the excess over matched chance.
        """
        out = []
        first = f"first {self.k} hits" if self.k > 1 else "first hits"
        own = self.enrichment[
            (self.enrichment["k"] == self.k) & (self.enrichment["model"] == self.model)
        ]
        for part, rows in own.groupby("part", sort=False):
            plain, like = (rows[rows["matched"] == name].iloc[0] for name in KINDS)
            out.append(
                f"{part}: {100 * plain['share']:.1f} % of the {first} of {self.model} "
                f"are right, {_times(plain)} chance ({100 * plain['chance']:.1f} %) and "
                f"{_times(like)} that of candidates equally similar in structure "
                f"({100 * like['chance']:.1f} %)."
            )
        return out + super().sentences()

    def report(self) -> str:
        """Write everything down.

        Returns
        -------
        str
            Many lines: the enrichments, then what every study reports.
        """
        lines = []
        for title, table in self.enrichment_tables().items():
            lines += [title, "-" * len(title), table.to_string(), ""]
        return "\n".join(lines) + "\n" + super().report()

    def plot(self, metric: str | None = None) -> Any:
        """Draw the share of right hits of each model beside both chances.

        Parameters
        ----------
        metric : str, optional
            One of the metrics, drawn as in every study. By default shares at `k` with both chances.

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
        if metric is not None:
            return super().plot(metric)
        shown = self.scores[self.scores["metric"] == f"shared@{self.k}"]
        own = self.enrichment[self.enrichment["k"] == self.k]
        return draw_shares(shown, own, model=self.model, k=self.k, data=self.data)

    def _frames(self) -> dict[str, pd.DataFrame]:
        return {**super()._frames(), "_enrichment": self.enrichment}


KINDS = (NOTHING, TANIMOTO)


def _times(row: Any) -> str:
    if pd.isna(row["enrichment"]):
        return "not to be divided by"
    return f"{ratio_text(row)} times"


def units_of(records: pd.DataFrame) -> pd.DataFrame:
    """Turn records of single questions into the scores of a study.

    Parameters
    ----------
    records : DataFrame
        Columns `cloome_sk.evaluation.bioisostere_folds.RECORDS`.

    Returns
    -------
    DataFrame
        Columns `cloome_sk.evaluation.units.UNITS`: ``shared@k`` with the chance matched for
        nothing, and ``excess@k`` over the chance matched for Tanimoto, whose chance is 0.
    """
    shared = records.assign(metric="shared@" + records["k"].astype(str), value=records["share"])
    excess = records.assign(
        metric="excess@" + records["k"].astype(str),
        value=records["share"] - records["matched"],
        chance=0.0,
    )
    names = ["part", "model", "metric", "unit", "value", "chance"]
    # By part first: the tables of a study come in the order of its scores.
    return pd.concat([shared, excess])[names].reset_index(drop=True)


def compared_units(units: pd.DataFrame) -> pd.DataFrame:
    """Leave out what no model is to be compared with.

    Parameters
    ----------
    units : DataFrame
        From `units_of`.

    Returns
    -------
    DataFrame
        Without the excess of the ranking by Tanimoto to the truth: its hits fill bins of Tanimoto
        from the top, so that they are their own chance, whatever the molecules do.
    """
    fixed = (units["model"] == STRUCTURE_KNOWN) & units["metric"].str.startswith("excess@")
    return units[~fixed]


def enrichment_of(
    records: pd.DataFrame, *, confidence: float, n_bootstrap: int, random_state: int
) -> pd.DataFrame:
    """Divide shares by both chances, with intervals that resample molecules.

    Parameters
    ----------
    records : DataFrame
        Columns `cloome_sk.evaluation.bioisostere_folds.RECORDS`.
    confidence : float
        Coverage.
    n_bootstrap : int
        Number of resamples.
    random_state : int
        Seed, the same for all models.

    Returns
    -------
    DataFrame
        As `BioisostereStudy.enrichment`.
    """
    rows: list[dict[str, Any]] = []
    for (part, model, k), own in records.groupby(["part", "model", "k"], sort=False):
        means = own.groupby("unit")[["share", "chance", "matched", "bound", "best"]].mean()
        for kind, column in zip(KINDS, ("chance", "matched"), strict=True):
            value, low, high = enrichment(
                means["share"].to_numpy(),
                means[column].to_numpy(),
                confidence=confidence,
                n_bootstrap=n_bootstrap,
                random_state=random_state,
            )
            row = {"part": part, "model": model, "k": k, "matched": kind, "n": len(means)}
            row |= {"share": means["share"].mean(), "chance": means[column].mean()}
            row |= {"enrichment": value, "low": low, "high": high, "best": means["best"].mean()}
            row["bound"] = means["bound"].mean() if kind == TANIMOTO else np.nan
            rows.append(row)
    return pd.DataFrame(rows).reindex(columns=ENRICHMENT)


def how_it_was_made(
    setting: Setting,
    counts: Sequence[pd.DataFrame],
    records: pd.DataFrame,
    candidates: str,
    has_profiles: bool,
) -> tuple[str, ...]:
    """Say how a study was made, and what was left out of it and why."""
    n_folds = len(setting.bench.folds)
    which = "molecules of the same test fold" if candidates == "held-out" else "all molecules"
    edges = ", ".join(f"{edge:g}" for edge in setting.edges)
    notes = [
        f"{len(setting.molecules)} molecules in {n_folds} folds by molecule. The pooled phenotype "
        f"of each unseen molecule ranks the {which}, the true one never among them.",
        "A hit is right if it shares a term with the truth. A molecule has the terms of all its "
        "rows; one without any is no query and no candidate for that annotation.",
        f"Matched chance draws each hit anew from the candidates in its bin of Tanimoto similarity "
        f"to the truth (edges {edges}); exact expectation. excess@k is the share of the first k "
        "minus this. A hit in a bin of only right or only wrong candidates is its own chance "
        "('hits bound').",
        f"{STRUCTURE_KNOWN!r} ranks by Morgan Tanimoto to the truth, which a phenotype does not "
        "tell. Its hits fill the bins from the top and so are their own matched chance: shares are "
        "compared with it, excesses are not.",
    ]
    if has_profiles:
        notes.append(
            f"{NEAREST_PROFILE!r} ranks by Tanimoto to the training molecule of the nearest "
            f"profile (the mean over those equally near); {CANDIDATES_MEASURED!r} compares "
            "profiles with profiles, which structures that were never measured do not have."
        )
    else:
        notes.append("The table has no profile columns, so rankings by profiles are left out.")
    lost = pd.concat(counts).groupby("part", sort=False).sum()
    for label in setting.terms:
        for part in setting.parts(label):
            n, bare, vain = (int(lost[name][part]) for name in lost.columns)
            notes.append(
                f"{part}: {n - bare - vain} of {n} molecules ask; {bare} have no {label}, and for "
                f"{vain} no candidate shares one."
            )
    notes += _short(setting, records, lost)
    notes.append(
        "Molecules of a fold share candidates and a model, and two that share a term are each "
        "other's hits: intervals over molecules are a little short. They are not corrected for the "
        "number of parts."
    )
    return tuple(notes)


def without_embedding(rankings: Sequence[tuple[str, int, Ranking]]) -> list[str]:
    """Say which models could not rank for a query, or not rank a candidate.

    Parameters
    ----------
    rankings : sequence of (str, int, Ranking)
        Model, fold and what it ranks by.

    Returns
    -------
    list of str
        A note a model without some embedding.
    """
    notes = []
    for name in dict.fromkeys(name for name, _, _ in rankings):
        own = [ranking for other, _, ranking in rankings if other == name]
        lost, absent = sum(r.n_lost for r in own), sum(r.n_absent for r in own)
        said = []
        if lost:
            n = sum(len(r.similarity) for r in own)
            said.append(f"for {lost:,} of {n:,} molecules that ask, for which all candidates tie")
        if absent:
            n = sum(r.similarity.shape[1] for r in own)
            said.append(f"for {absent:,} of {n:,} candidates, which come last")
        if said:
            notes.append(f"{name} has no embedding {', and '.join(said)} (all folds together).")
    return notes


def _short(setting: Setting, records: pd.DataFrame, lost: pd.DataFrame) -> list[str]:
    """Say for which k molecules had too few candidates."""
    notes = []
    asked = lost["molecules"] - lost["without annotation"] - lost["nothing to find"]
    for k in setting.ks:
        scored = records[records["k"] == k].drop_duplicates(["part", "unit"])["part"].value_counts()
        short = asked - scored.reindex(asked.index).fillna(0).astype(int)
        said = [f"{n} ({part})" for part, n in short[short > 0].items()]
        if said:
            notes.append(
                f"Not scored at k={k}, which would take all their candidates: molecules "
                f"{', '.join(said)}."
            )
    return notes
