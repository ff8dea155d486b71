"""Losses of views against naive double loops in float64, in value and in gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cloome_sk.objectives import dino_loss, moved_center, nt_xent


def cosine(a, b):
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    lengths = [math.sqrt(sum(float(x) ** 2 for x in v)) for v in (a, b)]
    return dot / (lengths[0] * lengths[1])


def naive_nt_xent(first, second, temperature):
    views = [*first, *second]
    n = len(first)
    total = 0.0
    for i in range(2 * n):
        partner = i + n if i < n else i - n
        bottom = sum(
            math.exp(cosine(views[i], views[k]) / temperature) for k in range(2 * n) if k != i
        )
        total -= math.log(math.exp(cosine(views[i], views[partner]) / temperature) / bottom)
    return total / (2 * n)


def softmax(row, temperature):
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def naive_dino(student, teacher, center, student_temperature, teacher_temperature):
    terms = []
    for t in range(len(teacher)):
        for s in range(len(student)):
            if s == t:
                continue
            for i in range(student.shape[1]):
                target = softmax(teacher[t, i] - center, teacher_temperature)
                told = softmax(student[s, i], student_temperature)
                terms.append(-sum(p * math.log(q) for p, q in zip(target, told, strict=True)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_equals_a_naive_double_loop(temperature):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 6, 4)) * rng.uniform(0.1, 5.0, size=(2, 6, 1))
    expected = naive_nt_xent(first, second, temperature)
    given = [torch.tensor(each, requires_grad=True) for each in (first, second)]
    assert nt_xent(*given, temperature).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, temperature), given)


def test_nt_xent_does_not_know_which_view_is_which():
    rng = np.random.default_rng(1)
    first, second = torch.from_numpy(rng.normal(size=(2, 7, 3)))
    value = nt_xent(first, second, 0.2).item()
    assert nt_xent(second, first, 0.2).item() == pytest.approx(value)
    swapped = torch.arange(7)[:, None] % 2 == 0
    mixed = torch.where(swapped, second, first), torch.where(swapped, first, second)
    assert nt_xent(*mixed, 0.2).item() == pytest.approx(value)


@pytest.mark.parametrize("n_views", [2, 3, 5])
def test_dino_equals_a_naive_loop_over_pairs_of_views(n_views):
    rng = np.random.default_rng(n_views)
    student, teacher = rng.normal(size=(n_views, 4, 6)), rng.normal(size=(2, 4, 6))
    center = rng.normal(size=6)
    expected = naive_dino(student, teacher, center, 0.3, 0.15)
    given = torch.tensor(student, requires_grad=True)
    others = torch.from_numpy(teacher), torch.from_numpy(center), 0.3, 0.15
    assert dino_loss(given, *others).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda views: dino_loss(views, *others), [given])


def test_dino_moves_the_student_alone():
    student, teacher = torch.randn(3, 4, 5), torch.randn(2, 4, 5)
    student.requires_grad_(), teacher.requires_grad_()
    dino_loss(student, teacher, torch.zeros(5)).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_the_center_is_a_running_mean():
    rng = np.random.default_rng(0)
    center, batches = np.zeros(3), rng.normal(size=(4, 2, 5, 3))
    moved = torch.zeros(3, dtype=torch.float64)
    for batch in batches:
        mean = [sum(batch[v, i, k] for v in range(2) for i in range(5)) / 10 for k in range(3)]
        center = 0.7 * center + 0.3 * np.array(mean)
        moved = moved_center(moved, torch.tensor(batch, requires_grad=True), momentum=0.7)
    np.testing.assert_allclose(moved.numpy(), center)
    assert not moved.requires_grad


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_half_precision_is_reduced_in_float32_inside_autocast_too(low):
    first, second = torch.randn(2, 8, 16).to(low)
    with torch.autocast("cpu", torch.bfloat16):
        value = nt_xent(first, second)
        cross = dino_loss(first[None].expand(2, -1, -1), second[None], torch.zeros(16))
    assert value.dtype == cross.dtype == torch.float32
    exact = nt_xent(first.double(), second.double())
    assert value.item() == pytest.approx(exact.item(), rel=1e-5)


def test_what_are_no_views_is_refused():
    with pytest.raises(ValueError, match=r"one shape .* got \(4, 3\) and \(5, 3\)"):
        nt_xent(torch.ones(4, 3), torch.ones(5, 3))
    with pytest.raises(ValueError, match="at least two samples, got 1"):
        nt_xent(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match="equal but for n_views"):
        dino_loss(torch.ones(3, 4, 5), torch.ones(2, 4, 6), torch.zeros(5))
    for n_student, n_teacher in ((1, 1), (2, 3)):
        views = torch.ones(n_student, 4, 5), torch.ones(n_teacher, 4, 5)
        with pytest.raises(ValueError, match="at least two views, of which the teacher sees"):
            dino_loss(*views, torch.zeros(5))
