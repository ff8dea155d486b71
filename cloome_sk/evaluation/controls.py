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
    ProfileFeatures,
    ShuffledPairs,
    compare,
    default_controls,
    layout_test,
    linear_probe,
)
from cloome_sk.baselines._folds import prepare, seeds
from cloome_sk.evaluation.extra_pairs import ExtraPairs
from cloome_sk.evaluation.screens import Screen

MODEL = "CLOOME"
WITHIN = "Metadata_class_or_none"
SHUFFLED_WITHIN = "molecules shuffled within class"
RAW, NORMALISED, SPHERED = ", as delivered", ", normalised", ", normalised and sphered"
"""Mark what was done to the features of a screen; encoders of profiles are given the last."""


@dataclass(frozen=True)
class ControlStudy:
    """What `study_controls` found.

    Attributes
    ----------
    scores : DataFrame
        One row a task, model and metric, as `cloome_sk.baselines.compare` gives it.
    layout : DataFrame
        The layout test of the features (profiles, or intensities of images) as delivered,
        normalised, and normalised and sphered, and of the embedding.
    n_molecules : int
        Molecules of the screen.
    """

    scores: pd.DataFrame
    layout: pd.DataFrame
    n_molecules: int

    def tables(self, task: str) -> dict[str, pd.DataFrame]:
        """Arrange the figures of one task for reading.

        Parameters
        ----------
        task : {"unseen_molecules", "unseen_plates", "classes"}
            The task.

        Returns
        -------
        dict of str to DataFrame
            For each direction of retrieval, with the number of molecules scored ("phenotype to
            molecule, 96 of 120 molecules"; for classes the number alone), a row for each model that
            answers, a column for each metric: value and interval; chance last.
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
            f"{direction}, {self._scored(rows)}".removeprefix(", "): _arranged(rows)
            for direction, rows in own.groupby("direction", sort=False)
        }

    def _scored(self, rows: pd.DataFrame) -> str:
        """How many molecules the figures are of."""
        low, high = rows["n"].min(), rows["n"].max()
        n = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        return f"{n} of {self.n_molecules:,} molecules"


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
    >>> from cloome_sk.evaluation import load_screen, study_controls
    >>> screen = load_screen("simulated-profiles", None, 0)  # doctest: +SKIP
    >>> study = study_controls(screen, screen.make_embedder(480, 0))  # doctest: +SKIP
    >>> tables = study.tables("unseen_molecules")  # doctest: +SKIP
    >>> tables["phenotype to molecule, 120 of 120 molecules"]  # doctest: +SKIP
    """
    options: dict[str, Any] = {
        "cv": cv,
        "random_state": random_state,
        "n_jobs": n_jobs,
        "verbose": verbose,
    }
    parts = []
    table = with_large_classes(screen)
    for task in ("unseen_molecules", "unseen_plates"):
        within = WITHIN if task == "unseen_molecules" else None
        models = {
            MODEL: embedder,
            **default_controls(
                task,
                table=table,
                embedder=embedder,
                within=within,
                columns=screen.features,
                random_state=random_state,
            ),
        }
        if within is not None:
            control = models[SHUFFLED_WITHIN]
            share = _share_moved(control, table, cv, random_state)
            renamed = f"{SHUFFLED_WITHIN} ({100 * share:.0f} % of wells moved)"
            models = _renamed(models, {SHUFFLED_WITHIN: renamed})
        if task == "unseen_plates":
            # This table is sphered; sphered again it would be neither one thing nor the other.
            del models["sphered profile"]
            models = _renamed(models, {"profile": "profile" + SPHERED})
        parts.append(compare(table, models, task=task, **options))
    for version, mark in ((screen.normalised, NORMALISED), (screen.raw, RAW)):
        profile = {"profile" + mark: ProfileEmbedder(phenotype=ProfileFeatures(screen.features))}
        parts.append(compare(version, profile, task="unseen_plates", **options))
    parts += _classes(screen, embedder, options)
    scores = pd.concat(parts, ignore_index=True)
    scores["model"] = scores["model"].str.replace("profile", screen.feature_name, regex=False)
    return ControlStudy(
        scores,
        _layout(screen, embedder),
        len(np.unique(screen.molecules)),
    )


def with_large_classes(screen: Screen) -> pd.DataFrame:
    """Add the classes within which molecules are permuted.

    Parameters
    ----------
    screen : Screen
        From `load_screen`.

    Returns
    -------
    DataFrame
        Its table with one more column. Molecules without a class, and those of classes too small
        to permute, are one class: "none".
    """
    labels = screen.table[screen.label]
    large = labels.isin(screen.classes[pd.notna(screen.classes)])
    return screen.table.assign(**{WITHIN: labels.where(large, "none")})


def _share_moved(control: ShuffledPairs, table: pd.DataFrame, cv: int, random_state: int) -> float:
    """Mean over the folds of unseen molecules of the share of training wells in wrong pairs."""
    bench = prepare(
        table,
        task="unseen_molecules",
        y=None,
        groups=None,
        cv=cv,
        plate="plate",
        well="well",
        controls="auto",
        random_state=seeds(random_state)[0],
    )
    shares = [control.share_moved(bench.training_table(train)) for train, _ in bench.folds]
    return float(np.mean(shares))


def _renamed(models: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): model for name, model in models.items()}


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
        **_renamed(
            default_controls("classes", table=table, columns=screen.features),
            {"profile + LR": "profile + LR" + SPHERED},
        ),
    }
    del models["sphered profile + LR"]
    profile = linear_probe(ProfileFeatures(screen.features))
    normalised, raw = ({"profile + LR" + mark: profile} for mark in (NORMALISED, RAW))
    task = {"task": "classes", "y": screen.label, **options}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        return [
            compare(table, models, **task),
            compare(screen.normalised_wells[named], normalised, **task),
            compare(screen.raw_wells[named], raw, **task),
        ]


def _layout(screen: Screen, embedder: CloomeEmbedder) -> pd.DataFrame:
    fitted = clone(embedder).fit(screen.table)
    profile = ProfileFeatures(screen.features)
    versions = {RAW: screen.raw, NORMALISED: screen.normalised, SPHERED: screen.table}
    return pd.concat(
        [
            layout_test(
                table, fitted if mark == SPHERED else None, profile=profile, random_state=0
            ).rename(index={"profile": screen.feature_name + mark, "embedding": MODEL})
            for mark, table in versions.items()
        ]
    )
