"""The study of library selection: naive counts, exact chance, and a screen with a known answer."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from scipy.sparse import csr_matrix
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from sklearn.frozen import FrozenEstimator

from cloome_sk.baselines import RidgeEmbedder, TanimotoKernelEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.evaluation._library_items import (
    Items,
    limits_of_chance,
    near_items,
    replicate_distances,
    term_items,
)
from cloome_sk.evaluation._library_measured import connected, read_measured
from cloome_sk.evaluation._library_orders import (
    CEILING,
    MAXMIN,
    MEASURED,
    RANDOM,
    designer_order,
    measured_order,
)
from cloome_sk.evaluation._library_orders import fingerprint_maxmin as rdkit_maxmin
from cloome_sk.evaluation._library_scores import corrected_interval, differences_over_splits
from cloome_sk.evaluation.library_selection import study_library_selection
from cloome_sk.library import LibraryDesigner
from cloome_sk.model_selection import scaffold_groups
from cloome_sk.molecules import MoleculeFilters, molecule_key, parent_smiles
from cloome_sk.preprocessing import ControlNormalizer

GROUPS = {
    **{"amide": "C(N)=O", "nitrile": "C#N", "chlorine": "Cl", "sulfone": "S(C)(=O)=O"},
    **{"ether": "OC", "acid": "C(O)=O", "trifluoride": "C(F)(F)F", "amine": "N(C)C"},
    **{"ketone": "C(C)=O", "bromine": "Br"},
}
CORES = (
    *("c1cc({0})cc({1})c1", "c1nc({0})cc({1})c1", "c1cc({0})c2cc({1})ccc2c1", "C1CC({0})CC({1})C1"),
    *("c1c({0})sc({1})c1", "c1c({0})oc({1})c1", "c1nc({0})nc({1})c1", "C1CC({0})CC({1})CC1"),
    *("c1c({0})c2ccccc2n1C{1}", "O=C1CC({0})CC({1})O1", "C1CN({0})CC({1})C1", "c1cc({0})nnc1{1}"),
)


@pytest.fixture(scope="module")
def planted():
    """Wells of compounds with two groups each: the pair is the mechanism, and profiles add up.

    A few pairs are on all cores and the others on one, so that picking without a thought of
    the pair picks the same ones again and again. The core, most of the fingerprint, does nothing.
    """
    generator = np.random.default_rng(0)
    axes = {name: generator.normal(size=40) for name in GROUPS}
    rows = []
    for number, (one, other) in enumerate(itertools.combinations(GROUPS, 2)):
        cores = CORES if number % 9 == 0 else generator.choice(CORES, 1)
        for core in cores:
            smiles = core.format(GROUPS[one], GROUPS[other])
            if Chem.MolFromSmiles(smiles) is None:
                continue
            for well in range(3):
                profile = axes[one] + axes[other] + 0.4 * generator.normal(size=40)
                rows.append([smiles, f"{one}+{other}", f"P{well}", "trt", *profile])
    for well in range(12):
        rows.append(["CS(C)=O", None, f"P{well % 3}", "negcon", *(0.4 * generator.normal(size=40))])
    columns = ["smiles", "moa", "plate", "control_type", *(f"Cells_{n}" for n in range(40))]
    return pd.DataFrame(rows, columns=[f"Metadata_{c}" for c in columns[:4]] + columns[4:])


@pytest.fixture(scope="module")
def simulated():
    table = make_profiles(60, n_replicates=3, random_state=1)
    return ControlNormalizer().fit_transform(table)


@pytest.fixture(scope="module")
def found(simulated):
    return study_library_selection(
        simulated,
        {"kernel": TanimotoKernelEmbedder(), "ridge": RidgeEmbedder()},
        designer={"far": LibraryDesigner(), "bulk": LibraryDesigner(objective="coverage")},
        mechanism="moa",
        splits=["molecule", "scaffold", "mechanism"],
        budgets=[3, 6, 12],
        n_splits=5,
        data="simulated",
    )


# ------------------------------------------------------------------------------- what is counted


def random_items(seed, n_candidates=9, n_items=5, density=0.3):
    generator = np.random.default_rng(seed)
    return Items("any", generator.random((n_candidates, n_items)) < density, 0.5)


@pytest.mark.parametrize("seed", range(4))
def test_covered_equals_a_set(seed):
    items = random_items(seed)
    order = np.random.default_rng(seed).permutation(9)
    expected = [
        0.5 * len({item for row in order[:budget] for item in np.flatnonzero(items.covers[row])})
        for budget in (1, 2, 5, 9)
    ]
    assert items.covered(order, [1, 2, 5, 9]).tolist() == expected
    # who can pick no more than two covers no more with a larger budget
    few = [*expected[:2], expected[1], expected[1]]
    assert items.covered(order[:2], [1, 2, 5, 9]).tolist() == few
    assert items.covered(order[:0], [1, 9]).tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_chance_is_the_mean_over_all_libraries(seed):
    items = random_items(seed)
    for budget in (1, 3, 7, 9):
        every = [
            items.covered(np.array(rows), [budget])[0]
            for rows in itertools.combinations(range(9), budget)
        ]
        assert items.expected([budget])[0] == pytest.approx(np.mean(every), abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_ceiling_is_near_the_best_library(seed):
    items = random_items(seed)
    for budget in (1, 2, 4):
        best = max(
            items.covered(np.array(rows), [budget])[0]
            for rows in itertools.combinations(range(9), budget)
        )
        assert items.covered(items.ceiling(budget), [budget])[0] >= (1 - 1 / np.e) * best - 1e-12
    assert sorted(items.ceiling(9)) == list(range(9))


def test_the_ceiling_is_the_most_where_each_covers_one():
    labels = np.random.default_rng(0).integers(6, size=30)
    items = term_items("labels", [frozenset([str(label)]) for label in labels])
    for budget in (1, 4, 6, 9):
        assert items.covered(items.ceiling(9), [budget])[0] == min(budget, len(set(labels)))


def test_known_terms_are_no_items():
    terms = [frozenset("ab"), frozenset("b"), frozenset(), frozenset("c")]
    items = term_items("new", terms, frozenset("a"))
    assert items.covers.tolist() == [[True, False], [True, False], [False, False], [False, True]]
    assert term_items("new", terms, frozenset("abc")).covers.shape == (4, 0)


@pytest.mark.parametrize("radius", [0.0, 0.4, 0.9, 2.0])
def test_new_phenotypes_equal_a_naive_loop(radius):
    generator = np.random.default_rng(3)
    vectors = generator.normal(size=(25, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    held, deck = vectors[:20], vectors[20:]
    active = generator.random(20) < 0.7
    items = near_items("new", held, active, deck, radius)
    new = [
        row
        for row in range(20)
        if active[row] and all(1 - held[row] @ known > radius for known in deck)
    ]
    assert items.covers.shape == (20, len(new))
    for row in range(20):
        for column, target in enumerate(new):
            near = row == target or 1 - held[row] @ held[target] <= radius
            assert items.covers[row, column] == (active[row] and near)
    if new:
        assert items.covered(np.array(new), [len(new)])[0] == pytest.approx(1)


def test_distances_of_replicates_equal_naive_loops():
    generator = np.random.default_rng(0)
    wells, codes = generator.normal(size=(20, 4)) + 1, generator.integers(6, size=20)
    codes[:7] = [0, 1, 2, 3, 4, 5, 0]

    def apart(a, b):
        return 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    found = replicate_distances(wells, codes)
    for code in range(6):
        rows = np.flatnonzero(codes == code)
        if len(rows) > 1:
            each = [apart(wells[row], wells[rows[rows != row]].sum(axis=0)) for row in rows]
            assert found[code] == pytest.approx(np.mean(each))
        else:
            assert np.isnan(found[code])


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_of_noise_the_share_that_was_asked_for_is_active(share):
    sizes = np.tile([2, 3, 4, 8], 150)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    counts = np.zeros(len(sizes))
    for seed in range(6):
        wells = np.random.default_rng(seed).normal(size=(len(codes), 60))
        counts += replicate_distances(wells, codes) <= limits_of_chance(wells, codes, share, seed)
    for size in (2, 3, 4, 8):
        own = counts[sizes == size].sum() / (150 * 6)
        # three standard errors, and one more for the estimate of the limit
        assert abs(own - share) < 4 * np.sqrt(share * (1 - share) / (150 * 6))


def test_limits_do_not_depend_on_the_order_of_wells_and_need_two():
    generator = np.random.default_rng(0)
    sizes = np.tile([1, 2, 3, 6], 8)
    codes = np.repeat(np.arange(32), sizes)
    wells = generator.normal(size=(96, 8)) + np.eye(32, 8)[codes]
    order = generator.permutation(96)
    found = limits_of_chance(wells, codes, 0.05, 1)
    np.testing.assert_array_equal(found, limits_of_chance(wells[order], codes[order], 0.05, 1))
    assert np.isnan(found[sizes == 1]).all()
    # the mean over many wells varies less, so that less is needed to stand out
    limits = [set(found[sizes == size]) for size in (2, 3, 6)]
    assert [len(one) for one in limits] == [1, 1, 1]
    assert max(limits[0]) < max(limits[1]) < max(limits[2])


def test_profiles_that_share_a_direction_are_to_be_centred(simulated):
    columns = [name for name in simulated if name.startswith("Cells_")]
    moved = simulated[["Metadata_smiles", "Metadata_moa", "Metadata_control_type"]].copy()
    values = simulated[columns].to_numpy()
    moved[columns] = values / np.linalg.norm(values, axis=1).mean()
    strong = moved["Metadata_smiles"].isin(moved["Metadata_smiles"].dropna().unique()[:8])
    moved.loc[~strong, columns] += 10.0
    with pytest.raises(ValueError, match="centre the profiles on controls first"):
        study_library_selection(
            moved, {"kernel": TanimotoKernelEmbedder()}, budgets=[3], n_splits=2
        )


def test_inactive_compounds_are_mostly_told_from_active_ones(simulated):
    measured = read_measured(simulated, None, None, None, "|", "auto", None, 0.05)
    truth = simulated.groupby(np.where(measured.codes < 0, -1, measured.codes))["Metadata_active"]
    active = truth.first().drop(-1).to_numpy(bool)
    assert measured.active[active].mean() > 0.9
    assert measured.active[~active].mean() < 0.1


def test_compounds_of_one_well_are_said_to_be_untold(simulated):
    treated = simulated["Metadata_control_type"].isna()
    some = simulated.loc[treated, "Metadata_smiles"].unique()[:4]
    drop = simulated["Metadata_smiles"].isin(some) & simulated.duplicated("Metadata_smiles")
    thinned = simulated[~(drop & treated)]
    measured = read_measured(thinned, None, None, None, "|", "auto", None, 0.05)
    assert sorted(measured.keys[measured.single]) == sorted(molecule_key(some))
    assert not measured.active[measured.single].any()
    models = {"kernel": TanimotoKernelEmbedder()}
    said = study_library_selection(thinned, models, budgets=[3], n_splits=2).report()
    assert "Of these, 4 have one well only, which cannot tell" in said
    said = study_library_selection(
        thinned, models, budgets=[3], n_splits=2, activity_p=None
    ).report()
    assert "60 compounds have a phenotype: all were taken to have one." in said


def test_groups_by_mechanism_are_those_of_a_search():
    generator = np.random.default_rng(0)
    terms = [
        frozenset(f"m{one}" for one in generator.integers(40, size=generator.integers(0, 3)))
        for _ in range(40)
    ]
    groups = connected(terms)
    for first in range(40):
        reached, before = {first}, set()
        while reached != before:
            before = reached
            reached = {
                row
                for row in range(40)
                for other in before
                if row == other or terms[row] & terms[other]
            }
        assert set(np.flatnonzero(groups == groups[first])) == reached
    assert 2 < len(set(groups)) < 40


def test_a_mechanism_is_never_on_both_sides(simulated):
    several = simulated.copy()
    first, second = several["Metadata_moa"].dropna().unique()[:2]
    keys = several.loc[several["Metadata_moa"] == first, "Metadata_smiles"].unique()
    several.loc[several["Metadata_smiles"].isin(keys[::2]), "Metadata_moa"] = f"{first}|{second}"
    measured = read_measured(several, None, None, "moa", "|", "auto", None, 0.05)
    for deck, held in measured.split("mechanism", 8, 0.5, 0):
        sides = [frozenset().union(*(measured.terms[row] for row in own)) for own in (deck, held)]
        assert sides[0]
        assert sides[1]
        assert not sides[0] & sides[1]
    result = study_library_selection(
        several,
        {"kernel": TanimotoKernelEmbedder()},
        mechanism="moa",
        splits="mechanism",
        budgets=[3],
        n_splits=2,
    )
    n_known = several.dropna(subset="Metadata_moa").groupby("Metadata_moa")["Metadata_smiles"]
    linked = n_known.nunique()[[f"{first}|{second}", first, second]].sum()
    (said,) = [note for note in result.notes if note.startswith("By mechanism")]
    assert f" {linked}" in said


def test_a_corrected_interval_is_that_of_the_formula():
    values = np.random.default_rng(0).normal(0.4, 1, size=12)
    low, high, p = corrected_interval(values, 0.0, 0.9)
    plain = ttest_1samp(values, 0.0)
    assert (low, high) == pytest.approx(tuple(plain.confidence_interval(0.9)))
    assert p == pytest.approx(plain.pvalue)
    low, high, p = corrected_interval(values, 0.5, 0.9)
    error = np.sqrt((1 / 12 + 0.5) * values.var(ddof=1))
    assert high - low == pytest.approx(2 * error * student.ppf(0.95, 11))
    assert p == pytest.approx(2 * student.sf(abs(values.mean()) / error, 11))


@pytest.mark.parametrize("values", [np.ones(9), np.arange(4.0)])
def test_no_interval_without_spread_or_of_few_splits(values):
    assert np.isnan(corrected_interval(values, 1.0, 0.95)).all()


def test_differences_are_paired_by_split():
    generator = np.random.default_rng(0)
    base = generator.normal(size=8)
    tables = [
        pd.DataFrame({"unit": range(8), "model": name, "value": base + shift})
        for name, shift in (("A", 1 + 0.1 * generator.normal(size=8)), ("B", 0.0), ("C", 0.9))
    ]
    units = pd.concat(tables).assign(part="all", metric="m", chance=0.0)
    found = differences_over_splits(units, "A", {"all": 1.0}, 0.95).set_index("reference")
    apart = tables[0]["value"].to_numpy() - base
    low, high, p = corrected_interval(apart, 1.0, 0.95)
    assert found.loc["B", ["difference", "low", "high", "p"]].tolist() == pytest.approx(
        [apart.mean(), low, high, p]
    )
    assert found.loc["B", "p_holm"] == pytest.approx(2 * p)
    assert list(found.index) == ["B", "C"]


# ------------------------------------------------------------------------------ how it is picked


@pytest.mark.parametrize("n_deck", [1, 10])
def test_maxmin_on_fingerprints_equals_a_naive_loop(planted, n_deck):
    smiles = planted["Metadata_smiles"].drop_duplicates().to_numpy(dtype=object)
    deck, held = smiles[:n_deck], smiles[n_deck:60]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)

    def prints(texts):
        return [generator.GetFingerprint(Chem.MolFromSmiles(t)) for t in parent_smiles(texts)]

    pool, covered, expected = prints(held), prints(deck), []
    for _ in range(15):
        near = [
            -1
            if row in expected
            else min(1 - DataStructs.TanimotoSimilarity(one, o) for o in covered)
            for row, one in enumerate(pool)
        ]
        expected.append(int(np.argmax(near)))
        covered.append(pool[expected[-1]])
    assert rdkit_maxmin(deck, held, 15, radius=2, n_bits=1024).tolist() == expected


def test_pairs_of_groups_that_nobody_has_are_found(planted):
    result = study_library_selection(
        planted,
        {"ridge": RidgeEmbedder()},
        designer=LibraryDesigner(phenotype_share=1),
        mechanism="moa",
        budgets=[4, 8],
        n_splits=12,
        deck_share=0.6,
    )
    assert result.headline == "new mechanisms"
    table = result.differences
    table = table[(table["metric"] == "new mechanisms") & table["part"].str.endswith(" 8 picks")]
    table = table.set_index("reference")
    # of 8 picks, random ones and those of the fingerprints have about 3 new pairs
    assert table.loc[[MAXMIN, RANDOM], "difference"].min() > 3
    assert table.loc[[MAXMIN, RANDOM], "low"].min() > 2
    assert table.loc[[MAXMIN, RANDOM], "p_holm"].max() < 0.01
    assert -1 < table.loc[CEILING, "difference"] <= 0
    assert result.leakage["ok"].all()
    said = result.sentences()[1]
    assert "new molecules, 8 picks: new mechanisms of ridge" in said
    assert "better than chance" in said
    assert f"Better than {MAXMIN}" in said


def test_phenotypes_that_structure_does_not_tell_are_not_found(planted):
    generator = np.random.default_rng(1)
    treated = planted["Metadata_control_type"] == "trt"
    keys = planted.loc[treated, "Metadata_smiles"].unique()
    swapped = dict(zip(keys, generator.permutation(keys), strict=True))
    shuffled = planted.assign(
        Metadata_smiles=planted["Metadata_smiles"].map(swapped).where(treated, "CS(C)=O")
    )
    result = study_library_selection(
        shuffled,
        {"ridge": RidgeEmbedder()},
        designer=LibraryDesigner(phenotype_share=1),
        mechanism="moa",
        budgets=[8],
        n_splits=12,
        deck_share=0.6,
    )
    row = result.scores.set_index(["metric", "model"]).loc[("new mechanisms", "ridge")]
    assert row["p_chance"] > 0.05
    assert row["low"] < row["chance"] < row["high"]


class Spy(TanimotoKernelEmbedder):
    """Keeps the keys of the molecules that each training saw."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y=None):
        treated = X["Metadata_control_type"].ne("negcon") | X["Metadata_control_type"].isna()
        type(self).seen.append(set(molecule_key(X.loc[treated, "Metadata_smiles"])))
        return super().fit(X, y)


