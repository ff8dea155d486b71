"""Folded networks against the networks themselves, whose BatchNorm is torch's own."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from cloome_sk.networks import (
    MLP,
    BagNetwork,
    DualEncoder,
    ImageNetResNet,
    ImageNetwork,
    ResNet,
    SmallCNN,
    embed,
    from_state,
)
from cloome_sk.networks.folding import folded

NETWORKS = {
    "resnet50": (lambda: ResNet(5, 8), 5, 64),
    "resnet50, legacy": (lambda: ResNet(3, 8, pooling="legacy"), 3, 224),
    "resnet18": (lambda: ResNet(2, 8, depth=18), 2, 64),
    "imagenet18": (lambda: ImageNetResNet(4, 8, depth=18), 4, 65),
    "imagenet34, no head": (lambda: ImageNetResNet(4, None, depth=34, head=False), 4, 64),
    "imagenet50": (lambda: ImageNetResNet(4, 8, depth=50, normalize=True), 4, 67),
    "imagenet50, channelwise": (lambda: ImageNetResNet(2, 8, channelwise=True), 2, 64),
    "small": (lambda: SmallCNN(5, 8), 5, 51),
}


def trained(network: nn.Module, low: float = 0.5, high: float = 1.5, seed: int = 0) -> nn.Module:
    """Give each BatchNorm statistics and weights of its own, as training does."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            size = module.num_features
            log_low, log_high = np.log(low), np.log(high)
            spread = torch.rand(size, generator=generator) * (log_high - log_low) + log_low
            module.running_var.copy_(spread.exp())
            module.running_mean.normal_(0, 0.2, generator=generator)
            with torch.no_grad():
                # Weights that undo the variance, so that no layer drowns the others.
                module.weight.uniform_(0.7, 1.3, generator=generator)
                module.weight.mul_((module.running_var + module.eps).sqrt())
                module.bias.normal_(0, 0.2, generator=generator)
    return network.eval()


