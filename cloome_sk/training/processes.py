"""Training in several processes, as a launcher such as torchrun starts them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from cloome_sk.training.gathering import wait_for_others, world

TIMEOUT = 1800.0
"""Seconds that a process waits for the others: longer than any does something alone."""

_meetings: list[dist.Store] = []
"""Where the processes meet, one entry a join, all in one store that lives as long as the process.

A store made anew each time could be found by a process that is ahead while it is about to close.
"""

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Processes:
    """One process among those that train together.

    Attributes
    ----------
    rank, size : int
        Its number, from 0, and how many there are.
    device : str
        Where it computes.
    """

    rank: int
    size: int
    device: str


@contextmanager
def joined(device: str, batch_size: int, *, timeout: float = TIMEOUT) -> Iterator[Processes]:
    """Train together with the other processes that a launcher started, if one did.

    ``torchrun --nproc-per-node 4 train.py`` and ``accelerate launch --num_processes 4 train.py``
    start a program four times and tell each by the environment variables ``RANK``,
    ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT`` which one it is. Without
    them, a program is alone. A group that the program made itself is used and left as it is.

    Parameters
    ----------
    device : str
        "cuda", one GPU for each process of a machine (by NCCL), or "cpu" (by gloo).
    batch_size : int
        Pairs in a batch of all processes together.
    timeout : float, default=1800.0
        Seconds to wait for the others, at the start and in each exchange.

    Yields
    ------
    Processes
        Which process this is, and its device.

    Raises
    ------
    ValueError
        If the environment contradicts itself, a batch has fewer than two pairs for each process,
        there are fewer GPUs than processes, or the device is none that processes can share.
    RuntimeError
        In a worker process of joblib or multiprocessing, which has the rank of its parent.
    ConnectionError
        If the others do not come in time.

    Notes
    -----
    All processes must fit the same models in the same order, and one at a time.

    Examples
    --------
    >>> from cloome_sk.training.processes import joined
    >>> with joined("cpu", batch_size=256) as processes:
    ...     print(processes)
    Processes(rank=0, size=1, device='cpu')
    """
    ours = not (dist.is_available() and dist.is_initialized())
    rank, size = _told(os.environ) if ours else world()
    if size == 1:
        yield Processes(0, 1, device)
        return
    if batch_size < 2 * size:
        raise ValueError(
            f"{size} processes cannot share a batch of {batch_size} pairs, since each needs two: "
            "raise `batch_size`, which counts the pairs of all processes together, or start fewer."
        )
    device = _own_device(device, rank, size)
    if ours:
        _join(device, rank, size, timeout)
    try:
        # Python objects travel by the GPU that is current.
        with torch.cuda.device(device) if device.startswith("cuda") else nullcontext():
            yield Processes(rank, size, device)
        if ours:
            wait_for_others()  # the first to end would look lost to others in their last exchange
    finally:
        if ours:
            dist.destroy_process_group()


def check_draws(random_state: Any) -> None:
    """Refuse processes that would each draw other random numbers before they meet.

    Parameters
    ----------
    random_state : int, RandomState or None
        The parameter of an estimator that is about to draw from it.

    Raises
    ------
    ValueError
        If it is None, and there are several processes: each would hold out other molecules.

    Examples
    --------
    >>> from cloome_sk.training.processes import check_draws
    >>> check_draws(None)  # alone
    """
    size = _told(os.environ)[1] if world()[1] == 1 else world()[1]
    if random_state is None and size > 1:
        raise ValueError(
            f"random_state=None draws other numbers in each of the {size} processes that train "
            "together, which would hold out other molecules. Give an integer."
        )


def _told(environment: Mapping[str, str]) -> tuple[int, int]:
    """Rank and number of processes, as a launcher told them."""
    if environment.get("WORLD_SIZE", "1") == "1":
        return 0, 1
    missing = [name for name in VARIABLES if name not in environment]
    if missing:
        raise ValueError(
            f"The environment asks for WORLD_SIZE={environment['WORLD_SIZE']} processes, but says "
            f"nothing of {', '.join(missing)}. Start the program by torchrun or accelerate, or "
            "unset WORLD_SIZE to train in one process."
        )
    try:
        rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    except ValueError:
        rank, size = -1, 0
    if not 0 <= rank < size:
        raise ValueError(
            f"The environment says RANK={environment['RANK']!r} and "
            f"WORLD_SIZE={environment['WORLD_SIZE']!r}: ranks are whole numbers from 0 to "
            "WORLD_SIZE - 1."
        )
    if multiprocessing.parent_process() is not None:
        raise RuntimeError(
            "A worker process of joblib or multiprocessing cannot train together with the others "
            f"of a launcher, since it has the rank of its parent ({rank} of {size}). Set n_jobs to "
            "1, or start the program without the launcher."
        )
    return rank, size


def _own_device(device: str, rank: int, size: int) -> str:
    """Give each process of a machine a GPU of its own."""
    wanted = torch.device(device)
    if wanted.type == "cpu":
        return device
    if wanted.type != "cuda":
        raise ValueError(
            f'{size} processes cannot train together on device={device!r}: use "cuda" or "cpu".'
        )
    if wanted.index is not None:
        raise ValueError(
            f'device={device!r} names one GPU for {size} processes. Give device="cuda": each '
            "takes one of its own."
        )
    local, n_gpus = int(os.environ.get("LOCAL_RANK", rank)), torch.cuda.device_count()
    if local >= n_gpus:
        raise ValueError(
            f"Process {rank} is number {local} on its machine, where torch sees {n_gpus} GPU(s): "
            'start as many processes as there are GPUs, or give device="cpu".'
        )
    return f"cuda:{local}"


def _join(device: str, rank: int, size: int, timeout: float) -> None:
    on_gpu, limit = device.startswith("cuda"), timedelta(seconds=timeout)
    try:
        store = _meetings[0] if _meetings else next(rendezvous("env://", timeout=limit))[0]
        _meetings.append(store)
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            store=dist.PrefixStore(f"cloome_sk/{len(_meetings)}", store),
            rank=rank,
            world_size=size,
            timeout=limit,
            device_id=torch.device(device) if on_gpu else None,
        )
    except RuntimeError as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ConnectionError(
            f"Process {rank} of {size} did not find the others at {address} within {timeout:g} s: "
            "start all of them, with one address and port that is free."
        ) from error
