"""Networks for inference: BatchNorm folded into the convolutions, 1 x 1 ones as matrix products."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from cloome_sk.networks.bags import BagNetwork
from cloome_sk.networks.imagenet import ImageNetBlock, ImageNetBottleneck, ImageNetResNet
from cloome_sk.networks.images import ImageNetwork
from cloome_sk.networks.resnet import BasicBlock, Bottleneck, ResNet
from cloome_sk.networks.small_cnn import SmallCNN

_WRAPPERS: dict[type[nn.Module], str] = {ImageNetwork: "backbone", BagNetwork: "network"}
"""Networks around a network, and the name it has there."""

_BLOCKS = (Bottleneck, BasicBlock, ImageNetBottleneck, ImageNetBlock)

_KNOWN = {ResNet, ImageNetResNet, SmallCNN, *_BLOCKS}
_KNOWN |= {nn.Sequential, nn.Identity, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Linear}
_KNOWN |= {nn.Conv2d, nn.BatchNorm2d}
"""What the networks that are folded consist of; exactly these, no subclasses."""


def folded(network: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """Give a network that computes the same in evaluation mode, in less time.

    In evaluation mode BatchNorm multiplies by a constant and adds one, which the convolution
    before it may do as well. The convolutions of 1 x 1 become matrix products that add to the
    shortcut in place: most of what is saved is memory that is not written, or not asked for.

    Parameters
    ----------
    network : nn.Module
        `ResNet`, `ImageNetResNet` or `SmallCNN`, on their own or in an `ImageNetwork` or a
        `BagNetwork`. Any other network, one with hooks or changed layers, and one in training mode
        is given back as it is.
    dtype : torch.dtype, optional
        Of the weights of the folded convolutions; that of the network by default.

    Returns
    -------
    nn.Module
        A copy, which shares the weights that do not change; or the network itself. It is for
        inference alone, and its state dict is not that of the network.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks import SmallCNN
    >>> from cloome_sk.networks.folding import folded
    >>> network = SmallCNN(5, 8).eval()
    >>> images = torch.rand(2, 5, 64, 64)
    >>> with torch.inference_mode():
    ...     torch.allclose(folded(network)(images), network(images), atol=1e-5)
    True
    """
    if not _foldable(_innermost(network)):
        return network
    tensors = (*network.parameters(), *network.buffers())
    copied = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    with torch.no_grad():
        _fold(_innermost(copied), dtype)
    return copied


def _innermost(network: nn.Module) -> nn.Module:
    """The network within the networks of this package that only prepare or pool."""
    while type(network) in _WRAPPERS:
        network = getattr(network, _WRAPPERS[type(network)])
    return network


def _foldable(network: nn.Module) -> bool:
    """Whether this is one of the networks that are folded, as it was built."""
    if type(network) not in (ResNet, ImageNetResNet, SmallCNN):
        return False
    return all(
        type(module) in _KNOWN
        and not module.training
        and not (module._forward_hooks or module._forward_pre_hooks)
        for module in network.modules()
    )


def _fold(network: nn.Module, dtype: torch.dtype | None) -> None:
    """Replace the convolutions of a network, and take out the BatchNorm."""
    if isinstance(network, SmallCNN):
        layers = list(network.layers)
        for i, layer in enumerate(layers):
            if isinstance(layer, nn.BatchNorm2d):
                layers[i - 1] = _joined(cast(nn.Conv2d, layers[i - 1]), layer, dtype)
                layers[i] = nn.Identity()
        network.layers = nn.Sequential(*layers)
        return
    assert isinstance(network, ResNet | ImageNetResNet)  # for the type checker
    network.conv1 = _joined(network.conv1, network.bn1, dtype)
    network.bn1 = nn.Identity()  # type: ignore[assignment]
    for name in ("layer1", "layer2", "layer3", "layer4"):
        blocks = [FoldedBlock(block, dtype) for block in getattr(network, name)]
        setattr(network, name, nn.Sequential(*blocks))


class FoldedBlock(nn.Module):
    """A block of a residual network for inference.

    Its output may lie where its input was, and is overwritten by the next call: memory that is
    asked from the system anew for each image takes a twentieth of the time.

    Parameters
    ----------
    block : Bottleneck, BasicBlock, ImageNetBottleneck or ImageNetBlock
        In evaluation mode. Its convolutions are changed: it is of no use afterwards.
    dtype : torch.dtype, optional
        Of the weights; that of the block by default.
    """

    def __init__(self, block: nn.Module, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        n = 3 if hasattr(block, "conv3") else 2
        convolutions = [
            _joined(getattr(block, f"conv{i}"), getattr(block, f"bn{i}"), dtype)
            for i in range(1, n + 1)
        ]
        last = convolutions[-1]
        self.pool = getattr(block, "pool", nn.Identity())
        self.shortcut: nn.Module = nn.Identity()
        if not isinstance(downsample := block.downsample, nn.Identity):
            layers: list[Any] = list(cast(nn.Sequential, downsample))
            joined = _joined(layers[-2], layers[-1], dtype)
            assert joined.bias is not None  # for the type checker
            assert last.bias is not None
            joined.bias += last.bias  # once for the sum, not once for each of the two
            last.bias = None
            self.shortcut = nn.Sequential(*layers[:-2], _product(joined))
        self.first = nn.ModuleList(map(_product, convolutions[:-1]))
        self.last = _product(last)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, n_inputs, H, W) to what the block does."""
        values = inputs
        for convolution in self.first:
            values = (
                convolution(values, relu=True)
                if isinstance(convolution, _Product)
                else convolution(values).relu_()
            )
        values, total = self.pool(values), self.shortcut(inputs)
        if isinstance(self.last, _Product):
            return self.last(values, relu=True, total=total)
        return total.add_(self.last(values)).relu_()


