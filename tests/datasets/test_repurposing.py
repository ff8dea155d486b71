from __future__ import annotations

import csv
import gzip
import hashlib

import pandas as pd
import pytest

from cloome_sk.datasets import fetch_repurposing_hub, load_repurposing_hub
from cloome_sk.datasets.repurposing import SOURCES

DRUGS = "labels/repurposing_drugs_20200324.txt.gz"
SAMPLES = "labels/repurposing_samples_20200324.txt.gz"
MD5_LISTED_BY_THE_SOURCE = {
    DRUGS: "b4b3233dad28d20a522c0200cc4123d1",
    SAMPLES: "44067d6ea0e63c70f51e0469d60232ec",
}


def _rows(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        lines = [line for line in file if not line.startswith("!")]
    return csv.DictReader(lines, delimiter="\t")


@pytest.mark.real_data
def test_every_line_arrives(data_home):
    table = load_repurposing_hub(data_home)
    samples = list(_rows(data_home / SAMPLES))
    assert len(table) == len(samples) == 13_553
    assert table["smiles"].tolist() == [row["smiles"] for row in samples]
    moa = {row["pert_iname"]: row["moa"] for row in _rows(data_home / DRUGS)}
    assert len(moa) == 6798
    assert table["moa"].fillna("").tolist() == [moa[name] for name in table["pert_iname"]]


@pytest.mark.real_data
def test_fetch_rebuilds_the_table(data_home, public_host, tmp_path):
    for relative, source in SOURCES.items():
        text = gzip.decompress((data_home / relative).read_bytes())
        assert hashlib.md5(text).hexdigest() == MD5_LISTED_BY_THE_SOURCE[relative]
        public_host.add(source, text)
    table = fetch_repurposing_hub(tmp_path, base_url=public_host.url)
    pd.testing.assert_frame_equal(table, load_repurposing_hub(data_home), check_exact=True)
    assert sorted(p.name for p in (tmp_path / "labels").iterdir()) == sorted(
        relative.split("/")[1] for relative in SOURCES
    )


@pytest.fixture
def small_home(tmp_path):
    (tmp_path / "labels").mkdir()
    drugs = "!Source\tx\r\npert_iname\tmoa\ttarget\r\nbravo\twow! inhibitor\tA|B\r\n"
    samples = "!Source\r\n!URL\r\npert_iname\tsmiles\tInChIKey\r\nbravo\tCCO\tK\r\n"
    (tmp_path / DRUGS).write_bytes(gzip.compress(drugs.encode()))
    (tmp_path / SAMPLES).write_bytes(gzip.compress(samples.encode()))
    return tmp_path


def test_remarks_are_lines_not_characters(small_home):
    table = load_repurposing_hub(small_home)
    assert table.to_numpy().tolist() == [["bravo", "CCO", "K", "wow! inhibitor", "A|B"]]


def test_files_of_different_releases(small_home):
    samples = "pert_iname\tsmiles\tInChIKey\nalpha\tCCO\tK\n"
    (small_home / SAMPLES).write_bytes(gzip.compress(samples.encode()))
    with pytest.raises(ValueError, match=r"1 sample\(s\) have no drug.*alpha.*different releases"):
        load_repurposing_hub(small_home)


@pytest.mark.parametrize(
    "content",
    [b"", b"not gzip", gzip.compress(b"x" * 9999)[:-9]],
    ids=["empty", "not gzip", "truncated"],
)
def test_damaged_file(small_home, content):
    (small_home / DRUGS).write_bytes(content)
    with pytest.raises(ValueError, match=r"repurposing_drugs.*cannot be read.*truncated"):
        load_repurposing_hub(small_home)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="fetch_repurposing_hub"):
        load_repurposing_hub(tmp_path)
