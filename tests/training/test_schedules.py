"""Learning rates against formulas written once more, and torch's own."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, OneCycleLR, ReduceLROnPlateau, StepLR

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.training.schedules import (
    SCHEDULES,
    checked,
    constant,
    cosine,
    cosine_restarts,
    one_cycle,
)


def rates(schedule, n_steps, lr=0.4):
    optimizer = torch.optim.SGD(
        [
            {"params": [nn.Parameter(torch.zeros(1))], "lr": lr},
            {"params": [nn.Parameter(torch.zeros(1))], "lr": lr / 10},
        ]
    )
    scheduler, found = schedule(optimizer, n_steps), []
    for _ in range(n_steps):
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert second == pytest.approx(first / 10)
        found.append(first)
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("n_steps", [10, 37, 200])
def test_one_cycle_is_torchs(n_steps):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.4, total_steps=n_steps, cycle_momentum=False
    )
    expected = []
    for _ in range(n_steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert rates(one_cycle, n_steps) == pytest.approx(expected)


def test_few_updates_are_at_one_rate():
    assert rates(one_cycle, 9) == [0.4] * 9


@pytest.mark.parametrize("n_cycles", [1, 3, 7])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.33])
def test_cosine_with_restarts(n_cycles, warmup):
    n_steps = 90
    rising = math.ceil(warmup * n_steps)
    expected = []
    for step in range(n_steps):
        if step < rising:
            expected.append(0.4 * (step + 1) / rising)
        else:
            progress = (step - rising) / (n_steps - rising)
            expected.append(0.2 * (1 + math.cos(math.pi * ((n_cycles * progress) % 1.0))))
    schedule = partial(cosine_restarts, warmup=warmup, n_cycles=n_cycles)
    assert rates(schedule, n_steps) == pytest.approx(expected)


def test_one_cosine_is_torchs():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    expected = []
    for _ in range(50):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert rates(partial(cosine, warmup=0.0), 50) == pytest.approx(expected, abs=1e-12)


def test_constant_after_a_warm_up():
    assert rates(partial(constant, warmup=0.2), 10) == pytest.approx([0.2, 0.4] + [0.4] * 8)


@pytest.mark.parametrize("warmup", [-0.1, 1.0, 2])
def test_a_warm_up_is_a_share(warmup):
    with pytest.raises(ValueError, match="share of the updates"):
        rates(partial(cosine, warmup=warmup), 10)


def test_a_cycle_is_needed():
    with pytest.raises(ValueError, match="n_cycles"):
        rates(partial(cosine_restarts, n_cycles=0), 10)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("n_steps", [1, 2, 11])
def test_short_fits(name, n_steps):
    found = rates(SCHEDULES[name], n_steps)
    assert all(0 <= rate <= 0.4 for rate in found)
    assert found[0] > 0


def fit(schedule):
    X = make_profiles(n_compounds=12, random_state=0)
    return CloomeEmbedder(n_components=4, max_epochs=2, random_state=0, schedule=schedule).fit(X)


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        (ReduceLROnPlateau, ValueError, "schedule= takes no ReduceLROnPlateau"),
        (partial(ReduceLROnPlateau, patience=3), ValueError, "needs a measure at each step"),
        (lambda optimizer, n_steps: ReduceLROnPlateau(optimizer), ValueError, "early_stopping="),
        (lambda optimizer: None, TypeError, r"cannot be called as schedule\(optimizer, n_steps\)"),
        (lambda optimizer, n_steps: None, TypeError, "returned NoneType"),
        (lambda optimizer, n_steps: optimizer, TypeError, "returned AdamW"),
        (lambda optimizer, n_steps: 0.1, TypeError, "returned float"),
        (
            lambda optimizer, n_steps: OneCycleLR(optimizer, 0.1, total_steps=1),
            ValueError,
            r"OneCycleLR that ends after 1 updates, and this fit makes up to \d",
        ),
    ],
)
def test_what_cannot_be_a_schedule(schedule, error, message):
    with pytest.raises(error, match=message):
        fit(schedule)


@pytest.mark.parametrize(
    "schedule",
    [
        StepLR,
        lambda optimizer, n_steps: ConstantLR(optimizer, 0.5, n_steps),
        lambda optimizer, n_steps: OneCycleLR(optimizer, 0.1, total_steps=n_steps),
    ],
)
def test_schedulers_of_torch_are_taken_as_they_are(schedule):
    assert len(fit(schedule).history_) == 2
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    assert type(checked(schedule, optimizer, 8)).__module__ == "torch.optim.lr_scheduler"
