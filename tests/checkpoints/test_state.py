"""Weight files of every kind: what is read, what is refused, and that no code is run."""

from __future__ import annotations

import argparse
import builtins
import pickle
import re
import warnings
import zipfile

import pytest
import torch

from cloome_sk.checkpoints import read_state

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}


class Creates:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return builtins.open, (str(self.path), "w")


def same(state):
    assert list(state) == list(STATE)
    for name, value in state.items():
        assert value.dtype == STATE[name].dtype
        assert value.device.type == "cpu"
        assert torch.equal(value, STATE[name])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "optimizer": {"step": 3}, "epoch": 9},
        {"model": STATE},
        {name: torch.nn.Parameter(v, requires_grad=False) for name, v in STATE.items()},
    ],
)
def test_state_dicts_are_read_plain_or_under_their_key(tmp_path, content, zipped):
    file = tmp_path / "weights.pth"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    same(read_state(file))
    same(read_state(str(file)))


def test_weights_need_no_gradient(tmp_path):
    linear = torch.nn.Linear(2, 3)
    torch.save(dict(linear.named_parameters()), tmp_path / "w.pth")
    assert not any(value.requires_grad for value in read_state(tmp_path / "w.pth").values())


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(tmp_path, zipped):
    created = tmp_path / "created"
    file = tmp_path / "weights.pth"
    torch.save({**STATE, "x": Creates(created)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"weights\.pth: asks for (_?io|builtins)\.open, which"):
        read_state(file)
    assert not created.exists()
    torch.load(file, weights_only=False)["x"].close()  # it would have
    assert created.exists()


def test_code_in_a_plain_pickle_is_not_run(tmp_path):
    created = tmp_path / "created"
    file = tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps(Creates(created)))
    with pytest.raises(ValueError, match=r"weights\.pth: is not a file of plain tensors"):
        read_state(file)
    assert not created.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_model_is_refused_by_the_name_of_its_class(tmp_path, zipped):
    file = tmp_path / "model.pt"
    torch.save(torch.nn.Linear(2, 2), file, _use_new_zipfile_serialization=zipped)
    match = r"model\.pt: asks for torch\.nn\.modules\.linear\.Linear, which.*state_dict"
    with pytest.raises(ValueError, match=match):
        read_state(file)


def test_a_checkpoint_with_other_objects_is_refused(tmp_path):
    torch.save({"state_dict": STATE, "args": argparse.Namespace(lr=1)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth: asks for argparse\.Namespace, which"):
        read_state(tmp_path / "w.pth")


def test_a_torchscript_archive_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(ValueError, match=r"script\.pt: is a TorchScript archive"):
        read_state(tmp_path / "script.pt")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer"),
        (b"PK\x03\x04 the beginning of an archive", "is damaged or cut short"),
        (bytes(1024), "is not a file of plain tensors that torch.save wrote, or it is damaged"),
    ],
)
def test_other_files_are_refused(tmp_path, content, what):
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"weights.pth: {what}")):
        read_state(file)


@pytest.mark.parametrize("place", [0.3, 0.6])
def test_a_changed_byte_is_noticed(tmp_path, place):
    file = tmp_path / "weights.pth"
    torch.save({"weight": torch.arange(4096.0)}, file)
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.pth: is damaged"):
        read_state(file)


def test_another_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("weights.txt", "1 2 3")
    message = r"w\.pth: is not a file of plain tensors that torch\.save wrote"
    with pytest.raises(ValueError, match=message):
        read_state(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_half_a_file_is_refused(tmp_path, zipped, kept):
    file = tmp_path / "weights.pth"
    torch.save(STATE, file, _use_new_zipfile_serialization=zipped)
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"weights\.pth: .*is damaged"):
        read_state(file)


def test_contents_that_are_no_state_dict_are_described(tmp_path):
    file = tmp_path / "w.pth"
    for content, match in (
        (torch.zeros(3), "is of type Tensor, where a state dict"),
        ([torch.zeros(3)], "is of type list"),
        ({}, r"is of type dict \(empty\)"),
        ({"state_dict": {}}, r"is of type dict \(empty\)"),
        ({"net": STATE, "epoch": 3}, r"2 of 2 entries .*'net' is of type dict\. .*net, epoch\."),
        ({0: torch.zeros(1)}, "0 is of type Tensor"),
    ):
        torch.save(content, file)
        with pytest.raises(ValueError, match=match):
            read_state(file)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth: there is no such weight file"):
        read_state(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="is a folder"):
        read_state(tmp_path)


def test_safetensors(tmp_path):
    import safetensors.torch as safetensors

    file = tmp_path / "w.safetensors"
    safetensors.save_file(STATE, file)
    same(dict(sorted(read_state(file).items())))
    file.write_bytes(b"no such thing")
    with pytest.raises(ValueError, match=r"is no safetensors file, or is damaged"):
        read_state(file)
