"""The configuration of a stored embedder: everything but its weights, as JSON."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Collection, Mapping
from importlib import import_module
from numbers import Real
from typing import Any

import numpy as np

from cloome_sk import __version__
from cloome_sk.storage._decoding import parts_of
from cloome_sk.storage._encoding import encode
from cloome_sk.storage._errors import RefusedError
from cloome_sk.storage._estimators import (
    ENCODERS,
    FIT_ALONE,
    WITH_VALIDATION,
    Classes,
    Encoding,
    decode_estimator,
)
from cloome_sk.storage._weights import checked_state

FORMAT = 1
"""Version of the format, which goes up with every change of what a folder holds."""
PACKAGES = {
    "torch": "torch",
    "numpy": "numpy",
    "scikit-learn": "sklearn",
    "rdkit": "rdkit",
    "safetensors": "safetensors",
}
"""What a result may depend on, and the module that says its version."""
EMBEDDER = "CloomeEmbedder"
WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
CARD = "README.md"


def classes_with(embedder_class: type) -> Classes:
    """Give the classes that are stored, with that of the embedder, which is of a floor above."""
    if embedder_class.__name__ != EMBEDDER:
        raise TypeError(
            f"Only a {EMBEDDER} itself is stored as a folder, and not a "
            f"{embedder_class.__name__}, whose code would be needed too. joblib stores any."
        )
    return {EMBEDDER: embedder_class, **ENCODERS}


def make_config(
    embedder: Any,
    weights: bytes,
    metrics: Mapping[str, Any] | None,
    leave_out: Collection[str],
) -> dict[str, Any]:
    """Give the configuration of a fitted embedder and the bytes of its weights."""
    left_out = [leave_out] if isinstance(leave_out, str) else list(leave_out)
    if unknown := [name for name in left_out if name not in FIT_ALONE]:
        raise ValueError(
            f"leave_out= takes names of parameters that fit alone reads, {', '.join(FIT_ALONE)}; "
            f"got {', '.join(map(repr, unknown))}."
        )
    if "validation" in left_out:
        left_out += WITH_VALIDATION
    encoding = Encoding(classes_with(type(embedder)), left_out)
    return {
        "format_version": FORMAT,
        "embedder": encoding.estimator(embedder),
        "left_out": sorted(set(left_out)),
        "weights": {
            "bytes": len(weights),
            "sha256": hashlib.sha256(weights).hexdigest(),
        },
        "metrics": _encode_metrics(metrics),
        "versions": {
            "cloome_sk": __version__,
            "python": platform.python_version(),
            **{name: str(import_module(home).__version__) for name, home in PACKAGES.items()},
        },
    }


def _encode_metrics(metrics: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if metrics is None:
        return None
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics= takes a dictionary, got {type(metrics).__name__}.")
    found = {}
    for name, value in metrics.items():
        if not isinstance(name, str) or not isinstance(value, (Real, np.bool_, str)):
            raise TypeError(
                f"metrics= maps names to numbers or texts; got {name!r}: a {type(value).__name__}."
            )
        plain = value.item() if isinstance(value, np.generic) else value
        found[name] = encode(plain, f"metrics[{name!r}]")
    return encode(found, "metrics") if any(name.startswith("$") for name in found) else found


def to_text(config: dict[str, Any]) -> str:
    """Give the configuration as the text of a file."""
    return json.dumps(config, indent=1, allow_nan=False) + "\n"


def from_text(text: str) -> dict[str, Any]:
    """Read the text of a file; the version of its format is known."""
    try:
        config = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError("", f"is no JSON, or is cut short ({error}).") from error
    found = config.get("format_version") if isinstance(config, dict) else None
    if type(found) is not int or found != FORMAT:
        by = config.get("versions") if isinstance(config, dict) else None
        writer = by.get("cloome_sk") if isinstance(by, dict) else None
        written = f", as cloome_sk {writer} wrote it" if isinstance(writer, str) else ""
        raise RefusedError(
            "format_version",
            f"is {found!r}{written}; cloome_sk {__version__} reads version {FORMAT}.",
        )
    parts = {"format_version", "embedder", "left_out", "weights", "metrics", "versions"}
    parts_of(config, parts, "the file")
    left_out = config["left_out"]
    names = (*FIT_ALONE, *WITH_VALIDATION)
    if not isinstance(left_out, list) or any(name not in names for name in left_out):
        raise RefusedError("left_out", f"should be a list of some of {', '.join(names)}.")
    weights = parts_of(config["weights"], {"bytes", "sha256"}, "weights")
    if type(weights["bytes"]) is not int or type(weights["sha256"]) is not str:
        raise RefusedError("weights", "should have a number of bytes, and a text as sha256.")
    versions = parts_of(config["versions"], {"cloome_sk", "python", *PACKAGES}, "versions")
    if any(type(text) is not str for text in versions.values()):
        raise RefusedError("versions", "should be texts.")
    if not isinstance(config["metrics"], dict | None):
        raise RefusedError("metrics", "should be a dictionary or null.")
    return config


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def build(config: dict[str, Any], embedder_class: type) -> Any:
    """Build the embedder of a configuration, without its weights."""
    try:
        embedder = decode_estimator(config["embedder"], "embedder", classes_with(embedder_class))
    except RecursionError as error:
        raise RefusedError("embedder", "is nested too deep.") from error
    if type(embedder) is not embedder_class:
        raise RefusedError("embedder.class", f"is {type(embedder).__name__}, not {EMBEDDER}.")
    return embedder


def with_weights(embedder: Any, state: dict[str, np.ndarray]) -> Any:
    """Give the embedder its weights, after a comparison with the network that it makes."""
    embedder.state_ = checked_state(embedder, state)
    return embedder
