"""CLOOME for scikit-learn: one embedding space for cell images and chemical structures.

The public estimators are imported on first use, so that ``import cloome_sk`` itself stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloome_sk.embedder import CloomeEmbedder
    from cloome_sk.features import ImageFeatures
    from cloome_sk.library import LibraryDesigner
    from cloome_sk.retriever import CrossModalRetriever
    from cloome_sk.zero_shot import ZeroShotMoAClassifier

__version__ = "0.1.0"

__all__ = [
    "CloomeEmbedder",
    "CrossModalRetriever",
    "ImageFeatures",
    "LibraryDesigner",
    "ZeroShotMoAClassifier",
    "__version__",
]

_HOME = {
    "CloomeEmbedder": "cloome_sk.embedder",
    "CrossModalRetriever": "cloome_sk.retriever",
    "ImageFeatures": "cloome_sk.features",
    "LibraryDesigner": "cloome_sk.library",
    "ZeroShotMoAClassifier": "cloome_sk.zero_shot",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
