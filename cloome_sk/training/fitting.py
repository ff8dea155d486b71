"""From a network and pairs to trained weights, by one function."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import joblib
import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn

from cloome_sk.networks import DualEncoder
from cloome_sk.training.averaging import AveragedWeights
from cloome_sk.training.callbacks import ProgressBar, TimeGuard, closing_bars
from cloome_sk.training.compiling import compile_while_training, typical_rows
from cloome_sk.training.data import PairDataset
from cloome_sk.training.fine_tuning import Factors, freeze, parameter_groups
from cloome_sk.training.gathering import check_same, from_first, world
from cloome_sk.training.net import ContrastiveCriterion, ContrastiveNet, Objective
from cloome_sk.training.processes import joined
from cloome_sk.training.progress import Progress
from cloome_sk.training.samplers import ReplicateSpreadingSampler
from cloome_sk.training.schedules import Schedule

ONE_AT_A_TIME = threading.RLock()
"""torch draws from one generator a process, which trainings in two threads would share.

In one thread a callback of one training may run another."""


_PARTS = (
    *("phenotype", "phenotype_index", "molecule", "molecule_index", "groups", "targets"),
    *("values", "members", "sizes", "sources", "extras"),
)
"""Of datasets, and of network inputs that are read later: what they hold."""


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """How to update weights, whatever they are trained for.

    Attributes
    ----------
    lr, weight_decay : float
        Of AdamW; biases, norms and the temperature are not decayed.
    schedule : callable or None
        Learning rate over the fit (`cloome_sk.training.schedules`); None is a constant one.
    batch_size, max_epochs : int
        Pairs in a batch, and times that every pair is seen.
    seed : int
        Of weights, batches and dropout.
    device : str
        Where to train.
    verbose : int
        Above 0, show a progress bar.
    trainable : tuple of str or None, default=None
        Patterns of the weights that are trained (`cloome_sk.training.fine_tuning`); None: all.
    lr_factors : sequence of (str, float), default=()
        Patterns, and what the learning rate of the weights they fit is multiplied by.
    precision : {"fp32", "bf16", "fp16"}, default="fp32"
        What the networks compute in; weights and objective are float32.
    clip_norm : float or None, default=None
        Largest norm of the gradient.
    average_decay : float or None, default=None
        Decay of a running average of the weights, which is then the result; None: no average.
    chunk : int or None, default=None
        Inputs of a side that are embedded at a time (`cloome_sk.training.gradient_cache`).
    compiled : bool, default=False
        Whether the phenotype network is compiled (`cloome_sk.training.compiling`).
    """

    lr: float
    weight_decay: float
    schedule: Schedule | None
    batch_size: int
    max_epochs: int
    seed: int
    device: str
    verbose: int
    trainable: tuple[str, ...] | None = None
    lr_factors: Factors = ()
    precision: str = "fp32"
    clip_norm: float | None = None
    average_decay: float | None = None
    chunk: int | None = None
    compiled: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingPlan(FitPlan):
    """How to train a dual encoder on pairs: beside a `FitPlan`, the objective.

    Attributes
    ----------
    objective : callable
        ``objective(phenotype, molecule, inv_tau, positives=...)``, scalar; see
        `cloome_sk.objectives` for what else one may have.
    inv_tau : float
        Inverse temperature, or its start.
    learn_inv_tau : bool
        Whether it is trained.
    """

    objective: Objective
    inv_tau: float
    learn_inv_tau: bool


@dataclass(frozen=True)
class Task:
    """What is trained, and on what.

    Attributes
    ----------
    network : callable
        Makes the network, with fresh weights.
    dataset : torch.utils.data.Dataset
        Gives the batch of a list of rows.
    sampler : callable
        From a seed to what gives the rows of each batch.
    criterion : callable
        Makes the objective in the form skorch calls it.
    net : type, default=ContrastiveNet
        What trains.
    """

    network: Callable[[], nn.Module]
    dataset: Any
    sampler: Callable[[int], ReplicateSpreadingSampler]
    criterion: Callable[[], nn.Module]
    net: type[ContrastiveNet] = ContrastiveNet


def train_pairs(
    phenotype: Callable[[], nn.Module],
    molecule: Callable[[], nn.Module],
    pairs: PairDataset,
    plan: TrainingPlan,
    start: Callable[[DualEncoder], None] | None = None,
    progress: Progress | None = None,
    batching: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Build two networks and train them on pairs, leaving torch's own generator alone.

    Parameters
    ----------
    phenotype, molecule : callable
        Make the two networks, with fresh weights.
    pairs : PairDataset
        The training pairs.
    plan : TrainingPlan
        How to train.
    start : callable, optional
        Puts weights that were trained before into the fresh network.
    progress : Progress, optional
        Validates, keeps states and goes on from them.
    batching : mapping of str to ndarray, optional
        Further arguments of `ReplicateSpreadingSampler`, an entry a pair.
    callbacks : sequence of skorch callbacks, default=()
        Told of the beginning and end of batches and epochs.

    Returns
    -------
    state : dict of str to ndarray
        The weights of the `DualEncoder`: the last, or the best that `progress` kept.
    history : list of dict
        For each epoch its number, the mean objective of its pairs, the inverse temperature, and
        the scalars that the objective learns.

    Raises
    ------
    FloatingPointError
        If the objective stops being finite.
    ValueError
        If a pattern of the plan fits no weight.
    """

    def network() -> DualEncoder:
        return DualEncoder(
            phenotype(), molecule(), inv_tau=plan.inv_tau, learn_inv_tau=plan.learn_inv_tau
        )

    def sampler(seed: int) -> ReplicateSpreadingSampler:
        return ReplicateSpreadingSampler(
            pairs.molecule_index,
            plan.batch_size,
            seed,
            groups=pairs.groups.numpy(),
            **(batching or {}),
        )

    task = Task(network, pairs, sampler, partial(ContrastiveCriterion, plan.objective))
    return train_network(task, plan, start, progress, callbacks)


