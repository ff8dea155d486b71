"""The random views of training against loops over single images, and their statistics."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from cloome_sk.networks.augmentation import Augmentation
from cloome_sk.networks.view_sizes import image_size

QUIET = (0.0, 0.0)


def orientations(image):
    """The eight ways to lay a square image of shape (n_channels, H, W), by turns and one flip."""
    return {
        (turn, mirrored): np.rot90(image[..., ::-1] if mirrored else image, turn, axes=(1, 2))
        for turn, mirrored in itertools.product(range(4), (False, True))
    }


def orientation_of(view, image):
    """Which of the eight ways a view is, of those of its shape."""
    found = [
        key
        for key, laid in orientations(image).items()
        if laid.shape == view.shape and (laid == view).all()
    ]
    assert len(found) == 1, f"a view is {len(found)} of the eight orientations"
    return found[0]


def pixels_of(n, n_channels, height, width, seed=0, dtype=np.uint8):
    """Noise: no two orientations or windows of it are alike."""
    values = np.random.default_rng(seed).integers(0, 256, (n, n_channels, height, width))
    return torch.from_numpy(values.astype(dtype))


@pytest.mark.parametrize(
    ("flips", "turns", "shape", "possible"),
    [
        (True, True, (9, 9), set(itertools.product(range(4), (False, True)))),
        (False, True, (9, 9), {(0, False), (1, False), (2, False), (3, False)}),
        (True, False, (9, 9), {(0, False), (2, False), (0, True), (2, True)}),
        (True, True, (9, 12), {(0, False), (2, False), (0, True), (2, True)}),
        (False, True, (9, 12), {(0, False), (2, False)}),
        (False, False, (9, 9), {(0, False)}),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_possible_orientation_is_equally_frequent(flips, turns, shape, possible, dtype):
    torch.manual_seed(0)
    pixels = pixels_of(800, 3, *shape, dtype=dtype)
    views = Augmentation(flips=flips, turns=turns, jitter=QUIET).geometry(pixels)
    assert views.dtype == pixels.dtype
    seen = [
        orientation_of(view, image)
        for view, image in zip(views.numpy(), pixels.numpy(), strict=True)
    ]
    counts = {key: seen.count(key) for key in set(seen)}
    assert set(counts) == possible
    expected = 800 / len(possible)
    # Four standard deviations of a binomial count.
    assert max(abs(n - expected) for n in counts.values()) <= 4 * expected**0.5


@pytest.mark.parametrize(("crop", "shape"), [(5, (8, 9)), ((3, 7), (8, 9)), ((8, 4), (8, 9))])
def test_crops_are_windows_at_every_place(crop, shape):
    torch.manual_seed(0)
    pixels = pixels_of(1500, 2, *shape)
    views = Augmentation(crop, flips=False, turns=False, jitter=QUIET).geometry(pixels).numpy()
    height, width = (crop, crop) if isinstance(crop, int) else crop
    seen = set()
    for view, image in zip(views, pixels.numpy(), strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(image, (height, width), axis=(1, 2))
        same = (windows == view[:, None, None]).all(axis=(0, 3, 4))
        assert same.sum() == 1
        seen.add(tuple(np.argwhere(same)[0]))
    places = itertools.product(range(shape[0] - height + 1), range(shape[1] - width + 1))
    assert seen == set(places)


def test_a_square_crop_of_an_oblong_field_is_turned_by_90_degrees():
    torch.manual_seed(0)
    row = torch.arange(40, dtype=torch.uint8).expand(300, 1, 20, 40)  # brighter to the right
    views = Augmentation(crop=8, jitter=QUIET).geometry(row).int()
    along_rows = (views.diff(dim=2) != 0).flatten(1).any(dim=1)
    along_columns = (views.diff(dim=3) != 0).flatten(1).any(dim=1)
    assert bool((along_rows ^ along_columns).all())
    assert 0.35 < along_rows.float().mean() < 0.65


def drawn_angles(seed, n, rotation):
    """The angles of a rotation without a crop: drawn after two (constant) corners."""
    torch.manual_seed(seed)
    torch.randint(1, (n,))
    torch.randint(1, (n,))
    return ((torch.rand(n) * 2 - 1) * np.deg2rad(rotation)).tolist()


@pytest.mark.parametrize("shape", [(24, 24), (17, 30)])
def test_rotation_is_that_of_scipy(shape):
    images = torch.randn(4, 2, *shape, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(3)
    augmentation = Augmentation(flips=False, turns=False, rotation=75.0, jitter=QUIET)
    views = augmentation.geometry(images)
    center = (np.array(shape) - 1) / 2
    for view, image, angle in zip(views, images, drawn_angles(3, 4, 75.0), strict=True):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        for channel in range(2):
            expected = ndimage.affine_transform(
                image[channel].numpy().astype(np.float64),
                turn,  # from (row, column) of the view to those of the image
                offset=center - turn @ center,
                order=1,
                mode="reflect",  # the edge pixel twice: d c b a | a b c d
            )
            np.testing.assert_allclose(view[channel].numpy(), expected, atol=2e-4)


@pytest.mark.parametrize("rotation", [10.0, 180.0])
def test_angles_fill_their_range(rotation):
    ramp = torch.arange(41.0).expand(400, 1, 41, 41)
    torch.manual_seed(0)
    views = Augmentation(crop=9, flips=False, turns=False, rotation=rotation, jitter=QUIET)
    # Crops near the rim hold reflections; those of the middle keep a plain slope.
    views = views.geometry(ramp[..., 8:33, :])[:, 0]
    middle = views[:, 4, 4] - views[:, 4, 3], views[:, 4, 4] - views[:, 3, 4]
    slope = torch.hypot(*middle)
    angle = torch.rad2deg(torch.atan2(-middle[1], middle[0]))[(slope - 1).abs() < 1e-3]
    assert len(angle) > 300
    assert angle.abs().max() <= rotation + 0.1
    assert angle.min() < -0.9 * rotation
    assert angle.max() > 0.9 * rotation


def test_a_rotated_crop_shows_the_field_around_it():
    """A crop at the middle of a large field needs no reflection at its corners."""
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    plane = (3 * x + 5 * y).expand(200, 1, 64, 64)
    crops = Augmentation(crop=16, flips=False, turns=False, rotation=180.0, jitter=QUIET)
    views = crops.geometry(plane)[:, 0]
    bend = views.diff(n=2, dim=1).abs().amax((1, 2)) + views.diff(n=2, dim=2).abs().amax((1, 2))
    # A crop whose circle lies in the field (centres 12 to 52 of 8 to 56) is a tilted plane.
    assert (bend < 1e-2).float().mean() > 0.55


def test_rotation_of_bytes_gives_floats_of_their_range():
    torch.manual_seed(0)
    pixels = pixels_of(5, 3, 20, 26)
    views = Augmentation(crop=12, rotation=30.0).geometry(pixels)
    assert views.dtype == torch.float32
    assert views.shape == (5, 3, 12, 12)
    assert views.min() >= -1e-3
    assert views.max() <= 255 + 1e-3


def resized(image, size):
    """A triangle over the pixels around each new one, wider where the image shrinks."""
    for axis, new in enumerate(size, start=1):
        old = image.shape[axis]
        scale = old / new
        lines = []
        for place in range(new):
            distance = np.abs(np.arange(old) + 0.5 - (place + 0.5) * scale)
            weights = np.clip(1 - distance / max(scale, 1.0), 0, None)
            lines.append(np.tensordot(image, weights / weights.sum(), axes=(axis, 0)))
        image = np.stack(lines, axis=axis)
    return image


def window_of(view, field, size):
    """First row and column, and sides, of the window that two ramps in a view come from."""
    found = []
    for axis, ramp in enumerate(view[:2]):
        line = ramp.mean(axis=1 - axis)
        middle = slice(size[axis] // 4, -(size[axis] // 4))
        side = round(np.diff(line[middle]).mean() * size[axis])
        first = line.mean() - (side - 1) / 2
        assert abs(first - round(first)) < 1e-2
        found.append((round(first), side))
    (top, height), (left, width) = found
    assert min(top, left) >= 0
    assert top + height <= field[0]
    assert left + width <= field[1]
    return top, left, height, width


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("crop", [None, (12, 20), 16, (60, 50)])
@pytest.mark.parametrize("zoom", [(0.3, 0.9), (1.0, 1.0), (0.5, 0.5)])
def test_zoomed_views_are_resized_windows_of_all_sizes_and_places(dtype, crop, zoom):
    torch.manual_seed(0)
    field = 44, 60
    pixels = pixels_of(300, 4, *field, dtype=dtype)
    pixels[:, 0] = torch.arange(44)[:, None]
    pixels[:, 1] = torch.arange(60)
    augmentation = Augmentation(crop, flips=False, turns=False, jitter=QUIET, zoom=zoom)
    views = augmentation.geometry(pixels)
    size = field if crop is None else (crop, crop) if isinstance(crop, int) else crop
    assert views.dtype == torch.float32
    assert views.shape == (300, 4, *size)
    windows = np.array([window_of(view, field, size) for view in views.numpy().astype(float)])
    largest = min(field[0] / size[0], field[1] / size[1]) * np.array(size)
    # Of the shape of the view, to the pixel.
    share = windows[:, 2:] / largest
    assert np.abs(share[:, 0] - share[:, 1]).max() <= (1 / largest).max() + 1e-6
    assert share.min() >= zoom[0] - 0.5 / largest.min() - 1e-6
    assert share.max() <= zoom[1] + 0.5 / largest.min() + 1e-6
    share = share.mean(axis=1)
    if zoom == (0.3, 0.9):
        counts, _ = np.histogram(share, np.linspace(0.28, 0.92, 5))
        assert counts.min() > 300 / 4 - 4 * (300 / 4) ** 0.5
        assert abs(np.corrcoef(share, windows[:, 0] + windows[:, 2] / 2)[0, 1]) < 0.25
    for axis in (0, 1):
        free = field[axis] - windows[:, 2 + axis]
        moves = free > 4
        assert (windows[:, axis][~moves] <= 4).all()
        if moves.any():
            place = windows[moves, axis] / free[moves]
            assert place.min() == 0
            assert place.max() == 1
            assert abs(place.mean() - 0.5) < 0.1
    for i in range(0, 300, 10):
        top, left, height, width = windows[i]
        window = pixels[i, :, top : top + height, left : left + width].numpy().astype(float)
        np.testing.assert_allclose(views[i], resized(window, size), rtol=1e-4, atol=1e-3)


def test_zoomed_views_are_mirrored_and_turned():
    torch.manual_seed(0)
    ramp = torch.arange(40, dtype=torch.uint8).expand(400, 1, 30, 40)  # brighter to the right
    views = Augmentation(crop=12, zoom=(0.4, 0.6), jitter=QUIET).geometry(ramp)
    slopes = torch.stack([views.diff(dim=axis).mean(dim=(1, 2, 3)) for axis in (2, 3)], dim=1)
    directions = [tuple(slope) for slope in slopes.div(0.4).round().clamp(-1, 1).int().tolist()]
    counts = [directions.count(way) for way in ((0, 1), (0, -1), (1, 0), (-1, 0))]
    assert sum(counts) == 400
    assert min(counts) > 60


def test_a_rotated_zoom_turns_the_window_and_not_its_size():
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    plane = (0.6 * x + 0.8 * y).expand(200, 1, 128, 128)
    zoomed = Augmentation(
        crop=16, flips=False, turns=False, rotation=180.0, jitter=QUIET, zoom=(0.25, 0.25)
    )
    views = zoomed.geometry(plane)[:, 0]
    # Windows of 32 pixels, shrunk by two. Near the rim they hold reflections.
    middle = views[:, 2:-2, 2:-2]
    bend = middle.diff(n=2, dim=1).abs().amax((1, 2)) + middle.diff(n=2, dim=2).abs().amax((1, 2))
    flat = middle[bend < 1e-2]
    assert len(flat) > 100
    slopes = flat.diff(dim=1).mean(dim=(1, 2)), flat.diff(dim=2).mean(dim=(1, 2))
    torch.testing.assert_close(
        torch.hypot(*slopes), torch.full((len(flat),), 2.0), rtol=1e-3, atol=0
    )
    assert slopes[0].min() < -1.8
    assert slopes[0].max() > 1.8


def test_no_images_are_zoomed():
    assert Augmentation(zoom=(0.5, 1.0)).geometry(torch.zeros(0, 3, 20, 30)).shape[0] == 0


def test_window_ignores_mode_and_own_crop_and_zoom():
    pixels = pixels_of(20, 2, 30, 30)
    augmentation = Augmentation(crop=8, flips=False, turns=False, zoom=(0.2, 0.3)).eval()
    assert augmentation.geometry(pixels) is pixels
    torch.manual_seed(0)
    views = augmentation.window(pixels, (12, 14))
    assert views.dtype == torch.uint8
    for view, image in zip(views.numpy(), pixels.numpy(), strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(image, (12, 14), axis=(1, 2))
        assert (windows == view[:, None, None]).all(axis=(0, 3, 4)).sum() == 1
    # The largest window of the shape of the field is the field.
    assert torch.equal(augmentation.window(pixels, (30, 30), (1.0, 1.0)), pixels.float())


def test_jitter_changes_each_channel_of_each_image_within_its_bounds():
    torch.manual_seed(0)
    images = torch.randn(200, 4, 6, 6)
    changed = Augmentation(jitter=(0.3, 0.5)).intensity(images)
    gains, offsets = np.empty((200, 4)), np.empty((200, 4))
    for i, c in itertools.product(range(200), range(4)):
        gains[i, c], offsets[i, c] = np.polyfit(images[i, c].flatten(), changed[i, c].flatten(), 1)
    np.testing.assert_allclose(
        changed, gains[:, :, None, None] * images.numpy() + offsets[:, :, None, None], atol=1e-5
    )
    for values, low, high in ((gains, 0.7, 1.3), (offsets, -0.5, 0.5)):
        assert values.min() >= low - 1e-4
        assert values.max() <= high + 1e-4
        assert values.min() < low + 0.05
        assert values.max() > high - 0.05
        between = np.corrcoef(values.T) - np.eye(4)
        assert np.abs(between).max() < 0.3  # channels are drawn apart from each other
    assert abs(np.corrcoef(gains.ravel(), offsets.ravel())[0, 1]) < 0.2


@pytest.mark.parametrize("zoom", [None, (0.5, 1.0)])
def test_same_seed_same_views(zoom):
    images = torch.randn(6, 3, 40, 40)
    augmentation = Augmentation(crop=24, rotation=20.0, jitter=(0.2, 0.2), zoom=zoom)
    views = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        views.append(augmentation(images))
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_forward_is_geometry_then_intensity():
    images = torch.randn(3, 2, 16, 16)
    augmentation = Augmentation(crop=8)
    torch.manual_seed(0)
    views = augmentation(images)
    torch.manual_seed(0)
    assert torch.equal(views, augmentation.intensity(augmentation.geometry(images)))


def test_evaluation_mode_is_the_identity_and_draws_nothing():
    images = torch.randn(3, 2, 16, 16)
    augmentation = Augmentation(crop=8, rotation=90.0).eval()
    before = torch.get_rng_state()
    assert augmentation(images) is images
    assert torch.equal(torch.get_rng_state(), before)


def test_own_crop_wins_over_a_given_one():
    pixels = pixels_of(2, 1, 20, 20)
    assert Augmentation(crop=6).geometry(pixels, (10, 10)).shape[-2:] == (6, 6)
    assert Augmentation().geometry(pixels, (10, 10)).shape[-2:] == (10, 10)


@pytest.mark.parametrize("rotation", [0.0, 15.0])
def test_a_crop_larger_than_the_field_is_refused(rotation):
    message = r"crop of 64 x 64 pixels does not fit into a field of 100 x 60 pixels"
    with pytest.raises(ValueError, match=message):
        Augmentation(crop=64, rotation=rotation).geometry(torch.zeros(2, 1, 100, 60))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rotation": 270.0}, "rotation must be from 0 to 180 degrees, got 270"),
        ({"jitter": (1.5, 0.0)}, "jitter must be two numbers"),
        ({"jitter": (0.1, -1.0)}, "jitter must be two numbers"),
        ({"jitter": (0.1,)}, "jitter must be two numbers"),
        ({"zoom": (0.0, 0.5)}, r"zoom must be two shares .* got \(0.0, 0.5\)"),
        ({"zoom": (0.9, 0.5)}, "zoom must be two shares"),
        ({"zoom": (0.5, 1.2)}, "zoom must be two shares"),
        ({"zoom": 0.5}, "zoom must be two shares"),
        ({"zoom": "ab"}, "zoom must be two shares"),
        ({"zoom": (0.5, float("nan"))}, "zoom must be two shares"),
        ({"crop": 0}, "crop must be a whole number"),
        ({"crop": 12.5}, "crop must be a whole number"),
        ({"crop": (12, 12, 5)}, "crop must be a whole number"),
        ({"crop": True}, "crop must be a whole number"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**parameters)


def test_image_size_takes_numpy_integers():
    assert image_size(np.int64(7), "x") == (7, 7)
    assert image_size([np.int64(7), 9], "x") == (7, 9)
    assert image_size(None, "x") is None
