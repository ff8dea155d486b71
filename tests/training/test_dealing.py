"""Dealing: what each batch gets of each molecule, label and block, counted by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloome_sk.training._dealing import deal

seeds = st.integers(0, 2**32)


def _table(seed, n_rows, n_molecules, n_labels=1, n_blocks=1):
    """Codes without gaps, of very uneven frequency."""
    rng = np.random.default_rng(seed)
    columns = [(n * rng.random(n_rows) ** 2).astype(int) for n in (n_molecules, n_labels, n_blocks)]
    return [np.unique(column, return_inverse=True)[1] for column in columns]


def _counts(batches, codes):
    """How many rows of each code each batch holds, as a table of batches by codes."""
    return np.array([np.bincount(codes[batch], minlength=codes.max() + 1) for batch in batches])


@given(seeds, st.integers(1, 300), st.integers(1, 60), st.integers(1, 40))
def test_a_molecule_is_in_each_batch_as_often_as_in_any_other_or_once_more(seed, n, m, k):
    molecules, *_ = _table(seed, n, m)
    batches = deal(np.random.default_rng(seed), molecules, min(k, n))
    assert sorted(np.concatenate(batches)) == list(range(n))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    counts = _counts(batches, molecules)
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()


@given(seeds, st.integers(1, 300), st.integers(1, 60), st.integers(1, 40), st.integers(2, 4))
def test_labels_are_shared_out_and_molecules_within_a_label(seed, n, m, k, n_labels):
    molecules, labels, _ = _table(seed, n, m, n_labels)
    batches = deal(np.random.default_rng(seed), molecules, min(k, n), labels=labels)
    assert sorted(np.concatenate(batches)) == list(range(n))
    for codes in (labels, np.unique(molecules + 1000 * labels, return_inverse=True)[1]):
        counts = _counts(batches, codes)
        assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()


@given(seeds, st.integers(1, 400), st.integers(1, 60), st.integers(1, 40), st.integers(2, 6))
def test_blocks_follow_each_other_and_spread_what_fits_into_their_full_batches(seed, n, m, k, b):
    molecules, labels, blocks = _table(seed, n, m, 2, b)
    k = min(k, n)
    for chosen in (None, labels):
        batches = deal(np.random.default_rng(seed), molecules, k, blocks, chosen)
        assert sorted(np.concatenate(batches)) == list(range(n))
        assert [len(batch) for batch in batches] == [len(a) for a in np.array_split(range(n), k)]
        # Block after block, since no batch starts before the one in front of it has ended.
        assert sorted(blocks) == [x for batch in batches for x in sorted(blocks[batch])]
    batches = deal(np.random.default_rng(seed), molecules, k, blocks)
    for block in range(blocks.max() + 1):
        full = sum((blocks[batch] == block).all() for batch in batches)
        rows = Counter(molecules[blocks == block])
        for batch in batches:
            inside = Counter(molecules[batch[blocks[batch] == block]])
            assert all(inside[one] <= 1 for one, r in rows.items() if r <= full)
            assert all(inside[one] <= -(-r // full) for one, r in rows.items() if full)


@given(seeds)
def test_a_batch_on_a_border_gets_its_part_of_each_label(seed):
    rng = np.random.default_rng(seed)
    blocks = np.repeat([0, 1], rng.integers(100, 200, size=2))
    labels = (rng.random(len(blocks)) < 0.3).astype(int)
    batches = deal(rng, np.arange(len(blocks)), 5, blocks, labels)
    for batch in batches:
        for block in (0, 1):
            inside = batch[blocks[batch] == block]
            share = labels[blocks == block].mean()
            assert abs(labels[inside].sum() - share * len(inside)) <= 2


def test_labels_do_not_bring_a_molecule_together():
    """Four labels, each with one row of each molecule, of as many rows as there are batches."""
    molecules, labels = np.tile(np.arange(40), 4), np.repeat(np.arange(4), 40)
    met = 0
    for seed in range(200):
        for batch in deal(np.random.default_rng(seed), molecules, 40, labels=labels):
            met += len(batch) - len(set(molecules[batch]))
    # By chance: 6 pairs of labels, each of which brings 40 molecules together with p = 1 / 40.
    assert met / 200 == pytest.approx(6, rel=0.2)


def test_rows_stand_in_no_order_inside_a_batch():
    labels = np.repeat([0, 1], 500)
    (batch,) = deal(np.random.default_rng(0), np.arange(1000), 1, labels=labels)
    assert abs(np.corrcoef(labels[batch], np.arange(1000))[0, 1]) < 0.1


def test_any_two_molecules_meet_about_equally_often():
    """Nothing but chance decides who meets whom: 12 molecules of 2 rows in 8 batches of 3."""
    molecules = np.repeat(np.arange(12), 2)
    together = np.zeros((12, 12))
    n_epochs = 3000
    for epoch in range(n_epochs):
        for batch in deal(np.random.default_rng(epoch), molecules, 8):
            inside = molecules[batch]
            together[np.ix_(inside, inside)] += 1
    met = together[~np.eye(12, dtype=bool)] / n_epochs
    expected = 8 * 3 * 2 / (12 * 11)
    # Fewer than two meetings an epoch, so their standard error is below sqrt(2 p / n) = 0.016.
    assert met == pytest.approx(np.full(132, expected), abs=0.08)
