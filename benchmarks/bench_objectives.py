"""How long the objectives take, forward and backward, beside formulas written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from benchmarks._timing import Case, Comparison
from cloome_sk.objectives import InputCWCL, infoloob, infonce, siglip

N_COMPONENTS = 512
INV_TAU = 14.3
N_BITS = 1024


def rows(full: bool) -> Iterator[Case]:
    """Compare InfoNCE with and without replicates in the batch, InfoLOOB, SigLIP and CWCL."""
    for n_pairs in (256, 1024, 4096) if full else (256, 1024):
        generator = torch.Generator().manual_seed(0)
        x, z = (
            F.normalize(torch.randn(n_pairs, N_COMPONENTS, generator=generator), dim=1)
            for _ in range(2)
        )
        molecule = torch.arange(n_pairs) // 2
        positives = molecule[:, None] == molecule[None, :]
        bits = (torch.rand(n_pairs, N_BITS, generator=generator) < 0.05).to(torch.uint8)
        size, number = f"{n_pairs:,} pairs x {N_COMPONENTS}", max(1, 2048 // n_pairs)
        plain, masked, loob, sigmoid, weighted = (
            partial(infonce, inv_tau=INV_TAU),
            partial(infonce, inv_tau=INV_TAU, positives=positives),
            partial(infoloob, inv_tau=INV_TAU),
            partial(siglip, inv_tau=INV_TAU),
            partial(InputCWCL(), inv_tau=INV_TAU, inputs=bits),
        )
        by_bits = partial(cwcl_of_bits, bits=bits)
        checked = ((plain, clip), (loob, cloob), (sigmoid, sigmoid_loss), (weighted, by_bits))
        for found, expected in checked:
            if not np.isclose(float(found(x, z)), float(expected(x, z)), rtol=1e-5):
                raise AssertionError(f"{found.func} differs from the formula")
        for name, ours, reference, theirs in (
            ("infonce", plain, "F.cross_entropy", clip),
            ("infonce, two replicates", masked, "F.cross_entropy, replicates as negatives", clip),
            ("infoloob", loob, "CLOOB formula", cloob),
            ("siglip", sigmoid, "SigLIP formula", sigmoid_loss),
            ("cwcl of fingerprints", weighted, "CWCL formula", by_bits),
        ):
            jobs = (_with_gradient(ours, x, z), _with_gradient(theirs, x, z))
            yield Comparison(name, size, jobs[0], reference, jobs[1], number=number)


def _with_gradient(objective: Callable[..., Tensor], x: Tensor, z: Tensor) -> Callable[[], None]:
    """The objective of two matrices, and its gradient by both."""
    leaves = [matrix.clone().requires_grad_() for matrix in (x, z)]

    def run() -> None:
        torch.autograd.grad(objective(*leaves), leaves)

    return run


def clip(x: Tensor, z: Tensor) -> Tensor:
    """CLIP's objective."""
    logits = INV_TAU * x @ z.T
    own = torch.arange(len(x))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def cloob(x: Tensor, z: Tensor, beta: float = 14.3) -> Tensor:
    """CLOOB's objective."""

    def retrieved(query: Tensor, stored: Tensor) -> Tensor:
        return F.normalize(torch.softmax(beta * query @ stored.T, dim=1) @ stored, dim=1)

    def leave_one_out(query: Tensor, key: Tensor) -> Tensor:
        logits = INV_TAU * query @ key.T
        own = torch.eye(len(x), dtype=torch.bool)
        others = torch.logsumexp(logits.masked_fill(own, -torch.inf), dim=1)
        return (others - logits.diagonal()).mean() / INV_TAU

    return leave_one_out(retrieved(x, x), retrieved(z, x)) + leave_one_out(
        retrieved(z, z), retrieved(x, z)
    )


def sigmoid_loss(x: Tensor, z: Tensor, bias: float = -10.0) -> Tensor:
    """SigLIP's objective, by a matrix of signs."""
    sign = 2 * torch.eye(len(x)) - 1
    return -F.logsigmoid(sign * (INV_TAU * x @ z.T + bias)).sum() / len(x)


def cwcl_of_bits(x: Tensor, z: Tensor, bits: Tensor) -> Tensor:
    """CWCL's objective, weighted by the Tanimoto similarity of molecules."""
    rows = bits.float()
    common, count = rows @ rows.T, rows.sum(dim=1)
    weights = common / (count[:, None] + count - common)
    logits = INV_TAU * z @ x.T
    drawn = -(weights * logits.log_softmax(dim=1)).sum(dim=1) / weights.sum(dim=1)
    own = torch.arange(len(x))
    return (drawn.mean() + F.cross_entropy(logits.T, own)) / 2
