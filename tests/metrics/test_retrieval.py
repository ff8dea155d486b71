"""Retrieval metrics against enumeration of all tie orders, naive loops and published figures."""

from __future__ import annotations

import itertools
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloome_sk.metrics import retrieval_metrics, retrieval_ranks


def naive_candidates(row, query, query_ids, database_ids, excluded, merge):
    """(score, is right) of each candidate of a query, by the definition."""
    if query_ids is None:
        items = [(s, j == query, None) for j, s in enumerate(row) if not excluded[j]]
    else:
        items = [
            (s, database_ids[j] == query_ids[query], database_ids[j])
            for j, s in enumerate(row)
            if not excluded[j]
        ]
    if merge and query_ids is not None:
        best = {}
        for score, right, name in items:
            best[name] = (max(score, best.get(name, (-np.inf,))[0]), right)
        return list(best.values())
    return [(score, right) for score, right, _ in items]


def naive_query(candidates, ks):
    """Mean over every order of the candidates that sorts the scores; None if nothing is right."""
    if not any(right for _, right in candidates):
        return None
    ranks = []
    for order in itertools.permutations(candidates):
        scores = [score for score, _ in order]
        if all(a >= b for a, b in itertools.pairwise(scores)):
            ranks.append(1 + [right for _, right in order].index(True))
    n_right = sum(right for _, right in candidates)
    wrong = [s for s, right in candidates if not right]
    pairs = [
        (w > r) + 0.5 * (w == r) for w in wrong for r in (s for s, right in candidates if right)
    ]
    ranks = np.array(ranks)
    everything = np.array(
        [
            1 + list(order).index(True)
            for order in itertools.permutations([right for _, right in candidates])
        ]
    )
    return {
        "rank": ranks.mean(),
        "reciprocal_rank": (1 / ranks).mean(),
        "relative_rank": np.mean(pairs) if pairs else 0.5,
        "n_candidates": len(candidates),
        "n_positives": n_right,
        **{f"R@{k}": (ranks <= k).mean() for k in ks},
        **{f"chance@{k}": (everything <= k).mean() for k in ks},
    }


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("with_exclusion", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_ranks_equal_enumeration_of_all_tie_orders(merge, with_ids, with_exclusion, seed):
    rng = np.random.default_rng(seed)
    n_rows = 6
    n_queries = 9 if with_ids else n_rows
    similarity = rng.integers(0, 3, size=(n_queries, n_rows)).astype(float)
    query_ids = rng.choice(list("abcx"), size=n_queries) if with_ids else None
    database_ids = rng.choice(list("abcd"), size=n_rows) if with_ids else None
    exclude = rng.random((n_queries, n_rows)) < 0.3 if with_exclusion else None
    ks = (1, 2, 4, 20)
    table = retrieval_ranks(
        similarity=similarity,
        query_ids=query_ids,
        database_ids=database_ids,
        exclude=exclude,
        duplicates="merge" if merge else "keep",
        ks=ks,
        block_size=4,
    )
    assert len(table) == n_queries
    hidden = np.zeros_like(similarity, dtype=bool) if exclude is None else exclude
    n_compared = 0
    for query in range(n_queries):
        candidates = naive_candidates(
            similarity[query], query, query_ids, database_ids, hidden[query], merge
        )
        expected = naive_query(candidates, ks)
        if expected is None:
            assert table.loc[query, "n_positives"] == 0
            assert table.drop(columns="n_positives").loc[query].isna().all()
            continue
        n_compared += 1
        for name, value in expected.items():
            assert table.loc[query, name] == pytest.approx(value, abs=1e-12), (query, name)
    assert n_compared >= 2


@pytest.mark.parametrize("similarity", [np.zeros((50, 50)), None])
def test_a_perfect_tie_scores_at_chance(similarity):
    if similarity is None:
        vectors = {"query": np.full((50, 7), 0.3), "database": np.full((50, 7), 0.1)}
    else:
        vectors = {"similarity": similarity}
    metrics = retrieval_metrics(**vectors)
    assert metrics["R@1"] == pytest.approx(0.02, abs=1e-15)
    assert metrics["R@10"] == pytest.approx(0.2, abs=1e-15)
    assert metrics["mean_rank"] == metrics["median_rank"] == 25.5
    assert metrics["relative_rank"] == pytest.approx(0.5)
    assert metrics["mrr"] == pytest.approx(np.mean(1 / np.arange(1, 51)))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("model", "to_molecule", "to_image"),
    [
        ("clip", (0.13, 0.27, 0.37), (0.09, 0.28, 0.39)),
        ("cloob", (0.14, 0.23, 0.28), (0.10, 0.21, 0.30)),
    ],
)
def test_published_similarities_give_the_published_recall(data_home, model, to_molecule, to_image):
    with zipfile.ZipFile(data_home / "images" / "cloome_amumo_100pairs.zip") as archive:
        matrix = np.loadtxt(archive.open(f"similarities/cloome_{model}.csv"), delimiter=",")
    assert matrix.shape == (200, 200)
    recall = ["R@1", "R@5", "R@10"]
    found = retrieval_metrics(similarity=matrix[:100, 100:])
    assert tuple(found[recall]) == pytest.approx(to_molecule)
    # The rows of each modality as embeddings: the matrix is a Gram matrix, so its factor is one.
    back = retrieval_metrics(similarity=matrix[100:, :100])
    assert tuple(back[recall]) == pytest.approx(to_image)
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    again = retrieval_metrics(factor[:100], factor[100:])
    assert tuple(again[recall]) == pytest.approx(to_molecule)
    assert again["mean_rank"] == pytest.approx(found["mean_rank"], abs=0.05)


