"""Networks with torchvision's weights against plain functional calls, from the weights alone."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache, partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from cloome_sk.networks import DualEncoder, ImageNetwork, from_state
from cloome_sk.networks.imagenet import ImageNetResNet
from cloome_sk.networks.mlp import MLP
from cloome_sk.networks.resnet import ResNet

N_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
STATISTICS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]

close = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-9)


def published_shapes(depth, width=64, n_classes=1000):
    """Names and shapes of torchvision's files, written down from He et al. (2016), Table 1."""
    shapes = {"conv1.weight": (64, 3, 7, 7)}
    norms = {"bn1": 64}
    n_inputs = 64
    for stage, n in enumerate(N_BLOCKS[depth], start=1):
        inner = width * 2 ** (stage - 1)
        n_outputs = 64 * 2 ** (stage - 1) * (1 if depth < 50 else 4)
        for i in range(n):
            name = f"layer{stage}.{i}"
            if depth < 50:
                kernels = [(n_inputs, inner, 3), (inner, inner, 3)]
            else:
                kernels = [(n_inputs, inner, 1), (inner, inner, 3), (inner, n_outputs, 1)]
            for k, (a, b, size) in enumerate(kernels, start=1):
                shapes[f"{name}.conv{k}.weight"] = (b, a, size, size)
                norms[f"{name}.bn{k}"] = b
            if i == 0 and (n_inputs != n_outputs or stage > 1):
                shapes[f"{name}.downsample.0.weight"] = (n_outputs, n_inputs, 1, 1)
                norms[f"{name}.downsample.1"] = n_outputs
            n_inputs = n_outputs
    for name, n in norms.items():
        shapes |= {f"{name}.{each}": (n,) for each in STATISTICS}
        shapes[f"{name}.num_batches_tracked"] = ()
    return shapes | {"fc.weight": (n_classes, n_inputs), "fc.bias": (n_classes,)}


@lru_cache(maxsize=2)
def published_state(depth, **options):
    """A file as torchvision's, of random numbers, nothing 0 or 1 by chance of its start."""
    generator = torch.Generator().manual_seed(0)
    dtype = torch.float64  # the point is which operations are done, not how they are rounded
    state = OrderedDict()
    for name, shape in published_shapes(depth, **options).items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(1000)
        elif len(shape) == 4:
            spread = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
            state[name] = spread * torch.randn(shape, generator=generator, dtype=dtype)
        else:
            uniform = torch.rand(shape, generator=generator, dtype=dtype)
            positive = name.endswith("running_var") or (len(shape) == 1 and "weight" in name)
            state[name] = uniform + 0.5 if positive else 0.4 * uniform - 0.2
    return state


def norm(state, name, values):
    return F.batch_norm(values, *(state[f"{name}.{s}"] for s in ("running_mean", "running_var")),
                        state[f"{name}.weight"], state[f"{name}.bias"])  # fmt: skip


def functional_features(state, images, n_blocks):
    """Pooled features of the published network, for images (n, 3, H, W)."""
    values = F.conv2d(images, state["conv1.weight"], stride=2, padding=3)
    values = F.max_pool2d(F.relu(norm(state, "bn1", values)), 3, stride=2, padding=1)
    for stage, n in enumerate(n_blocks, start=1):
        for i in range(n):
            name = f"layer{stage}.{i}"
            stride = 2 if stage > 1 and i == 0 else 1
            bottleneck = f"{name}.conv3.weight" in state
            kernel = partial(F.conv2d, bias=None)
            first, second = (1, stride) if bottleneck else (stride, 1)
            inner = kernel(values, state[f"{name}.conv1.weight"], stride=first,
                           padding=0 if bottleneck else 1)  # fmt: skip
            inner = F.relu(norm(state, f"{name}.bn1", inner))
            inner = kernel(inner, state[f"{name}.conv2.weight"], stride=second, padding=1)
            inner = norm(state, f"{name}.bn2", inner)
            if bottleneck:
                inner = kernel(F.relu(inner), state[f"{name}.conv3.weight"])
                inner = norm(state, f"{name}.bn3", inner)
            if f"{name}.downsample.0.weight" in state:
                values = kernel(values, state[f"{name}.downsample.0.weight"], stride=stride)
                values = norm(state, f"{name}.downsample.1", values)
            values = F.relu(inner + values)
    return F.adaptive_avg_pool2d(values, 1).flatten(1)


