"""ProfileEncoder against scikit-learn's own scalers and column selection."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import RobustScaler, StandardScaler

from cloome_sk.encoders import ProfileEncoder

NAMES = ["Cells_Area", "Cytoplasm_Area", "Nuclei_Area", "Nuclei_Zero"]


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 4)) * [1e3, 1.0, 1e-4, 0.0] + [5e3, -2.0, 3e-3, 7.0]
    return pd.DataFrame(values, columns=NAMES).assign(
        Metadata_Plate="P1", count=np.arange(60), Metadata_smiles="CCO"
    )


# -------------------------------------------------------------------- scaling


@pytest.mark.parametrize(
    ("scaling", "scaler"), [("standard", StandardScaler()), ("robust", RobustScaler())]
)
def test_scaling_is_that_of_scikit_learn_on_the_training_rows(table, scaling, scaler):
    rows = np.arange(0, 60, 3)
    table.loc[~table.index.isin(rows), NAMES] *= 50  # would move any mean or median
    encoder = ProfileEncoder(scaling=scaling, clip=None).fit(table, rows)
    expected = scaler.fit(table.loc[rows, NAMES].to_numpy()).transform(table[NAMES].to_numpy())
    inputs = encoder.inputs(table)
    assert inputs.values.dtype == np.float32
    np.testing.assert_allclose(inputs.values, expected, rtol=2e-4, atol=2e-4)
    np.testing.assert_array_equal(inputs.index, np.arange(60))


def test_no_scaling_gives_the_values(table):
    values = ProfileEncoder(scaling=None, clip=None).fit(table).inputs(table).values
    np.testing.assert_array_equal(values, table[NAMES].to_numpy(np.float32))


@pytest.mark.parametrize("clip", [0.5, 2.0])
def test_clip_acts_on_scaled_values_on_both_sides(table, clip):
    free = ProfileEncoder(clip=None).fit(table).inputs(table).values
    assert free.max() > clip
    assert free.min() < -clip
    clipped = ProfileEncoder(clip=clip).fit(table).inputs(table).values
    np.testing.assert_array_equal(clipped, free.clip(-clip, clip))


def test_outliers_of_hundreds_are_clipped_to_ten_by_default(table):
    encoder = ProfileEncoder().fit(table)
    table.loc[3, NAMES] = [1e9, -1e9, 1e9, 1e9]
    np.testing.assert_array_equal(encoder.inputs(table).values[3], [10, -10, 10, 10])


@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_a_constant_feature_is_centred_and_not_blown_up(table, scaling):
    encoder = ProfileEncoder(scaling=scaling, clip=None).fit(table)
    np.testing.assert_array_equal(encoder.inputs(table).values[:, 3], 0)
    table.loc[0, "Nuclei_Zero"] = 7.5
    assert encoder.inputs(table).values[0, 3] == pytest.approx(0.5)


def test_a_large_offset_costs_no_digits():
    """Intensities of thousands that vary by little: the difference, not the offset, matters."""
    rng = np.random.default_rng(0)
    X = (60_000 + rng.normal(size=(200, 1))).astype(np.float32)
    values = ProfileEncoder(columns=[0], clip=None).fit(X).inputs(X).values
    expected = StandardScaler().fit_transform(X.astype(np.float64))
    np.testing.assert_allclose(values, expected, atol=5e-3)


def test_the_table_is_not_changed(table):
    before = table.copy()
    ProfileEncoder(clip=0.1).fit(table).inputs(table)
    pd.testing.assert_frame_equal(table, before)
    X = table[NAMES].to_numpy(np.float32)
    X.setflags(write=False)
    ProfileEncoder(columns=slice(None), clip=0.1).fit(X).inputs(X)


# -------------------------------------------------------------------- columns

SELECTIONS = [
    "Cells_Area",
    ["Nuclei_Area", "Cells_Area"],
    0,
    [2, 0],
    [-4, -5],
    slice(1, 3),
    slice("Cells_Area", "Nuclei_Area"),
    np.array([True, False, True, False, False, True, False]),
    [False, True, False, False, False, True, False],
    make_column_selector("_Area$"),
    make_column_selector(dtype_include="int64"),
    lambda X: ["count", "Nuclei_Area"],
    pd.Index(["Cells_Area", "count"]),
    np.array(["Nuclei_Area"]),
]


@pytest.mark.parametrize("columns", SELECTIONS, ids=range(len(SELECTIONS)))
def test_columns_are_chosen_as_in_column_transformer(table, columns):
    encoder = ProfileEncoder(columns=columns, scaling=None, clip=None).fit(table)
    as_list = [columns] if isinstance(columns, str | int) else columns  # else 1-D to scikit-learn
    reference = ColumnTransformer(
        [("chosen", "passthrough", as_list)], verbose_feature_names_out=False
    ).fit(table)
    expected = reference.transform(table)
    np.testing.assert_array_equal(encoder.inputs(table).values, expected.astype(np.float32))
    assert encoder.column_names_ == list(reference.get_feature_names_out())


def test_none_takes_the_columns_named_as_cellprofiler_does(table):
    assert ProfileEncoder().fit(table).column_names_ == NAMES


def test_positions_in_a_matrix(table):
    X = table[NAMES].to_numpy()
    encoder = ProfileEncoder(columns=[2, 0], scaling=None).fit(X)
    assert encoder.column_names_ is None
    np.testing.assert_array_equal(
        encoder.inputs(X).values, X[:, [2, 0]].astype(np.float32).clip(-10, 10)
    )


def test_fitted_columns_are_found_by_name_in_another_order(table):
    encoder = ProfileEncoder(clip=None).fit(table)
    shuffled = table[table.columns[::-1]].assign(Cells_More=1.0)
    np.testing.assert_array_equal(encoder.inputs(shuffled).values, encoder.inputs(table).values)


@pytest.mark.parametrize(
    ("dtype", "value"), [("Int64", 3), ("Float32", 0.5), ("boolean", True), ("float16", 0.25)]
)
def test_other_dtypes_of_numbers(table, dtype, value):
    table["Cells_Other"] = pd.Series([value] * 59 + [type(value)(0)], dtype=dtype)
    values = ProfileEncoder(scaling=None).fit(table).inputs(table).values
    np.testing.assert_array_equal(values[:, 4], [float(value)] * 59 + [0.0])
    assert values.dtype == np.float32


def test_numbers_in_an_object_column(table):
    expected = ProfileEncoder().fit(table).inputs(table).values
    table["Cells_Area"] = table["Cells_Area"].astype(object)
    np.testing.assert_array_equal(ProfileEncoder().fit(table).inputs(table).values, expected)


def test_clone_and_parameters():
    encoder = ProfileEncoder(columns=[1], clip=3.0, hidden_sizes=(4, 2))
    assert clone(encoder).get_params() == encoder.get_params()


def test_network_has_the_sizes_asked_for(table):
    network = ProfileEncoder(hidden_sizes=(5, 3)).fit(table).make_network(2)
    shapes = [tuple(p.shape) for p in network.parameters() if p.ndim == 2]
    assert shapes == [(5, 4), (3, 5), (2, 3)]


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["Cells_Area", "Golgi"], r"1 column\(s\) are missing.*Golgi.*Columns seen: Cells_Area"),
        ("cells_area", "missing from the table: cells_area"),
        ([7], "does not fit a table of 7"),
        ([-8], "does not fit a table of 7"),
        ([], "selects nothing"),
        (slice(3, 3), "selects nothing"),
        ([True, False], "does not fit a table of 7"),
        (lambda X: [], "selects nothing"),
        (1.5, "does not fit"),
        ([0, "Cells_Area"], "does not fit"),
        (["Metadata_Plate", "Cells_Area"], r"1 of 2 columns are not numeric: Metadata_Plate"),
    ],
    ids=range(11),
)
def test_columns_that_cannot_be_chosen(table, columns, message):
    with pytest.raises(ValueError, match=message):
        ProfileEncoder(columns=columns).fit(table)


def test_names_of_a_matrix(table):
    with pytest.raises(ValueError, match=r"given by name .Cells_Area. but X is an array"):
        ProfileEncoder(columns="Cells_Area").fit(table[NAMES].to_numpy())
    with pytest.raises(ValueError, match="X is ndarray without column names"):
        ProfileEncoder().fit(table[NAMES].to_numpy())


def test_no_column_named_as_cellprofiler_does(table):
    with pytest.raises(ValueError, match=r"columns seen: Metadata_Plate, count.*columns=..."):
        ProfileEncoder().fit(table[["Metadata_Plate", "count"]])


@pytest.mark.parametrize(
    ("value", "found"), [(np.nan, "NaN"), (np.inf, "inf"), (1e300, "too large")]
)
def test_values_that_are_not_finite_are_located(table, value, found):
    encoder = ProfileEncoder().fit(table)
    table.loc[[4, 9], "Nuclei_Area"] = value
    for call in (encoder.inputs, clone(encoder).fit):
        with pytest.raises(ValueError, match=rf"2 value.*2 row.*row 4.*'Nuclei_Area': .*{found}"):
            call(table)


def test_a_missing_value_of_a_nullable_column_is_located(table):
    table["Cells_Count"] = pd.array([1] * 59 + [None], dtype="Int64")
    with pytest.raises(ValueError, match="row 59, column 'Cells_Count': NaN"):
        ProfileEncoder().fit(table)


def test_words_in_an_object_column_are_located(table):
    mixed = table["Cells_Area"].astype(object)
    mixed.iloc[6] = "n/a"
    table["Cells_Area"] = mixed
    with pytest.raises(ValueError, match=r"row 6.*'Cells_Area'.*'n/a'"):
        ProfileEncoder().fit(table)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [("category", list("ab") * 30), ("datetime64[s]", ["2024-01-01"] * 60), ("str", ["x"] * 60)],
)
def test_columns_of_other_kinds_are_named(table, dtype, values):
    table["Cells_Odd"] = pd.Series(values).astype(dtype)
    with pytest.raises(ValueError, match=r"1 of 5 columns are not numeric: Cells_Odd"):
        ProfileEncoder().fit(table)


def test_complex_numbers_are_refused(table):
    table["Cells_Odd"] = 1 + 2j
    with pytest.raises(ValueError, match="Cells_Odd"):
        ProfileEncoder().fit(table)


def test_a_doubled_column(table):
    encoder = ProfileEncoder().fit(table)
    doubled = pd.concat([table, table[["Cells_Area"]]], axis=1)
    with pytest.raises(ValueError, match="Cells_Area stand more than once"):
        encoder.inputs(doubled)


def test_unfitted(table):
    with pytest.raises(NotFittedError):
        ProfileEncoder().inputs(table)


@pytest.mark.parametrize(
    "params",
    [
        {"clip": 0},
        {"clip": -1.0},
        {"clip": "10"},
        {"scaling": "minmax"},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"input_dropout": 2},
        {"hidden_sizes": (8, 0)},
        {"hidden_sizes": (8, True)},
        {"hidden_sizes": (2.5,)},
        {"hidden_sizes": 8},
    ],
    ids=str,
)
def test_parameters_out_of_range(table, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        ProfileEncoder(**params).fit(table)
