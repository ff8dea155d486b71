"""The study of all controls, small, on a simulated screen where the answer is known."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold

from cloome_sk import CloomeEmbedder
from cloome_sk._tables import profile_columns
from cloome_sk.baselines import ShuffledPairs
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.evaluation import ControlStudy, load_screen, make_embedder, screens, study_controls
from cloome_sk.evaluation import __main__ as command
from cloome_sk.evaluation.controls import WITHIN, with_large_classes
from cloome_sk.evaluation.extra_pairs import ExtraPairs
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer


def quick(n_pairs: int, seed: int) -> CloomeEmbedder:
    return CloomeEmbedder(
        ProfileEncoder(hidden_sizes=(64,)),
        MoleculeEncoder(hidden_sizes=(64,), input_dropout=0.2),
        n_components=32,
        max_epochs=30,
        random_state=seed,
    )


@pytest.fixture(scope="module")
def study():
    screen = load_screen("simulated-profiles", None, 0)
    return screen, study_controls(screen, quick(0, 0), cv=3, random_state=0)


def value(study, task, model, metric):
    scores = study.scores.set_index(["task", "model", "metric"])
    return scores.loc[(task, model, metric)]


def test_every_control_is_there_with_its_chance_and_interval(study):
    _, result = study
    models = {
        task: set(result.scores.loc[result.scores["task"] == task, "model"])
        for task in ("unseen_molecules", "unseen_plates", "classes")
    }
    assert {
        "CLOOME",
        "Tanimoto-kernel average",
        "ridge to profile",
        "CCA",
        "random molecule codes",
        "pairs shuffled",
        "untrained encoder",
    } <= models["unseen_molecules"]
    assert {
        "cell count",
        "well position",
        "profile, as delivered",
        "profile, normalised",
        "profile, normalised and sphered",
        "LDA on compound labels",
    } <= models["unseen_plates"]
    assert {
        "chance",
        "Morgan + LR",
        "physchem + LR",
        "CLOOME + LR",
        "profile and Morgan, late fusion",
        "profile + LR, as delivered",
        "profile + LR, normalised",
        "profile + LR, normalised and sphered",
    } <= models["classes"]
    # The table is sphered: nothing is sphered twice, and no profile hides what was done to it.
    twice = {"profile", "sphered profile", "profile + LR", "sphered profile + LR"}
    assert not any(twice & names for names in models.values())
    answered = result.scores.dropna(subset="value")
    assert (answered["low"] <= answered["value"]).all()
    assert (answered["value"] <= answered["high"]).all()
    assert answered["chance"].between(0, 1).all()


def test_what_is_planted_is_found(study):
    """Structure matters in the simulation, so breaking the pairs must cost everything."""
    _, result = study
    metric = "relative rank phenotype to molecule"
    cloome = value(result, "unseen_molecules", "CLOOME", metric)
    assert cloome["high"] < 0.5
    for broken in ("random molecule codes", "pairs shuffled", "molecules shuffled"):
        control = value(result, "unseen_molecules", broken, metric)
        assert control["low"] < 0.5 < control["high"] + 0.1
        assert control["value"] > cloome["high"]


def test_tables_hold_the_scores(study):
    _, result = study
    table = result.tables("unseen_molecules")["phenotype to molecule, 120 of 120 molecules"]
    row = value(result, "unseen_molecules", "CLOOME", "R@1 phenotype to molecule")
    assert table.loc["CLOOME", "R@1"] == (
        f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    )
    assert table.index[-1] == "(chance)"
    n_named = int(value(result, "classes", "chance", "macro AUROC")["n"])
    assert 0 < n_named <= 120
    assert list(result.tables("classes")) == [f"{n_named} of 120 molecules"]


def test_tables_say_of_how_many_molecules_they_are():
    row = {"task": "unseen_plates", "model": "m", "value": 0.5, "low": 0.4, "high": 0.6}
    metrics = {
        "R@1 phenotype to replicate at another position": 14,
        "R@1 phenotype to replicate": 9,
    }
    rows = [{**row, "metric": name, "chance": 0.1, "n": n} for name, n in metrics.items()]
    rows.append({**rows[1], "model": "other", "n": 11})
    found = ControlStudy(pd.DataFrame(rows), pd.DataFrame(), 242).tables("unseen_plates")
    assert list(found) == [
        "phenotype to replicate at another position, 14 of 242 molecules",
        "phenotype to replicate, 9 to 11 of 242 molecules",
    ]


def test_the_row_within_classes_says_how_much_was_shuffled(study):
    screen, result = study
    models = result.scores["model"].unique()
    (name,) = [model for model in models if model.startswith("molecules shuffled within class")]
    said = float(re.fullmatch(r".* \((\d+) % of wells moved\)", name)[1])
    table = with_large_classes(screen)
    keys = molecule_key(table["Metadata_smiles"])
    treated = np.flatnonzero(table["Metadata_control_type"].isna())
    control = ShuffledPairs(quick(0, 0).set_params(max_epochs=1), level="molecule", random_state=0)
    control.set_params(within=WITHIN)
    moved = []
    for train, _ in GroupKFold(3, shuffle=True, random_state=7).split(treated, None, keys[treated]):
        fold = table.iloc[treated[train]]
        moved.append(control.fit(fold).n_moved_ / len(fold))
    # Other folds than those of the study: the share is of the classes, not of the draw.
    assert said == pytest.approx(100 * np.mean(moved), abs=10)


def test_molecules_of_small_classes_are_permuted_together():
    screen = load_screen("simulated-profiles", None, 0)
    table = with_large_classes(screen)
    treated = (table["Metadata_control_type"].isna()).to_numpy()
    expected = ["none" if pd.isna(label) else label for label in screen.classes]
    assert table.loc[treated, WITHIN].tolist() == expected


def test_the_layout_test_is_of_controls_before_and_after(study):
    screen, result = study
    assert result.layout.index.tolist() == [
        "profile, as delivered",
        "profile, normalised",
        "profile, normalised and sphered",
        "CLOOME",
    ]
    n_controls = int((screen.table["Metadata_control_type"] == "negcon").sum())
    assert (result.layout["n_wells"] + result.layout["n_dropped"] == n_controls).all()


def test_a_screen_is_there_raw_normalised_and_sphered():
    screen = load_screen("simulated-profiles", None, 0)
    scaled = ControlNormalizer(sphering=False).fit_transform(screen.raw)
    pd.testing.assert_frame_equal(screen.normalised, scaled)
    sphered = ControlNormalizer(sphering=True).fit_transform(screen.raw)
    pd.testing.assert_frame_equal(screen.table, sphered)
    names = profile_columns(screen.raw)
    assert not np.allclose(screen.normalised[names], screen.table[names])
    treated = screen.raw["Metadata_control_type"].isna()
    for wells, version in (
        (screen.wells, sphered),
        (screen.normalised_wells, scaled),
        (screen.raw_wells, screen.raw),
    ):
        pd.testing.assert_frame_equal(wells, version[treated].reset_index(drop=True))


def test_screen_separates_controls_and_small_classes():
    screen = load_screen("simulated-profiles", None, 0)
    treated = screen.table["Metadata_control_type"].isna()
    pd.testing.assert_frame_equal(screen.wells, screen.table[treated].reset_index(drop=True))
    assert screen.molecules.tolist() == molecule_key(screen.wells["Metadata_smiles"]).tolist()
    labels = screen.wells["Metadata_moa"]
    for label, wells in screen.wells.groupby("Metadata_moa"):
        large = wells["Metadata_smiles"].nunique() >= screens.FEWEST
        assert ((screen.classes == label) == ((labels == label) & large)).all()


@pytest.mark.parametrize(("n_pairs", "epochs"), [(256, 350), (257, 175), (3000, 29), (500_000, 1)])
def test_updates_do_not_depend_on_the_size_of_the_table(n_pairs, epochs):
    assert make_embedder(n_pairs, 0).max_epochs == epochs


def test_extra_pairs_are_trained_on():
    screen = load_screen("simulated-profiles", None, 0)
    fold, rest = screen.wells.iloc[:200], screen.wells.iloc[200:]
    embedder = quick(0, 0).set_params(max_epochs=1)
    both = ExtraPairs(embedder, rest).fit(fold)
    together = embedder.fit(pd.concat([fold, rest], ignore_index=True))
    np.testing.assert_array_equal(both.transform(fold), together.transform(fold))
    assert set(both.molecules_seen_) == set(screen.molecules)


def test_command_prints_and_writes_the_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        screens, "make_embedder", lambda n, seed: quick(n, seed).set_params(max_epochs=1)
    )
    command.main(
        ["controls", "--data", "simulated-profiles", "--folds", "2", "--output", str(tmp_path)]
    )
    said = capsys.readouterr().out
    assert "SIMULATED" in said
    headings = re.findall(r"^(?:(\S.*), )?(\d+) of 120 molecules$", said, flags=re.MULTILINE)
    assert [direction for direction, _ in headings] == [
        "phenotype to molecule",
        "molecule to phenotype",
        "phenotype to molecule",
        "molecule to phenotype",
        "phenotype to replicate",
        "phenotype to replicate at another position",
        "",
    ]
    assert said.count("(chance)") == len(headings)
    assert {path.name for path in tmp_path.iterdir()} == {
        "controls_simulated-profiles.csv",
        "controls_simulated-profiles_layout.csv",
    }


@pytest.mark.parametrize("arguments", [[], ["controls", "--data", "bray"], ["unknown"]])
def test_command_refuses_what_it_does_not_know(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err
