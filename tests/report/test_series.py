"""What the picture of chemical series says and shows."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdDepictor, rdFingerprintGenerator
from sklearn.exceptions import NotFittedError

pytest.importorskip("matplotlib")

from cloome_sk.datasets import make_analogue_series
from cloome_sk.evaluation import study_bioactivity_overlap, study_chemotype_clustering
from cloome_sk.molecules import ChemicalSeries
from cloome_sk.report import plot_series
from cloome_sk.report._panels import RIGHT
from cloome_sk.report._series_molecules import HIGHLIGHT, aligned, pictures, spread


@pytest.fixture(scope="module")
def compounds() -> pd.DataFrame:
    return make_analogue_series(8, 12, n_mechanisms=4, random_state=5)


@pytest.fixture(scope="module")
def finder(compounds: pd.DataFrame) -> ChemicalSeries:
    found = ChemicalSeries(min_size=8, min_atoms=7, max_background=0.05).fit(compounds["smiles"])
    assert len(found.series_) == 8
    return found


@pytest.fixture(scope="module")
def membership(finder: ChemicalSeries, compounds: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        finder.transform(compounds["smiles"]).toarray(), columns=finder.get_feature_names_out()
    )


@pytest.fixture(scope="module")
def clustering(membership: pd.DataFrame) -> Any:
    Z = np.random.default_rng(0).normal(size=(96, 9))
    Z[:, :8] += 2 * membership.to_numpy(dtype=float) * (np.arange(8) < 4)
    return study_chemotype_clustering(Z, membership, n_permutations=99, min_members=10)


@pytest.fixture(scope="module")
def overlap(membership: pd.DataFrame, clustering: Any) -> Any:
    assays = pd.DataFrame(np.zeros((96, 7)), columns=[f"assay {letter}" for letter in "abcdefg"])
    for place in range(6):
        assays.loc[membership["series_0"], f"assay {'abcdef'[place]}"] = 1.0
    assays.loc[membership["series_1"], "assay g"] = 1.0
    assays.loc[membership["series_1"].idxmax(), "assay g"] = 0.0
    return study_bioactivity_overlap(membership, assays, clustering)


def _captions(figure: Any) -> list[list[str]]:
    """What stands in the first column, a list of lines a row."""
    written = [[text.get_text() for text in panel.texts] for panel in figure.axes]
    return [[text[0], *text[1].split("\n")] for text in written if text]


def _titles(figure: Any) -> list[str]:
    return [panel.get_title() for panel in figure.axes if panel.get_title()]


def _scaffolds(figure: Any) -> list[Any]:
    from matplotlib.colors import to_hex

    of = [(panel, to_hex(panel.spines["left"].get_edgecolor())) for panel in figure.axes]
    return [panel for panel, colour in of if colour == RIGHT.lower()]


def test_a_row_a_series_with_its_size_and_background(
    finder: ChemicalSeries, compounds: pd.DataFrame
) -> None:
    figure = plot_series(finder, compounds["smiles"], n_members=3)
    captions = _captions(figure)
    assert len(figure.axes) == 8 * (1 + 1 + 3)
    assert len(_scaffolds(figure)) == 8
    assert [lines[0] for lines in captions] == finder.series_["series"].tolist()
    for lines, row in zip(captions, finder.series_.to_dict("records"), strict=True):
        assert lines[1] == f"{row['n_members']} molecules"
        assert float(lines[2].split(" %")[0]) == pytest.approx(100 * row["background"], rel=0.05)
    assert not _titles(figure)
    assert "of 8 series" not in figure.get_supxlabel()


def test_members_are_members_each_once_and_no_more_than_there_are(
    finder: ChemicalSeries, compounds: pd.DataFrame
) -> None:
    salts = compounds["smiles"] + ".Cl"
    smiles, names = [*compounds["smiles"], *salts], [*compounds["name"], *compounds["name"]]
    asked = ["series_0", "series_3", "series_7"]
    figure = plot_series(finder, smiles, names=names, series=asked, n_members=13)
    of = dict(zip(compounds["name"], compounds["smiles"], strict=True))
    at = -1
    drawn: dict[int, list[str]] = {}
    for title in _titles(figure):
        if title == "scaffold":
            at += 1
        else:
            drawn.setdefault(at, []).append(title)
    for place, row in enumerate(finder.series_.iloc[[0, 3, 7]].to_dict("records")):
        query = Chem.MolFromSmarts(row["smarts"])
        expected = [
            name for name, text in of.items() if Chem.MolFromSmiles(text).HasSubstructMatch(query)
        ]
        assert sorted(drawn[place]) == sorted(expected)
        assert len(expected) == row["n_members"]


def test_members_are_chosen_as_a_loop_chooses_them_in_any_order(compounds: pd.DataFrame) -> None:
    smiles = compounds["smiles"].head(30).tolist()
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = {text: generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles}
    order = sorted(smiles, key=lambda text: (Chem.MolFromSmiles(text).GetNumHeavyAtoms(), text))
    expected = [order[0]]
    while len(expected) < 6:
        nearest = {
            text: max(DataStructs.TanimotoSimilarity(bits[text], bits[one]) for one in expected)
            for text in order
            if text not in expected
        }
        expected.append(min(nearest, key=lambda text: nearest[text]))
    for given in (smiles, smiles[::-1]):
        assert [given[at] for at in spread(given, 6, radius=2, n_bits=2048)] == expected


def _laid(molecule: Any) -> np.ndarray:
    """Coordinates, from their middle."""
    return molecule.GetConformer().GetPositions()[:, :2]


def test_the_scaffold_lies_the_same_way_and_is_what_is_coloured(
    finder: ChemicalSeries, membership: pd.DataFrame, compounds: pd.DataFrame
) -> None:
    for row in finder.series_.to_dict("records"):
        own = compounds["smiles"][membership[row["series"]]].tolist()
        scaffold, members = aligned(row["scaffold"], row["smarts"], own, chiral=False)
        assert scaffold.atoms == ()
        first = _laid(members[0].molecule)[list(members[0].atoms)]
        query = Chem.MolFromSmarts(row["smarts"])
        for text, member in zip(own, members, strict=True):
            ways = Chem.MolFromSmiles(text).GetSubstructMatches(query, uniquify=False)
            assert member.atoms in ways
            laid = _laid(member.molecule)[list(member.atoms)]
            np.testing.assert_allclose(laid - laid[0], first - first[0], atol=1e-3)
        plain, coloured = pictures([scaffold, members[0]])
        assert not _has_colour(plain)
        assert _has_colour(coloured)


def _has_colour(picture: np.ndarray) -> bool:
    return bool((np.abs(picture[..., :3] - HIGHLIGHT).max(axis=-1) < 0.02).any())


EIGHT = "[#6]1-[#6]-[#6]-[#6]-[#6]-[#6]-[#6]-[#6]-1"
"""A ring that may be the outline of fused ones."""


def _longest_bond(molecule: Any) -> float:
    laid = _laid(molecule)
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    return max(float(np.linalg.norm(laid[one] - laid[other])) for one, other in ends)


def test_no_bond_is_stretched_where_rings_are_fused_otherwise() -> None:
    own = ["CC1CCCCCCC1", "CC1CCC2CCCC21", "C1CCC2CCC2C1", "OC1CCC2CCC2C1"]
    _, members = aligned("C1CCCCCCC1", EIGHT, own, chiral=False)
    for member in members:
        free = Chem.Mol(member.molecule)
        rdDepictor.Compute2DCoords(free)
        assert _longest_bond(member.molecule) < 1.1 * _longest_bond(free)


def test_fused_rings_lie_on_those_of_the_scaffold() -> None:
    # The eight carbons fit in sixteen ways, of which four put the shared bond in its place.
    own = ["C1CCC2CCCC12", "CC1CC2CCCC2C1", "CC12CCCC1CCC2", "OC1CCC2CCCC12"]
    scaffold, members = aligned(own[0], EIGHT, own, chiral=False)
    target = _laid(scaffold.molecule)
    target = target - target.mean(axis=0)
    for member in members:
        laid = _laid(member.molecule)[list(member.atoms)]
        laid = laid - laid.mean(axis=0)
        assert np.abs(laid[:, None] - target).max(axis=-1).min(axis=0).max() < 0.01
        assert _longest_bond(member.molecule) < 1.6


def test_stereocentres_survive_turning() -> None:
    own = ["C1CCCCCCC1", "C[C@H]1CC[C@@H]2CCC[C@H]21", "C[C@@H]1CC[C@@H]2CCC[C@H]21"]
    _, members = aligned("C1CCCCCCC1", EIGHT, own, chiral=False)
    for text, member in zip(own, members, strict=True):
        block = Chem.MolToMolBlock(member.molecule)
        assert Chem.CanonSmiles(Chem.MolToSmiles(Chem.MolFromMolBlock(block))) == (
            Chem.CanonSmiles(text)
        )


def test_a_scaffold_that_is_no_molecule_is_cut_from_a_member(
    finder: ChemicalSeries, compounds: pd.DataFrame
) -> None:
    bare = copy.deepcopy(finder)
    bare.series_["scaffold"] = ""
    for row in bare.series_.to_dict("records"):
        query = Chem.MolFromSmarts(row["smarts"])
        own = [
            text
            for text in compounds["smiles"]
            if Chem.MolFromSmiles(text).HasSubstructMatch(query)
        ]
        scaffold, members = aligned("", row["smarts"], own[:2], chiral=False)
        assert scaffold.molecule.GetNumAtoms() == row["n_atoms"]
        assert len(members) == 2
    assert len(plot_series(bare, compounds["smiles"], n_members=1).axes) == 8 * 3


def test_the_studies_are_told_as_their_tables_have_them(
    finder: ChemicalSeries, compounds: pd.DataFrame, clustering: Any, overlap: Any
) -> None:
    figure = plot_series(finder, compounds["smiles"], clustering=clustering, overlap=overlap)
    scored = clustering.table.set_index("series")
    pairs = overlap.overlaps
    assert set(pairs["series"]) >= {"series_0", "series_1"}
    seen = set()
    for name, *lines in _captions(figure):
        told = " ".join(lines)
        if name in scored.index:
            row = scored.loc[name]
            assert f"normalised mAP {row['normalized_map']:.2f}, q {row['q']:.2g}" in lines
        else:
            assert "mAP not scored: fewer than 10 members" in told
            seen.add("small")
        own = pairs[pairs["series"] == name]
        for row in own.head(4).to_dict("records"):
            assert f"  {row['assay']}: {row['n_active']} of {row['n_tested']}" in lines
        if len(own) > 4:
            assert lines[-1] == f"  and {len(own) - 4} more assays"
            seen.add("more")
        if name in set(overlap.excluded["series"]):
            reason = overlap.excluded.set_index("series").loc[name, "reason"]
            assert f"assays not looked at: {reason}" in told
            seen.add("excluded")
        elif own.empty:
            n = int((overlap.pairs["series"] == name).sum())
            assert f"no overlap with any of {n} assays" in lines
            seen.add("none")
    assert seen == {"small", "more", "excluded", "none"}
    tables = plot_series(
        finder, compounds["smiles"], clustering=clustering.table, overlap=overlap.pairs
    )
    assert _captions(tables)[0] == _captions(figure)[0]
    assert "mAP not scored" in _captions(tables)[-1]


def test_the_series_asked_for_and_how_many_are_left_out(
    finder: ChemicalSeries, compounds: pd.DataFrame, membership: pd.DataFrame
) -> None:
    asked = ["series_5", "series_2"]
    figure = plot_series(finder, compounds["smiles"], series=asked)
    assert [lines[0] for lines in _captions(figure)] == asked
    assert [
        lines[0] for lines in _captions(plot_series(finder, compounds["smiles"], n_series=3))
    ] == [
        "series_0",
        "series_1",
        "series_2",
    ]
    few = compounds["smiles"][membership["series_3"]].tolist()[:5]
    figure = plot_series(finder, few)
    assert (
        "the largest 1 of 8 series; without a member among the molecules given: 7."
        in figure.get_supxlabel()
    )
    assert len(figure.axes) == len(_captions(figure)) * 2 + 4
    (lines,) = (one for one in _captions(figure) if one[0] == "series_3")
    assert lines[1] == "12 molecules fitted, 5 given"


@pytest.mark.parametrize("n_members", [1, 4])
def test_nothing_overlaps(
    finder: ChemicalSeries,
    compounds: pd.DataFrame,
    clustering: Any,
    overlap: Any,
    tmp_path: Path,
    n_members: int,
) -> None:
    long = overlap.pairs.copy()
    long["assay"] = "an assay whose name is longer than a caption is wide, " + long["assay"]
    figure = plot_series(
        finder,
        compounds["smiles"],
        names=["a name that is much longer than any panel is wide"] * 96,
        series=["series_0", "series_1", "series_4"],
        clustering=clustering,
        overlap=long,
        n_members=n_members,
        title="title",
    )
    figure.savefig(tmp_path / "drawn.png")
    renderer = figure._get_renderer()
    boxes = [panel.get_tightbbox(renderer) for panel in figure.axes]
    boxes += [text.get_window_extent(renderer) for text in figure.texts]
    for at, box in enumerate(boxes):
        assert figure.bbox.x0 - 1 <= box.x0
        assert box.x1 <= figure.bbox.x1 + 1
        for other in boxes[at + 1 :]:
            assert not box.shrunk(0.98, 0.98).overlaps(other.shrunk(0.98, 0.98))


@pytest.fixture
def _no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("_no_matplotlib")
def test_without_matplotlib(finder: ChemicalSeries, compounds: pd.DataFrame) -> None:
    with pytest.raises(ImportError, match=r'pip install "cloome_sk\[plot\]"'):
        plot_series(finder, compounds["smiles"])


def test_bad_finders(compounds: pd.DataFrame) -> None:
    smiles = compounds["smiles"]
    with pytest.raises(NotFittedError, match="not fitted yet"):
        plot_series(ChemicalSeries(), smiles)
    with pytest.raises(TypeError, match="must be a fitted ChemicalSeries, got str"):
        plot_series("series", smiles)  # type: ignore[arg-type]
    none = ChemicalSeries().fit(["CCO", "CCN"])
    with pytest.raises(ValueError, match=r"found no series among its 2 molecules.*min_size=10"):
        plot_series(none, smiles)


def test_bad_requests(
    finder: ChemicalSeries, compounds: pd.DataFrame, membership: pd.DataFrame
) -> None:
    smiles = compounds["smiles"]
    with pytest.raises(ValueError, match=r"none of the 2 molecules given is a member.*fitted on"):
        plot_series(finder, ["CCO", "CCN"])
    with pytest.raises(ValueError, match="no structures among which to look"):
        plot_series(finder, [])
    with pytest.raises(ValueError, match=r"row 1"):
        plot_series(finder, ["CCO", "C1C"])
    with pytest.raises(ValueError, match=r"no series estrane; .* found series_0, series_1"):
        plot_series(finder, smiles, series=["series_0", "estrane"])
    others = smiles[~membership["series_3"]].tolist()
    with pytest.raises(ValueError, match=r"no member of series_3 is among .* these: series_0"):
        plot_series(finder, others, series=["series_3"])
    with pytest.raises(ValueError, match="each once, got series_1, series_1"):
        plot_series(finder, smiles, series=["series_1", "series_1"])
    with pytest.raises(ValueError, match="series is empty"):
        plot_series(finder, smiles, series=[])
    with pytest.raises(ValueError, match="2 names were given for 96 structures"):
        plot_series(finder, smiles, names=["a", "b"])
    for bad in (0, True, 1.5):
        with pytest.raises(ValueError, match="n_members must be an integer of at least 1"):
            plot_series(finder, smiles, n_members=bad)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="n_series must be an integer of at least 1"):
            plot_series(finder, smiles, n_series=bad)  # type: ignore[arg-type]


def test_studies_of_something_else(
    finder: ChemicalSeries, compounds: pd.DataFrame, clustering: Any, overlap: Any
) -> None:
    smiles = compounds["smiles"]
    with pytest.raises(TypeError, match="clustering must be what study_chemotype_clustering"):
        plot_series(finder, smiles, clustering=overlap)
    with pytest.raises(TypeError, match="overlap must be what study_bioactivity_overlap"):
        plot_series(finder, smiles, overlap=clustering)
    both = pd.concat([clustering.table, clustering.table])
    with pytest.raises(ValueError, match=r"more than one row of series_\d: pass the table of one"):
        plot_series(finder, smiles, clustering=both)
    with pytest.raises(ValueError, match=r"overlap lacks the column\(s\) assay"):
        plot_series(finder, smiles, overlap=overlap.pairs.drop(columns="assay"))
    other = clustering.table.assign(series=[f"series {at}" for at in range(len(clustering.table))])
    with pytest.raises(ValueError, match=r"no series series_0.*names=finder.get_feature_names_out"):
        plot_series(finder, smiles, clustering=other)
