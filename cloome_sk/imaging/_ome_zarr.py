"""OME-Zarr folders of versions 0.1 to 0.5, through the optional package zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cloome_sk.imaging._checks import ImageError, cause, check_size, sizes
from cloome_sk.imaging._ome import several_planes

MARKERS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
"""Files of which at least one lies in every Zarr folder."""

_OLD_AXES = ("t", "c", "z", "y", "x")


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return any((folder / marker).is_file() for marker in MARKERS)


def read_ome_zarr(path: str, max_pixels: int) -> np.ndarray:
    """The channels of one field at its highest resolution, (H, W) or (C, H, W)."""
    group, ome = _open(path)
    try:
        multiscales = ome.get("multiscales")
        if not multiscales:
            raise ImageError(path, _no_image(ome))
        if len(multiscales) > 1:
            raise ImageError(path, f"holds {len(multiscales)} images (multiscales); one is a site")
        # By the specification the levels are listed from the highest resolution down.
        array = group[multiscales[0]["datasets"][0]["path"]]
        axes = _axes(path, multiscales[0], len(array.shape))
        keep = _kept_axes(path, axes, array.shape)
        check_size(path, array.shape, max_pixels)
        check_size(path, array.chunks, max_pixels)
        if array.nchunks_initialized == 0:
            raise ImageError(path, f"none of its {array.nchunks} chunks was stored")
        return np.asarray(array[...]).reshape([array.shape[position] for position in keep])
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(path, f"is a broken OME-Zarr: {cause(error)}") from error


def zarr_channels(path: str) -> tuple[str, ...] | None:
    """The channel labels of an OME-Zarr, if each channel has one."""
    group, ome = _open(path)
    try:
        scale = ome["multiscales"][0]
        shape = group[scale["datasets"][0]["path"]].shape
        axes = _axes(path, scale, len(shape))
        count = shape[axes.index("c")] if "c" in axes else 1
        labels = [str(channel["label"]).strip() for channel in ome["omero"]["channels"]]
    except ImageError:
        raise
    except Exception:
        # Labels are an appendix of the format; a field without them is complete.
        return None
    return tuple(labels) if len(labels) == count and all(labels) else None


def _open(path: str) -> tuple[Any, dict[str, Any]]:
    try:
        import zarr
    except ImportError as error:
        raise ImageError(
            path, 'is a Zarr folder, which needs the package zarr: pip install "cloome_sk[images]"'
        ) from error
    try:
        node = zarr.open(path, mode="r")
        attributes: dict[str, Any] = dict(node.attrs)
    except Exception as error:
        raise ImageError(path, f"is a broken Zarr folder: {cause(error)}") from error
    if not isinstance(node, zarr.Group):
        raise ImageError(
            path, "is a bare Zarr array, which does not say what its axes are; OME-Zarr does"
        )
    # Since version 0.5 the metadata lie one level deeper.
    return node, attributes.get("ome", attributes)


def _no_image(ome: dict[str, Any]) -> str:
    """What a group without an image is instead."""
    if "plate" in ome:
        wells = ", ".join(str(well.get("path")) for well in ome["plate"].get("wells", [])[:3])
        return f"is a whole plate; name one field of it, such as <well>/0 (wells: {wells} ...)"
    if "well" in ome:
        fields = ", ".join(str(field.get("path")) for field in ome["well"].get("images", [])[:3])
        return f"is a well; name one of its fields ({fields} ...)"
    return "is a Zarr group without multiscales, so no OME-Zarr image"


def _axes(path: str, scale: dict[str, Any], n_axes: int) -> tuple[str, ...]:
    stated = scale.get("axes", _OLD_AXES)
    axes = tuple(str(axis["name"] if isinstance(axis, dict) else axis).lower() for axis in stated)
    if len(axes) != n_axes or len(set(axes)) != n_axes or not {"y", "x"} <= set(axes):
        raise ImageError(
            path, f"names the axes {', '.join(axes)}, and its array has {n_axes} dimensions"
        )
    return axes


def _kept_axes(path: str, axes: tuple[str, ...], shape: tuple[int, ...]) -> list[int]:
    """The positions of (c,) y and x; the others must have the size one."""
    for axis, size in zip(axes, shape, strict=True):
        if axis not in ("c", "y", "x") and size != 1:
            words = {"z": "Z stack", "t": "time series"}.get(axis, f"stack over {axis}")
            raise ImageError(path, several_planes(words, size))
    if axes[-2:] != ("y", "x"):
        found = ", ".join(axes)
        raise ImageError(path, f"has the axes {found} ({sizes(shape)}); y and x come last")
    return [
        position
        for position, (axis, size) in enumerate(zip(axes, shape, strict=True))
        if axis in ("y", "x") or (axis == "c" and size > 1)
    ]
