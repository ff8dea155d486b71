"""Scores of the transfer study, recomputed row by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from cloome_sk.evaluation._transfer_probes import (
    Probe,
    Rows,
    chosen_penalty,
    deal_plates,
    neighbors,
    per_molecule,
    prototypes,
)


@pytest.fixture
def rows():
    """Four classes of four molecules, three wells each on three plates, with some signal."""
    rng = np.random.default_rng(0)
    classes = np.repeat(np.array(list("abcd"), dtype=object), 12)
    molecules = np.array([f"m{n // 3:02d}" for n in range(48)], dtype=object)
    plates = np.array(["P1", "P2", "P3"] * 16, dtype=object)
    folds = np.array([(n // 3) % 4 for n in range(48)])
    centres = rng.normal(size=(4, 6))
    vectors = np.repeat(centres, 12, axis=0) + rng.normal(size=(48, 6))
    return Rows(vectors, classes, molecules, plates, folds)


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def naive_neighbors(learn, asked, k, other_plates):
    hits, chances = [], []
    for row in range(len(asked.classes)):
        nearest = {}
        for other in range(len(learn.classes)):
            if learn.folds[other] == asked.folds[row]:
                continue
            if other_plates and learn.plates[other] == asked.plates[row]:
                continue
            value = cosine(asked.vectors[row], learn.vectors[other])
            name = learn.molecules[other]
            if name not in nearest or value > nearest[name][0]:
                nearest[name] = (value, learn.classes[other])
        best = sorted(nearest.values(), key=lambda pair: -pair[0])[:k]
        hits.append(np.mean([label == asked.classes[row] for _, label in best]))
        chances.append(np.mean([label == asked.classes[row] for _, label in nearest.values()]))
    return hits, chances


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("other_plates", [False, True])
def test_neighbors_equal_a_double_loop(rows, k, other_plates):
    found = neighbors(rows, rows, k, other_plates=other_plates)
    hits, chances = naive_neighbors(rows, rows, k, other_plates)
    np.testing.assert_allclose(found.hits, hits)
    np.testing.assert_allclose(found.chance, chances)
    assert 0.3 < np.mean(hits) < 1.0


def test_neighbors_of_another_table_leave_out_its_own_molecules(rows):
    asked = rows.take(np.arange(0, 48, 2))
    found = neighbors(rows, asked, 1)
    np.testing.assert_allclose(found.hits, naive_neighbors(rows, asked, 1, False)[0])


def test_equal_vectors_are_right_by_chance(rows):
    flat = Rows(np.ones_like(rows.vectors), *[v for n, v in vars(rows).items() if n != "vectors"])
    for k in (1, 5):
        found = neighbors(flat, flat, k)
        np.testing.assert_allclose(found.hits, found.chance)
    order = np.stack([np.random.default_rng(n).permutation(16) for n in range(5)])
    found = prototypes(flat, order, sorted(set(rows.molecules)), 2)
    np.testing.assert_allclose(found.hits[~np.isnan(found.hits)], 0.25)


def naive_prototypes(rows, order, molecules, references):
    total, count = np.zeros(48), np.zeros(48)
    for draw in order:
        place = dict(zip(molecules, draw, strict=True))
        chosen, means = {}, {}
        for name in "abcd":
            own = sorted(set(rows.molecules[rows.classes == name]), key=place.get)[:references]
            chosen[name] = own
            centres = []
            for molecule in own:
                units = [v / np.linalg.norm(v) for v in rows.vectors[rows.molecules == molecule]]
                centre = np.sum(units, axis=0)
                centres.append(centre / np.linalg.norm(centre))
            means[name] = np.mean(centres, axis=0)
        for row in range(48):
            if any(rows.molecules[row] in own for own in chosen.values()):
                continue
            best = max("abcd", key=lambda name: cosine(rows.vectors[row], means[name]))
            total[row] += best == rows.classes[row]
            count[row] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def test_zero_shot_equals_a_loop_over_draws(rows):
    rng = np.random.default_rng(1)
    molecules = sorted(set(rows.molecules))
    order = np.stack([rng.permutation(16) for _ in range(6)])
    found = prototypes(rows, order, molecules, 2)
    np.testing.assert_allclose(found.hits, naive_prototypes(rows, order, molecules, 2))
    assert set(found.chance[~np.isnan(found.chance)]) == {0.25}


def test_classes_with_too_few_molecules_for_references_are_not_asked(rows):
    order = np.arange(16)[None, :]
    found = prototypes(rows, order, sorted(set(rows.molecules)), 4)
    assert np.isnan(found.hits).all()


def naive_probe(learn, asked, penalty_of, places=None):
    hits = np.full(len(asked.classes), np.nan)
    for fold in range(4):
        for place in [None] if places is None else sorted(set(places)):
            train, test = learn.folds != fold, asked.folds == fold
            if place is not None:
                train, test = train & (places != place), test & (places == place)
            scaler = StandardScaler().fit(learn.vectors[train])
            model = LogisticRegression(
                C=penalty_of(learn.take(np.flatnonzero(learn.folds != fold))),
                class_weight="balanced",
                max_iter=2000,
            ).fit(scaler.transform(learn.vectors[train]), learn.classes[train].astype(str))
            named = model.predict(scaler.transform(asked.vectors[test]))
            hits[test] = named == asked.classes[test]
    return hits


def test_probe_equals_regressions_by_hand(rows):
    probe = Probe(rows, plate_folds=3)
    np.testing.assert_array_equal(probe.ask(rows).hits, naive_probe(rows, rows, chosen_penalty))
    np.testing.assert_array_equal(
        probe.ask_other_plates().hits,
        naive_probe(rows, rows, chosen_penalty, deal_plates(rows.plates, 3)),
    )
    asked = Rows(rows.vectors + 0.1, rows.classes, rows.molecules, rows.plates, rows.folds)
    np.testing.assert_array_equal(probe.ask(asked).hits, naive_probe(rows, asked, chosen_penalty))


def test_the_penalty_is_chosen_by_molecules_left_out(rows):
    """Labels that molecules alone tell are not to be learned: the smallest C is best."""
    rng = np.random.default_rng(0)
    fingerprint = np.repeat(rng.normal(size=(16, 6)), 3, axis=0) + 0.01 * rng.normal(size=(48, 6))
    noise = Rows(fingerprint, *[v for n, v in vars(rows).items() if n != "vectors"])
    clear = Rows(
        np.eye(4)[pd.factorize(rows.classes)[0]] + 0.01 * rng.normal(size=(48, 4)),
        *[v for n, v in vars(rows).items() if n != "vectors"],
    )
    assert chosen_penalty(noise) == 0.001
    assert chosen_penalty(clear) == 0.1


def test_a_class_that_nothing_teaches_is_not_asked(rows):
    learn = rows.take(np.flatnonzero(rows.classes != "d"))
    found = Probe(learn).ask(rows)
    assert np.isnan(found.hits[rows.classes == "d"]).all()
    assert not np.isnan(found.hits[rows.classes != "d"]).any()
    np.testing.assert_allclose(found.chance[rows.classes == "a"], 1 / 3)


def test_rows_of_a_molecule_count_once(rows):
    found = per_molecule(neighbors(rows, rows, 1), rows.molecules)
    assert len(found) == 16
    own = neighbors(rows, rows, 1).hits[rows.molecules == "m03"]
    assert found.loc["m03", "value"] == pytest.approx(own.mean())
