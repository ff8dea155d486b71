from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from cloome_sk.datasets import load_cell_injury

EMPTY = ["BR00114099/I11", "BR00110035/J10"]


@pytest.mark.real_data
def test_kept_wells_are_exactly_as_on_disk(data_home):
    plain = pd.read_parquet(data_home / "profiles" / "cell_injury_wells.parquet")
    assert len(plain) == 4941
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = load_cell_injury(data_home, missing="keep")
    pd.testing.assert_frame_equal(kept, plain, check_exact=True)

    with pytest.warns(UserWarning, match=r"2 well\(s\).*BR00114099/I11, BR00110035/J10.*'keep'"):
        dropped = load_cell_injury(data_home)
    full = ~plain.filter(regex="^(Cells|Cytoplasm|Nuclei)_").isna().all(axis=1)
    pd.testing.assert_frame_equal(
        dropped, plain[full].reset_index(drop=True), check_exact=True, check_index_type=False
    )
    assert dropped.attrs["dropped_wells"] == EMPTY
    assert not dropped.filter(regex="^(Cells|Cytoplasm|Nuclei)_").isna().any(axis=None)


@pytest.mark.real_data
def test_is_the_documented_table(data_home):
    table = load_cell_injury(data_home, missing="keep")
    assert table.filter(regex="^(Cells|Cytoplasm|Nuclei)_").shape[1] == 340
    assert table["Metadata_Plate"].nunique() == 84
    assert table["Metadata_injury_type"].nunique() == 15
    assert table.loc[table["Metadata_injury_type"] != "Control", "Metadata_smiles"].nunique() == 107
    negative = table["Metadata_control_type"] == "Negative"
    assert (negative == (table["Metadata_injury_type"] == "Control")).all()


@pytest.fixture
def small_home(tmp_path):
    """One good well, one without features, one with a single missing value."""
    path = tmp_path / "profiles" / "cell_injury_wells.parquet"
    path.parent.mkdir()
    pd.DataFrame(
        {
            "Metadata_Plate": ["P1", "P1", "P2"],
            "Metadata_Well": ["A1", "A2", "A1"],
            "Metadata_smiles": ["C", "CC", "CCC"],
            "Metadata_injury_type": ["Control", "x", "x"],
            "Metadata_control_type": ["Negative", None, None],
            "Cells_A": np.float32([1, np.nan, np.nan]),
            "Nuclei_B": np.float32([2, np.nan, 5]),
        }
    ).to_parquet(path)
    return tmp_path


def test_only_wells_without_any_feature_are_dropped(small_home):
    with pytest.warns(UserWarning, match=r"1 well.*P1/A2"):
        table = load_cell_injury(small_home)
    assert table["Metadata_smiles"].tolist() == ["C", "CCC"]
    assert table.index.tolist() == [0, 1]
    assert np.isnan(table.loc[1, "Cells_A"])


def test_the_warning_points_at_the_callers_line(small_home):
    with pytest.warns(UserWarning, match="without any features") as caught:
        load_cell_injury(small_home)
    assert caught[0].filename == __file__


def test_raise(small_home):
    with pytest.raises(ValueError, match=r"1 well.* no features at all.*P1/A2.*missing='drop'"):
        load_cell_injury(small_home, missing="raise")


def test_unknown_choice_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match=r"missing must be one of 'drop', 'keep', 'raise'.*'fill'"):
        load_cell_injury(tmp_path, missing="fill")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No fetcher rebuilds it.*axiomcura"):
        load_cell_injury(tmp_path)
