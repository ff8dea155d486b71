from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from cloome_sk.preprocessing import ControlNormalizer


def wells():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(12, 2)), columns=["Cells_Area", "Nuclei_DNA"])
    table["Metadata_Plate"] = np.repeat(["P1", "P2"], 6)
    table["Metadata_Well"] = [f"A{i:02d}" for i in range(12)]
    table["compound"] = np.tile(["DMSO", "taxol"], 6)
    return table


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("shrinkage", -1),
        ("shrinkage", np.nan),
        ("clip", 0),
        ("clip", -3),
        ("signed_log", "yes"),
        ("sphering", "always"),
        ("sphering_regularization", -0.1),
        ("sphering_regularization", np.inf),
        ("min_controls", 0),
        ("min_controls", 2.5),
        ("plate", 3),
        ("verbose", -1),
    ],
)
def test_parameters_out_of_range(parameter, value):
    with pytest.raises(InvalidParameterError, match=f"'{parameter}' parameter"):
        ControlNormalizer(**{parameter: value}).fit(wells())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"controls": None}, ValueError, "cannot do without a reference.*'all'.*got None"),
        ({"controls": "dmso"}, TypeError, "got 'dmso'"),
        ({"controls": ("compound", "dmso")}, ValueError, "did you mean 'DMSO'"),
        ({"controls": ("role", "x")}, ValueError, "no column 'role'"),
        ({"plate": "barcode"}, ValueError, r"ControlNormalizer\(plate='barcode'\).*no column"),
        ({"columns": ["Cells_Area", "Cells_Gone"]}, ValueError, "missing from the table: Cells_G"),
        ({"columns": []}, ValueError, r"columns=\[\] selects no feature"),
        ({"columns": [0, 0]}, ValueError, "more than once"),
        ({"columns": [99]}, ValueError, "does not fit a table of 5"),
        ({"columns": ["Cells_Area", "compound"]}, ValueError, "takes compound as a feature"),
        ({"columns": ["Cells_Area", "Metadata_Plate"]}, ValueError, "takes Metadata_Plate as"),
        ({"columns": ["Metadata_Well"]}, ValueError, r"not real numbers: Metadata_Well \(str\)"),
        (
            {"min_controls": 4},
            ValueError,
            r"2 of 2 plate\(s\).*min_controls=4 controls: P1 \(3 controls\), P2 \(3 controls\)",
        ),
    ],
)
def test_settings_that_do_not_fit_the_table(settings, error, message):
    with pytest.raises(error, match=message):
        ControlNormalizer(**settings).fit(wells())


def with_value(column, row, value):
    table = wells()
    table[column] = table[column].astype(object if isinstance(value, str) else table[column].dtype)
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            with_value("Cells_Area", 7, np.nan),
            r"1 of 12 rows.*row 7 \[plate P2, well A07\]: NaN in Cells_Area",
        ),
        (with_value("Nuclei_DNA", 0, np.inf), "row 0 .*inf in Nuclei_DNA"),
        (
            with_value("Nuclei_DNA", 1, np.nan).assign(Cells_Area=np.inf),
            r"12 of 12 rows.*row 1 \[plate P1, well A01\]: all 2 features;",
        ),
        (with_value("Metadata_Plate", 3, None), r"missing a plate in 1 row\(s\): row 3"),
        (with_value("Cells_Area", 2, "n/a"), r"not real numbers: Cells_Area \(object\)"),
        (wells().drop(columns="Metadata_Plate"), "no column 'plate'.*Columns seen: Metadata_Well"),
        (
            wells().drop(columns=["Cells_Area", "Nuclei_DNA"]),
            r"no column is named like.*ControlNormalizer\(columns=\[...\]\)",
        ),
        (
            wells().drop(columns="compound"),
            r"no negative control found in 12 rows.*controls='all'.*before splitting",
        ),
        (
            wells().iloc[[0, 2, 4, 7, 9]],
            r"1 of 2 plate\(s\).*P2 \(0 controls\)",
        ),
        (
            wells().rename(columns={"Nuclei_DNA": "Cells_Area"}),
            "unique column names.*\n.*'Cells_Area' 2 times",
        ),
        (wells().assign(plate="x"), None),
        (wells().assign(PLATE="x").rename(columns={"Metadata_Plate": "Plate"}), "could be any of"),
        (
            wells().assign(Cells_Area=np.ones(12, dtype=complex)),
            r"not real numbers: Cells_Area \(complex128\)",
        ),
        (wells().iloc[:0], "no negative control found in 0 rows"),
    ],
)
def test_tables_that_cannot_be_fitted(table, message):
    if message is None:  # an exact name goes before a similar one
        assert list(ControlNormalizer().fit(table).plates_) == ["x"]
        return
    with pytest.raises(ValueError, match=message):
        ControlNormalizer().fit(table)


def test_many_bad_rows_are_counted_not_listed():
    table = wells()
    table.index = [f"w{i}" for i in range(12)]
    table.iloc[:8, 0] = np.nan
    with pytest.raises(
        ValueError, match=r"8 of 12 rows.*row 0 \(index 'w0'\) \[plate P1.*\(\+3 more rows\)"
    ):
        ControlNormalizer().fit(table)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            wells().assign(Metadata_Plate="P9"),
            r"1 plate\(s\) were not seen in fit: 'P9'.*fit_plates",
        ),
        (wells().drop(columns="Nuclei_DNA"), "missing from the table: Nuclei_DNA"),
        (wells().drop(columns="Metadata_Plate"), "no column 'plate'"),
        (with_value("Cells_Area", 5, -np.inf), "row 5 .*inf in Cells_Area"),
        (with_value("Metadata_Plate", 5, None), "missing a plate"),
        (wells().assign(Nuclei_DNA="high"), "not real numbers: Nuclei_DNA"),
        (wells()[["Cells_Area", "Nuclei_DNA"]].to_numpy(), "X has 2 features, but"),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_tables_that_cannot_be_transformed(table, message):
    normalizer = ControlNormalizer().fit(wells())
    with pytest.raises(ValueError, match=message):
        normalizer.transform(table)