@pytest.mark.parametrize("split", ["molecule", "scaffold", "mechanism"])
def test_models_see_the_deck_only(simulated, split):
    Spy.seen = []
    result = study_library_selection(
        simulated, {"spy": Spy()}, mechanism="moa", splits=split, budgets=[4, 8], n_splits=4
    )
    assert len(Spy.seen) == 4
    by_key = simulated[simulated["Metadata_control_type"].isna()].copy()
    by_key["key"] = molecule_key(by_key["Metadata_smiles"])
    by_key["scaffold"] = scaffold_groups(by_key["Metadata_smiles"].tolist())
    for fold, seen in enumerate(Spy.seen):
        picks = result.picks[result.picks["fold"] == fold]
        assert len(picks) == 3 * 8
        assert set(picks["model"]) == {"spy", MAXMIN, MEASURED}
        assert not set(picks["molecule"]) & seen
        column = {"molecule": "key", "scaffold": "scaffold", "mechanism": "Metadata_moa"}[split]
        of_picks = set(by_key.loc[by_key["key"].isin(picks["molecule"]), column])
        assert not of_picks & set(by_key.loc[by_key["key"].isin(seen), column])


def test_a_model_that_saw_candidates_is_refused(simulated):
    trained = FrozenEstimator(TanimotoKernelEmbedder().fit(simulated))
    with pytest.raises(ValueError, match="were in the training of this model"):
        study_library_selection(simulated, {"frozen": trained}, budgets=[3], n_splits=2)


