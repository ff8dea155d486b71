"""Training that survives the end of its process: its whole state in a folder."""

from __future__ import annotations

import errno
import io
import os
import re
import socket
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cloome_sk import __version__

KEPT = 2
"""Snapshots that stay: should the last one be damaged, the one before it is there."""
FORMAT = 1
ABANDONED = 86_400.0
"""Seconds after which a half-written file is of no living process, wherever that runs."""
_NAME = re.compile(r"epoch-(\d{6})-batch-(\d{9})\.pt")
_TEMPORARY = re.compile(r".*\.on-(?P<host>.*)\.(?P<process>\d+)\.tmp")
_EXPLAINED = {
    errno.ENOENT: "the folder, or a file in it, was removed by another program",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "it may not be written to or read",
    errno.EPERM: "it may not be written to",
}


class SnapshotError(OSError):
    """A folder of snapshots that cannot be written to, or read."""


class Snapshots:
    """The last few states of one training, each written whole or not at all.

    A state is written to a temporary file, brought to the disk and renamed, so that a process or a
    machine that stops in the middle leaves the one before.

    Parameters
    ----------
    folder : path-like
        The folder of all trainings.
    name : str
        What this one is: its configuration and data, as a hash. Others have folders of their own.

    Attributes
    ----------
    folder : Path
        The folder of this training, made when the first state is written.

    Examples
    --------
    >>> import tempfile, torch
    >>> from cloome_sk.training.snapshots import Snapshots
    >>> snapshots = Snapshots(tempfile.mkdtemp(), "5e1f")
    >>> snapshots.write({"weights": torch.ones(2)}, epoch=1, batch=0)
    >>> snapshots.newest()["weights"]
    tensor([1., 1.])
    """

    def __init__(self, folder: str | os.PathLike[str], name: str) -> None:
        self.folder = Path(os.path.abspath(os.path.expanduser(folder))) / name

    def write(self, state: dict[str, Any], epoch: int, batch: int) -> None:
        """Write a state, then remove the oldest.

        Parameters
        ----------
        state : dict
            Tensors, numbers, texts, and containers of these.
        epoch, batch : int
            Epochs that are complete, and batches of the one that is not.

        Raises
        ------
        SnapshotError
            If it cannot be written; the states that were there are as before.
        """
        path = self.folder / f"epoch-{epoch:06d}-batch-{batch:09d}.pt"
        temporary = self._temporary(path.stem)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                torch.save({"format": FORMAT, "release": __version__, **_plain(state)}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(self.folder)
        # torch turns what a file says into a RuntimeError of its own.
        except (OSError, RuntimeError) as error:
            with suppress(OSError):
                temporary.unlink()
            raise _refusal(
                error,
                f"The state of training cannot be kept in {str(self.folder)!r}",
                " Training stopped; states that were written before are as they were, and "
                "resume=True goes on from the last of them once this is mended.",
            ) from error
        # What cannot be removed now, as a file that another process reads, is next time.
        with suppress(OSError):
            for old in self._paths()[:-KEPT]:
                old.unlink(missing_ok=True)
            for left in self.folder.glob("*.tmp"):
                if _is_abandoned(left):
                    left.unlink(missing_ok=True)

    def try_folder(self) -> None:
        """Find out that states can be kept before there is one, after hours of training.

        Raises
        ------
        SnapshotError
            If the folder cannot be made, or not be written to.
        """
        probe = self._temporary("probe")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)
        except (OSError, ValueError) as error:  # a ValueError: no path has a null character
            text = f"checkpoint_dir: {str(self.folder)!r} cannot be used"
            raise _refusal(error, text) from error

    @staticmethod
    def check_readable(name: str, state: Mapping[str, Any]) -> None:
        """Find out that a part of the state will be read back, before days depend on it.

        Parameters
        ----------
        name : str
            The parameter that it is of.
        state : mapping of str to object
            As it will be written.

        Raises
        ------
        TypeError
            If it holds more than tensors, numbers, texts, and containers of these: reading it
            could run code.
        """
        odd = [f"{key!r}: {value!r}"[:80] for key, value in state.items() if not _read_back(value)]
        if odd:
            raise TypeError(
                f"checkpoint_dir: the state of {name} could be written, and not be read again to "
                f"resume from: {', '.join(odd)}. Only tensors, numbers, texts, and containers of "
                "these can. Give it a state_dict of such alone, or set checkpoint_dir=None."
            )

    def newest(self) -> dict[str, Any] | None:
        """Read the last state that is whole.

        Returns
        -------
        dict or None
            None where there is none.

        Raises
        ------
        SnapshotError
            If there are files, and none of them can be read; or if another release of this
            package wrote them, whose training this one would not go on with to the bit.
        """
        problems = []
        for path in reversed(self._paths()):
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
                if not isinstance(state, dict) or state.get("format") != FORMAT:
                    raise ValueError("it was written by another version")
            except FileNotFoundError:
                # Another process that runs the same training has written later ones since.
                return self.newest()
            except Exception as error:
                problems.append(f"{path.name} ({str(error).splitlines()[0][:120]})")
                continue
            self._check_release(state)
            if problems:
                warnings.warn(
                    f"Training goes on from {path.name}, since a later state in "
                    f"{str(self.folder)!r} cannot be read: {'; '.join(problems)}.",
                    stacklevel=2,
                )
            return state
        if problems:
            raise SnapshotError(
                f"No state of training in {str(self.folder)!r} can be read: {'; '.join(problems)}. "
                "Remove the folder to begin anew."
            )
        return None

    def _check_release(self, state: dict[str, Any]) -> None:
        """Refuse to go on from what another release began, or to begin anew in silence."""
        release = state.get("release")
        if release != __version__:
            by = f"cloome_sk {release}" if release else "an earlier release of cloome_sk"
            raise SnapshotError(
                f"The state of training in {str(self.folder)!r} was written by {by}, and this is "
                f"cloome_sk {__version__}, which may train otherwise. Go on with that release, or "
                "begin anew: fit without resume=True removes the state."
            )

    def clear(self) -> None:
        """Remove the states of an earlier training of the same configuration and data.

        Raises
        ------
        SnapshotError
            If one cannot be removed.
        """
        try:
            for path in self._paths():
                path.unlink(missing_ok=True)
        except OSError as error:
            text = f"An earlier state of this training in {str(self.folder)!r} cannot be removed"
            raise _refusal(error, text) from error

    def others(self) -> int:
        """Count the other trainings whose states lie in the same folder.

        Returns
        -------
        int
            0 where there is no such folder.
        """
        found = self.folder.parent.glob("*/epoch-*-batch-*.pt")
        return len({path.parent for path in found} - {self.folder})

    def _temporary(self, stem: str) -> Path:
        """Where to write: the name says which process does, and on which machine."""
        return self.folder / f"{stem}.on-{socket.gethostname()}.{os.getpid()}.tmp"

    def _paths(self) -> list[Path]:
        try:
            names = [name for name in os.listdir(self.folder) if _NAME.fullmatch(name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            text = f"The states of training in {str(self.folder)!r} cannot be listed"
            raise _refusal(error, text) from error
        return sorted(path for name in names if (path := self.folder / name).exists())


def _is_abandoned(temporary: Path) -> bool:
    """Whether a process that wrote this was killed meanwhile; one that lives still needs it."""
    found = _TEMPORARY.fullmatch(temporary.name)
    # Windows has no way to ask for a process that would not disturb it.
    if os.name == "posix" and found is not None and found["host"] == socket.gethostname():
        process = int(found["process"])
        return process == os.getpid() or not _is_alive(process)
    try:
        return time.time() - temporary.stat().st_mtime > ABANDONED
    except FileNotFoundError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _plain(values: Any) -> Any:
    """Turn the scalars of NumPy, as searches give them for `lr`, into numbers that are read back.

    What is no plain container stays what it is.
    """
    if type(values) is dict:
        return {name: _plain(value) for name, value in values.items()}
    if type(values) in (list, tuple):
        return type(values)(_plain(value) for value in values)
    return values.item() if isinstance(values, np.generic) else values


def _read_back(value: Any) -> bool:
    held = io.BytesIO()
    try:
        torch.serialization.save(_plain(value), held)
        held.seek(0)
        torch.serialization.load(held, map_location="cpu", weights_only=True)
    except Exception:
        return False
    return True


def _refusal(error: BaseException, text: str, after: str = "") -> SnapshotError:
    """Make the error of a folder, with the number that the system gave, if it did."""
    number = _error_number(error)
    text = f"{text}: {_EXPLAINED.get(number or 0, str(error))}.{after}"
    return SnapshotError(text) if number is None else SnapshotError(number, text)


def _error_number(error: BaseException | None) -> int | None:
    while error is not None:
        if isinstance(error, OSError):
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot, and the file is there
            os.fsync(handle)
    finally:
        os.close(handle)
