"""Training with a compiled phenotype network: the weights, names and bits of one that is not."""

from __future__ import annotations

import copy
import pickle
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles, make_screen
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder, ProfileEncoder
from cloome_sk.networks import MLP, SmallCNN
from cloome_sk.networks.bags import BagNetwork
from cloome_sk.networks.imagenet import ImageNetResNet
from cloome_sk.networks.images import ImageNetwork
from cloome_sk.networks.resnet import ResNet
from cloome_sk.training import compiling
from cloome_sk.training.compiling import compile_while_training
from cloome_sk.training.net import ContrastiveNet


@pytest.fixture
def graphs(monkeypatch):
    """Have networks traced as ever, computed by torch as they are; a list of what was traced."""
    traced = []

    def backend(graph, inputs):
        traced.append(graph)
        return graph.forward

    monkeypatch.setitem(compiling.COMPILER, "backend", backend)
    monkeypatch.delitem(compiling.COMPILER, "options")
    # With it, a network that cannot be traced as a whole is an error.
    monkeypatch.setitem(compiling.COMPILER, "fullgraph", True)
    monkeypatch.setattr("cloome_sk.training.compiling.check_compiler", lambda device: None)
    return traced


@pytest.fixture(scope="module")
def X():  # noqa: N802
    return make_profiles(n_compounds=40, random_state=0)


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screen")
    return make_screen(folder, n_compounds=8, n_plates=2, n_sites=2, size=48, random_state=0)


def quick(**changes):
    chosen = {
        "phenotype": ProfileEncoder(hidden_sizes=(32,), dropout=0.2),
        "molecule": MoleculeEncoder(n_bits=256, hidden_sizes=(32,), input_dropout=0.2),
        "n_components": 16,
        "batch_size": 24,
        "max_epochs": 2,
        "random_state": 3,
        "device": "cpu",
    }
    return CloomeEmbedder(**{**chosen, **changes})


def assert_same(fitted, expected):
    assert list(fitted.state_) == list(expected.state_)
    for name, value in expected.state_.items():
        np.testing.assert_array_equal(fitted.state_[name], value, err_msg=name)
    assert fitted._history == expected._history


@pytest.mark.parametrize(
    ("n_graphs", "changes"),
    [
        (1, {}),
        (1, {"ema_decay": 0.9, "validation": 0.2, "keep": "best", "clip_norm": 1.0}),
        (1, {"precision": "bf16"}),
        (2, {"gradient_cache": 7}),  # embedded without and with what a gradient needs
        (1, {"trainable": ["phenotype.layers.5", "molecule"]}),
        (1, {"trainable": "molecule"}),
    ],
)
def test_weights_are_those_without_a_compiler(X, graphs, n_graphs, changes):
    expected = quick(**changes).fit(X)
    assert not graphs
    compiled = quick(compile=True, **changes).fit(X)
    assert expected.n_pairs_ % 24  # so that there are batches of two sizes
    assert len(graphs) == n_graphs
    assert_same(compiled, expected)


@pytest.mark.parametrize("gradient_cache", [None, 5])
@pytest.mark.parametrize(
    "encoder",
    [
        ImageEncoder(crop=32),
        ImageEncoder(normalization="plate"),
        BagEncoder(ImageEncoder(augmentation=None), pooling="attention"),
        BagEncoder(ImageEncoder(), group_by="molecule", max_size=3),
    ],
)
def test_images_and_bags(sites, graphs, encoder, gradient_cache):
    changes = {"phenotype": encoder, "batch_size": 9, "gradient_cache": gradient_cache}
    sites = sites.drop(index=sites.index[[20, 33]])  # bags of different sizes
    expected = quick(**changes).fit(sites)
    compiled = quick(compile=True, **changes).fit(sites)
    n_modes = 1 if gradient_cache is None else 2
    # torch has another way to convolve fewer than 16 inputs.
    assert n_modes <= len(graphs) <= 2 * n_modes
    assert_same(compiled, expected)


@pytest.mark.parametrize(
    "network",
    [
        MLP(7, 4, [8], dropout=0.1, input_dropout=0.1),
        SmallCNN(2, 4),
        ResNet(2, 4, depth=18),
        pytest.param(ResNet(2, 4, depth=50), marks=pytest.mark.slow),
        ImageNetResNet(2, 4, depth=18),
        pytest.param(ImageNetResNet(2, 4, depth=50, channelwise=True), marks=pytest.mark.slow),
    ],
    ids=lambda network: type(network).__name__,
)
def test_networks_are_one_graph_for_all_sizes_of_batches(graphs, network):
    compile_while_training(network, n_rows=4)
    shape = (7,) if isinstance(network, MLP) else (2, 64, 64)
    for n_rows in (3, 4, 2, 7):
        network(torch.zeros(n_rows, *shape)).sum().backward()
    assert len(graphs) == 1


def test_what_is_compiled_is_not_in_copies_pickles_or_names(graphs):
    network = MLP(3, 2, [4])
    names = list(network.state_dict())
    compile_while_training(network, n_rows=4)
    inputs = torch.randn(5, 3)
    network(inputs)
    assert len(graphs) == 1
    assert list(network.state_dict()) == names
    others = [copy.deepcopy(network), pickle.loads(pickle.dumps(network))]
    for other in [*others, network.eval()]:
        other.eval()(torch.randn(9, 3, dtype=torch.float32))
        with torch.no_grad():
            other(inputs)
    assert len(graphs) == 1
    others[0].train()(inputs)
    assert len(graphs) == 1
    network.train()(inputs)
    assert len(graphs) == 1


