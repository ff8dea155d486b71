"""Training that is killed, and goes on to the result it would have had."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.training.snapshots import SnapshotError

PROGRAM = """
import sys, time
from pathlib import Path
import joblib
from tests_resume import embedder, table
from cloome_sk.training import snapshots

folder, out, slow = sys.argv[1:4]
if slow != "0":
    write = snapshots.torch.save
    def save(state, file):  # so that kills fall into the middle of a file too
        write(state, file)
        data = Path(file.name).read_bytes()
        file.seek(0); file.truncate()
        for start in range(0, len(data), len(data) // 8):
            file.write(data[start:start + len(data) // 8]); file.flush()
            time.sleep(float(slow))
    snapshots.torch.save = save
fitted = embedder(folder).fit(table(), resume=True)
joblib.dump((fitted.state_, fitted._history), out)
"""


def table():
    return make_profiles(n_compounds=40, random_state=0)


def embedder(folder, **changes):
    chosen = {
        "phenotype": ProfileEncoder(hidden_sizes=(32,), dropout=0.2),
        "molecule": MoleculeEncoder(hidden_sizes=(32,), input_dropout=0.2),
        "n_components": 16,
        "batch_size": 32,
        "max_epochs": 5,
        "random_state": 3,
        "validation": 0.2,
        "keep": "best",
        "ema_decay": 0.9,
        "clip_norm": 1.0,
        "schedule": "cosine",
        "objective": "siglip",
        "checkpoint_dir": folder,
        "checkpoint_every": 3,
    }
    return CloomeEmbedder(**{**chosen, **changes})


SHARED = """
from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
""" + "".join(map(inspect.getsource, (table, embedder)))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return embedder(tmp_path_factory.mktemp("whole")).fit(table())


def assert_same(state, history, fitted):
    assert state.keys() == fitted.state_.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(value, fitted.state_[name], err_msg=name)
    assert history == fitted._history


@pytest.mark.parametrize("seed", [0, 1])
def test_a_training_that_is_killed_again_and_again(expected, tmp_path, seed):
    (tmp_path / "tests_resume.py").write_text(SHARED)
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    out = tmp_path / "out.joblib"
    rng = np.random.default_rng(seed)
    folder = tmp_path / "states"
    killed, written, partial = 0, set(), 0
    while killed < 6:
        command = [sys.executable, tmp_path / "program.py", folder, out, "0.02"]
        process = subprocess.Popen(command, env=environment)
        before = set(folder.rglob("*.pt"))
        # Kill at some moment after it began to write anew.
        while process.poll() is None and set(folder.rglob("*.pt")) <= before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.4))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
        partial += len(list(folder.rglob("*.tmp")))
        written |= {path.name for path in folder.rglob("*.pt")}
    assert killed >= 2
    assert len(written) >= 2
    subprocess.run(
        [sys.executable, tmp_path / "program.py", folder, out, "0"], env=environment, check=True
    )
    assert_same(*joblib.load(out), expected)
    assert not list(folder.rglob("*.tmp"))


class StoppedError(Exception):
    """Ends a training from within."""


def stop_after(monkeypatch, n_updates):
    from cloome_sk.training.net import ContrastiveNet

    original, made = ContrastiveNet.train_step, []

    def step(self, batch, **fit_params):
        if len(made) == n_updates:
            raise StoppedError
        made.append(1)
        return original(self, batch, **fit_params)

    monkeypatch.setattr(ContrastiveNet, "train_step", step)
    return made


@pytest.mark.parametrize("n_updates", [1, 3, 7, 11, 13])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": "infonce", "ema_decay": None, "keep": "last", "schedule": "one-cycle"},
        {"validation": None, "keep": "last", "checkpoint_every": None, "schedule": None},
    ],
)
def test_resuming_gives_the_same_bits(tmp_path, monkeypatch, n_updates, changes):
    whole = embedder(tmp_path / "whole", **changes).fit(table())
    with monkeypatch.context() as patch:
        stop_after(patch, n_updates)
        with pytest.raises(StoppedError):
            embedder(tmp_path / "broken", **changes).fit(table())
    with monkeypatch.context() as patch:
        made = stop_after(patch, 10**9)
        resumed = embedder(tmp_path / "broken", **changes).fit(table(), resume=True)
    assert_same(resumed.state_, resumed._history, whole)
    if n_updates >= 7:
        n_all = 5 * -(-whole.n_pairs_ // 32)
        assert len(made) < n_all  # it did not begin anew


def test_a_complete_training_is_read_back(tmp_path, monkeypatch):
    whole = embedder(tmp_path).fit(table())
    made = stop_after(monkeypatch, 0)
    resumed = embedder(tmp_path).fit(table(), resume=True)
    assert not made
    assert_same(resumed.state_, resumed._history, whole)


def test_other_parameters_and_data_never_meet(tmp_path):
    X = table()
    embedder(tmp_path, max_epochs=1).fit(X)
    embedder(tmp_path, max_epochs=1, lr=1e-4).fit(X)
    embedder(tmp_path, max_epochs=1, random_state=4).fit(X)
    embedder(tmp_path, max_epochs=1).fit(X.iloc[:-2])
    embedder(tmp_path, max_epochs=1).set_params(phenotype__dropout=0.1).fit(X)
    assert len(list(Path(tmp_path).iterdir())) == 5
    embedder(tmp_path, max_epochs=1, verbose=0).fit(X)
    assert len(list(Path(tmp_path).iterdir())) == 5


def test_folds_of_a_cross_validation_have_folders_of_their_own(tmp_path):
    X = table()
    X = X[X["Metadata_control_type"].isna()].reset_index(drop=True)
    y = X["Metadata_moa"] == X["Metadata_moa"].iloc[0]
    model = make_pipeline(embedder(tmp_path, max_epochs=1, controls=None), LogisticRegression())
    first = cross_val_score(model, X, y, cv=KFold(3))
    assert len(list(tmp_path.iterdir())) == 3
    params = {"cloomeembedder__resume": True}
    again = cross_val_score(model, X, y, cv=KFold(3), params=params)
    np.testing.assert_array_equal(again, first)


def test_a_damaged_state_is_passed_over(tmp_path, expected):
    whole = embedder(tmp_path).fit(table())
    newest = sorted(tmp_path.rglob("*.pt"))[-1]
    data = newest.read_bytes()
    newest.write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match=newest.name):
        resumed = embedder(tmp_path).fit(table(), resume=True)
    assert_same(resumed.state_, resumed._history, whole)
    for path in tmp_path.rglob("*.pt"):
        path.write_bytes(b"nothing")
    with pytest.raises(SnapshotError, match="can be read"):
        embedder(tmp_path).fit(table(), resume=True)


def test_a_full_disk(tmp_path, monkeypatch):
    from cloome_sk.training import snapshots

    done = []

    def save(state, file):
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        done.append(1)
        original(state, file)

    original = snapshots.torch.save
    with monkeypatch.context() as patch:
        patch.setattr(snapshots.torch, "save", save)
        with pytest.raises(SnapshotError, match="the disk is full"):
            embedder(tmp_path).fit(table())
    assert len(list(tmp_path.rglob("*"))) == 3  # a folder, two states, nothing half-written
    whole = embedder(tmp_path / "other").fit(table())
    resumed = embedder(tmp_path).fit(table(), resume=True)
    assert_same(resumed.state_, resumed._history, whole)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "states").write_text("")
    with pytest.raises(OSError, match="states"):
        embedder(tmp_path / "states").fit(table())


def test_resume_needs_a_folder():
    with pytest.raises(ValueError, match="checkpoint_dir"):
        embedder(None, checkpoint_every=None).fit(table(), resume=True)
    with pytest.raises(ValueError, match="checkpoint_every=3"):
        embedder(None).fit(table())


def test_a_failed_fit_leaves_the_earlier_one(tmp_path, monkeypatch):
    fitted = embedder(tmp_path).fit(table())
    before = fitted.state_
    stop_after(monkeypatch, 4)
    with pytest.raises(StoppedError):
        fitted.fit(table())
    assert fitted.state_ is before
