"""The demo: what it writes and prints, and that no figure is flattered."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.demo import __main__ as command
from cloome_sk.demo import classes, retrieval
from cloome_sk.evaluation import screens
from cloome_sk.molecules import molecule_key

SEED = 3


@pytest.fixture
def short(monkeypatch):
    """Three folds of encoders that hardly train."""
    monkeypatch.setattr(retrieval, "N_FOLDS", 3)
    monkeypatch.setattr(screens, "N_UPDATES", 12)
    monkeypatch.setattr(classes, "STRENGTHS", [1e-2, 1.0])


def simulated(monkeypatch, seed=SEED, **params):
    """The demo's screen, with another simulation behind it."""
    from cloome_sk.datasets import make_profiles

    monkeypatch.setattr(
        screens, "make_profiles", lambda random_state: make_profiles(random_state=seed, **params)
    )
    return screens.load_screen("simulated", None, seed)


def run(capsys, folder, *more):
    command.main(["--output", str(folder), "--seed", str(SEED), *more])
    return capsys.readouterr().out


# ---------------------------------------------------------------- the command


@pytest.mark.slow
def test_the_whole_demo_writes_and_prints_the_same_each_time(short, capsys, tmp_path):
    first, again = (run(capsys, tmp_path / name) for name in ("one", "two"))
    for folder in (tmp_path / "one", tmp_path / "two"):
        assert sorted(path.name for path in folder.iterdir()) == [
            "simulated.joblib",
            "simulated_hits.png",
        ]
    stored = [joblib.load(tmp_path / name / "simulated.joblib") for name in ("one", "two")]
    assert isinstance(stored[0], CloomeEmbedder)
    for name, weights in stored[0].state_.items():
        np.testing.assert_array_equal(weights, stored[1].state_[name])
    assert (tmp_path / "one/simulated_hits.png").read_bytes() == (
        tmp_path / "two/simulated_hits.png"
    ).read_bytes()

    def plain(text):
        return re.sub(r"Done in \d+ s", "", text.replace("two", "one"))

    assert plain(first) == plain(again)
    assert "SIMULATED" in first
    assert "64 of 544 rows are negative controls" in first
    assert "identical embeddings" in first
    tables = [block for block in first.split("\n\n") if "---" in block]
    assert len(tables) == 4
    for table in tables:
        title, _, header, *_ = table.splitlines()
        assert "chance" in header, title


