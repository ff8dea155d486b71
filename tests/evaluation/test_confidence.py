"""The study of confidence on molecules whose classes are known to be told apart, or not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cloome_sk.evaluation.confidence import study_confidence

N = 120


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(0)
    kind = np.arange(N) % 4
    of = np.repeat(np.arange(N), 3)
    middle = np.eye(4, 10)[kind] + 0.2 * rng.normal(size=(N, 10))
    Z = middle[of] + 0.05 * rng.normal(size=(len(of), 10))
    table = pd.DataFrame({"smiles": ["C" * (n + 1) for n in of]})
    y = np.array(["a", "b", "c", "d"], dtype=object)[kind][of]
    y[of == N - 1] = None
    asked = []

    def good(rows, seed):
        asked.append(rows)
        return Z

    def noise(rows, seed):
        return np.random.RandomState(seed).normal(size=Z.shape)

    models = {"good": good, "noise": noise}
    result = study_confidence(table, y, of, models, "good", data="toy", folds=2, repeats=6)
    return result, asked, of, y


def test_trains_on_half_of_the_molecules_of_each_class_and_on_no_row_without_one(study):
    result, asked, of, _ = study
    for rows in asked:
        assert len(np.unique(of[rows])) == 15 + 15 + 15 + 14
        assert len(rows) == 3 * len(np.unique(of[rows]))
        assert N - 1 not in of[rows]
    assert result.leakage["ok"].all()
    assert "3 rows without a class" in result.notes[0]


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
    text = study[0].report()
    assert "Sets of good that promise 90% hold the true class of" in text
    assert "better than chance (3.600)" in text
    names = {path.name for path in study[0].write(tmp_path)}
    assert {"confidence_toy.csv", "confidence_toy.png"} <= names


def test_too_few_calibration_molecules_are_said_and_are_not_worse_than_chance():
    """Of 21 molecules 9 train and 8 calibrate, which allows for a coverage of 80 % only."""
    rng = np.random.default_rng(0)
    kind, of = np.arange(21) % 3, np.arange(21)
    Z = np.eye(3)[kind] + 0.1 * rng.normal(size=(21, 3))
    table = pd.DataFrame({"smiles": ["C" * (n + 1) for n in of]})
    found = study_confidence(
        table,
        np.array(list("abc"))[kind],
        of,
        {"A": lambda rows, seed: Z},
        "A",
        data="toy",
        folds=2,
    )
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


def test_errors():
    table = pd.DataFrame({"smiles": ["C", "CC", "CCC", "CCCC"]})
    with pytest.raises(ValueError, match="three classes or more"):
        study_confidence(table, list("aabb"), range(4), {}, "good", data="toy")
