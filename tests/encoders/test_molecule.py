"""MoleculeEncoder against plain RDKit and scikit-learn, and its many bad inputs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem, Descriptors
from rdkit.DataStructs import ConvertToNumpyArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import FunctionTransformer

from cloome_sk.datasets import load_known_drugs
from cloome_sk.encoders import MoleculeEncoder, molecule

SMILES = ["CCO", "c1ccccc1", "CCO", "C[C@H](N)C(=O)O", "OCC", "C[C@@H](N)C(=O)O"]


@pytest.fixture
def table():
    return pd.DataFrame({"Metadata_Plate": "P1", "Metadata_SMILES": SMILES})


def plain_rdkit(smiles, radius=3, n_bits=1024, use_chirality=True):
    """The call of the CLOOME paper, one molecule at a time."""
    rows = []
    for text in smiles:
        bits = AllChem.GetMorganFingerprintAsBitVect(
            Chem.MolFromSmiles(text), radius, nBits=n_bits, useChirality=use_chirality
        )
        row = np.zeros(n_bits, dtype=np.uint8)
        ConvertToNumpyArray(bits, row)
        rows.append(row)
    return np.array(rows)


def per_row(inputs):
    return inputs.values[inputs.index]


# --------------------------------------------------------------- fingerprints


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"radius": 0},
        {"radius": 2, "n_bits": 2048},
        {"use_chirality": False},
        {"n_bits": 1},
        {"n_bits": 100},
    ],
    ids=str,
)
def test_bits_are_those_of_the_legacy_call(params):
    smiles = load_known_drugs()["smiles"].tolist() + SMILES
    encoder = MoleculeEncoder(**params).fit(pd.DataFrame({"smiles": smiles}))
    inputs = encoder.inputs(smiles)
    assert inputs.values.dtype == np.uint8
    np.testing.assert_array_equal(per_row(inputs), plain_rdkit(smiles, **params))


def test_each_distinct_smiles_is_fingerprinted_once(table, monkeypatch):
    encoder = MoleculeEncoder().fit(table)
    asked = []
    original = molecule.distinct_fingerprints

    def counting(distinct, **options):
        asked.extend(distinct)
        return original(distinct, **options)

    monkeypatch.setattr(molecule, "distinct_fingerprints", counting)
    inputs = encoder.inputs(table)
    assert asked == ["CCO", "c1ccccc1", SMILES[3], "OCC", SMILES[5]]  # by text, not by structure
    assert inputs.index.tolist() == [0, 1, 0, 2, 3, 4]
    assert inputs.values.shape == (5, 1024)


def test_numbers_of_numpy_are_numbers(table):
    """A grid search over ``np.array([...])`` hands over NumPy's integers."""
    params = {"radius": np.int64(2), "n_bits": np.int32(256), "use_chirality": np.bool_(False)}
    encoder = MoleculeEncoder(**params).fit(table)
    expected = plain_rdkit(SMILES, radius=2, n_bits=256, use_chirality=False)
    np.testing.assert_array_equal(per_row(encoder.inputs(table)), expected)


def test_salts_are_fingerprinted_as_written(table):
    encoder = MoleculeEncoder().fit(table)
    values = per_row(encoder.inputs(["CCN", "CCN.Cl"]))
    assert (values[0] != values[1]).any()
    keys = encoder.keys(pd.DataFrame({"Metadata_SMILES": ["CCN", "CCN.Cl"]}), np.arange(2))
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    "given",
    [
        SMILES,
        tuple(SMILES),
        np.array(SMILES),
        np.array(SMILES, dtype=object),
        pd.Series(SMILES, index=[3] * 6),
        pd.Series(SMILES, dtype="category"),
        pd.Series(SMILES, dtype="string"),
        [Chem.MolFromSmiles(s) for s in SMILES],
        pd.DataFrame({"smiles": SMILES}),
        pd.DataFrame({"vendor": 1.0, "SMILES": SMILES}),
        pd.DataFrame({"METADATA_Smiles": SMILES}, index=[0] * 6, dtype=object),
        pd.DataFrame({"Metadata_smiles": pd.Series(SMILES, dtype="category")}),
        pd.DataFrame({"smiles": [Chem.MolFromSmiles(s) for s in SMILES]}),
    ],
    ids=lambda given: type(given).__name__,
)
def test_structures_in_any_form(table, given):
    encoder = MoleculeEncoder().fit(table)
    np.testing.assert_array_equal(per_row(encoder.inputs(given)), plain_rdkit(SMILES))


@pytest.mark.parametrize("columns", ["drug", ["drug"], 1, [1], slice(1, 2), [False, True]])
def test_column_of_another_name(columns):
    table = pd.DataFrame({"smiles": "C", "drug": SMILES})
    encoder = MoleculeEncoder(columns).fit(table)
    assert encoder.column_names_ == ["drug"]
    np.testing.assert_array_equal(per_row(encoder.inputs(table)), plain_rdkit(SMILES))


