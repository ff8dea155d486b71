"""Colour pictures, beside the same overlay written out pixel by pixel."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cloome_sk.imaging.channels import CELL_PAINTING
from cloome_sk.imaging.composite import COLOURS, composite


def hue(pixel: np.ndarray) -> float:
    """In degrees: red 0, yellow 60, green 120, cyan 180, blue 240, magenta 300."""
    return 360 * colorsys.rgb_to_hsv(*(pixel / 255).tolist())[0]


def one_pixel_a_channel(n_channels: int) -> np.ndarray:
    """Each channel is lit in a pixel of its own."""
    image = np.zeros((n_channels, 1, n_channels), dtype=np.uint16)
    image[np.arange(n_channels), 0, np.arange(n_channels)] = 1000
    return image


def test_the_colours_that_biologists_expect():
    image = one_pixel_a_channel(5)
    picture = composite(image, CELL_PAINTING, limits=[[0, 1000]] * 5)[0]
    expected = {"DNA": 225, "ER": 129, "RNA": 75, "AGP": 23, "Mito": 328}
    for pixel, name in zip(picture, CELL_PAINTING, strict=True):
        assert hue(pixel) == pytest.approx(expected[name], abs=8), name
    nuclei, tubulin, actin = composite(
        one_pixel_a_channel(3), ["DAPI", "Tubulin", "Actin"], limits=[[0, 1000]] * 3
    )[0]
    assert hue(nuclei) == pytest.approx(225, abs=8)
    assert hue(tubulin) == pytest.approx(120, abs=8)
    assert hue(actin) == pytest.approx(7, abs=8)


def test_colours_go_by_name_not_by_position():
    image = np.random.default_rng(0).integers(0, 4096, (5, 20, 30), dtype=np.uint16)
    picture = composite(image, CELL_PAINTING)
    bray = {"Mito": "Mito", "ERSyto": "ER", "ERSytoBleed": "RNA", "Ph_golgi": "AGP"}
    bray["Hoechst"] = "DNA"
    order = [CELL_PAINTING.index(name) for name in bray.values()]
    # The colours are added in another order, which may round otherwise.
    np.testing.assert_allclose(composite(image[order], bray), picture, atol=1)


def test_against_the_overlay_written_out():
    image = np.random.default_rng(0).integers(0, 1000, (3, 4, 5)).astype(np.float32)
    limits = [[0, 1000], [100, 900], [500, 2000]]
    colours = {"DNA": (0.0, 0.2, 1.0), "ER": (0.5, 1.0, 0.0), "GFP": (1.0, 0.5, 0.5)}
    picture = composite(image, list(colours), colours=colours, limits=limits)
    assert picture.shape == (4, 5, 3)
    assert picture.dtype == np.uint8
    for row in range(4):
        for column in range(5):
            light = np.zeros(3)
            for channel, (low, high), colour in zip(image, limits, colours.values(), strict=True):
                grey = (channel[row, column] - low) / (high - low)
                light += min(max(grey, 0), 1) * np.array(colour)
            light /= max(1, light.max())
            # Each of the three channels is stretched to 256 grey levels first.
            np.testing.assert_allclose(picture[row, column], 255 * light, atol=3.5)


def test_bright_places_keep_their_hue():
    image = np.full((2, 1, 1), 1000)
    colours = {"ER": (0, 1, 0), "AGP": (1, 1, 0)}
    picture = composite(image, colours, colours=colours, limits=[[0, 1000]] * 2)
    assert picture[0, 0].tolist() == [128, 255, 0]


def test_default_limits_are_percentiles_of_each_channel():
    image = np.random.default_rng(0).lognormal(5, 1, (2, 100, 100))
    image[1] *= 50
    limits = np.percentile(image, (1, 99.8), axis=(1, 2), method="inverted_cdf").T
    np.testing.assert_array_equal(
        composite(image, ["DNA", "ER"]), composite(image, ["DNA", "ER"], limits=limits)
    )


def test_channels_without_a_colour_of_their_own_get_different_ones():
    names = ["GFP", "Lysosomes", "DNA", "Lipids", "Cytokine"]
    picture = composite(one_pixel_a_channel(5), names, limits=[[0, 1000]] * 5)[0]
    assert len(np.unique(picture, axis=0)) == 5
    grey, cyan, blue, yellow, magenta = picture
    assert np.ptp(grey) == 0
    hues = [hue(pixel) for pixel in (cyan, blue, yellow, magenta)]
    assert hues == pytest.approx([180, 225, 60, 300], abs=8)


def test_channels_can_be_left_out():
    image = np.random.default_rng(0).integers(0, 4096, (2, 9, 9), dtype=np.uint16)
    without = composite(image, ["DNA", "RNA"], colours={"RNA": (0, 0, 0)})
    np.testing.assert_array_equal(without, composite(image[:1], ["DNA"]))


def test_a_palette_for_more_channels_than_there_are():
    image = np.random.default_rng(0).integers(0, 4096, (1, 9, 9), dtype=np.uint16)
    np.testing.assert_array_equal(
        composite(image, ["Hoechst"], colours=COLOURS), composite(image, ["DNA"])
    )


def test_no_light_is_black():
    for value in (0, 300):
        image = np.full((2, 6, 7), value, dtype=np.uint16)
        assert composite(image, ["DNA", "ER"]).max() == 0


@pytest.mark.real_data
def test_nuclei_of_a_real_field_are_blue(data_home: Path):
    folder = data_home / "images/cloome_example"
    names = ["Mito", "ERSyto", "ERSytoBleed", "Ph_golgi", "Hoechst"]
    image = np.stack([tifffile.imread(folder / f"{name}.tif") for name in names])
    picture = composite(image, names)
    assert picture.shape == (520, 696, 3)
    nuclei = image[4] > np.percentile(image[4], 90)
    background = image[4] < np.percentile(image[4], 50)
    assert picture[nuclei].mean(axis=0).argmax() == 2
    assert picture[background].mean(axis=0).argmin() == 2
    # Neither black nor burnt out.
    assert 40 < picture.mean() < 130
    assert (picture.max(axis=2) == 255).mean() < 0.2


IMAGE = np.ones((2, 3, 4), dtype=np.uint16)


@pytest.mark.parametrize(
    ("image", "channels", "options", "message"),
    [
        (IMAGE[0], ["DNA", "ER"], {}, r"shape \(3, 4\), not .* with the 2 channels DNA, ER"),
        (IMAGE, ["DNA"], {}, r"shape \(2, 3, 4\), not .* with the 1 channels DNA"),
        (IMAGE, ["DNA", "DAPI"], {}, "both the channel DNA"),
        (IMAGE, ["DNA", "ER"], {"colours": {"ERR": (1, 0, 0)}}, "colours= names ERR; the channels"),
        (IMAGE, ["DNA", "ER"], {"colours": {"ER": (255, 0, 0)}}, "colour of ER .* each 0 to 1"),
        (IMAGE, ["DNA", "ER"], {"colours": {"ER": "red"}}, "colour of ER .* got 'red'"),
        (IMAGE, ["DNA", "ER"], {"colours": {"ER": (1, 0)}}, "colour of ER"),
        (IMAGE, ["DNA", "ER"], {"limits": [0, 1]}, r"limits has shape \(2,\), not \(2, 2\)"),
        (IMAGE, ["DNA", "ER"], {"limits": [[0, 1], [2, 1]]}, "limits of channel 1"),
        (IMAGE * np.nan, ["DNA", "ER"], {}, "24 of 24 pixels .* NaN"),
    ],
)
def test_errors(image, channels, options, message):
    with pytest.raises(ValueError, match=message):
        composite(image, channels, **options)
