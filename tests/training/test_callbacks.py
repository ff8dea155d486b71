"""Training seen from outside: history, weight decay, temperature, progress, time."""

from __future__ import annotations

import math
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from cloome_sk.networks import MLP, DualEncoder
from cloome_sk.objectives import infonce
from cloome_sk.training import PairDataset, TrainingPlan, callbacks, fitting, train_pairs
from cloome_sk.training.callbacks import LONG_FIT, TIMED, WARM_UP, ProgressBar, TimeGuard
from cloome_sk.training.fine_tuning import parameter_groups
from cloome_sk.training.net import ContrastiveCriterion, ContrastiveNet
from cloome_sk.training.schedules import one_cycle

N_PAIRS = 50


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    molecules = rng.integers(0, 2, (20, 12)).astype(np.uint8)
    index = np.arange(N_PAIRS) % 20
    profiles = rng.normal(size=(N_PAIRS, 5)).astype(np.float32)
    return PairDataset((profiles, np.arange(N_PAIRS)), (molecules, index), index)


def plan(**changes):
    return replace(
        TrainingPlan(
            objective=infonce,
            inv_tau=14.3,
            learn_inv_tau=True,
            lr=1e-3,
            weight_decay=0.1,
            schedule=one_cycle,
            batch_size=16,
            max_epochs=3,
            seed=0,
            device="cpu",
            verbose=0,
        ),
        **changes,
    )


def train(pairs, **changes):
    networks = (lambda: MLP(5, 4, (8,)), lambda: MLP(12, 4, (8,)))
    return train_pairs(*networks, pairs, plan(**changes))


# -------------------------------------------------------------------- history


def test_history_is_the_mean_over_pairs_not_over_batches(pairs):
    """50 pairs in batches of 13, 13, 12 and 12 at most 16: a mean of batch means is another."""
    seen = []

    def recording(phenotype, molecule, inv_tau, **options):
        value = infonce(phenotype, molecule, inv_tau, **options)
        seen.append((len(phenotype), value.item(), inv_tau.item()))
        return value

    _, history = train(pairs, objective=recording)
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    per_epoch = len(seen) // 3
    for epoch, entry in enumerate(history):
        batches = np.array(seen[epoch * per_epoch : (epoch + 1) * per_epoch])
        assert batches[:, 0].sum() == N_PAIRS
        assert len(set(batches[:, 0])) > 1
        expected = np.average(batches[:, 1], weights=batches[:, 0])
        assert entry["objective"] == pytest.approx(expected, rel=1e-6)
        assert entry["objective"] != pytest.approx(batches[:, 1].mean(), rel=1e-6)


def test_history_has_the_temperature_at_the_end_of_each_epoch(pairs):
    starts = []

    def recording(phenotype, molecule, inv_tau, **options):
        starts.append(inv_tau.item())
        return infonce(phenotype, molecule, inv_tau, **options)

    state, history = train(pairs, objective=recording, lr=0.05)
    per_epoch = len(starts) // 3
    begins = starts[per_epoch::per_epoch]  # of epochs 2 and 3
    assert [entry["inv_tau"] for entry in history[:2]] == pytest.approx(begins, rel=1e-6)
    assert history[-1]["inv_tau"] == pytest.approx(math.exp(state["log_inv_tau"]), rel=1e-6)


def test_history_is_plain_numbers(pairs):
    _, history = train(pairs)
    assert {type(value) for entry in history for value in entry.values()} == {int, float}


# --------------------------------------------------------------- weight decay


