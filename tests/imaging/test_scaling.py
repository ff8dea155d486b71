"""Scaling, bit for bit that of the formulas written out in double precision."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloome_sk.imaging.scaling import PERCENTILES, SCALINGS, pixel_limits, scale_image

PRESETS = {"cloome": (0.0028, 256), "cloome-package": (0.01, 255)}
CAMERA_DEPTHS = (np.uint8, np.uint16, np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def literal_saturation(channel: np.ndarray, percent: float, factor: int) -> np.ndarray:
    """The preset, pixel by pixel, with Python's integers and double-precision numbers."""
    values = channel.reshape(-1).tolist()
    n_bright = max(1, round(len(values) * (percent / 100)))
    threshold = sorted(values, reverse=True)[n_bright - 1]
    if threshold <= 0:
        scaled = [255 if value > 0 else 0 for value in values]
    else:
        scaled = [int(min(max(value * factor / threshold, 0), 255)) for value in values]
    return np.array(scaled, dtype=np.uint8).reshape(channel.shape)


def literal_stretch(channel: np.ndarray, low: float, high: float) -> np.ndarray:
    values = channel.reshape(-1).tolist()
    if low == high:
        scaled = [255 if value > high else 0 for value in values]
    else:
        scaled = [int(min(max((value - low) * 255 / (high - low), 0), 255)) for value in values]
    return np.array(scaled, dtype=np.uint8).reshape(channel.shape)


def literal_percentile(values: np.ndarray, percent: float) -> float:
    ordered = sorted(values.reshape(-1).tolist())
    return ordered[max(1, ceil(len(ordered) * percent / 100)) - 1]


def literal(image: np.ndarray, scaling: str, limits: np.ndarray | None = None) -> np.ndarray:
    if image.ndim == 2:
        return literal(image[np.newaxis], scaling, limits)[0]
    if scaling in PRESETS:
        return np.stack([literal_saturation(channel, *PRESETS[scaling]) for channel in image])
    if limits is None:
        limits = [[literal_percentile(channel, p) for p in PERCENTILES] for channel in image]
    return np.stack(
        [literal_stretch(channel, *pair) for channel, pair in zip(image, limits, strict=True)]
    )


def vectorised(image: np.ndarray, scaling: str) -> np.ndarray:
    """The same presets by sorting, for images too large to go through in Python."""
    percent, factor = PRESETS[scaling]
    scaled = []
    for channel in image:
        n_bright = max(1, round(channel.size * (percent / 100)))
        threshold = np.float64(np.sort(channel, axis=None)[-n_bright])
        if threshold == 0:
            scaled.append(np.where(channel > 0, 255, 0))
        else:
            scaled.append(np.clip(np.floor(channel.astype(float) * factor / threshold), 0, 255))
    return np.array(scaled).astype(np.uint8)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scaling", ["cloome", "cloome-package", "percentile"])
@pytest.mark.parametrize("dtype", [*CAMERA_DEPTHS, np.int32, np.float64])
@pytest.mark.parametrize("shape", [(2, 200, 301), (150, 170), (1, 3, 5), (1, 1), (3, 1, 2)])
def test_random_images(scaling, dtype, shape, rng):
    high = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 60_000
    # Dim with few bright pixels, as images of cells are.
    image = (high * rng.random(shape) ** 6).astype(dtype)
    assert_same(scale_image(image, scaling), literal(image, scaling))


@given(
    image=st.sampled_from(CAMERA_DEPTHS).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=2, max_dims=3, max_side=12),
            elements=(
                st.floats(-100, 1e6, width=32)
                if dtype is np.float32
                else st.integers(0, np.iinfo(dtype).max)
            ),
        )
    ),
    scaling=st.sampled_from(["cloome", "cloome-package", "percentile"]),
)
def test_any_small_image(image, scaling):
    assert_same(scale_image(image, scaling), literal(image, scaling))


@given(
    image=hnp.arrays(np.uint16, (2, 4, 5)),
    limits=hnp.arrays(
        np.float64,
        (2, 2),
        elements=st.one_of(
            st.integers(0, 65_535).map(float),
            st.integers(-200_000, 10**9).map(float),
            st.floats(-10, 1e5, allow_nan=False),
        ),
    ).map(lambda limits: np.sort(limits, axis=1)),
)
def test_any_limits(image, limits):
    assert_same(scale_image(image, "plate", limits=limits), literal(image, "plate", limits))


