"""Residual networks that take weights trained on ImageNet, for images of any channels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from cloome_sk.networks.resnet import SMALLEST
from cloome_sk.networks.view_sizes import check_large_enough
from cloome_sk.networks.weights import described, listed

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of the red, green and blue of ImageNet, in [0, 1], as its networks are trained with."""


class ImageNetBlock(nn.Module):
    """Two convolutions 3x3 beside a shortcut; the first one strides."""

    expansion: ClassVar[int] = 1

    def __init__(self, n_inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(n_inputs, width, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, n_inputs, H, W) to (n, width, ceil(H / stride), ceil(W / stride))."""
        values = self.relu(self.bn1(self.conv1(inputs)))
        values = self.bn2(self.conv2(values))
        return self.relu(values + self.downsample(inputs))


class ImageNetBottleneck(nn.Module):
    """Convolutions 1x1, 3x3, 1x1 beside a shortcut; the 3x3 one strides ("version 1.5")."""

    expansion: ClassVar[int] = 4

    def __init__(self, n_inputs: int, width: int, stride: int) -> None:
        super().__init__()
        n_outputs = width * self.expansion
        self.conv1 = nn.Conv2d(n_inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, n_outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_outputs)
        self.downsample = _shortcut(n_inputs, n_outputs, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, n_inputs, H, W) to (n, 4 * width, ceil(H / stride), ceil(W / stride))."""
        values = self.relu(self.bn1(self.conv1(inputs)))
        values = self.relu(self.bn2(self.conv2(values)))
        values = self.bn3(self.conv3(values))
        return self.relu(values + self.downsample(inputs))


Block = type[ImageNetBlock] | type[ImageNetBottleneck]

_DEPTHS: dict[int, tuple[Block, tuple[int, ...]]] = {
    18: (ImageNetBlock, (2, 2, 2, 2)),
    34: (ImageNetBlock, (3, 4, 6, 3)),
    50: (ImageNetBottleneck, (3, 4, 6, 3)),
}
# What a file may hold; the last two are named in errors alone.
_LAYOUTS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
}
_LAYOUTS |= {((3, 4, 23, 3), True): 101, ((3, 8, 36, 3), True): 152}


