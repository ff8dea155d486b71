"""The comparison: against naive loops, on planted signals, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut
from sklearn.pipeline import make_pipeline

from cloome_sk import ZeroShotMoAClassifier
from cloome_sk.baselines import (
    CompoundLDAEmbedder,
    ProfileEmbedder,
    RidgeEmbedder,
    ShuffledPairs,
    TanimotoKernelEmbedder,
    cell_count_classifier,
    chance_classifier,
    compare,
    default_controls,
    linear_probe,
    morgan_classifier,
    profile_classifier,
)
from cloome_sk.datasets import load_cell_injury, make_profiles
from cloome_sk.encoders import MoleculeEncoder
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer


class OneFold:
    """A splitter of one given fold."""

    def __init__(self, cv):
        self.cv = cv

    def split(self, X, y, groups):
        return list(self.cv.split(X, y, groups))[:1]


def treated(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["Metadata_control_type"].isna()].reset_index(drop=True)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def value(table: pd.DataFrame, model: str, metric: str, column: str = "value") -> float:
    rows = table[(table["model"] == model) & (table["metric"] == metric)]
    assert len(rows) == 1, table["metric"].unique()
    return rows[column].iloc[0]


# --------------------------------------------------------------------------- against naive loops


def test_retrieval_of_unseen_molecules_equals_a_loop_over_folds(strong):
    X = treated(strong)
    keys = molecule_key(X["Metadata_smiles"])
    model = TanimotoKernelEmbedder()
    hits, relative, reverse, candidates = [], [], [], []
    for train, test in GroupKFold(4).split(X, groups=keys):
        fitted = TanimotoKernelEmbedder().fit(X.iloc[train])
        Z = fitted.embed_phenotypes(X.iloc[test]).astype(float)
        names = list(dict.fromkeys(keys[test]))
        pooled = unit(np.array([Z[keys[test] == name].mean(axis=0) for name in names]))
        first = [X["Metadata_smiles"].iloc[test[list(keys[test]).index(name)]] for name in names]
        molecules = fitted.embed_molecules(first).astype(float)
        similarity = pooled @ molecules.T
        for i in range(len(names)):
            ahead = (similarity[i] > similarity[i, i]).sum()
            hits.append(ahead == 0)
            relative.append(ahead / (len(names) - 1))
            reverse.append((similarity[:, i] > similarity[i, i]).sum() < 5)
            candidates.append(len(names))
    found = compare(X, {"m": model}, task="unseen_molecules", cv=GroupKFold(4), random_state=0)
    assert value(found, "m", "R@1 phenotype to molecule") == pytest.approx(np.mean(hits))
    assert value(found, "m", "relative rank phenotype to molecule") == pytest.approx(
        np.mean(relative)
    )
    assert value(found, "m", "R@5 molecule to phenotype") == pytest.approx(np.mean(reverse))
    chance = np.mean([1 / n for n in candidates])
    assert value(found, "m", "R@1 phenotype to molecule", "chance") == pytest.approx(chance)
    assert (found["n"] == len(np.unique(keys))).all()
    assert (found["low"] <= found["value"]).all()
    assert (found["high"] >= found["value"]).all()


def test_replicates_on_unseen_plates_equal_a_loop(tiny):
    X = treated(tiny)
    # uneven numbers of wells: each molecule must count once all the same
    X = X.drop(index=[1, 5, 40, 41]).reset_index(drop=True)
    keys = molecule_key(X["Metadata_smiles"])
    plates, wells = X["Metadata_Plate"].to_numpy(), X["Metadata_Well"].to_numpy()
    hits: dict[str, list[float]] = {}
    moved: dict[str, list[float]] = {}
    for train, test in LeaveOneGroupOut().split(X, groups=plates):
        fitted = ProfileEmbedder().fit(X.iloc[train])
        Q = fitted.embed_phenotypes(X.iloc[test]).astype(float)
        D = fitted.embed_phenotypes(X.iloc[train]).astype(float)
        for i, row in enumerate(test):
            if keys[row] not in keys[train]:
                continue
            order = np.argsort(-(Q[i] @ D.T))
            hits.setdefault(keys[row], []).append(keys[train[order[0]]] == keys[row])
            free = [j for j in order if wells[train[j]] != wells[row]]
            if keys[row] in keys[train[free]]:
                moved.setdefault(keys[row], []).append(keys[train[free[0]]] == keys[row])
    found = compare(
        X, {"m": ProfileEmbedder()}, task="unseen_plates", cv=LeaveOneGroupOut(), random_state=0
    )
    for metric, expected in (
        ("R@1 phenotype to replicate", hits),
        ("R@1 phenotype to replicate at another position", moved),
    ):
        macro = np.mean([np.mean(list(of_one)) for of_one in expected.values()])
        assert value(found, "m", metric) == pytest.approx(macro)
        assert value(found, "m", metric, "n") == len(expected)


def test_class_metrics_equal_scikit_learn_in_one_fold(strong):
    X = treated(strong)
    y = X["Metadata_moa"].to_numpy()
    keys = molecule_key(X["Metadata_smiles"])
    cv = OneFold(GroupKFold(2))
    train, test = cv.split(X, y, keys)[0]
    model = profile_classifier().fit(X.iloc[train], y[train])
    frame = pd.DataFrame(model.predict_proba(X.iloc[test]), columns=model.classes_)
    mean = frame.groupby(keys[test]).mean()
    truth = pd.Series(y[test]).groupby(keys[test]).first()
    areas = [roc_auc_score(truth == name, mean[name]) for name in sorted(set(truth))]
    accuracy = balanced_accuracy_score(truth, mean.idxmax(axis=1))
    found = compare(X, {"m": profile_classifier()}, task="classes", y="moa", cv=cv)
    assert value(found, "m", "macro AUROC") == pytest.approx(np.mean(areas))
    assert value(found, "m", "balanced accuracy") == pytest.approx(accuracy)
    assert value(found, "m", "balanced accuracy", "chance") == pytest.approx(1 / len(set(y)))


def test_class_frequencies_alone_score_one_half(tiny):
    # pooled over folds, roc_auc_score would be below .5 here
    found = compare(
        tiny, {"chance": chance_classifier()}, task="classes", y="moa", cv=3, random_state=0
    )
    assert value(found, "chance", "macro AUROC") == 0.5
    assert value(found, "chance", "macro AUROC", "low") == 0.5


# ------------------------------------------------------------------------------- planted signals


@pytest.mark.slow
def test_compounds_that_do_nothing_leave_models_at_chance():
    # One screen is one draw for all models at once; the mean over screens shows a bias.
    ranks, areas, covered = [], [], []
    for seed in range(10):
        X = make_profiles(
            n_compounds=48, n_plates=2, n_controls=4, n_features=40, signal=0.0, random_state=seed
        )
        models = {"kernel": TanimotoKernelEmbedder(), "ridge": RidgeEmbedder()}
        found = compare(X, models, task="unseen_molecules", random_state=seed, n_bootstrap=200)
        ranks.append(found[found["metric"].str.contains("relative rank")]["value"].mean())
        inside = (found["low"] <= found["chance"]) & (found["chance"] <= found["high"])
        covered.append(inside.mean())
        probe = {"profile": profile_classifier(), "count": cell_count_classifier()}
        found = compare(X, probe, task="classes", y="moa", cv=3, random_state=seed, n_bootstrap=200)
        areas.append(found[found["metric"] == "macro AUROC"]["value"].mean())
    assert np.mean(ranks) == pytest.approx(0.5, abs=0.05)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)
    assert np.mean(covered) > 0.8


def test_large_effects_are_found_in_the_order_they_were_planted(strong):
    names = ["well position", "profile", "LDA on compound labels", "Tanimoto-kernel average"]
    controls = default_controls("unseen_plates")
    models = {name: controls[name] for name in names}
    models["shuffled"] = ShuffledPairs(CompoundLDAEmbedder(), random_state=0)
    found = compare(strong, models, task="unseen_plates", cv=2, random_state=0)
    metric = "R@1 phenotype to replicate"
    assert value(found, "profile", metric, "low") > 0.5
    assert value(found, "LDA on compound labels", metric) >= value(found, "profile", metric) - 0.05
    # the layout is scrambled, so position finds nothing
    assert value(found, "well position", metric) < 0.1
    assert value(found, "LDA on compound labels", "R@1 phenotype to molecule", "low") > 0.5
    assert value(found, "shuffled", "R@1 phenotype to molecule", "high") < 0.2


def test_a_fixed_layout_makes_position_find_replicates():
    X = make_profiles(n_compounds=40, signal=0.0, layout="fixed", random_state=0)
    controls = default_controls("unseen_plates")
    models = {name: controls[name] for name in ("well position", "cell count")}
    found = compare(X, models, task="unseen_plates", cv=2, random_state=0)
    assert value(found, "well position", "R@1 phenotype to replicate") == 1
    another = "R@1 phenotype to replicate at another position"
    assert np.isnan(value(found, "well position", another))
    assert value(found, "well position", another, "n") == 0
    assert value(found, "cell count", "R@1 phenotype to replicate") < 0.2


def test_the_mechanism_is_in_the_profile_and_partly_in_the_structure():
    X = make_profiles(
        signal=2.0, moa_signal=1.0, compound_signal=0.3, inactive_fraction=0.0, random_state=0
    )
    X = ControlNormalizer().fit_transform(X)
    models = {"profile": profile_classifier(), "chance": chance_classifier()}
    found = compare(X, models, task="classes", y="moa", random_state=0)
    assert value(found, "profile", "macro AUROC", "low") > 0.9
    assert value(found, "profile", "balanced accuracy", "low") > 3 / X["Metadata_moa"].nunique()


# ---------------------------------------------------------------------------------------- the rest


def test_lda_has_no_answer_for_unseen_molecules(tiny):
    found = compare(tiny, {"lda": CompoundLDAEmbedder()}, task="unseen_molecules", random_state=0)
    assert found["value"].isna().all()
    assert (found["n"] == 0).all()


def test_the_same_seed_gives_the_same_table_whatever_the_number_of_jobs(tiny):
    models = {"kernel": TanimotoKernelEmbedder(), "profile": ProfileEmbedder()}
    once = compare(tiny, models, task="unseen_plates", cv=2, random_state=3)
    with parallel_config("threading"):
        again = compare(tiny, models, task="unseen_plates", cv=2, random_state=3, n_jobs=2)
    pd.testing.assert_frame_equal(once, again)
    assert once.columns.tolist() == [
        *("model", "task", "metric", "value", "low", "high", "chance", "n")
    ]
    assert not once["metric"].str.contains("molecule")[once["model"] == "profile"].any()


def test_controls_train_but_are_never_scored(tiny):
    pipeline = make_pipeline(ControlNormalizer(), TanimotoKernelEmbedder())
    for task in ("unseen_molecules",):
        found = compare(tiny, {"m": pipeline}, task=task, random_state=0)
        assert (found["n"] == treated(tiny)["Metadata_smiles"].nunique()).all()


# On a screen this small most classes have a molecule or two, and shuffling within them says so.
@pytest.mark.filterwarnings("ignore:ShuffledPairs. only:UserWarning")
def test_a_comparison_with_all_controls_of_an_embedder_runs(tiny, small):
    embedder = small(max_epochs=2)
    for task, y in (("unseen_molecules", None), ("classes", "moa")):
        model = linear_probe(embedder) if task == "classes" else embedder
        controls = default_controls(task, table=tiny, embedder=embedder, within="moa")
        found = compare(tiny, {"CLOOME": model, **controls}, task=task, y=y, cv=2, n_bootstrap=50)
        assert set(found["model"]) == {"CLOOME", *controls}
        assert {"untrained encoder", "random molecule codes"} <= set(controls)
        assert np.isfinite(found["value"]).all()


def test_leaks_are_refused(tiny):
    model = {"kernel": TanimotoKernelEmbedder()}
    with pytest.raises(ValueError, match=r"fold 0 has \d+ molecule\(s\) both in training and"):
        compare(tiny, model, task="unseen_molecules", groups=np.arange(len(tiny)), cv=3)
    with pytest.raises(ValueError, match=r"plate\(s\) both in training and in test"):
        compare(tiny, model, task="unseen_plates", groups=np.arange(len(tiny)), cv=3)
    frozen = FrozenEstimator(TanimotoKernelEmbedder().fit(tiny))
    with pytest.raises(ValueError, match="were in the training of this model") as caught:
        compare(tiny, {"frozen": frozen}, task="unseen_molecules", cv=2)
    assert "model 'frozen', fold 0 of 2" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="were in the training of this model"):
        compare(tiny, {"frozen": linear_probe(frozen)}, task="classes", y="moa", cv=2)


@pytest.mark.parametrize(
    "wrap",
    [
        FrozenEstimator,
        lambda fitted: make_pipeline(FrozenEstimator(fitted)),
        lambda fitted: FrozenEstimator(make_pipeline(fitted)),
        lambda fitted: ProfileEmbedder(phenotype=FrozenEstimator(fitted)),
    ],
    ids=["bare", "step", "frozen pipeline", "parameter"],
)
@pytest.mark.parametrize("model", [TanimotoKernelEmbedder(), ProfileEmbedder()])
def test_a_frozen_embedder_says_nothing_about_unseen_plates(wrap, model, tiny):
    trained_on_all_plates = wrap(clone(model).fit(tiny))
    with pytest.raises(ValueError, match=r"'m' holds a .*Pass an embedder that is trained in each"):
        compare(tiny, {"m": trained_on_all_plates}, task="unseen_plates", cv=2)


def test_frozen_parts_that_are_no_embedder_may_stay_for_unseen_plates(tiny):
    model = make_pipeline(FrozenEstimator(ControlNormalizer().fit(tiny)), ProfileEmbedder())
    found = compare(tiny, {"m": model}, task="unseen_plates", cv=2, n_bootstrap=50)
    assert found["value"].notna().any()


def test_a_zero_shot_classifier_of_a_frozen_embedder_is_refused(tiny, small):
    frozen = FrozenEstimator(small(max_epochs=1).fit(tiny))
    with pytest.raises(ValueError, match="were in the training of this model"):
        compare(tiny, {"m": ZeroShotMoAClassifier(frozen)}, task="classes", y="moa", cv=2)


def test_an_embedder_of_precomputed_features_must_be_trained_in_each_fold(tiny, small):
    X = tiny.assign(**{f"bit_{i}": np.arange(len(tiny)) // 2**i % 2 for i in range(7)})
    features = MoleculeEncoder(
        columns=[f"bit_{i}" for i in range(7)], features="precomputed", hidden_sizes=(8,)
    )
    embedder = small(molecule=features, max_epochs=1)
    frozen = linear_probe(FrozenEstimator(clone(embedder).fit(X)))
    with pytest.raises(ValueError, match=r"precomputed molecule features .*cannot be checked"):
        compare(X, {"m": frozen}, task="classes", y="moa", cv=2)
    fair = compare(X, {"m": linear_probe(embedder)}, task="classes", y="moa", cv=2, n_bootstrap=50)
    assert fair["value"].notna().all()


def test_bad_input_is_named(tiny):
    kernel = {"m": TanimotoKernelEmbedder()}
    classifier = {"m": morgan_classifier()}
    with pytest.raises(ValueError, match="task must be one of"):
        compare(tiny, kernel, task="retrieval")
    with pytest.raises(ValueError, match="no models"):
        compare(tiny, {}, task="unseen_plates")
    with pytest.raises(ValueError, match="needs y"):
        compare(tiny, classifier, task="classes")
    with pytest.raises(ValueError, match="the other tasks take none"):
        compare(tiny, kernel, task="unseen_plates", y="moa")
    with pytest.raises(TypeError, match=r"'m' .*no predict_proba.*linear_probe"):
        compare(tiny, kernel, task="classes", y="moa")
    with pytest.raises(TypeError, match=r"'m' \(DummyClassifier\) has no embed_phenotypes"):
        compare(tiny, {"m": DummyClassifier()}, task="unseen_plates")
    with pytest.raises(TypeError, match="no embed_molecules"):
        compare(tiny, {"m": ProfileEmbedder()}, task="unseen_molecules")
    with pytest.raises(ValueError, match=r"y has 3 value\(s\) for the 120 rows"):
        compare(tiny, classifier, task="classes", y=["a", "b", "c"])
    holes = tiny["Metadata_moa"].where(tiny.index != treated(tiny).index[7])
    row = int(np.flatnonzero(holes.isna() & tiny["Metadata_control_type"].isna())[0])
    with pytest.raises(ValueError, match=f"y is missing in 1 treated row.*row {row}"):
        compare(tiny, classifier, task="classes", y=holes)
    lonely = tiny["Metadata_pert_iname"]
    with pytest.raises(ValueError, match=r"24 class\(es\) have one molecule only"):
        compare(tiny, classifier, task="classes", y=lonely)
    with pytest.raises(TypeError, match="cv must be"):
        compare(tiny, kernel, task="unseen_plates", cv="five")
    with pytest.raises(ValueError, match="no column 'plate'"):
        compare(tiny.drop(columns="Metadata_Plate"), kernel, task="unseen_plates")


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:2 well")
def test_late_fusion_leads_on_the_injury_classes_and_the_cell_count_trails(data_home):
    X = ControlNormalizer().fit_transform(load_cell_injury(data_home))
    wanted = {
        *("chance", "cell count", "profile + LR", "Morgan + LR"),
        *("profile and Morgan, late fusion",),
    }
    controls = default_controls("classes", table=X)
    models = {name: model for name, model in controls.items() if name in wanted}
    found = compare(X, models, task="classes", y="injury_type", random_state=0)
    area = found[found["metric"] == "macro AUROC"].set_index("model")["value"]
    assert area["chance"] == 0.5
    assert area["cell count"] < area["profile + LR"] - 0.1
    assert area["profile and Morgan, late fusion"] > max(area["profile + LR"], area["Morgan + LR"])


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:2 well")
def test_compound_labels_alone_find_replicates_better_than_profiles(data_home):
    X = ControlNormalizer().fit_transform(load_cell_injury(data_home))
    models = {"profile": ProfileEmbedder(), "LDA": CompoundLDAEmbedder()}
    found = compare(X, models, task="unseen_plates", random_state=0)
    metric = "R@1 phenotype to replicate at another position"
    assert value(found, "LDA", metric) > value(found, "profile", metric) > 0.4


def test_probes_of_frozen_parts_that_saw_nothing_are_fine(tiny):
    model = make_pipeline(FrozenEstimator(ControlNormalizer().fit(tiny)), profile_classifier())
    found = compare(tiny, {"m": model}, task="classes", y="moa", cv=2, random_state=0)
    assert found["value"].notna().all()
    assert isinstance(profile_classifier()[-1], LogisticRegression)
