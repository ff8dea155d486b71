"""Networks: plain `torch.nn.Module` classes that know nothing of tables or estimators."""

from __future__ import annotations

from cloome_sk.networks.augmentation import Augmentation
from cloome_sk.networks.bags import BagNetwork
from cloome_sk.networks.dual import DualEncoder, embed, from_state
from cloome_sk.networks.imagenet import ImageNetResNet
from cloome_sk.networks.images import ImageNetwork
from cloome_sk.networks.mlp import MLP
from cloome_sk.networks.pooling import GatedAttention, MeanPooling
from cloome_sk.networks.resnet import ResNet
from cloome_sk.networks.small_cnn import SmallCNN
from cloome_sk.networks.vit import SmallViT

__all__ = [
    "MLP",
    "Augmentation",
    "BagNetwork",
    "DualEncoder",
    "GatedAttention",
    "ImageNetResNet",
    "ImageNetwork",
    "MeanPooling",
    "ResNet",
    "SmallCNN",
    "SmallViT",
    "embed",
    "from_state",
]
