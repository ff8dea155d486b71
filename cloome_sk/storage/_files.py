"""Folders that are there whole or not at all, and files that are nothing but files."""

from __future__ import annotations

import glob
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cloome_sk.storage._errors import StorageError


def check_target(folder: Path, known: set[str], overwrite: bool) -> None:
    """Refuse a place that cannot be written to, or holds what would be lost."""
    if not folder.parent.is_dir():
        raise FileNotFoundError(
            f"{str(folder.parent)!r} is no folder, so {folder.name!r} cannot be made in it."
        )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{str(folder)!r} is a file, and the embedder is stored as a folder.")
    there = sorted(entry.name for entry in folder.iterdir())
    if there and not overwrite:
        raise FileExistsError(
            f"The folder {str(folder)!r} is not empty. Choose another, or replace what is in it: "
            "overwrite=True."
        )
    foreign = [name for name in there if name not in known]
    if foreign:
        raise FileExistsError(
            f"The folder {str(folder)!r} holds more than a stored embedder: {', '.join(foreign)}. "
            "overwrite=True would delete that: save to another folder, or move it away."
        )


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder beside the place where it belongs, and move it there when it is on the disk.

    A process that is killed leaves the earlier folder or none, and a hidden one beside it.

    Raises
    ------
    OSError
        If the disk is full or the place may not be written to; nothing has changed then.
    """
    fresh = None
    try:
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".new", dir=folder.parent))
        fresh.chmod(0o777 & ~_umask())  # a temporary folder is its maker's alone
        for name, content in files.items():
            with (fresh / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync_folder(fresh)
        _put_in_place(fresh, folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            error.errno or 0,
            f"The embedder was not saved ({reason}), and what was there before is unchanged",
            str(folder),
        ) from error
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)
    _sync_folder(folder.parent)


def _put_in_place(fresh: Path, folder: Path) -> None:
    if not folder.exists():
        fresh.rename(folder)
        return
    # No system replaces a folder that is not empty in one step.
    earlier = fresh.with_suffix(".old")
    folder.rename(earlier)
    try:
        fresh.rename(folder)
    except BaseException:
        earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def leftover(folder: Path) -> Path | None:
    """Find the earlier folder where a process was killed between the two steps."""
    found = sorted(folder.parent.glob(f".{glob.escape(folder.name)}.*.old"))
    return found[-1] if found else None


def read_file(path: Path) -> bytes:
    """Read a file of a stored embedder, which is in its folder and no link to elsewhere."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError as error:
        raise StorageError(path, "is missing, so this is no stored embedder.") from error
    if stat.S_ISLNK(mode):
        raise StorageError(
            path,
            "is a link, and only what lies in the folder itself is read. Copy the files into it "
            "(a download from the Hugging Face hub: snapshot_download(..., local_dir=folder)).",
        )
    if not stat.S_ISREG(mode):
        raise StorageError(path, "is no plain file.")
    return path.read_bytes()


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows opens no folders, and needs no such step
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
