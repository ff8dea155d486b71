"""Plate maps beside site tables: against a loop over the rows, and broken ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cloome_sk.datasets import join_metadata


@pytest.fixture
def table():
    rows = [(p, w, s) for p in ("P1", "0042") for w in ("B02", "A01", "A02") for s in (1, 2)]
    table = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Site"])
    table["Image_DNA"] = [f"{i}.tif" for i in range(len(table))]
    return table.sample(frac=1, random_state=0)  # rows and index in no order


@pytest.fixture
def layout():
    return pd.DataFrame(
        {
            "well_position": ["a1", "A02", "b 2"],
            "SMILES": ["CCO", None, "CS(C)=O"],
            "Metadata_dose": [1.0, 2.0, 3.0],
        }
    )


def test_one_layout_for_all_plates(table, layout):
    before = table.copy(), layout.copy()
    found = join_metadata(table, layout)
    smiles = {"A01": "CCO", "A02": None, "B02": "CS(C)=O"}
    dose = {"A01": 1.0, "A02": 2.0, "B02": 3.0}
    for _, row in found.iterrows():
        expected = smiles[row["Metadata_Well"]]
        assert row["Metadata_SMILES"] == expected or (
            expected is None and pd.isna(row["Metadata_SMILES"])
        )
        assert row["Metadata_dose"] == dose[row["Metadata_Well"]]
    pd.testing.assert_frame_equal(found[table.columns], table)
    assert list(found.columns[4:]) == ["Metadata_SMILES", "Metadata_dose"]
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(layout, before[1])


@pytest.mark.parametrize("plate", ["Assay_Plate_Barcode", "plate", "Metadata_Plate", "PLATE_ID"])
def test_a_layout_for_each_plate(table, tmp_path, plate):
    lines = [(p, w, f"{p}/{w}") for p in ("0042", "P1") for w in ("A1", "A2", "B2")]
    layout = pd.DataFrame(lines, columns=[plate, "Well", "what"])
    layout.to_csv(tmp_path / "map.txt", sep="\t", index=False)
    found = join_metadata(table, tmp_path / "map.txt")
    expected = table["Metadata_Plate"] + "/" + table["Metadata_Well"].str.replace("0", "")
    assert found["Metadata_what"].tolist() == expected.tolist()
    assert list(found.columns) == [*table.columns, "Metadata_what"]


def test_row_and_column_of_the_plate_map(table):
    layout = pd.DataFrame({"Row": ["A", "A", "B"], "Column": ["01", "2", "2"], "what": [1, 2, 3]})
    found = join_metadata(table, layout)
    wells = {"A01": 1, "A02": 2, "B02": 3}
    assert found["Metadata_what"].tolist() == table["Metadata_Well"].map(wells).tolist()


def test_columns_named_by_the_user(table):
    lines = [(p, w, s) for p in ("0042", "P1") for w in ("A1", "A2", "B2") for s in ("1", "2")]
    layout = pd.DataFrame(lines, columns=["barcode2", "Well", "site"])
    layout["n"] = np.arange(len(layout))
    found = join_metadata(
        table, layout, on={"plate": "barcode2", "Metadata_Well": "well", "site": "site"}
    )
    for _, row in found.iterrows():
        line = layout.iloc[row["Metadata_n"]]
        assert line["barcode2"] == row["Metadata_Plate"]
        assert line["Well"].replace("A", "A0").replace("B", "B0") == row["Metadata_Well"]
        assert int(line["site"]) == row["Metadata_Site"]
    plates = pd.DataFrame({"Plate": ["P1", "0042"], "cell": ["U2OS", "A549"]})
    by_plate = join_metadata(table, plates, on="plate")
    cells = {"P1": "U2OS", "0042": "A549"}
    assert by_plate["Metadata_cell"].tolist() == table["Metadata_Plate"].map(cells).tolist()


def test_the_same_as_merge_of_pandas(table, layout):
    wells = layout.assign(well_position=["A01", "A02", "B02"])
    expected = table.merge(
        wells, left_on="Metadata_Well", right_on="well_position", how="left", sort=False
    )
    found = join_metadata(table, layout).reset_index(drop=True)
    assert found["Metadata_dose"].tolist() == expected["Metadata_dose"].tolist()


def test_an_index_with_repeats_is_kept(table, layout):
    table.index = [7] * len(table)
    found = join_metadata(table, layout)
    assert found.index.tolist() == [7] * len(table)
    assert found["Metadata_dose"].tolist() == [
        {"A01": 1.0, "A02": 2.0, "B02": 3.0}[well] for well in table["Metadata_Well"]
    ]


def test_images_of_wells_without_a_row(table, layout):
    layout = layout.iloc[:2]
    with pytest.raises(ValueError, match=r"4 of 12 rows of the table are of a well") as caught:
        join_metadata(table, layout)
    message = str(caught.value)
    assert "P1 B02" not in message  # joined on the well alone
    assert "that the plate map does not have: B02." in message
    assert "unmapped='keep'" in message

    kept = join_metadata(table, layout, unmapped="keep")
    assert kept["Metadata_dose"].isna().tolist() == (table["Metadata_Well"] == "B02").tolist()
    with pytest.warns(UserWarning, match=r"left out: 4 of 12 rows .*: B02\.") as warned:
        dropped = join_metadata(table, layout, unmapped="drop")
    pd.testing.assert_frame_equal(dropped[table.columns], table[table["Metadata_Well"] != "B02"])
    assert warned[0].filename == __file__


def test_wells_without_images(table, layout):
    more = pd.DataFrame({"well_position": [f"C{c}" for c in range(1, 25)]})
    layout = pd.concat([layout, more], ignore_index=True)
    with pytest.raises(ValueError, match=r"24 of 27 rows of the plate map are of a well") as caught:
        join_metadata(table, layout)
    message = str(caught.value)
    assert "C01, C02, C03, C04, C05, C06, C07, C08, C09, C10, C11, C12, ... (+12 more)" in message
    assert "unimaged='ignore'" in message
    assert len(join_metadata(table, layout, unimaged="ignore")) == len(table)


def test_plates_that_are_spelled_otherwise_show_both(table, layout):
    both = [layout.assign(plate=plate) for plate in ("Plate-1", "Plate-42")]
    with pytest.raises(ValueError, match="on plate and well") as caught:
        join_metadata(table, pd.concat(both))
    message = str(caught.value)
    assert "12 of 12 rows of the table" in message
    assert "6 of 6 rows of the plate map" in message
    assert "the plate map has Plate-1 A01, Plate-1 A02, Plate-1 B02, ... (+3 more)" in message
    with pytest.raises(ValueError, match="12 of 12 rows of the table"):
        join_metadata(table, pd.concat(both), unmapped="drop", unimaged="ignore")


MALFORMED = {
    "no well": (
        lambda t, p: (t, p.rename(columns={"well_position": "place"})),
        "the plate map: the table has no column 'well'",
    ),
    "no well in the table": (
        lambda t, p: (t.drop(columns="Metadata_Well"), p),
        "the table: the table has no column 'well'",
    ),
    "a well twice": (
        lambda t, p: (t, pd.concat([p, p.iloc[[0]].assign(well_position="A-01")])),
        r"2 rows of the plate map are of a well_position that it has more than once: "
        r"A01 \(row 0\), A01 \(row 3 \(index 0\)\).*other columns are SMILES, Metadata_dose",
    ),
    "no well name": (
        lambda t, p: (t, p.assign(well_position=["A1", "A2", "total"])),
        r"the plate map: 1 row\(s\) have no well_position to join on \(row 2: 'total'\)",
    ),
    "an empty line": (
        lambda t, p: (t, pd.concat([p, pd.DataFrame({"well_position": [None]})])),
        r"1 row\(s\) have no well_position .*: None\).*remove rows",
    ),
    "sites without a well": (
        lambda t, p: (
            t.assign(Metadata_Well=np.where(t.Metadata_Site == 1, t.Metadata_Well, None)),
            p,
        ),
        r"the table: 6 row\(s\) have no well to join on",
    ),
    "a column of both": (
        lambda t, p: (t.assign(Metadata_smiles="C"), p),
        r"the column\(s\) Metadata_smiles of the table are in the plate map too",
    ),
    "no rows": (lambda t, p: (t, p.iloc[:0]), "the table has no rows"),
    "two columns of a name": (
        lambda t, p: (t, pd.concat([p, p[["SMILES"]]], axis=1)),
        r"has the column\(s\) SMILES more than once",
    ),
    "two well columns": (
        lambda t, p: (t, p.rename(columns={"well_position": "Well"}).assign(Metadata_Well="x")),
        "'well' could be any of the columns Well, Metadata_Well",
    ),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed(table, layout, kind):
    spoil, message = MALFORMED[kind]
    with pytest.raises(ValueError, match=f"(?s)join_metadata.*{message}"):
        join_metadata(*spoil(table, layout))


def test_wrong_arguments(table, layout):
    with pytest.raises(TypeError, match="takes a pandas DataFrame, got dict"):
        join_metadata({}, layout)
    with pytest.raises(TypeError, match="a path or a pandas DataFrame, got list"):
        join_metadata(table, [])
    with pytest.raises(ValueError, match="unmapped must be one of"):
        join_metadata(table, layout, unmapped="left")
    with pytest.raises(ValueError, match="unimaged must be one of"):
        join_metadata(table, layout, unimaged="drop")
    with pytest.raises(ValueError, match="on= names no column"):
        join_metadata(table, layout, on=[])
    with pytest.raises(ValueError, match="the table has no column 'batch'"):
        join_metadata(table, layout, on=["batch", "well"])
    with pytest.raises(FileNotFoundError, match="is not there"):
        join_metadata(table, "none.csv")
