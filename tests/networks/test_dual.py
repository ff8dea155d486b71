"""The dual encoder against plain functional calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from cloome_sk.networks import (
    MLP,
    BagNetwork,
    DualEncoder,
    GatedAttention,
    ImageNetwork,
    ResNet,
    SmallCNN,
    embed,
)


def functional_mlp(state, inputs, n_hidden, training):
    """Linear, BatchNorm, ReLU ..., Linear, from the weights alone."""
    values = inputs.float()
    for layer in range(n_hidden):
        values = F.linear(
            values, state[f"layers.{3 * layer}.weight"], state[f"layers.{3 * layer}.bias"]
        )
        norm = f"layers.{3 * layer + 1}"
        values = F.batch_norm(
            values,
            state[f"{norm}.running_mean"].clone(),
            state[f"{norm}.running_var"].clone(),
            state[f"{norm}.weight"],
            state[f"{norm}.bias"],
            training=training,
        )
        values = values.clamp(min=0)
    return F.linear(
        values, state[f"layers.{3 * n_hidden}.weight"], state[f"layers.{3 * n_hidden}.bias"]
    )


@pytest.mark.parametrize("training", [True, False])
def test_mlp_is_linear_batchnorm_relu(training):
    torch.manual_seed(0)
    mlp = MLP(20, 6, (16, 12)).train(training)
    inputs = torch.randint(0, 2, (9, 20), dtype=torch.uint8)
    expected = functional_mlp(mlp.state_dict(), inputs, 2, training)
    torch.testing.assert_close(mlp(inputs).detach(), expected, rtol=1e-5, atol=1e-6)


def test_default_mlp_has_the_size_of_the_published_molecule_encoder():
    published = 4_731_392  # counted on the authors' model: 1,024 bits, 4 x 1,024, 512 components
    assert sum(parameter.numel() for parameter in MLP(1024, 512).parameters()) == published


def test_dual_encoder_gives_unit_vectors_of_each_pair():
    dual = DualEncoder(MLP(5, 4, (8,)), MLP(7, 4, (8,)), inv_tau=20.0).eval()
    phenotype, molecule = torch.randn(3, 5), torch.randn(2, 7)
    index = torch.tensor([1, 0, 1])
    embedded, structures, inv_tau = dual(phenotype, molecule, index)
    np.testing.assert_allclose(embedded.detach().norm(dim=1), 1, rtol=1e-6)
    expected = F.normalize(dual.molecule(molecule[index]), dim=1)
    torch.testing.assert_close(structures, expected)
    assert inv_tau.item() == pytest.approx(20.0)


@pytest.mark.parametrize(("start", "end"), [(1e6, 100.0), (1e-3, 1.0), (14.3, 14.3)])
def test_inverse_temperature_is_brought_back_into_its_range(start, end):
    dual = DualEncoder(MLP(2, 2, ()), MLP(2, 2, ()), inv_tau=start)
    dual.clamp_inv_tau()
    assert float(dual.log_inv_tau.detach().exp()) == pytest.approx(end, rel=1e-5)


def test_a_fixed_temperature_is_no_parameter():
    fixed = DualEncoder(MLP(2, 2, ()), MLP(2, 2, ()), learn_inv_tau=False)
    assert "log_inv_tau" not in dict(fixed.named_parameters())
    assert "log_inv_tau" in fixed.state_dict()


class Doubled(torch.nn.Module):
    def forward(self, inputs):
        values, factor = inputs
        return values.float() * factor[:, None] + 1


class Slices:
    """Sliced like an array of two parts; remembers the slices."""

    def __init__(self, values):
        self.values, self.shape, self.seen = values, values.shape, []

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        self.seen.append((rows.start, min(rows.stop, len(self))))
        part = self.values[rows]
        return part, np.arange(*self.seen[-1], dtype=np.float32)


def test_blocks_are_small_enough_for_large_inputs_and_may_be_tuples(monkeypatch):
    monkeypatch.setattr("cloome_sk.networks.dual.BLOCK_BYTES", 3 * 4 * 5)
    values = np.random.default_rng(0).integers(0, 9, size=(10, 5)).astype(np.uint8)
    sliced, done = Slices(values), []
    embedded = embed(Doubled(), sliced, "cpu", done.append)
    assert sliced.seen == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert done == [3, 3, 3, 1]
    expected = values * np.arange(10.0)[:, None] + 1
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embedded, expected, rtol=1e-6)


def pixels(n, side=48):
    """Spots of random sizes, so that no two images look alike."""
    random, (rows, columns) = np.random.default_rng(0), np.mgrid[:side, :side]
    sites = random.integers(0, 30, (n, 3, side, side))
    for site in sites:
        for channel in site:
            for _ in range(random.integers(1, 9)):
                row, column, radius = random.integers(2, side // 2, 3)
                distance = (rows - 2 * row) ** 2 + (columns - 2 * column) ** 2
                channel[distance < radius**2] += 60
    return sites.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("make", [lambda: SmallCNN(3, 16), lambda: ResNet(3, 16, depth=18)])
def test_bf16_is_close_to_fp32(make):
    torch.manual_seed(0)
    network = ImageNetwork(make(), [40.0] * 3, [30.0] * 3).eval()
    images = pixels(6)
    full, half = (embed(network, images, "cpu", precision=p) for p in ("fp32", "bf16"))
    assert half.dtype == np.float32
    assert not np.array_equal(full, half)
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, rtol=1e-6)
    assert (full * half).sum(axis=1).min() > 0.999
    assert all(value.dtype == torch.float32 for value in network.parameters())


@pytest.mark.parametrize("pooling", [None, GatedAttention(16)])
def test_bf16_of_bags_and_of_profiles(pooling):
    torch.manual_seed(0)
    network = BagNetwork(MLP(20, 16, (32,)), pooling).eval()

    class Bags:
        shape = (3, 4, 20)

        def __len__(self):
            return 3

        def __getitem__(self, rows):
            values = np.random.default_rng(0).normal(size=(12, 20)).astype(np.float32)
            return values, np.repeat(np.arange(3), 4)

    full, half = (embed(network, Bags(), "cpu", precision=p) for p in ("fp32", "bf16"))
    assert half.dtype == np.float32
    assert not np.array_equal(full, half)
    assert (full * half).sum(axis=1).min() > 0.999


def test_a_precision_that_does_not_exist():
    with pytest.raises(
        ValueError, match=r"precision must be one of \['fp32', 'bf16'\], got 'fp16'"
    ):
        embed(MLP(2, 2, ()), np.zeros((1, 2), np.float32), "cpu", precision="fp16")
