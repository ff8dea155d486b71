"""Weights from files: read without running code, and described in errors."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def read_state(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read the weights of a file, and run none of the code that such a file may carry.

    Parameters
    ----------
    path : path
        A file of `torch.save` that holds a state dict, plain or under the key ``state_dict`` or
        ``model`` (whatever lies beside it is left out); or one whose name ends in
        ``.safetensors``.

    Returns
    -------
    dict of str to Tensor
        The weights by name, on the CPU, names and dtypes as in the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such file, is damaged, or holds Python objects (a whole pickled model), which
        could only be loaded by running code.

    Examples
    --------
    >>> import tempfile, torch
    >>> from cloome_sk.networks.weights import read_state
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save(torch.nn.Linear(2, 3).state_dict(), f"{folder}/weights.pth")
    ...     state = read_state(f"{folder}/weights.pth")
    >>> {name: tuple(value.shape) for name, value in state.items()}
    {'weight': (3, 2), 'bias': (3,)}
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{file}: there is no such weight file.")
    if not file.is_file():
        raise ValueError(f"{file}: is a folder; name the weight file itself.")
    if file.suffix.lower() == ".safetensors":
        return _read_safetensors(file)
    content = _read_torch(file)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise ValueError(
            f"{file}: is {described(content)}, where a state dict (names and tensors) is needed."
        )
    wrong = {k: v for k, v in content.items() if not (isinstance(k, str) and torch.is_tensor(v))}
    if wrong:
        name, value = next(iter(wrong.items()))
        raise ValueError(
            f"{file}: a state dict has names and tensors alone, but {len(wrong)} of "
            f"{len(content)} entries are something else: {name!r} is {described(value)}. Its keys "
            f"are {listed(content)}."
        )
    return {name: value.detach() for name, value in content.items()}


def _read_torch(file: Path) -> Any:
    """What `torch.save` wrote, if it is made of tensors and plain containers."""
    with file.open("rb") as stream:
        head = stream.read(32)
    members: list[str] = []
    with suppress(zipfile.BadZipFile, NotImplementedError), zipfile.ZipFile(file) as archive:
        members = archive.namelist()
    magic = torch.serialization.MAGIC_NUMBER.to_bytes(10, "little")
    if any(name.endswith("/constants.pkl") for name in members):
        raise ValueError(
            f"{file}: is a TorchScript archive, that is, a program. Save the weights alone: "
            "torch.save(model.state_dict(), path)."
        )
    if magic not in head and not any(name.endswith("/data.pkl") for name in members):
        raise ValueError(
            f"{file}: is no file of torch.save, or is damaged (it begins with {head[:16]!r})."
        )
    try:
        return torch.load(file, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named is None:
            raise ValueError(f"{file}: is damaged, or holds more than tensors.") from error
        raise ValueError(
            f"{file}: holds Python objects ({named[1]}), not weights alone, and loading those "
            "would run code from the file. Whoever trusts the file loads it where that class is "
            "installed and saves the weights alone: torch.save(model.state_dict(), path)."
        ) from error
    except (OSError, MemoryError):
        raise
    except Exception as error:  # torch has another one for each kind of damage
        raise ValueError(f"{file}: is damaged: {error}") from error


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file, device="cpu")
    except SafetensorError as error:
        raise ValueError(f"{file}: is no safetensors file, or is damaged: {error}") from error


def listed(names: Iterable[object], n: int = 4) -> str:
    """Give the first few of many names, and the number of the others."""
    every = [str(name) for name in names]
    more = f" and {len(every) - n} more" if len(every) > n else ""
    return ", ".join(every[:n]) + more


def described(value: object) -> str:
    """Say of what type something is, in an error."""
    empty = isinstance(value, Mapping) and not value
    return f"of type {type(value).__name__}" + (" (empty)" if empty else "")