class _Product(nn.Module):
    """A convolution of 1 x 1: of each position, the product with one matrix.

    Its outputs are overwritten by the next call.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.step = convolution.stride[0]
        self.register_buffer("weight", convolution.weight.detach().flatten(1).t().contiguous())
        bias = convolution.bias
        self.register_buffer("bias", None if bias is None else bias.detach())

        self.memory: Tensor | None = None

    weight: Tensor
    bias: Tensor | None

    def forward(self, inputs: Tensor, relu: bool = False, total: Tensor | None = None) -> Tensor:
        """Convolve, add to `total`, where that lies, if given, and cut at 0 if asked for."""
        if self.step > 1:
            inputs = inputs[:, :, :: self.step, :: self.step]
        rows = _rows(inputs)
        if total is None:
            outputs = torch.mm(rows, self.weight, out=self._memory(rows))
        else:
            outputs = _rows(total).addmm_(rows, self.weight)
        # Afterwards: a product that starts from the bias takes longer than one and this together.
        if self.bias is not None:
            outputs.add_(self.bias)
        if relu:
            outputs.relu_()
        return _maps(outputs, inputs)

    def _memory(self, rows: Tensor) -> Tensor | None:
        """Where the last outputs were, which nobody needs any more; a GPU keeps memory itself."""
        if rows.is_cuda:
            return None
        shape = len(rows), self.weight.shape[1]
        if self.memory is None or self.memory.shape != shape or self.memory.device != rows.device:
            self.memory = rows.new_empty(shape)
        return self.memory


def _rows(maps: Tensor) -> Tensor:
    """(n, n_channels, H, W) as (n H W, n_channels): a view, for channels innermost in memory."""
    return maps.permute(0, 2, 3, 1).reshape(maps[:, 0].numel(), maps.shape[1])


def _maps(rows: Tensor, like: Tensor) -> Tensor:
    """(n H W, n_channels) as (n, n_channels, H, W), of the n, H and W of other maps."""
    n, _, height, width = like.shape
    return rows.view(n, height, width, rows.shape[1]).permute(0, 3, 1, 2)


def _product(convolution: nn.Conv2d) -> nn.Module:
    """A matrix product for a convolution of 1 x 1; others as they are."""
    return _Product(convolution) if convolution.kernel_size == (1, 1) else convolution


def _joined(
    convolution: nn.Conv2d, norm: nn.BatchNorm2d, dtype: torch.dtype | None = None
) -> nn.Conv2d:
    """Have a convolution without bias do what the BatchNorm after it does, too."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None  # for the type checker: these networks keep statistics
    assert variance is not None
    scale = norm.weight / (variance + norm.eps).sqrt()
    weight = convolution.weight * scale[:, None, None, None]
    bias = norm.bias - mean * scale
    kind = weight.dtype if dtype is None else dtype
    # In the order that the activations have, so that it is not changed on each call.
    weight = weight.to(kind, memory_format=torch.channels_last)
    convolution.weight = nn.Parameter(weight, requires_grad=False)
    convolution.bias = nn.Parameter(bias.to(kind), requires_grad=False)
    return convolution
