"""Precomputed molecule features: equal rows are one molecule, whatever the dtype."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cloome_sk.encoders import MoleculeEncoder


def precomputed(**params):
    return MoleculeEncoder(features="precomputed", **params)


def test_equal_rows_are_one_input_and_one_molecule():
    X = np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0], [2.0, 3.0], [1.0, 0.0]])
    encoder = precomputed(columns=slice(None)).fit(X)
    inputs = encoder.inputs(X)
    assert inputs.index.tolist() == [0, 1, 0, 1, 2]
    np.testing.assert_array_equal(inputs.values, X[[0, 1, 4]].astype(np.float32))
    keys = encoder.keys(X, np.arange(5))
    expected = pd.factorize(pd.Series(map(tuple, X)))[0]
    assert pd.factorize(keys)[0].tolist() == expected.tolist()
    assert encoder.keys(X, np.array([3, 0])).tolist() == [keys[3], keys[0]]


def test_minus_zero_is_zero():
    X = np.array([[0.0, 1.0], [-0.0, 1.0]], dtype=np.float32)
    encoder = precomputed(columns=[0, 1]).fit(X)
    assert encoder.inputs(X).index.tolist() == [0, 0]
    assert len(set(encoder.keys(X, np.arange(2)))) == 1
    assert not np.signbit(encoder.inputs(X).values).any()


def test_keys_do_not_depend_on_the_table_they_stand_in():
    X = np.random.default_rng(0).normal(size=(20, 3))
    encoder = precomputed(columns=[0, 1, 2]).fit(X)
    whole = encoder.keys(X, np.arange(20))
    np.testing.assert_array_equal(encoder.keys(X[7:9], np.arange(2)), whole[7:9])
    as_float32 = encoder.keys(X.astype(np.float32), np.arange(20))
    np.testing.assert_array_equal(as_float32, whole)


def test_bits_of_a_table_in_any_numeric_dtype():
    bits = np.random.default_rng(0).integers(0, 2, (6, 64)).astype(np.uint8)
    names = [f"bit_{i}" for i in range(64)]
    for dtype in (bool, np.uint8, np.int64, np.float64, "Int8", "boolean"):
        table = pd.DataFrame(bits, columns=names).astype(bool).astype(dtype)
        encoder = precomputed(columns=names).fit(table.assign(Metadata_Plate="P"))
        inputs = encoder.inputs(table)
        np.testing.assert_array_equal(inputs.values[inputs.index], bits)


@pytest.mark.parametrize(
    ("value", "found"), [(np.nan, "NaN"), (-np.inf, "inf"), (1e39, "too large")]
)
def test_precomputed_features_that_are_not_finite(value, found):
    X = np.ones((3, 2))
    X[1, 1] = value
    with pytest.raises(ValueError, match=f"row 1, column .*: .*{found}"):
        precomputed(columns=[0, 1]).fit(X).inputs(X)


def test_precomputed_features_need_columns_and_numbers():
    table = pd.DataFrame({"Metadata_SMILES": ["CCO", "C"]})
    with pytest.raises(ValueError, match="needs `columns`"):
        precomputed().fit(table)
    with pytest.raises(
        ValueError, match=r"not numeric: Metadata_SMILES \(the first is str, such as 'CCO'"
    ):
        precomputed(columns="Metadata_SMILES").fit(table).inputs(table)
    encoder = precomputed(columns=[0, 1]).fit(np.ones((2, 2)))
    with pytest.raises(ValueError, match="matrix of 2 numeric features, got list"):
        encoder.inputs(["CCO"])
