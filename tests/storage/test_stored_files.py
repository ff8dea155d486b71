"""Embedders that the first release stored: every later one reads them, with the same result."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.storage import load_embedder

FOLDER = Path(__file__).parent / "files" / "format_1"


@pytest.fixture(scope="module")
def expected():
    return json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=["folder", "joblib"])
def embedder(request):
    if request.param == "folder":
        return load_embedder(FOLDER / "embedder", CloomeEmbedder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*was pickled by")
        return joblib.load(FOLDER / "embedder.pkl")


def test_embeddings_are_those_of_then(embedder, expected):
    # Another processor or version of torch adds in another order.
    close = {"rtol": 0, "atol": 1e-5}
    table = pd.DataFrame(expected["table"])
    np.testing.assert_allclose(embedder.transform(table), expected["transform"], **close)
    found = embedder.embed_molecules(expected["smiles"])
    np.testing.assert_allclose(found, expected["embed_molecules"], **close)


def test_all_that_was_learned_is_there(embedder, expected):
    assert embedder.molecules_seen_.tolist() == expected["molecules_seen"]
    assert embedder.n_pairs_ == expected["n_pairs"]
    assert str(embedder.controls_) == expected["controls"]
    assert embedder.inv_tau_ == expected["inv_tau"]
    assert embedder.history_.to_dict(orient="list") == expected["history"]
    assert embedder.phenotype_.column_names_ == [f"Cells_Feature_{place}" for place in range(6)]


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 100_000
