"""Hashes of image files: those of the content, read again only when a file changed."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cloome_sk.imaging import _fingerprints, _hash_table
from cloome_sk.imaging._fingerprints import ContentHashes, settings_hash
from cloome_sk.imaging.reading import ImageError

EXAMPLE = ("ERSyto.tif", "ERSytoBleed.tif", "Hoechst.tif", "Mito.tif", "Ph_golgi.tif")


def expected(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()[:16]


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old enough to be remembered from the start."""
    monkeypatch.setattr(_fingerprints, "SETTLED_NS", -(10**12))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose content was read."""
    names: list[str] = []
    digest = hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        names.append(Path(file.name).name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return names


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.tif" for number in range(4)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 1000)
    return paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "hashes"


def test_hashes_are_those_of_the_content(images: list[Path], folder: Path) -> None:
    hashes = ContentHashes(folder)
    assert hashes.of([*images, None, str(images[0])]) == [
        *map(expected, images),
        None,
        expected(images[0]),
    ]


@pytest.mark.real_data
def test_real_fields_are_read_once(
    data_home: Path, folder: Path, settled: None, reads: list[str]
) -> None:
    paths = [data_home / "images" / "cloome_example" / name for name in EXAMPLE]
    first = ContentHashes(folder).of(paths)
    assert first == list(map(expected, paths))
    assert len(set(first)) == 5
    assert ContentHashes(folder).of(paths) == first
    assert reads == list(EXAMPLE)


def test_files_that_stay_as_they_are_are_read_once(
    images: list[Path], folder: Path, settled: None, reads: list[str]
) -> None:
    first = ContentHashes(folder)
    first.of(images[:3])
    first.of(images[:3])
    assert reads == ["0.tif", "1.tif", "2.tif"]
    again = ContentHashes(folder)
    assert again.of(images) == list(map(expected, images))
    assert reads == ["0.tif", "1.tif", "2.tif", "3.tif"]
    assert pickle.loads(pickle.dumps(first)).of(images) == list(map(expected, images))
    assert len(reads) == 4


def test_the_table_is_read_once_a_process(
    images: list[Path], folder: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = ContentHashes(folder)
    hashes.of(images)

    def never(folder: Path) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(_hash_table, "HashTable", never)
    assert pickle.loads(pickle.dumps(hashes)).of(images) == list(map(expected, images))


def test_a_changed_file_has_another_hash(images: list[Path], folder: Path, settled: None) -> None:
    hashes = ContentHashes(folder)
    path = images[0]
    before = path.stat()
    hashes.of([path])
    # Longer than any clock of a local file system takes to move on.
    time.sleep(0.05)
    with open(path, "r+b") as file:
        file.write(b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert hashes.of([path]) == [expected(path)]

    replacement = path.with_suffix(".new")
    replacement.write_bytes(b"y" * before.st_size)
    os.utime(replacement, ns=(before.st_atime_ns, before.st_mtime_ns))
    replacement.rename(path)
    assert hashes.of([path]) == [expected(path)]


@pytest.mark.parametrize("part", ["st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"])
def test_every_part_of_the_status_counts(part: str) -> None:
    status = SimpleNamespace(st_ino=1, st_size=2, st_mtime_ns=3, st_ctime_ns=4)
    stamp = _fingerprints._stamp("image.tif", status)
    assert stamp == _fingerprints._stamp("image.tif", SimpleNamespace(**vars(status)))
    # Inodes are those of one disk; the path tells the disk.
    assert stamp != _fingerprints._stamp("other.tif", status)
    setattr(status, part, 23)
    assert stamp != _fingerprints._stamp("image.tif", status)


def test_a_link_that_leads_elsewhere_has_another_hash(
    images: list[Path], folder: Path, tmp_path: Path, settled: None
) -> None:
    hashes = ContentHashes(folder)
    link = tmp_path / "link"
    for path in images:
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        assert hashes.of([link]) == [expected(path)]


def test_a_file_just_written_is_not_relied_on(
    images: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file system whose clock does not move between two changes of one size.
    monkeypatch.setattr(_fingerprints, "_stamp", lambda path, status: path[-16:].encode())
    hashes = ContentHashes(folder)
    for content in (b"a", b"b", b"c"):
        images[0].write_bytes(content)
        assert hashes.of(images[:1]) == [expected(images[0])]
    assert not folder.exists()


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    images: list[Path], folder: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.file_digest

    def interrupted(file: Any, name: str) -> Any:
        found = digest(file, name)
        with open(images[0], "ab") as other:
            other.write(b"more")
        return found

    hashes = ContentHashes(folder)
    with monkeypatch.context() as context:
        context.setattr(hashlib, "file_digest", interrupted)
        hashes.of(images[:1])
    assert not folder.exists()
    assert hashes.of(images[:1]) == [expected(images[0])]


def test_damaged_lines_are_passed_over(
    images: list[Path], folder: Path, settled: None, reads: list[str]
) -> None:
    ContentHashes(folder).of(images)
    (table,) = folder.iterdir()
    whole = table.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 4
    digit = b"0" if lines[1][40:41] != b"0" else b"1"
    flipped = lines[1][:40] + digit + lines[1][41:]
    text = b" ".join([whole[:32], b"0" * 64])
    other_layout = b"%b %08x\n" % (text, zlib.crc32(text))
    for damaged, n_read in [
        (whole, 0),
        (whole[:-20], 1),
        (whole[:-1], 0),
        (lines[0][:30] + lines[1] + lines[2] + lines[3], 2),
        (lines[0] + flipped + lines[2] + lines[3], 1),
        (bytes(100) + b"\n" + b"\xff\xfe\n" + "é\n".encode() + whole, 0),
        (whole[:150] + bytes(150), 2),
        (other_layout + whole[:-1], 0),
        (other_layout, 4),
        (b"", 4),
    ]:
        for path in folder.iterdir():
            path.unlink()
        table.write_bytes(damaged)
        reads.clear()
        assert ContentHashes(folder).of(images) == list(map(expected, images))
        assert len(reads) == n_read, damaged


PROGRAM = """
import sys, time
from cloome_sk.imaging import _fingerprints
_fingerprints.SETTLED_NS = -10**12
hashes = _fingerprints.ContentHashes(sys.argv[1])
for path in sys.argv[2:] * 20:
    _fingerprints.forget_table(hashes.folder)
    hashes.of([path])
