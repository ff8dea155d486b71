"""Parents and scaffolds against plain RDKit."""

from __future__ import annotations

import pandas as pd
import pytest
from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.Chem.Scaffolds import MurckoScaffold

from cloome_sk.molecules import invalid_smiles, molecule_key, murcko_scaffolds, parent_smiles

NEUTRAL = [
    "CC(C)NCC(O)COc1cccc2ccccc12",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "C[C@H]1CN(C)CC[C@@H]1c1ccccc1",
    "O=C1CCCC1=Cc1ccc(Cl)cc1",
    "c1ccc(cc1)-c1ccncc1",
    "CCO",
]


@pytest.mark.parametrize("smiles", NEUTRAL)
def test_scaffold_of_a_neutral_molecule_is_that_of_rdkit(smiles):
    expected = MurckoScaffold.MurckoScaffoldSmiles(smiles)
    assert murcko_scaffolds([smiles]).tolist() == [expected]


@pytest.mark.parametrize("smiles", NEUTRAL[:-1])
def test_framework_is_the_scaffold_of_the_generic_scaffold(smiles):
    scaffold = MurckoScaffold.GetScaffoldForMol(Chem.MolFromSmiles(smiles))
    generic = MurckoScaffold.MakeScaffoldGeneric(scaffold)
    expected = Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(generic))
    assert murcko_scaffolds([smiles], generic=True).tolist() == [expected]


def test_framework_forgets_atoms_bonds_and_ring_ketones():
    alike = ["c1ccccc1", "C1CCNCC1", "O=C1CCCCC1", "c1ccncc1C"]
    assert set(murcko_scaffolds(alike, generic=True)) == {"C1CCCCC1"}
    assert len(set(murcko_scaffolds(alike))) == 4


def test_ring_of_a_counter_ion_does_not_count():
    base, besylate = "CC(C)NCC(O)CO", "CC(C)NCC(O)CO.OS(=O)(=O)c1ccccc1"
    assert "c1ccccc1" in MurckoScaffold.MurckoScaffoldSmiles(besylate)
    assert murcko_scaffolds([base, besylate]).tolist() == ["", ""]


def test_stereoisomers_share_a_scaffold():
    scaffolds = murcko_scaffolds([NEUTRAL[2], NEUTRAL[2].replace("@", "")])
    assert scaffolds[0] == scaffolds[1] == "c1ccc(C2CCNCC2)cc1"


def test_metallocene_has_a_framework():
    half = "[Fe]12345c6c1c2c3c4c56"  # the metal has five neighbours, more than a carbon can have
    scaffold = MurckoScaffold.GetScaffoldForMol(Chem.MolFromSmiles(half))
    with rdBase.BlockLogs(), pytest.raises(Chem.MolSanitizeException):
        MurckoScaffold.MakeScaffoldGeneric(scaffold)
    iron, ruthenium = murcko_scaffolds([half, half.replace("Fe", "Ru")], generic=True)
    assert iron == ruthenium != ""


@pytest.mark.parametrize("function", [murcko_scaffolds, parent_smiles])
def test_unusable_structures_are_named_by_row(function):
    with pytest.raises(ValueError, match="3 of 4 structures") as error:
        function(["CCO", "nope", "", None])
    for part in ("row 1 cannot be parsed: 'nope'", "row 2 is empty", "row 3 is missing"):
        assert part in str(error.value)


@pytest.mark.parametrize("function", [murcko_scaffolds, parent_smiles])
def test_a_single_molecule_is_refused_and_none_gives_none(function):
    with pytest.raises(TypeError, match="Put it in a list"):
        function("CCO")
    assert function([]).shape == (0,)


@pytest.mark.parametrize(
    ("smiles", "parent"),
    [
        ("CC(C)NCC(O)CO.Cl", "CC(C)NCC(O)CO"),
        ("C[C@H](N)C(=O)[O-].[Na+]", "C[C@H](N)C(=O)O"),
        ("OCC", "CCO"),
    ],
)
def test_parent_keeps_stereochemistry_and_drops_the_salt(smiles, parent):
    assert parent_smiles([smiles]).tolist() == [parent]
    assert molecule_key([smiles]).tolist() == molecule_key([parent]).tolist()


@pytest.mark.real_data
def test_real_compounds(data_home):
    table = pd.read_parquet(data_home / "labels" / "jump_phenotypic_activity_115k.parquet")
    smiles = table["smiles"].sample(600, random_state=1)
    smiles = smiles.drop(smiles.index[list(invalid_smiles(smiles))])
    with rdBase.BlockLogs():
        molecules = [
            rdMolStandardize.ChargeParent(Chem.MolFromSmiles(text))
            if "." in text
            else Chem.MolFromSmiles(text)
            for text in smiles
        ]
        neutral = [not any(a.GetFormalCharge() for a in m.GetAtoms()) for m in molecules]
        expected = [MurckoScaffold.MurckoScaffoldSmiles(mol=m) for m in molecules]
    assert sum(neutral) > 400
    found = murcko_scaffolds(smiles)
    assert found[neutral].tolist() == [e for e, n in zip(expected, neutral, strict=True) if n]
    assert (murcko_scaffolds(smiles, generic=True) == "").sum() == (found == "").sum()
