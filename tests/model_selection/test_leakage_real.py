"""Reports on the public tables."""

from __future__ import annotations

from time import process_time

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold

from cloome_sk.model_selection import (
    cluster_groups,
    leakage_report,
    molecule_groups,
    scaffold_groups,
)
from cloome_sk.preprocessing import find_controls

pytestmark = pytest.mark.real_data
TABLES = ["cpjump1_compound_wells", "cell_injury_wells"]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    ("groups", "claim"),
    [
        (molecule_groups, "molecule"),
        (scaffold_groups, ("molecule", "scaffold")),
        (cluster_groups, "molecule"),
    ],
)
def test_grouped_folds_share_plates_but_not_what_they_claim(data_home, name, groups, claim):
    X = pd.read_parquet(data_home / "profiles" / f"{name}.parquet")
    X = X[~find_controls(X).mask]  # all wells of the vehicle would be one fold
    train, test = next(GroupKFold(5).split(X, groups=groups(X)))
    report = leakage_report(X.iloc[train], X.iloc[test], claim=claim)
    assert report.ok
    assert report.table.loc["plate", "share_of_test_rows"] > 0.9
    assert report.table.loc["well", "n_shared"] == 0
    assert not leakage_report(X.iloc[train], X.iloc[test], claim="plate").ok


@pytest.mark.parametrize("name", TABLES)
def test_a_fold_of_controls_alone_is_no_test_of_molecules(data_home, name):
    X = pd.read_parquet(data_home / "profiles" / f"{name}.parquet")
    train, test = next(GroupKFold(5).split(X, groups=molecule_groups(X)))
    assert find_controls(X.iloc[test]).mask.all()
    with pytest.raises(ValueError, match="no molecule besides its controls"):
        leakage_report(X.iloc[train], X.iloc[test])


@pytest.mark.parametrize("name", TABLES)
def test_random_folds_share_nearly_everything(data_home, name):
    X = pd.read_parquet(data_home / "profiles" / f"{name}.parquet")
    order = np.random.default_rng(0).permutation(len(X))
    train, test = X.iloc[order[500:]], X.iloc[order[:500]]
    report = leakage_report(train, test)
    assert not report.ok
    # counted again, by the published InChIKey and without the package's own keys
    seen, asked = (
        part.loc[~find_controls(part).mask, "Metadata_InChIKey"].str[:14] for part in (train, test)
    )
    row = report.table.loc["molecule"]
    assert row["of_test_molecules"] == asked.nunique()
    assert row["n_test_molecules"] == len(set(asked) & set(seen))
    assert row["n_test_rows"] == asked.isin(seen).sum()
    assert report.table.loc["well", "n_shared"] == 0


@pytest.mark.slow
def test_bray_wells_in_reasonable_time(data_home):
    X = pd.read_parquet(data_home / "metadata" / "bray_idr0016_wells.parquet")
    plates = pd.Series(X["plate_id"].unique())
    unseen = X["plate_id"].isin(plates.sample(frac=0.2, random_state=0))
    start = process_time()
    report = leakage_report(
        X[~unseen],
        X[unseen],
        claim=("plate", "well"),
        columns={"plate": "plate_id", "well": "well_id"},
    )
    seconds = process_time() - start
    assert report.ok
    assert seconds < 300
    table = report.table
    assert not table.loc["position", "checked"]  # well_id is a number, not a position
    readable = X["smiles"].notna()
    assert table.loc["molecule", "of_test_rows"] == (readable & unseen).sum()
    shared = X["smiles"][unseen].isin(X["smiles"][~unseen].dropna()) & readable[unseen]
    assert table.loc["molecule", "n_test_rows"] >= shared.sum() > 0
    assert table.loc["same_structure", "n_test_rows"] >= shared.sum()
