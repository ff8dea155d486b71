"""How fast retrieval ranks and mean average precision are, beside the usual way to get them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._timing import Case, Reported
from cloome_sk.metrics import mean_average_precision, retrieval_metrics

N_DIMENSIONS = 512
# Up to this many candidates every one of them is also a query; beyond it, a sample of queries is
# ranked among all candidates, in both ways.
ALL_QUERIES_UP_TO = 20_000
N_QUERIES_BEYOND = 2_000


def _unit_rows(generator: np.random.Generator, n_rows: int) -> np.ndarray:
    rows = generator.standard_normal((n_rows, N_DIMENSIONS), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _recall_by_argsort(similarity: np.ndarray, block: int = 1000) -> list[float]:
    """Recall within 1, 5 and 10 by sorting each row and looking up the right column."""
    ranks = []
    for start in range(0, len(similarity), block):
        ranking = np.argsort(-similarity[start : start + block], axis=1)
        right = np.arange(start, start + len(ranking))[:, None]
        ranks.append(np.where(ranking == right)[1])
    rank = np.concatenate(ranks)
    return [float((rank < k).mean()) for k in (1, 5, 10)]


def bench_ranks(sizes: Sequence[int] = (2_115, 20_000, 115_723)) -> list[dict[str, Any]]:
    """Time `retrieval_metrics` from similarities and from embeddings against an argsort.

    The reference sorts blocks of rows; sorting the whole matrix at once takes longer and twelve
    times its memory. From embeddings, both sides pay for the same matrix product.
    """
    rows = []
    for n_candidates in sizes:
        generator = np.random.default_rng(0)
        database = _unit_rows(generator, n_candidates)
        n_queries = n_candidates if n_candidates <= ALL_QUERIES_UP_TO else N_QUERIES_BEYOND
        query = database[:n_queries] + 2.5 * _unit_rows(generator, n_queries)
        query /= np.linalg.norm(query, axis=1, keepdims=True)
        ids = {"query_ids": np.arange(n_queries), "database_ids": np.arange(n_candidates)}

        start = perf_counter()
        similarity = query @ database.T
        product_seconds = perf_counter() - start
        start = perf_counter()
        expected = _recall_by_argsort(similarity)
        argsort_seconds = perf_counter() - start

        start = perf_counter()
        counted = retrieval_metrics(similarity=similarity, **ids)
        similarity_seconds = perf_counter() - start
        del similarity
        start = perf_counter()
        computed = retrieval_metrics(query, database, **ids)
        embedding_seconds = perf_counter() - start
        for found in (counted, computed):
            if not np.allclose(found[["R@1", "R@5", "R@10"]], expected, atol=2 / n_queries):
                raise AssertionError(f"recall differs at {n_candidates} candidates")
        of = f"{n_queries:,} queries x {n_candidates:,} candidates"
        for name, seconds, reference, reference_seconds in (
            ("ranks from similarities", similarity_seconds, "argsort", argsort_seconds),
            (
                "ranks from embeddings",
                embedding_seconds,
                "matrix product + argsort",
                product_seconds + argsort_seconds,
            ),
        ):
            rows.append(
                {
                    "name": f"{name}, {of}",
                    "seconds": seconds,
                    "reference": reference,
                    "reference_seconds": reference_seconds,
                    "ratio": reference_seconds / seconds,
                }
            )
    return rows


def bench_mean_average_precision(
    n_profiles: int = 10_000, *, with_reference: bool = False
) -> list[dict[str, Any]]:
    """Time mean average precision of replicates against all other compounds, and its memory.

    The reference, `copairs.map`, lists every pair and takes some 80 bytes for each, 4 GB for
    10,000 profiles, and minutes, so it runs on request only.
    """
    generator = np.random.default_rng(0)
    metadata = pd.DataFrame({"compound": np.repeat(np.arange(n_profiles // 4), 4)})
    centres = generator.standard_normal((n_profiles // 4, 300), dtype=np.float32)
    X = np.repeat(centres, 4, axis=0)
    X += 2 * generator.standard_normal(X.shape, dtype=np.float32)
    rule = {"pos_sameby": ["compound"], "neg_diffby": ["compound"]}
    start = perf_counter()
    found = mean_average_precision(X, metadata, null_size=1000, random_state=0, **rule)
    seconds = perf_counter() - start
    tracemalloc.start()
    mean_average_precision(X, metadata, null_size=1000, random_state=0, **rule)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    row = {
        "name": f"mean average precision, {n_profiles:,} profiles, peak {peak / 2**20:.0f} MiB",
        "seconds": seconds,
        "reference": "copairs.map (not run)",
        "reference_seconds": float("nan"),
        "ratio": float("nan"),
    }
    if with_reference:
        seconds_of_copairs, mean = _copairs_seconds(metadata, X)
        if not np.isclose(mean, found["mean_average_precision"].mean(), atol=1e-4):
            raise AssertionError("mean average precision differs from copairs")
        row |= {
            "reference": "copairs.map",
            "reference_seconds": seconds_of_copairs,
            "ratio": seconds_of_copairs / seconds,
        }
    return [row]


def _copairs_seconds(metadata: pd.DataFrame, X: np.ndarray) -> tuple[float, float]:
    from tempfile import TemporaryDirectory

    from copairs import map as copairs_map

    start = perf_counter()
    scores = copairs_map.average_precision(
        metadata, X, ["compound"], [], [], ["compound"], progress_bar=False
    )
    with TemporaryDirectory() as cache:
        groups = copairs_map.mean_average_precision(
            scores, ["compound"], 1000, 0.05, 0, progress_bar=False, cache_dir=cache
        )
    return perf_counter() - start, float(groups["mean_average_precision"].mean())


def rows(full: bool) -> Iterator[Case]:
    """Ranks, and mean average precision beside copairs where that is installed."""
    if full:
        yield Reported(bench_ranks, most=1)
        yield Reported(bench_mean_average_precision, most=1)
    else:
        yield Reported(partial(bench_ranks, (2_115,)))
    with_reference = find_spec("copairs") is not None
    n_profiles = 4_000 if full else 1_000
    yield Reported(
        partial(bench_mean_average_precision, n_profiles, with_reference=with_reference), most=2
    )
