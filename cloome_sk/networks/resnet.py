"""The residual network of CLOOME's image side, and a smaller one of its kind."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

SMALLEST = 32
"""Pixels a side; five halvings leave one position of the last map."""

LEGACY_WINDOW = 7
"""Positions a side of the windows that the authors' pooling averages."""
LEGACY_SMALLEST = 221
"""Pixels a side that leave one such window: two halvings round up, the three poolings down."""

POOLINGS = ("adaptive", "legacy")


class Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3, 1x1 beside a shortcut, shrinking by average pooling (as in CLIP)."""

    expansion: ClassVar[int] = 4

    def __init__(self, n_inputs: int, width: int, stride: int) -> None:
        super().__init__()
        n_outputs = width * self.expansion
        self.conv1 = nn.Conv2d(n_inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.pool = _pool(stride)
        self.conv3 = nn.Conv2d(width, n_outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_outputs)
        self.downsample = _shortcut(n_inputs, n_outputs, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, n_inputs, H, W) to (n, 4 * width, H // stride, W // stride)."""
        values = self.relu(self.bn1(self.conv1(inputs)))
        values = self.pool(self.relu(self.bn2(self.conv2(values))))
        values = self.bn3(self.conv3(values))
        return self.relu(values + self.downsample(inputs))


class BasicBlock(nn.Module):
    """Two convolutions 3x3 beside a shortcut, shrinking by average pooling between them."""

    expansion: ClassVar[int] = 1

    def __init__(self, n_inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_inputs, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = _pool(stride)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(n_inputs, width, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, n_inputs, H, W) to (n, width, H // stride, W // stride)."""
        values = self.pool(self.relu(self.bn1(self.conv1(inputs))))
        values = self.bn2(self.conv2(values))
        return self.relu(values + self.downsample(inputs))


_DEPTHS: dict[int, tuple[type[Bottleneck] | type[BasicBlock], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


class ResNet(nn.Module):
    """A residual network for images of any number of channels.

    With a depth of 50 this is the image encoder of CLOOME (Sanchez-Fernandez et al. 2023, class
    ``ResNet`` of the authors' code): the stem of He et al. (2016), then the bottlenecks of CLIP
    (Radford et al. 2021), which shrink by average pooling instead of strided convolutions. The
    names of its weights are the authors' names. The one difference is the last pooling: the
    authors average windows of 7 x 7 and then those averages, which weighs the rim of the field
    less and asks for 221 pixels a side; here every position counts the same, at any size. At
    224 x 224 pixels the two are one. Weights that were trained with the authors' pooling need
    ``pooling="legacy"``.

    Parameters
    ----------
    n_channels : int
        Number of image channels (>= 1).
    n_components : int
        Size of the embedding (>= 1).
    depth : {18, 50}, default=50
        Number of layers. The network of 18 layers has pairs of 3 x 3 convolutions in place of
        bottlenecks, and takes about half the time.
    pooling : {"adaptive", "legacy"}, default="adaptive"
        How the last map becomes one vector: "adaptive" is the mean over all positions. "legacy"
        is what the authors' code does: the means of all windows of 7 x 7 positions, then the mean
        of those. A position in a corner of a map of at least 13 x 13 (413 pixels a side) then
        weighs 1/49 of one in the middle, and images need at least 221 pixels a side.

    Raises
    ------
    ValueError
        For another depth or pooling.

    References
    ----------
    .. [1] He et al. (2016), Deep residual learning for image recognition, CVPR.
    .. [2] Radford et al. (2021), Learning transferable visual models from natural language
       supervision, ICML.
    .. [3] Sanchez-Fernandez et al. (2023), CLOOME: contrastive learning unlocks bioimaging
       databases for queries with chemical structures, Nature Communications 14:7339.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.resnet import ResNet
    >>> ResNet(5, 512, depth=18)(torch.zeros(2, 5, 96, 64)).shape
    torch.Size([2, 512])
    """

    def __init__(
        self,
        n_channels: int,
        n_components: int,
        depth: int = 50,
        pooling: Literal["adaptive", "legacy"] = "adaptive",
    ) -> None:
        super().__init__()
        if depth not in _DEPTHS:
            raise ValueError(f"ResNet: depth must be one of {sorted(_DEPTHS)}, got {depth!r}.")
        if pooling not in POOLINGS:
            raise ValueError(f"ResNet: pooling must be one of {list(POOLINGS)}, got {pooling!r}.")
        self.pooling = pooling
        block, n_blocks = _DEPTHS[depth]
        self.conv1 = nn.Conv2d(n_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(block, 64, 64, n_blocks[0], 1)
        self.layer2 = _stage(block, 64 * block.expansion, 128, n_blocks[1], 2)
        self.layer3 = _stage(block, 128 * block.expansion, 256, n_blocks[2], 2)
        self.layer4 = _stage(block, 256 * block.expansion, 512, n_blocks[3], 2)
        self.fc = nn.Linear(512 * block.expansion, n_components)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed images; not normalised.

        Parameters
        ----------
        inputs : Tensor of float, shape (n, n_channels, H, W)
            Normalised images of at least 32 pixels a side; 221 for ``pooling="legacy"``.

        Returns
        -------
        Tensor, shape (n, n_components)
            The embeddings.

        Raises
        ------
        ValueError
            For smaller images.
        """
        height, width = inputs.shape[-2:]
        if min(height, width) < SMALLEST:
            raise ValueError(
                f"ResNet needs images of at least {SMALLEST} x {SMALLEST} pixels, got "
                f'{height} x {width}. Use network="small", or larger crops.'
            )
        legacy = self.pooling == "legacy"
        if legacy and min(height, width) < LEGACY_SMALLEST:
            raise ValueError(
                f'ResNet: pooling="legacy" averages windows of {LEGACY_WINDOW} x {LEGACY_WINDOW} '
                f"positions of the last map, and needs images of at least {LEGACY_SMALLEST} x "
                f"{LEGACY_SMALLEST} pixels, got {height} x {width}. Use larger images, or "
                'pooling="adaptive".'
            )
        # On CPUs and GPUs alike, convolutions are faster with the channels innermost in memory.
        values = inputs.contiguous(memory_format=torch.channels_last)
        values = self.maxpool(self.relu(self.bn1(self.conv1(values))))
        values = self.layer4(self.layer3(self.layer2(self.layer1(values))))
        if legacy:
            values = F.avg_pool2d(values, LEGACY_WINDOW, stride=1)
        return self.fc(values.mean(dim=(2, 3)))


def _stage(
    block: type[Bottleneck] | type[BasicBlock], n_inputs: int, width: int, n: int, stride: int
) -> nn.Sequential:
    """Blocks of one width, of which the first shrinks."""
    first = block(n_inputs, width, stride)
    others = [block(width * block.expansion, width, 1) for _ in range(n - 1)]
    return nn.Sequential(first, *others)


def _pool(stride: int) -> nn.Module:
    return nn.AvgPool2d(stride) if stride > 1 else nn.Identity()


def _shortcut(n_inputs: int, n_outputs: int, stride: int) -> nn.Module:
    """The way past the convolutions: nothing, or what gives their shape."""
    if stride == 1 and n_inputs == n_outputs:
        return nn.Identity()
    # With the pooling as "-1" the weights are "0" and "1", as in every published ResNet.
    return nn.Sequential(
        OrderedDict(
            [
                ("-1", _pool(stride)),
                ("0", nn.Conv2d(n_inputs, n_outputs, 1, bias=False)),
                ("1", nn.BatchNorm2d(n_outputs)),
            ]
        )
    )
