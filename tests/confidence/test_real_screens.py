"""Coverage on public screens: averaged over random deals of molecules it is what was promised."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from cloome_sk.confidence.nested import unit_weights
from cloome_sk.datasets import load_cell_injury, load_cpjump1
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer, find_controls
from cloome_sk.zero_shot import ZeroShotMoAClassifier

N_DEALS = 60


@pytest.fixture(
    scope="module",
    params=[
        (load_cell_injury, "Metadata_injury_type", (0.8, 0.9, 0.95)),
        (load_cpjump1, "Metadata_moa_list", (0.8, 0.9)),
    ],
    ids=["cell-injury", "cpjump1"],
)
def wells(request, data_home):
    load, label, levels = request.param
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two wells without features
        table = load(data_home)
    treated = table[~find_controls(table).mask].index
    features = table.columns[table.columns.str.match("Cells_|Cytoplasm_|Nuclei_")]
    table = ControlNormalizer(list(features), sphering=False).fit_transform(table).loc[treated]
    keys, y = molecule_key(table["Metadata_smiles"]), table[label]
    sizes = pd.Series(keys).groupby(y.to_numpy()).nunique()
    kept = y.isin(sizes.index[sizes >= 3]).to_numpy()
    return table.loc[kept, features].to_numpy(float), y[kept].to_numpy(str), keys[kept], levels


def test_coverage_over_random_deals_of_molecules(wells):
    X, y, keys, levels = wells
    # One random molecule a class is the reference; the rest is one bag, dealt at random.
    rng = np.random.default_rng(0)
    references = [rng.choice(np.unique(keys[y == name])) for name in np.unique(y)]
    train = np.isin(keys, references)
    model = ZeroShotMoAClassifier().fit(X[train], y[train])
    rest = np.unique(keys[~train])
    covered = {level: [] for level in levels}
    alarms = []
    for _ in range(N_DEALS):
        calibration = rng.permutation(rest)[: len(rest) * 4 // 5]
        known = np.isin(keys, calibration)
        test = ~train & ~known
        model.calibrate(X[known], y[known], groups=keys[known], n_folds=2)
        weights = unit_weights(keys[test])
        column = np.searchsorted(model.classes_, y[test])
        for level in levels:
            sets = model.predict_set(X[test], level)
            hit = sets[np.arange(len(sets)), column]
            covered[level].append(np.average(hit, weights=weights))
        alarms.append(np.average(model.is_novel(X[test], 0.1), weights=weights))
    for level, shares in covered.items():
        error = 3 * np.std(shares) / np.sqrt(N_DEALS)
        assert level - error <= np.mean(shares) <= level + 2 / (len(calibration) + 1) + error
    error = 3 * np.std(alarms) / np.sqrt(N_DEALS)
    assert np.mean(alarms) <= 0.1 + error
