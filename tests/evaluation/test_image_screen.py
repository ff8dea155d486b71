"""The simulated screen of images: its table, and an encoder that learns from training rows."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from cloome_sk import CloomeEmbedder
from cloome_sk._tables import image_columns
from cloome_sk.baselines import IntensityProfiles
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder
from cloome_sk.evaluation import __main__ as command
from cloome_sk.evaluation import image_screen, load_screen, screens, study_controls
from cloome_sk.imaging import read_image
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer

DRAWN = {
    "n_compounds": 16,
    "n_plates": 3,
    "n_controls": 8,
    "n_sites": 2,
    "size": 48,
    "pixel_size_um": 3.0,
}
SEED = 5
MAIN = ["DNA", "ER", "RNA", "AGP", "Mito"]


@pytest.fixture(scope="module")
def small():
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"DRAWN": DRAWN, "SHRUNK": 24, "N_UPDATES": 6}.items():
            patched.setattr(image_screen, name, value)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(scope="module")
def screen(small, folder):
    return load_screen("simulated", None, SEED, folder)


# ------------------------------------------------------------------- the table


def test_three_versions_differ_in_the_intensity_features_alone(screen):
    assert len(screen.features) == 45
    assert all(name.startswith("Image_Intensity_") for name in screen.features)
    kept = [name for name in screen.raw if name not in screen.features]
    assert set(image_columns(screen.raw)) == {f"Image_{name}" for name in MAIN} <= set(kept)
    for version in (screen.normalised, screen.table):
        pd.testing.assert_frame_equal(version[kept], screen.raw[kept])
        assert list(version) == list(screen.raw)
    for version, sphering in ((screen.normalised, False), (screen.table, True)):
        expected = ControlNormalizer(screen.features, sphering=sphering).fit_transform(screen.raw)
        pd.testing.assert_frame_equal(version, expected)
    measured = IntensityProfiles().fit_transform(screen.raw[kept])
    pd.testing.assert_frame_equal(measured, screen.raw)


def test_rows_are_sites_and_molecules_stay_with_their_sites(screen):
    treated = screen.raw["Metadata_control_type"].isna()
    assert treated.sum() == len(screen.wells) == 16 * 3 * 2
    assert len(screen.plate_controls) == (~treated).sum() == 8 * 3 * 2
    assert (screen.plate_controls["Metadata_control_type"] == "negcon").all()
    assert screen.molecules.tolist() == molecule_key(screen.wells["Metadata_smiles"]).tolist()
    assert screen.unit == "site"
    assert screen.has_images
    sites = screen.wells.groupby(["Metadata_Plate", "Metadata_Well"])["Metadata_Site"]
    assert all(own == [1, 2] for own in sites.apply(sorted))


def test_a_screen_is_drawn_again_where_one_is(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(image_screen, "DRAWN", {**DRAWN, "n_compounds": 4, "n_sites": 1})
    first = load_screen("simulated", None, SEED, tmp_path)
    said = capsys.readouterr().out
    assert "SIMULATED" in said
    assert "12 treated sites, 4 molecules, 3 plates, 45 intensity features of the images" in said
    assert "24 of 36 rows are negative controls" in said
    (tmp_path / "notes.txt").write_text("mine")
    other = load_screen("simulated", None, SEED + 1, tmp_path)
    assert not np.allclose(other.raw[other.features], first.raw[first.features])
    again = load_screen("simulated", None, SEED, tmp_path)
    pd.testing.assert_frame_equal(again.table, first.table)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_images_need_a_folder_and_screens_a_known_name():
    with pytest.raises(ValueError, match="name a folder"):
        load_screen("simulated", None, 0)
    with pytest.raises(ValueError, match=r"'simulated', 'simulated-profiles', .*'bray'"):
        load_screen("bray", None, 0)


# ----------------------------------------------------------------- the encoder


def rows_of_plates(table, plates):
    return table[table["Metadata_Plate"].isin(plates)]


def plain(**params):
    return CloomeEmbedder(
        ImageEncoder(size=24, scaling="plate"),
        MoleculeEncoder(hidden_sizes=(512,), input_dropout=0.2),
        n_components=128,
        lr=image_screen.LEARNING_RATE,
        batch_size=image_screen.BATCH,
        random_state=SEED,
        **params,
    )


def test_the_encoder_is_the_usual_one_that_learned_of_new_plates_later(screen):
    """Fit on two plates with their controls, then `fit_plates` of the third: the same model."""
    *seen, new = sorted(set(screen.raw["Metadata_Plate"]))
    train, test = rows_of_plates(screen.wells, seen), rows_of_plates(screen.wells, [new])
    ours = screen.make_embedder(len(train), SEED).fit(train)
    usual = plain(max_epochs=ours.max_epochs).fit(rows_of_plates(screen.raw, seen))
    usual.phenotype_.fit_plates(rows_of_plates(screen.raw, [new]))
    for name, weights in usual.state_.items():
        np.testing.assert_array_equal(weights, ours.state_[name])
    np.testing.assert_array_equal(usual.transform(test), ours.transform(test))


def test_pixels_of_treated_sites_that_are_not_trained_on_change_nothing(screen):
    plates = sorted(set(screen.raw["Metadata_Plate"]))
    train = rows_of_plates(screen.wells, plates[:2])
    ours = screen.make_embedder(len(train), SEED).set_params(max_epochs=1)
    before = clone(ours).fit(train)
    arrays = screen.table.astype(dict.fromkeys(image_columns(screen.table), object))
    held_out = arrays["Metadata_control_type"].isna() & (arrays["Metadata_Plate"] == plates[2])
    noise = np.random.default_rng(0)
    for row in np.flatnonzero(held_out):
        for name in image_columns(screen.table):
            site = noise.integers(0, 60_000, (48, 48)).astype(np.uint16)
            arrays.iat[row, arrays.columns.get_loc(name)] = site
    # Among the controls, where such rows have no business.
    after = clone(ours).set_params(phenotype__plate_table=arrays).fit(train)
    for name, weights in before.state_.items():
        np.testing.assert_array_equal(weights, after.state_[name])
    for plate, limits in before.phenotype_.plate_limits_.items():
        np.testing.assert_array_equal(limits, after.phenotype_.plate_limits_[plate])
    np.testing.assert_array_equal(before.phenotype_.mean_, after.phenotype_.mean_)


def test_limits_come_from_the_controls_of_each_plate(screen):
    embedder = screen.make_embedder(8, SEED).set_params(max_epochs=1)
    embedder.fit(screen.wells.iloc[:8])
    limits = embedder.phenotype_.plate_limits_
    assert set(limits) == set(screen.raw["Metadata_Plate"])
    for plate, own in screen.plate_controls.groupby("Metadata_Plate"):
        values = np.stack([read_image(path) for path in own["Image_DNA"]])
        low, high = limits[plate][0]
        assert values.min() <= low < np.median(values) < high <= values.max()


@pytest.mark.parametrize(("n_pairs", "epochs"), [(64, 80), (65, 40), (300, 16), (500_000, 1)])
def test_updates_do_not_depend_on_the_size_of_the_table(n_pairs, epochs, monkeypatch):
    monkeypatch.setattr(image_screen, "N_UPDATES", 80)
    monkeypatch.setattr(image_screen, "BATCH", 64)
    embedder = image_screen.make_image_embedder(pd.DataFrame(), n_pairs, 0)
    assert embedder.max_epochs == epochs


def test_the_encoder_of_a_screen_is_for_its_kind(screen):
    assert isinstance(screen.make_embedder(64, 0).phenotype, ImageEncoder)
    profiles = load_screen("simulated-profiles", None, 0)
    assert not profiles.has_images
    assert profiles.unit == "well"
    assert profiles.make_embedder(64, 0).max_epochs == screens.make_embedder(64, 0).max_epochs
    assert not isinstance(profiles.make_embedder(64, 0).phenotype, ImageEncoder)


# ------------------------------------------------------------------- the study


@pytest.fixture(scope="module")
def study(screen):
    embedder = screen.make_embedder(48, SEED).set_params(max_epochs=1)
    return study_controls(screen, embedder, cv=2, random_state=0)


@pytest.mark.slow
def test_every_control_is_there_and_says_what_it_takes(study):
    models = {task: set(own["model"]) for task, own in study.scores.groupby("task")}
    assert {"CLOOME", "Tanimoto-kernel average", "ridge to intensity features", "CCA"} <= models[
        "unseen_molecules"
    ]
    marks = (", as delivered", ", normalised", ", normalised and sphered")
    assert {f"intensity features{mark}" for mark in marks} <= models["unseen_plates"]
    assert {"cell count", "well position", "LDA on compound labels"} <= models["unseen_plates"]
    assert {f"intensity features + LR{mark}" for mark in marks} <= models["classes"]
    assert {"CLOOME + LR", "untrained encoder + LR", "Morgan + LR"} <= models["classes"]
    assert not any("profile" in name for names in models.values() for name in names)
    assert study.layout.index.tolist() == [*(f"intensity features{m}" for m in marks), "CLOOME"]


@pytest.mark.slow
def test_command_draws_and_studies_images(small, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(image_screen, "N_UPDATES", 1)
    monkeypatch.setattr(image_screen, "DRAWN", {**DRAWN, "n_compounds": 12, "n_sites": 1})
    command.main(["controls", "--folds", "3", "--output", str(tmp_path)])
    said = capsys.readouterr().out
    assert "SIMULATED" in said
    assert "Control sites that find their own well position" in said
    assert len(re.findall(r"^\(chance\)", said, flags=re.MULTILINE)) == 7
    assert {path.name for path in tmp_path.iterdir()} == {
        "controls_simulated.csv",
        "controls_simulated_layout.csv",
        "simulated_screen",
    }
