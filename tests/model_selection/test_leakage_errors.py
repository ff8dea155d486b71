"""What cannot be checked is an error, never a pass."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from cloome_sk import CloomeEmbedder
from cloome_sk.model_selection import leakage_report

TRAIN = pd.DataFrame({"smiles": ["CCO", "CCN"], "plate": ["P1", "P1"], "well": ["A01", "A02"]})
TEST = pd.DataFrame({"smiles": ["CCCCC", "CCS"], "plate": ["P2", "P2"], "well": ["B01", "B02"]})


def test_the_tables_here_are_clean():
    assert leakage_report(TRAIN, TEST, claim=("molecule", "plate", "well", "position")).ok


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"claim": "molecules"}, ValueError, "unknown claim 'molecules'.*molecule, scaffold"),
        ({"claim": ("molecule", "salt")}, ValueError, "unknown claim 'salt'"),
        ({"claim": ()}, ValueError, "claim is empty"),
        ({"claim": "embedder"}, ValueError, "cannot be checked without `embedder`"),
        ({"claim": "batch"}, ValueError, "claim 'batch' cannot be checked: no batch column"),
        ({"claim": ("molecule", "source")}, ValueError, "'source' cannot be checked"),
        ({"columns": {"plate": "barcode"}}, ValueError, "training table.*no column 'barcode'"),
        ({"columns": {"Plate": "plate"}}, ValueError, "'Plate', which is none of smiles, plate"),
        ({"columns": {"smiles": ("smiles", "plate")}}, TypeError, r"columns\['smiles'\]"),
        ({"columns": {"plate": 3}}, TypeError, "name of a column or several"),
        ({"columns": ["plate"]}, TypeError, "must be a mapping"),
        ({"controls": "DMSO"}, TypeError, "controls must be"),
        ({"controls": ("role", "negcon")}, ValueError, "no column 'role'"),
        ({"near": 0}, ValueError, "near must be"),
        ({"near": 60}, ValueError, "near must be"),
        ({"near": None}, ValueError, "near must be"),
        ({"n_examples": -1}, ValueError, "n_examples must be"),
        ({"n_examples": 1.5}, ValueError, "n_examples must be"),
        ({"embedder": CloomeEmbedder()}, NotFittedError, "not fitted"),
        ({"embedder": FrozenEstimator(CloomeEmbedder())}, NotFittedError, "not fitted"),
        ({"embedder": LogisticRegression()}, TypeError, "got LogisticRegression"),
    ],
)
def test_bad_parameters(options, error, message):
    with pytest.raises(error, match=message):
        leakage_report(TRAIN, TEST, **options)


@pytest.mark.parametrize(
    ("test", "error", "message"),
    [
        ("CCO", TypeError, "Put it in a list"),
        (3, TypeError, "list of SMILES"),
        (np.zeros((2, 2)), TypeError, r"test set must be a DataFrame.*shape \(2, 2\)"),
        (TEST.iloc[:0], ValueError, "the test table has no rows"),
        ([], ValueError, "the test table has no rows"),
        (TEST.drop(columns="smiles"), ValueError, "'molecule' cannot be checked: no smiles column"),
        (
            TEST.rename(columns={"smiles": "Smiles"}).assign(SMILES="C"),
            ValueError,
            "could be any of the columns Smiles, SMILES",
        ),
        (TEST.assign(smiles=["CCCCC", "nope"]), ValueError, "test table: 1 of 2.*row 1 cannot be"),
        (TEST.assign(smiles=["CCCCC", None]), ValueError, "test table: 1 of 2.*row 1 is missing"),
        (TEST.assign(smiles="CS(C)=O"), ValueError, "no molecule besides its controls"),
    ],
)
def test_bad_test_sets(test, error, message):
    with pytest.raises(error, match=message):
        leakage_report(TRAIN, test)


def test_bad_training_rows_are_named_by_index():
    train = TRAIN.assign(smiles=["", "CCN"]).set_axis(["a", "b"])
    with pytest.raises(ValueError, match=r"training table: 1 of 2.*row 0 \(index 'a'\) is empty"):
        leakage_report(train, TEST)


@pytest.mark.parametrize("claim", ["plate", "well", "position"])
def test_a_missing_plate_is_named_where_plates_are_claimed(claim):
    with pytest.raises(ValueError, match=r"test table: column 'plate' has no value in 1.*row 1"):
        leakage_report(TRAIN, TEST.assign(plate=["P2", None]), claim=claim)
    with pytest.raises(ValueError, match=r"training table: column 'plate' has no value in 1"):
        leakage_report(TRAIN.assign(plate=["P2", None]), TEST, claim=claim)


def test_a_claim_about_the_embedder_needs_structures():
    class Seen:
        molecules_seen_ = np.array(["AQHHHDLHHXJYJD"])

    with pytest.raises(ValueError, match="'embedder' cannot be checked: no smiles column"):
        leakage_report(TRAIN, TEST[["plate"]], claim="embedder", embedder=Seen())
