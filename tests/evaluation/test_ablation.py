"""The ablation, small: parts that leak nothing, cells computed again, what is said of them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from cloome_sk.evaluation import __main__ as command
from cloome_sk.evaluation import ablation, load_screen
from cloome_sk.evaluation.ablation import CHOSEN, MEASURE, Setting, choose, make_parts
from cloome_sk.evaluation.ablation_report import draw, report, sentences
from cloome_sk.evaluation.ablation_settings import DEFAULT, SETTINGS, embedder_of
from cloome_sk.metrics import retrieval_metrics
from cloome_sk.model_selection import scaffold_groups

SMALL = (
    SETTINGS[0],
    Setting("schedule", "no training to speak of", {"lr": 1e-9}),
    Setting("weights", "of the best epoch", {"keep": "best"}, may_be_chosen=False),
)


@pytest.fixture(scope="module")
def screen():
    return load_screen("simulated-profiles", None, 0)


@pytest.fixture(scope="module")
def study(screen):
    return ablation.study_ablation(screen, n_seeds=2, n_folds=2, n_updates=12, settings=SMALL)


# ------------------------------------------------------------------- the parts


@pytest.mark.parametrize("split", ["molecule", "scaffold"])
def test_parts_share_no_group_and_new_plates_are_new(screen, split):
    groups = screen.molecules if split == "molecule" else scaffold_groups(screen.wells)
    plates = screen.wells["Metadata_Plate"].to_numpy(object)
    parts = make_parts(screen, 3, 4, split, 0)
    assert [(part.fold, part.seed) for part in parts] == [
        (f, s) for f in range(4) for s in range(3)
    ]
    for part in parts:
        known, held, test = (set(groups[rows]) for rows in (part.train, part.validation, part.test))
        assert known
        assert held
        assert test
        assert not known & held
        assert not (known | held) & test
        trained = set(screen.molecules[part.train])
        assert set(screen.molecules[part.new_plates]) <= trained
        assert not set(plates[part.new_plates]) & set(plates[[*part.train, *part.validation]])
    for seed in range(3):
        tested = [key for p in parts if p.seed == seed for key in set(screen.molecules[p.test])]
        assert sorted(tested) == sorted(set(screen.molecules))
    first, second = (set(screen.molecules[part.validation]) for part in parts[:2])
    assert first != second


@pytest.mark.parametrize(
    ("n_seeds", "n_folds", "split", "message"),
    [
        (1, 2, "plate", "split must be .* got 'plate'"),
        (0, 2, "molecule", "a seed and two folds"),
        (1, 1, "molecule", "a seed and two folds"),
    ],
)
def test_parts_that_cannot_be(screen, n_seeds, n_folds, split, message):
    with pytest.raises(ValueError, match=message):
        make_parts(screen, n_seeds, n_folds, split, 0)


# ----------------------------------------------------------------- the figures


def figure(study, model, metric, column="value"):
    return study.figures.set_index(["model", "metric"]).loc[(model, metric), column]


def test_cells_of_the_default_equal_those_made_by_hand(screen, study):
    """Relative rank and R@1 of unseen molecules, and replicates on new plates, all runs."""
    found = {"relative rank": [], "R@1 P>M": [], "seen: replicate": [], MEASURE: []}
    for part in make_parts(screen, 2, 2, "molecule", 0):
        wells = screen.wells
        embedder = embedder_of(
            screen, SETTINGS[0], len(part.train), 12, 1000 * part.seed + part.fold
        ).set_params(validation=wells.iloc[part.validation])
        embedder.fit(wells.iloc[part.train])
        found[MEASURE].append(embedder.history_[MEASURE].iloc[-1])
        test = wells.iloc[part.test]
        Z = (
            pd.DataFrame(embedder.embed_phenotypes(test))
            .groupby(screen.molecules[part.test])
            .mean()
        )
        smiles = test.groupby(screen.molecules[part.test])["Metadata_smiles"].first().loc[Z.index]
        M = embedder.embed_molecules(list(smiles))
        similarity = (Z / np.linalg.norm(Z, axis=1)[:, None]).to_numpy() @ M.T
        own = np.diag(similarity)
        n_others = len(own) - 1
        there = (similarity > own[:, None]).sum(axis=1)
        back = (similarity > own[None, :]).sum(axis=0)
        for place, key in enumerate(Z.index):
            ranks = (there[place] / n_others + back[place] / n_others) / 2
            found["relative rank"].append((part.seed, key, ranks))
            found["R@1 P>M"].append((part.seed, key, float(there[place] == 0)))
        query, known = wells.iloc[part.new_plates], wells.iloc[part.train]
        closest = (embedder.embed_phenotypes(query) @ embedder.embed_phenotypes(known).T).argmax(1)
        right = screen.molecules[part.train][closest] == screen.molecules[part.new_plates]
        found["seen: replicate"] += [
            (part.seed, key, float(hit))
            for key, hit in zip(screen.molecules[part.new_plates], right, strict=True)
        ]
    for metric in ("relative rank", "R@1 P>M", "seen: replicate"):
        cells = pd.DataFrame(found[metric]).groupby([0, 1])[2].mean()
        assert figure(study, DEFAULT, metric) == pytest.approx(cells.mean(), abs=1e-6)
    own = study.validation[study.validation["model"] == DEFAULT]["value"]
    np.testing.assert_allclose(own, found[MEASURE], rtol=1e-6)


def test_chance_is_that_of_the_candidates(screen, study):
    part = make_parts(screen, 1, 2, "molecule", 0)[0]
    n_molecules = len(set(screen.molecules[part.test]))
    random = np.random.default_rng(0).normal(size=(n_molecules, 4))
    chance = retrieval_metrics(random, random, ks=(1, 5))
    # Both parts hold half of an even number of molecules.
    assert len(set(screen.molecules)) == 2 * n_molecules
    for k in (1, 5):
        assert figure(study, DEFAULT, f"R@{k} P>M", "chance") == pytest.approx(
            chance[f"chance@{k}"] if f"chance@{k}" in chance else k / n_molecules
        )


def test_training_shows_and_random_codes_know_no_new_molecule(study):
    idle = "no training to speak of"
    assert figure(study, idle, "relative rank", "together_low") > 0.1
    assert figure(study, "random molecule codes", "relative rank", "low") < 0.5
    assert figure(study, "random molecule codes", "relative rank", "high") > 0.5
    assert figure(study, "untrained encoder", "relative rank", "difference_low") > 0.1
    best = study.validation.pivot(index=["fold", "seed"], columns="model", values="value")
    assert (best["of the best epoch"] <= best[DEFAULT] + 1e-12).all()


def test_validation_chooses_for_each_fold_and_not_by_the_best_epoch(study):
    assert study.chosen == [DEFAULT, DEFAULT]
    for metric in ("relative rank", "seen: replicate"):
        assert figure(study, CHOSEN, metric) == figure(study, DEFAULT, metric)
    runs = [
        {"model": model, "seed": seed, "fold": fold, "value": value}
        for model, fold, seed, value in [
            ("A", 0, 0, 0.1),
            ("A", 0, 1, 0.5),
            ("B", 0, 0, 0.2),
            ("B", 0, 1, 0.2),
            ("A", 1, 0, 0.2),
            ("A", 1, 1, 0.2),
            ("B", 1, 0, 0.2),
            ("B", 1, 1, 0.2),
        ]
    ]
    assert choose(pd.DataFrame(runs), ["A", "B"]) == ["B", "A"]


def test_the_same_again(screen, study):
    again = ablation.study_ablation(screen, n_seeds=1, n_folds=2, n_updates=12, settings=SMALL[:1])
    order = ["model", "fold", "metric", "molecule"]
    first = study.scores[study.scores["seed"] == 0]
    first = first[first["model"].isin(set(again.scores["model"]))]
    one, other = (table.sort_values(order, ignore_index=True) for table in (first, again.scores))
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_settings_train_as_long_as_the_default(screen, setting):
    embedder = embedder_of(screen, setting, 2000, 200, 0)
    per_epoch = -(-2000 // embedder.batch_size)
    assert abs(embedder.max_epochs * per_epoch - 200) <= per_epoch / 2
    assert embedder.get_params().items() >= setting.params.items()


# -------------------------------------------------------------- what is printed


def test_report_says_what_the_figures_say(study):
    said = report(study)
    value = figure(study, DEFAULT, "relative rank")
    assert f"{value:.3f}" in re.search(r"^default +(0\.\d{3}) \[", said, re.MULTILINE).group(1)
    lines = {line.split(":")[0]: line for line in sentences(study)}
    assert "differs from the default" in lines["schedule, no training to speak of"]
    assert "**" in lines["schedule, no training to speak of"]
    assert "Of 16 differences" in sentences(study)[0]
    assert "(chance)" in said


def test_figure(study, tmp_path):
    pytest.importorskip("matplotlib")
    draw(study, tmp_path / "differences.png")
    assert (tmp_path / "differences.png").stat().st_size > 10_000


@pytest.mark.slow
def test_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        command, "study_ablation", lambda *a, **k: ablation.study_ablation(*a, settings=SMALL, **k)
    )
    arguments = ["ablation", "--quick", "--seeds", "1", "--csv", str(tmp_path / "figures.csv")]
    command.main(arguments)
    said = capsys.readouterr().out
    assert "QUICK" in said
    assert "2 test parts by molecule x 1 seeds" in said
    figures = pd.read_csv(tmp_path / "figures.csv")
    assert {DEFAULT, CHOSEN, "CCA", "Tanimoto-kernel average"} <= set(figures["model"])
