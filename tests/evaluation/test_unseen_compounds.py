"""Folds, centring, choice of penalty and resamples, each against a loop written out."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cloome_sk.evaluation.unseen_compounds import (
    METRICS,
    PENALTIES,
    center_on_controls,
    compound_draws,
    compound_folds,
    compound_probe,
)


@given(st.lists(st.integers(2, 5), min_size=1, max_size=8), st.integers(0, 30), st.integers(0, 99))
def test_each_compound_is_left_out_once_and_never_its_whole_class(sizes, extra, seed):
    moa_of = {f"c{moa}-{n}": moa for moa, size in enumerate(sizes) for n in range(size)}
    n_folds = min(max(sizes) + extra, len(moa_of))
    folds = compound_folds(moa_of, n_folds, seed)
    assert sorted(name for fold in folds for name in fold) == sorted(moa_of)
    for fold in folds:
        assert max(Counter(moa_of[name] for name in fold).values()) == 1
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    assert folds == compound_folds(moa_of, n_folds, seed)


def test_all_leaves_out_one_at_a_time():
    moa_of = {"b": "x", "a": "x", "d": "y", "c": "y"}
    assert compound_folds(moa_of, "all") == [["a"], ["b"], ["c"], ["d"]]


def test_another_seed_deals_otherwise():
    moa_of = {f"{moa}{n}": moa for moa in "abcdef" for n in range(3)}
    dealt = {str([sorted(f) for f in compound_folds(moa_of, 3, seed)]) for seed in range(5)}
    assert len(dealt) == 5


@pytest.mark.parametrize(
    ("moa_of", "n_folds", "message"),
    [
        ({"a": "x", "b": "x", "c": "y"}, 2, r"classes of one compound: y\."),
        ({}, 2, "there is no compound at all"),
        ({"a": "x", "b": "x"}, 1, r"'all' or 2 .* to 2, got 1"),
        ({"a": "x", "b": "x"}, 3, r"'all' or 2 .* to 2, got 3"),
        ({"a": "x", "b": "x"}, "strict", r"got 'strict'"),
    ],
)
def test_folds_that_cannot_be(moa_of, n_folds, message):
    with pytest.raises(ValueError, match=message):
        compound_folds(moa_of, n_folds)


def test_centring_equals_a_loop():
    rng = np.random.default_rng(0)
    plate = rng.choice(list("abcdef"), 60)
    week = np.array([{"a": "1", "b": "1", "c": "1"}.get(name, "2") for name in plate])
    control = rng.random(60) < 0.3
    control[np.isin(plate, ["b", "e"])] = False
    features = rng.normal(size=(60, 4))
    centred, level = center_on_controls(features, control, [plate, week])
    for row in range(60):
        own = [i for i in range(60) if control[i] and plate[i] == plate[row]]
        used = own or [i for i in range(60) if control[i] and week[i] == week[row]]
        expected = features[row] - sum(features[i] for i in used) / len(used)
        np.testing.assert_allclose(centred[row], expected, atol=1e-12)
        assert level[row] == (0 if own else 1)
    assert set(level[plate == "b"]) == set(level[plate == "e"]) == {1}


def test_centring_without_any_control_of_a_batch():
    with pytest.raises(ValueError, match=r"2 row\(s\) have no negative control.*row 1 of '2'"):
        center_on_controls(
            np.ones((3, 1)), np.array([True, False, False]), [list("abc"), ["1", "2", "2"]]
        )


@pytest.fixture
def crops():
    """Four classes of 1, 2, 2 and 3 compounds with 2 to 25 crops at 1 to 3 concentrations."""
    rng = np.random.default_rng(1)
    rows = [
        (f"c{label}-{n}", float(concentration), label)
        for label, size in enumerate([1, 2, 2, 3])
        for n in range(size)
        for concentration in range(rng.integers(1, 4))
        for _ in range(rng.integers(2, 9))
    ]
    rng.shuffle(rows)
    names = ["Metadata_compound", "Metadata_conc_uM", "label"]
    return pd.DataFrame(rows, columns=names).astype({"Metadata_conc_uM": float, "label": int})


def test_penalty_is_the_one_a_loop_finds(crops):
    rng = np.random.default_rng(2)
    labels, compounds = crops["label"].to_numpy(), crops["Metadata_compound"].to_numpy(object)
    chosen = set()
    for noise in (0.1, 1.0, 5.0, 30.0):
        shift = {name: rng.normal(size=6) for name in np.unique(compounds)}
        features = np.eye(6)[labels] * 2 + noise * np.array([shift[name] for name in compounds])
        features += rng.normal(size=features.shape)
        moa_of = {name: label for name, label in zip(compounds, labels, strict=True) if label}
        losses = []
        for penalty in PENALTIES:
            total = 0.0
            for held in compound_folds(moa_of, 3, 7):
                test = np.isin(compounds, held)
                model = make_pipeline(
                    StandardScaler(),
                    LogisticRegression(C=penalty, class_weight="balanced", max_iter=5000),
                ).fit(features[~test], labels[~test])
                for name in held:
                    rows = compounds == name
                    given = model.predict_proba(features[rows])
                    total += log_loss(labels[rows], given, labels=range(4))
            losses.append(total)
        found = compound_probe(features, labels, compounds, 7)
        penalty = found[-1].C
        assert penalty == PENALTIES[int(np.argmin(losses))]
        assert found[-1].classes_.tolist() == [0, 1, 2, 3]
        chosen.add(penalty)
    assert len(chosen) > 1


def test_penalty_where_no_class_has_two_compounds():
    features, labels = np.random.default_rng(0).normal(size=(6, 2)), np.repeat([0, 1], 3)
    found = compound_probe(features, labels, np.array([*"aaabbb"], dtype=object))
    assert found[-1].get_params()["C"] == min(PENALTIES)


def test_figures_and_resamples_equal_a_loop(crops):
    rng = np.random.default_rng(3)
    label = crops["label"].to_numpy()
    given = {
        "good": rng.dirichlet(np.ones(4), len(crops)) + 0.4 * np.eye(4)[label],
        "random": rng.dirichlet(np.ones(4), len(crops)),
    }
    found = compound_draws(crops, given, 40, 5)
    assert set(found) == {(model, metric) for model in given for metric in METRICS}
    names = list(dict.fromkeys(crops["Metadata_compound"]))
    drawn = np.random.RandomState(5).multinomial(8, np.full(8, 1 / 8), size=40)
    for model, probabilities in given.items():
        for number, counts in enumerate([np.ones(8, dtype=int), *drawn]):
            cells, treatments, shares = [], [], []
            for name, count in zip(names, counts, strict=True):
                rows = np.flatnonzero(crops["Metadata_compound"] == name)
                named = [(label[row], probabilities[row].argmax()) for row in rows]
                cells += count * named
                shares += count * [np.mean([a == b for a, b in named])]
                for concentration in crops["Metadata_conc_uM"].iloc[rows].unique():
                    same = rows[crops["Metadata_conc_uM"].iloc[rows] == concentration]
                    mean = probabilities[same].mean(axis=0)
                    treatments += count * [(label[rows[0]], mean.argmax())]
            expected = [
                accuracy_score(*zip(*cells, strict=True)),
                _balanced(cells),
                accuracy_score(*zip(*treatments, strict=True)),
                _balanced(treatments),
                np.mean(shares),
            ]
            values = [found[model, metric][number] for metric in METRICS]
            np.testing.assert_allclose(values, expected, rtol=1e-12)


def _balanced(pairs):
    truth = [true for true, _ in pairs]
    # A prediction of a class that was not drawn is a miss; scikit-learn would warn of it.
    named = [name if name in truth else -1 for _, name in pairs]
    with pytest.warns(UserWarning, match="y_pred") if -1 in named else nullcontext():
        return balanced_accuracy_score(truth, named)
