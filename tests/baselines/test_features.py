"""The transformers: against plain pandas, RDKit and scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors, Lipinski
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from cloome_sk.baselines import (
    CellCount,
    MorganFeatures,
    PhyschemDescriptors,
    PlatePosition,
    ProfileFeatures,
    RandomMoleculeCodes,
)
from cloome_sk.molecules import morgan_fingerprints

SMILES = ["CCO", "CC(=O)Oc1ccccc1C(=O)O", "C[NH+](C)C", "CCO"]


# ------------------------------------------------------------------------------------- profiles


def test_profiles_are_standardised_by_the_training_rows_and_clipped(tiny):
    names = [name for name in tiny if name.startswith(("Cells_", "Cytoplasm_", "Nuclei_"))]
    train, test = tiny.iloc[:60], tiny.iloc[60:].copy()
    test.loc[test.index[0], names[0]] = 1e9
    scaler = StandardScaler().fit(train[names].to_numpy(np.float64))
    expected = np.clip(scaler.transform(test[names].to_numpy(np.float64)), -10, 10)
    found = ProfileFeatures().fit(train).transform(test)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found[0, 0] == 10


def test_sphered_profiles_are_uncorrelated_without_a_ridge(screen):
    values = ProfileFeatures(sphering=True, regularization=0.0, clip=None).fit_transform(screen)
    np.testing.assert_allclose(np.cov(values, rowvar=False), np.eye(150), atol=1e-3)


def test_profile_columns_are_found_by_name_whatever_their_order(tiny):
    fitted = ProfileFeatures().fit(tiny)
    np.testing.assert_array_equal(
        fitted.transform(tiny[tiny.columns[::-1]]), fitted.transform(tiny)
    )


def test_a_table_without_profiles_is_refused():
    with pytest.raises(ValueError, match=r"no column is named.*columns seen: Metadata_a"):
        ProfileFeatures().fit(pd.DataFrame({"Metadata_a": [1, 2]}))
    with pytest.raises(TypeError, match="DataFrame, got ndarray"):
        ProfileFeatures().fit(np.zeros((3, 2)))


# ---------------------------------------------------------------------------------------- wells


@pytest.mark.parametrize(
    "name",
    ["Metadata_Count_Cells", "cell_count", "Metadata_rel_cellcount", "Image_Count_Nuclei"],
)
def test_the_usual_names_of_a_cell_count_are_known(name):
    table = pd.DataFrame({"Metadata_Well": ["A01", "A02"], name: [10, 20]})
    counts = CellCount().fit(table)
    assert counts.column_ == name
    assert counts.transform(table).tolist() == [[10.0], [20.0]]


def test_a_cell_count_that_is_missing_or_doubtful_is_an_error():
    with pytest.raises(ValueError, match=r"Columns seen: Metadata_Well.*CellCount\(column="):
        CellCount().fit(pd.DataFrame({"Metadata_Well": ["A01"]}))
    both = pd.DataFrame({"cell_count": [1], "Metadata_Cell_Count": [2]})
    with pytest.raises(ValueError, match="name one"):
        CellCount().fit(both)
    table = pd.DataFrame({"n": [1.0, np.nan]}, index=["x", "y"])
    with pytest.raises(ValueError, match=r"column 'n'.*1 row\(s\).*row 1 \(index 'y'\): nan"):
        CellCount("n").fit_transform(table)


def test_position_is_one_indicator_each_and_unknown_places_are_zero():
    train = pd.DataFrame({"Plate": ["P1", "P2"], "Well": ["A01", "B02"]})
    test = pd.DataFrame({"Plate": ["P2", "P3"], "Well": ["a1", "AB11"]})
    position = PlatePosition().fit(train)
    # plates P1 P2, rows A B, columns 1 2
    assert position.transform(test).tolist() == [[0, 1, 1, 0, 1, 0], [0] * 6]
    assert len(position.get_feature_names_out()) == 6


def test_a_well_that_is_none_is_named():
    table = pd.DataFrame({"Plate": ["P1", "P1"], "Well": ["A01", "somewhere"]})
    with pytest.raises(ValueError, match=r"no well names such as 'A01' \(row 1: 'somewhere'\)"):
        PlatePosition().fit(table)
    with pytest.raises(ValueError, match=r"parts must be some of"):
        PlatePosition(parts=("plate", "colour")).fit(table)


# ------------------------------------------------------------------------------------ molecules


def test_morgan_features_are_the_fingerprints_of_a_list_or_a_column():
    expected = morgan_fingerprints(SMILES, n_bits=256)
    table = pd.DataFrame({"Metadata_SMILES": SMILES})
    for given in (SMILES, table, [Chem.MolFromSmiles(text) for text in SMILES]):
        found = MorganFeatures(n_bits=256).fit_transform(given)
        np.testing.assert_array_equal(found, expected)


def test_descriptors_are_those_of_rdkit():
    features = PhyschemDescriptors().fit(SMILES)
    found = pd.DataFrame(features.transform(SMILES), columns=features.get_feature_names_out())
    for row, text in enumerate(SMILES):
        molecule = Chem.MolFromSmiles(text)
        for name, value in {
            "molecular_weight": Descriptors.MolWt(molecule),
            "logp": Descriptors.MolLogP(molecule),
            "tpsa": Descriptors.TPSA(molecule),
            "h_bond_donors": Lipinski.NumHDonors(molecule),
            "h_bond_acceptors": Lipinski.NumHAcceptors(molecule),
            "rings": Lipinski.RingCount(molecule),
            "fraction_sp3": Lipinski.FractionCSP3(molecule),
            "formal_charge": sum(atom.GetFormalCharge() for atom in molecule.GetAtoms()),
        }.items():
            assert found[name][row] == pytest.approx(value, rel=1e-5), (text, name)


def test_random_codes_depend_on_the_molecule_and_the_seed_alone():
    codes = RandomMoleculeCodes(random_state=1).fit(["CCO"])
    salt, other, free = codes.transform(["CC(N)C.Cl", "CCN", "CC(N)C"])
    np.testing.assert_array_equal(salt, free)
    again = clone(codes).fit(["c1ccccc1"])
    np.testing.assert_array_equal(again.transform(["CCN"])[0], other)
    different = RandomMoleculeCodes(random_state=2).fit(["CCO"]).transform(["CCN"])[0]
    assert abs(np.corrcoef(different, other)[0, 1]) < 0.2
    assert abs(np.corrcoef(free, other)[0, 1]) < 0.2


@pytest.mark.parametrize(
    "features", [MorganFeatures(), PhyschemDescriptors(), RandomMoleculeCodes()]
)
def test_structures_that_cannot_be_read_are_named(features):
    table = pd.DataFrame({"smiles": ["CCO", "nonsense"]}, index=["a", "b"])
    with pytest.raises(ValueError, match=r"column 'smiles'.*row 1 \(index 'b'\) cannot be parsed"):
        features.fit(table)
    with pytest.raises(TypeError, match="in a list"):
        features.fit("CCO")
    with pytest.raises(ValueError, match="no column 'smiles'"):
        features.fit(pd.DataFrame({"a": [1]}))


def test_pandas_output_has_names_and_the_index():
    table = pd.DataFrame({"smiles": SMILES}, index=list("wxyz"))
    out = PhyschemDescriptors().set_output(transform="pandas").fit_transform(table)
    assert out.columns[0] == "molecular_weight"
    assert out.index.tolist() == list("wxyz")
