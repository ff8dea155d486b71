"""What the bioisostere study refuses, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from cloome_sk.baselines._fitted import embeds
from cloome_sk.evaluation._training_seen import check_trained_before
from cloome_sk.evaluation.annotations import named_columns
from cloome_sk.evaluation.bioisostere_folds import (
    PROFILE_RANKINGS,
    PURPOSE,
    STRUCTURE_KNOWN,
    Setting,
)

CANDIDATES = ("held-out", "all")


def checked_models(models: Any, model: str | None) -> str:
    """Refuse what is no mapping of embedders; give the name of the model under test."""
    if not isinstance(models, Mapping) or not models:
        raise TypeError(
            f"{PURPOSE}: models must be a dict of names and estimators, got "
            f"{'none' if isinstance(models, Mapping) else type(models).__name__}."
        )
    for name, estimator in models.items():
        for modality in ("phenotype", "molecule"):
            if not embeds(estimator, modality):
                raise TypeError(
                    f"{PURPOSE}: model {name!r} ({type(estimator).__name__}) has no "
                    f"embed_{modality}s, so it ranks no structures for a phenotype."
                )
        if name in (STRUCTURE_KNOWN, *PROFILE_RANKINGS):
            raise ValueError(
                f"{PURPOSE}: {name!r} is added by the study; call the model otherwise."
            )
        check_trained_before(name, estimator, PURPOSE)
    if model is not None and model not in models:
        raise ValueError(
            f"{PURPOSE}: model={model!r} is none of the models: {', '.join(map(repr, models))}."
        )
    return next(iter(models)) if model is None else model


def checked_numbers(
    ks: Any, headline_k: Any, candidates: Any, near: Any, edges: Any
) -> tuple[int, ...]:
    """Refuse numbers out of range; give the numbers of hits."""
    if isinstance(ks, str) or not isinstance(ks, Sequence) or not len(ks):
        raise TypeError(f"{PURPOSE}: ks must be a list of numbers of hits, got {ks!r}.")
    for k in ks:
        if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
            raise ValueError(f"{PURPOSE}: ks must be whole numbers of at least 1, got {k!r}.")
    if len(set(ks)) != len(ks):
        raise ValueError(f"{PURPOSE}: ks has a number twice: {list(ks)}.")
    if headline_k not in ks:
        raise ValueError(f"{PURPOSE}: headline_k={headline_k!r} is none of ks={list(ks)}.")
    if candidates not in CANDIDATES:
        raise ValueError(f"{PURPOSE}: candidates must be 'held-out' or 'all', got {candidates!r}.")
    if isinstance(near, bool) or not isinstance(near, Real) or not 0 < float(near) <= 1:
        raise ValueError(f"{PURPOSE}: near must be a Tanimoto similarity in (0, 1], got {near!r}.")
    values = np.asarray(edges, dtype=object)
    good = values.ndim == 1 and all(
        isinstance(v, Real) and not isinstance(v, bool) and 0 < float(v) < 1 for v in values
    )
    if not good or (np.diff(values.astype(float)) <= 0).any():
        raise ValueError(
            f"{PURPOSE}: tanimoto_bins must be ascending edges between 0 and 1, got {edges!r}."
        )
    return tuple(int(k) for k in ks)


def checked_shared(shared: Any) -> dict[str, str]:
    """Columns of annotations by name, at least one."""
    found = named_columns(shared, PURPOSE)
    if not found:
        raise ValueError(f"{PURPOSE}: shared= names no column that molecules could share.")
    return found


def check_asked(asked: list[Any], setting: Setting) -> None:
    """Refuse a table in which no hit could be right, or none is outside the first k."""
    for label in setting.terms:
        own = [q for questions, _ in asked for q in questions if q.part in setting.parts(label)]
        if not own:
            raise ValueError(
                f"{PURPOSE}: no unseen molecule shares a {label} with another candidate of its "
                f"fold ({sum(map(bool, setting.terms[label]))} of {len(setting.molecules)} "
                "molecules are annotated). Fewer folds, or candidates='all', leave more to find; "
                "or separator= does not divide the terms."
            )
        if all(len(q.columns) <= min(setting.ks) for q in own):
            raise ValueError(
                f"{PURPOSE}: with k={min(setting.ks)} all candidates with a {label} would be hits. "
                "Ask for fewer, or use candidates='all' or fewer folds."
            )
