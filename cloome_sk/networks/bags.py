"""Many instances, one embedding: a network for each instance, then pooling over each bag."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cloome_sk.networks.pooling import GatedAttention, MeanPooling, bag_sizes


class BagNetwork(nn.Module):
    """Embed each instance of a bag with one network, and pool the embeddings of the bag.

    What is pooled is what `network` gives, before anything brings it to unit length: an instance
    in which the network finds much can so outweigh others even in the mean.

    Parameters
    ----------
    network : nn.Module
        Maps instances to (n_instances, n_components).
    pooling : MeanPooling, GatedAttention or None, default=None
        Maps embedded instances and `bag_index` to (n_bags, n_components). None is `MeanPooling`.
    max_size : int or None, default=None
        In training, at most so many instances of a bag are embedded, drawn at random each time
        (>= 1). In evaluation mode, and for None, all are.

    Notes
    -----
    Random numbers come from torch's default generator of the device of the instances.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks import MLP
    >>> from cloome_sk.networks.bags import BagNetwork
    >>> network = BagNetwork(MLP(20, 8, [16])).eval()
    >>> instances, bag_index = torch.randn(6, 20), torch.tensor([0, 0, 0, 1, 2, 2])
    >>> network((instances, bag_index)).shape
    torch.Size([3, 8])
    """

    def __init__(
        self,
        network: nn.Module,
        pooling: MeanPooling | GatedAttention | None = None,
        max_size: int | None = None,
    ) -> None:
        super().__init__()
        if max_size is not None and max_size < 1:
            raise ValueError(f"BagNetwork: max_size must be at least 1, got {max_size!r}.")
        self.network = network
        self.pooling = MeanPooling() if pooling is None else pooling
        self.max_size = max_size

    def extra_repr(self) -> str:
        """Show the setting in the network's description."""
        return f"max_size={self.max_size}"

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Embed bags; not normalised to unit length.

        Parameters
        ----------
        inputs : tuple of Tensor
            The instances of all bags, shape (n_instances, ...); any further inputs of `network`
            with one entry an instance; and last `bag_index`, int64 of shape (n_instances,), the
            bag of each instance, 0 to n_bags - 1, none of them empty.

        Returns
        -------
        Tensor, shape (n_bags, n_components)
            Float32 or wider.

        Raises
        ------
        TypeError
            If `inputs` is no such tuple.
        ValueError
            For a bag without an instance, or an index that does not fit the instances.
        """
        parts, bag_index = _unpacked(inputs)
        if self.training and self.max_size is not None:
            kept = _drawn(bag_sizes(parts[0], bag_index), bag_index, self.max_size)
            if kept is not None:
                parts, bag_index = tuple(part[kept] for part in parts), bag_index[kept]
        return self.pooling(self._embedded(parts), bag_index)

    def weights(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Give the weight of each instance in the embedding of its bag.

        Parameters
        ----------
        inputs : tuple of Tensor
            As for `forward`.

        Returns
        -------
        Tensor, shape (n_instances,)
            In [0, 1], of sum 1 in each bag.

        Raises
        ------
        TypeError
            If `inputs` is no such tuple.
        """
        parts, bag_index = _unpacked(inputs)
        return self.pooling.weights(self._embedded(parts), bag_index)

    def _embedded(self, parts: tuple[Tensor, ...]) -> Tensor:
        return self.network(parts[0] if len(parts) == 1 else parts)


def _unpacked(inputs: Any) -> tuple[tuple[Tensor, ...], Tensor]:
    """What the inner network takes, and the bag of each instance."""
    if not isinstance(inputs, tuple | list) or len(inputs) < 2:
        raise TypeError(
            "BagNetwork takes a tuple (instances, ..., bag_index), got "
            f"{type(inputs).__name__}{f' of {len(inputs)}' if isinstance(inputs, tuple) else ''}."
        )
    *parts, bag_index = inputs
    return tuple(parts), bag_index


def _drawn(sizes: Tensor, bag_index: Tensor, most: int) -> Tensor | None:
    """Positions of at most so many random instances of each bag, in order; None for all."""
    if not len(sizes) or int(sizes.max()) <= most:
        return None
    shuffled = torch.randperm(len(bag_index), device=bag_index.device)
    together = shuffled[torch.argsort(bag_index[shuffled], stable=True)]
    starts = torch.cumsum(sizes, dim=0) - sizes
    rank = torch.arange(len(together), device=bag_index.device) - starts[bag_index[together]]
    return together[rank < most].sort().values
