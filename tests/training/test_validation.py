"""Held-out molecules: which, what is measured on them, and what follows from it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles, make_screen
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder, ProfileEncoder
from cloome_sk.molecules import molecule_key
from cloome_sk.training.net import ContrastiveNet


@pytest.fixture(scope="module")
def X():  # noqa: N802
    return make_profiles(n_compounds=40, random_state=0)


def quick(**changes):
    chosen = {
        "phenotype": ProfileEncoder(hidden_sizes=(32,)),
        "molecule": MoleculeEncoder(hidden_sizes=(32,)),
        "n_components": 16,
        "batch_size": 32,
        "max_epochs": 3,
        "random_state": 0,
    }
    return CloomeEmbedder(**{**chosen, **changes})


def treated(X):
    return X[X["Metadata_control_type"].isna()]


def by_hand(embedder, held):
    """The measures of two nested loops over similarities."""
    keys = molecule_key(held["Metadata_smiles"])
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    molecules = sorted(first)
    Z = embedder.embed_phenotypes(held).astype(float)
    M = embedder.embed_molecules(held["Metadata_smiles"].iloc[[first[m] for m in molecules]])
    S = Z @ M.astype(float).T
    ranks = {"phenotype": [], "molecule": []}
    for m, molecule in enumerate(molecules):
        of_rows = []
        for row, key in enumerate(keys):
            if key == molecule:
                of_rows.append(
                    1 + sum(S[row, other] > S[row, m] for other in range(len(molecules)))
                )
        ranks["phenotype"].append(of_rows)
        best = {n: max(S[row, m] for row in range(len(keys)) if keys[row] == n) for n in molecules}
        ranks["molecule"].append(1 + sum(best[n] > best[molecule] for n in molecules))
    n = len(molecules)
    wells = [rank for some in ranks["phenotype"] for rank in some]
    found = {
        f"valid_R@{k}": (
            np.mean([np.mean([rank <= k for rank in some]) for some in ranks["phenotype"]])
            + np.mean([rank <= k for rank in ranks["molecule"]])
        )
        / 2
        for k in (1, 5, 10)
    }
    per_molecule = [np.mean(some) for some in ranks["phenotype"]]
    found["valid_relative_rank"] = (
        (np.mean(per_molecule) - 1) / (n - 1) + (np.mean(ranks["molecule"]) - 1) / (n - 1)
    ) / 2
    found["valid_median_rank"] = np.median(per_molecule)
    assert len(wells) == len(held)
    return found


def test_what_is_measured_is_what_two_loops_count(X):
    names = treated(X)["Metadata_smiles"].unique()
    held = X[X["Metadata_smiles"].isin(names[:12])]
    rest = X[~X["Metadata_smiles"].isin(names[:12])]
    embedder = quick(validation=held).fit(rest)
    last = embedder.history_.iloc[-1]
    for name, value in by_hand(embedder, treated(held)).items():
        assert last[name] == pytest.approx(value), name
    assert len(embedder.history_) == 3
    assert embedder.history_.notna().all(axis=None)


def test_molecules_are_held_out_whole(X, monkeypatch):
    rows = []
    original = ContrastiveNet.run

    def spy(self, dataset, progress):
        rows.append((dataset, progress.validation.pairs))
        return original(self, dataset, progress)

    monkeypatch.setattr(ContrastiveNet, "run", spy)
    embedder = quick(validation=0.25).fit(X)
    training, held = rows[0]
    assert len(training) + len(held) == len(treated(X))
    assert len(np.unique(held.molecule_index)) == 10
    assert embedder.n_pairs_ == len(training)
    # A molecule that chose the weights is no longer unseen.
    assert len(embedder.molecules_seen_) == 40
    bits = [
        {pairs.molecule.numpy()[place].tobytes() for place in pairs.molecule_index}
        for pairs in (training, held)
    ]
    assert [len(part) for part in bits] == [30, 10]
    assert not bits[0] & bits[1]
    again = quick(validation=0.25).fit(X)
    np.testing.assert_array_equal(again.transform(X), embedder.transform(X))


def test_scaling_is_learned_from_the_training_part(X):
    names = treated(X)["Metadata_smiles"].unique()
    held = X["Metadata_smiles"].isin(names[:12])
    explicit = quick(validation=X[held]).fit(X[~held])
    changed = X.copy()
    features = [name for name in X if name.startswith("Cells_")]
    changed.loc[held, features] *= 100.0
    shifted = quick(validation=changed[held]).fit(changed[~held])
    for name, value in explicit.state_.items():
        np.testing.assert_array_equal(value, shifted.state_[name])


def test_a_table_with_molecules_of_training_is_refused(X):
    with pytest.raises(ValueError, match=r"40 of 40 molecules .* are in the training table too"):
        quick(validation=X).fit(X)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": 0.01}, "holds out 0 of 40 molecules"),
        ({"validation": 0.99}, "holds out 40 of 40"),
        ({"keep": "best"}, "keep='best' need held-out molecules"),
        ({"early_stopping": 2}, "early_stopping=2 need held-out"),
        ({"validation": 1.5}, "validation"),
        ({"validation": 0.2, "monitor": "valid_loss"}, "monitor"),
    ],
)
def test_what_does_not_go_together(X, changes, message):
    with pytest.raises(ValueError, match=message):
        quick(**changes).fit(X)


def test_early_stopping_and_the_best_epoch(X, monkeypatch):
    from cloome_sk.training.validation import Validation

    values = iter([0.5, 0.3, 0.4, 0.3, 0.35, 0.1, 0.1])
    states = []

    def measured(self, network, objective):
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"valid_relative_rank": next(values)}

    monkeypatch.setattr(Validation, "__call__", measured)
    embedder = quick(validation=0.2, max_epochs=7, early_stopping=3, keep="best").fit(X)
    assert len(embedder.history_) == 5  # three epochs after the second, of which none is better
    for name, value in embedder.state_.items():
        np.testing.assert_array_equal(value, states[1][name].numpy())
    values = iter([0.5, 0.3, 0.4, 0.3, 0.35, 0.1, 0.1])
    states.clear()
    embedder = quick(validation=0.2, max_epochs=7, early_stopping=3).fit(X)
    for name, value in embedder.state_.items():
        np.testing.assert_array_equal(value, states[4][name].numpy())


def test_larger_recall_is_better(X, monkeypatch):
    from cloome_sk.training.validation import Validation

    values = iter([0.1, 0.4, 0.2])
    monkeypatch.setattr(Validation, "__call__", lambda self, *others: {"valid_R@5": next(values)})
    embedder = quick(validation=0.2, monitor="valid_R@5", keep="best", early_stopping=1)
    assert len(embedder.fit(X).history_) == 3


def test_a_moving_average_is_what_is_validated_and_kept(X):
    names = treated(X)["Metadata_smiles"].unique()
    held = X[X["Metadata_smiles"].isin(names[:12])]
    rest = X[~X["Metadata_smiles"].isin(names[:12])]
    chosen = {"validation": held, "max_epochs": 2, "lr": 1e-2, "schedule": None}
    averaged = quick(ema_decay=0.99, **chosen).fit(rest)
    plain = quick(**chosen).fit(rest)
    # The same updates, so that the weights alone differ of which something is measured.
    assert averaged.history_["objective"].tolist() == plain.history_["objective"].tolist()
    last, others = averaged.history_.iloc[-1], plain.history_.iloc[-1]
    expected = by_hand(averaged, treated(held))
    for name, value in expected.items():
        assert last[name] == pytest.approx(value), name
    assert any(others[name] != pytest.approx(value) for name, value in expected.items())


def test_a_moving_average_of_two_updates_by_hand():
    import torch

    from cloome_sk.training.averaging import AveragedWeights

    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = AveragedWeights(network, 0.9)
    expected = {name: value.clone().double() for name, value in network.state_dict().items()}
    for update, kept in ((1, 2 / 11), (2, 3 / 12), (3, 4 / 13)):
        network.train()(torch.randn(5, 2))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update(network)
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                expected[name] = kept * expected[name] + (1 - kept) * value.double()
            else:
                expected[name] = value.double()
        assert average.n_updates == update
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_gradients_are_clipped(X, monkeypatch):
    norms = []
    import torch

    step = torch.optim.AdamW.step

    def counted(self, *args, **kwargs):
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.cat([g.flatten() for g in grads]).norm()))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    quick(max_epochs=1).fit(X)
    largest = max(norms)
    norms.clear()
    quick(max_epochs=1, clip_norm=largest / 10).fit(X)
    assert max(norms) == pytest.approx(largest / 10, rel=1e-3)


def test_bags_and_images_are_validated_too(tmp_path):
    sites = make_screen(tmp_path, n_compounds=8, n_plates=2, n_sites=2, size=32, random_state=0)
    encoder = BagEncoder(ImageEncoder(), group_by=["plate", "well"])
    embedder = quick(phenotype=encoder, validation=0.3, max_epochs=1).fit(sites)
    assert embedder.history_["valid_relative_rank"].between(0, 1).all()


def test_warm_start_goes_on_from_the_weights(X):
    first, second = X.iloc[: len(X) // 2], X.iloc[len(X) // 2 :]
    embedder = quick(warm_start=True, max_epochs=1, lr=1e-12, weight_decay=0.0).fit(first)
    before, seen = embedder.state_, embedder.molecules_seen_
    mean = embedder.phenotype_
    embedder.fit(second)
    assert embedder.phenotype_ is mean  # what the weights expect of their inputs
    for name, value in before.items():
        if "running" not in name and "tracked" not in name:
            np.testing.assert_allclose(embedder.state_[name], value, atol=1e-9)
    assert set(seen) <= set(embedder.molecules_seen_)
    with pytest.raises(ValueError, match="other sizes"):
        embedder.set_params(n_components=8).fit(second)


def test_a_warm_start_is_validated_with_molecules_it_never_saw(X):
    names = treated(X)["Metadata_smiles"].unique()
    first = X[~X["Metadata_smiles"].isin(names[20:])]
    embedder = quick(warm_start=True, max_epochs=1).fit(first)
    with pytest.raises(ValueError, match=r"all 20 molecules of X were seen by the earlier fit"):
        embedder.set_params(validation=0.3).fit(first)
    with pytest.raises(ValueError, match=r"the earlier fit.* lacked: .*holds out 0 of 1 molecules"):
        embedder.fit(X[X["Metadata_smiles"].isin(names[:21])])
    embedder.set_params(validation=0.3).fit(X)
    with pytest.raises(ValueError, match="are in the training table too"):
        embedder.set_params(validation=first).fit(X[X["Metadata_smiles"].isin(names[20:])])


def test_an_epoch_without_a_number_is_not_the_best(X, monkeypatch):
    from cloome_sk.training.validation import Validation

    values = iter([float("nan"), 0.4, 0.5])
    monkeypatch.setattr(
        Validation, "__call__", lambda self, *others: {"valid_relative_rank": next(values)}
    )
    assert len(quick(validation=0.2, early_stopping=2).fit(X).history_) == 3


def test_half_precision_learns_what_full_precision_learns(X):
    full = quick(max_epochs=4).fit(X)
    half = quick(max_epochs=4, precision="bf16").fit(X)
    assert {value.dtype for name, value in half.state_.items() if "weight" in name} == {
        np.dtype(np.float32)
    }
    np.testing.assert_allclose(half.history_["objective"], full.history_["objective"], rtol=0.05)
    cosine = (half.transform(X) * full.transform(X)).sum(axis=1)
    assert cosine.mean() > 0.95


def test_callbacks_of_skorch_are_told(X):
    from skorch.callbacks import Callback

    class Count(Callback):
        n_batches = 0

        def on_batch_end(self, net, training=False, **kwargs):
            self.n_batches += training

    told = Count()
    embedder = quick(callbacks=[told], max_epochs=2).fit(X)
    assert told.n_batches == 2 * -(-embedder.n_pairs_ // 32)


def test_loggers_get_what_the_history_has(X, tmp_path):
    from skorch.callbacks import TensorBoard

    class Writer:
        def __init__(self):
            self.scalars = {}

        def add_scalar(self, tag, scalar_value, global_step):
            self.scalars[tag.rsplit("/")[-1], global_step] = scalar_value

        def close(self):
            pass

    class StopError(Exception):
        pass

    class Stop(Writer):
        def add_scalar(self, tag, scalar_value, global_step):
            if global_step == 2:
                raise StopError

    state = {"checkpoint_dir": tmp_path, "validation": 0.2, "max_epochs": 4}
    with pytest.raises(StopError):
        quick(callbacks=[TensorBoard(Stop())], **state).fit(X)
    writer = Writer()
    embedder = quick(callbacks=[TensorBoard(writer)], **state).fit(X, resume=True)
    found = {step for _, step in writer.scalars}
    assert found == {3, 4}  # the first two epochs were logged before
    for (name, step), value in writer.scalars.items():
        if name in embedder.history_:
            assert value == embedder.history_[name][step - 1]
    assert ("valid_R@5", 4) in writer.scalars


def test_batches_by_plate_and_by_label(X, monkeypatch):
    wide = X.assign(active=np.arange(len(X)) % 3 == 0)
    rows = []
    original = ContrastiveNet.run

    def spy(self, dataset, progress):
        rows.append((dataset, self.sampler.batches(0)))
        return original(self, dataset, progress)

    monkeypatch.setattr(ContrastiveNet, "run", spy)
    quick(batch_plates="plate", batch_labels="active", max_epochs=1).fit(wide)
    pairs, batches = rows[0]
    active = treated(wide)["active"].to_numpy()
    assert len(pairs) == len(active)
    for batch in batches:
        assert abs(active[batch].sum() - len(batch) * active.mean()) <= 1
    lacking = wide.astype({"active": object})
    lacking.loc[treated(X).index[3], "active"] = None
    with pytest.raises(ValueError, match="has no value"):
        quick(batch_labels="active").fit(lacking)
    with pytest.raises(ValueError, match="nothing"):
        quick(batch_labels="nothing").fit(X)
    matrix = np.random.default_rng(0).normal(size=(12, 20))
    embedder = CloomeEmbedder(
        ProfileEncoder(columns=list(range(8))),
        MoleculeEncoder(columns=list(range(8, 20)), features="precomputed"),
        batch_plates="plate",
    )
    with pytest.raises(ValueError, match="column names"):
        embedder.fit(matrix)


def test_a_table_of_pandas_is_not_changed(X):
    before = X.copy()
    quick(validation=0.2, max_epochs=1).fit(X)
    pd.testing.assert_frame_equal(X, before)
