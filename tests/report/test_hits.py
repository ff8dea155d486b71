"""The picture of queries and hits: what is drawn where, and what it says."""

from __future__ import annotations

import builtins

import matplotlib
import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from cloome_sk import CloomeEmbedder, CrossModalRetriever
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.report import plot_hits

SALT_OF_ETHYLAMINE = "CC[NH3+].[Cl-]"


def skeleton(smiles):
    """An independent answer to "which molecule": largest fragment, without stereochemistry."""
    fragments = Chem.GetMolFrags(Chem.MolFromSmiles(smiles), asMols=True)
    largest = max(fragments, key=Chem.Mol.GetNumHeavyAtoms)
    return Chem.MolToSmiles(largest, isomericSmiles=False)


@pytest.fixture
def database():
    rng = np.random.default_rng(0)
    smiles = ["CCO", "CCN", "OCC", "c1ccccc1", SALT_OF_ETHYLAMINE]
    return pd.DataFrame(
        rng.normal(size=(5, 3)), columns=["Cells_A", "Nuclei_A", "Nuclei_B"]
    ).assign(
        Metadata_Plate=["P1", "P1", "P2", "P2", "P3"],
        Metadata_Well=["A01", "A02", "B01", "B02", "C03"],
        Metadata_smiles=smiles,
    )


@pytest.fixture
def hits():
    return pd.DataFrame(
        {
            "query": [0, 0, 0, 1, 1],
            "rank": [1, 2, 3, 1, 2],
            "index": [3, 0, 2, 4, 1],
            "similarity": [0.987, 0.5, -0.25, 0.75, 0.125],
        }
    )


QUERIES = ["CCO", "CCN"]


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_a_panel_for_each_structure_and_a_strip_for_each_profile(hits, database):
    figure = plot_hits(hits, QUERIES, database)
    assert not figure.legends  # which is of channels
    assert len(figure.axes) == len(QUERIES) + 2 * len(hits)
    strips = [a.images[0].get_array() for a in figure.axes if a.images[0].get_array().shape[0] == 1]
    assert len(strips) == len(hits)
    features = ["Cells_A", "Nuclei_A", "Nuclei_B"]
    for strip, row in zip(strips, hits["index"], strict=True):
        np.testing.assert_allclose(strip[0], database.loc[row, features].to_numpy(float))


def test_each_hit_says_what_it_is(hits, database):
    shown = titles(plot_hits(hits, QUERIES, database, names=["ethanol", "ethylamine"]))
    assert shown == [
        "Query\nethanol",
        "1. other molecule\nP2 B02   cos 0.99",
        "2. right molecule\nP1 A01   cos 0.50",
        "3. right molecule\nP2 B01   cos -0.25",
        "Query\nethylamine",
        "1. right molecule\nP3 C03   cos 0.75",
        "2. right molecule\nP1 A02   cos 0.12",
    ]


def test_verdicts_agree_with_a_comparison_by_hand(screen):
    embedder = CloomeEmbedder(
        ProfileEncoder(hidden_sizes=(64,)),
        MoleculeEncoder(hidden_sizes=(64,)),
        n_components=16,
        max_epochs=40,
        random_state=0,
    ).fit(screen)
    treated = screen[screen["Metadata_control_type"].isna()]
    queries = treated["Metadata_smiles"].drop_duplicates().iloc[[0, 20, 40]].tolist()
    hits = CrossModalRetriever(embedder).fit(screen).search(queries, n_neighbors=6)
    shown = [t for t in titles(plot_hits(hits, queries, screen)) if not t.startswith("Query")]
    assert len(shown) == 18
    verdicts = ["right molecule" in title for title in shown]
    expected = [
        skeleton(screen["Metadata_smiles"].iloc[row]) == skeleton(queries[query])
        for query, row in zip(hits["query"], hits["index"], strict=True)
    ]
    assert verdicts == expected
    assert 0 < sum(expected) < 18


def test_colour_and_frame_tell_right_from_wrong_too(hits, database):
    figure = plot_hits(hits, QUERIES, database)
    for axes in figure.axes:
        width = axes.spines["left"].get_linewidth()
        if "right molecule" in axes.get_title():
            assert width > 2
        elif "other molecule" in axes.get_title():
            assert width < 1


def test_a_query_without_hits_is_still_drawn(hits, database):
    figure = plot_hits(hits[hits["query"] == 1], QUERIES, database, names=["ethanol", "ethylamine"])
    assert len(figure.axes) == 2 + 2 * 2
    assert titles(figure)[:2] == ["Query\nethanol", "Query\nethylamine"]


def test_rows_are_positions_whatever_the_index(hits, database):
    relabelled = database.set_axis([9, 3, 3, 0, 1])
    assert titles(plot_hits(hits, QUERIES, relabelled)) == titles(
        plot_hits(hits, QUERIES, database)
    )


