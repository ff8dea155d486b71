"""The residual networks against plain functional calls, from the weights alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from cloome_sk.networks.resnet import ResNet


def norm(state, name, values):
    return F.batch_norm(
        values,
        state[f"{name}.running_mean"],
        state[f"{name}.running_var"],
        state[f"{name}.weight"],
        state[f"{name}.bias"],
    )


def bottleneck(state, name, inputs, stride):
    values = F.relu(norm(state, f"{name}.bn1", F.conv2d(inputs, state[f"{name}.conv1.weight"])))
    values = F.conv2d(values, state[f"{name}.conv2.weight"], padding=1)
    values = F.avg_pool2d(F.relu(norm(state, f"{name}.bn2", values)), stride)
    return norm(state, f"{name}.bn3", F.conv2d(values, state[f"{name}.conv3.weight"]))


def basic_block(state, name, inputs, stride):
    values = F.conv2d(inputs, state[f"{name}.conv1.weight"], padding=1)
    values = F.avg_pool2d(F.relu(norm(state, f"{name}.bn1", values)), stride)
    return norm(state, f"{name}.bn2", F.conv2d(values, state[f"{name}.conv2.weight"], padding=1))


def functional_maps(state, images, block, n_blocks):
    """The output of the stem and of each of the four stages."""
    values = F.conv2d(images, state["conv1.weight"], stride=2, padding=3)
    values = F.max_pool2d(F.relu(norm(state, "bn1", values)), 3, stride=2, padding=1)
    maps = [values]
    for stage, n in enumerate(n_blocks, start=1):
        for i in range(n):
            name = f"layer{stage}.{i}"
            stride = 2 if stage > 1 and i == 0 else 1
            shortcut = values
            if f"{name}.downsample.0.weight" in state:
                shortcut = F.conv2d(
                    F.avg_pool2d(values, stride), state[f"{name}.downsample.0.weight"]
                )
                shortcut = norm(state, f"{name}.downsample.1", shortcut)
            values = F.relu(block(state, name, values, stride) + shortcut)
        maps.append(values)
    return maps


def with_random_norms(network):
    """Statistics and gains as after a training: nothing is 0 or 1 by chance of its start."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    return network.eval()


@pytest.mark.parametrize(
    ("depth", "block", "n_blocks"),
    [(50, bottleneck, (3, 4, 6, 3)), (18, basic_block, (2, 2, 2, 2))],
)
@pytest.mark.parametrize("shape", [(64, 64), (75, 49)])
def test_resnet_equals_functional_calls_layer_by_layer(depth, block, n_blocks, shape):
    torch.manual_seed(0)
    # In float64: the point is which operations are done, not how they are rounded.
    network = with_random_norms(ResNet(5, 16, depth=depth)).double()
    seen = []
    for layer in (network.maxpool, *(getattr(network, f"layer{i}") for i in range(1, 5))):
        layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    images = torch.randn(2, 5, *shape, dtype=torch.float64)
    with torch.no_grad():
        embedded = network(images)
        state = network.state_dict()
        maps = functional_maps(state, images, block, n_blocks)
        assert len(seen) == len(maps)
        for mine, independent in zip(seen, maps, strict=True):
            torch.testing.assert_close(mine, independent, rtol=1e-5, atol=1e-8)
        pooled = F.adaptive_avg_pool2d(maps[-1], 1).flatten(1)
        expected = F.linear(pooled, state["fc.weight"], state["fc.bias"])
        torch.testing.assert_close(embedded, expected, rtol=1e-5, atol=1e-8)
        single = network.float()(images.float())
        scale = expected.abs().max()
        torch.testing.assert_close(single.double() / scale, expected / scale, rtol=0, atol=1e-5)


def test_last_pooling_is_the_published_one_at_224_pixels():
    torch.manual_seed(0)
    network = with_random_norms(ResNet(5, 8))
    maps = []
    network.layer4.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    with torch.no_grad():
        embedded = network(torch.randn(1, 5, 224, 224))
        windows = F.avg_pool2d(maps[0], 7, stride=1)  # the authors' first step: one window here
        assert windows.shape[-2:] == (1, 1)
        expected = network.fc(windows.flatten(1))
    torch.testing.assert_close(embedded, expected, rtol=1e-4, atol=1e-5)


def last_map_and_embedding(network, images):
    maps = []
    handle = network.layer4.register_forward_hook(
        lambda _module, _inputs, output: maps.append(output)
    )
    embedded = network(images)
    handle.remove()
    return maps[0], embedded


