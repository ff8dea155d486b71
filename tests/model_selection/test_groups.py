"""Groups against plain RDKit, and in scikit-learn's own splitters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold
from rdkit.ML.Cluster import Butina
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedGroupKFold

from cloome_sk.model_selection import (
    cluster_groups,
    molecule_groups,
    plate_groups,
    scaffold_groups,
)
from cloome_sk.model_selection._butina import butina_labels
from cloome_sk.molecules import molecule_key, tanimoto_neighbors

PROPRANOLOL = "CC(C)NCC(O)COc1cccc2ccccc12"
SMILES = [
    PROPRANOLOL,
    f"{PROPRANOLOL}.Cl",
    PROPRANOLOL.replace("C(O)C", "[C@H](O)C", 1),
    "Cc1ccccc1",
    "CCO",
    "CCCCCC",
    "OCC",
]


def same_partition(left, right):
    """Whether two label arrays put the same rows together."""
    return (pd.factorize(np.asarray(left))[0] == pd.factorize(np.asarray(right))[0]).all()


def test_molecule_groups_are_keys():
    groups = molecule_groups(SMILES)
    assert groups.tolist() == molecule_key(SMILES).tolist()
    assert same_partition(groups, [0, 0, 0, 1, 2, 3, 2])


def test_tautomers_are_one_group_by_choice():
    forms = ["CC(=O)CC(C)=O", "CC(O)=CC(C)=O"]
    assert len(set(molecule_groups(forms))) == 2
    assert len(set(molecule_groups(forms, tautomers=True))) == 1


def test_scaffold_groups_equal_rdkit_where_there_is_a_ring():
    groups = scaffold_groups(SMILES)
    for row in (0, 3):
        assert groups[row] == MurckoScaffold.MurckoScaffoldSmiles(SMILES[row])
    assert same_partition(groups, [0, 0, 0, 1, 2, 3, 2])


def test_acyclic_molecules_are_groups_of_their_own_or_together():
    acyclic = ["CCO", "CCO.Cl", "CCN", "CCCC"]
    assert scaffold_groups(acyclic).tolist() == [f"acyclic:{key}" for key in molecule_key(acyclic)]
    assert scaffold_groups(acyclic, acyclic="together").tolist() == ["acyclic"] * 4


def test_generic_scaffolds_join_what_differs_in_atoms_only():
    smiles = ["Cc1ccccc1", "CN1CCCCC1", "C1CCCC1", "CCO"]
    assert same_partition(scaffold_groups(smiles), [0, 1, 2, 3])
    assert same_partition(scaffold_groups(smiles, generic=True), [0, 0, 1, 2])


def test_two_drawings_of_a_molecule_are_never_in_two_scaffold_groups():
    drawings = ["Oc1ccccn1", "O=c1cccc[nH]1"]  # 2-hydroxypyridine and 2-pyridone
    assert len(set(molecule_key(drawings))) == 1
    assert len({MurckoScaffold.MurckoScaffoldSmiles(text) for text in drawings}) == 2
    for order in (drawings, drawings[::-1]):
        assert len(set(scaffold_groups(order))) == 1
    assert set(scaffold_groups(drawings)) == set(scaffold_groups(drawings[::-1]))


@pytest.mark.parametrize(
    "function", [molecule_groups, scaffold_groups, cluster_groups], ids=lambda f: f.__name__
)
def test_structures_come_from_a_table_a_list_or_molecules(function):
    expected = function(SMILES)
    table = pd.DataFrame({"Metadata_SMILES": SMILES, "plate": 1}, index=range(100, 107))
    table["other"] = "C"
    for given in (table, pd.Series(SMILES), np.array(SMILES), tuple(SMILES)):
        np.testing.assert_array_equal(function(given), expected)
    np.testing.assert_array_equal(function([Chem.MolFromSmiles(s) for s in SMILES]), expected)
    renamed = table.rename(columns={"Metadata_SMILES": "structure"})
    np.testing.assert_array_equal(function(renamed, column="structure"), expected)
    assert len(function([])) == 0


def rdkit_butina(distances, cutoff, reordering):
    clusters = Butina.ClusterData(distances, len(distances), cutoff, True, reordering=reordering)
    labels = np.empty(len(distances), dtype=int)
    for number, members in enumerate(clusters):
        labels[list(members)] = number
    return labels


@pytest.mark.parametrize("reordering", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_butina_equals_rdkit_with_its_ties(seed, reordering):
    generator = np.random.default_rng(seed)
    n_bits = int(generator.integers(6, 40))  # few bits: many equal counts of neighbours
    bits = (generator.random((int(generator.integers(2, 70)), n_bits)) < 0.3).astype(np.uint8)
    threshold = float(generator.choice([0.2, 0.4, 0.5, 0.6, 0.7, 1.0]))
    vectors = [DataStructs.CreateFromBitString("".join(map(str, row))) for row in bits]
    similarity = np.array([DataStructs.BulkTanimotoSimilarity(v, vectors) for v in vectors])
    np.fill_diagonal(similarity, 1)
    expected = rdkit_butina(1 - similarity, 1 - threshold, reordering)
    found = butina_labels(tanimoto_neighbors(bits, threshold), reordering=reordering)
    np.testing.assert_array_equal(found, expected)


def test_reordering_makes_a_difference():
    found = 0
    for seed in range(10):
        bits = np.random.default_rng(seed).random((60, 20)) < 0.3
        neighbors = tanimoto_neighbors(bits, 0.5)
        found += (butina_labels(neighbors) != butina_labels(neighbors, reordering=True)).any()
    assert found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threshold": 0.6, "radius": 3, "n_bits": 512},
        {"threshold": 0.5, "use_chirality": True, "reordering": True, "block_size": 7},
    ],
)
def test_cluster_groups_equal_rdkit(screen, options):
    smiles = screen.loc[screen["Metadata_smiles"] != "CS(C)=O", "Metadata_smiles"]
    smiles = smiles[[not any(sign in text for sign in ".+-") for text in smiles]]
    keys = molecule_key(smiles)
    distinct = smiles[~pd.Series(keys, index=smiles.index).duplicated()]
    generator = rdFingerprintGenerator.GetMorganGenerator(
        radius=options.get("radius", 2),
        fpSize=options.get("n_bits", 2048),
        includeChirality=options.get("use_chirality", False),
    )
    vectors = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in distinct]
    similarity = np.array([DataStructs.BulkTanimotoSimilarity(v, vectors) for v in vectors])
    expected = rdkit_butina(
        1 - similarity, 1 - options.get("threshold", 0.35), options.get("reordering", False)
    )
    by_key = dict(zip(molecule_key(distinct), expected, strict=True))
    assert 1 < len(set(expected)) < len(expected)
    assert cluster_groups(smiles, **options).tolist() == [by_key[key] for key in keys]


def test_salts_and_stereoisomers_are_never_in_two_clusters():
    chiral = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C[C@H](N)C(=O)O.Cl", "CCCCCCCC"]
    groups = cluster_groups(chiral, threshold=0.99, use_chirality=True)
    assert same_partition(groups, [0, 0, 0, 1])


def test_groups_keep_scikit_learn_folds_apart(screen):
    treated = screen[screen["Metadata_smiles"] != "CS(C)=O"]
    X = treated.filter(regex="^(Cells|Cytoplasm|Nuclei)_")
    for groups in (
        molecule_groups(treated),
        scaffold_groups(treated),
        cluster_groups(treated),
        plate_groups(treated),
    ):
        assert len(groups) == len(treated)
        for splitter in (GroupKFold(3), GroupShuffleSplit(2, random_state=0)):
            for train, test in splitter.split(X, groups=groups):
                assert not set(groups[train]) & set(groups[test])
    labels = np.arange(len(X)) % 2
    folds = StratifiedGroupKFold(2).split(X, labels, groups=molecule_groups(treated))
    assert len(list(folds)) == 2


def test_plate_groups_are_text_whatever_the_column_holds():
    for values in ([7, 7, 8], [7.0, 7.0, 8.0], ["7", " 7", "8"], pd.Categorical(["7", "7", "8"])):
        assert plate_groups(pd.DataFrame({"Plate": values})).tolist() == ["7", "7", "8"]


def test_plate_groups_of_other_levels():
    table = pd.DataFrame(
        {"Metadata_Source": ["a", "b"], "Metadata_Batch": [1, 1], "Metadata_Plate": ["P", "P"]}
    )
    assert plate_groups(table).tolist() == ["P", "P"]
    assert plate_groups(table, "source").tolist() == ["a", "b"]
    assert plate_groups(table, level=["source", "plate"]).tolist() == ["a / P", "b / P"]


GROUPINGS = [molecule_groups, scaffold_groups, cluster_groups]


@pytest.mark.parametrize("function", GROUPINGS, ids=lambda f: f.__name__)
def test_unreadable_structures_are_named(function):
    table = pd.DataFrame({"smiles": ["CCO", "nope", None]}, index=["a", "b", "c"])
    with pytest.raises(ValueError, match=f"{function.__name__}: 2 of 3") as error:
        function(table)
    for part in ("column 'smiles'", "row 1 (index 'b') cannot be parsed", "row 2 (index 'c') is"):
        assert part in str(error.value)
    with pytest.raises(ValueError, match="the list cannot be used: row 1 cannot"):
        function(["CCO", "nope"])


@pytest.mark.parametrize("function", GROUPINGS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("given", "options", "error", "message"),
    [
        ("CCO", {}, TypeError, "Put it in a list"),
        (pd.DataFrame({"structure": ["C"]}), {}, ValueError, "no column 'smiles'.*structure"),
        (pd.DataFrame({"smiles": ["C"], "SMILES": ["C"]}).iloc[:, :0], {}, ValueError, "no column"),
        (pd.DataFrame({"Smiles": ["C"], "SMILES": ["C"]}), {}, ValueError, "could be any of"),
        (pd.DataFrame({"smiles": ["C"]}), {"column": "x"}, ValueError, "no column 'x'"),
        (pd.DataFrame({"smiles": ["C"]}), {"column": 0}, TypeError, "name of a column"),
        (["C"], {"column": "smiles"}, ValueError, "given as list"),
        (np.zeros((2, 3)), {}, ValueError, r"shape \(2, 3\)"),
        ([1.5], {}, TypeError, "float"),
        (3, {}, TypeError, "int"),
    ],
)
def test_bad_structures_are_refused(function, given, options, error, message):
    with pytest.raises(error, match=message):
        function(given, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0}, "threshold"),
        ({"threshold": 35}, "threshold"),
        ({"radius": -1}, "radius must be an integer of at least 0"),
        ({"radius": 2.0}, "radius"),
        ({"n_bits": 0}, "n_bits"),
        ({"block_size": 0}, "block_size"),
    ],
)
def test_bad_cluster_parameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        cluster_groups(["CCO", "nope"], **options)


def test_unknown_treatment_of_acyclic_molecules_is_refused():
    with pytest.raises(ValueError, match="acyclic must be"):
        scaffold_groups(["CCO"], acyclic="alone")


@pytest.mark.parametrize(
    ("X", "level", "error", "message"),
    [
        (["P1"], "plate", TypeError, "DataFrame"),
        (pd.DataFrame({"well": ["A01"]}), "plate", ValueError, "no column 'plate'.*well"),
        (pd.DataFrame({"plate": ["P1"]}), ("plate", "batch"), ValueError, "no column 'batch'"),
        (pd.DataFrame({"plate": ["P1", None]}), "plate", ValueError, "no value in 1 of 2.*row 1"),
        (pd.DataFrame({"plate": ["P1", " "]}), "plate", ValueError, "no value in 1 of 2.*row 1"),
        (pd.DataFrame({"plate": ["P1"]}), [], TypeError, "name of a column"),
        (pd.DataFrame({"plate": ["P1"]}), 0, TypeError, "name of a column"),
        (pd.DataFrame({"plate": ["P1"]}), ["plate", 1], TypeError, "name of a column"),
    ],
)
def test_bad_plates_are_refused(X, level, error, message):
    with pytest.raises(error, match=message):
        plate_groups(X, level)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["cpjump1_compound_wells", "cell_injury_wells"])
def test_real_tables_equal_plain_rdkit(data_home, name):
    X = pd.read_parquet(data_home / "profiles" / f"{name}.parquet")
    smiles = X["Metadata_smiles"]
    with rdBase.BlockLogs():
        distinct = {
            text: Chem.MolFromSmiles(text)
            for text in smiles.unique()
            if not any(sign in text for sign in ".+-")
        }
        scaffold = {t: MurckoScaffold.MurckoScaffoldSmiles(mol=m) for t, m in distinct.items()}
    plain = smiles.isin(distinct).to_numpy()
    assert plain.mean() > 0.5
    found = scaffold_groups(X)
    expected = smiles[plain].map(scaffold)
    cyclic = expected.to_numpy() != ""
    agree = found[plain][cyclic] == expected[cyclic].to_numpy()
    assert agree.all()
    acyclic = found[plain][~cyclic]
    assert [g.removeprefix("acyclic:") for g in acyclic] == molecule_key(
        smiles[plain][~cyclic]
    ).tolist()
    molecules, clusters = molecule_groups(X), cluster_groups(X)
    for coarse in (found, clusters):
        assert pd.Series(coarse).groupby(molecules).nunique().max() == 1
    assert X["Metadata_Plate"].astype(str).tolist() == plate_groups(X).tolist()


@pytest.mark.real_data
def test_bray_wells_have_groups(data_home):
    X = pd.read_parquet(data_home / "metadata" / "bray_idr0016_wells.parquet")
    assert len(set(plate_groups(X, "plate_id"))) == X["plate_id"].nunique() == 413
    with pytest.raises(ValueError, match=r"of 155722 structures in column 'smiles'"):
        molecule_groups(X)