@pytest.mark.parametrize("factor", [255, 256])
def test_every_intensity_under_thresholds_of_every_size(factor, rng):
    scaling = "cloome" if factor == 256 else "cloome-package"
    # The last sixteen pixels are more than either scaling saturates, so they are the threshold.
    every = np.append(np.arange(2**16), [2**16] * 16)
    thresholds = [1, 2, 3, 49, 98, 255, 256, 257, 4095, 4096, 50_176, 65_279, 65_280, 65_535]
    for threshold in [*thresholds, *rng.integers(1, 2**16, 40).tolist()]:
        image = np.minimum(every, threshold).astype(np.uint16).reshape(16, -1)
        expected = np.minimum(image.astype(np.int64) * factor // threshold, 255)
        assert_same(scale_image(image, scaling), expected.astype(np.uint8))


@pytest.mark.parametrize(
    ("low", "high"),
    # Single precision is one grey level off somewhere in the first two.
    [(-956_776, 966_436), (-70_001, 65_535), (0, 65_535), (65_534, 65_535), (500, 2**20 + 3)],
)
def test_every_intensity_between_limits_inside_and_outside_16_bit(low, high):
    every = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    expected = np.clip((every.astype(np.int64) - low) * 255 // (high - low), 0, 255)
    assert_same(scale_image(every, "plate", limits=[low, high]), expected.astype(np.uint8))


def test_the_brightest_pixels_saturate_and_no_others():
    # 0.0028 % of 361,920 pixels are 10, 0.01 % are 36.
    image = np.zeros((520, 696), dtype=np.uint16)
    image.reshape(-1)[:40] = np.arange(1040, 1000, -1)
    dimmer = [value * 256 // 1031 for value in range(1030, 1000, -1)]
    assert max(dimmer) == 255
    assert scale_image(image)[0, :40].tolist() == [255] * 10 + dimmer
    assert (scale_image(image, "cloome-package") == 255).sum() == 36


@pytest.mark.parametrize("n_bright", [1, 9, 10, 11, 5000])
@pytest.mark.parametrize("shape", [(520, 696), (696, 520), (361_920, 1), (1, 361_920)])
def test_saturated_pixels_wherever_they_are(n_bright, shape, rng):
    image = rng.integers(100, 900, (1, *shape), dtype=np.uint16)
    image.reshape(-1)[rng.choice(image.size, n_bright, replace=False)] = 4095
    assert_same(scale_image(image), vectorised(image, "cloome"))


@pytest.mark.parametrize("scaling", ["cloome", "cloome-package"])
def test_one_row_or_column_that_is_bright(scaling):
    image = np.zeros((2, 300, 400), dtype=np.uint16)
    image[0, :, 7] = np.arange(300) * 200
    image[1, 5] = np.arange(400) * 160
    assert_same(scale_image(image, scaling), vectorised(image, scaling))


def test_channels_are_scaled_each_for_itself(rng):
    image = rng.integers(0, 4096, (5, 40, 50), dtype=np.uint16)
    scaled = scale_image(image)
    for channel, alone in zip(image, scaled, strict=True):
        assert_same(scale_image(channel), alone)


@pytest.mark.parametrize("dtype", CAMERA_DEPTHS)
def test_a_channel_without_light_is_black_and_a_constant_one_white(dtype):
    image = np.stack([np.full((30, 40), value, dtype=dtype) for value in (0, 7)])
    for scaling in PRESETS:
        assert scale_image(image, scaling)[0].max() == 0
        assert scale_image(image, scaling)[1].min() == 255
    assert scale_image(image, "percentile").max() == 0
    limits = pixel_limits([image])
    assert scale_image(image, "plate", limits=limits).max() == 0
    brighter = scale_image(image + dtype(1), "plate", limits=limits)
    assert brighter.min() == 255


def test_a_hot_pixel_in_the_dark_is_white():
    # Two pixels saturate, so the threshold is zero.
    image = np.zeros((300, 300), dtype=np.uint16)
    image[10, 20] = 500
    scaled = scale_image(image)
    assert scaled[10, 20] == 255
    assert scaled.sum() == 255


def test_negative_light_is_black_and_never_turns_an_image_to_its_negative():
    image = np.array([[-5.0, -1.0, -0.5]], dtype=np.float32)
    assert scale_image(image).tolist() == [[0, 0, 0]]
    image = np.array([[-5.0, 1.0, 2.0]], dtype=np.float32)
    assert scale_image(image).tolist() == [[0, 128, 255]]


def test_layout_and_byte_order_do_not_matter(rng):
    image = rng.integers(0, 4096, (3, 60, 70), dtype=np.uint16)
    expected = scale_image(image)
    last = np.ascontiguousarray(image.transpose(1, 2, 0))
    assert_same(scale_image(last.transpose(2, 0, 1)), expected)
    assert_same(scale_image(image.astype(">u2")), expected)
    assert_same(scale_image(image[:, ::-1, ::2]), scale_image(image[:, ::-1, ::2].copy()))
    read_only = image.copy()
    read_only.setflags(write=False)
    assert_same(scale_image(read_only), expected)
    assert_same(scale_image(image.tolist()), expected)


def test_the_image_is_left_alone(rng):
    for dtype in CAMERA_DEPTHS:
        image = rng.integers(0, 200, (2, 30, 40)).astype(dtype)
        before = image.copy()
        for scaling in ("cloome", "cloome-package", "percentile"):
            scale_image(image, scaling)
        np.testing.assert_array_equal(image, before)
        assert scale_image(image, "none") is image


def test_percentiles_of_choice(rng):
    image = rng.integers(0, 4096, (1, 50, 60), dtype=np.uint16)
    low, high = (literal_percentile(image, percent) for percent in (5, 80))
    found = scale_image(image, "percentile", percentiles=(5, 80))
    assert_same(found[0], literal_stretch(image[0], low, high))
    image += np.uint16(100)
    found = scale_image(image, "percentile", percentiles=(0, 100))
    assert_same(found[0], literal_stretch(image[0], image.min().item(), image.max().item()))
    assert pixel_limits([image], 0, 100).tolist() == [[image.min(), image.max()]]


def authors(image: np.ndarray, threshold: int, factor: float) -> np.ndarray:
    """The arithmetic of the authors' code: the quotient is rounded before it multiplies."""
    scaled = image.astype(float) * (factor / threshold)
    scaled[scaled > 255] = 255
    return scaled.astype(np.uint8)


def test_how_far_the_authors_rounding_goes():
    # Only where x · 256 / threshold is a whole number can rounding matter.
    n_pairs = 0
    for threshold in range(1, 2**16):
        step = threshold // np.gcd(threshold, 256)
        whole = np.arange(step, threshold, step)
        lost = whole * 256 // threshold - authors(whole, threshold, 256.0)
        assert lost.min(initial=0) == 0
        assert lost.max(initial=0) <= 1
        n_pairs += lost.sum()
    assert n_pairs == 19_017


@pytest.mark.real_data
@pytest.mark.parametrize("scaling", list(PRESETS))
def test_real_files(data_home: Path, scaling):
    images = [tifffile.imread(path) for path in sorted(data_home.glob("images/*/*.tif*"))]
    assert len(images) == 5 + 7 + 10 + 48
    for image in images:
        stack = image if image.ndim == 3 else image[np.newaxis]
        assert_same(scale_image(stack, scaling), vectorised(stack, scaling))


@pytest.mark.real_data
def test_the_example_field_as_the_authors_scale_it(data_home: Path):
    for path in data_home.glob("images/cloome_example/*.tif"):
        image = tifffile.imread(path)
        for scaling, n_bright in (("cloome", 10), ("cloome-package", 36)):
            brightest = np.argpartition(image, -n_bright, axis=None)[-n_bright:]
            threshold = image.reshape(-1)[brightest].min()
            expected = authors(image, threshold, PRESETS[scaling][1])
            np.testing.assert_array_equal(scale_image(image, scaling), expected)


@pytest.mark.real_data
def test_real_crops_smaller_than_the_authors_code_can_scale(data_home: Path):
    crops = tifffile.imread(data_home / "images/bbbc021_cells.tiff").reshape(-1, 3, 68, 68)
    assert len(crops) == 1349
    for crop in crops[::9]:
        for scaling in PRESETS:
            assert_same(scale_image(crop, scaling), vectorised(crop, scaling))
    assert (scale_image(crops[0]) == 255).sum() < 3 * 10


class TestPixelLimits:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_percentiles_of_all_pixels(self, dtype, rng):
        images = [
            rng.integers(0, 250 * 3**place, (2, 20 + place, 30)).astype(dtype) for place in range(3)
        ]
        together = [np.concatenate([image[c].reshape(-1) for image in images]) for c in range(2)]
        for low, high in ((0.1, 99.9), (0, 100), (25, 50)):
            found = pixel_limits(iter(images), low, high)
            expected = [[literal_percentile(t, p) for p in (low, high)] for t in together]
            assert found.dtype == np.float64
            np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_of_floats_to_one_part_in_2048(self, dtype, rng):
        images = [rng.lognormal(place, 3, (2, 40, 50)).astype(dtype) for place in range(3)]
        images[0][0, 0] = 0
        images[1][0, 0] = -rng.random(50)
        images[2][0, 0] = -0.0
        together = [np.concatenate([image[c].reshape(-1) for image in images]) for c in range(2)]
        found = pixel_limits(images, 10, 90)
        exact = np.array([[literal_percentile(t, p) for p in (10, 90)] for t in together])
        assert (found <= exact).all()
        assert (found > exact * (1 - 1 / 2048)).all()
        lowest = pixel_limits(images, 0, 100)[0, 0]
        assert lowest == 0

    def test_whole_numbers_stored_as_floats_keep_limits_of_12_bit(self, rng):
        image = rng.integers(0, 4096, (1, 60, 70), dtype=np.uint16)
        np.testing.assert_array_equal(
            pixel_limits([image.astype(np.float32)]), pixel_limits([image])
        )

    def test_one_image_has_the_limits_of_its_own_percentiles(self, rng):
        image = rng.integers(0, 65_536, (3, 50, 60), dtype=np.uint16)
        assert_same(
            scale_image(image, "plate", limits=pixel_limits([image])),
            scale_image(image, "percentile"),
        )

    def test_errors(self):
        image = np.ones((2, 3, 4), dtype=np.uint16)
        with pytest.raises(ValueError, match="no images"):
            pixel_limits([])
        with pytest.raises(ValueError, match="image 1 has 1 channels, those before it 2"):
            pixel_limits([image, image[:1]])
        with pytest.raises(ValueError, match="image 1 holds float32, those before it integers"):
            pixel_limits([image, image.astype(np.float32)])
        with pytest.raises(ValueError, match=r"image 0 has shape \(3, 4\)"):
            pixel_limits([image[0]])
        with pytest.raises(TypeError, match="image 0 holds int64"):
            pixel_limits([image.astype(np.int64)])
        with pytest.raises(ValueError, match="0 <= low < high <= 100, got 99 and 1"):
            pixel_limits([image], 99, 1)
        bad = image.astype(np.float32)
        bad[0, 0, 0] = np.nan
        with pytest.raises(ValueError, match="1 of 24 pixels of image 1 are NaN"):
            pixel_limits([image.astype(np.float32), bad])


IMAGE = np.ones((2, 3, 4), dtype=np.uint16)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((IMAGE, "clome"), ValueError, f"'clome' is unknown; there are {', '.join(SCALINGS)}"),
        ((IMAGE[0, 0],), ValueError, r"shape \(4,\), not \(n_channels, H, W\) or \(H, W\)"),
        ((IMAGE[:, :0],), ValueError, r"shape \(2, 0, 4\), hence no pixels"),
        ((IMAGE > 0,), TypeError, "holds bool, not intensities"),
        ((IMAGE.astype(complex),), TypeError, "holds complex128"),
        ((IMAGE.astype(object),), TypeError, "holds object"),
        ((IMAGE * np.float32(np.inf),), ValueError, "24 of 24 pixels of the image are NaN or inf"),
        ((IMAGE, "plate"), ValueError, "needs limits=.*pixel_limits finds them"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        scale_image(*arguments)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ([[0, 1]], r"limits has shape \(1, 2\), not \(2, 2\)"),
        ([0, 1], r"limits has shape \(2,\), not \(2, 2\)"),
        ([[0, 1], [5, 2]], "limits of channel 1 are 5.0 and 2.0"),
        ([[np.nan, 1], [0, 2]], "limits of channel 0 are nan and 1.0"),
        ([[0, 1], [0, np.inf]], "limits of channel 1 are 0.0 and inf"),
    ],
)
def test_limits_that_cannot_be(limits, message):
    with pytest.raises(ValueError, match=message):
        scale_image(IMAGE, "plate", limits=limits)


def test_arguments_of_another_scaling_are_refused():
    with pytest.raises(ValueError, match="limits= goes with scaling='plate', not with 'cloome'"):
        scale_image(IMAGE, limits=[[0, 1], [0, 1]])
    with pytest.raises(ValueError, match="percentiles= goes with scaling='percentile'"):
        scale_image(IMAGE, percentiles=(1, 99))
    with pytest.raises(ValueError, match="got 50 and 50"):
        scale_image(IMAGE, "percentile", percentiles=(50, 50))
