"""What cannot validate, decide or be told: refused before training, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.training.net import ContrastiveNet


@pytest.fixture(scope="module")
def X():  # noqa: N802
    return make_profiles(n_compounds=40, random_state=0)


def quick(**changes):
    chosen = {
        "phenotype": ProfileEncoder(hidden_sizes=(32,)),
        "molecule": MoleculeEncoder(hidden_sizes=(32,)),
        "n_components": 16,
        "batch_size": 32,
        "max_epochs": 1,
        "random_state": 0,
    }
    return CloomeEmbedder(**{**chosen, **changes})


def treated(X):
    return X[X["Metadata_control_type"].isna()]


def reading(phenotype, molecule, inv_tau, *, inputs, positives=None):
    return phenotype.sum() * 0 + inv_tau


reading.reads = "molecule"


@pytest.mark.parametrize("objective", ["cwcl", reading])
def test_an_objective_that_is_not_measured_cannot_decide(X, objective, monkeypatch):
    monkeypatch.setattr(ProfileEncoder, "fit", lambda *arguments: pytest.fail("too late"))
    with pytest.raises(ValueError, match="monitor='valid_objective' does not go with objective="):
        quick(validation=0.2, monitor="valid_objective", objective=objective).fit(X)


def test_nor_can_one_of_more_pairs_than_are_measured(X, monkeypatch):
    from cloome_sk.training import validation

    monkeypatch.setattr(validation, "MAX_PAIRS", 10)
    steps = []
    monkeypatch.setattr(ContrastiveNet, "train_step", lambda *arguments: steps.append(1))
    with pytest.raises(ValueError, match=r"32 held-out pairs, more than 10\. Choose .*valid_R@1"):
        quick(validation=0.2, monitor="valid_objective").fit(X)
    assert not steps
    monkeypatch.undo()
    monkeypatch.setattr(validation, "MAX_PAIRS", 32)
    fitted = quick(validation=0.2, monitor="valid_objective", keep="best", max_epochs=1).fit(X)
    assert np.isfinite(fitted.history_["valid_objective"]).all()


def changed(held, column, value):
    held = held.copy()
    held.iloc[3, held.columns.get_loc(column)] = value
    return held


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda held, X: held.iloc[:0], r"table of validation= has 0 rows.*two other molecules"),
        (
            lambda held, X: X[X["Metadata_control_type"].notna()],
            r"validation=: 0 of 64 row.* 64 of 64 rows are negative controls: Metadata_control_t",
        ),
        (lambda held, X: held.iloc[:1], r"1 of 1 row\(s\) can be used, with 1 molecule"),
        (
            lambda held, X: held[held["Metadata_smiles"] == held["Metadata_smiles"].iloc[0]],
            r"validation=: 4 of 4 row\(s\) can be used, with 1 molecule\(s\), and two",
        ),
        (
            lambda held, X: changed(held, "Cells_AreaShape_Area", np.nan),
            r"In the table of validation=: ProfileEncoder: .*row 3 \(index \d+\), column 'Cells_Ar",
        ),
        (
            lambda held, X: changed(held, "Metadata_smiles", "C("),
            r"In the table of validation=: 1 of 48 structures .*row 3 .*'C\('",
        ),
        (
            lambda held, X: held.drop(columns="Metadata_smiles"),
            "In the table of validation=: MoleculeEncoder: the table has no column 'smiles'",
        ),
        (
            lambda held, X: np.zeros((5, 3)),
            r"takes a DataFrame, as X is; got ndarray of shape \(5, 3\)",
        ),
        (lambda held, X: np.array(0.2), r"got ndarray of shape \(\)"),
    ],
)
def test_tables_that_cannot_validate(X, make, message):
    names = treated(X)["Metadata_smiles"].unique()
    held = treated(X)[treated(X)["Metadata_smiles"].isin(names[:12])]
    rest = X[~X["Metadata_smiles"].isin(names[:12])]
    with pytest.raises(ValueError, match=message):
        quick(validation=make(held, X)).fit(rest)


@pytest.mark.parametrize("shape", [(4, 19), (4,), (0, 20)])
def test_arrays_that_cannot_validate(shape):
    matrix = np.random.default_rng(0).normal(size=(12, 20))
    embedder = quick(
        phenotype=ProfileEncoder(columns=list(range(8)), hidden_sizes=(8,)),
        molecule=MoleculeEncoder(columns=list(range(8, 20)), features="precomputed"),
        validation=np.ones(shape),
    )
    message = "has 0 rows" if shape[0] == 0 else "an array of 20 columns, as X is; got ndarray"
    with pytest.raises(ValueError, match=message):
        embedder.fit(matrix)


def test_skorchs_early_stopping_is_refused(X):
    from skorch.callbacks import EarlyStopping

    for given in (EarlyStopping(), EarlyStopping, ("stop", EarlyStopping())):
        with pytest.raises(ValueError, match="early_stopping="):
            quick(callbacks=[given]).fit(X)


@pytest.mark.parametrize("given", [3, None, "TensorBoard", int, ("name", 3)])
def test_what_is_no_callback_is_refused(X, given):
    with pytest.raises(TypeError, match=r"callbacks= takes a list of callbacks of skorch.*got "):
        quick(callbacks=[given]).fit(X)
