from __future__ import annotations

import csv
import gzip
import shutil

import numpy as np
import pandas as pd
import pytest

from cloome_sk.datasets import DownloadError, fetch_bbbc021_profiles, load_bbbc021_profiles
from cloome_sk.datasets.bbbc021 import SOURCES

FOLDER = "profiles/bbbc021"
WELLS = f"{FOLDER}/ljosa_jbiomolscreen_2013_per_well_mean.csv.gz"
IMAGES = f"{FOLDER}/BBBC021_v1_image.csv.gz"
MOA = f"{FOLDER}/BBBC021_v1_moa.csv"


@pytest.mark.real_data
def test_published_counts(data_home):
    table = load_bbbc021_profiles(data_home)
    assert len(table) == 632
    assert not table.duplicated(["Metadata_Plate", "Metadata_Well"]).any()
    assert table["Metadata_Plate"].nunique() == 55
    features = table.filter(regex="^(Cells|Cytoplasm|Nuclei)_")
    assert features.shape[1] == 516
    assert set(features.dtypes.astype(str)) == {"float32"}
    assert not features.isna().any(axis=None)
    treated = table[table["Metadata_control_type"] != "negcon"]
    treatments = treated.drop_duplicates(["Metadata_compound", "Metadata_conc_uM"])
    # Ljosa et al. 2013: 103 treatments, 38 compounds, 12 mechanisms.
    assert len(treatments) == 103
    assert treated["Metadata_compound"].nunique() == 38
    assert treated["Metadata_moa"].nunique() == 12
    assert treatments["Metadata_moa"].value_counts()["Epithelial"] == 8
    controls = table[table["Metadata_control_type"] == "negcon"]
    assert set(controls["Metadata_compound"]) == {"DMSO"}
    assert controls["Metadata_moa"].isna().all()
    assert table["Metadata_batch"].nunique() == 10
    assert (treated.groupby("Metadata_compound")["Metadata_batch"].nunique() == 1).all()


@pytest.mark.real_data
def test_equals_a_join_by_hand(data_home):
    with gzip.open(data_home / IMAGES, "rt", newline="") as file:
        content = {
            (row["Image_Metadata_Plate_DAPI"], row["Image_Metadata_Well_DAPI"]): (
                row["Image_Metadata_Compound"],
                float(row["Image_Metadata_Concentration"]),
                int(row["Replicate"]),
            )
            for row in csv.DictReader(file)
        }
    with (data_home / MOA).open(newline="") as file:
        moa = {(r["compound"], float(r["concentration"])): r["moa"] for r in csv.DictReader(file)}
    table = load_bbbc021_profiles(data_home)
    with gzip.open(data_home / WELLS, "rt", newline="") as file:
        for (_, found), row in zip(table.iterrows(), csv.DictReader(file), strict=True):
            well = row["Image_Metadata_Plate"], row["Image_Metadata_Well"]
            compound, concentration, replicate = content[well]
            assert (found["Metadata_Plate"], found["Metadata_Well"]) == well
            assert found["Metadata_compound"] == compound
            assert found["Metadata_conc_uM"] == concentration
            assert found["Metadata_replicate"] == replicate
            assert found["Metadata_batch"] == well[0].partition("_")[0]
            if compound == "DMSO":
                assert found["Metadata_control_type"] == "negcon"
            else:
                assert found["Metadata_moa"] == moa[compound, concentration]
                assert pd.isna(found["Metadata_control_type"])
            for name in ("Cells_AreaShape_Area", "Nuclei_AreaShape_Area"):
                assert found[name] == np.float32(row[name])


@pytest.fixture
def small_home(tmp_path):
    """Three files of one plate: DMSO in A01, taxol in A02; two images a well."""
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    well = ["Image_Metadata_Plate", "Image_Metadata_Well"]
    pd.DataFrame(
        [["Week1_1", "A01", 1.0], ["Week1_1", "A02", 2.0]], columns=[*well, "Cells_A"]
    ).to_csv(tmp_path / WELLS, index=False)
    images = [["Week1_1", w, 1, c, d] for w, c, d in 2 * [("A01", "DMSO", 0), ("A02", "taxol", 3)]]
    columns = [f"{name}_DAPI" for name in well]
    columns += ["Replicate", "Image_Metadata_Compound", "Image_Metadata_Concentration"]
    pd.DataFrame(images, columns=columns).to_csv(tmp_path / IMAGES, index=False)
    pd.DataFrame(
        [["DMSO", 0, "DMSO"], ["taxol", 3, "stabilizer"]],
        columns=["compound", "concentration", "moa"],
    ).to_csv(tmp_path / MOA, index=False)
    return tmp_path


