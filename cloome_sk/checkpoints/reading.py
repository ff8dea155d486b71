"""The authors' weight files: their names in, this package's names and sizes out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cloome_sk.checkpoints._describing import describe, listing
from cloome_sk.checkpoints._hashing import file_sha256
from cloome_sk.checkpoints._loading import CheckpointError, load_tensors
from cloome_sk.checkpoints._matching import TEMPERATURE, is_float, match_networks

DATA_PARALLEL = "module."
"""What torch's DataParallel and DistributedDataParallel put in front of every name."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The weights of one file, under the names of this package's networks.

    Attributes
    ----------
    path : Path
        The file.
    sha256 : str
        SHA-256 of its content, in hexadecimal.
    phenotype : dict of str to ndarray
        Weights of ``networks.ResNet(n_channels, n_components, depth=50)`` by their names in its
        state dict; float32, counters int64.
    molecule : dict of str to ndarray
        The same for ``networks.MLP(n_bits, n_components, hidden_sizes)``.
    log_inv_tau : float
        Natural logarithm of the inverse temperature.
    n_channels : int
        Image channels that the first convolution takes. The file does not name them.
    n_components : int
        Size of the embedding.
    n_bits : int
        Width of the molecule input.
    hidden_sizes : tuple of int
        Widths of the molecule network's hidden layers.
    prefix : str
        What stood in front of every name: ``"module."`` or nothing.
    dtype : str
        As what the weights are stored, for instance ``"float32"`` or ``"float16, float32"``.
    ignored : dict of str to int
        What else the file holds, by name, with the bytes of its tensors.
    epoch : int or None
        Number of epochs trained, where the file says it.
    name : str or None
        Name of the training run, where the file says it.
    """

    path: Path
    sha256: str
    phenotype: dict[str, np.ndarray]
    molecule: dict[str, np.ndarray]
    log_inv_tau: float
    n_channels: int
    n_components: int
    n_bits: int
    hidden_sizes: tuple[int, ...]
    prefix: str
    dtype: str
    ignored: dict[str, int]
    epoch: int | None
    name: str | None

    @property
    def inv_tau(self) -> float:
        """The inverse temperature."""
        return math.exp(self.log_inv_tau)

    def describe(self) -> str:
        """Say what is in the file and what will be assumed, in lines for a person to read."""
        return describe(self)

    def __repr__(self) -> str:
        hidden = ", ".join(map(str, self.hidden_sizes))
        return (
            f"<Checkpoint {self.path.name}: {self.n_channels} channels -> {self.n_components}, "
            f"{self.n_bits} bits -> ({hidden}) -> {self.n_components}>"
        )


def read_checkpoint(path: str | PathLike[str]) -> Checkpoint:
    """Read a file of weights in the format of the authors' code.

    That is what their training program saves: a dictionary with the weights under
    ``"state_dict"``, as float32 or float16, from one device or several; optimizer and schedule
    beside it are left alone. The weights by themselves, without that dictionary around them, are
    read as well. No code in the file runs. Every size comes from the shapes of the weights.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Checkpoint
        Weights of `cloome_sk.networks.ResNet` and `cloome_sk.networks.MLP`, and what else the file
        says.

    Raises
    ------
    CheckpointError
        If the file is damaged, is no such file, or asks for more than tensors; if weights are
        missing, not known, of another size than the networks have, or not finite.
    FileNotFoundError
        If there is no such file.

    See Also
    --------
    from_pretrained : Download such a file.

    References
    ----------
    .. [1] Sanchez-Fernandez et al. (2023), CLOOME: contrastive learning unlocks bioimaging
       databases for queries with chemical structures, Nature Communications 14:7339. Names as in
       the class ``CLIPGeneral`` of its code.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> from cloome_sk.checkpoints import read_checkpoint
    >>> from cloome_sk.networks import MLP
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "weights.pt")
    ...     torch.save(MLP(8, 4, [6]).state_dict(), path)
    ...     read_checkpoint(path)
    Traceback (most recent call last):
    ...
    cloome_sk.checkpoints._loading.CheckpointError: ...weights.pt: is not a CLOOME: it lacks ...
    """
    path = Path(path)
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise FileNotFoundError(f"The checkpoint {str(path)!r} {what}.")
    state, others = _state_dict(path, load_tensors(path))
    prefix = _prefix(path, state)
    state = {name.removeprefix(prefix): value for name, value in state.items()}
    homes, sizes = match_networks(path, state)

    parts: dict[str, dict[str, np.ndarray]] = {"phenotype": {}, "molecule": {}}
    for name, (part, own_name) in homes.items():
        parts[part][own_name] = _finite(path, prefix + name, state[name])
    log_inv_tau = float(_finite(path, prefix + TEMPERATURE, state[TEMPERATURE]))
    # What is of another type than the authors' is counted with the rest.
    epoch = others.pop("epoch") if isinstance(others.get("epoch"), int) else None
    run = others.pop("name") if isinstance(others.get("name"), str) else None
    return Checkpoint(
        path=path,
        sha256=file_sha256(path),
        phenotype=parts["phenotype"],
        molecule=parts["molecule"],
        log_inv_tau=log_inv_tau,
        **sizes,
        prefix=prefix,
        dtype=", ".join(
            sorted({str(v.dtype).removeprefix("torch.") for v in state.values() if is_float(v)})
        ),
        ignored={name: _n_bytes(value) for name, value in others.items()},
        epoch=epoch,
        name=run,
    )


def _state_dict(path: Path, content: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights, and what lies beside them."""
    if not isinstance(content, Mapping):
        raise CheckpointError(
            path, f"holds a {type(content).__name__}, not a dictionary of weights."
        )
    state, others = content, {}
    if isinstance(content.get("state_dict"), Mapping):
        state = content["state_dict"]
        others = {str(name): part for name, part in content.items() if name != "state_dict"}
    wrong = [
        f"{name!r} ({type(value).__name__})"
        for name, value in state.items()
        if not isinstance(name, str) or not isinstance(value, Tensor)
    ]
    if wrong or not state:
        found = f"beside weights it holds {listing(wrong)}" if wrong else "it is empty"
        raise CheckpointError(
            path, f"is not a dictionary of weights, nor has it one under 'state_dict': {found}."
        )
    return dict(state), others


