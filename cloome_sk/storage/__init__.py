"""A fitted embedder as a folder of plain files: weights, configuration, and a card to read.

`save_embedder` writes what `CloomeEmbedder.save` writes, `load_embedder` reads it back. Nothing in
such a folder is a program, so one that a stranger made can be opened; that is what it has ahead of
joblib, which stores any embedder, and runs what the writer of its file wants.
"""

from __future__ import annotations

from cloome_sk.storage._errors import StorageError
from cloome_sk.storage.loading import load_embedder
from cloome_sk.storage.saving import save_embedder

__all__ = ["StorageError", "load_embedder", "save_embedder"]
