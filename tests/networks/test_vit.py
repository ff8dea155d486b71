"""The small transformer against torch's own layers, and that it learns."""

from __future__ import annotations

import io

import joblib
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from cloome_sk.networks import DualEncoder, ImageNetwork, from_state
from cloome_sk.networks.augmentation import Augmentation
from cloome_sk.networks.vit import Block, SmallViT


def torch_layer(block: Block, width: int, n_heads: int) -> nn.TransformerEncoderLayer:
    """Torch's own pre-norm layer with the weights of a block."""
    layer = nn.TransformerEncoderLayer(
        width,
        n_heads,
        4 * width,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
        dtype=torch.float64,
    )
    state = block.state_dict()
    names = {
        "self_attn.in_proj_": "qkv.",
        "self_attn.out_proj.": "projection.",
        "linear1.": "mlp.0.",
        "linear2.": "mlp.2.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    layer.load_state_dict(
        {
            theirs + part: state[ours + part]
            for theirs, ours in names.items()
            for part in ("weight", "bias")
        }
    )
    return layer


def shaken(network: nn.Module) -> nn.Module:
    """Weights none of which is 0 or 1, as those of norms and biases are at first."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return network


@pytest.mark.parametrize("n_heads", [1, 2, 6])
def test_a_block_is_torch_s_pre_norm_layer(n_heads: int) -> None:
    torch.manual_seed(0)
    block = shaken(Block(12, n_heads).double())
    tokens = torch.randn(3, 7, 12, dtype=torch.float64)
    expected = torch_layer(block, 12, n_heads).train()(tokens)
    torch.testing.assert_close(block(tokens), expected, rtol=1e-9, atol=1e-9)


def naive(network: SmallViT, image: torch.Tensor, width: int, n_heads: int) -> torch.Tensor:
    """The embedding of one image: patch by patch, and torch's layers."""
    patch, state = network.patch, network.state_dict()
    height, breadth = image.shape[1:]
    n_rows, n_columns = -(-height // patch), -(-breadth // patch)
    canvas = image.new_zeros((len(image), n_rows * patch, n_columns * patch))
    top, left = (n_rows * patch - height) // 2, (n_columns * patch - breadth) // 2
    canvas[:, top : top + height, left : left + breadth] = image
    places = F.interpolate(
        state["positions"].permute(2, 0, 1)[None], (n_rows, n_columns), mode="bicubic",
        antialias=True,
    )[0]  # fmt: skip
    weight = state["patches.weight"].flatten(1)
    tokens = [state["token"]]
    for row in range(n_rows):
        for column in range(n_columns):
            rows = slice(row * patch, row * patch + patch)
            columns = slice(column * patch, column * patch + patch)
            values = weight @ canvas[:, rows, columns].flatten() + state["patches.bias"]
            tokens.append(values + places[:, row, column])
    values = torch.stack(tokens)[None]
    for block in network.blocks:
        values = torch_layer(block, width, n_heads).train()(values)
    values = F.layer_norm(values[0, 0], (width,), state["norm.weight"], state["norm.bias"])
    return F.linear(values, state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize("patch", [6, 16])
@pytest.mark.parametrize("grid", [1, 4, 9])
@pytest.mark.parametrize("shape", [(24, 24), (16, 35), (53, 30)])
def test_small_vit_equals_a_loop_over_patches(
    patch: int, grid: int, shape: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    network = shaken(SmallViT(3, 5, patch, width=8, depth=2, n_heads=2, grid=grid).double())
    images = torch.randn(2, 3, *shape, dtype=torch.float64)
    with torch.no_grad():
        expected = torch.stack([naive(network, image, 8, 2) for image in images])
        torch.testing.assert_close(network(images), expected, rtol=1e-8, atol=1e-8)
        single = network.float()(images.float()).double()
    torch.testing.assert_close(single, expected, rtol=1e-3, atol=1e-4)


def test_gradients_reach_every_weight() -> None:
    torch.manual_seed(0)
    network = SmallViT(3, 4, width=16, n_heads=2, grid=5)
    network(torch.randn(4, 3, 96, 80)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name
        assert torch.isfinite(parameter.grad).all(), name
    # Each learned place has its share in the places of the image.
    assert (network.positions.grad.abs().amax(dim=2) > 0).all()


@pytest.mark.parametrize("shape", [(32, 32), (50, 70)])
def test_half_precision_is_of_products_alone(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = shaken(SmallViT(2, 6, patch=8, width=32, n_heads=2, grid=4)).eval()
    images, seen = torch.randn(3, 2, *shape), []
    network.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with torch.no_grad():
        expected = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            embedded = network(images)
    assert seen == [torch.float32, torch.float32]
    assert embedded.dtype == torch.bfloat16
    assert (F.cosine_similarity(embedded.float(), expected) > 0.999).all()


@pytest.mark.parametrize("n_channels", [1, 3, 5])
def test_images_of_any_size_from_the_smallest(n_channels: int) -> None:
    network = SmallViT(n_channels, 7, width=8, n_heads=2).eval()
    for shape in ((16, 16), (17, 40), (130, 173)):
        assert network(torch.randn(1, n_channels, *shape)).shape == (1, 7)
    assert network(torch.zeros(0, n_channels, 32, 32)).shape == (0, 7)


def test_patches_larger_than_the_image_are_filled_up() -> None:
    torch.manual_seed(0)
    network = SmallViT(1, 3, patch=40, width=8, n_heads=2)
    image = torch.randn(1, 1, 20, 18)
    framed = F.pad(image, (11, 11, 10, 10))
    torch.testing.assert_close(network(image), network(framed))


def test_where_a_patch_lies_counts_and_no_image_sees_another() -> None:
    torch.manual_seed(0)
    network = shaken(SmallViT(2, 4, width=16, n_heads=2)).eval()
    images = torch.randn(5, 2, 48, 48)
    with torch.no_grad():
        together = network(images)
        for image, embedding in zip(images, together, strict=True):
            torch.testing.assert_close(network(image[None])[0], embedding, rtol=1e-4, atol=1e-5)
        swapped = images.clone()
        swapped[:, :, :16], swapped[:, :, 16:32] = images[:, :, 16:32], images[:, :, :16]
        assert ((network(swapped) - together).abs().amax(dim=1) > 1e-3).all()
        network.positions.zero_()
        torch.testing.assert_close(network(swapped), network(images), rtol=1e-4, atol=1e-5)


def test_same_seed_same_weights_and_no_draws_afterwards() -> None:
    networks = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        networks.append(SmallViT(2, 4, width=8, n_heads=2))
    first, again, other = (network.state_dict() for network in networks)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["positions"], other["positions"])
    before = torch.get_rng_state()
    networks[0](torch.randn(2, 2, 32, 32, generator=torch.Generator())).sum().backward()
    assert torch.equal(torch.get_rng_state(), before)


def test_built_around_stored_weights_and_pickled() -> None:
    """As a fitted estimator does: on the meta device, then given its weights."""

    def phenotype() -> ImageNetwork:
        backbone = SmallViT(3, 4, width=8, n_heads=2)
        return ImageNetwork(backbone, [9.0] * 3, [2.0] * 3, augmentation=Augmentation(), crop=32)

    dual = DualEncoder(phenotype(), nn.Linear(2, 4)).eval()
    state = {name: value.numpy().copy() for name, value in dual.state_dict().items()}
    rebuilt = from_state(phenotype, lambda: nn.Linear(2, 4), state)
    file = io.BytesIO()
    joblib.dump(dual, file)
    file.seek(0)
    pixels = torch.randint(0, 256, (4, 3, 45, 60), dtype=torch.uint8)
    with torch.no_grad():
        expected = dual.phenotype(pixels)
        assert torch.equal(rebuilt.phenotype(pixels), expected)
        assert torch.equal(joblib.load(file).phenotype(pixels), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("normalization", ["dataset", "image", "plate"])
def test_crops_are_trained_on_and_whole_fields_embedded(dtype: type, normalization: str) -> None:
    torch.manual_seed(0)
    backbone = SmallViT(3, 4, width=8, n_heads=2)
    network = ImageNetwork(
        backbone,
        [90.0] * 3,
        [20.0] * 3,
        normalization=normalization,
        crop=24,
        augmentation=Augmentation(),
    )
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (2, 3, 50, 60), dtype))
    mean, std = torch.full((2, 3), 120.0), torch.full((2, 3), 30.0)
    inputs = (pixels, mean, std) if normalization == "plate" else pixels
    assert network(inputs).shape == (2, 4)
    values = pixels.double()
    numbers = {
        "dataset": (90.0, 20.0),
        "plate": (120.0, 30.0),
        "image": (
            values.mean(dim=(2, 3), keepdim=True),
            values.std(dim=(2, 3), correction=0, keepdim=True),
        ),
    }
    mean, std = numbers[normalization]
    with torch.no_grad():
        expected = backbone(((values - mean) / std).float())
        torch.testing.assert_close(network.eval()(inputs), expected, rtol=1e-4, atol=1e-4)


def test_it_learns_patterns_that_were_not_shown() -> None:
    """Three classes of equal mean and variance: noise, stripes along rows, and along columns."""
    generator = torch.Generator().manual_seed(0)

    def sites(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(n) % 3
        noise = torch.randn(n, 2, 48, 48, generator=generator)
        stripes = torch.randn(n, 2, 48, 4, generator=generator).repeat_interleave(12, dim=3)
        return torch.stack([noise, stripes, stripes.mT])[labels, torch.arange(n)], labels

    images, labels = sites(96)
    new_images, new_labels = sites(60)
    torch.manual_seed(0)
    network = SmallViT(2, 3, patch=8, width=32, depth=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(8):
        for batch in torch.arange(96).split(16):
            optimizer.zero_grad()
            F.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        right = network(new_images).argmax(1) == new_labels
    assert right.float().mean() > 0.9


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"patch": 0}, "patch must be at least 1, got 0"),
        ({"depth": -1}, "depth must be at least 1, got -1"),
        ({"grid": 0}, "grid must be at least 1"),
        ({"width": 10, "n_heads": 4}, "width must be a multiple of n_heads, got width=10 and"),
    ],
)
def test_bad_parameters_are_refused(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"SmallViT: {message}"):
        SmallViT(2, 3, **parameters)


def test_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 16 x 16 pixels, got 15 x 20"):
        SmallViT(1, 4)(torch.zeros(2, 1, 15, 20))
