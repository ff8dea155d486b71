"""Training one network on labels: classes, assays with missing results, or numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.data import Dataset

from cloome_sk.networks.dual import on_device
from cloome_sk.training.data import Batch, Values, held, pinned, rows_of
from cloome_sk.training.fitting import FitPlan, Task, train_network
from cloome_sk.training.gathering import gathered
from cloome_sk.training.net import ContrastiveNet
from cloome_sk.training.samplers import ReplicateSpreadingSampler


def class_loss(scores: Tensor, classes: Tensor, weight: Tensor | None = None) -> Tensor:
    """Give the softmax cross-entropy of classes.

    Parameters
    ----------
    scores : Tensor, shape (n_samples, n_classes)
        Logits.
    classes : Tensor of int64, shape (n_samples,)
        The class of each sample.
    weight : Tensor, shape (n_classes,), optional
        Weight of each class.

    Returns
    -------
    Tensor, scalar
        Weighted mean over samples.
    """
    return F.cross_entropy(scores, classes, weight=weight)


def assay_loss(scores: Tensor, results: Tensor, weight: Tensor | None = None) -> Tensor:
    """Give the binary cross-entropy over the results there are.

    Parameters
    ----------
    scores : Tensor, shape (n_samples, n_assays)
        Logits.
    results : Tensor, shape (n_samples, n_assays)
        1 active, 0 inactive, NaN not measured.
    weight : None
        Results are not weighted.

    Returns
    -------
    Tensor, scalar
        Mean over the results there are, of all assays together.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.training.supervised import assay_loss
    >>> scores = torch.zeros(1, 3)
    >>> round(assay_loss(scores, torch.tensor([[1.0, 0.0, torch.nan]])).item(), 4)  # log(2)
    0.6931
    """
    there = ~torch.isnan(results)
    return F.binary_cross_entropy_with_logits(scores[there], results[there])


def number_loss(scores: Tensor, values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Give the mean squared error over the numbers there are.

    Parameters
    ----------
    scores : Tensor, shape (n_samples, n_outputs)
        Predictions.
    values : Tensor, shape (n_samples, n_outputs)
        The numbers; NaN where there is none.
    weight : None
        Numbers are not weighted.

    Returns
    -------
    Tensor, scalar
        Mean over the numbers there are.
    """
    there = ~torch.isnan(values)
    return F.mse_loss(scores[there], values[there])


LOSSES: dict[str, Callable[..., Tensor]] = {
    "classes": class_loss,
    "assays": assay_loss,
    "regression": number_loss,
}
"""By what the labels are."""


class LabelledInputs:
    """Phenotype inputs of a batch; its length is the number of samples.

    Parameters
    ----------
    phenotype : Tensor, shape (n_samples, ...), or tuple of such
        What the network takes; of bags, an entry for each instance.
    n_samples : int
        How many samples these are.
    """

    def __init__(self, phenotype: Values, n_samples: int) -> None:
        self.phenotype = phenotype
        self.n_samples = n_samples

    def __len__(self) -> int:
        return self.n_samples

    def on(self, device: Any) -> tuple[Values]:
        """Give the inputs on a device, as the network takes them."""
        return (on_device(self.phenotype, device),)

    def pin_memory(self) -> LabelledInputs:
        """Give the inputs in memory from which a GPU copies while the processor goes on."""
        return LabelledInputs(pinned(self.phenotype), self.n_samples)


