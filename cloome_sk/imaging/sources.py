"""Where the channels of each site come from, and how its pixels are read and corrected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cloome_sk.imaging.channels import Channels
from cloome_sk.imaging.illumination import correct_illumination, illumination_function
from cloome_sk.imaging.reading import ImageError, read_image, stored_channels


@dataclass(frozen=True)
class SiteSources:
    """The images of some sites: files or arrays, one a channel or one stack a site.

    Attributes
    ----------
    channels : tuple of str
        The channels that are wanted, in this order.
    images : tuple of ndarray of object, each of shape (n_sites,)
        Paths or arrays; one entry a channel, or a single one that holds stacks.
    stacked : bool
        Whether `images` holds stacks.
    orders : ndarray of object, shape (n_sites,), or None
        For stacks, the tuple of channels that the table states of each, or None.
    order : tuple of str or None
        Channels of stacks of which neither the table nor the file states any.
    illumination : tuple of ndarray of object or None
        Paths of illumination functions, one entry a channel.
    limits : ndarray of float64, shape (n_sites, n_channels, 2), or None
        Limits of the plate of each site.
    rows : ndarray of intp, shape (n_sites,)
        Where each site stands in the user's table.
    """

    channels: tuple[str, ...]
    images: tuple[np.ndarray, ...]
    stacked: bool
    orders: np.ndarray | None
    order: tuple[str, ...] | None
    illumination: tuple[np.ndarray, ...] | None
    limits: np.ndarray | None
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, sites: np.ndarray) -> SiteSources:
        """Give the sources of some sites."""
        return replace(
            self,
            images=tuple(column[sites] for column in self.images),
            orders=None if self.orders is None else self.orders[sites],
            illumination=None
            if self.illumination is None
            else tuple(column[sites] for column in self.illumination),
            limits=None if self.limits is None else self.limits[sites],
            rows=self.rows[sites],
        )

    def files(self, site: int) -> tuple[Any, ...]:
        """All paths and arrays that a site is made of."""
        functions = self.illumination or ()
        return tuple(column[site] for column in (*self.images, *functions))

    def settings(self, site: int) -> dict[str, Any]:
        """What besides the files decides what a site becomes."""
        return {
            "channels": self.channels,
            "orders": (self._stated_order(site), self.order),
            "corrected": self.illumination is not None,
            "limits": None if self.limits is None else self.limits[site],
        }

    def _stated_order(self, site: int) -> tuple[str, ...] | None:
        return None if self.orders is None else self.orders[site]

    def planes(
        self, site: int, preprocess: Callable[[np.ndarray], np.ndarray] | None
    ) -> list[np.ndarray]:
        """Read a site: one (H, W) array a channel, corrected and preprocessed, not yet scaled."""
        planes = self._stack(site) if self.stacked else self._files(site)
        if self.illumination is not None:
            planes = [
                _corrected(plane, column[site])
                for plane, column in zip(planes, self.illumination, strict=True)
            ]
        if preprocess is None:
            return planes
        try:
            done = preprocess(np.stack(planes))
        except Exception as error:
            error.add_note(f"in preprocess= of {place_of(self.images[0][site])}")
            raise
        if not isinstance(done, np.ndarray) or done.ndim != 3 or len(done) != len(planes):
            raise TypeError(
                f"preprocess= must give an array of shape ({len(planes)}, H, W), one plane a "
                f"channel, and gave {getattr(done, 'shape', type(done).__name__)}."
            )
        return list(done)

    def _files(self, site: int) -> list[np.ndarray]:
        planes: list[np.ndarray] = []
        for name, column in zip(self.channels, self.images, strict=True):
            image = read_image(column[site])
            if image.ndim == 3 and len(image) == 1:
                image = image[0]
            if image.ndim != 2:
                raise ImageError(
                    place_of(column[site]),
                    f"expected one channel ({name}), found {len(image)} of "
                    f"{image.shape[1]}x{image.shape[2]} pixels",
                )
            if planes and image.shape != planes[0].shape:
                raise ImageError(
                    place_of(column[site]),
                    f"{name} has {image.shape[0]}x{image.shape[1]} pixels, "
                    f"{self.channels[0]} of the same site {planes[0].shape[0]}x"
                    f"{planes[0].shape[1]}",
                )
            planes.append(image)
        return planes

    def _order(self, site: int, source: Any) -> tuple[str, ...]:
        """Channels of a stack: what the table states, or the file, or the user of all of them."""
        stated, own = self._stated_order(site), _own_order(source)
        moved = [
            name
            for name in set(stated or ()).intersection(own or ())
            if (stated or ()).index(name) != (own or ()).index(name)
        ]
        if moved:
            raise ImageError(
                place_of(source),
                f"the file says that its channels are {', '.join(own or ())}, and the table that "
                f"they are {', '.join(stated or ())}",
            )
        named = own is not None and set(self.channels) <= set(own)
        order = stated or (own if named else self.order or own)
        if order is None:
            raise ImageError(
                place_of(source),
                "nothing says which channel is which: add a column Metadata_Channels such as "
                "'DNA|ER|RNA|AGP|Mito', or name them by channels=",
            )
        return order

    def _stack(self, site: int) -> list[np.ndarray]:
        source = self.images[0][site]
        order = self._order(site, source)
        image = read_image(source)
        if image.ndim == 2:
            image = image[np.newaxis]
        if len(image) != len(order):
            raise ImageError(
                place_of(source),
                f"holds {len(image)} channel(s), and {len(order)} are named: {', '.join(order)}",
            )
        try:
            places = Channels(self.channels).positions_in(order, purpose="its stack")
        except ValueError as error:
            raise ImageError(place_of(source), str(error)) from error
        return [image[place] for place in places]


def _own_order(source: Any) -> tuple[str, ...] | None:
    """Channels that a file states itself, where each has a name of its own."""
    stored = None if isinstance(source, np.ndarray) else stored_channels(source)
    if stored is None:
        return None
    try:
        return Channels(stored).names
    except ValueError:
        return None


def _corrected(plane: np.ndarray, function: Any) -> np.ndarray:
    values = function if isinstance(function, np.ndarray) else illumination_function(function)
    try:
        return correct_illumination(plane, values)
    except ValueError as error:
        raise ImageError(place_of(function), str(error)) from error


def stacked_planes(
    sources: SiteSources, site: int, preprocess: Callable[[np.ndarray], np.ndarray] | None
) -> np.ndarray:
    """Read a site as one array (n_channels, H, W), corrected and preprocessed, not yet scaled."""
    return np.stack(sources.planes(site, preprocess))


def place_of(source: Any) -> str | None:
    """What an error calls a source: its path, or nothing for an array."""
    return None if isinstance(source, np.ndarray) else str(source)
