"""A process that is killed while it saves leaves the earlier folder, or none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cloome_sk

ROOT = str(Path(cloome_sk.__file__).parents[1])

PROGRAM = r"""
import json, os, shutil, signal, sys
from pathlib import Path
import joblib
from cloome_sk.storage import _files, save_embedder

place, earlier, late = Path(sys.argv[1]), joblib.load(sys.argv[2]), joblib.load(sys.argv[3])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class DiesAt:
    # The steps of a save: each write is stopped half-way, each other call before and after it.
    def __init__(self, step):
        self.left = step
    def step(self):
        self.left -= 1
        if self.left < 0:
            die()
    def around(self, function):
        def called(*arguments, **options):
            self.step()
            result = function(*arguments, **options)
            self.step()
            return result
        return called
    def open(self, function):
        def opened(path, *arguments, **options):
            file = function(path, *arguments, **options)
            if "x" in "".join(map(str, arguments)):
                write = file.write
                class Half:
                    def __enter__(inner): return inner
                    def __exit__(inner, *_): file.close()
                    def write(inner, content):
                        write(content[: len(content) // 2]); file.flush()
                        self.step()
                        write(content[len(content) // 2 :])
                    def flush(inner): file.flush()
                    def fileno(inner): return file.fileno()
                return Half()
            return file
        return opened

save_embedder(late, place / "first")  # so that a child finds everything imported
outcomes = []
for overwrite in (False, True):
    for step in range(200):
        folder = place / f"{overwrite}-{step}" / "model"
        folder.parent.mkdir()
        if overwrite:
            save_embedder(earlier, folder)
        child = os.fork()
        if not child:
            dies = DiesAt(step)
            _files.os.fsync = dies.around(os.fsync)
            Path.rename = dies.around(Path.rename)
            _files.shutil.rmtree = dies.around(shutil.rmtree)
            Path.open = dies.open(Path.open)
            try:
                save_embedder(late, folder, overwrite=overwrite)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        outcomes.append([overwrite, step, os.WIFSIGNALED(status)])
        if not os.WIFSIGNALED(status):
            assert status == 0
            break
print(json.dumps(outcomes))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_save_leaves_the_earlier_folder_or_none(kit, wells, fitted, tmp_path):
    import joblib

    late = kit.small(random_state=1).fit(wells)
    expected = {"earlier": fitted.transform(wells), "late": late.transform(wells)}
    joblib.dump(fitted, tmp_path / "earlier.joblib")
    joblib.dump(late, tmp_path / "late.joblib")
    place = tmp_path / "place"
    place.mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-c", PROGRAM, str(place)),
            *(str(tmp_path / "earlier.joblib"), str(tmp_path / "late.joblib")),
        ],
        env={**os.environ, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    seen = {}
    for overwrite, step, killed in outcomes:
        folder = place / f"{overwrite}-{step}" / "model"
        if not folder.exists():
            what = "none"
            if overwrite:  # between the two steps; the earlier one is found by what load says
                with pytest.raises(FileNotFoundError, match="left the one before") as caught:
                    kit.load(folder)
                kept = Path(str(caught.value).rpartition(": ")[2].rstrip("."))
                got = kit.load(kept).transform(wells)
                np.testing.assert_array_equal(got, expected["earlier"])
        else:
            got = kit.load(folder).transform(wells)
            what = next(name for name, Z in expected.items() if np.array_equal(Z, got))
        seen.setdefault(overwrite, []).append(what)
        assert killed or what == "late"
    # 3 writes, 5 syncs and a move: each of them was reached.
    assert len(seen[False]) > 10
    assert seen[False] == sorted(seen[False], key=["none", "late"].index)
    assert seen[True] == sorted(seen[True], key=["earlier", "none", "late"].index)
    assert set(seen[False]) == {"none", "late"}
    assert set(seen[True]) == {"earlier", "none", "late"}
