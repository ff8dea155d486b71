"""What a study says, draws and writes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from cloome_sk.evaluation.result import StudyResult
from cloome_sk.evaluation.units import LEAKAGE, differences_of, leakage_row, scores_of


def queries(seed=0):
    """Model A is good, B is chance, C ties A, and LDA has no answer in one part."""
    generator = np.random.RandomState(seed)
    rows = []
    for part in ("molecules", "plates"):
        level = generator.rand(40) < 0.8
        for model in ("A", "B", "C", "LDA"):
            value = {"A": level, "C": level, "B": generator.rand(40) < 0.1}.get(model, level)
            value = value.astype(float)
            if model == "LDA" and part == "molecules":
                value[:] = np.nan
            rows += [(part, model, "R@1", f"m{at}", own, 0.1) for at, own in enumerate(value)]
            rows += [(part, model, "rank", f"m{at}", 1 - own, 0.5) for at, own in enumerate(value)]
    return pd.DataFrame(rows, columns=["part", "model", "metric", "unit", "value", "chance"])


@pytest.fixture
def result():
    table = queries()
    train = pd.DataFrame({"smiles": ["CCO"]})
    leaks = [
        leakage_row("molecules", 0, train, pd.DataFrame({"smiles": ["CCN"]}), "molecule"),
        leakage_row("molecules", 1, train, train, "molecule"),
    ]
    return StudyResult(
        name="retrieval",
        data="toy",
        model="A",
        scores=scores_of(table),
        differences=differences_of(table, "A"),
        leakage=pd.DataFrame(leaks, columns=LEAKAGE),
        headline="R@1",
        notes=("Made up.",),
    )


def test_tables_show_every_model_and_chance(result):
    tables = result.tables()
    assert list(tables) == ["molecules, 40 molecules", "plates, 40 molecules"]
    table = tables["molecules, 40 molecules"]
    assert list(table.index) == ["A", "B", "C", "LDA", "(chance)"]
    assert table.loc["LDA"].tolist() == ["-", "-"]
    assert table.loc["(chance)"].tolist() == ["0.100", "0.500"]
    row = result.scores.iloc[0]
    assert table.loc["A", "R@1"] == f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def test_what_any_order_fulfils_is_in_no_table(result):
    few = (result.scores["part"] == "plates") & (result.scores["metric"] == "R@1")
    scores = result.scores.assign(chance=result.scores["chance"].mask(few, 1.0))
    tables = dataclasses.replace(result, scores=scores).tables()
    assert [list(table) for table in tables.values()] == [["R@1", "rank"], ["rank"]]
    # A number that is no share, such as the size of a set, may have any chance.
    sizes = scores.assign(value=scores["value"].mask(few, 3.0))
    tables = dataclasses.replace(result, scores=sizes).tables()
    assert [list(table) for table in tables.values()] == [["R@1", "rank"]] * 2


def test_sentences_claim_no_more_than_the_tests(result):
    first, second = result.sentences()
    assert "better than chance (0.100)" in first
    assert "Better than B (" in first
    assert "Not told apart from C (+0.000)." in first
    assert "LDA" not in first
    assert "Not told apart from C (+0.000), LDA (+0.000)." in second


def test_a_smaller_rank_is_the_better_one(result):
    ranks = dataclasses.replace(result, headline="rank", larger_is_better=False)
    assert "better than chance (0.500)" in ranks.sentences()[0]
    assert "Better than B (-" in ranks.sentences()[0]
    turned = dataclasses.replace(result, headline="rank", larger_is_better=True)
    assert "worse than chance" in turned.sentences()[0]


def test_the_report_names_the_fold_that_leaks(result):
    text = result.report()
    assert "holds in 1 of 2 folds" in text
    assert "fold 1: 1 of 1 test molecules (1 of 1 test rows) are in the training set" in text
    assert "fold 0:" not in text
    assert text.startswith("How it was made\n---------------\nMade up.")


def test_the_figure_has_a_panel_a_part_and_a_row_a_model(result):
    figure = result.plot()
    assert len([panel for panel in figure.axes if panel.get_visible()]) == 2
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["A", "B", "C", "LDA"]
    with pytest.raises(ValueError, match="no metric 'R@7'; there are 'R@1', 'rank'"):
        result.plot("R@7")


def test_files_hold_the_figures(result, tmp_path):
    written = result.write(tmp_path / "new" / "folder")
    assert [path.name for path in written] == [
        "retrieval_toy.csv",
        "retrieval_toy_differences.csv",
        "retrieval_toy_leakage.csv",
        "retrieval_toy.png",
    ]
    again = pd.read_csv(written[0])
    assert np.allclose(again["value"], result.scores["value"], equal_nan=True)
    assert written[3].read_bytes().startswith(b"\x89PNG")


def test_too_few_units_for_any_difference_say_so(result):
    table = queries()
    few = table[table["unit"].isin([f"m{at}" for at in range(6)])]
    small = dataclasses.replace(result, scores=scores_of(few), differences=differences_of(few, "A"))
    assert "6 molecules are too few to tell it from any of 2 others" in small.sentences()[0]
    assert small.differences["p_holm"].min() >= 0.05  # and so it is
