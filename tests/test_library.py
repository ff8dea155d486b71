"""The designer of libraries against loops written by hand, and RDKit's picker."""

from __future__ import annotations

import pickle
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state

from cloome_sk.datasets import load_known_drugs
from cloome_sk.library import LibraryDesigner
from cloome_sk.molecules import MoleculeFilters, molecule_key, parent_smiles

TIE = 1e-9
AZO = "O=C(O)c1ccc(N=Nc2ccc(O)cc2)cc1"


class Predictor(BaseEstimator):
    """Phenotypes that are a fixed function of the structure; none for what holds silicon."""

    def __init__(self, n_components: int = 6) -> None:
        self.n_components = n_components

    def fit(self, X=None, y=None):
        self.fitted_ = True
        return self

    def embed_molecules(self, smiles):
        bits = np.array([fingerprint(text) for text in smiles], dtype=float).reshape(-1, 2048)
        axes = np.random.default_rng(0).normal(size=(2048, self.n_components))
        out = np.tanh(bits @ axes / 4) + 0.3
        out[["[Si]" in text for text in smiles]] = np.nan
        return out.astype(np.float32)


class Rings:
    """Series by ring: a stand-in for what finds them in data."""

    names = ("benzene", "pyridine", "piperazine")
    queries = ("c1ccccc1", "c1ccncc1", "C1CNCCN1")

    def transform(self, smiles):
        molecules = [Chem.MolFromSmiles(text) for text in smiles]
        patterns = [Chem.MolFromSmarts(text) for text in self.queries]
        return csr_matrix([[m.HasSubstructMatch(p) for p in patterns] for m in molecules])

    def get_feature_names_out(self):
        return np.array(self.names, dtype=object)


GENERATOR = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def fingerprint(text):
    return GENERATOR.GetFingerprintAsNumPy(Chem.MolFromSmiles(text))


@pytest.fixture(scope="module")
def drugs():
    table = load_known_drugs()
    keys = molecule_key(table["smiles"])
    return table[~pd.Series(keys).duplicated().to_numpy()].reset_index(drop=True)


@pytest.fixture(scope="module")
def embedder():
    return Predictor().fit()


@pytest.fixture(scope="module")
def deck(drugs):
    return drugs["smiles"][:15].tolist()


@pytest.fixture(scope="module")
def candidates(drugs):
    return drugs["smiles"][15:].tolist()


def distances_by_hand(smiles, embedder):
    """All distances in both spaces, a pair at a time."""
    vectors = embedder.embed_molecules(smiles).astype(float)
    prints = [GENERATOR.GetFingerprint(Chem.MolFromSmiles(t)) for t in parent_smiles(smiles)]
    n = len(smiles)
    phenotype, structure = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            a, b = vectors[i], vectors[j]
            phenotype[i, j] = 1 - a @ b / np.sqrt((a @ a) * (b @ b))
            structure[i, j] = 1 - DataStructs.TanimotoSimilarity(prints[i], prints[j])
    return phenotype, structure


def medians_by_hand(smiles, *spaces):
    """Median over pairs that follow each other in the order of keys."""
    order = np.argsort(molecule_key(smiles).astype(str), kind="stable")
    pairs = list(pairwise(order))
    return [np.median([space[i, j] for i, j in pairs]) for space in spaces]


def maxmin_by_hand(smiles, n_candidates, embedder, share, budget, extra, weight):
    """Look at every candidate after every pick."""
    phenotype, structure = distances_by_hand(smiles, embedder)
    usual_p, usual_s = medians_by_hand(smiles, phenotype, structure)
    covered = list(range(n_candidates, len(smiles)))
    keys = molecule_key(smiles)
    picks, scores = [], []
    for _ in range(budget):
        best = {}
        for row in set(range(n_candidates)) - set(picks):
            near_p = min([phenotype[row, other] for other in covered], default=2.0)
            near_s = min([structure[row, other] for other in covered], default=1.0)
            new = share * near_p / usual_p + (1 - share) * near_s / usual_s
            best[row] = weight * new + extra[row]
        top = max(best.values())
        row = min((row for row, score in best.items() if score >= top - TIE), key=keys.__getitem__)
        picks.append(row)
        scores.append(best[row])
        covered.append(row)
    return picks, scores