def test_entries_and_their_order():
    metrics = retrieval_metrics(similarity=np.eye(4), ks=(1, 3))
    assert list(metrics.index) == [
        "R@1", "R@1_low", "R@1_high", "chance@1", "R@3", "R@3_low", "R@3_high", "chance@3",
        "median_rank", "mean_rank", "relative_rank", "mrr", "n_queries", "n_candidates",
        "n_dropped",
    ]  # fmt: skip
    assert metrics.dtype == np.float64
    assert metrics["R@1"] == 1
    assert metrics["chance@1"] == 0.25
    assert metrics["relative_rank"] == 0
    assert (metrics["n_queries"], metrics["n_candidates"], metrics["n_dropped"]) == (4, 4, 0)


def test_summary_is_the_mean_of_the_table():
    rng = np.random.default_rng(1)
    similarity = rng.integers(0, 5, size=(40, 12))
    ids = {
        "query_ids": rng.choice(list("abcdez"), 40),
        "database_ids": rng.choice(list("abcdef"), 12),
    }
    table = retrieval_ranks(similarity=similarity, **ids).dropna()
    metrics = retrieval_metrics(similarity=similarity, interval="bootstrap", random_state=0, **ids)
    assert metrics["R@5"] == pytest.approx(table["R@5"].mean())
    assert metrics["median_rank"] == np.median(table["rank"])
    assert metrics["mrr"] == pytest.approx(table["reciprocal_rank"].mean())
    assert metrics["n_queries"] == len(table)
    assert metrics["n_dropped"] == 40 - len(table) > 0


def test_duplicates_merge_to_one_candidate_with_the_best_score():
    similarity = np.array([[0.9, 0.8, 0.7, 0.6]])
    ids = {"query_ids": ["b"], "database_ids": ["a", "a", "a", "b"]}
    merged = retrieval_metrics(similarity=similarity, **ids)
    assert (merged["mean_rank"], merged["n_candidates"], merged["chance@1"]) == (2, 2, 0.5)
    kept = retrieval_metrics(similarity=similarity, duplicates="keep", **ids)
    assert (kept["mean_rank"], kept["n_candidates"], kept["chance@1"]) == (4, 4, 0.25)


def test_chance_counts_every_right_candidate():
    ids = {"query_ids": ["a"], "database_ids": list("aaabbbbbbb")}
    metrics = retrieval_metrics(similarity=np.zeros((1, 10)), duplicates="keep", **ids)
    # 1 - C(7, 5) / C(10, 5): five draws without replacement, three of ten right.
    assert metrics["chance@5"] == pytest.approx(1 - 21 / 252)
    assert metrics["R@5"] == pytest.approx(1 - 21 / 252)
    assert metrics["relative_rank"] == 0.5


