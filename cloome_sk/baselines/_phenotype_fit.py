"""What fits of a phenotype network share: rows, inputs, how to train, and the molecules seen."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from cloome_sk._device import resolve_device
from cloome_sk._plan import chosen_precision, chosen_schedule
from cloome_sk._tables import match_column, row_name
from cloome_sk.encoders.auto import auto_encoder
from cloome_sk.encoders.base import Encoder, Inputs
from cloome_sk.molecules import as_smiles, invalid_smiles, molecule_key
from cloome_sk.preprocessing.controls import ControlRows, find_controls

if TYPE_CHECKING:
    from cloome_sk.training.fitting import FitPlan

PARAMETERS: dict[str, list[Any]] = {
    "phenotype": [StrOptions({"auto"}), HasMethods(["fit_inputs", "inputs", "make_network"])],
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "schedule": [StrOptions({"one-cycle", "cosine", "cosine-restarts"}), callable, None],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "controls": [StrOptions({"auto"}), tuple, None],
    "precision": [StrOptions({"auto", "fp32", "bf16", "fp16"})],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
"""What is allowed of the parameters that all fits of a phenotype network have."""


def chosen_controls(embedder: Any, X: Any, who: str) -> ControlRows:
    """Find the negative controls, and say which they are where that is asked for."""
    controls = find_controls(X, embedder.controls)
    if embedder.verbose:
        print(f"{who}: {controls}")  # noqa: T201
    return controls


def fitted_inputs(
    embedder: Any, X: Any, rows: np.ndarray, controls: ControlRows
) -> tuple[Encoder, Inputs]:
    """Fit the encoder that the embedder asks for on some rows; with their inputs."""
    auto = isinstance(embedder.phenotype, str)
    phenotype = auto_encoder(X) if auto else clone(embedder.phenotype)
    return phenotype, phenotype.fit_inputs(X, rows, embedder.verbose, controls)


def check_enough(rows: np.ndarray, X: Any, what: str, who: str) -> None:
    """Refuse to train on fewer than two samples."""
    if len(rows) < 2:
        raise ValueError(
            f"{who}: {len(rows)} of n_samples={len(X)} row(s) {what}; at least two are needed."
        )


def fit_plan(embedder: Any, **more: Any) -> FitPlan:
    """Read how to train; draws the seed, which advances a `RandomState` the user gave."""
    from cloome_sk.training.fitting import FitPlan

    device = resolve_device(embedder.device)
    rng = check_random_state(embedder.random_state)
    return FitPlan(
        lr=embedder.lr,
        weight_decay=embedder.weight_decay,
        schedule=chosen_schedule(embedder.schedule),
        batch_size=int(embedder.batch_size),
        max_epochs=int(embedder.max_epochs),
        seed=int(rng.randint(np.iinfo(np.int32).max)),
        device=device,
        verbose=embedder.verbose,
        precision=chosen_precision(embedder.precision, device),
        **more,
    )


def trained_molecules(
    X: Any, rows: np.ndarray, controls: ControlRows, who: str
) -> np.ndarray | None:
    """Keys of the molecules of some rows; None where the table does not say."""
    if not isinstance(X, pd.DataFrame):
        return None
    if not any(str(name).lower().removeprefix("metadata_") == "smiles" for name in X.columns):
        return None
    column = match_column(X, "smiles", purpose=who)
    smiles = as_smiles(X[column].iloc[rows])
    bad = invalid_smiles(smiles)
    named = np.setdiff1d(np.arange(len(rows)), list(bad))
    # Vehicle wells often have no structure, and need none.
    lost = [(rows[place], why) for place, why in bad.items() if not controls.mask[rows[place]]]
    if lost:
        row, why = lost[0]
        warnings.warn(
            f"{who}: {len(lost)} row(s) that are trained on have no readable structure in column "
            f"{column!r}, first {row_name(X, int(row))}, which {why}. Their molecules are not "
            "in `molecules_seen_`, so no leakage report can find them in a test set.",
            stacklevel=5,
        )
    return np.unique(molecule_key(smiles[named])) if len(named) else np.zeros(0, dtype=object)