def coverage_by_hand(smiles, n_candidates, embedder, share, budget):
    """Facility location, every candidate for every target after every pick."""
    spaces = distances_by_hand(smiles, embedder)
    keys = molecule_key(smiles)
    alike = [
        np.maximum(0, 1 - space / usual)
        for space, usual in zip(spaces, medians_by_hand(smiles, *spaces), strict=True)
    ]
    picks, owned = [], list(range(n_candidates, len(smiles)))

    def served(space, chosen, target):
        return max((space[other, target] for other in chosen), default=0.0)

    def gain(space, chosen, row):
        targets = range(n_candidates)
        with_it, without = [*chosen, row], chosen
        return np.mean([served(space, with_it, t) - served(space, without, t) for t in targets])

    first = [max(gain(space, owned, row) for row in range(n_candidates)) for space in alike]
    for _ in range(budget):
        scores = {
            row: sum(
                weight * gain(space, owned + picks, row) / most
                for weight, space, most in zip((share, 1 - share), alike, first, strict=True)
            )
            for row in set(range(n_candidates)) - set(picks)
        }
        top = max(scores.values())
        tied = [row for row, score in scores.items() if score >= top - TIE]
        picks.append(min(tied, key=keys.__getitem__))
    return picks


# ------------------------------------------------------------------------------- what is picked


@pytest.mark.parametrize("share", [0, 0.3, 0.5, 1])
@pytest.mark.parametrize("n_owned", [0, 15])
def test_maxmin_equals_a_naive_loop(deck, candidates, embedder, share, n_owned):
    designer = LibraryDesigner(embedder, phenotype_share=share).fit(deck[:n_owned])
    found = designer.select(candidates, 40)
    smiles = candidates + deck[:n_owned]
    nothing = np.zeros(len(candidates))
    picks, scores = maxmin_by_hand(smiles, len(candidates), embedder, share, 40, nothing, 1.0)
    assert found["index"].tolist() == picks
    np.testing.assert_allclose(found["score"], scores, atol=1e-6)


@pytest.mark.parametrize("trade_off", [0, 0.25, 1])
def test_quality_is_traded_for_novelty(deck, candidates, embedder, trade_off):
    quality = np.round(np.random.default_rng(0).normal(size=len(candidates)), 1)
    assert len(set(quality)) < len(quality)
    table = pd.DataFrame({"smiles": candidates, "potency": quality})
    designer = LibraryDesigner(embedder, quality="potency", trade_off=trade_off).fit(deck)
    found = designer.select(table, 30)
    below = np.array([np.mean([(o < q) + 0.5 * (o == q) for o in quality]) for q in quality])
    n = len(candidates)
    ranks = (below * n - 0.5) / (n - 1)
    picks, scores = maxmin_by_hand(
        candidates + deck, n, embedder, 0.5, 30, trade_off * ranks, 1 - trade_off
    )
    assert found["index"].tolist() == picks
    np.testing.assert_allclose(found["score"], scores, atol=1e-6)
    np.testing.assert_array_equal(found["quality"], quality[picks])
    if trade_off == 1:
        assert sorted(found["quality"])[::-1] == sorted(quality)[::-1][:30]


def test_quality_may_be_computed_from_structures(deck, candidates, embedder):
    def size(smiles):
        return [Chem.MolFromSmiles(text).GetNumAtoms() for text in smiles]

    table = pd.DataFrame({"smiles": candidates, "size": size(candidates)})
    by_name = LibraryDesigner(embedder, quality="size").fit(deck).select(table, 20)
    by_call = LibraryDesigner(embedder, quality=size).fit(deck).select(candidates, 20)
    assert by_name["index"].tolist() == by_call["index"].tolist()


