"""What the activity study gives back: figures over assays, and every assay by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.evaluation.result import StudyResult

ASSAYS = [
    *("part", "model", "assay", "auroc", "auprc", "prevalence"),
    *("n_active", "n_inactive", "C", "n_folds"),
]
EXCLUDED = ["part", "assay", "n_active", "n_inactive", "reason"]
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Of Okabe and Ito, told apart in any colour vision; the model under test is the first."""
STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class ActivityStudy(StudyResult):
    """What `study_activity` found.

    Beside these it has the attributes of `StudyResult`.

    Attributes
    ----------
    assays : DataFrame, one row a part, model and assay
        ``part``, ``model``, ``assay``, ``auroc``, ``auprc``, ``prevalence``, ``n_active`` and
        ``n_inactive`` (test molecules), ``C`` (median over folds) and ``n_folds`` (folds scored).
    excluded : DataFrame, one row a part and assay
        Assays without a score: ``part``, ``assay``, ``n_active``, ``n_inactive``, ``reason``.
    """

    assays: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=ASSAYS))
    excluded: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EXCLUDED))

    def plot_distribution(self) -> Any:
        """Draw, for each part, the share of assays at or above each AUROC.

        Returns
        -------
        matplotlib.figure.Figure
            Not shown.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError('Drawing needs matplotlib: pip install "cloome_sk[plot]".') from error
        parts = list(dict.fromkeys(self.assays["part"]))
        models = list(dict.fromkeys(self.assays["model"]))
        models.sort(key=lambda name: name != self.model)
        width = 4.6 * max(len(parts), 1)
        figure = Figure(figsize=(width, 4.2 + 0.2 * len(models)), layout="constrained")
        panels = np.ravel(figure.subplots(1, max(len(parts), 1), sharey=True))
        for axes, part in zip(panels, parts, strict=True):
            own = self.assays[self.assays["part"] == part]
            for place, name in enumerate(models):
                values = np.sort(own.loc[own["model"] == name, "auroc"].to_numpy())
                axes.step(
                    np.concatenate([[0.0], values, [1.0]]),
                    np.concatenate([[1.0], 1 - np.arange(len(values)) / len(values), [0.0]]),
                    where="pre",
                    color=COLOURS[place % len(COLOURS)],
                    ls=STYLES[place % len(STYLES)],
                    lw=2 if place == 0 else 1.4,
                    label=name,
                )
            axes.axvline(0.5, color="#666666", lw=1, ls=":")
            n = own["assay"].nunique()
            axes.set(
                title=f"{part}\n{n} assay{'' if n == 1 else 's'}",
                xlabel="AUROC",
                xlim=(0, 1),
                ylim=(0, 1.02),
            )
        panels[0].set_ylabel("share of assays with at least this AUROC")
        lines, labels = panels[0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside lower center", ncols=2)
        return figure

    def _frames(self) -> dict[str, pd.DataFrame]:
        return {**super()._frames(), "_assays": self.assays, "_excluded": self.excluded}

    def _figures(self) -> dict[str, Any]:
        return {**super()._figures(), "_distribution": self.plot_distribution()}
