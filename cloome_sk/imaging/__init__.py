"""From image files to arrays: readers, channels by name, scaling, illumination, and a cache.

Nothing here imports torch. A *site* is one field of view, an array (channel, height, width); which
channel is which is said by name, never by position.
"""

from __future__ import annotations

# Not on first use, as elsewhere: the function `composite` has the name of its module, which the
# import system would put in its place.
from cloome_sk.imaging.cache import SiteCache
from cloome_sk.imaging.channels import CELL_PAINTING, Channels, channel_name
from cloome_sk.imaging.composite import composite
from cloome_sk.imaging.illumination import correct_illumination, read_illumination
from cloome_sk.imaging.intensity import INTENSITY_STATISTICS, intensity_features
from cloome_sk.imaging.reading import MAX_PIXELS, ImageError, read_image, stored_channels
from cloome_sk.imaging.resizing import resize_image
from cloome_sk.imaging.scaling import SCALINGS, pixel_limits, scale_image

__all__ = [
    "CELL_PAINTING",
    "INTENSITY_STATISTICS",
    "MAX_PIXELS",
    "SCALINGS",
    "Channels",
    "ImageError",
    "SiteCache",
    "channel_name",
    "composite",
    "correct_illumination",
    "intensity_features",
    "pixel_limits",
    "read_illumination",
    "read_image",
    "resize_image",
    "scale_image",
    "stored_channels",
]
