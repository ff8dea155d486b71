from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import fractional_matrix_power
from scipy.stats import median_abs_deviation

from cloome_sk.preprocessing import ControlNormalizer

FEATURES = ["Cells_Area", "Cells_Texture", "Nuclei_Area", "Nuclei_DNA"]
PLAIN = {"shrinkage": 0, "clip": None, "signed_log": False, "sphering": False}


def naive(table, features, shrinkage=0.0, clip=None, signed_log=False, ridge=None):
    """The documented formulas, plate by plate, feature by feature, in float64."""
    out = table.copy()
    is_control = table["compound"] == "DMSO"
    for feature in features:
        deviations = []
        for plate in table["Metadata_Plate"].unique():
            own = table.loc[is_control & (table["Metadata_Plate"] == plate), feature].to_numpy(
                float
            )
            deviations.extend(np.abs(own - np.median(own)))
        pooled = 1.482602218505602 * np.median(deviations)
        for plate in table["Metadata_Plate"].unique():
            here = table["Metadata_Plate"] == plate
            own = table.loc[is_control & here, feature].to_numpy(float)
            mad = median_abs_deviation(own, scale="normal")
            weight = 0.0 if np.isinf(shrinkage) else len(own) / (len(own) + shrinkage)
            scale = weight * mad + (1 - weight) * pooled
            z = (table.loc[here, feature].to_numpy(float) - np.median(own)) / scale
            if clip is not None:
                z = np.minimum(np.maximum(z, -clip), clip)
            if signed_log:
                z = np.sign(z) * np.log(1 + np.abs(z))
            out.loc[here, feature] = z
    values = out[features].to_numpy(float)
    if ridge is not None:
        controls = values[is_control.to_numpy()]
        covariance = np.cov(controls.T)
        covariance += ridge * np.trace(covariance) / len(features) * np.eye(len(features))
        values = (values - controls.mean(0)) @ fractional_matrix_power(covariance, -0.5).real
    return values


