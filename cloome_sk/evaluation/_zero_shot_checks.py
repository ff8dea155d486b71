"""The parameters of a zero-shot study, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.baselines._fitted import embeds
from cloome_sk.evaluation._training_seen import check_trained_before
from cloome_sk.evaluation._zero_shot_plans import Question
from cloome_sk.evaluation._zero_shot_units import RECOGNISED
from cloome_sk.metrics._checks import check_count, check_ks


def check_question(
    task: Any, reference: Any, k: Any, n_draws: Any, row: str, class_name: str
) -> Question:
    """Check what is asked."""
    for name, value, known in (
        ("task", task, ("molecule", "moa")),
        ("reference", reference, ("phenotype", "molecule")),
    ):
        if value not in known:
            raise ValueError(
                f"study_zero_shot: {name} must be {known[0]!r} or {known[1]!r}, got {value!r}."
            )
    if k is None:
        k = (1,) if reference == "molecule" else (1, 3)
    try:
        counts = check_ks(k)
    except ValueError as error:
        raise ValueError(
            f"study_zero_shot: k must be one or several different whole numbers of at least 1, got "
            f"{k!r}."
        ) from error
    if task == reference == "molecule" and counts != (1,):
        raise ValueError(
            f"study_zero_shot: a molecule has one structure, so k must be 1 there, got {k!r}."
        )
    return Question(
        task, reference, tuple(sorted(counts)), check_count(n_draws, "n_draws"), row, class_name
    )


def check_models(models: Mapping[str, Any], reference: str) -> list[str]:
    """Names of the models, each of which has the methods and may be used."""
    if not isinstance(models, Mapping):
        raise TypeError(
            "study_zero_shot: models is a dict of names and estimators, got "
            f"{type(models).__name__}."
        )
    if not models:
        raise ValueError("study_zero_shot: no models.")
    if RECOGNISED in models:
        raise ValueError(
            f"study_zero_shot: the name {RECOGNISED!r} is that of a figure which the study "
            "computes. Give the model another name."
        )
    for name, model in models.items():
        for modality in dict.fromkeys(("phenotype", reference)):
            if not embeds(model, modality):
                raise TypeError(
                    f"study_zero_shot: model {name!r} ({type(model).__name__}) has no "
                    f"embed_{modality}s, which reference={reference!r} needs."
                )
        check_trained_before(name, model, "study_zero_shot")
    return list(models)


def check_tables(
    tables: Mapping[str, pd.DataFrame] | None, names: list[str]
) -> Mapping[str, pd.DataFrame]:
    """Other tables, each of a model that there is."""
    unknown = [name for name in tables or {} if name not in names]
    if unknown:
        raise ValueError(
            f"study_zero_shot: tables names {shown(map(repr, unknown))}, but the models are "
            f"{shown(map(repr, names))}."
        )
    return tables or {}
