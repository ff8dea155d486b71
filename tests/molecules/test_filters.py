"""Filters of molecules against RDKit's own catalogues, one molecule at a time."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams
from sklearn.base import clone

from cloome_sk.baselines.molecule_features import DESCRIPTORS
from cloome_sk.datasets import load_known_drugs
from cloome_sk.molecules import MoleculeFilters
from cloome_sk.molecules.filters import CATALOGS, PROPERTIES

AZO = "O=C(O)c1ccc(N=Nc2ccc(O)cc2)cc1"
RHODANINE = "O=C1NC(=S)SC1=Cc1ccccc1"
ALDEHYDE = "O=Cc1ccccc1"
PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"


@pytest.fixture(scope="module")
def drugs():
    # neutral and in one piece: each is its own parent, so that RDKit sees the same molecule
    smiles = load_known_drugs()["smiles"]
    kept = [text for text in smiles if "." not in text and "+" not in text and "-]" not in text]
    return [*kept, AZO, RHODANINE, ALDEHYDE]


def by_rdkit(smiles, name):
    """Alerts of one molecule, as RDKit's documentation finds them."""
    params = FilterCatalogParams()
    params.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, name))
    catalog = FilterCatalog(params)
    matches = [catalog.GetMatches(Chem.MolFromSmiles(text)) for text in smiles]
    return [sorted({match.GetDescription() for match in own}) for own in matches]


@pytest.mark.parametrize("name", ["PAINS", "PAINS_A", "BRENK", "NIH", "ZINC", "CHEMBL_LINT"])
def test_catalogues_equal_rdkit(drugs, name):
    expected = by_rdkit(drugs, name)
    assert any(expected)
    assert not all(expected)
    filters = MoleculeFilters([name])
    np.testing.assert_array_equal(filters.passes(drugs), [not alerts for alerts in expected])
    found = filters.explain(drugs)
    assert set(found["kind"]) == {"catalog"}
    assert found["refused"].all()
    said = dict(zip(found["row"], found["detail"], strict=True))
    assert said == {row: ", ".join(alerts) for row, alerts in enumerate(expected) if alerts}


def test_all_catalogues_of_rdkit_can_be_named():
    assert {"PAINS", "BRENK", "NIH", "ZINC", "CHEMBL"} <= set(CATALOGS)
    assert set(CATALOGS) == set(FilterCatalogParams.FilterCatalogs.names)
    filters = MoleculeFilters(CATALOGS).fit()
    assert filters.get_feature_names_out().tolist() == list(CATALOGS)
    smiles = [AZO, ALDEHYDE, PARACETAMOL, "CCO"]
    expected = np.array([[bool(own) for own in by_rdkit(smiles, name)] for name in CATALOGS]).T
    assert expected.any()
    assert not expected.all()
    np.testing.assert_array_equal(filters.transform(smiles), expected)
    np.testing.assert_array_equal(filters.passes(smiles), ~expected.any(axis=1))


def test_several_catalogues_are_several_rules(drugs):
    filters = MoleculeFilters(["PAINS", "BRENK"])
    matrix = filters.transform(drugs)
    assert filters.get_feature_names_out().tolist() == ["PAINS", "BRENK"]
    for column, name in enumerate(["PAINS", "BRENK"]):
        np.testing.assert_array_equal(matrix[:, column], [bool(a) for a in by_rdkit(drugs, name)])
    np.testing.assert_array_equal(filters.passes(drugs), ~matrix.any(axis=1))


def test_properties_equal_rdkit(drugs):
    found = MoleculeFilters().properties(drugs)
    molecules = [Chem.MolFromSmiles(text) for text in drugs]
    np.testing.assert_allclose(found["molecular_weight"], [Descriptors.MolWt(m) for m in molecules])
    np.testing.assert_allclose(found["logp"], [Crippen.MolLogP(m) for m in molecules])
    np.testing.assert_allclose(found["qed"], [Descriptors.qed(m) for m in molecules])
    assert list(found) == list(PROPERTIES)


def test_properties_are_called_and_computed_as_the_descriptors_are(drugs):
    same = sorted(set(PROPERTIES) & set(DESCRIPTORS))
    assert len(same) >= 9
    found = MoleculeFilters().properties(drugs)
    for name in same:
        expected = [DESCRIPTORS[name](Chem.MolFromSmiles(text)) for text in drugs]
        np.testing.assert_allclose(found[name], expected)


def test_ranges_include_their_limits():
    weight = Descriptors.MolWt(Chem.MolFromSmiles(PARACETAMOL))
    for limits, passes in [
        ((weight, weight), True),
        ((None, weight), True),
        ((weight, None), True),
        ((None, weight - 0.01), False),
        ((weight + 0.01, None), False),
    ]:
        filters = MoleculeFilters([], ranges={"molecular_weight": limits})
        assert filters.passes([PARACETAMOL]).tolist() == [passes]


