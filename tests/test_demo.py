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
from cloome_sk.datasets import make_profiles
from cloome_sk.demo import __main__ as command
from cloome_sk.demo import classes, retrieval, training
from cloome_sk.evaluation import image_screen, screens
from cloome_sk.molecules import molecule_key

SEED = 3
IMAGES = {"n_compounds": 16, "n_plates": 3, "n_controls": 6, "size": 48, "pixel_size_um": 3.0}


@pytest.fixture
def short(monkeypatch):
    """Few folds of encoders that hardly train, and small images of few compounds."""
    monkeypatch.setattr(training, "N_FOLDS", 3)
    monkeypatch.setattr(training, "N_IMAGE_FOLDS", 2)
    monkeypatch.setattr(screens, "N_UPDATES", 12)
    monkeypatch.setattr(classes, "STRENGTHS", [1e-2, 1.0])
    for name, value in {"DRAWN": IMAGES, "SHRUNK": 24, "N_UPDATES": 6}.items():
        monkeypatch.setattr(image_screen, name, value)


def simulated(monkeypatch, seed=SEED, **params):
    """The demo's screen of profiles, with another simulation behind it."""
    monkeypatch.setattr(
        screens, "make_profiles", lambda random_state: make_profiles(random_state=seed, **params)
    )
    return screens.load_screen("simulated-profiles", None, seed)