def test_picks_are_those_of_the_designer(simulated):
    designer = LibraryDesigner(phenotype_share=0.3, objective="coverage")
    result = study_library_selection(
        simulated, {"kernel": TanimotoKernelEmbedder()}, designer=designer, budgets=[7], n_splits=2
    )
    own = result.picks[(result.picks["model"] == "kernel") & (result.picks["fold"] == 1)]
    measured = read_measured(simulated, None, None, None, "|", "auto", None, 0.05)
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    deck, held = list(measured.split("molecule", 2, 0.5, seed))[1]
    kernel = TanimotoKernelEmbedder().fit(measured.wells(deck, controls=True))
    again = LibraryDesigner(kernel, phenotype_share=0.3, objective="coverage")
    again.fit(measured.smiles[deck].tolist())
    picks = again.select(measured.smiles[held].tolist(), 7)
    assert own["smiles"].tolist() == picks["smiles"].tolist()
    assert not designer.get_params()["embedder"]


def test_compounds_without_a_phenotype_come_last_where_phenotypes_are_known(simulated, found):
    picked = found.picks[found.picks["model"] == MEASURED]
    assert not picked.duplicated(["split", "fold", "molecule"]).any()
    measured = read_measured(simulated, None, None, None, "|", "auto", None, 0.05)
    for deck, held in measured.split("molecule", 3, 0.5, 0):
        n_active = int(measured.active[held].sum())
        assert 3 < n_active < len(held) - 3
        order = measured_order(LibraryDesigner(), measured, deck, held, len(held))
        assert sorted(order) == list(range(len(held)))
        active = measured.active[held[order]]
        assert active[:n_active].all()
        assert not active[n_active:].any()
        few = measured_order(LibraryDesigner(), measured, deck, held, 3)
        assert few.tolist() == order[:3].tolist()


