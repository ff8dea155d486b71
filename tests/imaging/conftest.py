"""What the tests of the readers share: a fresh interpreter, and the check of a refusal."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def run_script() -> Callable[..., str]:
    """Run a script in a fresh interpreter, in which some packages cannot be imported."""

    def run(script: str, *arguments: str | Path, without: str | None = None) -> str:
        blocked = f"import sys; sys.modules[{without!r}] = None\n" if without else ""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", blocked + script, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert done.returncode == 0, done.stderr
        # Nothing beside the result: no warning, no log of a library.
        assert done.stderr == ""
        return done.stdout

    return run


@pytest.fixture
def refused_without(run_script) -> Callable[[str, Path], str]:
    """The message that a file gets where a package is not installed."""
    script = (
        "import sys\n"
        "from cloome_sk.imaging import ImageError, read_image\n"
        "try: read_image(sys.argv[1])\n"
        "except ImageError as error: print(error)"
    )
    return lambda package, file: run_script(script, file, without=package)


@pytest.fixture
def assert_refused(caplog, capfd) -> Callable[[Path, str], None]:
    """Check that reading fails with the path and the words, in little memory and nothing else."""
    from cloome_sk.imaging import ImageError, read_image

    def check(path: Path, message: str) -> None:
        caplog.clear()
        capfd.readouterr()
        tracemalloc.start()
        try:
            with pytest.raises(ImageError) as error:
                read_image(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert message in str(error.value)
        assert str(error.value) == f"{path}: {error.value.reason}"
        assert error.value.path == str(path)
        # No bomb went off, and no library spoke beside the message.
        assert peak < 50e6
        assert caplog.records == []
        assert capfd.readouterr() == ("", "")

    return check
