"""What `fit` of the supervised embedder learns, as attributes to be set when all went well."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import compute_class_weight

from cloome_sk._tables import row_name, shown
from cloome_sk.baselines._phenotype_fit import (
    check_enough,
    chosen_controls,
    fit_plan,
    fitted_inputs,
    trained_molecules,
)
from cloome_sk.baselines._supervised_targets import (
    WHO,
    Targets,
    named_columns,
    read_targets,
    untold_columns,
)
from cloome_sk.encoders.base import Encoder, Inputs


def learned(embedder: Any, X: Any, y: Any) -> dict[str, Any]:
    """Train on the labelled rows of a table."""
    controls = chosen_controls(embedder, X, WHO)
    targets = read_targets(X, y, embedder.target)
    rows = np.flatnonzero(targets.labelled)
    check_enough(rows, X, "have a label", WHO)
    phenotype, inputs = fitted_inputs(embedder, X, rows, controls)
    read = np.flatnonzero(inputs.index >= 0)
    check_enough(read, X, "have a label and can be read", WHO)
    seen = trained_molecules(X, rows[read], controls, WHO)
    kept = _one_a_bag(X, rows, read, phenotype, inputs, targets)
    check_enough(kept, X, "have a label and can be read, bags counted once", WHO)
    used = rows[kept]
    values, center, scale = _scaled(targets, used, embedder.target)
    unknown = _check_columns(targets, used, embedder.target)
    state, history = _trained(embedder, phenotype, inputs.take(kept), targets, values)
    found = {
        "phenotype_": phenotype,
        "state_": state,
        "controls_": controls,
        "n_components_": int(embedder.n_components),
        "n_outputs_": targets.n_outputs,
        "n_trained_": len(used),
        "unlabelled_rows_": np.flatnonzero(~targets.labelled & ~controls.mask),
        "skipped_rows_": np.setdiff1d(rows, rows[read]),
        "_target": embedder.target,
        "_flat": targets.flat,
        "_center": center,
        "_scale": scale,
        "_unknown": unknown,
        "_history": history,
    }
    if targets.classes is not None:
        found["classes_"] = targets.classes
    else:
        found["target_names_"] = targets.names
    if seen is not None:
        found["molecules_seen_"] = seen
    return found


def _one_a_bag(
    X: Any, rows: np.ndarray, read: np.ndarray, phenotype: Encoder, inputs: Inputs, targets: Targets
) -> np.ndarray:
    """Places that are trained on: each input once where several rows share one."""
    if not getattr(phenotype, "pools", False):
        return read
    _, first, bag = np.unique(inputs.index[read], return_index=True, return_inverse=True)
    labels = targets.values[rows[read]].reshape(len(read), -1)
    here, there = labels, labels[first][bag]
    odd = ((here != there) & ~(np.isnan(here) & np.isnan(there))).any(axis=1)
    if odd.any():
        row = int(rows[read][np.argmax(odd)])
        raise ValueError(
            f"{WHO}: {len(np.unique(bag[odd]))} of {len(first)} bag(s) have rows of several "
            f"labels, such as {row_name(X, row)}: a bag is one training sample. Choose group_by= "
            "so that the rows of a bag share their label."
        )
    return read[np.sort(first)]


def _scaled(
    targets: Targets, rows: np.ndarray, target: str
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Labels as the loss takes them; for numbers, with what they were centred and scaled by."""
    values = targets.values[rows]
    if target == "classes":
        return values.astype(np.int64), None, None
    if target == "assays":
        return values.astype(np.float32), None, None
    empty = np.flatnonzero(np.isnan(values).all(axis=0))
    if len(empty):
        raise ValueError(
            f"{WHO}: {len(empty)} of {targets.n_outputs} target(s) have no value in the rows that "
            f"are trained on: {named_columns(targets, empty)}. Leave them out of y."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        center, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    large = np.flatnonzero(~np.isfinite(scale))
    if len(large):
        raise ValueError(
            f"{WHO}: {len(large)} target(s) have values too large to be standardised: "
            f"{named_columns(targets, large)}. Give them in another unit."
        )
    # A target that never changes is predicted as what it is; rounding must not become its scale.
    scale[scale <= 1e-12 * np.maximum(1.0, np.abs(center))] = 1.0
    return ((values - center) / scale).astype(np.float32), center, scale


def _check_columns(targets: Targets, rows: np.ndarray, target: str) -> np.ndarray:
    """Which outputs nothing is known of; an error where nothing can be learned."""
    unknown = np.zeros(targets.n_outputs, dtype=bool)
    if target == "classes":
        assert targets.classes is not None  # for the type checker
        gone = np.setdiff1d(np.arange(targets.n_outputs), targets.values[rows])
        if len(gone):
            raise ValueError(
                f"{WHO}: no row can be read of class(es) "
                f"{shown(map(repr, targets.classes[gone].tolist()))}."
            )
    if target == "assays":
        empty, single = untold_columns(targets, rows)
        n_useless = len(empty) + len(single)
        if n_useless == targets.n_outputs:
            raise ValueError(
                f"{WHO}: none of {targets.n_outputs} assay(s) has active and inactive rows, so "
                "there is nothing to tell apart: all results are of one class."
            )
        if n_useless:
            warnings.warn(
                f"{WHO}: {len(empty)} of {targets.n_outputs} assay(s) have no result in the rows "
                f"that are trained on ({named_columns(targets, empty) or 'none'}), and are "
                f"predicted as NaN; {len(single)} have results of one class only "
                f"({named_columns(targets, single) or 'none'}), and are predicted as that class.",
                stacklevel=4,
            )
        unknown[empty] = True
    return unknown


def _trained(
    embedder: Any, phenotype: Encoder, inputs: Inputs, targets: Targets, values: np.ndarray
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    from cloome_sk.training.supervised import LabelledDataset, train_labels

    plan = fit_plan(embedder)
    weight = None
    if targets.classes is not None and embedder.class_weight is not None:
        weight = compute_class_weight(
            embedder.class_weight, classes=targets.classes, y=targets.classes[values]
        )
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
            raise ValueError(
                f"{WHO}: class_weight={embedder.class_weight!r} must give weights of zero or more, "
                "not all of them zero."
            )
    n_components = int(embedder.n_components)
    return train_labels(
        partial(phenotype.make_network, n_components),
        n_components,
        targets.n_outputs,
        LabelledDataset((inputs.values, inputs.index), values),
        embedder.target,
        plan,
        weight=weight,
        start=lambda network: phenotype.load_weights(network.phenotype),
    )
