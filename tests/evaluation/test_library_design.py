"""Library design as a whole: what was planted comes back, and what is printed is what was found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import load_assays
from cloome_sk.encoders import ProfileEncoder
from cloome_sk.evaluation import __main__ as command
from cloome_sk.evaluation import library_design as module
from cloome_sk.evaluation.library_design import library_design

KINDS = ["random", "phenotype", "chemotype"]
"""Of assays in turn, the first being number 1."""


def small_embedder(n_pairs, seed):
    return CloomeEmbedder(ProfileEncoder(), n_components=8, max_epochs=1, random_state=seed)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        drawn = {**module.DRAWN, "n_plates": 2, "n_controls": 64, "size": 96}
        patch.setattr(module, "DRAWN", drawn)
        patch.setattr(module, "make_embedder", small_embedder)
        folder = tmp_path_factory.mktemp("library")
        return library_design("simulated", folder=folder, n_permutations=99, n_splits=2)


def test_planted_assays_are_found_by_what_causes_them(simulated):
    table = simulated.truth["Planted assays, and how many were found"]
    assert table["planted"].tolist() == [10, 10, 10]
    assert table.loc["phenotype", "intensity features"] >= 9
    assert table.loc["chemotype", "Morgan fingerprint"] >= 9
    # A tenth: what a false discovery rate of 5 % may let through among twenty that are found.
    assert (table.loc["random", ["intensity features", "Morgan fingerprint"]] <= 2).all()
    # Compounds without an effect have that in common, so some of these may be found: barely.
    by_assay = simulated.parts["phenotype clustering, intensity features"].table
    kinds = by_assay.assign(kind=np.array(KINDS)[by_assay["assay"].str[-2:].astype(int) % 3])
    means = kinds.groupby("kind")["normalized_map"].mean()
    assert means["chemotype"] < 0.05
    assert means["phenotype"] > 3 * means["chemotype"]


def test_planted_series_are_found(simulated):
    (title,) = [name for name in simulated.truth if name.startswith("Planted series")]
    table = simulated.truth[title]
    assert len(table) == 40
    # The others are rings of fewer atoms than a scaffold needs, or common chemistry.
    assert (table["F1"] >= 0.9).sum() >= 25
    assert table["F1"].is_monotonic_increasing


def test_structures_hold_series_together_and_phenotypes_do_not(simulated):
    found = simulated.parts["comparison, intensity features, Morgan fingerprint"].overall
    rows = found[found["study"] == "chemotype-clustering"]
    assert (rows["difference"] < -0.3).all()


def test_the_report_holds_every_part_and_files_are_written(simulated, tmp_path):
    text = simulated.report()
    assert text.startswith("SIMULATED")
    assert all(f"== {title} ==" in text for title in simulated.parts)
    written = simulated.write(tmp_path)
    assert len({path.parent for path in written}) == len(simulated.parts)
    assert sum(path.suffix == ".png" for path in written) >= len(simulated.parts)
    assert all(path.stat().st_size > 0 for path in written)


def test_unknown_data_and_images_without_a_folder_are_refused():
    with pytest.raises(ValueError, match="data must be one of 'simulated', 'hti'"):
        library_design("chembl")
    with pytest.raises(ValueError, match="name a folder"):
        library_design("simulated")


def test_the_command_asks_real_structures(data_home, tmp_path, monkeypatch, capsys):
    with pytest.warns(UserWarning, match="contradict each other"):
        whole = load_assays("hti", data_home)
    dense = whole.target.notna().sum().sort_values(ascending=False).index[:3]
    tested = np.flatnonzero(whole.target[dense].notna().any(axis=1))[:600]
    target = whole.target[dense].iloc[tested].reset_index(drop=True)
    few = Bunch(data=whole.data.iloc[tested].reset_index(drop=True), target=target)
    monkeypatch.setattr(module, "load_assays", lambda name, home: few)
    monkeypatch.setattr("cloome_sk.evaluation.screens.make_embedder", small_embedder)
    command.main(
        ["library-design", "--data", "hti", "--data-home", str(data_home), "--permutations", "19",
         "--output", str(tmp_path)]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "600 structures with results of 3 assays" in said
    assert "comparison, CLOOME, molecules, untrained encoder, molecules" in said
    tables = list((tmp_path / "library-design_hti").rglob("*.csv"))
    assert tables
    # An overlap, or what is left out, may be nothing.
    full = [path for path in tables if "excluded" not in path.name and "overlap" not in str(path)]
    assert full
    assert all(len(pd.read_csv(path)) > 0 for path in full)
