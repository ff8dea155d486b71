from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from cloome_sk.datasets import load_known_drugs
from cloome_sk.datasets._drawing import CHANNELS, draw_site, margin_pixels
from cloome_sk.datasets._mechanisms import ALSO_CALLED, MECHANISMS
from cloome_sk.datasets._microscope import expose, set_up
from cloome_sk.datasets._phenotypes import FRACTIONS, TRAITS, Look, mechanism_shift, shifted
from cloome_sk.datasets._textures import TILE, texture_tiles

PIXEL_UM = 1.2
DNA, ER, RNA, AGP, MITO = range(5)


def optics(seed=0, *, noise=1.0, background=1.0, plate_effect=0.0, pixel_um=PIXEL_UM):
    return set_up(
        pixel_um,
        background=background,
        noise=noise,
        plate_effect=plate_effect,
        batch=np.random.default_rng([seed, 0]),
        plate=np.random.default_rng([seed, 1]),
    )


def picture(look, seed, size=200):
    random = np.random.default_rng(seed)
    light, count = draw_site(look, (size, size), PIXEL_UM, random)
    return expose(light, optics(), random), count


def nuclei(image):
    """An independent segmentation: smoothed DNA above a threshold, whole nuclei only."""
    smooth = ndimage.gaussian_filter(image[DNA].astype(float), 1)
    labels, _ = ndimage.label(smooth > np.median(smooth) + 2500)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    labels[np.isin(labels, border)] = 0
    return labels


def areas(look, seeds):
    found = [np.bincount(nuclei(picture(look, seed)[0]).ravel())[1:] for seed in seeds]
    area = np.concatenate(found) * PIXEL_UM**2
    # Left out: specks, micronuclei, and clumps of several nuclei.
    return area[(area > 60) & (area < 1500)]


def treated(mechanism):
    return shifted(Look(), mechanism_shift(mechanism, 0))


def test_a_site_is_five_planes_with_their_margin():
    light, count = draw_site(Look(), (70, 90), PIXEL_UM, np.random.default_rng(0))
    margin = margin_pixels(PIXEL_UM)
    assert light.shape == (5, 70 + 2 * margin, 90 + 2 * margin)
    assert light.dtype == np.float32
    assert np.isfinite(light).all()
    assert (light >= 0).all()
    assert isinstance(count, int)
    image = expose(light, optics(), np.random.default_rng(0))
    assert image.shape == (5, 70, 90)
    assert image.dtype == np.uint16


@pytest.mark.parametrize(("size", "pixel_um"), [(32, 0.3), (32, 4.0), (33, 1.7)])
def test_tiny_fields_and_extreme_pixels(size, pixel_um):
    for density in (1e-4, 1.0, 4.0):
        look = replace(Look(), density=density)
        random = np.random.default_rng(0)
        light, _ = draw_site(look, (size, size), pixel_um, random)
        assert expose(light, optics(pixel_um=pixel_um), random).shape == (5, size, size)


def test_the_count_is_the_number_of_nuclei_in_the_field():
    # One nucleus a cell, far apart: there anybody can count them, without noise or blur.
    sparse = replace(
        Look(), density=0.25, mitotic=0.0, dead=0.0, multinucleate=0.0, micronuclei=0.0
    )
    margin = margin_pixels(PIXEL_UM)
    counted, said = [], []
    for seed in range(15):
        light, count = draw_site(sparse, (200, 200), PIXEL_UM, np.random.default_rng(seed))
        labels, n = ndimage.label(light[DNA] > 0.3)
        centres = np.array(ndimage.center_of_mass(labels > 0, labels, range(1, n + 1)))
        centres = centres.reshape(-1, 2)
        inside = ((centres >= margin) & (centres < margin + 200)).all(axis=1)
        counted.append(inside.sum())
        said.append(count)
    difference = np.array(counted) - said
    # A nucleus in two halves of the border, or two that touch, may be counted differently.
    assert np.abs(difference).max() <= 1
    assert (difference == 0).mean() > 0.8
    assert sum(said) > 40


def test_fewer_cells_at_lower_density():
    def cells(mechanism):
        look = treated(mechanism) if mechanism else Look()
        return sum(draw_site(look, (128, 128), 1.8, np.random.default_rng(s))[1] for s in range(8))

    usual = cells(None)
    assert cells("topoisomerase II inhibitor") < 0.6 * usual
    assert 0.8 * usual < cells("GABA receptor modulator") < 1.2 * usual


