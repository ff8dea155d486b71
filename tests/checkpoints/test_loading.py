"""Files that are not what they should be: code, damage, other formats. Nothing of them runs."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from cloome_sk.checkpoints import CheckpointError, read_checkpoint


class Touch:
    """Pickled, this makes a file when it is loaded by an unpickler that runs code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class Settings:
    """A class of the writer's own, as in many files of weights."""


def reason(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert "weights_only" not in str(caught.value)  # never how to switch the protection off
    return caught.value.reason


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("variable", [None, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["state_dict", "inside", "optimizer", "alone"])
def test_code_in_a_file_never_runs(
    make_state, save, tmp_path, monkeypatch, place, legacy, variable
):
    if variable:
        monkeypatch.setenv(variable, "1")
    ran = tmp_path / "ran"
    content = {
        "state_dict": {"state_dict": Touch(ran)},
        "inside": {"state_dict": {**make_state(), "visual.fc.bias": Touch(ran)}},
        "optimizer": {"state_dict": make_state(), "optimizer": Touch(ran)},
        "alone": Touch(ran),
    }[place]
    path = save(content, legacy=legacy)
    message = reason(path)
    assert "system, which is not a tensor" in message
    assert "nothing of the file was loaded" in message
    assert not ran.exists()
    torch.load(path, weights_only=False)  # the file is as bad as it looks
    assert ran.exists()


def test_plain_pickles(tmp_path):
    ran, path = tmp_path / "ran", tmp_path / "weights.pkl"
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps({"state_dict": Touch(ran)}, protocol=protocol))
        reason(path)
    assert not ran.exists()


def test_objects_that_are_no_tensors_are_named(save):
    assert "Settings, which is not a tensor" in reason(save({"state_dict": {}, "args": Settings()}))


def test_a_scripted_model(tmp_path):
    # What torch.jit.save writes, without calling what torch has deprecated.
    path = tmp_path / "scripted.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "version"):
            archive.writestr(f"scripted/{name}", b"x")
    assert "TorchScript archive, which holds code" in reason(path)


@pytest.mark.usefixtures("narrow")
def test_one_changed_byte(make_state, save):
    path = save({"state_dict": make_state()})
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content[largest.header_offset + 200 + largest.file_size // 2] ^= 0x10
    path.write_bytes(content)
    message = reason(path)
    assert "damaged or cut short" in message
    assert largest.filename in message


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_download_that_broke_off(make_state, save, share, legacy):
    path = save({"state_dict": make_state()}, legacy=legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "damaged" in reason(path)


@pytest.mark.usefixtures("narrow")
def test_an_archive_packed_once_more(make_state, save, tmp_path):
    packed = tmp_path / "packed.pt"
    with (
        zipfile.ZipFile(save(make_state())) as archive,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as other,
    ):
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
    assert "is compressed, which torch.save never does" in reason(packed)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "is a web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "is not a file"),
        (b"epoch,loss\n1,0.5\n", "is not a file"),
        (bytes(500), "is not a file"),
        (b"PK\x03\x04" + bytes(100), "damaged or cut short"),
        (b"PK\x05\x06" + bytes(18), "is not a file"),
        (bytes(range(256)) * 4, "is not a file"),
    ],
)
def test_other_content(tmp_path, content, named):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert named in reason(path)
