"""The small network against plain functional calls, and that it learns."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from cloome_sk.networks.small_cnn import SmallCNN


def functional(state, images, training):
    """Stem, four blocks, average and Linear, from the weights alone."""

    def convolution(values, position, **options):
        values = F.conv2d(values, state[f"layers.{position}.weight"], **options)
        norm = f"layers.{position + 1}"
        values = F.batch_norm(
            values,
            state[f"{norm}.running_mean"].clone(),
            state[f"{norm}.running_var"].clone(),
            state[f"{norm}.weight"],
            state[f"{norm}.bias"],
            training=training,
        )
        return values.clamp(min=0)

    values = convolution(images, 0, stride=2, padding=2)
    for block in range(4):
        height, width = values.shape[-2:]
        values = F.pad(values, (0, width % 2, 0, height % 2), value=-torch.inf)
        values = convolution(F.max_pool2d(values, 2), 4 + 4 * block, padding=1)
    return F.linear(values.flatten(2).mean(2), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(64, 64), (68, 45), (16, 17)])
def test_small_cnn_equals_functional_calls(training, shape):
    torch.manual_seed(0)
    network = SmallCNN(5, 6, width=4).double()
    images = torch.randn(3, 5, *shape, dtype=torch.float64)
    with torch.no_grad():
        network(images)  # running statistics that are not 0 and 1
        network.train(training)
        state = {name: value.clone() for name, value in network.state_dict().items()}
        expected = functional(state, images, training)
        torch.testing.assert_close(network(images), expected, rtol=1e-7, atol=1e-9)
        single = network.float()(images.float()).double()
    torch.testing.assert_close(single, expected, rtol=1e-4, atol=1e-5)


def test_embedding_of_a_repeated_pattern_does_not_depend_on_the_size_of_the_field():
    torch.manual_seed(0)
    network = SmallCNN(2, 4, width=4).eval()
    pattern = torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        small, large = network(pattern.tile(1, 1, 8, 8)), network(pattern.tile(1, 1, 32, 32))
    # Only the rim of zeros differs, an eighth and a thirty-second of the field.
    assert F.cosine_similarity(small, large).item() > 0.99


def test_gradients_reach_every_weight():
    torch.manual_seed(0)
    network = SmallCNN(3, 4)
    network(torch.randn(4, 3, 32, 32)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("n_channels", [1, 3, 5])
def test_one_image_of_the_smallest_size(n_channels):
    assert SmallCNN(n_channels, 7).eval()(torch.zeros(1, n_channels, 16, 16)).shape == (1, 7)


def test_small_images_are_refused():
    with pytest.raises(ValueError, match=r"at least 16 x 16 pixels, got 15 x 20"):
        SmallCNN(1, 4)(torch.zeros(2, 1, 15, 20))


def test_it_learns_textures_it_has_not_seen_the_noise_of():
    """Three classes of equal mean and variance, which differ in grain and in its direction."""
    generator = torch.Generator().manual_seed(0)

    def sites(n):
        labels = torch.arange(n) % 3
        noise = torch.randn(n, 2, 48, 48, generator=generator)
        smooth = torch.stack([noise, noise.roll(1, 2), noise.roll(2, 2)]).sum(0) / 3**0.5
        across = torch.stack([noise, noise.roll(1, 3), noise.roll(2, 3)]).sum(0) / 3**0.5
        choices = torch.stack([noise, smooth, across])
        return choices[labels, torch.arange(n)], labels

    images, labels = sites(96)
    new_images, new_labels = sites(60)
    torch.manual_seed(0)
    network = SmallCNN(2, 3, width=8)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(8):
        for batch in torch.arange(96).split(16):
            optimizer.zero_grad()
            F.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        right = network.eval()(new_images).argmax(1) == new_labels
    assert right.float().mean() > 0.9
