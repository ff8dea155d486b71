"""The multilayer perceptron of the molecule side, and of profiles."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class MLP(nn.Module):
    """Hidden layers of Linear, BatchNorm, ReLU, then one Linear layer.

    With four hidden layers of 1,024 and no dropout this is the structure encoder of CLOOME
    (Sanchez-Fernandez et al. 2023, class ``MLP`` of the authors' code).

    Parameters
    ----------
    n_inputs : int
        Number of input features (>= 1).
    n_components : int
        Size of the embedding (>= 1).
    hidden_sizes : sequence of int, default=(1024, 1024, 1024, 1024)
        Width of each hidden layer; empty for a linear encoder.
    dropout : float, default=0.0
        Share of hidden units dropped in training, in [0, 1).
    input_dropout : float, default=0.0
        Share of input features dropped in training, in [0, 1).

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks import MLP
    >>> MLP(1024, 512)(torch.zeros(2, 1024)).shape
    torch.Size([2, 512])
    """

    def __init__(
        self,
        n_inputs: int,
        n_components: int,
        hidden_sizes: Sequence[int] = (1024, 1024, 1024, 1024),
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Dropout(input_dropout)] if input_dropout else []
        width = n_inputs
        for size in hidden_sizes:
            # BatchNorm takes the mean away again, but the authors' layers have this bias too.
            layers += [nn.Linear(width, size), nn.BatchNorm1d(size), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        layers.append(nn.Linear(width, n_components))
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed inputs of shape (n_samples, n_inputs), of any real dtype; not normalised."""
        # Fingerprints travel to the device as bytes and become floats there.
        return self.layers(inputs.float())
