"""CellProfiler load_data tables: the real schema of JUMP, that of BBBC021, and broken ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloome_sk.datasets import read_load_data

CHANNELS = ("AGP", "DNA", "ER", "Mito", "RNA")
BUCKET = "s3://cellpainting-gallery/cpg0016-jump/source_4/images/Batch12"


def jump_table(n_sites: int = 3, plate: str = "BR00126114", folder: str | None = None):
    """A table in the schema of JUMP; one well."""
    if folder is None:
        folder = f"{BUCKET}/images/{plate}__2021-09-01T15_39_48-Measurement1/Images/"
    sites = range(1, n_sites + 1)
    columns = {
        "Metadata_Plate": [plate] * n_sites,
        "Metadata_Well": ["A01"] * n_sites,
        "Metadata_Site": [str(site) for site in sites],
        "Metadata_Batch": ["Batch12"] * n_sites,
    }
    for number, channel in enumerate(CHANNELS, start=1):
        columns[f"FileName_Orig{channel}"] = [
            f"r01c01f{site:02d}p01-ch{number}sk1fk1fl1.tiff" for site in sites
        ]
        columns[f"PathName_Orig{channel}"] = [folder] * n_sites
    return pd.DataFrame(columns)


def with_illumination(table: pd.DataFrame) -> pd.DataFrame:
    table = table.copy()
    for channel in CHANNELS:
        table[f"FileName_Illum{channel}"] = table["Metadata_Plate"] + f"_Illum{channel}.npy"
        table[f"PathName_Illum{channel}"] = f"{BUCKET}/illum/" + table["Metadata_Plate"]
    return table


def touch_all(table: pd.DataFrame, folder: Path, kind: str = "Orig") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for column in table.columns:
        if str(column).startswith(f"FileName_{kind}"):
            for name in table[column].dropna():
                (folder / name).touch()


@pytest.fixture
def plate(tmp_path):
    """A table beside the folder of its files, which it names relative to itself."""
    table = jump_table(folder="Images")
    touch_all(table, tmp_path / "Images")
    return table, tmp_path


def read_text(table: pd.DataFrame, folder: Path, **parameters) -> pd.DataFrame:
    table.to_csv(folder / "load_data.csv", index=False)
    return read_load_data(folder / "load_data.csv", **parameters)


@pytest.mark.real_data
def test_jump_schema(data_home):
    path = data_home / "metadata" / "jump_BR00126114_load_data_with_illum.parquet"
    found = read_load_data(path, check_files=False)
    raw = pd.read_parquet(path)
    for row, source in enumerate(raw.to_dict("records")):
        assert found.loc[row, "Metadata_Site"] == int(source["Metadata_Site"])
        for channel in CHANNELS:
            for kind, given in (("Image", "Orig"), ("Illum", "Illum")):
                folder = source[f"PathName_{given}{channel}"].rstrip("/")
                expected = f"{folder}/{source[f'FileName_{given}{channel}']}"
                assert found.loc[row, f"{kind}_{channel}"] == expected
    assert list(found.columns) == [
        *("Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Source", "Metadata_Batch"),
        *(f"Image_{channel}" for channel in CHANNELS),
        *(f"Illum_{channel}" for channel in CHANNELS),
    ]
    assert found["Metadata_Site"].dtype == np.int64


@pytest.mark.real_data
def test_addresses_of_the_real_table_are_not_on_this_machine(data_home):
    path = data_home / "metadata" / "jump_BR00126114_load_data_with_illum.parquet"
    with pytest.raises(ValueError, match=r"2 of 2 rows cannot be used") as caught:
        read_load_data(path)
    message = str(caught.value)
    assert "row 0 (BR00126114 A01 site 1): s3://cellpainting-gallery/" in message
    assert "(+4 more)" in message
    assert "root=" in message
    assert "check_files=False" in message


@pytest.mark.parametrize(
    "below",
    [
        "",
        "Images",
        "BR00126114__2021-09-01T15_39_48-Measurement1/Images",
        "Batch12/images/BR00126114__2021-09-01T15_39_48-Measurement1/Images",
    ],
)
def test_root_takes_the_longest_tail_that_is_there(tmp_path, below):
    table = jump_table()
    folder = tmp_path / "copy" / below
    touch_all(table, folder)
    found = read_load_data(table, root=tmp_path / "copy")
    assert found["Image_DNA"].tolist() == [str(folder / n) for n in table["FileName_OrigDNA"]]


def test_root_prefers_the_longer_tail(tmp_path):
    table = jump_table()
    long = tmp_path / "BR00126114__2021-09-01T15_39_48-Measurement1" / "Images"
    touch_all(table, long)
    (tmp_path / "Images").mkdir()
    assert Path(read_load_data(table, root=tmp_path)["Image_ER"][0]).parent == long


def test_a_folder_cannot_lead_out_of_root(tmp_path):
    table = jump_table(folder="../elsewhere")
    touch_all(table, tmp_path / "elsewhere")
    (tmp_path / "root").mkdir()
    with pytest.raises(ValueError, match="file not there"):
        read_load_data(table, root=tmp_path / "root")


def test_two_plates_in_one_flat_folder_are_refused(tmp_path):
    # Opera Phenix names files alike on every plate.
    table = pd.concat([jump_table(1), jump_table(1, plate="BR2")], ignore_index=True)
    touch_all(table, tmp_path)
    with pytest.raises(ValueError, match=r"the same file as another site \(2\): row 0 .*\+4 more"):
        read_load_data(table, root=tmp_path)


def test_replace_exchanges_the_longest_beginning(tmp_path):
    table = with_illumination(jump_table())
    touch_all(table, tmp_path / "a" / "BR00126114__2021-09-01T15_39_48-Measurement1/Images")
    touch_all(table, tmp_path / "b" / "BR00126114", kind="Illum")
    found = read_load_data(
        table, replace={f"{BUCKET}/images/": tmp_path / "a", f"{BUCKET}/illum": tmp_path / "b"}
    )
    assert found["Illum_RNA"][0] == str(tmp_path / "b/BR00126114/BR00126114_IllumRNA.npy")
    assert found["Image_RNA"].str.startswith(str(tmp_path / "a")).all()


def test_replace_takes_whole_parts_of_a_path(tmp_path):
    table = jump_table()
    with pytest.raises(ValueError, match=r"begins with 's3://cellpainting-gal' \(replace=\)"):
        read_load_data(table, replace={"s3://cellpainting-gal": tmp_path})


@pytest.mark.parametrize("name", ["load_data.csv", "load_data.csv.gz", "t.tsv", "t.parquet"])
def test_formats(plate, name):
    table, folder = plate
    table["Metadata_Plate"] = "0042"
    table["Metadata_Well"] = "a1"
    table["Metadata_conc_uM"] = [0.5, 1.0, np.nan]
    if name.endswith("parquet"):
        table.to_parquet(folder / name)
    else:
        table.to_csv(folder / name, index=False, sep="\t" if name.endswith("tsv") else ",")
    found = read_load_data(folder / name)
    assert found["Metadata_Plate"].tolist() == ["0042"] * 3
    assert found["Metadata_Well"].tolist() == ["A01"] * 3
    assert found["Metadata_Site"].tolist() == [1, 2, 3]
    assert found["Metadata_conc_uM"].dtype == float
    assert found["Image_AGP"][1] == str(folder / "Images" / "r01c01f02p01-ch1sk1fk1fl1.tiff")


def test_numbers_of_a_spreadsheet(plate):
    table, _ = plate
    table["Metadata_Plate"] = [24277.0] * 3
    table["Metadata_Site"] = [1.0, 2.0, 3.0]
    found = read_load_data(table, check_files=False)
    assert found["Metadata_Plate"].tolist() == ["24277"] * 3
    assert found["Metadata_Site"].tolist() == [1, 2, 3]


def bbbc021_table():
    """The columns of BBBC021_v1_image.csv; no site column."""
    rows = []
    for well, site in (("B02", 1), ("B02", 2), ("G10", 1)):
        row = {"TableNumber": 1, "ImageNumber": len(rows)}
        for number, channel in ((1, "DAPI"), (2, "Tubulin"), (4, "Actin")):
            name = f"{well}_s{site}_w{number}1C3B9BCC-E48F-4C2F-9D31-8F46D8B5B97{len(rows)}.tif"
            row[f"Image_FileName_{channel}"] = name
            row[f"Image_PathName_{channel}"] = "Week4/Week4_27481"
        row |= {"Image_Metadata_Plate_DAPI": "Week4_27481", "Image_Metadata_Well_DAPI": well}
        rows.append(row | {"Replicate": 1, "Image_Metadata_Compound": "taxol"})
    return pd.DataFrame(rows)


def test_bbbc021(tmp_path):
    table = bbbc021_table()
    folder = tmp_path / "images" / "Week4_27481"  # as its zip unpacks: without "Week4"
    folder.mkdir(parents=True)
    for channel in ("DAPI", "Tubulin", "Actin"):
        for name in table[f"Image_FileName_{channel}"]:
            (folder / name).touch()
    found = read_load_data(table, root=tmp_path / "images")
    assert found["Metadata_Plate"].tolist() == ["Week4_27481"] * 3
    assert found["Metadata_Well"].tolist() == ["B02", "B02", "G10"]
    assert found["Metadata_Site"].tolist() == [1, 2, 1]
    assert found["Metadata_Compound"].tolist() == ["taxol"] * 3
    assert [c for c in found if c.startswith("Image_")] == [
        *("Image_DNA", "Image_Tubulin", "Image_Actin")
    ]
    assert found["Replicate"].tolist() == [1, 1, 1]


def test_addresses_and_file_urls(tmp_path):
    table = jump_table(1)[["Metadata_Plate", "Metadata_Well", "Metadata_Site"]]
    there = tmp_path / "with space"
    there.mkdir()
    (there / "dna.tif").touch()
    table["URL_OrigDNA"] = (there / "dna.tif").as_uri()
    assert "%20" in table["URL_OrigDNA"][0]
    assert read_load_data(table)["Image_DNA"].tolist() == [str(there / "dna.tif")]
    table["URL_OrigDNA"] = "https://example.org/a/dna.tif"
    found = read_load_data(table, check_files=False)
    assert found["Image_DNA"].tolist() == ["https://example.org/a/dna.tif"]


def test_a_windows_path_is_found_under_root(tmp_path):
    table = jump_table(1, folder="D:\\screens\\BR1\\Images")
    touch_all(table, tmp_path / "BR1" / "Images")
    found = read_load_data(table, root=tmp_path)
    assert Path(found["Image_DNA"][0]).parent == tmp_path / "BR1" / "Images"


def test_a_file_without_a_folder_lies_beside_the_table(tmp_path):
    table = jump_table().drop(columns=[f"PathName_Orig{channel}" for channel in CHANNELS])
    touch_all(table, tmp_path)
    found = read_text(table, tmp_path)
    assert found["Image_DNA"][0] == str(tmp_path / table["FileName_OrigDNA"][0])


def test_channels_by_any_name_in_the_order_asked_for():
    found = read_load_data(
        with_illumination(jump_table()), channels=["Mito", "Hoechst"], check_files=False
    )
    assert [c for c in found if c.startswith(("Image_", "Illum_"))] == [
        *("Image_Mito", "Image_DNA", "Illum_Mito", "Illum_DNA")
    ]


def test_brightfield_is_read_and_outlines_are_not():
    table = jump_table()
    table["FileName_OrigBrightfield"] = table["FileName_OrigDNA"].str.replace("ch2", "ch8")
    table["PathName_OrigBrightfield"] = table["PathName_OrigDNA"]
    table["FileName_CellOutlines"] = "outlines.png"
    found = read_load_data(table, check_files=False)
    assert "Image_Brightfield" in found
    assert not [c for c in found if "Outlines" in c]


def test_illumination_only_where_asked_for():
    table = with_illumination(jump_table())
    assert "Illum_DNA" in read_load_data(table, check_files=False)
    found = read_load_data(table, illumination=False, check_files=False)
    assert not [c for c in found if "Illum" in c]


def test_row_and_column_in_place_of_a_well():
    table = jump_table().drop(columns="Metadata_Well")
    table["Metadata_Row"] = ["A", "B", "AF"]
    table["Metadata_Col"] = [1, 12, 48]
    found = read_load_data(table, check_files=False)
    assert found["Metadata_Well"].tolist() == ["A01", "B12", "AF48"]
    assert not {"Metadata_Row", "Metadata_Col"} & set(found)


def test_every_folder_is_listed_once(plate, monkeypatch):
    table, folder = plate
    listed = []
    listdir = os.listdir

    def counted(path):
        listed.append(str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", counted)
    read_load_data(table, root=folder)
    assert listed == [str(folder / "Images")]


def test_the_input_is_not_changed(plate):
    table, folder = plate
    before = table.copy()
    read_load_data(table, root=folder)
    pd.testing.assert_frame_equal(table, before)


def test_skip_leaves_out_and_names_the_rows(plate):
    table, folder = plate
    table.loc[1, "FileName_OrigER"] = None
    (folder / "Images" / table.loc[2, "FileName_OrigDNA"]).unlink()
    with pytest.warns(UserWarning, match="2 of 3 rows are left out") as caught:
        found = read_load_data(table, root=folder, on_error="skip")
    assert len(found) == 1
    assert found.index.tolist() == [0]
    message = str(caught[0].message)
    assert "no file named (1): row 1 (BR00126114 A01 site 2): Image_ER" in message
    assert f"file not there (1): row 2 (BR00126114 A01 site 3): {folder}" in message
    assert caught[0].filename == __file__


def test_skip_keeps_one_of_rows_that_are_alike_and_none_that_differ(plate):
    table, _ = plate
    table = pd.concat([table, table.iloc[[0]], table.iloc[[1]]], ignore_index=True)
    table.loc[4, "FileName_OrigDNA"] = "another.tiff"
    with pytest.warns(UserWarning, match="3 of 5 rows are left out") as caught:
        found = read_load_data(table, check_files=False, on_error="skip")
    assert found["Metadata_Site"].tolist() == [1, 3]
    message = str(caught[0].message)
    assert "with the same files (2): row 0 (BR00126114 A01 site 1); row 3" in message
    assert "with other files (2): row 1 (BR00126114 A01 site 2); row 4" in message


def test_nothing_left_is_an_error_also_with_skip(plate):
    table, folder = plate
    for name in os.listdir(folder / "Images"):
        (folder / "Images" / name).unlink()
    with pytest.raises(ValueError, match="3 of 3 rows cannot be used, so nothing is left"):
        read_load_data(table, root=folder, on_error="skip")


def test_a_summary_names_twelve_rows_and_counts_the_rest():
    table = jump_table(30)
    table["FileName_OrigDNA"] = None
    with pytest.raises(ValueError, match=r"30 of 30 rows") as caught:
        read_load_data(table, check_files=False)
    message = str(caught.value)
    assert message.count("(BR00126114 A01 site") == 12
    assert "... (+18 more)" in message


def test_all_kinds_of_problems_are_said_at_once(plate):
    table, folder = plate
    table = pd.concat([table, table.iloc[[0]]], ignore_index=True)
    table.loc[0, "Metadata_Well"] = "Z99"
    table.loc[1, "FileName_OrigER"] = np.nan
    table.loc[2, "Metadata_Plate"] = None
    table.index = [10, 11, 12, 13]
    with pytest.raises(ValueError, match="4 of 4 rows cannot be used") as caught:
        read_load_data(table, root=folder)
    message = str(caught.value)
    assert "no well name (1): row 0 (index 10) (BR00126114 Z99 site 1): 'Z99'" in message
    assert "no file named (1): row 1 (index 11)" in message
    assert "no plate (1): row 2 (index 12)" in message
    assert "the same file as another site (2)" in message


def change(**columns):
    def changed(table):
        return table.assign(**columns)

    return changed


MALFORMED = {
    "no images": (lambda t: t[["Metadata_Plate"]], "names no images"),
    "illumination only": (
        lambda t: with_illumination(t)[["Metadata_Plate", "FileName_IllumDNA"]],
        "names no images",
    ),
    "no plate column": (
        lambda t: t.drop(columns="Metadata_Plate"),
        "plate: the table has no column 'Metadata_Plate'",
    ),
    "no well column": (
        lambda t: t.drop(columns="Metadata_Well"),
        "well: the table has no column 'Metadata_Well'",
    ),
    "no site, not in the names": (
        lambda t: t.drop(columns="Metadata_Site").assign(FileName_OrigAGP=["a", "b", "c"]),
        "site, which the file names lack too: the table has no column",
    ),
    "two plate columns": (
        lambda t: t.rename(columns={"Metadata_Plate": "Plate"}).assign(metadata_plate="x"),
        "'Metadata_Plate' could be any of the columns Plate, metadata_plate",
    ),
    "two names of one channel": (
        change(FileName_OrigHoechst="x.tif", PathName_OrigHoechst="x"),
        "'DNA' and 'Hoechst' are both the channel DNA",
    ),
    "one thing twice": (
        change(Image_FileName_OrigDNA="x.tif"),
        "two columns for one thing, 'FileName_OrigDNA' and 'Image_FileName_OrigDNA'",
    ),
    "no such well": (change(Metadata_Well="A99"), r"no well name \(3\): .*'A99'.*AF48"),
    "wells missing": (change(Metadata_Well=None), r"no well \(3\): row 0 \(BR00126114 None site"),
    "sites no numbers": (change(Metadata_Site="f1"), r"no site name \(3\).*whole numbers"),
    "negative sites": (change(Metadata_Site=[-1, -2, -3]), r"no site name \(3\): .*'-1'"),
    "half sites": (change(Metadata_Site=[0.5, 1.5, 2.5]), r"no site name \(3\): .*'0\.5'"),
    "one site twice": (
        change(Metadata_Site=["1", "1", "2"]),
        r"the same site as another row, with other files \(2\): row 0 .*; row 1",
    ),
    "one file for two sites": (
        change(FileName_OrigDNA="same.tiff"),
        r"the same file as another site \(3\).*same\.tiff",
    ),
    "one file for two channels": (
        lambda t: t.assign(FileName_OrigDNA=t["FileName_OrigER"]),
        r"one file for two channels \(3\): .*Image_DNA, Image_ER",
    ),
    "a page of a file": (
        change(Frame_OrigDNA=[0, 1, 2]),
        r"one page of a multi-page file \(Frame_OrigDNA\) \(2\): row 1 .*: 1; row 2",
    ),
    "no rows": (lambda t: t.iloc[:0], "the table has no rows"),
    "a name that would be there twice": (
        lambda t: t.rename(columns={"Metadata_Well": "w"}).assign(
            Metadata_Row="A", Metadata_Col=1, Image_DNA=0
        ),
        "two columns Image_DNA",
    ),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed(kind):
    spoil, message = MALFORMED[kind]
    with pytest.raises(ValueError, match=f"(?s)read_load_data.*{message}"):
        read_load_data(spoil(jump_table()), check_files=False)


def test_channels_that_are_not_there():
    with pytest.raises(
        ValueError, match=r"no image of channel Actin\. Images seen: OrigAGP, OrigDNA"
    ):
        read_load_data(jump_table(), channels=["DNA", "Actin"], check_files=False)


def test_channels_that_could_be_two():
    table = jump_table().assign(FileName_OrigHoechst="x.tif", PathName_OrigHoechst="/x")
    with pytest.raises(ValueError, match="'DAPI' could be any of the images OrigDNA, OrigHoechst"):
        read_load_data(table, channels=["DAPI"], check_files=False)
    found = read_load_data(table.iloc[:1], channels=["Hoechst"], check_files=False)
    assert found["Image_DNA"].tolist() == ["/x/x.tif"]


def test_illumination_functions_that_are_not_there(tmp_path):
    table = with_illumination(jump_table())
    touch_all(table, tmp_path)
    with pytest.raises(ValueError, match="illumination function not there") as caught:
        read_load_data(table, root=tmp_path)
    assert "illumination=False" in str(caught.value)
    assert len(read_load_data(table, root=tmp_path, illumination=False)) == 3


def test_header_with_a_column_twice(tmp_path):
    (tmp_path / "t.csv").write_text("Metadata_Plate,Metadata_Plate\nx,y\n")
    with pytest.raises(ValueError, match=r"'t\.csv' has the column\(s\) Metadata_Plate more than"):
        read_load_data(tmp_path / "t.csv")


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'.*none\.csv' is not there"):
        read_load_data(tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError, match="is a folder; it should be a table"):
        read_load_data(tmp_path)
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"'t\.xlsx' does not say what it is.*csv, tsv"):
        read_load_data(tmp_path / "t.xlsx")
    (tmp_path / "t.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match=r"t\.csv\.gz.*cannot be read"):
        read_load_data(tmp_path / "t.csv.gz")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"t\.parquet.*cannot be read"):
        read_load_data(tmp_path / "t.parquet")
    (tmp_path / "head.csv").write_text("Metadata_Plate,FileName_OrigDNA\n")
    with pytest.raises(ValueError, match=r"'head\.csv' has a header but no rows"):
        read_load_data(tmp_path / "head.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match=r"empty\.csv"):
        read_load_data(tmp_path / "empty.csv")


def test_parquet_needs_pyarrow(tmp_path, no_pyarrow):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(ImportError, match=r"cloome_sk\[data\]"):
        read_load_data(tmp_path / "t.parquet")


def test_wrong_arguments(plate):
    table, folder = plate
    with pytest.raises(TypeError, match="a path or a pandas DataFrame, got list"):
        read_load_data([1])
    with pytest.raises(ValueError, match="on_error must be one of"):
        read_load_data(table, on_error="ignore")
    with pytest.raises(ValueError, match="root= or replace=, not both"):
        read_load_data(table, root=folder, replace={"a": "b"})
    with pytest.raises(FileNotFoundError, match=r"root='.*none' is not a folder"):
        read_load_data(table, root=folder / "none")
