"""The study of confidence on molecules whose classes are known to be told apart, or not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupShuffleSplit, PredefinedSplit

from cloome_sk.baselines import CCAEmbedder, ProfileEmbedder, TanimotoKernelEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.evaluation import _confidence_classes, confidence_of_screen, load_screen
from cloome_sk.evaluation._confidence_classes import ask_classes
from cloome_sk.evaluation._confidence_table import _Halves
from cloome_sk.evaluation.confidence import study_confidence
from cloome_sk.molecules import molecule_key

N = 120
CLASSES = "classes of unseen molecules"
SMILES = np.array(["C" * (n + 1) + "O" for n in range(N)])


class Given(TransformerMixin, BaseEstimator):
    """An embedder whose vectors stand in the table, or are random."""

    trained_on = ()

    def __init__(self, random=False):
        self.random = random

    def fit(self, X, y=None):
        Given.trained_on += (X,)
        self.n_seen_ = len(X)
        return self

    def embed_phenotypes(self, X):
        if self.random:
            return np.random.RandomState(0).normal(size=(len(X), 10))
        return X[[name for name in X if name.startswith("Feature_")]].to_numpy(np.float64)

    def transform(self, X):
        return self.embed_phenotypes(X)


def table_of(Z, of, y):
    columns = [f"Feature_{n}" for n in range(Z.shape[1])]
    return pd.DataFrame(Z, columns=columns).assign(Metadata_smiles=SMILES[of], Metadata_kind=y)


@pytest.fixture(scope="module")
def screen():
    """Four classes, three wells a molecule; the last molecule has no class."""
    rng = np.random.default_rng(0)
    kind = np.arange(N) % 4
    of = np.repeat(np.arange(N), 3)
    middle = np.eye(4, 10)[kind] + 0.2 * rng.normal(size=(N, 10))
    y = np.array(["a", "b", "c", "d"], dtype=object)[kind][of]
    y[of == N - 1] = None
    return table_of(middle[of] + 0.05 * rng.normal(size=(len(of), 10)), of, y)


@pytest.fixture(scope="module")
def study(screen):
    Given.trained_on = ()
    models = {"good": Given(), "noise": Given(random=True)}
    options = {"label": "kind", "cv": 2, "n_draws": 6, "random_state": 0, "data": "toy"}
    result = study_confidence(screen, models, controls=None, **options)
    return result, Given.trained_on


def test_trains_on_half_of_the_molecules_of_each_class(study):
    result, trained_on = study
    assert len(trained_on) == 4
    for table in trained_on:
        molecules = table.drop_duplicates("Metadata_smiles")
        # The one molecule without a class is half of one, rounded down.
        sizes = molecules["Metadata_kind"].value_counts(dropna=False).to_dict()
        assert sizes == {"a": 15, "b": 15, "c": 15, "d": 14}
        assert len(table) == 3 * len(molecules)
    pd.testing.assert_frame_equal(trained_on[0], trained_on[2])
    assert result.leakage["ok"].all()
    assert result.leakage["fold"].tolist() == [0, 1]
    assert "357 of 360 treated rows have a class (4 classes, 119 of 120" in result.notes[0]
    assert "The 3 others" in result.notes[0]


def test_deals_do_not_depend_on_the_halves_of_the_same_seed(monkeypatch):
    """Whatever the half, two thirds of what is left calibrate: each molecule alike, over seeds."""
    dealt = []
    monkeypatch.setattr(_confidence_classes, "_calibrated", lambda *given: dealt.append(given[4]))
    for name in ("_of_sets", "_of_novelty"):
        monkeypatch.setattr(_confidence_classes, name, lambda *_: [])
    nothing = ([], pd.DataFrame())
    monkeypatch.setattr(_confidence_classes, "_of_probabilities", lambda *_: nothing)
    of = np.arange(24)
    labels = np.array(list("abc"), dtype=object)[of % 3]
    for seed in range(800):
        ((train, _),) = _Halves(labels, of, [seed]).split(of)
        chosen = np.isin(of, train)
        # Of class and molecule; what is measured does not matter.
        ask_classes("A", of[:, None], labels, of, chosen, 1, seed)
        dealt[-1] = np.where(chosen, np.nan, dealt[-1])
    share, n = np.nanmean(dealt, axis=0), np.sum(~np.isnan(dealt), axis=0)
    assert (np.abs(share - 2 / 3) < 4.5 * np.sqrt(2 / 9 / n)).all()


def test_both_cover_but_only_the_good_one_with_small_sets(study):
    scores = study[0].scores.set_index(["model", "metric"])
    for model in ("good", "noise"):
        for level in (0.8, 0.9, 0.95):
            # 40 calibration molecules: at most 2 / 41 above.
            share = scores.loc[(model, f"coverage {level:.0%}"), "value"]
            assert level - 0.06 < share < level + 2 / 41 + 0.06
    assert scores.loc[("good", "set size 90%"), "value"] < 1.3
    assert scores.loc[("noise", "set size 90%"), "low"] > 3.2
    assert scores.loc[("good", "novelty AUROC"), "low"] > 0.9
    noise = scores.loc[("noise", "novelty AUROC")]
    assert noise["low"] < 0.5 < noise["high"]
    assert scores.loc[("noise", "ECE after"), "value"] < scores.loc[("noise", "ECE before"), "low"]
    assert scores.loc[("noise", "log loss after"), "value"] == pytest.approx(np.log(4), abs=0.05)
    row = study[0].differences.set_index("metric").loc["set size 90%"]
    assert row["difference"] < -2
    assert row["p_holm"] < 0.001


def test_report_says_what_was_promised_and_files_are_written(study, tmp_path):
    found = study[0]
    text = found.report()
    assert "Sets of good that promise 90% hold the true class of" in text
    assert "better than chance (3.600)" in text
    assert "No parts on hits, as they embed no molecules: good, noise." in text
    assert found.scores["part"].unique().tolist() == [CLASSES]
    names = {path.name for path in found.write(tmp_path)}
    assert {"confidence_toy.csv", "confidence_toy.png"} <= names
    assert "confidence_toy_hits.png" not in names
    with pytest.raises(ValueError, match="no model embeds molecules"):
        found.plot_hits()


def test_too_few_calibration_molecules_are_said_and_are_not_worse_than_chance():
    """Of 21 molecules 9 train and 8 calibrate, which allows for a coverage of 80 % only."""
    rng = np.random.default_rng(0)
    kind, of = np.arange(21) % 3, np.arange(21)
    X = table_of(np.eye(3)[kind] + 0.1 * rng.normal(size=(21, 3)), of, np.array(list("abc"))[kind])
    found = study_confidence(X, {"A": Given()}, label="kind", cv=2, controls=None, random_state=0)
    assert found.n_calibration == (8, 8)
    sizes = found.scores.set_index("metric")["value"]
    assert sizes["set size 80%"] < 2
    assert (sizes[["set size 90%", "set size 95%"]] == 3).all()
    eighty, ninety, ninety_five, headline = found.sentences()
    assert "Sets of A that promise 80% hold the true class" in eighty
    assert ninety.startswith("8 calibration molecules cannot give a coverage of 90%, which takes 9")
    assert "95%, which takes 19: every set holds every class" in ninety_five
    assert "set size 90% says nothing of A." in headline
    assert "chance" not in " ".join(found.sentences())
    # Sets that hold every class are no picture.
    assert found.plot().axes[0].get_xlabel() == "set size 80%"
    assert found.plot("set size 90%").axes[0].get_xlabel() == "set size 90%"


@pytest.fixture(scope="module")
def profiles():
    return make_profiles(n_compounds=48, random_state=0)


OPTIONS = {"label": "moa", "cv": 2, "n_draws": 4, "n_bootstrap": 100, "random_state": 0}


@pytest.fixture(scope="module")
def hits(profiles):
    models = {"kernel": TanimotoKernelEmbedder(), "profile": ProfileEmbedder()}
    return study_confidence(profiles, models, data="simulated", **OPTIONS)


def test_hits_have_parts_sentences_and_a_picture_of_their_own(hits, tmp_path):
    both = ("phenotype to molecule", "molecule to phenotype")
    parts = [f"hits of unseen molecules, {direction}" for direction in both]
    absent = [f"{part}, own molecule left out" for part in parts]
    assert set(hits.scores["part"]) == {CLASSES, *parts, *absent}
    own = hits.scores[hits.scores["part"] != CLASSES]
    assert set(own["model"]) == {"kernel"}
    assert not set(hits.differences["part"]) & set(absent)
    # 24 molecules are not trained on: 16 calibrate, which is too few for 5 %.
    assert hits.n_calibration_hits == (16, 16)
    assert hits.n_queries == (8, 8)
    text = hits.report()
    for direction in both:
        assert f"{direction}: where its own molecule is left out, the best hit of kernel" in text
    assert "p <= 5% takes 19 mismatched molecules, and there are 16." in text
    assert "no p is below 0.059. q <= 10% and 20% can be reached" in text
    names = {path.name for path in hits.write(tmp_path)}
    assert "confidence_simulated_hits.png" in names
    titles = [" ".join(panel.get_title().split()) for panel in hits.plot_hits().axes]
    assert "phenotype to molecule: false alarms, p <= 10%" in titles[0]
    assert len(titles) == 6


def test_of_nothing_found_the_report_says_so_plainly(hits):
    own = hits.scores.set_index(["part", "metric"])
    for direction in ("phenotype to molecule", "molecule to phenotype"):
        part = f"hits of unseen molecules, {direction}"
        for level in (0.1, 0.2):
            wrong = own.loc[(part, f"queries wrong, q <= {level:.0%}")]
            said = f"{direction}: NO hit of kernel has q <= {level:.0%} in any of 8 deals."
            assert (said in hits.report()) == (wrong["n"] == 0)
            if wrong["n"] == 0:
                assert np.isnan(wrong["value"])
                assert own.loc[(part, f"hits, q <= {level:.0%}"), "value"] == 0
    few = {"phenotype to molecule": 5, "molecule to phenotype": 5}
    # ceil(8 queries / (10 % of 17 ranks)) must have the smallest p for any q of 10 %.
    assert all(f"{n} of 8 queries or more" in hits.report() for n in few.values())


# Threads share one list of filters, so that a study's own may be lost in another thread.
@pytest.mark.filterwarnings("ignore:ZeroShotMoAClassifier")
def test_does_not_depend_on_jobs_nor_on_other_models(profiles, hits):
    models = {"kernel": TanimotoKernelEmbedder(), "profile": ProfileEmbedder()}
    with parallel_config("threading"):
        again = study_confidence(profiles, models, n_jobs=2, **OPTIONS)
    pd.testing.assert_frame_equal(hits.scores, again.scores)
    alone = study_confidence(profiles, {"kernel": TanimotoKernelEmbedder()}, **OPTIONS)
    mine = hits.scores[hits.scores["model"] == "kernel"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, alone.scores)


def test_splitter_tables_and_labels_as_an_array(profiles):
    splitter = GroupShuffleSplit(2, test_size=0.5, random_state=3)
    y = np.where(profiles["Metadata_moa"].notna(), "x", None)
    # Classes that any half of the molecules has.
    treated = np.flatnonzero(profiles["Metadata_moa"].notna())
    keys = pd.factorize(molecule_key(profiles["Metadata_smiles"].iloc[treated]))[0]
    y[treated] = np.array(["x", "y", "z"], dtype=object)[keys % 3]
    scaled = profiles.copy()
    features = [name for name in scaled if name.startswith(("Cells_", "Cytoplasm_", "Nuclei_"))]
    scaled[features] = -scaled[features]
    models = {"A": ProfileEmbedder(), "B": ProfileEmbedder()}
    options = {"label": y, "cv": splitter, "n_draws": 2, "random_state": 0, "n_bootstrap": 50}
    found = study_confidence(profiles, models, tables={"B": scaled}, **options)
    values = found.scores.pivot(index="metric", columns="model", values="value")
    # A cosine does not change where all vectors are turned round.
    np.testing.assert_allclose(values["A"], values["B"], atol=1e-6)
    assert found.leakage["fold"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        ([ProfileEmbedder()], TypeError, "models is a dict of names and estimators, got list"),
        ({}, ValueError, "no models"),
        ({"A": lambda rows, seed: None}, TypeError, "model 'A' .function. is no estimator with"),
        ({"A": ProfileEmbedder}, TypeError, "the class ProfileEmbedder"),
        ({"A": BaseEstimator()}, TypeError, "embed_phenotypes. Pass an unfitted one"),
    ],
)
def test_models_of_a_wrong_type(profiles, models, error, message):
    with pytest.raises(error, match=message):
        study_confidence(profiles, models, label="moa")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": "mechanism"}, r"(?s)study_confidence\(label=\).*mechanism"),
        ({"label": ["a", "b"]}, "label has 2 value.s. for the 256 rows"),
        ({"label": "smiles"}, "three classes|3 classes or more.*48 of one molecule"),
        ({"cv": 0}, "cv"),
        ({"cv": "half"}, "cv must be a number of folds or a splitter"),
        ({"n_draws": 0}, "n_draws"),
        ({"confidence": 1.0}, "confidence"),
        ({"tables": {"B": None}}, "tables names 'B', but the models are 'A'"),
    ],
)
def test_parameters(profiles, changed, message):
    options = {"label": "moa", "cv": 1, "n_draws": 1, **changed}
    with pytest.raises((ValueError, TypeError), match=message):
        study_confidence(profiles, {"A": ProfileEmbedder()}, **options)


def test_tables_of_other_rows(profiles):
    for table, message in (
        (profiles[:-1], "255 rows and X 256"),
        (profiles.assign(Metadata_smiles=profiles["Metadata_smiles"].shift(-1)), "tables"),
    ):
        with pytest.raises(ValueError, match=message):
            study_confidence(profiles, {"A": ProfileEmbedder()}, label="moa", tables={"A": table})


def test_tables_that_lack_something(profiles):
    A = {"A": ProfileEmbedder()}
    with pytest.raises(TypeError, match="study_confidence takes a pandas DataFrame, got ndarray"):
        study_confidence(profiles.to_numpy(), A, label="moa")
    with pytest.raises(ValueError, match="smiles"):
        study_confidence(profiles.drop(columns="Metadata_smiles"), A, label="moa")
    controls = profiles[profiles["Metadata_moa"].isna()]
    with pytest.raises(ValueError, match="rows are negative controls"):
        study_confidence(controls, A, label="moa")


def test_classes_of_one_molecule_are_left_out_and_counted(screen):
    X = screen.copy()
    X.loc[X["Metadata_smiles"] == SMILES[0], "Metadata_kind"] = "rare"
    found = study_confidence(X, {"A": Given()}, label="kind", cv=1, n_draws=1, controls=None)
    assert "Left out, as of one molecule only: 1 class(es), rare." in found.notes[0]


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_folds_that_promise_nothing(screen):
    groups = np.where(screen["Metadata_kind"] == "a", 0, -1)
    with pytest.raises(ValueError, match=r"in fold 0 no training molecule is of 1 class.*\(a\)"):
        study_confidence(
            screen, {"A": Given()}, label="kind", cv=PredefinedSplit(groups), controls=None
        )
    few = np.where(screen["Metadata_smiles"].isin(SMILES[:2]), 0, -1)
    with pytest.raises(ValueError, match="2 molecules with a class that were not trained on"):
        study_confidence(
            screen, {"A": Given()}, label="kind", cv=PredefinedSplit(few), controls=None
        )


def test_models_that_saw_the_molecules_are_refused(profiles):
    frozen = FrozenEstimator(CCAEmbedder().fit(profiles))
    with pytest.raises(ValueError, match="test molecules were in the training") as caught:
        study_confidence(profiles, {"CCA": frozen}, label="moa", cv=1)
    assert caught.value.__notes__ == ["study_confidence: model 'CCA', fold 0."]


def test_rows_without_an_embedding_are_an_error_that_names_one(screen):
    X = screen.copy()
    X.loc[7, [name for name in X if name.startswith("Feature_")]] = np.nan
    with pytest.raises(ValueError, match=r"1 row.s. have no embedding, first row 7"):
        study_confidence(X, {"A": Given()}, label="kind", cv=1, controls=None)


def test_of_a_simulated_screen(tmp_path, monkeypatch):
    screen = load_screen("simulated-profiles", None, 0)
    monkeypatch.setattr("cloome_sk.evaluation.screens.N_UPDATES", 3)
    monkeypatch.setattr("cloome_sk.evaluation.confidence.N_DRAWS", 2)
    found = confidence_of_screen(screen, folds=1)
    scores = found.scores
    assert scores["model"].unique().tolist() == [
        "CLOOME",
        "profile, normalised and sphered",
        "profile, normalised",
        "CCA",
        "Tanimoto-kernel average",
        "random vectors",
    ]
    both = set(scores.loc[scores["part"] != CLASSES, "model"])
    assert both == {"CLOOME", "CCA", "Tanimoto-kernel average", "random vectors"}
    assert any("A SIMULATED screen" in note for note in found.notes)
    assert found.leakage["ok"].all()