@pytest.fixture(scope="module")
def usual_area():
    return np.median(areas(Look(), range(8)))


@pytest.mark.parametrize(
    ("mechanism", "low", "high"),
    [
        ("topoisomerase I inhibitor", 1.2, 2.2),
        ("dihydrofolate reductase inhibitor", 1.1, 1.8),
        ("proteasome inhibitor", 0.5, 0.92),
        ("beta adrenergic receptor antagonist", 0.92, 1.08),
    ],
)
def test_nuclear_area_of_a_mechanism(mechanism, low, high, usual_area):
    # U2OS nuclei: about 20 x 15 µm.
    assert 180 < usual_area < 400
    assert low < np.median(areas(treated(mechanism), range(100, 110))) / usual_area < high


def test_arrested_cells_have_small_bright_chromatin():
    def bright_share(look):
        values = []
        for seed in range(8):
            image, _ = picture(look, seed)
            labels = nuclei(image)
            values.extend(ndimage.mean(image[DNA], labels, np.unique(labels)[1:]))
        values = np.array(values)
        return (values > 1.5 * np.median(values)).mean()

    assert bright_share(treated("PLK inhibitor")) > 2 * bright_share(Look())


def test_nucleoli_leave_the_rna_channel():
    def contrast(look):
        values = []
        for seed in range(6):
            image, _ = picture(look, seed)
            labels = nuclei(image)
            # Well inside: the ER around a nucleus is bright in this channel too.
            labels[ndimage.binary_erosion(labels > 0, iterations=2) == 0] = 0
            for nucleus in range(1, labels.max() + 1):
                pixels = image[RNA][labels == nucleus].astype(float)
                if len(pixels) > 50:
                    values.append(np.percentile(pixels, 97) / np.median(pixels))
        return np.median(values)

    without = replace(treated("protein synthesis inhibitor"), dead=0.0)
    assert contrast(without) < 0.85 * contrast(Look())


def test_mitochondria_fade_without_their_potential():
    def above_background(look):
        images = [picture(look, seed)[0][MITO].astype(float) for seed in range(6)]
        return np.mean([image.mean() - np.percentile(image, 1) for image in images])

    usual, uncoupled = Look(), treated("mitochondrial uncoupler")
    uncoupled = replace(uncoupled, density=1.0)
    assert above_background(uncoupled) < 0.75 * above_background(usual)


def test_every_mechanism_of_the_drugs_has_an_effect_and_a_reason():
    for moa in load_known_drugs()["moa"].unique():
        assert moa.casefold() in MECHANISMS, moa
    for name, mechanism in MECHANISMS.items():
        assert name == name.casefold()
        assert set(mechanism.shift) <= set(TRAITS), name
        assert mechanism.fact
        if max(map(abs, mechanism.shift.values())) >= 1:
            assert re.search(r"\b(19|20)\d\d\b", mechanism.fact), name
    assert set(ALSO_CALLED.values()) <= set(MECHANISMS)


def test_an_unknown_mechanism_depends_on_seed_and_name_alone():
    first = mechanism_shift("Unheard-of inhibitor", 1)
    assert first == mechanism_shift(" unheard-of  INHIBITOR", 1)
    assert first != mechanism_shift("Unheard-of inhibitor", 2)
    assert first != mechanism_shift("Unheard-of activator", 1)
    assert mechanism_shift("Eg5 inhibitor", 1) == mechanism_shift("kinesin inhibitor", 5)


@pytest.mark.parametrize("change", [-50.0, -1.0, 1.0, 50.0])
def test_traits_stay_possible_however_they_are_moved(change):
    look = shifted(Look(), dict.fromkeys(TRAITS, change))
    for name in TRAITS:
        value, usual = getattr(look, name), getattr(Look(), name)
        assert value > 0
        assert (value > usual) == (change > 0)
        assert name not in FRACTIONS or value < 1


def test_a_look_that_is_not_moved_is_the_same():
    assert shifted(Look(), dict.fromkeys(TRAITS, 0.0)) == Look()


