from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cloome_sk.datasets import load_known_drugs, make_profiles

PREFIXES = ("Cells_", "Cytoplasm_", "Nuclei_")


def features(table):
    return table[[name for name in table if name.startswith(PREFIXES)]].to_numpy(dtype=float)


def is_control(table):
    return (table["Metadata_control_type"] == "negcon").to_numpy()


def replicate_accuracy(table, rows=None):
    """Share of the first plate's wells whose compound the other plates' centroids name."""
    keep = ~is_control(table) if rows is None else rows
    first = (table["Metadata_Plate"] == "SIM0001").to_numpy()
    names = table["Metadata_pert_iname"].to_numpy()
    train, test = keep & ~first, keep & first
    model = make_pipeline(StandardScaler(), NearestCentroid())
    return model.fit(features(table)[train], names[train]).score(features(table)[test], names[test])


def test_table_and_its_metadata():
    table = make_profiles(random_state=0)
    assert len(table) == 4 * (120 + 16)
    names = [name for name in table if name.startswith(PREFIXES)]
    assert len(names) == len(set(names)) == 150
    assert set(table[names].dtypes.astype(str)) == {"float32"}
    assert np.isfinite(features(table)).all()
    assert not table.duplicated(["Metadata_Plate", "Metadata_Well"]).any()
    assert (table["Metadata_source"] == "simulated").all()
    assert table.attrs["simulated"]["signal"] == 1.0
    assert table["Metadata_batch"].nunique() == 2
    assert (table.groupby("Metadata_batch")["Metadata_Plate"].nunique() == 2).all()

    control = is_control(table)
    assert (table[control].groupby("Metadata_Plate").size() == 16).all()
    assert set(table.loc[control, "Metadata_pert_iname"]) == {"DMSO"}
    assert set(table.loc[control, "Metadata_conc_uM"]) == {0.0}
    assert table.loc[control, ["Metadata_moa", "Metadata_target"]].isna().all(axis=None)
    assert not table.loc[control, "Metadata_active"].any()
    assert Chem.MolFromSmiles(table.loc[control, "Metadata_smiles"].iloc[0]).GetNumAtoms() == 4

    drugs = load_known_drugs().set_index("name")
    treated = table[~control]
    assert set(treated["Metadata_pert_iname"]) == set(drugs.index)
    for column in ("smiles", "moa", "target"):
        expected = drugs.loc[treated["Metadata_pert_iname"], column]
        assert (treated[f"Metadata_{column}"].to_numpy() == expected.to_numpy()).all()
    per_compound = treated.groupby("Metadata_pert_iname")
    assert (per_compound["Metadata_Plate"].nunique() == 4).all()
    assert (per_compound["Metadata_active"].nunique() == 1).all()
    assert (~per_compound["Metadata_active"].first()).sum() == 24


