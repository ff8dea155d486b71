"""What the OME-XML in a TIFF says about its planes and channels."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from cloome_sk.imaging._checks import ImageError, cause


@dataclass(frozen=True)
class OmeImage:
    """The one image that an OME-XML describes."""

    size_c: int
    size_z: int
    size_t: int
    samples: int
    names: tuple[str, ...] | None
    pixels: ElementTree.Element
    root: ElementTree.Element

    @property
    def n_planes(self) -> int:
        """Planes of a channel each, a plane with several samples counted once."""
        return self.size_c // self.samples


def is_ome(description: str) -> bool:
    """Whether an image description is OME-XML."""
    return description.rstrip(" \r\n\t\0").endswith("OME>")


def parse_ome(path: str, xml: str) -> OmeImage | None:
    """The image that the XML describes; None where it refers to another file for it."""
    # No OME-XML needs entities of its own; a hostile one may nest them until memory ends.
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ImageError(path, "its OME-XML defines entities, which is refused")
    try:
        root = ElementTree.fromstring(xml.strip("\0"))
        if root.find("{*}BinaryOnly") is not None:
            return None
        images = root.findall("{*}Image")
        if len(images) != 1:
            raise ImageError(
                path,
                f"its OME-XML describes {len(images)} images, and one is a site. Save each "
                "in a file of its own",
            )
        pixels = images[0].find("{*}Pixels")
        if pixels is None:
            raise ImageError(path, "its OME-XML has an Image without Pixels")
        channels = pixels.findall("{*}Channel")
        names = tuple(channel.get("Name", "").strip() for channel in channels)
        return OmeImage(
            size_c=int(pixels.attrib["SizeC"]),
            size_z=int(pixels.attrib["SizeZ"]),
            size_t=int(pixels.attrib["SizeT"]),
            samples=max(1, int(channels[0].get("SamplesPerPixel", 1))) if channels else 1,
            names=names if names and all(names) else None,
            pixels=pixels,
            root=root,
        )
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(path, f"its OME-XML cannot be understood: {cause(error)}") from error


def plane_order(path: str, image: OmeImage, n_pages: int) -> list[int]:
    """For each channel the page of the file that holds it.

    Raises an error for Z stacks, time series, and sets whose planes are spread over several files.
    """
    for axis, size in (("Z stack", image.size_z), ("time series", image.size_t)):
        if size != 1:
            raise ImageError(path, several_planes(axis, size))
    blocks = image.pixels.findall("{*}TiffData")
    files = {block.findtext("{*}UUID") for block in blocks} - {None}
    if len(files) > 1:
        raise ImageError(
            path,
            f"is one of a set of {len(files)} files that share an OME-XML, and holds {n_pages} of "
            f"{image.n_planes} channels. Save each channel as a plain TIFF of its own, or all of "
            "them in one file",
        )
    mismatch = (
        f"its OME-XML describes {image.n_planes} channels, its pages are {n_pages}, and they do "
        "not match one to one"
    )
    if image.n_planes != n_pages:
        raise ImageError(path, mismatch)
    pages: dict[int, int] = {}
    for block in blocks:
        try:
            first = int(block.get("IFD", 0))
            default = 1 if "IFD" in block.attrib else n_pages
            number = int(block.get("PlaneCount", block.get("NumPlanes", default)))
            channel = int(block.get("FirstC", 0))
        except ValueError as error:
            raise ImageError(path, f"its OME-XML has a bad TiffData: {cause(error)}") from error
        # A count beyond the file is caught below; here it must not cost time.
        for step in range(min(number, n_pages + 1)):
            pages[channel + step] = first + step
    if not blocks:
        return list(range(n_pages))
    if not sorted(pages) == sorted(pages.values()) == list(range(n_pages)):
        raise ImageError(path, mismatch)
    return [pages[channel] for channel in range(n_pages)]


def several_planes(axis: str, size: int) -> str:
    """Why a stack over something else than channels is refused."""
    return (
        f"is a {axis} of {size} planes; a site is one plane of each channel. Project it or choose "
        "a plane first (in ImageJ: Image > Stacks > Z Project). If the planes are channels, save "
        "the file with them named as such (in ImageJ: Image > Properties)"
    )
