"""Weights from inputs, and scalars that an objective learns."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from cloome_sk.objectives import (
    InputCWCL,
    LearnedObjective,
    cosine_weights,
    cwcl,
    infonce,
    siglip,
    tanimoto_weights,
)

SMILES = ["CCO", "CCN", "c1ccccc1O", "c1ccccc1N", "CC(=O)Oc1ccccc1C(=O)O"]


@pytest.fixture
def bits():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=256)
    rows = [generator.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in SMILES]
    return rows, torch.tensor(np.array([list(row) for row in rows], dtype=np.uint8))


def units(seed, n, d=4):
    rng = np.random.default_rng(seed)
    return torch.nn.functional.normalize(torch.tensor(rng.normal(size=(n, d))), dim=1)


# -------------------------------------------------------------------- weights


def test_tanimoto_is_that_of_rdkit(bits):
    fingerprints, rows = bits
    expected = [DataStructs.BulkTanimotoSimilarity(one, fingerprints) for one in fingerprints]
    np.testing.assert_allclose(tanimoto_weights(rows).numpy(), expected, rtol=1e-6)


def test_tanimoto_of_empty_fingerprints_is_zero():
    rows = torch.tensor([[0, 0], [0, 0], [0, 1]], dtype=torch.uint8)
    assert tanimoto_weights(rows).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_rounding_lifts_no_weight_above_one():
    rows = torch.rand(64, 37, generator=torch.Generator().manual_seed(0))
    common, squares = rows @ rows.T, (rows * rows).sum(dim=1)
    assert (common / (squares[:, None] + squares[None, :] - common)).max() > 1
    assert tanimoto_weights(rows).max() == 1


def test_cosine_weights_are_those_of_a_double_loop():
    rows = np.random.default_rng(0).normal(size=(6, 5))
    lengths = [sum(value**2 for value in row) ** 0.5 for row in rows]
    expected = [
        [(1 + float(a @ b) / (la * lb)) / 2 for b, lb in zip(rows, lengths, strict=True)]
        for a, la in zip(rows, lengths, strict=True)
    ]
    np.testing.assert_allclose(cosine_weights(torch.tensor(rows)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("weigh", [cosine_weights, tanimoto_weights])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32])
def test_weights_are_exact_enough_in_any_precision(weigh, dtype):
    rows = torch.tensor(np.random.default_rng(1).integers(0, 2, size=(40, 700)), dtype=dtype)
    exact = weigh(rows.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = weigh(rows)
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    torch.testing.assert_close(found, exact.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weigh", [cosine_weights, tanimoto_weights])
def test_weights_pass_no_gradient(weigh):
    rows = torch.rand(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert not weigh(rows).requires_grad


# ------------------------------------------------------------------ InputCWCL


@pytest.mark.parametrize("side", ["molecule", "phenotype"])
def test_inputs_are_weighed_by_their_kind(side, bits):
    x, z = units(2, 5), units(3, 5)
    profiles = units(4, 5, 9)
    for inputs, weigh in ((bits[1], tanimoto_weights), (profiles, cosine_weights)):
        expected = cwcl(x, z, 14.3, weights=weigh(inputs), modality=side)
        assert torch.equal(InputCWCL(side)(x, z, 14.3, inputs=inputs), expected)


def test_weights_of_ones_own(bits):
    x, z = units(2, 5), units(3, 5)
    sharp = InputCWCL(weigh=lambda rows: tanimoto_weights(rows) ** 4)
    expected = cwcl(x, z, 14.3, weights=tanimoto_weights(bits[1]) ** 4)
    assert torch.equal(sharp(x, z, 14.3, inputs=bits[1]), expected)


@pytest.mark.parametrize(
    ("inputs", "found"),
    [(torch.zeros(5, 3, 8, 8), r"\(5, 3, 8, 8\)"), ((torch.zeros(5, 2),), "tuple")],
)
def test_images_are_not_compared_by_their_pixels(inputs, found):
    with pytest.raises(TypeError, match=f"phenotype inputs.*one row a pair, got {found}"):
        InputCWCL("phenotype")(units(2, 5), units(3, 5), 14.3, inputs=inputs)


def test_unknown_side():
    with pytest.raises(ValueError, match="'image'"):
        InputCWCL("image")


def test_how_it_reads():
    assert repr(InputCWCL("phenotype")) == "InputCWCL('phenotype')"
    assert "tanimoto_weights" in repr(InputCWCL(weigh=tanimoto_weights))


# ----------------------------------------------------------- LearnedObjective


def test_learned_scalar_is_the_argument_of_the_function():
    x, z = units(2, 5), units(3, 5)
    learned = LearnedObjective(siglip, {"bias": -4.0})
    positives = torch.eye(5, dtype=torch.bool)
    assert torch.equal(
        learned(x, z, 10.0, positives=positives), siglip(x, z, 10.0, -4.0, positives=positives)
    )
    learned(x, z, 10.0).backward()
    bias = torch.tensor(-4.0, requires_grad=True)
    siglip(x, z, 10.0, bias).backward()
    assert torch.equal(learned.bias.grad, bias.grad)


def test_learned_objective_survives_copy_and_pickle():
    learned = LearnedObjective(siglip, {"bias": -4.0})
    for other in (copy.deepcopy(learned), pickle.loads(pickle.dumps(learned))):
        assert other.bias.item() == -4.0
        assert other.bias is not learned.bias
        assert list(other.state_dict()) == ["bias"]


def test_learned_objective_reads_what_its_function_reads():
    assert LearnedObjective(siglip, {"bias": -4.0}).reads is None
    assert LearnedObjective(InputCWCL("phenotype"), {}).reads == "phenotype"


@pytest.mark.parametrize(
    ("function", "initial", "message"),
    [
        (siglip, {"bais": -10.0}, "no scalar argument 'bais'.*it has bias, positives"),
        (infonce, {"inv_tau": 5.0}, "'inv_tau' after inv_tau"),
        (infonce, {"positives": 1.0}, "'positives'"),
        (partial(siglip), {"bias": float("nan")}, "bias must start at a finite number, got nan"),
    ],
)
def test_what_cannot_be_learned(function, initial, message):
    with pytest.raises(ValueError, match=message):
        LearnedObjective(function, initial)
