"""From a network and pairs to trained weights, by one function."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback, LRScheduler
from torch import nn

from cloome_sk.networks import DualEncoder
from cloome_sk.training.callbacks import ProgressBar, TimeGuard
from cloome_sk.training.data import PairDataset
from cloome_sk.training.fine_tuning import Factors, freeze, parameter_groups
from cloome_sk.training.net import ContrastiveCriterion, ContrastiveNet, Objective
from cloome_sk.training.samplers import ReplicateSpreadingSampler

ONE_AT_A_TIME = threading.Lock()
"""torch draws from one generator a process, which trainings in two threads would share."""


FEWEST_CYCLED = 10
"""Fewer updates than this get a constant rate: a cycle of one is all beginning, which is ~0."""


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Attributes
    ----------
    objective : callable
        ``objective(phenotype, molecule, inv_tau, positives=...)``, scalar.
    inv_tau : float
        Inverse temperature, or its start.
    learn_inv_tau : bool
        Whether it is trained.
    lr, weight_decay : float
        Of AdamW; biases, norms and the temperature are not decayed.
    schedule : {"one-cycle", None}
        Learning rate over the fit: up and down again (Smith & Topin 2017), or constant. Fewer
        than ten updates are always at a constant rate.
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
    precision : {"fp32", "bf16"}, default="fp32"
        What the networks compute in; weights and objective are float32.
    """

    objective: Objective
    inv_tau: float
    learn_inv_tau: bool
    lr: float
    weight_decay: float
    schedule: str | None
    batch_size: int
    max_epochs: int
    seed: int
    device: str
    verbose: int
    trainable: tuple[str, ...] | None = None
    lr_factors: Factors = ()
    precision: str = "fp32"


def train_pairs(
    phenotype: Callable[[], nn.Module],
    molecule: Callable[[], nn.Module],
    pairs: PairDataset,
    plan: TrainingPlan,
    start: Callable[[DualEncoder], None] | None = None,
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

    Returns
    -------
    state : dict of str to ndarray
        The weights of the `DualEncoder`.
    history : list of dict
        For each epoch its number, the mean objective of its pairs, and the inverse temperature.

    Raises
    ------
    FloatingPointError
        If the objective stops being finite.
    ValueError
        If a pattern of the plan fits no weight.
    """
    # The last three undo what a caller's context may have changed about new tensors.
    with (
        ONE_AT_A_TIME,
        seeded(plan.seed, plan.device),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.device("cpu"),
    ):
        network = DualEncoder(
            phenotype(), molecule(), inv_tau=plan.inv_tau, learn_inv_tau=plan.learn_inv_tau
        ).float()
        if start is not None:
            start(network)
        history = _train(network, pairs, plan)
    state = {
        name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()
    }
    broken = [name for name, value in state.items() if not np.isfinite(value).all()]
    if broken:
        raise FloatingPointError(
            f"The last update made {len(broken)} weights NaN or infinite ({broken[0]}, ...). Lower "
            "`lr` or `inv_tau`: nothing was kept."
        )
    return state, history


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


def _train(network: DualEncoder, pairs: PairDataset, plan: TrainingPlan) -> list[dict[str, Any]]:
    sampler = ReplicateSpreadingSampler(
        pairs.molecule_index, plan.batch_size, plan.seed, groups=pairs.groups.numpy()
    )
    n_steps = int(plan.max_epochs * len(sampler))
    record = EpochRecord()
    frozen = freeze(network, plan.trainable)
    groups = parameter_groups(network.named_parameters(), plan.lr, plan.lr_factors)
    net = ContrastiveNet(
        network,
        sampler=sampler,
        groups=groups,
        frozen=frozen,
        precision=plan.precision,
        criterion=ContrastiveCriterion,
        criterion__objective=plan.objective,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=plan.weight_decay,
        optimizer__fused=True,
        lr=plan.lr,
        max_epochs=plan.max_epochs,
        train_split=None,
        callbacks=[record, *_callbacks(plan, n_steps, [group["lr"] for group in groups])],
        device=plan.device,
        verbose=0,
    )
    net.run(pairs)
    return record.epochs_


def _callbacks(plan: TrainingPlan, n_steps: int, rates: list[float]) -> list[Callback]:
    callbacks: list[Callback] = []
    if plan.schedule == "one-cycle" and n_steps >= FEWEST_CYCLED:
        callbacks.append(
            LRScheduler(
                torch.optim.lr_scheduler.OneCycleLR,
                max_lr=rates,
                total_steps=n_steps,
                cycle_momentum=False,
                step_every="batch",
            )
        )
    if plan.device == "cpu":
        callbacks.append(TimeGuard(n_steps))
    if plan.verbose:
        callbacks.append(ProgressBar(n_steps))
    return callbacks


class EpochRecord(Callback):
    """The history that outlives the net: plain numbers, an entry an epoch."""

    def on_train_begin(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Start an empty record."""
        self.epochs_: list[dict[str, Any]] = []

    def on_epoch_end(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Average the objective over the pairs of the epoch."""
        batches = net.history[-1, "batches"]
        sizes = [batch["train_batch_size"] for batch in batches]
        total = sum(batch["train_loss"] * size for batch, size in zip(batches, sizes, strict=True))
        self.epochs_.append(
            {
                "epoch": net.history[-1, "epoch"],
                "objective": total / sum(sizes),
                "inv_tau": float(net.module_.log_inv_tau.detach().exp()),
            }
        )
