"""Reading the authors' files: names, sizes, dtypes, and what makes a file unusable."""

from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from cloome_sk.checkpoints import CheckpointError, read_checkpoint
from cloome_sk.networks import MLP, ResNet


def as_half(state):
    """As the authors' `convert_weights` leaves them: convolutions and Linear layers, not norms."""
    halved = OrderedDict(state)
    for name, value in state.items():
        inside_norm = re.search(r"\.bn\d\.|downsample\.1\.|layers\.\d\.1\.|^visual\.bn1", name)
        if value.is_floating_point() and value.ndim and not inside_norm:
            halved[name] = value.half()
    return halved


def assert_holds(checkpoint, state):
    """The file's numbers, each under its name here, and no others."""
    expected = {}
    for name, value in state.items():
        if name.startswith("visual."):
            expected["phenotype", name.removeprefix("visual.")] = value
        elif name.startswith("transformer."):
            _, _, block, layer, weight = name.split(".")
            own_name = f"layers.{3 * int(block) + int(layer)}.{weight}"
            expected["molecule", own_name] = value
    found = {
        (part, name): value
        for part in ("phenotype", "molecule")
        for name, value in getattr(checkpoint, part).items()
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        array = found[name]
        assert array.dtype == (np.float32 if value.is_floating_point() else np.int64)
        np.testing.assert_array_equal(array, value.float().numpy(), err_msg=str(name))


# --------------------------------------------------------------------------------- what is read


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_the_authors_file(make_state, as_trained, save, legacy, half):
    state = as_half(make_state()) if half else make_state()
    path = save(as_trained(state), legacy=legacy)
    checkpoint = read_checkpoint(path)
    assert_holds(checkpoint, state)
    assert checkpoint.log_inv_tau == pytest.approx(math.log(14.3))
    assert checkpoint.inv_tau == pytest.approx(14.3)
    assert (checkpoint.n_channels, checkpoint.n_components) == (3, 6)
    assert (checkpoint.n_bits, checkpoint.hidden_sizes) == (16, (10, 12))
    assert checkpoint.prefix == "module."
    assert checkpoint.dtype == ("float16, float32" if half else "float32")
    assert (checkpoint.epoch, checkpoint.name) == (63, "imgres=520_lr=0.001")
    assert checkpoint.ignored.keys() == {"optimizer", "scheduler"}
    floats = [value for value in state.values() if value.is_floating_point()]
    moments = 2 * sum(value.nbytes for value in floats)
    counters = 4 * len(floats)  # AdamW counts its steps for each weight, in float32
    assert checkpoint.ignored["optimizer"] == moments + counters
    assert checkpoint.ignored["scheduler"] == 0


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_weights_alone(make_state, save, prefix):
    state = make_state()
    path = save({prefix + name: value for name, value in state.items()})
    checkpoint = read_checkpoint(str(path))
    assert_holds(checkpoint, state)
    assert checkpoint.prefix == prefix
    assert checkpoint.ignored == {}
    assert checkpoint.epoch is None
    assert checkpoint.name is None


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("hidden", [(), (5,), (9, 8, 7, 6)])
def test_sizes_come_from_the_shapes(make_state, save, hidden):
    state = make_state(n_channels=7, n_components=11, n_bits=20, hidden=hidden)
    checkpoint = read_checkpoint(save(state))
    assert_holds(checkpoint, state)
    assert (checkpoint.n_channels, checkpoint.n_components) == (7, 11)
    assert (checkpoint.n_bits, checkpoint.hidden_sizes) == (20, hidden)


@pytest.mark.usefixtures("narrow")
def test_the_molecule_network_is_the_authors(make_state, save):
    state = make_state()
    checkpoint = read_checkpoint(save(state))
    network = MLP(16, 6, checkpoint.hidden_sizes).eval()
    network.load_state_dict(
        {name: torch.from_numpy(value) for name, value in checkpoint.molecule.items()}
    )
    bits = (torch.rand(4, 16, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    values = bits
    for layer in range(2):
        part = {name.split(".", 3)[3]: v for name, v in state.items() if f"layers.{layer}." in name}
        values = F.linear(values, part["0.weight"], part["0.bias"])
        scale = part["1.weight"] / (part["1.running_var"] + 1e-5).sqrt()
        values = F.relu((values - part["1.running_mean"]) * scale + part["1.bias"])
    last = state["transformer.layers.2.0.weight"], state["transformer.layers.2.0.bias"]
    torch.testing.assert_close(network(bits), F.linear(values, *last))


def test_a_file_of_the_published_size(make_state, save):
    state = make_state(5, 512, 64, (3, 4, 6, 3), 1024, (1024,) * 4)
    path = save({"state_dict": {f"module.{name}": value for name, value in state.items()}})
    checkpoint = read_checkpoint(path)
    assert_holds(checkpoint, state)
    with torch.device("meta"):
        networks = {
            "phenotype": ResNet(checkpoint.n_channels, checkpoint.n_components, depth=50),
            "molecule": MLP(checkpoint.n_bits, checkpoint.n_components, checkpoint.hidden_sizes),
        }
    for part, network in networks.items():
        weights = {name: torch.from_numpy(v) for name, v in getattr(checkpoint, part).items()}
        network.load_state_dict(weights, assign=True)
    lines = checkpoint.describe().splitlines()
    rows = dict(re.split(r" {2,}", line, maxsplit=1) for line in lines if "  " in line)
    # counted on the authors' own networks
    assert "5 channels to 512 components, 24,563,392 parameters" in rows["phenotype"]
    assert "blocks 3, 4, 6, 3" in rows["phenotype"]
    assert "1024 - 1024 - 1024 - 1024 - 1024 - 512, 4,731,392 parameters" in rows["molecule"]
    assert rows["parameters"] == "29,294,785 with the temperature"


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("legacy", [False, True])
def test_weights_from_a_gpu_on_a_machine_without(make_state, save, monkeypatch, legacy):
    state = make_state()
    with monkeypatch.context() as gpu:
        gpu.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        path = save({"state_dict": state}, legacy=legacy)
    assert b"cuda:0" in path.read_bytes()
    assert_holds(read_checkpoint(path), state)


@pytest.mark.usefixtures("narrow")
def test_weights_in_another_order_in_memory(make_state, save):
    state = make_state()
    name = "visual.layer1.0.conv2.weight"
    state[name] = state[name].to(memory_format=torch.channels_last)
    checkpoint = read_checkpoint(save(state))
    assert_holds(checkpoint, state)
    assert checkpoint.phenotype["layer1.0.conv2.weight"].flags.c_contiguous


@pytest.mark.usefixtures("narrow")
def test_what_was_read_does_not_need_the_file(make_state, save):
    state = make_state()
    path = save(state)
    checkpoint = read_checkpoint(path)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert_holds(checkpoint, state)
    checkpoint.phenotype["fc.bias"] += 1  # they can be changed, too


@pytest.mark.usefixtures("narrow")
def test_a_file_without_checksums(make_state, save):
    state = make_state()
    torch.serialization.set_crc32_options(False)
    try:
        path = save(state)
    finally:
        torch.serialization.set_crc32_options(True)
    assert_holds(read_checkpoint(path), state)


@pytest.mark.usefixtures("narrow")
def test_what_lies_beside_the_weights_may_be_anything_that_is_no_code(make_state, save):
    circle = []
    circle.append(circle)
    deep = []
    for _ in range(100):
        deep = [deep]
    numbers = torch.zeros(1000)
    beside = {
        "epoch": "last",
        "name": None,
        "args": {"lr": 0.1, "betas": (0.9, 0.999)},
        "circle": circle,
        "deep": deep,
        "views": [numbers, numbers[:10], {"again": numbers}],
        7: torch.zeros(3),
    }
    checkpoint = read_checkpoint(save({"state_dict": make_state(), **beside}))
    assert checkpoint.epoch is None
    assert checkpoint.name is None
    assert checkpoint.ignored == {
        **{"epoch": 0, "name": 0, "args": 0, "circle": 0, "deep": 0},
        **{"views": 4000, "7": 12},
    }


# ------------------------------------------------------------------------- what is not a checkpoint


def reason(path) -> str:
    """Why a file is refused; the message names the file."""
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    assert caught.value.path == str(path)
    return caught.value.reason


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("count", [1, 100])
def test_a_prefix_of_some_names_only(make_state, save, count):
    state = make_state()
    mixed = {
        ("module." if number >= count else "") + name: value
        for number, (name, value) in enumerate(state.items())
    }
    message = reason(save(mixed))
    if count == 1:
        assert "Those that do not: 'visual.conv1.weight'. " in message
    else:
        others = len(state) - count
        assert "Those that do: 'module." in message
        assert f"and {others - 6} more" in message


@pytest.mark.usefixtures("narrow")
def test_a_prefix_that_is_not_known_stays(make_state, save):
    state = {f"_orig_mod.{name}": value for name, value in make_state().items()}
    message = reason(save(state))
    assert "it lacks 'visual.conv1.weight'" in message
    assert "it has '_orig_mod.visual.conv1.weight'" in message


@pytest.mark.usefixtures("narrow")
def test_a_prefix_is_taken_off_once(make_state, save):
    state = {f"module.module.{name}": value for name, value in make_state().items()}
    assert "it has 'module.visual.conv1.weight'" in reason(save(state))


@pytest.mark.usefixtures("narrow")
def test_missing_and_unknown_names(make_state, save):
    state = make_state()
    del state["visual.layer2.1.bn2.running_var"], state["logit_inv_tau"]
    state["visual.attnpool.k_proj.weight"] = torch.zeros(2)
    message = reason(save({"state_dict": state}))
    assert "it lacks 'visual.layer2.1.bn2.running_var', 'logit_inv_tau'; " in message
    assert "it has 'visual.attnpool.k_proj.weight', not known here" in message


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("transformer.layers.1", "lacks 'transformer.layers.1.0.weight'"),
        ("transformer", "lacks 'transformer.layers.0.0.weight'"),
        ("visual", "lacks 'visual.conv1.weight'"),
    ],
)
def test_missing_layers(make_state, save, missing, named):
    state = {k: v for k, v in make_state().items() if not k.startswith(missing + ".")}
    assert named in reason(save(state))


def test_another_number_of_blocks_than_the_network_has(make_state, save):
    message = reason(save(make_state(width=8, blocks=(3, 4, 6, 4))))
    assert "it has 'visual.layer4.3.conv1.weight', " in message
    assert "lacks" not in message


def test_another_width_than_the_network_has(make_state, save):
    message = reason(save(make_state(width=8, blocks=(3, 4, 6, 3))))
    assert "'visual.conv1.weight' has the shape (8, 3, 7, 7), expected (64, 3, 7, 7)" in message
    assert re.search(r"and \d+ more", message)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        (
            "visual.conv1.weight",
            torch.zeros(4, 3, 3, 3),
            "visual.conv1.weight' has the shape (4, 3, 3, 3), expected (4, 3, 7, 7)",
        ),
        ("visual.conv1.weight", torch.zeros(4, 3), "shape (4, 3); expected are 4 dimensions"),
        ("visual.fc.weight", torch.zeros(0, 128), "shape (0, 128); expected are 2 dimensions"),
        (
            "visual.fc.weight",
            torch.zeros(5, 128),
            "'visual.fc.bias' has the shape (6,), expected (5,)",
        ),
        (
            "transformer.layers.2.0.weight",
            torch.zeros(7, 12),
            "transformer.layers.2.0.weight' has the shape (7, 12), expected (6, 12)",
        ),
        (
            "transformer.layers.1.0.weight",
            torch.zeros(12, 9),
            "transformer.layers.1.0.weight' has the shape (12, 9), expected (12, 10)",
        ),
        ("logit_inv_tau", torch.zeros(2), "'logit_inv_tau' has the shape (2,), expected ()"),
        ("visual.fc.bias", torch.zeros(6, dtype=torch.int64), "(6,) of whole numbers, expected"),
        ("visual.bn1.num_batches_tracked", torch.tensor(1.0), "expected () of whole numbers"),
    ],
)
def test_a_weight_of_another_size(make_state, save, name, value, named):
    message = reason(save({**make_state(), name: value}))
    assert named in message


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (torch.zeros(6).to_sparse(), "torch.sparse_coo"),
        (torch.zeros(6, device="meta"), "on meta"),
        (torch.zeros(6, dtype=torch.complex64), "torch.complex64"),
        (torch.zeros(6, dtype=torch.int8), "torch.int8"),
        (torch.zeros(1).expand(6), "states the shape (6,) and stores fewer numbers"),
    ],
)
def test_a_weight_that_is_no_plain_array(make_state, save, value, named):
    message = reason(save({**make_state(), "visual.fc.bias": value}))
    assert "'visual.fc.bias'" in message
    assert named in message


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", ["visual.bn1.running_mean", "transformer.layers.0.0.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_numbers_that_are_not_finite(make_state, save, name, value, dtype):
    state = make_state()
    state[name] = state[name].to(dtype)
    state[name].view(-1)[1] = value
    message = reason(save({f"module.{key}": weight for key, weight in state.items()}))
    assert message.startswith(f"1 of {state[name].numel()} numbers of the weight 'module.{name}'")


