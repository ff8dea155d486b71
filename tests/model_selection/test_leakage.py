"""Every planted leak is found, and a clean split passes."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline

from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.model_selection import (
    leakage_report,
    molecule_groups,
    plate_groups,
    scaffold_groups,
)
from cloome_sk.molecules import molecule_key

EVERYTHING = ("molecule", "scaffold", "neighbour", "plate", "well", "position", "batch", "source")
CHIRAL = "C[C@H](N)C(=O)Nc1ccccc1"
MIRRORED = "C[C@@H](N)C(=O)Nc1ccccc1"


@pytest.fixture
def train():
    return pd.DataFrame(
        {
            "Metadata_smiles": [CHIRAL, "CCCCCCCC", "C1CCCCC1CC", "CS(C)=O"],
            "Metadata_Plate": ["P1", "P1", "P2", "P2"],
            "Metadata_Well": ["A01", "A02", "A01", "A02"],
            "Metadata_Batch": [1, 1, 2, 2],
            "Metadata_Source": ["lab 1"] * 4,
            "Metadata_control_type": [None, None, None, "negcon"],
        }
    )


@pytest.fixture
def test_set():
    return pd.DataFrame(
        {
            "Metadata_smiles": ["c1ccc2[nH]ccc2c1", "OCC(O)CO", "CS(C)=O"],
            "Metadata_Plate": ["P3", "P3", "P4"],
            "Metadata_Well": ["B01", "B02", "B01"],
            "Metadata_Batch": [3, 3, 4],
            "Metadata_Source": ["lab 2"] * 3,
            "Metadata_control_type": [None, None, "negcon"],
        }
    )


def planted(test_set, **values):
    """The clean test set with some cells of its first row replaced."""
    leaky = test_set.copy()
    for name, value in values.items():
        leaky.loc[0, f"Metadata_{name}"] = value
    return leaky


def test_a_clean_split_passes_whatever_is_claimed(train, test_set):
    report = leakage_report(train, test_set, claim=EVERYTHING)
    assert report.ok
    assert report.table["checked"].all()
    assert (report.table["n_shared"] == 0).all()
    assert (report.table[["n_test_rows", "n_test_molecules"]] == 0).all(axis=None)
    assert report.table["of_test_molecules"].tolist() == [2] * len(report.table)
    assert "holds" in str(report)
    assert "!!" not in str(report)


# what is planted -> the claims that it breaks, and the relation by which a molecule is shared
LEAKS = {
    "same structure": ({"smiles": CHIRAL}, {"molecule", "scaffold", "neighbour"}, "same_structure"),
    "other spelling": (
        {"smiles": "CCC1CCCCC1"},
        {"molecule", "scaffold", "neighbour"},
        "same_structure",
    ),
    "salt": ({"smiles": f"{CHIRAL}.Cl"}, {"molecule", "scaffold", "neighbour"}, "salt"),
    "charge": (
        {"smiles": CHIRAL.replace("(N)", "([NH3+])")},
        {"molecule", "scaffold", "neighbour"},
        "salt",
    ),
    "stereoisomer": ({"smiles": MIRRORED}, {"molecule", "scaffold", "neighbour"}, "stereoisomer"),
    "no stereo": (
        {"smiles": CHIRAL.replace("[C@H]", "C")},
        {"molecule", "scaffold", "neighbour"},
        "stereoisomer",
    ),
    "salt of a stereoisomer": (
        {"smiles": f"{MIRRORED}.Cl"},
        {"molecule", "scaffold", "neighbour"},
        "stereoisomer",
    ),
    "acyclic molecule": (
        {"smiles": "CCCCCCCC"},
        {"molecule", "scaffold", "neighbour"},
        "same_structure",
    ),
    "scaffold": ({"smiles": "OC1CCCCC1C(F)(F)F"}, {"scaffold"}, None),
    "neighbour": ({"smiles": "CCCCCCCCC"}, {"neighbour"}, None),
    "plate": ({"Plate": "P1"}, {"plate"}, None),
    "well": ({"Plate": "P1", "Well": "A01"}, {"plate", "well", "position"}, None),
    "well in another spelling": (
        {"Plate": "P2", "Well": "a1"},
        {"plate", "well", "position"},
        None,
    ),
    "position": ({"Well": "A01"}, {"position"}, None),
    "batch": ({"Batch": 2}, {"batch"}, None),
    "source": ({"Source": "lab 1"}, {"source"}, None),
}


@pytest.mark.parametrize(("values", "broken", "relation"), LEAKS.values(), ids=LEAKS)
def test_a_planted_leak_is_found(train, test_set, values, broken, relation):
    leaky = planted(test_set, **values)
    found = leakage_report(train, leaky).table
    kinds = broken | ({relation} if relation else set())
    assert set(found.index[found["n_shared"] > 0]) == kinds
    assert (found.loc[list(kinds), ["n_shared", "n_test_rows", "n_test_molecules"]] == 1).all(
        axis=None
    )
    assert found.loc[list(kinds), "examples"].map(len).tolist() == [1] * len(kinds)
    for claim in EVERYTHING:
        report = leakage_report(train, leaky, claim=claim)
        assert report.ok == (claim not in broken)
        assert report.claim == (claim,)
        assert report.table.index[report.table["claimed"]].tolist() == [claim]
        assert ("FAILS" in str(report)) == ("!!" in str(report)) == (not report.ok)


def test_shares_are_of_the_rows_and_molecules_looked_at(train, test_set):
    leaky = pd.concat([planted(test_set, smiles=f"{CHIRAL}.Cl", Plate="P1"), test_set])
    table = leakage_report(train, leaky).table
    molecule, plate = table.loc["molecule"], table.loc["plate"]
    # controls are rows of a plate, but no molecules
    assert molecule[["n_test_rows", "of_test_rows"]].tolist() == [1, 4]
    assert molecule["share_of_test_rows"] == 0.25
    assert molecule["share_of_test_molecules"] == pytest.approx(1 / 3)
    assert plate[["n_test_rows", "of_test_rows"]].tolist() == [1, 6]
    assert plate["share_of_test_rows"] == pytest.approx(1 / 6)


def test_sentences_say_what_was_found(train, test_set):
    leaky = planted(test_set, smiles=f"{CHIRAL}.Cl", Plate="P1", Well="A01")
    report = leakage_report(train, leaky)
    text = str(report)
    assert len(report.sentences) >= len(report.table)
    assert (
        "!! 1 of 2 test molecules (1 of 2 test rows) are in the training set: 1 row as another "
        "salt, charge or tautomer only." in text
    )
    assert f"{CHIRAL}.Cl (test row 0) and {CHIRAL} (training row 0)" in text
    assert "1 plate is in both sets, with 1 of 3 test rows, such as P1." in text
    assert "such as P1 / A01." in text
    assert "No batch is in both sets." in text


def test_controls_are_no_molecules_and_the_report_says_so(train, test_set):
    report = leakage_report(train, test_set)
    assert report.ok
    remarks = [sentence for sentence in report.sentences if "Left out" in sentence]
    assert len(remarks) == 2
    assert "Metadata_control_type is 'negcon'" in remarks[0]
    # the same tables, when nothing is taken for a control
    report = leakage_report(train, test_set, controls=None)
    assert not report.ok
    assert report.table.loc["molecule", "examples"][0].startswith("CS(C)=O (test row 2;")
    assert "No row was taken for a negative control." in report.sentences


def test_controls_by_rule_may_be_in_one_table_only(train, test_set):
    rule = ("Metadata_control_type", ["negcon"])
    assert leakage_report(train, test_set.iloc[:2], controls=rule).ok
    assert leakage_report(train.iloc[:3], test_set, controls=rule).ok
    with pytest.raises(ValueError, match="no row of column 'Metadata_control_type'"):
        leakage_report(train, test_set, controls=("control_type", "DMSO"))


def test_control_wells_in_both_sets_are_named_as_such(train, test_set):
    both = pd.concat([test_set, train.iloc[[3]]])
    report = leakage_report(train, both, claim="well")
    assert not report.ok
    assert "(1 negative control among them)" in " ".join(report.sentences)


def test_missing_columns_are_reported_as_not_checked(train, test_set):
    bare = test_set[["Metadata_smiles"]]
    report = leakage_report(train, bare)
    assert report.ok
    unchecked = report.table.index[~report.table["checked"]].tolist()
    assert unchecked == ["plate", "well", "position", "batch", "source"]
    assert (
        report.table.loc[unchecked]
        .drop(columns=["claimed", "checked", "examples"])
        .isna()
        .all(axis=None)
    )
    assert "plate: not checked: no plate column in the test table." in report.sentences
    assert "source: not checked: no source column in the test table." in report.sentences


def test_structures_are_not_needed_for_a_claim_of_plates(train, test_set):
    report = leakage_report(train, test_set.drop(columns="Metadata_smiles"), claim="plate")
    assert report.ok
    assert not report.table.loc[["molecule", "scaffold", "neighbour"], "checked"].any()
    assert report.nearest is None
    assert report.tanimoto_quantiles is None


def test_rows_that_cannot_be_checked_are_counted(train, test_set):
    gaps = planted(test_set, smiles=None, Plate=None)
    report = leakage_report(train, gaps, claim="batch")
    text = str(report)
    assert "Not checked for molecules: 1 test rows without a readable structure." in text
    assert (
        "No plate is in both sets. Not checked: 1 test and 0 training rows without a plate." in text
    )
    assert report.table.loc["molecule", "of_test_rows"] == 1
    assert report.table.loc["plate", "of_test_rows"] == 2


def test_numbers_and_text_are_compared_as_text(train, test_set):
    train["Metadata_Plate"], test_set["Metadata_Plate"] = [7, 7, 8, 8], ["7", "9", "9"]
    assert leakage_report(train, test_set).table.loc["plate", "n_shared"] == 1
    train["Metadata_Plate"] = [7.0, None, 8.0, 8.0]
    assert leakage_report(train, test_set).table.loc["plate", "n_shared"] == 1


def test_columns_may_be_named_and_joined(train, test_set):
    leaky = planted(test_set, Plate="P1")
    other = [X.rename(columns={"Metadata_Plate": "barcode"}) for X in (train, leaky)]
    assert not leakage_report(*other).table.loc["plate", "checked"]
    named = leakage_report(*other, claim="plate", columns={"plate": "barcode"})
    assert not named.ok
    joined = leakage_report(*other, claim="plate", columns={"plate": ("Batch", "barcode")})
    assert joined.ok


def test_wells_that_are_no_positions(train, test_set):
    train["Metadata_Well"], test_set["Metadata_Well"] = list("wxyz"), list("uvw")
    report = leakage_report(train, test_set, claim="well")
    assert report.ok
    assert "such as 'w', are not positions like A01" in " ".join(report.sentences)
    with pytest.raises(ValueError, match="claim 'position' cannot be checked"):
        leakage_report(train, test_set, claim="position")


def test_same_position_on_the_same_plate_is_no_layout_effect(train, test_set):
    only = planted(test_set, Plate="P1", Well="A02").iloc[[0]]
    one_plate = train.iloc[:2]
    table = leakage_report(one_plate, only).table
    assert table.loc["well", "n_shared"] == 1
    assert table.loc["position", "n_shared"] == 0


def test_nearest_training_molecule_equals_rdkit(screen):
    groups = molecule_groups(screen)
    train, test = next(GroupKFold(4).split(screen, groups=groups))
    report = leakage_report(screen.iloc[train], screen.iloc[test], controls=None)
    make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint
    seen = [make(Chem.MolFromSmiles(s)) for s in screen["Metadata_smiles"].iloc[train].unique()]
    for _, row in report.nearest.iterrows():
        if any(sign in row["test_smiles"] + row["train_smiles"] for sign in ".+-"):
            continue
        mine = make(Chem.MolFromSmiles(row["test_smiles"]))
        assert row["tanimoto"] == pytest.approx(max(DataStructs.BulkTanimotoSimilarity(mine, seen)))
    quantiles = report.tanimoto_quantiles
    assert quantiles.index.tolist() == [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]
    np.testing.assert_allclose(quantiles, np.quantile(report.nearest["tanimoto"], quantiles.index))
    assert len(report.nearest) == len(set(groups[test]))


def test_near_says_what_a_neighbour_is(train, test_set):
    leaky = planted(test_set, smiles="CC1CCCCC1CC")
    nearest = leakage_report(train, leaky).nearest["tanimoto"].max()
    assert 0.2 < nearest < 0.99
    assert leakage_report(train, leaky, claim="neighbour", near=nearest + 0.01).ok
    assert not leakage_report(train, leaky, claim="neighbour", near=nearest).ok


@pytest.mark.parametrize(
    ("groups", "claim"),
    [
        (molecule_groups, "molecule"),
        (scaffold_groups, ("molecule", "scaffold")),
        (plate_groups, "plate"),
    ],
)
def test_splits_by_groups_keep_their_claim(screen, groups, claim):
    treated = screen[screen["Metadata_smiles"] != "CS(C)=O"]
    for train, test in GroupKFold(3).split(treated, groups=groups(treated)):
        assert leakage_report(treated.iloc[train], treated.iloc[test], claim=claim).ok
    halves = treated.iloc[::2], treated.iloc[1::2]
    assert not leakage_report(*halves, claim=claim).ok


def test_lists_of_structures(train, test_set):
    structures = train["Metadata_smiles"].tolist(), [Chem.MolFromSmiles(MIRRORED), "OCC(O)CO"]
    report = leakage_report(*structures)
    assert not report.ok
    assert report.table.loc["stereoisomer", "n_test_rows"] == 1


def test_rows_are_named_by_position_and_index(train, test_set):
    leaky = planted(test_set, smiles=CHIRAL).set_axis(["x", "y", "z"])
    example = leakage_report(train, leaky).table.loc["molecule", "examples"][0]
    assert "(test row 0 (index 'x'); training row 0)" in example


def test_number_of_examples(train):
    table = leakage_report(train, train, controls=None, n_examples=2).table
    assert table["examples"].map(len).max() == 2
    assert leakage_report(train, train, n_examples=0).table["examples"].map(len).max() == 0


def test_tables_stay_as_they_were(train, test_set):
    copies = train.copy(), test_set.copy()
    leakage_report(train, test_set)
    pd.testing.assert_frame_equal(train, copies[0])
    pd.testing.assert_frame_equal(test_set, copies[1])


def test_report_as_page_and_as_pickle(train, test_set):
    leaky = planted(test_set, Plate="<b>P1", smiles=CHIRAL)
    report = leakage_report(pd.concat([train, leaky]), leaky)
    page = report._repr_html_()
    assert "FAILS" in page
    assert "&lt;b&gt;P1" in page
    assert "<b>P1" not in page
    assert not re.search("NaN|None|&lt;NA", page)
    again = pickle.loads(pickle.dumps(report))
    assert str(again) == str(report)
    pd.testing.assert_frame_equal(again.table, report.table)


# ------------------------------------------------------------------------------------- embedder


@pytest.fixture(scope="module")
def embedder(_screen):
    treated = _screen[_screen["Metadata_smiles"] != "CS(C)=O"]
    half = treated[treated["Metadata_smiles"].isin(treated["Metadata_smiles"].unique()[::2])]
    return CloomeEmbedder(n_components=4, max_epochs=1, random_state=0).fit(half)


def unseen_and_seen(screen, embedder):
    """A training set, a test set new to the embedder, and one that it saw."""
    treated = screen[screen["Metadata_smiles"] != "CS(C)=O"]
    seen = np.isin(molecule_key(treated["Metadata_smiles"]), embedder.molecules_seen_)
    new = treated[~seen]
    smiles = new["Metadata_smiles"].unique()
    train, test = (new[new["Metadata_smiles"].isin(part)] for part in (smiles[::2], smiles[1::2]))
    return train, test, treated[seen]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda fitted: fitted,
        FrozenEstimator,
        lambda fitted: make_pipeline(FrozenEstimator(fitted), LogisticRegression()),
        lambda fitted: FrozenEstimator(make_pipeline(fitted, LogisticRegression())),
    ],
    ids=["bare", "frozen", "pipeline", "frozen pipeline"],
)
def test_molecules_that_the_embedder_saw_break_the_claim(screen, embedder, wrap):
    train, test, seen = unseen_and_seen(screen, embedder)
    fitted = wrap(embedder)
    clean = leakage_report(train, test, embedder=fitted)
    assert clean.ok
    assert clean.table.loc["embedder", "n_shared"] == 0
    assert leakage_report(train, seen).ok
    leaky = leakage_report(train, seen, embedder=fitted)
    assert not leaky.ok
    row = leaky.table.loc["embedder"]
    assert row["claimed"]
    assert row["n_shared"] == len(set(molecule_groups(seen)))
    assert row["n_test_rows"] == len(seen)
    assert leakage_report(train, seen, claim="plate", embedder=fitted).table.loc[
        "embedder", "n_shared"
    ]
    assert not leakage_report(train, seen, claim="embedder", embedder=fitted).ok
    assert "The embedder was trained on" in str(leaky)


def test_an_embedder_of_precomputed_features_knows_no_structures(train, test_set):
    X = np.random.default_rng(0).normal(size=(20, 6))
    embedder = CloomeEmbedder(
        phenotype=ProfileEncoder(columns=slice(0, 3)),
        molecule=MoleculeEncoder(columns=slice(3, 6), features="precomputed"),
        n_components=2,
        max_epochs=1,
        random_state=0,
    ).fit(X)
    with pytest.raises(ValueError, match="precomputed features"):
        leakage_report(train, test_set, embedder=embedder)
    report = leakage_report(train, test_set, claim="plate", embedder=embedder)
    assert not report.table.loc["embedder", "checked"]
