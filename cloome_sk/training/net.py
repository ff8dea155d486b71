"""The one skorch net: how batches are made, what is decayed, when to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from skorch import NeuralNet
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cloome_sk.training.data import Batch, PairDataset, PairInputs, as_batch

Objective = Callable[..., Tensor]


class ContrastiveCriterion(nn.Module):
    """An objective of two embedding matrices in the form skorch calls it."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, embedded: tuple[Tensor, Tensor, Tensor], groups: Tensor) -> Tensor:
        """Evaluate the objective; pairs of one group are positives."""
        phenotype, molecule, inv_tau = embedded
        groups = groups.to(phenotype.device)
        positives = groups[:, None] == groups[None, :]
        if int(positives.sum()) == len(groups):
            return self.objective(phenotype, molecule, inv_tau)
        return self.objective(phenotype, molecule, inv_tau, positives=positives)


class ContrastiveNet(NeuralNet):
    """Train a dual encoder; one method for each thing that differs from skorch's defaults."""

    def __init__(
        self,
        *args: Any,
        sampler: Any = None,
        groups: list[dict[str, Any]],
        frozen: Sequence[nn.Module] = (),
        precision: str = "fp32",
        **kwargs: Any,
    ) -> None:
        self.sampler = sampler
        self.groups = groups
        self.frozen = frozen
        self.precision = precision
        super().__init__(*args, **kwargs)

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        """None: skorch's own print and score what is not asked for here."""
        return []

    def get_iterator(self, dataset: PairDataset, training: bool = False) -> Iterable[Any]:
        """Let the sampler decide which pairs stand together, and the dataset build the batch."""
        return DataLoader(dataset, batch_sampler=self.sampler, collate_fn=as_batch)

    def infer(self, x: PairInputs, **fit_params: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Embed a batch on the device of the network."""
        for module in self.frozen:
            module.eval()
        inputs = x.on(self.device)
        kind = torch.device(self.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.module_(*inputs)

    def get_params_for_optimizer(
        self, prefix: str, named_parameters: Iterator[tuple[str, nn.Parameter]]
    ) -> tuple[Any, dict[str, Any]]:
        """Give the optimizer its groups."""
        _, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        return (self.groups,), kwargs

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Refuse to go on from an objective that is no longer a number."""
        step = super().train_step_single(batch, **fit_params)
        if not torch.isfinite(step["loss"]):
            raise FloatingPointError(
                f"The objective became {step['loss'].item()} in epoch {len(self.history)}, batch "
                f"{len(self.history[-1]['batches'])}. Lower `lr` or `inv_tau`, or clip the "
                "features: training was stopped and nothing was kept."
            )
        return step

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Keep the inverse temperature in its range after each update."""
        step = super().train_step(batch, **fit_params)
        self.module_.clamp_inv_tau()
        return step

    def run(self, dataset: PairDataset) -> None:
        """Fit without `partial_fit`, which would swallow a KeyboardInterrupt."""
        self.initialize()
        self.notify("on_train_begin", X=dataset, y=None)
        self.fit_loop(dataset)
        self.notify("on_train_end", X=dataset, y=None)