@pytest.mark.parametrize(("share", "n_owned"), [(0, 15), (0.5, 15), (1, 15), (0.5, 0)])
def test_coverage_equals_a_naive_loop(deck, candidates, embedder, share, n_owned):
    few, owned = candidates[:45], deck[:n_owned]
    designer = LibraryDesigner(embedder, phenotype_share=share, objective="coverage").fit(owned)
    picks = coverage_by_hand(few + owned, len(few), embedder, share, 12)
    assert designer.select(few, 12)["index"].tolist() == picks


def test_few_targets_stand_for_all(deck, candidates, embedder):
    found = LibraryDesigner(embedder, objective="coverage", n_targets=5).fit(deck)
    every = LibraryDesigner(embedder, objective="coverage").fit(deck)
    rows = found.select(candidates, 20)["index"].tolist()
    assert len(set(rows)) == 20
    assert rows != every.select(candidates, 20)["index"].tolist()


@pytest.mark.parametrize("n_owned", [1, 15])
def test_fingerprints_alone_pick_as_far_as_the_picker_of_rdkit(drugs, n_owned):
    smiles = drugs["smiles"].tolist()
    candidates, owned = smiles[n_owned:], smiles[:n_owned]
    found = LibraryDesigner(phenotype_share=0).fit(owned).select(candidates, 60)
    order = np.argsort(molecule_key(candidates).astype(str), kind="stable")
    pool = [*parent_smiles([candidates[row] for row in order]), *parent_smiles(owned)]
    prints = [GENERATOR.GetFingerprint(Chem.MolFromSmiles(text)) for text in pool]
    first = list(range(len(order), len(pool)))
    picks = list(MaxMinPicker().LazyBitVectorPick(prints, len(pool), len(first) + 60, first))
    # RDKit takes the first of equal ones in the order of the pool, which is that of the keys.
    assert found["index"].tolist() == order[picks[len(first) :]].tolist()


def test_the_first_picks_of_a_budget_are_those_of_a_smaller_one(deck, candidates, embedder):
    for objective in ("maxmin", "coverage"):
        designer = LibraryDesigner(
            embedder, objective=objective, series=Rings(), max_per_series=9
        ).fit(deck)
        many, few = designer.select(candidates, 20), designer.select(candidates, 11)
        pd.testing.assert_frame_equal(many.head(11), few)


@pytest.mark.parametrize("objective", ["maxmin", "coverage"])
@pytest.mark.parametrize("seed", [None, 3])
def test_the_order_of_rows_does_not_matter(deck, candidates, embedder, objective, seed):
    designer = LibraryDesigner(embedder, objective=objective, random_state=seed)
    first = designer.fit(deck).select(candidates, 25)["smiles"].tolist()
    for shuffle in (1, 2):
        order = np.random.default_rng(shuffle).permutation(len(candidates))
        designer.fit(deck[::-1])
        again = designer.select([candidates[row] for row in order], 25)["smiles"].tolist()
        assert again == first


def test_ties_go_by_key_or_by_seed(drugs):
    smiles = drugs["smiles"][:40].tolist()
    keys = molecule_key(smiles)
    # equal phenotypes: after the first pick every candidate adds nothing, and all are equal
    same = np.ones((40, 3))
    designer = LibraryDesigner(phenotype_share=1).fit()
    found = designer.select(smiles, 40, phenotypes=same)
    assert keys[found["index"]].tolist() == sorted(keys)
    seeded = LibraryDesigner(phenotype_share=1, random_state=5).fit()
    found = seeded.select(smiles, 40, phenotypes=same)
    expected = np.array(sorted(keys))[check_random_state(5).permutation(40)]
    assert keys[found["index"]].tolist() == expected.tolist()
    assert seeded.select(smiles, 40, phenotypes=same)["index"].tolist() == found["index"].tolist()


def test_global_random_state_is_untouched(deck, candidates):
    np.random.seed(7)  # noqa: NPY002
    LibraryDesigner(phenotype_share=0, random_state=1).fit(deck).select(candidates, 5)
    assert np.random.randint(1000) == np.random.RandomState(7).randint(1000)  # noqa: NPY002


# ------------------------------------------------------------------------- what is said of picks