class Nitrogen:
    """One series: compounds with a nitrogen."""

    def transform(self, smiles):
        return csr_matrix([[("N" in text) or ("n" in text)] for text in smiles])


def test_all_ways_pick_from_what_passes_the_filters(simulated):
    smiles = simulated.loc[simulated["Metadata_control_type"].isna(), "Metadata_smiles"].unique()
    atoms = {text: Chem.MolFromSmiles(text).GetNumHeavyAtoms() for text in parent_smiles(smiles)}
    least = int(np.median(list(atoms.values())))
    result = study_library_selection(
        simulated,
        {"kernel": TanimotoKernelEmbedder()},
        designer={
            "large": LibraryDesigner(
                filters=MoleculeFilters([], ranges={"heavy_atoms": (least, None)})
            ),
            "any": LibraryDesigner(),
        },
        mechanism="moa",
        budgets=[4, 8],
        n_splits=3,
    )
    picked = [atoms[text] for text in parent_smiles(result.picks["smiles"])]
    assert min(picked) >= least > min(atoms.values())
    assert set(result.picks["model"]) == {"kernel, large", "kernel, any", MAXMIN, MEASURED}
    same = result.picks.set_index("model")["molecule"]
    # the filter has no effect but by the pool, which is the same for both
    assert same["kernel, large"].tolist() == same["kernel, any"].tolist()
    n_passing = sum(count >= least for count in atoms.values())
    assert f"{n_passing} of 60 compounds pass all filters of the designers" in result.report()
    values = result.curves.pivot(index=["metric", "budget"], columns="model", values="value")
    exact = values.drop("new phenotypes", level="metric")
    assert (exact.le(exact[CEILING] + 1e-12, axis=0)).all(axis=None)


