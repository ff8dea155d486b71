"""DINO: a student learns to say of each view what its own running average says of another."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cloome_sk.objectives import dino_loss, moved_center
from cloome_sk.training.data import Batch
from cloome_sk.training.dino_network import DINOHead, DINONetwork
from cloome_sk.training.fitting import FitPlan
from cloome_sk.training.gathering import gathered
from cloome_sk.training.self_supervised import (
    ViewCriterion,
    ViewNet,
    check_views_differ,
    train_views,
)


class DINOCriterion(ViewCriterion):
    """DINO's loss and its center; measures what tells a collapse.

    ``entropy`` is that of what the teacher says of a view, in nats. ``information`` is the entropy
    of the mean of what it says of all views of a batch, less that: 0 where it says the same of
    all, be that one prototype or all of them alike.

    Parameters
    ----------
    n_prototypes : int
        Size of the outputs.
    student_temperature : float
        Of the student.
    teacher_temperatures : (float, float)
        Of the teacher: at the start, and from the end of the warm-up on.
    warmup : float
        Share of the updates over which the teacher's rises.
    center_momentum : float
        Of the center.
    """

    center: Tensor

    def __init__(
        self,
        n_prototypes: int,
        student_temperature: float,
        teacher_temperatures: tuple[float, float],
        warmup: float,
        center_momentum: float,
    ) -> None:
        super().__init__()
        self.student_temperature = student_temperature
        self.teacher_temperatures = teacher_temperatures
        self.warmup = warmup
        self.center_momentum = center_momentum
        self.register_buffer("center", torch.zeros(n_prototypes))
        self.warm(0.0)

    def warm(self, done: float) -> None:
        """Set the teacher's temperature for a share of the updates that were made."""
        low, high = self.teacher_temperatures
        risen = min(1.0, done / self.warmup) if self.warmup else 1.0
        self.teacher_temperature = low + risen * (high - low)

    def forward(self, said: tuple[Tensor, Tensor], targets: Tensor, inputs: Any = None) -> Tensor:
        """Evaluate the loss on the samples of all processes, then move the center."""
        student, teacher = (gathered(each.transpose(0, 1)).transpose(0, 1) for each in said)
        of_teacher = self.teacher_temperature
        loss = dino_loss(student, teacher, self.center, self.student_temperature, of_teacher)
        self.measure(torch.softmax((teacher - self.center) / of_teacher, dim=-1).flatten(0, 1))
        self.center = moved_center(self.center, teacher, self.center_momentum)
        return loss

    def measure(self, says: Tensor) -> None:
        """Record entropy and information of distributions, shape (n, n_prototypes)."""
        entropy = torch.special.entr(says).sum(dim=1).mean()
        of_all = torch.special.entr(says.mean(dim=0)).sum()
        self.record(entropy=entropy, information=of_all - entropy)


class DINONet(ViewNet):
    """The net that trains views, with a teacher that follows after each update."""

    @property
    def _done(self) -> float:
        """Share of the updates of the whole fit that were made."""
        return self.progress_.n_updates / self.n_steps

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Find the gradient, at the teacher's present temperature."""
        self.criterion_.warm(self._done)
        step = super().train_step_single(batch)
        # In the first epoch prototypes stay, as in the original: what they are compared with is
        # still noise.
        if not self.progress_.epoch and self.max_epochs > 1:
            self.module_.student["head"].prototypes.grad = None
        return step

    def bound(self) -> None:
        """Let the teacher follow: after an update, where others bring weights back in range."""
        self.module_.move_teacher(self._done)


def train_dino(
    make: Callable[[], nn.Module],
    n_components: int,
    phenotype: tuple[Any, np.ndarray],
    plan: FitPlan,
    *,
    head: tuple[int, int, int],
    views: tuple[int, int | None, tuple[float, float], tuple[float, float]],
    student_temperature: float,
    teacher_temperatures: tuple[float, float],
    warmup: float,
    momentum: float | None,
    center_momentum: float,
    load_weights: Callable[[nn.Module], None],
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Train a phenotype network by DINO.

    Parameters
    ----------
    make : callable
        Makes the phenotype network, with fresh weights.
    n_components : int
        Size of the embedding.
    phenotype : (values, index)
        Network inputs, as `cloome_sk.training.PairDataset` takes them.
    plan : FitPlan
        How to train.
    head : (int, int, int)
        Hidden size, bottleneck and number of prototypes.
    views : (int, int or None, (float, float), (float, float))
        Of `DINONetwork`, from `n_local` on.
    student_temperature, teacher_temperatures, warmup : float, (float, float), float
        Temperatures; those of the teacher at the start and after the warm-up, a share of updates.
    momentum : float or None
        Of the teacher at the start; None is 1 - 3 / number of updates, in [0.9, 0.996].
    center_momentum : float
        Of the center.
    load_weights : callable
        Puts weights that were trained before into the fresh phenotype network.

    Returns
    -------
    state : dict of str to ndarray
        The weights of the teacher's phenotype network, without the head.
    history : list of dict
        An entry an epoch.

    Raises
    ------
    ValueError
        If the phenotype network is not one of images, or shows each in one way only.
    FloatingPointError
        If the loss stops being finite.
    """
    n_updates = plan.max_epochs * math.ceil(len(phenotype[1]) / plan.batch_size)
    if momentum is None:
        momentum = min(0.996, max(0.9, 1.0 - 3.0 / n_updates))

    def network() -> DINONetwork:
        return DINONetwork(make(), DINOHead(n_components, *head), *views, momentum)

    def begin(made: DINONetwork, few: Any) -> None:
        def shown(trial: Any) -> Tensor:
            large, small = made.views(trial, few)
            return torch.cat([view.flatten() for view in large + small])

        student = made.student["phenotype"]
        check_views_differ(student, shown)
        load_weights(student)
        made.teacher.load_state_dict(made.student.state_dict())

    temperatures = (student_temperature, teacher_temperatures, warmup)
    criterion = partial(DINOCriterion, head[2], *temperatures, center_momentum)
    state, history = train_views(network, phenotype, criterion, DINONet, plan, begin)
    prefix = "teacher.phenotype."
    kept = {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}
    return kept, history