def test_what_is_nearest_equals_a_naive_loop(drugs, deck, candidates, embedder):
    table = pd.DataFrame({"Metadata_Name": drugs["name"][15:], "smiles": candidates})
    owned = pd.DataFrame({"name": drugs["name"][:15], "smiles": deck})
    found = LibraryDesigner(embedder).fit(owned).select(table, 30)
    assert found["name"].tolist() == drugs["name"][15:].to_numpy()[found["index"]].tolist()
    smiles = candidates + deck
    names = [*drugs["name"][15:], *drugs["name"][:15]]
    spaces = dict(zip(("phenotype", "structure"), distances_by_hand(smiles, embedder), strict=True))
    picks = found["index"].tolist()
    kinds = set()
    for rank, row in enumerate(picks):
        before = [*range(len(candidates), len(smiles)), *picks[:rank]]
        for space, apart in spaces.items():
            nearest = min(before, key=lambda other: apart[row, other])
            assert found[f"{space}_distance"][rank] == pytest.approx(apart[row, nearest], abs=1e-6)
            near = [names[o] for o in before if apart[row, o] <= apart[row, nearest] + 1e-6]
            assert found[f"{space}_nearest"][rank] in near
            kind = (
                "picked" if names.index(found[f"{space}_nearest"][rank]) < len(table) else "owned"
            )
            assert found[f"{space}_nearest_is"][rank] == kind
            kinds.add(kind)
    assert kinds == {"owned", "picked"}


def test_without_a_deck_the_first_pick_has_nothing_near(candidates, embedder):
    found = LibraryDesigner(embedder).fit().select(candidates, 3)
    assert found["rank"].tolist() == [1, 2, 3]
    assert np.isnan(found["structure_distance"][0])
    assert found["structure_nearest"].isna().tolist() == [True, False, False]
    assert found["structure_nearest"][1] == found["smiles"][0]
    assert found["phenotype_nearest_is"].tolist()[1:] == ["picked", "picked"]


def test_other_columns_travel_along(deck, candidates):
    table = pd.DataFrame(
        {"smiles": candidates, "price": np.arange(len(candidates)), "vendor": "V"},
        index=[f"r{row}" for row in range(len(candidates))],
    )
    found = LibraryDesigner(phenotype_share=0).fit(deck).select(table, 4)
    assert found["price"].tolist() == found["index"].tolist()
    assert found["vendor"].tolist() == ["V"] * 4
    assert list(found).count("smiles") == 1
    with pytest.raises(ValueError, match=r"column\(s\) named rank, score, like columns of"):
        LibraryDesigner(phenotype_share=0).fit(deck).select(table.assign(rank=1, score=2), 4)


def test_series_are_named_and_new_ones_marked(deck, candidates):
    rings = Rings()
    found = LibraryDesigner(phenotype_share=0, series=rings).fit(deck).select(candidates, 30)
    seen = set(np.flatnonzero(rings.transform(deck).toarray().any(axis=0)))
    for row in range(30):
        own = np.flatnonzero(rings.transform([found["smiles"][row]]).toarray()[0])
        assert found["series"][row] == "; ".join(rings.names[one] for one in own)
        assert found["new_series"][row] == bool(set(own) - seen)
        seen |= set(own)
    fresh = LibraryDesigner(phenotype_share=0, series=rings).fit().select(candidates, 30)
    assert fresh["new_series"].any()


def test_no_more_of_a_series_than_allowed(deck, candidates):
    rings = Rings()
    designer = LibraryDesigner(phenotype_share=0, series=rings, max_per_series=4).fit(deck)
    found = designer.select(candidates, 15)
    counts = rings.transform(found["smiles"]).toarray().astype(int).sum(axis=0)
    assert counts.max() == 4
    free = LibraryDesigner(phenotype_share=0).fit(deck).select(candidates, 30)
    assert rings.transform(free["smiles"]).toarray().astype(int).sum(axis=0).max() > 4
    full = designer.refused_
    assert set(full["reason"]) == {"series full"}
    assert full["detail"].str.fullmatch("series (benzene|pyridine|piperazine) is full").all()
    assert not set(full["index"]) & set(found["index"])
    with pytest.raises(ValueError, match=r"max_per_series=4 only \d+ can be picked: all others"):
        designer.select(candidates, len(candidates))
    assert len(designer.refused_)