def train_network(
    task: Task,
    plan: FitPlan,
    start: Callable[[Any], None] | None = None,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Build a network and train it, leaving torch's own generator alone.

    Parameters
    ----------
    task : Task
        What is trained, and on what.
    plan : FitPlan
        How to train.
    start : callable, optional
        Puts weights that were trained before into the fresh network.
    progress : Progress, optional
        Validates, keeps states and goes on from them.
    callbacks : sequence of skorch callbacks, default=()
        Told of the beginning and end of batches and epochs.

    Returns
    -------
    state : dict of str to ndarray
        The weights: the last, or the best that `progress` kept.
    history : list of dict
        For each epoch its number, the mean objective, and the scalars that are trained.

    Raises
    ------
    FloatingPointError
        If the objective stops being finite.
    ValueError
        If a pattern of the plan fits no weight.
    """
    # The last ones undo what a caller's context may have changed: new tensors, and precision.
    # torch forgets which weights it has cast when the outermost autocast ends, which is here not
    # that of an update: without `cache_enabled=False`, all would compute with the first weights.
    with (
        ONE_AT_A_TIME,
        joined(plan.device, plan.batch_size) as processes,
        seeded(from_first(plan.seed), processes.device),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.device("cpu"),
        torch.autocast("cpu", enabled=False, cache_enabled=False),
        torch.autocast(torch.device(processes.device).type, enabled=False, cache_enabled=False),
    ):
        network = task.network().float()
        if start is not None:
            start(network)
        progress = Progress() if progress is None else progress
        plan = replace(plan, seed=from_first(plan.seed), device=processes.device)
        kept = _train(network, task, plan, progress, callbacks)
    state = {name: value.detach().cpu().numpy().copy() for name, value in kept.items()}
    broken = [name for name, value in state.items() if not np.isfinite(value).all()]
    if broken:
        raise FloatingPointError(
            f"The last update made {len(broken)} weights NaN or infinite ({broken[0]}, ...). "
            f"{task.net.remedy}: nothing was kept."
        )
    return state, progress.records


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Draw from a seed on the CPU and on the device in use, and put their generators back after.

    Parameters
    ----------
    seed : int
        The seed.
    device : str
        "cpu", or the CUDA device that is used.
    """
    used = torch.device(device)
    cuda = [used] if used.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach every device
        for one in cuda:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(seed)
        yield


def _train(
    network: nn.Module,
    task: Task,
    plan: FitPlan,
    progress: Progress,
    callbacks: Sequence[Callback],
) -> dict[str, torch.Tensor]:
    """Train a network; the weights to keep."""
    rank, size = world()
    if size > 1:
        check_same("training pairs", (len(task.dataset), _content(task.dataset)))
        if progress.validation is not None:
            pairs = progress.validation.pairs
            check_same("held-out pairs", (len(pairs), _content(pairs)))
    sampler: Any = task.sampler(plan.seed)
    n_batches = len(sampler)
    n_steps = int(plan.max_epochs * n_batches)
    if size > 1:
        sampler = sampler.for_rank(rank, size)
        # The weights are drawn alike, dropout is not.
        draws = np.random.SeedSequence([plan.seed, rank]).generate_state(1)
        torch.default_generator.manual_seed(int(draws[0]))
        if torch.device(plan.device).type == "cuda":
            torch.cuda.manual_seed(int(draws[0]))  # `joined` made the device the current one
    frozen = freeze(network, plan.trainable)
    criterion = task.criterion()
    named = chain(network.named_parameters(), criterion.named_parameters())
    network.to(plan.device)
    average = None
    if plan.average_decay is not None:
        average = AveragedWeights(network, plan.average_decay)
    if plan.compiled:
        in_batch = math.ceil(len(task.dataset) / (n_batches * size))
        phenotype: Any = network.phenotype
        rows = typical_rows(phenotype, task.dataset, in_batch, plan.chunk)
        compile_while_training(phenotype, rows)
    net = task.net(
        network,
        sampler=sampler,
        groups=parameter_groups(named, plan.lr, plan.lr_factors),
        frozen=frozen,
        precision=plan.precision,
        schedule=plan.schedule,
        n_steps=n_steps,
        clip_norm=plan.clip_norm,
        average=average,
        chunk=plan.chunk,
        criterion=criterion,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=plan.weight_decay,
        optimizer__fused=True,
        lr=plan.lr,
        max_epochs=plan.max_epochs,
        train_split=None,
        callbacks=[*_callbacks(plan, n_steps), *callbacks],
        device=plan.device,
        verbose=0,
    )
    with closing_bars(net):
        net.run(task.dataset, progress)
    if progress.best_state is not None:
        return progress.best_state
    return (network if average is None else average.network).state_dict()


def _content(held: Any) -> str:
    """Name what a dataset holds; of images their paths."""
    if isinstance(held, torch.Tensor):
        held = held.numpy()
    parts = [_content(part) for name in _PARTS if (part := getattr(held, name, None)) is not None]
    return str(joblib.hash(parts or held))


def _callbacks(plan: FitPlan, n_steps: int) -> list[Callback]:
    callbacks: list[Callback] = []
    if world()[0]:
        return []
    if plan.device == "cpu":
        callbacks.append(TimeGuard(n_steps))
    if plan.verbose:
        callbacks.append(ProgressBar(n_steps))
    return callbacks
