"""Objectives against naive float64 double loops, in value and in gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cloome_sk.objectives import infoloob, infonce

GROUPS = {
    "distinct": [0, 1, 2, 3, 4, 5, 6],
    "replicates": [0, 0, 1, 2, 2, 2, 3],
    "two molecules": [0, 0, 0, 0, 0, 0, 1],
}


def unit_rows(rng, n=7, d=5):
    rows = rng.normal(size=(n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def naive_infonce(x, z, t, groups):
    """Each positive against the negatives of its row, one pair at a time."""
    n = len(x)

    def one_direction(a, b):
        total = 0.0
        for i in range(n):
            positives = [j for j in range(n) if groups[j] == groups[i]]
            negatives = [j for j in range(n) if groups[j] != groups[i]]
            for p in positives:
                top = math.exp(t * dot(a[i], b[p]))
                bottom = top + sum(math.exp(t * dot(a[i], b[j])) for j in negatives)
                total -= math.log(top / bottom) / len(positives)
        return total / n

    return (one_direction(x, z) + one_direction(z, x)) / 2


def naive_retrieve(state, stored, beta):
    out = []
    for row in state:
        weights = [math.exp(beta * dot(row, other)) for other in stored]
        total = sum(weights)
        mixed = [
            sum(w * other[k] for w, other in zip(weights, stored, strict=True)) / total
            for k in range(len(row))
        ]
        length = math.sqrt(dot(mixed, mixed))
        out.append([value / length for value in mixed])
    return out


def naive_infoloob(x, z, t, beta, groups):
    n = len(x)
    if beta is None:
        u_x, u_z, v_x, v_z = x, z, x, z
    else:
        u_x, u_z = naive_retrieve(x, x, beta), naive_retrieve(z, x, beta)
        v_x, v_z = naive_retrieve(x, z, beta), naive_retrieve(z, z, beta)

    def one_direction(a, b):
        total = 0.0
        for i in range(n):
            positives = [j for j in range(n) if groups[j] == groups[i]]
            bottom = sum(math.exp(t * dot(a[i], b[j])) for j in range(n) if j not in positives)
            mean_top = sum(t * dot(a[i], b[p]) for p in positives) / len(positives)
            total -= mean_top - math.log(bottom)
        return total / n

    return (one_direction(u_x, u_z) + one_direction(v_z, v_x)) / t


def mask_of(groups):
    groups = torch.tensor(groups)
    return groups[:, None] == groups[None, :]


def numerical_gradient(function, matrix, step=1e-6):
    gradient = np.zeros_like(matrix)
    for place in np.ndindex(matrix.shape):
        up, down = matrix.copy(), matrix.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient


CASES = [
    ("infonce", infonce, naive_infonce, {}),
    ("infoloob", infoloob, lambda x, z, t, g: naive_infoloob(x, z, t, 14.3, g), {"beta": 14.3}),
    (
        "infoloob, beta 8",
        infoloob,
        lambda x, z, t, g: naive_infoloob(x, z, t, 8.0, g),
        {"beta": 8.0},
    ),
    (
        "infoloob without retrieval",
        infoloob,
        lambda x, z, t, g: naive_infoloob(x, z, t, None, g),
        {"beta": None},
    ),
]


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("inv_tau", [1.0, 14.3, 30.0])
@pytest.mark.parametrize(
    ("name", "objective", "naive", "options"), CASES, ids=[c[0] for c in CASES]
)
def test_value_and_gradient_equal_a_naive_loop(name, objective, naive, options, inv_tau, groups):
    rng = np.random.default_rng(0)
    x, z = unit_rows(rng), unit_rows(rng)
    tx = torch.tensor(x, requires_grad=True)
    tz = torch.tensor(z, requires_grad=True)
    value = objective(tx, tz, inv_tau, positives=mask_of(groups), **options)
    assert float(value.detach()) == pytest.approx(naive(x, z, inv_tau, groups), rel=1e-9, abs=1e-12)
    value.backward()
    for tensor, function, matrix in [
        (tx, lambda m: naive(m, z, inv_tau, groups), x),
        (tz, lambda m: naive(x, m, inv_tau, groups), z),
    ]:
        np.testing.assert_allclose(
            tensor.grad.numpy(), numerical_gradient(function, matrix), rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize("objective", [infonce, infoloob])
def test_no_mask_is_the_mask_of_distinct_molecules(objective):
    rng = np.random.default_rng(1)
    x, z = torch.tensor(unit_rows(rng)), torch.tensor(unit_rows(rng))
    alone = objective(x, z, 14.3)
    masked = objective(x, z, 14.3, positives=torch.eye(7, dtype=torch.bool))
    assert float(alone) == pytest.approx(float(masked), rel=1e-12)


def test_infonce_is_the_cross_entropy_of_clip():
    rng = np.random.default_rng(2)
    x, z = unit_rows(rng), unit_rows(rng)
    logits = 14.3 * x @ z.T
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    log_q = logits.T - np.log(np.exp(logits.T).sum(1, keepdims=True))
    expected = -(np.diag(log_p).mean() + np.diag(log_q).mean()) / 2
    assert float(infonce(torch.tensor(x), torch.tensor(z), 14.3)) == pytest.approx(expected)


def test_infoloob_masks_as_the_original_code_does():
    """The authors put -1000 where the positive is left out; at inv_tau <= 100 that is exact."""
    rng = np.random.default_rng(3)
    x, z = unit_rows(rng), unit_rows(rng)
    logits = 30.0 * x @ z.T
    left_out = np.where(np.eye(7, dtype=bool), -1000.0, logits)

    def loob(matrix, masked):
        return np.mean(np.log(np.exp(masked).sum(1)) - np.diag(matrix))

    expected = (loob(logits, left_out) + loob(logits.T, left_out.T)) / 30.0
    value = infoloob(torch.tensor(x), torch.tensor(z), 30.0, beta=None)
    assert float(value) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("objective", [infonce, infoloob])
def test_order_of_the_batch_changes_nothing(objective):
    rng = np.random.default_rng(4)
    groups = np.array(GROUPS["replicates"])
    x, z = torch.tensor(unit_rows(rng)), torch.tensor(unit_rows(rng))
    order = rng.permutation(7)
    before = objective(x, z, 14.3, positives=mask_of(groups))
    after = objective(x[order], z[order], 14.3, positives=mask_of(groups[order]))
    assert float(before) == pytest.approx(float(after), rel=1e-12)


def test_infonce_without_any_negative_is_zero_with_a_finite_gradient():
    x = torch.tensor(unit_rows(np.random.default_rng(5)), requires_grad=True)
    value = infonce(x, x.detach(), 14.3, positives=torch.ones(7, 7, dtype=torch.bool))
    value.backward()
    assert float(value.detach()) == 0.0
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_learned_temperature_gets_a_gradient():
    rng = np.random.default_rng(6)
    x, z = torch.tensor(unit_rows(rng)), torch.tensor(unit_rows(rng))
    assert torch.autograd.gradcheck(
        lambda t: infonce(x, z, t), torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    )


@pytest.mark.parametrize("objective", [infonce, infoloob])
@pytest.mark.parametrize(
    ("molecule", "positives", "message"),
    [
        (torch.eye(3), None, r"\(4, 4\) and \(3, 3\)"),
        (torch.eye(4)[0], None, "must be matrices"),
        (torch.eye(4), torch.eye(4), "boolean matrix"),
        (torch.eye(4), torch.eye(3, dtype=torch.bool), "boolean matrix"),
        (torch.eye(4), ~torch.eye(4, dtype=torch.bool), "row 0 is not its own pair"),
    ],
)
def test_bad_input(objective, molecule, positives, message):
    with pytest.raises(ValueError, match=message):
        objective(torch.eye(4), molecule, 14.3, positives=positives)


def test_infoloob_refuses_a_row_without_negatives():
    with pytest.raises(ValueError, match="Row 0 has no negative among the 1 pair"):
        infoloob(torch.ones(1, 3), torch.ones(1, 3), 14.3)