def test_series_must_be_known(deck):
    class Finder(BaseEstimator):
        def fit(self, X):
            return self

        def transform(self, X):
            return np.zeros((len(X) - 1, 2))

    finder = Finder()
    with pytest.raises(NotFittedError, match="This Finder instance is not fitted yet"):
        LibraryDesigner(phenotype_share=0, series=finder).fit(deck)
    finder.series_ = []
    designer = LibraryDesigner(phenotype_share=0, series=finder).fit(deck)
    with pytest.raises(ValueError, match=r"Finder.transform gave 1 rows for 2 structures"):
        designer.select(["CCN", "CCCN"], 2)


# ---------------------------------------------------------------------------- who is refused


def test_every_candidate_is_picked_refused_or_left(deck):
    table = pd.DataFrame(
        [
            ("owned", "CC(C)NCC(O)COc1cccc2ccccc12.Cl", 1.0),
            ("excluded", "CC(=O)[O-].[Na+]", 1.0),
            ("azo", AZO, 1.0),
            ("cheap", "C[C@H](N)C(=O)O", 2.0),
            ("dear", "CC(N)C(=O)O", 1.0),
            ("silane", "C[Si](C)(C)c1ccccc1", 1.0),
            ("broken", "C1CC", 1.0),
            ("missing", None, 1.0),
            ("good", "CCCCN", 1.0),
        ],
        columns=["name", "smiles", "quality"],
    )
    designer = LibraryDesigner(
        Predictor().fit(), quality="quality", filters=MoleculeFilters(), on_error="refuse"
    ).fit(pd.DataFrame({"name": ["propranolol"], "smiles": ["CC(C)NC[C@H](O)COc1cccc2ccccc12"]}))
    with pytest.raises(ValueError, match=r"3 picks were asked for, but only 2 of 9 candidates"):
        designer.select(table, 3, exclude=["CC(=O)O"])
    found = designer.select(table, 2, exclude=["CC(=O)O"])
    refused = designer.refused_.set_index("name")
    assert refused["reason"].to_dict() == {
        "owned": "owned",
        "excluded": "excluded",
        "azo": "filtered",
        "dear": "duplicate",
        "silane": "no phenotype",
        "broken": "unreadable",
        "missing": "unreadable",
    }
    assert "propranolol" in refused.loc["owned", "detail"]
    assert refused.loc["azo", "detail"] == "PAINS: azo_A(324)"
    assert refused.loc["dear", "detail"] == "the same molecule as row 3 (cheap)"
    assert refused.loc["broken", "detail"] == "cannot be parsed: 'C1CC'"
    assert sorted(found["name"]) == ["cheap", "good"]
    assert refused["index"].tolist() == [0, 1, 2, 4, 5, 6, 7]


def test_too_few_candidates_say_why(deck, candidates):
    designer = LibraryDesigner(phenotype_share=0).fit(deck)
    with pytest.raises(
        ValueError, match=r"only 2 of 17 candidates can be picked. Refused: 15 owned"
    ):
        designer.select([*deck, "CCCCN", "CCCCO"], 3)
    assert set(designer.refused_["reason"]) == {"owned"}


def test_structures_that_cannot_be_read_are_named(deck):
    designer = LibraryDesigner(phenotype_share=0)
    table = pd.DataFrame({"smiles": ["CCO", "C1CC"]}, index=["a", "b"])
    with pytest.raises(
        ValueError, match=r"LibraryDesigner.fit .*row 1 \(index 'b'\) cannot be parsed"
    ):
        designer.fit(table)
    designer.fit(deck)
    with pytest.raises(ValueError, match=r"1 of 2 .*select.*row 1 \(index 'b'\) cannot be parsed"):
        designer.select(table, 1)
    with pytest.raises(ValueError, match=r"exclude= of LibraryDesigner.select.*row 0 is empty"):
        designer.select(["CCO"], 1, exclude=[""])


