from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import (
    check_set_output_transform,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    parametrize_with_checks,
)

from cloome_sk.preprocessing import ControlNormalizer

FEATURES = ["Cells_Area", "Cells_Texture", "Nuclei_Area", "Nuclei_DNA"]
PLAIN = {"shrinkage": 0, "clip": None, "signed_log": False, "sphering": False}


@parametrize_with_checks(
    [
        ControlNormalizer(plate=None, controls="all"),
        ControlNormalizer(columns=slice(0, None), plate=None, controls="all", sphering=False),
        ControlNormalizer(plate=None, controls="all", sphering=True, min_controls=1),
    ],
    xfail_strict=True,
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        check_set_output_transform,
        check_transformer_get_feature_names_out,
        check_transformer_get_feature_names_out_pandas,
    ],
)
@pytest.mark.filterwarnings("ignore:X .* valid feature names:UserWarning")
def test_feature_name_contract(check):
    check(
        "ControlNormalizer",
        ControlNormalizer(columns=slice(0, None), plate=None, controls="all"),
    )


@pytest.mark.parametrize(("n_wells", "sphered"), [(32, False), (34, True)])
def test_auto_spheres_from_fifty_controls(make_plates, n_wells, sphered):
    normalizer = ControlNormalizer().fit(make_plates(n_plates=3, n_wells=n_wells))
    assert normalizer.n_controls_.sum() == 3 * n_wells // 2
    assert (normalizer.sphering_matrix_ is not None) == sphered


def test_only_features_change(make_plates):
    table = make_plates()
    before = table.copy(deep=True)
    found = ControlNormalizer().fit_transform(table)
    pd.testing.assert_frame_equal(table, before, check_exact=True)
    assert list(found.columns) == list(table.columns)
    assert_array_equal(found.index, table.index)
    others = [name for name in table if name not in FEATURES]
    pd.testing.assert_frame_equal(found[others], table[others], check_exact=True)
    assert {str(dtype) for dtype in found[FEATURES].dtypes} == {"float32"}


@pytest.mark.parametrize("columns", [["Nuclei_DNA", "Cells_Area"], [5, 1], [1, 5]])
def test_only_named_features_change(make_plates, columns):
    table = make_plates()
    found = ControlNormalizer(columns=columns, **PLAIN).fit_transform(table)
    chosen = ["Nuclei_DNA", "Cells_Area"]
    others = [name for name in table if name not in chosen]
    everything = ControlNormalizer(**PLAIN).fit_transform(table)
    pd.testing.assert_frame_equal(found[others], table[others], check_exact=True)
    pd.testing.assert_frame_equal(found[chosen], everything[chosen], check_exact=True)


def test_treated_wells_and_labels_have_no_influence(make_plates):
    table = make_plates()
    other = table.copy()
    treated = other["compound"] != "DMSO"
    other.loc[treated, FEATURES] = 1e6
    first = ControlNormalizer().fit(table, y=np.arange(len(table)))
    second = ControlNormalizer().fit(other)
    assert_array_equal(first.transform(table)[FEATURES], second.transform(table)[FEATURES])


def test_array_equals_table(make_plates):
    table = make_plates()
    array = table[FEATURES].to_numpy()
    settings = {"plate": None, "controls": "all"}
    found = ControlNormalizer(**settings).fit_transform(array)
    assert found.dtype == np.float32
    assert_array_equal(found, ControlNormalizer(**settings).fit_transform(table)[FEATURES])


def test_integer_plate_labels_and_row_order(make_plates):
    table = make_plates()
    numbered = table.assign(Metadata_Plate=table["Metadata_Plate"].str[1:].astype(int))
    ordered = numbered.sort_values("Metadata_Plate", kind="stable")
    expected = ControlNormalizer().fit_transform(table)[FEATURES]
    found = ControlNormalizer().fit_transform(ordered)[FEATURES]
    assert_allclose(found.loc[expected.index], expected, rtol=1e-6, atol=1e-6)


def test_transform_of_another_table(make_plates):
    table = make_plates()
    normalizer = ControlNormalizer().fit(table)
    expected = normalizer.transform(table)
    part = table.loc[table.index[5:9], ["Nuclei_DNA", "Metadata_Plate", *FEATURES[:3]]]
    pd.testing.assert_frame_equal(
        normalizer.transform(part), expected.loc[part.index, part.columns], check_exact=False
    )
    assert normalizer.transform(table.iloc[:0]).shape == (0, table.shape[1])


def test_new_plates_from_the_whole_plate_are_the_same(make_plates):
    table = make_plates(n_plates=4)
    new = table["Metadata_Plate"] == "P3"
    whole = ControlNormalizer().fit(table[~new]).fit_plates(table[new])
    alone = ControlNormalizer().fit(table[~new])
    alone.fit_plates(table[new & (table["compound"] == "DMSO")])
    assert_array_equal(whole.location_, alone.location_)
    assert_array_equal(whole.scale_, alone.scale_)


def test_clone_joblib_and_refit_are_identical(make_plates, tmp_path):
    table = make_plates()
    normalizer = ControlNormalizer(shrinkage=3).fit(table)
    expected = normalizer.transform(table)
    joblib.dump(normalizer, tmp_path / "normalizer.joblib")
    for again in (joblib.load(tmp_path / "normalizer.joblib"), clone(normalizer).fit(table)):
        pd.testing.assert_frame_equal(again.transform(table), expected, check_exact=True)
    assert not hasattr(clone(normalizer), "plates_")


def test_set_output(make_plates):
    table = make_plates()
    array = table[FEATURES].to_numpy()
    normalizer = ControlNormalizer(plate=None, controls="all").set_output(transform="pandas")
    assert list(normalizer.fit_transform(array).columns) == ["x0", "x1", "x2", "x3"]
    assert isinstance(clone(normalizer).fit_transform(array), pd.DataFrame)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(clone(normalizer).fit_transform(array), pd.DataFrame)
    normalizer.set_output(transform="default")
    assert isinstance(normalizer.fit_transform(array), np.ndarray)


def test_set_output_never_renames_other_metadata(make_plates):
    table = make_plates()
    normalizer = ControlNormalizer().set_output(transform="pandas").fit(table)
    assert_array_equal(normalizer.get_feature_names_out(), table.columns)
    reordered = table[table.columns[::-1]].rename(columns={"smiles": "note"})
    found = normalizer.transform(reordered)
    assert list(found.columns) == list(reordered.columns)
    pd.testing.assert_series_equal(found["note"], reordered["note"])


def test_in_a_pipeline(make_plates):
    table = make_plates()
    y = (np.arange(len(table)) % 2).astype(int)
    pipe = make_pipeline(ControlNormalizer(plate=None, controls="all"), LogisticRegression())
    assert pipe.fit(table[FEATURES], y).predict(table[FEATURES]).shape == (len(table),)


def test_verbose_says_what_it_took(make_plates, capsys):
    ControlNormalizer(verbose=1).fit_transform(make_plates())
    printed = capsys.readouterr()
    assert printed.out == (
        "ControlNormalizer: 60 of 120 rows are negative controls: compound is 'DMSO'. "
        "3 plate(s) with 20 to 20 controls; sphering.\n"
    )
    assert "120/120" in printed.err
    ControlNormalizer().fit_transform(make_plates())
    assert capsys.readouterr() == ("", "")
