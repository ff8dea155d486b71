"""`fit` as a launcher starts it: two processes give what one gives."""

from __future__ import annotations

import os
import subprocess
import sys

import joblib
import numpy as np
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder

PROGRAM = """
import os, sys
import joblib
from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder

folder, hidden, epochs = sys.argv[1], eval(sys.argv[2]), int(sys.argv[3])
embedder = CloomeEmbedder(
    ProfileEncoder(hidden_sizes=hidden, dropout=0.0, input_dropout=0.0),
    MoleculeEncoder(hidden_sizes=hidden), n_components=8, batch_size=200, max_epochs=epochs,
    schedule=None, weight_decay=0.0, device="cpu", random_state=0, validation=0.3, keep="best",
    checkpoint_dir=f"{folder}/states", gradient_cache=eval(sys.argv[4]),
).fit(make_profiles(n_compounds=40, random_state=0))
joblib.dump((embedder.state_, embedder._history), f"{folder}/rank-{os.environ['RANK']}.joblib")
"""


def alone(hidden, epochs, gradient_cache=None):
    return CloomeEmbedder(
        ProfileEncoder(hidden_sizes=hidden, dropout=0.0, input_dropout=0.0),
        MoleculeEncoder(hidden_sizes=hidden),
        n_components=8,
        batch_size=200,
        max_epochs=epochs,
        schedule=None,
        weight_decay=0.0,
        device="cpu",
        random_state=0,
        validation=0.3,
        keep="best",
        gradient_cache=gradient_cache,
    ).fit(make_profiles(n_compounds=40, random_state=0))


def launched(tmp_path, hidden, epochs, gradient_cache=None):
    program = tmp_path / "train.py"
    program.write_text(PROGRAM)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    arguments = [program, tmp_path, repr(hidden), str(epochs), repr(gradient_cache)]
    subprocess.run(
        [*launcher, "--nproc-per-node", "2", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=240,
    )
    return [joblib.load(tmp_path / f"rank-{rank}.joblib") for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("gradient_cache", [None, 16])
def test_two_processes_make_the_updates_of_one(tmp_path, gradient_cache):
    ranks = launched(tmp_path, (), 3, gradient_cache)
    whole = alone((), 3)
    for name, value in whole.state_.items():
        np.testing.assert_array_equal(ranks[0][0][name], ranks[1][0][name], err_msg=name)
        # Adam divides by the size of the gradient, which blows up what rounding does to small ones.
        np.testing.assert_allclose(ranks[0][0][name], value, atol=2e-5, err_msg=name)
    for one, other in zip(ranks[0][1], whole._history, strict=True):
        assert one["objective"] == pytest.approx(other["objective"], rel=1e-5)
        assert one["valid_relative_rank"] == pytest.approx(other["valid_relative_rank"], abs=1e-3)


@pytest.mark.slow
def test_statistics_of_two_processes_are_one_in_the_end(tmp_path):
    ranks = launched(tmp_path, (16,), 2)
    for name, value in ranks[0][0].items():
        np.testing.assert_array_equal(value, ranks[1][0][name], err_msg=name)
    assert ranks[0][1] == ranks[1][1]
    assert len(list((tmp_path / "states").rglob("*.pt"))) == 2


def test_a_gradient_in_parts_is_that_of_the_batch():
    whole, parts = alone((), 2), alone((), 2, gradient_cache=7)
    for name, value in whole.state_.items():
        np.testing.assert_allclose(parts.state_[name], value, atol=2e-5, err_msg=name)
