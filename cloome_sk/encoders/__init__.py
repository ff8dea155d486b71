"""What a user configures for each side: which columns, how they become numbers, which network."""

from __future__ import annotations

from cloome_sk.encoders.bags import BagEncoder
from cloome_sk.encoders.image import ImageEncoder
from cloome_sk.encoders.molecule import MoleculeEncoder
from cloome_sk.encoders.profile import ProfileEncoder

__all__ = ["BagEncoder", "ImageEncoder", "MoleculeEncoder", "ProfileEncoder"]
