"""`fit` as a launcher starts it: two processes give what one gives."""

from __future__ import annotations

import os
import re
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


DIFFERENT = """
    import os, sys, warnings
    from cloome_sk import CloomeEmbedder
    from cloome_sk.datasets import make_profiles
    from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder

    folder, rank = sys.argv[1], int(os.environ["RANK"])

    def embedder(**changes):
        chosen = dict(n_components=4, batch_size=64, max_epochs=2, device="cpu", random_state=0)
        return CloomeEmbedder(
            ProfileEncoder(hidden_sizes=(8,)), MoleculeEncoder(hidden_sizes=(8,)),
            **{**chosen, **changes},
        )

    X = make_profiles(n_compounds=40, random_state=0)
    Y = X[X["Metadata_control_type"].isna()]
    molecules = Y["Metadata_smiles"].unique()
"""


def refused(run_processes, program, words):
    for code, output in run_processes(DIFFERENT + program):
        assert code == 1, output
        assert re.search(words, output), output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (
            "embedder(validation=0.3, random_state=None).fit(X)",
            "random_state=None draws other numbers in each of the 2 processes",
        ),
        # The same number of pairs and molecules, and not the same.
        (
            "embedder(validation=0.3, random_state=rank).fit(X)",
            r"must have the same training pairs.*process 0 has \(.*process 1 \(",
        ),
        (
            "embedder(controls=None).fit(Y[Y['Metadata_smiles'] != molecules[rank]])",
            "must have the same training pairs",
        ),
        (
            "embedder(controls=None, validation=Y[Y['Metadata_smiles'].isin(molecules[rank:][:3])]"
            ").fit(Y[~Y['Metadata_smiles'].isin(molecules[:4])])",
            "must have the same held-out pairs",
        ),
    ],
)
def test_processes_with_other_pairs_are_refused(run_processes, fit, words):
    refused(run_processes, f"\n    {fit}\n", words)


@pytest.mark.slow
def test_a_folder_of_states_that_only_one_process_sees(run_processes):
    program = """
    embedder(checkpoint_dir=f"{folder}/{rank}").fit(X)
    embedder(checkpoint_dir=f"{folder}/{rank}").fit(X, resume=True)
    """
    words = r"same state to go on from, in a `checkpoint_dir` .* \(2, 0, \d+\) .* \(0, 0, 0\)"
    refused(run_processes, program, words)
