"""The one skorch net: how batches are made, what is decayed, when to stop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from skorch import NeuralNet
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cloome_sk.networks.dual import on_device
from cloome_sk.training.averaging import AveragedWeights
from cloome_sk.training.data import Batch, PairDataset, PairInputs, as_batch
from cloome_sk.training.gathering import average_gradients, gathered, gathered_rows
from cloome_sk.training.gradient_cache import cached_backward

if TYPE_CHECKING:
    from cloome_sk.training.progress import Progress

Objective = Callable[..., Tensor]

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions of 16 bits."""


class ContrastiveCriterion(nn.Module):
    """An objective of two embedding matrices in the form skorch calls it.

    An objective that is a module trains along, as a copy: the one given keeps its first values.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = copy.deepcopy(objective) if isinstance(objective, nn.Module) else objective

    def forward(
        self,
        embedded: tuple[Tensor, Tensor, Tensor],
        groups: Tensor,
        inputs: PairInputs | None = None,
    ) -> Tensor:
        """Evaluate the objective; pairs of one group are positives."""
        # With several processes, the negatives of a pair are those of all of them.
        phenotype, molecule = gathered(embedded[0]), gathered(embedded[1])
        inv_tau, groups = embedded[2], gathered(groups.to(phenotype.device))
        positives = groups[:, None] == groups[None, :]
        alone = int(positives.sum()) == len(groups)
        options: dict[str, Any] = {"positives": None if alone else positives}
        side = getattr(self.objective, "reads", None)
        if side is not None and inputs is not None:
            options["inputs"] = on_device(gathered_rows(inputs, side), phenotype.device)
        value = self.objective(phenotype, molecule, inv_tau, **options)
        if not isinstance(value, Tensor) or value.ndim:
            shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
            raise TypeError(
                f"The objective must give a scalar tensor, got {type(value).__name__}{shape}."
            )
        return value

    def learned(self) -> dict[str, float]:
        """Give the scalars that the objective trains, by name."""
        if not isinstance(self.objective, nn.Module):
            return {}
        named = self.objective.named_parameters()
        return {name: float(value.detach()) for name, value in named if value.ndim == 0}


class ContrastiveNet(NeuralNet):
    """Train a dual encoder; one method for each thing that differs from skorch's defaults.

    Parameters
    ----------
    *args
        Of `skorch.NeuralNet`.
    sampler : object
        Gives the batches of an epoch; `set_epoch` says of which, and from where.
    groups : list of dict
        The optimizer's parameter groups.
    frozen : sequence of nn.Module, default=()
        Modules that stay in evaluation mode.
    precision : {"fp32", "bf16", "fp16"}, default="fp32"
        What the networks compute in.
    schedule : callable or None, default=None
        From the optimizer and the number of updates to a learning-rate scheduler.
    n_steps : int, default=0
        Updates of the whole fit.
    clip_norm : float or None, default=None
        Largest norm of the gradient.
    average : AveragedWeights or None, default=None
        Running average of the weights.
    chunk : int or None, default=None
        Inputs of a side that are embedded at a time, for the gradient of a batch that is larger
        than memory (`cloome_sk.training.gradient_cache`).
    **kwargs
        Of `skorch.NeuralNet`.
    """

    title = "CLOOME fit"
    """What the progress bar says."""
    remedy = "Lower `lr` or `inv_tau`, or clip the features"
    """What the user can do about an objective that is no longer a number."""

    def __init__(
        self,
        *args: Any,
        sampler: Any = None,
        groups: list[dict[str, Any]],
        frozen: Sequence[nn.Module] = (),
        precision: str = "fp32",
        schedule: Callable[..., Any] | None = None,
        n_steps: int = 0,
        clip_norm: float | None = None,
        average: AveragedWeights | None = None,
        chunk: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.sampler = sampler
        self.groups = groups
        self.frozen = frozen
        self.precision = precision
        self.schedule = schedule
        self.n_steps = n_steps
        self.clip_norm = clip_norm
        self.average = average
        self.chunk = chunk
        super().__init__(*args, **kwargs)

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        """None: skorch's own print and score what is not asked for here."""
        return []

    def get_iterator(self, dataset: PairDataset, training: bool = False) -> Iterable[Any]:
        """Let the sampler decide which pairs stand together, and the dataset build the batch."""
        return DataLoader(
            dataset,
            batch_sampler=self.sampler,
            collate_fn=as_batch,
            pin_memory=torch.device(self.device).type == "cuda",
            # A loader draws a number when it starts. Not from the generator of dropout, whose
            # state a resumed training takes over in the middle of an epoch.
            generator=torch.Generator(),
        )

    def infer(self, x: PairInputs, **fit_params: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Embed a batch on the device of the network."""
        inputs = x.on(self.device)
        with self._autocast():
            return self.module_(*inputs)

    def _autocast(self) -> torch.autocast:
        half = HALF.get(self.precision)
        return torch.autocast(torch.device(self.device).type, half, enabled=half is not None)

    def get_loss(
        self, y_pred: Any, y_true: Tensor, X: PairInputs | None = None, training: bool = False
    ) -> Tensor:
        """Hand on the inputs too, for objectives that read them."""
        return self.criterion_(y_pred, y_true, X)

    def get_params_for_optimizer(
        self, prefix: str, named_parameters: Iterator[tuple[str, nn.Parameter]]
    ) -> tuple[Any, dict[str, Any]]:
        """Give the optimizer its groups."""
        _, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        return (self.groups,), kwargs

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Find the gradient; refuse to go on from an objective that is no longer a number."""
        self._set_training(True)
        for module in self.frozen:
            module.eval()
        inputs, groups = batch
        if self.chunk is None:
            loss = self.get_loss(self.infer(inputs), groups, X=inputs, training=True)
        else:
            loss = cached_backward(
                self.module_,
                inputs,
                lambda *embedded: self.criterion_(embedded, groups, inputs),
                self.chunk,
                autocast=self._autocast,
                scaler=self.scaler_,
            )
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"The objective became {loss.item()} in epoch {self.progress_.epoch + 1}, batch "
                f"{len(self.history[-1]['batches'])}. {self.remedy}: training was stopped and "
                "nothing was kept."
            )
        if self.chunk is None:
            self.scaler_.scale(loss).backward()
        return {"loss": loss.detach(), "y_pred": None}

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Make one update: gradient, clipping, optimizer, temperature, schedule, average."""
        self._zero_grad_optimizer()
        step = self.train_step_single(batch)
        average_gradients(self._trained)
        self.scaler_.unscale_(self.optimizer_)
        self.notify(
            "on_grad_computed",
            named_parameters=self.module_.named_parameters(),
            batch=batch,
            training=True,
        )
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._trained, self.clip_norm)
        self.scaler_.step(self.optimizer_)
        self.scaler_.update()
        self.bound()
        if self.schedule_ is not None:
            self.schedule_.step()
        if self.average is not None:
            self.average.update(self.module_)
        return step

    def bound(self) -> None:
        """Bring back what an update took out of its range: the temperature."""
        self.module_.clamp_inv_tau()

    def scalars(self) -> dict[str, float]:
        """Give the numbers that are trained, by name, for the history."""
        return {
            "inv_tau": float(self.module_.log_inv_tau.detach().exp()),
            **self.criterion_.learned(),
        }

    @property
    def _trained(self) -> list[Tensor]:
        return [weight for group in self.groups for weight in group["params"]]

    def run(self, dataset: PairDataset, progress: Progress) -> None:
        """Fit without `partial_fit`, which would swallow a KeyboardInterrupt.

        Parameters
        ----------
        dataset : PairDataset
            The pairs.
        progress : Progress
            Where training stands, and what is done between batches and epochs.
        """
        self.initialize()
        kind = torch.device(self.device).type
        self.scaler_ = torch.amp.GradScaler(kind, enabled=self.precision == "fp16")
        self.schedule_ = None
        if self.schedule is not None:
            self.schedule_ = self.schedule(self.optimizer_, self.n_steps)
        self.progress_ = progress
        progress.begin(self)
        self.notify("on_train_begin", X=dataset, y=None)
        while progress.epoch < self.max_epochs and not progress.stopped:
            self.sampler.set_epoch(progress.epoch, progress.batch)
            self.notify("on_epoch_begin", dataset_train=dataset, dataset_valid=None)
            iterator = self.get_iterator(dataset, training=True)
            self.run_single_epoch(iterator, True, "train", self._counted_step(progress))
            progress.end_epoch(self)
            for name, value in progress.records[-1].items():
                self.history.record(name, value)  # for callbacks that log
            self.notify("on_epoch_end", dataset_train=dataset, dataset_valid=None)
        self.notify("on_train_end", X=dataset, y=None)

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Number the epoch for callbacks; skorch would count from where a training goes on."""
        super().on_epoch_begin(net, **kwargs)
        self.history.record("epoch", self.progress_.epoch + 1)

    def _counted_step(self, progress: Progress) -> Callable[..., dict[str, Any]]:
        def step(batch: Batch, **fit_params: Any) -> dict[str, Any]:
            made = self.train_step(batch)
            progress.end_batch(self, float(made["loss"]), len(batch.inputs))
            return made

        return step
