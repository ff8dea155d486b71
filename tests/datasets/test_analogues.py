"""Made-up series and assays: structures by plain RDKit, and assays that follow what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors, Lipinski

from cloome_sk.datasets import _mechanisms as simulated
from cloome_sk.datasets import make_analogue_series, make_screen, plant_assays
from cloome_sk.datasets._analogue_parts import CORES, ON_CARBON, ON_HETEROATOM
from cloome_sk.datasets._planted_assays import INERT_MOA, MECHANISMS
from cloome_sk.molecules import molecule_key


@pytest.fixture(scope="module")
def compounds():
    return make_analogue_series(random_state=0)


@pytest.fixture(scope="module")
def planted(compounds):
    return plant_assays(compounds, 30, random_state=0)


def test_shape_of_the_table(compounds):
    assert compounds.columns.tolist() == ["name", "smiles", "series", "moa"]
    assert (compounds["series"].value_counts() == 12).all()
    assert compounds["series"].nunique() == 40
    assert compounds["name"].is_unique
    assert not compounds.isna().any(axis=None)
    of_series = compounds.groupby("series")["moa"].nunique()
    assert (of_series == 1).all()
    of_mechanism = compounds.groupby("moa")["series"].nunique()
    assert of_mechanism[INERT_MOA] == 12
    assert len(of_mechanism) == 9
    assert (of_mechanism >= 3).all()


def test_structures_are_valid_distinct_and_drug_like(compounds):
    molecules = [Chem.MolFromSmiles(smiles) for smiles in compounds["smiles"]]
    assert all(Chem.DetectChemistryProblems(molecule) == () for molecule in molecules)
    assert [Chem.MolToSmiles(molecule) for molecule in molecules] == compounds["smiles"].tolist()
    assert len(set(molecule_key(compounds["smiles"]))) == len(compounds)
    for molecule in molecules:
        assert 180 <= Descriptors.MolWt(molecule) <= 501
        assert Crippen.MolLogP(molecule) <= 5
        assert Lipinski.NumHDonors(molecule) <= 5
        assert Lipinski.NumHAcceptors(molecule) <= 10
        assert not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())


def test_members_hold_the_core_of_their_series(compounds):
    for smiles, series in zip(compounds["smiles"], compounds["series"], strict=True):
        core = Chem.MolFromSmiles(CORES[series])
        # The open places are any atom.
        parameters = Chem.AdjustQueryParameters.NoAdjustments()
        parameters.makeDummiesQueries = True
        query = Chem.AdjustQueryProperties(core, parameters)
        for atom in query.GetAtoms():
            atom.SetAtomMapNum(0)
        assert Chem.MolFromSmiles(smiles).HasSubstructMatch(query), (series, smiles)


def test_every_part_is_a_structure_with_its_open_place():
    for core in CORES.values():
        molecule = Chem.MolFromSmiles(core)
        assert sorted(a.GetAtomMapNum() for a in molecule.GetAtoms() if a.GetAtomicNum() == 0) == [
            1,
            2,
        ]
        first, second = (
            next(a for a in molecule.GetAtoms() if a.GetAtomMapNum() == place).GetNeighbors()[0]
            for place in (1, 2)
        )
        assert first.GetSymbol() == "C"
        assert second.GetSymbol() in "NO"
    for place, parts in ((1, ON_CARBON), (2, ON_HETEROATOM)):
        assert len(set(parts)) == len(parts)
        for part in parts:
            molecule = Chem.MolFromSmiles(part)
            assert [a.GetAtomMapNum() for a in molecule.GetAtoms() if a.GetAtomicNum() == 0] == [
                place
            ]


@pytest.mark.slow
def test_every_core_has_as_many_analogues_as_can_be_asked_for():
    compounds = make_analogue_series(60, 50, n_mechanisms=12, random_state=1)
    assert len(compounds) == 3000
    assert compounds["smiles"].is_unique


def test_the_seed_decides():
    first = make_analogue_series(8, 5, n_mechanisms=3, random_state=4)
    pd.testing.assert_frame_equal(
        first, make_analogue_series(8, 5, n_mechanisms=3, random_state=np.random.RandomState(4))
    )
    other = make_analogue_series(8, 5, n_mechanisms=3, random_state=5)
    assert set(first["smiles"]) != set(other["smiles"])


def test_mechanisms_are_those_of_the_simulated_screen(tmp_path):
    known = {name.lower() for name in simulated.MECHANISMS}
    assert {name.lower() for name in (*MECHANISMS, INERT_MOA)} <= known
    strength = {
        name.lower(): sum(map(abs, mechanism.shift.values()))
        for name, mechanism in simulated.MECHANISMS.items()
    }
    assert (
        strength[INERT_MOA.lower()] < 0.1 < 1 < min(strength[name.lower()] for name in MECHANISMS)
    )
    few = make_analogue_series(4, 2, n_mechanisms=2, random_state=0)
    sites = make_screen(tmp_path, compounds=few, n_plates=1, n_controls=2, size=32, random_state=0)
    treated = sites[sites["Metadata_pert_iname"] != "DMSO"]
    assert set(treated["Metadata_moa"]) == set(few["moa"])


def test_every_assay_is_large_enough(compounds, planted):
    assays, truth = planted
    assert assays.index.equals(compounds.index)
    assert assays.columns.tolist() == truth["assay"].tolist()
    assert ((assays == 1).sum() >= 25).all()
    assert ((assays == 0).sum() >= 25).all()
    assert (assays.notna().sum() == 384).all()
    assert set(np.unique(assays.to_numpy()[~assays.isna().to_numpy()])) == {0.0, 1.0}
    assert truth["kind"].value_counts().to_dict() == dict.fromkeys(
        ["phenotype", "chemotype", "random"], 10
    )  # fmt: skip


def test_actives_follow_the_cause(compounds, planted):
    assays, truth = planted
    inert = (compounds["moa"] == INERT_MOA).to_numpy()
    for row in truth.itertuples():
        label = assays[row.assay].to_numpy()
        causes = row.cause.split("; ")
        column = {"phenotype": "moa", "chemotype": "series"}.get(row.kind)
        if column is None:
            assert row.cause == ""
            continue
        caused = compounds[column].isin(causes).to_numpy()
        assert np.nanmean(label[caused]) == pytest.approx(0.9, abs=0.16)
        assert np.nanmean(label[~caused]) == pytest.approx(0.02, abs=0.03)
        assert inert[caused].all() == (row.kind == "chemotype")


def test_random_assays_follow_nothing(compounds):
    assays, truth = plant_assays(compounds, 60, random_state=2)
    inert = (compounds["moa"] == INERT_MOA).to_numpy()
    apart = [
        assays.loc[inert, name].mean() - assays.loc[~inert, name].mean()
        for name in truth.loc[truth["kind"] == "random", "assay"]
    ]
    assert np.mean(apart) == pytest.approx(0, abs=0.03)


def test_exact_assays(compounds):
    assays, truth = plant_assays(
        compounds, 2, tested=1.0, hit_rate=1.0, false_rate=0.0, random_state=0
    )
    for row in truth.itertuples():
        column = "moa" if row.kind == "phenotype" else "series"
        expected = compounds[column].isin(row.cause.split("; ")).astype(float)
        np.testing.assert_array_equal(assays[row.assay], expected)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_series": 61}, ValueError, "n_series"),
        ({"n_members": 51}, ValueError, "n_members"),
        ({"n_members": 1.5}, TypeError, "n_members"),
        ({"n_series": 5, "n_mechanisms": 5}, ValueError, "n_mechanisms is 5 for 3 series"),
        ({"n_mechanisms": 0}, ValueError, "n_mechanisms is 0 for 28 series"),
        ({"inert_fraction": 1.5}, ValueError, "inert_fraction must be 0 to 1"),
        ({"inert_fraction": "few"}, TypeError, "inert_fraction must be a number"),
    ],
)
def test_bad_numbers_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        make_analogue_series(**arguments)


def test_bad_compounds_are_named(compounds):
    with pytest.raises(TypeError, match="compounds must be a DataFrame"):
        plant_assays(compounds["smiles"])
    with pytest.raises(ValueError, match="no column 'moa'"):
        plant_assays(compounds.drop(columns="moa"))
    gap = compounds.copy()
    gap.loc[3, "moa"] = None
    with pytest.raises(ValueError, match=r"column 'moa' is missing in 1 row"):
        plant_assays(gap)
    with pytest.raises(ValueError, match="tested must be above 0 to 1"):
        plant_assays(compounds, tested=0)
    few = make_analogue_series(4, 10, n_mechanisms=2, random_state=0)
    with pytest.raises(ValueError, match="no phenotype assay of 25 actives"):
        plant_assays(few)