def images(n: int, n_channels: int, side: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(
        (n, n_channels, side, side + 5), generator=torch.Generator().manual_seed(seed)
    )


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal to 1e-5 of the largest entry, and not the same rows."""
    assert found.shape == expected.shape
    assert len(expected) < 2 or not torch.equal(expected[0], expected[1])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def n_norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("n", [1, 3])
def test_folded_networks_compute_the_same(name, n):
    make, n_channels, side = NETWORKS[name]
    torch.manual_seed(0)
    network = trained(make())
    inputs = images(n, n_channels, side)
    fast = folded(network)
    assert n_norms(network) > 0
    assert n_norms(fast) == 0
    with torch.inference_mode():
        expected = network(inputs)
        assert_same(fast(inputs), expected)
        assert_same(fast(inputs), expected)  # nothing in it was overwritten
        channels_last = inputs.contiguous(memory_format=torch.channels_last)
        assert_same(fast(channels_last), expected)
        torch.testing.assert_close(channels_last, inputs, rtol=0, atol=0)


@pytest.mark.parametrize(("low", "high"), [(1e-12, 1e-9), (1e-7, 1e-3), (1e6, 1e10)])
@pytest.mark.parametrize("make", [lambda: ResNet(3, 8, depth=18), lambda: SmallCNN(3, 8)])
@pytest.mark.parametrize("eps", [1e-5, 1e-3])
def test_variances_near_zero_and_huge_ones(make, low, high, eps):
    torch.manual_seed(0)
    network = make()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps
    trained(network, low, high)
    inputs = images(2, 3, 64)
    with torch.inference_mode():
        assert_same(folded(network)(inputs), network(inputs))


def test_no_images_give_no_embeddings():
    with torch.inference_mode():
        assert folded(ResNet(2, 8, depth=18).eval())(images(0, 2, 32)).shape == (0, 8)


def test_double_precision_stays():
    torch.manual_seed(0)
    network = trained(SmallCNN(2, 8).double())
    inputs = images(2, 2, 32).double()
    with torch.inference_mode():
        found, expected = folded(network)(inputs), network(inputs)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_network_itself_does_not_change_and_trains_on():
    torch.manual_seed(0)
    network = ImageNetwork(trained(ResNet(3, 8, depth=18)), [100.0] * 3, [50.0] * 3).eval()
    before = copy.deepcopy(network.state_dict())
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 40, 40)).astype(np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels))
    found = embed(network, pixels, "cpu")
    unit = nn.functional.normalize(expected, dim=1)
    np.testing.assert_allclose(found, unit, rtol=0, atol=1e-5)
    after = network.state_dict()
    assert list(after) == list(before)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=0)
    assert all(not value.is_inference() for value in network.parameters())
    network.train()
    network(torch.from_numpy(pixels)).sum().backward()
    assert all(value.requires_grad and value.grad is not None for value in network.parameters())


def test_stored_weights_are_embedded_with_and_stay():
    torch.manual_seed(0)
    source = DualEncoder(trained(SmallCNN(3, 8)), MLP(4, 8, ())).eval()
    state = {name: value.numpy().copy() for name, value in source.state_dict().items()}
    kept = {name: value.copy() for name, value in state.items()}
    rebuilt = from_state(lambda: SmallCNN(3, 8), lambda: MLP(4, 8, ()), state)
    inputs = images(2, 3, 40)
    with torch.inference_mode():
        expected = nn.functional.normalize(source.phenotype(inputs), dim=1)
    np.testing.assert_allclose(embed(rebuilt.phenotype, inputs.numpy(), "cpu"), expected, atol=1e-5)
    for name, value in kept.items():
        np.testing.assert_array_equal(state[name], value)


def test_weights_that_do_not_change_are_shared():
    network = ResNet(2, 8, depth=18).eval()
    assert folded(network).fc.weight is network.fc.weight


def test_networks_within_the_wrappers_are_folded():
    torch.manual_seed(0)
    inner = ImageNetwork(trained(SmallCNN(3, 8)), None, None, normalization=None)
    network = BagNetwork(inner).eval()
    fast = folded(network)
    assert (n_norms(network), n_norms(fast)) == (5, 0)
    pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    inputs = pixels, torch.tensor([0, 0, 1, 2, 2])
    with torch.inference_mode():
        assert_same(fast(inputs), network(inputs))


class Mine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = SmallCNN(3, 8)

    def forward(self, inputs):
        return self.inner(inputs)


class Changed(SmallCNN):
    def __init__(self) -> None:
        super().__init__(3, 8)

    def forward(self, inputs):
        return super().forward(inputs) + 1


def hooked() -> nn.Module:
    network = SmallCNN(3, 8)
    network.layers[1].register_forward_hook(lambda module, inputs, output: output + 1)
    return network


def with_other_layers() -> nn.Module:
    network = SmallCNN(3, 8)
    network.layers[2] = nn.GELU()
    return network


@pytest.mark.parametrize("make", [Mine, Changed, hooked, with_other_layers, lambda: MLP(3, 8)])
def test_networks_of_others_are_left_alone(make):
    network = make().eval()
    assert folded(network) is network


def test_networks_in_training_mode_are_left_alone():
    network = SmallCNN(3, 8)
    assert folded(network) is network
    network.eval().layers[1].train()
    assert folded(network) is network


@pytest.mark.parametrize("name", ["resnet50", "imagenet34, no head", "imagenet50, channelwise"])
def test_calls_do_not_touch_the_embeddings_of_earlier_ones(name):
    make, n_channels, side = NETWORKS[name]
    torch.manual_seed(0)
    network = trained(make())
    fast = folded(network)
    batches = [images(n, n_channels, side + more, seed=n) for n, more in ((2, 0), (3, 0), (1, 40))]
    with torch.inference_mode():
        found = [fast(batch) for batch in batches]
        for batch, embedded in zip(batches, found, strict=True):
            assert_same(embedded, network(batch))