def test_only_matrices_are_decayed():
    network = DualEncoder(MLP(5, 4, (8,)), MLP(12, 4, (8, 8)))
    net = ContrastiveNet(
        network,
        groups=parameter_groups(network.named_parameters(), 1e-3, ()),
        criterion=ContrastiveCriterion,
        criterion__objective=infonce,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=0.3,
        lr=1e-3,
    ).initialize()
    name_of = {id(parameter): name for name, parameter in net.module_.named_parameters()}
    decay = {
        name_of[id(parameter)]: group["weight_decay"]
        for group in net.optimizer_.param_groups
        for parameter in group["params"]
    }
    linear = {
        f"{side}.{name}.weight"
        for side in ("phenotype", "molecule")
        for name, module in getattr(net.module_, side).named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    assert len(linear) == 5
    assert set(decay) == set(name_of.values())  # every parameter is in a group, and in one only
    assert sum(len(group["params"]) for group in net.optimizer_.param_groups) == len(name_of)
    assert {name for name, value in decay.items() if value == 0.3} == linear
    assert {value for name, value in decay.items() if name not in linear} == {0.0}


def test_decay_shrinks_matrices_and_leaves_the_rest(pairs):
    """An objective without gradient: what moves, decay has moved, by lr times decay a step."""

    def flat(phenotype, molecule, inv_tau, positives=None):
        return 0.0 * (phenotype.sum() + molecule.sum()) + 0.0 * inv_tau

    lr, decay = 1e-2, 0.5
    before, _ = train(pairs, objective=flat, weight_decay=0.0, schedule=None, lr=lr)
    after, history = train(pairs, objective=flat, weight_decay=decay, schedule=None, lr=lr)
    n_steps = len(history) * math.ceil(N_PAIRS / 16)
    for name, value in before.items():
        if "running" in name or "tracked" in name:
            continue
        factor = (1 - lr * decay) ** n_steps if value.ndim == 2 else 1.0
        np.testing.assert_allclose(after[name], value * factor, rtol=1e-5, err_msg=name)


# ---------------------------------------------------------------- temperature


@pytest.mark.parametrize(("sign", "limit"), [(1, 100.0), (-1, 1.0)])
def test_temperature_is_kept_in_its_range_after_each_step(pairs, sign, limit):
    seen = []

    def pushing(phenotype, molecule, inv_tau, positives=None):
        seen.append(inv_tau.item())
        return -sign * inv_tau.log() + 0.0 * (phenotype.sum() + molecule.sum())

    _, history = train(pairs, objective=pushing, lr=1.0, schedule=None, max_epochs=4)
    assert min(seen) >= 1.0 - 1e-5
    assert max(seen) <= 100.0 + 1e-3
    assert seen[-1] == pytest.approx(limit, rel=1e-5)
    assert history[-1]["inv_tau"] == pytest.approx(limit, rel=1e-5)


def test_a_fixed_temperature_does_not_move(pairs):
    state, history = train(pairs, learn_inv_tau=False, inv_tau=20.0, lr=0.1)
    assert math.exp(state["log_inv_tau"]) == pytest.approx(20.0)
    assert [entry["inv_tau"] for entry in history] == pytest.approx([20.0] * 3)


# ------------------------------------------------------------- positives, steps


def test_pairs_of_one_group_are_handed_on_as_positives(pairs):
    masks = []

    def recording(phenotype, molecule, inv_tau, positives=None):
        masks.append(positives)
        return infonce(phenotype, molecule, inv_tau, positives=positives)

    train(pairs, objective=recording, batch_size=N_PAIRS, max_epochs=1)
    assert masks[0].shape == (N_PAIRS, N_PAIRS)
    sizes = np.bincount(np.arange(N_PAIRS) % 20)
    assert int(masks[0].sum()) == (sizes**2).sum()
    masks.clear()
    train(pairs, objective=recording, batch_size=20, max_epochs=1)
    for mask in masks:
        assert mask is None or int(mask.sum()) > len(mask)  # no mask where nothing is shared


@pytest.mark.parametrize("schedule", [one_cycle, None])
def test_learning_rate_follows_the_schedule(pairs, monkeypatch, schedule):
    rates = []
    original = ContrastiveNet.train_step

    def recording(self, batch, **fit_params):
        rates.append(self.optimizer_.param_groups[0]["lr"])
        assert self.optimizer_.param_groups[1]["lr"] == rates[-1]
        return original(self, batch, **fit_params)

    monkeypatch.setattr(ContrastiveNet, "train_step", recording)
    train(pairs, schedule=schedule, lr=0.02)
    if schedule is None:
        assert set(rates) == {0.02}
    else:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.02)
        reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=len(rates))
        expected = []
        for _ in rates:
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            reference.step()
        np.testing.assert_allclose(rates, expected)


# ----------------------------------------------------------------- time guard


def tick(guard, seconds, monkeypatch):
    """Run batches that take these seconds each; the warnings."""
    clock = [0.0]
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: clock[0])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        guard.on_train_begin(None)
        for duration in seconds:
            clock[0] += duration
            guard.on_batch_end(None, training=True)
    return [str(warning.message) for warning in said]


