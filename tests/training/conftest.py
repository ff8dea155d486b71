"""Programs that run in several processes at once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import cloome_sk

ROOT = str(Path(cloome_sk.__file__).parents[1])


@pytest.fixture
def run_processes(tmp_path):
    """Run a program as a launcher would, in `size` processes; (return code, output) of each."""
    started = []

    def run(program, size=2, timeout=120, **environment):
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(program))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        told = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        told["PYTHONPATH"] = ROOT
        first = len(started)
        for rank in range(size):
            ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
            started.append(
                subprocess.Popen(
                    [sys.executable, str(path), str(tmp_path)],
                    env={**os.environ, **told, **ranks, **environment},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        end = time.monotonic() + timeout
        outputs = [
            process.communicate(timeout=max(1.0, end - time.monotonic()))[0]
            for process in started[first:]
        ]
        codes = [process.returncode for process in started[first:]]
        return list(zip(codes, outputs, strict=True))

    yield run
    for process in started:
        process.kill()
        process.communicate()
