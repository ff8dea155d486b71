"""Prepared sites kept on disk, so that images are decoded and scaled only once."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from cloome_sk.imaging._fingerprints import ContentHashes, settings_hash
from cloome_sk.imaging._site_files import (
    has_site,
    read_site,
    read_site_into,
    stored_dtype,
    write_site,
)

_KEY = re.compile("[0-9a-f]{16,64}")
_STALE_SECONDS = 3600.0


class SiteCache:
    """Sites on disk, one file each, found again by the content of their images and by settings.

    Several processes may read and write one folder at the same time. A site is written to a
    temporary file and renamed when it is whole, so a writer that is killed leaves nothing that
    could be read. What a power failure or a full disk damages later is seen by length and checksum
    when it is read, and counts as not there.

    Parameters
    ----------
    folder : str or path-like
        The folder; made if it is not there. It may hold the sites of several data sets and settings
        and can be deleted at any time when nothing runs.
    settings : mapping or bytes
        All that decides how images become pixels: scaling, size, channels. Values are texts,
        numbers, None, arrays, and lists and mappings of these. Sites stored under other settings
        are not found.

    Raises
    ------
    OSError
        If there is a file in place of the folder, or it cannot be made.
    TypeError
        If settings hold anything whose value cannot be told for certain, such as a function.

    Notes
    -----
    A file is ``<folder>/<settings>/<2 characters of the key>/<key>.npy``, an ordinary NumPy file
    that `numpy.load` reads and maps, with a mark and a checksum after the pixels. Values are kept
    in little-endian order. Files are not flushed to the disk one by one, which would take longer
    than to decode an image: the checksum tells what a power failure took.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> cache = SiteCache(tempfile.mkdtemp(), {"scaling": "cloome", "size": (520, 696)})
    >>> raw = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    >>> key = cache.key([raw])
    >>> cache.load(key) is None
    True
    >>> cache.store(key, (raw * 10).astype(np.uint8))
    >>> cache.load(key).shape
    (2, 3, 4)
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, Any] | bytes) -> None:
        # Absolute, since a worker process may stand in another folder.
        self.folder = Path(os.path.abspath(os.path.expanduser(folder)))
        self._settings = settings_hash(settings)
        self._sites = os.path.join(self.folder, self._settings)
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise _explained(error, self.folder) from error
        self._hashes = ContentHashes(self.folder / "hashes")
        self._sweep()

    def __repr__(self) -> str:
        return f"SiteCache({str(self.folder)!r}, settings {self._settings})"

    def key(self, sources: Iterable[Any], settings: Mapping[str, Any] | bytes | None = None) -> str:
        """Name a site by the content of what it is made of.

        To keep pixels from being stored under the name of images that were replaced while they were
        being read, ask for the key again before `store`; it costs microseconds.

        Parameters
        ----------
        sources : iterable of str, path-like, ndarray or None
            All images and illumination functions of the site, in a fixed order; None where a
            channel has none.
        settings : mapping or bytes, optional
            What is particular to the site, such as the order of channels in a stack.

        Returns
        -------
        str
            32 hexadecimal characters; the same for files that were moved or copied.

        Raises
        ------
        ImageError
            If a file is not there or cannot be read.
        TypeError
            If a source or setting is of an unknown type.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> cache = SiteCache(tempfile.mkdtemp(), {})
        >>> cache.key([np.zeros(3)]) == cache.key([np.zeros(3)], {"order": "DNA|ER"})
        False
        """
        found = hashlib.sha256()
        for content in self._hashes.of(sources):
            found.update(b"-" if content is None else b"+" + content)
        if settings is not None:
            found.update(settings_hash(settings).encode())
        return found.hexdigest()[:32]

    def path(self, key: str) -> str:
        """Where the site of a key is or would be; for `numpy.load` with ``mmap_mode="r"``.

        Parameters
        ----------
        key : str
            The key of the site.

        Returns
        -------
        str
            The path.

        Raises
        ------
        ValueError
            If the key is not one that `key` makes: 16 to 64 hexadecimal characters.

        Examples
        --------
        >>> import tempfile
        >>> SiteCache(tempfile.mkdtemp(), {}).path("0123456789abcdef").split(os.sep)[-2:]
        ['01', '0123456789abcdef.npy']
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a key of a cached site: {key!r}")
        return f"{self._sites}{os.sep}{key[:2]}{os.sep}{key}.npy"

    def load(self, key: str) -> np.ndarray | None:
        """Read a site, shape and dtype as stored; None if it is not there or damaged.

        Parameters
        ----------
        key : str
            The key of the site.

        Returns
        -------
        ndarray or None
            The pixels.

        Examples
        --------
        >>> import tempfile
        >>> SiteCache(tempfile.mkdtemp(), {}).load("0123456789abcdef") is None
        True
        """
        return read_site(self.path(key), key)

    def load_into(self, key: str, out: np.ndarray) -> bool:
        """Read a site into an array, without a copy in between.

        Parameters
        ----------
        key : str
            The key of the site.
        out : ndarray, C-contiguous, writable
            Takes the pixels. Its content is undefined when the site is not found.

        Returns
        -------
        bool
            Whether a whole site of the shape and dtype of `out` was there.

        Raises
        ------
        ValueError
            If `out` is not C-contiguous, not little-endian or cannot be written to.
        TypeError
            If `out` does not take real numbers.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> cache = SiteCache(tempfile.mkdtemp(), {})
        >>> cache.store("0123456789abcdef", np.ones((2, 3, 3), dtype=np.uint8))
        >>> out = np.empty((2, 3, 3), dtype=np.uint8)
        >>> cache.load_into("0123456789abcdef", out), int(out.sum())
        (True, 18)
        """
        if not (out.flags.c_contiguous and out.flags.writeable):
            raise ValueError("out= must be a C-contiguous array that can be written to")
        if out.dtype != stored_dtype(out.dtype):
            raise ValueError(f"out= must be little-endian, as sites are stored, not {out.dtype}")
        return read_site_into(self.path(key), key, out)

    def load_many(self, keys: Sequence[str], out: np.ndarray) -> np.ndarray:
        """Read sites into the rows of an array.

        Parameters
        ----------
        keys : sequence of str
            The keys of n sites.
        out : ndarray of shape (n, ...), C-contiguous, writable
            Takes the pixels; rows of sites that are not found are undefined.

        Returns
        -------
        ndarray of bool, shape (n,)
            Which sites were found.

        Raises
        ------
        ValueError
            If there are not as many rows as keys, or `out` cannot be written to in one piece.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> cache = SiteCache(tempfile.mkdtemp(), {})
        >>> cache.store("0123456789abcdef", np.ones((1, 2, 2), dtype=np.uint8))
        >>> out = np.zeros((2, 1, 2, 2), dtype=np.uint8)
        >>> cache.load_many(["fedcba9876543210", "0123456789abcdef"], out)
        array([False,  True])
        """
        if len(out) != len(keys):
            raise ValueError(f"{len(keys)} keys do not fill out= of {len(out)} rows")
        found = (self.load_into(key, row) for key, row in zip(keys, out, strict=True))
        return np.fromiter(found, dtype=bool, count=len(keys))

    def has(self, key: str) -> bool:
        """Whether a site is there, by the length of its file; its pixels are not looked at.

        `load` may still find it damaged.

        Parameters
        ----------
        key : str
            The key of the site.

        Returns
        -------
        bool
            Whether it is there.

        Examples
        --------
        >>> import tempfile
        >>> SiteCache(tempfile.mkdtemp(), {}).has("0123456789abcdef")
        False
        """
        return has_site(self.path(key))

    def store(self, key: str, site: np.ndarray) -> None:
        """Write a site; one that is there is replaced.

        Parameters
        ----------
        key : str
            The key of the site.
        site : ndarray
            Pixels, usually of shape (n_channels, h, w) and dtype uint8, uint16 or float32.

        Raises
        ------
        OSError
            If the folder cannot be written to or the disk is full; nothing is left half-written.
        TypeError
            If the array does not hold real numbers.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> cache = SiteCache(tempfile.mkdtemp(), {})
        >>> cache.store("0123456789abcdef", np.ones((2, 3, 3), dtype=np.uint8))
        >>> cache.has("0123456789abcdef")
        True
        """
        path = self.path(key)
        temporary = os.path.join(self.folder, "tmp", f"{os.getpid()}-{os.urandom(8).hex()}")
        try:
            write_site(path, temporary, key, site)
        except OSError as error:
            raise _explained(error, self.folder) from error

    def _sweep(self) -> None:
        """Remove what killed writers left; an hour is longer than any writer takes."""
        with suppress(OSError), os.scandir(self.folder / "tmp") as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.stat().st_mtime < time.time() - _STALE_SECONDS:
                        os.remove(entry.path)


def _explained(error: OSError, folder: Path) -> OSError:
    """The same error, with the folder and what to do about it."""
    reason = error.strerror or str(error)
    remedy = "Name a folder that can be written to by cache=, or set cache=None."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = "Make room there, name a folder on another disk by cache=, or set cache=None."
    elif error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        place = error.filename2 or error.filename
        reason = f"there is a file where a folder should be, in {place}"
    return OSError(error.errno, f"cannot keep images in the cache {folder}: {reason}. {remedy}")