@pytest.mark.parametrize("data", ["cell-injury", "cpjump1"])
def test_a_public_screen_without_a_data_folder(data, monkeypatch, tmp_path):
    monkeypatch.delenv("CLOOME_SK_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"CLOOME_SK_DATA.*data_home"):
        command.main(["--data", data, "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    with pytest.raises(FileNotFoundError, match="no such folder"):
        command.main(["--data", data, "--data-home", str(tmp_path / "nowhere")])


def test_unknown_data_or_option_ends_with_a_usage(capsys):
    for arguments in (["--data", "bray"], ["--sed", "x"], ["--seed", "one"]):
        with pytest.raises(SystemExit) as ended:
            command.main(arguments)
        assert ended.value.code == 2
        assert "usage: python -m cloome_sk.demo" in capsys.readouterr().err


def test_help_as_a_person_types_it():
    done = subprocess.run(
        [sys.executable, "-m", "cloome_sk.demo", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for option in ("--data", "--data-home", "--output", "--seed"):
        assert option in done.stdout


def test_a_model_that_reloads_differently_is_not_passed_over(monkeypatch, tmp_path):
    screen = simulated(monkeypatch, n_compounds=24)
    embedder = screens.make_embedder(10_000, SEED).fit(screen.wells)
    other = screens.make_embedder(10_000, SEED + 1).fit(screen.wells)
    assert "identical" in command.store_and_reload(screen, embedder, tmp_path / "a.joblib")
    monkeypatch.setattr(command.joblib, "load", lambda path: other)
    with pytest.raises(RuntimeError, match="other embeddings"):
        command.store_and_reload(screen, embedder, tmp_path / "a.joblib")


def test_table_shows_intervals_and_whole_numbers(capsys):
    table = pd.DataFrame(
        {
            "R@1": [0.25],
            "R@1_low": [0.1],
            "R@1_high": [0.5],
            "chance@1": [0.01],
            "n_queries": [9.0],
        },
        index=["a -> b"],
    )
    command.print_table("Title", table.assign(mrr=0.3))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["Title", "-----"]
    assert lines[2].split() == ["R@1", "chance@1", "n_queries"]
    assert lines[3] == "a -> b  0.250 [0.100, 0.500]    0.010         9"


# ------------------------------------------------------------------ the screen


def test_the_screen_holds_treated_wells_and_their_molecules(monkeypatch):
    screen = simulated(monkeypatch)
    assert screen.wells["Metadata_control_type"].isna().all()
    expected = molecule_key(screen.wells["Metadata_smiles"])
    np.testing.assert_array_equal(screen.molecules, expected)
    table = pd.DataFrame({"molecule": screen.molecules, "moa": screen.wells["Metadata_moa"]})
    n_molecules = table.groupby("moa")["molecule"].nunique()
    large = set(n_molecules.index[n_molecules >= 3])
    for label, moa in zip(screen.classes, table["moa"], strict=True):
        assert label == (moa if moa in large else None)


def test_classes_of_two_molecules_are_left_out():
    labels = pd.Series(["a", "a", "a", "a", "b", "b", "b", None])
    molecules = np.array(list("XXYZ" + "UUV" + "W"))
    kept = screens._large_classes(labels, molecules)
    assert kept.tolist() == ["a"] * 4 + [None] * 4


# ----------------------------------------------------------------- no leakage


def test_no_fold_is_scored_by_an_encoder_that_saw_its_molecules(short, monkeypatch):
    screen = simulated(monkeypatch, n_compounds=40)
    folds = list(retrieval.encoders_of_unseen_molecules(screen, SEED))
    assert len(folds) == 3
    for fold in folds:
        seen = set(fold.embedder.molecules_seen_)
        assert seen == set(screen.molecules[fold.train])
        assert not seen & set(screen.molecules[fold.test])
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == list(range(len(screen.wells)))


def test_no_classifier_is_shown_a_test_molecule(short, monkeypatch):
    """Whatever a test well is labelled, the probabilities of that well stay the same."""
    screen = simulated(monkeypatch, n_compounds=40, n_plates=2)
    folds = list(retrieval.encoders_of_unseen_molecules(screen, SEED))
    for block in classes.BLOCKS:
        before = classes._out_of_fold(screen, folds[:1], block)
        changed = screen.classes.copy()
        test = classes._with_class(screen, folds[0].test)
        changed[test] = np.roll(changed[test], 5)
        after = classes._out_of_fold(replace(screen, classes=changed), folds[:1], block)
        assert (changed[test] != screen.classes[test]).any()
        np.testing.assert_array_equal(before, after)


def test_references_are_wells_of_training_molecules(short, monkeypatch):
    screen = simulated(monkeypatch, n_compounds=40, n_plates=2)
    folds = list(retrieval.encoders_of_unseen_molecules(screen, SEED))
    shown = []
    original = classes.ZeroShotMoAClassifier.fit

    def recording(self, X, y):
        shown.append(set(X.index))
        return original(self, X, y)

    monkeypatch.setattr(classes.ZeroShotMoAClassifier, "fit", recording)
    table = classes.zero_shot(screen, folds, SEED)
    assert table.index.tolist() == classes.ZERO_SHOT
    assert len(shown) == 3 * len(folds)
    for number, rows in enumerate(shown):
        fold = folds[number // 3]
        assert rows <= set(screen.wells.index[fold.train])


def test_test_plates_are_not_trained_on(short, monkeypatch):
    screen = simulated(monkeypatch)
    trained = []
    original = CloomeEmbedder.fit

    def recording(self, X, y=None):
        trained.append(X)
        return original(self, X, y)

    monkeypatch.setattr(CloomeEmbedder, "fit", recording)
    _, table = retrieval.unseen_plates(screen, SEED)
    train, test = retrieval.plate_split(screen, SEED)
    plates = screen.wells["Metadata_Plate"]
    assert len(trained) == 1
    assert set(trained[0]["Metadata_Plate"]) == set(plates.iloc[train])
    assert not set(plates.iloc[train]) & set(plates.iloc[test])
    assert sorted([*train, *test]) == list(range(len(screen.wells)))
    expected = screen.wells.iloc[test].shape[0]
    assert table.loc["one well -> molecule", "n_queries"] == expected


def test_candidates_are_the_unseen_molecules_of_the_fold(short, monkeypatch):
    screen = simulated(monkeypatch, n_compounds=40)
    folds = list(retrieval.encoders_of_unseen_molecules(screen, SEED))
    table = retrieval.unseen_molecules(screen, folds)
    sizes = np.array([len(set(screen.molecules[fold.test])) for fold in folds])
    expected = np.average(1 / sizes, weights=sizes)
    assert table["chance@1"].to_list() == pytest.approx([expected] * 2)
    assert table["n_candidates"].to_list() == pytest.approx([np.average(sizes, weights=sizes)] * 2)


# ---------------------------------------------- nothing found where nothing is


@pytest.mark.slow
def test_compounds_that_do_nothing_are_not_found(monkeypatch):
    """With no effect simulated, every phenotype figure is chance within its own noise."""
    monkeypatch.setattr(retrieval, "N_FOLDS", 3)
    monkeypatch.setattr(screens, "N_UPDATES", 60)
    monkeypatch.setattr(classes, "STRENGTHS", [1e-2, 1.0])
    screen = simulated(monkeypatch, signal=0.0)
    folds = list(retrieval.encoders_of_unseen_molecules(screen, SEED))
    _, plates = retrieval.unseen_plates(screen, SEED)
    for table in (retrieval.unseen_molecules(screen, folds), plates):
        for _, row in table.iterrows():
            for k in (1, 5, 10):
                n, chance = row["n_queries"], row[f"chance@{k}"]
                # Four standard errors, were queries independent.
                assert abs(row[f"R@{k}"] - chance) < 4 * np.sqrt(chance * (1 - chance) / n) + 1e-9
            assert abs(row["relative_rank"] - 0.5) < 4 / np.sqrt(12 * row["n_queries"])
    n_classes = len(set(screen.classes[pd.notna(screen.classes)]))
    named = classes.zero_shot(screen, folds, SEED)
    scored = classes.classification(screen, folds)
    for name, row in pd.concat([named, scored]).iterrows():
        assert row["chance accuracy"] == pytest.approx(1 / n_classes)
        if "Morgan" in str(name):
            continue  # structures do tell mechanisms, whatever the cells do
        n_molecules = row["n_molecules"]
        error = np.sqrt(1 / n_classes / n_molecules)
        assert abs(row["balanced accuracy"] - 1 / n_classes) < 4 * error, name
        assert abs(row["macro AUROC"] - 0.5) < 0.1, name


@pytest.mark.slow
def test_compounds_that_act_are_found(monkeypatch):
    """The check above would pass for a demo that finds nothing ever."""
    monkeypatch.setattr(screens, "N_UPDATES", 150)
    _, plates = retrieval.unseen_plates(simulated(monkeypatch, signal=3.0), SEED)
    assert (plates["R@1_low"] > 10 * plates["chance@1"]).all()
