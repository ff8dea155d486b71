"""What is done to the pixels of a site before a network takes them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

from cloome_sk.imaging.reading import ImageError
from cloome_sk.imaging.resizing import resize_image
from cloome_sk.imaging.scaling import scale_image
from cloome_sk.imaging.sources import SiteSources, place_of

if TYPE_CHECKING:
    from cloome_sk.imaging.cache import SiteCache


VERSION = 1
"""Raised whenever reading, scaling or shrinking gives other pixels than before."""


@dataclass(frozen=True)
class Preparation:
    """From the files of a site to the array that a network takes.

    Attributes
    ----------
    scaling : str
        One of `cloome_sk.imaging.SCALINGS`.
    size : int, (int, int) or None
        Pixels of the shorter side, or of both sides, after shrinking.
    preprocess : callable or None
        From (n_channels, H, W) to the same; after illumination correction, before scaling.
    """

    scaling: str = "cloome"
    size: int | tuple[int, int] | None = None
    preprocess: Callable[[np.ndarray], np.ndarray] | None = None

    def __call__(self, sources: SiteSources, site: int) -> np.ndarray:
        """Read and prepare a site, shape (n_channels, h, w)."""
        scaled = []
        for channel, plane in enumerate(sources.planes(site, self.preprocess)):
            limits = None
            if self.scaling == "plate" and sources.limits is not None:
                limits = sources.limits[site][channel : channel + 1]
            try:
                plane = scale_image(plane[np.newaxis], self.scaling, limits=limits)[0]
            except ValueError as error:
                name = sources.channels[channel]
                raise ImageError(place_of(sources.files(site)[0]), f"{name}: {error}") from error
            if self.size is not None:
                plane = self._shrunk(plane, self.size, place_of(sources.files(site)[0]))
            scaled.append(plane)
        if len({plane.dtype for plane in scaled}) > 1:
            depths = ", ".join(
                f"{name} {plane.dtype}"
                for name, plane in zip(sources.channels, scaled, strict=True)
            )
            raise ImageError(
                place_of(sources.files(site)[0]),
                f"the channels differ in depth ({depths}), which only a scaling evens out",
            )
        return np.stack(scaled)

    def settings(self) -> dict[str, Any]:
        """All that decides what a site becomes, as values that a cache can compare."""
        return {
            "version": VERSION,
            "scaling": self.scaling,
            "size": self.size,
            "preprocess": None if self.preprocess is None else identity(self.preprocess),
        }

    @staticmethod
    def _shrunk(plane: np.ndarray, size: int | tuple[int, int], source: Any) -> np.ndarray:
        target = target_shape(plane.shape, size)
        if plane.shape == target:
            return plane
        if any(new > old for new, old in zip(target, plane.shape, strict=True)):
            raise ImageError(
                source,
                f"{plane.shape[0]}x{plane.shape[1]} pixels cannot shrink to size={target}; "
                "nothing is enlarged",
            )
        return resize_image(plane, target)


def identity(function: Any) -> bytes:
    """What tells a callable from another: its own code, and the values it holds.

    The code it calls by name, and the globals it reads, are not looked at.
    """
    return _held(function, function, set())


def _held(value: Any, function: Any, seen: set[int]) -> bytes:
    """What a value is, by its content; functions by their code, objects by that of their class."""
    if id(value) in seen:
        return b"again"
    if isinstance(value, (tuple, list, dict, set, frozenset)):
        return _of_items(value, function, seen)
    inner: Any = None
    if isinstance(value, partial):
        inner = (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        inner = (value.__func__, value.__self__)
    elif isinstance(value, (staticmethod, classmethod)):
        inner = (value.__func__,)
    elif isinstance(value, property):
        inner = (value.fget,)
    elif isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        inner = (value.__defaults__, value.__kwdefaults__, cells)
    if inner is not None:
        code = _code(value.__code__) if isinstance(value, FunctionType) else b""
        return code + _held(inner, function, seen | {id(value)})
    classes = [one for one in type(value).__mro__ if one.__module__ != "builtins"]
    inside = getattr(value, "__dict__", None)
    if not classes or not isinstance(inside, dict):
        return _pickled(value, function)
    parts = [_held(inside, function, seen | {id(value)})]
    for one in classes:
        parts.append(one.__qualname__.encode())
        parts += [
            name.encode() + _held(member, function, seen | {id(value)})
            for name, member in sorted(vars(one).items())
            if name == "__call__" or not name.startswith("__")
        ]
    return b"|".join(parts)


def _of_items(value: Any, function: Any, seen: set[int]) -> bytes:
    if isinstance(value, dict):
        value = [item for pair in sorted(value.items(), key=repr) for item in pair]
    seen = seen | {id(value)}
    items = [_held(item, function, seen) for item in value]
    if isinstance(value, (set, frozenset)):
        items.sort()
    return b"[" + b",".join(items) + b"]"


def _pickled(value: Any, function: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise TypeError(
            f"preprocess={function!r} holds what cannot be pickled ({error}), so a cache cannot "
            "tell when it changes: make it a function of a module, or set cache=None."
        ) from error


def _code(code: CodeType) -> bytes:
    """Instructions, names and constants, those of inner functions included."""
    constants = [
        _code(value)
        if isinstance(value, CodeType)
        else repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value).encode()
        for value in code.co_consts
    ]
    return b"|".join([code.co_code, repr(code.co_names).encode(), *constants])


def target_shape(shape: tuple[int, ...], size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width after shrinking; a single number is the shorter side."""
    if isinstance(size, tuple):
        return size
    height, width = shape
    shorter = min(height, width)
    return round(height * size / shorter), round(width * size / shorter)