class LabelledDataset(Dataset):
    """Phenotype inputs and labels, handed out in whole batches.

    Parameters
    ----------
    phenotype : (values, index)
        Network inputs, each distinct one once, and the row of each sample in them, as in
        `cloome_sk.training.PairDataset`.
    targets : ndarray, shape (n_samples,) or (n_samples, n_outputs)
        Codes of classes as int64; or float32, NaN where there is no label.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.training.supervised import LabelledDataset
    >>> values = np.arange(3, dtype=np.float32)[:, None]
    >>> data = LabelledDataset((values, np.array([2, 0])), np.array([1, 0]))
    >>> inputs, targets = data.__getitems__([0])
    >>> inputs.phenotype.tolist(), targets.tolist()
    ([[2.0]], [1])
    """

    def __init__(self, phenotype: tuple[Any, np.ndarray], targets: np.ndarray) -> None:
        self.phenotype, self.phenotype_index = held(phenotype[0]), phenotype[1]
        self.targets = torch.from_numpy(targets)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Give the batch of these rows."""
        chosen = np.asarray(rows)
        phenotype = rows_of(self.phenotype, self.phenotype_index[chosen])
        inputs: Any = LabelledInputs(phenotype, len(chosen))
        return Batch(inputs, self.targets[torch.from_numpy(chosen)])


class SupervisedNetwork(nn.Module):
    """A phenotype encoder with a linear head.

    The head reads the embedding as the encoder gives it, before anything brings it to unit length.

    Parameters
    ----------
    phenotype : nn.Module
        Maps inputs to (n_samples, n_components).
    n_components : int
        Size of the embedding.
    n_outputs : int
        Classes, assays or numbers.
    """

    def __init__(self, phenotype: nn.Module, n_components: int, n_outputs: int) -> None:
        super().__init__()
        self.phenotype = phenotype
        self.head = nn.Linear(n_components, n_outputs)

    def forward(self, phenotype: Values) -> Tensor:
        """Give the scores, float32 of shape (n_samples, n_outputs)."""
        return self.head(self.phenotype(phenotype)).float()


class LabelCriterion(nn.Module):
    """A loss of scores and labels in the form skorch calls it.

    Parameters
    ----------
    target : {"classes", "assays", "regression"}
        What the labels are.
    weight : ndarray, shape (n_classes,), optional
        Weight of each class.
    """

    weight: Tensor | None

    def __init__(self, target: str, weight: np.ndarray | None = None) -> None:
        super().__init__()
        self.loss = LOSSES[target]
        held = None if weight is None else torch.from_numpy(weight.astype(np.float32))
        self.register_buffer("weight", held)

    def forward(self, scores: Tensor, targets: Tensor, inputs: Any = None) -> Tensor:
        """Evaluate the loss on the batch of all processes."""
        # As a whole: the parts of processes have different numbers of labels, and a mean of their
        # means would not be the mean.
        return self.loss(gathered(scores), gathered(targets.to(scores.device)), self.weight)


class SupervisedNet(ContrastiveNet):
    """The net that trains pairs, where there is no temperature."""

    title = "Supervised fit"
    remedy = "Lower `lr`, or clip the features"

    def bound(self) -> None:
        """Leave all weights as the update made them."""

    def scalars(self) -> dict[str, float]:
        """Give nothing beside the loss."""
        return {}


def train_labels(
    phenotype: Callable[[], nn.Module],
    n_components: int,
    n_outputs: int,
    data: LabelledDataset,
    target: str,
    plan: FitPlan,
    *,
    weight: np.ndarray | None = None,
    start: Callable[[SupervisedNetwork], None] | None = None,
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Build a network and train it on labels, leaving torch's own generator alone.

    Batches hold the classes in the shares of the whole.

    Parameters
    ----------
    phenotype : callable
        Makes the phenotype network, with fresh weights.
    n_components, n_outputs : int
        Size of the embedding, and number of classes, assays or numbers.
    data : LabelledDataset
        The training samples.
    target : {"classes", "assays", "regression"}
        What the labels are.
    plan : FitPlan
        How to train.
    weight : ndarray, shape (n_classes,), optional
        Weight of each class.
    start : callable, optional
        Puts weights that were trained before into the fresh network.

    Returns
    -------
    state : dict of str to ndarray
        The weights of the `SupervisedNetwork`.
    history : list of dict
        For each epoch its number, and the mean objective of its samples.

    Raises
    ------
    FloatingPointError
        If the loss stops being finite.
    """
    balance = data.targets.numpy() if target == "classes" else None

    def network() -> SupervisedNetwork:
        return SupervisedNetwork(phenotype(), n_components, n_outputs)

    def sampler(seed: int) -> ReplicateSpreadingSampler:
        # Each sample on its own: there are no negatives that replicates would spoil.
        return ReplicateSpreadingSampler(
            np.arange(len(data)), plan.batch_size, seed, balance=balance
        )

    criterion = partial(LabelCriterion, target, weight)
    return train_network(Task(network, data, sampler, criterion, SupervisedNet), plan, start)