def test_filters_are_those_of_the_filters(deck, candidates):
    filters = MoleculeFilters(["BRENK"], ranges={"logp": (None, 4)})
    designer = LibraryDesigner(phenotype_share=0, filters=filters).fit(deck)
    passes = filters.passes(candidates)
    assert 0 < passes.sum() < len(passes)
    found = designer.select(candidates, int(passes.sum()))
    assert sorted(found["index"]) == np.flatnonzero(passes).tolist()
    assert designer.refused_["index"].tolist() == np.flatnonzero(~passes).tolist()


# --------------------------------------------------------------------------- phenotypes of the deck


def test_given_phenotypes_are_those_of_an_embedder(deck, candidates, embedder):
    predicted = LibraryDesigner(embedder).fit(deck).select(candidates, 20)
    by_hand = LibraryDesigner().fit(deck, phenotypes=embedder.embed_molecules(deck))
    given = by_hand.select(candidates, 20, phenotypes=7 * embedder.embed_molecules(candidates))
    assert given["index"].tolist() == predicted["index"].tolist()


@pytest.mark.parametrize("wrap", [FrozenEstimator, lambda fitted: fitted])
def test_embedders_come_frozen_or_bare(deck, candidates, embedder, wrap):
    designer = clone(LibraryDesigner(wrap(embedder))) if wrap is FrozenEstimator else None
    designer = designer or LibraryDesigner(wrap(embedder))
    assert len(designer.fit(deck).select(candidates, 3)) == 3


def test_measured_phenotypes_are_brought_to_the_predicted_ones(deck, candidates, embedder):
    predicted = embedder.embed_molecules(deck).astype(float)
    predicted /= np.linalg.norm(predicted, axis=1, keepdims=True)
    shift = np.array([0.9, -0.4, 0.2, 0.0, 0.3, -0.6])
    # the lengths of measured vectors do not count, their common offset is undone
    designer = LibraryDesigner(embedder).fit(deck, phenotypes=predicted)
    np.testing.assert_allclose(designer.phenotype_shift_, 0, atol=1e-7)
    np.testing.assert_allclose(designer.owned_phenotypes_.sum(), predicted.sum(), rtol=1e-6)
    moved = predicted + shift
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    designer.fit(deck, phenotypes=moved)
    np.testing.assert_allclose(
        designer.phenotype_shift_, (moved - predicted).mean(axis=0), atol=1e-6
    )
    order = [deck.index(text) for text in designer.owned_["smiles"]]
    by_hand = moved - (moved - predicted).mean(axis=0)
    by_hand /= np.linalg.norm(by_hand, axis=1, keepdims=True)
    np.testing.assert_allclose(designer.owned_phenotypes_, by_hand[order], atol=1e-6)
    nearer = (by_hand * predicted).sum(axis=1).mean()
    assert nearer > (moved * predicted).sum(axis=1).mean()


def test_rows_of_one_molecule_are_averaged(candidates):
    smiles = ["CCO", "c1ccccc1", "OCC"]
    designer = LibraryDesigner(phenotype_share=1).fit(smiles, phenotypes=[[1, 0], [0, 1], [0, 3]])
    assert designer.owned_["smiles"].tolist() in (["CCO", "c1ccccc1"], ["c1ccccc1", "CCO"])
    place = designer.owned_["smiles"].tolist().index("CCO")
    np.testing.assert_allclose(designer.owned_phenotypes_[place], [0.5**0.5] * 2)


def test_owned_without_a_phenotype_count_by_structure(deck, candidates, embedder):
    silane = "C[Si](C)(C)c1ccccc1"
    with pytest.warns(UserWarning, match=r"1 of 16 owned compounds have no phenotype .*\[Si\]"):
        designer = LibraryDesigner(embedder).fit([*deck, silane])
    found = designer.select(candidates, 30)
    assert found["phenotype_distance"].notna().all()
    assert silane not in set(found["phenotype_nearest"])
    measured = np.ones((16, 6))
    measured[3] = np.nan
    with pytest.warns(UserWarning, match="1 of 16"):
        designer.fit(
            [*deck, silane], phenotypes=np.where(np.arange(16)[:, None] < 15, measured, np.nan)
        )
    # row 3 was not measured, so that its prediction counts
    place = designer.owned_["smiles"].tolist().index(deck[3])
    np.testing.assert_allclose(
        designer.owned_phenotypes_[place] / np.linalg.norm(designer.owned_phenotypes_[place]),
        unit(embedder.embed_molecules([deck[3]])[0]),
        atol=1e-6,
    )


