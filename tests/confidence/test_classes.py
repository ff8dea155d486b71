"""Calibration of the zero-shot classifier: coverage, novelty, what it refuses and forgets."""

from __future__ import annotations

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import normalize

from cloome_sk.confidence import fit_inv_tau
from cloome_sk.confidence.nested import unit_weights
from cloome_sk.model_selection import leakage_report
from cloome_sk.zero_shot import ZeroShotMoAClassifier

CENTERS = np.eye(4, 8)
NAMES = np.array(["actin", "DNA", "kinase", "tubulin"])


def molecules(rng, n, spread=0.6, centers=CENTERS):
    """Molecules around the centre of their class; the odd ones of a class have few wells."""
    kind = rng.integers(0, len(centers), n)
    middle = centers[kind] + spread * rng.normal(size=(n, 8))
    odd = np.argmax(middle @ centers.T, axis=1) != kind
    groups = np.repeat(np.arange(n), np.where(odd, 2, 16))
    wells = middle[groups] + 0.05 * rng.normal(size=(len(groups), 8))
    return wells, NAMES[kind][groups], groups


def covered(sets, y, groups, classes):
    """Share of molecules whose true class is in the set of a random well of theirs."""
    hit = sets[np.arange(len(y)), np.searchsorted(classes, y)]
    return np.average(hit, weights=unit_weights(groups))


@pytest.fixture(scope="module")
def model():
    return ZeroShotMoAClassifier().fit(CENTERS, NAMES)


def test_sets_cover_molecules_and_wells_taken_as_units_would_not(model):
    levels = (0.7, 0.9)
    found = {(units, level): [] for units in ("molecules", "wells") for level in levels}
    for seed in range(80):
        rng = np.random.default_rng(seed)
        X, y, groups = molecules(rng, 29)
        new, truth, of = molecules(rng, 40)
        for name, units in (("molecules", groups), ("wells", np.arange(len(X)))):
            model.calibrate(X, y, groups=units, n_folds=2)
            for level in levels:
                sets = model.predict_set(new, level)
                found[name, level].append(covered(sets, truth, of, model.classes_))
    error = {key: np.std(shares) / np.sqrt(len(shares)) for key, shares in found.items()}
    mean = {key: np.mean(shares) for key, shares in found.items()}
    for level in levels:
        ours, wells = ("molecules", level), ("wells", level)
        assert level - 3 * error[ours] <= mean[ours]
        assert mean[ours] <= level + 2 / 30 + 3 * error[ours]
        assert mean[wells] < level - 3 * error[wells]


def test_class_conditional_sets_cover_every_class(model):
    centers = CENTERS.copy()
    centers[1] = 0.5 * centers[0] + 0.5 * centers[1]  # DNA lies half way to actin
    by_class = {name: {True: [], False: []} for name in NAMES}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X, y, groups = molecules(rng, 100, centers=centers)
        new, truth, of = molecules(rng, 60, centers=centers)
        model.calibrate(X, y, groups=groups, n_folds=2)
        for conditional in (True, False):
            sets = model.predict_set(new, 0.8, class_conditional=conditional)
            for name in NAMES:
                own = truth == name
                if own.any():
                    share = covered(sets[own], truth[own], of[own], model.classes_)
                    by_class[name][conditional].append(share)
    for shares in by_class.values():
        assert np.mean(shares[True]) > 0.8 - 3 * np.std(shares[True]) / np.sqrt(60)
    assert np.mean(by_class["DNA"][False]) < 0.75


