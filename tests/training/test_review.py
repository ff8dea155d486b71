"""What a review of training found: states that were mixed up, lost, or not explained."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.objectives import LearnedObjective, infonce, siglip
from cloome_sk.training.schedules import constant
from cloome_sk.training.snapshots import SnapshotError, Snapshots


def embedder(folder, **changes):
    chosen = {
        "phenotype": ProfileEncoder(hidden_sizes=(16,), dropout=0.2),
        "molecule": MoleculeEncoder(hidden_sizes=(16,)),
        "n_components": 8,
        "batch_size": 32,
        "max_epochs": 2,
        "random_state": 3,
        "checkpoint_dir": folder,
    }
    return CloomeEmbedder(**{**chosen, **changes})


@pytest.fixture(scope="module", name="X")
def table():
    return make_profiles(n_compounds=24, random_state=0)


ANEW = r"nothing to go on from .* holds 1 other training.* begins anew"


def n_trainings(folder):
    return len(list(Path(folder).iterdir()))


def warmed(share):
    return lambda optimizer, n_steps: constant(optimizer, n_steps, warmup=share)


def first(phenotype, molecule, inv_tau, bias, positives=None):
    return siglip(phenotype, molecule, inv_tau, bias=bias, positives=positives)


def second(phenotype, molecule, inv_tau, bias, positives=None):
    return infonce(phenotype, molecule, inv_tau, positives=positives) + 0 * bias


class Scaled:
    """A callable that cannot be pickled."""

    def __init__(self, factor):
        self.scale = lambda value: factor * value

    def __call__(self, phenotype, molecule, inv_tau, *, positives=None):
        return self.scale(infonce(phenotype, molecule, inv_tau, positives=positives))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"schedule": warmed(0.1)}, {"schedule": warmed(0.7)}),
        (
            {"schedule": lambda optimizer, n_steps: constant(optimizer, n_steps)},
            {"schedule": lambda optimizer, n_steps: constant(optimizer, n_steps, warmup=0.2)},
        ),
        (
            {"schedule": partial(lambda o, n, warmup: constant(o, n, warmup=warmup), warmup=0.1)},
            {"schedule": partial(lambda o, n, warmup: constant(o, n, warmup=warmup), warmup=0.2)},
        ),
        ({"objective": Scaled(1.0)}, {"objective": Scaled(2.0)}),
        (
            {"objective": LearnedObjective(first, {"bias": 0.0})},
            {"objective": LearnedObjective(second, {"bias": 0.0})},
        ),
    ],
)
def test_functions_of_one_name_are_not_mixed_up(X, tmp_path, one, other):
    embedder(tmp_path, **one).fit(X)
    with pytest.warns(UserWarning, match=ANEW):
        embedder(tmp_path, **other).fit(X, resume=True)
    assert n_trainings(tmp_path) == 2
    embedder(tmp_path, **other).fit(X, resume=True)
    assert n_trainings(tmp_path) == 2


def test_labels_of_batches_are_part_of_the_name(X, tmp_path):
    numbers = np.arange(len(X))
    for plates in (numbers % 3, numbers % 4):
        labelled = X.assign(hit=plates)
        embedder(tmp_path, batch_labels="hit").fit(labelled)
    assert n_trainings(tmp_path) == 2


def test_a_warm_start_is_another_training(X, tmp_path):
    fitted = embedder(tmp_path, warm_start=True).fit(X)
    before = fitted.state_
    with pytest.warns(UserWarning, match=ANEW):
        fitted.fit(X, resume=True)
    assert n_trainings(tmp_path) == 2
    assert any((fitted.state_[name] != before[name]).any() for name in before)


PROGRAM = """
import sys
from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.training.schedules import constant
X = make_profiles(n_compounds=24, random_state=0)
def of(share):
    return lambda o, n: constant(o, n, warmup=share if "a" in {"a", "b", "c"} else 0.0)
CloomeEmbedder(n_components=4, max_epochs=1, random_state=0, schedule=of(0.2),
    checkpoint_dir=sys.argv[1]).fit(X, resume=True)
"""


def test_a_name_is_the_same_in_every_process(tmp_path):
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
    assert n_trainings(tmp_path) == 1


def test_rates_of_a_search_are_read_back(X, tmp_path):
    rates = {"lr": np.float64(1e-3), "weight_decay": np.float32(0.1)}
    whole = embedder(tmp_path, **rates).fit(X)
    newest = sorted(tmp_path.rglob("*.pt"))[-1]
    newest.unlink()
    resumed = embedder(tmp_path, **rates).fit(X, resume=True)
    assert newest.exists()
    assert all((whole.state_[name] == resumed.state_[name]).all() for name in whole.state_)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_file_that_cannot_grow(tmp_path):
    import resource
    import signal

    snapshots = Snapshots(tmp_path, "one")
    snapshots.write({"weights": torch.ones(3)}, 1, 0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        # torch raises a RuntimeError of its own.
        with pytest.raises(SnapshotError, match="cannot be kept"):
            snapshots.write({"weights": torch.ones(1_000_000)}, 2, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in snapshots.folder.iterdir()] == ["epoch-000001-batch-000000000.pt"]


def test_a_folder_below_a_file(X, tmp_path):
    (tmp_path / "states").write_text("")
    with pytest.raises(SnapshotError, match="cannot be used"):
        embedder(tmp_path / "states").fit(X)


def test_a_state_that_does_not_fit(X, tmp_path):
    embedder(tmp_path).fit(X)
    for path in tmp_path.rglob("*.pt"):
        state = torch.load(path)
        state["network"] = {f"{name}_": value for name, value in state["network"].items()}
        torch.save(state, path)
    with pytest.raises(SnapshotError, match="another version"):
        embedder(tmp_path).fit(X, resume=True)


def test_states_that_could_not_be_found_again(X, tmp_path):
    with pytest.warns(UserWarning, match="random_state"):
        embedder(tmp_path, random_state=None, max_epochs=1).fit(X)


def test_a_callback_may_train_another(X):
    fitted = []

    class Inner(Callback):
        def on_epoch_end(self, net, **kwargs):
            fitted.append(embedder(None, max_epochs=1).fit(X))

    whole = embedder(None).fit(X)
    # In a thread, so that a lock that is held twice fails the test instead of hanging it.
    outer = embedder(None, callbacks=[Inner()])
    thread = threading.Thread(target=outer.fit, args=[X], daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert len(fitted) == 2
    assert all((outer.state_[name] == whole.state_[name]).all() for name in whole.state_)