def _edit(path, change):
    change(pd.read_csv(path)).to_csv(path, index=False)


def test_small_files_join(small_home):
    table = load_bbbc021_profiles(small_home)
    assert table["Metadata_compound"].tolist() == ["DMSO", "taxol"]
    assert table["Cells_A"].tolist() == [1.0, 2.0]


def test_well_without_images(small_home):
    _edit(small_home / IMAGES, lambda t: t[t["Image_Metadata_Well_DAPI"] != "A02"])
    with pytest.raises(ValueError, match=r"1 row\(s\) are not in the image index.*Week1_1/A02"):
        load_bbbc021_profiles(small_home)


def test_well_with_two_contents(small_home):
    _edit(small_home / IMAGES, lambda t: t.assign(Image_Metadata_Concentration=[0, 3, 0, 1]))
    with pytest.raises(ValueError, match=r"have several contents.*Week1_1/A02"):
        load_bbbc021_profiles(small_home)


def test_well_measured_twice(small_home):
    _edit(small_home / WELLS, lambda t: pd.concat([t, t.tail(1)]))
    with pytest.raises(ValueError, match="wells twice: Week1_1/A02"):
        load_bbbc021_profiles(small_home)


def test_treatment_without_mechanism(small_home):
    _edit(small_home / MOA, lambda t: t[t["compound"] == "DMSO"])
    with pytest.raises(ValueError, match=r"have no mechanism of action.*taxol/3"):
        load_bbbc021_profiles(small_home)


@pytest.mark.parametrize("file", [WELLS, IMAGES, MOA])
def test_each_missing_file_is_named(small_home, file):
    (small_home / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"{file}.*fetch_bbbc021_profiles"):
        load_bbbc021_profiles(small_home)


def test_truncated_file(small_home):
    path = small_home / WELLS
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match=r"cannot be read: EOFError.*truncated"):
        load_bbbc021_profiles(small_home)


def test_text_that_is_not_gzip(small_home):
    (small_home / IMAGES).write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"BBBC021_v1_image.*cannot be read: BadGzipFile"):
        load_bbbc021_profiles(small_home)


@pytest.mark.real_data
def test_fetch_rebuilds_the_table(data_home, public_host, tmp_path):
    for relative, source in SOURCES.items():
        public_host.add(source, (data_home / relative).read_bytes())
    home = tmp_path / "new"
    table = fetch_bbbc021_profiles(home, base_url=public_host.url)
    pd.testing.assert_frame_equal(table, load_bbbc021_profiles(data_home), check_exact=True)
    for relative in SOURCES:
        assert (home / relative).read_bytes() == (data_home / relative).read_bytes()
    assert len(public_host.requested) == 3
    fetch_bbbc021_profiles(home, base_url="http://127.0.0.1:1")
    assert len(public_host.requested) == 3, "what is there is not downloaded again"


@pytest.mark.real_data
def test_fetch_completes_a_folder_that_lacks_one_file(data_home, public_host, tmp_path):
    for relative, source in SOURCES.items():
        public_host.add(source, (data_home / relative).read_bytes())
        (tmp_path / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data_home / relative, tmp_path / relative)
    (tmp_path / MOA).unlink()
    fetch_bbbc021_profiles(tmp_path, base_url=public_host.url)
    assert public_host.requested == [SOURCES[MOA].url("")]


def test_fetch_refuses_a_changed_file(public_host, small_home, tmp_path, leftovers):
    for relative, source in SOURCES.items():
        public_host.add(source, (small_home / relative).read_bytes())
    shutil.rmtree(small_home / "profiles")
    with pytest.raises(DownloadError, match="not the expected file"):
        fetch_bbbc021_profiles(tmp_path, base_url=public_host.url)
    assert leftovers() == []