@pytest.mark.usefixtures("narrow")
def test_numbers_that_cannot_be(make_state, save):
    state = make_state()
    large = {**state, "visual.fc.bias": torch.full((6,), 1e300, dtype=torch.float64)}
    assert "6 of 6 numbers of the weight 'visual.fc.bias' are not finite" in reason(save(large))
    assert "not finite" in reason(save({**state, "logit_inv_tau": torch.tensor(float("nan"))}))
    state["visual.bn1.running_var"][2] = -0.1
    assert "'visual.bn1.running_var' are negative" in reason(save(state))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([torch.zeros(2)], "holds a list, not a dictionary"),
        (torch.zeros(2), "holds a Tensor"),
        ({}, "it is empty"),
        ({"state_dict": {}}, "it is empty"),
        ({"model": {"a": torch.zeros(2)}}, "it holds 'model' (dict)"),
        ({"state_dict": {"a": 1.5, 3: torch.zeros(2)}}, "it holds 'a' (float), 3 (Tensor)"),
        ({"state_dict": "weights"}, "it holds 'state_dict' (str)"),
    ],
)
def test_content_that_is_no_state_dict(save, content, named):
    assert named in reason(save(content))


def test_the_error_survives_a_process():
    error = pickle.loads(pickle.dumps(CheckpointError("a.pt", "the file is empty.")))
    assert (error.path, error.reason) == ("a.pt", "the file is empty.")
    assert str(error) == "a.pt: the file is empty."


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt' does not exist"):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(FileNotFoundError, match="is not a file"):
        read_checkpoint(tmp_path)
