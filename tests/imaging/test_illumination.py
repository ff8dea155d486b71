"""Illumination correction, beside a division in double precision and on a real plate."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cloome_sk.imaging import illumination
from cloome_sk.imaging.illumination import (
    correct_illumination,
    illumination_function,
    read_illumination,
)
from cloome_sk.imaging.reading import ImageError

FUNCTION = np.array([[1.0, 1.5, 2.0], [1.25, 1.75, 2.5]])


def variation(image: np.ndarray) -> float:
    """Coefficient of variation among the means of 8 x 8 squares: shading, without the cells."""
    height, width = (side // 8 for side in image.shape)
    squares = image[: 8 * height, : 8 * width].reshape(8, height, 8, width).mean(axis=(1, 3))
    return float(squares.std() / squares.mean())


@pytest.mark.real_data
@pytest.mark.parametrize("channel", [1, 2])
def test_the_functions_of_a_real_plate_make_its_mean_field_flatter(data_home: Path, channel):
    plate = data_home / "images/sbs_plate"
    function = read_illumination(plate / f"Channel{channel}ILLUM.npz")
    stored = np.load(plate / f"Channel{channel}ILLUM.npz", allow_pickle=False)["illum"]
    np.testing.assert_array_equal(function, stored)

    paths = sorted(plate.glob(f"Channel{channel}-*.tif"))
    assert len(paths) == 24
    fields = np.stack([tifffile.imread(path) for path in paths])
    corrected = np.stack([correct_illumination(field, function) for field in fields])
    before, after = variation(fields.mean(axis=0)), variation(corrected.mean(axis=0))
    assert after < 0.85 * before
    # The other way round, or upside down, it is not the correction.
    assert variation((fields * function).mean(axis=0)) > before
    assert variation((fields / function[::-1]).mean(axis=0)) > 1.1 * after


@pytest.mark.real_data
def test_real_fields_are_divided_as_in_double_precision(data_home: Path):
    plate = data_home / "images/sbs_plate"
    functions = np.stack([read_illumination(plate / f"Channel{c}ILLUM.npz") for c in (1, 2)])
    fields = np.stack([tifffile.imread(plate / f"Channel{c}-01-A-01.tif") for c in (1, 2)])
    found = correct_illumination(fields, functions)
    assert found.dtype == np.float32
    expected = fields.astype(np.float64) / functions.astype(np.float64)
    np.testing.assert_allclose(found, expected, rtol=2**-23)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64, ">u2"])
def test_any_depth_is_divided_and_nothing_is_clipped(dtype):
    image = np.array([[0, 3, 200], [100, 7, 255]]).astype(dtype)
    functions = FUNCTION / 10
    found = correct_illumination(image, functions)
    assert found.dtype == np.float32
    assert found.dtype.isnative
    np.testing.assert_allclose(found, image / functions, rtol=1e-6)
    assert found.max() > 255


def test_stacks_and_single_channels():
    image = np.random.default_rng(0).integers(0, 65_536, (2, 3, 4), dtype=np.uint16)
    functions = np.random.default_rng(1).uniform(0.5, 2, (2, 3, 4)).astype(np.float32)
    before = image.copy()
    found = correct_illumination(image, functions)
    np.testing.assert_array_equal(image, before)
    for plane, function, corrected in zip(image, functions, found, strict=True):
        np.testing.assert_array_equal(correct_illumination(plane, function), corrected)


@pytest.mark.parametrize("shape", [(2, 2, 3), (3, 2), (1, 2, 3)])
def test_shapes_that_differ_are_named(shape):
    message = rf"image has shape \({', '.join(map(str, shape))}\) .* functions \(2, 3\)"
    with pytest.raises(ValueError, match=message):
        correct_illumination(np.ones(shape), FUNCTION)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_functions_that_are_not_above_zero_are_refused(bad):
    function = FUNCTION.copy()
    function[1, 1] = bad
    with pytest.raises(ValueError, match="not above zero"):
        correct_illumination(np.ones((2, 3)), function)


def test_images_that_are_no_intensities_are_refused():
    with pytest.raises(TypeError, match="holds bool"):
        correct_illumination(np.ones((2, 3), dtype=bool), FUNCTION)


class TestReading:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_npy_npz_and_tiff(self, tmp_path: Path, dtype):
        function = FUNCTION.astype(dtype)
        np.save(tmp_path / "a.npy", function)
        np.savez(tmp_path / "b.npz", whatever=function)
        np.savez_compressed(tmp_path / "c.npz", function)
        tifffile.imwrite(tmp_path / "d.tiff", function.astype(np.float32))
        np.save(tmp_path / "e.npy", function[np.newaxis])
        for path in sorted(tmp_path.iterdir()):
            for given in (path, str(path)):
                found = read_illumination(given)
                assert found.dtype == np.float32
                np.testing.assert_array_equal(found, FUNCTION)

    def test_the_file_may_go_once_it_is_read(self, tmp_path: Path):
        path = tmp_path / "a.npy"
        np.save(path, FUNCTION.astype(np.float32))
        found = read_illumination(path)
        with path.open("r+b") as file:
            file.truncate(130)
        np.testing.assert_array_equal(found, FUNCTION)
        assert found.flags.writeable

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (np.ones(5), "dimension"),
            (np.ones((2, 4, 5)), r"shape \(2, 4, 5\); an illumination function is \(height, width"),
            (np.ones((1, 1, 4, 5)), "dimension"),
            (np.array([[1.0, 0.0]]), "1 of 2 values are zero"),
            (np.array([[1.0, -2.0]]), "negative"),
            (np.array([[1.0, np.nan]]), "not finite"),
            (np.array([[1.0, np.inf]]), "not finite"),
            (np.array([[1.0, None]], dtype=object), "pickle"),
            (np.array([["1", "2"]]), "values of type"),
            (np.ones((2, 0)), "no pixel"),
        ],
    )
    def test_arrays_that_are_no_function(self, tmp_path: Path, content, reason):
        np.save(tmp_path / "illum.npy", content, allow_pickle=True)
        np.savez(tmp_path / "illum.npz", content)
        for name in ("illum.npy", "illum.npz"):
            with pytest.raises(ImageError, match=reason) as caught:
                read_illumination(tmp_path / name)
            assert str(caught.value).startswith(str(tmp_path / name))
            with pytest.raises(ImageError, match=reason):
                illumination_function(tmp_path / name)

    def test_files_that_are_no_function(self, tmp_path: Path):
        np.savez(tmp_path / "two.npz", a=FUNCTION, b=FUNCTION)
        with pytest.raises(ImageError, match=r"two\.npz: holds 2 arrays \(a, b\)"):
            read_illumination(tmp_path / "two.npz")
        np.save(tmp_path / "cut.npy", np.ones((40, 40)))
        with (tmp_path / "cut.npy").open("r+b") as file:
            file.truncate(500)
        with pytest.raises(ImageError, match=r"cut\.npy: is a broken or truncated"):
            read_illumination(tmp_path / "cut.npy")
        for read in (read_illumination, illumination_function):
            with pytest.raises(ImageError, match=r"absent\.npy"):
                read(tmp_path / "absent.npy")

    @pytest.mark.parametrize("read", [read_illumination, illumination_function])
    @pytest.mark.parametrize("bad", [FUNCTION, None, 3, np.nan])
    def test_what_is_no_path(self, read, bad):
        with pytest.raises(TypeError, match="expected the path of an illumination function"):
            read(bad)


class TestKeeping:
    @pytest.fixture(autouse=True)
    def reads(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Paths as they are read, from an empty memory on."""
        illumination._kept.cache_clear()
        reads: list[str] = []

        def recorded(path: str) -> np.ndarray:
            reads.append(Path(path).name)
            return read_illumination(path)

        monkeypatch.setattr(illumination, "read_illumination", recorded)
        return reads

    def test_a_file_is_read_once(self, tmp_path: Path, reads: list[str]):
        np.save(tmp_path / "a.npy", FUNCTION)
        np.save(tmp_path / "b.npy", 2 * FUNCTION)
        for _ in range(50):
            np.testing.assert_array_equal(illumination_function(tmp_path / "a.npy"), FUNCTION)
            np.testing.assert_array_equal(
                illumination_function(str(tmp_path / "b.npy")), 2 * FUNCTION
            )
        assert reads == ["a.npy", "b.npy"]

    def test_ten_are_kept(self, tmp_path: Path, reads: list[str]):
        for place in range(11):
            np.save(tmp_path / f"{place}.npy", FUNCTION)
        for _ in range(3):
            for place in range(10):
                illumination_function(tmp_path / f"{place}.npy")
        assert len(reads) == 10
        illumination_function(tmp_path / "10.npy")
        illumination_function(tmp_path / "0.npy")
        assert reads[10:] == ["10.npy", "0.npy"]

    def test_a_changed_file_is_read_again(self, tmp_path: Path, reads: list[str]):
        path = tmp_path / "a.npy"
        np.save(path, FUNCTION)
        illumination_function(path)
        before = path.stat()
        np.save(path, 2 * FUNCTION)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        np.testing.assert_array_equal(illumination_function(path), 2 * FUNCTION)
        np.save(path, FUNCTION[:1])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        np.testing.assert_array_equal(illumination_function(path), FUNCTION[:1])
        assert len(reads) == 3

    def test_what_is_shared_cannot_be_written_to(self, tmp_path: Path):
        np.save(tmp_path / "a.npy", FUNCTION)
        with pytest.raises(ValueError, match="read-only"):
            illumination_function(tmp_path / "a.npy")[0, 0] = 9

    def test_a_failure_is_not_kept(self, tmp_path: Path):
        path = tmp_path / "a.npy"
        with pytest.raises(ImageError):
            illumination_function(path)
        np.save(path, FUNCTION)
        np.testing.assert_array_equal(illumination_function(path), FUNCTION)
