from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
import pytest

from cloome_sk.preprocessing import ControlRows, apply_controls, find_controls

TABLES = {
    "cpjump1": ("profiles/cpjump1_compound_wells.parquet", "Metadata_control_type", 448),
    "cell injury": ("profiles/cell_injury_wells.parquet", "Metadata_control_type", 1510),
    "jump harmony": ("profiles/jump_harmony_by_source.parquet", "Metadata_JCP2022", 10),
    "jump target2": ("metadata/jump_target2_wells.parquet", "Metadata_JCP2022", 7647),
    "bray": ("metadata/bray_idr0016_wells.parquet", "broad_id", 26954),
    "bbbc021": ("profiles/bbbc021/BBBC021_v1_image.csv.gz", "Image_Metadata_Compound", 1320),
    "no controls": ("profiles/cpjump1_phenotype_probabilities.parquet", None, 0),
    "load_data": ("metadata/jump_BR00126114_load_data_with_illum.parquet", None, 0),
}


def read(path):
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


@pytest.mark.real_data
@pytest.mark.parametrize("name", TABLES)
def test_controls_of_public_tables(data_home, name):
    path, column, n_controls = TABLES[name]
    found = find_controls(read(data_home / path))
    assert (found.column, found.n) == (column, n_controls)


@pytest.mark.real_data
def test_cell_injury_controls_are_the_same_wells_by_every_habit(data_home):
    table = pd.read_parquet(data_home / "profiles/cell_injury_wells.parquet")
    expected = (table["Metadata_injury_type"] == "Control").to_numpy(dtype=bool)
    columns = [
        "Metadata_control_type",
        "Metadata_pert_iname",
        "Metadata_InChIKey",
        "Metadata_smiles",
        "Metadata_injury_type",
        "Metadata_compound_class",
    ]
    for position, column in enumerate(columns):
        found = find_controls(table.drop(columns=columns[:position]))
        assert found.column == column
        np.testing.assert_array_equal(found.mask, expected)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Metadata_control_type", "negcon"),
        ("control_type", "Negative"),
        ("Control Type", "Negative control"),
        ("Metadata_pert_type", "ctl_vehicle"),
        ("Metadata_pert_type", "negcon"),
        ("Metadata_ASSAY_WELL_ROLE", "mock"),
        ("well_type", "negative_control"),
        ("Metadata_broad_sample", "DMSO"),
        ("Metadata_compound", "dmso "),
        ("Image_Metadata_Compound", "DMSO"),
        ("treatment", "Untreated"),
        ("Metadata_JCP2022", "JCP2022_033924"),
        ("SMILES", "CS(C)=O"),
        ("Metadata_InChIKey", "IAZDPXIOMUYVGZ-UHFFFAOYSA-N"),
        ("Metadata_injury_type", "Control"),
    ],
)
def test_habits(column, value):
    table = pd.DataFrame({"Metadata_Plate": list("ppp"), column: [None, value, "something else"]})
    found = find_controls(table)
    np.testing.assert_array_equal(found.mask, [False, True, False])
    assert found.rule == (column, (value,))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Metadata_solvent", "DMSO"),
        ("Metadata_pert_type", "control"),
        ("Metadata_control_type", "poscon_cp"),
        ("Metadata_control_type", "Positive"),
        ("smiles", "cs(c)=o"),
        ("Metadata_Well", "negcon"),
        ("compound", "DMSO-d6 analogue"),
    ],
)
def test_not_a_control(column, value):
    found = find_controls(pd.DataFrame({column: [value, "x"]}))
    assert found.n == 0
    assert found.rule is None
    assert str(found) == "No row of 2 is taken as a negative control."


def test_a_role_goes_before_a_name():
    table = pd.DataFrame(
        {
            "Metadata_pert_iname": ["DMSO", "DMSO", "taxol"],
            "Metadata_pert_type": ["control", "trt", "control"],
            "Metadata_control_type": ["negcon", None, "poscon"],
        }
    )
    found = find_controls(table)
    np.testing.assert_array_equal(found.mask, [True, False, False])
    assert str(found) == "1 of 3 rows are negative controls: Metadata_control_type is 'negcon'."


