"""The embedder beside every control, on the same folds, to see what it is that works."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import (
    ProfileEmbedder,
    compare,
    default_controls,
    layout_test,
    linear_probe,
    profile_classifier,
)
from cloome_sk.evaluation.extra_pairs import ExtraPairs
from cloome_sk.evaluation.screens import Screen

MODEL = "CLOOME"
WITHIN = "Metadata_class_or_none"
RAW = ", as delivered"
"""Marks profiles before normalisation."""


@dataclass(frozen=True)
class ControlStudy:
    """What `study_controls` found.

    Attributes
    ----------
    scores : DataFrame
        One row a task, model and metric, as `cloome_sk.baselines.compare` gives it.
    layout : DataFrame
        The layout test of profiles as delivered, of normalised profiles, and of the embedding.
    """

    scores: pd.DataFrame
    layout: pd.DataFrame

    def tables(self, task: str) -> dict[str, pd.DataFrame]:
        """Arrange the figures of one task for reading.

        Parameters
        ----------
        task : {"unseen_molecules", "unseen_plates", "classes"}
            The task.

        Returns
        -------
        dict of str to DataFrame
            For each direction of retrieval (or "" for classes) a row for each model that answers,
            a column for each metric: value and interval; chance last.
        """
        own = self.scores[(self.scores["task"] == task) & self.scores["value"].notna()]
        # "R@1 phenotype to molecule" is a metric and a direction; "macro AUROC" is a metric.
        parts = own["metric"].str.extract(r"^(R@\d+|relative rank) (.+)$")
        own = own.assign(
            short=parts[0].fillna(own["metric"]),
            direction=parts[1].fillna(""),
            text=[
                f"{value:.3f} [{low:.3f}, {high:.3f}]"
                for value, low, high in own[["value", "low", "high"]].to_numpy()
            ],
        )
        return {
            str(direction): _arranged(rows)
            for direction, rows in own.groupby("direction", sort=False)
        }


def _arranged(rows: pd.DataFrame) -> pd.DataFrame:
    models, metrics = (list(dict.fromkeys(rows[name])) for name in ("model", "short"))
    table = rows.pivot(index="model", columns="short", values="text").loc[models, metrics]
    chance = rows.groupby("short")["chance"].first()
    table.loc["(chance)"] = [f"{chance[metric]:.3f}" for metric in metrics]
    return table.rename_axis(index=None, columns=None)


def study_controls(
    screen: Screen,
    embedder: CloomeEmbedder,
    *,
    cv: int = 5,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> ControlStudy:
    """Put an embedder beside every control, in retrieval, in classification and by layout.

    Parameters
    ----------
    screen : Screen
        From `load_screen`.
    embedder : CloomeEmbedder
        Cloned and trained in each fold.
    cv : int, default=5
        Folds.
    random_state : int, default=0
        Seed of folds, random codes, permutations and resamples.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: progress bars.

    Returns
    -------
    ControlStudy
        Tables.

    Examples
    --------
    >>> from cloome_sk.evaluation import load_screen, make_embedder, study_controls
    >>> screen = load_screen("simulated", None, 0)  # doctest: +SKIP
    >>> study = study_controls(screen, make_embedder(480, 0))  # doctest: +SKIP
    >>> study.tables("unseen_molecules")["phenotype to molecule"]  # doctest: +SKIP
    """
    options: dict[str, Any] = {
        "cv": cv,
        "random_state": random_state,
        "n_jobs": n_jobs,
        "verbose": verbose,
    }
    parts = []
    # Molecules without a class are permuted among themselves.
    table = screen.table.assign(**{WITHIN: screen.table[screen.label].fillna("none")})
    for task in ("unseen_molecules", "unseen_plates"):
        within = WITHIN if task == "unseen_molecules" else None
        models = {
            MODEL: embedder,
            **default_controls(
                task,
                table=table,
                embedder=embedder,
                within=within,
                random_state=random_state,
            ),
        }
        parts.append(compare(table, models, task=task, **options))
    raw = {"profile" + RAW: ProfileEmbedder()}
    parts.append(compare(screen.raw, raw, task="unseen_plates", **options))
    parts += _classes(screen, embedder, options)
    return ControlStudy(pd.concat(parts, ignore_index=True), _layout(screen, embedder))


def _classes(
    screen: Screen, embedder: CloomeEmbedder, options: dict[str, Any]
) -> list[pd.DataFrame]:
    """Classes of unseen molecules; encoders also learn from the molecules without a class."""
    named = pd.notna(screen.classes)
    table = screen.wells[named]
    # A stereoisomer of a tested molecule may bear another label; it is the same molecule.
    rest = screen.wells[~named & ~np.isin(screen.molecules, screen.molecules[named])]
    seed = options["random_state"]
    taken_away = default_controls("unseen_molecules", embedder=embedder, random_state=seed)
    for name in default_controls("unseen_molecules"):
        del taken_away[name]
    encoders = {MODEL: embedder, **taken_away}
    models = {
        **{f"{name} + LR": linear_probe(ExtraPairs(e, rest)) for name, e in encoders.items()},
        **default_controls("classes", table=table),
    }
    raw = {"profile + LR" + RAW: profile_classifier()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        return [
            compare(table, models, task="classes", y=screen.label, **options),
            compare(screen.raw_wells[named], raw, task="classes", y=screen.label, **options),
        ]


def _layout(screen: Screen, embedder: CloomeEmbedder) -> pd.DataFrame:
    fitted = clone(embedder).fit(screen.table)
    before = layout_test(screen.raw, random_state=0)
    after = layout_test(screen.table, fitted, random_state=0)
    return pd.concat(
        [
            before.rename(index={"profile": "profile" + RAW}),
            after.rename(index={"profile": "profile", "embedding": MODEL}),
        ]
    )
