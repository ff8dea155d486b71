"""p and q of hits: as the retriever has them, and as promised where the truth is known."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import normalize

from cloome_sk import CrossModalRetriever
from cloome_sk.baselines import CCAEmbedder, ProfileFeatures, TanimotoKernelEmbedder
from cloome_sk.confidence.nested import SLACK
from cloome_sk.datasets import load_cell_injury
from cloome_sk.evaluation import _confidence_hits, study_confidence
from cloome_sk.evaluation._confidence_hits import (
    ask_hits,
    deals,
    directions_of,
    one_row_each,
    wrong_shares,
)
from cloome_sk.metrics import clopper_pearson
from cloome_sk.preprocessing import ControlNormalizer, find_controls

TO_MOLECULE, TO_PHENOTYPE = "phenotype to molecule", "molecule to phenotype"
N = 60
ALPHAS, LEVELS = (0.05, 0.1, 0.2), (0.1, 0.2)


class Planted(TransformerMixin, BaseEstimator):
    """Phenotypes by the numbers in the table, molecules by a dictionary."""

    def __init__(self, vectors=None):
        self.vectors = vectors

    def fit(self, X, y=None):
        self.molecules_seen_ = np.array([], dtype=object)
        return self

    def embed_phenotypes(self, X):
        return X[[name for name in X if name.startswith("Feature_")]].to_numpy(np.float64)

    def transform(self, X):
        return self.embed_phenotypes(X)

    def embed_molecules(self, molecules):
        return np.array([self.vectors[smiles] for smiles in np.asarray(molecules).ravel()])


def planted(seed, noise, n=N, n_wells=3, size=16):
    """Structures, and wells of them that are as close as `noise` has it; many share a middle."""
    rng = np.random.default_rng(seed)
    # Alike in groups of three: a wrong hit is never far.
    middle = rng.normal(size=(n // 3, size))[np.arange(n) % (n // 3)]
    molecules = normalize(middle + 0.8 * rng.normal(size=(n, size)))
    of = np.repeat(np.arange(n), n_wells)
    wells = molecules[of] + noise * rng.normal(size=(n, size))[of] / np.sqrt(size)
    return normalize(wells + 0.3 * rng.normal(size=wells.shape) / np.sqrt(size)), of, molecules


def asked(seed, noise, **more):
    wells, of, molecules = planted(seed, noise, **more)
    directions = directions_of(wells, of, molecules)
    units, counts = ask_hits("A", directions, np.arange(len(molecules)), 1, seed, 0)
    return pd.DataFrame(units), counts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore:CrossModalRetriever")
def test_equals_the_retriever(seed):
    wells, of, molecules = planted(seed, 0.5)
    smiles = np.array(["C" * (n + 1) + "O" for n in range(N)])
    columns = [f"Feature_{n}" for n in range(wells.shape[1])]
    table = pd.DataFrame(wells, columns=columns).assign(smiles=smiles[of])
    embedder = Planted(dict(zip(smiles, molecules, strict=True))).fit(table)
    directions = directions_of(wells, of, molecules)
    units, counts = ask_hits("A", directions, np.arange(N), 1, seed, 0)
    units = pd.DataFrame(units).set_index(["part", "metric", "unit"]).sort_index()["value"]
    ((known, tested, pick),) = deals(N, 1, seed)
    n_compared = 0
    for one in directions:
        query, database = one.name.split(" to ")
        rows = one_row_each(one.of, tested, pick)
        sides = {"phenotype": (table, of), "molecule": (list(smiles), np.arange(N))}
        held, held_of = sides[query]
        chosen = np.flatnonzero(np.isin(held_of, known))
        take = (
            held.iloc.__getitem__ if query == "phenotype" else lambda at, x=held: [x[i] for i in at]
        )
        retriever = CrossModalRetriever(embedder, query=query, database=database)
        retriever.fit(sides[database][0]).calibrate(take(chosen))
        options = {"significance": True, "group_by": "molecule"}
        hits = retriever.search(take(rows), n_neighbors=N, **options)
        best = retriever.search(take(rows), n_neighbors=1, exclude="molecule", **options)
        part = f"hits of unseen molecules, {one.name}"
        for alpha in ALPHAS:
            p = units.loc[(f"{part}, own molecule left out", f"p <= {alpha:.0%}")]
            np.testing.assert_array_equal(p.loc[tested], best["p"].to_numpy() <= alpha + SLACK)
        right = sides[database][1][hits["index"]] == tested[hits["query"]]
        for level in LEVELS:
            called = hits["q"] <= level + SLACK
            number = called.groupby(hits["query"]).sum()
            found = (called & right).groupby(hits["query"]).any()
            for metric, values in (("hits", number), ("found", found)):
                own = units.loc[(part, f"{metric}, q <= {level:.0%}")]
                np.testing.assert_array_equal(own.loc[tested], values)
            mine = counts[(counts["part"] == part) & (counts["level"] == level)]
            assert mine["wrong"].sum() == (called & ~right).sum()
            n_compared += int(number.sum())
    assert n_compared > 20


@pytest.mark.parametrize(("noise", "n_wells"), [(0.0, 1), (1.0, 3)])
def test_p_of_mismatched_pairs_is_valid_over_seeds(noise, n_wells):
    """A molecule of each seed is one trial, so that trials are independent; and all together."""
    n_seeds = 150
    first = {(d, a): 0 for d in (TO_MOLECULE, TO_PHENOTYPE) for a in ALPHAS}
    means = {key: [] for key in first}
    for seed in range(n_seeds):
        units, _ = asked(seed, noise, n_wells=n_wells)
        for direction, alpha in first:
            part = f"hits of unseen molecules, {direction}, own molecule left out"
            own = units[(units["part"] == part) & (units["metric"] == f"p <= {alpha:.0%}")]
            first[direction, alpha] += own["value"].iloc[0]
            means[direction, alpha].append(own["value"].mean())
    for (direction, alpha), hits in first.items():
        low, _ = clopper_pearson(hits, n_seeds, confidence=0.998)
        assert low <= alpha
        values = means[direction, alpha]
        error = 3 * np.std(values) / np.sqrt(n_seeds)
        # Of 40 molecules and the query, all 41 ranks are as likely.
        attained = np.floor(alpha * 41) / 41
        assert np.mean(values) <= alpha + error
        assert np.mean(values) >= attained - 1 / 41 - error


@pytest.mark.parametrize("noise", [0.4, 1.0])
def test_of_queries_with_hits_no_more_are_wrong_than_q_over_seeds(noise):
    n_seeds = 80
    frames, found = [], []
    for seed in range(n_seeds):
        units, counts = asked(seed, noise)
        frames.append(counts.assign(draw=seed, unit=counts["unit"] + seed * N))
        found.append(units)
    counts, units = pd.concat(frames), pd.concat(found)
    power = units.groupby(["part", "metric"])["value"].mean()
    shares = wrong_shares(counts, ["A"], n_seeds, 1 - 1 / N, n_bootstrap=10)
    for direction in (TO_MOLECULE, TO_PHENOTYPE):
        part = f"hits of unseen molecules, {direction}"
        for level in LEVELS:
            own = counts[(counts["part"] == part) & (counts["level"] == level)]
            by_draw = own.groupby("draw")[["any", "any wrong"]].sum().reindex(range(n_seeds))
            wrong = (by_draw["any wrong"] / by_draw["any"]).fillna(0.0).to_numpy(float)
            assert wrong.mean() <= level + 3 * wrong.std() / np.sqrt(n_seeds)
            row = shares[(shares["part"] == part) & shares["metric"].str.endswith(f"{level:.0%}")]
            named = row.set_index("metric")["value"]
            assert named[f"queries wrong, q <= {level:.0%}"] == pytest.approx(wrong.mean())
            of_all = own["wrong"].sum() / own["hits"].sum()
            assert named[f"hits wrong, q <= {level:.0%}"] == pytest.approx(of_all)
            if noise == 0.4:
                assert power[part, f"found, q <= {level:.0%}"] > 0.5
                # Or an empty promise would be kept.
                assert wrong.mean() > level / 10


def test_what_cannot_be_embedded_is_no_hit_and_has_none():
    wells, of, molecules = planted(0, 0.2)
    wells[of == 5], molecules[7] = np.nan, np.nan
    to_molecule, to_phenotype = directions_of(wells, of, molecules)
    assert (to_molecule.cosines[of == 5] == -1).all()
    assert (to_molecule.cosines[:, 7] == -1).all()
    assert (to_phenotype.cosines[:, 5] == -1).all()
    units, _ = ask_hits("A", [to_molecule, to_phenotype], np.arange(N), 30, 0, 0)
    units = pd.DataFrame(units)
    blank = units[units["unit"].isin([5, 7]) & units["metric"].str.startswith("found")]
    assert len(blank)
    assert (blank["value"] == 0).all()
    assert units["value"].notna().all()


def test_what_cannot_be_embedded_does_not_calibrate():
    """Beside a loop over the molecules that have an embedding."""
    wells, of, molecules = planted(0, 0.5, n_wells=1)
    blank = np.arange(N) % 3 == 0
    molecules[blank] = np.nan
    one = directions_of(wells, of, molecules)[1]
    units = pd.DataFrame(ask_hits("A", [one], np.arange(N), 1, 0, 0)[0])
    ((known, tested, _),) = deals(N, 1, 0)
    cosines = wells @ np.nan_to_num(molecules).T
    np.fill_diagonal(cosines, -2)
    best = cosines.max(axis=0)
    calibrating = [best[m] for m in known if not blank[m]]
    part = f"hits of unseen molecules, {TO_PHENOTYPE}, own molecule left out"
    own = units[units["part"] == part].set_index(["metric", "unit"])
    for alpha in ALPHAS:
        for m in tested:
            p = (1 + sum(value >= best[m] for value in calibrating)) / (1 + len(calibrating))
            row = own.loc[(f"p <= {alpha:.0%}", m)]
            assert row["value"] == (not blank[m] and p <= alpha + SLACK)
            assert row["chance"] == pytest.approx(
                np.floor(alpha * (len(calibrating) + 1) + SLACK) / (len(calibrating) + 1)
            )


def test_molecules_and_deals_are_resampled_apart(monkeypatch):
    """Also where there are as many: the two say nothing of each other."""
    n = 30
    weights, plain = [], _confidence_hits._shares

    def noted(table, molecules, deals_):
        weights.append((molecules, deals_))
        return plain(table, molecules, deals_)

    monkeypatch.setattr(_confidence_hits, "_shares", noted)
    part = f"hits of unseen molecules, {TO_MOLECULE}"
    counts = pd.DataFrame({"unit": range(n), "draw": np.arange(n) // 2, "hits": 2, "wrong": 1})
    counts = counts.assign(any=True, part=part, model="A", level=0.2, **{"any wrong": True})
    wrong_shares(counts, ["A"], n, 0.9, n_bootstrap=500)
    molecules, deals_ = weights[-1]
    assert molecules.shape == deals_.shape == (500, n)
    assert abs(np.corrcoef(molecules.ravel(), deals_.ravel())[0, 1]) < 0.05


def test_no_hit_in_any_deal_is_no_figure_and_not_zero():
    empty = asked(0, 50.0)[1]
    shares = wrong_shares(empty[:0], ["A"], 1, 0.9)
    assert shares["value"].isna().all()
    assert (shares["n"] == 0).all()


def test_draws_without_hits_count_as_nothing_wrong():
    """Two of four draws have hits: half of the queries of one, none of the other, are wrong."""
    part = f"hits of unseen molecules, {TO_MOLECULE}"
    counts = pd.DataFrame(
        {
            "unit": [0, 1, 2],
            "draw": [0, 0, 3],
            "hits": [3, 1, 1],
            "wrong": [2, 0, 0],
            "any": True,
            "any wrong": [True, False, False],
            "part": part,
            "model": "A",
            "level": 0.1,
        }
    )
    shares = wrong_shares(counts, ["A"], 4, 0.9).set_index(["part", "metric"])
    assert shares.loc[(part, "queries wrong, q <= 10%"), "value"] == pytest.approx(0.5 / 4)
    assert shares.loc[(part, "hits wrong, q <= 10%"), "value"] == pytest.approx(2 / 5)
    assert shares.loc[(part, "hits wrong, q <= 10%"), "chance"] == 0.9
    assert shares.loc[(part, "hits wrong, q <= 10%"), "n"] == 3


def test_resamples_without_hits_are_no_share_of_wrong_ones():
    """Six molecules have a wrong and a right hit each, in one of 50 draws: half in any resample."""
    part = f"hits of unseen molecules, {TO_MOLECULE}"
    counts = pd.DataFrame({"unit": range(6), "draw": 3, "hits": 2, "wrong": 1})
    counts = counts.assign(any=True, part=part, model="A", level=0.2, **{"any wrong": True})
    shares = wrong_shares(counts, ["A"], 50, 0.9).set_index(["part", "metric"])
    row = shares.loc[(part, "hits wrong, q <= 20%")]
    assert (row[["value", "low", "high"]] == 0.5).all()
    row = shares.loc[(part, "queries wrong, q <= 20%")]
    assert row["value"] == pytest.approx(1 / 50)
    # One draw of 50 is drawn 0 to 3 times.
    assert row["low"] == 0
    assert 2 / 50 <= row["high"] <= 4 / 50


def test_on_a_public_screen_promises_hold_within_their_intervals(data_home):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two wells without features
        raw = load_cell_injury(data_home)
    features = list(raw.columns[raw.columns.str.match("Cells_|Cytoplasm_|Nuclei_")])
    # Every sixth well: enough of each molecule, and soon done.
    treated = ~find_controls(raw).mask
    table = ControlNormalizer(features, sphering=False).fit_transform(raw)
    table = table[~treated | (np.cumsum(treated) % 6 == 0)]
    profile = ProfileFeatures(features)
    models = {
        "Tanimoto-kernel average": TanimotoKernelEmbedder(phenotype=profile),
        "CCA": CCAEmbedder(phenotype=profile),
    }
    found = study_confidence(
        table, models, label="injury_type", cv=3, n_draws=10, random_state=0, n_bootstrap=500
    )
    scores = found.scores.set_index(["part", "model", "metric"])
    n_known = found.n_calibration[0]
    for model in models:
        for level in (0.8, 0.9, 0.95):
            row = scores.loc[("classes of unseen molecules", model, f"coverage {level:.0%}")]
            assert row["high"] >= level
            assert row["low"] <= level + 2 / (n_known + 1)
        for direction in (TO_MOLECULE, TO_PHENOTYPE):
            part = f"hits of unseen molecules, {direction}"
            for alpha in ALPHAS:
                row = scores.loc[(f"{part}, own molecule left out", model, f"p <= {alpha:.0%}")]
                assert row["low"] <= alpha
                assert row["high"] >= row["chance"] - 1 / (found.n_calibration_hits[0] + 1)
            for level in LEVELS:
                row = scores.loc[(part, model, f"queries wrong, q <= {level:.0%}")]
                assert not row["low"] > level
