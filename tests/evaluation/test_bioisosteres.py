"""The study against a loop over molecules, with plain RDKit similarities and scaffolds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import TanimotoKernelEmbedder
from cloome_sk.baselines._scores import BELOW_ANY_COSINE
from cloome_sk.datasets import make_profiles
from cloome_sk.datasets.known_drugs import load_known_drugs
from cloome_sk.evaluation.bioisostere_folds import (
    CANDIDATES_MEASURED,
    NEAREST_PROFILE,
    STRUCTURE_KNOWN,
    tanimoto_to_nearest,
)
from cloome_sk.evaluation.bioisosteres import (
    EDGES,
    _without_uninformative,
    bioisosteres_of_screen,
    study_bioisosteres,
)
from cloome_sk.evaluation.screens import Screen, load_screen
from cloome_sk.molecules import molecule_key

FEW: dict[str, Any] = {"n_bootstrap": 50, "n_permutations": 99}


class Keyed(BaseEstimator):
    """Embeds rows by their features, and molecules by vectors drawn for their keys."""

    def __init__(self, seed: int = 0, oracle: Any = None) -> None:
        self.seed = seed
        self.oracle = oracle

    def fit(self, X: pd.DataFrame, y: Any = None) -> Keyed:
        self.rows_ = len(X)
        return self

    def embed_phenotypes(self, X: pd.DataFrame) -> np.ndarray:
        return X.filter(like="Feature_").to_numpy(dtype=float)

    def embed_molecules(self, molecules: Any) -> np.ndarray:
        keys = molecule_key(list(molecules))
        if self.oracle is not None:
            return np.array([self.oracle[key] for key in keys])
        seeds = [(crc32(key.encode()) + self.seed) % 2**31 for key in keys]
        return np.array([np.random.RandomState(seed).randn(5) for seed in seeds])


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Forty drugs in two wells each; of some the target is not known, and one row says more."""
    drugs = load_known_drugs()
    drugs = drugs.drop_duplicates("smiles").head(40)
    both = pd.concat([drugs, drugs], ignore_index=True)
    values = np.random.RandomState(0).randn(len(both), 5)
    out = pd.DataFrame({f"Feature_{n}": values[:, n] for n in range(5)})
    out["Metadata_smiles"] = both["smiles"]
    groups = [f"T{n % 6}" for n in range(40)]
    out["Metadata_target"] = pd.Series(groups * 2).astype(object)
    out.loc[[0, 40, 3, 43], "Metadata_target"] = None
    out.loc[45, "Metadata_target"] = "T1|T2"
    return out


def _naive(table: pd.DataFrame, model: Keyed, cv: Any, k: int, everyone: bool) -> dict[str, Any]:
    """Mean share, chance and matched chance of each part; loops and plain RDKit."""
    keys = molecule_key(table["Metadata_smiles"])
    molecules = {key: table["Metadata_smiles"][at] for at, key in reversed([*enumerate(keys)])}
    terms: dict[str, set[str]] = {key: set() for key in molecules}
    for key, text in zip(keys, table["Metadata_target"], strict=True):
        terms[key] |= set() if pd.isna(text) else set(text.split("|"))
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    bits = {k_: generator.GetFingerprint(Chem.MolFromSmiles(s)) for k_, s in molecules.items()}
    rings = {k_: MurckoScaffold.MurckoScaffoldSmiles(s) for k_, s in molecules.items()}
    found: dict[str, list[tuple[float, float, float]]] = {}
    for _, test in cv.split(table, groups=keys):
        candidates = set(keys) if everyone else set(keys[test])
        for query in sorted(set(keys[test])):
            if not terms[query]:
                continue
            own = model.embed_phenotypes(table[keys == query])
            mean = (own / np.linalg.norm(own, axis=1, keepdims=True)).mean(axis=0)
            others = [c for c in sorted(candidates) if c != query and terms[c]]
            near = {c: DataStructs.TanimotoSimilarity(bits[query], bits[c]) for c in others}
            for part, kept in {
                "any other molecule": others,
                "Tanimoto below 0.3": [c for c in others if near[c] < 0.3],
                "changed scaffold": [c for c in others if rings[c] != rings[query]],
            }.items():
                right = {c: bool(terms[c] & terms[query]) for c in kept}
                if not any(right.values()) or len(kept) <= k:
                    continue
                vectors = model.embed_molecules([molecules[c] for c in kept])
                score = vectors @ mean / np.linalg.norm(vectors, axis=1)
                hits = [kept[place] for place in np.argsort(-score)[:k]]
                matched = 0.0
                for hit in hits:
                    bin_ = [c for c in kept if _bin(near[c]) == _bin(near[hit])]
                    matched += sum(right[c] for c in bin_) / len(bin_)
                share = sum(right[c] for c in hits) / k
                chance = sum(right.values()) / len(kept)
                found.setdefault(part, []).append((share, chance, matched / k))
    return {part: (np.mean(rows, axis=0), len(rows)) for part, rows in found.items()}


