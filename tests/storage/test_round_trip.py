"""What is loaded is what was saved: bits of embeddings, parameters, and all that was learned."""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError

from cloome_sk.baselines import UntrainedEmbedder
from cloome_sk.encoders import ProfileEncoder


def assert_same(one, other, where="it"):
    """The same types and values, estimators, arrays and tables included."""
    assert type(one) is type(other), where
    if isinstance(one, BaseEstimator):
        mine, yours = vars(one), vars(other)
        assert mine.keys() - {"_network"} == yours.keys() - {"_network"}, where
        for name in mine.keys() - {"_network"}:
            assert_same(mine[name], yours[name], f"{where}.{name}")
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, where
        np.testing.assert_array_equal(one, other, err_msg=where)
    elif isinstance(one, pd.Index):
        pd.testing.assert_index_equal(one, other)
    elif isinstance(one, np.random.RandomState):
        assert_same(one.get_state(legacy=False), other.get_state(legacy=False), where)
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        assert [type(key) for key in one] == [type(key) for key in other], where
        for key in one:
            assert_same(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for place, (mine, yours) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, yours, f"{where}[{place}]")
    elif hasattr(one, "__dataclass_fields__"):
        assert_same(vars(one), vars(other), where)
    elif isinstance(one, float) and np.isnan(one):
        assert np.isnan(other), where
    else:
        assert one == other, where


def test_everything_comes_back(kit, embedder_and_table, tmp_path):
    embedder, X = embedder_and_table
    again = kit.load(kit.save(embedder, tmp_path / "model"))
    assert_same(embedder, again)
    pd.testing.assert_frame_equal(embedder.history_, again.history_)
    np.testing.assert_array_equal(embedder.get_feature_names_out(), again.get_feature_names_out())
    one, other = embedder.transform(X), again.transform(X)
    assert type(one) is type(other)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(embedder.embed_phenotypes(X), again.embed_phenotypes(X))
    structures = X[:, 4:] if isinstance(X, np.ndarray) else ["CCO", "CCO.Cl", "c1ccccc1O"]
    np.testing.assert_array_equal(
        embedder.embed_molecules(structures), again.embed_molecules(structures)
    )


def test_what_is_loaded_fits_again_as_the_first_would(kit, fitted, wells, tmp_path):
    again = kit.load(kit.save(fitted, tmp_path / "model"))
    np.testing.assert_array_equal(clone(again).fit(wells).transform(wells), fitted.transform(wells))
    assert again.fit(wells) is again


def test_what_is_loaded_may_be_saved_and_saves_the_same_bytes(kit, embedder_and_table, tmp_path):
    embedder, _ = embedder_and_table
    one = kit.save(embedder, tmp_path / "model")
    (tmp_path / "elsewhere").mkdir()
    other = kit.save(kit.load(one), tmp_path / "elsewhere" / "model")
    for name in ("weights.safetensors", "config.json", "README.md"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_further_plates_can_be_learned_after_loading(kit, sites, tmp_path):
    embedder = kit.small(kit.images(normalization="plate"), kit.molecule()).fit(sites[:8])
    again = kit.load(kit.save(embedder, tmp_path / "model"))
    with pytest.raises(ValueError, match="not seen in fit"):
        again.transform(sites)
    again.phenotype_.fit_plates(sites[8:])
    assert set(again.phenotype_.plate_statistics_) == {7, 8}
    assert again.transform(sites).shape == (16, 4)


@pytest.mark.parametrize(
    "params",
    [
        {"lr": np.float32(1e-3), "beta": np.float64(3), "batch_size": np.int64(16)},
        {"controls": ("Metadata_control_type", {"negcon", "no such"}), "verbose": np.True_},
        {"lr_factors": {"phenotype*": 0.1, "$molecule": np.float16(0.5)}},
        {"positives": ("molecule", "Metadata_Plate"), "inv_tau": 10},
        {"trainable": ["phenotype", "molecule"], "schedule": None, "beta": None},
    ],
)
def test_parameters_keep_their_types(kit, params, fitted, tmp_path):
    embedder = clone(fitted).set_params(**params)
    for name, value in vars(fitted).items():
        if name not in embedder.get_params(deep=False) and name != "_network":
            setattr(embedder, name, value)
    again = kit.load(kit.save(embedder, tmp_path / "model"))
    assert_same(embedder.get_params(deep=False), again.get_params(deep=False))


@pytest.mark.parametrize(
    "columns",
    [
        (0, 2),
        slice(None, 3),
        np.array([True, True, False, False]),
        [np.int64(0), np.int64(3)],
        ["a", "b"],
        pd.Index(["a", "c"]),
        np.array(["a", "d"]),
    ],
    ids=repr,
)
def test_columns_keep_their_types(kit, columns, tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(12, 4)), columns=list("abcd"))
    X["smiles"] = ["CCO", "CCN", "CCC"] * 4
    wanted = columns
    if isinstance(columns, np.ndarray) and columns.dtype == bool:
        wanted = np.append(columns, False)
    embedder = kit.small(kit.profile(columns=wanted), kit.molecule()).fit(X)
    again = kit.load(kit.save(embedder, tmp_path / "model"))
    assert_same(embedder, again)
    np.testing.assert_array_equal(embedder.transform(X), again.transform(X))


def test_names_of_columns_may_be_numbers(kit, tmp_path):
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(12, 3)), columns=[10, 20, ("c", 1)])
    X[("smiles",)] = ["CCO", "CCN", "CCC"] * 4
    embedder = kit.small(kit.profile(columns=[0, 1, 2]), kit.molecule(columns=[3])).fit(X)
    again = kit.load(kit.save(embedder, tmp_path / "model"))
    assert again.phenotype_.column_names_ == [10, 20, ("c", 1)]
    assert_same(embedder, again)


def test_a_random_state_goes_on_from_where_it_is(kit, wells, tmp_path):
    embedder = kit.small(random_state=np.random.RandomState(3)).fit(wells)
    again = kit.load(kit.save(embedder, tmp_path / "model"))
    assert_same(embedder.random_state, again.random_state)
    np.testing.assert_array_equal(
        embedder.fit(wells).transform(wells), again.fit(wells).transform(wells)
    )


def test_weights_that_joblib_mapped_from_a_file_are_stored(kit, fitted, wells, tmp_path):
    joblib.dump(fitted, tmp_path / "file.joblib")
    mapped = joblib.load(tmp_path / "file.joblib", mmap_mode="r")
    again = kit.load(kit.save(mapped, tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(wells), fitted.transform(wells))
    assert all(value.flags.writeable for value in again.state_.values())


def test_what_is_not_fitted_is_not_saved(kit, wells, tmp_path):
    with pytest.raises(NotFittedError):
        kit.save(kit.small(), tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_fitted_encoder_among_the_parameters_is_stored_as_a_parameter(kit, wells, tmp_path):
    encoder = ProfileEncoder(hidden_sizes=()).fit(wells)
    embedder = kit.small(encoder, kit.molecule()).fit(wells)
    again = kit.load(kit.save(embedder, tmp_path / "model"))
    assert not hasattr(again.phenotype, "scale_")
    np.testing.assert_array_equal(embedder.transform(wells), again.transform(wells))


def test_another_class_is_not_stored(kit, tmp_path):
    with pytest.raises(TypeError, match="CloomeEmbedder itself"):
        kit.save(UntrainedEmbedder(kit.small()), tmp_path / "model")
