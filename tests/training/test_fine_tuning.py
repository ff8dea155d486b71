"""Frozen weights, and weights with rates of their own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cloome_sk.networks import MLP, DualEncoder, SmallCNN
from cloome_sk.training.fine_tuning import freeze, matches, parameter_groups


def network():
    return DualEncoder(SmallCNN(2, 4), MLP(6, 4, (8, 8)))


def trained(net):
    return {name for name, parameter in net.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("molecule", "molecule.layers.0.weight", True),
        ("molecule.layers.0", "molecule.layers.0.weight", True),
        ("molecule.layers.1", "molecule.layers.12.weight", False),
        ("mol", "molecule.layers.0.weight", False),
        ("*.weight", "molecule.layers.0.weight", True),
        ("*.layer[34]", "phenotype.backbone.layer4.0.conv1.weight", True),
        ("*.layer[34]", "phenotype.backbone.layer2.0.conv1.weight", False),
        ("log_inv_tau", "log_inv_tau", True),
        ("Molecule", "molecule.layers.0.weight", False),
    ],
)
def test_patterns(pattern, name, fits):
    assert matches(name, pattern) is fits


def test_all_is_trained_by_default():
    net = network()
    assert freeze(net, None) == []
    assert trained(net) == {name for name, _ in net.named_parameters()}


def test_what_is_not_named_is_frozen():
    net = network()
    held = freeze(net, ["molecule.layers.0", "log_inv_tau"])
    assert trained(net) == {"molecule.layers.0.weight", "molecule.layers.0.bias", "log_inv_tau"}
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d)]
    assert norms
    assert all(any(norm is module for module in held) for norm in norms)


def test_a_norm_of_which_one_weight_is_trained_is_not_held():
    net = network()
    name = next(name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm1d))
    norm = net.get_submodule(name)
    assert all(module is not norm for module in freeze(net, [f"{name}.bias"]))


def test_a_pattern_that_fits_nothing_names_the_parts():
    with pytest.raises(ValueError, match=r"trainable: 'phenotype.head' fits no weight.*molecule"):
        freeze(network(), ["molecule", "phenotype.head"])
    with pytest.raises(ValueError, match=r"lr_factors: 'head' fits no weight"):
        parameter_groups(network().named_parameters(), 1.0, [("head", 0.1)])


def test_groups_by_rate_and_decay():
    net = network()
    freeze(net, ["molecule", "phenotype", "log_inv_tau"])
    factors = [("phenotype", 0.1), ("phenotype.*.bias", 0.5), ("molecule.layers.0", 2.0)]
    groups = parameter_groups(net.named_parameters(), 0.01, factors)
    found = {
        id(p): (group["lr"], group.get("weight_decay")) for group in groups for p in group["params"]
    }
    assert len(found) == sum(len(group["params"]) for group in groups)
    for name, parameter in net.named_parameters():
        rate = 0.01
        if name.startswith("phenotype."):
            rate = 0.005 if name.endswith("bias") else 0.001
        if name.startswith("molecule.layers.0."):
            rate = 0.02
        decay = None if parameter.ndim >= 2 else 0.0
        assert found[id(parameter)] == (pytest.approx(rate), decay), name


def test_frozen_weights_are_in_no_group():
    net = network()
    freeze(net, ["molecule.layers.0.weight"])
    (group,) = parameter_groups(net.named_parameters(), 0.01, ())
    assert len(group["params"]) == 1
    assert torch.equal(group["params"][0], net.get_parameter("molecule.layers.0.weight"))


@pytest.mark.parametrize("trainable", [["molecule"], ["phenotype.fc", "molecule.layers.0"]])
def test_a_frozen_temperature_does_not_hold_the_networks(trainable):
    net = network()
    held = freeze(net, trainable)
    net.train()
    for module in held:
        module.eval()
    assert not net.log_inv_tau.requires_grad
    for name, module in net.named_modules():
        own = [parameter.requires_grad for parameter in module.parameters(recurse=False)]
        if own and module is not net:
            assert module.training is any(own), name


def test_a_norm_without_weights_is_held_with_what_it_is_in():
    def built():
        image = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, affine=False))
        return DualEncoder(image, MLP(6, 4, (8,)))

    net = built()
    assert any(module is net.phenotype[1] for module in freeze(net, ["molecule"]))
    net = built()
    assert all(module is not net.phenotype[1] for module in freeze(net, ["phenotype"]))
