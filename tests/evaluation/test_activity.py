"""The activity study: molecules, folds, AUROC and AUPRC beside scikit-learn, what is left out."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cloome_sk.baselines.assay_probe import AssayProbe
from cloome_sk.datasets import make_profiles
from cloome_sk.evaluation import activity_data
from cloome_sk.evaluation._activity_scores import (
    FoldScores,
    assay_scores,
    average_precision,
    random_average_precision,
    share_above,
)
from cloome_sk.evaluation.activity import study_activity
from cloome_sk.evaluation.activity_data import (
    _one_against_rest,
    activity_of_assays,
    assays_of_molecules,
    measured_elsewhere,
)
from cloome_sk.evaluation.units import holm
from cloome_sk.model_selection import scaffold_groups
from cloome_sk.molecules import molecule_key

FAST = {"n_bootstrap": 50}
PROBE = AssayProbe(Cs=(0.01, 0.1, 1.0), inner_folds=3)


@pytest.fixture
def made_up():
    """Sixty molecules in ninety rows, and four assays, of which one has six labels."""
    generator = np.random.default_rng(0)
    chains = ["C" * length for length in range(1, 6)]
    smiles = [f"{a}c1ccc({chain}{b})cc1" for a in ("C", "O") for chain in chains for b in RINGS]
    rows = np.concatenate([np.arange(60), np.arange(30)])
    Z = generator.normal(size=(60, 6))
    Y = (Z[:, :4] + generator.normal(size=(60, 4)) > 0).astype(float)
    Y[generator.random(Y.shape) < 0.2] = np.nan
    Y[:, 3] = np.nan
    Y[:6, 3] = [0, 1, 0, 1, 0, 1]
    names = ["first", "second", "third", "few"]
    return Z[rows], pd.DataFrame(Y[rows], columns=names), [smiles[row] for row in rows]


RINGS = ("c2ccccc2", "c2ccncc2", "C2CCCC2", "C2CCCCC2", "c2ccco2", "c2cccs2")


def test_scores_of_folds_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    folds = []
    for n in (12, 30, 7):
        active = np.arange(n) < n // 3
        scores = np.round(generator.normal(size=n) + 0.5 * active, 1)
        folds.append(FoldScores(active, scores))
    found = assay_scores(folds)
    pairs = np.array([f.active.sum() * (~f.active).sum() for f in folds])
    actives = np.array([f.active.sum() for f in folds])
    auroc = [roc_auc_score(f.active, f.scores) for f in folds]
    precision = [average_precision_score(f.active, f.scores) for f in folds]
    assert found["auroc"] == pytest.approx(np.average(auroc, weights=pairs))
    assert found["auprc"] == pytest.approx(np.average(precision, weights=actives))
    prevalence = [f.active.mean() for f in folds]
    assert found["prevalence"] == pytest.approx(np.average(prevalence, weights=actives))
    assert (found["n_active"], found["n_inactive"]) == (actives.sum(), 49 - actives.sum())


def test_scores_of_two_folds_never_meet():
    """Ranks are perfect within each fold, and would be poor if the scores were pooled."""
    active = np.array([True, False])
    folds = [FoldScores(active, np.array([1.0, 0.0])), FoldScores(active, np.array([9.0, 8.0]))]
    assert assay_scores(folds)["auroc"] == 1.0


def test_chance_is_that_of_all_orders():
    for n_active, n in ((1, 4), (2, 5), (3, 6)):
        every, aurocs = [], []
        for places in itertools.combinations(range(n), n_active):
            active = np.isin(np.arange(n), places)
            every.append(average_precision(active, -np.arange(n, dtype=float)))
            aurocs.append(roc_auc_score(active, -np.arange(n)))
        assert random_average_precision(n_active, n) == pytest.approx(np.mean(every))
        fold = FoldScores(np.arange(n) < n_active, np.arange(n, dtype=float))
        assert assay_scores([fold])["auroc_sd"] == pytest.approx(np.std(aurocs))
    drawn = np.random.default_rng(0).normal(0.5, 0.1, size=100_000) > 0.7
    assert share_above(0.7, np.array([0.1]))[0] == pytest.approx(drawn.mean(), abs=0.003)


def test_figures_are_those_of_every_assay_by_itself(made_up):
    Z, Y, smiles = made_up
    models = {"features": Z, "noise": np.random.default_rng(1).normal(size=Z.shape)}
    found = study_activity(models, Y, smiles, probe=PROBE, **FAST)
    assert set(found.assays["part"]) == {"unseen molecules", "unseen scaffolds"}
    assert set(found.assays["assay"]) == {"first", "second", "third"}
    assert found.excluded["assay"].tolist() == ["few", "few"]
    assert found.excluded["n_active"].tolist() == [3, 3]
    for (part, model), own in found.assays.groupby(["part", "model"]):
        rows = found.scores[(found.scores["part"] == part) & (found.scores["model"] == model)]
        value = rows.set_index("metric")["value"]
        assert value["AUROC"] == pytest.approx(own["auroc"].mean())
        assert value["median AUROC"] == pytest.approx(own["auroc"].median())
        assert value["AUROC > 0.7"] == pytest.approx((own["auroc"] > 0.7).mean())
        gain = (own["auprc"] - own["prevalence"]).mean()
        assert value["AUPRC - prevalence"] == pytest.approx(gain)
        assert (rows["n"] == 60).all()
    assert found.leakage["ok"].all()
    assert len(found.leakage) == 10
    means = found.assays.groupby("model")["auroc"].mean()
    assert means["features"] > 0.65 > means["noise"]
    apart = found.differences[found.differences["metric"] == "AUROC"]
    assert (apart["difference"] > 0).all()


def test_one_fold_by_hand(made_up):
    """The same folds, probe and means of rows, with scikit-learn's figures."""
    Z, Y, smiles = made_up
    found = study_activity({"Z": Z}, Y, smiles, probe=PROBE, splits=["scaffold"], **FAST)
    groups = np.asarray(scaffold_groups(smiles[:60])).astype(str)
    molecules = Y.iloc[:60]["first"].to_numpy()
    features = (Z[:60]).copy()
    wins = pairs = 0.0
    for train, test in GroupKFold(5, shuffle=True, random_state=0).split(features, groups=groups):
        known = test[~np.isnan(molecules[test])]
        if len(set(molecules[known])) < 2:
            continue
        probe = PROBE.fit(features[train], Y.iloc[train].to_numpy(), groups=groups[train])
        score = probe.decision_function(features[known])[:, 0]
        weight = (molecules[known] == 1).sum() * (molecules[known] == 0).sum()
        wins += weight * roc_auc_score(molecules[known], score)
        pairs += weight
    own = found.assays.set_index("assay")["auroc"]
    assert own["first"] == pytest.approx(wins / pairs)


