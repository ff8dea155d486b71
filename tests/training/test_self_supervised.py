"""Views, teacher, center and collapse: what SimCLR and DINO do in each update."""

from __future__ import annotations

import copy
import math

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cloome_sk.networks import MLP, Augmentation, BagNetwork, ImageNetwork, SmallCNN
from cloome_sk.objectives import dino_loss, nt_xent
from cloome_sk.training.dino import DINOCriterion, DINONet, train_dino
from cloome_sk.training.dino_network import DINOHead, DINONetwork, momentum_at, outputs
from cloome_sk.training.fitting import FitPlan
from cloome_sk.training.self_supervised import check_views_differ, spread
from cloome_sk.training.simclr import SimCLRCriterion, SimCLRNetwork, train_simclr, twice


def images(n_components=4) -> ImageNetwork:
    return ImageNetwork(
        SmallCNN(2, n_components, width=2),
        mean=[100.0] * 2,
        std=[50.0] * 2,
        augmentation=Augmentation(),
    )


def pixels(n=6, side=32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 2, side, side), dtype=torch.uint8, generator=generator)


def dino(n_local=1, **params) -> DINONetwork:
    settings = {"local_crop": None, "global_zoom": (0.5, 1.0), "local_zoom": (0.3, 0.5)}
    head = DINOHead(4, 8, 5, 7)
    return DINONetwork(images(), head, n_local, **{**settings, "momentum": 0.9, **params})


def plan(**params) -> FitPlan:
    settings = {"lr": 1e-2, "weight_decay": 0.0, "schedule": None, "batch_size": 6}
    settings |= {"max_epochs": 2, "seed": 0, "device": "cpu", "verbose": 0}
    return FitPlan(**{**settings, **params})


def fitted_dino(n=12, momentum=0.5, load_weights=lambda network: None, **params):
    """What `train_dino` makes of random images."""
    values = pixels(n), np.arange(n)
    return train_dino(
        images,
        4,
        values,
        plan(**params),
        head=(8, 5, 7),
        views=(1, None, (0.5, 1.0), (0.3, 0.5)),
        student_temperature=0.1,
        teacher_temperatures=(0.04, 0.08),
        warmup=0.5,
        momentum=momentum,
        center_momentum=0.9,
        load_weights=load_weights,
    )


# ---------------------------------------------------------------------------------------- SimCLR


def test_both_views_of_simclr_are_one_batch():
    network = SimCLRNetwork(MLP(3, 4, (5,), input_dropout=0.5), 4, 2).train()
    X = torch.randn(6, 3)
    torch.manual_seed(0)
    first, second = network(X)
    torch.manual_seed(0)
    together = network.head(network.phenotype(torch.cat([X, X])))
    assert torch.equal(torch.cat([first, second]), together)
    assert first.shape == (6, 2)
    assert not torch.equal(first, second)


def test_bags_are_drawn_from_twice():
    network = BagNetwork(nn.Linear(3, 4, bias=False), max_size=1)
    instances, bag = torch.randn(6, 3), torch.tensor([0, 0, 1, 1, 2, 2])
    network.eval()
    once = network((instances, bag))
    assert torch.allclose(network(twice((instances, bag), bags=True)), torch.cat([once, once]))
    plates = torch.arange(6)
    assert [len(part) for part in twice((instances, plates))] == [12, 12]


def test_the_criterion_of_simclr_is_the_loss_and_measures_the_spread():
    first, second = torch.randn(2, 8, 3)
    criterion = SimCLRCriterion(0.3)
    value = criterion((first, second), torch.arange(8))
    assert value.item() == nt_xent(first, second, 0.3).item()
    same = criterion((torch.ones(8, 3), torch.ones(8, 3)), torch.arange(8)).item()
    assert same == pytest.approx(math.log(15))
    rows = torch.cat([first, second]).double()
    unit = rows / rows.norm(dim=1, keepdim=True)
    expected = unit.var(dim=0, correction=0).sum().sqrt()  # around the mean of unit vectors
    assert criterion.means()["spread"] == pytest.approx(expected.item() / 2, abs=1e-3)
    assert criterion.means() == {}


