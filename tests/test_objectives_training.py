"""Objectives of all kinds in training: named, learned, reading inputs, and one's own."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import UntrainedEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.objectives import (
    InputCWCL,
    LearnedObjective,
    cosine_weights,
    infoloob,
    infonce,
    siglip,
    tanimoto_weights,
)


@pytest.fixture(scope="module")
def table():
    return make_profiles(n_compounds=20, random_state=0)


def small(**params):
    params = {"n_components": 8, "max_epochs": 3, "batch_size": 32, "lr": 1e-2, **params}
    return CloomeEmbedder(
        phenotype=ProfileEncoder(hidden_sizes=(16,)),
        molecule=MoleculeEncoder(hidden_sizes=(16,), n_bits=64),
        device="cpu",
        random_state=0,
        **params,
    )


def same(one, other):
    return one.state_.keys() == other.state_.keys() and all(
        np.array_equal(one.state_[name], other.state_[name]) for name in one.state_
    )


def scale_free(phenotype, molecule, inv_tau, *, positives):
    """Somebody's own objective: a hinge on each pair, at module level so that it pickles."""
    cosine = phenotype @ molecule.T
    alike = torch.eye(len(cosine), dtype=torch.bool) if positives is None else positives
    return torch.where(alike, 1 - cosine, torch.relu(cosine)).mean()


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("objective", ["siglip", "cwcl", scale_free])
def test_training_lowers_the_objective(table, objective):
    history = small(objective=objective, max_epochs=15).fit(table).history_
    assert history["objective"].iloc[-1] < 0.9 * history["objective"].iloc[0]


@pytest.mark.parametrize(
    ("name", "spelled_out"),
    [
        ("infonce", infonce),
        ("infoloob", partial(infoloob, beta=14.3)),
        ("siglip", LearnedObjective(siglip, {"bias": -10.0})),
        ("cwcl", InputCWCL("molecule", tanimoto_weights)),
    ],
)
def test_a_name_is_the_callable_spelled_out(table, name, spelled_out):
    named = small(objective=name).fit(table)
    start = 10.0 if name == "siglip" else 14.3
    own = small(objective=spelled_out, inv_tau=start, learn_inv_tau=name != "infoloob")
    assert same(named, own.fit(table))


@pytest.mark.parametrize("objective", ["siglip", "cwcl", InputCWCL("phenotype"), scale_free])
def test_two_fits_and_a_clone_agree_to_the_bit(table, objective):
    embedder = small(objective=objective).fit(table)
    first = {name: value.copy() for name, value in embedder.state_.items()}
    embedder.fit(table)
    assert all(np.array_equal(first[name], embedder.state_[name]) for name in first)
    assert same(embedder, clone(embedder).fit(table))


def test_where_the_temperature_starts(table):
    start = {"siglip": 10.0, "infonce": 14.3, "cwcl": 14.3, scale_free: 14.3}
    for objective, expected in start.items():
        fixed = small(objective=objective, learn_inv_tau=False, max_epochs=1).fit(table)
        assert fixed.inv_tau_ == pytest.approx(expected)
    told = small(objective="siglip", inv_tau=20, learn_inv_tau=False, max_epochs=1).fit(table)
    assert told.inv_tau_ == pytest.approx(20)
    untrained = UntrainedEmbedder(small(objective="siglip")).fit(table)
    assert math.exp(untrained.embedder_.state_["log_inv_tau"]) == pytest.approx(10.0)


def test_auto_learns_the_temperature_of_named_objectives_alone(table):
    for objective in ("siglip", "cwcl"):
        learned = small(objective=objective, inv_tau=12.0).fit(table)
        assert learned.inv_tau_ != pytest.approx(12.0, abs=1e-3)
    assert small(objective=infonce).fit(table).inv_tau_ == pytest.approx(14.3)
    assert small(objective=infonce, learn_inv_tau=True).fit(table).inv_tau_ != pytest.approx(14.3)


# ----------------------------------------------------------- learned scalars


def test_the_bias_is_trained_and_in_the_history(table):
    given = LearnedObjective(siglip, {"bias": -10.0})
    embedder = small(objective=given, weight_decay=10.0, schedule=None).fit(table)
    bias = embedder.history_["bias"].to_numpy()
    assert len(bias) == 3
    assert np.unique(bias).size == 3
    # AdamW moves by at most about lr a step; decay of 10 would take it a tenth of the way a step.
    steps = 3 * math.ceil(embedder.n_pairs_ / 32)
    assert abs(bias[-1] + 10.0) <= 1.1 * 1e-2 * steps
    assert given.bias.item() == -10.0, "fit must not change its parameters"
    assert given.bias.grad is None
    assert "bias" not in small().fit(table).history_


