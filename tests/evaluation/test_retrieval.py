"""The retrieval study against a double loop, `compare` and chance, and with leaks planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hypergeom
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, KFold

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import (
    CCAEmbedder,
    CompoundLDAEmbedder,
    ProfileEmbedder,
    TanimotoKernelEmbedder,
    compare,
    default_controls,
)
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.evaluation import _retrieval_scores as scoring
from cloome_sk.evaluation import load_screen, screens
from cloome_sk.evaluation._retrieval_splits import draw_rows, make_splits
from cloome_sk.evaluation.controls import (
    SHUFFLED_WITHIN,
    WITHIN,
    _share_moved,
    with_large_classes,
)
from cloome_sk.evaluation.retrieval import retrieval_of_screen, study_retrieval
from cloome_sk.model_selection import leakage_report, molecule_groups
from cloome_sk.molecules import molecule_key

SIZE = 4
VECTOR = [f"Cells_z{number}" for number in range(SIZE)]
SMILES = [
    *("CCO", "CCN", "CCCl", "CCCO", "CCCN", "CCCCl", "CCBr", "CCCBr", "CCS", "CCCS", "CCF", "CCCF"),
    *("c1ccccc1", "Cc1ccccc1", "c1ccncc1", "Cc1ccncc1", "C1CCCCC1", "CC1CCCCC1", "C1CCNCC1"),
    *("c1ccoc1", "Cc1ccoc1", "c1ccsc1", "C1CCC1", "C1CC1"),
]


class Stored(BaseEstimator):
    """Embeds a row by numbers that stand in the table, and a molecule by those of a dictionary."""

    def __init__(self, vectors, reads="as it is"):
        self.vectors = vectors
        self.reads = reads

    def fit(self, X, y=None):
        self.molecules_seen_ = np.unique(molecule_key(X["Metadata_smiles"]))
        return self

    def embed_phenotypes(self, X):
        return X[VECTOR].to_numpy(dtype=float)

    def embed_molecules(self, molecules):
        return np.array([self.vectors[smiles] for smiles in molecules], dtype=float)


class Together(Stored):
    """Gives all rows of a molecule the mean of those that it is shown together, like bags."""

    pools = True

    def embed_phenotypes(self, X):
        means = X.groupby("Metadata_smiles")[VECTOR].transform("mean")
        return means.to_numpy(dtype=float)


class Checkpoint(Stored):
    """Says that it started from weights of a file."""

    def fit(self, X, y=None):
        self.checkpoint_sha256_ = "0123456789abcdef"
        return super().fit(X)


class Folds:
    """Folds that are given."""

    def __init__(self, folds):
        self.folds = folds

    def split(self, X, y=None, groups=None):
        return iter(self.folds)


def stored_table(seed, *, whole=False, smiles=SMILES, n_plates=4):
    """Two to four wells a molecule on different plates; whole numbers make many ties."""
    rng = np.random.default_rng(seed)
    draw = (lambda *n: rng.integers(1, 3, size=n)) if whole else (lambda *n: rng.normal(size=n))
    rows = [
        {
            "Metadata_smiles": one,
            "Metadata_Plate": f"P{plate}",
            "Metadata_Well": f"A{number % 12 + 1:02d}",
            "Metadata_pert_type": "trt",
            **dict(zip(VECTOR, draw(SIZE), strict=True)),
        }
        for number, one in enumerate(smiles)
        for plate in rng.permutation(n_plates)[: rng.integers(2, n_plates + 1)]
    ]
    control = {**rows[0], "Metadata_smiles": "CS(C)=O", "Metadata_pert_type": "negcon"}
    rows += [{**control, "Metadata_Plate": f"P{plate}"} for plate in range(n_plates)]
    vectors = {one: draw(SIZE).tolist() for one in smiles}
    table = pd.DataFrame(rows).sample(frac=1, random_state=seed).reset_index(drop=True)
    return table, vectors


def treated(table):
    return table[table["Metadata_pert_type"] != "negcon"].reset_index(drop=True)


def expected_hit(similarity, right, k):
    """Probability that `right` is among the first k, ties in random order."""
    tied = np.isclose(similarity, similarity[right], rtol=0, atol=1e-9)
    above = int((~tied & (similarity > similarity[right])).sum())
    return min(max(k - above, 0), tied.sum()) / tied.sum()


def cosine(a, b):
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))


def looped(phenotypes, molecules):
    """Metrics of each molecule in both directions, one cosine at a time."""
    names = list(molecules)
    out = []
    sides = {"phenotype to molecule": (phenotypes, molecules)}
    sides["molecule to phenotype"] = (molecules, phenotypes)
    for direction, (query, database) in sides.items():
        for right, name in enumerate(names):
            near = np.array([cosine(query[name], database[other]) for other in names])
            ahead = [
                0.5 if abs(value - near[right]) < 1e-9 else float(value > near[right])
                for place, value in enumerate(near)
                if place != right
            ]
            figures = {f"R@{k}": expected_hit(near, right, k) for k in (1, 5, 10)}
            figures["relative rank"] = np.mean(ahead)
            out += [(direction, metric, name, value) for metric, value in figures.items()]
    return pd.DataFrame(out, columns=["direction", "metric", "molecule", "value"])


def naive(table, vectors, tests, pick):
    """Means over molecules; `pick` turns the rows of a molecule into one vector."""
    frames = []
    for test in tests:
        own = table.iloc[test]
        phenotypes = {
            smiles: pick(rows[VECTOR].to_numpy(dtype=float), rows.index.to_numpy())
            for smiles, rows in own.groupby("Metadata_smiles", sort=False)
        }
        frames.append(looped(phenotypes, {name: vectors[name] for name in phenotypes}))
    return pd.concat(frames).groupby(["direction", "metric", "molecule"])["value"].mean()


def mean_of_units(rows, _):
    return np.sum([row / np.sqrt(np.dot(row, row)) for row in rows], axis=0)


def by_molecule(table, seed, n_folds=2):
    """Folds of the treated rows, by molecule."""
    groups = treated(table)["Metadata_smiles"].to_numpy(dtype=object)
    folds = np.random.default_rng(seed).integers(n_folds, size=len(SMILES))
    fold_of = pd.Series(groups).map(dict(zip(SMILES, folds, strict=True))).to_numpy()
    return [(np.flatnonzero(fold_of != f), np.flatnonzero(fold_of == f)) for f in range(n_folds)]


def figure(study, part, metric, model=None):
    scores = study.scores.set_index(["part", "model", "metric"])
    return scores.loc[(part, model or study.model, metric)]


@pytest.mark.parametrize("whole", [False, True], ids=["real numbers", "many ties"])
def test_pooled_is_a_double_loop(whole):
    table, vectors = stored_table(1, whole=whole)
    folds = by_molecule(table, 5)
    study = study_retrieval(
        table, {"stored": Stored(vectors)}, splits="molecule", cv=Folds(folds), random_state=0
    )
    wanted = naive(treated(table), vectors, [test for _, test in folds], mean_of_units)
    for (direction, metric), values in wanted.groupby(level=[0, 1]):
        found = figure(study, f"unseen molecules, pooled: {direction}", metric)
        assert found["value"] == pytest.approx(values.mean(), abs=1e-12)
        assert found["n"] == len(SMILES)
        sizes = np.array([treated(table).iloc[t]["Metadata_smiles"].nunique() for _, t in folds])
        if metric != "relative rank":
            k = int(metric[2:])
            assert found["chance"] == pytest.approx((np.minimum(k, sizes)).sum() / sizes.sum())


def test_one_image_is_a_double_loop_over_the_same_draws():
    table, vectors = stored_table(2, whole=True)
    folds, n_draws = by_molecule(table, 6), 7
    study = study_retrieval(
        table,
        {"stored": Stored(vectors)},
        splits=["molecule"],
        cv=Folds(folds),
        n_draws=n_draws,
        random_state=3,
    )
    planned, _, _ = make_splits(
        table,
        ["molecule"],
        cv=Folds(folds),
        n_draws=n_draws,
        controls="auto",
        plate="plate",
        well="well",
        random_state=3,
    )
    (part,) = planned[0].parts
    rows = treated(table)
    each = []
    for number in range(n_draws):
        chosen = {
            int(test[place])
            for test, drawn in zip(part.tested, part.draws, strict=True)
            for place in drawn[number]
        }
        assert rows.loc[sorted(chosen), "Metadata_smiles"].is_unique
        assert set(rows.loc[sorted(chosen), "Metadata_smiles"]) == set(SMILES)

        def drawn_row(values, index, chosen=frozenset(chosen)):
            (place,) = [place for place, row in enumerate(index) if row in chosen]
            return values[place]

        each.append(naive(rows, vectors, [test for _, test in folds], drawn_row))
    wanted = pd.concat(each).groupby(level=[0, 1]).mean()
    assert len(set(map(tuple, part.draws[0]))) > 1
    for (direction, metric), value in wanted.items():
        found = figure(study, f"unseen molecules, one image: {direction}", metric)
        assert found["value"] == pytest.approx(value, abs=1e-12)


def test_draws_are_uniform_over_the_rows_of_each_molecule():
    codes = np.array([1, 0, 1, 2, 1, 0])
    draws = draw_rows(codes, 6000, np.random.RandomState(0))
    assert (codes[draws] == np.arange(3)).all()
    for code in range(3):
        rows, counts = np.unique(draws[:, code], return_counts=True)
        assert rows.tolist() == np.flatnonzero(codes == code).tolist()
        assert np.abs(counts / 6000 - 1 / len(rows)).max() < 0.03


def test_one_image_of_an_encoder_of_bags_shows_one_row():
    """Embedded together, each row would know the other rows of its molecule: nothing is drawn."""
    table, vectors = stored_table(3)
    options = {"splits": "molecule", "cv": 2, "random_state": 0}
    alone = study_retrieval(table, {"m": Stored(vectors)}, **options).scores
    bags = study_retrieval(table, {"m": Together(vectors)}, **options).scores
    one = alone["part"].str.contains("one image")
    pd.testing.assert_frame_equal(bags[one], alone[one])
    assert not np.allclose(bags.loc[~one, "value"], alone.loc[~one, "value"])


def cheap():
    return {"CCA": CCAEmbedder(), "kernel": TanimotoKernelEmbedder(), "LDA": CompoundLDAEmbedder()}


@pytest.fixture(scope="module")
def compared():
    from cloome_sk.datasets import make_profiles

    table = make_profiles(n_compounds=40, random_state=1)
    study = study_retrieval(table, cheap(), cv=3, random_state=11, n_draws=3)
    return table, study


@pytest.mark.parametrize(
    ("task", "part"),
    [
        ("unseen_molecules", "unseen molecules"),
        ("unseen_plates", "seen molecules on unseen plates"),
    ],
)
def test_pooled_is_what_compare_finds_on_the_same_folds(compared, task, part):
    table, study = compared
    wanted = compare(table, cheap(), task=task, cv=3, random_state=11)
    across = r"^(R@\d+|relative rank) (phenotype to molecule|molecule to phenotype)$"
    parsed = wanted["metric"].str.extract(across)
    own = wanted.assign(short=parsed[0], direction=parsed[1]).dropna(subset="short")
    assert len(own) == 3 * 2 * 4
    for _, row in own.iterrows():
        found = figure(study, f"{part}, pooled: {row['direction']}", row["short"], row["model"])
        for column in ("value", "chance", "n"):
            np.testing.assert_equal(found[column], row[column])


def test_a_model_that_knows_no_unseen_molecule_has_no_answer(compared):
    _, study = compared
    for split in ("molecules", "scaffolds"):
        for way in ("pooled", "one image"):
            row = figure(study, f"unseen {split}, {way}: phenotype to molecule", "R@1", "LDA")
            assert row["n"] == 0
            assert np.isnan(row["value"])
    note = "LDA has no embedding in any fold, and so no answer: unseen molecules, unseen scaffolds."
    assert note in study.notes
    seen = "seen molecules on unseen plates, one image: molecule to phenotype"
    assert figure(study, seen, "R@1", "LDA")["value"] > figure(study, seen, "R@1")["chance"]
    table = study.tables()["unseen molecules, pooled: phenotype to molecule, 40 molecules"]
    assert set(table.loc["LDA"]) == {"-"}
    assert table.index[-1] == "(chance)"


def test_leakage_is_that_of_the_folds_and_holds(compared):
    table, study = compared
    claims = study.leakage.groupby("part")["claim"].agg(["unique", "size"])
    assert {part: row["unique"][0] for part, row in claims.iterrows()} == {
        "unseen molecules": "molecule",
        "unseen scaffolds": "scaffold, molecule",
        "seen molecules on unseen plates": "plate, position",
        "seen molecules on unseen plates, at other positions": "plate",
    }
    assert (claims["size"] == 3).all()
    shared = study.leakage["part"] == "seen molecules on unseen plates"
    assert study.leakage.loc[~shared, "ok"].all()
    assert not study.leakage.loc[shared, "ok"].any()
    split = make_splits(
        table,
        "molecule",
        cv=3,
        n_draws=1,
        controls="auto",
        plate="plate",
        well="well",
        random_state=11,
    )[0][0]
    bench, test = split.bench, split.parts[0].tested[1]
    train, same = bench.folds[1]
    assert sorted(test) == sorted(same)
    wanted = leakage_report(bench.training_table(train), table.iloc[bench.rows[test]], "molecule")
    row = study.leakage[study.leakage["part"] == "unseen molecules"].iloc[1]
    assert set(wanted.sentences) <= set(row["sentences"].split("\n"))
    assert "The embedder was trained on none of" in row["sentences"]


def test_scaffolds_that_a_split_by_molecule_shares_are_reported():
    """Benzene is trained on, toluene is tested: new by molecule, and not by scaffold."""
    table, vectors = stored_table(4)
    toluene = treated(table)["Metadata_smiles"].to_numpy(dtype=object) == "Cc1ccccc1"
    other = treated(table)["Metadata_smiles"].to_numpy(dtype=object) == "C1CC1"
    cv = Folds([(np.flatnonzero(~toluene & ~other), np.flatnonzero(toluene | other))])
    model = {"stored": Stored(vectors)}
    (row,) = study_retrieval(table, model, splits="molecule", cv=cv).leakage.to_dict("records")
    assert row["ok"]
    assert row["claim"] == "molecule"
    assert "1 of 2 test scaffolds" in row["sentences"]
    with pytest.raises(
        ValueError, match=r"1 scaffold\(s\) both in training and in test \(c1ccccc1"
    ):
        study_retrieval(table, model, splits="scaffold", cv=cv)
    benzene = treated(table)["Metadata_smiles"].to_numpy(dtype=object) == "c1ccccc1"
    both = toluene | benzene
    cv = Folds([(np.flatnonzero(~both), np.flatnonzero(both))])
    (row,) = study_retrieval(table, model, splits="scaffold", cv=cv).leakage.to_dict("records")
    assert row["ok"]
    assert row["claim"] == "scaffold, molecule"


def test_layouts_without_seen_or_without_unseen_molecules_say_so():
    table, vectors = stored_table(5)
    model = {"stored": Stored(vectors)}
    # Every molecule has a plate of its own: nothing on an unseen plate was seen.
    groups = treated(table)["Metadata_smiles"].map(SMILES.index)
    own = treated(table).assign(Metadata_Plate=[f"P{code // 6}" for code in groups])
    study = study_retrieval(own, model, splits="plate", cv=2, random_state=0, controls=None)
    assert all(part.startswith("unseen molecules on unseen") for part in study.scores["part"])
    assert any("seen molecules on unseen plates: none, no molecule" in n for n in study.notes)
    assert set(study.leakage["claim"]) == {"plate, molecule"}
    assert study.leakage["ok"].all()
    whole = [
        row.assign(Metadata_Plate=f"P{plate}")
        for plate in range(4)
        for row in [treated(table).drop_duplicates("Metadata_smiles")]
    ]
    study = study_retrieval(
        pd.concat(whole, ignore_index=True), model, splits="plate", cv=4, controls=None
    )
    assert all(part.startswith("seen molecules on unseen") for part in study.scores["part"])
    assert any("unseen molecules on unseen plates: none, every" in n for n in study.notes)


def test_parts_of_a_plate_split_are_scored_among_themselves():
    table, vectors = stored_table(6, whole=True)
    rows = treated(table)
    # The last plate alone holds some of the molecules.
    alone = rows["Metadata_smiles"].isin(SMILES[:5])
    rows = rows.assign(Metadata_Plate=rows["Metadata_Plate"].where(~alone, "P3"))
    study = study_retrieval(rows, {"m": Stored(vectors)}, splits="plate", cv=4, controls=None)
    tests = {True: [], False: []}
    for plate in sorted(set(rows["Metadata_Plate"])):
        here = rows["Metadata_Plate"] == plate
        known = rows["Metadata_smiles"].isin(rows.loc[~here, "Metadata_smiles"])
        for seen in (True, False):
            tests[seen].append(np.flatnonzero(here & (known == seen)))
    for seen, part in ((True, "seen"), (False, "unseen")):
        given = [test for test in tests[seen] if rows.iloc[test]["Metadata_smiles"].nunique() > 1]
        wanted = naive(rows, vectors, given, mean_of_units)
        for (direction, metric), values in wanted.groupby(level=[0, 1]):
            name = f"{part} molecules on unseen plates, pooled: {direction}"
            found = figure(study, name, metric)
            assert found["value"] == pytest.approx(values.mean(), abs=1e-12)
            assert found["n"] == len(values)


def scrambled_table(seed):
    """Wells at random positions, on half of the plates where they were before."""
    table, vectors = stored_table(seed)
    generator = np.random.default_rng(seed)
    wells = [f"B{place:02d}" for place in generator.integers(1, 5, size=len(table))]
    moved = table["Metadata_Plate"].isin(["P1", "P3"])
    return table.assign(Metadata_Well=table["Metadata_Well"].where(~moved, wells)), vectors


def test_rows_at_other_positions_are_those_of_a_loop():
    table, vectors = scrambled_table(21)
    study = study_retrieval(
        table, {"m": Stored(vectors)}, splits="plate", cv=Folds(by_plate(table)), random_state=0
    )
    rows = treated(table)
    tests, same, asked = [], [], []
    for train, test in by_plate(table):
        here, away = [], 0
        for row in test:
            own = rows.iloc[train][rows["Metadata_smiles"].iloc[train] == rows.Metadata_smiles[row]]
            if not len(own):
                continue
            if rows["Metadata_Well"][row] in set(own["Metadata_Well"]):
                away += 1
            else:
                here.append(row)
        tests.append(np.array(here))
        same.append(away)
        asked.append(away + len(here))
    assert min(same) > 0
    part = "seen molecules on unseen plates, at other positions"
    for (direction, metric), values in naive(rows, vectors, tests, mean_of_units).groupby(
        level=[0, 1]
    ):
        found = figure(study, f"{part}, pooled: {direction}", metric)
        assert found["value"] == pytest.approx(values.mean(), abs=1e-12)
        assert found["n"] == len(values)
    leaks = study.leakage.set_index(["part", "fold"])
    for fold, test in enumerate(tests):
        first = leaks.loc[("seen molecules on unseen plates", fold)]
        said = "test rows are at a well position where a training plate has the same molecule"
        assert f"{same[fold]} of {asked[fold]} {said}" in first["sentences"]
        assert (first["claim"], first["ok"]) == ("plate, position", False)
        elsewhere = leaks.loc[(part, fold)]
        assert f"0 of {len(test)} {said}" in elsewhere["sentences"]
        assert (elsewhere["claim"], elsewhere["ok"]) == ("plate", True)


def by_plate(table):
    plates = treated(table)["Metadata_Plate"].to_numpy(dtype=object)
    halves = [np.isin(plates, half) for half in (["P0", "P1"], ["P2", "P3"])]
    return [(np.flatnonzero(~half), np.flatnonzero(half)) for half in halves]


def test_a_fixed_layout_is_walked_into_by_no_claim():
    """Compounds do nothing; the position of a well alone finds its molecule on another plate."""
    from cloome_sk.datasets import make_profiles
    from cloome_sk.evaluation.layout_controls import layout_controls

    X = make_profiles(n_compounds=40, layout="fixed", signal=0.0, random_state=0)
    models = {"kernel": TanimotoKernelEmbedder(), **layout_controls(X, unseen_plates=True)[0]}
    study = study_retrieval(X, models, splits="plate", cv=2, n_draws=2, random_state=0)
    part = "seen molecules on unseen plates, pooled: phenotype to molecule"
    assert figure(study, part, "R@1", "well position")["value"] > 0.9
    assert not study.leakage["ok"].any()
    assert study.leakage["claim"].unique().tolist() == ["plate, position"]
    assert not study.scores["part"].str.contains("other positions").any()
    note = "at other positions: none, every test row is at a position where a training plate has"
    assert any(note in said for said in study.notes)


def test_positions_that_are_not_known_are_not_claimed():
    table, vectors = stored_table(22)
    options = {"splits": "plate", "cv": 2, "random_state": 0}
    bare = table.drop(columns="Metadata_Well")
    study = study_retrieval(bare, {"m": Stored(vectors)}, **options)
    seen = study.leakage["part"] == "seen molecules on unseen plates"
    assert set(study.leakage.loc[seen, "claim"]) == {"plate"}
    assert study.leakage["ok"].all()
    note = "at other positions: none, the table has no wells"
    assert any(note in said for said in study.notes)
    control = table["Metadata_pert_type"] == "negcon"
    lost = table.assign(Metadata_Well=table["Metadata_Well"].mask(control))
    study = study_retrieval(lost, {"m": Stored(vectors)}, **options)
    leaks = study.leakage[study.leakage["part"] == "seen molecules on unseen plates"]
    assert set(leaks["claim"]) == {"plate, position"}
    assert leaks["sentences"].str.contains("2 control rows without a well position").all()


class Quiet(Stored):
    """Has no embedding of a phenotype where training had the first molecule."""

    def embed_phenotypes(self, X):
        Z = super().embed_phenotypes(X)
        return Z * np.nan if molecule_key([SMILES[0]])[0] in self.molecules_seen_ else Z


def test_a_fold_without_an_answer_counts_as_ties():
    table, vectors = stored_table(23)
    folds = by_molecule(table, 5, n_folds=3)
    study = study_retrieval(
        table, {"m": Quiet(vectors)}, splits="molecule", cv=Folds(folds), random_state=0
    )
    rows = treated(table)
    names = [sorted(set(rows["Metadata_smiles"].iloc[test])) for _, test in folds]
    answered = [SMILES[0] in own for own in names]
    (one,) = np.flatnonzero(answered)
    wanted = naive(rows, vectors, [folds[one][1]], mean_of_units)
    tied = [own for number, own in enumerate(names) if number != one]
    for direction in ("phenotype to molecule", "molecule to phenotype"):
        for way in ("pooled", "one image"):
            found = figure(study, f"unseen molecules, {way}: {direction}", "R@1")
            assert found["n"] == len(SMILES)
        by_chance = sum(len(own) / len(own) for own in tied)
        total = wanted[direction, "R@1"].sum() + by_chance
        found = figure(study, f"unseen molecules, pooled: {direction}", "R@1")
        assert found["value"] == pytest.approx(total / len(SMILES))
        half = sum(0.5 * len(own) for own in tied) + wanted[direction, "relative rank"].sum()
        found = figure(study, f"unseen molecules, pooled: {direction}", "relative rank")
        assert found["value"] == pytest.approx(half / len(SMILES))
    n_tied = sum(map(len, tied))
    note = f"m has no embedding at all in 2 of 3 folds ({n_tied} molecules), where all candidates"
    assert any(note in said for said in study.notes)


@pytest.mark.parametrize("split", ["molecule", "plate"])
def test_the_order_of_the_rows_does_not_matter(split):
    table, vectors = scrambled_table(24)
    # Two sites of one well, which only their features tell apart.
    table = pd.concat([table, table.assign(**{VECTOR[0]: 0.5 - table[VECTOR[0]]})])
    table = table.reset_index(drop=True)
    options = {"splits": split, "cv": 2, "n_draws": 2, "random_state": 0, "n_bootstrap": 20}
    first = study_retrieval(table, {"m": Stored(vectors)}, **options)
    other = study_retrieval(
        table.sample(frac=1, random_state=1).reset_index(drop=True),
        {"m": Stored(vectors)},
        **options,
    )
    pd.testing.assert_frame_equal(first.scores, other.scores)


def test_random_embeddings_are_at_chance():
    found = []
    for seed in range(20):
        table, vectors = stored_table(100 + seed)
        study = study_retrieval(
            table,
            {"m": Stored(vectors)},
            splits="molecule",
            cv=2,
            n_draws=2,
            n_bootstrap=300,
            random_state=seed,
        )
        found.append(study.scores.assign(seed=seed))
    scores = pd.concat(found)
    inside = (scores["low"] <= scores["chance"]) & (scores["chance"] <= scores["high"])
    ranks = scores["metric"] == "relative rank"
    assert ranks.sum() == 20 * 4
    assert 0.8 < inside[ranks].mean() <= 1.0
    for _, own in scores.groupby(["part", "metric"]):
        apart = own["value"] - own["chance"]
        assert abs(apart.mean()) < 4 * apart.std(ddof=1) / np.sqrt(len(apart))


def test_perfect_embeddings_are_perfect():
    table, vectors = stored_table(7)
    table[VECTOR] = np.array([vectors.get(s, [1.0] * SIZE) for s in table["Metadata_smiles"]])
    study = study_retrieval(table, {"m": Stored(vectors)}, cv=3, n_draws=2, random_state=0)
    perfect = np.where(study.scores["metric"] == "relative rank", 0.0, 1.0)
    assert np.array_equal(study.scores["value"], perfect)
    assert not study.larger_is_better
    assert study.headline == "relative rank"
    assert (study.scores.loc[study.scores["metric"] == "R@1", "p_chance"] < 0.05).all()


def test_one_in_a_hundred_is_the_hypergeometric_expectation():
    smiles = ["C" * length + end for length in range(1, 36) for end in ("O", "N", "S")]
    table, vectors = stored_table(8, smiles=["CCCCCCBr", *smiles])
    own = treated(table).drop_duplicates("Metadata_smiles").reset_index(drop=True)
    last = own["Metadata_smiles"].to_numpy() == "CCCCCCBr"
    cv = Folds([(np.flatnonzero(last), np.flatnonzero(~last))])
    study = study_retrieval(
        own, {"m": Stored(vectors)}, splits="molecule", cv=cv, controls=None, n_draws=1
    )
    names = own.loc[~last, "Metadata_smiles"].tolist()
    left = own.loc[~last, VECTOR].to_numpy(dtype=float)
    near = np.array([[cosine(a, vectors[name]) for name in names] for a in left])
    ahead = (near > np.diag(near)[:, None]).sum(axis=1)
    for k in (1, 5, 10):
        wanted = hypergeom.cdf(k - 1, len(names) - 1, ahead, 99).mean()
        for way in ("pooled", "one image"):
            part = f"unseen molecules, {way}: phenotype to molecule"
            found = figure(study, part, f"R@{k} in 100")
            assert found["value"] == pytest.approx(wanted, abs=1e-9)
            assert found["chance"] == pytest.approx(k / 100)
    smaller = study_retrieval(table, {"m": Stored(vectors)}, splits="molecule", cv=4)
    assert not smaller.scores["metric"].str.contains("100").any()
    assert any("R@k in 100 is left out" in note for note in smaller.notes)


def test_rows_without_an_embedding_tie_all_candidates_in_their_draws():
    table, vectors = stored_table(9)
    first = treated(table).drop_duplicates("Metadata_smiles").reset_index(drop=True)
    pair = first[first["Metadata_smiles"].isin(SMILES[:3])]
    twice = pd.concat([pair, pair.assign(**dict.fromkeys(VECTOR, np.nan))], ignore_index=True)
    rest = pd.concat([twice, first[first["Metadata_smiles"].isin(SMILES[3:5])]], ignore_index=True)
    cv = Folds([(np.arange(6, 8), np.arange(6))])
    n_draws = 200
    study = study_retrieval(
        rest,
        {"m": Stored(vectors)},
        splits="molecule",
        cv=cv,
        controls=None,
        n_draws=n_draws,
        random_state=0,
    )
    given = twice[VECTOR].to_numpy()[:3]
    near = np.array([[cosine(a, vectors[name]) for name in SMILES[:3]] for a in given])
    right = [SMILES.index(s) for s in twice["Metadata_smiles"][:3]]
    hits = np.array([float(row.argmax() == place) for row, place in zip(near, right, strict=True)])
    # Half of the draws of a molecule have no direction, and find it one time in three.
    found = figure(study, "unseen molecules, one image: phenotype to molecule", "R@1")
    assert found["value"] == pytest.approx((hits.mean() + 1 / 3) / 2, abs=0.07)
    assert found["n"] == 3


def test_a_draw_without_any_embedding_counts_as_chance():
    answered = pd.DataFrame(
        {"metric": "R@1", "unit": ["a", "b"], "value": [1.0, 0.0], "chance": 0.5}
    )
    ((_, silent), _) = scoring._directions(
        np.full((2, 3), np.nan), np.ones((2, 3)), np.array(["a", "b"]), sampled=False
    )
    silent = silent[silent["metric"] == "R@1"]
    assert silent["value"].tolist() == [0.5, 0.5]
    answered["silent"] = False
    mean = scoring.mean_of_draws([answered, silent, silent, silent]).set_index("unit")
    assert mean["value"].to_dict() == {"a": 0.25 + 0.375, "b": 0.375}
    assert not mean["silent"].any()
    assert scoring.mean_of_draws([silent, silent])["silent"].all()


def test_same_seed_same_result_and_two_processes(compared):
    table, study = compared
    again = study_retrieval(table, cheap(), cv=3, random_state=11, n_draws=3, n_jobs=2)
    for name in ("scores", "differences", "leakage"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(study, name))
    assert again.notes == study.notes
    other = study_retrieval(table, cheap(), cv=3, random_state=12, n_draws=3, splits="molecule")
    own = study.scores["part"].isin(other.scores["part"])
    assert not np.array_equal(other.scores["value"], study.scores.loc[own, "value"])


def test_every_model_is_fitted_and_embeds_once_a_fold(monkeypatch):
    table, vectors = stored_table(10)
    calls = {"fit": 0, "embed_phenotypes": 0}
    for name in calls:
        original = getattr(Stored, name)

        def counted(self, *arguments, name=name, original=original):
            calls[name] += 1
            return original(self, *arguments)

        monkeypatch.setattr(Stored, name, counted)
    study_retrieval(table, {"m": Stored(vectors)}, splits=["molecule", "scaffold"], cv=3, n_draws=9)
    assert calls == {"fit": 6, "embed_phenotypes": 6}


@pytest.mark.parametrize("split", ["molecule", "scaffold", "plate"])
def test_a_splitter_that_leaks_is_refused(split):
    table, vectors = stored_table(11)
    cv = Folds(list(KFold(3, shuffle=True, random_state=0).split(treated(table))))
    with pytest.raises(ValueError, match="both in training and in test") as caught:
        study_retrieval(table, {"m": Stored(vectors)}, splits=split, cv=cv)
    assert any(split in note for note in caught.value.__notes__)


def test_folds_of_molecules_are_no_folds_of_scaffolds():
    table, vectors = stored_table(12)
    groups = molecule_groups(treated(table))
    folds = list(GroupKFold(4).split(groups, groups=groups))
    with pytest.raises(ValueError, match=r"fold 0 has \d+ scaffold\(s\) both in training"):
        study_retrieval(table, {"m": Stored(vectors)}, splits="scaffold", cv=Folds(folds))


def test_models_trained_before_are_refused():
    table, vectors = stored_table(13)
    frozen = FrozenEstimator(Stored(vectors).fit(table))
    options = {"cv": 2, "random_state": 0}
    with pytest.raises(ValueError, match="test molecules were in the training of this model"):
        study_retrieval(table, {"m": frozen}, splits="molecule", **options)
    with pytest.raises(ValueError, match="does not say which plates"):
        study_retrieval(table, {"m": frozen}, splits="plate", **options)
    elsewhere = table.assign(Metadata_smiles="OCCCCCCCCO")
    other = {"m": FrozenEstimator(Stored(vectors).fit(elsewhere))}
    assert study_retrieval(table, other, splits="molecule", **options).leakage["ok"].all()


def test_weights_of_a_checkpoint_leave_the_claim_open():
    table, vectors = stored_table(14)
    study = study_retrieval(table, {"m": Checkpoint(vectors)}, cv=2, random_state=0)
    ok = study.leakage.set_index("part")["ok"]
    assert not ok.loc[["unseen molecules", "unseen scaffolds"]].any()
    said = study.leakage.set_index("part")["sentences"]
    assert said.loc[["unseen molecules", "unseen scaffolds"]].str.contains("SHA-256 01234567").all()
    open_claim = said.str.contains("the claim is not shown to hold")
    assert not open_claim.loc["seen molecules on unseen plates"].any()


def test_other_names_of_the_columns_reach_the_leakage_report():
    table, vectors = stored_table(15)
    names = {"Metadata_Plate": "Assay_Barcode", "Metadata_Well": "Address"}
    options = {"cv": 2, "random_state": 0, "splits": ["molecule", "plate"]}
    usual = study_retrieval(table, {"m": Stored(vectors)}, **options)
    model = {"m": Stored(vectors)}
    other = study_retrieval(
        # A column of the usual name is not the one that was asked for.
        table.rename(columns=names).assign(plate="same"),
        model,
        plate="Assay_Barcode",
        well="Address",
        **options,
    )
    pd.testing.assert_frame_equal(other.leakage, usual.leakage)
    pd.testing.assert_frame_equal(other.scores, usual.scores)


def wrong(change):
    table, vectors = stored_table(16)
    given = {"X": table, "models": {"m": Stored(vectors)}, "cv": 2, "random_state": 0}
    given |= change(given)
    return study_retrieval(given.pop("X"), given.pop("models"), **given)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda g: {"splits": "row"}, ValueError, "splits must be one or several"),
        (lambda g: {"splits": ()}, ValueError, "splits must be one or several"),
        (lambda g: {"splits": ("plate", "plate")}, ValueError, "each once"),
        (lambda g: {"n_draws": 0}, ValueError, "n_draws must be an integer of at least 1"),
        (lambda g: {"n_draws": 2.5}, ValueError, "n_draws must be an integer"),
        (lambda g: {"confidence": 95}, ValueError, "confidence must lie strictly"),
        (lambda g: {"n_bootstrap": 0}, ValueError, "n_bootstrap must be an integer"),
        (lambda g: {"models": {}}, ValueError, "at least one named model"),
        (lambda g: {"models": Stored({})}, ValueError, "models must be a dict"),
        (lambda g: {"models": {"p": ProfileEmbedder()}}, TypeError, "no embed_molecules"),
        (lambda g: {"X": g["X"].to_numpy()}, TypeError, "takes a pandas DataFrame"),
        (lambda g: {"X": g["X"].iloc[:0]}, ValueError, "no rows"),
        (lambda g: {"X": g["X"].drop(columns="Metadata_smiles")}, ValueError, "no column 'smiles'"),
        (lambda g: {"X": g["X"].drop(columns="Metadata_Plate")}, ValueError, "no column 'plate'"),
        (lambda g: {"plate": "Barcode"}, ValueError, "no column 'Barcode'"),
        (lambda g: {"well": "Address"}, ValueError, "no column 'Address'"),
        (lambda g: {"plate": 3}, TypeError, "plate must be the name of a column"),
        (lambda g: {"cv": 1}, ValueError, "cv=1"),
        (lambda g: {"cv": "five"}, TypeError, "number of folds or a splitter"),
        (lambda g: {"X": g["X"].assign(Metadata_Plate="P0")}, ValueError, "both must be over 1"),
        (lambda g: {"X": g["X"].replace("CCO", "C(")}, ValueError, "C\\("),
        (lambda g: {"cv": 100, "splits": "molecule"}, ValueError, "no fold has two test molecules"),
        (lambda g: {"controls": ("pert_type", "vehicle")}, ValueError, "vehicle"),
    ],
)
def test_errors_say_what_is_wrong(change, error, message):
    with pytest.raises(error, match=message):
        wrong(change)


def test_errors_of_a_fit_name_the_split_the_model_and_the_fold():
    table, vectors = stored_table(17)
    del vectors["CCO"]
    with pytest.raises(KeyError) as caught:
        study_retrieval(table, {"broken": Stored(vectors)}, cv=2, random_state=0)
    assert any("model 'broken', fold" in note for note in caught.value.__notes__)


def test_folds_with_one_molecule_are_counted():
    table, vectors = stored_table(18)
    rows = treated(table)
    single = (rows["Metadata_smiles"] == "CCO").to_numpy()
    half = rows["Metadata_smiles"].isin(SMILES[12:]).to_numpy()
    cv = Folds([(np.flatnonzero(~m), np.flatnonzero(m)) for m in (single, half)])
    study = study_retrieval(table, {"m": Stored(vectors)}, splits="molecule", cv=cv)
    assert (study.scores["n"] == 12).all()
    assert any("left out of 1 fold with a single such molecule" in n for n in study.notes)
    assert study.leakage["fold"].tolist() == [1]


def quick(n_pairs, seed):
    return CloomeEmbedder(
        ProfileEncoder(hidden_sizes=(16,)),
        MoleculeEncoder(hidden_sizes=(16,)),
        n_components=8,
        max_epochs=2,
        random_state=seed,
    )


@pytest.fixture(scope="module")
def of_screen():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screens, "make_embedder", quick)
        screen = load_screen("simulated-profiles", None, 0)
        yield screen, retrieval_of_screen(screen, folds=2, n_draws=2)


def test_a_screen_is_studied_with_the_controls_of_the_study_of_controls(of_screen):
    screen, study = of_screen
    models = study.scores.groupby("part")["model"].unique()
    table, embedder = with_large_classes(screen), quick(0, 0)
    wanted = default_controls("unseen_molecules", embedder=embedder, within=WITHIN, random_state=0)
    share = _share_moved(wanted[SHUFFLED_WITHIN], table, 2, 0)
    named = {
        f"{name} ({100 * share:.0f} % of wells moved)" if name == SHUFFLED_WITHIN else name
        for name in wanted
    }
    named = {name.replace("profile", screen.feature_name) for name in named}
    part = "unseen molecules, pooled: phenotype to molecule"
    wanted = {"CLOOME", *named, "plate", "cell count"}
    assert set(models[part]) == wanted
    assert set(models[part.replace("molecules", "scaffolds")]) == wanted
    seen = set(models["seen molecules on unseen plates, pooled: phenotype to molecule"])
    assert {"CLOOME", "LDA on compound labels", "random molecule codes"} <= seen
    assert {"cell count", "well position"} <= seen
    assert not {"plate", "profile"} & seen
    assert any("whose phenotype is that alone" in note for note in study.notes)
    assert study.model == "CLOOME"
    assert study.data == "simulated-profiles"
    assert study.notes[0].startswith("A SIMULATED screen")
    assert study.leakage.loc[~study.leakage["claim"].str.contains("position"), "ok"].all()


def test_the_report_and_the_files_are_made(of_screen, tmp_path):
    pytest.importorskip("matplotlib")
    _, study = of_screen
    report = study.report()
    assert "unseen scaffolds, one image: molecule to phenotype" in report
    assert "holds in 2 of 2 folds" in report
    assert [path.name for path in study.write(tmp_path)] == [
        "retrieval_simulated-profiles.csv",
        "retrieval_simulated-profiles_differences.csv",
        "retrieval_simulated-profiles_leakage.csv",
        "retrieval_simulated-profiles.png",
    ]
