"""The weights of a network that is not CLOOME's, such as those trained on ImageNet."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cloome_sk.checkpoints._loading import CheckpointError, load_tensors
from cloome_sk.networks.weights import described, listed

KEYS = ("state_dict", "model")
"""Under which programs store weights beside other things."""


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
        The weights by name, on the CPU, names and dtypes as in the file. They may be views of
        the file, which has to stay while they are used.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If it is no such file, is damaged, or holds Python objects (a whole pickled model), which
        could only be loaded by running code.

    See Also
    --------
    read_checkpoint : Files of the CLOOME authors.

    Examples
    --------
    >>> import tempfile, torch
    >>> from cloome_sk.checkpoints import read_state
    >>> folder = tempfile.mkdtemp()
    >>> torch.save(torch.nn.Linear(2, 3).state_dict(), f"{folder}/weights.pth")
    >>> state = read_state(f"{folder}/weights.pth")
    >>> {name: tuple(value.shape) for name, value in state.items()}
    {'weight': (3, 2), 'bias': (3,)}
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{file}: there is no such weight file.")
    if not file.is_file():
        raise CheckpointError(file, "is a folder; name the weight file itself.")
    if file.suffix.lower() == ".safetensors":
        return _read_safetensors(file)
    content = load_tensors(file)
    for key in KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            file, f"is {described(content)}, where a state dict (names and tensors) is needed."
        )
    wrong = {k: v for k, v in content.items() if not (isinstance(k, str) and torch.is_tensor(v))}
    if wrong:
        name, value = next(iter(wrong.items()))
        raise CheckpointError(
            file,
            f"a state dict has names and tensors alone, but {len(wrong)} of {len(content)} entries "
            f"are something else: {name!r} is {described(value)}. Its keys are {listed(content)}.",
        )
    return {name: value.detach() for name, value in content.items()}


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file, device="cpu")
    except SafetensorError as error:
        raise CheckpointError(file, f"is no safetensors file, or is damaged: {error}") from error
