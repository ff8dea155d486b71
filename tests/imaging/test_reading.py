from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cloome_sk.imaging import ImageError, read_image, stored_channels

RNG = np.random.RandomState(0)
GREY16 = RNG.randint(0, 2**16, (41, 53)).astype(np.uint16)
GREY8 = RNG.randint(0, 2**8, (41, 53)).astype(np.uint8)
FIELD = RNG.randint(0, 2**16, (5, 41, 53)).astype(np.uint16)


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    """Equal in type, shape and every value, and ready for torch (native order, writable)."""
    np.testing.assert_array_equal(found, wanted, strict=True)
    assert type(found) is np.ndarray
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert found.dtype.isnative


# -- the real files -----------------------------------------------------------------------------


def real_tiffs(home: Path) -> list[Path]:
    files = sorted(home.glob("images/**/*.tif*")) + sorted(home.glob("cellprofiler/**/*.tif*"))
    assert len(files) > 70
    return files


@pytest.mark.real_data
def test_every_real_tiff_is_what_pillow_reads(data_home):
    pytest.importorskip("imagecodecs")
    for file in real_tiffs(data_home):
        with Image.open(file) as image:
            pages = []
            for page in range(image.n_frames):
                image.seek(page)
                pages.append(np.array(image))
        same(read_image(file), np.squeeze(np.stack(pages)))


@pytest.mark.real_data
def test_every_real_tiff_is_what_tifffile_reads(data_home):
    pytest.importorskip("imagecodecs")
    for file in real_tiffs(data_home):
        same(read_image(str(file)), tifffile.imread(file))


@pytest.mark.real_data
def test_every_real_tiff_is_the_same_without_imagecodecs(data_home, run_script):
    """All but the one LZW file, which tells what to install."""
    script = """
import sys
import hashlib, pathlib
from cloome_sk.imaging import read_image
for file in sys.argv[1:]:
    try:
        image = read_image(file)
        print(image.dtype, image.shape, hashlib.sha256(image.tobytes()).hexdigest())
    except ValueError as error:
        print(error)
"""
    pytest.importorskip("imagecodecs")
    files = [str(file) for file in real_tiffs(data_home)]
    lines = run_script(script, *files, without="imagecodecs").splitlines()
    refused = [line for line in lines if "imagecodecs" in line]
    assert len(refused) == 1
    assert "original_lzw" in refused[0]
    assert 'pip install "cloome_sk[images]"' in refused[0]

    for file, line in zip(files, lines, strict=True):
        if line != refused[0]:
            image = read_image(file)
            digest = hashlib.sha256(image.tobytes()).hexdigest()
            assert line == f"{image.dtype} {image.shape} {digest}", file


