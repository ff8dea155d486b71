"""What is wrong with a stored embedder, and where."""

from __future__ import annotations

from pathlib import Path


class StorageError(ValueError):
    """A folder that is no stored embedder, is damaged, or says what this release cannot read.

    Parameters
    ----------
    path : str or Path
        The file or folder.
    reason : str
        What was found.
    key : str, default=""
        Where in the file.

    Attributes
    ----------
    path, reason, key : str
        As given. The message is all three.
    """

    def __init__(self, path: str | Path, reason: str, key: str = "") -> None:
        super().__init__(path, reason, key)  # all of them, so that it can be pickled
        self.path = str(path)
        self.reason = reason
        self.key = key

    def __str__(self) -> str:
        where = f"{self.path}, {self.key}" if self.key else self.path
        return f"{where}: {self.reason}"


class RefusedError(Exception):
    """Content that cannot be read, before it is known of which file it is."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason
