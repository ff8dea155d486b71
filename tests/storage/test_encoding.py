"""Values in JSON: the same types come back, and what JSON cannot hold is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloome_sk.preprocessing import find_controls
from cloome_sk.storage._decoding import decode
from cloome_sk.storage._encoding import encode
from cloome_sk.storage._errors import RefusedError


def there_and_back(value):
    return decode(json.loads(json.dumps(encode(value, "value"), allow_nan=False)), "value")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.just("$tuple"), inner)
    ),
    max_leaves=20,
)


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    return one == other


@given(plain)
def test_plain_values_come_back_as_they_were(value):
    assert same(value, there_and_back(value))


@given(st.sampled_from(["float16", "float32", "float64"]), st.floats(width=16))
def test_floats_of_numpy_come_back_to_the_bit(dtype, number):
    one = np.dtype(dtype).type(number)
    other = there_and_back(one)
    assert type(one) is type(other)
    assert one == other or (np.isnan(one) and np.isnan(other))


@pytest.mark.parametrize(
    "value",
    [
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.False_,
        np.str_("text"),
        Path("a") / "b",
        slice(1, None, np.int64(2)),
        {"ab"},
        frozenset({1}),
        {("a", 1): [1, (2,)], 7: None},
        {"$path": "no path"},
        np.dtype("uint16"),
    ],
    ids=repr,
)
def test_other_values_come_back(value):
    other = there_and_back(value)
    assert type(other) is type(value)
    assert other == value


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.asfortranarray(np.random.default_rng(0).normal(size=(3, 2))),
        np.array([np.nan, np.inf, -0.0, 1e-45], np.float32),
        np.array([], dtype=np.uint8),
        np.array(2.5),
        np.array([[True], [False]]),
        np.array(["a", "µ\n"]),
        np.array(["a", None, ("b", 1)], dtype=object),
        np.array([2**63, 2**64 - 1], dtype=np.uint64),
    ],
    ids=lambda array: str(array.dtype),
)
def test_arrays_come_back(array):
    other = there_and_back(array)
    assert other.dtype == array.dtype
    np.testing.assert_array_equal(other, array)
    if array.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(other), np.signbit(array))


def test_an_index_comes_back():
    for index in (pd.Index(["a", "b"], name="n"), pd.Index([1, 2]), pd.Index([1.5, np.nan])):
        pd.testing.assert_index_equal(there_and_back(index), index)


def test_a_random_state_comes_back_in_its_state():
    state = np.random.RandomState(5)
    state.normal(size=3)  # one normal number is kept for the next call
    other = there_and_back(state)
    np.testing.assert_array_equal(other.normal(size=5), state.normal(size=5))


def test_controls_come_back():
    table = pd.DataFrame({"compound": ["DMSO", "a", "b", "DMSO"]})
    for found in (find_controls(table), find_controls(table, None)):
        other = there_and_back(found)
        np.testing.assert_array_equal(other.mask, found.mask)
        assert (str(other), other.rule) == (str(found), found.rule)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ([1, (2, print)], r"value\[1\]\[1\] is print"),
        ({"a": {"b": object()}}, r"value\['a'\]\['b'\] is a object"),
        (pd.DataFrame({"a": [1]}), "value is a DataFrame"),
        (pd.Series([True]), "value is a Series"),
        (1j, "a complex"),
        (b"bytes", "a bytes"),
        (np.datetime64("2020-01-01"), "datetime64"),
        (np.array(["2020"], dtype="datetime64[D]"), r"datetime64\[D\]"),
        (np.random.RandomState(np.random.PCG64(0)), "PCG64"),
        (pd.Timestamp("2020"), "Timestamp"),
        (np.longdouble(1), "longdouble"),
    ],
)
def test_what_cannot_be_stored_is_named(value, named):
    with pytest.raises(TypeError, match=named) as caught:
        encode(value, "value")
    assert "joblib" in str(caught.value)


@pytest.mark.parametrize(
    "stored",
    [
        {"$class": "os.system"},
        {"$tuple": [1], "more": 2},
        {"$tuple": 1},
        {"$float": "1e5"},
        {"$dict": [[1, 2], [1, 3]]},
        {"$dict": [[[1], 2]]},
        {"$set": [[1]]},
        {"$slice": []},
        {"$path": 3},
        {"$numpy": ["int8", 300]},
        {"$numpy": ["object", 1]},
        {"$numpy": ["int64", 0.5]},
        {"$numpy": ["float64", "1"]},
        {"$numpy": [["int8"], 1]},
        {"$dtype": "object"},
        {"$dtype": []},
        {"$array": {"dtype": "float32", "shape": [2], "values": [1.0]}},
        {"$array": {"dtype": "float32", "shape": [-1], "values": [1.0]}},
        {"$array": {"dtype": "float32", "shape": [1], "values": [0.1]}},
        {"$array": {"dtype": "O", "shape": [1], "values": [1]}},
        {"$array": {"dtype": "str", "shape": [1], "values": [1]}},
        {"$array": {"dtype": "bool", "shape": [1], "values": [2]}},
        {"$array": {"dtype": "bool", "shape": [1]}},
        {"$index": {"dtype": "category", "name": None, "values": []}},
        {"$index": {"dtype": "int64", "name": None, "values": ["a"]}},
        {"$random_state": {"key": [1], "pos": 0, "has_gauss": 0, "gauss": 0.0}},
        {"$controls": {"n_rows": 2, "rows": [2], "column": None, "values": []}},
        {"$controls": {"n_rows": 2, "rows": [1, 0], "column": None, "values": []}},
        {"$controls": {"n_rows": -1, "rows": [], "column": None, "values": []}},
        {"$controls": {"n_rows": 10**18, "rows": [], "column": None, "values": []}},
        {"$image_columns": {"channels": ["a"], "names": [], "stacked": False, "order": None}},
        {"$image_columns": {"channels": ["a"], "names": ["a"], "stacked": 0, "order": None}},
        1e999,
    ],
    ids=str,
)
def test_malformed_values_are_refused(stored):
    with pytest.raises(RefusedError) as caught:
        decode([0, stored], "here")
    assert caught.value.key.startswith("here[1]")