def test_a_matrix_of_structures_by_position():
    X = np.array([[1.0, "CCO"], [2.0, "CCN"]], dtype=object)
    encoder = MoleculeEncoder(columns=1).fit(X)
    np.testing.assert_array_equal(per_row(encoder.inputs(X)), plain_rdkit(["CCO", "CCN"]))


# ------------------------------------------------------- what cannot be read


def test_rows_stay_aligned_around_what_is_skipped():
    smiles = ["C(", "CCO", None, "c1ccccc1", "", "CCO", "C("]
    table = pd.DataFrame({"smiles": smiles})
    encoder = MoleculeEncoder(on_error="skip").fit(table)
    with pytest.warns(UserWarning, match=r"4 of 7 .*row 0 cannot.*row 2 is miss.*row 4 is empty"):
        inputs = encoder.inputs(table)
    assert inputs.index.tolist() == [-1, 0, -1, 1, -1, 0, -1]
    np.testing.assert_array_equal(inputs.values, plain_rdkit(["CCO", "c1ccccc1"]))
    expanded = inputs.expand(np.array([[1.0], [2.0]], dtype=np.float32))
    np.testing.assert_array_equal(expanded[:, 0], [np.nan, 1, np.nan, 2, np.nan, 1, np.nan])
    taken = inputs.take(np.array([5, 3]))
    assert taken.index.tolist() == [0, 1]


def test_nothing_readable_gives_no_values():
    encoder = MoleculeEncoder().fit(pd.DataFrame({"smiles": ["C"]}))
    with pytest.warns(UserWarning, match="2 of 2"):
        inputs = encoder.inputs(["C(", None], on_error="skip")
    assert inputs.values.shape == (0, 1024)
    assert inputs.index.tolist() == [-1, -1]


def test_optional_rows_may_lack_a_structure():
    smiles = [None, "CCO", "C(", "CCN"]
    encoder = MoleculeEncoder().fit(pd.DataFrame({"smiles": smiles}))
    optional = np.array([True, False, True, False])
    assert encoder.inputs(smiles, optional=optional).index.tolist() == [-1, 0, -1, 1]
    with pytest.raises(ValueError, match=r"1 of 4 .*row 2 cannot be parsed: 'C\('"):
        encoder.inputs(smiles, optional=np.array([True, False, False, False]))


MISSING = [None, np.nan, pd.NA, float("nan"), pd.NaT]


@pytest.mark.parametrize("value", MISSING, ids=str)
def test_every_kind_of_missing_is_missing(value):
    encoder = MoleculeEncoder().fit(pd.DataFrame({"smiles": ["C"]}))
    with pytest.raises(ValueError, match=r"1 of 2 structures in the list.*row 1 is missing"):
        encoder.inputs(["CCO", value])


BAD_TEXT = [
    "C(",
    "not a molecule",
    "C1CC",
    "[Xx]",
    "CC(C)(C)(C)(C)C",
    "c1cccc1",
    "CCO→CC",
    "乙醇",
    "",
    " ",
    "\t\n",
    "C\0C",
    "InChI=1S/CH4/h1H4",
]


@pytest.mark.parametrize("text", BAD_TEXT, ids=repr)
def test_text_that_is_no_molecule_is_named_by_row_and_column(table, text):
    table.loc[4, "Metadata_SMILES"] = text
    encoder = MoleculeEncoder().fit(table)
    with pytest.raises(ValueError, match=r"1 of 6 structures in column 'Metadata_SMILES'.*row 4 "):
        encoder.inputs(table)


@pytest.mark.parametrize("value", [7, 1.5, b"CCO", ["CCO"], True], ids=str)
def test_entries_of_another_type_are_named(table, value):
    encoder = MoleculeEncoder().fit(table)
    with pytest.raises(TypeError, match=f"Row 1.*found {type(value).__name__}"):
        encoder.inputs(["CCO", value])


@pytest.mark.parametrize("given", ["CCO", b"CCO", Chem.MolFromSmiles("C"), 7, None])
def test_one_thing_is_no_list(table, given):
    with pytest.raises(TypeError, match="Expected"):
        MoleculeEncoder().fit(table).inputs(given)


def test_rows_are_named_by_position_and_label(table):
    table = table.set_axis(list("abcdef"))
    table.iloc[2, 1] = "C("
    with pytest.raises(ValueError, match=r"row 2 \(index 'c'\) cannot be parsed"):
        MoleculeEncoder().fit(table).inputs(table)


def test_many_bad_rows_are_counted_not_listed(table):
    encoder = MoleculeEncoder().fit(table)
    with pytest.raises(ValueError, match=r"900 of 900 .*; and 890 more") as said:
        encoder.inputs(["C("] * 900)
    assert len(str(said.value)) < 700


# ----------------------------------------------------------- own transformers


