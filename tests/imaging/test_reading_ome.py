"""OME-TIFF and OME-Zarr: planes in the order of the channels, and their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cloome_sk.imaging import Channels, read_image, stored_channels

RNG = np.random.RandomState(0)
GREY16 = RNG.randint(0, 2**16, (41, 53)).astype(np.uint16)
FIELD = RNG.randint(0, 2**16, (5, 41, 53)).astype(np.uint16)
NAMES = ["Mito", "ERSyto", "ERSytoBleed", "Ph_golgi", "Hoechst"]


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    """Equal in type, shape and every value, and ready for torch (native order, writable)."""
    np.testing.assert_array_equal(found, wanted, strict=True)
    assert type(found) is np.ndarray
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert found.dtype.isnative


def write_ome(file: Path, image: np.ndarray, axes: str = "CYX", **options) -> None:
    tifffile.imwrite(
        file, image, ome=True, photometric="minisblack", metadata={"axes": axes, **options}
    )


def test_an_ome_tiff_states_its_channels(tmp_path):
    file = tmp_path / "field.ome.tif"
    write_ome(file, FIELD, Channel={"Name": NAMES})
    same(read_image(file), FIELD)
    assert stored_channels(file) == tuple(NAMES)
    assert Channels(stored_channels(file)).names == ("Mito", "ER", "RNA", "AGP", "DNA")


def test_an_ome_tiff_with_axes_of_size_one(tmp_path):
    write_ome(tmp_path / "field.ome.tif", FIELD[None, :, None], axes="TCZYX")
    same(read_image(tmp_path / "field.ome.tif"), FIELD)
    assert stored_channels(tmp_path / "field.ome.tif") is None
    write_ome(tmp_path / "one.ome.tif", GREY16, axes="YX", Channel={"Name": ["DAPI"]})
    same(read_image(tmp_path / "one.ome.tif"), GREY16)
    assert stored_channels(tmp_path / "one.ome.tif") == ("DAPI",)


def with_xml(file: Path, change) -> None:
    """Write the OME-XML of a file anew."""
    xml = tifffile.tiffcomment(file)
    tifffile.tiffcomment(file, change(xml).encode())


def test_the_pages_of_an_ome_tiff_come_in_the_order_of_its_channels(tmp_path):
    file = tmp_path / "field.ome.tif"
    write_ome(file, FIELD[:3], Channel={"Name": NAMES[:3]})
    order = [2, 0, 1]  # the channel that each page holds
    blocks = "".join(
        f'<TiffData IFD="{i}" FirstC="{c}" PlaneCount="1"/>' for i, c in enumerate(order)
    )

    def reorder(xml: str) -> str:
        start = xml.index("<TiffData")
        end = xml.index(">", start) + 1
        assert xml[start:end].endswith("/>")
        return xml[:start] + blocks + xml[end:]

    with_xml(file, reorder)
    same(read_image(file), FIELD[:3][np.argsort(order)])
    np.testing.assert_array_equal(tifffile.imread(file), FIELD[:3][np.argsort(order)])


def test_one_plane_of_an_ome_set_is_that_plane(tmp_path):
    """Some microscopes write a file a channel, each with the XML of the whole set."""
    file = tmp_path / "C01.ome.tif"
    write_ome(file, GREY16, axes="YX", Channel={"Name": ["DAPI"]})

    def whole_set(xml: str) -> str:
        xml = xml.replace('SizeC="1"', 'SizeC="2"')
        start = xml.index("<TiffData")
        blocks = "".join(
            f'<TiffData IFD="0" FirstC="{c}"><UUID FileName="C0{c}.ome.tif">urn:uuid:{c}</UUID>'
            "</TiffData>"
            for c in range(2)
        )
        second = '<Channel ID="Channel:0:1" Name="GFP" SamplesPerPixel="1"/>'
        return xml[:start] + second + blocks + xml[xml.index(">", start) + 1 :]

    with_xml(file, whole_set)
    same(read_image(file), GREY16)
    # Two names and one plane: which of them it is, is not for us to say.
    assert stored_channels(file) is None


def test_other_formats_state_no_channels(tmp_path):
    np.save(tmp_path / "image.npy", FIELD)
    assert stored_channels(tmp_path / "image.npy") is None
    tifffile.imwrite(tmp_path / "image.tif", FIELD, photometric="minisblack")
    assert stored_channels(tmp_path / "image.tif") is None


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("axes", ["tczyx", "cyx", "yx"])
def test_ome_zarr(tmp_path, zarr_format, axes):
    zarr = pytest.importorskip("zarr")
    image = GREY16 if axes == "yx" else FIELD
    stored = image[None, :, None] if axes == "tczyx" else image
    write_zarr(zarr, tmp_path / "field.zarr", stored, axes, zarr_format, NAMES[: len(image)])
    same(read_image(tmp_path / "field.zarr"), image)
    named = None if axes == "yx" else tuple(NAMES)
    assert stored_channels(tmp_path / "field.zarr") == named


def write_zarr(zarr, folder, image, axes, zarr_format, labels) -> None:
    """A field of two resolutions, as the specification lays it out."""
    group = zarr.open_group(str(folder), mode="w", zarr_format=zarr_format)
    for level, data in enumerate([image, image[..., ::2, ::2]]):
        group.create_array(str(level), data=data, chunks=(*data.shape[:-2], 16, 16))
    types = {"t": "time", "c": "channel"}
    metadata = {
        "multiscales": [
            {
                "axes": [{"name": axis, "type": types.get(axis, "space")} for axis in axes],
                "datasets": [{"path": "0"}, {"path": "1"}],
            }
        ],
        "omero": {"channels": [{"label": label} for label in labels]},
    }
    group.attrs.update({"ome": {"version": "0.5", **metadata}} if zarr_format == 3 else metadata)


def test_an_old_ome_zarr_without_axes(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "field.zarr"), mode="w", zarr_format=2)
    group.create_array("0", data=FIELD[None, :, None])
    group.attrs["multiscales"] = [{"datasets": [{"path": "0"}], "version": "0.2"}]
    same(read_image(tmp_path / "field.zarr"), FIELD)
    assert stored_channels(tmp_path / "field.zarr") is None
