from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from cloome_sk.datasets import DownloadError, fetch_moshkov, load_assays, load_moshkov
from cloome_sk.datasets.moshkov import SOURCES


@pytest.mark.real_data
def test_equals_the_files(data_home):
    published = load_moshkov(data_home)
    assert published.metadata.shape == (270, 5)
    assert published.auroc.shape == (270, 17)
    assert published.auroc.index.equals(published.metadata.index)
    long = pd.read_csv(data_home / "labels/moshkov/scaffold_median_AUC.csv.gz")
    assert len(long) == published.auroc.size
    for assay, auc, model in long[["assay_id", "auc", "descriptor"]].itertuples(index=False):
        np.testing.assert_equal(published.auroc.loc[assay, model], auc)
    # The article: structures alone predict 16 assays well, with morphology 31.
    well = (published.auroc > 0.9).sum()
    assert (well["cp_es_op"], well["late_fusion_cs_mobc"]) == (16, 31)


@pytest.mark.real_data
def test_describes_the_assays_of_broad6k(data_home):
    assert set(load_assays("broad6k", data_home).target_names) <= set(
        load_moshkov(data_home).metadata.index
    )


@pytest.mark.real_data
def test_fetch_rebuilds_the_tables(data_home, public_host, tmp_path):
    for relative, source in SOURCES.items():
        public_host.add(source, gzip.decompress((data_home / relative).read_bytes()))
    fetched, loaded = fetch_moshkov(tmp_path, base_url=public_host.url), load_moshkov(data_home)
    pd.testing.assert_frame_equal(fetched.metadata, loaded.metadata, check_exact=True)
    pd.testing.assert_frame_equal(fetched.auroc, loaded.auroc, check_exact=True)


def test_fetch_refuses_another_file(public_host, tmp_path, leftovers):
    for source in SOURCES.values():
        public_host.add(source, b"PUMA_ASSAY_ID\n")
    with pytest.raises(DownloadError, match="not the expected file"):
        fetch_moshkov(tmp_path, base_url=public_host.url)
    assert leftovers() == []
    assert list((tmp_path / "labels" / "moshkov").iterdir()) == []


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"assay_metadata\.csv\.gz.*fetch_moshkov"):
        load_moshkov(tmp_path)
