"""Joining the processes of a launcher, and losing one of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
from joblib import Parallel, delayed

import cloome_sk
from cloome_sk.training.processes import VARIABLES, Processes, check_draws, joined


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in (*VARIABLES, "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def launched(monkeypatch):
    """Set the environment as the launcher of two processes does."""

    def launch(**changed):
        told = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
        for name, value in {**told, **changed}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return launch


def join(device="cpu", batch_size=8, **options):
    with joined(device, batch_size, **options) as processes:
        return processes


def test_without_a_launcher_a_process_is_alone(monkeypatch):
    assert join("cpu", 2) == Processes(0, 1, "cpu")
    assert join("cuda", 2) == Processes(0, 1, "cuda")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert join() == Processes(0, 1, "cpu")
    assert not dist.is_initialized()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"RANK": None, "MASTER_PORT": None}, "WORLD_SIZE=2 .* says nothing of RANK, MASTER_PORT"),
        ({"RANK": "2"}, "RANK='2' and WORLD_SIZE='2': ranks are whole numbers"),
        ({"RANK": "first"}, "RANK='first'"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE='many'"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE='0'"),
    ],
)
def test_an_environment_that_contradicts_itself(launched, changed, words):
    launched(**changed)
    with pytest.raises(ValueError, match=words):
        join()


def test_draws_that_each_process_would_make_for_itself(launched):
    check_draws(None)
    launched()
    with pytest.raises(ValueError, match=r"in each of the 2 processes .* Give an integer"):
        check_draws(None)
    for given in (0, np.random.RandomState(0)):
        check_draws(given)


def test_too_few_pairs_for_the_processes(launched):
    launched()
    with pytest.raises(ValueError, match="2 processes cannot share a batch of 3 pairs"):
        join(batch_size=3)


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda:0", "'cuda:0' names one GPU for 2 processes"),
        ("mps", "2 processes cannot train together on device='mps'"),
    ],
)
def test_devices_that_cannot_be_shared(launched, device, words):
    launched()
    with pytest.raises(ValueError, match=words):
        join(device)


@pytest.mark.parametrize("n_gpus", [0, 1])
def test_fewer_gpus_than_processes(launched, monkeypatch, n_gpus):
    launched(LOCAL_RANK="1")
    monkeypatch.setattr("torch.cuda.device_count", lambda: n_gpus)
    with pytest.raises(ValueError, match=rf"number 1 on its machine, where torch sees {n_gpus} "):
        join("cuda")


def test_a_worker_process_is_no_process_of_the_launcher(launched):
    launched()
    with pytest.raises(RuntimeError, match=r"worker process of joblib .* n_jobs"):
        Parallel(n_jobs=2, backend="multiprocessing")([delayed(join)(), delayed(join)()])


def test_others_that_never_come(launched):
    launched(MASTER_PORT="1")
    with pytest.raises(ConnectionError, match=r"1 of 2 did not find the others at 127\.0\.0\.1:1 "):
        join(timeout=1.0)
    assert not dist.is_initialized()


ROUNDS = """
    import os, signal, sys, time
    import torch
    import torch.distributed as dist
    from cloome_sk.training.gathering import average_gradients, gathered
    from cloome_sk.training.processes import joined

    def train(processes, rounds, between=lambda number: None):
        weight = torch.nn.Parameter(torch.ones(4, 8))
        optimizer = torch.optim.SGD([weight], lr=0.01)
        for number in range(rounds):
            between(number)
            rows = torch.full((3, 4), 1.0 + processes.rank) @ weight
            optimizer.zero_grad()
            gathered(rows).square().mean().backward()
            average_gradients([weight])
            optimizer.step()
        return weight.detach().sum().item()
"""


@pytest.mark.slow
def test_processes_join_and_leave_more_than_once(run_processes):
    program = (
        ROUNDS
        + """
    for _ in range(30):
        with joined("cpu", 8) as processes:
            print(processes.rank, processes.size, processes.device, train(processes, 5))
        assert not dist.is_initialized()
"""
    )
    outputs = []
    for rank, (code, output) in enumerate(run_processes(program)):
        assert code == 0, output
        lines = [line for line in output.splitlines() if line.startswith(f"{rank} 2 cpu ")]
        assert len(lines) == 30, output
        outputs += [line.split()[-1] for line in lines]
    assert len(set(outputs)) == 1


@pytest.mark.slow
def test_a_group_that_the_program_made_is_left_as_it_is(run_processes):
    program = (
        ROUNDS
        + """
    dist.init_process_group("gloo")
    with joined("cpu", 8) as processes:
        train(processes, 3)
    assert (processes.rank, processes.size) == (dist.get_rank(), 2)
    dist.destroy_process_group()
"""
    )
    for code, output in run_processes(program):
        assert code == 0, output


@pytest.mark.slow
@pytest.mark.parametrize(("how", "lost"), [("killed", 0), ("killed", 1), ("failed", 1)])
def test_a_lost_process_is_an_error_in_the_others(run_processes, lost, how):
    """A failed one stays alive after it, as a notebook would."""
    act = {
        "killed": "os.kill(os.getpid(), signal.SIGKILL)",
        "failed": "raise ValueError('a broken image')",
    }
    program = (
        ROUNDS
        + f"""
    def between(number):
        if number == 20 and processes.rank == {lost}:
            {act[how]}

    try:
        with joined("cpu", 8) as processes:
            train(processes, 10**9, between)
    except ValueError as error:
        print(error, flush=True)
        time.sleep(5)
"""
    )
    results = run_processes(program, timeout=60)
    code, output = results[lost]
    assert (code == -signal.SIGKILL) if how == "killed" else ("a broken image" in output), output
    code, output = results[1 - lost]
    assert code == 1, output
    assert f"ConnectionError: Process {1 - lost} of 2 could not exchange data" in output
    assert "its own message says why" in output


@pytest.mark.slow
def test_a_process_that_ends_before_the_others_leave(run_processes):
    program = (
        ROUNDS
        + """
    with joined("cpu", 8) as processes:
        train(processes, 3)
        if processes.rank == 1:
            os._exit(3)
"""
    )
    (code, output), (lost, _) = run_processes(program, timeout=60)
    assert (code, lost) == (1, 3), output
    assert "ConnectionError: Process 0 of 2 could not exchange data" in output


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["torch.distributed.run --nproc-per-node 2", "accelerate.commands.launch"]
)
def test_launchers(tmp_path, command):
    if command.startswith("accelerate"):
        pytest.importorskip("accelerate")
        command += " --num_processes 2 --multi_gpu"
    path = tmp_path / "train.py"
    path.write_text(
        textwrap.dedent(ROUNDS)
        + textwrap.dedent(
            """
            with joined("cpu", 8) as processes:
                total = train(processes, 5)
                open(f"{sys.argv[1]}/{processes.rank}-of-{processes.size}", "w").write(str(total))
            """
        )
    )
    shown = subprocess.run(
        [sys.executable, "-m", *command.split(), str(path), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(cloome_sk.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    first, second = ((tmp_path / f"{rank}-of-2").read_text() for rank in range(2))
    assert first == second
