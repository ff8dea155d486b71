"""Several processes, one batch: embeddings and gradients brought together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cloome_sk.training.data import PairInputs, Values


def world() -> tuple[int, int]:
    """Give the number of this process, from 0, and how many train together.

    Returns
    -------
    rank : int
        0 outside a group of `torch.distributed`.
    size : int
        1 outside a group of `torch.distributed`.

    Examples
    --------
    >>> from cloome_sk.training.gathering import world
    >>> world()
    (0, 1)
    """
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def gathered(values: Tensor) -> Tensor:
    r"""Give the rows of all processes, one after the other in the order of their ranks.

    With P processes that each embed a P-th of a batch, evaluate the objective on what is gathered,
    and average the gradients of the weights (`average_gradients`), the update is that of one
    process with the whole batch: the gradient that reaches the rows of a process is the sum over
    processes, :math:`\sum_p \partial L_p / \partial e = P\, \partial L / \partial e`, and what
    each process computes for all, such as the gradient of the temperature, is the mean of equals.

    Parameters
    ----------
    values : Tensor, shape (n_rows, ...)
        The rows of this process, of any dtype. Processes may have different numbers of rows.

    Returns
    -------
    Tensor, shape (n_rows of all processes, ...)
        Follows `values` in a backward pass, which all processes must then run. `values`
        themselves where there is one process.

    Raises
    ------
    ValueError
        If the rows of processes differ in size.
    ConnectionError
        If another process has ended.

    Notes
    -----
    **BatchNorm** normalises with the rows of its own process, so networks with BatchNorm compute
    as if batches were smaller: keep a P-th of a batch large. `average_buffers` makes their
    running statistics equal.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.training.gathering import gathered
    >>> alone = torch.eye(2)
    >>> gathered(alone) is alone
    True
    """
    if world()[1] == 1:
        return values
    if values.requires_grad and torch.is_grad_enabled():
        return _Gathered.apply(values)
    return _of_all(values)[0]


def gathered_rows(inputs: PairInputs, side: str) -> Values:
    """Give what an objective reads: the inputs of one side of the pairs of all processes.

    Parameters
    ----------
    inputs : PairInputs
        The batch of this process.
    side : {"phenotype", "molecule"}
        Which inputs.

    Returns
    -------
    Tensor, shape (n_pairs of all processes, ...), or tuple of such
        As `PairInputs.rows`.

    Raises
    ------
    ValueError
        For bags, whose instances are not told apart after that.
    """
    rows = inputs.rows(side)
    if world()[1] == 1:
        return rows
    if side in inputs.bags:
        raise ValueError(
            f"An objective cannot read the {side} inputs of bags in several processes."
        )
    return tuple(map(gathered, rows)) if isinstance(rows, tuple) else gathered(rows)


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over processes; no gradient counts as zeros.

    Parameters
    ----------
    parameters : iterable of Tensor
        The same in all processes, in the same order. Those that got no gradient in any process
        have none after it.

    Raises
    ------
    ConnectionError
        If another process has ended.
    """
    size = world()[1]
    weights = [weight for weight in parameters if weight.requires_grad]
    if size == 1 or not weights:
        return
    # Not a set, whose order differs between processes.
    for dtype in dict.fromkeys(weight.dtype for weight in weights):
        alike = [weight for weight in weights if weight.dtype == dtype]
        present = torch.tensor([weight.grad is not None for weight in alike]).to(alike[0])
        gradients = [
            torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in alike
        ]
        together = torch.cat([present, *(each.reshape(-1) for each in gradients)])
        _summed(together)
        counts, *means = together.split([len(alike), *(weight.numel() for weight in alike)])
        for weight, count, mean in zip(alike, counts.tolist(), means, strict=True):
            if count:
                weight.grad = torch.empty_like(weight) if weight.grad is None else weight.grad
                weight.grad.copy_(mean.view_as(weight)).div_(size)


