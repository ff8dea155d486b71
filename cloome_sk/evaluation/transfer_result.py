"""What a transfer study gives back: source, target and drop side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cloome_sk.evaluation.result import ALPHA, StudyResult
from cloome_sk.evaluation.transfer_plot import draw_transfer

LAYOUT = [
    *("model", "side", "rate", "low", "high", "chance"),
    *("n_wells", "n_positions", "n_plates", "n_dropped"),
]


@dataclass(frozen=True)
class TransferabilityStudy(StudyResult):
    """What `study_transferability` found.

    Attributes
    ----------
    drops : DataFrame, one row a drop, metric and model
        ``source``, ``target`` and their difference ``drop`` with its interval; ``difference``
        between the drop of the model under test and that of the row, with interval and ``p_holm``.
        Metrics whose classes are others on the two sides are not in it.
    layout : DataFrame, one row a side and model
        ``rate`` at which control wells find their own position on another plate, as
        `cloome_sk.baselines.layout_test` gives it; no row where no controls share a position.
    fits : DataFrame, one row a model
        ``seconds`` of the fit, ``updates``, training ``rows`` and ``components`` of the embedding.

    See Also
    --------
    cloome_sk.evaluation.transferability.study_transferability : Makes one, with an example.
    """

    drops: pd.DataFrame = field(default_factory=pd.DataFrame)
    layout: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LAYOUT))
    fits: pd.DataFrame = field(default_factory=pd.DataFrame)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Arrange the figures for reading.

        Returns
        -------
        dict of str to DataFrame
            The parts as in `StudyResult.tables`, then drops, layout tests and fits, a row a model.
        """
        out = super().tables()
        for part, rows in self.drops.groupby("part", sort=False):
            texts = _texts(rows, "drop", "+.3f")
            table = _wide(rows.assign(text=texts), "metric")
            out[f"{part} (target - source)"] = table
        if len(self.layout):
            rows = self.layout
            texts = _texts(rows, "rate", ".3f")
            table = _wide(rows.assign(text=texts), "side")
            chance = rows.groupby("side", sort=False)["chance"].first()
            table.loc["(chance)"] = [f"{chance[side]:.3f}" for side in table.columns]
            out["Layout test: control wells find their own well position on another plate"] = table
        shown = self.fits.copy()
        shown["seconds"] = [f"{value:.1f}" for value in shown["seconds"]]
        for name in ("updates", "rows"):
            shown[name] = ["-" if pd.isna(v) else f"{int(v):,}" for v in shown[name]]
        out["Fits"] = shown.rename_axis(index=None)
        return out

    def sentences(self) -> list[str]:
        """Say what the headline figure shows of each part, and of the drops.

        Returns
        -------
        list of str
            Sentences of the parts, then, for each drop, whether that of the model under test
            differs from none, and from that of others.
        """
        out = super().sentences()
        for part, rows in self.drops[self.drops["metric"] == self.headline].groupby(
            "part", sort=False
        ):
            own = rows[rows["model"] == self.model].iloc[0]
            said = f"{part}: {self.headline} of {self.model} goes from {own['source']:.3f} to "
            said += f"{own['target']:.3f} ({_text(own['drop'], own['low'], own['high'], '+.3f')})."
            others = rows[rows["model"] != self.model]
            told = others["p_holm"] < ALPHA
            kinds = {
                "Loses less than": others[told & (others["difference"] > 0)],
                "Loses more than": others[told & (others["difference"] < 0)],
                "Not told apart in this from": others[~told],
            }
            for kind, found in kinds.items():
                if len(found):
                    names = [f"{r.model} ({r.difference:+.3f})" for r in found.itertuples()]
                    said += f" {kind} {', '.join(names)}."
            out.append(said)
        return out

    def plot(self, metric: str | None = None) -> Any:
        """Draw source and target of each model, joined where a drop is defined: a panel a metric.

        Parameters
        ----------
        metric : str, optional
            This one alone; by default all that the target answers.

        Returns
        -------
        matplotlib.figure.Figure
            A row of panels an alignment; not shown.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no such metric.
        """
        rows = self.scores
        if metric is not None:
            rows = rows[rows["metric"] == metric]
            if not len(rows):
                known = ", ".join(map(repr, dict.fromkeys(self.scores["metric"])))
                raise ValueError(f"There is no metric {metric!r}; there are {known}.")
        title = f"{self.name}, {self.data}"
        joined = set(self.drops["metric"]) if len(self.drops) else set()
        return draw_transfer(rows, model=self.model, title=title, joined=joined)

    def _frames(self) -> dict[str, pd.DataFrame]:
        more = {"_drops": self.drops, "_layout": self.layout, "_fits": self.fits.reset_index()}
        return {**super()._frames(), **more}


def _text(value: float, low: float, high: float, form: str) -> str:
    if pd.isna(low):
        return f"{value:{form}}"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _texts(rows: pd.DataFrame, name: str, form: str) -> list[str]:
    """A column and its interval, as they are shown."""
    values = rows[[name, "low", "high"]].to_numpy(dtype=float)
    return [_text(value, low, high, form) for value, low, high in values]


def _wide(rows: pd.DataFrame, columns: str) -> pd.DataFrame:
    """A row a model, in the order of appearance."""
    models, names = (list(dict.fromkeys(rows[name])) for name in ("model", columns))
    table = rows.pivot(index="model", columns=columns, values="text")
    return (
        table.reindex(index=models, columns=names)
        .fillna("-")
        .rename_axis(None, axis=0)
        .rename_axis(None, axis=1)
    )
