"""States that cannot be kept, removed or gone on from, and what is said about it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch.optim.lr_scheduler import LambdaLR

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.training import snapshots
from cloome_sk.training.snapshots import SnapshotError, Snapshots


@pytest.fixture(scope="module", name="X")
def table():
    return make_profiles(n_compounds=24, random_state=0)


def embedder(folder, **changes):
    chosen = {
        "phenotype": ProfileEncoder(hidden_sizes=(16,)),
        "molecule": MoleculeEncoder(hidden_sizes=(16,)),
        "n_components": 8,
        "batch_size": 32,
        "max_epochs": 3,
        "random_state": 3,
        "checkpoint_dir": folder,
    }
    return CloomeEmbedder(**{**chosen, **changes})


@pytest.mark.parametrize(("release", "named"), [("0.0.7", "cloome_sk 0.0.7"), (None, "an earlier")])
def test_a_state_of_another_release_is_not_gone_on_from(X, tmp_path, release, named):
    embedder(tmp_path).fit(X)
    for path in tmp_path.rglob("*.pt"):
        state = torch.load(path)
        assert state.pop("release") == snapshots.__version__
        torch.save(state if release is None else {**state, "release": release}, path)
    with pytest.raises(SnapshotError, match=rf"{named}.*without resume=True"):
        embedder(tmp_path).fit(X, resume=True)
    assert len(list(tmp_path.rglob("*.pt"))) == 2  # whoever has that release can go on
    embedder(tmp_path).fit(X)
    embedder(tmp_path).fit(X, resume=True)


class Odd(LambdaLR):
    """A scheduler with something in its state that is no number."""

    def __init__(self, optimizer):
        self.place = np.random.default_rng(0)
        super().__init__(optimizer, lambda step: 1.0)


def test_a_state_that_could_not_be_read_is_refused_before_training(X, tmp_path):
    told = []

    class Told(Callback):
        def on_train_begin(self, net, **kwargs):
            told.append(net)

    chosen = {"schedule": lambda optimizer, n_steps: Odd(optimizer), "callbacks": [Told()]}
    with pytest.raises(TypeError, match=r"state of schedule= .*'place': Generator.*checkpoint_dir"):
        embedder(tmp_path, **chosen).fit(X)
    assert not told
    embedder(None, **chosen).fit(X)
    assert told


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_no_name_of_a_folder(X, tmp_path, name):
    with pytest.raises(SnapshotError, match="cannot be used") as caught:
        embedder(tmp_path / name).fit(X)
    assert "Errno None" not in str(caught.value)


def test_a_folder_that_may_not_be_written_to(X, tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(snapshots.Path, "write_bytes", refused)
    with pytest.raises(SnapshotError, match=r"checkpoint_dir: .* may not be written to"):
        embedder(tmp_path).fit(X)


def test_a_state_that_cannot_be_removed(tmp_path):
    kept = Snapshots(tmp_path, "one")
    (kept.folder / "epoch-000001-batch-000000000.pt").mkdir(parents=True)
    with pytest.raises(SnapshotError, match="cannot be removed"):
        kept.clear()


@pytest.mark.skipif(os.name != "posix", reason="asks the system for a process")
def test_what_a_living_process_writes_is_left_alone(tmp_path):
    kept = Snapshots(tmp_path, "one")
    kept.folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        here = socket.gethostname()
        living = kept.folder / f"epoch-000001-batch-000000000.on-{here}.{other.pid}.tmp"
        elsewhere = kept.folder / "epoch-000001-batch-000000000.on-another.machine.7.tmp"
        old = kept.folder / "epoch-000001-batch-000000000.on-third.7.tmp"
        for path in (living, elsewhere, old):
            path.write_bytes(b"half of it")
        os.utime(old, (0, 0))
        kept.write({}, 1, 0)
        assert set(kept.folder.glob("*.tmp")) == {living, elsewhere}
        other.kill()
    kept.write({}, 2, 0)
    assert set(kept.folder.glob("*.tmp")) == {elsewhere}


WRITES = """
import sys, torch
from cloome_sk.training.snapshots import Snapshots
kept = Snapshots(sys.argv[1], "one")
for epoch in range(100):
    kept.write({"weights": torch.ones(100_000)}, epoch, 0)
    assert kept.newest() is not None
