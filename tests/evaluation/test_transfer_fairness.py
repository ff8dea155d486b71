"""What makes the two sides of the transfer study comparable, and what it must not let through."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import ProfileFeatures
from cloome_sk.encoders import ProfileEncoder
from cloome_sk.evaluation import study_transferability
from cloome_sk.evaluation._transfer_probes import Probe, Rows
from cloome_sk.evaluation._transfer_scores import (
    NEW,
    PLATE_FOLDS,
    SOURCE,
    _among_themselves,
    make_plan,
)
from cloome_sk.evaluation._transfer_tables import read_lab, split_molecules

FEATURES = [f"Cells_{number}" for number in range(6)]


def lab(tag, molecules, *, n_plates=3, seed=0):
    """Each molecule once a plate: its class, something of its own, and noise."""
    rng = np.random.default_rng(seed)
    centres = {name: rng.normal(size=6) for name in sorted({label for _, label in molecules})}
    rows = []
    for name, label in molecules:
        own = centres[label] + 0.5 * rng.normal(size=6)
        for plate in range(n_plates):
            values = own + rng.normal(size=6)
            rows.append(
                {"Metadata_Plate": f"{tag}{plate}", "Metadata_name": name, "Metadata_moa": label}
                | dict(zip(FEATURES, values, strict=True))
            )
    return pd.DataFrame(rows)


def members(letters, *, skip, n=6):
    return [(f"{k}{j}", k) for k in letters for j in range(n) if j not in skip]


def planned(source, target, *, hold_out=0.4, references=1, seed=0, n_folds=5):
    options = {"label": "moa", "molecule": "name", "plate": "plate", "align_by": "plate"}
    first, second = (
        read_lab(name, table, controls=None, **options)
        for name, table in (("source", source), ("target", target))
    )
    split = split_molecules(
        first,
        second,
        hold_out=hold_out,
        needed=max(2, references + 1),
        n_folds=n_folds,
        random_state=seed,
    )
    options = {"references": references, "n_neighbors": 1, "n_draws": 2, "random_state": seed}
    return make_plan(first, second, split, **options)


def study(source, target, methods=None, **options):
    given = {"label": "moa", "molecule": "name", "controls": None, "well": None, "cv": 3}
    given |= {"n_bootstrap": 50, "n_draws": 3, "random_state": 0, "hold_out": 0.4, "references": 1}
    methods = methods or {"raw": ProfileFeatures(columns=FEATURES, clip=None)}
    return study_transferability(source, target, methods, **{**given, **options})


@pytest.mark.parametrize("seed", range(5))
def test_as_many_molecules_teach_on_each_side(seed):
    # Of each class two of five are held out of the source, and three of the target's are new.
    source = lab("A", members("pqrs", skip=[1]))
    target = lab("B", members("pqrs", skip=[0]), seed=1)
    plan = planned(source, target, seed=seed)
    sizes = {}
    for part in (SOURCE, NEW):
        class_of = plan.lab(part).class_of()
        dealt = [Counter(class_of[name] for name in deal) for deal in plan.deals[part]]
        assert all(deal == dealt[0] for deal in dealt)
        sizes[part] = dealt[0]
        asked = set(plan.lab(part).molecules[plan.rows[part]])
        assert set().union(*plan.deals[part]) == asked
        for deal in plan.deals[part]:
            folds = Counter((class_of[name], plan.split.fold_of[name]) for name in deal)
            assert max(folds.values()) == 1
    assert sizes[SOURCE] == sizes[NEW]
    assert len(plan.deals[NEW]) > 1


def test_alike_labs_have_no_drop_though_one_has_more_molecules():
    drops = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        names = members("pqrstu", skip=[])
        own = {name: 0.6 * rng.normal(size=6) for name, _ in names}
        centre = {label: 0.8 * rng.normal(size=6) for label in "pqrstu"}
        tables = []
        for tag, skip in (("A", 1), ("B", 0)):
            rows = [
                {"Metadata_Plate": f"{tag}{p}", "Metadata_name": name, "Metadata_moa": label}
                | dict(zip(FEATURES, centre[label] + own[name] + rng.normal(size=6), strict=True))
                for name, label in names
                if name[1] != str(skip)
                for p in range(3)
            ]
            tables.append(pd.DataFrame(rows))
        found = study(*tables, random_state=seed).drops.set_index("metric")["drop"]
        drops.append(found[["linear probe", "k-NN", "source's probe"]])
    table = pd.DataFrame(drops)
    # Within three standard errors; with all that the target has to learn from it is .1 above.
    error = table.std() / np.sqrt(len(table))
    assert (table.mean().abs() < 3 * error).all()
    assert (table.mean() < 0.08).all()


def test_answers_of_deals_are_means_over_those_that_hold_a_row():
    rng = np.random.default_rng(0)
    molecules = np.repeat([f"m{n}" for n in range(9)], 4).astype(object)
    classes = np.repeat(list("aaabbbccc"), 4).astype(object)
    vectors = rng.normal(size=(36, 5)) + np.repeat(np.eye(5)[[0, 1, 2]], 12, axis=0)
    folds = np.repeat([0, 1, 2] * 3, 4)
    own = Rows(vectors, classes, molecules, np.array(["P"] * 36, dtype=object), folds)
    deals = [{"m0", "m1", "m3", "m4", "m6", "m7"}, {"m1", "m2", "m4", "m5", "m7", "m8"}]
    found = _among_themselves(own, deals, 1)["linear probe"]
    for row in range(36):
        said = []
        for deal in deals:
            if molecules[row] in deal:
                dealt = np.array([n for n in range(36) if molecules[n] in deal])
                some = own.take(dealt)
                said.append(Probe(some, PLATE_FOLDS).ask(some).hits[list(dealt).index(row)])
        assert found.hits[row] == pytest.approx(np.mean(said))
    assert np.isfinite(found.chance).all()


@pytest.mark.parametrize("seed", range(3))
def test_what_the_source_teaches_lacks_one_of_the_class_on_either_side(seed):
    source = lab("A", members("pqrs", skip=[1]))
    target = lab("B", [*members("pqrs", skip=[0]), ("t0", "t"), ("t1", "t")], seed=1)
    split = planned(source, target, seed=seed).split
    fold_of = split.carried_fold_of
    for label in "pqrs":
        of_source = [fold_of[f"{label}{n}"] for n in range(6) if n != 1]
        assert len(set(of_source)) == 5
        assert fold_of[f"{label}1"] in of_source
    # Where the class has one molecule on the source, this one teaches.
    alone = lab("A", [*members("pqrs", skip=[1]), ("t2", "t")])
    split = planned(alone, target, seed=seed).split
    assert split.carried_fold_of["t0"] != split.carried_fold_of["t2"]


def test_zero_shot_asks_both_sides_for_the_same_classes():
    # Three of each class are held out of the source; of two classes alone has the target so many.
    source = lab("A", members("pqrs", skip=[]))
    target = lab("B", members("pq", skip=[]) + members("rs", skip=[2, 3, 4, 5]), seed=1)
    plan = planned(source, target, hold_out=0.5, references=2, seed=3)
    assert plan.zero_shot[SOURCE] == plan.zero_shot[NEW]
    found = study(source, target, hold_out=0.5, references=2, random_state=3).scores
    zero = found[(found["metric"] == "zero-shot") & (found["n"] > 0)].set_index("part")["chance"]
    if {SOURCE, NEW} <= set(zero.index):
        assert zero[SOURCE] == zero[NEW]


def test_a_molecule_keeps_its_class_whatever_row_says_it():
    table = lab("A", members("pqr", skip=[]))
    told = table["Metadata_Plate"] == "A0"
    table.loc[~told, "Metadata_moa"] = None
    options = {"label": "moa", "molecule": "name", "plate": "plate", "align_by": "plate"}
    first, second = (
        read_lab("source", t, controls=None, **options) for t in (table, table.iloc[::-1])
    )
    assert first.class_of() == second.class_of() == dict(members("pqr", skip=[]))
    held = [
        split_molecules(one, one, hold_out=0.4, needed=2, n_folds=3, random_state=0).held_out
        for one in (first, second)
    ]
    assert held[0] == held[1]
    plans = [planned(t, t.assign(Metadata_Plate="B" + t["Metadata_Plate"]), seed=0)
             for t in (table, table.iloc[::-1])]  # fmt: skip
    for plan in plans:
        assert set().union(*plan.deals[SOURCE]) == plan.split.held_out


def test_labels_are_one_class_as_numbers_of_either_kind_and_blank_is_none():
    source = lab("A", members("pqr", skip=[]))
    target = lab("B", members("pqr", skip=[]), seed=1)
    as_int = {"p": 1, "q": 2, "r": 3}
    plain = study(source, target, hold_out=0.5)
    numbers = [t.assign(Metadata_moa=t["Metadata_moa"].map(as_int)) for t in (source, target)]
    numbers[1]["Metadata_moa"] = numbers[1]["Metadata_moa"].astype(float)
    found = study(*numbers, hold_out=0.5)
    pd.testing.assert_frame_equal(found.scores, plain.scores)
    texts = target.assign(Metadata_moa=target["Metadata_moa"].map(as_int).astype(str))
    with pytest.raises(
        ValueError, match=r"class 1 of the source is int, and '1' of the target str"
    ):
        study(numbers[0], texts)
    blank = source.assign(Metadata_moa=source["Metadata_moa"].replace("p", " "))
    assert "p" not in planned(blank, target).classes[NEW]
    assert " " not in planned(blank, target).classes[NEW]


class Told(TransformerMixin, BaseEstimator):
    """Fails in training at the row it is told of."""

    def fit(self, X, y=None):
        from cloome_sk._tables import row_name

        bad = np.flatnonzero(X["Cells_0"].isna())
        raise ValueError(f"cannot read {row_name(X, int(bad[0]))}")

    def transform(self, X):
        return X


def test_errors_of_a_fit_name_the_row_of_the_users_table():
    source = lab("A", members("pqr", skip=[]))
    plan = planned(source, source, seed=0)
    trained = np.flatnonzero(pd.Series(plan.source.molecules).isin(plan.split.trained))
    row = int(trained[trained > trained[0] + 3][-1])
    spoiled = source.copy()
    spoiled.loc[row, "Cells_0"] = np.nan
    with pytest.raises(ValueError, match=rf"\(index {row}\)"):
        study(spoiled, source, {"A": Told()})


class Shaped(TransformerMixin, BaseEstimator):
    def __init__(self, kind="few"):
        self.kind = kind

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.ones((len(X) - 1, 2)) if self.kind == "few" else np.ones(len(X))


def test_what_is_no_table_of_embeddings_is_refused():
    source, target = lab("A", members("pqr", skip=[])), lab("B", members("pqr", skip=[]), seed=1)
    for kind in ("few", "flat"):
        with pytest.raises(ValueError, match=r"'A' gives an array of shape \(\d+.*n_rows"):
            study(source, target, {"A": Shaped(kind)})
    with pytest.raises(TypeError, match="named by strings; got 1"):
        study(source, target, {1: Shaped()})


def test_a_model_trained_elsewhere_is_no_proof_where_molecules_have_names_alone(screen_labs):
    source, target = screen_labs
    embedder = CloomeEmbedder(
        phenotype=ProfileEncoder(hidden_sizes=(8,)), n_components=4, max_epochs=1, random_state=0
    ).fit(target)
    frozen = {"frozen": make_pipeline(FrozenEstimator(embedder))}
    options = {"label": "moa", "molecule": "pert_iname", "n_bootstrap": 20, "random_state": 0}
    with pytest.raises(ValueError, match="were in the training of this model"):
        study_transferability(source, target, frozen, **options)
    bare = [table.drop(columns="Metadata_smiles") for table in screen_labs]
    found = study_transferability(*bare, frozen, **options)
    assert not found.leakage["ok"].any()
    assert "trained before this study" in found.report()
    honest = {"raw": ProfileFeatures()}
    assert study_transferability(*bare, honest, **options).leakage["ok"].all()
    by_structure = study_transferability(source, target, honest, **options).leakage
    assert by_structure["ok"].all()
    assert by_structure["sentences"].str.contains("training set").all()


@pytest.fixture(scope="module")
def screen_labs():
    from cloome_sk.datasets import make_profiles

    table = make_profiles(n_compounds=30, n_plates=8, n_features=12, random_state=0)
    first = table["Metadata_Plate"].isin(sorted(table["Metadata_Plate"].unique())[:4])
    table["Metadata_everywhere"] = "all"
    return tuple(table[rows].reset_index(drop=True) for rows in (first, ~first))


def test_the_headline_is_the_probe_however_embeddings_are_aligned(screen_labs):
    for align in ("none", "controls"):
        options = {"label": "moa", "align": align, "n_bootstrap": 20, "random_state": 0}
        found = study_transferability(*screen_labs, {"raw": ProfileFeatures()}, **options)
        assert found.headline == "linear probe"


def test_options_change_what_they_say(screen_labs):
    source, target = screen_labs
    options = {"label": "moa", "n_bootstrap": 20, "random_state": 0, "hold_out": 0.4}

    def values(**more):
        found = study_transferability(
            source, target, {"raw": ProfileFeatures()}, **{**options, **more}
        )
        return found.scores.set_index(["part", "metric"])["value"]

    plain, wide = values(), values(n_neighbors=3)
    assert not np.allclose(plain[NEW]["k-NN"], wide[NEW]["k-NN"])
    assert plain[NEW]["linear probe"] == wide[NEW]["linear probe"]
    centred = f"{NEW}, centred on controls"
    by_plate, by_all = (
        values(align="controls", align_by=name)[centred]["replicate mAP"]
        for name in ("plate", "Metadata_everywhere")
    )
    assert by_plate != by_all
    # Without controls there are as many molecules more as controls have structures: DMSO.
    told = study_transferability(
        source.fillna({"Metadata_smiles": "CS(C)=O"}),
        target.fillna({"Metadata_smiles": "CS(C)=O"}),
        {"raw": ProfileFeatures()},
        **options,
        controls=None,
    )
    plain = study_transferability(source, target, {"raw": ProfileFeatures()}, **options)
    assert plain.fits.loc["raw", "components"] == told.fits.loc["raw", "components"]
    assert any("0 negative controls" in note for note in told.notes)
    assert not any("0 negative controls" in note for note in plain.notes)