def test_filters_that_leave_too_few_are_said_before_training(simulated):
    class Untrainable(TanimotoKernelEmbedder):
        def fit(self, X, y=None):
            raise AssertionError("trained")

    strict = LibraryDesigner(filters=MoleculeFilters([], ranges={"heavy_atoms": (33, None)}))
    with pytest.raises(
        ValueError, match=r"more than the \d+ candidates, of 30, that pass the filters of fold 0"
    ):
        study_library_selection(
            simulated, {"k": Untrainable()}, designer=strict, budgets=[25], n_splits=2
        )


def test_full_series_leave_fewer_picks(simulated):
    designer = LibraryDesigner(series=Nitrogen(), max_per_series=2)
    measured = read_measured(simulated, None, None, None, "|", "auto", None, 0.05)
    deck, held = next(measured.split("molecule", 2, 0.5, 0))
    kernel = TanimotoKernelEmbedder().fit(measured.wells(deck, controls=True))
    inside = Nitrogen().transform(measured.smiles[held]).toarray()[:, 0]
    assert 2 < inside.sum() < 28
    order = designer_order(designer, kernel, measured, deck, held, 28)
    assert len(order) == (~inside).sum() + 2
    assert inside[order].sum() == 2
    order = measured_order(designer, measured, deck, held, 28)
    active = measured.active[held]
    assert len(order) == (active & ~inside).sum() + min(2, (active & inside).sum())
    assert active[order].all()
    result = study_library_selection(
        simulated,
        {"kernel": TanimotoKernelEmbedder()},
        designer=designer,
        budgets=[4, 28],
        n_splits=2,
    )
    said = result.report()
    assert "kernel: fewer picks than the largest budget in 2 split(s)" in said
    assert "max_per_series= binds the picks of the designers" in said