def test_contradicting_rows_are_left_out_and_agreeing_ones_count_once(made_up):
    Z, Y, smiles = made_up
    twice = study_activity({"Z": Z}, Y, smiles, probe=PROBE, splits=["molecule"], **FAST)
    changed = Y.copy()
    measured = int(np.flatnonzero(Y["first"].iloc[60:].notna())[0]) + 60
    changed.iloc[measured, 0] = 1 - changed.iloc[measured, 0]
    less = study_activity({"Z": Z}, changed, smiles, probe=PROBE, splits=["molecule"], **FAST)
    n = [
        study.assays.set_index("assay").loc["first", ["n_active", "n_inactive"]].sum()
        for study in (twice, less)
    ]
    assert n == [Y["first"].iloc[:60].notna().sum(), Y["first"].iloc[:60].notna().sum() - 1]
    assert any("1 labels that rows of one molecule contradict" in note for note in less.notes)


def test_sparse_labels_are_the_same_study(made_up):
    Z, Y, smiles = made_up
    signs = csr_matrix(np.where(Y.isna(), 0, 2 * Y.to_numpy() - 1))
    options = {"probe": PROBE, "splits": ["molecule"], **FAST}
    dense = study_activity({"Z": Z}, Y, smiles, **options)
    sparse = study_activity({"Z": Z}, signs, smiles, **options)
    np.testing.assert_array_equal(dense.assays["auroc"], sparse.assays["auroc"])


