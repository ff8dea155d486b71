"""Objectives against naive float64 double loops, in value and in gradient."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from cloome_sk.objectives import cwcl, infoloob, infonce, siglip

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


def naive_siglip(x, z, t, bias, groups):
    """Every pair of the batch is a yes or a no, one at a time."""
    n = len(x)
    total = 0.0
    for i in range(n):
        for j in range(n):
            sign = 1 if groups[i] == groups[j] else -1
            total += math.log(1 + math.exp(-sign * (t * dot(x[i], z[j]) + bias)))
    return total / n


def naive_cwcl(x, z, t, weights, modality, groups):
    n = len(x)
    anchors, others = (z, x) if modality == "molecule" else (x, z)
    weighted = plain = 0.0
    for i in range(n):
        bottom = sum(math.exp(t * dot(anchors[i], others[k])) for k in range(n))
        pull = [1.0 if groups[i] == groups[j] else float(weights[i][j]) for j in range(n)]
        for j in range(n):
            log_p = math.log(math.exp(t * dot(anchors[i], others[j])) / bottom)
            weighted -= pull[j] * log_p / sum(pull)
        positives = [j for j in range(n) if groups[j] == groups[i]]
        negatives = [j for j in range(n) if groups[j] != groups[i]]
        for p in positives:
            top = math.exp(t * dot(others[i], anchors[p]))
            bottom = top + sum(math.exp(t * dot(others[i], anchors[j])) for j in negatives)
            plain -= math.log(top / bottom) / len(positives)
    return (weighted + plain) / (2 * n)


def some_weights(n=7):
    """Similarities, not symmetric, so that a transposition shows."""
    return np.random.default_rng(99).uniform(size=(n, n))


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
    ("siglip", siglip, lambda x, z, t, g: naive_siglip(x, z, t, -10.0, g), {}),
    ("siglip, bias 2", siglip, lambda x, z, t, g: naive_siglip(x, z, t, 2.0, g), {"bias": 2.0}),
    *(
        (
            f"cwcl by {modality}",
            cwcl,
            lambda x, z, t, g, by=modality: naive_cwcl(x, z, t, some_weights(), by, g),
            {"weights": torch.tensor(some_weights()), "modality": modality},
        )
        for modality in ("molecule", "phenotype")
    ),
]

# Every objective with what it needs for a batch of n pairs.
ALL = {
    "infonce": lambda n: infonce,
    "infoloob": lambda n: infoloob,
    "infoloob without retrieval": lambda n: partial(infoloob, beta=None),
    "siglip": lambda n: siglip,
    "cwcl": lambda n: partial(cwcl, weights=torch.tensor(some_weights(n))),
    "cwcl by phenotype": lambda n: partial(
        cwcl, weights=torch.tensor(some_weights(n)), modality="phenotype"
    ),
}
every_objective = pytest.mark.parametrize("objective_of", ALL.values(), ids=ALL)


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


@every_objective
def test_no_mask_is_the_mask_of_distinct_molecules(objective_of):
    objective = objective_of(7)
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


@pytest.mark.parametrize("objective", [infonce, infoloob, siglip])
def test_order_of_the_batch_changes_nothing(objective):
    rng = np.random.default_rng(4)
    groups = np.array(GROUPS["replicates"])
    x, z = torch.tensor(unit_rows(rng)), torch.tensor(unit_rows(rng))
    order = rng.permutation(7)
    before = objective(x, z, 14.3, positives=mask_of(groups))
    after = objective(x[order], z[order], 14.3, positives=mask_of(groups[order]))
    assert float(before) == pytest.approx(float(after), rel=1e-12)


@pytest.mark.parametrize("modality", ["molecule", "phenotype"])
def test_cwcl_order_of_the_batch_with_its_weights_changes_nothing(modality):
    rng = np.random.default_rng(4)
    groups = np.array(GROUPS["replicates"])
    x, z = torch.tensor(unit_rows(rng)), torch.tensor(unit_rows(rng))
    weights = torch.tensor(some_weights())
    order = rng.permutation(7)
    before = cwcl(x, z, 14.3, weights=weights, modality=modality, positives=mask_of(groups))
    after = cwcl(
        x[order],
        z[order],
        14.3,
        weights=weights[order][:, order],
        modality=modality,
        positives=mask_of(groups[order]),
    )
    assert float(before) == pytest.approx(float(after), rel=1e-12)


# ------------------------------------------------------------------ precision


@every_objective
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_by_both_sides_and_the_temperature(objective_of, masked):
    rng = np.random.default_rng(7)
    matrices = [torch.tensor(unit_rows(rng), requires_grad=True) for _ in range(2)]
    inv_tau = torch.tensor(9.0, dtype=torch.float64, requires_grad=True)
    positives = mask_of(GROUPS["replicates"]) if masked else None
    objective = partial(objective_of(7), positives=positives)
    assert torch.autograd.gradcheck(objective, (*matrices, inv_tau))


def test_siglip_bias_gets_a_gradient():
    rng = np.random.default_rng(8)
    x, z = torch.tensor(unit_rows(rng)), torch.tensor(unit_rows(rng))
    assert torch.autograd.gradcheck(
        lambda bias: siglip(x, z, 10.0, bias),
        torch.tensor(-3.0, dtype=torch.float64, requires_grad=True),
    )


@every_objective
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_reduced_in_float32(objective_of, dtype):
    """As the same numbers in float64 to what float32 can hold, and far from what dtype can."""
    rng = np.random.default_rng(9)
    objective = objective_of(64)
    x, z = (torch.tensor(unit_rows(rng, 64, 32)).to(dtype) for _ in range(2))
    value = objective(x, z, 30.0)
    exact = float(objective(x.double(), z.double(), 30.0))
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(exact, rel=3e-6)
    leaf = x.clone().requires_grad_()
    objective(leaf, z, 30.0).backward()
    assert leaf.grad.dtype == dtype
    assert leaf.grad.isfinite().all()


@every_objective
def test_autocast_does_not_reach_inside(objective_of):
    rng = np.random.default_rng(10)
    objective = objective_of(64)
    x, z = (torch.tensor(unit_rows(rng, 64, 32), dtype=torch.float32) for _ in range(2))
    outside = objective(x, z, 30.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ z.T).dtype == torch.bfloat16
        inside = objective(x, z, 30.0)
    assert torch.equal(inside, outside)


@every_objective
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("batch", ["identical", "opposite", "matching", "two molecules"])
def test_finite_at_the_highest_temperature(objective_of, batch, dtype):
    one = torch.zeros(6, 4, dtype=dtype)
    one[:, 0] = 1.0
    x = torch.eye(6, dtype=dtype) if batch == "matching" else one
    z = -x if batch == "opposite" else x
    positives = mask_of([0, 0, 0, 0, 0, 1]) if batch == "two molecules" else None
    x, z = x.clone().requires_grad_(), z.clone().requires_grad_()
    inv_tau = torch.tensor(100.0, requires_grad=True)
    value = objective_of(6)(x, z, inv_tau, positives=positives)
    value.backward()
    for found in (value, x.grad, z.grad, inv_tau.grad):
        assert found.isfinite().all()


# ------------------------------------------------------------- what they are


def test_siglip_is_a_binary_cross_entropy_over_all_pairs():
    rng = np.random.default_rng(11)
    x, z = torch.tensor(unit_rows(rng)), torch.tensor(unit_rows(rng))
    groups = GROUPS["replicates"]
    logits = 10.0 * x @ z.T - 10.0
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, mask_of(groups).double(), reduction="sum"
    )
    found = siglip(x, z, 10.0, positives=mask_of(groups))
    assert float(found) == pytest.approx(float(expected) / 7, rel=1e-12)


def test_siglip_starts_near_its_prior():
    """At the authors' start a batch of unrelated pairs costs about ten nats a row, not N ln 2."""
    rng = np.random.default_rng(12)
    x, z = (torch.tensor(unit_rows(rng, 256, 512)) for _ in range(2))
    assert float(siglip(x, z, 10.0)) == pytest.approx(10.0, abs=0.2)
    assert float(siglip(x, z, 10.0, bias=0.0)) > 150