class TestExclusion:
    plates = (np.array(["P1", "P2", None]), np.array(["P1", "P2", "P2", None]))
    ids = {"query_ids": list("aab"), "database_ids": list("aaba")}  # noqa: RUF012
    similarity = np.array([[0.9, 0.1, 0.5, 0.3], [0.2, 0.9, 0.5, 0.1], [0.9, 0.1, 0.2, 0.3]])

    def by_hand(self):
        query, database = self.plates
        return np.array([[q is not None and q == d for d in database] for q in query], dtype=bool)

    def test_labels_matrix_and_callable_agree(self):
        matrix = self.by_hand()
        tables = [
            retrieval_ranks(similarity=self.similarity, exclude=exclude, block_size=2, **self.ids)
            for exclude in (self.plates, matrix, lambda start, stop: matrix[start:stop])
        ]
        pd.testing.assert_frame_equal(tables[0], tables[1])
        pd.testing.assert_frame_equal(tables[0], tables[2])
        # Row 0 loses the well of its own plate: its molecule stays with .3, behind "b" with .5.
        assert tables[0]["rank"].tolist() == [2, 1, 2]
        assert tables[0]["n_candidates"].tolist() == [2, 1, 2]

    def test_any_shared_column_excludes(self):
        wells = (
            pd.DataFrame({"plate": [1], "well": ["A1"]}),
            pd.DataFrame({"plate": [1, 2, 2], "well": ["B1", "A1", "B1"]}),
        )
        table = retrieval_ranks(
            similarity=np.ones((1, 3)), query_ids=["a"], database_ids=list("bba"), exclude=wells
        )
        assert table.loc[0, "n_candidates"] == 1

    def test_missing_labels_match_nothing(self):
        for missing in (None, np.nan, pd.NA):
            labels = np.array([missing], dtype=object)
            table = retrieval_ranks(
                similarity=[[0.1]], query_ids=["a"], database_ids=["a"], exclude=(labels, labels)
            )
            assert table.loc[0, "n_candidates"] == 1

    def test_a_table_searched_in_itself(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(30, 5))
        ids = np.repeat(np.arange(10), 3)
        rows = np.arange(30)
        table = retrieval_ranks(
            X, X, query_ids=ids, database_ids=ids, exclude=(rows, rows), duplicates="keep"
        )
        unit = X / np.linalg.norm(X, axis=1)[:, None]
        similarity = unit @ unit.T
        np.fill_diagonal(similarity, -np.inf)
        nearest = ids[similarity.argmax(axis=1)] == ids
        assert table["R@1"].tolist() == nearest.tolist()
        assert (table["n_positives"] == 2).all()

    def test_dropped_queries_are_counted(self):
        exclude = np.zeros((3, 4), dtype=bool)
        exclude[2, 2] = True
        metrics = retrieval_metrics(
            similarity=self.similarity,
            exclude=exclude,
            interval="bootstrap",
            groups=["g", "h", "i"],
            random_state=0,
            **self.ids,
        )
        assert (metrics["n_queries"], metrics["n_dropped"]) == (2, 1)

    def test_embeddings_and_their_similarity_agree_under_exclusion_and_merging(self):
        rng = np.random.default_rng(3)
        query, database = rng.normal(size=(25, 6)), rng.normal(size=(40, 6))
        # Some database rows equal others of another molecule: exact ties with the right one.
        database[20:30] = database[:10]
        unit = [x / np.linalg.norm(x, axis=1)[:, None] for x in (query, database)]
        similarity = np.round(unit[0] @ unit[1].T, 12)
        arguments = {
            "query_ids": rng.integers(0, 9, 25),
            "database_ids": np.concatenate([rng.integers(0, 9, 20), rng.integers(0, 12, 20)]),
            "exclude": rng.random((25, 40)) < 0.2,
        }
        pd.testing.assert_frame_equal(
            retrieval_ranks(query, database, **arguments),
            retrieval_ranks(similarity=similarity, **arguments),
        )


