"""The transfer study, on labs whose difference is known, and against scores made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline

from cloome_sk import CloomeEmbedder
from cloome_sk._tables import profile_columns
from cloome_sk.baselines import ProfileFeatures
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import ProfileEncoder
from cloome_sk.evaluation import study_transferability
from cloome_sk.evaluation._transfer_align import align
from cloome_sk.evaluation._transfer_drop import drops_of
from cloome_sk.evaluation._transfer_scores import METRICS, NEW, SEEN, SOURCE
from cloome_sk.evaluation._transfer_tables import read_lab, split_molecules
from cloome_sk.evaluation.transfer_plot import GREY
from cloome_sk.evaluation.transferability import count_training_rows
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import find_controls

CENTRED = ", centred on controls"


@pytest.fixture(scope="module")
def labs():
    """The same drugs on eight plates; the last four are another lab, which is like the first."""
    table = make_profiles(
        n_compounds=40,
        n_plates=8,
        n_features=40,
        plate_effect=0.0,
        signal=1.5,
        inactive_fraction=0.0,
        random_state=0,
    )
    plates = sorted(table["Metadata_Plate"].unique())
    first = table["Metadata_Plate"].isin(plates[:4])
    return tuple(table[rows].reset_index(drop=True) for rows in (first, ~first))


def shifted(table, size):
    """Every plate measures something of its own on top, as much for controls as for all."""
    rng = np.random.default_rng(1)
    features = profile_columns(table)
    scale = table[features].std().to_numpy()
    out = table.copy()
    for plate in sorted(table["Metadata_Plate"].unique()):
        rows = (table["Metadata_Plate"] == plate).to_numpy()
        step = size * scale * rng.normal(1.0, 1.0, size=len(features))
        out.loc[rows, features] = (table.loc[rows, features].to_numpy() + step).astype(np.float32)
    return out


def raw():
    return ProfileFeatures(clip=None)


class Recording(ProfileFeatures):
    """Notes what it was trained on."""

    seen: list[pd.DataFrame] = []  # noqa: RUF012  a clone has its own attributes, not its class

    def fit(self, X, y=None):
        Recording.seen.append(X.copy())
        return super().fit(X)


def study(source, target, methods=None, **options):
    given = {
        "label": "moa",
        "random_state": 0,
        "n_bootstrap": 200,
        "n_draws": 5,
        "cv": 3,
        **options,
    }
    return study_transferability(source, target, methods or {"raw": raw()}, **given)


@pytest.fixture(scope="module")
def alike(labs):
    return study(*labs, align=("none", "controls"))


@pytest.fixture(scope="module")
def apart(labs):
    return study(labs[0], shifted(labs[1], 3.0), align=("none", "controls"))


def figures(found, part="drop"):
    return found.drops[found.drops["part"] == part].set_index("metric")


def test_the_same_table_on_both_sides_drops_by_nothing(labs):
    found = study(labs[0], labs[0])
    assert set(found.drops["metric"]) == set(METRICS)
    assert (found.drops["drop"] == 0).all()
    assert (found.drops["low"] == 0).all()


def test_labs_that_are_alike_lose_little(alike):
    drops = figures(alike)
    # Replicates are of 4 plates on either side, and the same molecules on both.
    assert (drops["n_both"] == drops["n_source"]).all()
    assert drops["drop"].abs().mean() < 0.06
    assert ((drops["low"] <= 0.02) & (drops["high"] >= -0.02)).all()


def test_a_lab_shift_costs_and_alignment_repairs_it(alike, apart):
    plain, aligned = figures(apart), figures(apart, "drop" + CENTRED)
    for metric in ("source's probe", "source's k-NN", "replicate mAP", "k-NN, other plates"):
        assert plain.loc[metric, "high"] < -0.05, metric
        assert aligned.loc[metric, "drop"] > plain.loc[metric, "drop"] + 0.1, metric
        assert abs(aligned.loc[metric, "drop"]) < 0.1, metric
    # Shifts of whole plates leave nothing else behind: the figures are those without them.
    score = {
        name: found.scores.set_index(["part", "model", "metric"])["value"]
        for name, found in (("alike", alike), ("apart", apart))
    }
    key = (NEW + CENTRED, "raw", "replicate mAP")
    assert score["apart"][key] == pytest.approx(score["alike"][key], abs=1e-5)


def test_molecules_in_training_are_a_part_of_their_own(labs, alike):
    source, target = (
        read_lab(
            name,
            table,
            label="moa",
            molecule=None,
            plate="plate",
            align_by="plate",
            controls="auto",
        )
        for name, table in zip(("source", "target"), labs, strict=True)
    )
    split = split_molecules(source, target, hold_out=0.5, needed=3, n_folds=5, random_state=0)
    assert not split.held_out & split.trained
    assert split.held_out | split.trained == set(source.class_of())
    sizes = alike.scores[alike.scores["metric"] == "replicate mAP"].set_index("part")["n"]
    assert sizes[SOURCE] == sizes[NEW]
    assert sizes[NEW] + sizes[SEEN] == len(set(target.class_of()))
    # Each class has so many held out that it can be asked for, and no fold takes all of it.
    held = pd.Series({name: source.class_of()[name] for name in split.held_out})
    assert (held.groupby(held).size() >= 3).all()
    folds = pd.Series(split.fold_of)[held.index]
    assert (folds.groupby(held).nunique() >= 3).all()


def test_methods_are_trained_on_the_source_without_what_is_held_out(labs):
    Recording.seen = []
    found = study(*labs, {"raw": Recording()})
    (train,) = Recording.seen
    assert set(train["Metadata_Plate"]) <= set(labs[0]["Metadata_Plate"])
    treated = train[~find_controls(train).mask]
    assert find_controls(train).n == find_controls(labs[0]).n
    n_source = found.scores.set_index(["part", "metric"]).loc[(SOURCE, "replicate mAP"), "n"]
    keys = set(molecule_key(treated["Metadata_smiles"]))
    everyone = set(molecule_key(labs[0].loc[~find_controls(labs[0]).mask, "Metadata_smiles"]))
    assert len(keys) == len(everyone) - n_source
    assert found.leakage["ok"].all()


def test_no_label_or_feature_of_the_target_reaches_training(labs):
    source, target = labs
    changed = shifted(target, 5.0)
    treated = (~find_controls(target).mask).nonzero()[0]
    mixed = target["Metadata_moa"].to_numpy(dtype=object).copy()
    mixed[treated] = np.roll(mixed[treated], 7)
    names = molecule_key(target["Metadata_smiles"].iloc[treated])
    of_molecule = dict(zip(names, mixed[treated], strict=True))
    mixed[treated] = [of_molecule[name] for name in names]
    embedder = CloomeEmbedder(
        phenotype=ProfileEncoder(hidden_sizes=(16,)), n_components=8, max_epochs=2, random_state=0
    )
    Recording.seen = []
    runs = [
        study(source, table, {"CLOOME": embedder, "raw": Recording()})
        for table in (target, changed.assign(Metadata_moa=mixed))
    ]
    pd.testing.assert_frame_equal(*Recording.seen)
    # Replicates of the source need no class, so they are to the bit what the fit makes of them.
    values = [
        run.scores.query("part == @SOURCE and metric == 'replicate mAP'").reset_index(drop=True)
        for run in runs
    ]
    pd.testing.assert_frame_equal(*values)
    assert not np.allclose(
        *(run.scores.query("part == @NEW and metric == 'replicate mAP'")["value"] for run in runs)
    )


def test_replicate_map_equals_a_loop(labs):
    found = study(*labs, hold_out=0.0, label=None)
    table = labs[1]
    features = raw().fit(labs[0]).transform(table).astype(float)
    features = features[~find_controls(table).mask]
    wells = table[~find_controls(table).mask]
    keys, plates = molecule_key(wells["Metadata_smiles"]), wells["Metadata_Plate"].to_numpy()
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    means: dict[str, list[float]] = {}
    for row in range(len(unit)):
        other = np.flatnonzero(plates != plates[row])
        order = other[np.argsort(-(unit[other] @ unit[row]))]
        right = keys[order] == keys[row]
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        value = precision[right].mean()
        # The mean over random orders, by drawing them.
        rng = np.random.default_rng(0)
        draws = np.sort(
            np.stack([rng.choice(len(right), right.sum(), replace=False) for _ in range(400)]), 1
        )
        chance = (np.arange(1, right.sum() + 1) / (draws + 1)).mean()
        means.setdefault(keys[row], []).append((value - chance) / (1 - chance))
    naive = np.mean([np.mean(values) for values in means.values()])
    row = found.scores.query("part == @SEEN and metric == 'replicate mAP'").iloc[0]
    assert row["value"] == pytest.approx(naive, abs=0.003)


def test_drops_equal_differences_of_means_by_hand():
    rng = np.random.default_rng(0)
    rows = []
    for part, names in (("s", "abcdefgh"), ("t", "efghijkl")):
        for model, size in (("A", 0.2), ("B", 0.0)):
            for name in names:
                value = rng.random() + size * (part == "t")
                rows.append((part, model, "probe", name, value, 0.5))
    units = pd.DataFrame(rows, columns=["part", "model", "metric", "unit", "value", "chance"])
    found = drops_of(units, "A", {"drop": ("s", "t")}, n_bootstrap=400).set_index("model")
    mean = units.groupby(["model", "part"])["value"].mean()
    for model in "AB":
        expected = mean[model, "t"] - mean[model, "s"]
        assert found.loc[model, "drop"] == pytest.approx(expected)
        assert found.loc[model, "low"] < expected < found.loc[model, "high"]
    assert found.loc["B", "difference"] == pytest.approx(
        found.loc["A", "drop"] - found.loc["B", "drop"]
    )
    assert found.loc["A", ["n_source", "n_target", "n_both"]].tolist() == [8, 8, 4]
    # Signs flipped one by one, for both sides of a molecule at once.
    wide = units.pivot_table(index="unit", columns=["part", "model"], values="value")
    apart = {part: wide[part]["A"] - wide[part]["B"] for part in "st"}
    parts = (apart["t"].fillna(0) / 8 - apart["s"].fillna(0) / 8).to_numpy()
    signs = np.array(np.meshgrid(*[[-1, 1]] * 12)).reshape(12, -1)
    exact = (np.abs(signs.T @ parts) >= abs(parts.sum()) - 1e-12).mean()
    assert found.loc["B", "p"] == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("how", ["controls", "sphered"])
def test_alignment_puts_the_controls_of_each_plate_at_zero(labs, how):
    table = shifted(labs[1], 3.0)
    lab = read_lab(
        "target",
        table,
        label=None,
        molecule=None,
        plate="plate",
        align_by="plate",
        controls="auto",
    )
    values = table[profile_columns(table)].to_numpy(dtype=float)
    found = align(values, lab, how)
    if how == "controls":
        for plate in set(lab.plates):
            rows = lab.plates == plate
            expected = values[rows] - values[rows & lab.control].mean(axis=0)
            np.testing.assert_allclose(found[rows], expected, rtol=1e-5, atol=1e-4)
    else:
        np.testing.assert_allclose(found[lab.control].mean(axis=0), 0, atol=1e-5)
        covariance = np.cov(found[lab.control].T)
        before = np.cov(((values - values.mean(0)) / values.std(0))[lab.control].T)
        spread = [np.ptp(np.linalg.eigvalsh(c)) / np.trace(c) for c in (covariance, before)]
        assert spread[0] < spread[1]


def test_other_classes_on_the_two_sides_have_no_drop(labs):
    source, target = labs
    target = target.assign(Metadata_kind=target["Metadata_moa"].astype("object") + " (kind)")
    found = study(source, target, target_label="kind")
    assert set(found.drops["metric"]) == {"replicate mAP"}
    assert found.scores.query("part == @NEW and metric == 'linear probe'")["n"].iloc[0] > 0
    assert "not defined" in found.report()
    assert lines_of(found.plot("linear probe")) == []
    assert len(lines_of(found.plot("replicate mAP"))) == 1


def lines_of(figure):
    """What joins the source and the target of a method."""
    return [line for panel in figure.axes for line in panel.lines if line.get_color() == GREY]


def test_training_rows_are_those_of_the_fits(labs):
    def network():
        return CloomeEmbedder(n_components=4, max_epochs=1, random_state=0)

    found = study(*labs, {"small": network()}, hold_out=0.3, references=1)
    options = {"label": "moa", "hold_out": 0.3, "references": 1}
    counted = count_training_rows(*labs, **options, random_state=0)
    assert found.fits.loc["small", "rows"] == counted
    everything = count_training_rows(*labs, **{**options, "hold_out": 0.0}, random_state=0)
    assert everything == int((~find_controls(labs[0]).mask).sum()) > counted


def test_nothing_held_out_is_said(labs):
    said = study(*labs, hold_out=0.0).report()
    assert "None is held out, so the source has no figures." in said


def test_report_tables_and_files(apart, tmp_path):
    text = apart.report()
    assert "drop (target - source)" in text
    assert "replicate mAP" in apart.tables()["drop (target - source)"].columns
    assert apart.fits.loc["raw", "components"] == 40
    assert set(apart.layout["side"]) == {
        side + end for side in ("source", "target") for end in ("", CENTRED)
    }
    written = {path.name for path in apart.write(tmp_path)}
    assert "transferability_tables.png" in written
    assert pd.read_csv(tmp_path / "transferability_tables_drops.csv").shape == apart.drops.shape
    figure = apart.plot("k-NN")
    assert len(figure.axes) == 2
    with pytest.raises(ValueError, match="no metric 'R@1'"):
        apart.plot("R@1")


def test_layout_is_of_the_controls_alone(labs):
    """A table whose controls know their position finds it, whatever the other wells hold."""
    table = labs[0].copy()
    control = find_controls(table).mask
    wells = table["Metadata_Well"].astype("category").cat.codes.to_numpy()
    features = profile_columns(table)
    rng = np.random.default_rng(0)
    code = rng.normal(size=(wells.max() + 1, len(features)))
    table.loc[control, features] = code[wells[control]].astype(np.float32)
    layout = study(table, labs[1]).layout.set_index("side")
    assert layout.loc["source", "rate"] == 1.0
    assert layout.loc["target", "rate"] < 0.5


class NaNs(TransformerMixin, BaseEstimator):
    """Has no embedding for the first row."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        out = np.ones((len(X), 2))
        out[0] = np.nan
        return out