def _bin(similarity: float) -> int:
    return sum(similarity >= edge for edge in EDGES)


@pytest.mark.parametrize("candidates", ["held-out", "all"])
def test_equals_a_loop_over_molecules(table: pd.DataFrame, candidates: str) -> None:
    cv = GroupKFold(2)
    found = study_bioisosteres(
        table,
        {"A": Keyed()},
        shared={"target": "target"},
        ks=(3,),
        headline_k=3,
        cv=cv,
        near=0.3,
        candidates=candidates,
        controls=None,
        **FEW,
    )
    naive = _naive(table, Keyed(), cv, 3, candidates == "all")
    scores = found.scores[found.scores["model"] == "A"].set_index(["part", "metric"])
    assert len(naive) == 3
    for part, ((share, chance, matched), n) in naive.items():
        row = scores.loc[(f"shared target, {part}", "shared@3")]
        assert (row["value"], row["chance"], row["n"]) == pytest.approx((share, chance, n))
        row = scores.loc[(f"shared target, {part}", "excess@3")]
        assert (row["value"], row["chance"], row["n"]) == pytest.approx((share - matched, 0, n))
        own = found.enrichment[
            (found.enrichment["model"] == "A")
            & (found.enrichment["part"] == f"shared target, {part}")
        ].set_index("matched")
        assert own.loc["nothing", "enrichment"] == pytest.approx(share / chance)
        assert own.loc["Tanimoto", "enrichment"] == pytest.approx(share / matched)
    assert found.leakage["ok"].all()
    assert len(found.leakage) == 2


def test_structure_known_ranks_by_plain_tanimoto(table: pd.DataFrame) -> None:
    found = study_bioisosteres(
        table, {"A": Keyed()}, shared="target", ks=(1,), headline_k=1, cv=GroupKFold(2),
        controls=None, **FEW,
    )  # fmt: skip
    keys = molecule_key(table["Metadata_smiles"])
    smiles = dict(zip(keys, table["Metadata_smiles"], strict=True))
    terms: dict[str, set[str]] = {key: set() for key in smiles}
    for key, text in zip(keys, table["Metadata_target"], strict=True):
        terms[key] |= set() if pd.isna(text) else set(text.split("|"))
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    bits = {k: generator.GetFingerprint(Chem.MolFromSmiles(s)) for k, s in smiles.items()}
    values = []
    for _, test in GroupKFold(2).split(table, groups=keys):
        for query in set(keys[test]):
            others = [c for c in set(keys[test]) if c != query and terms[c]]
            right = [bool(terms[c] & terms[query]) for c in others]
            if any(right):
                near = np.array(
                    [DataStructs.TanimotoSimilarity(bits[query], bits[c]) for c in others]
                )
                values.append(np.array(right)[near == near.max()].mean())
    row = found.scores[
        (found.scores["model"] == STRUCTURE_KNOWN)
        & (found.scores["part"] == "shared target, any other molecule")
        & (found.scores["metric"] == "shared@1")
    ].iloc[0]
    assert row["value"] == pytest.approx(np.mean(values))
    assert row["n"] == len(values)