def test_spread_is_zero_for_a_collapse_and_one_for_opposites():
    assert spread(torch.randn(1, 5).expand(9, 5)).item() == pytest.approx(0.0, abs=1e-3)
    assert spread(torch.tensor([[2.0, 0.0], [-3.0, 0.0]])).item() == 1.0


def test_a_network_that_draws_nothing_is_refused_and_left_as_it_is():
    network = MLP(3, 4, (5,))
    X = torch.randn(6, 3)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match="Two views of a sample are the same"):
        check_views_differ(network, lambda trial: trial(X))
    check_views_differ(MLP(3, 4, (5,), dropout=0.5), lambda trial: trial(X))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_weights_that_were_trained_before_are_where_training_starts():
    X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    stored = MLP(3, 2, (4,), dropout=0.5)

    def load(network):
        network.load_state_dict(stored.state_dict())

    state, _ = train_simclr(
        lambda: MLP(3, 2, (4,), dropout=0.5),
        2,
        (X, np.arange(8)),
        plan(lr=1e-9),
        projection_size=2,
        temperature=0.1,
        load_weights=load,
    )
    np.testing.assert_allclose(
        state["layers.0.weight"], stored.layers[0].weight.detach(), atol=1e-6
    )


# ------------------------------------------------------------------------------------------ DINO


def test_the_teacher_is_a_running_average_of_the_student():
    network = dino(momentum=0.8)
    start = [weight.detach().clone().double() for weight in network.teacher.parameters()]
    expected = [weight.clone() for weight in start]
    for done in (0.1, 0.5, 0.9):
        with torch.no_grad():
            for weight in network.student.parameters():
                weight.add_(torch.randn_like(weight))
        network.move_teacher(done)
        m = 1 - (1 - 0.8) * (math.cos(math.pi * done) + 1) / 2
        for average, weight in zip(expected, network.student.parameters(), strict=True):
            average.mul_(m).add_((1 - m) * weight.detach().double())
    for average, weight, first in zip(expected, network.teacher.parameters(), start, strict=True):
        np.testing.assert_allclose(weight, average, rtol=1e-5, atol=1e-6)
        assert not torch.equal(weight.double(), first)


def test_the_momentum_rises_to_one():
    values = [momentum_at(done, 0.9) for done in np.linspace(0, 1, 11)]
    assert values[0] == pytest.approx(0.9)
    assert values[-1] == 1.0
    assert (np.diff(values) > 0).all()


def test_no_gradient_reaches_the_teacher():
    network = dino().train()
    student, teacher = network(pixels())
    assert student.requires_grad
    assert not teacher.requires_grad
    dino_loss(student, teacher, torch.zeros(7)).backward()
    assert all(weight.grad is None for weight in network.teacher.parameters())
    assert all(weight.grad is not None for weight in network.student.parameters())
    assert not any(weight.requires_grad for weight in network.teacher.parameters())


@pytest.mark.parametrize("n_local", [0, 3])
def test_the_student_sees_all_views_and_the_teacher_the_large_ones(n_local):
    network = dino(n_local).train()
    shown = []
    for branch in (network.student, network.teacher):
        branch["phenotype"].backbone.register_forward_pre_hook(
            lambda _, given: shown.append(given[0])
        )
    student, teacher = network(pixels(side=64))
    assert student.shape == (2 + n_local, 6, 7)
    assert teacher.shape == (2, 6, 7)
    large, *small, of_teacher = shown
    assert large.shape == (12, 2, 64, 64)
    assert torch.equal(large, of_teacher)
    assert [view.shape for view in small] == [(6 * n_local, 2, 24, 24)] * bool(n_local)
    # The first rows are the first view: BatchNorm apart, a view is embedded as if it were alone.
    network.eval()
    of_first = outputs(network.teacher, [[large[:6]]])
    both = outputs(network.teacher, [[large[:6], large[6:]]])
    assert torch.allclose(of_first, both[:6], atol=1e-5)


