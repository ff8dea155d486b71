"""What the parameters of an image encoder, and the memory of the machine, allow."""

from __future__ import annotations

import os
from inspect import signature
from numbers import Integral
from pathlib import Path
from typing import Any

PURPOSE = "ImageEncoder"


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
    if encoder.n_jobs == 0:
        raise ValueError(f"{PURPOSE}: n_jobs must be a number of processes, -1 for all; got 0.")


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