def test_intervals_are_corrected_by_the_sizes_of_their_own_splits(simulated):
    arguments = {"mechanism": "moa", "budgets": [6], "n_splits": 6, "n_random": 20}
    arguments["models"] = {"kernel": TanimotoKernelEmbedder()}
    uneven = simulated.copy()
    some = uneven["Metadata_moa"].dropna().unique()[:9]
    uneven["Metadata_moa"] = uneven["Metadata_moa"].where(
        ~uneven["Metadata_moa"].isin(some), some[0]
    )
    both = study_library_selection(uneven, splits=["molecule", "mechanism"], **arguments)
    for kind in ("molecule", "mechanism"):
        alone = study_library_selection(uneven, splits=kind, **arguments)
        columns = ["part", "model", "metric", "value", "low", "high", "p_chance"]
        rows = both.scores[both.scores["part"].isin(alone.scores["part"])]
        own = rows[columns].sort_values(columns[:3], ignore_index=True)
        # random picks of the second kind are drawn anew
        pd.testing.assert_frame_equal(
            own[own["model"] != RANDOM],
            alone.scores[columns]
            .sort_values(columns[:3], ignore_index=True)
            .loc[lambda table: table["model"] != RANDOM],
        )


def test_the_order_of_wells_does_not_matter(simulated, found):
    shuffled = simulated.sample(frac=1, random_state=0)
    again = study_library_selection(
        shuffled,
        {"kernel": TanimotoKernelEmbedder()},
        mechanism="moa",
        budgets=[3, 6, 12],
        n_splits=5,
    )
    first = found.picks[
        (found.picks["split"] == "new molecules") & (found.picks["model"] == MAXMIN)
    ]
    second = again.picks[again.picks["model"] == MAXMIN]
    assert first["smiles"].tolist() == second["smiles"].tolist()
    left, right = (
        one.curves[(one.curves["split"] == "new molecules") & (one.curves["model"] == RANDOM)]
        for one in (found, again)
    )
    np.testing.assert_allclose(left["value"], right["value"])
    np.testing.assert_allclose(left["chance"], right["chance"])


