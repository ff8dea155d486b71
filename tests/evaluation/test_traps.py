"""The traps are there, and the way out of each leads to chance or to less."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cloome_sk.evaluation import traps
from cloome_sk.evaluation.traps import FIXED, NAMES, SORTED, WELLS, TrapStudy, study_traps


@pytest.fixture(scope="module")
def study():
    with pytest.MonkeyPatch.context() as patch:
        # Enough to recognise a molecule that was seen; the command takes ten times as long.
        patch.setattr("cloome_sk.evaluation.screens.N_UPDATES", 60)
        patch.setattr("cloome_sk.evaluation.traps.N_SCREENS", 3)
        return study_traps(random_state=1)


def value(study, trap, start):
    rows = study.scores[study.scores["trap"] == trap]
    (row,) = [row for row in rows.itertuples() if row.evaluation.startswith(start)]
    return row


def test_plates_name_mechanisms_where_compounds_do_nothing(study):
    naive = value(study, SORTED, "naive")
    assert naive.low > naive.chance + 0.1
    assert value(study, SORTED, "control").value > naive.value - 0.2
    rest = value(study, SORTED, "what remains")
    assert rest.low < 0.5 < rest.high  # of molecules on the same plates, nothing is known
    halfway = value(study, SORTED, "not enough")
    assert 0.5 < halfway.low < halfway.value < naive.low
    assert not naive.ok
    assert "plates are in both sets" in naive.sentences
    assert "molecule" not in naive.sentences  # the molecules are left out as they should be


def test_positions_find_replicates_where_compounds_do_nothing(study):
    naive = value(study, FIXED, "naive")
    assert naive.low > 3 * naive.chance
    assert value(study, FIXED, "what remains").n == 0  # no molecule stands anywhere else
    assert value(study, FIXED, "control").low > value(study, FIXED, "control").chance
    assert "well positions of the test set" in naive.sentences


@pytest.mark.parametrize("trap", [WELLS, NAMES])
def test_molecules_on_both_sides_are_recognised(study, trap):
    naive, rest = value(study, trap, "naive"), value(study, trap, "what remains")
    assert not naive.ok
    assert rest.ok
    # Fewer candidates make the honest task the easier one by chance.
    assert naive.chance < rest.chance
    assert naive.value / naive.chance > rest.value / rest.chance


def test_report_and_files(study, tmp_path):
    text = study.report()
    for trap in (SORTED, FIXED, WELLS, NAMES):
        assert f"{trap}\n{'-' * len(trap)}" in text
    assert "no answer" in text
    written = study.write(tmp_path)
    assert [path.suffix for path in written] == [".csv", ".png"]
    again = pd.read_csv(written[0])
    assert np.allclose(again["value"], study.scores["value"], equal_nan=True)


def test_each_trap_has_a_naive_evaluation_and_what_remains(study):
    for _, rows in study.scores.groupby("trap"):
        starts = [name.split(":")[0] for name in rows["evaluation"]]
        assert starts.count("naive") == 1
        assert starts.count("what remains") == 1


def test_a_panel_a_trap(study):
    figure = TrapStudy(study.scores).plot()
    assert len(figure.axes) == 4
    assert list(study.scores.columns) == traps.COLUMNS
