"""Intensity statistics, beside NumPy channel by channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloome_sk.imaging.intensity import INTENSITY_STATISTICS, intensity_features


def by_numpy(image: np.ndarray) -> list[float]:
    features = []
    for channel in image.astype(np.float64):
        features += [np.mean(channel), np.std(channel)]
        features += [np.percentile(channel, share) for share in (1, 10, 25, 50, 75, 90, 99)]
    return features


@given(
    st.sampled_from([np.uint8, np.uint16, np.float32]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=3, max_dims=3, max_side=9),
            elements=st.floats(0, 65_536, width=32) if dtype is np.float32 else None,
        )
    )
)
def test_any_small_image(image):
    found = intensity_features(image)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, by_numpy(image), rtol=1e-12, atol=1e-9)


def test_names_and_order():
    percentiles = [f"percentile_{share}" for share in (1, 10, 25, 50, 75, 90, 99)]
    assert list(INTENSITY_STATISTICS) == ["mean", "std", *percentiles]
    image = np.zeros((3, 5, 6), dtype=np.uint16)
    image[1] = 7
    assert intensity_features(image).reshape(3, 9).tolist() == [
        [0.0] * 9,
        [7.0, 0.0, *[7.0] * 7],
        [0.0] * 9,
    ]


def test_the_image_and_its_layout():
    image = np.random.default_rng(0).integers(0, 4096, (3, 20, 30), dtype=np.uint16)
    before = image.copy()
    expected = intensity_features(image)
    np.testing.assert_array_equal(image, before)
    last = np.ascontiguousarray(image.transpose(1, 2, 0)).transpose(2, 0, 1)
    np.testing.assert_array_equal(intensity_features(last), expected)
    np.testing.assert_array_equal(intensity_features(image.astype(">u2")), expected)


@pytest.mark.real_data
def test_real_fields_and_crops(data_home: Path):
    crops = tifffile.imread(data_home / "images/bbbc021_cells.tiff").reshape(-1, 3, 68, 68)
    for crop in crops[::100]:
        assert intensity_features(crop).shape == (27,)
        np.testing.assert_allclose(intensity_features(crop), by_numpy(crop), rtol=1e-12)
    for path in sorted((data_home / "images/cpjump1_fields_bin2").glob("*.tiff")):
        image = tifffile.imread(path)
        np.testing.assert_allclose(intensity_features(image), by_numpy(image), rtol=1e-12)


def test_errors():
    image = np.ones((2, 3, 4), dtype=np.float32)
    with pytest.raises(ValueError, match=r"shape \(3, 4\), not \(n_channels, H, W\)"):
        intensity_features(image[0])
    with pytest.raises(ValueError, match=r"shape \(2, 0, 4\)"):
        intensity_features(image[:, :0])
    with pytest.raises(TypeError, match="holds bool"):
        intensity_features(image > 0)
    image[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="1 of 24 pixels of the image are NaN or infinite"):
        intensity_features(image)