def test_a_model_that_knows_the_target_is_found_and_a_blind_one_is_not(
    table: pd.DataFrame,
) -> None:
    keys = molecule_key(table["Metadata_smiles"])
    place = {f"T{n}": n for n in range(5)}
    known = table.dropna(subset="Metadata_target")
    codes = {
        key: np.eye(5)[place.get(str(text).split("|")[0], 0)]
        for key, text in zip(
            molecule_key(known["Metadata_smiles"]), known["Metadata_target"], strict=True
        )
    }
    oracle = {key: codes.get(key, np.ones(5)) for key in set(keys)}
    informed = table.copy()
    informed[[f"Feature_{n}" for n in range(5)]] = np.array([oracle[key] for key in keys])
    kept = informed[~informed["Metadata_target"].isin(["T5"])]
    found = study_bioisosteres(
        kept,
        {"oracle": Keyed(oracle=oracle), "blind": Keyed(seed=3)},
        shared="target",
        ks=(1, 2),
        headline_k=1,
        cv=2,
        controls=None,
        n_bootstrap=200,
        n_permutations=999,
    )
    own = found.enrichment[found.enrichment["k"] == 1].set_index(["model", "part", "matched"])
    part = "shared target, any other molecule"
    assert own.loc[("oracle", part, "nothing"), "low"] > 2
    assert own.loc[("oracle", part, "Tanimoto"), "low"] > 1
    assert own.loc[("blind", part, "nothing"), "low"] < 1
    told = found.differences.set_index(["part", "metric", "reference"])
    assert told.loc[(part, "excess@1", "blind"), "p_holm"] < 0.05
    assert "better than chance" in " ".join(found.sentences())


def test_controls_by_profiles(table: pd.DataFrame) -> None:
    """Profiles that are the target: its training neighbour is of it, and so are the candidates'."""
    keys = pd.Series(molecule_key(table["Metadata_smiles"]))
    target = table["Metadata_target"].groupby(keys).transform("first").fillna("none")
    centre = {
        name: np.random.RandomState(n).randn(5) * 9 for n, name in enumerate(sorted(set(target)))
    }
    planted = table.copy()
    planted[[f"Feature_{n}" for n in range(5)]] += np.array([centre[name] for name in target])
    found = study_bioisosteres(
        planted, {"A": Keyed()}, shared="target", ks=(1,), headline_k=1, cv=4, candidates="all",
        controls=None, **FEW,
    )  # fmt: skip
    shares = found.enrichment[found.enrichment["part"] == "shared target, any other molecule"]
    shares = shares.drop_duplicates("model").set_index("model")["share"]
    assert shares[NEAREST_PROFILE] > 0.9
    assert shares[CANDIDATES_MEASURED] > 0.9
    assert shares["A"] < 0.5


def test_notes_count_who_does_not_ask(table: pd.DataFrame) -> None:
    alone = table.copy()
    alone.loc[[1, 41], "Metadata_target"] = "nobody else"
    found = study_bioisosteres(
        alone, {"A": Keyed()}, shared="target", ks=(1, 25), headline_k=1, cv=2, controls=None, **FEW
    )
    said = "\n".join(found.notes)
    part = "shared target, any other molecule"
    n = int(found.enrichment.loc[found.enrichment["part"] == part, "n"].max())
    assert (
        f"{part}: {n} of 40 molecules ask; 2 have no target, and for {38 - n} no candidate" in said
    )
    assert 38 - n >= 1
    assert "Not scored at k=25" in said
    assert found.enrichment["k"].unique().tolist() == [1]


def test_without_profile_columns_their_rankings_are_left_out(table: pd.DataFrame) -> None:
    renamed = table.rename(columns=lambda name: name.replace("Feature_", "number_"))

    class Renamed(Keyed):
        def embed_phenotypes(self, X: pd.DataFrame) -> np.ndarray:
            return X.filter(like="number_").to_numpy(dtype=float)

    options: dict[str, Any] = {"shared": "target", "cv": 2, "controls": None, **FEW}
    bare = study_bioisosteres(renamed, {"A": Renamed()}, **options)
    assert NEAREST_PROFILE not in set(bare.scores["model"])
    assert "rankings by profiles are left out" in "\n".join(bare.notes)
    named = study_bioisosteres(
        renamed, {"A": Renamed()}, columns=[f"number_{n}" for n in range(5)], **options
    )
    assert {NEAREST_PROFILE, CANDIDATES_MEASURED} <= set(named.scores["model"])


