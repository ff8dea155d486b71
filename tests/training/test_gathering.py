"""Processes that share a batch do what one process does with all of it."""

from __future__ import annotations

import re

import pytest
import torch

from cloome_sk.training.data import PairInputs
from cloome_sk.training.gathering import (
    average_buffers,
    average_gradients,
    check_same,
    from_first,
    gathered,
    gathered_rows,
    world,
)

FIRST_UPDATE = """
    import sys
    from functools import partial

    import numpy as np
    import torch
    from torch import nn

    from cloome_sk.networks import DualEncoder
    from cloome_sk.objectives import InputCWCL, LearnedObjective, infoloob, infonce, siglip
    from cloome_sk.training import PairDataset, ReplicateSpreadingSampler
    from cloome_sk.training.gathering import average_gradients
    from cloome_sk.training.gradient_cache import cached_backward
    from cloome_sk.training.net import ContrastiveCriterion
    from cloome_sk.training.processes import joined

    class Net(nn.Module):
        def __init__(self, n_inputs):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(n_inputs, 32), nn.Tanh(), nn.Linear(32, 8))

        def forward(self, inputs):
            return self.layers(inputs.float())

    OBJECTIVES = {
        "infonce": infonce,
        "infoloob": partial(infoloob, beta=5.0),
        "siglip": LearnedObjective(siglip, {"bias": -3.0}),
        "cwcl": InputCWCL(),
    }

    def first_update(processes, how):
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        molecules = np.concatenate([np.arange(30), rng.integers(30, size=15)])  # replicates
        bits = rng.integers(0, 2, (30, 64)).astype(np.uint8)
        profiles = rng.standard_normal((45, 20)).astype(np.float32)
        pairs = PairDataset((profiles, np.arange(45)), (bits, molecules), molecules)
        sampler = ReplicateSpreadingSampler(molecules, 45, seed=0)
        part = sampler.for_rank(processes.rank, processes.size)  # 22 and 23 of 45
        network = DualEncoder(Net(20), Net(64), inv_tau=5.0)
        criterion = ContrastiveCriterion(OBJECTIVES[how.split()[0]])
        weights = [*network.parameters(), *criterion.parameters()]
        before = torch.cat([weight.detach().flatten() for weight in weights])
        # The update is proportional to the gradient, so its error is not hidden by signs.
        optimizer = torch.optim.SGD(weights, lr=0.1)
        (rows,) = part
        inputs, groups = pairs.__getitems__(rows)
        if "alone" in how:
            same = groups[:, None] == groups[None, :]
            loss = criterion.objective(*network(*inputs.on("cpu")), positives=same)
            loss.backward()
        elif "cached" in how:
            loss = cached_backward(network, inputs, lambda *e: criterion(e, groups, inputs), 4)
        else:
            loss = criterion(network(*inputs.on("cpu")), groups, inputs)
            loss.backward()
        average_gradients(weights)
        optimizer.step()
        return torch.cat([weight.detach().flatten() for weight in weights]) - before, loss.item()

    with joined("cpu", batch_size=45) as processes:
        found = {how: first_update(processes, how) for how in sys.argv[2:] or HOWS}
        torch.save(found, f"{sys.argv[1]}/{processes.size}-{processes.rank}.pt")
"""
HOWS = ["infonce", "infoloob", "siglip", "cwcl", "infonce cached", "siglip cached", "infonce alone"]


@pytest.mark.slow
def test_the_first_update_is_that_of_one_process(run_processes, tmp_path):
    program = FIRST_UPDATE.replace("HOWS", repr(HOWS))
    for size in (1, 2, 3):
        for code, output in run_processes(program, size):
            assert code == 0, output
    one = torch.load(tmp_path / "1-0.pt")
    for size in (2, 3):
        several = [torch.load(tmp_path / f"{size}-{rank}.pt") for rank in range(size)]
        for how in HOWS:
            update, loss = one[how]
            assert update.abs().max() > 1e-3
            for each in several:
                assert torch.equal(each[how][0], several[0][how][0])
            difference = ((several[0][how][0] - update).norm() / update.norm()).item()
            if "alone" in how:
                assert difference > 0.01  # each with its own negatives, as data parallelism has it
            else:
                assert difference < 1e-6, (how, size)
                assert several[-1][how][1] == pytest.approx(loss, abs=1e-6)


