from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.stats import spearmanr

from cloome_sk.datasets import load_bbbc021_profiles
from cloome_sk.datasets.bbbc021_crops import load_bbbc021_crops
from cloome_sk.preprocessing import find_controls

IMAGES = "images/bbbc021_cells.tiff"
TABLE = "images/bbbc021_cells.csv"


@pytest.fixture(scope="module")
def crops(data_home):
    return load_bbbc021_crops(data_home)


@pytest.mark.real_data
def test_each_row_is_its_crop_and_its_description(data_home, crops):
    planes = tifffile.imread(data_home / IMAGES)
    assert planes.dtype == np.uint16
    with (data_home / TABLE).open(newline="") as file:
        described = list(csv.DictReader(file))
    assert len(crops) == len(described) == 1349
    for number, (row, (_, found)) in enumerate(zip(described, crops.iterrows(), strict=True)):
        for plane in range(3):
            first = (3 * number + plane) * 68
            np.testing.assert_array_equal(found["Image"][plane], planes[first : first + 68])
        assert found["Metadata_Plate"] == row["plate"]
        assert found["Metadata_Well"] == row["well"]
        assert f"_s{found['Metadata_Site']}_" in row["field"]
        assert found["Metadata_field"] == row["field"]
        assert f"{found['Metadata_field']}_{found['Metadata_cell']}.npy" == row["base"]
        assert found["Metadata_week"] == row["plate"].partition("_")[0]
        assert found["Metadata_replicate"] == int(row["replicate"])
        assert found["Metadata_compound"] == row["compound"]
        assert found["Metadata_conc_uM"] == float(row["conc_uM"])
        assert row["repo"].startswith(found["Metadata_repository"] + " ")
        if row["compound"] == "DMSO":
            assert found["Metadata_control_type"] == "negcon"
            assert pd.isna(found["Metadata_moa"])
        else:
            assert pd.isna(found["Metadata_control_type"])
            assert found["Metadata_moa"] == row["moa"]


@pytest.mark.real_data
def test_counts(crops):
    treated = crops[crops["Metadata_control_type"] != "negcon"]
    assert treated["Metadata_compound"].nunique() == 28
    assert treated["Metadata_moa"].nunique() == 12
    assert crops["Metadata_Plate"].nunique() == 55
    assert sorted(crops["Metadata_week"].unique()) == sorted(f"Week{n}" for n in range(1, 11))
    # Said in the docstring.
    sizes = treated["Metadata_compound"].value_counts()
    assert sizes["taxol"] == 506
    assert (sizes.drop("taxol").min(), sizes.drop("taxol").max()) == (3, 172)
    weeks = treated.groupby("Metadata_compound")["Metadata_week"].nunique()
    assert (weeks.drop("taxol") == 1).all()
    alone = crops.groupby("Metadata_repository")
    wells = alone.apply(lambda g: len(g[["Metadata_Plate", "Metadata_Well"]].drop_duplicates()))
    treatments = alone["Metadata_compound"].nunique()
    assert sorted(alone.size()) == [146, 395, 808]
    assert wells[alone.size() == 146].item() == 1
    assert treatments[alone.size() == 395].item() == 2
    assert find_controls(crops).n == 305


@pytest.mark.real_data
def test_crops_are_views_of_one_array(crops):
    bases = {id(crop.base) for crop in crops["Image"]}
    assert len(bases) == 1
    assert {(crop.shape, crop.dtype.name) for crop in crops["Image"]} == {((3, 68, 68), "uint16")}


@pytest.mark.real_data
def test_channel_names_agree_with_cellprofiler(data_home, crops):
    """Mean pixels of a well go with the intensity of the channel of that name, not of the other."""
    channels = crops["Metadata_Channels"].unique().item().split("|")
    means = np.array([crop.mean(axis=(1, 2)) for crop in crops["Image"]])
    key = ["Metadata_Plate", "Metadata_Well"]
    wells = pd.DataFrame(means, columns=channels).join(crops[key]).groupby(key).mean()
    profiles = load_bbbc021_profiles(data_home).set_index(key)
    both = wells.join(profiles, how="inner")
    assert len(both) > 200
    measured = {
        "DNA": "Nuclei_Intensity_MeanIntensity_CorrDAPI",
        "Actin": "Cells_Intensity_MeanIntensity_CorrActin",
        "Tubulin": "Cells_Intensity_MeanIntensity_CorrTub",
    }
    for name, column in measured.items():
        agreement = {c: spearmanr(both[c], both[column]).statistic for c in channels}
        assert max(agreement, key=agreement.get) == name
        assert agreement[name] > 0.6


@pytest.mark.real_data
def test_compound_and_mechanism_agree_with_the_profiles(data_home, crops):
    key = ["Metadata_Plate", "Metadata_Well"]
    profiles = load_bbbc021_profiles(data_home)
    names = ["Metadata_compound", "Metadata_conc_uM", "Metadata_moa", "Metadata_replicate"]
    both = crops.merge(profiles[[*key, *names]], on=key, suffixes=("", "_profile"))
    assert len(both) > 700
    for name in names:
        left, right = both[name], both[f"{name}_profile"]
        assert ((left == right) | (left.isna() & right.isna())).all()


