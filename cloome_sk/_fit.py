"""What `fit` of the embedder learns, as attributes to be set when all went well."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from cloome_sk._pairs import one_row_a_bag, positive_groups
from cloome_sk._plan import training_plan
from cloome_sk._start import (
    encoders_for,
    read_start,
    start_weights,
    trainable_patterns,
    untrained_state,
)
from cloome_sk._validation import check_enough
from cloome_sk.encoders import MoleculeEncoder
from cloome_sk.encoders.auto import auto_encoder
from cloome_sk.encoders.base import Encoder, Inputs
from cloome_sk.preprocessing.controls import find_controls

if TYPE_CHECKING:
    from cloome_sk.networks import DualEncoder


def learned(embedder: Any, X: Any) -> dict[str, Any]:
    """Train on the pairs of a table; or, where nothing is to be trained, get ready for it."""
    controls = find_controls(X, embedder.controls)
    if embedder.verbose:
        print(f"CloomeEmbedder: {controls}")
    checkpoint = read_start(embedder)
    if checkpoint is not None and trainable_patterns(embedder) == ():
        return taken_over(embedder, checkpoint, X, controls)
    treated = np.flatnonzero(~controls.mask)
    check_enough(len(treated), len(X), controls)
    if checkpoint is not None:
        phenotype, molecule = encoders_for(embedder, checkpoint)
    else:
        auto = isinstance(embedder.phenotype, str)
        phenotype = auto_encoder(X) if auto else clone(embedder.phenotype)
        molecule = MoleculeEncoder() if embedder.molecule is None else clone(embedder.molecule)
    molecule.fit(X, treated)
    # Vehicle wells often have no structure, and need none.
    molecule_inputs = molecule.inputs(X, optional=controls.mask)
    rows = treated[molecule_inputs.index[treated] >= 0]
    check_enough(len(rows), len(X), controls)
    phenotype_inputs = phenotype.fit_inputs(X, rows, embedder.verbose, controls)
    usable = np.flatnonzero(phenotype_inputs.index >= 0)
    skipped, rows = np.setdiff1d(treated, rows[usable]), rows[usable]
    keys = molecule.keys(X, rows)
    if getattr(phenotype, "pools", False):
        kept = one_row_a_bag(X, rows, phenotype, phenotype_inputs.index[usable], keys)
        usable, rows, keys = usable[kept], rows[kept], keys[kept]
    check_enough(len(rows), len(X), controls)
    groups = positive_groups(X, rows, keys, embedder.positives)

    state, history = embedder._train(
        phenotype,
        molecule,
        phenotype_inputs.take(usable),
        molecule_inputs.take(rows),
        groups,
        start_weights(phenotype, molecule, checkpoint, trainable_patterns(embedder)),
    )
    return {
        "phenotype_": phenotype,
        "molecule_": molecule,
        "controls_": controls,
        "n_pairs_": len(rows),
        "skipped_rows_": skipped,
        "molecules_seen_": np.unique(keys),
        "n_components_": int(embedder.n_components),
        "state_": state,
        "inv_tau_": math.exp(state["log_inv_tau"]),
        "checkpoint_sha256_": None if checkpoint is None else checkpoint.sha256,
        "_history": history,
    }


def trained(
    embedder: Any,
    phenotype: Encoder,
    molecule: Encoder,
    phenotype_inputs: Inputs,
    molecule_inputs: Inputs,
    groups: np.ndarray,
    start: Callable[[DualEncoder], None],
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Train the networks of fitted encoders; weights and history as arrays and numbers."""
    from cloome_sk.training import PairDataset, train_pairs

    n_components = int(embedder.n_components)
    pairs = PairDataset(
        (phenotype_inputs.values, phenotype_inputs.index),
        (molecule_inputs.values, molecule_inputs.index),
        groups,
    )
    return train_pairs(
        partial(phenotype.make_network, n_components),
        partial(molecule.make_network, n_components),
        pairs,
        training_plan(embedder),
        start,
    )


def taken_over(embedder: Any, checkpoint: Any, X: Any = None, controls: Any = None) -> dict:
    """Take the weights of a checkpoint as they are, for the images and molecules of any table."""
    phenotype, molecule = encoders_for(embedder, checkpoint)
    if X is not None and phenotype.learns:
        rows = np.flatnonzero(~controls.mask)
        _hold_no_pixels(phenotype)
        phenotype.fit_inputs(X, rows, embedder.verbose, controls)
    else:
        phenotype.ready(X)
    molecule.ready(X, n_inputs=checkpoint.n_bits)
    state = untrained_state(phenotype, molecule, checkpoint)
    return {
        "phenotype_": phenotype,
        "molecule_": molecule,
        "controls_": controls,
        "n_pairs_": 0,
        "skipped_rows_": np.zeros(0, dtype=np.intp),
        "molecules_seen_": np.zeros(0, dtype=object),
        "n_components_": checkpoint.n_components,
        "state_": state,
        "inv_tau_": checkpoint.inv_tau,
        "checkpoint_sha256_": checkpoint.sha256,
        "_history": [],
    }


def _hold_no_pixels(phenotype: Any) -> None:
    """Have images read for what is learned of them alone: there are no epochs to keep them for."""
    images = getattr(phenotype, "encoder", phenotype)
    cache = getattr(images, "cache", None)
    if isinstance(cache, str) and cache == "memory":
        images.set_params(cache=None)