TWO = """
    import re

    import torch
    from torch import nn

    from cloome_sk.training.data import PairInputs
    from cloome_sk.training.gathering import *
    from cloome_sk.training.processes import joined

    def refused(words, function, *arguments):
        try:
            function(*arguments)
        except ValueError as error:
            assert re.search(words, str(error)), error
        else:
            raise AssertionError(f"not refused: {words}")

    def rows_of_any_dtype_and_number_come_in_the_order_of_ranks(rank):
        for name in 'uint8 bool int64 float64 bfloat16 uint16'.split():
            dtype = getattr(torch, name)
            for shape in ((), (3,), (2, 4)):
                rows = [torch.ones((n, *shape)).mul(n % 5).to(dtype) for n in (5, 2)]
                found = gathered(rows[rank])
                assert found.dtype == dtype
                assert found.tolist() == rows[0].tolist() + rows[1].tolist(), (dtype, shape)
        turned = torch.arange(6.0).reshape(2, 3).T
        assert gathered(turned).tolist() == turned.tolist() * 2
        assert gathered(torch.ones(2 * rank, 3)).shape == (2, 3)  # one of them has none

    def the_gradient_of_a_row_is_the_sum_over_processes(rank):
        own = torch.full((3 + rank, 2), 2.0, requires_grad=True)
        together = gathered(own)
        weight = torch.arange(7.0)[:, None] * (rank + 1)
        (weight * together**2).sum().backward()
        start = 3 * rank
        expected = 3 * torch.arange(7.0)[start : start + 3 + rank, None] * 2 * 2.0
        assert torch.equal(own.grad, expected.expand_as(own)), own.grad
        with torch.no_grad():
            assert not gathered(own).requires_grad

    def gradients_and_statistics_are_averaged(rank):
        a, b, c, d = (nn.Parameter(torch.zeros(2, 3)) for _ in range(4))
        e = nn.Parameter(torch.zeros(4, dtype=torch.float64))
        d.requires_grad_(False)
        a.grad = torch.full((2, 3), 1.0 + rank)
        e.grad = torch.full((4,), 10.0 * rank, dtype=torch.float64)
        if rank == 0:
            b.grad = torch.ones(2, 3)
        average_gradients([a, b, c, d, e])
        assert a.grad.tolist() == [[1.5] * 3] * 2
        assert b.grad.tolist() == [[0.5] * 3] * 2
        assert c.grad is None and d.grad is None
        assert e.grad.tolist() == [5.0] * 4

        norm = nn.BatchNorm1d(3)
        rows = torch.arange(24.0).reshape(8, 3)
        norm(rows[4 * rank : 4 * rank + 4])
        average_buffers(norm)
        whole = nn.BatchNorm1d(3)
        whole(rows)
        torch.testing.assert_close(norm.running_mean, whole.running_mean)
        # Without the variance between the two halves.
        assert (norm.running_var < whole.running_var).all()
        assert norm.num_batches_tracked == 1

    def what_differs_between_processes_is_refused(rank):
        assert from_first(("seed", rank)) == ("seed", 0)
        check_same("number of pairs", 7)
        refused("same number of pairs.*0 has 7.*1 8", check_same, "number of pairs", 7 + rank)
        refused("12 bytes in process 0 and of 16", gathered, torch.ones(2, 3 + rank))
        bags = (torch.ones(3, 2), torch.tensor([0, 0, 1]))
        inputs = PairInputs(bags, torch.ones(2, 4), torch.arange(2), bags=("phenotype",))
        assert gathered_rows(inputs, "molecule").shape == (4, 4)
        refused("bags", gathered_rows, inputs, "phenotype")

    with joined("cpu", 8, timeout=60.0) as processes:
        CALLED(processes.rank)
"""


@pytest.mark.slow
def test_in_two_processes(run_processes):
    names = re.findall(r"def (\w+)\(rank\)", TWO)
    called = "\n        ".join(f"{name}(processes.rank)" for name in names)
    for code, output in run_processes(TWO.replace("CALLED(processes.rank)", called)):
        assert code == 0, output


def test_one_process_changes_nothing():
    assert world() == (0, 1)
    rows = torch.eye(3, requires_grad=True)
    assert gathered(rows) is rows
    inputs = PairInputs(rows, torch.eye(2), torch.tensor([0, 1, 1]))
    assert gathered_rows(inputs, "phenotype") is rows
    assert torch.equal(gathered_rows(inputs, "molecule"), torch.eye(2)[[0, 1, 1]])
    rows.sum().backward()
    average_gradients([rows])
    assert torch.equal(rows.grad, torch.ones(3, 3))
    norm = torch.nn.BatchNorm1d(3)
    average_buffers(norm)
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert from_first("own") == "own"
    check_same("anything", object())
