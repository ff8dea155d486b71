"""A pickle says which release wrote it, and another release warns."""

from __future__ import annotations

import copy
import pickle
import warnings

import joblib
import numpy as np
import pytest

import cloome_sk
from cloome_sk import _stored


def test_the_same_release_says_nothing(fitted, wells, tmp_path):
    joblib.dump(fitted, tmp_path / "file.pkl")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = joblib.load(tmp_path / "file.pkl")
        copy.deepcopy(fitted)
    assert vars(again).keys() == vars(fitted).keys() - {"_network"}
    np.testing.assert_array_equal(again.transform(wells), fitted.transform(wells))


def test_another_release_warns(fitted, wells, monkeypatch):
    content = pickle.dumps(fitted)
    monkeypatch.setattr(_stored, "__version__", "99.0")
    by = cloome_sk.__version__
    with pytest.warns(UserWarning, match=f"CloomeEmbedder was pickled by cloome_sk {by}.* 99.0"):
        again = pickle.loads(content)
    np.testing.assert_array_equal(again.transform(wells), fitted.transform(wells))


def test_a_pickle_that_does_not_say_it_warns(fitted, monkeypatch):
    state = fitted.__getstate__()
    assert state.pop("cloome_sk_version_") == cloome_sk.__version__
    other = type(fitted).__new__(type(fitted))
    with pytest.warns(UserWarning, match="before"):
        other.__setstate__(state)
    assert other.n_pairs_ == fitted.n_pairs_


def test_the_version_stays_out_of_the_attributes(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert not hasattr(again, "cloome_sk_version_")
    assert not hasattr(fitted, "cloome_sk_version_")
