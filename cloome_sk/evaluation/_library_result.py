"""What the study of library selection gives back: curves over the budget, and every pick."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.evaluation._activity_result import COLOURS, STYLES
from cloome_sk.evaluation._library_orders import CEILING, RANDOM
from cloome_sk.evaluation.result import StudyResult

CURVES = [
    *("split", "budget", "model", "metric", "value", "low", "high", "chance"),
    *("draws_low", "draws_high", "n"),
]
PICKS = ["split", "fold", "model", "rank", "molecule", "smiles", "mechanisms", "cluster"]


@dataclass(frozen=True)
class LibrarySelectionStudy(StudyResult):
    """What `study_library_selection` found.

    Beside these it has the attributes of `StudyResult`.

    Attributes
    ----------
    curves : DataFrame, one row a kind of split, budget, model and metric
        ``split``, ``budget``, ``model``, ``metric``, ``value`` with its interval ``low`` to
        ``high``, ``chance`` (what random picks cover on average, exactly), ``draws_low`` and
        ``draws_high`` (between which 95 % of single random libraries lie) and ``n`` (splits).
    picks : DataFrame, one row a kind of split, fold, model and pick
        ``split``, ``fold``, ``model``, ``rank``, ``molecule``, ``smiles``, ``mechanisms`` and
        ``cluster`` (of its measured profile).
    """

    curves: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CURVES))
    picks: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PICKS))

    def plot(self, metric: str | None = None) -> Any:
        """Draw what is covered over the budget: a row a kind of split, a column a metric.

        Parameters
        ----------
        metric : str, optional
            One metric alone; all by default.

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
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError('Drawing needs matplotlib: pip install "cloome_sk[plot]".') from error
        metrics = list(dict.fromkeys(self.curves["metric"]))
        if metric is not None:
            if metric not in metrics:
                known = ", ".join(map(repr, metrics))
                raise ValueError(f"There is no metric {metric!r}; there are {known}.")
            metrics = [metric]
        kinds = list(dict.fromkeys(self.curves["split"]))
        models = [name for name in dict.fromkeys(self.curves["model"]) if name != RANDOM]
        models.sort(key=lambda name: name != self.model)
        size = (3.9 * len(metrics), 0.8 + 3.1 * len(kinds) + 0.1 * len(models))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(kinds), len(metrics), squeeze=False, sharex=True)
        for row, kind in enumerate(kinds):
            for column, name in enumerate(metrics):
                mask = (self.curves["split"] == kind) & (self.curves["metric"] == name)
                panels[row, column].set_visible(bool(mask.any()))
                self._draw(panels[row, column], self.curves[mask], models)
                panels[row, column].set_title(f"{name}\ncandidates: {kind}", fontsize=9)
        for panel in panels[-1]:
            panel.set_xlabel("picks", fontsize=9)
            panel.set_xticks(sorted(set(self.curves["budget"])))
        lines, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside lower center", ncols=2, fontsize=8)
        figure.suptitle(f"{self.name}, {self.data}", fontsize=10)
        return figure

    def _draw(self, panel: Any, rows: pd.DataFrame, models: list[str]) -> None:
        """One panel: a line a model, a grey band where single random libraries lie."""
        random = rows[rows["model"] == RANDOM]
        x = random["budget"].to_numpy()
        panel.fill_between(
            x,
            random["draws_low"],
            random["draws_high"],
            color="#DDDDDD",
            lw=0,
            label="95 % of draws",
        )
        panel.plot(x, random["chance"], color="#666666", lw=1, ls="--", label="random, mean")
        shift = np.linspace(-0.12, 0.12, len(models)) * (np.diff(x).min() if len(x) > 1 else 1)
        for place, name in enumerate(models):
            own = rows[rows["model"] == name]
            colour = "#000000" if name == CEILING else COLOURS[place % (len(COLOURS) - 1)]
            panel.plot(
                own["budget"],
                own["value"],
                color=colour,
                ls=STYLES[place % len(STYLES)],
                marker="s" if name == self.model else "o",
                ms=4,
                lw=2 if name == self.model else 1.2,
                label=name,
            )
            if name != CEILING:
                panel.vlines(
                    own["budget"] + shift[place], own["low"], own["high"], color=colour, lw=1
                )
        panel.set_ylim(bottom=0)
        panel.tick_params(labelsize=8)
        panel.grid(color="#EEEEEE", lw=0.6)
        panel.set_axisbelow(True)

    def plot_forest(self, metric: str | None = None) -> Any:
        """Draw one metric with its intervals: a panel a kind of split and budget, a row a model.

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
        return super().plot(metric)

    def _frames(self) -> dict[str, pd.DataFrame]:
        return {**super()._frames(), "_curves": self.curves, "_picks": self.picks}
