"""Sites on disk: they come back as stored, whatever other processes, kills and crashes do."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from cloome_sk.imaging.cache import SiteCache
from cloome_sk.imaging.reading import ImageError

KEY = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32

COMMON = """
import sys
import numpy as np
from cloome_sk.imaging.cache import SiteCache

def site(number, n_values):
    values = np.random.default_rng(number).random(n_values, dtype=np.float32)
    return values.reshape(2, -1, 8)
"""


def program(body: str, *arguments: object) -> subprocess.Popen[str]:
    """A separate process; `site` makes the same pixels there as here."""
    code = COMMON + textwrap.dedent(body)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out


def site(number: int, n_values: int) -> np.ndarray:
    values = np.random.default_rng(number).random(n_values, dtype=np.float32)
    return values.reshape(2, -1, 8)


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def cache(tmp_path: Path) -> SiteCache:
    return SiteCache(tmp_path / "cache", {"scaling": "cloome"})


def test_many_sites_fill_the_rows_of_an_array(cache: SiteCache) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 7, 7), dtype=np.uint8)
    keys = [f"{number:032x}" for number in range(6)]
    for number in (0, 2, 3, 5):
        cache.store(keys[number], pixels[number])
    order = [5, 1, 0, 0, 4, 3]
    out = np.zeros((6, 3, 7, 7), dtype=np.uint8)

    found = cache.load_many([keys[number] for number in order], out)

    assert found.tolist() == [True, False, True, True, False, True]
    np.testing.assert_array_equal(out[found], pixels[order][found])
    assert cache.load_many([], out[:0]).tolist() == []
    with pytest.raises(ValueError, match="2 keys do not fill out= of 6 rows"):
        cache.load_many(keys[:2], out)


def test_sites_of_another_shape_or_depth_are_not_there(cache: SiteCache) -> None:
    cache.store(KEY, np.zeros((2, 4, 6), dtype=np.uint8))
    for shape, dtype in [((2, 6, 4), "u1"), ((2, 4, 6), "i1"), ((48,), "u1"), ((2, 4, 3), "u2")]:
        assert not cache.load_into(KEY, np.empty(shape, dtype=dtype))


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "0123", "ABCDEF0123456789", KEY + "\n"])
def test_a_key_is_never_a_path(cache: SiteCache, key: str) -> None:
    for action in (cache.load, cache.has, cache.path, lambda key: cache.store(key, np.zeros(2))):
        with pytest.raises(ValueError, match="not a key of a cached site"):
            action(key)


def test_arrays_that_cannot_be_filled_are_refused(cache: SiteCache) -> None:
    frozen = np.zeros((2, 3), dtype=np.uint8)
    frozen.flags.writeable = False
    for out in (frozen, np.zeros((4, 4), dtype=np.uint8)[:, ::2]):
        with pytest.raises(ValueError, match="C-contiguous array that can be written"):
            cache.load_into(KEY, out)
    with pytest.raises(ValueError, match="little-endian"):
        cache.load_into(KEY, np.zeros((2, 3), dtype=">u2"))


@pytest.mark.parametrize("dtype", [object, complex, "U3", "M8[s]", [("x", "u1")]])
def test_only_real_numbers_are_kept(cache: SiteCache, dtype: Any) -> None:
    with pytest.raises(TypeError, match="real numbers"):
        cache.store(KEY, np.zeros(3, dtype=dtype))
    with pytest.raises(TypeError, match="real numbers"):
        cache.load_into(KEY, np.zeros(3, dtype=dtype))
    assert files_in(cache.folder) == []


def test_other_settings_do_not_meet(tmp_path: Path) -> None:
    first = SiteCache(tmp_path, {"scaling": "cloome", "size": (52, 70)})
    first.store(KEY, np.zeros((1, 2, 2), dtype=np.uint8))
    for other in (
        {"scaling": "cloome", "size": (52, 71)},
        {"scaling": "cloome"},
        {"scaling": "none", "size": (52, 70)},
        b"cloome",
    ):
        assert SiteCache(tmp_path, other).load(KEY) is None
    assert SiteCache(tmp_path, {"size": [52, 70], "scaling": "cloome"}).has(KEY)
    assert (
        SiteCache(tmp_path / "elsewhere", {"scaling": "cloome", "size": (52, 70)}).load(KEY) is None
    )


def test_a_site_is_known_by_the_content_of_its_files(cache: SiteCache, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.tif" for name in ("dna", "er")]
    for path, content in zip(paths, (b"one", b"two"), strict=True):
        path.write_bytes(content)
    key = cache.key(paths)
    assert cache.path(key)

    copied = [Path(shutil.copy(path, tmp_path / f"copy-{path.name}")) for path in paths]
    assert cache.key(copied) == key
    os.utime(paths[0], (1, 1))
    assert cache.key(paths) == key
    moved = paths[0].rename(tmp_path / "moved.tif")
    assert cache.key([moved, paths[1]]) == key
    link = tmp_path / "link.tif"
    link.symlink_to(moved)
    assert cache.key([str(link), paths[1]]) == key

    different = [
        cache.key([paths[1], moved]),
        cache.key([moved]),
        cache.key([moved, paths[1], None]),
        cache.key([None, moved, paths[1]]),
        cache.key([moved, paths[1]], {"order": "ER|DNA"}),
        cache.key([moved, paths[1]], {"order": "DNA|ER"}),
    ]
    paths[1].write_bytes(b"owt")
    different.append(cache.key([moved, paths[1]]))
    assert len({key, *different}) == 1 + len(different)


def test_arrays_are_known_by_their_values(cache: SiteCache) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert cache.key([pixels]) == cache.key([np.asfortranarray(pixels)])
    other = [pixels.T, pixels.reshape(4, 3), pixels.astype(np.uint16), pixels + 1, pixels[:2]]
    assert len({cache.key([array]) for array in [pixels, *other]}) == 1 + len(other)


def test_a_missing_file_is_named(cache: SiteCache, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.tif: there is no such file"):
        cache.key([tmp_path / "absent.tif"])


STORE_ALL = """
folder, first, step, n_sites = sys.argv[1], *map(int, sys.argv[2:])
cache = SiteCache(folder, {})
for round in range(3):
    for number in range(n_sites)[first::step]:
        cache.store(f"{number:032x}", site(number, 4096))
        loaded = cache.load(f"{number:032x}")
        assert loaded is not None and (loaded == site(number, 4096)).all(), number