class Recorder(TransformerMixin, BaseEstimator):
    """Remembers which rows it was trained on, by a file of its own for each fit."""

    seen: list[set[str]] = []  # noqa: RUF012  # shared by clones on purpose

    def fit(self, X, y=None):
        """Note the structures."""
        Recorder.seen.append(set(X["smiles"]))
        self.n_ = len(X)
        return self

    def transform(self, X):
        """Lengths of the structures."""
        return X["smiles"].str.len().to_numpy(float)[:, None]


def test_models_are_trained_on_training_molecules_only(made_up):
    Z, Y, smiles = made_up
    Recorder.seen.clear()
    X = pd.DataFrame({"smiles": smiles})
    options = {"probe": PROBE, "splits": ["molecule"], "cv": 4, **FAST}
    study_activity({"trained": Recorder(), "Z": Z}, Y, smiles, X=X, **options)
    assert len(Recorder.seen) == 4
    left_out = [set(smiles) - seen for seen in Recorder.seen]
    assert sum(map(len, left_out)) == len(set().union(*left_out)) == len(set(smiles))


def test_kinds_are_parts_of_their_own(made_up):
    Z, Y, smiles = made_up
    kinds = ["assay", "class", "class", "class"]
    options = {"probe": PROBE, "splits": ["molecule"], **FAST}
    found = study_activity({"Z": Z}, Y, smiles, kinds=kinds, **options)
    assert found.assays.groupby("part")["assay"].unique().map(list).to_dict() == {
        "assay, unseen molecules": ["first"],
        "class, unseen molecules": ["second", "third"],
    }
    measured = Y.iloc[:60].notna()
    assert found.scores.groupby("part")["n"].unique().map(list).to_dict() == {
        "assay, unseen molecules": [measured["first"].sum()],
        "class, unseen molecules": [measured[["second", "third"]].any(axis=1).sum()],
    }


def test_intervals_are_those_of_resampled_molecules(made_up):
    """A loop over resamples that compares every pair of a fold."""
    Z, Y, smiles = made_up
    noise = np.random.default_rng(1).normal(size=(60, 6))
    models = {"Z": Z, "noise": noise[np.r_[0:60, 0:30]]}
    options = {"probe": PROBE, "splits": ["molecule"], "cv": 2, "n_bootstrap": 2000}
    found = study_activity(models, Y, smiles, **options)
    labels = Y.iloc[:60, :3].to_numpy()
    keys = molecule_key(smiles[:60])
    folds = list(GroupKFold(2, shuffle=True, random_state=0).split(labels, groups=keys.astype(str)))
    scores = {}
    for model, features in (("Z", Z[:60]), ("noise", noise)):
        for number, (train, test) in enumerate(folds):
            probe = PROBE.fit(features[train], labels[train], groups=keys[train])
            scores[model, number] = probe.decision_function(features[test])
    generator = np.random.default_rng(7)
    drawn = np.array(
        [
            [_weighted_mean(labels, folds, scores, model, weights) for model in models]
            for weights in generator.multinomial(60, np.full(60, 1 / 60), size=400)
        ]
    )
    own = found.scores[found.scores["metric"] == "AUROC"].set_index("model")
    plain = [_weighted_mean(labels, folds, scores, model, np.ones(60)) for model in models]
    np.testing.assert_allclose(own.loc[list(models), "value"], plain)
    # 400 resamples know a standard deviation to 4 %.
    spread = (own["high"] - own["low"]).loc[list(models)] / (2 * 1.96)
    np.testing.assert_allclose(spread, drawn.std(axis=0), rtol=0.17)
    apart = found.differences[found.differences["metric"] == "AUROC"].iloc[0]
    spread = (apart["high"] - apart["low"]) / (2 * 1.96)
    assert spread == pytest.approx((drawn[:, 0] - drawn[:, 1]).std(), rel=0.17)


def _weighted_mean(labels, folds, scores, model, weights):
    """Mean over assays, pairs of a fold alone."""
    values = []
    for assay in range(labels.shape[1]):
        wins = pairs = 0.0
        for number, (_, test) in enumerate(folds):
            y, weight = labels[test, assay], weights[test]
            one, two = weight * (y == 1), weight * (y == 0)
            score = scores[model, number][:, assay]
            right = np.sign(np.subtract.outer(score, score)) / 2 + 0.5
            wins, pairs = wins + one @ right @ two, pairs + one.sum() * two.sum()
        values.append(wins / pairs)
    return np.mean(values)