def test_only_the_innermost_network_is_compiled(graphs):
    inner = SmallCNN(2, 4)
    network = BagNetwork(ImageNetwork(inner, [0.0, 0.0], [1.0, 1.0]))
    compile_while_training(network, n_rows=4)
    network((torch.zeros(3, 2, 32, 32, dtype=torch.uint8), torch.tensor([0, 1, 1])))
    assert len(graphs) == 1
    held = [module for module in network.modules() if module._compiled_call_impl is not None]
    assert held == [inner]


def test_each_of_many_fits_is_compiled(X, graphs):
    # torch compiles a function eight times, and from then on computes it as it is.
    for width in range(2, 12):
        quick(phenotype=ProfileEncoder(hidden_sizes=(width,)), compile=True, max_epochs=1).fit(X)
        assert len(graphs) == width - 1


def test_embedding_is_not_compiled(X, graphs, tmp_path):
    embedder = quick(compile=True).fit(X)
    n_graphs = len(graphs)
    embedded = embedder.transform(X)
    embedder.save(tmp_path / "model")
    for other in (
        CloomeEmbedder.load(tmp_path / "model"),
        pickle.loads(pickle.dumps(embedder)),
    ):
        assert other.compile
        np.testing.assert_array_equal(other.transform(X), embedded)
    assert len(graphs) == n_graphs


class StoppedError(Exception):
    """Ends a training from within."""


def interrupted(monkeypatch, embedder, X, n_updates):
    """Train for so many updates, then resume."""
    original, made = ContrastiveNet.train_step, []

    def step(self, batch, **fit_params):
        if len(made) == n_updates:
            raise StoppedError
        made.append(1)
        return original(self, batch, **fit_params)

    with monkeypatch.context() as patch:
        patch.setattr(ContrastiveNet, "train_step", step)
        with pytest.raises(StoppedError):
            embedder.fit(X)
    return embedder.fit(X, resume=True)


@pytest.mark.parametrize("gradient_cache", [None, 7])
def test_resuming_gives_the_same_bits(X, graphs, tmp_path, monkeypatch, gradient_cache):
    changes = {"compile": True, "gradient_cache": gradient_cache, "checkpoint_every": 1}
    whole = quick(checkpoint_dir=tmp_path / "whole", **changes).fit(X)
    broken = quick(checkpoint_dir=tmp_path / "broken", **changes)
    assert_same(interrupted(monkeypatch, broken, X, 3), whole)


def test_compiled_is_another_training(X, graphs, tmp_path):
    quick(checkpoint_dir=tmp_path, max_epochs=1).fit(X)
    quick(checkpoint_dir=tmp_path, max_epochs=1, compile=True).fit(X)
    assert len(list(tmp_path.iterdir())) == 2


def test_errors_of_the_network_are_its_own(graphs, monkeypatch):
    monkeypatch.delitem(compiling.COMPILER, "fullgraph")
    network = SmallCNN(2, 4)
    compile_while_training(network, n_rows=4)
    with pytest.raises(ValueError, match="SmallCNN needs images of at least 16 x 16 pixels"):
        network(torch.zeros(4, 2, 8, 8))


class Counted(nn.Module):
    """A network that reads the number of its inputs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, inputs):
        return self.layer(inputs) if len(inputs) == 4 else self.layer(-inputs)


def test_a_network_that_cannot_be_compiled(graphs):
    network = Counted()
    compile_while_training(network, n_rows=4)
    message = r"torch cannot compile the network Counted\..*Set compile=False"
    with pytest.raises(RuntimeError, match=message):
        network(torch.zeros(4, 3))


def test_without_a_compiler(X, monkeypatch, tmp_path):
    import torch._inductor.config as inductor

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    read = []
    monkeypatch.setattr(ProfileEncoder, "inputs", lambda *_: read.append(1))
    message = r"C\+\+ compiler.*no-such-compiler.*compile=False"
    # By torch's own means: pytest's would leave its settings without the entry.
    with (
        inductor.patch({"cpp.cxx": (None, "no-such-compiler")}),
        pytest.raises(RuntimeError, match=message),
    ):
        quick(compile=True).fit(X)
    assert not read  # known before the table is read


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")),
    reason="no C++ compiler: neither g++ nor clang++ is there",
)
def test_compiled_in_earnest(X, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "code"))
    generator = torch.get_rng_state()
    expected = quick().fit(X)
    whole = quick(compile=True, checkpoint_dir=tmp_path / "whole", checkpoint_every=1).fit(X)
    assert list(whole.state_) == list(expected.state_)
    # The same batches and dropout: nothing but rounding differs.
    for name in ("objective", "inv_tau"):
        np.testing.assert_allclose(whole.history_[name], expected.history_[name], rtol=1e-6)
    for name, value in expected.state_.items():
        # Biases before a BatchNorm have no gradient but what rounding makes.
        if value.ndim == 2:
            np.testing.assert_allclose(whole.state_[name], value, atol=1e-5, err_msg=name)
    assert any(
        not np.array_equal(whole.state_[name], value) for name, value in expected.state_.items()
    )
    broken = quick(compile=True, checkpoint_dir=tmp_path / "broken", checkpoint_every=1)
    assert_same(interrupted(monkeypatch, broken, X, 3), whole)
    assert torch.equal(torch.get_rng_state(), generator)
