"""Networks: plain `torch.nn.Module` classes that know nothing of tables or estimators."""

from __future__ import annotations

from cloome_sk.networks.dual import DualEncoder, embed, from_state
from cloome_sk.networks.mlp import MLP

__all__ = ["MLP", "DualEncoder", "embed", "from_state"]