"""


@pytest.mark.parametrize(("starts", "step"), [((0, 0, 0), 1), ((0, 1, 2), 3)])
def test_processes_store_at_once(tmp_path: Path, starts: tuple[int, ...], step: int) -> None:
    n_sites = 60
    for process in [program(STORE_ALL, tmp_path, start, step, n_sites) for start in starts]:
        finish(process)

    cache = SiteCache(tmp_path, {})
    for number in range(n_sites):
        np.testing.assert_array_equal(cache.load(f"{number:032x}"), site(number, 4096))
    kept = files_in(tmp_path)
    assert len(kept) == n_sites
    assert all(path.suffix == ".npy" for path in kept)


STORE_FOREVER = """
cache = SiteCache(sys.argv[1], {})
sites = [site(number, 2**21) for number in range(3)]
print("ready", flush=True)
while True:
    for number in range(3):
        cache.store(f"{number:032x}", sites[number])
"""


def test_a_killed_writer_leaves_no_wrong_site(tmp_path: Path) -> None:
    expected = [site(number, 2**21) for number in range(3)]
    unfinished = tmp_path / "tmp"
    for attempt in range(12):
        process = program(STORE_FOREVER, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.003 * attempt)
        before = set(files_in(unfinished))
        give_up = time.monotonic() + 20
        while not set(files_in(unfinished)) - before and time.monotonic() < give_up:
            pass
        process.kill()
        process.communicate(timeout=60)
        cache = SiteCache(tmp_path, {})
        for number, pixels in enumerate(expected):
            loaded = cache.load(f"{number:032x}")
            assert loaded is None or (loaded == pixels).all()
        if len(files_in(unfinished)) == 3:
            break
    left = files_in(unfinished)
    assert len(left) == 3, "no writer was killed in mid-write"

    for number, pixels in enumerate(expected):
        cache.store(f"{number:032x}", pixels)
        np.testing.assert_array_equal(cache.load(f"{number:032x}"), pixels)

    # What is old is swept, what may still be written is not; by whatever settings.
    for path in left[:2]:
        os.utime(path, (time.time() - 7200,) * 2)
    SiteCache(tmp_path, {"other": 1})
    assert files_in(unfinished) == left[2:]


def test_workers_share_a_pickled_cache(cache: SiteCache, tmp_path: Path) -> None:
    images = []
    for number in range(8):
        images.append(tmp_path / f"{number}.tif")
        images[-1].write_bytes(bytes([number]) * 100)
    parallel = joblib.Parallel(n_jobs=2, backend="loky")

    keys = parallel(joblib.delayed(cache.key)([image]) for image in images)
    assert keys == [cache.key([image]) for image in images]
    parallel(
        joblib.delayed(cache.store)(key, np.full((2, 3, 3), number, dtype=np.uint8))
        for number, key in enumerate(keys)
    )
    loaded = parallel(joblib.delayed(cache.load)(key) for key in keys)

    assert [int(pixels.max()) for pixels in loaded] == list(range(8))
    out = np.empty((8, 2, 3, 3), dtype=np.uint8)
    assert cache.load_many(keys, out).all()
    assert out[:, 1, 2, 2].tolist() == list(range(8))


def test_a_pickled_cache_is_small_and_finds_the_same(
    cache: SiteCache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache.store(KEY, np.ones((1, 2, 2), dtype=np.uint8))
    pickled = pickle.dumps(cache)
    assert len(pickled) < 1000
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickled).has(KEY)
    relative = pickle.dumps(SiteCache("cache", {"scaling": "cloome"}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(relative).has(KEY)


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"file.*a file where a folder should be.*cache=None"):
            SiteCache(folder, {})


def test_a_file_in_the_way_within_the_folder_is_named(cache: SiteCache) -> None:
    (cache.folder / "tmp").write_text("")
    with pytest.raises(OSError, match=r"a file where a folder should be.*tmp"):
        cache.store(KEY, np.zeros(3))
    (cache.folder / "tmp").unlink()
    entry = Path(cache.path(KEY))
    entry.parent.parent.mkdir()
    entry.parent.write_text("")
    assert cache.load(KEY) is None
    with pytest.raises(OSError, match=rf"a file where a folder should be, in {entry.parent}"):
        cache.store(KEY, np.zeros(3))
    assert files_in(cache.folder / "tmp") == []


def test_a_read_only_folder_can_be_read(cache: SiteCache, tmp_path: Path) -> None:
    pixels = np.ones((1, 2, 2), dtype=np.uint8)
    cache.store(KEY, pixels)
    (cache.folder / "tmp").rmdir()
    image = tmp_path / "image.tif"
    image.write_bytes(b"pixels")
    cache.folder.chmod(0o555)
    if os.access(cache.folder, os.W_OK):
        pytest.skip("no folder is closed to this user")
    try:
        opened = SiteCache(cache.folder, {"scaling": "cloome"})
        np.testing.assert_array_equal(opened.load(KEY), pixels)
        with pytest.raises(PermissionError, match=rf"{cache.folder}.*Permission.*can be written"):
            opened.store(OTHER, pixels)
        with pytest.raises(PermissionError, match="Name a folder that can be written to"):
            SiteCache(cache.folder / "below", {})
    finally:
        cache.folder.chmod(0o755)


LIMITED = """
import resource
cache = SiteCache(sys.argv[1], {})
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    cache.store("0" * 32, site(0, 2**16))
except OSError as error:
    print(error)
