"""How a fitted embedder is used by the estimators that search and classify its embeddings."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted, validate_data

from cloome_sk._nearest import CHUNK, blocks
from cloome_sk._tables import profile_columns, row_name, shown
from cloome_sk.molecules import as_smiles

_METHODS = {"phenotype": "embed_phenotypes", "molecule": "embed_molecules"}


@dataclass(frozen=True)
class FittedEmbedder:
    """A fitted embedder and the transformers of the table that come before it.

    Attributes
    ----------
    embedder : object
        Has `embed_phenotypes` and `embed_molecules`.
    steps : tuple of transformers
        Applied to a table, in order, before it is embedded.
    """

    embedder: Any
    steps: tuple[Any, ...] = ()

    def embed(self, X: Any, modality: str) -> np.ndarray:
        """Unit vectors of the rows that `as_rows` returned, NaN where a row has no embedding."""
        n_rows = len(X)
        rows = X
        if rows.ndim == 1:
            rows = list(X)
        else:
            for step in self.steps:
                rows = step.transform(rows)
        Z = np.asarray(getattr(self.embedder, _METHODS[modality])(rows))
        if Z.ndim != 2 or len(Z) != n_rows:
            raise ValueError(
                f"{type(self.embedder).__name__}.{_METHODS[modality]} returned an array of shape "
                f"{Z.shape} for {n_rows} row(s); expected one vector a row."
            )
        missing = np.isnan(Z).all(axis=1)
        broken = ~missing & ~(np.isfinite(Z).all(axis=1) & Z.any(axis=1))
        if broken.any():
            row = int(np.argmax(broken))
            raise ValueError(
                f"{type(self.embedder).__name__}.{_METHODS[modality]} gave {row_name(X, row)} a "
                "vector that has no direction: it is zero, or partly NaN or infinite "
                f"({int(broken.sum())} such row(s))."
            )
        out = np.full(Z.shape, np.nan, dtype=Z.dtype)
        out[~missing] = unit_rows(Z[~missing])
        return out

    @property
    def structure_column(self) -> Hashable:
        """The column of structures that the molecule encoder reads, if it says so."""
        names = getattr(getattr(self.embedder, "molecule_", None), "column_names_", None) or []
        return names[0] if len(names) == 1 else None

    def is_feature(self, table: pd.DataFrame) -> np.ndarray:
        """Which columns are numbers that an encoder reads, or CellProfiler measurements."""
        read: set[Hashable] = set(profile_columns(table))
        for side in ("phenotype_", "molecule_"):
            encoder = getattr(self.embedder, side, None)
            read.update(getattr(encoder, "column_names_", None) or [])
        numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes]
        return np.array(table.columns.isin(list(read)) & numeric, dtype=bool)

    def control_rows(self, X: Any) -> np.ndarray:
        """Which rows of a table are negative controls by the rule the embedder was fitted with.

        An embedder that has no such rule, because its table had no controls or because it keeps
        none, is asked for its parameter `controls` instead.
        """
        if not isinstance(X, pd.DataFrame):
            return np.zeros(len(X), dtype=bool)
        from cloome_sk.preprocessing.controls import apply_controls, find_controls

        # Guessing anew could take another column, or other values, than the embedder was trained
        # by. A database without the column, such as a library of molecules, has no controls.
        rule = getattr(getattr(self.embedder, "controls_", None), "rule", None)
        if rule is not None:
            return apply_controls(X, *rule).mask
        controls = getattr(self.embedder, "controls", None)
        if isinstance(controls, tuple):
            column, values = controls
            values = list(values) if pd.api.types.is_list_like(values) else [values]
            return apply_controls(X, column, values).mask
        return find_controls(X, controls).mask


def open_embedder(
    embedder: Any, consumer: BaseEstimator, modalities: Iterable[str]
) -> FittedEmbedder:
    """Look inside `FrozenEstimator` and `Pipeline`, and check that all of it is fitted.

    The parts are shallow copies: training the user's embedder again replaces its attributes and
    must not move the queries to another space than the one the database was embedded in.
    """
    steps: list[Any] = []
    inner = embedder
    while isinstance(inner, FrozenEstimator | Pipeline):
        if isinstance(inner, FrozenEstimator):
            inner = inner.estimator
        else:
            *before, inner = [step for _, step in inner.steps]
            steps += [step for step in before if step is not None and step != "passthrough"]
    for modality in modalities:
        if not hasattr(inner, _METHODS[modality]):
            raise TypeError(
                f"{type(consumer).__name__}: embedder= takes a fitted CloomeEmbedder, bare, in a "
                "FrozenEstimator, or as the last step of a Pipeline; "
                f"{type(inner).__name__} has no method {_METHODS[modality]!r}."
            )
    for part in [*steps, inner]:
        _check_fitted(part, consumer)
    return FittedEmbedder(copy.copy(inner), tuple(copy.copy(step) for step in steps))


def _check_fitted(part: Any, consumer: BaseEstimator) -> None:
    if not hasattr(part, "fit"):
        return
    try:
        check_is_fitted(part)
    except NotFittedError as error:
        name = type(consumer).__name__
        raise NotFittedError(
            f"{name}: the {type(part).__name__} in embedder= is not fitted, and {name} never "
            "trains it: fit it first. Cross-validation and every search over parameters clone "
            "their estimators, and a clone of a bare embedder is unfitted: there, pass "
            f"{name}(FrozenEstimator(embedder)), with FrozenEstimator from sklearn.frozen."
        ) from error


def check_modality(value: str, parameter: str, consumer: BaseEstimator) -> None:
    """Refuse a modality that no embedder has."""
    if value not in _METHODS:
        raise ValueError(
            f"{type(consumer).__name__}: {parameter}={value!r} is not a modality of the embedder; "
            f"use one of {', '.join(map(repr, _METHODS))}."
        )


def as_rows(X: Any, modality: str, purpose: str) -> Any:
    """A table or matrix as it is; for molecules also any list of structures, as a SMILES array."""
    if not (isinstance(X, pd.DataFrame) or (isinstance(X, np.ndarray) and X.ndim > 1)):
        if modality == "phenotype":
            raise TypeError(
                f"{purpose}: phenotypes come as a table (pandas DataFrame) or a matrix (2-D numpy "
                f"array), got {type(X).__name__}."
            )
        X = as_smiles(X)
    if len(X) == 0:
        raise ValueError(f"{purpose}: no rows: got a {type(X).__name__} of shape {X.shape}.")
    return X


def plain_embeddings(estimator: BaseEstimator, X: Any, *, reset: bool) -> np.ndarray:
    """Unit vectors of embeddings that were given as numbers; a zero vector stays one."""
    Z = unit_rows(validate_data(estimator, X, reset=reset, dtype=[np.float64, np.float32]))
    zero = np.flatnonzero(~Z.any(axis=1))
    if len(zero):
        warnings.warn(
            f"{type(estimator).__name__}: {shown_rows(zero)} of X are zero vectors, which have no "
            "direction: their cosine with everything is taken as 0.",
            stacklevel=4,
        )
    return Z


def unit_rows(Z: np.ndarray) -> np.ndarray:
    """Scale finite rows to length one in float64, given back in their own floating type."""
    out = np.empty(Z.shape, dtype=Z.dtype if Z.dtype in (np.float32, np.float64) else np.float64)
    for chunk in blocks(len(Z), CHUNK):
        vectors = Z[chunk].astype(np.float64)
        # Dividing by the largest entry first keeps the squares of very long vectors finite.
        largest = np.abs(vectors).max(axis=1, keepdims=True)
        vectors /= np.where(largest > 0, largest, 1.0)
        length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, np.newaxis]
        out[chunk] = vectors / np.where(length > 0, length, 1.0)
    return out


def missing_rows(Z: np.ndarray) -> np.ndarray:
    """Positions of the rows without an embedding."""
    return np.flatnonzero(np.isnan(Z[:, 0]))


def shown_rows(rows: np.ndarray) -> str:
    """Positions of rows for a message."""
    return f"row{'s' if len(rows) != 1 else ''} {shown(rows)}"