@pytest.mark.parametrize("dtype", ["str", "string", "category", object])
def test_missing_values_of_every_string_dtype_are_no_controls(dtype):
    column = pd.Series([None, "negcon", None, "trt"], dtype=dtype)
    mask = find_controls(pd.DataFrame({"control_type": column})).mask
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, [False, True, False, False])


@pytest.mark.parametrize("values", ["a", ["a"], ("a",), np.array(["a"]), pd.Series(["a"])])
def test_named_column_and_values(values):
    table = pd.DataFrame({"Metadata_Role": ["a", "b", "A", None]}, index=[7, 7, 8, 9])
    found = find_controls(table, ("role", values))
    np.testing.assert_array_equal(found.mask, [True, False, False, False])
    assert found.rule == ("Metadata_Role", ("a",))


def test_values_need_not_be_strings():
    table = pd.DataFrame({"dose": [0.0, 1.0, 0.0]})
    np.testing.assert_array_equal(find_controls(table, ("dose", 0)).mask, [True, False, True])


@pytest.mark.parametrize("X", [np.zeros((3, 2)), [[0.0], [1.0], [2.0]]])
def test_arrays_have_no_controls(X):
    for controls in ("auto", None):
        np.testing.assert_array_equal(find_controls(X, controls).mask, [False] * 3)


def test_none_means_no_control_even_where_there_are_some():
    assert find_controls(pd.DataFrame({"compound": ["DMSO"]}), None).n == 0


def test_two_columns_that_agree_are_fine_and_that_disagree_are_not():
    table = pd.DataFrame({"Metadata_compound": ["DMSO", "x"], "compound": ["dmso", "x"]})
    assert find_controls(table).column == "Metadata_compound"
    table["compound"] = ["x", "DMSO"]
    with pytest.raises(
        ValueError,
        match=r"Metadata_compound \(1 rows\), compound \(1 rows\) name different rows",
    ):
        find_controls(table)


@pytest.mark.parametrize(
    ("controls", "error", "message"),
    [
        (("control_type", "dmso"), ValueError, r"'negcon' \(1 rows\)"),
        (("control_type", "Negcon"), ValueError, r"exactly; did you mean 'negcon'\?"),
        (("control_type", []), ValueError, "names no value of column 'control_type'"),
        (("role", "negcon"), ValueError, "no column 'role'.*Columns seen: Metadata_control_type"),
        ("negcon", TypeError, r"'auto', None or a tuple \(column, value"),
        (["control_type", "negcon"], TypeError, "got \\['control_type', 'negcon'\\]"),
        (("control_type",), TypeError, "a tuple"),
        ((0, "negcon"), TypeError, "a tuple"),
        (True, TypeError, "got True"),
    ],
)
def test_bad_controls(controls, error, message):
    table = pd.DataFrame({"Metadata_control_type": ["negcon", None, "poscon"]})
    with pytest.raises(error, match=message):
        find_controls(table, controls)


def test_a_named_column_needs_names():
    with pytest.raises(ValueError, match="X is ndarray without column names"):
        find_controls(np.zeros((2, 2)), ("control_type", "negcon"))


def test_a_rule_applies_to_another_table():
    fitted = find_controls(pd.DataFrame({"Metadata_pert_type": ["ctl_vehicle", "trt_cp"]}))
    other = pd.DataFrame({"pert_type": ["trt_cp", "ctl_vehicle", None]})
    again = apply_controls(other, *fitted.rule)
    np.testing.assert_array_equal(again.mask, [False, True, False])
    assert again.column == "pert_type"


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame({"smiles": ["C", "CC"]}),
        np.zeros((2, 3)),
        pd.DataFrame({"compound": "ab"}, index=[0, 1]),
    ],
)
def test_a_table_that_cannot_tell_has_no_known_controls(X):
    found = apply_controls(X, "compound", ("DMSO",))
    assert isinstance(found, ControlRows)
    np.testing.assert_array_equal(found.mask, [False, False])
    assert found.rule is None


def test_is_frozen_and_survives_joblib(tmp_path):
    found = find_controls(pd.DataFrame({"compound": ["DMSO", "x"]}))
    with pytest.raises(AttributeError):
        found.column = "other"
    joblib.dump(found, tmp_path / "found.joblib")
    again = joblib.load(tmp_path / "found.joblib")
    np.testing.assert_array_equal(again.mask, found.mask)
    assert again.rule == found.rule