class ImageNetResNet(nn.Module):
    """The residual network whose ImageNet weights torchvision publishes.

    Its layers and the names of its weights are those of ``torchvision.models.resnet18``,
    ``resnet34`` and ``resnet50``: a state dict of torchvision, of 3 channels and 1000 classes,
    goes into ``ImageNetResNet(3, 1000)`` by `load_state_dict` as it is. `load_imagenet` takes the
    same weights for microscopy, where channels have no colour, in one of two ways:

    - ``channelwise=False``: the first convolution is widened to all channels, each with the
      same weights: their sum over red, green and blue, divided by the number of channels.
      Channels that all show one grey image give what the RGB network gives for that image. Until
      it is trained, this network sees no more than the average of the channels: a start for
      fine-tuning.
    - ``channelwise=True``: each channel alone goes through the network as a grey RGB image, with
      shared weights, and the features of the channels are put side by side. It keeps the channels
      apart without training, which suits frozen features, and takes n_channels times as long.

    Parameters
    ----------
    n_channels : int
        Number of image channels (>= 1).
    n_components : int or None
        Size of the embedding (>= 1); None with ``head=False``.
    depth : {18, 34, 50}, default=50
        Number of layers.
    head : bool, default=True
        Whether a Linear layer follows. Without it the features are the output: the means of the
        last maps, `n_features` of them.
    channelwise : bool, default=False
        Whether each channel goes through the network alone.
    normalize : bool, default=False
        Whether inputs are numbers in [0, 1], of which the network subtracts the mean of ImageNet
        and divides by its standard deviation. In ``channelwise`` networks these are the numbers
        of red, green and blue, in others the averages of the three (0.449 and 0.226). By default
        inputs are normalised already. In an `ImageNetwork` the two belong to
        ``normalization=None``, which divides bytes by 255, and to any other normalization.

    Attributes
    ----------
    n_features : int
        Number of features before the head: 512 (depths 18 and 34) or 2048, times n_channels in
        ``channelwise`` networks, where the features of a channel are next to each other.

    Raises
    ------
    ValueError
        For another depth, or a number of components that does not go with `head`.

    References
    ----------
    .. [1] He et al. (2016), Deep residual learning for image recognition, CVPR.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.imagenet import ImageNetResNet
    >>> imagenet = ImageNetResNet(3, 1000, depth=18).state_dict()  # stands for torchvision's file
    >>> network = ImageNetResNet(5, 64, depth=18).load_imagenet(imagenet)
    >>> network(torch.zeros(2, 5, 96, 64)).shape
    torch.Size([2, 64])
    >>> frozen = ImageNetResNet(5, None, depth=18, head=False, channelwise=True, normalize=True)
    >>> frozen.load_imagenet(imagenet).n_features
    2560
    """

    def __init__(
        self,
        n_channels: int,
        n_components: int | None,
        depth: int = 50,
        head: bool = True,
        channelwise: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if depth not in _DEPTHS:
            raise ValueError(
                f"ImageNetResNet: depth must be one of {sorted(_DEPTHS)}, got {depth!r}."
            )
        block, n_blocks = _DEPTHS[depth]
        self.n_channels, self.depth = n_channels, depth
        self.channelwise, self.normalize = channelwise, normalize
        self.n_features = 512 * block.expansion * (n_channels if channelwise else 1)
        self.conv1 = nn.Conv2d(
            3 if channelwise else n_channels, 64, 7, stride=2, padding=3, bias=False
        )
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(block, 64, 64, n_blocks[0], 1)
        self.layer2 = _stage(block, 64 * block.expansion, 128, n_blocks[1], 2)
        self.layer3 = _stage(block, 128 * block.expansion, 256, n_blocks[2], 2)
        self.layer4 = _stage(block, 256 * block.expansion, 512, n_blocks[3], 2)
        self.fc: nn.Module
        if head:
            if n_components is None:
                raise ValueError("ImageNetResNet: n_components is needed, unless head=False.")
            self.fc = nn.Linear(self.n_features, n_components)
        else:
            if n_components not in (None, self.n_features):
                raise ValueError(
                    f"ImageNetResNet: head=False gives {self.n_features} features, not "
                    f"n_components={n_components}: leave that None, or take head=True."
                )
            self.fc = nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed images; not normalised to unit length.

        Parameters
        ----------
        inputs : Tensor of float, shape (n, n_channels, H, W)
            Images of at least 32 pixels a side, normalised, or in [0, 1] for ``normalize=True``.

        Returns
        -------
        Tensor, shape (n, n_components), or (n, n_features) without a head
            The embeddings.

        Raises
        ------
        ValueError
            For smaller images, or another number of channels.
        """
        n, n_channels = inputs.shape[:2]
        if n_channels != self.n_channels:
            raise ValueError(
                f"ImageNetResNet: built for {self.n_channels} channels, got {n_channels}."
            )
        check_large_enough(inputs, SMALLEST, "ImageNetResNet")
        if not self.channelwise:
            return self.fc(self._features(inputs))
        if self.training:
            # One batch, so that BatchNorm has one mean and variance for all channels.
            return self.fc(self._features(inputs.flatten(0, 1)[:, None]).view(n, -1))
        # The same numbers, at the memory of one channel.
        channels = [self._features(channel) for channel in inputs.split(1, dim=1)]
        return self.fc(torch.cat(channels, dim=1))

    def _features(self, values: Tensor) -> Tensor:
        """Map (n, channels of the first convolution, or a single one, H, W) to (n, features)."""
        values = values.expand(-1, self.conv1.in_channels, -1, -1)
        if self.normalize:
            # No buffers, so that the state dict has torchvision's names alone.
            mean, std = values.new_tensor([IMAGENET_MEAN, IMAGENET_STD])[..., None, None]
            if not self.channelwise:
                mean, std = mean.mean(), std.mean()
            values = (values - mean) / std
        # On CPUs and GPUs alike, convolutions are faster with the channels innermost in memory.
        values = values.contiguous(memory_format=torch.channels_last)
        values = self.maxpool(self.relu(self.bn1(self.conv1(values))))
        values = self.layer4(self.layer3(self.layer2(self.layer1(values))))
        return values.mean(dim=(2, 3))

    def load_imagenet(self, state: Mapping[str, Tensor]) -> Self:
        """Take the weights of a network of torchvision that was trained on RGB images.

        The layer of the classes (``fc``) is left out, and may be absent; the head of this network
        stays as it is. The counters ``num_batches_tracked``, which old files lack, may be absent.
        The prefix ``module.`` of parallel training is taken off where every name has it. All else
        must fit by name and shape.

        Parameters
        ----------
        state : mapping of str to Tensor
            State dict of ``torchvision.models.resnet18``, ``34`` or ``50``, in any floating
            dtype; see `cloome_sk.checkpoints.read_state` for files.

        Returns
        -------
        ImageNetResNet
            Itself.

        Raises
        ------
        TypeError
            If a value is no tensor.
        ValueError
            If weights are missing, unexpected, of another shape or not finite. The message says
            which, and the depth that the weights look like. This network is then unchanged.
        """
        given = _without_prefix(state)
        given = {name: value for name, value in given.items() if not name.startswith("fc.")}
        own = {name: value for name, value in self.state_dict().items() if name[:3] != "fc."}
        shapes = {name: tuple(value.shape) for name, value in own.items()}
        shapes["conv1.weight"] = (64, 3, 7, 7)
        _check_fits(given, shapes, self.depth)
        first = given["conv1.weight"].to(self.conv1.weight)
        if not self.channelwise:
            first = first.sum(dim=1, keepdim=True) / self.n_channels
        given["conv1.weight"] = first.expand_as(self.conv1.weight)
        self.load_state_dict({**self.state_dict(), **given})
        return self


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Check the values, and take off ``module.`` where all names have it."""
    for name, value in state.items():
        if not torch.is_tensor(value):
            raise TypeError(
                f"ImageNetResNet: a state dict maps names to tensors, but {name!r} is "
                f"{described(value)}."
            )
    prefix = "module."
    if state and all(name.startswith(prefix) for name in state):
        return {name.removeprefix(prefix): value for name, value in state.items()}
    return dict(state)


def _check_fits(given: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], depth: int) -> None:
    """Compare names and shapes with those of the RGB network of a depth."""
    problems = []
    missing = [name for name in shapes if name not in given and "num_batches_tracked" not in name]
    if missing:
        problems.append(f"{len(missing)} missing: {listed(missing)}")
    unexpected = [name for name in given if name not in shapes]
    if unexpected:
        problems.append(f"{len(unexpected)} unexpected: {listed(unexpected)}")
    reshaped = [
        f"{name} {tuple(given[name].shape)} instead of {shape}"
        for name, shape in shapes.items()
        if name in given and tuple(given[name].shape) != shape
    ]
    if reshaped:
        problems.append(f"{len(reshaped)} of another shape: {listed(reshaped)}")
    if problems:
        raise ValueError(
            f"ImageNetResNet: these are not ImageNet weights for depth={depth}; "
            f"{'; '.join(problems)}. They look like {_looks_like(given)}."
        )
    broken = [name for name, value in given.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(f"ImageNetResNet: weights that are not finite: {listed(broken)}.")


def _looks_like(given: dict[str, Tensor]) -> str:
    """Name the network whose layers these are."""
    n_blocks = [0, 0, 0, 0]
    for name in given:
        found = re.match(r"layer([1-4])\.(\d+)\.", name)
        if found:
            stage = int(found[1]) - 1
            n_blocks[stage] = max(n_blocks[stage], int(found[2]) + 1)
    bottleneck = "layer1.0.conv3.weight" in given
    depth = _LAYOUTS.get((tuple(n_blocks), bottleneck))
    if depth is None:
        return "no ResNet in torchvision's format"
    inner = given.get("layer1.0.conv2.weight")
    variant = inner is not None and tuple(inner.shape) != (64, 64, 3, 3)
    kind = (
        "a wider or grouped variant (Wide ResNet, ResNeXt) of a ResNet" if variant else "a ResNet"
    )
    first = given.get("conv1.weight")
    channels = f" for {first.shape[1]} channels" if first is not None and first.ndim == 4 else ""
    return f"{kind} of depth {depth}{channels}"


def _stage(block: Block, n_inputs: int, width: int, n: int, stride: int) -> nn.Sequential:
    """Blocks of one width, of which the first shrinks."""
    first = block(n_inputs, width, stride)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1) for _ in range(n - 1)))


def _shortcut(n_inputs: int, n_outputs: int, stride: int) -> nn.Module:
    """The way past the convolutions: nothing, or what gives their shape."""
    if stride == 1 and n_inputs == n_outputs:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(n_inputs, n_outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(n_outputs)
    )
