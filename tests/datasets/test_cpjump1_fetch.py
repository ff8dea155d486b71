from __future__ import annotations

import gzip
import hashlib
import sys

import numpy as np
import pandas as pd
import pytest

from cloome_sk.datasets import DownloadError, fetch_cpjump1, load_cpjump1
from cloome_sk.datasets.cpjump1_fetch import ANNOTATIONS, EXPERIMENT, PROFILES

ADDED = [
    "Metadata_moa_list",
    "Metadata_target_list",
    "Metadata_cell_line",
    "Metadata_timepoint_h",
    "Metadata_plate_anomaly",
    "Metadata_murcko",
]


def serve(host, table):
    """Take a finished table apart into the files its public source has."""
    for plate, source in PROFILES.items():
        wells = table[table["Metadata_Plate"] == plate].drop(columns=ADDED)
        host.add(source, gzip.compress(wells.to_csv(index=False).encode()))
    compounds = table.rename(columns=lambda name: name.removeprefix("Metadata_"))
    compounds = compounds[["broad_sample", "moa_list", "target_list"]].dropna(subset="broad_sample")
    dmso = pd.DataFrame({"broad_sample": [None], "moa_list": ["control vehicle"]})
    compounds = pd.concat([compounds.drop_duplicates("broad_sample"), dmso])
    host.add(ANNOTATIONS, compounds.to_csv(sep="\t", index=False).encode())
    plates = table.drop_duplicates("Metadata_Plate")
    notes = pd.DataFrame(
        {
            "Batch": "2020_11_04_CPJUMP1",
            "Assay_Plate_Barcode": plates["Metadata_Plate"],
            "Cell_type": plates["Metadata_cell_line"],
            "Time": plates["Metadata_timepoint_h"],
            "Anomaly": plates["Metadata_plate_anomaly"],
        }
    )
    again = notes.assign(Batch="2020_12_08_CPJUMP1_Bleaching", Anomaly="wrong batch")
    host.add(EXPERIMENT, pd.concat([again, notes]).to_csv(sep="\t", index=False).encode())


@pytest.fixture
def small_table():
    """Seven plates of one DMSO well and one compound well."""
    rows = []
    for number, plate in enumerate(PROFILES):
        where = {"Metadata_Plate": plate, "Metadata_cell_line": "U2OS", "Metadata_timepoint_h": 24,
                 "Metadata_plate_anomaly": "none"}  # fmt: skip
        rows.append({**where, "Metadata_Well": "A01", "Metadata_smiles": "CS(C)=O",
                     "Metadata_control_type": "negcon", "Cells_A": number / 7,
                     "Metadata_murcko": "ACYCLIC:IAZDPXIOMUYVGZ"})  # fmt: skip
        rows.append({**where, "Metadata_Well": "A02", "Metadata_smiles": "Cc1ccccc1",
                     "Metadata_broad_sample": "BRD-1", "Metadata_moa_list": "solvent",
                     "Metadata_target_list": "NONE|SUCH",
                     "Metadata_murcko": "c1ccccc1", "Cells_A": -1.5})  # fmt: skip
    table = pd.DataFrame(rows)
    order = ["Metadata_broad_sample", "Metadata_Plate", "Metadata_Well", "Metadata_smiles",
             "Metadata_control_type", *ADDED, "Cells_A"]  # fmt: skip
    return table[order].astype({"Cells_A": np.float32})


@pytest.mark.real_data
def test_real_table_taken_apart_and_rebuilt(data_home, public_host, tmp_path):
    table = load_cpjump1(data_home)
    # All wells and metadata; writing all 904 features as text would take most of the time.
    table = table.drop(columns=table.filter(regex="^(Cells|Cytoplasm|Nuclei)_").columns[60:])
    serve(public_host, table)
    rebuilt = fetch_cpjump1(tmp_path, base_url=public_host.url)
    pd.testing.assert_frame_equal(rebuilt, table, check_exact=True)


def test_small_table_rebuilt_and_then_only_loaded(public_host, tmp_path, small_table, leftovers):
    serve(public_host, small_table)
    rebuilt = fetch_cpjump1(tmp_path, base_url=public_host.url)
    pd.testing.assert_frame_equal(rebuilt, small_table, check_exact=True)
    assert leftovers() == ["profiles/cpjump1_compound_wells.parquet"]
    assert len(public_host.requested) == 9
    again = fetch_cpjump1(tmp_path, base_url="http://127.0.0.1:1")
    pd.testing.assert_frame_equal(again, rebuilt)


def test_hashes_are_on_record(public_host, tmp_path, small_table):
    serve(public_host, small_table)
    seen = fetch_cpjump1(tmp_path, base_url=public_host.url).attrs["sha256"]
    assert len(seen) == 9
    served = public_host.files[ANNOTATIONS.url("")]
    assert seen[ANNOTATIONS.path] == hashlib.sha256(served).hexdigest()
    assert load_cpjump1(tmp_path).attrs["sha256"] == seen


def test_plate_missing_on_the_host_leaves_nothing(public_host, tmp_path, small_table, leftovers):
    serve(public_host, small_table)
    del public_host.files[PROFILES["BR00117026"].url("")]
    with pytest.raises(DownloadError, match=r"BR00117026.*404"):
        fetch_cpjump1(tmp_path, base_url=public_host.url)
    assert leftovers() == []


def test_file_of_another_plate(public_host, tmp_path, small_table, leftovers):
    serve(public_host, small_table)
    other = public_host.files[PROFILES["BR00117010"].url("")]
    public_host.add(PROFILES["BR00117011"], other)
    with pytest.raises(ValueError, match="should hold plate BR00117011, but holds BR00117010"):
        fetch_cpjump1(tmp_path, base_url=public_host.url)
    assert leftovers() == []


def test_plate_without_notes(public_host, tmp_path, small_table):
    serve(public_host, small_table)
    text = public_host.files[EXPERIMENT.url("")].decode().splitlines(keepends=True)
    kept = [line for line in text if not line.startswith("2020_11_04_CPJUMP1\tBR00117024")]
    public_host.add(EXPERIMENT, "".join(kept).encode())
    with pytest.raises(ValueError, match=r"says nothing about plate\(s\) BR00117024"):
        fetch_cpjump1(tmp_path, base_url=public_host.url)


def test_features_that_not_all_plates_have(public_host, tmp_path, small_table):
    serve(public_host, small_table)
    source = PROFILES["BR00117012"]
    text = gzip.decompress(public_host.files[source.url("")]).decode()
    text = text.replace("Cells_A", "Cells_A,Cells_Extra", 1).replace("\n", ",1\n")
    text = text.replace("Cells_Extra,1\n", "Cells_Extra\n", 1)
    public_host.add(source, gzip.compress(text.encode()))
    with pytest.warns(UserWarning, match=r"1 of 7 were left out, e.g. Cells_Extra") as caught:
        rebuilt = fetch_cpjump1(tmp_path, base_url=public_host.url)
    assert caught[0].filename == __file__
    pd.testing.assert_frame_equal(rebuilt, small_table, check_exact=True)


def test_without_pyarrow_nothing_is_downloaded(public_host, tmp_path, small_table, monkeypatch):
    serve(public_host, small_table)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'pip install "cloome_sk\[data\]"'):
        fetch_cpjump1(tmp_path, base_url=public_host.url)
    assert public_host.requested == []
