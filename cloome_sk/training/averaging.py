"""A running average of weights, which is steadier than the weights themselves."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class AveragedWeights:
    """Exponential moving average of the weights of a network, and of its running statistics.

    Parameters
    ----------
    network : nn.Module
        The network that is trained.
    decay : float
        What of the average stays at each update, in [0, 1). At update t it is at most
        (1 + t) / (10 + t), so that the first weights are soon forgotten.

    Attributes
    ----------
    network : nn.Module
        A copy of the network with the averages.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.training.averaging import AveragedWeights
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> average = AveragedWeights(layer, decay=0.9)
    >>> before = layer.weight.item()
    >>> with torch.no_grad():
    ...     _ = layer.weight.add_(1.0)
    >>> average.update(layer)
    >>> round(average.network.weight.item() - before, 4)  # 1 - (1 + 1) / (10 + 1)
    0.8182
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.n_updates = 0
        self.network = copy.deepcopy(network).requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the weights.

        Parameters
        ----------
        network : nn.Module
            The network after an update.
        """
        self.n_updates += 1
        kept = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        now = network.state_dict()
        for name, average in self.network.state_dict().items():
            if average.is_floating_point():
                average.lerp_(now[name], 1 - kept)
            else:
                average.copy_(now[name])

    def state_dict(self) -> dict[str, Any]:
        """Give what a resumed training needs.

        Returns
        -------
        dict
            Tensors and a number.
        """
        return {"n_updates": self.n_updates, "network": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another average was.

        Parameters
        ----------
        state : dict
            What `state_dict` gave.
        """
        self.n_updates = int(state["n_updates"])
        self.network.load_state_dict(state["network"])