def grey_images(n=2, shape=(64, 64), seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, *shape, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def state18():
    return published_state(18)


@pytest.mark.parametrize(
    ("depth", "n_parameters", "n_entries"),
    [(18, 11_689_512, 122), (34, 21_797_672, 218), (50, 25_557_032, 320)],
)
def test_sizes_and_names_are_the_published_ones(depth, n_parameters, n_entries):
    with torch.device("meta"):
        network = ImageNetResNet(3, 1000, depth=depth)
    # Stated on torchvision's page of each model.
    assert sum(parameter.numel() for parameter in network.parameters()) == n_parameters
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == n_entries
    assert shapes == published_shapes(depth)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_a_file_of_torchvision_gives_the_published_network(depth):
    state = published_state(depth)
    network = ImageNetResNet(3, 1000, depth=depth).double()
    network.load_state_dict(state)
    for shape in ((64, 64), (75, 49)):
        images = torch.randn(2, 3, *shape, dtype=torch.float64)
        with torch.no_grad():
            features = functional_features(state, images, N_BLOCKS[depth])
            expected = F.linear(features, state["fc.weight"], state["fc.bias"])
            close(network.eval()(images), expected)


def test_the_3x3_convolution_of_a_bottleneck_strides():
    images = torch.randn(1, 3, 64, 64)
    sizes = []
    network = ImageNetResNet(3, 4).eval()
    for name in ("conv1", "conv2"):
        getattr(network.layer2[0], name).register_forward_hook(
            lambda _module, _inputs, output: sizes.append(output.shape[-1])
        )
    network(images)
    assert sizes == [16, 8]


@pytest.mark.parametrize(("depth", "n_channels"), [(18, 1), (18, 3), (34, 5), (50, 5)])
def test_channels_that_are_all_one_grey_image_give_what_rgb_gives(depth, n_channels):
    state = published_state(depth)
    network = ImageNetResNet(n_channels, None, depth=depth, head=False).double()
    assert network.load_imagenet(state) is network
    grey = grey_images() * 4 - 2  # as normalised inputs are
    with torch.no_grad():
        expected = functional_features(state, grey.expand(-1, 3, -1, -1), N_BLOCKS[depth])
        close(network.eval()(grey.expand(-1, n_channels, -1, -1)), expected)


def test_inflated_channels_count_the_same_and_can_be_trained_apart(state18):
    network = ImageNetResNet(4, 2, depth=18).load_imagenet(state18)
    kernels = network.conv1.weight.detach()
    for channel in range(4):
        expected = state18["conv1.weight"].mean(dim=1) * 3 / 4
        torch.testing.assert_close(kernels[:, channel], expected.float())
    network(torch.randn(2, 4, 64, 64)).square().sum().backward()
    assert not torch.equal(network.conv1.weight.grad[:, 0], network.conv1.weight.grad[:, 1])
    with torch.no_grad():
        network.conv1.weight[:, 0] = 0  # were the channels views of one, all would be 0
    assert network.conv1.weight[:, 1].abs().max() > 0


def test_normalization_of_imagenet_on_inflated_channels_is_its_grey_average(state18):
    network = ImageNetResNet(5, None, depth=18, head=False, normalize=True).double()
    network.load_imagenet(state18).eval()
    grey = grey_images()
    with torch.no_grad():
        rgb = ((grey - 0.449) / 0.226).expand(-1, 3, -1, -1)
        expected = functional_features(state18, rgb, N_BLOCKS[18])
        close(network(grey.expand(-1, 5, -1, -1)), expected)
        # With a mean and a standard deviation for each colour the difference is small, not 0.
        coloured = functional_features(state18, (grey - MEAN) / STD, N_BLOCKS[18])
        difference = (coloured - expected).norm() / expected.norm()
        assert 1e-6 < difference < 0.1


@pytest.mark.parametrize(("depth", "normalize"), [(18, False), (18, True), (50, True)])
def test_channelwise_puts_the_features_of_grey_images_side_by_side(depth, normalize):
    state = published_state(depth)
    options = {"depth": depth, "channelwise": True, "normalize": normalize}
    bare = ImageNetResNet(3, None, head=False, **options).double()
    headed = ImageNetResNet(3, 7, **options).double()
    images = torch.cat([grey_images(seed=seed) for seed in range(3)], dim=1)
    expected = []
    for channel in range(3):
        rgb = images[:, channel, None].expand(-1, 3, -1, -1)
        rgb = (rgb - MEAN) / STD if normalize else rgb
        expected.append(functional_features(state, rgb, N_BLOCKS[depth]))
    expected = torch.cat(expected, dim=1)
    assert expected.shape[1] == bare.n_features == headed.n_features == 3 * (512, 2048)[depth > 34]
    with torch.no_grad():
        close(bare.load_imagenet(state).eval()(images), expected)
        close(headed.load_imagenet(state).eval()(images), headed.fc(expected))
    assert headed.fc.weight.shape == (7, 3 * (512, 2048)[depth > 34])


def test_channelwise_training_normalises_all_channels_as_one_batch(state18):
    network = ImageNetResNet(2, None, depth=18, head=False, channelwise=True).double()
    network.load_imagenet(state18)
    reference = ImageNetResNet(3, None, depth=18, head=False).double()
    reference.load_state_dict({k: v for k, v in state18.items() if not k.startswith("fc.")})
    images = torch.cat([grey_images(n=3, seed=1), 2 * grey_images(n=3, seed=2) + 1], dim=1)
    rgb = torch.stack([images[i, c].expand(3, -1, -1) for i in range(3) for c in range(2)])
    with torch.no_grad():
        close(network.train()(images), reference.train()(rgb).reshape(3, -1))
    close(network.bn1.running_mean, reference.bn1.running_mean)


def test_evaluation_is_of_each_image_alone_and_leaves_inputs_as_they_are(state18):
    network = ImageNetResNet(2, 3, depth=18, channelwise=True, normalize=True).eval()
    network.load_imagenet(state18)
    # In double precision: kernels of other batch sizes round float32 in other places.
    network.double()
    images = grey_images(n=4).double().expand(-1, 2, -1, -1).contiguous()
    before = images.clone()
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-10)
    assert torch.equal(images, before)


