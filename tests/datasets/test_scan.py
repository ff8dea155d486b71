"""Site tables from file names: as microscopes write them, real files, and what goes wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cloome_sk.datasets import join_metadata, scan_images

PHENIX = {1: "Mito", 2: "AGP", 3: "RNA", 4: "ER", 5: "DNA"}
SBS = r"Channel(?P<channel>[12])-\d\d-(?P<row>[A-H])-(?P<col>\d\d)\.tif"
UUIDS = [f"{n:08X}-E48F-4C2F-9D31-8F46D8B5B972" for n in range(200)]


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def phenix_names(wells=((1, 1), (1, 2)), sites=(1, 2), channels=(1, 2), plane=1, timepoint=1):
    return [
        f"r{r:02d}c{c:02d}f{site:02d}p{plane:02d}-ch{channel}sk{timepoint}fk1fl1.tiff"
        for r, c in wells
        for site in sites
        for channel in channels
    ]


def places(table: pd.DataFrame) -> list[tuple]:
    return [*zip(table.Metadata_Plate, table.Metadata_Well, table.Metadata_Site, strict=True)]


# -- the namings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "plate"),
    [
        ("BR00126114__2021-09-01T15_39_48-Measurement1/Images", "BR00126114"),
        ("BR00126114__2021-09-01T15_39_48-Measurement 2/Images", "BR00126114"),
        ("BR00126114/Images", "BR00126114"),
        ("my__plate", "my__plate"),
    ],
)
def test_phenix(tmp_path, folder, plate):
    names = phenix_names(wells=((16, 24), (1, 2)), sites=(3, 10), channels=(1, 5))
    make(tmp_path, *(f"{folder}/{name}" for name in names))
    make(tmp_path, f"{folder}/Index.idx.xml", f"{folder}/.DS_Store", f"{folder}/._{names[0]}")
    found = scan_images(tmp_path, "phenix", channels={5: "Hoechst", 1: "Mito"})
    assert places(found) == [(plate, w, s) for w in ("A02", "P24") for s in (3, 10)]
    assert list(found.columns[3:]) == ["Image_DNA", "Image_Mito"]
    assert found["Image_DNA"][0] == str(tmp_path / folder / "r01c02f03p01-ch5sk1fk1fl1.tiff")
    # The folder of one plate, and that of the images in it, give the same.
    for below in (folder, folder.split("/")[0]):
        again = scan_images(tmp_path / below, "phenix", channels={5: "Hoechst", 1: "Mito"})
        pd.testing.assert_frame_equal(again, found)


@pytest.mark.real_data
def test_real_phenix_files(data_home):
    folder = data_home / "images" / "cpjump1_fullres"
    found = scan_images(folder, "phenix", channels=PHENIX, recursive=False, check_shapes=True)
    assert places(found) == [("cpjump1_fullres", "D14", 5), ("cpjump1_fullres", "N09", 5)]
    for number, channel in PHENIX.items():
        for row, stem in enumerate(("r04c14", "r14c09")):
            expected = str(folder / f"{stem}f05p01-ch{number}sk1fk1fl1.tiff")
            assert found.loc[row, f"Image_{channel}"] == expected
    # The folder below holds a single channel.
    with pytest.raises(ValueError, match="1 of 3 sites cannot be used") as caught:
        scan_images(folder, "phenix", channels=PHENIX)
    assert "no file of a channel (1): original_lzw D14 site 05: Mito, AGP, RNA, ER" in str(
        caught.value
    )
    with pytest.warns(UserWarning, match="1 of 3 sites are left out"):
        pd.testing.assert_frame_equal(
            scan_images(folder, "phenix", channels=PHENIX, on_error="skip"), found
        )


@pytest.mark.real_data
def test_real_plate_by_a_regular_expression(data_home):
    folder = data_home / "images" / "sbs_plate"
    found = scan_images(folder, SBS, channels={1: "GFP", 2: "DNA"}, check_shapes=True)
    expected = [
        (row, col, str(folder / f"Channel1-{i:02d}-{row}-{col:02d}.tif"))
        for start, row in ((1, "A"), (49, "E"))
        for i, col in enumerate(range(1, 13), start=start)
    ]
    assert [*zip(found.Metadata_Well, found.Image_GFP, strict=True)] == [
        (f"{row}{col:02d}", path) for row, col, path in expected
    ]
    assert found["Metadata_Site"].tolist() == [1] * 24
    layout = pd.read_csv(folder / "1049_Metadata.csv", dtype=str)
    joined = join_metadata(found, folder / "1049_Metadata.csv", unimaged="ignore")
    for well, dose in zip(joined.Metadata_Well, joined.Metadata_SBS_Doses, strict=True):
        line = layout[(layout.Row == well[0]) & (layout.Column == well[1:])]
        assert [str(dose)] == line.SBS_Doses.tolist()


@pytest.mark.real_data
def test_real_names_of_bbbc021(data_home, tmp_path):
    cells = pd.read_csv(data_home / "images" / "bbbc021_cells.csv").drop_duplicates("field")
    for field, plate in zip(cells.field, cells.plate, strict=True):
        for number in (1, 2, 4):
            make(tmp_path, f"{plate}/{field.replace('_w1', f'_w{number}')}.tif")
    with pytest.warns(UserWarning, match="wells have fewer sites"):  # the crops are a sample
        found = scan_images(tmp_path, "bbbc021")
    sites = cells.field.str.extract(r"_s(\d)_w1")[0].astype(int)
    expected = {*zip(cells.plate, cells.well, sites, strict=True)}
    assert {*places(found)} == expected
    assert len(found) == len(expected) == len(cells)
    assert list(found.columns[3:]) == ["Image_DNA", "Image_Tubulin", "Image_Actin"]


BRAY = {
    "Mito": "w59ba5f4bd-0743-4105-a715-a6ac7f08e40e",
    "ERSyto": "w258f6ca69-31e9-4a86-8e44-8c5ff1e0daa1",
    "ERSytoBleed": "w36b4cae35-37c5-48e7-841e-fb47793582c9",
    "Ph_golgi": "w4f0fa59df-2025-4b28-b6f1-a41391e7d227",
    "Hoechst": "w127df6541-a9a1-46dc-bcdb-b64b187d422b",
}
STAIN = {"Mito": "Mito", "ER": "ERSyto", "RNA": "ERSytoBleed", "AGP": "Ph_golgi", "DNA": "Hoechst"}


@pytest.mark.parametrize("folder", ["24277-{stain}", "24277"])
def test_bray(tmp_path, folder):
    for stain, end in BRAY.items():
        make(tmp_path / folder.format(stain=stain), f"cdp2bioactives_a01_s1_{end}.tif")
    found = scan_images(tmp_path, "bray")
    assert places(found) == [("24277", "A01", 1)]
    assert sorted(found.columns[3:]) == sorted(f"Image_{channel}" for channel in STAIN)
    for channel, stain in STAIN.items():
        expected = (
            tmp_path / folder.format(stain=stain) / f"cdp2bioactives_a01_s1_{BRAY[stain]}.tif"
        )
        assert found[f"Image_{channel}"].tolist() == [str(expected)]
    few = scan_images(tmp_path, "bray", channels=["DNA", "ERSyto"])
    assert list(few.columns[3:]) == ["Image_DNA", "Image_ER"]


def test_bray_file_in_the_folder_of_another_channel(tmp_path):
    for stain, end in BRAY.items():
        stain = {"Mito": "Hoechst", "Hoechst": "Mito"}.get(stain, stain)
        make(tmp_path / f"24277-{stain}", f"cdp2bioactives_a01_s1_{end}.tif")
    with pytest.raises(
        ValueError, match="a file of one channel in the folder of another"
    ) as caught:
        scan_images(tmp_path, "bray")
    assert f"24277-Hoechst/cdp2bioactives_a01_s1_{BRAY['Mito']}.tif" in str(caught.value)


def test_imagexpress(tmp_path):
    names = [
        f"screen_B{c:02d}_s{s}_w{w}{UUIDS[10 * c + 2 * s + w]}.tif"
        for c in (2, 12)
        for s in (1, 2)
        for w in (1, 2)
    ]
    make(tmp_path / "25468" / "TimePoint_1", *names)
    make(tmp_path / "25468" / "TimePoint_1", f"screen_B02_s1_w1_thumb{UUIDS[99]}.tif")
    make(tmp_path / "25468", "25468.HTD")
    found = scan_images(tmp_path, "imagexpress", channels={1: "DAPI", 2: "GFP"})
    assert places(found) == [("25468", w, s) for w in ("B02", "B12") for s in (1, 2)]
    assert found["Image_GFP"].tolist() == [
        str(tmp_path / "25468" / "TimePoint_1" / name) for name in names if "_w2" in name
    ]


def test_imagexpress_without_sites_or_identifiers(tmp_path):
    make(tmp_path / "p", "x_A01_w1.TIF", "x_A01_w2.TIF")
    found = scan_images(tmp_path, "imagexpress", channels={1: "DAPI", 2: "GFP"})
    assert places(found) == [("p", "A01", 1)]


def test_planes_and_timepoints_are_chosen(tmp_path):
    for t in (1, 2):
        for z in (1, 2, 3):
            make(tmp_path / "p" / f"TimePoint_{t}" / f"ZStep_{z}", "x_A01_s1_w1.tif")
    channels = {1: "DNA"}
    with pytest.raises(ValueError, match=r"files of 3 planes \(1, 2, 3\), such as 1: '.*plane="):
        scan_images(tmp_path, "imagexpress", channels=channels)
    with pytest.raises(ValueError, match=r"files of 2 timepoints \(1, 2\)"):
        scan_images(tmp_path, "imagexpress", channels=channels, plane=2)
    with pytest.raises(ValueError, match="plane=4 was asked for, but the names say 1, 2, 3"):
        scan_images(tmp_path, "imagexpress", channels=channels, plane=4, timepoint=1)
    found = scan_images(tmp_path, "imagexpress", channels=channels, plane=2, timepoint=2)
    assert "TimePoint_2/ZStep_2" in found["Image_DNA"][0]
    assert len(found) == 1


def test_phenix_planes(tmp_path):
    make(tmp_path, *phenix_names(plane=1), *phenix_names(plane=2))
    with pytest.raises(ValueError, match=r"files of 2 planes \(1, 2\)"):
        scan_images(tmp_path, "phenix", channels={1: "DNA", 2: "ER"})
    found = scan_images(tmp_path, "phenix", channels={1: "DNA", 2: "ER"}, plane=2)
    assert found["Image_DNA"].str.contains("p02").all()


# -- regular expressions -------------------------------------------------------------------------


def test_parts_of_the_path_in_a_regular_expression(tmp_path):
    make(tmp_path / "run_7", "P1/a1/f2/DNA.tif", "P1/a1/f2/Actin.tif")
    pattern = (
        r"run_(?P<run>\d)/(?P<plate>[^/]+)/(?P<well>[^/]+)/f(?P<site>\d)/(?P<channel>\w+)\.tif"
    )
    for form in (pattern, re.compile(pattern.replace("run", "RUN", 1), re.IGNORECASE)):
        found = scan_images(tmp_path / "run_7" / "P1", form)
        assert places(found) == [("P1", "A01", 2)]
        assert found["Metadata_run"].tolist() == ["7"]
        assert list(found.columns[4:]) == ["Image_Actin", "Image_DNA"]


def test_a_plate_is_never_part_of_a_folder_name(tmp_path):
    make(tmp_path / "my-plate", "A01_DNA.tif")
    found = scan_images(tmp_path, r"(?P<plate>.*)/(?P<well>\w\d\d)_(?P<channel>\w+)\.tif")
    assert found["Metadata_Plate"].tolist() == ["my-plate"]


def test_stacks(tmp_path):
    make(tmp_path / "P1", "A01_f05.tiff", "A02_f05.tiff")
    found = scan_images(
        tmp_path, r"(?P<well>\w\d\d)_f(?P<site>\d+)\.tiff", channels=["Mito", "ERSyto", "Hoechst"]
    )
    assert places(found) == [("P1", "A01", 5), ("P1", "A02", 5)]
    assert found["Image"].tolist() == [str(tmp_path / "P1" / f"A0{i}_f05.tiff") for i in (1, 2)]
    assert found["Metadata_Channels"].tolist() == ["Mito|ER|DNA"] * 2


def test_rows_by_number_up_to_1536_wells(tmp_path):
    make(tmp_path, "r1c1.tif", "r26c1.tif", "r27c1.tif", "r32c48.tif")
    found = scan_images(tmp_path, r"r(?P<row>\d+)c(?P<col>\d+)\.tif", channels=["DNA"])
    assert set(found["Metadata_Well"]) == {"A01", "Z01", "AA01", "AF48"}
    make(tmp_path, "r33c1.tif", "r1c49.tif")
    with pytest.raises(ValueError, match="no well name") as caught:
        scan_images(tmp_path, r"r(?P<row>\d+)c(?P<col>\d+)\.tif", channels=["DNA"])
    assert "'33/1'" in str(caught.value)
    assert "'1/49'" in str(caught.value)


def test_channels_can_be_left_out(tmp_path):
    make(tmp_path, *phenix_names(channels=(1, 2, 6)))
    found = scan_images(tmp_path, "phenix", channels={"2": "AGP", "01": "Mito", 6: None})
    assert list(found.columns[3:]) == ["Image_AGP", "Image_Mito"]


def test_a_loop_of_links_ends(tmp_path):
    make(tmp_path / "P1", "A01_DNA.tif")
    os.symlink(tmp_path, tmp_path / "P1" / "up")
    found = scan_images(tmp_path, r"(?P<well>\w\d\d)_(?P<channel>\w+)\.tif")
    assert len(found) == 1


class Listing:
    """A folder listed backwards, whose files refuse to be asked anything but their name."""

    def __init__(self, path, scandir=os.scandir):
        with scandir(path) as entries:
            self.entries = [Entry(e) for e in sorted(entries, key=lambda e: e.name, reverse=True)]

    def __enter__(self):
        return self.entries

    def __exit__(self, *_):
        pass


class Entry:
    def __init__(self, entry):
        self.entry, self.name, self.path = entry, entry.name, entry.path

    def is_dir(self):
        assert not self.name.endswith("tiff"), "asks the disk about every file"
        return self.entry.is_dir()


def test_order_does_not_depend_on_the_disk_and_names_are_enough(tmp_path, monkeypatch):
    make(tmp_path, *(f"{plate}/{name}" for plate in ("b", "a") for name in phenix_names()))
    channels = {1: "DNA", 2: "ER"}
    expected = scan_images(tmp_path, "phenix", channels=channels)
    monkeypatch.setattr(os, "scandir", Listing)
    pd.testing.assert_frame_equal(scan_images(tmp_path, "phenix", channels=channels), expected)


# -- what goes wrong -----------------------------------------------------------------------------


def test_numbers_are_no_channels(tmp_path):
    make(tmp_path, *phenix_names(channels=(1, 2, 5)))
    with pytest.raises(ValueError, match=r"channels by number only \(1, 2, 5\)") as caught:
        scan_images(tmp_path, "phenix")
    assert 'channels={1: "...", 2: "...", 5: "..."}' in str(caught.value)
    with pytest.raises(ValueError, match="channels by number only"):
        scan_images(tmp_path, "phenix", channels=["DNA", "ER", "AGP"])
    with pytest.raises(ValueError, match=r"channels= says nothing of 5. Labels seen: 1, 2, 5"):
        scan_images(tmp_path, "phenix", channels={1: "DNA", 2: "ER"})
    with pytest.raises(ValueError, match=r"no file is of channel 9. Labels seen: 1, 2, 5"):
        scan_images(tmp_path, "phenix", channels={1: "DNA", 2: "ER", 5: None, 9: "AGP"})
    with pytest.raises(ValueError, match=r"'DNA' and 'DAPI' are both the channel DNA"):
        scan_images(tmp_path, "phenix", channels={1: "DNA", 2: "DAPI", 5: None})
    with pytest.raises(ValueError, match="channels: no channel is named"):
        scan_images(tmp_path, "phenix", channels={1: None, 2: None, 5: None})


def test_absent_channel(tmp_path):
    make(tmp_path, "A01_DNA.tif", "A01_ER.tif")
    with pytest.raises(ValueError, match=r"no file is of channel AGP\. Channels seen: DNA, ER"):
        scan_images(tmp_path, r"(?P<well>\w\d\d)_(?P<channel>\w+)\.tif", channels=["DNA", "AGP"])


def test_missing_and_repeated_files_in_one_summary(tmp_path):
    names = phenix_names(wells=[(1, c) for c in range(1, 5)], sites=(1,), channels=(1, 2, 3))
    make(tmp_path / "P", *names)
    (tmp_path / "P" / "r01c02f01p01-ch1sk1fk1fl1.tiff").unlink()
    (tmp_path / "P" / "r01c02f01p01-ch3sk1fk1fl1.tiff").unlink()
    make(tmp_path / "P", "r01c03f01p01-ch2sk1fk2fl1.tiff")
    channels = {1: "DNA", 2: "ER", 3: "AGP"}
    with pytest.raises(ValueError, match="2 of 4 sites cannot be used") as caught:
        scan_images(tmp_path, "phenix", channels=channels)
    message = str(caught.value)
    assert "no file of a channel (1): P A02 site 01: DNA, AGP" in message
    assert "several files of a channel (1): P A03 site 01: " in message
    assert "ch2sk1fk1fl1.tiff, " in message
    assert "ch2sk1fk2fl1.tiff" in message
    with pytest.warns(UserWarning, match="2 of 4 sites are left out") as warned:
        found = scan_images(tmp_path, "phenix", channels=channels, on_error="skip")
    assert found["Metadata_Well"].tolist() == ["A01", "A04"]
    assert warned[0].filename == __file__


def test_one_plate_measured_twice(tmp_path):
    for date in ("2021-09-01T15_39_48-Measurement1", "2021-09-02T15_39_48-Measurement2"):
        make(tmp_path / f"BR1__{date}" / "Images", *phenix_names(sites=(1,)))
    with pytest.raises(ValueError, match=r"several files of a channel \(2\).*Measurement2"):
        scan_images(tmp_path, "phenix", channels={1: "DNA", 2: "ER"})


def test_twelve_sites_are_named(tmp_path):
    make(tmp_path, *phenix_names(sites=range(1, 31), channels=(1,), wells=((1, 1),)))
    make(tmp_path, *phenix_names(sites=(1,), channels=(2,), wells=((1, 1),)))
    with pytest.raises(ValueError, match="29 of 30 sites") as caught:
        scan_images(tmp_path, "phenix", channels={1: "DNA", 2: "ER"})
    assert str(caught.value).count(" A01 site ") == 12
    assert "(+17 more)" in str(caught.value)


def test_wells_with_fewer_sites(tmp_path):
    make(tmp_path / "P", *phenix_names(sites=(1, 2, 3)))
    for channel in (1, 2):
        (tmp_path / "P" / f"r01c02f03p01-ch{channel}sk1fk1fl1.tiff").unlink()
    with pytest.warns(UserWarning, match=r"1 of 2 wells .* their plate: P A02: 2 of 3") as caught:
        found = scan_images(tmp_path, "phenix", channels={1: "DNA", 2: "ER"})
    assert len(found) == 5
    assert caught[0].filename == __file__


def test_other_images_are_counted_and_named(tmp_path):
    make(tmp_path / "P", *phenix_names(), *(f"overview{n:02d}.png" for n in range(14)))
    with pytest.warns(UserWarning, match=r"14 images in .* are left out") as caught:
        found = scan_images(tmp_path, "phenix", channels={1: "DNA", 2: "ER"})
    assert "P/overview00.png" in str(caught[0].message)
    assert "(+2 more)" in str(caught[0].message)
    assert len(found) == 4
    assert caught[0].filename == __file__


def test_no_image_is_named_so(tmp_path):
    make(tmp_path, "a.tif", "b.tif")
    with pytest.raises(ValueError, match=r"none of the 2 images .*'phenix' \(r01c02.*/a\.tif'"):
        scan_images(tmp_path, "phenix", channels=PHENIX)
    with pytest.raises(ValueError, match=r"none of the 2 images .*'\(\?P<well>x\)y'.*/a\.tif'"):
        scan_images(tmp_path, "(?P<well>x)y")
    # A folder that says no plate is one of these, too.
    make(tmp_path / "Day1", f"B02_s1_w1{UUIDS[0]}.tif")
    with pytest.raises(ValueError, match=r"none of the 1 images .*Week1_22123/"):
        scan_images(tmp_path / "Day1", "bbbc021")


def test_no_image_at_all(tmp_path):
    make(tmp_path, "notes.txt")
    with pytest.raises(ValueError, match="there is no image in"):
        scan_images(tmp_path, "phenix", channels=PHENIX)
    with pytest.raises(FileNotFoundError, match="none' is not a folder"):
        scan_images(tmp_path / "none", "phenix")


def test_shapes(tmp_path):
    pattern = r"(?P<well>\w\d\d)_(?P<channel>\w+)\.tif"
    for well in ("A01", "A02", "A03", "A04"):
        for channel in ("DNA", "ER"):
            shape = (9, 8) if (well, channel) == ("A02", "ER") else (8, 8)
            tifffile.imwrite(tmp_path / f"{well}_{channel}.tif", np.zeros(shape, np.uint16))
    (tmp_path / "A03_DNA.tif").write_bytes(b"no image")
    assert len(scan_images(tmp_path, pattern)) == 4
    with pytest.raises(ValueError, match="2 of 4 sites cannot be used") as caught:
        scan_images(tmp_path, pattern, check_shapes=True)
    message = str(caught.value)
    assert f"a file that cannot be read (1): {tmp_path.name} A03 site 1: {tmp_path}" in message
    assert f"another shape than most files, 8 x 8 (1): {tmp_path.name} A02 site 1: 9 x 8" in message
    with pytest.warns(UserWarning, match="2 of 4 sites"):
        found = scan_images(tmp_path, pattern, check_shapes=True, on_error="skip")
    assert found["Metadata_Well"].tolist() == ["A01", "A04"]


def test_shapes_of_other_formats(tmp_path):
    from PIL import Image

    Image.new("L", (6, 4)).save(tmp_path / "A01_DNA.png")
    np.save(tmp_path / "A01_ER.npy", np.zeros((4, 6)))
    Image.new("RGB", (6, 4)).save(tmp_path / "A01_RGB.jpg")
    pattern = r"(?P<well>\w\d\d)_(?P<channel>\w+)\.(?:png|npy|jpg)"
    with pytest.raises(ValueError, match=r"another shape than most files, 4 x 6 .*: 4 x 6 x 3"):
        scan_images(tmp_path, pattern, check_shapes=True)
    (tmp_path / "A01_RGB.jpg").unlink()
    assert len(scan_images(tmp_path, pattern, check_shapes=True)) == 1


def test_shapes_of_archives(tmp_path):
    np.savez(tmp_path / "A01.npz", np.zeros((5, 4, 6)))
    np.savez(tmp_path / "A02.npz", np.zeros((5, 4, 6)))
    pattern = r"(?P<well>\w\d\d)\.(?:npz|zarr)"
    assert len(scan_images(tmp_path, pattern, channels=["DNA"], check_shapes=True)) == 2
    np.savez(tmp_path / "A03.npz", np.zeros((5, 4, 6)), np.zeros(2))
    (tmp_path / "A04.zarr" / "0").mkdir(parents=True)
    make(tmp_path / "A04.zarr" / "0", "A05.npz")  # what is in a zarr is no site
    assert len(scan_images(tmp_path, pattern, channels=["DNA"])) == 4
    with pytest.raises(ValueError, match=r"cannot be read \(2\): .*holds 2 arrays.*\.zarr are not"):
        scan_images(tmp_path, pattern, channels=["DNA"], check_shapes=True)


def test_a_group_that_differs_within_a_site(tmp_path):
    make(tmp_path, "A01_b1_DNA.tif", "A01_b2_ER.tif")
    with pytest.raises(ValueError, match=r"several values of 'batch' \(1\): .* A01 site 1: b1, b2"):
        scan_images(tmp_path, r"(?P<well>\w\d\d)_(?P<batch>b\d)_(?P<channel>\w+)\.tif")


def test_files_without_a_channel(tmp_path):
    make(tmp_path, "A01.tif", "A01_DNA.tif")
    with pytest.raises(ValueError, match=r"1 files match .* without its group 'channel', such as"):
        scan_images(tmp_path, r"(?P<well>\w\d\d)(?:_(?P<channel>\w+))?\.tif")


def test_sites_that_are_no_numbers(tmp_path):
    make(tmp_path, "A01_left_DNA.tif")
    with pytest.raises(
        ValueError, match=r"(?s)no site name \(1\): .* A01 site left: 'left'.*whole"
    ):
        scan_images(tmp_path, r"(?P<well>\w\d\d)_(?P<site>\w+)_(?P<channel>\w+)\.tif")


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("operetta", ValueError, "'operetta' is none of imagexpress, bray, bbbc021, phenix"),
        ("(?P<well>[)", ValueError, "is no regular expression"),
        ("(?P<row>.)_(?P<channel>.)", ValueError, "does not say the well.*Groups seen: channel"),
        (re.compile(b"(?P<well>.)"), TypeError, "a regular expression, as text, got"),
        (7, TypeError, "pattern is one of .* got int"),
    ],
)
def test_patterns_that_are_none(tmp_path, pattern, error, message):
    with pytest.raises(error, match=f"(?s)scan_images: .*{message}"):
        scan_images(tmp_path, pattern)


def test_stacks_need_their_channels(tmp_path):
    make(tmp_path, "A01.tif")
    with pytest.raises(ValueError, match="no group 'channel', so each file holds all channels"):
        scan_images(tmp_path, r"(?P<well>\w\d\d)\.tif")


def test_plane_of_names_without_planes(tmp_path):
    make(tmp_path, "A01_DNA.tif")
    with pytest.raises(ValueError, match="plane=1 was asked for, but the names say nothing of a"):
        scan_images(tmp_path, r"(?P<well>\w\d\d)_(?P<channel>\w+)\.tif", plane=1)


def test_wrong_on_error(tmp_path):
    with pytest.raises(ValueError, match="on_error must be one of"):
        scan_images(tmp_path, "phenix", on_error="ignore")
