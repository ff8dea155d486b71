"""Linear probing of many assays, beside scikit-learn one assay at a time."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import LinAlgError
from scipy.sparse import coo_array, csr_matrix
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.utils import estimator_checks

from cloome_sk.baselines import _assay_exact
from cloome_sk.baselines._assay_exact import fit_exactly
from cloome_sk.baselines._assay_folds import assay_folds, aurocs
from cloome_sk.baselines.assay_probe import AssayProbe

CS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


def made_up(n=160, d=24, n_assays=6, seed=0, share=0.6):
    """Features with a common offset, and labels of which a share was measured."""
    generator = np.random.default_rng(seed)
    Z = generator.normal(size=(n, d)) * generator.uniform(0.3, 2, size=d) + 3
    weights = generator.normal(size=(d, n_assays))
    logits = (Z - 3) @ weights + generator.normal(scale=2, size=(n, n_assays))
    Y = (logits > np.quantile(logits, 0.6, axis=0)).astype(float)
    Y[generator.random(Y.shape) > share] = np.nan
    return Z, Y


def folds_of(y, groups, n_folds=5):
    dealt = assay_folds(y, groups, n_folds)
    return [
        (np.flatnonzero(dealt != k), np.flatnonzero(dealt == k)) for k in range(dealt.max() + 1)
    ]


@pytest.mark.parametrize(("n", "d"), [(40, 90), (200, 12), (60, 60)])
@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0, 1e2, 1e4])
def test_one_fit_is_that_of_scikit_learn(n, d, C):
    Z, Y = made_up(n, d, 1, share=1.0)
    coef, intercept, converged = fit_exactly(Z, Y[:, 0], C)
    theirs = LogisticRegression(C=C, tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(
        Z, Y[:, 0]
    )
    assert converged
    elsewhere = np.random.default_rng(1).normal(size=(50, d)) + 3
    ours = 1 / (1 + np.exp(-(elsewhere @ coef + intercept)))
    np.testing.assert_allclose(ours, theirs.predict_proba(elsewhere)[:, 1], atol=1e-4)


def test_curvature_is_factorised_anew_when_gradients_are_many(monkeypatch):
    monkeypatch.setattr(_assay_exact, "MOST_GRADIENTS", 1)
    Z, Y = made_up(200, 12, 1, share=1.0)
    coef, intercept, converged = fit_exactly(Z, Y[:, 0], 10.0)
    theirs = LogisticRegression(C=10.0, tol=1e-10, max_iter=100_000).fit(Z, Y[:, 0])
    assert converged
    np.testing.assert_allclose(coef, theirs.coef_[0], atol=1e-4)
    np.testing.assert_allclose(intercept, theirs.intercept_[0], atol=1e-3)


@pytest.mark.parametrize(("n", "d"), [(50, 90), (120, 80), (400, 30)])
@pytest.mark.parametrize("narrow", [True, False])
def test_precision_of_the_factor_does_not_show(monkeypatch, n, d, narrow):
    """Features of unlike scale and a weak penalty: the curvature is ill conditioned."""
    monkeypatch.setattr(_assay_exact, "MOST_CONDITION", np.inf if narrow else 0.0)
    dtypes = []
    plain = _assay_exact._factor

    def noted(matrix, C):
        dtypes.append(matrix.dtype)
        return plain(matrix, C)

    monkeypatch.setattr(_assay_exact, "_factor", noted)
    Z, Y = made_up(n, d, 1, share=1.0)
    Z[:, ::3] *= 30
    coef, intercept, converged = fit_exactly(Z, Y[:, 0], 10.0)
    theirs = LogisticRegression(C=10.0, tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(
        Z, Y[:, 0]
    )
    assert converged
    assert (dtypes[-1] == np.float32) == narrow
    elsewhere = np.random.default_rng(1).normal(size=(50, d)) + 3
    np.testing.assert_allclose(
        elsewhere @ coef + intercept, theirs.decision_function(elsewhere), rtol=1e-3, atol=1e-3
    )


def test_a_step_that_never_helps_is_taken_by_weights_and_intercept_alike(monkeypatch):
    seen, plain = [], _assay_exact._loss

    def rising(scores, shift, *rest):
        seen.append(scores + shift)
        return 1e6 * len(seen), plain(scores, shift, *rest)[1]

    monkeypatch.setattr(_assay_exact, "_loss", rising)
    monkeypatch.setattr(_assay_exact, "MOST_STEPS", 2)
    monkeypatch.setattr(_assay_exact, "MOST_HALVINGS", 1)
    Z, Y = made_up(60, 12, 1, share=1.0)
    Y[:20] = 1
    coef, intercept, _ = fit_exactly(Z, Y[:, 0], 1.0)
    assert len(seen) == 3
    np.testing.assert_allclose(Z @ coef + intercept, seen[-1])


@pytest.mark.parametrize("scale", [1e9, 2.0**30, 1e14])
@pytest.mark.parametrize(("n", "d"), [(80, 60), (160, 24)])
def test_very_large_features_are_learned_as_well_as_small_ones(scale, n, d):
    """Raw moments of shapes are that large, and float32 does not hold products of products."""
    Z, Y = made_up(n, d)
    small = AssayProbe(Cs=CS).fit(Z, Y)
    large = AssayProbe(Cs=np.array(CS) / scale**2).fit(Z * scale, Y)
    np.testing.assert_allclose(large.C_ * scale**2, small.C_)
    np.testing.assert_allclose(large.predict_proba(Z * scale), small.predict_proba(Z), atol=1e-4)
    assert np.max(np.abs(large.inner_scores_ - small.inner_scores_)) < 0.03


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_penalties_too_weak_for_features_are_said():
    Z, Y = made_up(80, 60)
    with pytest.raises(LinAlgError, match="Scale the features, or take stronger penalties"):
        AssayProbe().fit(Z * 1e20, Y)


def test_large_assays_are_those_of_scikit_learn():
    """Long enough for several steps by one factor of several hundred rows."""
    generator = np.random.default_rng(0)
    Z = (generator.random((600, 500)) < 0.06).astype(float)
    y = (Z[:, :20].sum(axis=1) + generator.normal(size=600) > 1.7).astype(float)
    for C in (1e-3, 0.1, 10.0):
        coef, intercept, converged = fit_exactly(Z, y, C)
        theirs = LogisticRegression(C=C, tol=1e-12, max_iter=1000, solver="newton-cholesky")
        theirs.fit(Z, y)
        assert converged
        np.testing.assert_allclose(coef, theirs.coef_[0], atol=1e-4)
        np.testing.assert_allclose(intercept, theirs.intercept_[0], atol=1e-4)


@pytest.mark.parametrize(("n", "d"), [(160, 24), (70, 100), (300, 10)])
def test_choice_and_fit_are_those_of_a_loop_over_assays(n, d):
    """Converged references: scikit-learn's default tolerance stops weak penalties early."""
    Z, Y = made_up(n, d)
    groups = np.arange(n) // 2
    probe = AssayProbe(Cs=CS).fit(Z, Y, groups=groups)
    proba = probe.predict_proba(Z)
    apart = []
    for assay in range(Y.shape[1]):
        rows = np.flatnonzero(~np.isnan(Y[:, assay]))
        y = Y[rows, assay]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loop = LogisticRegressionCV(
                Cs=CS,
                cv=folds_of(y, groups[rows]),
                scoring="roc_auc",
                tol=1e-8,
                max_iter=10_000,
            ).fit(Z[rows], y)
        scores = np.asarray(loop.scores_[1.0] if isinstance(loop.scores_, dict) else loop.scores_)
        means = scores.reshape(-1, len(CS)).mean(axis=0)
        # A fold has some tens of pairs, and a pair that changes sides is more than 0.01.
        apart.append(np.abs(probe.inner_scores_[assay] - means))
        assert means.max() - means[CS.index(probe.C_[assay])] < 0.02
        same = LogisticRegression(C=probe.C_[assay], tol=1e-10, max_iter=100_000)
        expected = same.fit(Z[rows], y).predict_proba(Z)[:, 1]
        np.testing.assert_allclose(proba[:, assay], expected, atol=1e-4)
    assert np.max(apart) < 0.03
    assert np.mean(apart) < 0.003


