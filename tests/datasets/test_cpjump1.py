from __future__ import annotations

import pandas as pd
import pytest

from cloome_sk.datasets import load_cpjump1, load_jump_harmony, load_phenotype_probabilities

LOADERS = {
    "cpjump1_compound_wells": load_cpjump1,
    "cpjump1_phenotype_probabilities": load_phenotype_probabilities,
    "jump_harmony_by_source": load_jump_harmony,
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", LOADERS)
def test_exactly_as_on_disk(data_home, name):
    plain = pd.read_parquet(data_home / "profiles" / f"{name}.parquet")
    pd.testing.assert_frame_equal(LOADERS[name](data_home), plain, check_exact=True)


@pytest.mark.real_data
def test_cpjump1_is_the_documented_table(data_home, monkeypatch):
    monkeypatch.setenv("CLOOME_SK_DATA", str(data_home))
    table = load_cpjump1()
    assert table.shape[0] == 2240
    features = table.filter(regex="^(Cells|Cytoplasm|Nuclei)_")
    assert features.shape[1] == 904
    assert set(features.dtypes.astype(str)) == {"float32"}
    assert not features.isna().any(axis=None)
    assert 569 < features.max(axis=None) < 571, "outliers are left in"
    assert table["Metadata_Plate"].nunique() == 7
    treated = table[table["Metadata_control_type"] != "negcon"]
    assert treated["Metadata_smiles"].nunique() == 245
    assert (table["Metadata_control_type"] == "negcon").sum() == 7 * 64


@pytest.mark.real_data
def test_phenotype_probabilities_are_the_documented_table(data_home):
    table = load_phenotype_probabilities(data_home)
    assert len(table) == 6071
    assert table["smiles"].nunique() == 242
    assert table["Metadata_Plate"].nunique() == 24
    probabilities = table.loc[:, "ADCCM":"SmallIrregular"]
    assert probabilities.shape[1] == 15
    assert ((probabilities >= 0) & (probabilities <= 1)).all(axis=None)


@pytest.mark.real_data
def test_jump_harmony_is_the_documented_table(data_home):
    table = load_jump_harmony(data_home)
    assert len(table) == 312
    assert table["Metadata_JCP2022"].nunique() == 108
    assert table["Metadata_Source"].nunique() == 10
    assert table.filter(like="harmony_").shape[1] == 748


@pytest.mark.parametrize("name", LOADERS)
def test_missing_file_says_where_it_comes_from(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=rf"no file .*{name}\.parquet.*(fetch_|source is)"):
        LOADERS[name](tmp_path)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("keep", [0, 100, -100])
def test_truncated_file(tmp_path, name, keep):
    path = tmp_path / "profiles" / f"{name}.parquet"
    path.parent.mkdir()
    pd.DataFrame({"Cells_A": range(5000)}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=rf"{name}\.parquet.*bytes\) cannot be read.*truncated"):
        LOADERS[name](tmp_path)


@pytest.mark.parametrize("name", LOADERS)
def test_another_table_under_that_name(tmp_path, name):
    path = tmp_path / "profiles" / f"{name}.parquet"
    path.parent.mkdir()
    pd.DataFrame({"Metadata_Plate": ["P1"], "colour": ["red"]}).to_parquet(path)
    with pytest.raises(ValueError, match=r"lacks the column.*smiles.*columns seen: .*colour"):
        LOADERS[name](tmp_path)


@pytest.mark.usefixtures("no_pyarrow")
@pytest.mark.parametrize("name", LOADERS)
def test_without_pyarrow(tmp_path, name):
    path = tmp_path / "profiles" / f"{name}.parquet"
    path.parent.mkdir()
    path.touch()
    with pytest.raises(ImportError, match=r'pip install "cloome_sk\[data\]"'):
        LOADERS[name](tmp_path)
