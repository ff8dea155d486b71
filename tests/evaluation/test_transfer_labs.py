"""The tables of the transfer study: what the two sides share, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest
from tifffile import imread

from cloome_sk.datasets import load_bbbc021_crops, load_bbbc021_profiles
from cloome_sk.evaluation import __main__ as command
from cloome_sk.evaluation.transfer_command import asked_alignments
from cloome_sk.evaluation.transfer_labs import SOURCE_WEEKS, load_labs, transferability_of
from cloome_sk.evaluation.transfer_screens import draw_labs
from cloome_sk.preprocessing import find_controls

SMALL = {"size": 32, "n_plates": 2, "n_controls": 2}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_labs(tmp_path_factory.mktemp("labs"), seed=0, **SMALL)


def drugs(table):
    treated = table[~find_controls(table).mask]
    return treated.drop_duplicates("Metadata_pert_iname").set_index("Metadata_pert_iname")


def test_labs_share_most_drugs_and_no_plate(drawn):
    first, second = map(drugs, drawn)
    own, other = set(first.index) - set(second.index), set(second.index) - set(first.index)
    assert len(own) == len(other) == first["Metadata_moa"].nunique() == 18
    assert len(set(first.index) & set(second.index)) > 4 * 10
    assert (
        first.loc[list(set(first.index) - own), "Metadata_moa"]
        .groupby(first["Metadata_moa"])
        .size()
        >= 2
    ).all()
    assert not set(drawn[0]["Metadata_Plate"]) & set(drawn[1]["Metadata_Plate"])


def test_the_second_lab_has_more_background(drawn):
    # Over all channels and plates: the background of one may drift as far as the labs are apart.
    channels = [name for name in drawn[0].columns if str(name).startswith("Image_")]
    dark = [
        [np.mean([np.percentile(imread(path), 5) for path in table[name]]) for name in channels]
        for table in drawn
    ]
    assert np.exp(np.log(np.divide(dark[1], dark[0])).mean()) > 1.5


def test_assays_are_of_molecules_and_the_same_in_both_labs(drawn):
    names = [name for name in drawn[0].columns if str(name).startswith("Metadata_assay_")]
    first, second = (drugs(table)[names] for table in drawn)
    both = first.index.intersection(second.index)
    np.testing.assert_array_equal(first.loc[both], second.loc[both])
    values = first.to_numpy()
    assert 0.4 < np.isnan(values).mean() < 0.6
    assert set(values[~np.isnan(values)]) == {0.0, 1.0}
    assert drawn[0].loc[find_controls(drawn[0]).mask, names].isna().all(axis=None)
    per_drug = drawn[0][~find_controls(drawn[0]).mask].groupby("Metadata_pert_iname")[names]
    assert (per_drug.nunique() <= 1).all(axis=None)


def test_unknown_data_and_images_without_a_folder_are_refused():
    with pytest.raises(ValueError, match="data must be one of 'simulated'"):
        load_labs("jump")
    with pytest.raises(ValueError, match="name a folder"):
        load_labs("simulated")


def test_bbbc021_weeks_are_on_one_side_each(data_home):
    labs = load_labs("bbbc021", data_home)
    assert set(labs.source["Metadata_week"]) == set(SOURCE_WEEKS)
    assert not set(labs.source["Metadata_week"]) & set(labs.target["Metadata_week"])
    compounds = [set(t.loc[~find_controls(t).mask, "Metadata_compound"]) for t in
                 (labs.source, labs.target)]  # fmt: skip
    assert not compounds[0] & compounds[1]
    classes = [set(t["Metadata_moa"].dropna()) for t in (labs.source, labs.target)]
    assert len(classes[0] & classes[1]) >= 8
    assert "Kinase inhibitors" not in classes[0] | classes[1]
    assert any("CONFOUNDED" in note for note in labs.notes)


def test_crops_of_bbbc021_carry_the_features_of_their_wells(data_home):
    labs = load_labs("bbbc021", data_home)
    columns = labs.methods["CellProfiler features"].columns
    wells = load_bbbc021_profiles(data_home)
    place = ["Metadata_Plate", "Metadata_Well"]
    dmso = wells["Metadata_control_type"] == "negcon"
    crop = labs.target[labs.target["Metadata_compound"] == "emetine"].iloc[0]
    of_plate = wells["Metadata_Plate"] == crop["Metadata_Plate"]
    own = wells[(wells[place] == crop[place]).all(axis=1)]
    middle = wells.loc[of_plate & dmso, columns].median()
    # Normalising shrinks and compresses, but keeps on which side of the plate's DMSO a well lies.
    apart = own[columns].iloc[0] - middle
    agree = np.sign(apart.astype(float)) == np.sign(crop[columns].astype(float))
    assert len(own) == 1
    assert agree.mean() > 0.99
    left = load_bbbc021_crops(data_home)
    bare = ~left.set_index(place).index.isin(wells.set_index(place).index)
    assert set(left.loc[bare, "Metadata_compound"]) == {"taxol"}
    assert any(f"Left out are {bare.sum()} crops" in note for note in labs.notes)


def test_methods_get_as_many_updates_as_each_other(data_home):
    labs = load_labs("harmony", data_home, n_updates=6)
    fits = transferability_of(labs, n_bootstrap=10).fits
    trained = fits.loc[fits["updates"] > 0, "updates"]
    assert len(trained) == 4
    assert (trained == 6).all()


def test_profiles_share_142_features_and_few_compounds(data_home):
    labs = load_labs("profiles", data_home)
    columns = labs.methods["profile"].columns
    assert len(columns) == 142
    for table in (labs.source, labs.target):
        control = find_controls(table).mask
        medians = table[control].groupby("Metadata_Plate")[columns].median()
        np.testing.assert_allclose(medians, 0, atol=1e-5)
    assert labs.options["target_label"] == "Metadata_injury_type"


def test_harmony_labs_are_on_one_side_each(data_home):
    labs = load_labs("harmony", data_home)
    assert not set(labs.source["Metadata_Source"]) & set(labs.target["Metadata_Source"])
    assert len(labs.source) + len(labs.target) == 312


def test_what_is_asked_for_on_the_command_line():
    assert asked_alignments(["sphered"]) == ["none", "sphered"]


def test_the_command_prints_and_writes(data_home, tmp_path, capsys):
    command.main(
        ["transferability", "--data", "harmony", "--data-home", str(data_home), "--updates", "4",
         "--align", "--output", str(tmp_path)]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "AN OPTIMISTIC BOUND" in said
    assert "centred on controls" in said
    assert (tmp_path / "transferability_harmony.png").stat().st_size > 10_000
    assert (tmp_path / "transferability_harmony_drops.csv").exists()