def test_same_seed_same_table():
    first, again, other = (make_profiles(random_state=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert first.attrs == again.attrs
    assert not np.array_equal(features(first), features(other))
    assert make_profiles(random_state=np.random.RandomState(3)).equals(first)


def test_without_a_seed_tables_differ():
    small = {"n_compounds": 8, "n_plates": 1}
    assert not make_profiles(**small).equals(make_profiles(**small))


def _global_state():
    """State of NumPy's and Python's global generators, in comparable form."""
    kind, keys, position, *rest = np.random.mtrand._rand.get_state()
    return kind, keys.tolist(), position, *rest, random.getstate()


@pytest.mark.parametrize("seed", [None, 0])
def test_global_generators_are_untouched(seed):
    before = _global_state()
    make_profiles(n_compounds=8, random_state=seed)
    assert _global_state() == before


def test_without_signal_a_compound_cannot_be_recognised():
    hits = [
        round(120 * replicate_accuracy(make_profiles(signal=0, random_state=s))) for s in range(5)
    ]
    # 600 guesses among 120: five right by chance.
    assert stats.binomtest(sum(hits), 600, 1 / 120, alternative="greater").pvalue > 0.01


def test_without_signal_counts_and_mechanisms_say_nothing():
    table = make_profiles(signal=0, random_state=0)
    treated = table[~is_control(table)]
    groups = [g["Metadata_Count_Cells"] for _, g in treated.groupby("Metadata_moa")]
    assert stats.kruskal(*groups).pvalue > 0.01
    assert stats.ks_2samp(
        treated["Metadata_Count_Cells"], table.loc[is_control(table), "Metadata_Count_Cells"]
    ).pvalue > 0.01  # fmt: skip


def test_signal_makes_compounds_recognisable():
    accuracies = []
    for signal in (0, 0.5, 1, 2):
        table = make_profiles(signal=signal, random_state=0)
        accuracies.append(replicate_accuracy(table, table["Metadata_active"].to_numpy()))
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < 0.06
    assert accuracies[1] > 0.1
    assert accuracies[2] > 0.6
    assert accuracies[3] > 0.95


def test_inactive_compounds_look_like_dmso():
    table = make_profiles(inactive_fraction=0.5, signal=2, random_state=0)
    inactive = ~is_control(table) & ~table["Metadata_active"].to_numpy()
    assert table.loc[inactive, "Metadata_pert_iname"].nunique() == 60
    assert replicate_accuracy(table, inactive) < 0.1
    counts = table["Metadata_Count_Cells"]
    assert stats.ks_2samp(counts[inactive], counts[is_control(table)]).pvalue > 0.01
    assert counts[table["Metadata_active"]].mean() < 0.8 * counts[is_control(table)].mean()
    for fraction, expected in ((0, 0), (1, 120)):
        table = make_profiles(n_plates=1, inactive_fraction=fraction, random_state=0)
        assert (~table["Metadata_active"] & ~is_control(table)).sum() == expected


def moa_transfer(table):
    """Accuracy of naming the mechanism of compounds that the classifier has not seen."""
    rows = table["Metadata_active"].to_numpy()
    x, moa = features(table)[rows], table.loc[rows, "Metadata_moa"].to_numpy()
    number = table.loc[rows].groupby("Metadata_moa")["Metadata_pert_iname"].rank("dense")
    test = (number % 2 == 0).to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    return model.fit(x[~test], moa[~test]).score(x[test], moa[test])


def test_mechanism_and_compound_signal():
    shared = make_profiles(moa_signal=1, compound_signal=0, random_state=0)
    own = make_profiles(moa_signal=0, compound_signal=1, random_state=0)
    assert moa_transfer(shared) > 0.8
    # Structure drives half of a compound's own effect, and analogues share a mechanism.
    assert moa_transfer(own) < 0.5
    assert replicate_accuracy(own) > replicate_accuracy(shared)


def test_similar_structures_have_similar_effects():
    from scipy.spatial.distance import pdist, squareform

    from cloome_sk.molecules import morgan_fingerprints

    table = make_profiles(moa_signal=0, inactive_fraction=0, plate_effect=0, position_effect=0,
                          random_state=0)  # fmt: skip
    scaled = pd.DataFrame(StandardScaler().fit_transform(features(table)))
    treated = ~is_control(table)
    profiles = scaled[treated].groupby(table.loc[treated, "Metadata_smiles"].to_numpy()).mean()
    phenotype = 1 - pdist(profiles.to_numpy(), "correlation")
    bits = morgan_fingerprints(profiles.index).astype(bool)
    structure = 1 - pdist(bits, "jaccard")
    together = stats.spearmanr(phenotype, structure)
    assert together.statistic > 0
    assert together.pvalue < 1e-6
    close = squareform(structure > 0.5)
    assert squareform(phenotype)[close].mean() > phenotype.mean() + 0.2


def test_plate_effect():
    def plate_share(size):
        table = make_profiles(plate_effect=size, signal=0, position_effect=0, random_state=0)
        plates = [
            features(table)[table["Metadata_Plate"] == p] for p in table["Metadata_Plate"].unique()
        ]
        return np.mean(stats.f_oneway(*plates).pvalue < 0.01)

    assert plate_share(0) < 0.04
    assert plate_share(1) > 0.95


def test_plates_of_one_batch_are_alike():
    table = make_profiles(n_plates=8, plate_effect=2, signal=0, position_effect=0, random_state=0)
    means = pd.DataFrame(features(table)).groupby(table["Metadata_Plate"].to_numpy()).mean()
    alike = np.corrcoef((means - means.mean()) / means.std())
    same = np.kron(np.eye(4, dtype=bool), np.ones((2, 2), dtype=bool)) & ~np.eye(8, dtype=bool)
    assert alike[same].mean() > alike[~same & ~np.eye(8, dtype=bool)].mean() + 0.3


def test_position_effect_shows_in_dmso_wells():
    def share_that_follows_the_column(size):
        table = make_profiles(2, n_plates=1, n_controls=300, position_effect=size, random_state=0)
        control = is_control(table)
        column = table.loc[control, "Metadata_Well"].str[1:].astype(int)
        pvalues = [stats.pearsonr(values, column).pvalue for values in features(table)[control].T]
        return np.mean(np.array(pvalues) < 0.01)

    assert share_that_follows_the_column(0) < 0.05
    assert share_that_follows_the_column(1) > 0.6


def test_a_fixed_layout_leaks_and_a_scrambled_one_does_not():
    settings = {"signal": 0, "position_effect": 2, "random_state": 0}
    fixed, scrambled = (make_profiles(layout=kind, **settings) for kind in ("fixed", "scrambled"))
    wells = fixed[~is_control(fixed)].groupby("Metadata_pert_iname")["Metadata_Well"].nunique()
    assert (wells == 1).all()
    wells = scrambled[~is_control(scrambled)].groupby("Metadata_pert_iname")["Metadata_Well"]
    assert wells.nunique().mean() > 3.5
    hits = round(120 * replicate_accuracy(fixed)), round(120 * replicate_accuracy(scrambled))
    assert stats.binomtest(hits[0], 120, 1 / 120, alternative="greater").pvalue < 1e-10
    assert stats.binomtest(hits[1], 120, 1 / 120, alternative="greater").pvalue > 0.01


def test_sizes_change_only_themselves():
    base = make_profiles(random_state=5)
    for change in ({"signal": 0}, {"plate_effect": 0}, {"position_effect": 3}):
        other = make_profiles(random_state=5, **change)
        same = ["Metadata_Plate", "Metadata_Well", "Metadata_pert_iname", "Metadata_active"]
        pd.testing.assert_frame_equal(base[same], other[same])
    quiet = {"plate_effect": 0, "position_effect": 0, "random_state": 5}
    with_effect, without = make_profiles(signal=1, **quiet), make_profiles(signal=0, **quiet)
    control = is_control(base)
    # The noise of a DMSO well stays, apart from the number of cells drawn for it.
    for a, b in zip(features(with_effect)[control].T, features(without)[control].T, strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.95


@pytest.mark.parametrize(
    ("n_compounds", "n_plates", "n_replicates"), [(48, 6, 3), (6, 4, 2), (120, 5, 2), (7, 3, 1)]
)
@pytest.mark.parametrize("layout", ["scrambled", "fixed"])
def test_replicates_are_spread_evenly(n_compounds, n_plates, n_replicates, layout):
    table = make_profiles(n_compounds, n_plates=n_plates, n_replicates=n_replicates, n_controls=3,
                          layout=layout, random_state=1)  # fmt: skip
    treated = table[~is_control(table)]
    plates = treated.groupby("Metadata_pert_iname")["Metadata_Plate"].agg(["size", "nunique"])
    assert len(plates) == n_compounds
    assert (plates == n_replicates).all(axis=None)
    per_plate = treated.groupby("Metadata_Plate").size()
    assert len(per_plate) == n_plates
    assert per_plate.max() - per_plate.min() <= n_replicates
    assert not table.duplicated(["Metadata_Plate", "Metadata_Well"]).any()


def test_few_compounds_keep_about_four_to_a_mechanism():
    table = make_profiles(20, random_state=0)
    per_moa = table.groupby("Metadata_moa")["Metadata_pert_iname"].nunique()
    assert per_moa.tolist() == [4] * 5
    for n in range(2, 120, 7):
        compounds = make_profiles(n, n_plates=1, random_state=n)["Metadata_pert_iname"]
        assert compounds.nunique() == n + 1


def test_any_number_of_features_has_its_own_names():
    for n in (3, 151, 1000):
        names = [
            c for c in make_profiles(4, n_features=n, random_state=0) if c.startswith(PREFIXES)
        ]
        assert len(set(names)) == n
        assert {name.split("_")[0] for name in names} == {"Cells", "Cytoplasm", "Nuclei"}


def test_well_names_on_each_plate_format():
    for n_controls, last_row in ((50, "H"), (300, "P"), (1500, "AF")):
        wells = make_profiles(4, n_plates=1, n_controls=n_controls, random_state=0)["Metadata_Well"]
        assert wells.str.fullmatch(r"[A-Z]{1,2}\d\d").all()
        assert last_row in set(wells.str[:-2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_compounds": 1}, "n_compounds must be at least 2 and at most 120; got 1"),
        ({"n_compounds": 121}, "n_compounds must be at least 2 and at most 120; got 121"),
        ({"n_plates": 0}, "n_plates must be at least 1; got 0"),
        ({"n_replicates": 5}, "n_replicates must be at least 1 and at most 4; got 5"),
        ({"n_controls": -1}, "n_controls must be at least 0; got -1"),
        ({"n_controls": 1417}, "1537 wells a plate do not fit the largest plate"),
        ({"n_features": 2}, "n_features must be at least 3; got 2"),
        ({"signal": -1}, "signal must be at least 0 and finite; got -1"),
        ({"signal": float("inf")}, "signal must be at least 0 and finite; got inf"),
        ({"plate_effect": float("nan")}, "plate_effect must be at least 0 and finite; got nan"),
        ({"inactive_fraction": 1.1}, "inactive_fraction must be at least 0 and at most 1; got 1.1"),
        ({"moa_signal": 0, "compound_signal": 0}, "both 0.*use signal=0"),
        ({"layout": "random"}, "layout must be 'scrambled' or 'fixed'; got 'random'"),
        ({"random_state": "seed"}, "'seed' cannot be used to seed"),
    ],
)
def test_values_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        make_profiles(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_compounds": 10.0}, "n_compounds must be an integer; got 10.0"),
        ({"n_plates": True}, "n_plates must be an integer; got True"),
        ({"signal": "strong"}, "signal must be a number; got 'strong'"),
        ({"inactive_fraction": None}, "inactive_fraction must be a number; got None"),
    ],
)
def test_values_of_the_wrong_kind(settings, message):
    with pytest.raises(TypeError, match=message):
        make_profiles(**settings)


def test_sorted_library_puts_mechanisms_on_their_own_plates():
    table = make_profiles(n_plates=8, n_replicates=2, allocation="by mechanism", random_state=3)
    treated = table[~is_control(table)]
    sets = treated.groupby("Metadata_pert_iname")["Metadata_Plate"].agg(frozenset)
    assert sets.map(len).eq(2).all()
    assert sets.nunique() == 4  # plates in pairs that share all their compounds
    of_mechanism = treated.groupby("Metadata_moa")["Metadata_Plate"].nunique()
    assert (of_mechanism > 2).sum() <= 3  # those at the border of two sets
    assert treated.groupby("Metadata_Plate").size().nunique() == 1
    spread = make_profiles(n_plates=8, n_replicates=2, random_state=3)
    assert spread[~is_control(spread)].groupby("Metadata_moa")["Metadata_Plate"].nunique().min() > 2


@pytest.mark.parametrize(("n_plates", "n_replicates"), [(4, 4), (5, 2), (4, None)])
def test_sorted_library_needs_whole_sets_of_plates(n_plates, n_replicates):
    with pytest.raises(ValueError, match=f"multiple of n_replicates.*n_plates={n_plates}"):
        make_profiles(n_plates=n_plates, n_replicates=n_replicates, allocation="by mechanism")
    with pytest.raises(ValueError, match="allocation must be"):
        make_profiles(allocation="sorted")
