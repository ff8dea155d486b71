"""Pictures and arrays that must not be read, each with the message its owner gets."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cloome_sk.imaging import ImageError, read_image, stored_channels

RNG = np.random.RandomState(0)
GREY = RNG.randint(0, 2**16, (64, 80)).astype(np.uint16)
FIELD = RNG.randint(0, 2**16, (5, 64, 80)).astype(np.uint16)


def put(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file


def cut(file: Path, part: float) -> Path:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    return file


def picture(file: Path, mode: str, **options) -> Path:
    bands = np.frombuffer(RNG.bytes(40 * 50 * 4), np.uint8).reshape(40, 50, 4)
    image = Image.fromarray(bands, "RGBA").convert("RGB" if mode != "RGBA" else "RGBA")
    image.convert(mode).save(file, **options)
    return file


def npy(file: Path, array, **options) -> Path:
    np.save(file, array, **options)
    return file


def npz(file: Path, **arrays) -> Path:
    np.savez(file, **arrays)
    return file


def png(file: Path, width: int, height: int, bits: int, colour: int, data: bytes) -> Path:
    """A PNG by its specification, for what Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return put(file, b"\x89PNG\r\n\x1a\n" + parts)


def header_of_npy(shape: tuple[int, ...], dtype: str) -> bytes:
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def bomb_npz(file: Path) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        body = header_of_npy((2**16, 2**16), "|u1") + bytes(2**20)
        archive.writestr("image.npy", body)
    return file