@dataclass(frozen=True)
class Task:
    """Preparing sites, here or in a worker process; what cannot be read comes back as the error.

    Attributes
    ----------
    prepare : Preparation
        What is done to a site.
    shape : tuple of int
        The shape it must come to.
    dtype : numpy dtype
        The depth it must come to.
    cache : SiteCache or None
        Where prepared sites are kept.
    """

    prepare: Preparation
    shape: tuple[int, ...]
    dtype: np.dtype
    cache: SiteCache | None

    def run(self, job: Callable[..., Any], sources: SiteSources, sites: Iterable[int]) -> list[Any]:
        """Do a job for several sites."""
        results: list[Any] = []
        for site in sites:
            try:
                results.append(job(sources, int(site)))
            except ImageError as error:
                results.append(error)
        return results

    def pixels(self, sources: SiteSources, site: int) -> np.ndarray:
        """Prepare a site, and check that it came out like the others."""
        image = self.prepare(sources, site)
        if image.shape != self.shape:
            raise ImageError(
                place_of(sources.files(site)[0]),
                f"the site has shape {image.shape}, others have {self.shape}; size=(height, width) "
                "brings images of several sizes to one",
            )
        if image.dtype != self.dtype:
            raise ImageError(
                place_of(sources.files(site)[0]),
                f"the site has depth {image.dtype}, others {self.dtype}; only a scaling evens "
                "that out",
            )
        return image

    def readable(self, sources: SiteSources, site: int) -> bool:
        """Prepare a site for the sake of its errors."""
        self.pixels(sources, site)
        return True

    def key(self, sources: SiteSources, site: int) -> str:
        """Make sure that a site is in the cache; its key there."""
        assert self.cache is not None  # asked for only with a cache
        of_site = sources.settings(site)
        key = self.cache.key(sources.files(site), of_site)
        if self.cache.has(key):
            return key
        self.keep(sources, site, key, self.pixels(sources, site))
        return key

    def keep(self, sources: SiteSources, site: int, key: str, pixels: np.ndarray) -> None:
        """Store a site, unless its files were replaced since the key was made."""
        assert self.cache is not None  # asked for only with a cache
        if self.cache.key(sources.files(site), sources.settings(site)) == key:
            self.cache.store(key, pixels)
