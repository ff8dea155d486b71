"""TIFFs that must not be read, each with the message its owner gets."""

from __future__ import annotations

import contextlib
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cloome_sk.imaging import ImageError, read_image, stored_channels

RNG = np.random.RandomState(0)
GREY = RNG.randint(0, 2**16, (64, 80)).astype(np.uint16)
FIELD = RNG.randint(0, 2**16, (5, 64, 80)).astype(np.uint16)


def tiff(file: Path, image: np.ndarray = GREY, **options) -> Path:
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(file, image, **options)
    return file


def pages(file: Path, planes, **options) -> Path:
    with tifffile.TiffWriter(file) as writer:
        for plane in planes:
            writer.write(plane, **{"photometric": "minisblack", "metadata": None, **options})
    return file


def cut(file: Path, part: float) -> Path:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    return file


def put(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file


def with_tag(file: Path, name: str, value: int, page: int = 0) -> Path:
    """A TIFF whose header says something else than what it holds."""
    with tifffile.TiffFile(file, mode="r+") as tif:
        tif.pages[page].tags[name].overwrite(value)
    return file


def with_xml(file: Path, *changes: tuple[str, str]) -> Path:
    xml = tifffile.tiffcomment(file)
    for old, new in changes:
        assert old in xml
        xml = xml.replace(old, new)
    tifffile.tiffcomment(file, xml.encode())
    return file


def ome(file: Path, image: np.ndarray = FIELD, axes: str = "CYX", **options) -> Path:
    return tiff(file, image, ome=True, metadata={"axes": axes}, **options)


def with_value(value: float, count: int) -> np.ndarray:
    image = np.ones((8, 9), np.float32)
    image.flat[:count] = value
    return image


def gap(file: Path) -> Path:
    """A TIFF in which a strip has no bytes, as a writer that was killed leaves it."""
    pages(file, [GREY], rowsperstrip=16)
    with tifffile.TiffFile(file, mode="r+") as tif:
        tag = tif.pages[0].tags["StripByteCounts"]
        tag.overwrite([*tag.value[:-1], 0])
    return file


def broken_chain(file: Path) -> Path:
    pages(file, FIELD)
    with tifffile.TiffFile(file) as tif:
        where = tif.pages[3].offset
    data = bytearray(file.read_bytes())
    data[where : where + 2] = b"\xff\xff"
    return put(file, bytes(data))


def uneven_ome(file: Path) -> Path:
    xml = tifffile.tiffcomment(ome(file, FIELD[:2]))
    with tifffile.TiffWriter(file) as writer:
        writer.write(GREY, photometric="minisblack", metadata=None, description=xml)
        writer.write(GREY[:32, :40], photometric="minisblack", metadata=None)
    return file


def metamorph_stack(file: Path) -> Path:
    """A MetaMorph stack: one directory, its planes counted by the length of a private tag."""
    tiff(
        file,
        metadata=None,
        extratags=[(33628, 4, 2, (0, 1), True), (33629, 5, 1, (1, 1), True)],
    )
    with tifffile.TiffFile(file) as tif:
        where = tif.pages[0].tags[33629].offset
    planes = b"".join(struct.pack("<6I", 2 * z + 1, 1, 0, 0, 0, 0) for z in range(3))
    data = bytearray(file.read_bytes())
    data[where + 4 : where + 12] = struct.pack("<II", 3, len(data))
    return put(file, bytes(data) + planes + 2 * GREY.tobytes())


Build = Callable[[Path], Path]
MALFORMED: dict[str, tuple[Build, str]] = {
    # -- TIFF
    "header only": (
        lambda d: put(d / "a.tif", b"II*\0\x08\0\0\0"),
        "is a TIFF without any image",
    ),
    "four bytes": (lambda d: put(d / "a.tif", b"II*\0"), "is not a TIFF that can be read"),
    "truncated plain TIFF": (
        lambda d: cut(pages(d / "a.tif", [GREY]), 0.6),
        "is truncated: its pixels run to byte",
    ),
    "truncated tiled TIFF": (
        lambda d: cut(pages(d / "a.tif", [GREY], tile=(32, 32)), 0.6),
        "is truncated: its pixels run to byte",
    ),
    "truncated stack": (lambda d: cut(tiff(d / "a.tif", FIELD), 0.6), "is a broken or truncated"),
    "truncated ImageJ stack": (
        lambda d: cut(
            tiff(d / "a.tif", FIELD, imagej=True, metadata={"axes": "CYX"}), 0.6
        ),
        "is a broken or truncated TIFF: invalid page offset",
    ),
    "truncated block of planes": (
        lambda d: cut(tiff(d / "a.tif", FIELD, truncate=True), 0.6),
        "is truncated: its pixels run to byte",
    ),
    "broken chain of pages": (
        lambda d: broken_chain(d / "a.tif"),
        "is a broken or truncated TIFF: corrupted tag list",
    ),
    "strip never written": (lambda d: gap(d / "a.tif"), "1 of its 4 strips or tiles were never"),
    "huge by its header": (
        lambda d: with_tag(
            with_tag(pages(d / "a.tif", [GREY]), "ImageWidth", 100_000), "ImageLength", 100_000
        ),
        "100000 x 100000 = 10,000,000,000 values by its header, more than max_pixels=268,435,456",
    ),
    "huge tiles": (
        lambda d: with_tag(
            with_tag(pages(d / "a.tif", [GREY], tile=(16, 16)), "TileWidth", 2**20),
            "TileLength",
            2**20,
        ),
        "values by its header, more than max_pixels=268,435,456",
    ),
    "palette TIFF": (
        lambda d: tiff(
            d / "a.tif",
            GREY.astype(np.uint8),
            photometric="palette",
            colormap=np.zeros((3, 256), np.uint16),
        ),
        "has the colour model PALETTE",
    ),
    "inverted TIFF": (
        lambda d: tiff(d / "a.tif", photometric="miniswhite"),
        "has the colour model MINISWHITE (white is zero)",
    ),
    "CMYK TIFF": (
        lambda d: tiff(d / "a.tif", np.zeros((20, 30, 4), np.uint8), photometric="separated"),
        "has the colour model CMYK",
    ),
    "TIFF with alpha": (
        lambda d: tiff(
            d / "a.tif", np.zeros((20, 30, 4), np.uint8), photometric="rgb", extrasamples=[2]
        ),
        "is RGB with 4 samples a pixel, so with an alpha",
    ),
    "grey TIFF with alpha": (
        lambda d: tiff(
            d / "a.tif",
            np.zeros((20, 30, 2), np.uint8),
            planarconfig="contig",
            extrasamples=[2],
        ),
        "has an alpha channel (transparency)",
    ),
    "bilevel TIFF": (lambda d: tiff(d / "a.tif", GREY > 9), "holds true/false values, a mask"),
    "complex TIFF": (
        lambda d: tiff(d / "a.tif", GREY.astype(np.complex64)),
        "holds complex numbers (complex64)",
    ),
    "pages of two sizes": (
        lambda d: pages(d / "a.tif", [GREY, GREY[:32, :40]]),
        "holds 2 images of different size or type (64 x 80; 32 x 40)",
    ),
    "several RGB pages": (
        lambda d: tiff(d / "a.tif", np.zeros((4, 20, 30, 3), np.uint8), photometric="rgb"),
        "a site has Y, X and one axis of channels",
    ),
    "ImageJ Z stack": (
        lambda d: tiff(d / "a.tif", FIELD, imagej=True, metadata={"axes": "ZYX"}),
        "is a Z stack of 5 planes; a site is one plane of each channel",
    ),
    "ImageJ time series": (
        lambda d: tiff(d / "a.tif", FIELD, imagej=True, metadata={"axes": "TYX"}),
        "is a time series of 5 planes",
    ),
    "MetaMorph stack": (lambda d: metamorph_stack(d / "a.stk"), "is a Z stack of 3 planes"),
    # -- OME-TIFF
    "5-D OME-TIFF": (
        lambda d: ome(d / "a.ome.tif", np.zeros((2, 3, 4, 20, 30), np.uint8), "TCZYX"),
        "is a Z stack of 4 planes",
    ),
    "OME time series": (
        lambda d: ome(d / "a.ome.tif", np.zeros((2, 3, 20, 30), np.uint8), "TCYX"),
        "is a time series of 2 planes",
    ),
    "OME with a channel too many": (
        lambda d: with_xml(ome(d / "a.ome.tif"), ('SizeC="5"', 'SizeC="6"')),
        "its OME-XML describes 6 channels, its pages are 5",
    ),
    "OME with a billion channels": (
        lambda d: with_xml(
            ome(d / "a.ome.tif"),
            ('SizeC="5"', 'SizeC="1000000000"'),
            ('PlaneCount="5"', 'PlaneCount="1000000000"'),
        ),
        "its OME-XML describes 1000000000 channels, its pages are 5",
    ),
    "OME-XML cut off": (
        lambda d: with_xml(ome(d / "a.ome.tif"), ("<Pixels", "<Pix")),
        "its OME-XML cannot be understood: mismatched tag",
    ),
    "OME-XML with entities": (
        lambda d: with_xml(
            ome(d / "a.ome.tif"), ("<OME ", '<!DOCTYPE lolz [<!ENTITY lol "lol">]><OME ')
        ),
        "its OME-XML defines entities",
    ),
    "OME of several images": (
        lambda d: with_xml(
            ome(d / "a.ome.tif"), ("</Image>", '</Image><Image ID="Image:1"></Image>')
        ),
        "its OME-XML describes 2 images",
    ),
    "OME of two sizes": (
        lambda d: uneven_ome(d / "a.ome.tif"),
        "its planes differ in size or type",
    ),
    "OME set of files": (
        lambda d: with_xml(
            ome(d / "a.ome.tif", FIELD[:2]),
            ('SizeC="2"', 'SizeC="4"'),
            (
                "</Pixels>",
                '<TiffData FirstC="0"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>'
                '<TiffData FirstC="2"><UUID FileName="/etc/passwd">urn:uuid:2</UUID></TiffData>'
                "</Pixels>",
            ),
        ),
        "is one of a set of 2 files that share an OME-XML, and holds 2 of 4 channels",
    ),
    # -- values
    "infinite TIFF": (
        lambda d: tiff(d / "a.tif", with_value(np.inf, 2)),
        "2 of 72 values are not finite",
    ),
    "negative floats": (
        lambda d: tiff(d / "a.tif", with_value(-0.5, 4)),
        "4 of 72 values are negative (lowest -0.5)",
    ),
    "negative integers": (
        lambda d: tiff(d / "a.tif", np.array([[-7, 1], [2, 3]], np.int16)),
        "1 of 4 values are negative (lowest -7)",
    ),
    "too large integers": (
        lambda d: tiff(d / "a.tif", np.array([[70_000, 1]], np.uint32)),
        "holds uint32 values up to 70,000, which uint16 cannot hold",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_image_is_refused_with_its_path_and_reason(
    tmp_path, build, message, assert_refused
):
    assert_refused(build(tmp_path), message)


def test_the_messages_differ():
    """Each reason has words of its own, but for what is broken in the same way."""
    assert len({message for _, message in MALFORMED.values()}) > 0.8 * len(MALFORMED)


@pytest.mark.parametrize("where", np.linspace(0.02, 0.98, 25))
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_a_stack_cut_anywhere_is_never_read(tmp_path, where, compression):
    if compression:
        pytest.importorskip("imagecodecs")
    file = cut(pages(tmp_path / "a.tif", FIELD, compression=compression, rowsperstrip=16), where)
    with pytest.raises(ImageError, match=r"a\.tif: "):
        read_image(file)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_end_in_our_error_or_in_an_image(tmp_path, seed):
    """Whatever a bad disk does to a header, nothing else than an ImageError comes out."""
    pytest.importorskip("imagecodecs")
    random = np.random.RandomState(seed)
    image = FIELD[:2] >> 6
    built = [
        pages(tmp_path / "plain.tif", image[:1]),
        pages(tmp_path / "pages.tif", image, compression="zlib", rowsperstrip=16),
        ome(tmp_path / "a.ome.tif", image),
        pages(tmp_path / "lzw.tif", image[:1], compression="lzw"),
    ]
    for file in built:
        data = bytearray(file.read_bytes())
        for _ in range(4):
            # Half of the damage where the headers are, half anywhere.
            reach = 300 if random.rand() < 0.5 else len(data)
            data[random.randint(min(reach, len(data)))] = random.randint(256)
        file.write_bytes(data)
        # Damage to a pixel is beyond anyone's notice.
        with contextlib.suppress(ImageError):
            assert read_image(file).ndim in (2, 3)


@pytest.mark.parametrize(
    "options", [{"compression": "lzw"}, {"compression": "zstd"}, {"bitspersample": 12}]
)
def test_without_imagecodecs_the_message_says_what_to_install(tmp_path, options, refused_without):
    pytest.importorskip("imagecodecs")
    if options == {"compression": "zstd"} and sys.version_info >= (3, 14):
        pytest.skip("Python brings Zstandard since 3.14")
    file = pages(tmp_path / "a.tif", [GREY >> 4], **options)
    same = read_image(file)
    np.testing.assert_array_equal(same, GREY >> 4)
    message = refused_without("imagecodecs", file)
    assert message.startswith(f"{file}: ")
    assert "needs the imagecodecs package" in message
    assert 'pip install "cloome_sk[images]"' in message


def test_a_deflate_bomb_without_imagecodecs(tmp_path, refused_without):
    """2 GB of zeros in a strip of a small image; zlib would unpack them all."""
    small = pages(tmp_path / "a.tif", [np.zeros((64, 64), np.uint8)], compression="zlib")
    packer = zlib.compressobj(9)
    # After a full flush the next block stands alone, so that one may be repeated.
    first, block = (packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in "ab")
    bomb = first + 127 * block
    offset = small.stat().st_size + 4096
    with tifffile.TiffFile(small, mode="r+") as tif:
        tif.pages[0].tags["StripOffsets"].overwrite(offset)
        tif.pages[0].tags["StripByteCounts"].overwrite(len(bomb))
    with small.open("r+b") as file:
        file.seek(offset)
        file.write(bomb)
    assert "unpacks to more bytes than the image has" in refused_without("imagecodecs", small)


@pytest.mark.parametrize("case", ["broken chain of pages", "header only"])
def test_channel_names_of_broken_files_are_refused_too(tmp_path, case):
    build, message = MALFORMED[case]
    path = build(tmp_path)
    with pytest.raises(ImageError) as error:
        stored_channels(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
