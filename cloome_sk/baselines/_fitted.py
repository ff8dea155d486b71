"""A fitted model as the comparison uses it: what it embeds, what it has seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from cloome_sk._embedding import FittedEmbedder


def unwrapped(model: Any) -> FittedEmbedder:
    """The embedder inside `FrozenEstimator` and `Pipeline`, with the steps before it."""
    steps: list[Any] = []
    while isinstance(model, FrozenEstimator | Pipeline):
        if isinstance(model, FrozenEstimator):
            model = model.estimator
        else:
            *before, model = [step for _, step in model.steps]
            steps += [step for step in before if step is not None and step != "passthrough"]
    return FittedEmbedder(model, tuple(steps))


def embeds(model: Any, modality: str) -> bool:
    """Whether a model, fitted or not, has embeddings of a modality."""
    return hasattr(unwrapped(model).embedder, f"embed_{modality}s")


def phenotype_function(embed: Any) -> Callable[[pd.DataFrame], np.ndarray]:
    """How rows of a table are embedded by an embedder, or by a function."""
    if embeds(embed, "phenotype"):
        fitted = unwrapped(embed)
        return lambda X: fitted.embed(X, "phenotype")
    if callable(embed):
        return embed
    raise TypeError(
        "embed must be a fitted embedder with `embed_phenotypes`, or a function from a table to an "
        f"array; got {type(embed).__name__}."
    )


def pooled(vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Mean of the unit vectors of each code; NaN where none has a direction, or they cancel."""
    there = ~np.isnan(vectors).any(axis=1)
    sums = np.zeros((int(codes.max()) + 1, vectors.shape[1]))
    np.add.at(sums, codes[there], vectors[there].astype(np.float64))
    sums[~sums.any(axis=1)] = np.nan
    return sums
