"""The gradient found in chunks, beside that of the whole batch at once."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from cloome_sk.encoders._bags import Bags
from cloome_sk.networks import MLP, DualEncoder, SmallCNN
from cloome_sk.networks.bags import BagNetwork
from cloome_sk.networks.pooling import GatedAttention
from cloome_sk.objectives import InputCWCL, LearnedObjective, infoloob, infonce, siglip
from cloome_sk.training import PairDataset
from cloome_sk.training.data import PairInputs
from cloome_sk.training.gradient_cache import cached_backward
from cloome_sk.training.net import ContrastiveCriterion

N_PAIRS, N_MOLECULES = 23, 9


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class Linear(nn.Module):
    """Two layers without BatchNorm, with dropout if asked for, of any dtype."""

    def __init__(self, n_inputs, dropout=0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, 16),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Linear(16, 8),
            nn.Dropout(dropout),
        )

    def forward(self, inputs):
        return self.layers(inputs.to(self.layers[0].weight.dtype))


class Plates(nn.Module):
    """Takes a tuple with one row an input, as images with the statistics of their plates."""

    def __init__(self):
        super().__init__()
        self.inner = Linear(5)

    def forward(self, inputs):
        values, mean, std = inputs
        return self.inner((values - mean) / std)


def pairs_of(phenotype=None):
    rng = np.random.default_rng(0)
    profiles = rng.standard_normal((N_PAIRS, 5))
    bits = rng.integers(0, 2, (N_MOLECULES, 12)).astype(np.uint8)
    index = np.concatenate([np.arange(N_MOLECULES), rng.integers(0, N_MOLECULES, 14)])
    values = profiles if phenotype is None else phenotype
    dataset = PairDataset((values, np.arange(N_PAIRS)), (bits, index), groups=index)
    return dataset.__getitems__(rng.permutation(N_PAIRS))


def gradients(network, criterion):
    named = [*network.named_parameters(), *criterion.named_parameters()]
    return {name: weight.grad.clone() for name, weight in named if weight.grad is not None}


def of_whole_batch(network, criterion, batch):
    network, criterion = copy.deepcopy(network), copy.deepcopy(criterion)
    loss = criterion(network(*batch.inputs.on("cpu")), batch.groups, batch.inputs)
    loss.backward()
    return loss.item(), gradients(network, criterion)


def in_chunks(network, criterion, batch, chunk, **options):
    network, criterion = copy.deepcopy(network), copy.deepcopy(criterion)

    def objective(*embedded):
        return criterion(embedded, batch.groups, batch.inputs)

    loss = cached_backward(network, batch.inputs, objective, chunk, **options)
    assert not loss.requires_grad
    return loss.item(), gradients(network, criterion)


def assert_same(found, expected, tolerance):
    assert found[0] == pytest.approx(expected[0], abs=tolerance)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        assert gradient.abs().max() > 0, name
        scale = max(1.0, gradient.abs().max().item())
        torch.testing.assert_close(found[1][name], gradient, rtol=0.0, atol=tolerance * scale)


OBJECTIVES = {
    "infonce": infonce,
    "infoloob": partial(infoloob, beta=5.0),
    "siglip, whose bias is learned": LearnedObjective(siglip, {"bias": -3.0}),
    "cwcl, which reads fingerprints": InputCWCL(),
    "cwcl, which reads profiles": InputCWCL("phenotype"),
}


@pytest.mark.parametrize("chunk", [1, 4, 22, 23, 100])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_the_gradient_is_that_of_the_whole_batch(objective, chunk):
    batch = pairs_of()
    network = DualEncoder(Linear(5), Linear(12), inv_tau=5.0).double()
    criterion = ContrastiveCriterion(objective).double()
    expected = of_whole_batch(network, criterion, batch)
    assert "log_inv_tau" in expected[1]
    assert_same(in_chunks(network, criterion, batch, chunk), expected, 1e-10)


@pytest.mark.parametrize("objective", [infonce, LearnedObjective(siglip, {"bias": -3.0})])
def test_in_float32_too(objective):
    batch = pairs_of()
    network = DualEncoder(Linear(5), Linear(12))
    criterion = ContrastiveCriterion(objective)
    assert_same(
        in_chunks(network, criterion, batch, 4), of_whole_batch(network, criterion, batch), 1e-5
    )


def test_the_mean_over_small_batches_is_something_else():
    batch = pairs_of()
    network = DualEncoder(Linear(5), Linear(12)).double()
    expected = of_whole_batch(network, ContrastiveCriterion(infonce), batch)[1]
    index = batch.inputs.molecule_index
    for rows in torch.arange(N_PAIRS).split(12):
        part = (batch.inputs.phenotype[rows], batch.inputs.molecule, index[rows])
        same = batch.groups[rows][:, None] == batch.groups[rows][None, :]
        (infonce(*network(*part), positives=same) * len(rows) / N_PAIRS).backward()
    found = torch.cat([weight.grad.flatten() for weight in network.parameters()])
    wanted = torch.cat([gradient.flatten() for gradient in expected.values()])
    assert (found - wanted).norm() > 0.05 * wanted.norm()


def test_gradients_are_added_to_those_that_are_there():
    batch = pairs_of()
    network = DualEncoder(Linear(5), Linear(12)).double()
    criterion = ContrastiveCriterion(infonce)
    _, once = in_chunks(network, criterion, batch, 5)
    for weight in network.parameters():
        weight.grad = torch.ones_like(weight)
    cached_backward(network, batch.inputs, lambda *e: criterion(e, batch.groups, batch.inputs), 5)
    for name, weight in network.named_parameters():
        torch.testing.assert_close(weight.grad, once[name] + 1.0)


def test_dropout_is_the_same_in_both_passes():
    batch = pairs_of()
    network = DualEncoder(Linear(5, dropout=0.4), Linear(12, dropout=0.4)).double()
    criterion = ContrastiveCriterion(infonce)
    state = torch.get_rng_state()
    found = in_chunks(network, criterion, batch, 6)
    after = torch.get_rng_state()

    # By hand: chunk by chunk in the same order, but all in one graph.
    torch.set_rng_state(state)
    inputs = batch.inputs
    sizes = {"phenotype": [5, 6, 6, 6], "molecule": [4, 5]}
    parts = {
        side: torch.cat(
            [
                F.normalize(getattr(network, side)(part), dim=1)
                for part in getattr(inputs, side).split(sizes[side])
            ]
        )
        for side in ("phenotype", "molecule")
    }
    embedded = parts["phenotype"], parts["molecule"][inputs.molecule_index]
    loss = criterion((*embedded, network.log_inv_tau.exp()), batch.groups, inputs)
    loss.backward()
    assert_same(found, (loss.item(), gradients(network, criterion)), 1e-10)
    assert torch.equal(after, torch.get_rng_state())

    torch.set_rng_state(state)
    torch.rand(1)
    other = in_chunks(network, criterion, batch, 6)
    assert other[0] != pytest.approx(found[0], abs=1e-6)  # so dropout did something


def test_the_generator_goes_on_from_the_objective():
    def noisy(phenotype, molecule, inv_tau):
        return infonce(phenotype + 0.1 * torch.randn_like(phenotype), molecule, inv_tau)

    batch = pairs_of()
    network = DualEncoder(Linear(5, dropout=0.4), Linear(12))
    state = torch.get_rng_state()
    with torch.no_grad():
        for rows in batch.inputs.phenotype.split([5, 6, 6, 6]):
            network.phenotype(rows)
        torch.randn_like(batch.inputs.phenotype[:, :1].expand(-1, 8).float())
    expected = torch.get_rng_state()
    torch.set_rng_state(state)
    cached_backward(network, batch.inputs, noisy, 6)
    assert torch.equal(torch.get_rng_state(), expected)


def test_running_statistics_are_updated_once():
    batch = pairs_of()
    network = DualEncoder(MLP(5, 8, (16,)), MLP(12, 8, (16,)))
    once = copy.deepcopy(network)
    with torch.no_grad():
        for rows in (slice(0, 11), slice(11, 23)):
            once.phenotype(batch.inputs.phenotype[rows])
        once.molecule(batch.inputs.molecule)
    cached_backward(network, batch.inputs, infonce, 12)
    for (name, found), wanted in zip(network.named_buffers(), once.buffers(), strict=True):
        torch.testing.assert_close(found, wanted, msg=name)
    assert network.phenotype.layers[1].num_batches_tracked == 2
    assert network.molecule.layers[1].num_batches_tracked == 1


def test_batch_norm_uses_the_statistics_of_a_chunk():
    batch = pairs_of()
    network = DualEncoder(MLP(5, 8, (16,)), MLP(12, 8, (16,)))
    criterion = ContrastiveCriterion(infonce)
    whole = of_whole_batch(network, criterion, batch)
    assert in_chunks(network, criterion, batch, 12)[0] != pytest.approx(whole[0], abs=1e-3)
    assert_same(in_chunks(network, criterion, batch, N_PAIRS), whole, 1e-5)


@pytest.mark.parametrize("frozen", ["phenotype", "molecule"])
def test_a_frozen_side_is_embedded_once_and_gets_no_gradient(frozen):
    batch = pairs_of()
    network = DualEncoder(Linear(5), Linear(12)).double()
    getattr(network, frozen).requires_grad_(False)
    calls = []
    getattr(network, frozen).register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    criterion = ContrastiveCriterion(infonce)
    expected = of_whole_batch(network, criterion, batch)
    assert not any(name.startswith(frozen) for name in expected[1])
    calls.clear()
    assert_same(in_chunks(network, criterion, batch, 5), expected, 1e-10)
    assert set(calls) == {False}


def test_each_distinct_molecule_is_embedded_once_in_a_pass():
    batch = pairs_of()
    network = DualEncoder(Linear(5), Linear(12)).double()
    seen = []
    network.molecule.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    cached_backward(network, batch.inputs, infonce, 3)
    assert seen == [3, 3, 3] * 2


def test_no_more_than_a_chunk_is_embedded_at_a_time():
    batch = pairs_of()
    network = DualEncoder(Linear(5), Linear(12)).double()
    seen = []
    network.phenotype.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    cached_backward(network, batch.inputs, infonce, 5)
    assert sum(seen) == 2 * N_PAIRS
    assert max(seen) == 5
    assert min(seen) == 4  # balanced: a last chunk of one would have no variance


def test_tuples_with_a_row_an_input():
    rng = np.random.default_rng(1)

    class Images:
        def __getitem__(self, rows):
            return tuple(value[rows] for value in self.values)

        values = (
            rng.standard_normal((N_PAIRS, 5)),
            rng.standard_normal((N_PAIRS, 1)),
            rng.uniform(1, 2, (N_PAIRS, 1)),
        )

    batch = pairs_of(Images())
    network = DualEncoder(Plates(), Linear(12)).double()
    criterion = ContrastiveCriterion(infonce)
    assert_same(
        in_chunks(network, criterion, batch, 4), of_whole_batch(network, criterion, batch), 1e-10
    )


def test_bags_stay_together():
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 5, N_PAIRS)
    values = rng.standard_normal((int(sizes.sum()), 5))
    batch = pairs_of(Bags(values, rng.permutation(len(values)), sizes))
    network = DualEncoder(BagNetwork(Linear(5), GatedAttention(8)), Linear(12)).double()
    criterion = ContrastiveCriterion(infonce)
    assert_same(
        in_chunks(network, criterion, batch, 4), of_whole_batch(network, criterion, batch), 1e-10
    )


def test_views_of_images_are_the_same_in_both_passes():
    """Replayed only in part, the gradient would be that of other images."""

    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = SmallCNN(2, 8, width=4)
            self.seen = []

        def forward(self, images):
            images = images.float() + torch.rand(len(images), 1, 1, 1)
            self.seen.append((torch.is_grad_enabled(), images.double().sum().item()))
            return self.inner(images)

    batch = pairs_of(np.zeros((N_PAIRS, 2, 16, 16), dtype=np.uint8))
    network = DualEncoder(Shifted(), Linear(12))
    cached_backward(network, batch.inputs, infonce, 6)
    seen = network.phenotype.seen
    assert [value for grad, value in seen if grad] == [value for grad, value in seen if not grad]
    assert len(set(seen)) == 8


def test_a_scaled_objective_gives_scaled_gradients():
    batch = pairs_of()
    network = DualEncoder(Linear(5), Linear(12)).double()
    criterion = ContrastiveCriterion(infonce)
    value, plain = in_chunks(network, criterion, batch, 5)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    scaled_value, scaled = in_chunks(network, criterion, batch, 5, scaler=scaler)
    assert scaled_value == value
    for name, gradient in plain.items():
        torch.testing.assert_close(scaled[name], 256.0 * gradient)


def test_autocast_reaches_the_networks_and_not_the_objective():
    batch = pairs_of()
    network = DualEncoder(Linear(5), Linear(12))
    kinds = []
    network.phenotype.layers[0].register_forward_hook(lambda _, __, out: kinds.append(out.dtype))

    def objective(phenotype, molecule, inv_tau):
        assert phenotype.dtype == molecule.dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")
        return infonce(phenotype, molecule, inv_tau)

    half = partial(torch.autocast, "cpu", torch.bfloat16)
    cached_backward(network, batch.inputs, objective, 12, autocast=half)
    assert kinds == [torch.bfloat16] * 4
    grads = [weight.grad for weight in network.parameters()]
    assert all(grad is not None and grad.isfinite().all() for grad in grads)


def test_errors():
    network = DualEncoder(Linear(5), Linear(12))
    inputs = pairs_of().inputs
    with pytest.raises(ValueError, match="A chunk must hold at least 1 input, got 0"):
        cached_backward(network, inputs, infonce, 0)
    odd = PairInputs((inputs.phenotype, torch.ones(3)), inputs.molecule, inputs.molecule_index)
    with pytest.raises(ValueError, match=r"23 phenotype inputs .* entry 1 of them has 3 rows"):
        cached_backward(network, odd, infonce, 4)
