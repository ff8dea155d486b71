"""What the parameters of an image encoder, and the memory of the machine, allow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from inspect import signature
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import Interval, StrOptions

from cloome_sk.checkpoints.published import PUBLISHED
from cloome_sk.imaging import SCALINGS, Channels

PURPOSE = "ImageEncoder"

NORMALIZATIONS = {"dataset", "image", "plate", "imagenet"}

CONSTRAINTS: dict[str, Any] = {
    "columns": "no_validation",
    "channels": ["array-like", None],
    "size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
    "network": [StrOptions({"auto", "small", "vit", "resnet18", "resnet50"}), callable],
    "weights": [str, PathLike, None],
    "channelwise": ["boolean"],
    "pooling": [StrOptions({"adaptive", "legacy"})],
    "scaling": [StrOptions(set(SCALINGS))],
    "illumination": [StrOptions({"auto"}), None],
    "preprocess": [callable, None],
    "normalization": [StrOptions(NORMALIZATIONS), "array-like", None],
    "augmentation": [StrOptions({"default"}), dict, None],
    "crop": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
    "evaluation": [StrOptions({"full", "center", "tiles"})],
    "cache": [str, PathLike, None],
    "on_error": [StrOptions({"raise", "skip"})],
    "n_jobs": [Integral, None],
    "plate": [str],
    "controls": [StrOptions({"auto"}), tuple],
    "plate_table": [pd.DataFrame, None],
}
"""Values that each parameter may have, as scikit-learn checks them."""


def check_image_parameters(encoder: Any) -> None:
    """Refuse sizes that are no sizes, and parameters that do not go together."""
    for name in ("size", "crop"):
        _check_pair(name, getattr(encoder, name))
    if encoder.evaluation != "full" and encoder.crop is None:
        raise ValueError(
            f'{PURPOSE}: evaluation="{encoder.evaluation}" embeds crops, and crop= is None: say '
            "how large they are."
        )
    if isinstance(encoder.augmentation, dict):
        _check_augmentation(encoder.augmentation)
    _check_weights(encoder)
    if normalization_kind(encoder) == "given":
        given_statistics(encoder)
    if encoder.n_jobs == 0:
        raise ValueError(f"{PURPOSE}: n_jobs must be a number of processes, -1 for all; got 0.")


def _check_weights(encoder: Any) -> None:
    """Refuse what belongs to another network than the one asked for."""
    network = encoder.network
    if encoder.weights is None:
        lost = [
            name
            for name, set_ in (
                ("channelwise=True", encoder.channelwise),
                ('normalization="imagenet"', normalization_kind(encoder) == "imagenet"),
            )
            if set_
        ]
        if lost:
            raise ValueError(
                f"{PURPOSE}: {' and '.join(lost)} goes with ImageNet weights alone: name their "
                "file, weights=path."
            )
    elif network != "auto":
        raise ValueError(
            f"{PURPOSE}: weights= names the weights of torchvision's ResNet, which "
            f'network="auto" builds; network={network!r} cannot take them. Leave one of the two '
            "out."
        )
    if encoder.pooling != "adaptive" and network not in ("resnet18", "resnet50"):
        raise ValueError(
            f'{PURPOSE}: pooling="{encoder.pooling}" is of network="resnet18" and "resnet50", and '
            f"not of network={network!r}."
        )


def check_published_order(changes: Mapping[str, Any]) -> None:
    """Refuse to give the numbers of one channel to another."""
    given = changes.get("channels")
    if given is None or isinstance(given, str) or "normalization" in changes:
        return
    names = Channels(given).names
    if len(names) == len(PUBLISHED.channels) and names != PUBLISHED.channels:
        raise ValueError(
            f"ImageEncoder.published: channels={list(given)!r}, and the published weights and "
            f"normalization are of {', '.join(PUBLISHED.channels)}, in this order. Leave channels= "
            "out: columns are found by name, in whatever order, and stacks by the column "
            "Metadata_Channels. For weights of other channels give normalization=(mean, std) too."
        )


def normalization_kind(encoder: Any) -> str | None:
    """Whose numbers images are normalised with; "given" for those of the user."""
    value = encoder.normalization
    return value if value is None or isinstance(value, str) else "given"


def given_statistics(encoder: Any) -> tuple[np.ndarray, np.ndarray]:
    """The user's own mean and standard deviation of each channel, float64, checked."""
    what = f"{PURPOSE}: normalization=(mean, std)"
    pair = encoder.normalization
    numbers = [np.asarray(part) for part in pair] if len(pair) == 2 else []
    if not numbers or any(part.ndim != 1 or part.dtype.kind not in "iuf" for part in numbers):
        raise ValueError(
            f"{what} must be two sequences of numbers, each one number a channel, or one of "
            f"{sorted(NORMALIZATIONS)} or None; got {pair!r}."
        )
    if encoder.channels is None:
        raise ValueError(
            f"{what} has one number for each of channels=, which is None: name the channels in "
            "the order of the numbers."
        )
    names = list(encoder.channels)
    mean, std = (part.astype(np.float64) for part in numbers)
    if not len(mean) == len(std) == len(names):
        raise ValueError(
            f"{what} has {len(mean)} and {len(std)} numbers, and channels= names {len(names)}: "
            f"{', '.join(map(str, names))}."
        )
    for name, one, other in zip(names, mean, std, strict=True):
        if not (np.isfinite(one) and np.isfinite(other) and other > 0):
            raise ValueError(
                f"{what} must be finite, and std above 0; channel {name!r} has mean {one} and std "
                f"{other}."
            )
    return mean, std


def _check_augmentation(options: dict[str, Any]) -> None:
    from cloome_sk.networks import Augmentation

    known = list(signature(Augmentation).parameters)
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ValueError(
            f"{PURPOSE}: augmentation= has no option {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(known)}."
        )
    Augmentation(**options)


def _check_pair(name: str, size: Any) -> None:
    if size is None or (isinstance(size, Integral) and not isinstance(size, bool)):
        return
    size = (size,) if isinstance(size, bool) else size
    numbers = all(isinstance(side, Integral) and not isinstance(side, bool) for side in size)
    if len(size) != 2 or not numbers or min(size) < 1:
        raise ValueError(
            f"{PURPOSE}: {name} must be a number of pixels or a pair (height, width) of at least "
            f"1, got {size!r}."
        )


def check_memory(n_bytes: int) -> None:
    """Refuse to fill more memory than there is."""
    free = _free_memory()
    if free is not None and n_bytes > 0.8 * free:
        raise MemoryError(
            f"{PURPOSE}: the prepared sites take {n_bytes / 2**30:.1f} GiB, and "
            f"{free / 2**30:.1f} GiB of memory are free. Keep them on disk by cache=folder, or "
            "shrink them by size=."
        )


def _free_memory() -> int | None:
    """Memory that may still be filled: of the machine, or of the container if that is less."""
    known = [amount for amount in (_of_the_machine(), _of_the_container()) if amount is not None]
    return min(known, default=None)


def _of_the_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        known = dict(line.split(":", 1) for line in lines)
        return int(known["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _of_the_container() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        most, used = (int((folder / f"memory.{n}").read_text()) for n in ("max", "current"))
    except (OSError, ValueError):  # there is no limit, or it is kept elsewhere
        return None
    return most - used