def test_the_head_gives_cosines_whatever_the_precision():
    head = DINOHead(4, 8, 5, 7)
    with torch.autocast("cpu", torch.bfloat16):
        said = head(torch.randn(9, 4))
    assert said.dtype == torch.float32
    assert said.abs().max() <= 1 + 1e-6
    with torch.no_grad():
        head.prototypes.mul_(3.0)
    inputs = torch.randn(9, 4)
    before = head(inputs)
    with torch.no_grad():
        head.prototypes.mul_(5.0)
    assert torch.allclose(head(inputs), before)


def test_the_criterion_takes_the_center_before_it_moves_it():
    criterion = DINOCriterion(5, 0.1, (0.04, 0.08), 0.5, 0.9)
    student, teacher = torch.randn(3, 4, 5), torch.randn(2, 4, 5)
    criterion.warm(0.25)
    assert criterion.teacher_temperature == pytest.approx(0.06)
    first = criterion((student, teacher), torch.arange(4))
    assert first.item() == pytest.approx(
        dino_loss(student, teacher, torch.zeros(5), 0.1, 0.06).item()
    )
    center = 0.1 * teacher.reshape(8, 5).mean(dim=0)
    assert torch.allclose(criterion.center, center)
    second = criterion((student, teacher), torch.arange(4))
    assert second.item() == pytest.approx(
        dino_loss(student, teacher, center, 0.1, 0.06).item(), rel=1e-5
    )
    criterion.warm(0.9)
    assert criterion.teacher_temperature == 0.08


def test_information_is_zero_for_both_kinds_of_collapse():
    criterion = DINOCriterion(4, 0.1, (0.04, 0.04), 0.0, 0.9)
    for says, entropy, information in (
        (torch.full((6, 4), 0.25), math.log(4), 0.0),
        (torch.eye(4)[[2] * 6], 0.0, 0.0),
        (torch.eye(4), 0.0, math.log(4)),
    ):
        criterion.measure(says)
        measured = criterion.means()
        assert measured["entropy"] == pytest.approx(entropy, abs=1e-6)
        assert measured["information"] == pytest.approx(information, abs=1e-6)


def test_prototypes_stay_in_the_first_epoch_and_the_teacher_follows(monkeypatch):
    seen = []

    def watched(net):
        before = net.module_.teacher["head"].prototypes.clone()
        net.module_.move_teacher(net._done)
        student, teacher = (
            branch["head"].prototypes.detach().clone()
            for branch in (net.module_.student, net.module_.teacher)
        )
        seen.append((net.progress_.epoch, net._done, before, student, teacher))

    monkeypatch.setattr(DINONet, "bound", watched)
    fitted_dino()
    assert [epoch for epoch, *_ in seen] == [0, 0, 1, 1]
    assert [done for _, done, *_ in seen] == [0.0, 0.25, 0.5, 0.75]
    first = seen[0][3]
    assert torch.equal(seen[1][3], first)
    assert not torch.equal(seen[2][3], first)
    for _, done, before, student, teacher in seen:
        m = momentum_at(done, 0.5)
        np.testing.assert_allclose(teacher, m * before + (1 - m) * student, rtol=1e-5, atol=1e-6)


def test_the_state_is_that_of_the_teachers_encoder():
    state, history = fitted_dino()
    network = images()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    assert int(state["backbone.layers.1.num_batches_tracked"]) == 4  # of what it was shown itself
    assert [sorted(record) for record in history] == [
        ["entropy", "epoch", "information", "objective"]
    ] * 2
    # A teacher that never follows keeps its first weights, whatever the student learns.
    still = [fitted_dino(momentum=1.0, lr=lr)[0]["backbone.fc.weight"] for lr in (1e-2, 1e-4)]
    np.testing.assert_array_equal(*still)


def spoken(scores: np.ndarray, temperature: float) -> np.ndarray:
    """The distribution over prototypes that scores say."""
    says = np.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature)
    return says / says.sum(axis=-1, keepdims=True)


