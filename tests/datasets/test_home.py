from __future__ import annotations

import subprocess
import sys

import pytest

import cloome_sk.datasets as datasets
from cloome_sk.datasets import get_data_home


def test_argument_wins_over_the_environment(tmp_path, monkeypatch):
    named, other = tmp_path / "named", tmp_path / "other"
    named.mkdir()
    other.mkdir()
    monkeypatch.setenv("CLOOME_SK_DATA", str(other))
    assert get_data_home() == other
    assert get_data_home(named) == named
    assert get_data_home(str(named)) == named


def test_tilde_is_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "tables").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert get_data_home("~/tables") == tmp_path / "tables"


@pytest.mark.parametrize("value", [None, ""])
def test_no_folder_named_says_how_to_name_one(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("CLOOME_SK_DATA", raising=False)
    else:
        monkeypatch.setenv("CLOOME_SK_DATA", value)
    with pytest.raises(FileNotFoundError) as caught:
        get_data_home()
    for hint in ("CLOOME_SK_DATA", "data_home=", "fetch_", "make_profiles"):
        assert hint in str(caught.value)


def test_absent_folder_is_named_and_made_only_on_request(tmp_path):
    absent = tmp_path / "a" / "b"
    with pytest.raises(FileNotFoundError, match=r"data_home is .*b'.*no such folder"):
        get_data_home(absent)
    assert not absent.exists()
    assert get_data_home(absent, create=True) == absent
    assert absent.is_dir()


def test_a_file_is_no_folder(tmp_path):
    file = tmp_path / "table.parquet"
    file.touch()
    with pytest.raises(NotADirectoryError, match="is a file, not a folder"):
        get_data_home(file, create=True)


def test_every_public_name_resolves():
    for name in datasets.__all__:
        assert getattr(datasets, name).__name__ == name
    assert set(datasets.__all__) <= set(dir(datasets))
    with pytest.raises(AttributeError, match="load_everything"):
        _ = datasets.load_everything


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, cloome_sk.datasets; "
        "print([m for m in ('pandas', 'numpy', 'rdkit', 'sklearn', 'torch') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
