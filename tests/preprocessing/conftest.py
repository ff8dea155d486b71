from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def make_plates():
    """A maker of plates with planted offsets and gains."""
    return plates


def plates(n_plates=3, n_wells=40, n_features=4, seed=0, dtype=np.float64):
    """Plates with their own offset and gain; every second well holds DMSO; rows are shuffled."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features))
    values = rng.standard_t(4, size=(n_plates, n_wells, n_features)) @ mixing
    values *= rng.uniform(0.5, 2.0, size=(n_plates, 1, n_features))
    values += rng.normal(0, 20, size=(n_plates, 1, n_features))
    names = ["Cells_Area", "Cells_Texture", "Nuclei_Area", "Nuclei_DNA"]
    names = [*names, *(f"Cytoplasm_{i}" for i in range(n_features - 4))][:n_features]
    table = pd.DataFrame(values.reshape(-1, n_features).astype(dtype), columns=names)
    table.insert(0, "Metadata_Plate", np.repeat([f"P{i}" for i in range(n_plates)], n_wells))
    table.insert(2, "compound", np.tile(["DMSO", "taxol"], n_plates * n_wells // 2))
    table["smiles"] = pd.Series([None, "CCO"] * (n_plates * n_wells // 2), dtype="str")
    table["count"] = pd.array(rng.integers(0, 9, len(table)), dtype="Int64")
    return table.sample(frac=1.0, random_state=seed)