def test_scaffolds_are_resampled_where_they_are_new(made_up):
    Z, Y, smiles = made_up
    found = study_activity({"Z": Z}, Y, smiles, probe=PROBE, **FAST)
    n_scaffolds = len(set(scaffold_groups(smiles)))
    assert 5 <= n_scaffolds < 60
    report = found.report()
    assert "unseen molecules: intervals and p resample the 60 molecules." in report
    line = f"unseen scaffolds: intervals and p resample the {n_scaffolds} scaffolds of its 60 molec"
    assert line in report
    assert "do not cover another training, other folds or other assays" in report
    assert "permutation tests" not in report
    assert found.unit == "molecule"


def test_medians_and_shares_have_no_interval(made_up):
    Z, Y, smiles = made_up
    noise = np.random.default_rng(1).normal(size=Z.shape)
    found = study_activity(
        {"Z": Z, "noise": noise, "more": noise[::-1]}, Y, smiles, probe=PROBE, **FAST
    )
    bounds = found.scores.set_index("metric")[["low", "high", "p_chance"]]
    described = ["median AUROC", "AUROC > 0.7", "AUROC > 0.9"]
    assert bounds.loc[described].isna().all(axis=None)
    resampled = bounds.drop(index=described)
    assert resampled.notna().all(axis=None)
    assert set(resampled.index) == {"AUROC", "AUPRC", "AUPRC - prevalence"}
    assert set(found.differences["metric"]) == {"AUROC", "AUPRC - prevalence"}
    for table in found.tables().values():
        assert (
            not table[described].apply(lambda column: column.str.contains(r"\[|nan")).any(axis=None)
        )
    values = found.scores.set_index("metric")["value"].drop(index=described)
    assert ((resampled["low"] < values) & (values < resampled["high"])).all()
    for _, family in found.differences.groupby(["part", "metric"]):
        np.testing.assert_allclose(family["p_holm"], holm(family["p"]))
        assert len(family) == 2


def test_few_of_a_label_have_no_interval(made_up):
    Z, Y, smiles = made_up
    rare = Y[["first"]].copy()
    active = np.flatnonzero(rare["first"].iloc[:60] == 1)[4:]
    # Four molecules stay active; the rows 60 to 89 are the molecules 0 to 29 again.
    rare.iloc[[*active, *(active[active < 30] + 60)], 0] = 0.0
    options = {"probe": PROBE, "splits": ["molecule"], "min_per_class": 2, "cv": 2, **FAST}
    found = study_activity({"Z": Z, "again": Z}, rare, smiles, **options)
    assert found.assays["n_active"].tolist() == [4, 4]
    assert found.scores[["low", "high", "p_chance"]].isna().all(axis=None)
    assert found.differences[["low", "high", "p", "p_holm"]].isna().all(axis=None)
    assert "no interval and no p, since fewer than 5 of the" in found.report()
    assert "no interval" in found.sentences()[0]


class Started(Recorder):
    """Says that it started from weights of a file."""

    def fit(self, X, y=None):
        """Remember molecules and file."""
        self.checkpoint_sha256_ = "0123456789abcdef"
        self.molecules_seen_ = np.unique(molecule_key(X["smiles"]))
        return super().fit(X)


def test_weights_of_a_checkpoint_are_reported(made_up):
    Z, Y, smiles = made_up
    X = pd.DataFrame({"smiles": smiles})
    options = {"probe": PROBE, "cv": 2, "X": X, **FAST}
    found = study_activity({"started": Started(), "Z": Z}, Y, smiles, **options)
    assert len(found.leakage) == 4
    assert not found.leakage["ok"].any()
    assert found.leakage["sentences"].str.startswith("The model starts from weights of").all()
    assert "started starts from weights of a checkpoint (SHA-256 01234567...)" in found.report()
    reference = study_activity({"Z": Z, "started": Started()}, Y, smiles, **options)
    assert reference.leakage["ok"].all()
    assert "started starts from weights of a checkpoint" in reference.report()
    piped = study_activity(
        {"m": make_pipeline(Started(), StandardScaler())}, Y, smiles, splits="molecule", **options
    )
    assert not piped.leakage["ok"].any()


