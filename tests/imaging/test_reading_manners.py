"""Limits, handles, logs and imports of the readers."""

from __future__ import annotations

import json
import logging
import os
import pickle
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cloome_sk.imaging import MAX_PIXELS, ImageError, read_image

RNG = np.random.RandomState(0)
GREY16 = RNG.randint(0, 2**16, (41, 53)).astype(np.uint16)
GREY8 = RNG.randint(0, 2**8, (41, 53)).astype(np.uint8)
FIELD = RNG.randint(0, 2**16, (5, 41, 53)).astype(np.uint16)


def test_the_limit_counts_values_and_is_exact(tmp_path):
    tifffile.imwrite(tmp_path / "image.tif", FIELD, photometric="minisblack")
    np.save(tmp_path / "image.npy", FIELD)
    Image.fromarray(GREY8).save(tmp_path / "image.png")
    for name, size in [
        ("image.tif", FIELD.size),
        ("image.npy", FIELD.size),
        ("image.png", 41 * 53),
    ]:
        assert read_image(tmp_path / name, max_pixels=size).size == size
        with pytest.raises(ImageError, match=f"{size:,} values.*max_pixels={size - 1:,}"):
            read_image(tmp_path / name, max_pixels=size - 1)
    assert MAX_PIXELS == 2**28


def test_an_image_that_pillow_alone_would_warn_of(tmp_path, monkeypatch):
    """Pillow's limit is a setting of the process; ours decides, and Pillow's stays untouched."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(GREY8).save(tmp_path / "image.png")
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), GREY8, strict=True)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("limit", [0, -1, 2.5, "many", True, None])
def test_a_limit_that_is_none(limit):
    with pytest.raises(ValueError, match=r"max_pixels=.* is not a positive integer"):
        read_image(GREY8, max_pixels=limit)


@pytest.mark.parametrize("source", [None, 3, b"image.tif", float("nan"), [[1, 2]]])
def test_what_is_neither_path_nor_array(source):
    with pytest.raises(TypeError, match="a path or an array, got"):
        read_image(source)


def test_an_error_crosses_process_borders():
    error = pickle.loads(pickle.dumps(ImageError("A01.tif", "is empty")))
    assert (error.path, error.reason, str(error)) == ("A01.tif", "is empty", "A01.tif: is empty")


def test_no_file_stays_open(tmp_path):
    if not Path("/proc/self/fd").exists():
        pytest.skip("open files are counted through /proc")
    tifffile.imwrite(tmp_path / "pages.tif", FIELD, photometric="minisblack")
    tifffile.imwrite(tmp_path / "plain.tif", GREY16, metadata=None)
    (tmp_path / "cut.tif").write_bytes((tmp_path / "pages.tif").read_bytes()[:1000])
    Image.fromarray(GREY8).save(tmp_path / "image.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "image.png").read_bytes()[:500])
    np.savez(tmp_path / "image.npz", a=GREY8)
    np.savez(tmp_path / "two.npz", a=GREY8, b=GREY8)
    np.save(tmp_path / "image.npy", GREY8)
    read_image(tmp_path / "pages.tif")  # what the libraries open once is open now
    before = len(os.listdir("/proc/self/fd"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for file in sorted(tmp_path.iterdir()):
            try:
                read_image(file)
            except ImageError:
                assert file.stem in ("cut", "two")
    assert len(os.listdir("/proc/self/fd")) == before


def test_tifffile_is_silenced_for_our_files_only(tmp_path, caplog, run_script):
    tifffile.imwrite(tmp_path / "pages.tif", FIELD, photometric="minisblack", metadata=None)
    cut = tmp_path / "cut.tif"
    data = bytearray((tmp_path / "pages.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "pages.tif") as tiff:
        page = tiff.pages[3].offset  # the chain of pages is broken here
    data[page : page + 2] = b"\xff\xff"
    cut.write_bytes(data)
    with caplog.at_level(logging.WARNING, "tifffile"):
        with pytest.raises(ImageError, match="is a broken or truncated TIFF: corrupted tag list"):
            read_image(cut)
        assert caplog.records == []
        with tifffile.TiffFile(cut) as tiff:
            assert len(tiff.pages) == 3
        assert "corrupted tag list" in caplog.text
    script = "import sys; from cloome_sk.imaging import read_image\n"
    script += "try: read_image(sys.argv[1])\nexcept ValueError as error: print(error)"
    assert str(cut) in run_script(script, cut)


def test_many_threads_read_at_once(tmp_path):
    files = []
    for index in range(8):
        file = tmp_path / f"{index}.tif"
        tifffile.imwrite(file, FIELD + index, photometric="minisblack", metadata=None)
        files.append(file)
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(10):
            if not np.array_equal(read_image(files[index]), FIELD + index):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_reading_a_tiff_needs_no_other_reader(tmp_path, run_script):
    """A table of plain TIFFs loads no tifffile, no Pillow, no zarr, and never torch."""
    tifffile.imwrite(tmp_path / "image.tif", GREY16, metadata=None)
    script = """
import json, sys
from cloome_sk.imaging import read_image
read_image(sys.argv[1])
print(json.dumps([name for name in ("tifffile", "PIL", "zarr", "torch") if name in sys.modules]))
"""
    assert json.loads(run_script(script, tmp_path / "image.tif")) == []