@pytest.mark.parametrize(("shape", "last"), [((224, 224), (7, 7)), ((300, 260), (9, 8))])
def test_legacy_pooling_averages_windows_and_then_their_averages(shape, last):
    torch.manual_seed(0)
    network = with_random_norms(ResNet(2, 8, depth=18, pooling="legacy")).double()
    with torch.no_grad():
        images = torch.randn(1, 2, *shape, dtype=torch.float64)
        values, embedded = last_map_and_embedding(network, images)
        assert values.shape[-2:] == last
        windows = [
            values[0, :, top : top + 7, left : left + 7].mean(dim=(1, 2))
            for top in range(last[0] - 6)
            for left in range(last[1] - 6)
        ]
        expected = F.linear(torch.stack(windows).mean(dim=0), network.fc.weight, network.fc.bias)
        torch.testing.assert_close(embedded[0], expected, rtol=1e-9, atol=1e-12)
        pooled = F.avg_pool2d(values, 7, stride=1).mean(dim=(2, 3))
        torch.testing.assert_close(embedded, network.fc(pooled), rtol=1e-9, atol=1e-12)
        adaptive = ResNet(2, 8, depth=18).double().eval()
        adaptive.load_state_dict(network.state_dict())  # the pooling has no weights
        difference = (adaptive(images) - embedded).abs().max() / embedded.abs().max()
        assert difference < 1e-12 if last == (7, 7) else difference > 1e-3


@pytest.mark.parametrize(("pooling", "corner"), [("legacy", 1 / 49), ("adaptive", 1.0)])
def test_a_corner_of_a_large_map_weighs_a_49th_of_the_middle_with_legacy_pooling(pooling, corner):
    torch.manual_seed(0)
    network = with_random_norms(ResNet(1, 1, depth=18, pooling=pooling))
    values, embedded = last_map_and_embedding(network, torch.randn(1, 1, 413, 413))
    assert values.shape[-2:] == (13, 13)
    (weights,) = torch.autograd.grad(embedded.sum(), values)
    ratio = weights[0, :, 0, 0] / weights[0, :, 6, 6]
    torch.testing.assert_close(ratio, torch.full((512,), corner))


def test_legacy_pooling_refuses_images_whose_last_map_is_under_seven():
    network = ResNet(1, 2, depth=18, pooling="legacy").eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 221, 221)).shape == (1, 2)
        with pytest.raises(ValueError, match=r"legacy.*at least 221 x 221 pixels, got 300 x 220"):
            network(torch.zeros(1, 1, 300, 220))


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match=r"pooling must be one of .*'legacy'.*, got 'max'"):
        ResNet(5, 4, pooling="max")


def test_default_resnet_has_the_size_of_the_published_image_encoder():
    published = 24_563_392  # counted on the authors' model: 5 channels, 512 components
    assert sum(parameter.numel() for parameter in ResNet(5, 512).parameters()) == published


def test_names_of_the_weights_are_the_published_ones():
    with torch.device("meta"):
        state = ResNet(5, 512).state_dict()
    statistics = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {"conv1.weight", "fc.weight", "fc.bias", *(f"bn1.{each}" for each in statistics)}
    for stage, n_blocks in enumerate((3, 4, 6, 3), start=1):
        for i in range(n_blocks):
            block = f"layer{stage}.{i}"
            for k in (1, 2, 3):
                expected.add(f"{block}.conv{k}.weight")
                expected.update(f"{block}.bn{k}.{each}" for each in statistics)
        # Every stage widens, so its first block has a convolution in the shortcut.
        expected.add(f"layer{stage}.0.downsample.0.weight")
        expected.update(f"layer{stage}.0.downsample.1.{each}" for each in statistics)
    assert set(state) == expected


def test_convolutions_start_as_he_et_al_say():
    torch.manual_seed(0)
    network = ResNet(5, 8)
    for name, weight in network.named_parameters():
        if weight.ndim == 4:
            fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
            assert weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05), name


@pytest.mark.parametrize("depth", [18, 50])
def test_gradients_reach_every_weight(depth):
    torch.manual_seed(0)
    network = ResNet(3, 4, depth=depth)
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("depth", [18, 50])
def test_one_image_of_the_smallest_size(depth):
    assert ResNet(2, 7, depth=depth).eval()(torch.zeros(1, 2, 32, 32)).shape == (1, 7)


def test_small_images_are_refused():
    with pytest.raises(ValueError, match=r"at least 32 x 32 pixels, got 40 x 31.*small"):
        ResNet(2, 4, depth=18)(torch.zeros(1, 2, 40, 31))


def test_unknown_depth_is_refused():
    with pytest.raises(ValueError, match=r"depth must be one of \[18, 50\], got 34"):
        ResNet(5, 4, depth=34)