# ------------------------------------------------------------------------------- what is reported


def test_curves_grow_and_stay_below_the_ceiling(found):
    values = found.curves.pivot(
        index=["split", "metric", "model"], columns="budget", values="value"
    )
    # a split has each metric or has it not, whatever the budget
    assert (np.diff(values.to_numpy(), axis=1) >= -1e-12).all()
    wide = found.curves.pivot(index=["split", "metric", "budget"], columns="model", values="value")
    exact = wide[wide.index.get_level_values("metric") != "new phenotypes"]
    assert (exact.drop(columns=CEILING).le(exact[CEILING] + 1e-12, axis=0)).all(axis=None)
    assert (wide[CEILING] >= wide[RANDOM]).all()


def test_draws_surround_their_exact_mean(found):
    random = found.curves[found.curves["model"] == RANDOM]
    np.testing.assert_allclose(random["value"], random["chance"], rtol=0.08)
    assert (random["draws_low"] <= random["chance"]).all()
    assert (random["draws_high"] >= random["chance"]).all()


def test_every_way_of_picking_is_reported(found):
    ways = {f"{m}, {d}" for m in ("kernel", "ridge") for d in ("far", "bulk")}
    assert set(found.scores["model"]) == ways | {MAXMIN, MEASURED, RANDOM, CEILING}
    assert found.model == "kernel, far"
    assert set(found.curves["split"]) == {"new molecules", "new scaffolds", "new mechanisms"}
    assert found.headline == "new mechanisms"
    assert found.leakage["ok"].all()
    assert len(found.leakage) == 3 * 5 * 2
    text = found.report()
    for words in ("new scaffolds, 12 picks", "corrected resampled t-tests", "(chance)", "Leakage"):
        assert words in text


def test_without_mechanisms_only_phenotypes_count(simulated):
    result = study_library_selection(
        simulated, {"kernel": TanimotoKernelEmbedder()}, budgets=[4], n_splits=2, n_clusters=5
    )
    assert set(result.curves["metric"]) == {"phenotype clusters", "new phenotypes"}
    assert result.headline == "new phenotypes"
    assert result.picks["cluster"].isin(range(5)).all()
    assert set(result.picks["mechanisms"]) == {""}


def test_figures_and_files(found, tmp_path):
    pytest.importorskip("matplotlib")
    figure = found.plot()
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert len(panels) == 3 * 4
    assert len(found.plot("new phenotypes").axes) == 3
    assert len(found.plot_forest().axes) >= 3
    with pytest.raises(ValueError, match="no metric 'R@1'; there are 'new mechanisms'"):
        found.plot("R@1")
    written = found.write(tmp_path)
    assert {path.name.removeprefix("library-selection_simulated") for path in written} == {
        *(".csv", "_differences.csv", "_leakage.csv", ".png", "_curves.csv", "_picks.csv")
    }
    assert len(pd.read_csv(tmp_path / "library-selection_simulated_picks.csv")) == len(found.picks)


