"""Pooling over bags of any sizes, against a plain loop over the bags."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from torch import nn

from cloome_sk.networks import MLP, DualEncoder, embed, from_state
from cloome_sk.networks.bags import BagNetwork
from cloome_sk.networks.pooling import GatedAttention, MeanPooling, bag_softmax


def ragged(sizes, width, seed=0, shuffled=True):
    """Instances of bags of these sizes in float64, and the bag of each."""
    generator = torch.Generator().manual_seed(seed)
    bag_index = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    if shuffled:
        bag_index = bag_index[torch.randperm(len(bag_index), generator=generator)]
    return torch.randn(len(bag_index), width, generator=generator, dtype=torch.float64), bag_index


def attention(width, hidden=7, seed=0):
    torch.manual_seed(seed)
    return GatedAttention(width, hidden).double()


def naive_mean(instances, bag_index):
    bags = [instances[bag_index == bag] for bag in range(int(bag_index.max()) + 1)]
    return torch.stack([sum(bag) / len(bag) for bag in bags])


def naive_weights(module, bag):
    """Equation 9 for one bag, number by number."""
    state = dict(module.named_parameters())
    scores = []
    for instance in bag:
        content = torch.tanh(state["content.weight"] @ instance + state["content.bias"])
        gate = 1 / (1 + torch.exp(-(state["gate.weight"] @ instance + state["gate.bias"])))
        scores.append((state["score.weight"][0] * content * gate).sum())
    exponentials = [torch.exp(score) for score in scores]
    return torch.stack([each / sum(exponentials) for each in exponentials])


def naive_attention(module, instances, bag_index):
    pooled = []
    for bag in range(int(bag_index.max()) + 1):
        members = instances[bag_index == bag]
        pairs = zip(naive_weights(module, members), members, strict=True)
        pooled.append(sum(weight * instance for weight, instance in pairs))
    return torch.stack(pooled)


def gradients(pooled, instances, module):
    """Of a scalar that tells all bags and components apart."""
    coefficients = torch.arange(1.0, pooled.numel() + 1, dtype=pooled.dtype).view_as(pooled)
    return torch.autograd.grad(
        (coefficients.sin() * pooled).sum(), [instances, *module.parameters()]
    )


@pytest.mark.parametrize("shuffled", [False, True])
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6), width=st.integers(1, 5))
def test_mean_and_its_gradient_are_those_of_a_loop(shuffled, sizes, width):
    instances, bag_index = ragged(sizes, width, seed=sum(sizes), shuffled=shuffled)
    instances.requires_grad_()
    pooled, expected = MeanPooling()(instances, bag_index), naive_mean(instances, bag_index)
    torch.testing.assert_close(pooled, expected, rtol=1e-12, atol=1e-12)
    (got,) = gradients(pooled, instances, MeanPooling())
    (wanted,) = gradients(expected, instances, MeanPooling())
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shuffled", [False, True])
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6), width=st.integers(1, 5))
def test_gated_attention_and_its_gradients_are_those_of_a_loop(shuffled, sizes, width):
    instances, bag_index = ragged(sizes, width, seed=sum(sizes), shuffled=shuffled)
    instances.requires_grad_()
    module = attention(width)
    pooled, expected = (
        module(instances, bag_index),
        naive_attention(module, instances, bag_index),
    )
    torch.testing.assert_close(pooled, expected, rtol=1e-10, atol=1e-12)
    for got, wanted in zip(
        gradients(pooled, instances, module), gradients(expected, instances, module), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


def test_gradients_agree_with_finite_differences():
    instances, bag_index = ragged([3, 1, 4], 3)
    module = attention(3)
    torch.autograd.gradcheck(
        lambda values: module(values, bag_index), instances.requires_grad_(), raise_exception=True
    )


@pytest.mark.parametrize("module", [MeanPooling(), attention(4)], ids=["mean", "attention"])
def test_weights_make_the_pooled_vectors_and_sum_to_one(module):
    instances, bag_index = ragged([5, 1, 2], 4)
    weights = module.weights(instances, bag_index)
    assert weights.shape == (8,)
    for bag, pooled in enumerate(module(instances, bag_index)):
        members = bag_index == bag
        assert weights[members].sum().item() == pytest.approx(1.0, abs=1e-12)
        torch.testing.assert_close(weights[members] @ instances[members], pooled)


@pytest.mark.parametrize("module", [MeanPooling(), attention(4)], ids=["mean", "attention"])
def test_the_order_of_instances_does_not_matter(module):
    instances, bag_index = ragged([5, 1, 2, 7], 4)
    order = torch.randperm(len(bag_index), generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        module(instances[order], bag_index[order]), module(instances, bag_index)
    )
    torch.testing.assert_close(
        module.weights(instances[order], bag_index[order]),
        module.weights(instances, bag_index)[order],
    )


@pytest.mark.parametrize("module", [MeanPooling(), attention(4)], ids=["mean", "attention"])
def test_a_bag_of_one_is_its_instance_and_other_bags_do_not_matter(module):
    instances, bag_index = ragged([1, 3, 1], 4, shuffled=False)
    pooled = module(instances, bag_index)
    torch.testing.assert_close(pooled[[0, 2]], instances[[0, 4]])
    alone = module(instances[1:4], torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(alone[0], pooled[1])


def test_softmax_survives_scores_that_no_exponential_does():
    scores = torch.tensor([1000.0, 1000.0 + math.log(3.0), -5000.0, 88.0, -200.0])
    bag_index = torch.tensor([1, 1, 0, 2, 2])
    weights = bag_softmax(scores.requires_grad_(), bag_index, 3)
    expected = torch.tensor([0.25, 0.75, 1.0, 1.0, 0.0])
    torch.testing.assert_close(weights, expected, atol=1e-4, rtol=0)
    (gradient,) = torch.autograd.grad((weights * torch.arange(5.0)).sum(), scores)
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(gradient[:2], torch.tensor([-0.1875, 0.1875]), atol=1e-4, rtol=0)


def test_softmax_is_torchs_own_in_each_bag():
    scores, bag_index = ragged([4, 1, 9, 2], 1)
    weights = bag_softmax(scores[:, 0], bag_index, 4)
    for bag in range(4):
        members = bag_index == bag
        torch.testing.assert_close(weights[members], F.softmax(scores[members, 0], dim=0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    instances = torch.ones(5000, 2, dtype=dtype)  # counting by ones stops at 2,048 and at 256
    bag_index = torch.zeros(5000, dtype=torch.int64)
    pooled = MeanPooling()(instances, bag_index)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, torch.ones(1, 2))
    module = GatedAttention(2).to(dtype)
    torch.testing.assert_close(module(instances, bag_index), torch.ones(1, 2), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("bag_index", "message"),
    [
        (torch.tensor([0, 2, 2]), "Bag 1 of 3 has no instance"),
        (torch.tensor([0, 0]), r"shape \(3,\), got torch.int64 of shape \(2,\)"),
        (torch.tensor([0, 0, 1], dtype=torch.int32), "got torch.int32"),
        (torch.tensor([0, -1, 0]), "counts bags from 0, got -1"),
    ],
)
@pytest.mark.parametrize("module", [MeanPooling(), GatedAttention(2)], ids=["mean", "attention"])
def test_an_index_that_does_not_fit_is_refused(module, bag_index, message):
    for method in (module, module.weights):
        with pytest.raises(ValueError, match=message):
            method(torch.zeros(3, 2), bag_index)


# ------------------------------------------------------------------------------------- BagNetwork


def test_a_bag_network_embeds_instances_then_pools_them():
    torch.manual_seed(0)
    instances, bag_index = ragged([2, 3, 1], 5)
    mlp = MLP(5, 4, (8,)).eval()
    network = BagNetwork(mlp).eval()
    rows = torch.stack([mlp(row[None])[0] for row in instances])
    torch.testing.assert_close(network((instances, bag_index)), naive_mean(rows, bag_index))
    gated = BagNetwork(mlp, GatedAttention(4)).eval()
    expected = naive_attention(gated.pooling, rows, bag_index)
    torch.testing.assert_close(gated((instances, bag_index)), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        gated.weights((instances, bag_index)), gated.pooling.weights(rows, bag_index)
    )


def test_an_inner_network_of_several_inputs_gets_a_tuple():
    class Scaled(nn.Module):
        def forward(self, inputs):
            values, factor = inputs
            return values * factor[:, None]

    instances, bag_index = ragged([2, 3], 4)
    factor = torch.arange(5.0, dtype=torch.float64)
    torch.testing.assert_close(
        BagNetwork(Scaled())((instances, factor, bag_index)),
        naive_mean(instances * factor[:, None], bag_index),
    )


def test_no_bag_at_all_gives_no_row():
    network = BagNetwork(MLP(5, 4, (8,)), GatedAttention(4)).eval()
    empty = network((torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64)))
    assert empty.shape == (0, 4)


@pytest.mark.parametrize("inputs", [torch.zeros(3, 2), (torch.zeros(3, 2),)])
def test_inputs_without_an_index_are_refused(inputs):
    network = BagNetwork(MLP(2, 4, ()))
    for method in (network, network.weights):
        with pytest.raises(TypeError, match="takes a tuple"):
            method(inputs)


class Recorder(nn.Module):
    """Passes numbers on, and remembers them."""

    def forward(self, inputs):
        values, numbers = inputs
        self.seen = numbers
        return values


def test_training_draws_some_instances_of_each_bag_and_evaluation_takes_all():
    sizes = [1, 3, 10]
    instances, bag_index = ragged(sizes, 2)
    numbers = torch.arange(len(bag_index))
    network = BagNetwork(Recorder(), max_size=3)
    torch.manual_seed(0)
    counts = torch.zeros(len(bag_index))
    for _ in range(400):
        pooled = network((instances, numbers, bag_index))
        seen = network.network.seen
        assert torch.bincount(bag_index[seen]).tolist() == [1, 3, 3]
        assert len(seen.unique()) == 7
        counts[seen] += 1
        torch.testing.assert_close(pooled, naive_mean(instances[seen], bag_index[seen]))
    assert (counts[bag_index < 2] == 400).all()
    often = counts[bag_index == 2] / 400
    assert (often - 0.3).abs().max() < 5 * math.sqrt(0.3 * 0.7 / 400)
    network.eval()
    torch.testing.assert_close(
        network((instances, numbers, bag_index)), naive_mean(instances, bag_index)
    )


def test_the_draw_is_governed_by_torchs_seed():
    instances, bag_index = ragged([8, 8], 3)
    network = BagNetwork(nn.Identity(), max_size=2)
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(network((instances, bag_index)))
    torch.testing.assert_close(drawn[0], drawn[1], rtol=0, atol=0)
    assert not torch.equal(drawn[0], drawn[2])


def test_max_size_below_one_is_refused():
    with pytest.raises(ValueError, match="max_size must be at least 1, got 0"):
        BagNetwork(nn.Identity(), max_size=0)


def test_weights_are_restored_into_a_network_built_without_them():
    def phenotype():
        return BagNetwork(MLP(5, 4, (8,)), GatedAttention(4, 6))

    torch.manual_seed(0)
    dual = DualEncoder(phenotype(), MLP(3, 4, ())).eval()
    state = {name: value.detach().numpy() for name, value in dual.state_dict().items()}
    again = from_state(phenotype, lambda: MLP(3, 4, ()), state)
    instances, bag_index = ragged([2, 3], 5)
    inputs = (instances.float(), bag_index)
    torch.testing.assert_close(again.phenotype(inputs), dual.phenotype(inputs), rtol=0, atol=0)


class OneSlice:
    """Bags as `embed` slices them: two bags of two instances."""

    shape = (2, 2, 5)

    def __init__(self, instances):
        self.instances = instances

    def __len__(self):
        return 2

    def __getitem__(self, bags):
        n_bags = len(range(2)[bags])
        return self.instances[: 2 * n_bags], torch.arange(n_bags).repeat_interleave(2).numpy()


def test_embedded_bags_are_brought_to_unit_length_after_pooling():
    torch.manual_seed(0)
    instances = 5 * torch.randn(4, 5)
    network = BagNetwork(MLP(5, 4, (8,))).eval()
    rows = network.network(instances).detach()
    expected = F.normalize(torch.stack([rows[:2].mean(0), rows[2:].mean(0)]), dim=1)
    got = torch.from_numpy(embed(network, OneSlice(instances.numpy()), "cpu"))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------- what attention is there for


def witnesses(generator, n_bags, prototypes):
    """Bags of noise in which one instance shows the class of the bag."""
    n_classes, width = prototypes.shape
    sizes = torch.randint(5, 16, (n_bags,), generator=generator)
    bag_index = torch.repeat_interleave(torch.arange(n_bags), sizes)
    classes = torch.randint(n_classes, (n_bags,), generator=generator)
    instances = torch.randn(len(bag_index), width, generator=generator)
    one = torch.cumsum(sizes, 0) - sizes
    one = one + (torch.rand(n_bags, generator=generator) * sizes).long()
    instances[one] += prototypes[classes]
    return (instances, bag_index), classes, one


def accuracy_and_attention(pooling, seed):
    """Share of new bags whose class is told, and the mean weight of the telling instances."""
    generator = torch.Generator().manual_seed(seed)
    prototypes = 4 * F.normalize(torch.randn(8, 16, generator=generator), dim=1)
    train, classes, _ = witnesses(generator, 200, prototypes)
    test, truth, one = witnesses(generator, 400, prototypes)
    torch.manual_seed(seed)
    network, head = BagNetwork(MLP(16, 16, (32,)), pooling()), nn.Linear(16, 8)
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(head(network(train)), classes).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        right = head(network(test)).argmax(dim=1) == truth
        return right.float().mean().item(), network.weights(test)[one].mean().item()


def test_attention_finds_the_one_instance_that_tells():
    seeds = range(3)
    mean = [accuracy_and_attention(MeanPooling, seed)[0] for seed in seeds]
    learned = [accuracy_and_attention(lambda: GatedAttention(16, 32), seed) for seed in seeds]
    gains = [got[0] - plain for got, plain in zip(learned, mean, strict=True)]
    assert min(mean) > 2 / 8, mean  # the mean learns too, so this is no test of a broken one
    assert min(gains) > 0, gains
    assert sum(gains) / len(gains) > 0.1, gains
    assert min(weight for _, weight in learned) > 0.4, learned  # uniform would be about 0.1