def longer_npz(file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("image.npy", header_of_npy((8, 9), "|u1") + bytes(73))
    return file


def with_value(value: float, count: int) -> np.ndarray:
    image = np.ones((8, 9), np.float32)
    image.flat[:count] = value
    return image


Build = Callable[[Path], Path | str]
MALFORMED: dict[str, tuple[Build, str]] = {
    # -- files of any kind
    "missing": (lambda d: d / "absent.tif", "there is no such file"),
    "remote": (lambda d: "s3://bucket/a.tif", "remote addresses are not read, download it first"),
    "folder": (lambda d: d, "is a folder, not an image file"),
    "empty": (lambda d: put(d / "a.tif", b""), "the file is empty (0 bytes)"),
    "text named .tif": (
        lambda d: put(d / "a.tif", b"<html>404 Not Found</html>"),
        "is no image of a known format: it begins with b'<html>404 Not F",
    ),
    "GIF": (lambda d: picture(d / "a.gif", "P"), "is no image of a known format"),
    # -- PNG and JPEG
    "palette PNG": (lambda d: picture(d / "a.png", "P"), "has a colour palette"),
    "PNG with alpha": (lambda d: picture(d / "a.png", "RGBA"), "has an alpha channel"),
    "PNG with a transparent colour": (
        lambda d: picture(d / "a.png", "RGB", transparency=(1, 2, 3)),
        "marks a value as transparent",
    ),
    "black and white PNG": (lambda d: picture(d / "a.png", "1"), "is black and white (1 bit)"),
    "CMYK JPEG": (lambda d: picture(d / "a.jpg", "CMYK"), "has the colour model CMYK"),
    "PNG cut in half": (
        lambda d: cut(picture(d / "a.png", "L"), 0.5),
        "is a broken or truncated PNG",
    ),
    "JPEG cut in half": (
        lambda d: cut(picture(d / "a.jpg", "RGB"), 0.5),
        "is a broken or truncated JPEG: image file is truncated",
    ),
    "PNG bomb": (
        # 400 MB of zeros in 400 kB, said to be 20,000 x 20,000.
        lambda d: png(d / "a.png", 20_000, 20_000, 8, 0, zlib.compress(bytes(20_001 * 2000))),
        "1 x 20000 x 20000 = 400,000,000 values by its header, more than max_pixels",
    ),
    "16-bit RGB PNG": (
        lambda d: png(d / "a.png", 2, 2, 16, 2, zlib.compress(bytes(2 * (1 + 12)))),
        "is a PNG of 16 bits a sample in RGB, which cannot be read as it is stored",
    ),
    "4-bit PNG": (
        lambda d: png(d / "a.png", 2, 2, 4, 0, zlib.compress(bytes(4))),
        "is a PNG of 4 bits a sample",
    ),
    "animated PNG": (
        lambda d: picture(
            d / "a.png", "L", save_all=True, append_images=[Image.new("L", (50, 40))]
        ),
        "is an animation of 2 frames",
    ),
    # -- npy and npz
    "pickled npy": (
        lambda d: npy(d / "a.npy", np.array([{"a": 1}], object), allow_pickle=True),
        "holds pickled Python objects, which are never loaded",
    ),
    "npz with objects": (
        lambda d: npz(d / "a.npz", sample=np.array([None], object)),
        "holds pickled Python objects, which are never loaded",
    ),
    "npz with two arrays": (
        lambda d: npz(d / "a.npz", dna=GREY, er=GREY),
        "holds 2 arrays (dna, er) and none is called 'sample'",
    ),
    "zip without arrays": (
        lambda d: npz(d / "a.npz"),
        "is no image of a known format: it begins with b'PK\\x05\\x06",
    ),
    "sample with channels first": (
        lambda d: npz(d / "a.npz", sample=FIELD),
        "under this name CLOOME keeps (height, width, channel)",
    ),
    "truncated npy": (lambda d: cut(npy(d / "a.npy", GREY), 0.5), "is a broken or truncated .npy"),
    "truncated npz": (
        lambda d: cut(npz(d / "a.npz", a=GREY), 0.5),
        "is a broken or truncated .npz: File is not a zip file",
    ),
    "huge npy": (
        lambda d: put(d / "a.npy", header_of_npy((10**5, 10**5), "<u2")),
        "10,000,000,000 values by its header",
    ),
    "npz bomb": (lambda d: bomb_npz(d / "a.npz"), "65536 x 65536 = 4,294,967,296 values"),
    "npz with more than its array": (
        lambda d: longer_npz(d / "a.npz"),
        "holds an array with more bytes than its header states",
    ),
    "channels last": (
        lambda d: npy(d / "a.npy", np.moveaxis(FIELD, 0, -1)),
        "has the shape 64 x 80 x 5, which is not (channel, height, width): the channels seem to",
    ),
    "a hundred channels": (
        lambda d: npy(d / "a.npy", np.zeros((100, 120, 130), np.uint8)),
        "there are at most 64 channels",
    ),
    "four dimensions": (
        lambda d: npy(d / "a.npy", np.zeros((2, 5, 6, 7), np.uint8)),
        "has 4 dimensions (2 x 5 x 6 x 7)",
    ),
    "a vector": (lambda d: npy(d / "a.npy", np.zeros(9)), "has 1 dimensions (9)"),
    "no pixel": (lambda d: npy(d / "a.npy", np.zeros((0, 9))), "holds no pixel (shape 0 x 9)"),
    "structured": (
        lambda d: npy(d / "a.npy", np.zeros((4, 5), [("x", "u1")])),
        "holds values of type [('x', 'u1')]",
    ),
    "text array": (lambda d: npy(d / "a.npy", np.array([["a"]])), "holds values of type <U1"),
    "mask": (lambda d: npy(d / "a.npy", GREY > 9), "holds true/false values, a mask"),
    "complex": (lambda d: npy(d / "a.npy", GREY * 1j), "holds complex numbers (complex128)"),
    # -- values
    "NaN": (
        lambda d: npy(d / "a.npy", with_value(np.nan, 3)),
        "3 of 72 values are not finite (NaN or infinite)",
    ),
    "too large floats": (
        lambda d: npy(d / "a.npy", np.array([[1e300, 1]])),
        "holds values up to 1e+300, too large for float32",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_image_is_refused_with_its_path_and_reason(
    tmp_path, build, message, assert_refused
):
    assert_refused(build(tmp_path), message)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_changed_pixel_of_an_npz_is_noticed(tmp_path, save):
    file = tmp_path / "a.npz"
    save(file, image=GREY)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.npz: is a broken or truncated \.npz"):
        read_image(file)


def test_the_messages_differ():
    """Each reason has words of its own, but for what is broken in the same way."""
    assert len({message for _, message in MALFORMED.values()}) > 0.8 * len(MALFORMED)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_end_in_our_error_or_in_an_image(tmp_path, seed):
    """Whatever a bad disk does to a header, nothing else than an ImageError comes out."""
    random = np.random.RandomState(seed)
    image = FIELD[:2] >> 6
    built = [
        picture(tmp_path / "a.png", "L"),
        picture(tmp_path / "a.jpg", "RGB"),
        npz(tmp_path / "a.npz", image=image),
        npy(tmp_path / "a.npy", image),
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


@pytest.mark.parametrize("case", ["missing", "folder", "empty"])
def test_channel_names_of_broken_files_are_refused_too(tmp_path, case):
    build, message = MALFORMED[case]
    path = build(tmp_path)
    with pytest.raises(ImageError) as error:
        stored_channels(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