cache.store("1" * 32, site(1, 1_024))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on files")
def test_a_write_that_stops_half_way_leaves_nothing(tmp_path: Path) -> None:
    message = finish(program(LIMITED, tmp_path))

    assert str(tmp_path) in message
    assert "Make room there" in message
    assert [path.stem for path in files_in(tmp_path)] == ["1" * 32]


def test_a_full_disk_is_named(cache: SiteCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=rf"{cache.folder}: No space left.*another disk") as caught:
        cache.store(KEY, np.zeros(3))
    assert caught.value.errno == errno.ENOSPC
    assert files_in(cache.folder) == []


def test_an_interrupt_leaves_nothing(cache: SiteCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(source: str, target: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.store(KEY, np.zeros(3))
    assert files_in(cache.folder) == []


def test_a_folder_deleted_in_between_is_made_again(cache: SiteCache) -> None:
    cache.store(KEY, np.zeros(3))
    shutil.rmtree(cache.folder)
    assert not cache.has(KEY)
    cache.store(KEY, np.ones(3))
    np.testing.assert_array_equal(cache.load(KEY), np.ones(3))


def test_no_file_stays_open(cache: SiteCache) -> None:
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        pytest.skip("cannot count open files here")
    before = len(list(handles.iterdir()))
    for number in range(20):
        cache.store(f"{number:032x}", np.zeros((1, 2, 2), dtype=np.uint8))
        cache.load(f"{number:032x}")
        cache.load(OTHER)
        cache.key([np.zeros(3)])
    assert len(list(handles.iterdir())) == before
