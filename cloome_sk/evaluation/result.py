"""What a study gives back: figures, differences, leakage, sentences, a picture and files."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from cloome_sk.evaluation.forest import draw_forest

ALPHA = 0.05
"""Sentences tell a figure from chance, or from that of another model, below this p."""


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Attributes
    ----------
    name : str
        The study, as on the command line.
    data : str
        What it was run on.
    model : str
        The model under test.
    scores : DataFrame, one row a part, model and metric
        ``part``, ``model``, ``metric``, ``value``, its interval ``low`` to ``high``, ``chance``,
        ``n``, and a two-sided ``p_chance``; NaN with ``n`` 0 where a model has no answer.
    differences : DataFrame, one row a part, metric and other model
        ``difference`` of the model under test to the ``reference``, with interval, two-sided
        ``p`` and ``p_holm``, corrected for the number of references.
    leakage : DataFrame, one row a part and fold
        ``claim``, whether it is ``ok``, and the ``sentences`` of the leakage report.
    headline : str
        The metric that was chosen beforehand, of which `sentences` and `plot` speak.
    notes : tuple of str
        How it was measured, and what was left out.
    unit : str
        What ``n`` counts and what is resampled.
    larger_is_better : bool
        Whether a larger value of the headline is the better one.
    tests : str
        How differences were tested.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.evaluation.result import StudyResult
    >>> from cloome_sk.evaluation.units import differences_of, scores_of
    >>> units = pd.DataFrame({"part": "unseen", "model": ["A"] * 5 + ["B"] * 5, "metric": "R@1",
    ...                       "unit": list("abcde") * 2, "value": [1, 1, 0, 1, 1, 0, 0, 0, 1, 0],
    ...                       "chance": 0.2})
    >>> found = StudyResult("retrieval", "toy", "A", scores_of(units), differences_of(units, "A"),
    ...                     pd.DataFrame(columns=["part", "fold", "claim", "ok", "sentences"]),
    ...                     "R@1", ("Five molecules.",))
    >>> found.tables()["unseen, 5 molecules"].loc["A", "R@1"]
    '0.800 [0.400, 1.000]'
    """

    name: str
    data: str
    model: str
    scores: pd.DataFrame
    differences: pd.DataFrame
    leakage: pd.DataFrame
    headline: str
    notes: tuple[str, ...] = ()
    unit: str = "molecule"
    larger_is_better: bool = True
    tests: str = "permutation tests"

    def tables(self) -> dict[str, pd.DataFrame]:
        """Arrange the figures for reading.

        Returns
        -------
        dict of str to DataFrame
            For each part, with its number of units, a row a model and a column a metric; chance
            last. A dash where a model has no answer. Shares that any order of so few candidates
            fulfils, chance being 1, are left out.
        """
        out = {}
        for part, every in self.scores.groupby("part", sort=False):
            by_metric = every.groupby("metric")
            certain = (by_metric["chance"].transform("min") == 1) & (
                by_metric["value"].transform("max") <= 1
            )
            rows = every if certain.all() else every[~certain]
            counts = rows.loc[rows["n"] > 0, "n"]
            low, high = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
            n = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            out[f"{part}, {n} {self.unit}{'' if high == 1 else 's'}"] = _arranged(rows, self.model)
        return out

    def sentences(self) -> list[str]:
        """Say what the headline figure shows, and no more.

        Returns
        -------
        list of str
            Of each part: whether the model differs from chance, and which references it is told
            apart from after correction.
        """
        out = []
        own = self.scores[self.scores["metric"] == self.headline]
        for part, rows in own.groupby("part", sort=False):
            model = rows[rows["model"] == self.model]
            if not len(model) or not model["n"].iloc[0]:
                continue
            out.append(
                f"{part}: {self._about_chance(model.iloc[0])} {self._about_others(str(part))}"
            )
        return out

    def _about_chance(self, row: Any) -> str:
        figure = f"{self.headline} of {self.model} is {row['value']:.3f}"
        if pd.isna(row["low"]):
            n = int(row["n"])
            return f"{figure} ({n} {self.unit}{'' if n == 1 else 's'}, no interval)."
        figure += f" [{row['low']:.3f}, {row['high']:.3f}]"
        if pd.isna(row["chance"]):
            return f"{figure}."
        if pd.isna(row["p_chance"]):
            return f"{figure}; chance is {row['chance']:.3f}."
        verdict = "not told apart from"
        if row["p_chance"] < ALPHA:
            better = (row["value"] > row["chance"]) == self.larger_is_better
            verdict = "better than" if better else "worse than"
        return f"{figure}, {verdict} chance ({row['chance']:.3f})."

    def _about_others(self, part: str) -> str:
        rows = self.differences
        rows = rows[(rows["part"] == part) & (rows["metric"] == self.headline) & (rows["n"] > 0)]
        if not len(rows):
            return ""
        # All signs alike and all reversed are the two most extreme of 2^n assignments.
        if 2.0 ** (1 - rows["n"].max()) * len(rows) >= ALPHA:
            units = f"{rows['n'].max()} {self.unit}{'' if rows['n'].max() == 1 else 's'}"
            return f"{units} are too few to tell it from any of {len(rows)} others by this test."
        told = rows["p_holm"] < ALPHA
        sign = 1 if self.larger_is_better else -1
        kinds = {
            "Better than": rows[told & (sign * rows["difference"] > 0)],
            "Worse than": rows[told & (sign * rows["difference"] < 0)],
            "Not told apart from": rows[~told & rows["p_holm"].notna()],
            "Not tested against": rows[rows["p_holm"].isna()],
        }
        texts = []
        for kind, found in kinds.items():
            if len(found):
                said = [f"{name} ({apart:+.3f})" for name, apart in _pairs(found)]
                texts.append(f"{kind} {', '.join(said)}.")
        return " ".join(texts)

    def report(self) -> str:
        """Write everything down; of the leakage reports, what the first telling fold shares.

        Returns
        -------
        str
            Many lines: how it was made, the tables, what they say, and what the folds share.
        """
        sections = [("How it was made", "\n".join(self.notes))]
        sections += [(title, table.to_string()) for title, table in self.tables().items()]
        about = (
            f"What {self.headline} says (paired by {self.unit}, {self.tests}, "
            "Holm-corrected within a part)"
        )
        sections.append((about, "\n".join(self.sentences())))
        sections.append(("Leakage", "\n".join(self._leaks())))
        lines = []
        for title, body in sections:
            if body:
                lines += ["", title, "-" * len(title), body]
        return "\n".join(lines).removeprefix("\n")

    def _leaks(self) -> list[str]:
        out = []
        for (part, claim), rows in self.leakage.groupby(["part", "claim"], sort=False):
            held = int(rows["ok"].sum())
            failed = rows[~rows["ok"].astype(bool)]
            out.append(
                f"{part}: the claim that the test set is new by {claim} holds in {held} of "
                f"{len(rows)} folds."
            )
            shown = failed if len(failed) else rows
            first = shown.iloc[0]
            out += [
                f"  fold {first['fold']}: {line}"
                for line in first["sentences"].split("\n")
                if not line.startswith("No ") and "not checked" not in line
            ]
        return out

    def plot(self, metric: str | None = None) -> Any:
        """Draw one metric: a panel a part, a row a model, with intervals and chance.

        Parameters
        ----------
        metric : str, optional
            By default the headline.

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
        metric = self.headline if metric is None else metric
        rows = self.scores[self.scores["metric"] == metric]
        if not len(rows):
            known = ", ".join(map(repr, dict.fromkeys(self.scores["metric"])))
            raise ValueError(f"There is no metric {metric!r}; there are {known}.")
        return draw_forest(
            rows, metric=metric, title=f"{self.name}, {self.data}", model=self.model, unit=self.unit
        )

    def write(self, folder: str | PathLike[str]) -> list[Path]:
        """Write tables as CSV and figures as PNG.

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
        figures = self._figures()
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        stem = f"{self.name}_{self.data}"
        written = []
        for ending, frame in self._frames().items():
            written.append(where / f"{stem}{ending}.csv")
            frame.to_csv(written[-1], index=False)
        for ending, figure in figures.items():
            written.append(where / f"{stem}{ending}.png")
            figure.savefig(written[-1], dpi=150)
        return written

    def _frames(self) -> dict[str, pd.DataFrame]:
        """What `write` makes a CSV file of, by the ending of its name."""
        return {"": self.scores, "_differences": self.differences, "_leakage": self.leakage}

    def _figures(self) -> dict[str, Any]:
        """What `write` makes a PNG file of, by the ending of its name."""
        return {"": self.plot()}


def _pairs(rows: pd.DataFrame) -> list[tuple[str, float]]:
    return list(zip(rows["reference"], rows["difference"], strict=True))


def _arranged(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    texts = [
        "-" if not n else f"{value:.3f}" if pd.isna(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"
        for value, low, high, n in zip(
            rows["value"], rows["low"], rows["high"], rows["n"], strict=True
        )
    ]
    models, metrics = (list(dict.fromkeys(rows[name])) for name in ("model", "metric"))
    shown = rows.assign(text=texts).pivot(index="model", columns="metric", values="text")
    shown = shown.reindex(index=models, columns=metrics).fillna("-")
    # That of the model under test: chance is another where a model answers for other units.
    tested = rows[rows["model"] == model].set_index("metric")["chance"]
    chance = rows.groupby("metric")["chance"].first().reindex(metrics)
    chance = tested.reindex(metrics).fillna(chance)
    shown.loc["(chance)"] = ["-" if pd.isna(value) else f"{value:.3f}" for value in chance]
    return shown.rename_axis(index=None, columns=None)