@pytest.fixture
def small_home(tmp_path):
    """Two crops: one of DMSO, one of taxol; pixels count up from zero."""
    (tmp_path / "images").mkdir()
    pixels = np.arange(2 * 3 * 68 * 68, dtype=np.uint32).astype(np.uint16).reshape(-1, 68)
    tifffile.imwrite(tmp_path / IMAGES, pixels)
    _describe(tmp_path, ["DMSO", "taxol"])
    return tmp_path


def _describe(home, compounds):
    rows = [
        {
            "base": f"Week1_1_A0{n}_s2_w1_7.npy",
            "field": f"Week1_1_A0{n}_s2_w1",
            "cell_index": 7,
            "plate": "Week1_1",
            "well": f"A0{n}",
            "replicate": 1,
            "compound": compound,
            "conc_uM": 0.5,
            "moa": "DMSO" if compound == "DMSO" else "stabilizer",
            "repo": "owner/name folder/",
        }
        for n, compound in enumerate(compounds, start=1)
    ]
    pd.DataFrame(rows).to_csv(home / TABLE, index=False)


def test_small_files(small_home):
    table = load_bbbc021_crops(small_home)
    assert table["Metadata_compound"].tolist() == ["DMSO", "taxol"]
    assert table["Metadata_Site"].tolist() == [2, 2]
    assert table["Image"].iloc[1][0, 0, 0] == 3 * 68 * 68
    assert table["Image"].iloc[0][1, 2, 5] == 68 * 68 + 2 * 68 + 5
    assert table["Metadata_repository"].tolist() == 2 * ["owner/name"]


def test_folder_of_the_environment(small_home, monkeypatch):
    monkeypatch.setenv("CLOOME_SK_DATA", str(small_home))
    assert len(load_bbbc021_crops()) == 2


@pytest.mark.parametrize("file", [IMAGES, TABLE])
def test_each_missing_file_is_named(small_home, file):
    (small_home / file).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{file}.*no function here downloads them"):
        load_bbbc021_crops(small_home)


def test_crops_and_descriptions_must_be_as_many(small_home):
    _describe(small_home, ["DMSO", "taxol", "taxol"])
    with pytest.raises(ValueError, match=r"holds 2 crop\(s\), .*describes 3"):
        load_bbbc021_crops(small_home)


def test_truncated_images(small_home):
    path = small_home / IMAGES
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ValueError, match=r"bbbc021_cells\.tiff.*come with the data folder"):
        load_bbbc021_crops(small_home)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((408, 68), np.uint8), r"holds uint8 of shape \(408, 68\), not uint16"),
        (np.zeros((408, 60), np.uint16), r"of shape \(408, 60\), not"),
        (np.zeros((409, 68), np.uint16), r"409 rows of pixels: 2 crops of 3 x 68 and 1 more"),
    ],
)
def test_another_image(small_home, pixels, message):
    tifffile.imwrite(small_home / IMAGES, pixels)
    with pytest.raises(ValueError, match=message):
        load_bbbc021_crops(small_home)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("moa", None, r"1 cell\(s\) of .* lack moa: row 1 \(Week1_1_A02_s2_w1_7\.npy\)"),
        ("compound", None, r"lack compound: row 1"),
        ("base", "Week1_1_A01_s2_w1_7.npy", r"2 cell\(s\) .* more than once: row 0 .*row 1"),
        ("plate", "1", r"plate that does not begin with its week: row 1"),
        ("field", "A02", r"field whose name does not say its number: row 1"),
        ("moa", "DMSO", r"are DMSO by compound or by mechanism only: row 1"),
        ("compound", "DMSO", r"are DMSO by compound or by mechanism only: row 1"),
    ],
)
def test_description_with_a_fault(small_home, column, value, message):
    table = pd.read_csv(small_home / TABLE, dtype=object)
    table.loc[1, column] = value
    table.to_csv(small_home / TABLE, index=False)
    with pytest.raises(ValueError, match=message):
        load_bbbc021_crops(small_home)


def test_compound_with_two_mechanisms(small_home):
    pixels = np.zeros((3 * 3 * 68, 68), np.uint16)
    tifffile.imwrite(small_home / IMAGES, pixels)
    _describe(small_home, ["DMSO", "taxol", "taxol"])
    table = pd.read_csv(small_home / TABLE)
    table.loc[2, "moa"] = "destabilizer"
    table.to_csv(small_home / TABLE, index=False)
    with pytest.raises(ValueError, match=r"2 cell\(s\) .* compound with several mechanisms"):
        load_bbbc021_crops(small_home)


def test_table_without_a_column(small_home):
    pd.read_csv(small_home / TABLE).drop(columns="moa").to_csv(small_home / TABLE, index=False)
    with pytest.raises(ValueError, match=r"lacks the column\(s\) moa"):
        load_bbbc021_crops(small_home)