def test_errors_say_what_to_do(labs):
    source, target = labs
    with pytest.raises(TypeError, match="must be a dict of estimators"):
        study(source, target, [raw()])
    with pytest.raises(TypeError, match="needs `fit`"):
        study(source, target, {"A": object()})
    with pytest.raises(ValueError, match="align must be one or several"):
        study(source, target, align="plates")
    with pytest.raises(ValueError, match="hold_out must be"):
        study(source, target, hold_out=1.0)
    with pytest.raises(ValueError, match="headline must be"):
        study(source, target, headline="accuracy")
    with pytest.raises(ValueError, match=r"target.*no column 'mechanism'"):
        study(source, target, target_label="mechanism")
    with pytest.raises(ValueError, match="'A' has no embedding for 1 row"):
        study(source, target, {"A": NaNs()})
    bare = target[~find_controls(target).mask | (target["Metadata_Plate"] != "SIM0005")]
    assert len(bare) < len(target)
    with pytest.raises(ValueError, match=r"'SIM0005'.*align_by"):
        study(source, bare, align="controls")
    with pytest.raises(ValueError, match="none is left to train on"):
        study(source, target, hold_out=0.99, references=30)


def test_a_frozen_method_that_saw_the_target_is_refused(labs):
    from sklearn.frozen import FrozenEstimator

    embedder = CloomeEmbedder(
        phenotype=ProfileEncoder(hidden_sizes=(8,)), n_components=4, max_epochs=1, random_state=0
    ).fit(labs[1])
    with pytest.raises(ValueError, match="were in the training of this model"):
        study(*labs, {"frozen": make_pipeline(FrozenEstimator(embedder))})
