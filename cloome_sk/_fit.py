"""What `fit` of the embedder learns, as attributes to be set when all went well."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from cloome_sk._identity import training_name
from cloome_sk._plan import embedding_precision, training_plan
from cloome_sk._samples import Samples, held_out, held_samples, samples, validation_samples
from cloome_sk._start import (
    encoders_for,
    read_start,
    start_weights,
    trainable_patterns,
    untrained_state,
)
from cloome_sk._validation import check_enough, check_held_out_table, named
from cloome_sk._warm_start import as_arrays, check_same_file, encoders_again, objective_again
from cloome_sk.encoders import MoleculeEncoder
from cloome_sk.encoders.auto import auto_encoder
from cloome_sk.encoders.base import Encoder
from cloome_sk.preprocessing.controls import find_controls

if TYPE_CHECKING:
    from cloome_sk.networks import DualEncoder
    from cloome_sk.training import TrainingPlan


def learned(embedder: Any, X: Any, resume: bool) -> dict[str, Any]:
    """Train on the pairs of a table; or, where nothing is to be trained, get ready for it."""
    controls = find_controls(X, embedder.controls)
    if embedder.verbose:
        print(f"CloomeEmbedder: {controls}")
    checkpoint = read_start(embedder)
    if checkpoint is not None and trainable_patterns(embedder) == ():
        return taken_over(embedder, checkpoint, X, controls)
    treated = np.flatnonzero(~controls.mask)
    check_enough(len(treated), len(X), controls)
    plan = training_plan(embedder)
    again = embedder.warm_start and hasattr(embedder, "state_")
    if again:
        check_same_file(embedder, checkpoint)
        phenotype, molecule = encoders_again(embedder)
        plan = replace(plan, objective=objective_again(plan.objective, embedder.objective_state_))
        checkpoint = None
    else:
        phenotype, molecule = _fresh_encoders(embedder, X, checkpoint)
        molecule.fit(X, treated)
    # Vehicle wells often have no structure, and need none.
    molecule_inputs = molecule.inputs(X, optional=controls.mask)
    rows = treated[molecule_inputs.index[treated] >= 0]
    check_enough(len(rows), len(X), controls)
    keys = molecule.keys(X, rows)
    # What an earlier fit was trained on, a warm start cannot be validated with.
    before = embedder.molecules_seen_ if again else keys[:0]
    held = _held_rows(embedder, keys, before, plan.seed)
    known = rows[~held]
    check_enough(len(known), len(X), controls)
    if again:
        phenotype_inputs = phenotype.read_inputs(X, known, embedder.verbose)
    else:
        if held.any() and molecule.learns:
            molecule.fit(X, known)
            molecule_inputs = molecule.inputs(X, optional=controls.mask)
        phenotype_inputs = phenotype.fit_inputs(X, known, embedder.verbose, controls)
    found = samples(
        X,
        known,
        keys[~held],
        phenotype,
        phenotype_inputs,
        molecule_inputs.take(known),
        embedder.positives,
        {"plates": embedder.batch_plates, "balance": embedder.batch_labels},
    )
    check_enough(len(found.rows), len(X), controls)
    table, valid = embedder.validation, None
    if held.any():
        with named(f"the rows that validation={table} holds out"):
            inputs = molecule_inputs.take(rows[held])
            of = (rows[held], keys[held], phenotype, inputs, embedder.positives, embedder.verbose)
            valid = held_samples(X, *of)
    elif table is not None:
        check_held_out_table(table, X)
        trained_on = np.concatenate([found.keys, before])
        with named("the table of validation="):
            valid = validation_samples(
                table,
                phenotype,
                molecule,
                controls,
                embedder.controls,
                trained_on,
                embedder.positives,
                embedder.verbose,
            )
    start = (
        partial(_put_state, embedder.state_)
        if again
        else start_weights(phenotype, molecule, checkpoint, trainable_patterns(embedder))
    )
    sha256 = None if checkpoint is None else checkpoint.sha256
    prepared = (phenotype, molecule, found, valid, plan, start, resume, sha256)
    state, history, objective_state = embedder._train(*prepared)
    skipped = [np.setdiff1d(treated, rows), found.skipped]
    if held.any() and valid is not None:
        skipped.append(valid.skipped)
    return {
        "phenotype_": phenotype,
        "molecule_": molecule,
        "controls_": controls,
        "n_pairs_": len(found.rows),
        "skipped_rows_": np.unique(np.concatenate(skipped)),
        "molecules_seen_": _seen(embedder if again else None, found, valid),
        "n_components_": int(embedder.n_components),
        "state_": state,
        "objective_state_": objective_state,
        "inv_tau_": math.exp(state["log_inv_tau"]),
        "checkpoint_sha256_": embedder.checkpoint_sha256_ if again else sha256,
        "_history": history,
    }


def _fresh_encoders(embedder: Any, X: Any, checkpoint: Any) -> tuple[Encoder, MoleculeEncoder]:
    if checkpoint is not None:
        return encoders_for(embedder, checkpoint)
    auto = isinstance(embedder.phenotype, str)
    return (
        auto_encoder(X) if auto else clone(embedder.phenotype),
        MoleculeEncoder() if embedder.molecule is None else clone(embedder.molecule),
    )


def _held_rows(embedder: Any, keys: np.ndarray, before: np.ndarray, seed: int) -> np.ndarray:
    held = np.zeros(len(keys), dtype=bool)
    if not isinstance(embedder.validation, Real):
        return held
    share = float(embedder.validation)
    new = ~np.isin(keys.astype(str), before.astype(str))
    if new.all():
        return held_out(keys, share, seed)
    if not new.any():
        raise ValueError(
            f"validation={share} holds out molecules that were never trained on, and all "
            f"{len(np.unique(keys))} molecules of X were seen by the earlier fit, which "
            "warm_start=True goes on from. Give validation= a table of other molecules, or None; "
            "or begin anew with warm_start=False."
        )
    with named(
        "the molecules of X that the earlier fit, which warm_start=True goes on from, lacked"
    ):
        held[new] = held_out(keys[new], share, seed)
    return held


def _seen(before: Any, found: Samples, valid: Samples | None) -> np.ndarray:
    """Molecules that were trained on, or that decided which weights were kept."""
    parts = [found.keys]
    if valid is not None:
        parts.append(valid.keys)
    if before is not None:
        parts.append(before.molecules_seen_)
    return np.unique(np.concatenate(parts))


def _put_state(state: dict[str, np.ndarray], network: DualEncoder) -> None:
    import torch

    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: value.shape for name, value in state.items()}
    if own != given:
        raise ValueError(
            "warm_start=True goes on from the weights of the earlier fit, whose network has other "
            "sizes than these parameters ask for. Set warm_start=False, or the parameters back."
        )
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})


def trained(
    embedder: Any,
    phenotype: Encoder,
    molecule: Encoder,
    found: Samples,
    valid: Samples | None,
    plan: TrainingPlan,
    start: Callable[[DualEncoder], None],
    resume: bool,
    sha256: str | None,
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]], dict[str, np.ndarray]]:
    """Train the networks of fitted encoders; weights, history, and the state of the objective."""
    from cloome_sk.training import train_pairs
    from cloome_sk.training.progress import Progress
    from cloome_sk.training.schedules import checked
    from cloome_sk.training.snapshots import Snapshots
    from cloome_sk.training.validation import Validation

    if plan.schedule is not None:
        plan = replace(plan, schedule=partial(checked, plan.schedule))
    pairs = found.pairs()
    valid_pairs = None if valid is None else valid.pairs()
    snapshots = None
    if embedder.checkpoint_dir is not None:
        datasets = {"training": pairs, "validation": valid_pairs}
        name = training_name(embedder, plan.seed, datasets, found.batching, sha256)
        snapshots = Snapshots(embedder.checkpoint_dir, name)
    progress = Progress(
        validation=None
        if valid_pairs is None
        else Validation(valid_pairs, plan.device, embedding_precision(plan.precision)),
        monitor=embedder.monitor,
        patience=embedder.early_stopping,
        keep_best=embedder.keep == "best",
        snapshots=snapshots,
        every=embedder.checkpoint_every,
        resume=resume,
    )
    n_components = int(embedder.n_components)
    state, history = train_pairs(
        partial(phenotype.make_network, n_components),
        partial(molecule.make_network, n_components),
        pairs,
        plan,
        start,
        progress,
        found.batching,
        embedder.callbacks or (),
    )
    return state, history, as_arrays(progress.objective_state)


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
        "objective_state_": {},
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