def test_rule_of_five_lets_one_violation_pass(drugs):
    ranges = {
        "molecular_weight": (None, 350),
        "logp": (None, 3),
        "h_bond_donors": (None, 2),
        "h_bond_acceptors": (None, 5),
    }
    values = MoleculeFilters().properties(drugs)
    n_violated = sum(
        (values[name] > high).to_numpy().astype(int) for name, (_, high) in ranges.items()
    )
    assert set(n_violated) >= {0, 1, 2}
    for allowed in (0, 1, 2):
        filters = MoleculeFilters([], ranges=ranges, max_violations=allowed)
        np.testing.assert_array_equal(filters.passes(drugs), n_violated <= allowed)
        found = filters.explain(drugs)
        assert len(found) == n_violated.sum()
        np.testing.assert_array_equal(
            found["refused"], n_violated[found["row"].to_numpy()] > allowed
        )


def test_alerts_do_not_count_as_violations_of_ranges():
    filters = MoleculeFilters(["PAINS"], ranges={"heavy_atoms": (None, 5)}, max_violations=1)
    assert filters.passes([AZO, PARACETAMOL]).tolist() == [False, True]


def test_smarts_refuse_too():
    filters = MoleculeFilters([], smarts={"aldehyde": "[CX3H1](=O)[#6]", "nitro": "[N+](=O)[O-]"})
    assert filters.passes([ALDEHYDE, PARACETAMOL]).tolist() == [False, True]
    assert filters.explain([PARACETAMOL, ALDEHYDE]).to_dict("records") == [
        {
            "row": 1,
            "smiles": ALDEHYDE,
            "rule": "aldehyde",
            "kind": "smarts",
            "detail": "[CX3H1](=O)[#6]",
            "refused": True,
        }
    ]


def test_a_counter_ion_does_not_count():
    picrate = "O=[N+]([O-])c1cc([N+](=O)[O-])c(O)c([N+](=O)[O-])c1"
    salt = f"CC(C)NCC(O)COc1cccc2ccccc12.{picrate}"
    filters = MoleculeFilters(["BRENK"], ranges={"molecular_weight": (None, 300)})
    assert not filters.passes([picrate])[0]
    assert filters.passes([salt]).tolist() == filters.passes([salt.partition(".")[0]]).tolist()


def test_no_molecule_gives_empty_answers():
    filters = MoleculeFilters()
    assert filters.passes([]).shape == (0,)
    assert filters.transform([]).shape == (0, 1)
    assert filters.explain([]).empty
    assert filters.properties([]).shape == (0, len(PROPERTIES))


def test_threads_change_nothing(drugs):
    one, two = (MoleculeFilters(["BRENK"], n_jobs=n).transform(drugs) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_rows_and_labels_of_tables(drugs):
    series = pd.Series(drugs, index=[f"x{n}" for n in range(len(drugs))])
    np.testing.assert_array_equal(MoleculeFilters().passes(series), MoleculeFilters().passes(drugs))


def test_it_is_a_transformer():
    filters = MoleculeFilters(["BRENK"], ranges={"logp": (-1, 5)})
    copied = clone(filters)
    assert copied.get_params() == filters.get_params()
    assert MoleculeFilters().set_params(catalogs=["NIH"]).get_feature_names_out() == ["NIH"]
    shown = filters.set_output(transform="pandas").fit_transform([ALDEHYDE, PARACETAMOL])
    assert list(shown) == ["BRENK", "logp"]
    again = pickle.loads(pickle.dumps(filters))
    np.testing.assert_array_equal(again.passes([ALDEHYDE]), filters.passes([ALDEHYDE]))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"catalogs": ["PAIN"]}, "'PAIN', which is not a catalogue of RDKit; there are"),
        ({"catalogs": "PAINS"}, "The 'catalogs' parameter"),
        ({"ranges": {"weight": (0, 1)}}, "'weight', which is not a property; there are molecular"),
        ({"ranges": {"logp": (5, -1)}}, r"ranges\['logp'\] = \(5, -1\) holds no value"),
        ({"ranges": {"logp": 5}}, r"must be \(least, largest\), each a number or None, got 5"),
        ({"ranges": {"logp": (float("nan"), 5)}}, "each a number or None"),
        ({"smarts": {"odd": "[C"}}, r"the SMARTS of 'odd' cannot be read: '\[C'"),
        ({"smarts": {"a": ["C"]}}, r"the SMARTS of 'a' must be one text, got \['C'\]; several"),
        ({"smarts": {"a": 3}}, "the SMARTS of 'a' must be one text, got 3"),
        ({"smarts": {"a": " "}}, "the SMARTS of 'a' cannot be read: ' '"),
        ({"smarts": {"PAINS": "C"}}, "a name that is taken: 'PAINS'"),
        ({"max_violations": -1}, "The 'max_violations' parameter"),
    ],
)
def test_parameters_that_make_no_sense(parameters, message):
    filters = MoleculeFilters(**parameters)
    for method in (filters.fit, filters.passes, filters.explain, filters.transform):
        with pytest.raises(ValueError, match=message):
            method(["CCO"])


def test_structures_that_cannot_be_read_are_named():
    for method in ("passes", "explain", "transform", "properties"):
        with pytest.raises(
            ValueError, match=r"2 of 3 structures .*row 1 cannot be parsed: 'C1'; row 2"
        ):
            getattr(MoleculeFilters(), method)(["CCO", "C1", None])
    with pytest.raises(TypeError, match="Put it in a list"):
        MoleculeFilters().passes("CCO")