"""


def test_two_processes_may_run_the_same_training(tmp_path):
    command = [sys.executable, "-c", WRITES, str(tmp_path)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in started:
        _, shown = process.communicate(timeout=120)
        assert not process.returncode, shown
    assert len(list(tmp_path.rglob("*.*"))) == snapshots.KEPT


def test_a_state_that_another_process_replaces_while_it_is_looked_for(tmp_path, monkeypatch):
    kept = Snapshots(tmp_path, "one")
    for epoch in (1, 2):
        kept.write({"at": epoch}, epoch, 0)

    def load(path, **options):
        if "000002" in path.name:
            for epoch in (3, 4):
                kept.write({"at": epoch}, epoch, 0)
        return original(path, **options)

    original = torch.load
    monkeypatch.setattr(snapshots.torch, "load", load)
    assert kept.newest()["at"] == 4


@pytest.mark.parametrize("act", ["newest", "clear"])
def test_a_folder_that_is_removed_while_it_is_looked_at(tmp_path, monkeypatch, act):
    kept = Snapshots(tmp_path, "one")
    kept.write({}, 1, 0)

    def listed(folder):
        names = original(folder)
        shutil.rmtree(kept.folder)
        return names

    original = os.listdir
    monkeypatch.setattr(snapshots.os, "listdir", listed)
    assert getattr(kept, act)() is None


def test_a_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    def refused(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(snapshots.os, "listdir", refused)
    with pytest.raises(SnapshotError, match="cannot be listed: it may not be written to or read"):
        Snapshots(tmp_path, "one").newest()


def test_a_file_that_vanishes_while_it_is_written_is_no_matter_of_room(tmp_path, monkeypatch):
    def replace(source, target):
        os.unlink(source)
        return original(source, target)

    original = os.replace
    monkeypatch.setattr(snapshots.os, "replace", replace)
    with pytest.raises(SnapshotError, match="was removed by another program") as caught:
        Snapshots(tmp_path, "one").write({}, 1, 0)
    assert "room" not in str(caught.value)


def test_beginning_anew_beside_other_trainings_is_said(X, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedder(tmp_path).fit(X, resume=True)  # an empty folder
        embedder(tmp_path).fit(X, resume=True)
        embedder(tmp_path, lr=2e-3).fit(X)
    (tmp_path / "notes").mkdir()
    with pytest.warns(UserWarning, match="nothing to go on from") as caught:
        embedder(tmp_path, lr=3e-3).fit(X, resume=True)
    assert f"{str(tmp_path)!r}, which holds 2 other training(s)" in str(caught[0].message)
    newest = max(tmp_path.glob("*/*.pt"), key=lambda path: path.stat().st_mtime_ns)
    assert repr(newest.parent.name) in str(caught[0].message)


@pytest.mark.parametrize("resume", ["yes", 1, None])
def test_resume_is_true_or_false(X, tmp_path, resume):
    with pytest.raises(TypeError, match="resume= takes True or False"):
        embedder(tmp_path).fit(X, resume=resume)


class StoppedError(Exception):
    """Ends a training from within."""


class Record(Callback):
    """Note what it is told of, and end the training after some batches."""

    def __init__(self, stop=None):
        self.stop = stop

    def on_train_begin(self, net, **kwargs):
        self.calls_ = ["train begins"]

    def on_epoch_begin(self, net, **kwargs):
        self.calls_.append(f"epoch {net.history[-1, 'epoch']} begins")

    def on_batch_end(self, net, **kwargs):
        self.calls_.append(f"batch of epoch {net.history[-1, 'epoch']}")
        if sum(call.startswith("batch") for call in self.calls_) == self.stop:
            raise StoppedError

    def on_epoch_end(self, net, **kwargs):
        self.calls_.append(f"epoch {net.history[-1, 'epoch']} ends")

    def on_train_end(self, net, **kwargs):
        self.calls_.append("train ends")


@pytest.mark.parametrize("every", [None, 1])
def test_callbacks_are_told_of_what_is_trained_after_resuming(X, tmp_path, every):
    whole, first, second = Record(), Record(stop=4), Record()
    chosen = {"checkpoint_every": every}
    embedder(tmp_path / "whole", callbacks=[whole], **chosen).fit(X)
    per_epoch = whole.calls_.count("batch of epoch 2")
    assert per_epoch == 3
    with pytest.raises(StoppedError):
        embedder(tmp_path / "broken", callbacks=[first], **chosen).fit(X)
    embedder(tmp_path / "broken", callbacks=[second], **chosen).fit(X, resume=True)
    # The end of the second epoch alone, or all of it: what no state was kept of.
    expected = Counter(whole.calls_)
    for call in ("epoch 1 begins", "epoch 1 ends", *["batch of epoch 1"] * per_epoch):
        expected[call] -= 1
    if every is not None:
        expected["batch of epoch 2"] -= 1
    assert Counter(second.calls_) == +expected
    assert second.calls_[:2] == ["train begins", "epoch 2 begins"]
    assert second.calls_[-2:] == ["epoch 3 ends", "train ends"]
