"""Chemical series against plain RDKit, one pair and one node at a time."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator, rdFMCS
from scipy.cluster.hierarchy import linkage
from scipy.sparse import csr_matrix, issparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from cloome_sk.molecules import ChemicalSeries, assembled_background
from cloome_sk.molecules._series_blocks import blocks
from cloome_sk.molecules._series_collection import Collection
from cloome_sk.molecules._series_members import distinct

GROUPS = ("F", "Cl", "Br", "OC", "C(F)(F)F", "N(C)C", "C#N")
CORES = (
    "CCn1cc(C(=O)O)c(=O)c2cc(F)c({})cc12",
    "CC1(C)SC2C(NC(=O)Cc3ccc({})cc3)C(=O)N2C1C(=O)O",
    "CN(C)CCCN1c2ccccc2Sc2ccc({})cc21",
    "Nc1nc(N)c(Cc2ccc({})cc2)cn1",
)
OTHERS = ("CCO", "CC(C)CC(=O)O", "OCC(O)CO", "c1ccc2ncccc2c1", "CCCCCCCCN", "O=C1CCCCC1", "CSCC")
LIBRARY = [core.format(group) for core in CORES for group in GROUPS] + list(OTHERS)
BACKGROUND = assembled_background(300).tolist()


def finder(**options):
    return ChemicalSeries(**{"min_size": 5, "background": BACKGROUND, **options})


@pytest.fixture(scope="module")
def fitted():
    return finder().fit(LIBRARY)


def substructure_loop(smiles, smarts, chiral=False):
    queries = [Chem.MolFromSmarts(text) for text in smarts]
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    return np.array(
        [[one.HasSubstructMatch(query, useChirality=chiral) for query in queries]
         for one in molecules]
    )  # fmt: skip


def from_the_root(smiles, least_size, least_atoms, share, most_background, background):
    """The method as it is written: at each node from the root, the MCS of all its molecules."""
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = [generator.GetFingerprint(one) for one in molecules]
    distances = [
        1 - DataStructs.TanimotoSimilarity(bits[i], bits[j])
        for i in range(len(bits))
        for j in range(i + 1, len(bits))
    ]
    tree = linkage(distances, "average")
    leaves = {place: [place] for place in range(len(bits))}
    for node, (left, right) in enumerate(tree[:, :2].astype(int), start=len(bits)):
        leaves[node] = leaves[left] + leaves[right]
    found, open_nodes = [], [max(leaves)]
    while open_nodes:
        node = open_nodes.pop()
        if len(leaves[node]) < least_size:
            continue
        inside = [molecules[place] for place in leaves[node]]
        common = rdFMCS.FindMCS(inside, ringMatchesRingOnly=True, completeRingsOnly=True)
        atoms = np.mean([one.GetNumHeavyAtoms() for one in inside])
        large = common.numAtoms >= max(least_atoms, share * atoms)
        query = Chem.MolFromSmarts(common.smartsString) if large else None
        hits = (
            sum(Chem.MolFromSmiles(one).HasSubstructMatch(query) for one in background)
            if (large)
            else 0
        )
        if large and hits <= most_background * len(background):
            found.append((common.numAtoms, frozenset(leaves[node])))
        else:
            open_nodes.extend(tree[node - len(bits), :2].astype(int).tolist())
    return found


def test_strict_series_are_those_of_a_walk_from_the_root(fitted):
    strict = finder(coverage=1, max_overlap=1, max_steps=10**6).fit(LIBRARY)
    # The background has parents only; the walk asks each of them.
    expected = from_the_root(sorted(set(LIBRARY)), 5, 9, 0.3, 0.005, BACKGROUND)
    assert len(expected) == len(CORES)
    table = strict.series_
    assert sorted(zip(table["n_atoms"], table["n_found_by_clustering"], strict=True)) == sorted(
        (atoms, len(members)) for atoms, members in expected
    )
    assert strict.n_cut_short_ == strict.n_timeouts_ == 0


@pytest.mark.parametrize("seed", range(4))
def test_the_scaffold_of_a_series_is_the_mcs_of_its_molecules(seed):
    random = np.random.default_rng(seed)
    groups = [random.choice(GROUPS, 6, replace=False) for _ in CORES]
    families = [
        [core.format(group) for group in chosen] for core, chosen in zip(CORES, groups, strict=True)
    ]
    found = finder(coverage=1).fit(random.permutation(np.concatenate(families)).tolist())
    assert len(found.series_) == len(CORES)
    for family in families:
        common = rdFMCS.FindMCS(
            [Chem.MolFromSmiles(one) for one in family],
            ringMatchesRingOnly=True,
            completeRingsOnly=True,
        )
        inside = found.transform(family).toarray().all(axis=0)
        assert common.numAtoms in found.series_.loc[inside, "n_atoms"].tolist()


def test_membership_equals_a_loop_over_molecules_and_scaffolds(fitted):
    new = [*LIBRARY, *BACKGROUND, "CCn1cc(C(=O)O)c(=O)c2cc(F)c(N3CCNCC3)cc12"]
    found = fitted.transform(new)
    assert issparse(found)
    assert found.dtype == bool
    assert found.has_sorted_indices
    expected = substructure_loop(new, fitted.series_["smarts"])
    assert expected[: len(LIBRARY)].sum() >= len(CORES) * len(GROUPS)
    assert not expected.all(axis=0).any()
    np.testing.assert_array_equal(found.toarray(), expected)


@pytest.mark.parametrize(
    "smarts",
    [
        "[#6&!R]-&!@[#6&!R](=&!@[#8&!R])-&!@[#7]1-&@[#6]-&@[#6]-&@[#6]-&@[#6]-&@[#6]-&@1",
        "[#6&R](-,:;@[#6&R])-,:;@[#7&R]",
        "[#8&!R]=&!@[#6&!R]-&!@[#7&!R]",
        "c1ccccc1",
    ],
)
def test_the_screen_loses_no_match(smarts):
    expected = np.flatnonzero(substructure_loop(BACKGROUND, [smarts])[:, 0])
    assert len(expected)
    collection = Collection(BACKGROUND)
    assert collection.matches(smarts, chiral=False) == expected.tolist()
    assert collection.matches(smarts, chiral=False, most=2) == expected[:2].tolist()


def test_the_table_describes_the_scaffolds(fitted):
    table = fitted.series_
    matches = substructure_loop(LIBRARY, table["smarts"])
    atoms = np.array([Chem.MolFromSmiles(one).GetNumHeavyAtoms() for one in LIBRARY])
    assert table["n_members"].tolist() == matches.sum(axis=0).tolist()
    assert table["n_members"].is_monotonic_decreasing
    assert table["mean_atoms"].tolist() == pytest.approx(
        [atoms[column].mean() for column in matches.T]
    )
    assert table["n_atoms"].tolist() == [
        Chem.MolFromSmarts(one).GetNumAtoms() for one in table["smarts"]
    ]
    in_background = substructure_loop(BACKGROUND, table["smarts"]).mean(axis=0)
    assert table["background"].tolist() == pytest.approx(in_background.tolist())
    for smarts, scaffold in zip(table["smarts"], table["scaffold"], strict=True):
        drawn = Chem.MolFromSmiles(scaffold)
        assert drawn.GetNumHeavyAtoms() == Chem.MolFromSmarts(smarts).GetNumAtoms()


def test_each_row_is_labelled_with_its_largest_scaffold(fitted):
    matches = substructure_loop(LIBRARY, fitted.series_["smarts"])
    sizes = fitted.series_["n_atoms"].to_numpy()
    for row, label in zip(matches, fitted.labels_, strict=True):
        assert label == -1 if not row.any() else sizes[label] == sizes[row].max()
    assert (fitted.labels_[-len(OTHERS) :] == -1).all()
    assert fitted.fit_predict(LIBRARY).tolist() == fitted.labels_.tolist()


def test_rows_may_come_in_any_order_and_processes_in_any_number(fitted):
    shuffled = np.random.default_rng(0).permutation(len(LIBRARY))
    options = {"block_size": 12, "min_size": 3}
    one = finder(**options).fit(LIBRARY)
    two = finder(**options, n_jobs=2).fit([LIBRARY[row] for row in shuffled])
    assert len(one.series_) >= 3
    pd.testing.assert_frame_equal(one.series_, two.series_)
    np.testing.assert_array_equal(one.labels_[shuffled], two.labels_)


def test_the_number_of_threads_does_not_matter():
    code = (
        "import zlib, numpy as np\n"
        "from cloome_sk.molecules import assembled_background\n"
        "from cloome_sk.molecules._series_blocks import blocks\n"
        "found = blocks(assembled_background(600), block_size=50, radius=2, n_bits=2048, seed=3)\n"
        "assert max(map(len, found)) <= 50\n"
        "assert sorted(np.concatenate(found).tolist()) == list(range(600))\n"
        "print(len(found), zlib.crc32(repr([one.tolist() for one in found]).encode()))\n"
    )
    shown = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in "12"
    }
    assert len(shown) == 1


def test_molecules_of_one_fingerprint_are_divided_as_well():
    chains = np.array(["C" * length for length in range(20, 60)], dtype=object)
    found = blocks(chains, block_size=8, radius=1, n_bits=1024, seed=0)
    assert sorted(np.concatenate(found).tolist()) == list(range(40))
    assert max(map(len, found)) <= 8


def test_salts_stereoisomers_and_repeats_count_once():
    acids = [f"C[C@H](N)C(=O)Nc1ccc2c(c1)Sc1ccccc1N2{'C' * n}" for n in range(1, 7)]
    mirrored = [one.replace("@", "@@") for one in acids]
    salts = [f"{one}.Cl" for one in acids]
    once = finder(coverage=1).fit(acids)
    often = finder(coverage=1).fit([*salts, *mirrored, *acids, *acids])
    assert often.n_molecules_ == once.n_molecules_ == len(acids)
    assert once.series_["n_members"].tolist() == [6]
    pd.testing.assert_frame_equal(once.series_, often.series_)
    assert once.transform(salts).toarray().all()
    # Five forms of one molecule are no series.
    assert finder().fit([acids[0], mirrored[0], salts[0], acids[0], acids[0]]).series_.empty


@pytest.mark.parametrize(
    ("options", "n_series"),
    [
        ({}, 4),
        ({"min_size": 8}, 0),
        ({"min_fraction": 0.3}, 0),
        ({"min_fraction": 0.1}, 4),
        ({"min_atoms": 18}, 2),
        ({"min_atom_fraction": 0.95}, 0),
        ({"background": [CORES[0].format("O"), "CCO"]}, 3),
        ({"background": [CORES[0].format("O"), "CCO"], "max_background": 0.5}, 4),
    ],
)
def test_what_makes_a_series(options, n_series):
    assert len(finder(**options).fit(LIBRARY).series_) == n_series


def test_two_families_with_one_structure_are_one_series():
    esters = [CORES[0].format(group).replace("C(=O)O)", "C(=O)OC)") for group in GROUPS]
    acids = [CORES[0].format(group) for group in GROUPS]
    both = finder(coverage=1, max_overlap=1).fit([*acids, *esters]).series_
    assert both["n_members"].tolist() == [14]
    assert both["n_found_by_clustering"].tolist() == [14]


def test_structures_of_the_same_members_are_one():
    same = csr_matrix(np.array([[1, 1, 1], [1, 1, 0], [0, 0, 0]], dtype=bool))
    assert distinct(same, 1.0).tolist() == [0, 2]
    assert distinct(same, 0.4).tolist() == [0]


def test_a_background_that_is_used_up_is_refused():
    with pytest.raises(InvalidParameterError, match="background"):
        finder(background=iter(BACKGROUND)).fit(LIBRARY)


def test_of_scaffolds_of_one_size_the_last_is_the_label():
    """One molecule has the scaffolds of two series, of as many atoms."""
    ends = ["c1ccc2[nH]ccc2c1", "c1ccc2sccc2c1"]
    left = [f"{'C' * n}N(C)CCCO{ends[0]}" for n in range(1, 8)]
    right = [f"{'C' * n}S(=O)(=O)NCC{ends[1]}" for n in range(1, 8)]
    both = [f"CN(CCCS(=O)(=O)NCC{ends[1]})CCCO{ends[0]}"]
    found = finder(min_atom_fraction=0.1).fit([*left, *right, *both])
    membership, sizes = found.transform([*left, *right, *both]).toarray(), found.series_["n_atoms"]
    ties = 0
    for row, label in zip(membership, found.labels_, strict=True):
        largest = np.flatnonzero(row & (sizes == sizes[row].max()))
        assert label == (largest[-1] if len(largest) else -1)
        ties += len(largest) > 1
    assert ties


def test_chirality_is_asked_for_only_on_request():
    left = [f"C[C@H](N)C(=O)Nc1ccc2c(c1)Sc1ccccc1N2{'C' * n}" for n in range(1, 7)]
    right = [one.replace("@", "@@") for one in left]
    assert finder(coverage=1).fit(left).transform(right).toarray().all()
    chiral = finder(match_chirality=True, coverage=1).fit(left)
    expected = substructure_loop(right, chiral.series_["smarts"], chiral=True)
    np.testing.assert_array_equal(chiral.transform(right).toarray(), expected)
    assert chiral.transform(left).toarray().all()


def test_rings_correspond_to_rings_unless_asked_otherwise():
    rings = [f"CC(=O)Nc1ccc(S(=O)(=O)N2CCC(C{'C' * n})CC2)cc1" for n in range(6)]
    chain = "CC(=O)Nc1ccc(S(=O)(=O)N(CCC)CCC)cc1"
    strict = finder().fit([*rings, chain])
    loose = finder(ring_matches_ring_only=False, complete_rings=False, coverage=1)
    loose.fit([*rings, chain])
    assert not strict.transform([chain]).toarray().any()
    assert loose.transform([chain]).toarray().all()


def test_estimator_conventions(fitted):
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        again.transform(LIBRARY)
    with pytest.raises(NotFittedError):
        again.get_feature_names_out()
    names = fitted.get_feature_names_out()
    assert names.tolist() == fitted.series_["series"].tolist()
    assert names.dtype == object
    dense = finder(sparse_output=False).set_output(transform="pandas")
    table = dense.fit_transform(LIBRARY)
    assert table.columns.tolist() == names.tolist()
    np.testing.assert_array_equal(table, fitted.transform(LIBRARY).toarray())
    tags = fitted.__sklearn_tags__()
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array


def test_molecules_may_be_given_as_rdkit_has_them(fitted):
    molecules = pd.Series([Chem.MolFromSmiles(one) for one in LIBRARY])
    pd.testing.assert_frame_equal(finder().fit(molecules).series_, fitted.series_)


def test_no_series_is_an_answer():
    none = finder().fit(OTHERS)
    assert none.series_.empty
    assert none.transform(OTHERS).shape == (len(OTHERS), 0)
    assert none.fit_transform(["CCO"]).shape == (1, 0)
    assert (none.labels_ == -1).all()
    assert none.series_.columns.tolist() == finder().fit(LIBRARY).series_.columns.tolist()


@pytest.mark.parametrize("method", ["fit", "transform"])
def test_structures_that_cannot_be_read_are_named(fitted, method):
    bad = ["CCO", "c1ccccc", None, ""]
    message = (
        "3 of 4 structures in the list cannot be used: row 1 cannot be parsed: 'c1ccccc'; "
        "row 2 is missing; row 3 is empty"
    )
    subject = fitted if method == "transform" else finder()
    with pytest.raises(ValueError, match=message):
        getattr(subject, method)(bad)


def test_what_is_wrong_with_the_rest_is_said():
    with pytest.raises(ValueError, match="there are no molecules"):
        finder().fit([])
    with pytest.raises(ValueError, match=r"1 of 2 structures in the background .* row 1"):
        finder(background=["CCO", "c1ccccc"]).fit(LIBRARY)
    with pytest.raises(ValueError, match="background: there are no molecules"):
        finder(background=[]).fit(LIBRARY)
    with pytest.raises(TypeError, match="single str"):
        finder().fit("CCO")
    with pytest.raises(ValueError, match="n_molecules must be an integer of at least 1"):
        assembled_background(0)


@pytest.mark.parametrize(
    "wrong",
    [{"min_size": 1}, {"coverage": 0.4}, {"timeout": 0}, {"linkage": "ward"}, {"n_bits": 0}],
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidParameterError, match=next(iter(wrong))):
        finder(**wrong).fit(LIBRARY)


def test_searches_that_run_out_of_time_are_told():
    # Peptides: long chains much alike, on which a search is not done within a second.
    links = ["NC(C)C(=O)", "NC(CO)C(=O)", "NCC(=O)", "NC(CC(C)C)C(=O)", "NC(CCCCN)C(=O)"]
    random = np.random.default_rng(0)
    peptides = ["".join(random.choice(links, 25)) + "O" for _ in range(6)]
    slow = finder(timeout=1, max_steps=10**9)
    with pytest.warns(ConvergenceWarning, match="ran out of time"):
        slow.fit(peptides)
    assert slow.n_timeouts_ > 0
    quick = finder(max_steps=200).fit(peptides)
    assert quick.n_cut_short_ > 0
    assert quick.n_timeouts_ == 0


def test_a_made_background_is_repeatable_and_distinct():
    np.testing.assert_array_equal(assembled_background(50), assembled_background(50))
    other = assembled_background(50, random_state=1)
    assert len(set(other)) == 50
    assert set(other) != set(assembled_background(50))
    atoms = [Chem.MolFromSmiles(one).GetNumHeavyAtoms() for one in BACKGROUND]
    assert 20 < np.mean(atoms) < 35
