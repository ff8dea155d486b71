from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from cloome_sk.datasets import load_assays

FILES = {
    "hti": "cloome_hti_assays_long",
    "broad6k": "broad6k_assays",
    "chembl2k": "chembl2k_assays",
    "jump_activity": "jump_phenotypic_activity_115k",
}
SHAPES = {
    "hti": (8271, 202),
    "broad6k": (5196, 32),
    "chembl2k": (1721, 41),
    "jump_activity": (115_723, 1),
}


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:hti")
@pytest.mark.parametrize("name", FILES)
def test_is_the_documented_table(data_home, name):
    assays = load_assays(name, data_home)
    assert assays.target.shape == SHAPES[name]
    assert set(assays.target.dtypes.astype(str)) == {"float32"}
    assert assays.target_names == list(assays.target.columns)
    assert assays.target.index.equals(assays.data.index)
    assert assays.data["smiles"].is_unique
    assert not assays.data["smiles"].isna().any()
    assert isinstance(assays.DESCR, str)


@pytest.mark.real_data
def test_hti_equals_a_naive_pivot(data_home):
    long = pd.read_parquet(data_home / "labels" / f"{FILES['hti']}.parquet")
    labels: dict[tuple[str, str], set[int]] = {}
    for key, assay, label in zip(long.inchikey, long.chembl_assay_id, long.label, strict=True):
        labels.setdefault((key, str(assay)), set()).add(int(label))
    with pytest.warns(UserWarning, match="141 labels contradict each other"):
        assays = load_assays("hti", data_home)
    rows = {key: row for row, key in enumerate(assays.data["inchikey"])}
    columns = {name: column for column, name in enumerate(assays.target_names)}
    values = assays.target.to_numpy()
    assert np.isfinite(values).sum() == sum(len(seen) == 1 for seen in labels.values())
    conflicts = set(zip(assays.conflicts["inchikey"], assays.conflicts["assay"], strict=True))
    for (key, assay), seen in labels.items():
        value = values[rows[key], columns[assay]]
        if len(seen) == 2:
            assert math.isnan(value)
            assert (key, assay) in conflicts
        else:
            assert value == (seen == {1})
    assert len(conflicts) == 141
    first = long.drop_duplicates("inchikey")
    assert assays.data["smiles"].tolist() == first["smiles"].tolist()


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["broad6k", "chembl2k"])
def test_wide_tables_are_split_only(data_home, name):
    plain = pd.read_parquet(data_home / "labels" / f"{FILES[name]}.parquet")
    assays = load_assays(name, data_home)
    together = pd.concat([assays.data, assays.target], axis=1)[plain.columns]
    pd.testing.assert_frame_equal(together, plain, check_exact=True)
    assert len(assays.conflicts) == 0


@pytest.mark.real_data
def test_broad6k_fill_and_prevalence(data_home):
    target = load_assays("broad6k", data_home).target.to_numpy()
    assert round(np.isfinite(target).mean(), 2) == 0.85
    assert round(np.nanmean(target), 3) == 0.053


@pytest.mark.real_data
def test_jump_activity(data_home):
    plain = pd.read_parquet(data_home / "labels" / f"{FILES['jump_activity']}.parquet")
    assays = load_assays("jump_activity", data_home)
    assert assays.target_names == ["active"]
    assert (assays.target["active"] == plain["below_corrected_p"]).all()
    assert (assays.data["corrected_p_value"] == plain["corrected_p_value"]).all()


def _home(tmp_path, name, table):
    path = tmp_path / "labels" / f"{FILES[name]}.parquet"
    path.parent.mkdir(exist_ok=True)
    table.to_parquet(path)
    return tmp_path


def _long(labels):
    keys, assays, values = zip(*labels, strict=True)
    return pd.DataFrame(
        {
            "inchikey": keys,
            "smiles": [f"{'C' * (ord(key) - 64)}" for key in keys],
            "murcko": "",
            "chembl_assay_id": assays,
            "label": values,
        }
    )


def test_small_long_table(tmp_path):
    labels = [("B", 20, 1), ("A", 3, -1), ("B", 3, 1), ("A", 3, -1), ("C", 20, 1), ("C", 20, -1)]
    with pytest.warns(UserWarning, match="1 labels contradict") as caught:
        assays = load_assays("hti", _home(tmp_path, "hti", _long(labels)))
    assert caught[0].filename == __file__
    assert assays.data["inchikey"].tolist() == ["B", "A", "C"]
    assert assays.target_names == ["3", "20"]
    np.testing.assert_array_equal(assays.target.to_numpy(), [[1, 1], [0, np.nan], [np.nan, np.nan]])
    assert assays.conflicts.to_numpy().tolist() == [["C", "20", 1, 1]]


def test_label_that_is_neither(tmp_path):
    home = _home(tmp_path, "hti", _long([("A", 3, 1), ("B", 3, 0)]))
    with pytest.raises(ValueError, match=r"Row 1 of the label table holds .*0.*-1 or"):
        load_assays("hti", home)


def test_wide_label_that_is_neither(tmp_path):
    table = pd.DataFrame({"smiles": ["C", "CC"], "inchikey": ["A", "B"], "murcko": "",
                          "Metadata_JCP2022": ["J1", "J2"], "ChEMBL_ID": ["C1", "C2"],
                          "ABCB1": [0.0, 1.0], "EGFR": [None, 0.5]})  # fmt: skip
    with pytest.raises(ValueError, match=r"label .*0\.5.* in assay 'EGFR' for 'CC'"):
        load_assays("chembl2k", _home(tmp_path, "chembl2k", table))


@pytest.mark.parametrize("name", ["HTI", "tox21", None])
def test_unknown_name(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name!r}.*hti, broad6k, chembl2k, jump_activity"):
        load_assays(name, tmp_path)


@pytest.mark.parametrize(("name", "hint"), [("hti", r"fetch_assays\('hti'\)"),
                                            ("broad6k", "No fetcher.*InfoAlign")])  # fmt: skip
def test_missing_file(tmp_path, name, hint):
    with pytest.raises(FileNotFoundError, match=f"no file .*{FILES[name]}.*{hint}"):
        load_assays(name, tmp_path)


@pytest.mark.usefixtures("no_pyarrow")
def test_without_pyarrow(tmp_path):
    path = tmp_path / "labels" / f"{FILES['hti']}.parquet"
    path.parent.mkdir()
    path.touch()
    with pytest.raises(ImportError, match=r'pip install "cloome_sk\[data\]"'):
        load_assays("hti", tmp_path)