def simulated_images(folder, **params):
    """The demo's screen of images, with another simulation behind it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(image_screen, "DRAWN", {**IMAGES, **params})
        return screens.load_screen("simulated", None, SEED, folder)


@pytest.fixture(params=["profiles", "images"])
def screen(request, short, monkeypatch, tmp_path):
    """One of either kind."""
    if request.param == "images":
        return simulated_images(tmp_path / "drawn", n_sites=2)
    return simulated(monkeypatch, n_compounds=40, n_plates=3)


def run(capsys, folder, *more):
    command.main(["--output", str(folder), "--seed", str(SEED), *more])
    return capsys.readouterr().out


# ---------------------------------------------------------------- the command


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "more", "controls"),
    [
        ("simulated", ["simulated_molecule_hits.png", "simulated_screen"], "18 of 66 rows"),
        ("simulated-profiles", [], "64 of 544 rows"),
    ],
)
def test_the_whole_demo_writes_and_prints_the_same_each_time(
    data, more, controls, short, capsys, tmp_path
):
    # Not in processes, which would not know of the short versions; the third run finds what the
    # first one left.
    first, other, again = (
        run(capsys, tmp_path / name, "--data", data, "--jobs", "1")
        for name in ("one", "two", "one")
    )
    for folder in (tmp_path / "one", tmp_path / "two"):
        written = sorted(path.name for path in folder.iterdir())
        assert written == sorted([f"{data}.joblib", f"{data}_hits.png", *more])
    stored = [joblib.load(tmp_path / name / f"{data}.joblib") for name in ("one", "two")]
    assert isinstance(stored[0], CloomeEmbedder)
    for name, weights in stored[0].state_.items():
        np.testing.assert_array_equal(weights, stored[1].state_[name])
    for picture in (tmp_path / "one").glob("*.png"):
        assert picture.read_bytes() == (tmp_path / "two" / picture.name).read_bytes()

    def plain(text):
        return re.sub(r"Done in \d+ s|\([\d.]+ MB\)", "", text.replace("two", "one"))

    assert plain(first) == plain(other)
    assert plain(first) == plain(again)
    assert "SIMULATED" in first
    assert f"{controls} are negative controls" in first
    assert "identical embeddings" in first
    # Two directions, three directions, two tables of classes.
    assert first.count("\n(chance) ") == 5
    assert first.count("chance AUROC") == 2
    for name in ("Tanimoto-kernel average", "CCA", "LDA on compound labels", "cell count"):
        assert f"\n{name}  " in first
    for name in ("random molecule codes", "untrained encoder", "well position"):
        assert f"\n{name}  " in first


def test_the_demo_draws_images_unless_told_otherwise():
    assert command._options([]).data == "simulated"
    assert screens.DATA[0] == "simulated"


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
    for option in ("--data", "--data-home", "--output", "--seed", "--jobs", "simulated-profiles"):
        assert option in done.stdout


def test_a_model_that_reloads_differently_is_not_passed_over(screen, monkeypatch, tmp_path):
    embedder, other = (
        screen.make_embedder(10_000, seed).fit(screen.wells) for seed in (SEED, SEED + 1)
    )
    assert "identical" in command.store_and_reload(screen, embedder, tmp_path / "a.joblib")
    monkeypatch.setattr(command.joblib, "load", lambda path: other)
    with pytest.raises(RuntimeError, match="other embeddings"):
        command.store_and_reload(screen, embedder, tmp_path / "a.joblib")


FIGURES = pd.DataFrame(
    {
        "R@1": [0.25, 0.5],
        "R@1_low": [0.1, 0.4],
        "R@1_high": [0.5, 0.6],
        "chance@1": [0.01, 0.01],
        "relative_rank": [0.3, 0.2],
        "mrr": [0.3, 0.3],
        "n_queries": [9.0, 9.0],
        "n_candidates": [100.0, 100.0],
    },
    index=["CLOOME", "CCA"],
)


def test_table_shows_intervals_and_whole_numbers(capsys):
    command.print_table("Title", FIGURES)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["Title", "-----"]
    assert lines[2].split() == ["R@1", "chance@1", "relative_rank", "n_queries", "n_candidates"]
    assert lines[3].split() == [
        "CLOOME",
        "0.250",
        "[0.100,",
        "0.500]",
        "0.010",
        "0.300",
        "9",
        "100",
    ]


def test_retrieval_shows_chance_below_the_models(capsys):
    command.print_retrieval("Title", {"a -> b": FIGURES})
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "a -> b: 9 queries, 100 candidates"
    assert lines[3].split() == ["R@1", "relative_rank"]
    assert [line.split()[0] for line in lines[4:7]] == ["CLOOME", "CCA", "(chance)"]
    assert lines[6].split() == ["(chance)", "0.010", "0.500"]


def test_pictures_name_mechanism_and_lack_of_effect(short, tmp_path):
    screen = simulated_images(tmp_path, inactive_fraction=1.0)
    queries = screen.wells.iloc[:1]
    (name,) = command._with_mechanism(["a"], queries)
    assert name == f"a\n{queries['Metadata_moa'].iloc[0]}\n(drawn without effect)"
    (name,) = command._with_mechanism(["a"], queries.assign(Metadata_active=True))
    assert name == f"a\n{queries['Metadata_moa'].iloc[0]}"


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


def folds_of(screen):
    return training.encoders_of_unseen_molecules(screen, SEED)


def test_no_fold_is_scored_by_anything_that_saw_its_molecules(screen):
    folds = folds_of(screen)
    assert len(folds) == (2 if screen.has_images else 3)
    for fold in folds:
        assert set(fold.controls) == {"Tanimoto-kernel average", "CCA", "untrained encoder"}
        for model in (fold.embedder, *fold.controls.values()):
            seen = set(model.molecules_seen_)
            assert seen == set(screen.molecules[fold.train])
            assert not seen & set(screen.molecules[fold.test])
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == list(range(len(screen.wells)))


def test_a_leak_ends_the_demo(screen):
    folds = folds_of(screen)
    assert training.unseen_indeed(screen, folds, SEED).startswith("Leakage reports: no molecule")
    leaking = replace(folds[0], test=np.append(folds[0].test, folds[0].train[0]))
    with pytest.raises(RuntimeError, match="molecule"):
        training.unseen_indeed(screen, [leaking], SEED)


def test_no_classifier_is_shown_a_test_molecule(screen):
    """Whatever a test row is labelled, the probabilities of that row stay the same."""
    folds = folds_of(screen)
    for block in classes.BLOCKS:
        before = classes._out_of_fold(screen, folds[:1], block)
        changed = screen.classes.copy()
        test = classes._with_class(screen, folds[0].test)
        changed[test] = np.roll(changed[test], 5)
        after = classes._out_of_fold(replace(screen, classes=changed), folds[:1], block)
        assert (changed[test] != screen.classes[test]).any()
        np.testing.assert_array_equal(before, after)


def test_references_are_rows_of_training_molecules(screen, monkeypatch):
    folds = folds_of(screen)
    shown = []
    original = classes.ZeroShotMoAClassifier.fit

    def recording(self, X, y):
        shown.append(set(X.index))
        return original(self, X, y)

    monkeypatch.setattr(classes.ZeroShotMoAClassifier, "fit", recording)
    table = classes.zero_shot(screen, folds, SEED)
    n_kinds = len(classes.zero_shot_names(screen))
    assert table.index.tolist() == classes.zero_shot_names(screen)
    assert len(shown) == n_kinds * len(folds)
    for number, rows in enumerate(shown):
        fold = folds[number // n_kinds]
        assert rows <= set(screen.wells.index[fold.train])


def test_test_plates_are_not_trained_on(screen, monkeypatch):
    trained = []
    original = CloomeEmbedder.fit

    def recording(self, X, y=None):
        trained.append(X)
        return original(self, X, y)

    monkeypatch.setattr(CloomeEmbedder, "fit", recording)
    models = training.encoders_of_unseen_plates(screen, SEED)
    assert list(models) == [
        "CLOOME",
        "random molecule codes",
        "untrained encoder",
        "LDA on compound labels",
        screen.feature_name,
        "cell count",
        "well position",
    ]
    train, test = training.plate_split(screen, SEED)
    plates = screen.wells["Metadata_Plate"]
    assert len(trained) == 3  # the encoder, that of random codes, and the untrained one
    for table in trained:
        pd.testing.assert_frame_equal(table, screen.wells.iloc[train])
    assert not set(plates.iloc[train]) & set(plates.iloc[test])
    assert sorted([*train, *test]) == list(range(len(screen.wells)))
    tables = retrieval.unseen_plates(screen, models, SEED)
    to_molecule, to_phenotype, to_replicate = tables.values()
    assert (to_molecule["n_queries"] == len(test)).all()
    assert (to_phenotype["n_queries"] == len(set(screen.molecules[test]))).all()
    assert (to_replicate["n_candidates"] == len(train)).all()
    assert list(to_replicate.index) == list(models)


def test_candidates_are_the_unseen_molecules_of_the_fold(screen):
    folds = folds_of(screen)
    tables = retrieval.unseen_molecules(screen, folds)
    sizes = np.array([len(set(screen.molecules[fold.test])) for fold in folds])
    expected = np.average(1 / sizes, weights=sizes)
    assert list(tables) == ["phenotype -> molecule", "molecule -> phenotype"]
    for table in tables.values():
        assert list(table.index) == ["CLOOME", *folds[0].controls]
        np.testing.assert_allclose(table["chance@1"], expected)
        np.testing.assert_allclose(table["n_candidates"], np.average(sizes, weights=sizes))


def test_retrieval_of_unseen_molecules_counts_as_a_loop_does(screen):
    folds = folds_of(screen)
    tables = retrieval.unseen_molecules(screen, folds)
    hits = {name: [] for name in tables}
    for fold in folds:
        keys = np.unique(screen.molecules[fold.test])
        rows = [fold.test[screen.molecules[fold.test] == key] for key in keys]
        P = [fold.embedder.embed_phenotypes(screen.wells.iloc[own]).mean(axis=0) for own in rows]
        M = fold.embedder.embed_molecules(screen.wells.iloc[[own[0] for own in rows]])
        similarity = np.array([p / np.linalg.norm(p) for p in P]) @ M.T
        for name, square in zip(tables, (similarity, similarity.T), strict=True):
            hits[name] += [int(np.argmax(row) == k) for k, row in enumerate(square)]
    for name, table in tables.items():
        assert table.loc["CLOOME", "R@1"] == pytest.approx(np.mean(hits[name]))


# ---------------------------------------------- nothing found where nothing is


def near_chance(table):
    """Whether retrieval is chance within four standard errors, were queries independent."""
    for _, row in table.iterrows():
        for k in (1, 5, 10):
            n, chance = row["n_queries"], row[f"chance@{k}"]
            assert abs(row[f"R@{k}"] - chance) < 4 * np.sqrt(chance * (1 - chance) / n) + 1e-9
        assert abs(row["relative_rank"] - 0.5) < 4 / np.sqrt(12 * row["n_queries"])


@pytest.mark.slow
def test_compounds_that_do_nothing_are_not_found(monkeypatch):
    """With no effect simulated, every phenotype figure is chance within its own noise."""
    monkeypatch.setattr(training, "N_FOLDS", 3)
    monkeypatch.setattr(screens, "N_UPDATES", 60)
    monkeypatch.setattr(classes, "STRENGTHS", [1e-2, 1.0])
    screen = simulated(monkeypatch, signal=0.0)
    folds = folds_of(screen)
    models = training.encoders_of_unseen_plates(screen, SEED)
    plates = retrieval.unseen_plates(screen, models, SEED)
    for table in (*retrieval.unseen_molecules(screen, folds).values(), *plates.values()):
        near_chance(table)
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
    screen = simulated(monkeypatch, signal=3.0)
    models = training.encoders_of_unseen_plates(screen, SEED)
    for table in retrieval.unseen_plates(screen, models, SEED).values():
        assert table.loc["CLOOME", "R@1_low"] > 10 * table.loc["CLOOME", "chance@1"]


@pytest.mark.slow
@pytest.mark.parametrize("signal", [0.0, 2.0])
def test_images_are_found_if_and_only_if_compounds_act(signal, monkeypatch, tmp_path):
    monkeypatch.setattr(image_screen, "SHRUNK", 48)
    monkeypatch.setattr(image_screen, "N_UPDATES", 60)
    screen = simulated_images(
        tmp_path, n_compounds=24, n_plates=4, size=96, signal=signal, inactive_fraction=0.0
    )
    models = training.encoders_of_unseen_plates(screen, SEED)
    found = retrieval.unseen_plates(screen, models, SEED)
    for direction, table in found.items():
        if signal == 0:
            near_chance(table)
        else:
            assert table.loc["CLOOME", "R@1_low"] > table.loc["CLOOME", "chance@1"], direction
            assert table.loc["CLOOME", "relative_rank"] < 0.25, direction