class TestSampledCandidates:
    def test_equals_monte_carlo(self):
        rng = np.random.default_rng(5)
        similarity = rng.integers(0, 12, size=(6, 60)).astype(float)
        ids = {"query_ids": np.arange(6), "database_ids": np.arange(60)}
        table = retrieval_ranks(
            similarity=similarity, ks=(1, 3, 10), n_candidates_sampled=20, **ids
        )
        n_draws = 20_000
        for query in range(6):
            wrong = np.delete(similarity[query], query)
            # Random tie order: a jitter smaller than the step between scores.
            chosen = rng.permuted(np.tile(wrong, (n_draws, 1)), axis=1)[:, :19]
            chosen = chosen + rng.uniform(0, 0.5, chosen.shape)
            right = similarity[query, query] + rng.uniform(0, 0.5, n_draws)
            rank = 1 + (chosen > right[:, None]).sum(axis=1)
            for k in (1, 3, 10):
                share = table.loc[query, f"R@{k}"]
                error = 5 * np.sqrt(share * (1 - share) / n_draws) + 1e-3
                assert abs((rank <= k).mean() - share) < error
            assert table.loc[query, "rank"] == pytest.approx(rank.mean(), abs=0.2)
            assert table.loc[query, "reciprocal_rank"] == pytest.approx((1 / rank).mean(), abs=0.02)

    def test_equals_every_sample_of_a_small_set(self):
        similarity = np.array([[0.5, 0.9, 0.5, 0.1, 0.7]])
        table = retrieval_ranks(
            similarity=similarity,
            query_ids=["a"],
            database_ids=list("abcde"),
            ks=(1, 2, 3, 4),
            n_candidates_sampled=3,
        )
        hits, reciprocal = [], []
        for i, j in itertools.combinations(range(1, 5), 2):
            result = naive_query(
                [(0.5, True), *((similarity[0, c], False) for c in (i, j))], (1, 2, 3)
            )
            hits.append([result[f"R@{k}"] for k in (1, 2, 3)])
            reciprocal.append(result["reciprocal_rank"])
        assert table.loc[0, ["R@1", "R@2", "R@3"]].tolist() == pytest.approx(np.mean(hits, axis=0))
        assert table.loc[0, "reciprocal_rank"] == pytest.approx(np.mean(reciprocal))
        assert table.loc[0, "R@4"] == 1

    def test_all_candidates_sampled_is_no_sampling(self):
        similarity = np.random.default_rng(0).integers(0, 9, size=(30, 30))
        full = retrieval_metrics(similarity=similarity)
        sampled = retrieval_metrics(similarity=similarity, n_candidates_sampled=30)
        pd.testing.assert_series_equal(full, sampled, rtol=1e-9)

    def test_refuses_what_it_cannot_do(self):
        with pytest.raises(ValueError, match="query row 0 has \\(5\\)"):
            retrieval_metrics(similarity=np.eye(5), n_candidates_sampled=6)
        with pytest.raises(ValueError, match="one right candidate"):
            retrieval_metrics(
                similarity=np.zeros((1, 4)),
                query_ids=["a"],
                database_ids=list("aabb"),
                duplicates="keep",
                n_candidates_sampled=2,
            )


small = hnp.arrays(np.int64, st.tuples(st.integers(2, 7), st.just(7)), elements=st.integers(-3, 3))


@given(small, st.integers(0, 2**31 - 1), st.data())
def test_the_order_of_rows_changes_nothing(similarity, seed, data):
    rng = np.random.default_rng(seed)
    n_queries, n_rows = similarity.shape
    query_ids, database_ids = rng.integers(0, 4, n_queries), rng.integers(0, 4, n_rows)
    duplicates = data.draw(st.sampled_from(["merge", "keep"]))
    table = retrieval_ranks(
        similarity=similarity,
        query_ids=query_ids,
        database_ids=database_ids,
        duplicates=duplicates,
    )
    of_query, of_row = rng.permutation(n_queries), rng.permutation(n_rows)
    shuffled = retrieval_ranks(
        similarity=similarity[of_query][:, of_row],
        query_ids=query_ids[of_query],
        database_ids=database_ids[of_row],
        duplicates=duplicates,
    )
    pd.testing.assert_frame_equal(table.loc[of_query].reset_index(drop=True), shuffled)


@given(small, st.integers(-100, 100), st.integers(1, 50))
def test_shift_and_positive_scale_change_nothing(similarity, shift, scale):
    ids = {"query_ids": np.arange(len(similarity)), "database_ids": np.arange(7)}
    pd.testing.assert_series_equal(
        retrieval_metrics(similarity=similarity, **ids),
        retrieval_metrics(similarity=similarity * scale + shift, **ids),
    )


@given(small)
def test_one_minus_the_metric_of_reversed_scores(similarity):
    """Turning every score round turns the relative rank round: ties favour neither side."""
    ids = {"query_ids": np.arange(len(similarity)), "database_ids": np.arange(7)}
    forward = retrieval_metrics(similarity=similarity, **ids)
    backward = retrieval_metrics(similarity=-similarity, **ids)
    assert forward["relative_rank"] + backward["relative_rank"] == pytest.approx(1)


def test_intervals():
    rng = np.random.default_rng(0)
    similarity = rng.normal(size=(60, 60)) + 2 * np.eye(60)
    exact = retrieval_metrics(similarity=similarity)
    resampled = retrieval_metrics(similarity=similarity, interval="bootstrap", random_state=1)
    again = retrieval_metrics(similarity=similarity, interval="bootstrap", random_state=1)
    pd.testing.assert_series_equal(resampled, again)
    for metrics in (exact, resampled):
        assert metrics["R@1_low"] < metrics["R@1"] < metrics["R@1_high"]
    # Sixty independent queries: the two kinds differ by little.
    assert resampled["R@5_low"] == pytest.approx(exact["R@5_low"], abs=0.05)