def test_a_number_is_not_the_plate_of_that_name():
    table = wells().assign(Metadata_Plate="25")
    normalizer = ControlNormalizer().fit(table)
    with pytest.raises(ValueError, match=r"not seen in fit: 25.*Known: '25'"):
        normalizer.transform(table.assign(Metadata_Plate=25))


def test_an_array_needs_plate_none_and_all():
    X = np.ones((10, 3))
    with pytest.raises(ValueError, match=r"plate=None .*controls='all'"):
        ControlNormalizer().fit(X)
    with pytest.raises(ValueError, match=r"no negative control found.*ndarray"):
        ControlNormalizer(plate=None).fit(X)
    with pytest.raises(ValueError, match="columns are given by name"):
        ControlNormalizer(columns=["a"], plate=None, controls="all").fit(X)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (wells(), r"known already: plate\(s\) P1, P2"),
        (wells().assign(Metadata_Plate="P3", compound="taxol"), "no row is a control by the rule"),
        (wells().assign(Metadata_Plate="P3").drop(columns="compound"), "'compound' is 'DMSO'"),
        (wells().assign(Metadata_Plate="P3").iloc[:4], r"P3 \(2 controls\)"),
        (wells().assign(Metadata_Plate="P3", Cells_Area=np.nan), "12 of 12 rows hold NaN"),
        (np.ones((4, 2)), "Pass a pandas DataFrame"),
    ],
)
def test_plates_that_cannot_be_added(table, message):
    normalizer = ControlNormalizer().fit(wells())
    with pytest.raises(ValueError, match=message):
        normalizer.fit_plates(table)
    assert list(normalizer.plates_) == ["P1", "P2"], "nothing is half done"
    assert normalizer.location_.shape == (2, 2)


def test_no_plates_to_add_to_a_single_one():
    normalizer = ControlNormalizer(plate=None).fit(wells())
    with pytest.raises(ValueError, match="plate=None"):
        normalizer.fit_plates(wells())


@pytest.mark.parametrize("method", ["transform", "fit_plates"])
def test_unfitted(method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(ControlNormalizer(), method)(wells())


def test_full_sphering_needs_more_controls_than_features():
    table = wells().assign(
        **{f"Cells_{i}": np.random.default_rng(i).normal(size=12) for i in range(9)}
    )
    with pytest.raises(
        ValueError,
        match=r"covariance of 6 controls in 11 features has rank 5.*regularization above 0",
    ):
        ControlNormalizer(sphering=True, sphering_regularization=0).fit(table)


def test_sphering_needs_two_controls():
    table = wells().iloc[:2]
    with pytest.raises(ValueError, match="sphering needs two controls or more"):
        ControlNormalizer(sphering=True, min_controls=1).fit(table)


def test_unknown_container():
    with pytest.raises(ValueError, match="not 'polars'"):
        ControlNormalizer().set_output(transform="polars")


@pytest.mark.parametrize("failure", ["plate", "columns", "words", "controls", "few", "sphering"])
def test_a_failed_refit_leaves_the_earlier_fit_whole(failure):
    table = wells()
    normalizer = ControlNormalizer().fit(table)
    before = vars(normalizer).copy()
    expected = normalizer.transform(table)
    # Other columns, and more of them: what names and counts them must not move either.
    X = wells().assign(Cells_Extra=1.0, Metadata_more="x")
    if failure == "plate":
        X["Metadata_Plate"] = None
    elif failure == "columns":
        X = X.drop(columns=["Cells_Area", "Cells_Extra", "Nuclei_DNA"])
    elif failure == "words":
        X["Cells_Extra"] = "big"
    elif failure == "controls":
        X["compound"] = "taxol"
    elif failure == "few":
        X = X.iloc[:8]
    else:
        X = X.iloc[:1]
        normalizer.set_params(sphering=True, min_controls=1)
    with pytest.raises(ValueError, match="ControlNormalizer"):
        normalizer.fit(X)
    after = vars(normalizer)
    assert set(after) == set(before)
    assert all(after[name] is before[name] for name in before if name.endswith("_"))
    normalizer.set_params(sphering="auto", min_controls=3)
    pd.testing.assert_frame_equal(normalizer.transform(table), expected)


def test_a_failed_refit_to_an_array_keeps_the_column_names():
    normalizer = ControlNormalizer().fit(wells())
    names = normalizer.feature_names_in_
    with pytest.raises(ValueError, match="without column names"):
        normalizer.fit(np.ones((9, 2)))
    assert normalizer.feature_names_in_ is names
    assert normalizer.n_features_in_ == 5


def test_a_failed_first_fit_leaves_nothing_fitted():
    normalizer = ControlNormalizer(min_controls=4)
    with pytest.raises(ValueError, match="min_controls=4"):
        normalizer.fit(wells())
    with pytest.raises(NotFittedError):
        normalizer.transform(wells())
    assert not [name for name in vars(normalizer) if name.endswith("_")]