def _prefix(path: Path, state: Mapping[str, Tensor]) -> str:
    """What every name begins with; a prefix of some names only is a mixture of two models."""
    marked = [name for name in state if name.startswith(DATA_PARALLEL)]
    if not marked:
        return ""
    plain = [name for name in state if not name.startswith(DATA_PARALLEL)]
    if plain:
        few, how = (plain, "do not") if len(plain) <= len(marked) else (marked, "do")
        raise CheckpointError(
            path,
            f"some of its names begin with {DATA_PARALLEL!r} and some do not. Those that {how}: "
            f"{listing(map(repr, few))}. A file has the names of one model.",
        )
    return DATA_PARALLEL


def _finite(path: Path, name: str, value: Tensor) -> np.ndarray:
    """A copy in memory, so that the file may go; float32, or int64 for a counter."""
    dtype = torch.float32 if is_float(value) else torch.int64
    array = value.detach().to(dtype, copy=True, memory_format=torch.contiguous_format).numpy()
    n_wrong = array.size - np.count_nonzero(np.isfinite(array))
    if n_wrong:
        raise CheckpointError(
            path,
            f"{n_wrong} of {array.size} numbers of the weight {name!r} are not finite (NaN or "
            "infinite, in float32). Training has diverged, or the file is damaged.",
        )
    if name.endswith("running_var") and (array < 0).any():
        raise CheckpointError(path, f"the variances {name!r} are negative; the file is damaged.")
    return array


def _n_bytes(content: Any) -> int:
    """Bytes of all tensors in nested containers, each storage once."""
    storages: dict[int, int] = {}
    # Not recursively, and each container once: a file may nest as deep as it likes, or in circles.
    waiting, seen = [content], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Tensor):
            if part.layout is torch.strided:
                storage = part.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(part, Mapping):
            waiting += part.values()
        elif isinstance(part, Sequence | set) and not isinstance(part, str | bytes):
            waiting += part
    return sum(storages.values())
