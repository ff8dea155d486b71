"""A convolutional network that trains on a laptop."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cloome_sk.networks.view_sizes import check_large_enough

SMALLEST = 16
"""Pixels a side; less than that are no image of a cell."""

N_BLOCKS = 4


class SmallCNN(nn.Module):
    """A small convolutional network for images of any number of channels.

    A convolution of 5 x 5 with a stride of 2, then four times a halving by maximum pooling and a
    convolution of 3 x 3 that doubles the width, each convolution with BatchNorm and ReLU; then the
    average over all positions and one Linear layer. An average, other than a maximum, does not
    change with the size of the field, so crops may be trained on and whole fields embedded.

    Parameters
    ----------
    n_channels : int
        Number of image channels (>= 1).
    n_components : int
        Size of the embedding (>= 1).
    width : int, default=16
        Number of filters of the first convolution (>= 1); the last has sixteen times as many.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.small_cnn import SmallCNN
    >>> SmallCNN(5, 64)(torch.zeros(2, 5, 96, 128)).shape
    torch.Size([2, 64])
    """

    def __init__(self, n_channels: int, n_components: int, width: int = 16) -> None:
        super().__init__()
        # Time goes with the number of positions, of which the first layers have the most: they are
        # narrow. A stride of 4 there is a third faster, but learns fine texture slowly.
        layers: list[nn.Module] = [
            nn.Conv2d(n_channels, width, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        for _ in range(N_BLOCKS):
            layers += [
                nn.MaxPool2d(2, ceil_mode=True),  # the last row and column count in odd sizes too
                nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
                nn.BatchNorm2d(2 * width),
                nn.ReLU(inplace=True),
            ]
            width *= 2
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(width, n_components)
        for module in self.layers:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed images; not normalised to unit length.

        Parameters
        ----------
        inputs : Tensor of float, shape (n, n_channels, H, W)
            Normalised images of at least 16 pixels a side.

        Returns
        -------
        Tensor, shape (n, n_components)
            The embeddings.

        Raises
        ------
        ValueError
            For smaller images.
        """
        check_large_enough(inputs, SMALLEST, "SmallCNN")
        # Convolutions and pooling are faster with the channels innermost in memory.
        values = self.layers(inputs.contiguous(memory_format=torch.channels_last))
        return self.fc(values.mean(dim=(2, 3)))