def test_sparse_equals_dense():
    Z, Y = made_up()
    signs = np.where(np.isnan(Y), 0, 2 * Y - 1).astype(np.int8)
    dense = AssayProbe(Cs=CS).fit(Z, Y)
    for sparse in (csr_matrix(signs), coo_array(signs)):
        found = AssayProbe(Cs=CS).fit(Z, sparse)
        np.testing.assert_array_equal(found.coef_, dense.coef_)
        np.testing.assert_array_equal(found.C_, dense.C_)
        np.testing.assert_array_equal(found.n_labels_, dense.n_labels_)


def test_rows_that_were_not_measured_do_not_matter():
    Z, Y = made_up()
    other = Z.copy()
    missing = np.isnan(Y[:, 0])
    other[missing] = 1e3 * np.random.default_rng(5).normal(size=(missing.sum(), Z.shape[1]))
    first, second = (AssayProbe(Cs=CS).fit(features, Y) for features in (Z, other))
    np.testing.assert_array_equal(first.coef_[0], second.coef_[0])
    assert first.intercept_[0] == second.intercept_[0]
    assert not np.array_equal(first.coef_[1], second.coef_[1])


def test_order_of_assays_does_not_matter():
    Z, Y = made_up()
    order = np.random.default_rng(0).permutation(Y.shape[1])
    first, second = AssayProbe(Cs=CS).fit(Z, Y), AssayProbe(Cs=CS).fit(Z, Y[:, order])
    np.testing.assert_array_equal(first.C_[order], second.C_)
    np.testing.assert_allclose(first.coef_[order], second.coef_, atol=1e-9)