def test_single_wells_need_a_radius(simulated):
    single = simulated.drop_duplicates("Metadata_smiles")
    arguments = ({"kernel": TanimotoKernelEmbedder()},)
    with pytest.raises(ValueError, match=r"no compound has two wells.*radius= and activity_p=None"):
        study_library_selection(single, *arguments, budgets=[3], n_splits=2)
    result = study_library_selection(
        single, *arguments, budgets=[3], n_splits=2, radius=0.5, activity_p=None
    )
    assert "two are one phenotype up to a distance of 0.500" in result.report()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budgets": [5, 3]}, "budgets must be ascending"),
        ({"budgets": []}, "budgets must be ascending"),
        ({"budgets": [2.5]}, "budgets must be ascending"),
        ({"budgets": [500]}, "a budget of 500 is more than the 30 candidates of fold 0"),
        ({"n_splits": 1}, "n_splits must be a whole number of at least 2"),
        ({"n_random": 3}, "n_random must be a whole number of at least 20"),
        ({"deck_share": 1}, "deck_share must be between 0 and 1"),
        ({"confidence": 1.5}, "confidence must be between 0 and 1"),
        ({"activity_p": 0}, "activity_p must be between 0 and 1"),
        ({"radius": 3}, "radius must be 1 - cosine"),
        ({"n_clusters": 1000}, "n_clusters must be from 1 to the 60 compounds"),
        ({"splits": "plate"}, "splits='plate' is unknown; there are 'molecule', 'scaffold'"),
        ({"splits": "mechanism"}, "needs mechanism="),
        ({"splits": []}, "splits= is empty; there are 'molecule', 'scaffold'"),
        ({"splits": ["scaffold", "scaffold"]}, "splits= has 'scaffold' more than once"),
        ({"designer": LibraryDesigner(quality="price")}, "quality='price', a column of the cand"),
        ({"designer": {}}, "there is no model, or no designer"),
        *(
            ({"models": {name: TanimotoKernelEmbedder()}}, "is what a reference of this study is")
            for name in (CEILING, RANDOM, MAXMIN, MEASURED)
        ),
        (
            {
                "models": dict.fromkeys(["a", "a, b"], TanimotoKernelEmbedder()),
                "designer": dict.fromkeys(["", "b"], LibraryDesigner()),
            },
            "two pairs of a model and a designer are called 'a, b'",
        ),
        ({"models": {3: TanimotoKernelEmbedder()}}, "are texts, got 3"),
        ({"mechanism": "moas"}, "has no column 'moas'"),
        ({"model": "other"}, "no way of picking 'other'; there are 'kernel'"),
        ({"models": {}}, "there is no model"),
        ({"features": ["Cells_no"]}, "missing from the table: Cells_no"),
    ],
)
def test_what_makes_no_sense_is_refused(simulated, changes, message):
    arguments = {
        "models": {"kernel": TanimotoKernelEmbedder()},
        "budgets": [3],
        "n_splits": 2,
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        study_library_selection(simulated, **arguments)


def test_tables_and_models_of_other_types_are_refused(simulated):
    with pytest.raises(TypeError, match="models is a dict"):
        study_library_selection(simulated, TanimotoKernelEmbedder())
    with pytest.raises(TypeError, match=r"takes a LibraryDesigner .* got MoleculeFilters for 'f'"):
        study_library_selection(
            simulated,
            {"kernel": TanimotoKernelEmbedder()},
            designer={"f": MoleculeFilters()},
        )
    with pytest.raises(TypeError, match="X must be a pandas DataFrame"):
        study_library_selection(simulated.to_numpy(), {"kernel": TanimotoKernelEmbedder()})


def test_profiles_must_be_finite(simulated):
    broken = simulated.copy()
    first = next(name for name in broken if name.startswith("Cells_"))
    treated = np.flatnonzero(broken["Metadata_control_type"].isna())[2]
    broken.iloc[treated, broken.columns.get_loc(first)] = np.nan
    with pytest.raises(ValueError, match=f"study_library_selection.*{first}"):
        study_library_selection(broken, {"k": TanimotoKernelEmbedder()}, budgets=[3], n_splits=2)
