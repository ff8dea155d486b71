"""The published weights: reading the authors' files, and getting them from where they lie.

`read_checkpoint` turns a file into arrays named as in `cloome_sk.networks`, `from_pretrained`
downloads a file by revision and hash, `PUBLISHED` says how the authors prepare their inputs;
`read_state` reads the weights of any other network. From the command line,
``python -m cloome_sk.checkpoints info FILE`` tells what a file holds. Everything is imported on
first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloome_sk.checkpoints._loading import CheckpointError
    from cloome_sk.checkpoints.hub import HubError, from_pretrained
    from cloome_sk.checkpoints.published import PUBLISHED
    from cloome_sk.checkpoints.reading import Checkpoint, read_checkpoint
    from cloome_sk.checkpoints.state import read_state

__all__ = [
    "PUBLISHED",
    "Checkpoint",
    "CheckpointError",
    "HubError",
    "from_pretrained",
    "read_checkpoint",
    "read_state",
]

_MODULE = {
    "PUBLISHED": "published",
    "Checkpoint": "reading",
    "CheckpointError": "_loading",
    "HubError": "hub",
    "from_pretrained": "hub",
    "read_checkpoint": "reading",
    "read_state": "state",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE:
        return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE])
