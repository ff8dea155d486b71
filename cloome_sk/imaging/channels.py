"""Names of fluorescence channels: the same channel under the names that data sets give it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

CELL_PAINTING = ("DNA", "ER", "RNA", "AGP", "Mito")
"""The five channels of a Cell Painting assay."""

# Written without case, spaces and punctuation. A stain stands here only if it means one channel in
# every assay that uses it: phalloidin or WGA alone is one half of AGP, and "SYTO" alone may be any
# of a dozen dyes.
_SPELLINGS = {
    "DNA": "dna dapi hoechst hoechst33342",
    "ER": "er ersyto concanavalina cona endoplasmicreticulum",
    "RNA": "rna ersytobleed syto14",
    "AGP": "agp phgolgi phalloidinwga wgaphalloidin",
    "Mito": "mito mitotracker mitotrackerdeepred mitochondria",
    # Channels of their own, listed so that their case does not matter.
    "Actin": "actin",
    "Tubulin": "tubulin",
}
_CANONICAL = {
    spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings.split()
}
_PUNCTUATION = re.compile(r"[\W_]+")


def channel_name(name: str) -> str:
    """The canonical name of a channel.

    Parameters
    ----------
    name : str
        A channel as a data set names it. Case, spaces and punctuation do not matter, nor does the
        ``Orig`` that CellProfiler tables put in front.

    Returns
    -------
    str
        One of :data:`CELL_PAINTING`, ``"Actin"`` or ``"Tubulin"`` if the name is a known spelling;
        any other name as it is, without surrounding spaces.

    Raises
    ------
    TypeError
        If `name` is not a string.

    Notes
    -----
    Known are the names of the Bray et al. data set (ERSyto, ERSytoBleed, Ph_golgi, Hoechst, Mito),
    of JUMP Cell Painting (OrigDNA, OrigAGP, ...), of BBBC021 (DAPI, Tubulin, Actin), and stains
    that stand for one channel only. Actin alone is not AGP, which shows Golgi and plasma membrane
    as well.

    References
    ----------
    Bray et al., Cell Painting, a high-content image-based assay for morphological profiling using
    multiplexed fluorescent dyes, Nature Protocols 11 (2016).

    Examples
    --------
    >>> [channel_name(name) for name in ["Ph_golgi", "OrigDNA", "SYTO 14", "Actin", "GFP"]]
    ['AGP', 'DNA', 'RNA', 'Actin', 'GFP']
    """
    if not isinstance(name, str):
        raise TypeError(f"a channel name is a string, got {name!r} ({type(name).__name__})")
    key = _PUNCTUATION.sub("", name).lower()
    return _CANONICAL.get(key) or _CANONICAL.get(key.removeprefix("orig")) or name.strip()


@dataclass(frozen=True, init=False, repr=False)
class Channels(Sequence[str]):
    """An ordered set of channels under their canonical names.

    Parameters
    ----------
    names : iterable of str
        Channel names in any known spelling; their order is kept.

    Attributes
    ----------
    names : tuple of str
        The canonical names, in the order given.

    Raises
    ------
    TypeError
        If `names` is a single string or holds something else than strings.
    ValueError
        If there is no name, an empty one, one with a ``|`` (which separates names in site tables),
        or two names of one channel.

    Examples
    --------
    >>> bray = Channels(["Mito", "ERSyto", "ERSytoBleed", "Ph_golgi", "Hoechst"])
    >>> bray
    Channels('Mito', 'ER', 'RNA', 'AGP', 'DNA')
    >>> Channels(["DNA", "AGP"]).positions_in(bray, purpose="example")
    array([4, 3])
    """

    names: tuple[str, ...]

    def __init__(self, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise TypeError(f"channels are a list of names, got the single string {names!r}")
        given = list(names)
        if not given:
            raise ValueError("no channel is named")
        spelled: dict[str, str] = {}
        for position, spelling in enumerate(given):
            name = channel_name(spelling)
            if not name or "|" in name:
                raise ValueError(
                    f"channel {position} is named {spelling!r}; a name is not empty and has no '|'"
                )
            if name in spelled:
                raise ValueError(
                    f"{spelled[name]!r} and {spelling!r} are both the channel {name}; "
                    "each channel stands once"
                )
            spelled[name] = spelling
        object.__setattr__(self, "names", tuple(spelled))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self.names[index]

    def __repr__(self) -> str:
        return f"Channels({', '.join(map(repr, self.names))})"

    def positions_in(self, other: Iterable[str], *, purpose: str) -> np.ndarray:
        """Where each of these channels is found among others.

        Parameters
        ----------
        other : iterable of str
            Names of the channels at hand, in any known spelling. It may hold more than these.
        purpose : str
            What the channels are wanted for; goes into the error message.

        Returns
        -------
        ndarray of int, shape (len(self),)
            For each channel its place in `other`, so that ``image[positions]`` has these channels
            in this order.

        Raises
        ------
        ValueError
            If a channel is missing, or `other` is no valid list of channels.

        Examples
        --------
        >>> Channels(["AGP"]).positions_in(["DNA", "Actin"], purpose="transform")
        Traceback (most recent call last):
        ...
        ValueError: transform: no channel AGP among those given (DNA, Actin). Rename ...
        """
        try:
            seen = other if isinstance(other, Channels) else Channels(other)
        except ValueError as error:
            raise ValueError(f"{purpose}: {error}") from None
        place = {name: position for position, name in enumerate(seen.names)}
        missing = [name for name in self.names if name not in place]
        if missing:
            raise ValueError(
                f"{purpose}: no channel {', '.join(missing)} among those given "
                f"({', '.join(seen.names)}). Rename the one that shows it, if there is one; "
                "channels are never taken by their position."
            )
        return np.array([place[name] for name in self.names], dtype=np.intp)