def test_a_transformer_is_cloned_and_fitted_on_distinct_training_smiles(table):
    given = []

    class Recording(CountVectorizer):
        def fit(self, raw_documents, y=None):
            given.append(list(raw_documents))
            return super().fit(raw_documents)

    features = Recording(analyzer="char", lowercase=False)
    encoder = MoleculeEncoder(features=features).fit(table, np.array([0, 1, 2]))
    assert given == [["CCO", "c1ccccc1"]]
    assert not hasattr(features, "vocabulary_")
    expected = CountVectorizer(analyzer="char", lowercase=False).fit(["CCO", "c1ccccc1"])
    inputs = encoder.inputs(table)
    assert inputs.values.dtype == np.float32
    np.testing.assert_array_equal(per_row(inputs), expected.transform(SMILES).toarray())
    assert encoder.n_inputs_ == 4


def test_descriptors_by_a_function(table):
    def weight(smiles):
        return np.array([[Descriptors.MolWt(Chem.MolFromSmiles(s))] for s in smiles])

    encoder = MoleculeEncoder(features=FunctionTransformer(weight)).fit(table)
    values = per_row(encoder.inputs(["CCO", "C"]))[:, 0]
    np.testing.assert_allclose(values, [46.069, 16.043], rtol=1e-6)


def test_a_frozen_transformer_keeps_its_fit(table):
    fitted = CountVectorizer(analyzer="char", lowercase=False).fit(["N", "O"])
    encoder = clone(MoleculeEncoder(features=FrozenEstimator(fitted))).fit(table)
    assert per_row(encoder.inputs(["CON", "OO"])).tolist() == [[1, 1], [0, 2]]


def test_a_transformer_is_not_given_what_cannot_be_read(table):
    table.loc[1, "Metadata_SMILES"] = "C("
    given = []
    spy = FunctionTransformer(lambda smiles: given.extend(smiles) or np.ones((len(smiles), 2)))
    encoder = MoleculeEncoder(features=spy, on_error="skip").fit(table)
    with pytest.warns(UserWarning, match="row 1"):
        inputs = encoder.inputs(table)
    assert "C(" not in given
    assert inputs.index[1] == -1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda smiles: np.ones(len(smiles)),
        lambda smiles: np.ones((1, 2)),
        lambda smiles: np.full((len(smiles), 2), np.inf),
    ],
    ids=["one-dimensional", "one row", "infinite"],
)
def test_a_transformer_that_gives_no_matrix(table, wrong):
    with pytest.raises(ValueError, match="must give a finite matrix with one row for each"):
        MoleculeEncoder(features=FunctionTransformer(wrong)).fit(table).inputs(table)


# ------------------------------------------------------------------ bad input


def test_no_or_several_columns_of_structures(table):
    with pytest.raises(ValueError, match=r"MoleculeEncoder: .*no column 'smiles'.*Metadata_Plate"):
        MoleculeEncoder().fit(table[["Metadata_Plate"]])
    with pytest.raises(ValueError, match="could be any of the columns Metadata_SMILES, Smiles"):
        MoleculeEncoder().fit(table.assign(Smiles="C"))
    with pytest.raises(ValueError, match=r"takes one column of SMILES.*chooses 2"):
        MoleculeEncoder(columns=[0, 1]).fit(table)
    with pytest.raises(ValueError, match="X is ndarray without column names"):
        MoleculeEncoder().fit(np.ones((3, 2)))
    with pytest.raises(ValueError, match="missing from the table: SMILES"):
        MoleculeEncoder("SMILES").fit(table)


def test_the_exact_name_wins_over_one_that_is_alike():
    table = pd.DataFrame({"SMILES": "N", "smiles": ["CCO", "C"]})
    assert MoleculeEncoder().fit(table).column_names_ == ["smiles"]


def test_keys_of_structures_that_cannot_be_read(table):
    encoder = MoleculeEncoder().fit(table)
    table.loc[2, "Metadata_SMILES"] = "C("
    assert len(encoder.keys(table, np.array([0, 1]))) == 2
    with pytest.raises(ValueError, match=r"cannot be parsed: 'C\('"):
        encoder.keys(table, np.arange(6))


def test_unfitted():
    with pytest.raises(NotFittedError):
        MoleculeEncoder().inputs(["CCO"])


@pytest.mark.parametrize(
    "params",
    [
        {"radius": -1},
        {"radius": 2.0},
        {"n_bits": 0},
        {"use_chirality": "yes"},
        {"features": "ecfp"},
        {"features": len},
        {"hidden_sizes": (0,)},
        {"dropout": 1},
        {"input_dropout": -1},
        {"on_error": "ignore"},
    ],
    ids=str,
)
def test_parameters_out_of_range(table, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        MoleculeEncoder(**params).fit(table)


def test_on_error_of_one_call_is_checked(table):
    encoder = MoleculeEncoder().fit(table)
    with pytest.raises(ValueError, match="on_error"):
        encoder.inputs(["CCO", "C("], on_error="ignore")


def test_the_networks_first_layer_fits_the_features(table):
    for encoder in (
        MoleculeEncoder(n_bits=64, hidden_sizes=(5,)),
        MoleculeEncoder(features=CountVectorizer(analyzer="char"), hidden_sizes=(5,)),
    ):
        first = next(encoder.fit(table).make_network(3).parameters())
        assert tuple(first.shape) == (5, encoder.n_inputs_)
