"""From the instances of a bag to one vector: the mean, or an average whose weights are learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MeanPooling(nn.Module):
    """Average the instances of each bag.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.pooling import MeanPooling
    >>> instances = torch.tensor([[0.0, 2.0], [4.0, 4.0], [7.0, 1.0]])
    >>> MeanPooling()(instances, torch.tensor([0, 0, 1])).tolist()
    [[2.0, 3.0], [7.0, 1.0]]
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, instances: Tensor, bag_index: Tensor) -> Tensor:
        """Pool bags of any sizes.

        Parameters
        ----------
        instances : Tensor, shape (n_instances, width)
            The instances of all bags, in any order.
        bag_index : Tensor of int64, shape (n_instances,)
            The bag of each instance, 0 to n_bags - 1, none of them empty.

        Returns
        -------
        Tensor, shape (n_bags, width)
            Float32 or wider, whatever `instances` are.

        Raises
        ------
        ValueError
            For a bag without an instance, or an index that does not fit the instances.
        """
        sizes = bag_sizes(instances, bag_index)
        return _sums(_wide(instances), bag_index, len(sizes)) / sizes[:, None]

    def weights(self, instances: Tensor, bag_index: Tensor) -> Tensor:
        """Give the weight of each instance in its bag: one over the size of the bag.

        Parameters
        ----------
        instances : Tensor, shape (n_instances, width)
            The instances of all bags.
        bag_index : Tensor of int64, shape (n_instances,)
            The bag of each instance.

        Returns
        -------
        Tensor, shape (n_instances,)
            Positive, of sum 1 in each bag.
        """
        return (1.0 / bag_sizes(instances, bag_index).to(_wide(instances).dtype))[bag_index]


class GatedAttention(nn.Module):
    r"""Average the instances of each bag, weighted by gated attention.

    The weights of the instances :math:`h_k` of a bag are equation 9 of Ilse, Tomczak and
    Welling [1]_,

    .. math:: a_k = \operatorname{softmax}_k\; w^\top
       \bigl(\tanh(V h_k) \odot \operatorname{sigm}(U h_k)\bigr),

    where the softmax runs over the bag, and V and U have biases, which the equation does not
    write out. Bags may have any sizes.

    Parameters
    ----------
    width : int
        Size of an instance (>= 1).
    hidden : int, default=128
        Rows of V and of U (>= 1).

    References
    ----------
    .. [1] Ilse, Tomczak & Welling, "Attention-based deep multiple instance learning", ICML 2018.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.pooling import GatedAttention
    >>> attention = GatedAttention(16)
    >>> instances, bag_index = torch.randn(5, 16), torch.tensor([0, 1, 1, 1, 0])
    >>> attention(instances, bag_index).shape
    torch.Size([2, 16])
    >>> weights = attention.weights(instances, bag_index)
    >>> round(weights[bag_index == 1].sum().item(), 4)
    1.0
    """

    def __init__(self, width: int, hidden: int = 128) -> None:
        super().__init__()
        self.content = nn.Linear(width, hidden)
        self.gate = nn.Linear(width, hidden)
        # A constant added to all scores of a bag changes no weight: so no bias here.
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, instances: Tensor, bag_index: Tensor) -> Tensor:
        """Pool bags of any sizes.

        Parameters
        ----------
        instances : Tensor, shape (n_instances, width)
            The instances of all bags, in any order.
        bag_index : Tensor of int64, shape (n_instances,)
            The bag of each instance, 0 to n_bags - 1, none of them empty.

        Returns
        -------
        Tensor, shape (n_bags, width)
            Float32 or wider, whatever `instances` are.

        Raises
        ------
        ValueError
            For a bag without an instance, or an index that does not fit the instances.
        """
        n_bags = len(bag_sizes(instances, bag_index))
        weights = bag_softmax(self._scores(instances), bag_index, n_bags)
        return _sums(weights[:, None] * _wide(instances), bag_index, n_bags)

    def weights(self, instances: Tensor, bag_index: Tensor) -> Tensor:
        """Give the attention that each instance gets in its bag.

        Parameters
        ----------
        instances : Tensor, shape (n_instances, width)
            The instances of all bags.
        bag_index : Tensor of int64, shape (n_instances,)
            The bag of each instance.

        Returns
        -------
        Tensor, shape (n_instances,)
            In [0, 1], of sum 1 in each bag.
        """
        n_bags = len(bag_sizes(instances, bag_index))
        return bag_softmax(self._scores(instances), bag_index, n_bags)

    def _scores(self, instances: Tensor) -> Tensor:
        gated = torch.tanh(self.content(instances)) * torch.sigmoid(self.gate(instances))
        return _wide(self.score(gated)[:, 0])


def bag_softmax(scores: Tensor, bag_index: Tensor, n_bags: int) -> Tensor:
    """Take the softmax over each bag.

    Parameters
    ----------
    scores : Tensor, shape (n_instances,)
        A finite number for each instance.
    bag_index : Tensor of int64, shape (n_instances,)
        The bag of each instance.
    n_bags : int
        Number of bags.

    Returns
    -------
    Tensor, shape (n_instances,)
        In [0, 1], of sum 1 in each bag, however large the scores are.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.pooling import bag_softmax
    >>> bag_softmax(torch.tensor([1e4, 1e4, -1e4]), torch.tensor([0, 0, 1]), 2).tolist()
    [0.5, 0.5, 1.0]
    """
    # The largest score of a bag goes to 0, so that no exponential overflows and one of each bag
    # is 1. It cancels, so no gradient has to pass through it.
    largest = torch.full((n_bags,), -torch.inf, dtype=scores.dtype, device=scores.device)
    largest.scatter_reduce_(0, bag_index, scores.detach(), reduce="amax")
    exponentials = torch.exp(scores - largest[bag_index])
    return exponentials / _sums(exponentials, bag_index, n_bags)[bag_index]


def bag_sizes(instances: Tensor, bag_index: Tensor) -> Tensor:
    """Count the instances of each bag, and check that the index fits them.

    Parameters
    ----------
    instances : Tensor, shape (n_instances, ...)
        The instances of all bags.
    bag_index : Tensor of int64, shape (n_instances,)
        The bag of each instance.

    Returns
    -------
    Tensor of int64, shape (n_bags,)
        At least 1 each.

    Raises
    ------
    ValueError
        For a bag without an instance, or an index that does not fit the instances.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.pooling import bag_sizes
    >>> bag_sizes(torch.zeros(3, 8), torch.tensor([1, 0, 1])).tolist()
    [1, 2]
    """
    if bag_index.dtype != torch.int64 or bag_index.shape != instances.shape[:1]:
        raise ValueError(
            f"bag_index must be one int64 an instance, shape ({len(instances)},), got "
            f"{bag_index.dtype} of shape {tuple(bag_index.shape)}."
        )
    if len(bag_index) and int(bag_index.min()) < 0:
        raise ValueError(f"bag_index counts bags from 0, got {int(bag_index.min())}.")
    sizes = torch.bincount(bag_index)
    if len(sizes) and int(sizes.min()) == 0:
        raise ValueError(
            f"Bag {int(sizes.argmin())} of {len(sizes)} has no instance; bags must be numbered "
            "without gaps."
        )
    return sizes


def _sums(values: Tensor, bag_index: Tensor, n_bags: int) -> Tensor:
    return values.new_zeros((n_bags, *values.shape[1:])).index_add(0, bag_index, values)


def _wide(values: Tensor) -> Tensor:
    """Float32 or wider: half precision would lose the small ones of many summands."""
    return values if values.dtype == torch.float64 else values.float()