@pytest.mark.real_data
def test_the_published_pictures_and_illumination_functions(data_home, tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    with zipfile.ZipFile(data_home / "images/cloome_amumo_100pairs.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        assert len(names) == 100
        for name in names:
            archive.extract(name, tmp_path)
            # Two builds of libjpeg may round the inverse transform differently by one.
            found = read_image(tmp_path / name).astype(int)
            wanted = np.moveaxis(imagecodecs.jpeg_decode(archive.read(name)), -1, 0)
            assert found.shape == wanted.shape
            assert len(found) == 3
            assert np.abs(found - wanted).max() <= 1
    for file in data_home.glob("images/sbs_plate/*.npz"):
        with np.load(file) as stored:
            same(read_image(file), stored["illum"])


# -- each format and depth ----------------------------------------------------------------------

LAYOUTS = {
    "strips": {"rowsperstrip": 5},
    "one strip": {"rowsperstrip": 41},
    "tiles": {"tile": (16, 32)},
    "big endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "big endian BigTIFF": {"bigtiff": True, "byteorder": ">"},
    "described": {"description": "Stage position 3; not JSON", "metadata": None},
    "deflate": {"compression": "zlib", "predictor": True, "rowsperstrip": 7},
    "LZW": {"compression": "lzw", "rowsperstrip": 7},
    "LZW with predictor": {"compression": "lzw", "predictor": True},
    "Zstandard": {"compression": "zstd"},
    "PackBits": {"compression": "packbits"},
    "plain": {"metadata": None},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("image", [GREY8, GREY16], ids=["8 bit", "16 bit"])
def test_a_grey_tiff_in_every_layout(tmp_path, layout, image):
    if "compression" in layout:
        pytest.importorskip("imagecodecs")
    file = tmp_path / "image.tif"
    tifffile.imwrite(file, image, photometric="minisblack", **layout)
    same(read_image(file), image)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_five_page_tiff_in_every_layout(tmp_path, layout):
    if "compression" in layout:
        pytest.importorskip("imagecodecs")
    file = tmp_path / "image.tif"
    with tifffile.TiffWriter(
        file, bigtiff=layout.get("bigtiff", False), byteorder=layout.get("byteorder")
    ) as writer:
        options = {k: v for k, v in layout.items() if k not in ("bigtiff", "byteorder")}
        for plane in FIELD:
            writer.write(plane, photometric="minisblack", **{"metadata": None, **options})
    same(read_image(file), FIELD)


def test_strips_that_are_not_in_order(tmp_path):
    file = tmp_path / "image.tif"
    tifffile.imwrite(file, GREY16, rowsperstrip=1, metadata=None)
    with tifffile.TiffFile(file) as tiff:
        tag = tiff.pages[0].tags["StripOffsets"]
        offsets, at = list(tag.value), tag.valueoffset
    data = bytearray(file.read_bytes())
    data[at : at + 4 * len(offsets)] = np.array(offsets[::-1], "<u4").tobytes()
    file.write_bytes(data)
    same(read_image(file), GREY16[::-1])


def test_strips_with_padding_between_them(tmp_path):
    file = tmp_path / "image.tif"
    tifffile.imwrite(file, GREY16, rowsperstrip=10, metadata=None)
    data = bytearray(file.read_bytes())
    offsets, counts = [], []
    for row in range(0, 41, 10):
        strip = GREY16[row : row + 10].tobytes() + b"\xff" * 6
        offsets.append(len(data))
        counts.append(len(strip))
        data += strip
    file.write_bytes(data)
    with tifffile.TiffFile(file, mode="r+") as tiff:
        tiff.pages[0].tags["StripOffsets"].overwrite(offsets)
        tiff.pages[0].tags["StripByteCounts"].overwrite(counts)
    same(read_image(file), GREY16)


@pytest.mark.parametrize("options", [{"imagej": True}, {}])
def test_planes_in_one_block_behind_a_single_directory(tmp_path, options):
    """How ImageJ writes a stack beyond 4 GB; only the description tells how many planes it has."""
    file = tmp_path / "image.tif"
    tifffile.imwrite(
        file, FIELD, photometric="minisblack", truncate=True, metadata={"axes": "CYX"}, **options
    )
    with tifffile.TiffFile(file) as tiff:
        assert len(tiff.pages) == 1
    same(read_image(file), FIELD)


def test_where_libtiff_sees_another_image_the_general_reader_decides(tmp_path, monkeypatch):
    imagecodecs = pytest.importorskip("imagecodecs")
    file = tmp_path / "image.tif"
    tifffile.imwrite(file, GREY16, compression="lzw", metadata=None)
    seen = []
    monkeypatch.setattr(imagecodecs, "tiff_decode", lambda data: seen.append(1) or GREY8)
    same(read_image(file), GREY16)
    assert seen == [1]


def test_twelve_bits_packed_become_uint16(tmp_path):
    pytest.importorskip("imagecodecs")
    file = tmp_path / "image.tif"
    image = GREY16 >> 4
    tifffile.imwrite(file, image, bitspersample=12, photometric="minisblack")
    with tifffile.TiffFile(file) as tiff:
        assert tiff.pages[0].bitspersample == 12
    same(read_image(file), image)


@pytest.mark.parametrize("stored", ["float16", "float32", "float64", ">f4", ">f8"])
def test_a_float_tiff_or_array_becomes_float32(tmp_path, stored):
    image = np.linspace(0, 6e4, 12 * 9).reshape(12, 9).astype(stored)
    wanted = image.astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    same(read_image(tmp_path / "image.npy"), wanted)
    tifffile.imwrite(tmp_path / "image.tif", image, byteorder=">" if ">" in stored else "<")
    same(read_image(tmp_path / "image.tif"), wanted)


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        ("int8", "uint8"),
        ("int16", "uint16"),
        ("int32", "uint16"),
        ("uint32", "uint16"),
        ("int64", "uint16"),
        ("uint64", "uint16"),
        (">u2", "uint16"),
    ],
)
def test_other_integers_keep_their_values(tmp_path, stored, wanted):
    top = min(np.iinfo(stored).max, 65535)
    image = np.array([[0, 1, 2], [3, top - 1, top]], stored)
    np.save(tmp_path / "image.npy", image)
    same(read_image(tmp_path / "image.npy"), image.astype(wanted))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("n_channels", [3, 5])
def test_samples_of_a_pixel_are_channels(tmp_path, planar, n_channels):
    image = FIELD[:n_channels]
    file = tmp_path / "image.tif"
    tifffile.imwrite(
        file,
        image if planar == "separate" else np.moveaxis(image, 0, -1),
        photometric="rgb" if n_channels == 3 else "minisblack",
        planarconfig=planar,
    )
    with tifffile.TiffFile(file) as tiff:
        assert tiff.pages[0].samplesperpixel == n_channels
    same(read_image(file), image)


@pytest.mark.parametrize("hyperstack", [{"imagej": True}, {"imagej": False}])
def test_channels_that_imagej_or_tifffile_name_as_such(tmp_path, hyperstack):
    file = tmp_path / "image.tif"
    tifffile.imwrite(
        file, FIELD[None], metadata={"axes": "ZCYX"}, photometric="minisblack", **hyperstack
    )
    same(read_image(file), FIELD)
    # An ImageJ file of this kind has one directory for its five planes.
    assert stored_channels(file) is None


def test_png_and_jpeg(tmp_path):
    colour = np.moveaxis(RNG.randint(0, 256, (3, 20, 30)).astype(np.uint8), 0, -1)
    for image, wanted in [
        (GREY8, GREY8),
        (GREY16, GREY16),
        (colour, np.moveaxis(colour, -1, 0)),
    ]:
        Image.fromarray(image).save(tmp_path / "image.png")
        same(read_image(tmp_path / "image.png"), np.ascontiguousarray(wanted))
    for image in (GREY8, colour):
        Image.fromarray(image).save(tmp_path / "image.jpg", quality=95)
        wanted = np.asarray(Image.open(io.BytesIO((tmp_path / "image.jpg").read_bytes())))
        wanted = wanted if wanted.ndim == 2 else np.moveaxis(wanted, -1, 0)
        same(read_image(tmp_path / "image.jpg"), np.ascontiguousarray(wanted))


def test_the_content_decides_not_the_ending(tmp_path):
    Image.fromarray(GREY16).save(tmp_path / "image.png")
    (tmp_path / "image.png").rename(tmp_path / "image.tif")
    same(read_image(tmp_path / "image.tif"), GREY16)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("image", [GREY8, FIELD, FIELD.astype(np.float32)])
def test_npy_and_npz(tmp_path, image, order):
    image = np.asarray(image, order=order)
    np.save(tmp_path / "image.npy", image)
    np.savez_compressed(tmp_path / "image.npz", field=image)
    for name in ("image.npy", "image.npz"):
        same(read_image(tmp_path / name), np.ascontiguousarray(image))


def test_an_npy_is_mapped_and_what_is_written_stays_private(tmp_path):
    file = tmp_path / "image.npy"
    np.save(file, GREY16)
    image = read_image(file)
    assert isinstance(image.base, np.memmap)
    image[:] = 0
    np.testing.assert_array_equal(np.load(file), GREY16)


def test_a_file_of_cloome_is_read_without_touching_its_pickles(tmp_path):
    """As its authors store a site: (H, W, C) uint8 beside dictionaries that are pickled."""
    sample = np.moveaxis((FIELD >> 8).astype(np.uint8), 0, -1)

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "run"),))

    np.savez(
        tmp_path / "24277-A01-1.npz",
        sample=sample,
        channels=np.array([{"0": Trap()}], object),
        filenames=np.array([{"0": Trap()}], object),
    )
    same(read_image(tmp_path / "24277-A01-1.npz"), (FIELD >> 8).astype(np.uint8))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("shape", "wanted"), [((1, 6, 7), (6, 7)), ((2, 1, 1), (2, 1, 1)), ((5, 4, 4), (5, 4, 4))]
)
def test_small_images_and_single_channels(tmp_path, shape, wanted):
    np.save(tmp_path / "image.npy", np.ones(shape, np.uint8))
    assert read_image(tmp_path / "image.npy").shape == wanted
    with tifffile.TiffWriter(tmp_path / "image.tif") as writer:
        for plane in np.ones(shape, np.uint8):
            writer.write(plane, photometric="minisblack", metadata=None)
    assert read_image(tmp_path / "image.tif").shape == wanted


def test_arrays_pass_through_the_same_checks():
    assert read_image(FIELD) is FIELD
    np.testing.assert_array_equal(
        read_image(GREY8.astype(float)), GREY8.astype(np.float32), strict=True
    )
    with pytest.raises(ImageError, match=r"^the array given: 2 of 4 values are negative") as error:
        read_image(np.array([[-1.0, -2.0], [0, 0]]))
    assert error.value.path is None