def test_sets_grow_with_coverage_and_hold_every_class_for_few_molecules(model):
    X, y, groups = molecules(np.random.default_rng(0), 30)
    model.calibrate(X, y, groups=groups)
    sizes = [model.predict_set(X, c).sum() for c in (0.5, 0.7, 0.9, 0.96)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    with pytest.warns(UserWarning, match=r"takes 99 calibration molecules; .* fewer \(30\)"):
        assert model.predict_set(X, 0.99).all()
    with pytest.warns(UserWarning, match="of a class; there are fewer in DNA"):
        assert model.predict_set(X, 0.96, class_conditional=True).all()


def test_nine_molecules_are_enough_for_ninety_percent(model):
    X, y, groups = molecules(np.random.default_rng(3), 9, spread=0.1)
    first = np.unique(groups, return_index=True)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the temperature ends at its bound
        model.calibrate(X[first], y[first], groups=np.arange(9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not model.predict_set(-CENTERS, 0.9).all()
    with pytest.warns(UserWarning, match="takes 19"):
        assert model.predict_set(-CENTERS, 0.95).all()


@pytest.mark.filterwarnings("ignore:ZeroShotMoAClassifier.calibrate. the inverse temperature")
@pytest.mark.filterwarnings("ignore:ZeroShotMoAClassifier.predict_set. coverage=0.9 takes 9")
@pytest.mark.parametrize("inv_tau", ["auto", 200.0])
@pytest.mark.parametrize("size", [3, 64, 512])
def test_wells_that_look_the_same_are_never_excluded(size, inv_tau):
    """Whatever is asked at the same time: all of the calibration was of this class and look."""
    rng = np.random.default_rng(size)
    for _ in range(10):
        model = ZeroShotMoAClassifier(inv_tau=inv_tau).fit(
            rng.normal(size=(7, size)), list("abcdefg")
        )
        kind = rng.normal(size=(1, size)).astype(np.float32)
        model.calibrate(np.repeat(kind, 99, 0), ["a"] * 99, groups=np.arange(99))
        # What a network gives for the same well in another batch.
        other = kind * (1 + 1e-7 * rng.normal(size=kind.shape)).astype(np.float32)
        for asked in (kind, np.repeat(kind, 7, 0), other):
            assert (model.novelty_p_value(asked) == 1).all()
            for conditional in (False, True):
                sets = model.predict_set(asked, class_conditional=conditional)
                assert sets[:, 0].all()
                np.testing.assert_array_equal(sets, np.repeat(sets[:1], len(asked), 0))


@pytest.mark.filterwarnings("ignore:ZeroShotMoAClassifier.calibrate. the inverse temperature")
def test_novelty_keeps_its_rate_of_false_alarms_and_finds_what_is_far(model):
    alarms, found = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        X, y, groups = molecules(rng, 39, spread=0.3)
        new, _, of = molecules(rng, 40, spread=0.3)
        model.calibrate(X, y, groups=groups, n_folds=2)
        alarms.append(np.average(model.is_novel(new, 0.1), weights=unit_weights(of)))
        far = 0.3 * rng.normal(size=(50, 8)) + np.eye(8)[6]
        found.append(model.is_novel(far, 0.1).mean())
    error = np.std(alarms) / 10
    assert 0.1 - 2 / 40 - 3 * error <= np.mean(alarms) <= 0.1 + 3 * error
    assert np.mean(found) > 0.8


def test_nothing_is_novel_with_too_few_molecules(model):
    X, y, groups = molecules(np.random.default_rng(1), 12)
    model.calibrate(X, y, groups=groups)
    with pytest.warns(UserWarning, match="nothing is called novel"):
        assert not model.is_novel(-X, 0.05).any()


def test_probabilities_recover_a_known_temperature():
    rng = np.random.default_rng(0)
    model = ZeroShotMoAClassifier().fit(CENTERS, NAMES)
    X = rng.normal(size=(6000, 8))
    truth = softmax(6.0 * normalize(X) @ CENTERS.T, axis=1)
    y = NAMES[np.minimum((truth.cumsum(axis=1) < rng.random((6000, 1))).sum(axis=1), 3)]
    best = model.predict(X)
    model.calibrate(X, y, groups=np.arange(6000))
    assert model.inv_tau_ == pytest.approx(6.0, rel=0.06)
    assert model.inv_tau_uncalibrated_ == 14.3
    order = np.searchsorted(model.classes_, NAMES)
    np.testing.assert_allclose(model.predict_proba(X)[:, order], truth, atol=0.03)
    np.testing.assert_array_equal(model.predict(X), best)
    scores = model.calibration_.scores
    assert (scores["after"] < scores["before"]).all()


def test_the_temperature_is_that_of_molecules_not_of_wells(model):
    X, y, groups = molecules(np.random.default_rng(5), 40)
    scores = normalize(X) @ CENTERS.T
    codes = np.array([NAMES.tolist().index(name) for name in y])
    model.calibrate(X, y, groups=groups)
    assert model.inv_tau_ == pytest.approx(fit_inv_tau(scores, codes, unit_weights(groups)))
    assert model.inv_tau_ != pytest.approx(fit_inv_tau(scores, codes), rel=0.05)
    assert (model.calibration_.n_molecules, model.calibration_.n_rows) == (40, len(X))


def test_survives_pickle_is_forgotten_by_fit_and_clone(tmp_path):
    X, y, groups = molecules(np.random.default_rng(0), 40)
    model = ZeroShotMoAClassifier().fit(CENTERS, NAMES)
    assert not model.calibrated_
    assert model.calibration_ is None
    assert model.calibrate(X, y, groups=groups) is model
    assert model.calibrated_
    joblib.dump(model, tmp_path / "model.joblib")
    for again in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(again.predict_set(X), model.predict_set(X))
        np.testing.assert_array_equal(again.novelty_p_value(X), model.novelty_p_value(X))
        assert str(again.calibration_) == str(model.calibration_)
    learned = model.inv_tau_
    model.calibrate(X[::-1], y[::-1], groups=groups[::-1])
    assert model.calibration_.inv_tau_before == 14.3
    assert model.inv_tau_ == pytest.approx(learned)
    assert not hasattr(clone(model), "calibration_")
    model.fit(CENTERS, NAMES)
    assert model.inv_tau_ == 14.3
    assert not model.calibrated_
    with pytest.raises(NotFittedError, match=r"call calibrate\(X, y\)"):
        model.predict_set(X)


def test_temperature_at_a_bound_is_said(model):
    with pytest.warns(UserWarning, match="bound 1000: .* all named right"):
        model.calibrate(CENTERS, NAMES, groups=range(4))
    with pytest.warns(UserWarning, match=r"bound 0\.01: the scores say nothing"):
        model.calibrate(CENTERS, NAMES[::-1], groups=range(4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": None}, "which rows are wells of one molecule"),
        ({"groups": [0] * 8}, "at least two molecules are needed, got 1"),
        ({"groups": [0, 1]}, r"one label for each of 8 rows, got shape \(2,\)"),
        ({"groups": [0, None, 2, 3, 4, 5, 6, 7]}, r"no label for row\(s\) 1"),
        ({"y": ["myosin"] * 8}, "row 0 is of class 'myosin', which has no references"),
        ({"y": [None, *NAMES, *NAMES[:3]]}, "row 0 has no label"),
        ({"n_folds": 1}, "n_folds must be an integer of at least 2"),
    ],
)
def test_errors_leave_the_model_as_it_was(change, message):
    model = ZeroShotMoAClassifier().fit(CENTERS, NAMES)
    given = {"X": np.tile(CENTERS, (2, 1)), "y": [*NAMES, *NAMES], "groups": range(8)} | change
    with pytest.raises(ValueError, match=message):
        model.calibrate(**given)
    assert model.inv_tau_ == 14.3
    assert not model.calibrated_


@pytest.mark.parametrize("value", [0.0, 1.0, 1.5, "0.9", True])
def test_levels_must_be_shares(model, value):
    X, y, groups = molecules(np.random.default_rng(0), 40)
    model.calibrate(X, y, groups=groups)
    with pytest.raises(ValueError, match="coverage must be a number between 0 and 1"):
        model.predict_set(X, value)
    with pytest.raises(ValueError, match="alpha must be a number between 0 and 1"):
        model.is_novel(X, value)


# ------------------------------------------------------- molecules that were seen


class FakeEmbedder(BaseEstimator):
    """Profiles are their own embedding; it says which molecules it was trained on."""

    def __init__(self, controls="auto"):
        self.controls = controls

    def fit(self, X, y=None):
        self.molecules_seen_ = np.array(["LFQSCWFLJHTTHZ"], dtype=object)  # ethanol
        return self

    def embed_phenotypes(self, X):
        return normalize(X.filter(like="Cells_").to_numpy(dtype=float))

    def embed_molecules(self, molecules):
        raise NotImplementedError


def screen(smiles, seed=0):
    rng = np.random.default_rng(seed)
    kind = np.arange(len(smiles)) % 4
    wells = CENTERS[kind] + 0.8 * rng.normal(size=(len(smiles), 8))
    table = pd.DataFrame(wells, columns=[f"Cells_{i}" for i in range(8)])
    table["Metadata_smiles"] = smiles
    table.index = [f"well{row}" for row in range(len(table))]
    return table, NAMES[kind]


REFERENCES = ["CCC", "CCN", "CCS", "CCCl"]
HELD_OUT = ["C" * n for n in range(4, 16)]


@pytest.fixture
def embedding_model():
    table, y = screen(REFERENCES)
    return ZeroShotMoAClassifier(FakeEmbedder().fit(table)).fit(table, y)


def test_molecules_are_read_from_the_table(embedding_model):
    table, y = screen(HELD_OUT * 2)  # two wells a molecule, of one class
    embedding_model.calibrate(table, y)
    calibration = embedding_model.calibration_
    assert (calibration.n_molecules, calibration.n_rows) == (12, 24)
    report = leakage_report(
        screen(REFERENCES)[0], table, claim="molecule", embedder=embedding_model, controls=None
    )
    assert any("trained on 12 of 12 test molecules" in line for line in report.sentences)


@pytest.mark.parametrize("form", ["CCN", "CC[NH3+].[Cl-]"])
def test_molecules_of_the_references_are_refused_in_any_form(embedding_model, form):
    table, y = screen([*HELD_OUT, form])
    with pytest.raises(ValueError, match=r"1 of 13 molecules .*row 12 \(index 'well12'\).*refer"):
        embedding_model.calibrate(table, y)


def test_molecules_that_the_embedder_was_trained_on_are_refused(embedding_model):
    table, y = screen([*HELD_OUT, "OCC"])
    with pytest.raises(ValueError, match="used to train the embedder"):
        embedding_model.calibrate(table, y)
    with pytest.raises(ValueError, match="used to train the embedder"):
        embedding_model.calibrate(table, y, groups=np.arange(13))
    assert not embedding_model.calibrated_


def test_groups_may_be_coarser_than_molecules_not_finer(embedding_model):
    table, y = screen(HELD_OUT * 2)
    embedding_model.calibrate(table, y, groups=np.tile(np.arange(12) // 2, 2))
    assert embedding_model.calibration_.n_molecules == 6
    with pytest.raises(ValueError, match=r"12 molecule\(s\) are in more than one group"):
        embedding_model.calibrate(table, y, groups=np.arange(24))


def test_unreadable_and_unknown_structures_are_said(embedding_model):
    table, y = screen([*HELD_OUT, "C1CC"])
    with pytest.raises(ValueError, match=r"row 12 \(index 'well12'\) cannot be parsed"):
        embedding_model.calibrate(table, y)
    table, y = screen(HELD_OUT)
    bare = table.drop(columns="Metadata_smiles")
    with pytest.raises(ValueError, match="which rows are wells of one molecule"):
        embedding_model.calibrate(bare, y)
    with pytest.warns(UserWarning, match="the calibration rows have no structures"):
        embedding_model.calibrate(bare, y, groups=np.arange(12))
    references, names = screen(REFERENCES)
    model = ZeroShotMoAClassifier(embedding_model.embedder)
    model.fit(references.drop(columns="Metadata_smiles"), names)
    with pytest.warns(UserWarning, match="the references have no structures"):
        model.calibrate(table, y)


def test_controls_without_a_label_are_left_out(embedding_model):
    table, y = screen([*HELD_OUT, "CS(C)=O"])
    table["Metadata_control_type"] = [*[None] * 12, "negcon"]
    labels = np.array([*y[:12], None], dtype=object)
    embedding_model.calibrate(table, labels)
    assert embedding_model.calibration_.n_rows == 12