def test_queries_as_rdkit_molecules_or_a_series(hits, database):
    expected = titles(plot_hits(hits, QUERIES, database))
    for queries in ([Chem.MolFromSmiles(s) for s in QUERIES], pd.Series(QUERIES, index=[5, 5])):
        assert titles(plot_hits(hits, queries, database)) == expected


def test_queries_as_a_table_ask_by_its_molecules(hits, database):
    table = pd.DataFrame({"Metadata_SMILES": QUERIES, "dose": [1.0, 2.0]})
    assert titles(plot_hits(hits, table, database)) == titles(plot_hits(hits, QUERIES, database))


def test_a_column_as_label(hits, database):
    labelled = database.assign(Metadata_MoA=["a", "b", None, "c", "d"])
    shown = titles(plot_hits(hits, QUERIES, labelled, label="moa"))
    assert [title.split("\n")[2] for title in shown] == ["", "c", "a", "", "", "d", "b"]


def test_a_well_without_structure_is_drawn_as_such(hits, database):
    database.loc[3, "Metadata_smiles"] = None
    figure = plot_hits(hits, QUERIES, database)
    assert titles(figure)[1] == "1. molecule unknown\nP2 B02   cos 0.99"
    assert [t.get_text() for a in figure.axes for t in a.texts] == ["structure not known"]


def test_title_and_file(hits, database, tmp_path):
    figure = plot_hits(hits, QUERIES, database, title="Two queries")
    assert figure.get_suptitle() == "Two queries"
    figure.savefig(tmp_path / "hits.png")
    pixels = matplotlib.image.imread(tmp_path / "hits.png")
    assert pixels.std() > 0.05  # something is drawn


def test_no_figure_is_left_open(hits, database):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    plot_hits(hits, QUERIES, database)
    assert plt.get_fignums() == before


def test_nothing_passed_in_is_changed(hits, database):
    before = hits.copy(), database.copy()
    plot_hits(hits, QUERIES, database)
    pd.testing.assert_frame_equal(hits, before[0])
    pd.testing.assert_frame_equal(database, before[1])


# ------------------------------------------------------------------ bad input


def test_without_matplotlib_it_says_what_to_install(hits, database, monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(f"No module named {name!r}")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "cloome_sk\[plot\]"'):
        plot_hits(hits, QUERIES, database)


def test_nothing_to_draw(hits, database):
    with pytest.raises(ValueError, match="nothing to draw: 2 queries, 0 hits"):
        plot_hits(hits.iloc[:0], QUERIES, database)
    with pytest.raises(ValueError, match="nothing to draw: 0 queries, 5 hits"):
        plot_hits(hits, [], database)


@pytest.mark.parametrize("name", ["Metadata_Plate", "Metadata_Well", "Metadata_smiles"])
def test_a_missing_column_is_named(hits, database, name):
    plain = name.removeprefix("Metadata_").lower()
    with pytest.raises(ValueError, match=f"plot_hits: the table has no column '{plain}'"):
        plot_hits(hits, QUERIES, database.drop(columns=name))


def test_no_features(hits, database):
    table = database.drop(columns=["Cells_A", "Nuclei_A", "Nuclei_B"])
    with pytest.raises(ValueError, match="no CellProfiler-named feature columns"):
        plot_hits(hits, QUERIES, table)


def test_a_structure_of_the_database_that_cannot_be_read(hits, database):
    database.loc[2, "Metadata_smiles"] = "C("
    with pytest.raises(ValueError, match=r"the database cannot be used: row 2 cannot be parsed"):
        plot_hits(hits, QUERIES, database)


def test_one_structure_is_no_list(hits, database):
    with pytest.raises(TypeError, match="Put it in a list"):
        plot_hits(hits, "CCO", database)


def test_a_query_that_cannot_be_read(hits, database):
    with pytest.raises(ValueError, match=r"row 1 cannot be parsed: 'C\('"):
        plot_hits(hits, ["CCO", "C("], database)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda hits: hits.drop(columns="rank"), "rank"),
        (lambda hits: hits.drop(columns=["index", "similarity"]), "index"),
        (lambda hits: hits.assign(index=99), "99"),
        (lambda hits: hits.assign(query=5), "5"),
    ],
    ids=["no rank", "no index", "another database", "other queries"],
)
def test_hits_that_do_not_belong_here(hits, database, change, message):
    with pytest.raises(ValueError, match=message):
        plot_hits(change(hits), QUERIES, database)


def test_as_many_names_as_queries(hits, database):
    with pytest.raises(ValueError, match="names"):
        plot_hits(hits, QUERIES, database, names=["ethanol"])