def test_the_same_seed_gives_the_same_study(table: pd.DataFrame) -> None:
    options: dict[str, Any] = {"shared": "target", "cv": 3, "controls": None, **FEW}
    legacy = np.random.mtrand._rand
    state = legacy.get_state()[1].copy()
    first, second = (
        study_bioisosteres(table, {"A": Keyed()}, random_state=1, **options) for _ in range(2)
    )
    pd.testing.assert_frame_equal(first.scores, second.scores)
    pd.testing.assert_frame_equal(first.enrichment, second.enrichment)
    assert (legacy.get_state()[1] == state).all()


def test_report_figure_and_files(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    assert matplotlib
    X = make_profiles(n_compounds=36, random_state=0)
    found = study_bioisosteres(
        X,
        {"kernel": TanimotoKernelEmbedder()},
        shared={"MoA": "moa", "target": "target"},
        cv=2,
        data="toy",
        **FEW,
    )
    report = found.report()
    assert "shared MoA, changed scaffold, first 5 hits" in report
    assert "hits bound" in report
    assert "holds in 2 of 2 folds" in report
    figure = found.plot()
    assert sum(panel.get_visible() for panel in figure.axes) == 6
    assert len(found.plot("shared@1").axes) == 6
    names = {path.name for path in found.write(tmp_path)}
    stem = "bioisosteres_toy"
    assert names == {
        *(f"{stem}.csv", f"{stem}_differences.csv", f"{stem}_leakage.csv"),
        *(f"{stem}.png", f"{stem}_enrichment.csv"),
    }
    assert all((tmp_path / name).stat().st_size for name in names)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"models": {}}, TypeError, "models must be a dict"),
        ({"models": [Keyed()]}, TypeError, "models must be a dict"),
        ({"models": {"A": object()}}, TypeError, "'A'.*no embed_phenotypes"),
        ({"models": {STRUCTURE_KNOWN: Keyed()}}, ValueError, "is added by the study"),
        ({"model": "B"}, ValueError, "'B' is none of the models: 'A'"),
        ({"shared": "moa"}, ValueError, "no column 'moa'"),
        ({"shared": ()}, ValueError, "names no column"),
        ({"separator": ""}, ValueError, "separator is empty"),
        ({"ks": ()}, TypeError, "ks must be a list"),
        ({"ks": (0, 5)}, ValueError, "at least 1, got 0"),
        ({"ks": (5, 5)}, ValueError, "twice"),
        ({"headline_k": 4}, ValueError, "headline_k=4 is none of"),
        ({"candidates": "mine"}, ValueError, "'held-out' or 'all'"),
        ({"near": 0}, ValueError, r"Tanimoto similarity in \(0, 1\]"),
        ({"tanimoto_bins": (0.5, 0.2)}, ValueError, "ascending edges"),
        ({"tanimoto_bins": (0.5, "x")}, ValueError, "ascending edges"),
        ({"ks": (39,), "headline_k": 39}, ValueError, "all candidates with a target would be hits"),
        ({"cv": 1}, ValueError, "cv=1"),
    ],
)
def test_bad_parameters(
    table: pd.DataFrame, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    options: dict[str, Any] = {"models": {"A": Keyed()}, "shared": "target", "controls": None}
    options |= {"cv": 2, **FEW, **change}
    models = options.pop("models")
    with pytest.raises(error, match=words):
        study_bioisosteres(table, models, **options)


def test_bad_tables(table: pd.DataFrame) -> None:
    options: dict[str, Any] = {"shared": "target", "controls": None, "cv": 2, **FEW}
    with pytest.raises(TypeError, match="DataFrame"):
        study_bioisosteres([1], {"A": Keyed()}, **options)  # type: ignore[arg-type]
    broken = table.copy()
    broken.loc[4, "Metadata_smiles"] = "xyz"
    with pytest.raises(ValueError, match="row 4 cannot be parsed: 'xyz'"):
        study_bioisosteres(broken, {"A": Keyed()}, **options)
    keys = molecule_key(table["Metadata_smiles"])
    singular = table.assign(Metadata_target=[f"only {key}" for key in keys])
    with pytest.raises(ValueError, match="no unseen molecule shares a target"):
        study_bioisosteres(singular, {"A": Keyed()}, **options)
    with pytest.raises(ValueError, match="no unseen molecule shares a target"):
        study_bioisosteres(table.assign(Metadata_target=None), {"A": Keyed()}, **options)


def test_a_model_that_has_seen_the_molecules_is_refused() -> None:
    X = make_profiles(n_compounds=24, random_state=0)
    frozen = FrozenEstimator(TanimotoKernelEmbedder().fit(X))
    with pytest.raises(ValueError, match="nothing is shown about unseen molecules"):
        study_bioisosteres(X, {"kernel": frozen}, shared="moa", cv=2, **FEW)


class Remembers(TransformerMixin, BaseEstimator):
    """A step that was trained, hands on what it is given, and knows on what."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Remembers:
        treated = X["Metadata_control_type"].isna()
        self.molecules_seen_ = np.unique(molecule_key(X.loc[treated, "Metadata_smiles"]))
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        return X


def test_a_frozen_step_that_has_seen_the_molecules_is_refused() -> None:
    X = make_profiles(n_compounds=24, random_state=0)
    step = FrozenEstimator(Remembers().fit(X))
    model = Pipeline([("step", step), ("embedder", TanimotoKernelEmbedder())])
    with pytest.raises(ValueError, match=r"study_bioisosteres: 12 of the 12 test molecules were"):
        study_bioisosteres(X, {"kernel": model}, shared="moa", cv=2, ks=(1,), headline_k=1, **FEW)


class Started(TanimotoKernelEmbedder):
    """Says that it started from weights of a file."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Started:
        super().fit(X, y)
        self.checkpoint_sha256_ = "0123456789abcdef"
        return self


def test_weights_of_a_checkpoint_leave_the_claim_open() -> None:
    X = make_profiles(n_compounds=48, random_state=0)
    options: dict[str, Any] = {"shared": "moa", "cv": 2, "ks": (1,), "headline_k": 1, **FEW}
    found = study_bioisosteres(X, {"kernel": Started()}, **options)
    assert not found.leakage["ok"].any()
    assert "SHA-256 01234567" in found.leakage["sentences"].iloc[0]
    whole = study_bioisosteres(X, {"kernel": TanimotoKernelEmbedder()}, **options).leakage
    assert whole["ok"].all()
    assert whole["sentences"].str.contains("The embedder was trained on none of").all()


def test_what_is_its_own_chance_is_compared_in_shares_only(table: pd.DataFrame) -> None:
    found = study_bioisosteres(
        table, {"A": Keyed()}, shared="target", ks=(1, 3), headline_k=3, cv=2, controls=None, **FEW
    )
    against = found.differences.groupby("metric")["reference"].agg(set)
    others = {NEAREST_PROFILE, CANDIDATES_MEASURED}
    assert against["excess@1"] == against["excess@3"] == others
    assert against["shared@1"] == against["shared@3"] == {*others, STRUCTURE_KNOWN}
    known = found.scores[found.scores["model"] == STRUCTURE_KNOWN].set_index(["part", "metric"])
    apart = known.xs("excess@3", level="metric")["value"]
    assert apart.abs().max() < 0.1


def test_a_query_without_a_profile_has_no_nearest_one() -> None:
    tanimoto = np.array([[0.9, 0.1, 0.3], [0.2, 0.6, 0.3], [0.5, 0.5, 0.5]])
    cosine = np.array([[0.1, 0.8, 0.2], [0.7, 0.7, 0.1], [BELOW_ANY_COSINE] * 3])
    wanted = np.array([[0.2, 0.6, 0.3], [0.55, 0.35, 0.3], [0, 0, 0]])
    found = tanimoto_to_nearest(cosine, tanimoto)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    back = [2, 0, 1]
    np.testing.assert_allclose(tanimoto_to_nearest(cosine[:, back], tanimoto[back]), wanted)


def test_molecules_without_a_profile_are_counted_and_the_order_of_rows_does_not_matter(
    table: pd.DataFrame,
) -> None:
    blank = table.loc[7, "Metadata_smiles"]

    class Patient(Keyed):
        def embed_phenotypes(self, X: pd.DataFrame) -> np.ndarray:
            Z = super().embed_phenotypes(X).copy()
            Z[(X["Metadata_smiles"] == blank).to_numpy()] = np.nan
            return Z

    options: dict[str, Any] = {"shared": "target", "cv": 2, "controls": None, **FEW}
    found = study_bioisosteres(table, {"A": Patient()}, **options)
    assert "A has no embedding for 1 of 40 molecules that ask" in "\n".join(found.notes)
    shuffled = table.sample(frac=1, random_state=2).reset_index(drop=True)
    other = study_bioisosteres(shuffled, {"A": Patient()}, **options)
    keys = ["part", "model", "metric"]
    first, second = (study.scores.set_index(keys)["value"] for study in (found, other))
    pd.testing.assert_series_equal(first.sort_index(), second.sort_index())


@pytest.mark.parametrize("folds", [0, 1, 2.5])
def test_folds_of_a_screen_that_cannot_be(small_screen: Screen, folds: Any) -> None:
    with pytest.raises(ValueError, match="folds must be an integer of at least 2"):
        bioisosteres_of_screen(small_screen, folds=folds)


@pytest.fixture(scope="module")
def small_screen() -> Screen:
    return load_screen("simulated-profiles", None, 0)


def test_a_screen_with_its_controls(small_screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def quick(self: Screen, n_pairs: int, seed: int) -> CloomeEmbedder:
        asked.append(n_pairs)
        return CloomeEmbedder(n_components=8, max_epochs=1, random_state=seed)

    monkeypatch.setattr(Screen, "make_embedder", quick)
    found = bioisosteres_of_screen(small_screen, folds=2)
    assert asked == [len(small_screen.wells) // 2]
    assert (found.name, found.data, found.model) == ("bioisosteres", "simulated-profiles", "CLOOME")
    assert set(found.scores["model"]) == {
        *("CLOOME", "Tanimoto-kernel average", "random molecule codes", "pairs shuffled"),
        *("untrained encoder", STRUCTURE_KNOWN, NEAREST_PROFILE, CANDIDATES_MEASURED),
        *("plate", "cell count"),
    }
    assert {part.split(",")[0] for part in found.scores["part"]} == {"shared MoA", "shared target"}
    assert found.leakage["ok"].all()
    # No hit comes by itself: close analogues carry the structure-only ranking, and chance follows.
    own = found.enrichment.set_index(["model", "part", "k", "matched"]).sort_index()
    part = "shared MoA, any other molecule"
    known = own.loc[(STRUCTURE_KNOWN, part, 1)]
    assert known.loc["nothing", "enrichment"] > known.loc["Tanimoto", "enrichment"]


def test_a_class_that_says_nothing_is_no_annotation(small_screen: Screen) -> None:
    table = small_screen.table.copy()
    statins = table["Metadata_moa"] == "HMGCR inhibitor"
    table.loc[statins, "Metadata_moa"] = "Miscellaneous"
    injured = replace(small_screen, name="cell-injury", table=table)
    changed, notes = _without_uninformative(injured)
    assert changed["Metadata_moa"].isna().equals(table["Metadata_moa"].isna() | statins)
    assert f"'Miscellaneous' ({statins.sum()} wells)" in notes[0]
    kept, none = _without_uninformative(small_screen)
    assert kept is small_screen.table
    assert none == []


def test_a_number_of_hits_that_no_query_has_is_not_the_headline(table: pd.DataFrame) -> None:
    options: dict[str, Any] = {"shared": "target", "cv": 2, "controls": None, **FEW}
    found = study_bioisosteres(table, {"A": Keyed()}, ks=(1, 3, 500), headline_k=500, **options)
    assert (found.headline, found.k) == ("excess@3", 3)
    assert "Sentences and figure are of k=3: no query can be scored at k=500." in found.notes
    assert "first 3 hits" in found.sentences()[0]
    found.plot()
