from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from cloome_sk.datasets import fetch_assays, load_known_drugs
from cloome_sk.datasets.assays_fetch import (
    BRAY_SMILES,
    HTI_ASSAYS,
    HTI_COMPOUNDS,
    HTI_MATRIX,
    JUMP_ACTIVITY,
    JUMP_SMILES,
)


def _gz(table):
    return gzip.compress(table.to_csv(index=False).encode())


@pytest.fixture
def drugs():
    """Ten structures with their InChIKeys, as plain RDKit names them."""
    drugs = load_known_drugs().head(10)[["smiles"]].copy()
    drugs["inchi"] = [Chem.MolToInchi(Chem.MolFromSmiles(s)) for s in drugs["smiles"]]
    drugs["inchikey"] = [Chem.MolToInchiKey(Chem.MolFromSmiles(s)) for s in drugs["smiles"]]
    return drugs


@pytest.fixture
def hti(public_host, drugs):
    """The label matrix of ten compounds and three assays; structures of the first eight."""
    labels = np.zeros((10, 3), dtype=int)
    labels[[0, 1, 2, 9], 0] = [1, -1, 1, -1]
    labels[[3, 8], 1] = [-1, 1]
    labels[[0, 4], 2] = [-1, 1]
    entries = [
        f"{r + 1} {c + 1} {labels[r, c]}" for c, r in zip(*np.nonzero(labels.T), strict=True)
    ]
    head = ["%%MatrixMarket matrix coordinate integer general", f"10 3 {len(entries)}"]
    public_host.add(HTI_MATRIX, "\n".join([*head, *entries, ""]).encode())
    index = pd.DataFrame({"INDEX": range(10), "INCHIKEY": drugs["inchikey"]})
    public_host.add(HTI_COMPOUNDS, index.to_csv(index=False).encode())
    public_host.add(HTI_ASSAYS, b"ASSAY_ID\n600885\n688422\n600885\n")
    known = drugs.head(8).rename(columns={"inchi": "InChI", "smiles": "SMILES"})
    public_host.add(BRAY_SMILES, _gz(known[["InChI", "SMILES"]]))
    return public_host


@pytest.mark.filterwarnings("ignore:hti:UserWarning")
def test_hti(hti, drugs, tmp_path, leftovers):
    with pytest.warns(UserWarning, match="2 of 7 compounds have no known structure") as caught:
        assays = fetch_assays("hti", tmp_path, base_url=hti.url)
    assert {w.filename for w in caught if "no known structure" in str(w.message)} == {__file__}
    assert leftovers() == ["labels/cloome_hti_assays_long.parquet"]
    assert assays.target_names == ["600885", "688422"]
    found = dict(zip(assays.data["inchikey"], assays.target.to_numpy().tolist(), strict=True))
    nan = pytest.approx(np.nan, nan_ok=True)
    key = drugs["inchikey"].tolist()
    # Compound 0 is active in one column of assay 600885 and inactive in the other.
    expected = {key[0]: [nan, nan], key[1]: [0, nan], key[2]: [1, nan], key[3]: [nan, 0],
                key[4]: [1, nan]}  # fmt: skip
    assert found == expected
    assert assays.conflicts[["inchikey", "assay"]].to_numpy().tolist() == [[key[0], "600885"]]
    for _, row in assays.data.iterrows():
        assert row["smiles"] == drugs.set_index("inchikey")["smiles"][row["inchikey"]]
        assert row["murcko"] == MurckoScaffold.MurckoScaffoldSmiles(row["smiles"])


def test_hti_matrix_of_another_shape(hti, tmp_path, leftovers):
    hti.add(HTI_ASSAYS, b"ASSAY_ID\n600885\n")
    with pytest.raises(
        ValueError, match=r"shape \(10, 3\), but there are 10 compounds and 1 assay"
    ):
        fetch_assays("hti", tmp_path, base_url=hti.url)
    assert leftovers() == []


def test_hti_matrix_that_is_none(hti, tmp_path):
    hti.add(HTI_MATRIX, b"<html></html>")
    with pytest.raises(ValueError, match=r"label-matrix\.mtx is no sparse matrix"):
        fetch_assays("hti", tmp_path, base_url=hti.url)


def test_hti_index_of_another_form(hti, tmp_path):
    hti.add(HTI_COMPOUNDS, b"key\nA\n")
    with pytest.raises(ValueError, match=r"row-compound-index.*lacks the column\(s\) INCHIKEY"):
        fetch_assays("hti", tmp_path, base_url=hti.url)


def test_jump_activity(public_host, drugs, tmp_path):
    activity = pd.DataFrame(
        {
            "Metadata_JCP2022": [f"JCP2022_{n:06d}" for n in range(10)],
            "mean_average_precision": np.linspace(0, 1, 10),
            "p_value": 0.5,
            "corrected_p_value": np.linspace(1, 0, 10),
            "below_p": False,
            "below_corrected_p": [False] * 7 + [True] * 3,
        }
    )
    public_host.add(JUMP_ACTIVITY, _gz(activity))
    structures = pd.DataFrame(
        {"Metadata_JCP2022": activity["Metadata_JCP2022"], "Metadata_SMILES": drugs["smiles"]}
    )
    public_host.add(JUMP_SMILES, _gz(structures.iloc[::-1]))
    assays = fetch_assays("jump_activity", tmp_path, base_url=public_host.url)
    assert assays.data["smiles"].tolist() == drugs["smiles"].tolist()
    assert assays.target["active"].tolist() == [0] * 7 + [1] * 3
    assert assays.data["mean_average_precision"].dtype == np.float32
    fetch_assays("jump_activity", tmp_path, base_url="http://127.0.0.1:1")
    assert len(public_host.requested) == 2


@pytest.mark.parametrize("name", ["broad6k", "chembl2k"])
def test_tables_without_a_fetcher(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name!r} cannot be fetched.*InfoAlign.*no licence"):
        fetch_assays(name, tmp_path)


def test_unknown_name(tmp_path):
    with pytest.raises(ValueError, match="'tox21'; choose one of hti, jump_activity"):
        fetch_assays("tox21", tmp_path)


def test_no_folder_named(monkeypatch):
    monkeypatch.delenv("CLOOME_SK_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="CLOOME_SK_DATA"):
        fetch_assays("hti", base_url="http://127.0.0.1:1")
