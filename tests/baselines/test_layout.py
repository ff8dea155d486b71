"""The layout test: against a double loop, on planted layouts, and on real plates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from cloome_sk.baselines import PlatePosition, ProfileEmbedder, ProfileFeatures, layout_test
from cloome_sk.datasets import load_cpjump1, make_profiles
from cloome_sk.preprocessing import ControlNormalizer


def test_it_equals_a_double_loop():
    X = make_profiles(n_compounds=24, n_controls=10, layout="fixed", random_state=1)
    # wells of one plate are taken away, so that positions differ in number
    X = X.drop(X.index[(X["Metadata_control_type"] == "negcon")][[0, 1, 12]]).reset_index(drop=True)
    X = X.sample(frac=1, random_state=0)
    wells = X[X["Metadata_control_type"] == "negcon"]
    vectors = ProfileFeatures().fit_transform(wells).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    hits, chances = [], []
    for i, (plate, well) in enumerate(wells[["Metadata_Plate", "Metadata_Well"]].to_numpy()):
        others = [j for j in range(len(wells)) if wells["Metadata_Plate"].iloc[j] != plate]
        same = [j for j in others if wells["Metadata_Well"].iloc[j] == well]
        if same:
            best = max(others, key=lambda j: vectors[i] @ vectors[j])
            hits.append(best in same)
            chances.append(len(same) / len(others))
    found = layout_test(X, random_state=0).loc["profile"]
    assert found["n_wells"] == len(hits)
    assert found["n_dropped"] == len(wells) - len(hits)
    assert found["rate"] == pytest.approx(np.mean(hits))
    assert found["chance"] == pytest.approx(np.mean(chances))
    assert found["low"] <= found["rate"] <= found["high"]


def test_fixed_layout_with_position_effects_is_found_and_none_is_not():
    size = {"n_controls": 32, "n_plates": 6, "layout": "fixed", "random_state": 0}
    strong = layout_test(make_profiles(position_effect=2.0, **size), random_state=0)
    none = layout_test(make_profiles(position_effect=0.0, **size), random_state=0)
    assert strong.loc["profile", "low"] > 5 * strong.loc["profile", "chance"]
    assert none.loc["profile", "low"] <= none.loc["profile", "chance"]
    assert none.loc["profile", "chance"] == pytest.approx(1 / 32)


def test_an_encoder_of_position_alone_is_unmasked():
    X = make_profiles(n_controls=16, layout="fixed", random_state=0)
    place = ProfileEmbedder(phenotype=PlatePosition(parts=("row", "column"))).fit(X)
    found = layout_test(X, place, random_state=0)
    assert found.loc["embedding", "rate"] == 1
    piped = make_pipeline(ControlNormalizer(), place).fit(X)
    assert layout_test(X, piped, random_state=0).loc["embedding", "rate"] == 1
    # a constant function ties everything: exactly chance
    flat = layout_test(X, lambda table: np.ones((len(table), 3)), random_state=0)
    assert flat.loc["embedding", "rate"] == pytest.approx(flat.loc["embedding", "chance"])


def test_bad_input_is_named():
    X = make_profiles(n_compounds=8, n_controls=4, layout="fixed", random_state=0)
    with pytest.raises(ValueError, match="no negative control found"):
        layout_test(X[X["Metadata_control_type"].isna()], controls=None)
    with pytest.raises(ValueError, match="on one plate"):
        layout_test(X[X["Metadata_Plate"] == "SIM0001"])
    with pytest.raises(ValueError, match="no column 'well'"):
        layout_test(X.drop(columns="Metadata_Well"))
    with pytest.raises(TypeError, match="embed must be"):
        layout_test(X, embed="encoder")
    apart = X.copy()
    letters = dict(zip(pd.unique(X["Metadata_Plate"]), "ABCD", strict=True))
    apart["Metadata_Well"] = [
        f"{letters[plate]}{number % 12 + 1:02d}"
        for number, plate in enumerate(apart["Metadata_Plate"])
    ]
    with pytest.raises(ValueError, match="there is no layout to find"):
        layout_test(apart)


@pytest.mark.real_data
def test_vehicle_wells_of_cpjump1_know_their_position(data_home):
    # A plain torch encoder's authors measured .25 on the profiles, with 64 positions.
    found = layout_test(load_cpjump1(data_home), random_state=0).loc["profile"]
    assert found["n_positions"] == 64
    assert found["chance"] == pytest.approx(1 / 64)
    assert found["low"] < 0.25 < found["high"]


def test_the_profile_transformer_is_left_as_it_was():
    X = make_profiles(n_compounds=8, n_controls=4, layout="fixed", random_state=0)
    mine = ProfileFeatures()
    result = layout_test(X, profile=mine, random_state=0)
    assert not hasattr(mine, "scaler_")
    pd.testing.assert_frame_equal(result, layout_test(X, random_state=0))
