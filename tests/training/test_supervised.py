"""Training on labels in several processes, and the batches it is done in."""

from __future__ import annotations

import joblib
import numpy as np
import pytest
import torch

from cloome_sk.baselines import SupervisedEmbedder
from cloome_sk.encoders import ProfileEncoder
from cloome_sk.training.supervised import LabelledDataset, LabelledInputs

PROGRAM = """
import os, sys
import joblib
import numpy as np
from cloome_sk.baselines import SupervisedEmbedder
from cloome_sk.encoders import ProfileEncoder

X, Y, parameters = joblib.load(f"{sys.argv[1]}/data.joblib")
model = SupervisedEmbedder(ProfileEncoder(**parameters.pop("encoder")), **parameters).fit(X, Y)
joblib.dump(model.state_, f"{sys.argv[1]}/rank-{os.environ['RANK']}.joblib")
"""


def test_two_processes_with_unequal_numbers_of_labels_make_the_updates_of_one(
    run_processes, tmp_path
):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    Y = np.where(rng.random((40, 6)) < 0.7, np.nan, (rng.random((40, 6)) < 0.5).astype(float))
    encoder = {"columns": slice(None), "hidden_sizes": (), "dropout": 0.0, "input_dropout": 0.0}
    parameters = {
        "target": "assays",
        "n_components": 4,
        "batch_size": 10,
        "max_epochs": 2,
        "schedule": None,
        "weight_decay": 0.0,
        "device": "cpu",
        "random_state": 0,
    }
    joblib.dump((X, Y, {**parameters, "encoder": encoder}), tmp_path / "data.joblib")
    for code, output in run_processes(PROGRAM):
        assert code == 0, output
    whole = SupervisedEmbedder(ProfileEncoder(**encoder), **parameters).fit(X, Y).state_
    ranks = [joblib.load(tmp_path / f"rank-{rank}.joblib") for rank in (0, 1)]
    for name, value in whole.items():
        np.testing.assert_array_equal(ranks[0][name], ranks[1][name], err_msg=name)
        np.testing.assert_allclose(ranks[0][name], value, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("tuples", [False, True])
def test_a_batch_is_the_inputs_and_labels_of_its_rows(tuples):
    values = np.arange(12, dtype=np.float32).reshape(4, 3)

    class Read:
        def __getitem__(self, rows):
            return values[rows], rows.astype(np.int64)

    index, labels = np.array([3, 0, 0, 2]), np.array([5, 6, 7, 8])
    data = LabelledDataset((Read() if tuples else values, index), labels)
    inputs, targets = data.__getitems__([3, 1])
    assert isinstance(inputs, LabelledInputs)
    assert len(inputs) == 2
    assert targets.tolist() == [8, 6]
    (given,) = inputs.on("cpu")
    got = given[0] if tuples else given
    assert torch.equal(got, torch.from_numpy(values[[2, 0]]))
