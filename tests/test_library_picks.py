"""Picking with bounds against picking with everything looked at again after every pick."""

from __future__ import annotations

import numpy as np
import pytest

from cloome_sk._library_picks import FEW, TIE, Coverage, Farthest, pick
from cloome_sk._library_spaces import PhenotypeSpace, StructureSpace, usual_distance
from cloome_sk.molecules._packed import packed_bits

NOTHING = np.zeros(0, dtype=np.intp)


def spaces_of(seed, n, copies=0):
    """Phenotypes and fingerprints in families; the last ones copy the first, so that they tie."""
    generator = np.random.default_rng(seed)
    family = generator.integers(max(n // 15, 2), size=n)
    vectors = generator.normal(size=(n, 8))[family] + 0.4 * generator.normal(size=(n, 8))
    bits = (generator.random((n, 96)) < 0.15)[family] ^ (generator.random((n, 96)) < 0.05)
    if copies:
        vectors[n - copies :], bits[n - copies :] = vectors[:copies], bits[:copies]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [PhenotypeSpace(vectors), StructureSpace(packed_bits(bits.astype(np.uint8), "bits"))]


def matrices(spaces, n):
    every = np.arange(n)
    return [space.distances(every, every) for space in spaces]


class Counted:
    """Passes everything on, and counts the candidates that are brought up to date."""

    def __init__(self, novelty):
        self.novelty, self.n_refreshed = novelty, 0
        self.values, self.fresh = novelty.values, novelty.fresh

    def refresh(self, rows):
        self.n_refreshed += len(rows)
        self.novelty.refresh(rows)

    def picked(self, row):
        self.novelty.picked(row)


def picks_of(novelty, extra, budget):
    return [row for row, _ in pick(novelty, extra, budget, lambda row: NOTHING)]


def first_best(scores, taken):
    scores = scores.copy()
    scores[taken] = -np.inf
    return int(np.flatnonzero(scores >= scores.max() - TIE)[0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_owned", [0, 7])
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.3, 0.8)])
def test_farthest_equals_looking_at_everything(seed, n_owned, weights):
    n, n_all = 200, 200 + n_owned
    spaces = spaces_of(seed, n_all, copies=30)
    extra = 0.2 * np.round(np.random.default_rng(seed).random(n), 1)
    owned = np.arange(n, n_all)
    novelty = Farthest(spaces, weights, n, [owned, owned])
    found = picks_of(novelty, extra, 120)
    apart, taken = matrices(spaces, n_all), []
    for _ in range(120):
        known = [*owned, *taken]
        near = [
            space[:n, known].min(axis=1, initial=most)
            for space, most in zip(apart, (2.0, 1.0), strict=True)
        ]
        scores = sum(weight * one for weight, one in zip(weights, near, strict=True)) + extra
        taken.append(first_best(scores, taken))
    assert found == taken


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_owned", [0, 7])
def test_coverage_equals_looking_at_everything(seed, n_owned):
    n, n_all = 150, 150 + n_owned
    spaces = spaces_of(seed, n_all, copies=20)
    extra = 0.1 * np.round(np.random.default_rng(seed).random(n), 1)
    owned, targets = np.arange(n, n_all), np.arange(0, n, 2)
    novelty = Coverage(spaces, (0.4, 0.6), n, [owned, owned], (0.9, 0.8), targets)
    found = picks_of(novelty, extra, 60)
    alike = [
        np.maximum(0, 1 - space / unit)
        for space, unit in zip(matrices(spaces, n_all), (0.9, 0.8), strict=True)
    ]
    taken: list[int] = []
    first: list[float] = []
    for _ in range(60):
        gains = []
        for space in alike:
            served = space[np.ix_([*owned, *taken], targets)].max(axis=0, initial=0.0)
            gains.append(np.maximum(space[:n, targets] - served, 0).mean(axis=1))
        first = first or [gain.max() for gain in gains]
        scores = 0.4 * gains[0] / first[0] + 0.6 * gains[1] / first[1] + extra
        taken.append(first_best(scores, taken))
    assert found == taken


def test_few_candidates_are_looked_at_again():
    n, budget = 4000, 60
    spaces, every = spaces_of(0, n), np.arange(n)
    far = Counted(Farthest(spaces, (0.5, 0.5), n, [every[:1], every[:1]]))
    picks_of(far, np.zeros(n), budget)
    bulk = Counted(Coverage(spaces, (0.5, 0.5), n, [NOTHING] * 2, (0.9, 0.8), every[::8]))
    picks_of(bulk, np.zeros(n), budget)
    for counted in (far, bulk):
        assert FEW < counted.n_refreshed < 0.2 * n * budget


def test_all_can_be_picked_and_then_no_more():
    spaces = spaces_of(0, 30)
    every = np.arange(30)
    found = picks_of(Farthest(spaces, (1.0, 1.0), 30, [NOTHING] * 2), np.zeros(30), 99)
    assert sorted(found) == every.tolist()
    assert picks_of(Farthest(spaces, (1.0, 1.0), 0, [NOTHING] * 2), np.zeros(0), 3) == []


def test_closed_candidates_are_never_picked():
    spaces = spaces_of(1, 60)
    novelty = Farthest(spaces, (1.0, 1.0), 60, [NOTHING] * 2)
    # each pick closes the next one in line
    taken = [
        row for row, _ in pick(novelty, np.zeros(60), 60, lambda row: np.array([(row + 1) % 60]))
    ]
    for place, row in enumerate(taken):
        assert (row + 1) % 60 not in taken[place:]
    assert 20 <= len(taken) <= 40


@pytest.mark.parametrize("step", [1, 3])
def test_distances_do_not_depend_on_the_block(step):
    for space in spaces_of(2, 50):
        whole = space.distances(np.arange(50), np.arange(50))
        np.testing.assert_allclose(
            space.distances(np.arange(0, 50, step), np.arange(9)), whole[::step, :9], atol=1e-12
        )
        near = space.nearest(np.arange(40), np.arange(40, 50))
        np.testing.assert_allclose(near, whole[:40, 40:].min(axis=1), atol=1e-12)
        assert space.nearest(np.arange(4), NOTHING).tolist() == [space.most] * 4
        assert (whole >= 0).all()
        assert (whole <= space.most).all()


def test_what_is_usual_is_a_median_of_neighbours():
    for space in spaces_of(3, 40):
        order = np.random.default_rng(0).permutation(40)
        each = [space.distances(order[[i]], order[[i + 1]])[0, 0] for i in range(39)]
        assert usual_distance(space, order) == pytest.approx(np.median(each))
        assert usual_distance(space, order[:1]) == 1
    same = PhenotypeSpace(np.ones((5, 1)))
    assert usual_distance(same, np.arange(5)) == 1