def test_time_is_estimated_without_the_warm_up(monkeypatch):
    n_steps = 1000
    slow_start = [500.0] * WARM_UP
    just_fast = [LONG_FIT / n_steps * 0.99] * (TIMED + 20)
    assert tick(TimeGuard(n_steps), slow_start + just_fast, monkeypatch) == []
    just_slow = [LONG_FIT / n_steps * 1.01] * (TIMED + 20)
    said = tick(TimeGuard(n_steps), [0.0] * WARM_UP + just_slow, monkeypatch)
    assert len(said) == 1  # once, not for each later batch
    assert "about 10 minutes on the CPU (1000 batches)" in said[0]
    for remedy in ("max_epochs", "hidden_sizes", "GPU"):
        assert remedy in said[0]


def test_time_is_that_of_all_steps(monkeypatch):
    said = tick(TimeGuard(36_000), [0.1] * (WARM_UP + TIMED), monkeypatch)
    assert "about 60 minutes" in said[0]


def test_a_fit_shorter_than_the_measurement_says_nothing(monkeypatch):
    steps = WARM_UP + TIMED - 1
    assert tick(TimeGuard(steps), [1e6] * steps, monkeypatch) == []


def test_only_a_fit_on_the_cpu_is_timed():
    kinds = {
        device: {type(c) for c in fitting._callbacks(plan(device=device), 10)}
        for device in ("cpu", "cuda")
    }
    assert TimeGuard in kinds["cpu"]
    assert TimeGuard not in kinds["cuda"]


def test_a_guard_can_be_used_for_a_second_fit(monkeypatch):
    guard = TimeGuard(1000)
    assert tick(guard, [0.0] * WARM_UP + [10.0] * TIMED, monkeypatch)
    assert tick(guard, [0.0] * WARM_UP + [10.0] * TIMED, monkeypatch)


# ------------------------------------------------------------------- progress


def test_progress_bar_ends_full_where_batches_were_joined(pairs, capsys):
    """Batches of two: some hold one molecule twice and are joined, so there are fewer of them."""
    few = PairDataset(
        (pairs.phenotype.numpy(), np.arange(N_PAIRS)),
        (pairs.molecule.numpy(), np.arange(N_PAIRS) % 20),
        np.array([0] * (N_PAIRS - 1) + [1]),
    )
    train(few, batch_size=2, max_epochs=2, verbose=1)
    assert "100%" in capsys.readouterr().err
    assert any(isinstance(c, ProgressBar) for c in fitting._callbacks(plan(verbose=1), 10))
    assert not any(isinstance(c, ProgressBar) for c in fitting._callbacks(plan(verbose=0), 10))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_progress_bar_is_closed_where_it_stands_after_an_error(pairs, monkeypatch, error):
    made = []
    original = callbacks.tqdm

    def opened(*arguments, **options):
        made.append(original(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(callbacks, "tqdm", opened)
    n_calls = []

    def failing(phenotype, molecule, inv_tau, **options):
        n_calls.append(1)
        if len(n_calls) == 3:
            raise error
        return infonce(phenotype, molecule, inv_tau, **options)

    with pytest.raises(error):
        train(pairs, objective=failing, verbose=1)
    (bar,) = made
    assert bar.disable  # what tqdm sets when it is closed
    assert bar.n == 2


# ---------------------------------------------------- how a search calls a fit


def test_numbers_of_numpy_train_as_numbers_of_python_do(pairs):
    """A grid search over ``np.arange(...)`` hands over NumPy's integers."""
    expected, _ = train(pairs, max_epochs=2, batch_size=10)
    state, _ = train(pairs, max_epochs=np.int64(2), batch_size=np.int32(10), lr=np.float64(1e-3))
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name], value)


def test_trainings_in_threads_do_not_disturb_one_another(pairs):
    """As under ``joblib.parallel_backend("threading")``; dropout draws in every batch."""

    def with_dropout(seed):
        networks = (lambda: MLP(5, 4, (8,), dropout=0.5), lambda: MLP(12, 4, (8,), dropout=0.5))
        return train_pairs(*networks, pairs, plan(seed=seed, max_epochs=20))[0]

    expected = [with_dropout(seed) for seed in range(6)]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(3) as threads:
        states = list(threads.map(with_dropout, range(6)))
    assert torch.equal(torch.get_rng_state(), before)
    for state, serial in zip(states, expected, strict=True):
        for name, value in serial.items():
            np.testing.assert_array_equal(state[name], value)
