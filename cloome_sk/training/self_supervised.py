"""Training one network on random views of its inputs: what SimCLR and DINO share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from cloome_sk.training.fitting import FitPlan, Task, train_network
from cloome_sk.training.samplers import ReplicateSpreadingSampler
from cloome_sk.training.supervised import LabelledDataset, SupervisedNet

TRIED = 16
"""Inputs on which it is tried whether views differ."""
DRAWS = 32
"""How often it is tried, until they do."""


class ViewCriterion(nn.Module):
    """A loss that keeps what it measures of each batch, for the history of the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self._sums: dict[str, Tensor] = {}
        self._n_batches = 0

    def record(self, **measured: Tensor) -> None:
        """Add what was measured of a batch, scalars without a gradient."""
        self._n_batches += 1
        for name, value in measured.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach()

    def means(self) -> dict[str, float]:
        """Give the mean over the batches since the last call."""
        means = {name: float(value) / self._n_batches for name, value in self._sums.items()}
        self._sums, self._n_batches = {}, 0
        return means


class ViewNet(SupervisedNet):
    """The net that trains pairs, where batches are views and the criterion measures them."""

    title = "Self-supervised fit"

    def scalars(self) -> dict[str, float]:
        """Give what the criterion measured of the batches of the epoch."""
        return self.criterion_.means()


def spread(vectors: Tensor) -> Tensor:
    r"""Give how far unit vectors are from being all the same, :math:`\sqrt{1 - |\bar u|^2}`.

    Parameters
    ----------
    vectors : Tensor, shape (n, n_components)
        Of any length above 0.

    Returns
    -------
    Tensor, scalar
        The standard deviation of the unit vectors around their mean: 0 where all point the same
        way, near 1 where they point everywhere.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.training.self_supervised import spread
    >>> spread(torch.ones(5, 3)).item() < 1e-3, spread(torch.tensor([[1.0], [-1.0]])).item()
    (True, 1.0)
    """
    mean = F.normalize(vectors.detach().float(), dim=1).mean(dim=0)
    return (1.0 - mean.square().sum()).clamp(min=0.0).sqrt()


def train_views(
    network: Callable[[], nn.Module],
    phenotype: tuple[Any, np.ndarray],
    criterion: Callable[[], nn.Module],
    net: type[ViewNet],
    plan: FitPlan,
    start: Callable[[Any, Any], None],
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Build a network and train it on views, leaving torch's own generator alone.

    Batches are random, and hold whole samples: neither molecules nor labels are known.

    Parameters
    ----------
    network : callable
        Makes the network, with fresh weights, whose `forward` draws the views of a batch.
    phenotype : (values, index)
        Network inputs, as `cloome_sk.training.PairDataset` takes them.
    criterion : callable
        Makes a `ViewCriterion` of what `forward` gives.
    net : type
        What trains.
    plan : FitPlan
        How to train.
    start : callable
        Told of the fresh network and of a few inputs, before training begins.

    Returns
    -------
    state : dict of str to ndarray
        The weights.
    history : list of dict
        For each epoch its number, the mean objective of its samples, and what was measured.

    Raises
    ------
    FloatingPointError
        If the loss stops being finite.
    """
    # To tell a sample from all others is to have each as a class of its own.
    data = LabelledDataset(phenotype, np.arange(len(phenotype[1])))

    def sampler(seed: int) -> ReplicateSpreadingSampler:
        return ReplicateSpreadingSampler(np.arange(len(data)), plan.batch_size, seed)

    def begin(made: Any) -> None:
        start(made, data.__getitems__(range(min(TRIED, len(data)))).inputs.phenotype)

    return train_network(Task(network, data, sampler, criterion, net), plan, begin)


@torch.no_grad()
def check_views_differ(phenotype: nn.Module, views: Callable[[nn.Module], Tensor]) -> None:
    """Refuse a network that shows an input in one way only.

    Parameters
    ----------
    phenotype : nn.Module
        Fresh, in training mode; is left as it is.
    views : callable
        Draws a view of each of some inputs by a network.

    Raises
    ------
    ValueError
        If all draws are the same.
    """
    # A copy: BatchNorm keeps statistics of whatever it is shown.
    trial = copy.deepcopy(phenotype).train()
    first = views(trial)
    # Several: dropout may leave all of a few features in, twice in a row.
    if all(torch.equal(views(trial), first) for _ in range(DRAWS)):
        raise ValueError(
            "Two views of a sample are the same, so there is nothing to learn from them: the "
            "network of phenotype= draws nothing at random in training. Give an ImageEncoder an "
            "augmentation= (or a crop= smaller than its images), a ProfileEncoder a dropout= or "
            "input_dropout= above 0, a BagEncoder such an encoder or a max_size=."
        )
