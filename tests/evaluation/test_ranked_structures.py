"""Ranked structures against a loop over pairs with plain RDKit."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from cloome_sk import CrossModalRetriever
from cloome_sk.evaluation.ranked_structures import RANKED, rank_structures
from cloome_sk.molecules import molecule_key

SMILES = ["Cc1ccccc1", "Oc1ccccc1", "CCO", "CCCO", "c1ccc2ccccc2c1", "CC(=O)Oc1ccccc1C(=O)O"]
TARGETS = ["A|B", "B", None, "C", "C|D", "A"]


class Planted(BaseEstimator):
    """Embeds a row by its features, and a molecule by a vector drawn for its key."""

    def __init__(self, lost: tuple[str, ...] = ()) -> None:
        self.lost = lost

    def fit(self, X: Any, y: Any = None) -> Planted:
        self.fitted_ = True
        return self

    def embed_phenotypes(self, X: pd.DataFrame) -> np.ndarray:
        return X.filter(like="Feature_").to_numpy(dtype=float)

    def embed_molecules(self, molecules: Any) -> np.ndarray:
        if isinstance(molecules, pd.DataFrame):
            molecules = molecules["smiles"]
        return np.array([self.vector(key) for key in molecule_key(list(molecules))])

    def vector(self, key: str) -> np.ndarray:
        if key in self.lost:
            return np.full(4, np.nan)
        return np.random.RandomState(crc32(key.encode())).randn(4)


@pytest.fixture
def model() -> Planted:
    return Planted().fit(None)


@pytest.fixture
def table() -> pd.DataFrame:
    values = np.random.RandomState(0).randn(len(SMILES), 4)
    features = {f"Feature_{n}": values[:, n] for n in range(4)}
    return pd.DataFrame({"smiles": SMILES, "Metadata_target": TARGETS, **features})


def _tanimoto(left: str, right: str) -> float:
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    bits = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in (left, right)]
    return DataStructs.TanimotoSimilarity(*bits)


def _scaffold(smiles: str) -> str:
    return MurckoScaffold.MurckoScaffoldSmiles(smiles)


def test_equals_a_loop_over_pairs(model: Planted, table: pd.DataFrame) -> None:
    found = rank_structures(model, table, table, k=6, shared={"target": "target"})
    assert list(found.columns) == [*RANKED, "query_target", "target", "shared_target"]
    rows = iter(found.itertuples())
    for query in range(len(table)):
        own = table.filter(like="Feature_").iloc[query].to_numpy()
        cosine = []
        for smiles in SMILES:
            other = model.vector(molecule_key([smiles])[0])
            cosine.append(own @ other / np.linalg.norm(own) / np.linalg.norm(other))
        for rank, place in enumerate(np.argsort(-np.array(cosine)), start=1):
            row = next(rows)
            truth, hit = SMILES[query], SMILES[place]
            assert (row.query, row.rank, row.candidate) == (query, rank, place)
            assert (row.query_smiles, row.smiles) == (truth, hit)
            assert row.similarity == pytest.approx(cosine[place])
            assert row.tanimoto == pytest.approx(_tanimoto(truth, hit))
            assert row.scaffold_changed == (_scaffold(truth) != _scaffold(hit))
            assert row.is_truth == (query == place)
            if TARGETS[query] is None or TARGETS[place] is None:
                assert pd.isna(row.shared_target)
            else:
                common = set(TARGETS[query].split("|")) & set(TARGETS[place].split("|"))
                assert row.shared_target == bool(common)
    assert next(rows, None) is None


def test_molecules_as_queries_have_the_terms_of_the_candidates(
    model: Planted, table: pd.DataFrame
) -> None:
    found = rank_structures(model, ["OCC", "Cc1ccccc1"], table, k=2, shared="target")
    first, second = (found[found["query"] == n] for n in (0, 1))
    assert first["is_truth"].tolist() == [True, False]
    assert first["shared_target"].isna().all()
    assert second["query_target"].tolist() == ["A|B", "A|B"]
    assert second["tanimoto"].iloc[0] == 1


def test_truth_is_left_out_as_a_salt_too(model: Planted, table: pd.DataFrame) -> None:
    salt = table.assign(smiles=[f"{text}.Cl" for text in SMILES])
    found = rank_structures(model, salt, table, k=5, exclude_truth=True)
    assert not found["is_truth"].any()
    assert (found.groupby("query").size() == 5).all()
    with pytest.raises(ValueError, match="5 candidate molecule"):
        rank_structures(model, salt, table, k=6, exclude_truth=True)


def test_candidates_count_once_and_controls_never(model: Planted, table: pd.DataFrame) -> None:
    dmso = table.iloc[[0]].assign(smiles=None)
    library = pd.concat([dmso, table, table.iloc[::-1].assign(Metadata_target="Z")])
    library["Metadata_control_type"] = ["negcon"] + [None] * 12
    model.controls = ("Metadata_control_type", "negcon")
    found = rank_structures(model, table.iloc[:1], library, k=6, shared="target")
    assert sorted(found["candidate"]) == [1, 2, 3, 4, 5, 6]
    assert all("Z" in terms for terms in found["target"])


def test_pool_is_the_mean_of_unit_vectors(model: Planted, table: pd.DataFrame) -> None:
    twice = pd.concat([table.iloc[[0, 1]], table.iloc[[0]]], ignore_index=True)
    twice.loc[2, "Feature_0"] += 5
    twice.loc[2, "Metadata_target"] = "E"
    found = rank_structures(model, twice, table, k=6, pool=True, shared="target")
    assert found["query"].unique().tolist() == [0, 1]
    values = twice.filter(like="Feature_").to_numpy()
    units = values / np.linalg.norm(values, axis=1, keepdims=True)
    mean = units[0] + units[2]
    row = found.iloc[0]
    other = model.vector(row["molecule_key"])
    cosine = mean @ other / np.linalg.norm(mean) / np.linalg.norm(other)
    assert row["similarity"] == pytest.approx(cosine)
    assert row["query_target"] == "A|B|E"


def test_phenotypes_without_a_known_structure(model: Planted, table: pd.DataFrame) -> None:
    unknown = table.drop(columns="smiles")
    found = rank_structures(model, unknown, SMILES, k=2)
    assert found[["query_smiles", "tanimoto", "scaffold_changed", "is_truth"]].isna().all(axis=None)
    partly = rank_structures(model, table.assign(smiles=["CCO", *[None] * 5]), SMILES, k=2)
    assert partly.loc[partly["query"] == 0, "tanimoto"].notna().all()
    assert partly.loc[partly["query"] > 0, "tanimoto"].isna().all()
    with pytest.raises(ValueError, match="exclude_truth"):
        rank_structures(model, unknown, SMILES, k=2, exclude_truth=True)
    with pytest.raises(ValueError, match="row 1 has no SMILES"):
        rank_structures(model, table.assign(smiles=["CCO", *[None] * 5]), SMILES, pool=True, k=2)


def test_without_an_embedding_there_is_a_warning(table: pd.DataFrame) -> None:
    model = Planted(lost=(molecule_key(["CCO"])[0],)).fit(None)
    table.loc[1, [f"Feature_{n}" for n in range(4)]] = np.nan
    with pytest.warns(UserWarning, match="rank_structures: ") as said:
        found = rank_structures(model, table, table, k=5)
    texts = " ".join(str(warning.message) for warning in said)
    assert "row 1 of the queries" in texts
    assert "1 candidate molecule(s) have no embedding" in texts
    assert "CCO" not in set(found["smiles"])
    assert 1 not in set(found["query"])


def test_a_retriever_lends_its_embedder(model: Planted, table: pd.DataFrame) -> None:
    plain = rank_structures(model, table, SMILES, k=3)
    retriever = CrossModalRetriever(
        FrozenEstimator(model), query="phenotype", database="molecule"
    ).fit(SMILES)
    pd.testing.assert_frame_equal(rank_structures(retriever, table, SMILES, k=3), plain)
    pd.testing.assert_frame_equal(
        rank_structures(FrozenEstimator(model), table, SMILES, k=3), plain
    )


def test_bad_input(model: Planted, table: pd.DataFrame) -> None:
    with pytest.raises(NotFittedError):
        rank_structures(Planted(), table, SMILES)
    with pytest.raises(TypeError, match="has no method 'embed_"):
        rank_structures(object(), table, SMILES)
    with pytest.raises(TypeError, match="plain embeddings"):
        rank_structures(CrossModalRetriever().fit(np.eye(3)), np.eye(3), SMILES)
    with pytest.raises(ValueError, match="query must be"):
        rank_structures(model, table, SMILES, query="image")
    with pytest.raises(ValueError, match=r"candidates.*row 1 cannot be parsed: 'xyz'"):
        rank_structures(model, table, ["CCO", "xyz"])
    with pytest.raises(ValueError, match=r"queries.*row 2"):
        rank_structures(model, table.assign(smiles=["CCO", "C", "xyz", *"CCC"]), SMILES, k=2)
    with pytest.raises(ValueError, match="k=7 hits are asked for of 6"):
        rank_structures(model, table, SMILES, k=7)
    with pytest.raises(ValueError, match="k=0"):
        rank_structures(model, table, SMILES, k=0)
    with pytest.raises(TypeError, match="whole number"):
        rank_structures(model, table, SMILES, k=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="candidates are empty"):
        rank_structures(model, table, [])
    with pytest.raises(TypeError, match="candidates, which come as list"):
        rank_structures(model, table, SMILES, k=2, shared="target")
    with pytest.raises(ValueError, match="no column 'moa'"):
        rank_structures(model, table, table, k=2, shared="moa")
    with pytest.raises(ValueError, match="which is a column of the result"):
        rank_structures(model, table, table, k=2, shared={"rank": "target"})
    with pytest.raises(TypeError, match="single str"):
        rank_structures(model, "CCO", SMILES, k=2)
