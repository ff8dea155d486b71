"""Shrinking, beside areas worked out pixel by pixel with fractions."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from cloome_sk.imaging.resizing import resize_image


def overlap(old: int, new: int, n_old: int, n_new: int) -> Fraction:
    """Length of an old pixel that lies in a new one, in old pixels."""
    scale = Fraction(n_old, n_new)
    return max(Fraction(0), min(Fraction(old + 1), (new + 1) * scale) - max(old, new * scale))


def exact_means(plane: np.ndarray, size: tuple[int, int]) -> list[list[Fraction]]:
    (n_rows, n_columns), (height, width) = plane.shape, size
    area = Fraction(n_rows, height) * Fraction(n_columns, width)
    means = []
    for i in range(height):
        means.append([])
        for j in range(width):
            total = Fraction(0)
            for row in range(n_rows):
                for column in range(n_columns):
                    part = overlap(row, i, n_rows, height) * overlap(column, j, n_columns, width)
                    total += part * Fraction(plane[row, column].item())
            means[-1].append(total / area)
    return means


@st.composite
def images_and_sizes(draw):
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=7))
    size = tuple(draw(st.integers(1, side)) for side in shape)
    return draw(hnp.arrays(dtype, shape)), size


@given(images_and_sizes())
def test_integers_are_the_rounded_mean_of_the_area(case):
    image, size = case
    found = resize_image(image, size)
    assert found.dtype == image.dtype
    # Python rounds halves to even, as NumPy does.
    assert found.tolist() == [[round(mean) for mean in row] for row in exact_means(image, size)]


@pytest.mark.parametrize("size", [(5, 7), (3, 3), (1, 1), (5, 2), (4, 6)])
def test_floats_are_the_mean_of_the_area(size):
    image = np.random.default_rng(0).lognormal(5, 2, (5, 7)).astype(np.float32)
    found = resize_image(image, size)
    assert found.dtype == np.float32
    expected = np.array(exact_means(image, size), dtype=np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_whole_ratios_agree_with_pillow_and_with_block_means():
    image = np.random.default_rng(0).integers(0, 65_536, (2, 60, 90), dtype=np.uint16)
    found = resize_image(image, (20, 30))
    blocks = image.reshape(2, 20, 3, 30, 3).mean(axis=(2, 4))
    np.testing.assert_array_equal(found, np.rint(blocks))
    for channel, shrunken in zip(image, found, strict=True):
        pillow = Image.fromarray(channel.astype(np.float32)).resize((30, 20), Image.Resampling.BOX)
        np.testing.assert_allclose(shrunken, np.asarray(pillow), atol=0.51)


@given(
    st.tuples(st.integers(1, 80), st.integers(1, 80)).flatmap(
        lambda shape: st.tuples(st.just(shape), *(st.integers(1, side) for side in shape))
    )
)
def test_light_is_conserved(case):
    shape, *size = case
    image = np.random.default_rng(0).random(shape)
    assert resize_image(image, tuple(size)).mean() == pytest.approx(image.mean(), rel=1e-12)


def test_leading_axes_and_layout_do_not_matter():
    image = np.random.default_rng(0).integers(0, 256, (4, 3, 31, 47), dtype=np.uint8)
    found = resize_image(image, (13, 20))
    assert found.shape == (4, 3, 13, 20)
    np.testing.assert_array_equal(found[2, 1], resize_image(image[2, 1], (13, 20)))
    turned = np.asfortranarray(image)
    np.testing.assert_array_equal(resize_image(turned, np.array([13, 20])), found)


def test_the_same_size_gives_a_copy():
    image = np.arange(12, dtype=np.uint16).reshape(3, 4)
    same = resize_image(image, (3, 4))
    np.testing.assert_array_equal(same, image)
    same[0, 0] = 9
    assert image[0, 0] == 0


def test_extremes_stay_extremes():
    for dtype in (np.uint8, np.uint16):
        for value in (0, np.iinfo(dtype).max):
            image = np.full((1080, 1081), value, dtype=dtype)
            assert (resize_image(image, (224, 223)) == value).all()


@pytest.mark.real_data
def test_a_real_field_keeps_its_mean(data_home: Path):
    image = tifffile.imread(data_home / "images/cpjump1_fields_bin2/DMSO_D14_f05.tiff")
    for size in ((270, 270), (224, 224), (100, 333)):
        small = resize_image(image, size)
        # Rounding moves each pixel by half a unit at most, their mean by far less.
        means = small.mean(axis=(1, 2)), image.mean(axis=(1, 2))
        np.testing.assert_allclose(*means, atol=0.01)


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        ((4, 4), ValueError, r"size=\(4, 4\) is larger than the image of 3x4 pixels; .* never"),
        ((3, 5), ValueError, r"size=\(3, 5\) is larger"),
        ((0, 2), ValueError, r"size=\(0, 2\) leaves no pixels"),
        ((-1, 2), ValueError, "leaves no pixels"),
        (2, TypeError, r"size must be \(height, width\) in whole pixels, got 2"),
        ((2.0, 2.0), TypeError, "whole pixels"),
        ((1, 2, 3), TypeError, "whole pixels"),
    ],
)
def test_sizes_that_cannot_be(size, error, message):
    with pytest.raises(error, match=message):
        resize_image(np.ones((3, 4), dtype=np.uint8), size)


def test_images_that_cannot_be():
    with pytest.raises(TypeError, match="holds bool"):
        resize_image(np.ones((3, 4), dtype=bool), (1, 1))
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        resize_image(np.ones(4), (1, 1))
    with pytest.raises(ValueError, match=r"shape \(0, 3, 4\)"):
        resize_image(np.ones((0, 3, 4)), (1, 1))
