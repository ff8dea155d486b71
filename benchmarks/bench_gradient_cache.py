"""What a batch costs in chunks (`cached_backward`), beside the whole batch at once.

Each way runs in a process of its own, since the highest memory of a process never falls. Memory is
what the gradient took on top of what the process held before it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any

import torch

from benchmarks._memory import highest_megabytes
from benchmarks._timing import Case, Reported
from cloome_sk.networks import MLP, DualEncoder, SmallCNN
from cloome_sk.objectives import infonce
from cloome_sk.training.data import PairInputs
from cloome_sk.training.gradient_cache import cached_backward

SIDE = 64
"""Pixels a side."""
TIMES = 3


def rows(full: bool) -> Iterator[Case]:
    """Compare a batch of 8 (and of 32) chunks with the same batch at once."""
    for n_pairs, chunk in [(512, 64), *([(2048, 64)] if full else [])]:
        yield Reported(partial(compared, n_pairs, chunk), most=3)


def compared(n_pairs: int, chunk: int) -> list[dict[str, Any]]:
    """Seconds of both ways; their memory stands in the names."""
    cached, whole, small = (
        _in_a_process(*sizes) for sizes in ((n_pairs, chunk), (n_pairs, 0), (chunk, 0))
    )
    return [
        {
            "name": f"GradCache, {n_pairs} images of {SIDE} x {SIDE}, {cached['megabytes']:.0f} MB",
            "seconds": cached["seconds"],
            "reference": f"at once, {whole['megabytes']:.0f} MB; {chunk}: {small['megabytes']:.0f}",
            "reference_seconds": whole["seconds"],
        }
    ]


def _in_a_process(n_pairs: int, chunk: int) -> dict[str, float]:
    """Seconds and megabytes of one way."""
    shown = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_gradient_cache", str(n_pairs), str(chunk)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(shown.stdout)


def measured(n_pairs: int, chunk: int) -> dict[str, float]:
    """Seconds of a gradient, and the memory it takes; in chunks, or at once where `chunk` is 0."""
    torch.manual_seed(0)
    network = DualEncoder(SmallCNN(5, 128), MLP(1024, 128, (256,)))
    bits = torch.randint(2, (n_pairs, 1024), dtype=torch.uint8)
    inputs = PairInputs(torch.randn(n_pairs, 5, SIDE, SIDE), bits, torch.arange(n_pairs))
    _gradient(network, PairInputs(inputs.phenotype[:8], bits[:8], torch.arange(8)), 0)
    before, seconds = highest_megabytes(), []
    for _ in range(TIMES):
        start = perf_counter()
        _gradient(network, inputs, chunk)
        seconds.append(perf_counter() - start)
    return {"seconds": min(seconds), "megabytes": highest_megabytes() - before}


def _gradient(network: DualEncoder, inputs: PairInputs, chunk: int) -> None:
    network.zero_grad()
    if chunk:
        cached_backward(network, inputs, infonce, chunk)
    else:
        infonce(*network(*inputs.on("cpu"))).backward()


if __name__ == "__main__":
    print(json.dumps(measured(*map(int, sys.argv[1:]))))