def unit(vector):
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    ("phenotypes", "message"),
    [
        (np.ones((3, 2)), r"shape \(3, 2\); expected one row for each of 2"),
        (np.ones(2), r"shape \(2,\)"),
        ([[1, np.nan], [1, 1]], "1 row.s. have no direction, being zero, partly NaN .*: rows 0"),
        ([[1, 1], [0, 0]], "rows 1"),
        ([["a", "b"], ["c", "d"]], "phenotypes are not numeric"),
    ],
)
def test_phenotypes_that_are_none(phenotypes, message):
    with pytest.raises(ValueError, match=message):
        LibraryDesigner().fit(["CCO", "CCN"], phenotypes=phenotypes)


def test_sizes_of_phenotypes_must_agree(deck, candidates, embedder):
    with pytest.raises(ValueError, match="have 3 components, those that the embedder predicts 6"):
        LibraryDesigner(embedder).fit(deck, phenotypes=np.ones((15, 3)))
    designer = LibraryDesigner().fit(deck, phenotypes=np.ones((15, 3)))
    with pytest.raises(ValueError, match="candidates have 4 components, those of the deck 3"):
        designer.select(["CCO"], 1, phenotypes=np.ones((1, 4)))
    with pytest.raises(ValueError, match="the embedder predicts the phenotypes of candidates"):
        LibraryDesigner(embedder).fit(deck).select(["CCO"], 1, phenotypes=np.ones((1, 6)))


def test_nothing_that_tells_phenotypes_is_an_error(deck):
    with pytest.raises(ValueError, match=r"LibraryDesigner.fit: phenotype_share=0.5 needs phenot"):
        LibraryDesigner().fit(deck)
    with pytest.raises(ValueError, match=r"LibraryDesigner.select: phenotype_share=0.5 needs"):
        LibraryDesigner().fit().select(["CCO"], 1)


# ------------------------------------------------------------------------------- the estimator


def test_it_keeps_to_the_conventions(deck, candidates, embedder):
    designer = LibraryDesigner(FrozenEstimator(embedder), filters=MoleculeFilters(["NIH"]))
    assert designer.get_params()["filters__catalogs"] == ["NIH"]
    copied = clone(designer).set_params(filters__catalogs=["PAINS"], phenotype_share=0.2)
    assert designer.filters.catalogs == ["NIH"]
    with pytest.raises(NotFittedError):
        copied.select(candidates, 2)
    fitted = copied.fit(deck)
    again = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(again.select(candidates, 4), fitted.select(candidates, 4))


def test_an_embedder_that_comes_after_fit_asks_for_another_fit(deck, candidates, embedder):
    designer = LibraryDesigner(phenotype_share=0).fit(deck)
    designer.set_params(embedder=embedder, phenotype_share=1.0)
    with pytest.raises(ValueError, match=r"embedder= was set after `fit`.* fit again"):
        designer.select(candidates, 5)
    again = designer.fit(deck).select(candidates, 5)["index"].tolist()
    fresh = LibraryDesigner(embedder, phenotype_share=1.0).fit(deck)
    assert again == fresh.select(candidates, 5)["index"].tolist()
    with pytest.raises(ValueError, match="fit again"):
        fresh.set_params(embedder=None).select(candidates, 5)
    with pytest.raises(ValueError, match="fit again"):
        fresh.set_params(embedder=Predictor(3).fit()).select(candidates, 5)


def test_a_share_of_phenotypes_that_comes_after_fit_needs_them_of_the_deck(deck, candidates):
    designer = LibraryDesigner(phenotype_share=0).fit(deck).set_params(phenotype_share=0.5)
    phenotypes = np.random.default_rng(0).normal(size=(len(candidates), 5))
    with pytest.raises(ValueError, match=r"phenotype_share=0.5 needs phenotypes.* fit again"):
        designer.select(candidates, 5, phenotypes=phenotypes)
    designer.set_params(phenotype_share=0, max_per_series=2)
    with pytest.raises(ValueError, match="max_per_series=2 needs series="):
        designer.select(candidates, 5)