def test_the_temperature_of_the_teacher_rises_over_the_fit(monkeypatch):
    forward, seen = DINOCriterion.forward, []

    def watched(criterion, said, targets, inputs=None):
        given = [each.detach().double().numpy() for each in (*said, criterion.center)]
        loss = forward(criterion, said, targets, inputs)
        seen.append((*given, loss.item()))
        return loss

    monkeypatch.setattr(DINOCriterion, "forward", watched)
    _, history = fitted_dino(max_epochs=4)
    # Of 8 updates the first half warms up, from 0.04 to 0.08.
    temperatures = [0.04, 0.05, 0.06, 0.07, 0.08, 0.08, 0.08, 0.08]
    entropies = []
    for temperature, (student, teacher, center, loss) in zip(temperatures, seen, strict=True):
        of_teacher = spoken(teacher - center, temperature)
        entropies.append(-(of_teacher * np.log(of_teacher)).sum(axis=-1).mean())
        crossed = [
            -(of_teacher[t] * np.log(spoken(student[s], 0.1))).sum(axis=-1).mean()
            for t in range(2)
            for s in range(3)
            if s != t
        ]
        assert loss == pytest.approx(np.mean(crossed), rel=1e-4)
    measured = [record["entropy"] for record in history]
    assert measured == pytest.approx(np.reshape(entropies, (4, 2)).mean(axis=1), rel=1e-4)


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_student_and_teacher_start_from_weights_that_were_trained_before(momentum):
    stored = images()
    with torch.no_grad():
        for weight in stored.parameters():
            weight.uniform_(2.0, 3.0)  # far from fresh ones
    stored.backbone.layers[1].num_batches_tracked.fill_(1000)

    def load(network):
        network.load_state_dict(stored.state_dict())

    # The rate moves nothing. A teacher that keeps nothing is what the student is after the first
    # update, one that keeps all is what it was itself at the start.
    state, _ = fitted_dino(momentum=momentum, load_weights=load, lr=1e-9)
    for name, weight in stored.named_parameters():
        np.testing.assert_allclose(state[name], weight.detach(), atol=1e-6, err_msg=name)
    assert int(state["backbone.layers.1.num_batches_tracked"]) == 1004


# ----------------------------------------------------------------------------- several processes

PROGRAM = """
import os, sys
import joblib
from cloome_sk.baselines import DINOEmbedder, SimCLREmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import ImageEncoder, ProfileEncoder

X, Y = joblib.load(f"{sys.argv[1]}/data.joblib")
common = dict(n_components=4, batch_size=16, max_epochs=2, device="cpu", random_state=0)
one = SimCLREmbedder(ProfileEncoder(columns=slice(None)), temperature=1e6, **common).fit(X)
two = DINOEmbedder(
    ImageEncoder(network="small"), n_prototypes=64, teacher_temperature=(1e6, 1e6), n_local=1,
    **common
).fit(Y)
kept = [(model.state_, model.history_) for model in (one, two)]
joblib.dump(kept, f"{sys.argv[1]}/rank-{os.environ['RANK']}.joblib")
"""


@pytest.mark.slow
def test_two_processes_contrast_the_samples_of_both_and_agree(run_processes, tmp_path):
    rng = np.random.default_rng(0)
    sites = list(rng.integers(0, 255, (32, 16, 16)).astype(np.uint8))
    table = pd.DataFrame({"Image_A": sites})
    joblib.dump((rng.normal(size=(64, 5)), table), tmp_path / "data.joblib")
    for code, output in run_processes(PROGRAM):
        assert code == 0, output
    ranks = [joblib.load(tmp_path / f"rank-{rank}.joblib") for rank in (0, 1)]
    for first, second in zip(*ranks, strict=True):
        for name, value in first[0].items():
            np.testing.assert_array_equal(value, second[0][name], err_msg=name)
        assert first[1].equals(second[1])
    (_, simclr), (_, distilled) = ranks[0]
    # At so high a temperature all are alike: each of 32 views is told from 31, not from 15.
    assert simclr["objective"].iloc[0] == pytest.approx(math.log(31), abs=1e-3)
    assert distilled["entropy"].iloc[0] == pytest.approx(math.log(64), abs=1e-3)