def test_bytes_reach_the_network_in_0_to_1_without_another_normalization(state18):
    backbone = ImageNetResNet(2, None, depth=18, head=False, channelwise=True, normalize=True)
    backbone.load_imagenet(state18)
    pixels = torch.randint(0, 256, (2, 2, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        embedded = ImageNetwork(backbone, None, None, normalization=None).eval()(pixels)
        rgb = (pixels[:, 1, None].double() / 255 - MEAN) / STD
        expected = functional_features(state18, rgb, N_BLOCKS[18]).float()
    torch.testing.assert_close(embedded[:, 512:], expected, rtol=1e-4, atol=1e-4)


def test_the_head_keeps_its_weights_and_classes_may_be_absent(state18):
    network = ImageNetResNet(5, 6, depth=18)
    head = network.fc.weight.detach().clone()
    bare = {name: value for name, value in state18.items() if not name.startswith("fc.")}
    first = {k: v.clone() for k, v in network.load_imagenet(bare).state_dict().items()}
    second = network.load_imagenet(published_state(18, n_classes=10)).state_dict()
    assert torch.equal(second["fc.weight"], head)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_old_files_parallel_files_and_half_precision(state18):
    expected = ImageNetResNet(5, None, depth=18, head=False).load_imagenet(state18).state_dict()
    old = {k: v for k, v in state18.items() if not k.endswith("num_batches_tracked")}
    parallel = {f"module.{name}": value for name, value in old.items()}
    half = {name: value.half() for name, value in old.items()}
    for state, tolerance in ((old, 0.0), (parallel, 0.0), (half, 1e-3)):
        network = ImageNetResNet(5, None, depth=18, head=False).load_imagenet(state)
        for name, value in network.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                assert value.dtype == torch.float32
                torch.testing.assert_close(value, expected[name], rtol=tolerance, atol=tolerance)


def test_from_state_builds_the_network_without_its_first_weights(state18):
    make = partial(ImageNetResNet, 2, 4, depth=18, channelwise=True, normalize=True)
    fitted = DualEncoder(make().load_imagenet(state18), MLP(8, 4, [8])).eval()
    arrays = {name: value.numpy() for name, value in fitted.state_dict().items()}
    rebuilt = from_state(make, lambda: MLP(8, 4, [8]), arrays)
    images = grey_images().float().expand(-1, 2, -1, -1)
    with torch.no_grad():
        assert torch.equal(rebuilt.phenotype(images), fitted.phenotype(images))
    assert not any(value.is_meta for value in rebuilt.state_dict().values())


@pytest.mark.parametrize("channelwise", [True, False])
def test_gradients_reach_every_weight(channelwise):
    torch.manual_seed(0)
    network = ImageNetResNet(3, 4, depth=18, channelwise=channelwise)
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def unchanged_after(network, state, error, match):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(error, match=match):
        network.load_imagenet(state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("built", "given", "match"),
    [
        (18, 34, r"depth=18; 96 unexpected: .* They look like a ResNet of depth 34 for 3 channels"),
        (
            34,
            18,
            r"depth=34; .* missing: layer1\.2\.conv1\.weight.* look like a ResNet of depth 18",
        ),
        (18, 50, r"198 unexpected.*of another shape.* look like a ResNet of depth 50"),
        (50, 101, r"unexpected: layer3\.6\.conv1\.weight.* look like a ResNet of depth 101"),
    ],
)
def test_weights_of_another_depth_are_named(built, given, match):
    state = {k: torch.zeros(()).expand(s) for k, s in published_shapes(given).items()}
    unchanged_after(ImageNetResNet(5, 2, depth=built), state, ValueError, f"(?s){match}")


def test_weights_of_a_wider_variant_are_named():
    shapes = published_shapes(50, width=128)
    state = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    match = (
        r"of another shape: layer1\.0\.conv1\.weight \(128, 64, 1, 1\) instead of \(64, 64, 1, 1\)"
        r".* look like a wider or grouped variant .* of depth 50"
    )
    unchanged_after(ImageNetResNet(5, 2), state, ValueError, match)


def test_other_weights_are_refused(state18):
    network = ImageNetResNet(5, 2, depth=18)
    missing = {k: v for k, v in state18.items() if k != "layer4.1.conv2.weight"}
    unchanged_after(network, missing, ValueError, r"; 1 missing: layer4\.1\.conv2\.weight\. They")
    extra = {**state18, "attnpool.k_proj.weight": torch.zeros(2)}
    unchanged_after(network, extra, ValueError, r"; 1 unexpected: attnpool\.k_proj\.weight\. They")
    five = ResNet(5, 2, depth=18).state_dict()
    match = r"; 1 of another shape: conv1\.weight \(64, 5, 7, 7\) instead .*18 for 5 channels"
    unchanged_after(network, five, ValueError, match)
    prefixed = {f"encoder.{name}": value for name, value in state18.items()}
    match = r"unexpected: encoder\.conv1\.weight.*no ResNet in torchvision's format"
    unchanged_after(network, prefixed, ValueError, match)
    unchanged_after(network, {}, ValueError, r"missing.*no ResNet")
    broken = {**state18, "bn1.bias": torch.full((64,), torch.nan)}
    unchanged_after(network, broken, ValueError, r"not finite: bn1\.bias")
    arrays = {**state18, "bn1.bias": np.zeros(64)}
    unchanged_after(network, arrays, TypeError, r"'bn1\.bias' is of type ndarray")


def test_parameters_and_inputs_that_do_not_fit():
    with pytest.raises(ValueError, match=r"depth must be one of \[18, 34, 50\], got 101"):
        ImageNetResNet(5, 4, depth=101)
    with pytest.raises(ValueError, match="n_components is needed, unless head=False"):
        ImageNetResNet(5, None, depth=18)
    with pytest.raises(ValueError, match=r"gives 512 features, not n_components=64"):
        ImageNetResNet(5, 64, depth=18, head=False)
    assert ImageNetResNet(1, 512, depth=18, head=False).n_features == 512
    network = ImageNetResNet(3, 4, depth=18, channelwise=True).eval()
    with pytest.raises(ValueError, match="built for 3 channels, got 5"):
        network(torch.zeros(1, 5, 64, 64))
    with pytest.raises(ValueError, match=r"at least 32 x 32 pixels, got 40 x 31"):
        network(torch.zeros(1, 3, 40, 31))
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 4)
