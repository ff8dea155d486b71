from __future__ import annotations

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import LeaveOneGroupOut, PredefinedSplit
from sklearn.pipeline import make_pipeline

from cloome_sk import ZeroShotMoAClassifier
from cloome_sk.baselines import (
    CompoundLDAEmbedder,
    PlatePosition,
    ProfileEmbedder,
    ProfileFeatures,
    TanimotoKernelEmbedder,
)
from cloome_sk.evaluation._zero_shot_draws import deal_molecules, draw_references
from cloome_sk.evaluation._zero_shot_plans import Question, Rows
from cloome_sk.evaluation._zero_shot_scores import class_prototypes, top_hits
from cloome_sk.evaluation._zero_shot_table import read_table
from cloome_sk.evaluation._zero_shot_units import RECOGNISED, recognised
from cloome_sk.evaluation.screens import load_screen
from cloome_sk.evaluation.zero_shot import study_zero_shot, zero_shot_of_screen
from cloome_sk.molecules import molecule_key

TOPS = (1, 2, 5)
# Straight chains: as many different molecules as a test needs.
SMILES = ["C" * n + "O" for n in range(1, 60)]


class Given(TransformerMixin, BaseEstimator):
    """An embedder whose vectors stand in the table; molecules get those of their first row."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def embed_phenotypes(self, X):
        return X[[name for name in X if name.startswith("Feature_")]].to_numpy(np.float64)

    def transform(self, X):
        return self.embed_phenotypes(X)


def random_vectors(generator, n, n_components=6):
    Z = generator.standard_normal((n, n_components))
    return Z / np.linalg.norm(Z, axis=1, keepdims=True)


def screen_of(molecules, plates, Z, **more):
    """A table of given vectors."""
    return pd.DataFrame(
        {
            "Metadata_smiles": [SMILES[code] for code in molecules],
            "Metadata_Plate": [f"P{code}" for code in plates],
            **{f"Feature_{i}": column for i, column in enumerate(np.transpose(Z))},
            **more,
        }
    )


def naive_hit(scores, right, top):
    """Share of all orders of equal scores in which the right class is among the first."""
    hits, orders = 0, 0
    for order in itertools.permutations(range(len(scores))):
        ranked = sorted(order, key=lambda code: -scores[code])
        # `sorted` is stable: equal scores stay in the order of this permutation.
        hits += right in ranked[:top]
        orders += 1
    return hits / orders


def test_hits_are_the_share_of_orders_of_ties():
    generator = np.random.RandomState(0)
    prototypes = np.eye(4)[[0, 0, 1, 2, 1]]
    queries = np.array([[1, 0, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 0, 1.0], [0.6, 0, 0.8, 0]])
    for truth in (np.zeros(4, int), np.arange(4), generator.randint(5, size=4)):
        found = top_hits(queries, prototypes, truth, TOPS)
        for row, (query, right) in enumerate(zip(queries, truth, strict=True)):
            scores = [round(float(query @ prototype), 12) for prototype in prototypes]
            for at, top in enumerate(TOPS):
                assert found[at, row] == pytest.approx(naive_hit(scores, right, top))


def test_without_a_vector_a_query_ties_all_and_a_class_comes_last():
    prototypes = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0]])
    queries = np.array([[np.nan, np.nan], [-1.0, 0.0], [-1.0, 0.0]])
    found = top_hits(queries, prototypes, np.array([0, 1, 0]), (1, 2))
    np.testing.assert_allclose(found, [[1 / 3, 0, 0], [2 / 3, 0, 1]])


def test_prototypes_leave_out_rows_without_a_vector():
    references = np.array([[1.0, 0.0], [np.nan, np.nan], [-1.0, 0.0], [0.6, 0.8]])
    found = class_prototypes(references, np.array([[0, 1], [0, 2], [1, 1], [0, 3]]))
    np.testing.assert_allclose(found[0], [1, 0])
    assert np.isnan(found[1:3]).all()  # vectors that cancel out; no vector
    np.testing.assert_allclose(found[3], np.array([1.6, 0.8]) / np.hypot(1.6, 0.8))


def test_draws_are_spread_over_molecules_and_spare_one():
    molecules = np.array([0] * 6 + [1] * 5 + [2] * 1 + [3] * 4 + [4] * 4)
    classes = np.array([0] * 12 + [1] * 8)
    draws = draw_references(
        classes, molecules, 2, 3, n_draws=400, spare=True, generator=np.random.RandomState(0)
    )
    spared = []
    for draw in draws:
        for code, rows in enumerate(draw):
            assert len(set(rows)) == 3
            assert set(classes[rows]) == {code}
        used = molecules[draw[0]]
        # Two of the three molecules in turn; the one of a single well cannot give two.
        assert len(set(used)) == 2
        assert (used == 2).sum() <= 1
        spared.append(({0, 1, 2} - set(used)).pop())
        assert len(set(molecules[draw[1]])) == 1
    np.testing.assert_allclose(np.bincount(spared) / 400, 1 / 3, atol=0.08)
    firsts = np.bincount(draws[:, 0, 0], minlength=12)
    # A molecule is drawn first with equal probability, whatever its number of wells.
    np.testing.assert_allclose(
        [firsts[:6].sum() / 400, firsts[6:11].sum() / 400, firsts[11] / 400], 1 / 3, atol=0.08
    )


def test_molecules_of_a_class_are_dealt_together():
    classes = np.array([0] * 3 + [1] * 4 + [2] * 7 + [3] + [-1] * 20)
    folds = deal_molecules(classes, 3, 2, np.random.RandomState(0))
    for code, n_alone in ((0, 1), (1, 0), (3, 1)):
        counts = np.bincount(folds[classes == code], minlength=3)
        assert (counts == 1).sum() == n_alone
    assert np.bincount(folds[classes == 2], minlength=3).min() >= 2
    sizes = np.bincount(folds, minlength=3)
    assert sizes.max() - sizes.min() <= 1


def question(task, reference="phenotype", k=(1,), n_draws=30):
    return Question(task, reference, k, n_draws, "well", "MoA")


def test_exclusion_rules_by_hand():
    """Two classes, two molecules each, wells on two plates: every draw is checked by hand."""
    molecules = np.repeat([0, 1, 2, 3], 3)
    plates = np.tile([0, 0, 1], 4)
    classes = np.repeat([0, 0, 1, 1], 3)
    rows = Rows(molecules, classes, plates)
    plan, *rest = question("moa").plans(
        rows, np.array([], dtype=int), np.arange(12), np.random.RandomState(0)
    )
    assert not rest  # no training molecule: no part with such references
    paper, strict = plan.parts.values()
    assert [name.split(": ")[1] for name in plan.parts] == [
        "own molecule may be a reference on another plate",
        "own molecule is no reference",
    ]
    for draw, (first, second) in enumerate(plan.pool[plan.draws[:, :, 0]]):
        for at, query in enumerate(plan.queries):
            same = [molecules[query] == molecules[ref] for ref in (first, second)]
            there = [plates[query] == plates[ref] for ref in (first, second)]
            assert strict[draw, at] == (not any(same))
            assert paper[draw, at] == (not any(a and b for a, b in zip(same, there, strict=True)))
    # A reference on the plate of two of the three wells takes both of them away.
    assert set(paper.sum(axis=1)) <= {8, 9, 10}
    assert set(strict.sum(axis=1)) == {6}

    molecule_rows = Rows(molecules, molecules, plates)
    (plan,) = question("molecule").plans(
        molecule_rows, np.array([]), np.arange(12), np.random.RandomState(0)
    )
    every, elsewhere = plan.parts.values()
    assert set(every.sum(axis=1)) == {8}
    for draw, references in enumerate(plan.pool[plan.draws[:, :, 0]]):
        wells = [w for w in range(12) if plates[w] != plates[references[molecules[w]]]]
        assert np.flatnonzero(elsewhere[draw]).tolist() == wells


def test_neither_plate_nor_position_is_shared():
    molecules, plates = np.repeat([0, 1], 6), np.tile([0, 0, 1, 1, 2, 2], 2)
    positions = np.array([0, 1, 0, 1, 0, 2] + [3] * 6)
    rows = Rows(molecules, molecules, plates, positions)
    (plan,) = question("molecule").plans(rows, molecules[:0], np.arange(12), np.random)
    *_, (name, moved) = plan.parts.items()
    assert name == "unseen molecule by 1 well: its wells on other plates at other positions"
    for draw, references in enumerate(plan.pool[plan.draws[:, :, 0]]):
        own = references[molecules]
        expected = (plates != plates[own]) & (positions != positions[own])
        np.testing.assert_array_equal(moved[draw], expected)
        assert not moved[draw, 6:].any()
    # Where no molecule has such a well, there is no such part.
    (plan,) = question("molecule").plans(
        Rows(molecules, molecules, plates, molecules), molecules[:0], np.arange(12), np.random
    )
    assert len(plan.parts) == 2


def test_classes_that_cannot_spare_a_molecule_are_no_candidates():
    # Class 1 has one molecule; class 2 has two, and one well beside its larger molecule.
    molecules = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 5, 5, 5, 6, 6, 6])
    classes = np.array([0] * 6 + [1] * 4 + [2] * 4 + [3] * 6)
    rows = Rows(molecules, classes, None)
    found = {
        k: question("moa", k=(k,)).plans(rows, np.array([], int), np.arange(20), np.random)[0]
        for k in (1, 2)
    }
    assert found[1].classes.tolist() == [0, 2, 3]
    assert found[2].classes.tolist() == [0, 3]
    # Without plates, the rule that needs them is left out.
    assert len(found[1].parts) == 1


def naive_molecule_study(Z, molecules, plates, plan, tops):
    """Loop over draws and queries; mean over draws, wells of a molecule, molecules."""
    out = {}
    for part, top in itertools.product(plan.parts, tops):
        of_well: dict[int, list[float]] = {}
        for references in plan.pool[plan.draws]:
            prototypes = [sum(Z[ref] for ref in refs) for refs in references]
            for query in range(len(Z)):
                own = references[list(plan.classes).index(molecules[query])]
                if query in own:
                    continue
                if "plates" in part and plates[query] in {plates[ref] for ref in own}:
                    continue
                scores = [Z[query] @ p / np.linalg.norm(p) for p in prototypes]
                ranked = plan.classes[np.argsort(scores)[::-1]]
                of_well.setdefault(query, []).append(molecules[query] in ranked[:top])
        wells = pd.Series({well: np.mean(hits) for well, hits in of_well.items()})
        out[part, f"top-{top}"] = wells.groupby(molecules[wells.index]).mean().mean()
    return out


@pytest.mark.parametrize("k", [1, 2])
def test_against_a_naive_loop_over_draws(k):
    generator = np.random.RandomState(1)
    molecules, plates = np.repeat(np.arange(8), 5), np.tile([0, 0, 1, 2, 2], 8)
    Z = random_vectors(generator, 8)[molecules] + 0.5 * random_vectors(generator, 40)
    Z /= np.linalg.norm(Z, axis=1, keepdims=True)
    # In the order that the study brings any table to, so that it need not be known here.
    names = sorted(SMILES[:8], key=lambda text: molecule_key([text])[0])
    more = {"Metadata_Well": [f"A{row:02d}" for row in range(40)]}
    table = screen_of(molecules, plates, Z, **more).assign(
        Metadata_smiles=np.array(names, dtype=object)[molecules]
    )
    halves = np.repeat(["test", "held"], 20)
    found = study_zero_shot(
        table,
        {"given": Given()},
        task="molecule",
        k=k,
        n_draws=7,
        top=(1, 2),
        groups=halves,
        cv=LeaveOneGroupOut(),
        controls=None,
        random_state=3,
    )
    # The same draws, by the same seed, scored by plain loops.
    draw_seed = np.random.RandomState(3).randint(np.iinfo(np.int32).max, size=3)[1]
    draws = np.random.RandomState(draw_seed)
    rows = Rows(molecules, molecules, plates)
    sides = [np.flatnonzero(halves == name) for name in ("held", "test")]
    expected = []
    for test in sides:
        (plan,) = question("molecule", k=(k,), n_draws=7).plans(rows, test[:0], test, draws)
        shift = plan.pool.min()
        moved = type(plan)(
            plan.pool - shift,
            plan.queries - shift,
            plan.classes,
            plan.truth,
            plan.draws,
            plan.parts,
        )
        expected.append(naive_molecule_study(Z[test], molecules[test], plates[test], moved, (1, 2)))
    scores = found.scores.set_index(["part", "metric"])
    assert len(scores) == 4
    for key, row in scores.iterrows():
        assert row["value"] == pytest.approx(np.mean([one[key] for one in expected]))
        assert row["chance"] == int(key[1][-1]) / 4
        assert row["n"] == 8


@pytest.mark.parametrize("k", [1, 3])
def test_one_draw_agrees_with_the_classifier(k):
    generator = np.random.RandomState(2)
    molecules = np.repeat(np.arange(12), 4)
    classes = np.repeat(np.arange(3), 16)
    Z = random_vectors(generator, 48).astype(np.float32)
    rows = Rows(molecules, classes, np.tile(np.arange(4), 12))
    (plan,) = question("moa", k=(k,), n_draws=5).plans(
        rows, molecules[:0], np.arange(48), generator
    )
    for draw in plan.draws:
        references = plan.pool[draw]
        classifier = ZeroShotMoAClassifier().fit(Z[references.ravel()], np.repeat(plan.classes, k))
        prototypes = class_prototypes(Z[plan.pool], draw)
        np.testing.assert_allclose(prototypes, classifier.prototypes_, atol=1e-6)
        hits = top_hits(Z[plan.queries], prototypes, plan.truth, (1, 2))
        right = plan.classes[plan.truth]
        np.testing.assert_array_equal(hits[0] == 1, classifier.predict(Z[plan.queries]) == right)
        first_two = classifier.top_k(Z[plan.queries], 2)
        np.testing.assert_array_equal(hits[1] == 1, (first_two == right[:, None]).any(axis=1))


@pytest.mark.parametrize("task", ["molecule", "moa"])
def test_vectors_that_know_nothing_score_chance(task):
    generator = np.random.RandomState(5)
    molecules = np.repeat(np.arange(40), 4)
    # Classes of very different size: chance is one in five all the same.
    classes = np.repeat(["a", "b", "c", "d", "e"], [80, 24, 24, 16, 16])
    table = screen_of(molecules, np.tile(np.arange(4), 40), random_vectors(generator, 160, 30))
    found = study_zero_shot(
        table,
        {"random": Given()},
        task=task,
        label=classes if task == "moa" else None,
        cv=2,
        n_draws=100,
        controls=None,
        random_state=0,
    )
    assert len(found.scores["part"].unique()) == (4 if task == "molecule" else 6)
    for row in found.scores[found.scores["model"] == "random"].itertuples():
        assert row.low - 0.03 <= row.chance <= row.high + 0.03
        assert abs(row.value - row.chance) < 0.05


def planted(plates_of_molecule):
    """A table whose vectors know the plate alone."""
    molecules = np.repeat(np.arange(len(plates_of_molecule)), len(plates_of_molecule[0]))
    plates = np.ravel(plates_of_molecule)
    return molecules, screen_of(molecules, plates, np.eye(plates.max() + 1)[plates])


def test_plate_effect_is_seen_by_the_lenient_part_alone():
    # Each molecule has three wells on a plate of its own, and one on a plate that all share.
    table = planted([[m, m, m, 20] for m in range(20)])[1]
    found = study_zero_shot(
        table,
        {"plate": Given()},
        task="molecule",
        k=1,
        cv=2,
        n_draws=40,
        controls=None,
        random_state=0,
    )
    scores = found.scores[found.scores["metric"] == "top-1"].set_index("part")["value"]
    lenient, strict = scores
    assert lenient > 0.4
    assert strict <= 0.1  # chance is one in ten


def test_same_molecule_removed_leaves_a_plate_effect_of_the_molecule_at_chance():
    molecules, table = planted([[m, m, m, m] for m in range(24)])
    label = np.repeat(["a", "b", "c", "d"], 24)
    vectors = {f"Feature_{m}": (molecules == m).astype(float) for m in range(24)}
    table = table[["Metadata_smiles"]].assign(
        Metadata_Plate=np.tile(["P1", "P2", "P3", "P4"], 24), **vectors
    )
    found = study_zero_shot(
        table,
        {"molecule": Given()},
        task="moa",
        label=label,
        k=1,
        cv=3,
        controls=None,
        random_state=0,
    )
    scores = found.scores[found.scores["metric"] == "top-1"].set_index("part")
    scores, control = (scores[scores["model"] == name] for name in ("molecule", RECOGNISED))
    # The vectors are what the control is computed for, and it stands where they are helped alone.
    assert control.index.tolist() == scores.index[:1].tolist()
    assert control["value"].iloc[0] == pytest.approx(scores["value"].iloc[0])
    paper, strict, trained = scores["value"]
    # Vectors that are equal within a molecule and say nothing of its class.
    assert paper > 0.4
    assert strict == pytest.approx(0.25)
    assert trained == pytest.approx(0.25)
    assert scores["chance"].tolist() == [0.25] * 3


def test_same_seed_same_result(screen):
    screen["Metadata_moa"] = screen["Metadata_moa"].astype(object)
    options = {"task": "moa", "label": "moa", "cv": 2, "n_draws": 5, "n_bootstrap": 50}
    models = {"profile": ProfileEmbedder(), "LDA": CompoundLDAEmbedder()}
    first = study_zero_shot(screen, models, random_state=4, **options)
    with parallel_config(backend="threading"):
        again = study_zero_shot(screen, models, random_state=4, n_jobs=2, **options)
    other = study_zero_shot(screen, models, random_state=5, **options)
    pd.testing.assert_frame_equal(first.scores, again.scores)
    pd.testing.assert_frame_equal(first.differences, again.differences)
    pd.testing.assert_frame_equal(first.leakage, again.leakage)
    assert not first.scores["value"].equals(other.scores["value"])
    assert first.leakage["ok"].all()
    assert len(first.leakage) == 2
    assert (first.scores["n"] > 0).all()
    assert first.notes == again.notes


def test_structures_as_references(screen):
    """What the study says of one structure a molecule is what a loop over wells says."""
    options = {"reference": "molecule", "cv": 3, "random_state": 0, "n_bootstrap": 50}
    models = {"kernel": TanimotoKernelEmbedder(), "LDA": CompoundLDAEmbedder()}
    found = study_zero_shot(screen, models, task="molecule", **options)
    (part,) = found.scores["part"].unique()
    assert part == "unseen molecule by its structure: all its wells"
    scores = found.scores.set_index(["model", "metric"])
    # LDA on compound labels knows no unseen molecule: no answer, which is no figure.
    assert scores.loc["LDA", "n"].eq(0).all()
    assert scores.loc["LDA", "value"].isna().all()

    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)
    bench = read_table(
        screen,
        task="molecule",
        label=None,
        groups=None,
        cv=3,
        together=2,
        plate="plate",
        well=None,
        controls="auto",
        random_state=int(seeds[0]),
    ).bench
    hits, chance = {}, []
    for train, test in bench.folds:
        fitted = TanimotoKernelEmbedder().fit(bench.training_table(train))
        wells = bench.table.iloc[bench.rows[test]]
        Z = fitted.embed_phenotypes(wells).astype(float)
        keys = molecule_key(wells["Metadata_smiles"])
        names, first = np.unique(keys, return_index=True)
        M = fitted.embed_molecules(list(wells["Metadata_smiles"].to_numpy(object)[first]))
        best = names[(Z @ M.astype(float).T).argmax(axis=1)]
        for key, name in zip(keys, best, strict=True):
            hits.setdefault(key, []).append(key == name)
        chance += [1 / len(names)] * len(names)
    expected = np.mean([np.mean(values) for values in hits.values()])
    assert scores.loc[("kernel", "top-1"), "value"] == pytest.approx(expected)
    assert scores.loc[("kernel", "top-1"), "chance"] == pytest.approx(np.mean(chance))

    found = study_zero_shot(screen, models, task="moa", label="moa", k=(1, 2), **options)
    assert [part.removeprefix("MoA by ") for part in found.scores["part"].unique()] == [
        "1 structure of unseen molecules: own molecule may be a reference",
        "1 structure of unseen molecules: own molecule is no reference",
        "2 structures of unseen molecules: own molecule may be a reference",
        "2 structures of unseen molecules: own molecule is no reference",
        "1 structure of training molecules: unseen molecules",
        "2 structures of training molecules: unseen molecules",
    ]
    lda = found.scores[found.scores["model"] == "LDA"].set_index("part")
    # Of training molecules it has the mean of their wells.
    assert (lda.filter(like="of training", axis=0)["n"] > 0).all()
    assert (lda.filter(like="of unseen", axis=0)["n"] == 0).all()


def test_queries_are_averaged_by_molecule_first():
    # One molecule of many wells that are named right, three of few that are named wrong.
    molecules = np.repeat([0, 1, 2, 3], [12, 3, 3, 3])
    Z = np.zeros((21, 4))
    Z[:12, 0] = 1.0
    Z[12:] = random_vectors(np.random.RandomState(0), 9, 4)
    table = screen_of(np.append(molecules, [4, 5]), np.arange(23), np.vstack([Z, np.eye(4)[:2]]))
    found = study_zero_shot(
        table,
        {"given": Given()},
        task="molecule",
        k=1,
        top=1,
        groups=np.append(np.zeros(21), [1, 1]),
        cv=2,
        controls=None,
        random_state=0,
    )
    lenient = found.scores.iloc[0]
    assert lenient["n"] == 4
    assert "1 of 2 folds" in " ".join(found.notes)


def test_few_classes_leave_out_what_would_name_all(screen):
    table = screen[screen["Metadata_moa"].isin(screen["Metadata_moa"].dropna().unique()[:4])]
    found = study_zero_shot(
        table,
        {"profile": ProfileEmbedder()},
        task="moa",
        label="moa",
        cv=2,
        n_draws=3,
        controls=None,
        random_state=0,
    )
    assert set(found.scores["metric"]) == {"top-1"}
    assert any("top-5, top-10" in note for note in found.notes)


@pytest.fixture
def model():
    return {"profile": ProfileEmbedder()}


def test_rows_without_a_class_are_trained_on_and_counted(screen, model):
    label = screen["Metadata_moa"].astype(object).where(np.arange(len(screen)) % 3 > 0)
    found = study_zero_shot(
        screen, model, task="moa", label=label.tolist(), cv=2, n_draws=3, random_state=0
    )
    treated = screen["Metadata_control_type"] != "negcon"
    lacking = int(label[treated].isna().sum())
    assert any(f"{lacking} wells have none" in note for note in found.notes)


def test_bad_input(screen, model):
    def refuses(error, match, X=screen, models=model, **options):
        with pytest.raises(error, match=match):
            study_zero_shot(X, models, **{"task": "molecule", "cv": 2, "n_draws": 2, **options})

    refuses(ValueError, "k=50 reference.*Ask for fewer", k=50)
    refuses(ValueError, "k must be one or several different whole numbers.*0", k=0)
    refuses(ValueError, "k must be.*True", k=True)
    refuses(ValueError, "n_draws must be an integer of at least 1", n_draws=0)
    refuses(
        ValueError,
        "one structure, so k must be 1",
        models={"T": TanimotoKernelEmbedder()},
        reference="molecule",
        k=2,
    )
    refuses(ValueError, "task must be 'molecule' or 'moa', got 'target'", task="target")
    refuses(ValueError, "reference must be", reference="image")
    refuses(ValueError, "needs label", task="moa")
    refuses(ValueError, "takes no label", label="moa")
    refuses(ValueError, "nothing", task="moa", label="nothing")
    refuses(ValueError, "label has 3 value", task="moa", label=["a", "b", "c"])
    refuses(ValueError, "no class at all", task="moa", label=[None] * len(screen))
    refuses(ValueError, "(?i)well", well="nowhere")
    refuses(ValueError, "one class only", task="moa", label=["a"] * len(screen))
    alone = molecule_key(screen["Metadata_smiles"])
    refuses(ValueError, "in none of the 2 folds have two classes", task="moa", label=alone, k=5)
    refuses(TypeError, "has no embed_molecules", reference="molecule")
    refuses(ValueError, "'molecule recognised' is that of", models={RECOGNISED: ProfileEmbedder()})
    refuses(ValueError, "no models", models={})
    refuses(TypeError, "dict of names", models=ProfileEmbedder())
    refuses(TypeError, "DataFrame", X=screen.to_numpy())
    refuses(ValueError, "cv=1", cv=1)
    refuses(ValueError, "(?i)smiles", X=screen.drop(columns="Metadata_smiles"))
    refuses(ValueError, "tables names 'raw'", tables={"raw": screen})
    refuses(ValueError, "same rows", tables={"profile": screen.iloc[:-1]})
    refuses(ValueError, "same rows", tables={"profile": screen.iloc[::-1].set_index(screen.index)})
    lacking = screen.drop(columns="Metadata_Plate")
    with pytest.raises(ValueError, match="plate") as caught:
        study_zero_shot(lacking, model, task="molecule", cv=2)
    assert "plate=None" in caught.value.__notes__[0]
    found = study_zero_shot(
        lacking, model, task="molecule", cv=2, k=1, n_draws=2, plate=None, random_state=0
    )
    assert list(found.scores["part"].unique()) == ["unseen molecule by 1 well: its other wells"]
    assert any("Plates are not known" in note for note in found.notes)


def test_a_frozen_model_that_saw_test_molecules_is_refused(screen):
    seen = FrozenEstimator(CompoundLDAEmbedder().fit(screen))
    with pytest.raises(ValueError, match="were in the training of this model") as caught:
        study_zero_shot(screen, {"LDA": seen}, task="molecule", cv=2, n_draws=2, random_state=0)
    assert "model 'LDA', fold 0" in caught.value.__notes__[-1]


@pytest.mark.parametrize("task", ["molecule", "moa"])
def test_of_a_screen(task, monkeypatch):
    from cloome_sk.evaluation import screens

    monkeypatch.setattr(screens, "N_UPDATES", 8)
    screen = load_screen("simulated-profiles", None, 0)
    found = zero_shot_of_screen(screen, task=task, k=1, n_draws=3, folds=2)
    assert len(found.scores["part"].unique()) == 3
    assert found.model == "CLOOME"
    models = set(found.scores["model"])
    assert {"plate", "cell count", "well position", "random molecule codes"} <= models
    assert {"profile, normalised", "profile, as delivered", "untrained encoder"} <= models
    assert found.leakage["ok"].all()
    assert "every part" in found.report()
    (note,) = (note for note in found.notes if note.startswith("Controls left out"))
    assert not models & {"pairs shuffled", "molecules shuffled", "ridge to profile"}
    assert all(name in note for name in ("pairs and molecules shuffled", "ridge to profile"))
    assert len(set(found.notes)) == len(found.notes)
    raw = found.scores[found.scores["metric"] == "top-1"].pivot(
        index="part", columns="model", values="value"
    )
    assert (raw["profile, as delivered"] < raw["profile, normalised"]).all()


def test_structures_of_a_screen(monkeypatch):
    from cloome_sk.evaluation import screens

    monkeypatch.setattr(screens, "N_UPDATES", 8)
    screen = load_screen("simulated-profiles", None, 0)
    found = zero_shot_of_screen(screen, reference="molecule", n_draws=3, folds=2)
    assert found.name == "zero-shot-moa-by-structure"
    assert {"Tanimoto-kernel average", "molecules shuffled"} <= set(found.scores["model"])
    assert len(found.scores["part"].unique()) == 3
    assert any("SIMULATED" in note for note in found.notes)


def test_on_real_wells(data_home):
    """Wells of one molecule are found across plates by profiles, and not by the plate."""
    screen = load_screen("cell-injury", str(data_home), 0)
    table = screen.normalised[["Metadata_smiles", "Metadata_Plate", "Metadata_control_type"]].join(
        screen.normalised[screen.features[:60]]
    )
    models = {
        "profile": ProfileEmbedder(phenotype=ProfileFeatures(screen.features[:60])),
        "plate": ProfileEmbedder(
            phenotype=make_pipeline(FrozenEstimator(PlatePosition(parts=("plate",)).fit(table)))
        ),
    }
    found = study_zero_shot(table, models, task="molecule", k=1, n_draws=5, cv=2, random_state=0)
    scores = found.scores[found.scores["metric"] == "top-1"].set_index(["part", "model"])
    lenient, strict = scores.index.unique("part")
    assert scores.loc[(strict, "profile"), "low"] > 2 * scores.loc[(strict, "profile"), "chance"]
    assert scores.loc[(lenient, "plate"), "low"] > scores.loc[(lenient, "plate"), "chance"]
    assert scores.loc[(strict, "plate"), "low"] <= scores.loc[(strict, "plate"), "chance"]
    assert scores.loc[(strict, "plate"), "high"] < scores.loc[(lenient, "plate"), "low"]


# ------------------------------------------------------- what must change nothing


class Order(TransformerMixin, BaseEstimator):
    """An embedder that is what its training rows and their order make it."""

    def __init__(self, columns=None):
        self.columns = columns

    def fit(self, X, y=None):
        own = self._features(X)
        # The mean of some rows by their place, as a training by small batches would have it.
        self.middle_ = np.average(own, axis=0, weights=np.arange(1, len(own) + 1) ** 2)
        return self

    def _features(self, X):
        return X[[name for name in X if name.startswith("Cells_")]].to_numpy(np.float64)

    def embed_phenotypes(self, X):
        Z = self._features(X) - self.middle_
        return Z / np.linalg.norm(Z, axis=1, keepdims=True)

    def transform(self, X):
        return self.embed_phenotypes(X)


@pytest.mark.parametrize("task", ["molecule", "moa"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_rows_changes_nothing(screen, task, seed):
    label = {"label": "moa"} if task == "moa" else {"well": "well"}
    options = {"task": task, "cv": 3, "n_draws": 4, "n_bootstrap": 50, "random_state": 0, **label}
    models = {"order": Order(), "tabled": ProfileEmbedder()}

    def run(table):
        return study_zero_shot(table, models, tables={"tabled": table.copy()}, **options)

    if task == "moa":
        # A molecule of two classes, and one with some rows of none.
        moa = screen["Metadata_moa"].astype(object)
        treated = np.flatnonzero(screen["Metadata_control_type"].isna() & moa.notna())
        moa.iloc[treated[0]] = moa.iloc[treated[-1]]
        moa.iloc[treated[5]] = None
        screen = screen.assign(Metadata_moa=moa)
    # Without wells, replicates on a plate differ in their features alone.
    screen = screen if task == "molecule" else screen.drop(columns="Metadata_Well")
    first = run(screen)
    shuffled = screen.sample(frac=1, random_state=seed)
    for again in (run(shuffled), run(shuffled.reset_index(drop=True))):
        pd.testing.assert_frame_equal(first.scores, again.scores)
        pd.testing.assert_frame_equal(first.differences, again.differences)
        assert first.notes == again.notes


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_folds_that_go_by_place_are_left_as_they_are(screen):
    """A splitter that was made for this order of rows deals the rows that it was made for."""
    keys = molecule_key(screen["Metadata_smiles"])
    treated = screen["Metadata_control_type"].isna().to_numpy()
    half = (pd.factorize(keys)[0] % 2)[treated]
    asked = []

    class Spy(ProfileEmbedder):
        def embed_phenotypes(self, X):
            asked.append(set(molecule_key(X["Metadata_smiles"])))
            return super().embed_phenotypes(X)

    study_zero_shot(
        screen,
        {"spy": Spy()},
        task="molecule",
        k=1,
        cv=PredefinedSplit(half),
        n_draws=2,
        n_bootstrap=20,
        random_state=0,
    )
    tested = [one for one in asked if not one & set(keys[~treated])]
    assert tested == [set(keys[treated][half == number]) for number in (0, 1)]


class Silent(Given):
    """No embedding of the molecules that are named."""

    def __init__(self, names=()):
        self.names = names

    def embed_phenotypes(self, X):
        Z = super().embed_phenotypes(X).copy()
        Z[X["Metadata_smiles"].isin(self.names).to_numpy()] = np.nan
        return Z


def test_a_fold_without_any_embedding_ties():
    molecules = np.repeat(np.arange(8), 4)
    table = screen_of(molecules, np.tile(np.arange(4), 8), np.eye(8)[molecules])
    options = {
        "task": "molecule",
        "k": 1,
        "top": (1, 2),
        "n_draws": 3,
        "groups": molecules // 4,
        "cv": 2,
        "controls": None,
        "random_state": 0,
    }
    models = {
        "half": Silent(tuple(SMILES[:4])),
        "one": Silent(tuple(SMILES[:1])),
        "mute": Silent(tuple(SMILES[:8])),
        "all": Silent(),
    }
    found = study_zero_shot(table, models, **options)
    scores = found.scores[found.scores["metric"] == "top-1"]
    for _, rows in scores.groupby("part"):
        value = rows.set_index("model")["value"]
        # Four molecules are named, four are guessed among four.
        assert value["half"] == pytest.approx((1 + 1 / 4) / 2)
        assert value["all"] == 1
        # The one comes last in any order: its class has no prototype, its rows tie all.
        assert value["one"] == pytest.approx((7 + 1 / 4) / 8)
        assert np.isnan(value["mute"])
        assert rows.set_index("model")["n"].to_dict() == {"half": 8, "one": 8, "mute": 0, "all": 8}
    (note,) = (note for note in found.notes if note.startswith("half has no embedding at all"))
    assert "in 1 of 2 folds (4 molecules) of 2 part(s)" in note
    assert any(
        note.startswith("one has no embedding of 4 of 32 query rows") for note in found.notes
    )
    assert not any(note.startswith("all") for note in found.notes)


def test_recognising_the_molecule_is_computed_from_the_draws():
    """As a loop: right where the own molecule is a reference of the class, else a guess."""
    generator = np.random.RandomState(0)
    molecules = np.repeat(np.arange(9), 4)
    classes, plates = molecules // 3, np.tile([0, 0, 1, 1], 9)
    rows = Rows(molecules, classes, plates)
    plans = question("moa", k=(1, 3), n_draws=9).plans(
        rows, molecules[:0], np.arange(36), generator
    )
    found = list(recognised(rows, plans, (1, 2)))
    assert [len(plan.draws[0, 0]) for plan, _ in found] == [1, 3]
    for plan, hits in found:
        assert [part.split(": ")[1] for part in plan.parts] == [
            "own molecule may be a reference on another plate"
        ]
        for draw, references in enumerate(plan.pool[plan.draws]):
            for at, query in enumerate(plan.queries):
                met = molecules[query] in molecules[references]
                expected = [1, 1] if met else [1 / 3, 2 / 3]
                np.testing.assert_allclose(hits[draw, :, at], expected)


def test_the_spread_over_draws_is_in_the_notes():
    generator = np.random.RandomState(0)
    molecules = np.repeat(np.arange(6), 4)
    Z = random_vectors(generator, 24)
    found = study_zero_shot(
        screen_of(molecules, np.tile(np.arange(4), 6), Z),
        {"given": Given()},
        task="molecule",
        k=1,
        plate=None,
        cv=2,
        n_draws=6,
        controls=None,
        random_state=0,
    )
    (note,) = (note for note in found.notes if "hold the folds and draws fixed" in note)
    said = float(re.search(r"top-1 of given ([0-9.]+) \(", note).group(1))
    # Each draw on its own, by the same seeds, is one study of one draw of each fold.
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)
    table = read_table(
        screen_of(molecules, np.tile(np.arange(4), 6), Z),
        task="molecule",
        label=None,
        groups=None,
        cv=2,
        together=2,
        plate=None,
        well=None,
        controls=None,
        random_state=int(seeds[0]),
    )
    draws = np.random.RandomState(int(seeds[1]))
    vectors = Given().embed_phenotypes(table.bench.table)
    figures = np.zeros((6, 6))
    for train, test in table.bench.folds:
        (plan,) = question("molecule", n_draws=6).plans(table.rows, train, test, draws)
        for draw, references in enumerate(plan.pool[plan.draws[:, :, 0]]):
            for code, reference in zip(plan.classes, references, strict=True):
                wells = test[(table.rows.molecules[test] == code) & (test != reference)]
                named = plan.classes[(vectors[wells] @ vectors[references].T).argmax(axis=1)]
                figures[draw, code] = np.mean(named == code)
    assert said == pytest.approx(figures.mean(axis=1).std(ddof=1), abs=6e-4)
    once = study_zero_shot(
        screen_of(molecules, np.tile(np.arange(4), 6), Z),
        {"given": Given()},
        task="molecule",
        k=1,
        cv=2,
        n_draws=1,
        controls=None,
        random_state=0,
    )
    assert not any("standard deviation" in note for note in once.notes)