def test_molecules_in_training_are_refused(made_up):
    _, Y, smiles = made_up
    X = pd.DataFrame({"smiles": smiles})
    frozen = FrozenEstimator(Started().fit(X))
    with pytest.raises(ValueError, match="test molecules were in the training of"):
        study_activity({"frozen": frozen}, Y, smiles, X=X, probe=PROBE, **FAST)
    digests = Started().fit(X)
    digests.molecules_seen_ = np.array(["0123456789abcdef"])
    with pytest.raises(ValueError, match=r"model 'm' holds a .* knows no structures"):
        study_activity({"m": FrozenEstimator(digests)}, Y, smiles, X=X)


def test_bad_input_is_named(made_up):
    Z, Y, smiles = made_up
    message = "Y has 90 rows for 89 structures.*assays_of_molecules"
    with pytest.raises(ValueError, match=message):
        study_activity({"Z": Z}, Y, smiles[:-1])
    with pytest.raises(ValueError, match=r"model 'Z' have shape \(89, 6\)"):
        study_activity({"Z": Z[:-1]}, Y, smiles)
    with pytest.raises(ValueError, match="no model 'other'"):
        study_activity({"Z": Z}, Y, smiles, model="other")
    with pytest.raises(ValueError, match="none of the 4 assay"):
        study_activity({"Z": Z}, Y, smiles, min_per_class=1000)
    with pytest.raises(ValueError, match="is trained on X, which is None"):
        study_activity({"Z": Recorder()}, Y, smiles)
    with pytest.raises(ValueError, match="splits must be"):
        study_activity({"Z": Z}, Y, smiles, splits=["plate"])
    for name, value, least in (
        ("n_bootstrap", 0, 20),
        ("n_bootstrap", 99.5, 20),
        ("cv", 1, 2),
        ("cv", GroupKFold(3), 2),
        ("min_per_class", 0, 1),
    ):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least {least}, got"):
            study_activity({"Z": Z}, Y, smiles, **{name: value})
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        study_activity({"Z": Z}, Y, smiles, confidence=95)
    holed = Z.copy()
    holed[7, 0] = np.nan
    with pytest.raises(ValueError, match="first row 7"):
        study_activity({"Z": holed}, Y, smiles)


def test_files_and_figures(made_up, tmp_path):
    pytest.importorskip("matplotlib")
    Z, Y, smiles = made_up
    found = study_activity({"Z": Z}, Y, smiles, probe=PROBE, data="toy", **FAST)
    names = {path.name for path in found.write(tmp_path)}
    stem = "activity_toy"
    endings = ("_assays.csv", "_excluded.csv", "_distribution.png", ".csv", ".png")
    assert {f"{stem}{ending}" for ending in endings} <= names
    assert all((tmp_path / name).stat().st_size for name in names)


def test_classes_are_one_against_the_rest():
    class Screen:
        classes = np.array(["a", None, "b", "a"], dtype=object)
        class_name = "MoA"

    table = _one_against_rest(Screen)
    assert table.columns.tolist() == ["MoA: a", "MoA: b"]
    expected = [[1, 0], [np.nan, np.nan], [0, 1], [1, 0]]
    np.testing.assert_array_equal(table.to_numpy(), expected)


def test_real_assays(data_home):
    found = activity_of_assays("chembl2k", ("morgan", "random codes"), data_home=data_home, folds=2)
    means = found.assays.groupby("model")["auroc"].mean()
    assert means["Morgan fingerprint"] > 0.7
    assert abs(means["random code a molecule"] - 0.5) < 0.08
    assert found.assays["assay"].nunique() <= 41


def test_unknown_tables_and_features_are_named():
    with pytest.raises(ValueError, match="'hti'"):
        activity_of_assays("other")
    with pytest.raises(ValueError, match="'morgan'"):
        activity_of_assays("hti", ("other",))


def test_rows_in_another_order_are_refused():
    Z, Y, smiles = (
        np.zeros((6, 2)),
        pd.DataFrame({"a": [0.0, 1, 0, 1, 0, 1]}),
        ["C" * n for n in range(1, 7)],
    )
    shuffled = Y.iloc[::-1]
    message = r"rows of Y and smiles have different names, first in row 0: 5 and 0"
    with pytest.raises(ValueError, match=message):
        study_activity({"Z": Z}, shuffled, pd.Series(smiles))