def test_cwcl_of_hard_weights_is_infonce():
    rng = np.random.default_rng(13)
    x, z = torch.tensor(unit_rows(rng)), torch.tensor(unit_rows(rng))
    hard = cwcl(x, z, 14.3, weights=torch.zeros(7, 7))
    assert float(hard) == pytest.approx(float(infonce(x, z, 14.3)), rel=1e-12)


def test_cwcl_cannot_fall_below_half_the_entropy_of_its_weights():
    weights = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    share = weights / weights.sum(dim=1, keepdim=True)
    bound = float(torch.special.entr(share).sum(dim=1).mean()) / 2
    rng = np.random.default_rng(14)
    x, z = (torch.tensor(unit_rows(rng, 3, 3)).requires_grad_() for _ in range(2))
    step = torch.optim.Adam([x, z], lr=0.05)
    for _ in range(300):
        step.zero_grad()
        units = [torch.nn.functional.normalize(matrix, dim=1) for matrix in (x, z)]
        value = cwcl(*units, 14.3, weights=weights)
        value.backward()
        step.step()
    assert bound < float(value.detach()) < bound + 0.1


def test_cwcl_draws_alike_molecules_and_infonce_does_not():
    """Molecules 0 and 1 are alike: phenotype 1 goes to molecule 0 rather than to molecule 2."""
    x = torch.nn.functional.normalize(torch.ones(3, 3) + torch.eye(3), dim=1).requires_grad_()
    z = x.detach()
    weights = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    towards = {}
    for name, value in {
        "cwcl": cwcl(x, z, 5.0, weights=weights),
        "infonce": infonce(x, z, 5.0),
    }.items():
        (gradient,) = torch.autograd.grad(value, x)
        towards[name] = float(-gradient[1] @ (z[0] - z[2]))
    assert towards["cwcl"] > 0.01
    assert towards["infonce"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.zeros(3, 3), r"shape \(4, 4\), got torch.float32 of shape \(3, 3\)"),
        (torch.zeros(4, 4, dtype=torch.bool), "real numbers.*torch.bool"),
        (torch.eye(4) * 1.5, r"\[0, 1\], but 4 are not: row 0, column 0 holds 1.5"),
        (torch.full((4, 4), torch.nan), "16 are not: row 0, column 0 holds nan"),
        (torch.eye(4) - 0.1 * torch.eye(4).flip(0), "4 are not: row 0, column 3 holds -0.1"),
    ],
)
def test_cwcl_refuses_what_is_no_weight(weights, message):
    with pytest.raises(ValueError, match=message):
        cwcl(torch.eye(4), torch.eye(4), 14.3, weights=weights)


def test_cwcl_refuses_an_unknown_modality():
    with pytest.raises(ValueError, match="'gene'"):
        cwcl(torch.eye(4), torch.eye(4), 14.3, weights=torch.eye(4), modality="gene")


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


@pytest.mark.parametrize(
    "objective", [infonce, infoloob, siglip, partial(cwcl, weights=torch.zeros(4, 4))]
)
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
