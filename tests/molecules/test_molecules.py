"""Structures against plain RDKit."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, rdBase
from rdkit.Chem import AllChem
from rdkit.Chem.MolStandardize import rdMolStandardize

from cloome_sk.molecules import as_smiles, invalid_smiles, molecule_key, morgan_fingerprints

DRUGS = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "CC(C)NCC(O)COc1cccc2ccccc12",
    "C[C@H](N)C(=O)O",
    "C[C@@H](N)C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "CC(C)NCC(O)COc1cccc2ccccc12.Cl",
]


def legacy_bits(smiles, radius=3, n_bits=1024, use_chirality=True):
    """The call of the paper's own preprocessing script."""
    with rdBase.BlockLogs(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(
            [
                list(
                    AllChem.GetMorganFingerprintAsBitVect(
                        Chem.MolFromSmiles(text), radius, nBits=n_bits, useChirality=use_chirality
                    )
                )
                for text in smiles
            ]
        )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"radius": 2, "n_bits": 2048},
        {"radius": 0, "n_bits": 64, "use_chirality": False},
        {"n_bits": 8192},
    ],
)
def test_bits_equal_the_legacy_call(options):
    bits = morgan_fingerprints(DRUGS, **options)
    assert bits.dtype == np.uint8
    np.testing.assert_array_equal(bits, legacy_bits(DRUGS, **options))


@pytest.mark.real_data
def test_bits_equal_the_legacy_call_on_real_compounds(data_home):
    table = pd.read_parquet(data_home / "profiles" / "cpjump1_compound_wells.parquet")
    smiles = table["Metadata_smiles"]
    distinct = smiles.unique()
    expected = dict(zip(distinct, legacy_bits(distinct), strict=True))
    np.testing.assert_array_equal(
        morgan_fingerprints(smiles), np.array([expected[text] for text in smiles])
    )


def test_chirality_tells_alanines_apart_only_if_used():
    left, right = morgan_fingerprints(DRUGS[2:4])
    assert (left != right).any()
    left, right = morgan_fingerprints(DRUGS[2:4], use_chirality=False)
    np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    "container", [list, tuple, np.array, pd.Series, lambda s: pd.Series(s, dtype=object)]
)
def test_any_container_of_smiles_or_molecules(container):
    expected = morgan_fingerprints(DRUGS)
    np.testing.assert_array_equal(morgan_fingerprints(container(DRUGS)), expected)
    np.testing.assert_array_equal(
        morgan_fingerprints([Chem.MolFromSmiles(text) for text in DRUGS]), expected
    )


@pytest.mark.parametrize("single", ["CCO", b"CCO", Chem.MolFromSmiles("CCO")])
def test_a_single_molecule_is_refused(single):
    with pytest.raises(TypeError, match="Put it in a list"):
        as_smiles(single)


@pytest.mark.parametrize(
    ("molecules", "found"), [([1.5], "float"), ([["CCO"]], "list"), (7, "int")]
)
def test_other_types_are_refused(molecules, found):
    with pytest.raises(TypeError, match=found):
        as_smiles(molecules)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_missing_values_are_none(missing):
    assert as_smiles(["C", missing]).tolist() == ["C", None]


def test_string_column_with_a_missing_value_is_not_cut():
    assert as_smiles(pd.Series(["CCO", None, "CCN"], dtype="str")).tolist() == ["CCO", None, "CCN"]


@pytest.mark.parametrize("function", [morgan_fingerprints, molecule_key])
def test_unusable_structures_are_named_by_row(function):
    with pytest.raises(ValueError, match="4 of 6 structures") as error:
        function(["CCO", "not a molecule", "", None, "C(", "CCN"])
    for part in [
        "row 1 cannot be parsed: 'not a molecule'",
        "row 2 is empty",
        "row 3 is missing",
        "row 4 cannot be parsed: 'C('",
    ]:
        assert part in str(error.value)


def test_long_lists_of_unusable_structures_are_cut():
    with pytest.raises(ValueError, match=r"and 90 more\.$"):
        morgan_fingerprints(["X"] * 100)


def test_invalid_smiles_lists_every_row():
    assert list(invalid_smiles(["CCO", "nope", "CCO", "nope"])) == [1, 3]


def test_no_molecules_give_no_rows():
    assert morgan_fingerprints([]).shape == (0, 1024)
    assert molecule_key([]).shape == (0,)


SAME = {
    "salt": ["CC(C)NCC(O)COc1cccc2ccccc12", "CC(C)NCC(O)COc1cccc2ccccc12.Cl"],
    "charge": ["CC(=O)O", "CC(=O)[O-]", "CC(=O)[O-].[Na+]"],
    "stereo": ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O"],
    "double bond": [r"C/C=C/C(=O)O", r"C/C=C\C(=O)O"],
    "isotope": ["CCO", "[2H]CCO"],
    "drawing of a sulfoxide": ["CS(C)=O", "C[S+](C)[O-]"],
    "way of writing": ["OCCC", "CCCO", "C(O)CC"],
}


@pytest.mark.parametrize("smiles", SAME.values(), ids=SAME)
def test_one_molecule_has_one_key(smiles):
    assert len(set(molecule_key(smiles))) == 1


def test_different_molecules_have_different_keys():
    keys = molecule_key([smiles[0] for smiles in SAME.values()])
    assert len(set(keys)) == len(SAME)


def test_tautomers_are_merged_by_choice():
    # keto and enol of acetylacetone: no mobile hydrogen in the sense of InChI
    forms = ["CC(=O)CC(C)=O", "CC(O)=CC(C)=O"]
    assert len(set(molecule_key(forms))) == 2
    assert len(set(molecule_key(forms, tautomers=True))) == 1


@pytest.mark.real_data
def test_keys_equal_the_full_standardisation_on_real_compounds(data_home):
    activity = pd.read_parquet(data_home / "labels" / "jump_phenotypic_activity_115k.parquet")
    smiles = activity["smiles"].sample(400, random_state=0)
    injury = pd.read_parquet(data_home / "profiles" / "cell_injury_wells.parquet")
    smiles = pd.concat([smiles, injury["Metadata_smiles"].drop_duplicates()])
    smiles = smiles.drop(smiles.index[list(invalid_smiles(smiles))])
    with rdBase.BlockLogs():
        expected = [
            Chem.MolToInchiKey(rdMolStandardize.ChargeParent(Chem.MolFromSmiles(text)))[:14]
            for text in smiles
        ]
    assert molecule_key(smiles).tolist() == expected


@pytest.mark.real_data
def test_keys_agree_with_the_published_inchikeys(data_home):
    table = pd.read_parquet(data_home / "profiles" / "cpjump1_compound_wells.parquet")
    table = table.drop_duplicates("Metadata_smiles")  # these structures are parents already
    published = table["Metadata_InChIKey"].str[:14]
    assert molecule_key(table["Metadata_smiles"]).tolist() == published.tolist()
