"""OME-Zarr folders that must not be read, each with the message its owner gets."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from cloome_sk.imaging import ImageError, read_image

RNG = np.random.RandomState(0)
GREY = RNG.randint(0, 2**16, (64, 80)).astype(np.uint16)
FIELD = RNG.randint(0, 2**16, (5, 64, 80)).astype(np.uint16)


def zarr_group(folder: Path, attributes: dict, zarr_format: int = 2, **arrays):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(folder), mode="w", zarr_format=zarr_format)
    for name, (data, options) in arrays.items():
        group.create_array(name, data=data, **options)
    group.attrs.update(attributes)
    return group


def scales(*axes: str) -> dict:
    return {
        "multiscales": [{"axes": [{"name": axis} for axis in axes], "datasets": [{"path": "s0"}]}]
    }


STACK = np.zeros((3, 4, 16, 20), np.uint16)
MALFORMED_ZARR = {
    "no multiscales": ({}, FIELD, "is a Zarr group without multiscales, so no OME-Zarr image"),
    "plate": (
        {"plate": {"wells": [{"path": "A/1"}]}},
        FIELD,
        "is a whole plate; name one field of it, such as <well>/0 (wells: A/1 ...)",
    ),
    "well": (
        {"well": {"images": [{"path": "0"}]}},
        FIELD,
        "is a well; name one of its fields (0 ...)",
    ),
    "Z stack": (scales("c", "z", "y", "x"), STACK, "is a Z stack of 4 planes"),
    "time series": (scales("t", "c", "y", "x"), STACK, "is a time series of 3 planes"),
    "axes too few": (
        scales("y", "x"),
        FIELD,
        "names the axes y, x, and its array has 3 dimensions",
    ),
    "x and y first": (scales("y", "x", "c"), FIELD, "y and x come last"),
    "two images": (
        {"multiscales": scales("c", "y", "x")["multiscales"] * 2},
        FIELD,
        "holds 2 images (multiscales); one is a site",
    ),
    "level missing": (
        {"multiscales": [{"axes": ["c", "y", "x"], "datasets": [{"path": "7"}]}]},
        FIELD,
        "is a broken OME-Zarr: ",
    ),
    "NaN": (
        scales("y", "x"),
        np.full((8, 9), np.nan, np.float32),
        "72 of 72 values are not finite",
    ),
}


@pytest.mark.parametrize(
    ("attributes", "image", "message"), MALFORMED_ZARR.values(), ids=MALFORMED_ZARR
)
def test_a_malformed_zarr_is_refused(tmp_path, attributes, image, message, assert_refused):
    folder = tmp_path / "a.zarr"
    zarr_group(folder, attributes, s0=(image, {}))
    assert_refused(folder, message)


def test_a_bare_zarr_array_does_not_name_its_axes(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.save_array(str(tmp_path / "a.zarr"), FIELD)
    with pytest.raises(ImageError, match=r"a\.zarr: is a bare Zarr array"):
        read_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("chunks", [(1, 16, 16), (1, 2**15, 2**15)])
def test_a_zarr_too_large_by_its_metadata(tmp_path, chunks):
    """Chunks are unpacked whole, so that small images may have large ones too."""
    group = zarr_group(tmp_path / "a.zarr", scales("c", "y", "x"))
    side = 2**15 if chunks[1] == 16 else 16
    group.create_array("s0", shape=(5, side, side), chunks=chunks, dtype="u2")
    with pytest.raises(
        ImageError, match=r"a\.zarr: holds .* values by its header, more than max_p"
    ):
        read_image(tmp_path / "a.zarr")


def test_a_zarr_without_any_chunk(tmp_path):
    group = zarr_group(tmp_path / "a.zarr", scales("c", "y", "x"))
    group.create_array("s0", shape=(5, 16, 16), chunks=(1, 16, 16), dtype="u2")
    with pytest.raises(ImageError, match=r"a\.zarr: none of its 5 chunks was stored"):
        read_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_a_zarr_that_would_unpickle(tmp_path, place):
    folder = tmp_path / "a.zarr"
    zarr_group(folder, scales("y", "x"), s0=(GREY, {"chunks": GREY.shape}))
    metadata = json.loads((folder / "s0" / ".zarray").read_text())
    codec = {"id": "pickle", "protocol": 5}
    metadata.update({"compressor": None, "filters": None})
    metadata[place] = codec if place == "compressor" else [codec]
    (folder / "s0" / ".zarray").write_text(json.dumps(metadata))

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "run"),))

    (chunk,) = (folder / "s0").glob("0*")
    chunk.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ImageError, match=r"a\.zarr: (holds pickled Python objects|is a broken)"):
        read_image(folder)
    assert not (tmp_path / "run").exists()


def test_without_zarr_the_message_says_what_to_install(tmp_path, refused_without):
    zarr_group(tmp_path / "a.zarr", scales("c", "y", "x"), s0=(FIELD, {}))
    message = refused_without("zarr", tmp_path / "a.zarr")
    assert message.startswith(f"{tmp_path / 'a.zarr'}: is a Zarr folder, which needs the package")
    assert 'pip install "cloome_sk[images]"' in message