def test_what_was_refused_is_forgotten_when_a_selection_fails(deck, candidates):
    designer = LibraryDesigner(phenotype_share=0).fit(deck)
    designer.select([*candidates, *deck[:4]], 3)
    assert len(designer.refused_) == 4
    with pytest.raises(ValueError, match="cannot be parsed"):
        designer.select(["xx"], 1)
    assert designer.refused_ is None
    assert designer.scales_ is None


def test_tags_say_that_structures_come_in():
    tags = LibraryDesigner().__sklearn_tags__().input_tags
    assert tags.string
    assert tags.one_d_array
    assert not tags.two_d_array


def test_an_error_of_too_few_survives_another_process(deck):
    designer = LibraryDesigner(phenotype_share=0).fit(deck)
    with pytest.raises(ValueError, match="only 1 of 1") as caught:
        designer.select(["CCN"], 3)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.n_possible == 1


def test_a_fit_that_fails_leaves_the_earlier_one(deck, candidates):
    designer = LibraryDesigner(phenotype_share=0).fit(deck)
    with pytest.raises(ValueError, match="cannot be parsed"):
        designer.fit(["C1CC"])
    assert len(designer.owned_) == len(deck)


def test_an_embedder_that_is_none():
    with pytest.raises(NotFittedError, match="not fitted"):
        LibraryDesigner(Predictor()).fit(["CCO"])
    with pytest.raises(TypeError, match="has no method 'embed_molecules'"):
        LibraryDesigner(MoleculeFilters()).fit(["CCO"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"phenotype_share": 1.5}, "'phenotype_share'"),
        ({"objective": "max-min"}, "'objective'"),
        ({"trade_off": -0.1}, "'trade_off'"),
        ({"max_per_series": 3}, "max_per_series=3 needs series="),
        ({"filters": "PAINS"}, "'filters'"),
        ({"on_error": "skip"}, "'on_error'"),
    ],
)
def test_parameters_that_make_no_sense(deck, parameters, message):
    with pytest.raises(ValueError, match=message):
        LibraryDesigner(**{"phenotype_share": 0, **parameters}).fit(deck)


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_is_at_least_one(deck, budget):
    with pytest.raises(ValueError, match="at least 1"):
        LibraryDesigner(phenotype_share=0).fit(deck).select(["CCO"], budget)


@pytest.mark.parametrize("budget", [1.0, True, "3", None])
def test_a_budget_is_a_whole_number(deck, budget):
    with pytest.raises(TypeError, match="whole number"):
        LibraryDesigner(phenotype_share=0).fit(deck).select(["CCO"], budget)


def test_quality_must_be_known(deck):
    table = pd.DataFrame({"smiles": ["CCN", "CCCN"], "quality": [1.0, np.nan]}, index=[5, 6])
    designer = LibraryDesigner(phenotype_share=0, quality="quality").fit(deck)
    with pytest.raises(ValueError, match=r"no finite number in 1 of 2 .* row 1 \(index 6\)"):
        designer.select(table, 1)
    with pytest.raises(ValueError, match="looked for in a table, but the candidates are given as"):
        designer.select(["CCN"], 1)
    designer = LibraryDesigner(phenotype_share=0, quality=lambda smiles: [1.0]).fit(deck)
    with pytest.raises(ValueError, match=r"an array of shape \(1,\) for 2 structures"):
        designer.select(table[["smiles"]], 1)


def test_progress_is_shown_when_asked_for(deck, candidates, capsys):
    LibraryDesigner(phenotype_share=0, verbose=1).fit(deck).select(candidates, 5)
    assert "100%" in capsys.readouterr().err
    LibraryDesigner(phenotype_share=0).fit(deck).select(candidates, 5)
    assert capsys.readouterr().err == ""


def test_import_needs_no_deep_learning():
    code = "import sys, cloome_sk.library; print(sorted({'torch', 'skorch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