def test_tiles_are_periodic_and_of_unit_size():
    for name, tile in texture_tiles(1.3).items():
        assert tile.shape == (TILE, TILE)
        assert tile.dtype == np.float32
        # The step across the seam is like any other step.
        step = np.abs(np.diff(tile, axis=0)).mean()
        assert np.abs(tile[0] - tile[-1]).mean() < 1.5 * step, name
    assert texture_tiles(1.3)["threads"].mean() == pytest.approx(1, rel=0.15)
    assert texture_tiles(1.3)["cloud"].std() == pytest.approx(1, rel=1e-3)


def test_fibres_run_along_the_second_axis():
    tile = texture_tiles(1.0)["fibres"]
    assert np.abs(np.diff(tile, axis=0)).mean() > 3 * np.abs(np.diff(tile, axis=1)).mean()


def dark(size=120):
    side = size + 2 * margin_pixels(PIXEL_UM)
    return np.zeros((5, side, side), np.float32)


def test_background_and_offset_of_an_empty_field():
    on = expose(dark(), optics(), np.random.default_rng(0)).mean(axis=(1, 2))
    off = expose(dark(), optics(background=0.0), np.random.default_rng(0)).mean(axis=(1, 2))
    assert off == pytest.approx(np.full(5, 110), abs=1)
    assert ((on > 250) & (on < 1000)).all()


def test_shot_noise_grows_with_the_light():
    light = dark()
    light[:, :, light.shape[2] // 2 :] = 1.0
    setting = optics(background=0.0)
    first, second = (
        expose(light, setting, np.random.default_rng(seed)).astype(float) for seed in (0, 1)
    )
    left, right = first[DNA][:, :30], first[DNA][:, -30:]
    variance = (first - second)[DNA] ** 2 / 2
    assert variance[:, :30].mean() == pytest.approx(7.0**2, rel=0.15)
    expected = 0.8 * (right.mean() - left.mean()) + 7.0**2
    assert variance[:, -30:].mean() == pytest.approx(expected, rel=0.1)


def test_without_noise_two_exposures_are_one():
    light = dark()
    setting = optics(noise=0.0, background=0.0)
    first, second = (expose(light, setting, np.random.default_rng(s)) for s in (0, 1))
    assert np.array_equal(first, second)
    assert (first == 110).all()


def test_corners_are_darker_than_the_middle():
    light = dark(200) + 1
    image = expose(light, optics(), np.random.default_rng(0)).astype(float)
    for plane in image:
        assert plane[:15, :15].mean() < 0.95 * plane[92:108, 92:108].mean()


def test_blur_keeps_the_light():
    light = dark()
    centre = light.shape[1] // 2
    light[:, centre - 3 : centre + 3, centre - 3 : centre + 3] = 1.0
    setting = replace(optics(noise=0.0, background=0.0), shading=np.zeros((5, 3)))
    image = expose(light, setting, np.random.default_rng(0)).astype(float) - 110
    # Counts are rounded, which takes away the faintest of the haze.
    assert image.sum(axis=(1, 2)) == pytest.approx(36 * setting.counts, rel=0.03)
    assert (image.max(axis=(1, 2)) < 0.97 * setting.counts).all()


@pytest.mark.real_data
def test_brightness_is_that_of_real_fields(data_home):
    folder = data_home / "images" / "cpjump1_fields_bin2"
    # Stored in the order Mito, AGP, RNA, ER, DNA.
    # Fields of cells that no strong compound has changed.
    names = ("DMSO_D14_f05", "quinidine_F10_f05", "dexamethasone_A21_f05")
    real = [tifffile.imread(folder / f"{name}.tiff")[::-1] for name in names]
    drawn = [picture(Look(), seed, 256)[0] for seed in range(12)]
    percentiles = (1, 75, 99, 99.9)
    seen = np.array([np.percentile(image, percentiles, axis=(1, 2)) for image in real])
    made = np.percentile(np.stack(drawn), percentiles, axis=(0, 2, 3))
    for row, percentile in enumerate(percentiles):
        # The last one is set by the few dead cells that happen to be there.
        factor = 2.0 if percentile > 99 else 1.5
        for channel, name in enumerate(CHANNELS):
            low, high = seen[:, row, channel].min(), seen[:, row, channel].max()
            here = made[row, channel]
            message = f"{name}, percentile {percentile}: {here:.0f}, real {low:.0f} to {high:.0f}"
            assert low / factor < here < high * factor, message