@pytest.mark.parametrize(
    ("given", "reference"),
    [
        (PLAIN, {}),
        ({**PLAIN, "shrinkage": 16}, {"shrinkage": 16}),
        ({**PLAIN, "shrinkage": np.inf}, {"shrinkage": np.inf}),
        ({**PLAIN, "clip": 1.5}, {"clip": 1.5}),
        ({**PLAIN, "signed_log": True}, {"signed_log": True}),
        (
            {**PLAIN, "sphering": True, "sphering_regularization": 0.3},
            {"ridge": 0.3},
        ),
        ({}, {"shrinkage": 16, "clip": 10, "signed_log": True, "ridge": 1.0}),
    ],
)
def test_equals_naive_loop(make_plates, given, reference):
    table = make_plates()
    found = ControlNormalizer(**given).fit_transform(table)[FEATURES]
    assert_allclose(found, naive(table, FEATURES, **reference), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_equals_pycytominer_robust_mad_per_plate(make_plates):
    from pycytominer.operations.transform import RobustMAD

    table = make_plates()
    found = ControlNormalizer(**PLAIN).fit_transform(table)
    for _, plate in table.groupby("Metadata_Plate"):
        controls = plate.loc[plate["compound"] == "DMSO", FEATURES]
        expected = RobustMAD(epsilon=0).fit(controls).transform(plate[FEATURES])
        assert_allclose(found.loc[plate.index, FEATURES], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_equals_pycytominer_spherize(make_plates):
    from pycytominer.operations.transform import Spherize

    table = make_plates()
    before = ControlNormalizer(sphering=False).fit_transform(table)[FEATURES].astype(np.float64)
    reference = Spherize(method="ZCA", center=True, epsilon=0)
    reference.fit(before[table["compound"] == "DMSO"])
    found = ControlNormalizer(sphering=True, sphering_regularization=0).fit_transform(table)
    assert_allclose(found[FEATURES], reference.transform(before), rtol=1e-4, atol=1e-5)


def test_full_sphering_leaves_controls_white(make_plates):
    table = make_plates()
    found = ControlNormalizer(sphering=True, sphering_regularization=0).fit_transform(table)
    controls = found.loc[table["compound"] == "DMSO", FEATURES].to_numpy(np.float64)
    assert_allclose(controls.mean(0), 0, atol=1e-6)
    assert_allclose(np.cov(controls.T), np.eye(4), atol=1e-5)


def test_sphering_with_more_features_than_controls(make_plates):
    table = make_plates(n_plates=2, n_wells=60, n_features=90)
    features = ControlNormalizer().fit(table).column_names_
    found = ControlNormalizer().fit_transform(table)[features]
    expected = naive(table, features, shrinkage=16, clip=10, signed_log=True, ridge=1.0)
    assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_removes_planted_offset_and_gain_exactly():
    rng = np.random.default_rng(0)
    # Halves and powers of two: what is planted is exact in binary, so equality is too.
    wells = rng.integers(-64, 64, size=(30, 4)) / 2
    table = pd.DataFrame(np.vstack([wells, 8 * wells + 1024]), columns=FEATURES)
    table["plate"] = np.repeat(["P1", "P2"], 30)
    table["compound"] = np.tile(["DMSO", "x", "y"], 20)
    found = ControlNormalizer(shrinkage=0).fit_transform(table)[FEATURES].to_numpy()
    assert_array_equal(found[:30], found[30:])
    assert np.abs(found).max() > 0.5


def test_removes_planted_offset_exactly_with_one_control_a_plate():
    rng = np.random.default_rng(0)
    wells = rng.integers(-64, 64, size=(6, 4)) / 2
    table = pd.DataFrame(np.vstack([wells, wells + 512]), columns=FEATURES)
    table["plate"] = np.repeat([1, 2], 6)
    table["compound"] = ["DMSO", *"abcde"] * 2
    normalizer = ControlNormalizer(min_controls=1).fit(table)
    found = normalizer.transform(table)[FEATURES].to_numpy()
    assert_array_equal(found[:6], found[6:])
    assert_array_equal(found[0], np.zeros(4))
    # No deviation is known at all, so differences stay in units of the feature.
    assert_array_equal(normalizer.scale_, np.ones((2, 4)))


def test_constant_features(make_plates):
    table = make_plates().reset_index(drop=True)
    is_control = (table["compound"] == "DMSO").to_numpy()
    first = np.flatnonzero(is_control)[:3]
    table["Cells_Area"] = 0.1
    table["Cells_Texture"] = 0.0
    table.loc[first, "Cells_Texture"] = 2.0
    table.loc[~is_control, "Nuclei_Area"] = 3.0
    table.loc[is_control, "Nuclei_Area"] = 1.0
    flat = (table["Metadata_Plate"] == "P0") & is_control
    table.loc[flat, "Nuclei_DNA"] = 5.0
    normalizer = ControlNormalizer(**PLAIN).fit(table)
    found = normalizer.transform(table)
    assert np.isfinite(found[FEATURES]).all(axis=None)
    assert (found["Cells_Area"] == 0).all()
    # Three of 60 controls are off by 2: root mean square of the deviations.
    assert_allclose(normalizer.pooled_scale_[1], np.sqrt(3 * 2.0**2 / 60))
    assert_allclose(found.loc[first, "Cells_Texture"], 2 / np.sqrt(3 * 2.0**2 / 60), rtol=1e-6)
    # Never different among controls: the difference of a treated well keeps its unit.
    assert_allclose(found.loc[~is_control, "Nuclei_Area"], 2.0)
    # Flat on one plate only: the pooled scale.
    plate = list(normalizer.plates_).index("P0")
    assert normalizer.scale_[plate, 3] == normalizer.pooled_scale_[3] > 0


def test_float32_rounding_is_not_taken_for_a_scale(make_plates):
    rng = np.random.default_rng(0)
    table = make_plates(dtype=np.float32)
    table["Cells_Area"] = (1e6 + rng.choice([0, 0.0625], len(table))).astype(np.float32)
    assert ControlNormalizer(**PLAIN).fit(table).pooled_scale_[0] == 1.0


def test_all_takes_every_well(make_plates):
    table = make_plates()
    normalizer = ControlNormalizer(controls="all", **PLAIN).fit(table)
    relabelled = table.assign(compound="DMSO")
    assert_allclose(normalizer.transform(table)[FEATURES], naive(relabelled, FEATURES), rtol=1e-5)
    assert normalizer.control_rule_ is None
    assert normalizer.controls_ == "All 120 rows serve as the reference."


def test_one_plate_when_plate_is_none(make_plates):
    table = make_plates()
    found = ControlNormalizer(plate=None, **PLAIN).fit_transform(table)
    one = table.assign(Metadata_Plate="one")
    assert_allclose(found[FEATURES], naive(one, FEATURES), rtol=1e-5, atol=1e-6)


def test_many_rows_of_one_plate_are_handled_in_blocks():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(5000, 4)), columns=FEATURES)
    table["Metadata_Plate"] = rng.choice(["a", "b"], 5000, p=[0.9, 0.1])
    table["compound"] = rng.choice(["DMSO", "x"], 5000)
    found = ControlNormalizer(**PLAIN).fit_transform(table)[FEATURES]
    assert_allclose(found, naive(table, FEATURES), rtol=1e-5, atol=1e-6)


