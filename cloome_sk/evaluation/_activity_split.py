"""Every assay of one split: probes of all models on the same folds, and what each assay has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from cloome_sk.baselines.assay_probe import AssayProbe
from cloome_sk.evaluation._activity_folds import (
    Molecules,
    molecule_features,
    probed,
    scored_folds,
)
from cloome_sk.evaluation._activity_scores import FoldScores, assay_scores
from cloome_sk.evaluation._activity_weighted import RankedFold
from cloome_sk.evaluation._training_seen import leakage_of
from cloome_sk.model_selection._seen import parts

Fold = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Probed:
    """A model in a fold: its probe, the scores of the test molecules, and where it comes from.

    ``leak`` is the leakage report of the model under test, ``checkpoint`` the SHA-256 of the
    weights that a part of the model started from, if any.
    """

    probe: AssayProbe
    scores: np.ndarray
    leak: dict[str, Any] | None
    checkpoint: str | None


@dataclass
class ScoredSplit:
    """What one split found.

    Attributes
    ----------
    split : str
        Its name.
    groups : ndarray, shape (n_molecules,)
        What is new in test as a whole.
    assays, excluded : list of dict
        Rows of the tables of a study; those of `assays` hold ``auprc_chance`` and ``auroc_sd``,
        too.
    folds : dict of str to dict of str to list of list of RankedFold
        Of each part and model: of each assay, its test folds.
    leakage : list of dict
        Of each fold.
    remarks : list of str
        How C was chosen, and models that start from a checkpoint.
    """

    split: str
    groups: np.ndarray
    assays: list[dict[str, Any]] = field(default_factory=list)
    excluded: list[dict[str, Any]] = field(default_factory=list)
    folds: dict[str, dict[str, list[list[RankedFold]]]] = field(default_factory=dict)
    leakage: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What is the same for all splits, as in `study_activity`."""

    models: Mapping[str, Any]
    model: str
    X: pd.DataFrame | None
    molecules: Molecules
    kinds: Sequence[str]
    enough: np.ndarray
    min_per_class: int
    standardize: Collection[str]
    probe: AssayProbe
    n_folds: int
    seed: int
    n_jobs: int | None
    verbose: int


def scored_split(asked: Asked, split: str) -> ScoredSplit:
    """Probe all models in all folds of a split, and score every assay."""
    groups, folds = asked.molecules.splits(split, asked.n_folds, asked.seed)
    jobs = [(name, number) for name in asked.models for number in range(len(folds))]
    # A process is sent the features of the model that it probes, and no others.
    alone = {name: replace(asked, models={name: made}) for name, made in asked.models.items()}
    done = Parallel(n_jobs=asked.n_jobs, verbose=asked.verbose)(
        delayed(_one)(alone[name], split, groups, name, number, folds[number])
        for name, number in jobs
    )
    results = dict(zip(jobs, done, strict=True))
    found = ScoredSplit(split, groups)
    for assay in range(len(asked.molecules.names)):
        _score_assay(found, asked, folds, results, assay)
    own = [results[asked.model, number] for number in range(len(folds))]
    found.leakage += [one.leak for one in own if one.leak is not None]
    found.remarks.append(_about_choice([one.probe for one in own], split))
    for name in asked.models:
        sha = results[name, 0].checkpoint
        if sha is not None:
            found.remarks.append(
                f"Unseen {split}s: {name} starts from weights of a checkpoint (SHA-256 "
                f"{sha[:8]}...), and which molecules that was trained on is not known."
            )
    return found


def _one(
    asked: Asked, split: str, groups: np.ndarray, name: str, number: int, fold: Fold
) -> Probed:
    """Probe one model in one fold."""
    molecules = asked.molecules
    try:
        features, fitted = molecule_features(name, asked.models[name], asked.X, molecules, fold[0])
        probe, scores = probed(
            asked.probe, features, molecules, groups, fold, name in asked.standardize
        )
        leak = None
        if name == asked.model:
            claim = ("molecule",) if split == "molecule" else ("molecule", "scaffold")
            known, new = (pd.DataFrame({"smiles": molecules.smiles[rows]}) for rows in fold)
            part = f"unseen {split}s"
            leak = leakage_of(part, number, known, new, claim, fitted=fitted, controls=None)
    except Exception as error:
        error.add_note(f"study_activity: model {name!r}, fold {number} of unseen {split}s.")
        raise
    started = (getattr(part, "checkpoint_sha256_", None) for part in parts(fitted))
    return Probed(probe, scores, leak, next((str(sha) for sha in started if sha), None))


def _score_assay(
    found: ScoredSplit,
    asked: Asked,
    folds: list[Fold],
    results: Mapping[tuple[str, int], Probed],
    assay: int,
) -> None:
    """Add an assay of all models to what was found, or to what is left out."""
    Y, name = asked.molecules.Y, asked.molecules.names[assay]
    part = f"{asked.kinds[assay]}, unseen {found.split}s".removeprefix(", ")
    here = {"part": part, "assay": name}
    y = Y[:, assay]
    usable = scored_folds(Y, folds, assay)
    scored = [folds[number][1][known] for number, known in usable]
    labels = y[np.concatenate(scored)] if scored else np.zeros(0)
    counts = {"n_active": int((labels == 1).sum()), "n_inactive": int((labels == 0).sum())}
    if not asked.enough[assay] or min(counts.values()) < asked.min_per_class:
        reason = f"fewer than {asked.min_per_class} of a label"
        if asked.enough[assay]:
            reason += " in folds with both labels in training and in test"
        else:
            counts = {"n_active": int((y == 1).sum()), "n_inactive": int((y == 0).sum())}
        found.excluded.append({**here, **counts, "reason": reason})
        return
    of_part = found.folds.setdefault(part, {model: [] for model in asked.models})
    for model in asked.models:
        both = [
            (y[rows] == 1, results[model, number].scores[known, assay])
            for (number, known), rows in zip(usable, scored, strict=True)
        ]
        chosen = [results[model, number].probe.C_[assay] for number, _ in usable]
        figures = assay_scores([FoldScores(*one) for one in both])
        more = {"C": np.median(chosen), "n_folds": len(usable)}
        found.assays.append({**here, "model": model, **figures, **more})
        of_part[model].append(
            [RankedFold.of(rows, *one) for rows, one in zip(scored, both, strict=True)]
        )


def _about_choice(probes: Sequence[AssayProbe], split: str) -> str:
    fallback = sum(probe.n_fallback_ for probe in probes)
    one_class = sum(probe.n_one_class_ for probe in probes)
    n = sum(len(probe.C_) for probe in probes)
    return (
        f"Unseen {split}s: C was chosen by inner folds for {n - fallback - one_class} of the {n} "
        f"fits ({len(probes)} folds), for {fallback} with too few of a label by the other assays; "
        f"{one_class} had one label or none in training and were not predicted."
    )
