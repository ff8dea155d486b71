"""Opening a file of `torch.save` so that nothing in it can run, and nothing damaged gets in."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch

_CHUNK = 1 << 20
_ZIP = b"PK\x03\x04"
_OTHER_CONTENT = {
    b"version https://git-lfs.github.com/spec/": (
        "is a Git LFS pointer, a few lines that stand for the file. Download the file itself."
    ),
    b"<!doctype": "is a web page. Download the file itself, not the page that shows it.",
    b"<html": "is a web page. Download the file itself, not the page that shows it.",
}
_NOT_TENSORS = "is not a file of plain tensors that torch.save wrote, or it is damaged."


class CheckpointError(ValueError):
    """A file of weights that cannot be read, or is not of the network it should be of.

    Parameters
    ----------
    path : str or Path
        The file.
    reason : str
        What was found and, where there is something to do about it, what.

    Attributes
    ----------
    path, reason : str
        As given. The message is both.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)  # both, so that it can be pickled
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def load_tensors(path: Path) -> Any:
    """Load what `torch.save` stored: tensors on the CPU, in plain containers.

    Tensors of the zip format are views of the file, read when they are used.

    Raises
    ------
    CheckpointError
        For any other content: code, a damaged file, another format.
    """
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise CheckpointError(path, "the file is empty.")
    for content, reason in _OTHER_CONTENT.items():
        if start.lower().startswith(content.lower()):
            raise CheckpointError(path, reason)
    zipped = start.startswith(_ZIP)
    if zipped:
        _check_archive(path)
    try:
        with warnings.catch_warnings():
            # torch warns of another pickle protocol; either it can be read or it cannot.
            warnings.simplefilter("ignore", UserWarning)
            # Explicitly: `weights_only` is what keeps code in the file from running, and no
            # environment variable overrules it here.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except (OSError, MemoryError):
        raise  # of the machine, not of the file
    except pickle.UnpicklingError as error:
        # torch's own message advises to switch the protection off.
        raise CheckpointError(path, _why_refused(str(error))) from None
    except RuntimeError as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise CheckpointError(path, f"{_NOT_TENSORS} torch says: {first_line[:200]!r}") from error
    except Exception as error:
        # Malformed bytes make the unpickler raise nearly anything, none of it telling.
        raise CheckpointError(path, _NOT_TENSORS) from error


def _check_archive(path: Path) -> None:
    """Refuse what torch would read without a word: compressed or damaged entries."""
    try:
        with ZipFile(path) as archive:
            # First of all: what such an archive compresses is beside the point.
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise CheckpointError(
                    path,
                    "is a TorchScript archive, which holds code. Weights are read from what "
                    "torch.save(model.state_dict(), ...) writes.",
                )
            for entry in archive.infolist():
                if entry.compress_type != ZIP_STORED:
                    raise CheckpointError(
                        path,
                        f"its entry {entry.filename!r} is compressed, which torch.save never does. "
                        "If the file was packed once more, unpack it.",
                    )
                # torch can be told to write no checksums; they are 0 then.
                if entry.CRC:
                    with archive.open(entry) as stored:
                        while stored.read(_CHUNK):
                            pass
    except (BadZipFile, EOFError, OSError, RuntimeError) as error:
        raise CheckpointError(
            path, f"is damaged or cut short ({error}). Get the file again."
        ) from error


def _why_refused(message: str) -> str:
    """Say what the unpickler stopped at."""
    named = re.search(r"GLOBAL ([\w.]+)", message)
    if named is None:
        return _NOT_TENSORS
    return (
        f"asks for {named[1]}, which is not a tensor: loading it could run code, so nothing of the "
        "file was loaded. If you trust where it came from, store its weights alone, with "
        'torch.save({"state_dict": model.state_dict()}, ...).'
    )
