"""The study of single cells, on made-up crops whose answer is known, and on a few real ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets.bbbc021_crops import load_bbbc021_crops
from cloome_sk.evaluation import __main__ as command
from cloome_sk.evaluation import crops as study_module
from cloome_sk.evaluation.crops import (
    ALONE,
    BATCHES,
    CODES,
    INTENSITY,
    LARGEST,
    MODELS,
    ON_PLATE,
    ON_WEEK,
    TRAINED,
    UNTRAINED,
    make_crop_embedder,
    study_crops,
)
from cloome_sk.evaluation.unseen_compounds import METRICS, compound_probe
from cloome_sk.imaging.intensity import intensity_features

# Class, compound, week. Those of "x" share their week; "y" and "z" do not.
PLAN = [
    ("x", "x1", "Week1"),
    ("x", "x2", "Week1"),
    ("y", "y1", "Week1"),
    ("y", "y2", "Week2"),
    ("z", "z1", "Week2"),
    ("z", "z2", "Week1"),
    ("alone", "a1", "Week2"),
    (None, "DMSO", "Week1"),
    (None, "DMSO", "Week2"),
]
N_CROPS = 8


@pytest.fixture(scope="module")
def table():
    """Made-up crops; brightness of the channels tells the class, and the plate changes it."""
    rng = np.random.default_rng(0)
    level = {"x": (2, 1, 1), "y": (1, 2, 1), "z": (1, 1, 2), "alone": (2, 2, 2), None: (1, 1, 1)}
    rows = []
    for moa, compound, week in PLAN:
        for number in range(N_CROPS):
            # The second plate of a week has no control.
            plate = f"{week}_{1 if moa is None else 1 + number % 2}"
            gain = {"Week1": 1.0, "Week2": 1.6}[week]
            light = gain * np.array(level[moa])[:, None, None] * 400
            image = rng.poisson(light * np.ones((1, 20, 20))).astype(np.uint16)
            rows.append(
                {
                    "Metadata_Plate": plate,
                    "Metadata_week": week,
                    "Metadata_compound": compound,
                    "Metadata_conc_uM": float(number // 4),
                    "Metadata_moa": moa,
                    "Metadata_control_type": "negcon" if moa is None else None,
                    "Metadata_repository": "owner/name",
                    "Metadata_Channels": "DNA|Actin|Tubulin",
                    "Image": image,
                }
            )
    made = pd.DataFrame(rows)
    return made.sample(frac=1, random_state=0).reset_index(drop=True)


class Recording(CloomeEmbedder):
    """Notes what each training saw, and with which code."""

    seen: list[pd.DataFrame] = []  # noqa: RUF012  a clone has its own attributes, not its class

    def fit(self, X, y=None):
        Recording.seen.append(X[["Metadata_compound", *CODES]])
        return super().fit(X)


def quick(embedder=None):
    parameters = (embedder or make_crop_embedder(100, 0)).get_params(deep=False)
    return Recording(**parameters).set_params(max_epochs=1, n_components=8)


@pytest.fixture(scope="module")
def study(table):
    Recording.seen = []
    return study_crops(table, folds=2, embedder=quick(), random_state=0)


def test_every_model_and_metric_is_there(study):
    assert list(study.probabilities) == list(MODELS)
    for given in study.probabilities.values():
        assert given.shape == (6 * N_CROPS, 3)
        np.testing.assert_allclose(given.sum(axis=1), 1.0)
    found = study.scores.set_index(["model", "metric"])
    assert set(found.index) == {(model, metric) for model in MODELS for metric in METRICS}
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()
    assert (found.loc[INTENSITY, ["gain", "gain_low", "gain_high"]] == 0).all(axis=None)


def test_controls_and_classes_of_one_compound_are_not_tested(study):
    assert set(study.cells["Metadata_compound"]) == {name for _, name, _ in PLAN[:6]}
    assert study.cells["label"].tolist() == ["xyz".index(m) for m in study.cells["Metadata_moa"]]


def test_networks_never_see_what_they_are_tested_on(study):
    folds = study.cells.groupby("fold")["Metadata_compound"].unique()
    assert len(Recording.seen) == len(folds) == 2
    for number, seen in enumerate(Recording.seen):
        assert not set(folds[number]) & set(seen["Metadata_compound"])
        assert set(folds[number]) | set(seen["Metadata_compound"]) == {
            "DMSO", *study.cells["Metadata_compound"]
        }  # fmt: skip


def test_a_compound_is_a_random_unit_vector(study):
    seen = pd.concat(Recording.seen)
    vectors = seen.groupby("Metadata_compound")[CODES].agg(["min", "max"])
    low, high = (vectors.xs(name, axis=1, level=1).to_numpy() for name in ("min", "max"))
    np.testing.assert_array_equal(low, high)
    np.testing.assert_allclose(np.linalg.norm(low, axis=1), 1.0)
    others = low @ low.T - np.eye(len(low))
    assert np.abs(others).max() < 0.6


def test_intensities_go_through_the_probe_of_the_fold(table, study):
    """Each version of the features against a loop over rows and folds."""
    part = table[table["Metadata_moa"] != "alone"].reset_index(drop=True)
    control = (part["Metadata_compound"] == "DMSO").to_numpy()
    features = np.array([intensity_features(image) for image in part["Image"]])
    assert features.shape[1] == 27
    centred = {"": features}
    for version, column in ((ON_WEEK, "Metadata_week"), (ON_PLATE, "Metadata_Plate")):
        rows = []
        for row in range(len(part)):
            used = control & (part[column] == part[column][row]).to_numpy()
            if not used.any():
                used = control & (part["Metadata_week"] == part["Metadata_week"][row]).to_numpy()
            rows.append(features[row] - features[used].mean(axis=0))
        centred[version] = np.array(rows)
    fold = study.cells["fold"].to_numpy()
    labels = study.cells["label"].to_numpy()
    compounds = study.cells["Metadata_compound"].to_numpy(object)
    for version, rows in centred.items():
        treated = rows[~control]
        for number in range(2):
            train = fold != number
            probe = compound_probe(treated[train], labels[train], compounds[train], 0)
            np.testing.assert_allclose(
                study.probabilities[INTENSITY + version][~train],
                probe.predict_proba(treated[~train]),
                rtol=1e-6,
            )


def test_what_is_planted_is_found(study):
    found = study.scores[study.scores["metric"] == "cells"].set_index("model")["value"]
    assert found[INTENSITY + ON_WEEK] > 0.95
    assert found[BATCHES] < 0.7
    assert found[LARGEST] < 0.5


def test_company_in_the_week(study):
    cells = study.cells
    for row in range(len(cells)):
        same = (cells["Metadata_moa"] == cells["Metadata_moa"][row]) & (
            cells["Metadata_week"] == cells["Metadata_week"][row]
        )
        others = set(cells["Metadata_compound"][same]) - {cells["Metadata_compound"][row]}
        assert cells["in_week"][row] == bool(others)
    split = study.by_company()
    assert list(split) == [
        f"class in its week: {2 * N_CROPS} crops, 2 compounds",
        f"alone in its week: {4 * N_CROPS} crops, 4 compounds",
    ]
    alone = split.filter(like=ALONE).squeeze()
    for model in MODELS:
        right = study.probabilities[model].argmax(axis=1) == cells["label"]
        expected = np.mean(
            [right[cells["Metadata_compound"] == n].mean() for n in "y1 y2 z1 z2".split()]
        )
        assert alone[model] == pytest.approx(expected)


def test_confounding_counts_crops(study):
    counts = study.confounding()
    assert list(counts) == ["Week1", "Week2"]
    assert counts.loc[("y", "y2")].tolist() == [0, N_CROPS]
    assert counts.to_numpy().sum() == 6 * N_CROPS


def test_facts_are_those_of_the_table(study):
    said = "\n".join(study.facts)
    assert "48 crops of 6 compounds (12 treatments), 3 classes" in said
    assert "16 DMSO crops" in said
    assert "2 folds, each leaving out compounds of different classes" in said
    assert "2 of 4 plates have none; their 24 crops" in said
    assert "6 of 6 compounds were run in one week alone; in several: none" in said


def test_report_shows_all_of_it(study):
    said = study.report()
    assert all(fact in said for fact in study.facts)
    lines = said.splitlines()
    for model in MODELS:
        # Figures, differences, and the split by week; the reference has no difference to itself.
        named = [line for line in lines if line.startswith(f"{model}  ")]
        assert len(named) == (2 if model == INTENSITY else 3)
    row = study.scores.set_index(["model", "metric"]).loc[(TRAINED, "cells")]
    assert f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in said
    assert any(line.startswith("(a guess)") and "0.333" in line for line in lines)


def test_one_compound_at_a_time(table, monkeypatch):
    monkeypatch.setattr(study_module, "N_UPDATES", 1)
    strict = study_crops(table[table["Metadata_moa"] != "z"], folds="all", random_state=0)
    assert strict.cells.groupby("fold")["Metadata_compound"].nunique().tolist() == [1] * 4
    assert "each leaving out one compound" in "\n".join(strict.facts)


def test_same_seed_same_study(table, study):
    again = study_crops(table, folds=2, embedder=quick(), random_state=0)
    pd.testing.assert_frame_equal(again.scores, study.scores, check_exact=True)


def test_week_without_controls(table):
    lacking = table[(table["Metadata_compound"] != "DMSO") | (table["Metadata_week"] == "Week1")]
    with pytest.raises(ValueError, match=r"no negative control in any of their batches.*'Week2'"):
        study_crops(lacking, folds=2, embedder=quick())


@pytest.mark.parametrize(("n_pairs", "epochs"), [(128, 300), (129, 150), (1000, 38), (10**6, 1)])
def test_updates_do_not_depend_on_the_number_of_crops(n_pairs, epochs):
    assert make_crop_embedder(n_pairs, 0).max_epochs == epochs


@pytest.mark.real_data
@pytest.mark.slow
def test_real_crops(data_home):
    table = load_bbbc021_crops(data_home)
    classes = ["Actin disruptors", "Eg5 inhibitors", "Protein degradation"]
    kept = table["Metadata_moa"].isin(classes) | table["Metadata_moa"].isna()
    study = study_crops(table[kept], folds=3, embedder=quick(), random_state=0)
    assert len(study.cells) == 101
    found = study.scores[study.scores["metric"] == "cells, balanced"].set_index("model")["value"]
    # Disrupted actin, and cells arrested in mitosis, are told apart by the eye.
    assert found[INTENSITY] > 1 / 3
    assert np.isfinite(study.probabilities[UNTRAINED]).all()


def test_the_command_prints_the_report_of_its_study(monkeypatch, capsys):
    asked = {}

    class Study:
        def report(self):
            return "the report"

    def study(table, **options):
        asked.update(options, table=table)
        return Study()

    monkeypatch.setattr(command, "load_bbbc021_crops", lambda data_home: f"crops of {data_home}")
    monkeypatch.setattr(command, "study_crops", study)
    command.main(["bbbc021-crops", "--folds", "all", "--seed", "3", "--data-home", "there"])
    assert "the report" in capsys.readouterr().out
    assert (asked["folds"], asked["random_state"], asked["table"]) == ("all", 3, "crops of there")
    command.main(["bbbc021-crops", "--folds", "4"])
    assert asked["folds"] == 4
