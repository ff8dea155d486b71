"""Counting on embeddings: exact decisions from float32 blocks, bounded memory, speed."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from cloome_sk.metrics import retrieval_metrics, retrieval_ranks
from cloome_sk.metrics._scores import CosineScores


def exact_table(query, database):
    """Above and tied by correctly rounded sums: the reference for close calls."""
    import math

    def unit(x):
        x = x.astype(np.float64)
        return x / np.sqrt([math.fsum(v * v for v in row) for row in x])[:, None]

    query, database = unit(query), unit(database)
    ranks = []
    for i, vector in enumerate(query):
        scores = [math.fsum(vector * row) for row in database]
        above = sum(score > scores[i] + 1e-14 for score in scores)
        tied = sum(abs(score - scores[i]) <= 1e-14 for score in scores) - 1
        ranks.append(1 + above + tied / 2)
    return np.array(ranks)


def test_close_calls_are_decided_in_float64():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=48)
    # Cosines that differ by about 1e-8: float32 cannot order them, float64 can.
    database = centre + 1e-4 * rng.normal(size=(70, 48))
    query = centre + rng.normal(size=(70, 48))
    ranks = retrieval_ranks(query, database)["rank"].to_numpy()
    assert ranks.tolist() == exact_table(query, database).tolist()
    unit = [x / np.linalg.norm(x, axis=1)[:, None] for x in (query, database)]
    scores = unit[0].astype(np.float32) @ unit[1].astype(np.float32).T
    in_float32 = 1 + (scores > np.diag(scores)[:, None]).sum(axis=1)
    assert (ranks != in_float32).any()


@pytest.mark.parametrize("merge", [True, False])
def test_a_few_close_calls_among_many_clear_ones(merge):
    rng = np.random.default_rng(1)
    database = rng.normal(size=(400, 48))
    query = database + 0.5 * rng.normal(size=(400, 48))
    # Rivals of every tenth right answer, a float32 rounding error away on either side of it.
    rivals = np.arange(0, 400, 10)
    database[rivals + 1] = database[rivals] * (1 + 1e-8 * rng.normal(size=(len(rivals), 48)))
    database[rivals + 2] = database[rivals]
    table = retrieval_ranks(
        query,
        database,
        query_ids=np.arange(400),
        database_ids=np.arange(400),
        duplicates="merge" if merge else "keep",
    )
    expected = exact_table(query, database)
    assert table["rank"].tolist() == expected.tolist()
    assert {1.5, 2.5} <= set(expected[rivals])


@pytest.mark.parametrize("n_equal", [2, 60])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("merge", [True, False])
def test_equal_rows_tie_wherever_they_stand(n_equal, dtype, merge):
    rng = np.random.default_rng(n_equal)
    n_rows, n_dimensions = 307, 129
    database = rng.normal(size=(n_rows, n_dimensions)).astype(dtype)
    # A few rows are equal, or many are, so that both ways of counting are met.
    equal = rng.choice(n_rows, size=n_equal, replace=False)
    database[equal] = database[equal[0]]
    if n_equal == 60:
        database[:] = database[equal[0]]
        equal = np.arange(n_rows)
    query = rng.normal(size=(n_rows, n_dimensions)).astype(dtype)
    table = retrieval_ranks(
        query,
        # The length of a vector is no part of its direction.
        database * np.where(np.arange(n_rows) % 2, 1.0, 4.0)[:, None].astype(dtype),
        query_ids=np.arange(n_rows),
        database_ids=np.arange(n_rows),
        duplicates="merge" if merge else "keep",
        block_size=50,
    )
    similarity = query.astype(float) @ database.astype(float).T
    similarity /= np.linalg.norm(database.astype(float), axis=1)
    for i in equal:
        others = np.delete(similarity[i], equal)
        expected = 1 + (others > similarity[i, i]).sum() + (len(equal) - 1) / 2
        assert table.loc[i, "rank"] == expected


def test_merging_equals_the_maximum_over_rows():
    rng = np.random.default_rng(2)
    query, database = rng.normal(size=(80, 10)), rng.normal(size=(300, 10))
    query_ids, database_ids = rng.integers(0, 50, 80), rng.integers(0, 45, 300)
    table = retrieval_ranks(
        query, database, query_ids=query_ids, database_ids=database_ids, block_size=7
    )
    unit = [x / np.linalg.norm(x, axis=1)[:, None] for x in (query, database)]
    best = pd.DataFrame((unit[0] @ unit[1].T).T).groupby(database_ids).max()
    for i, name in enumerate(query_ids):
        if name not in best.index:
            assert table.loc[i, "n_positives"] == 0
            continue
        assert table.loc[i, "rank"] == 1 + (best[i] > best.loc[name, i]).sum()
        assert table.loc[i, "n_candidates"] == len(best)


@pytest.mark.parametrize("block_size", [1, 3, 1000])
def test_the_block_size_changes_nothing(block_size):
    rng = np.random.default_rng(4)
    query, database = rng.normal(size=(2, 33, 5)).round(1)
    pd.testing.assert_frame_equal(
        retrieval_ranks(query, database, block_size=block_size), retrieval_ranks(query, database)
    )


def test_permuting_embeddings_changes_nothing():
    rng = np.random.default_rng(6)
    query = rng.integers(-2, 3, size=(60, 9)) + 0.5
    database = rng.integers(-2, 3, size=(60, 9)) + 0.5
    order = rng.permutation(60)
    rank = retrieval_ranks(query, database)["rank"].to_numpy()
    shuffled = retrieval_ranks(query[order], database[order])["rank"].to_numpy()
    assert rank[order].tolist() == shuffled.tolist()
    assert (rank % 1 != 0).any()


def test_rounding_stays_within_the_stated_bounds():
    rng = np.random.default_rng(7)
    query, database = rng.normal(size=(40, 700)), rng.normal(size=(50, 700))
    scores = CosineScores(query, database)
    exact = scores.exact(0, 40)
    assert scores.band is not None
    assert np.abs(scores.fast(0, 40) - exact).max() < scores.band / 2
    columns = np.array([3, 49, 3])
    assert np.abs(scores.exact_at(8, columns) - exact[8, columns]).max() < scores.slack / 2


def test_memory_does_not_grow_with_the_matrix():
    rng = np.random.default_rng(8)
    query, database = rng.normal(size=(2, 6000, 16)).astype(np.float32)
    retrieval_metrics(query[:10], database[:10])
    tracemalloc.start()
    retrieval_metrics(query, database, block_size=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The whole matrix of float32 would take 144 MB; a block takes 2.4 MB.
    assert peak < 20e6


def test_a_memory_map_is_read_as_it_stands(tmp_path):
    similarity = np.random.default_rng(0).normal(size=(30, 30))
    np.save(tmp_path / "similarity.npy", similarity)
    mapped = np.load(tmp_path / "similarity.npy", mmap_mode="r")
    exclude = (np.arange(30) % 4, np.arange(1, 31) % 4)
    pd.testing.assert_series_equal(
        retrieval_metrics(similarity=mapped, exclude=exclude, block_size=8),
        retrieval_metrics(similarity=similarity, exclude=exclude),
    )
    assert (np.asarray(mapped) == similarity).all()