def test_the_bias_follows_its_gradient(table):
    """One step of AdamW without a schedule: lr against the sign of the gradient."""
    seen = []

    def recording(phenotype, molecule, inv_tau, bias=-10.0, *, positives):
        bias.register_hook(lambda gradient: seen.append(gradient.item()))
        return siglip(phenotype, molecule, inv_tau, bias, positives=positives)

    objective = LearnedObjective(recording, {"bias": -10.0})
    embedder = small(objective=objective, batch_size=4096, max_epochs=1, schedule=None).fit(table)
    assert len(seen) == 1
    expected = -10.0 - 1e-2 * math.copysign(1.0, seen[0])
    assert embedder.history_["bias"].iloc[0] == pytest.approx(expected, abs=1e-5)


# ------------------------------------------------------------ reading inputs


class Reading:
    """InfoNCE that keeps the inputs it was given."""

    def __init__(self, reads):
        self.reads = reads
        self.seen = []

    def __call__(self, phenotype, molecule, inv_tau, *, inputs, positives):
        self.seen.append((inputs, positives))
        return infonce(phenotype, molecule, inv_tau, positives=positives)


@pytest.mark.parametrize("side", ["molecule", "phenotype"])
def test_inputs_have_a_row_for_each_pair(table, side):
    reading = Reading(side)
    embedder = small(objective=reading, batch_size=4096, max_epochs=1).fit(table)
    ((inputs, positives),) = reading.seen
    assert len(inputs) == len(positives) == embedder.n_pairs_
    if side == "molecule":  # replicates are the same molecule, and so the same bits
        assert inputs.dtype == torch.uint8
        for row, mates in zip(inputs, positives, strict=True):
            assert (inputs[mates] == row).all()
    else:
        encoder = embedder.phenotype_
        treated = table[~embedder.controls_.mask]
        expected = np.sort(encoder.inputs(treated).values, axis=0)
        np.testing.assert_array_equal(np.sort(inputs.numpy(), axis=0), expected)


def test_cwcl_by_phenotype_is_another_objective(table):
    by_molecule, by_profile = (
        small(objective=InputCWCL(side)).fit(table) for side in ("molecule", "phenotype")
    )
    assert not same(by_molecule, by_profile)
    spelled = small(objective=InputCWCL("phenotype", cosine_weights)).fit(table)
    assert same(by_profile, spelled)


def test_positives_are_none_where_each_pair_is_alone(table):
    reading = Reading("molecule")
    small(objective=reading, max_epochs=1, positives="pair").fit(table)
    assert {positives for _, positives in reading.seen} == {None}


# --------------------------------------------------------------------- errors


def no_positives(phenotype, molecule, inv_tau):
    return infonce(phenotype, molecule, inv_tau)


class NoInputs:
    reads = "molecule"

    def __call__(self, phenotype, molecule, inv_tau, *, positives=None):
        return infonce(phenotype, molecule, inv_tau, positives=positives)


def a_number(phenotype, molecule, inv_tau, *, positives=None):
    return 1.0


def a_row_each(phenotype, molecule, inv_tau, *, positives=None):
    return (phenotype * molecule).sum(dim=1)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (no_positives, r"objective\(phenotype, molecule, inv_tau, positives=...\).*'positives'"),
        (NoInputs(), r"positives=..., inputs=...\).*'inputs'"),
        (a_number, "must give a scalar tensor, got float"),
        (a_row_each, r"must give a scalar tensor, got Tensor of shape \(\d+,\)"),
    ],
)
def test_what_is_no_objective(table, objective, message):
    embedder = small(objective=objective)
    with pytest.raises(TypeError, match=message):
        embedder.fit(table)
    assert not hasattr(embedder, "state_")


def test_infoloob_by_name_still_refuses_a_learned_temperature(table):
    with pytest.raises(ValueError, match="no lower bound"):
        small(objective="infoloob", learn_inv_tau=True).fit(table)


def test_nan_of_an_objective_stops_the_training(table):
    def broken(phenotype, molecule, inv_tau, *, positives):
        return infonce(phenotype, molecule, inv_tau) * math.nan

    with pytest.raises(FloatingPointError, match="became nan in epoch 1"):
        small(objective=broken).fit(table)
