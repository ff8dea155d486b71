"""Reading an embedder that was stored as a folder."""

from __future__ import annotations

import hashlib
import warnings
from os import PathLike
from pathlib import Path
from typing import Any

from cloome_sk.storage._config import CONFIG, WEIGHTS, build, from_text, with_weights
from cloome_sk.storage._errors import RefusedError, StorageError
from cloome_sk.storage._files import leftover, read_file
from cloome_sk.storage._weights import from_bytes


def load_embedder(folder: str | PathLike[str], embedder_class: type) -> Any:
    """Read an embedder that `save_embedder` stored.

    Nothing in the folder is run, no class is looked up by a name in it, and no file outside of it
    is opened. What is not understood completely is refused.

    Parameters
    ----------
    folder : path-like
        The folder.
    embedder_class : type
        `CloomeEmbedder`; ``CloomeEmbedder.load(folder)`` gives itself.

    Returns
    -------
    CloomeEmbedder
        Fitted: its embeddings are those of the embedder that was stored, to the bit, on one
        machine with the same versions.

    Raises
    ------
    StorageError
        If a file is missing, damaged, a link, or of another model than the others; if the format
        is of another version; or if anything in ``config.json`` is not known. It names the file
        and the key.
    FileNotFoundError
        If there is no such folder.
    ImportError
        Without the package safetensors.

    Warns
    -----
    UserWarning
        If images are to be cached in a folder that is not on this machine.

    See Also
    --------
    save_embedder : Write the folder; with an example.
    """
    folder = Path(folder)
    if not folder.is_dir():
        earlier = leftover(folder)
        hint = "" if earlier is None else f" An interrupted save left the one before: {earlier}."
        raise FileNotFoundError(f"{str(folder)!r} is not a folder.{hint}")
    config_file, weights_file = folder / CONFIG, folder / WEIGHTS
    content = read_file(config_file)
    try:
        config = from_text(content.decode("utf-8"))
        embedder = build(config, embedder_class)
    except UnicodeDecodeError as error:
        raise StorageError(config_file, f"is no text ({error}).") from error
    except RefusedError as error:
        raise StorageError(config_file, error.reason, error.key) from error
    weights = read_file(weights_file)
    _check_identity(weights_file, weights, config["weights"])
    try:
        with_weights(embedder, from_bytes(weights))
    except RefusedError as error:
        raise StorageError(weights_file, error.reason, error.key) from error
    _warn_of_cache(embedder)
    return embedder


def _check_identity(path: Path, content: bytes, known: dict[str, Any]) -> None:
    if len(content) != known["bytes"]:
        raise StorageError(
            path,
            f"has {len(content):,} bytes, and {CONFIG} says {known['bytes']:,}: it is cut short, "
            "or of another embedder.",
        )
    if hashlib.sha256(content).hexdigest() != known["sha256"]:
        raise StorageError(
            path, f"is damaged, or of another embedder: its SHA-256 is not that in {CONFIG}."
        )


def _warn_of_cache(embedder: Any) -> None:
    """Say where `transform` would make a folder that was made for another machine."""
    phenotype = embedder.phenotype_
    encoder = getattr(phenotype, "encoder_", phenotype)
    cache = getattr(encoder, "cache", None)
    if cache is None or str(cache) == "memory" or Path(cache).is_dir():
        return
    warnings.warn(
        f"This embedder keeps prepared images in {str(cache)!r}, which is no folder here and would "
        "be made. To name another, or none: embedder.phenotype_.set_params("
        f"{'cache' if encoder is phenotype else 'encoder__cache'}=None).",
        stacklevel=3,
    )
