"""Weights from the Hugging Face hub, by revision and hash: the file that was meant, or none."""

from __future__ import annotations

import re
import sys
from os import PathLike
from pathlib import Path
from types import ModuleType

from cloome_sk.checkpoints._hashing import file_sha256

_told: set[str] = set()
"""Repositories whose licence this process has spoken of."""


class HubError(OSError):
    """A file could not be downloaded from the hub, or is not the file that was asked for."""


def from_pretrained(
    repo_id: str,
    filename: str,
    *,
    revision: str,
    sha256: str,
    cache_dir: str | PathLike[str] | None = None,
    endpoint: str | None = None,
) -> Path:
    """Download a weight file from the Hugging Face hub, or find it where it was put before.

    Files on the hub can be replaced and repositories can move, as those of the published CLOOME
    have. So both are required, the revision to ask for and the hash of the file that is meant; a
    file with any other hash is not used. A file that is there already and has the right hash needs
    no network.

    Parameters
    ----------
    repo_id : str
        Owner and name of the repository, as in ``"owner/name"``.
    filename : str
        Path of the file in the repository.
    revision : str
        Commit, tag or branch. A commit (40 hexadecimal digits) cannot change later.
    sha256 : str
        SHA-256 of the file, in hexadecimal: from whoever you have the revision from, not from the
        download itself.
    cache_dir : path-like, optional
        Where downloads are kept; by default where ``huggingface_hub`` keeps them.
    endpoint : str, optional
        Address of the hub, for a mirror; by default that of ``huggingface_hub``.

    Returns
    -------
    Path
        The file, for `read_checkpoint`.

    Raises
    ------
    HubError
        If the repository, revision or file does not exist, if the hub cannot be reached and the
        file is not there already, or if its hash is another one.
    ImportError
        If ``huggingface_hub`` is not installed.
    ValueError
        If `revision` is empty or `sha256` is no SHA-256.

    See Also
    --------
    read_checkpoint : Read the file.

    Notes
    -----
    The licence of a code repository says nothing of weights that lie elsewhere; a line on standard
    error says so once for each repository.

    Examples
    --------
    >>> from cloome_sk.checkpoints import from_pretrained
    >>> from_pretrained("owner/name", "weights.pt", revision="main", sha256="e3b0c442")
    Traceback (most recent call last):
    ...
    ValueError: sha256 must be 64 hexadecimal digits, got 'e3b0c442'. ...
    """
    if not isinstance(revision, str) or not revision.strip():
        raise ValueError(
            f"revision must name a commit, tag or branch of {repo_id!r}, got {revision!r}."
        )
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(
            f"sha256 must be 64 hexadecimal digits, got {sha256!r}. Take it from whoever vouches "
            "for the file."
        )
    hub = _huggingface_hub()
    place = {"revision": revision, "cache_dir": cache_dir, "endpoint": endpoint}
    asked = f"{filename!r} of {repo_id!r} at revision {revision!r}"

    path = _kept(hub, repo_id, filename, place)
    if path is None or file_sha256(path) != sha256.lower():
        # Of a branch or a tag, the hub may have a newer file than the one that was kept.
        path = _download(hub, repo_id, filename, place, asked)
        found = file_sha256(path)
        if found != sha256.lower():
            raise HubError(
                f"{asked} is not the expected file: SHA-256 {found} instead of {sha256.lower()}. "
                f"It was not used. It lies at {str(path)!r}: delete it there if it may be damaged, "
                "to download it again. Otherwise the weights were replaced, or the hash belongs "
                "to another revision."
            )
    if repo_id not in _told:
        _told.add(repo_id)
        print(  # noqa: T201 - told to the person, whatever is done with warnings and logs
            f"The licence of the weights in {repo_id!r} is unverified: before you use or pass them "
            "on, see what their authors allow.",
            file=sys.stderr,
        )
    return path


def _huggingface_hub() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise ImportError(
            "Weights are downloaded with huggingface_hub, which is not installed. Install it "
            'with: pip install "cloome_sk[hub]". A file that you have needs no download: '
            "give its path."
        ) from error
    return huggingface_hub


def _kept(hub: ModuleType, repo_id: str, filename: str, place: dict) -> Path | None:
    """The file of an earlier download, found without the network; refuses impossible names."""
    try:
        return Path(hub.hf_hub_download(repo_id, filename, **place, local_files_only=True))
    except hub.errors.LocalEntryNotFoundError:
        return None


def _download(hub: ModuleType, repo_id: str, filename: str, place: dict, asked: str) -> Path:
    """Download, with errors that say what to do."""
    errors = hub.errors
    at_hand = "If you have a copy of the file, give its path instead."
    try:
        return Path(hub.hf_hub_download(repo_id, filename, **place))
    except errors.GatedRepoError as error:
        why = (
            f"its authors grant access on request. Ask for it on the page of {repo_id!r}, then "
            "log in with `hf auth login`."
        )
        raise HubError(f"Cannot download {asked}: {why}") from error
    except errors.RepositoryNotFoundError as error:
        why = "there is no such repository, or it is private. Check its name; it may have moved."
        raise HubError(f"Cannot download {asked}: {why} {at_hand}") from error
    except errors.RevisionNotFoundError as error:
        why = "the repository has no such revision. Check it; its history may have been rewritten."
        raise HubError(f"Cannot download {asked}: {why} {at_hand}") from error
    except errors.LocalEntryNotFoundError as error:
        if isinstance(error.__cause__, errors.OfflineModeIsEnabled):
            why = (
                "downloads are switched off (HF_HUB_OFFLINE) and it was not downloaded before. "
                "Unset HF_HUB_OFFLINE, or download it on another machine."
            )
        else:
            why = (
                f"the hub gave no answer ({_brief(error.__cause__ or error)}) and it was not "
                "downloaded before. Is this machine offline?"
            )
        raise HubError(f"Cannot download {asked}: {why} {at_hand}") from error
    except errors.EntryNotFoundError as error:
        why = "there is no such file at that revision. Check its name; it may have moved."
        raise HubError(f"Cannot download {asked}: {why} {at_hand}") from error
    except Exception as error:
        raise HubError(f"Cannot download {asked}: {_brief(error)}. {at_hand}") from error


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}"