def test_new_plates(make_plates):
    table = make_plates(n_plates=4)
    new = table["Metadata_Plate"] == "P3"
    normalizer = ControlNormalizer().fit(table[~new])
    before = normalizer.transform(table[~new])
    assert normalizer.fit_plates(table[new & (table["compound"] == "DMSO")]) is normalizer
    assert sorted(normalizer.plates_) == ["P0", "P1", "P2", "P3"]
    pd.testing.assert_frame_equal(normalizer.transform(table[~new]), before, check_exact=True)

    controls = table.loc[new & (table["compound"] == "DMSO"), FEATURES].to_numpy()
    weight = len(controls) / (len(controls) + 16)
    mad = median_abs_deviation(controls, scale="normal")
    scale = weight * mad + (1 - weight) * normalizer.pooled_scale_
    z = (table.loc[new, FEATURES].to_numpy() - np.median(controls, axis=0)) / scale
    z = np.clip(z, -10, 10)
    z = np.sign(z) * np.log1p(np.abs(z))
    z = (z - normalizer.sphering_mean_) @ normalizer.sphering_matrix_
    assert_allclose(normalizer.transform(table[new])[FEATURES], z, rtol=1e-5, atol=1e-6)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "n_plates", "n_controls", "n_unusable"),
    [("cpjump1_compound_wells", 7, 448, 0), ("cell_injury_wells", 84, 1510, 2)],
)
def test_real_tables(data_home, name, n_plates, n_controls, n_unusable):
    table = pd.read_parquet(data_home / "profiles" / f"{name}.parquet")
    features = [c for c in table if c.startswith(("Cells_", "Cytoplasm_", "Nuclei_"))]
    usable = np.isfinite(table[features]).all(axis=1)
    assert (~usable).sum() == n_unusable
    table = table[usable]
    normalizer = ControlNormalizer(shrinkage=0, sphering=False).fit(table)
    found = normalizer.transform(table)
    assert (len(normalizer.plates_), normalizer.n_controls_.sum()) == (n_plates, n_controls)
    is_control = table["Metadata_control_type"].isin(["negcon", "Negative"])
    for _, plate in table.groupby("Metadata_Plate"):
        values = plate[features].to_numpy(np.float64)
        controls = values[is_control[plate.index]]
        mad = median_abs_deviation(controls, scale="normal")
        usual = mad > 1e-4
        z = (values[:, usual] - np.median(controls[:, usual], axis=0)) / mad[usual]
        expected = np.sign(z) * np.log1p(np.minimum(np.abs(z), 10))
        assert usual.mean() > 0.9
        assert_allclose(
            found.loc[plate.index, features].to_numpy()[:, usual], expected, rtol=1e-5, atol=1e-5
        )


@pytest.mark.real_data
def test_normalising_and_sphering_help_to_find_a_compound_elsewhere(data_home):
    """Nearest neighbour on another plate, at another well position, is the same compound."""
    table = pd.read_parquet(data_home / "profiles/cell_injury_wells.parquet")
    features = [c for c in table if c.startswith(("Cells_", "Cytoplasm_", "Nuclei_"))]
    table = table[np.isfinite(table[features]).all(axis=1)]
    treated = (table["Metadata_control_type"] != "Negative").fillna(True).to_numpy(dtype=bool)

    def hit_rate(**settings):
        z = ControlNormalizer(**settings).fit_transform(table)[features].to_numpy()[treated]
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        plate, well, compound = (
            pd.factorize(table.loc[treated, name])[0]
            for name in ("Metadata_Plate", "Metadata_Well", "Metadata_InChIKey")
        )
        barred = (plate[:, None] == plate) | (well[:, None] == well)
        similarity = np.where(barred, -2.0, z @ z.T)
        possible = ((compound[:, None] == compound) & ~barred).any(axis=1)
        return (compound[similarity.argmax(axis=1)] == compound)[possible].mean()

    own_scale = hit_rate(shrinkage=0, sphering=False)
    shrunk = hit_rate(sphering=False)
    sphered = hit_rate()
    assert own_scale + 0.01 < shrunk < sphered - 0.01
