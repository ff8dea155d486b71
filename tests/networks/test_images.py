"""What happens to pixels before the backbone, against loops over single images in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from cloome_sk.networks import DualEncoder, from_state, images
from cloome_sk.networks.augmentation import Augmentation
from cloome_sk.networks.images import ImageNetwork

RNG = np.random.default_rng(0)
MEAN, STD = np.array([100.0, 50.0, 3.0]), np.array([20.0, 7.0, 0.5])


class Recorder(nn.Module):
    """A backbone whose embedding is a few statistics of its input, which it keeps."""

    def __init__(self, n_components: int = 4) -> None:
        super().__init__()
        self.fc = nn.Linear(3, n_components)
        self.seen: list[torch.Tensor] = []

    def forward(self, inputs):
        assert inputs.dtype == torch.float32
        self.seen.append(inputs)
        return self.fc(inputs.square().mean(dim=(2, 3)))


def fields(dtype=np.uint8, n=5, shape=(20, 26), high=256):
    return RNG.integers(0, high, (n, 3, *shape)).astype(dtype)


def network(**parameters):
    parameters.setdefault("mean", MEAN)
    parameters.setdefault("std", STD)
    torch.manual_seed(0)
    return ImageNetwork(Recorder(), parameters.pop("mean"), parameters.pop("std"), **parameters)


def seen_in_evaluation(net, inputs):
    """What the backbone gets, as float64 NumPy."""
    with torch.no_grad():
        net.eval()(inputs)
    return torch.cat(net.backbone.seen).double().numpy()


@pytest.mark.parametrize(
    ("dtype", "high"), [(np.uint8, 256), (np.uint16, 65536), (np.float32, 4096), (np.int32, 5000)]
)
def test_training_set_statistics(dtype, high):
    pixels = fields(dtype, high=high)
    seen = seen_in_evaluation(network(), torch.from_numpy(pixels))
    for i in range(5):
        for c in range(3):
            expected = (pixels[i, c].astype(np.float64) - MEAN[c]) / STD[c]
            np.testing.assert_allclose(seen[i, c], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("dtype", "high"), [(np.uint8, 256), (np.uint16, 65536)])
def test_statistics_of_each_image(dtype, high):
    pixels = fields(dtype, high=high)
    pixels[1, 2] = 77  # constant
    pixels[2, 0] = 0  # empty
    pixels[3, 1] = high - 1  # saturated
    pixels[4, 1] = high - 1
    pixels[4, 1, 3, 3] = high - 2  # all but
    net = network(normalization="image", mean=None, std=None)
    seen = seen_in_evaluation(net, torch.from_numpy(pixels))
    for i in range(5):
        for c in range(3):
            values = pixels[i, c].astype(np.float64)
            expected = (values - values.mean()) / (values.std() or 1.0)
            # One grey level in one pixel of a bright channel: float32 has steps of 0.004 there.
            tolerance = 0.15 if (i, c) == (4, 1) else 1e-4
            np.testing.assert_allclose(seen[i, c], expected, rtol=1e-3, atol=tolerance)


def test_a_constant_channel_of_any_level_becomes_zero():
    levels = torch.tensor([0.1, 1e-6, 12345.678, 3e4]).reshape(4, 1, 1, 1)
    pixels = levels.expand(4, 3, 300, 300)
    seen = seen_in_evaluation(network(normalization="image", mean=None, std=None), pixels)
    assert (seen == 0).all()


def test_image_statistics_are_those_of_the_whole_field():
    pixels = torch.from_numpy(fields())
    whole = network(normalization="image", mean=None, std=None)
    center = network(normalization="image", mean=None, std=None, crop=(8, 10), evaluation="center")
    expected = seen_in_evaluation(whole, pixels)[:, :, 6:14, 8:18]
    np.testing.assert_allclose(seen_in_evaluation(center, pixels), expected)
    center.backbone.seen.clear()
    center.train()(pixels)  # the same statistics for the random crop of training
    crop = center.backbone.seen[0][0].numpy()
    field = whole.backbone.seen[0][0].numpy()
    windows = np.lib.stride_tricks.sliding_window_view(field, (8, 10), axis=(1, 2))
    assert np.isclose(windows, crop[:, None, None], atol=1e-6).all(axis=(0, 3, 4)).sum() == 1


def test_statistics_of_plates():
    pixels = fields()
    mean, std = RNG.uniform(10, 90, (5, 3)), RNG.uniform(1, 9, (5, 3))
    std[2, 1] = 0.0
    net = network(normalization="plate", mean=None, std=None)
    seen = seen_in_evaluation(net, tuple(map(torch.from_numpy, (pixels, mean, std))))
    for i in range(5):
        for c in range(3):
            scale = 1.0 if (i, c) == (2, 1) else std[i, c]
            expected = (pixels[i, c] - mean[i, c]) / scale
            np.testing.assert_allclose(seen[i, c], expected, rtol=1e-5, atol=1e-4)


def test_no_normalization_divides_by_255():
    pixels = fields()
    seen = seen_in_evaluation(network(normalization=None), torch.from_numpy(pixels))
    np.testing.assert_allclose(seen, pixels / 255.0, rtol=1e-6)


def test_a_constant_channel_of_the_training_set_counts_as_1():
    net = network(std=[20.0, 0.0, 0.5])
    assert net.state_dict()["std"].tolist() == [20.0, 1.0, 0.5]


def test_full_field_is_embedded_whole():
    net = network(crop=8)
    assert seen_in_evaluation(net, torch.from_numpy(fields())).shape == (5, 3, 20, 26)


@pytest.mark.parametrize(
    ("field", "crop", "corner"),
    [((20, 26), (8, 8), (6, 9)), ((21, 24), (8, 9), (6, 8)), ((23, 20), (8, 20), (8, 0))],
)
def test_center_crop(field, crop, corner):
    # The odd pixel goes where torchvision's CenterCrop leaves it: int(round((H - h) / 2)).
    pixels = fields(shape=field)
    net = network(crop=crop, evaluation="center")
    top, left = corner
    expected = pixels[:, :, top : top + crop[0], left : left + crop[1]]
    seen = seen_in_evaluation(net, torch.from_numpy(pixels))
    np.testing.assert_allclose(
        seen, (expected - MEAN[:, None, None]) / STD[:, None, None], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("crop", "rows", "columns"),
    [
        ((10, 13), [0, 10], [0, 13]),  # whole tiles, side by side
        ((8, 26), [0, 6, 12], [0]),  # 3 x 8 > 20: they overlap by two
        (20, [0], [0, 6]),
        ((20, 26), [0], [0]),
    ],
)
def test_tiles_are_averaged_before_unit_length(crop, rows, columns):
    pixels = torch.from_numpy(fields())
    net = network(crop=crop, evaluation="tiles").eval()
    height, width = net.crop
    with torch.no_grad():
        embedded = net(pixels)
        for i in range(5):
            tiles = [
                net.backbone(
                    (
                        (
                            pixels[i : i + 1, :, r : r + height, c : c + width].double()
                            - torch.tensor(MEAN)[:, None, None]
                        )
                        / torch.tensor(STD)[:, None, None]
                    ).float()
                )[0]
                for r in rows
                for c in columns
            ]
            expected = sum(tiles) / len(tiles)
            torch.testing.assert_close(embedded[i], expected, rtol=1e-4, atol=1e-4)


def test_tiles_cover_every_pixel():
    for field in range(1, 60):
        for crop in range(1, field + 1):
            starts = images._spread(field, crop)
            assert len(starts) == math.ceil(field / crop)
            covered = {p for start in starts for p in range(start, start + crop)}
            assert covered == set(range(field))


@pytest.mark.parametrize("normalization", ["dataset", "image", "plate", None])
@pytest.mark.parametrize("evaluation", ["full", "center", "tiles"])
def test_chunks_change_nothing(normalization, evaluation, monkeypatch):
    net = network(normalization=normalization, crop=(8, 9), evaluation=evaluation).eval()
    inputs = torch.from_numpy(fields(n=7))
    if normalization == "plate":
        inputs = (inputs, torch.rand(7, 3), torch.rand(7, 3))
    with torch.no_grad():
        whole = net(inputs)
        net.backbone.seen.clear()
        window = 20 * 26 if evaluation == "full" else 8 * 9
        monkeypatch.setattr(images, "CHUNK", 3 * window * 2 + 5)  # two images at a time
        monkeypatch.setattr(images, "CPU_CHUNK", 3 * window * 2 + 5)
        torch.testing.assert_close(net(inputs), whole, rtol=1e-6, atol=1e-6)
    assert max(len(part) for part in net.backbone.seen) == 2


def test_training_shows_other_views_and_evaluation_the_same():
    net = network(augmentation=Augmentation(), crop=8, evaluation="center")
    pixels = torch.from_numpy(fields())
    torch.manual_seed(0)
    with torch.no_grad():
        assert not torch.equal(net(pixels), net(pixels))
        assert net.backbone.seen[0].shape == (5, 3, 8, 8)
        net.eval()
        assert torch.equal(net(pixels), net(pixels))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("rotation", [0.0, 40.0])
def test_training_view_is_geometry_of_pixels_then_jitter_of_normalised_values(dtype, rotation):
    augmentation = Augmentation(rotation=rotation, jitter=(0.2, 0.3))
    net = network(augmentation=augmentation, crop=12)
    pixels = torch.from_numpy(fields(dtype))
    torch.manual_seed(4)
    net(pixels)
    torch.manual_seed(4)
    view = augmentation.geometry(pixels.float(), (12, 12))
    mean, std = (torch.tensor(each, dtype=torch.float32)[:, None, None] for each in (MEAN, STD))
    expected = augmentation.intensity((view - mean) / std)
    torch.testing.assert_close(net.backbone.seen[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("normalization", ["dataset", "image", "plate", None])
@pytest.mark.parametrize(
    ("augmentation", "crop"),
    [(None, None), (None, 12), (Augmentation(), 12), (Augmentation(zoom=(0.5, 1.0)), (9, 12))],
)
def test_a_view_is_what_training_shows_the_backbone(dtype, normalization, augmentation, crop):
    net = network(normalization=normalization, augmentation=augmentation, crop=crop)
    inputs = torch.from_numpy(fields(dtype))
    if normalization == "plate":
        inputs = (inputs, torch.rand(5, 3), torch.rand(5, 3))
    views = []
    for mode in (True, False):
        net.train(mode)
        torch.manual_seed(2)
        views.append(net.view(inputs))
    net.train()
    torch.manual_seed(2)
    net(inputs)
    for view in views:
        assert torch.equal(view, net.backbone.seen[-1])


def test_views_of_any_size_and_zoom_are_drawn_for_each_call():
    pixels = torch.from_numpy(fields(shape=(40, 50)))
    net = network(augmentation=Augmentation(crop=10, zoom=(0.9, 1.0)), crop=16).eval()
    torch.manual_seed(0)
    assert net.view(pixels).shape == (5, 3, 10, 10)
    assert net.view(pixels, crop=(8, 9), zoom=(0.2, 0.4)).shape == (5, 3, 8, 9)
    assert not torch.equal(net.view(pixels), net.view(pixels))
    plain = network()
    assert plain.view(pixels, zoom=(0.2, 0.4)).shape == (5, 3, 40, 50)
    # Statistics first or last: both are linear.
    torch.manual_seed(1)
    view = plain.view(pixels, crop=16, zoom=(0.3, 0.6))
    torch.manual_seed(1)
    windows = Augmentation(flips=False, turns=False).window(pixels, (16, 16), (0.3, 0.6)).numpy()
    expected = (windows - MEAN[:, None, None]) / STD[:, None, None]
    np.testing.assert_allclose(view, expected, rtol=1e-4, atol=1e-4)


def test_a_view_of_another_crop_is_an_upright_window_without_augmentation():
    pixels = torch.from_numpy(fields())
    net = network().eval()
    views, whole = net.view(pixels, crop=(7, 9)).numpy(), net.view(pixels).numpy()
    for view, field in zip(views, whole, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(field, (7, 9), axis=(1, 2))
        assert np.isclose(windows, view[:, None, None]).all(axis=(0, 3, 4)).sum() == 1


def test_a_view_of_no_size_is_refused():
    net, pixels = network(), torch.from_numpy(fields())
    with pytest.raises(ValueError, match=r"ImageNetwork\.view: crop must be a whole number"):
        net.view(pixels, crop=0)
    with pytest.raises(ValueError, match=r"ImageNetwork\.view: zoom must be two shares"):
        net.view(pixels, zoom=(0.5, 2.0))
    with pytest.raises(ValueError, match="does not fit into a field of 20 x 26"):
        net.view(pixels, crop=30)
    with pytest.raises(TypeError, match="takes a tensor of pixels"):
        net.view((pixels, pixels, pixels))


def test_training_without_augmentation_shows_the_field():
    net = network()
    pixels = fields()
    net(torch.from_numpy(pixels))
    expected = (pixels - MEAN[:, None, None]) / STD[:, None, None]
    np.testing.assert_allclose(net.backbone.seen[0], expected, rtol=1e-5, atol=1e-5)


def test_a_crop_without_augmentation_is_random_but_upright():
    net = network(crop=(6, 7))
    ramp = torch.arange(26, dtype=torch.uint8).expand(200, 3, 20, 26)
    torch.manual_seed(0)
    net(ramp)
    seen = net.backbone.seen[0]
    torch.testing.assert_close(seen.diff(dim=3)[:, 0], torch.full((200, 6, 6), 1 / 20.0))
    first = (seen[:, 0, 0, 0] * 20 + 100).round().int().tolist()
    assert set(first) == set(range(20))


def test_augmentation_of_its_own_size_leaves_the_evaluation_alone():
    net = network(augmentation=Augmentation(crop=6), crop=9, evaluation="center")
    pixels = torch.from_numpy(fields())
    net(pixels)
    net.eval()(pixels)
    assert [tuple(seen.shape[-2:]) for seen in net.backbone.seen] == [(6, 6), (9, 9)]


def test_input_is_not_changed():
    pixels = torch.from_numpy(fields(np.float32))
    before = pixels.clone()
    for net in (network(), network(normalization="image"), network(crop=20, evaluation="tiles")):
        net(pixels)
        net.eval()(pixels)
    assert torch.equal(pixels, before)


def test_no_images_and_one():
    for evaluation in ("full", "center", "tiles"):
        net = network(crop=8, evaluation=evaluation, normalization="image").eval()
        assert net(torch.from_numpy(fields(n=0))).shape == (0, 4)
        assert net(torch.from_numpy(fields(n=1))).shape == (1, 4)


def test_built_around_stored_weights():
    """As a fitted estimator does: on the meta device, then given its weights."""

    def phenotype():
        return ImageNetwork(Recorder(), MEAN, [1.0, 0.0, 2.0], augmentation=Augmentation(), crop=8)

    torch.manual_seed(0)
    dual = DualEncoder(phenotype(), nn.Linear(2, 4)).eval()
    state = {name: value.numpy().copy() for name, value in dual.state_dict().items()}
    rebuilt = from_state(phenotype, lambda: nn.Linear(2, 4), state)
    pixels = torch.from_numpy(fields())
    assert not [name for name, each in rebuilt.state_dict().items() if each.is_meta]
    assert torch.equal(rebuilt.phenotype(pixels), dual.phenotype(pixels))


def test_statistics_travel_in_the_state():
    stored = network().state_dict()
    other = network(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
    other.load_state_dict(stored)
    pixels = torch.from_numpy(fields())
    assert torch.equal(other.eval()(pixels), network().eval()(pixels))
    without = network(normalization="image", mean=None, std=None).state_dict()
    assert set(without) == {"backbone.fc.weight", "backbone.fc.bias"}


@pytest.mark.parametrize("training", [True, False])
def test_a_crop_larger_than_the_field_is_refused(training):
    net = network(crop=(32, 20), evaluation="tiles").train(training)
    message = r"crop of 32 x 20 pixels does not fit into a field of 20 x 26 pixels"
    with pytest.raises(ValueError, match=message):
        net(torch.from_numpy(fields()))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"normalization": "well"}, r"normalization must be one of .*got 'well'"),
        ({"evaluation": "corner"}, r"evaluation must be one of .*got 'corner'"),
        ({"evaluation": "tiles"}, r"evaluation='tiles' cuts windows.*give a crop"),
        ({"crop": -3}, "crop must be a whole number of pixels"),
        ({"mean": None}, "mean and std of the training set are needed"),
        ({"mean": None, "normalization": "image"}, "always both or neither"),
        ({"mean": [1.0, 2.0]}, r"one number a channel each, got the shapes \(2,\) and \(3,\)"),
        ({"mean": [1.0, np.nan, 2.0]}, "must be finite"),
        ({"std": [1.0, -1.0, 2.0]}, "std at least 0"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        network(**parameters)


def test_bad_inputs_are_refused():
    pixels = torch.from_numpy(fields())
    with pytest.raises(ValueError, match="built for 3 channels, got 2"):
        network()(pixels[:, :2])
    with pytest.raises(ValueError, match=r"axes \(n, n_channels, H, W\), got the shape \(3, 20"):
        network()(pixels[0])
    with pytest.raises(TypeError, match=r"takes a tuple \(pixels, mean, std\), got Tensor"):
        network(normalization="plate")(pixels)
    with pytest.raises(TypeError, match="takes a tensor of pixels, got tuple"):
        network()((pixels, pixels, pixels))
    with pytest.raises(ValueError, match=r"\(5, 3\), got \(5, 2\) and \(5, 3\)"):
        network(normalization="plate")((pixels, torch.ones(5, 2), torch.ones(5, 3)))
