"""SimCLR: tell the two views of a sample from the views of all others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cloome_sk.objectives import nt_xent
from cloome_sk.training.data import Values
from cloome_sk.training.fitting import FitPlan
from cloome_sk.training.gathering import gathered
from cloome_sk.training.self_supervised import (
    ViewCriterion,
    ViewNet,
    check_views_differ,
    spread,
    train_views,
)


class SimCLRNetwork(nn.Module):
    """A phenotype encoder and the projection head that its loss is taken behind.

    Parameters
    ----------
    phenotype : nn.Module
        Maps inputs to (n_samples, n_components), in training mode at random.
    n_components : int
        Size of the embedding, and of the hidden layer of the head.
    projection_size : int
        Size of what the loss compares.
    bags : bool, default=False
        Whether inputs are tuples that end with the bag of each instance.
    """

    def __init__(
        self, phenotype: nn.Module, n_components: int, projection_size: int, bags: bool = False
    ) -> None:
        super().__init__()
        self.phenotype = phenotype
        self.bags = bags
        self.head = nn.Sequential(
            nn.Linear(n_components, n_components, bias=False),  # BatchNorm has a bias
            nn.BatchNorm1d(n_components),
            nn.ReLU(),
            nn.Linear(n_components, projection_size),
        )

    def forward(self, phenotype: Values) -> tuple[Tensor, Tensor]:
        """Project two random views of each sample, each float32 (n_samples, projection_size)."""
        # As one batch, as in the original: BatchNorm sees both views at once, in one pass.
        first, second = self.head(self.phenotype(twice(phenotype, self.bags))).float().chunk(2)
        return first, second


def twice(values: Values, bags: bool = False) -> Values:
    """Give inputs one after the other two times, the second time with bags of their own.

    Parameters
    ----------
    values : Tensor, shape (n_samples, ...), or tuple of such
        What a phenotype network takes.
    bags : bool, default=False
        Whether the last of a tuple is the bag of each instance.

    Returns
    -------
    Tensor, shape (2 * n_samples, ...), or tuple of such
        The inputs of twice as many samples.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.training.simclr import twice
    >>> twice((torch.tensor([5, 6, 7]), torch.tensor([0, 1, 1])), bags=True)[1]
    tensor([0, 1, 1, 2, 3, 3])
    """
    if isinstance(values, Tensor):
        return torch.cat([values, values])
    if not bags:
        return tuple(torch.cat([part, part]) for part in values)
    *parts, bag = values
    return (*(torch.cat([part, part]) for part in parts), torch.cat([bag, bag + bag.max() + 1]))


class SimCLRCriterion(ViewCriterion):
    """NT-Xent of the samples of all processes; measures the spread of their projections."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, views: tuple[Tensor, Tensor], targets: Tensor, inputs: Any = None) -> Tensor:
        """Evaluate the loss; the samples of all processes are negatives of each other."""
        first, second = gathered(views[0]), gathered(views[1])
        self.record(spread=spread(torch.cat([first, second])))
        return nt_xent(first, second, self.temperature)


def train_simclr(
    make: Callable[[], nn.Module],
    n_components: int,
    phenotype: tuple[Any, np.ndarray],
    plan: FitPlan,
    *,
    projection_size: int,
    temperature: float,
    load_weights: Callable[[nn.Module], None],
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Train a phenotype network by SimCLR.

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
    projection_size, temperature : int, float
        Of the head, and of the loss.
    load_weights : callable
        Puts weights that were trained before into the fresh phenotype network.

    Returns
    -------
    state : dict of str to ndarray
        The weights of the phenotype network, without the head.
    history : list of dict
        An entry an epoch.

    Raises
    ------
    ValueError
        If the network shows each input in one way only.
    FloatingPointError
        If the loss stops being finite.
    """
    bags = getattr(phenotype[0], "are_bags", False)

    def network() -> SimCLRNetwork:
        return SimCLRNetwork(make(), n_components, projection_size, bags)

    def begin(made: SimCLRNetwork, few: Values) -> None:
        check_views_differ(made.phenotype, lambda trial: trial(few))
        load_weights(made.phenotype)

    criterion = partial(SimCLRCriterion, temperature)
    state, history = train_views(network, phenotype, criterion, ViewNet, plan, begin)
    prefix = "phenotype."
    kept = {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}
    return kept, history