def test_assays_with_one_class_have_no_model_and_few_labels_take_the_others_penalty():
    Z, Y = made_up(n_assays=5)
    Y[:, 1] = np.where(np.isnan(Y[:, 1]), np.nan, 1.0)
    Y[:, 2] = np.nan
    Y[:, 3] = np.nan
    Y[:3, 3] = [1, 0, 0]
    probe = AssayProbe(Cs=CS).fit(Z, pd.DataFrame(Y, columns=list("abcde")))
    kinds = ["inner folds", "one class", "one class", "other assays", "inner folds"]
    assert probe.chosen_by_.tolist() == kinds
    assert (probe.n_one_class_, probe.n_fallback_) == (2, 1)
    assert probe.assay_names_ == list("abcde")
    missing = np.isnan(probe.predict_proba(Z)).all(axis=0)
    assert missing.tolist() == [False, True, True, False, False]
    assert np.isnan(probe.C_[[1, 2]]).all()
    assert probe.C_[3] == CS[int(probe.inner_scores_[[0, 4]].mean(axis=0).argmax())]
    alone = AssayProbe(Cs=CS).fit(Z[:3], Y[:3, [3]])
    assert alone.C_.tolist() == [CS[len(CS) // 2]]


def test_ties_go_to_the_stronger_penalty():
    """One feature ranks alike whatever its weight."""
    x = np.arange(40.0)[:, None]
    y = np.array([0, 0, 1, 0] * 5 + [1, 1, 0, 1] * 5, dtype=float)
    probe = AssayProbe(Cs=(10.0, 0.1, 1.0)).fit(x, y[:, None])
    assert probe.C_.tolist() == [0.1]


def test_groups_are_never_torn_apart():
    generator = np.random.default_rng(0)
    for _ in range(50):
        n = generator.integers(6, 60)
        groups = generator.integers(n // 3 + 2, size=n)
        y = (generator.random(n) < 0.4).astype(float)
        dealt = assay_folds(y, groups, 5)
        with_active = len(set(groups[y == 1]))
        if min(with_active, len(set(groups)) - with_active) < 2:
            assert dealt is None
            continue
        for fold in range(dealt.max() + 1):
            assert not set(groups[dealt == fold]) & set(groups[dealt != fold])
            assert set(y[dealt == fold]) == {0.0, 1.0}


def test_aurocs_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    scores = np.round(generator.normal(size=(7, 40)), 1)
    scores[0] = 0
    active = generator.random(40) < 0.3
    expected = [roc_auc_score(active, row) for row in scores]
    np.testing.assert_allclose(aurocs(scores, active, 10), expected)


def test_aurocs_of_part_of_the_rows_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    scores = np.round(generator.normal(size=(30, 40)) * generator.lognormal(size=(30, 1)), 1)
    active, ranked = generator.random((2, 30, 40)) < 0.5
    active[:, 0], active[:, 1], ranked[:, :2] = True, False, True
    scores[~ranked] *= 1e6
    expected = [
        roc_auc_score(a[r], row[r]) for row, a, r in zip(scores, active, ranked, strict=True)
    ]
    np.testing.assert_allclose(aurocs(scores, active, 10, ranked=ranked), expected)
    scores[3, 0], scores[5, 1] = np.nan, np.inf
    found = aurocs(scores, active, 10, ranked=ranked)
    assert np.flatnonzero(np.isnan(found)).tolist() == [3, 5]
    np.testing.assert_allclose(np.delete(found, [3, 5]), np.delete(expected, [3, 5]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda Z, Y: (Z, np.where(Y == 0, -1, Y)), r"row \d+, column 0 of Y holds .*-1.0"),
        (lambda Z, Y: (Z, csr_matrix(2.0 * np.nan_to_num(Y))), r"column 0 of Y holds .*2.0"),
        (lambda Z, Y: (Z[:-1], Y), "Y has 160 rows and Z has 159"),
        (lambda Z, Y: (Z, np.where(np.isnan(Y), np.nan, 1.0)), "none of the 6 assay"),
        (lambda Z, Y: (Z, Y[:, :0]), "no column"),
    ],
)
def test_bad_labels_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        AssayProbe().fit(*change(*made_up()))


def test_bad_parameters_and_groups_are_named():
    Z, Y = made_up()
    with pytest.raises(ValueError, match="Cs must be positive"):
        AssayProbe(Cs=(0.0, 1.0)).fit(Z, Y)
    with pytest.raises(ValueError, match="one label for each of the 160 rows"):
        AssayProbe().fit(Z, Y, groups=[1, 2])
    Z[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        AssayProbe().fit(Z, Y)


def test_estimator_conventions():
    """Those that do not hand over labels of one's own kind, which are no 0, 1 and NaN."""
    for check in (
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
    ):
        check("AssayProbe", AssayProbe())
    Z, Y = made_up()
    before = Z.copy(), Y.copy()
    probe = AssayProbe(Cs=CS)
    again = clone(probe).fit(Z, Y)
    np.testing.assert_array_equal(probe.fit(Z, Y).coef_, again.coef_)
    np.testing.assert_array_equal(before[0], Z)
    np.testing.assert_array_equal(before[1], Y)
    with pytest.raises(ValueError, match="24 features"):
        probe.predict_proba(Z[:, 1:])


def test_real_labels_choose_as_well_as_the_loop(data_home):
    """A part of the public table: mean AUROC on unseen molecules within 0.002 of the loop's."""
    from cloome_sk.baselines import MorganFeatures
    from cloome_sk.datasets import load_assays

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = load_assays("chembl2k", data_home)
    Z = MorganFeatures(n_bits=256).fit_transform(table.data).astype(float)
    Y = table.target.to_numpy(dtype=float)
    most = np.argsort(-np.minimum((Y == 0).sum(axis=0), (Y == 1).sum(axis=0)), kind="stable")
    Y = Y[:, most[:8]]
    test = np.arange(len(Z)) % 4 == 0
    probe = AssayProbe(Cs=CS).fit(Z[~test], Y[~test])
    ours, loops = [], []
    for assay in range(Y.shape[1]):
        rows = np.flatnonzero(~np.isnan(Y[:, assay]) & ~test)
        y = Y[rows, assay]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loop = LogisticRegressionCV(
                Cs=CS, cv=folds_of(y, rows), scoring="roc_auc", max_iter=3000
            ).fit(Z[rows], y)
        held = np.flatnonzero(~np.isnan(Y[:, assay]) & test)
        loops.append(roc_auc_score(Y[held, assay], loop.decision_function(Z[held])))
        ours.append(roc_auc_score(Y[held, assay], probe.decision_function(Z[held])[:, assay]))
    assert abs(np.mean(ours) - np.mean(loops)) < 0.002
