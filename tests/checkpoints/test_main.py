"""The command ``python -m cloome_sk.checkpoints info FILE``."""

from __future__ import annotations

import hashlib
import math
import re
import subprocess
import sys

import pytest
import torch

from cloome_sk.checkpoints import _describing, read_checkpoint
from cloome_sk.checkpoints.__main__ import main


def rows(text: str) -> dict[str, str]:
    """The printed lines by their names."""
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in text.splitlines() if "  " in line)


@pytest.mark.usefixtures("narrow")
def test_what_is_inside(make_state, as_trained, save, capsys):
    state = make_state(n_channels=5, n_bits=1024)
    path = save(as_trained(state))
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.out == read_checkpoint(path).describe() + "\n"
    assert not printed.err
    shown = rows(printed.out)
    assert shown["file"] == str(path)
    assert shown["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    trained = {
        part: sum(
            value.numel()
            for name, value in state.items()
            if name.startswith(part) and not name.endswith(("_mean", "_var", "_tracked"))
        )
        for part in ("visual", "transformer")
    }
    assert shown["phenotype"] == (
        "ResNet-50 (width 4; blocks 1, 2, 1, 1), 5 channels to 6 components, "
        f"{trained['visual']:,} parameters"
    )
    assert shown["molecule"] == (
        f"multilayer perceptron 1024 - 10 - 12 - 6, {trained['transformer']:,} parameters"
    )
    assert shown["parameters"] == f"{sum(trained.values()) + 1:,} with the temperature"
    log = math.log(14.3)
    assert shown["inverse temperature"] == f"14.3 (stored as its logarithm, {log:.4f})"
    assert shown["stored as"] == "float32"
    assert shown["prefix of all names"] == "'module.'"
    assert shown["epoch"] == "63"
    assert shown["name"] == "'imgres=520_lr=0.001'"
    size = 2 * sum(v.nbytes for v in state.values() if v.is_floating_point()) / 1e6
    assert shown["ignored"] == f"'optimizer' ({size:.1f} MB), 'scheduler' (0.0 MB)"
    assert shown["channels"] == "Mito, ER, RNA, AGP, DNA, in this order"
    assert shown["mean"].startswith("47.1314, 40.8138, 53.7692, 46.2656, 28.7243 ")
    assert shown["divided by"].startswith("the mean, in place of the standard deviation")
    assert shown["scaling"].startswith("'cloome-package'")
    assert shown["crop"] == "centre, 520 x 696 pixels"
    assert shown["fingerprint"] == "Morgan, 1024 bits, radius 3, chirality"
    assert "assumed to be as in the published CLOOME unless you say otherwise" in printed.out


@pytest.mark.usefixtures("narrow")
def test_what_cannot_be_assumed(make_state, save, capsys):
    assert main(["info", str(save(make_state(n_bits=8192)))]) == 0
    shown = rows(capsys.readouterr().out)
    assert shown["channels"].startswith("this network has 3, the published one 5: name them")
    assert "mean" not in shown
    assert shown["fingerprint"].startswith("not known for 8,192 bits: precomputed fingerprints")
    assert shown["prefix of all names"] == "none"
    assert shown["ignored"] == "nothing"
    assert "epoch" not in shown
    assert "name" not in shown


@pytest.mark.usefixtures("narrow")
def test_a_file_whose_hash_is_listed(make_state, save, monkeypatch):
    checkpoint = read_checkpoint(save(make_state()))
    monkeypatch.setitem(_describing.LISTED_FILES, checkpoint.sha256, "known.pt")
    assert (
        rows(checkpoint.describe())["sha256"]
        == f"{checkpoint.sha256} (listed elsewhere as known.pt)"
    )


@pytest.mark.usefixtures("narrow")
def test_text_of_the_file_cannot_steer_the_terminal(make_state, save, capsys):
    red = "\x1b[31mred\n"
    content = {"state_dict": make_state(), "name": red, red: 1}
    assert main(["info", str(save(content))]) == 0
    assert main(["info", str(save({**make_state(), red: torch.zeros(1)}))]) == 1
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert printed.out.count(r"\x1b[31mred\n") == 2
    assert printed.err.count(r"\x1b[31mred\n") == 1


def test_bad_files_in_a_process_of_its_own(tmp_path):
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"epoch,loss\n")
    for path, named in [
        (bad, "is not a file of plain tensors"),
        (tmp_path / "none.pt", "not exist"),
    ]:
        done = subprocess.run(
            [sys.executable, "-m", "cloome_sk.checkpoints", "info", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert not done.stdout
        assert named in done.stderr
        assert str(path) in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_usage(capsys):
    for arguments in ([], ["info"], ["other", "a.pt"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "usage: python -m cloome_sk.checkpoints" in capsys.readouterr().err
