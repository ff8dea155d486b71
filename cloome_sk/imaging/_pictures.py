"""PNG and JPEG, through Pillow."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import ImageFile, JpegImagePlugin, PngImagePlugin

from cloome_sk.imaging._checks import ImageError, cause, check_size

PNG = b"\x89PNG\r\n\x1a\n"
_GREY = {"L", "I", "I;16", "I;16L", "I;16B", "I;16N", "F"}
_REFUSED = {
    "1": "is black and white (1 bit), a mask rather than an image",
    "P": "has a colour palette, whose numbers are not intensities. Save it as greyscale or RGB",
    "PA": "has a colour palette, whose numbers are not intensities. Save it as greyscale or RGB",
    "LA": "has an alpha channel (transparency). Save it without",
    "RGBA": "has an alpha channel (transparency). Save it without",
    "CMYK": "has the colour model CMYK, made for printing. Convert it to greyscale or RGB",
}


def read_picture(file: BinaryIO, path: str, max_pixels: int) -> np.ndarray:
    """The channels of a PNG or JPEG: (H, W), or (3, H, W) for RGB."""
    file.seek(0)
    header = file.read(26)
    file.seek(0)
    kind = "PNG" if header.startswith(PNG) else "JPEG"
    # The plugins themselves, not Image.open: its own limit on the size warns or raises by a setting
    # of the whole process, which is not ours to change.
    plugin: type[ImageFile.ImageFile] = (
        PngImagePlugin.PngImageFile if kind == "PNG" else JpegImagePlugin.JpegImageFile
    )
    try:
        with plugin(file) as picture:
            check_size(path, (len(picture.getbands()), picture.height, picture.width), max_pixels)
            _refuse(path, picture, header if kind == "PNG" else b"")
            pixels = np.array(picture)
    except ImageError:
        raise
    except Exception as error:
        # A broken PNG is a SyntaxError, OSError, ValueError, struct.error or EOFError to Pillow.
        reason = f"is a broken or truncated {kind}: {cause(error)}"
        raise ImageError(path, reason) from error
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)) if pixels.ndim == 3 else pixels


def _refuse(path: str, picture: ImageFile.ImageFile, png_header: bytes) -> None:
    if picture.mode in _REFUSED:
        raise ImageError(path, _REFUSED[picture.mode])
    if "transparency" in picture.info:
        raise ImageError(path, "marks a value as transparent. Save it without transparency")
    if getattr(picture, "n_frames", 1) > 1:
        raise ImageError(path, f"is an animation of {picture.n_frames} frames")  # type: ignore[attr-defined]
    if picture.mode not in _GREY | {"RGB"}:
        raise ImageError(path, f"has the colour model {picture.mode}; use greyscale or RGB")
    if png_header:
        bits, colour = png_header[24], png_header[25]
        # Pillow would stretch the former to 8 bits and cut the latter to them.
        if bits < 8 or (bits == 16 and colour == 2):
            raise ImageError(
                path,
                f"is a PNG of {bits} bits a sample{' in RGB' if colour == 2 else ''}, which cannot "
                "be read as it is stored. Save it as greyscale of 8 or 16 bits, or as TIFF",
            )