def test_intervals_over_compounds_are_wider_than_over_their_wells():
    rng = np.random.default_rng(0)
    found = np.repeat(rng.random(12) < 0.5, 30)
    similarity = np.where(found[:, None], np.eye(12)[np.repeat(np.arange(12), 30)], 0.0)
    similarity[~found] = 1 - np.eye(12)[np.repeat(np.arange(12), 30)][~found]
    ids = {"query_ids": np.repeat(np.arange(12), 30), "database_ids": np.arange(12)}
    nested = retrieval_metrics(similarity=similarity, interval="bootstrap", random_state=0, **ids)
    wells = retrieval_metrics(
        similarity=similarity,
        interval="bootstrap",
        groups=np.arange(360),
        random_state=0,
        **ids,
    )
    width = nested["R@1_high"] - nested["R@1_low"]
    assert width > 3 * (wells["R@1_high"] - wells["R@1_low"])
    with pytest.warns(UserWarning, match="360 queries share 12 ids"):
        retrieval_metrics(similarity=similarity, **ids)


EYE = {"similarity": np.eye(3)}
ABC = ["a", "b", "c"]


def bad_similarity(value):
    similarity = np.eye(3)
    similarity[1, 2] = value
    return similarity


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either query and database, or similarity"),
        ({"query": np.eye(3)}, "either query and database"),
        ({"query": np.eye(3), "database": np.eye(3), "similarity": np.eye(3)}, "either"),
        ({"similarity": np.zeros(3)}, "similarity must be 2-D"),
        ({"similarity": np.zeros((0, 3))}, "similarity is empty"),
        ({"similarity": [["a", "b"]]}, "real numbers"),
        ({"similarity": bad_similarity(np.nan)}, "row 1, column 2 is nan"),
        ({"similarity": bad_similarity(np.inf)}, "row 1, column 2 is inf"),
        ({"similarity": np.zeros((2, 3))}, "2 queries and 3 database rows"),
        ({"query": np.eye(3), "database": np.eye(4)}, "3 columns and database 4"),
        ({"query": np.eye(3), "database": np.zeros((3, 3))}, "database: row 0 is all zeros"),
        ({"query": bad_similarity(np.nan), "database": np.eye(3)}, "query must be finite: row 1"),
        ({**EYE, "query_ids": list("abc")}, "both query_ids and database_ids"),
        ({**EYE, "query_ids": list("ab"), "database_ids": ABC}, "query_ids must hold one"),
        ({**EYE, "query_ids": ["a", None, "b"], "database_ids": ABC}, "query_ids: row 1"),
        ({**EYE, "query_ids": list("xyz"), "database_ids": ABC}, "None of the 3 queries"),
        ({**EYE, "exclude": np.eye(3, dtype=bool)}, "None of the 3 queries"),
        ({**EYE, "exclude": np.eye(3)}, "boolean matrix of shape"),
        ({**EYE, "exclude": np.zeros((2, 3), dtype=bool)}, "boolean matrix"),
        ({**EYE, "exclude": ([1], [2], [3])}, "is a pair"),
        ({**EYE, "exclude": ([1], [1, 2, 3])}, "labels of 3 queries"),
        ({**EYE, "exclude": lambda start, stop: np.zeros(3)}, "must return a boolean"),
        ({**EYE, "duplicates": "mean"}, "duplicates must be"),
        ({**EYE, "ks": ()}, "ks is empty"),
        ({**EYE, "ks": (0,)}, "positive integers, got 0"),
        ({**EYE, "ks": (1.5,)}, "positive integers, got 1.5"),
        ({**EYE, "ks": (True,)}, "positive integers"),
        ({**EYE, "ks": (1, 1)}, "more than once"),
        ({**EYE, "confidence": 95}, "between 0 and 1"),
        ({**EYE, "interval": "wald"}, "interval must be"),
        ({**EYE, "groups": [1, 2, 3]}, "interval='bootstrap' only"),
        ({**EYE, "interval": "bootstrap", "groups": [1, 2]}, "groups must hold"),
        ({**EYE, "interval": "bootstrap", "groups": [1, 1, 1]}, "two groups"),
        ({**EYE, "interval": "bootstrap", "n_bootstrap": 0}, "n_bootstrap"),
        ({**EYE, "n_candidates_sampled": 1}, "at least 2"),
        ({**EYE, "block_size": 0}, "block_size"),
    ],
)  # fmt: skip
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(**arguments)