"""


def test_processes_add_to_one_table(
    images: list[Path], folder: Path, settled: None, reads: list[str]
) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder), *map(str, chosen)])
        for chosen in (images[:3], images[1:])
    ]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert ContentHashes(folder).of(images) == list(map(expected, images))
    assert reads == []


def test_a_table_that_cannot_be_kept_is_said_once(
    images: list[Path], folder: Path, settled: None
) -> None:
    folder.parent.mkdir()
    folder.write_text("")
    hashes = ContentHashes(folder)
    with pytest.warns(UserWarning, match=r"cannot remember.*hashes.*every run reads all images"):
        assert hashes.of(images[:2]) == list(map(expected, images[:2]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hashes.of(images) == list(map(expected, images))


def test_folders_are_hashed_by_all_that_is_in_them(tmp_path: Path, folder: Path) -> None:
    store = tmp_path / "image.zarr"
    (store / "0").mkdir(parents=True)
    (store / ".zattrs").write_text("{}")
    (store / "0" / "0.0").write_bytes(b"chunk")
    hashes = ContentHashes(folder)

    def now() -> bytes | None:
        return hashes.of([store])[0]

    seen = [now()]
    assert now() == seen[0]
    (store / "0" / "0.0").write_bytes(b"knuhc")
    seen.append(now())
    (store / "0" / "0.0").rename(store / "0" / "0.1")
    seen.append(now())
    (store / "0" / "0.1").rename(store / "0.1")
    seen.append(now())
    (store / "empty").write_bytes(b"")
    seen.append(now())
    assert len(set(seen)) == len(seen)
    assert hashes.of([store.rename(tmp_path / "moved.zarr")]) == [seen[-1]]


def test_what_is_not_an_image_is_refused(tmp_path: Path, folder: Path) -> None:
    hashes = ContentHashes(folder)
    with pytest.raises(ImageError, match=r"absent.*there is no such file") as caught:
        hashes.of([tmp_path / "absent.tif"])
    assert str(caught.value.path).endswith("absent.tif")
    for wrong in (3, float("nan"), b"bytes", [tmp_path]):
        with pytest.raises(TypeError, match="an image is a path or an array"):
            hashes.of([wrong])
    with pytest.raises(TypeError, match="not Python objects"):
        hashes.of([np.array([None])])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path, folder: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(ImageError, match="is neither a file nor a folder"):
        ContentHashes(folder).of([tmp_path / "pipe.tif"])


def test_settings_are_hashed_by_value() -> None:
    settings = {"size": (1, 2), "limits": np.array([[0.0, 1.0]]), "names": None, "x": np.float32(2)}
    same = {"x": 2.0, "names": None, "limits": np.array([[0.0, 1.0]]), "size": [1, 2]}
    assert settings_hash(settings) == settings_hash(same)
    others: list[Any] = [
        {**settings, "size": (2, 1)},
        {**settings, "limits": np.array([[0.0, 1.5]])},
        {**settings, "limits": np.array([0.0, 1.0])},
        {**settings, "names": ""},
        {**settings, "x": None},
        {**settings, "more": {"deep": [1]}},
        {**settings, "more": {"deep": [2]}},
        {},
        b"",
        b"x",
    ]
    assert len({settings_hash(item) for item in [settings, *others]}) == 1 + len(others)


@pytest.mark.parametrize("value", [len, object(), {1, 2}, {1: 2}, np.array([None]), 1j, Path("x")])
def test_settings_whose_value_is_uncertain_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot tell for certain|Python objects"):
        settings_hash({"preprocess": value})