def test_controls_are_refused():
    X = make_profiles(n_compounds=24, random_state=0)
    Y = np.zeros((len(X), 1))
    with pytest.raises(ValueError, match="64 rows of X are negative controls"):
        study_activity({"Z": np.zeros((len(X), 2))}, Y, X["Metadata_smiles"].to_numpy(), X=X)


def test_labels_of_molecules_are_those_of_their_rows(made_up):
    Z, Y, smiles = made_up
    by_molecule = Y.iloc[:60].set_axis(smiles[:60], axis=0)
    shuffled = by_molecule.sample(frac=1, random_state=0)
    wells = pd.Series(smiles, index=[f"well {n}" for n in range(90)])
    joined = assays_of_molecules(shuffled, wells)
    assert joined.index.equals(wells.index)
    pd.testing.assert_frame_equal(joined, Y.set_axis(wells.index, axis=0))
    options = {"probe": PROBE, "splits": ["molecule"], **FAST}
    ours = study_activity({"Z": Z}, joined, wells, **options)
    pd.testing.assert_frame_equal(
        ours.scores, study_activity({"Z": Z}, Y, smiles, **options).scores
    )


def test_labels_of_molecules_are_matched_by_the_molecule():
    Y = pd.DataFrame(
        {"a": [1, 0, np.nan, 1], "b": [1, 1, 0, np.nan]},
        index=["C[C@H](O)CC", "C[C@@H](O)CC", "CCN", "CCN.Cl"],
    )
    with pytest.warns(UserWarning, match="1 labels, about which rows of one molecule contradict"):
        found = assays_of_molecules(Y, ["CC(O)CC", "NCC", "CCC", "NCC"])
    expected = [[np.nan, 1], [1, 0], [np.nan, np.nan], [1, 0]]
    np.testing.assert_array_equal(found.to_numpy(), expected)
    assert found.columns.tolist() == ["a", "b"]


def test_labels_of_other_molecules_are_refused():
    Y = pd.DataFrame({"a": [1.0, 0.0]}, index=["CCO", "CCN"])
    with pytest.raises(ValueError, match="none of the 1 molecules of smiles is among the 2 of Y"):
        assays_of_molecules(Y, ["CCC"])
    with pytest.raises(TypeError, match="whose index holds SMILES; got ndarray"):
        assays_of_molecules(Y.to_numpy(), ["CCO"])
    with pytest.raises(ValueError, match="row 0, column 0 of Y holds"):
        assays_of_molecules(Y + 1, ["CCO"])
    with pytest.raises((TypeError, ValueError)) as caught:
        assays_of_molecules(Y.reset_index(drop=True), ["CCO"])
    assert "in the index of Y" in "".join(caught.value.__notes__)


def test_models_come_first():
    with pytest.raises(TypeError, match=r"models comes first.*DataFrame"):
        study_activity(pd.DataFrame(), {}, ["C"])


def test_labels_elsewhere_that_contradict_each_other_are_counted(monkeypatch):
    """Two enantiomers, of which one is active: no label of the molecule, and a note."""
    smiles = ["C" * n + "O" for n in range(2, 14)] + ["C[C@H](O)CC", "C[C@@H](O)CC"]
    target = pd.DataFrame({"toxic": [0.0, 1.0] * 7})
    table = SimpleNamespace(data=pd.DataFrame({"smiles": smiles}), target=target)
    monkeypatch.setattr(activity_data, "load_assays", lambda *_: table)
    monkeypatch.setattr(activity_data, "ELSEWHERE", ("made up",))
    keys = molecule_key(smiles)
    labels, (note,) = measured_elsewhere(keys, None)
    assert note.endswith("1 labels that its rows of one molecule contradict are none.")
    assert labels["made up: toxic"].isna().tolist() == [False] * 12 + [True] * 2
    table.target = target.assign(toxic=np.where(np.arange(14) < 12, target["toxic"], 1.0))
    assert "contradict" not in measured_elsewhere(keys, None)[1][0]
