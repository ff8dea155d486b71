"""Calibration against scikit-learn, where definitions coincide, and naive loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from cloome_sk.metrics import (
    brier_score,
    clopper_pearson,
    expected_calibration_error,
    reliability_curve,
)


@pytest.fixture
def binary():
    rng = np.random.default_rng(0)
    proba = rng.random(500)
    return (rng.random(500) < proba**1.5).astype(int), proba


@pytest.fixture
def multiclass():
    rng = np.random.default_rng(1)
    proba = rng.dirichlet([0.6] * 4, size=300)
    names = np.array(["actin", "dna", "kinase", "tubulin"])
    truth = [rng.choice(names, p=p**2 / (p**2).sum()) for p in proba]
    return np.array(truth), proba, names


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("n_bins", [1, 5, 12])
def test_binary_curve_equals_scikit_learn(binary, strategy, n_bins):
    truth, proba = binary
    share, mean = calibration_curve(truth, proba, n_bins=n_bins, strategy=strategy)
    curve = reliability_curve(truth, proba, n_bins=n_bins, strategy=strategy)
    np.testing.assert_allclose(curve["accuracy"], share)
    np.testing.assert_allclose(curve["confidence"], mean)
    assert curve["n_samples"].sum() == 500


def test_binary_brier_equals_scikit_learn(binary):
    truth, proba = binary
    assert brier_score(truth, proba) == pytest.approx(brier_score_loss(truth, proba))
    both = np.column_stack([1 - proba, proba])
    expected = brier_score_loss(truth, proba, scale_by_half=False)
    assert brier_score(truth, both) == pytest.approx(expected)


def test_multiclass_brier_equals_scikit_learn_and_a_loop(multiclass):
    truth, proba, names = multiclass
    expected = brier_score_loss(truth, proba, labels=names, scale_by_half=False)
    assert brier_score(truth, proba) == pytest.approx(expected)
    total = 0.0
    for label, row in zip(truth, proba, strict=True):
        for name, p in zip(names, row, strict=True):
            total += (p - (name == label)) ** 2
    assert brier_score(truth, proba) == pytest.approx(total / len(truth))


@pytest.mark.parametrize("n_bins", [4, 10])
def test_multiclass_curve_and_error_equal_a_loop(multiclass, n_bins):
    truth, proba, names = multiclass
    curve = reliability_curve(truth, proba, n_bins=n_bins)
    error, row = 0.0, 0
    for b in range(n_bins):
        low, high = b / n_bins, (b + 1) / n_bins
        held = [i for i in range(300) if low < proba[i].max() <= high]
        if not held:
            continue
        confidence = np.mean([proba[i].max() for i in held])
        accuracy = np.mean([names[proba[i].argmax()] == truth[i] for i in held])
        found = curve.loc[row]
        assert found["n_samples"] == len(held)
        assert found["confidence"] == pytest.approx(confidence)
        assert found["accuracy"] == pytest.approx(accuracy)
        bounds = clopper_pearson(accuracy * len(held), len(held))
        assert (found["accuracy_low"], found["accuracy_high"]) == pytest.approx(bounds)
        error += len(held) / 300 * abs(accuracy - confidence)
        row += 1
    assert row == len(curve)
    assert expected_calibration_error(truth, proba, n_bins=n_bins) == pytest.approx(error)


def test_the_order_of_columns_is_that_of_classes(multiclass):
    truth, proba, names = multiclass
    order = [2, 0, 3, 1]
    arguments = truth, proba[:, order]
    classes = names[order]
    assert brier_score(*arguments, classes=classes) == pytest.approx(brier_score(truth, proba))
    assert expected_calibration_error(*arguments, classes=classes) == pytest.approx(
        expected_calibration_error(truth, proba)
    )
    assert brier_score(*arguments) != pytest.approx(brier_score(truth, proba))


def test_perfect_and_worst():
    certain = np.eye(3)
    assert brier_score([0, 1, 2], certain) == 0
    assert brier_score([1, 2, 0], certain) == 2
    assert expected_calibration_error([0, 1, 2], certain) == 0
    assert expected_calibration_error([1, 2, 0], certain) == 1


def test_classes_that_tie_for_the_largest_share_the_prediction():
    curve = reliability_curve(["a", "b", "c"], [[0.4, 0.4, 0.2]] * 3)
    assert curve["accuracy"].tolist() == pytest.approx([1 / 3])
    # Always sure of nothing, right by chance: calibrated.
    assert expected_calibration_error(list("abcd"), np.full((4, 4), 0.25)) == pytest.approx(0)


def test_equal_confidence_everywhere_makes_one_quantile_bin():
    curve = reliability_curve([1, 0, 1], [0.7, 0.7, 0.7], strategy="quantile")
    assert len(curve) == 1
    assert curve.loc[0, "n_samples"] == 3


def test_the_ends_of_the_scale_are_held():
    curve = reliability_curve([0, 1, 0, 1], [0.0, 1.0, 0.5, 0.5], n_bins=2)
    assert curve["n_samples"].tolist() == [3, 1]


@pytest.mark.parametrize(
    ("truth", "proba", "arguments", "message"),
    [
        ([0, 1], [[0.5, 0.5]], {}, "y_true must have shape"),
        ([0], [[0.5, 0.6]], {}, "row 0 sums to 1.1"),
        ([0], [[1.5, -0.5]], {}, "outside"),
        ([0, 1], [0.5, np.nan], {}, "row 1 is nan"),
        (["a", None], [[0.5, 0.5]] * 2, {"classes": ["a", "b"]}, "row 1 has no label"),
        ([0, 2], [0.5, 0.5], {}, "boolean or 0/1"),
        ([0, 1], [0.5, 0.5], {"classes": [0, 1]}, "1-D"),
        (["a"], [[0.5, 0.5]], {}, "2 columns but there are 1 classes"),
        (["x"], [[0.5, 0.5]], {"classes": ["a", "b"]}, "row 0 is 'x'"),
        (["a"], [[0.5, 0.5]], {"classes": ["a", "a"]}, "more than once"),
        ([], np.zeros((0, 2)), {}, "non-empty"),
        (["a"], [["x", "y"]], {}, "array of numbers"),
    ],
)
@pytest.mark.parametrize("metric", [reliability_curve, expected_calibration_error, brier_score])
def test_bad_input_is_named(metric, truth, proba, arguments, message):
    with pytest.raises(ValueError, match=message):
        metric(truth, proba, **arguments)


def test_bad_bins_are_named(binary):
    with pytest.raises(ValueError, match="n_bins"):
        reliability_curve(*binary, n_bins=0)
    with pytest.raises(ValueError, match="strategy"):
        reliability_curve(*binary, strategy="kmeans")
    with pytest.raises(ValueError, match="confidence"):
        reliability_curve(*binary, confidence=1.0)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_integer_weights_are_repeated_rows(multiclass, strategy):
    truth, proba, names = multiclass
    times = np.random.default_rng(0).integers(0, 4, len(truth))
    often = np.repeat(np.arange(len(truth)), times)
    weighted = brier_score(truth, proba, classes=names, sample_weight=times)
    assert weighted == pytest.approx(brier_score(truth[often], proba[often], classes=names))
    if strategy == "uniform":  # quantiles of repeated rows are others
        weighted = expected_calibration_error(truth, proba, classes=names, sample_weight=times)
        repeated = expected_calibration_error(truth[often], proba[often], classes=names)
        assert weighted == pytest.approx(repeated)
    options = {"classes": names, "strategy": strategy, "n_bins": 6}
    curve = reliability_curve(truth, proba, **options)
    gap = np.average((curve["accuracy"] - curve["confidence"]).abs(), weights=curve["n_samples"])
    for weights in (None, np.full(len(truth), 0.3)):
        found = expected_calibration_error(truth, proba, sample_weight=weights, **options)
        assert found == pytest.approx(gap)


@pytest.mark.parametrize("weights", [[1.0], [-1.0] * 500, [0.0] * 500, [np.nan] * 500])
def test_bad_weights_are_refused(binary, weights):
    with pytest.raises(ValueError, match="sample_weight must"):
        brier_score(*binary, sample_weight=weights)
    with pytest.raises(ValueError, match="sample_weight must"):
        expected_calibration_error(*binary, sample_weight=weights)