@torch.no_grad()
def average_buffers(network: nn.Module) -> None:
    """Replace real-valued buffers, as running statistics of BatchNorm, by their mean.

    Parameters
    ----------
    network : nn.Module
        The same in all processes.

    Raises
    ------
    ConnectionError
        If another process has ended.
    """
    size = world()[1]
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    if size == 1 or not buffers:
        return
    together = torch.cat([buffer.double().reshape(-1) for buffer in buffers])
    _summed(together)
    means = together.div_(size).split([buffer.numel() for buffer in buffers])
    for buffer, mean in zip(buffers, means, strict=True):
        buffer.copy_(mean.view_as(buffer))


def from_first(value: Any) -> Any:
    """Give the value that the first process has, such as a seed that each drew for itself.

    Parameters
    ----------
    value : object
        What this process has; is pickled.

    Returns
    -------
    object
        What the process of rank 0 has.

    Raises
    ------
    ConnectionError
        If another process has ended.
    """
    if world()[1] == 1:
        return value
    held = [value]
    with _others_answer():
        dist.broadcast_object_list(held)
    return held[0]


def check_same(what: str, value: Any) -> None:
    """Refuse to go on where processes do not agree.

    Parameters
    ----------
    what : str
        What is compared, for the error.
    value : object
        What this process has; is pickled and compared.

    Raises
    ------
    ValueError
        In all processes, if one differs from the first.
    ConnectionError
        If another process has ended.
    """
    size = world()[1]
    if size == 1:
        return
    held: list[Any] = [None] * size
    with _others_answer():
        dist.all_gather_object(held, value)
    for rank, other in enumerate(held):
        if other != held[0]:
            raise ValueError(
                f"Processes that train together must have the same {what}, but process 0 has "
                f"{held[0]!r} and process {rank} {other!r}. Each must run the same program on the "
                "same data."
            )


def wait_for_others() -> None:
    """Go on when all processes are here.

    Raises
    ------
    ConnectionError
        If another process has ended.
    """
    with _others_answer():
        dist.barrier()


class _Gathered(torch.autograd.Function):
    """Rows of all processes; the gradient of a process is the sum of what all have for its rows."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        together, sizes = _of_all(values)
        rank = world()[0]
        ctx.own = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        return together

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        _summed(gradient)
        return gradient[ctx.own]


def _of_all(values: Tensor) -> tuple[Tensor, list[int]]:
    """Rows of all processes, and how many each has."""
    size = world()[1]
    n_rows, width = len(values), prod(values.shape[1:])
    # As bytes: not every backend knows every dtype.
    own = values.detach().reshape(n_rows, width).contiguous().view(torch.uint8)
    shape = torch.tensor([n_rows, own.shape[1]], device=own.device)
    shapes = [torch.empty_like(shape) for _ in range(size)]
    with _others_answer():
        dist.all_gather(shapes, shape)
    found = [each.tolist() for each in shapes]
    for rank, (_, n_bytes) in enumerate(found):
        if n_bytes != found[0][1]:
            raise ValueError(
                f"Rows of {found[0][1]} bytes in process 0 and of {n_bytes} in process {rank} "
                "cannot be gathered: each process must run the same program on the same data."
            )
    sizes = [count for count, _ in found]
    padded = own.new_zeros((max(sizes), own.shape[1]))
    padded[:n_rows] = own
    parts = [torch.empty_like(padded) for _ in range(size)]
    with _others_answer():
        dist.all_gather(parts, padded)
    together = torch.cat([part[:count] for part, count in zip(parts, sizes, strict=True)])
    return together.view(values.dtype).view(sum(sizes), *values.shape[1:]), sizes


def _summed(values: Tensor) -> None:
    with _others_answer():
        dist.all_reduce(values)


@contextmanager
def _others_answer() -> Iterator[None]:
    """Say in words that a process was lost; torch names a socket."""
    try:
        yield
    except RuntimeError as error:
        rank, size = world()
        raise ConnectionError(
            f"Process {rank} of {size} could not exchange data with the others: one of them has "
            "ended or no longer answers, and its own message says why. Training was stopped."
        ) from error
