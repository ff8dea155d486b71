"""Structures of BBBC021's compounds, against well-known InChIKeys and the mechanisms of the hub."""

from __future__ import annotations

import pandas as pd
import pytest

from cloome_sk.datasets import (
    join_bbbc021_structures,
    load_bbbc021_crops,
    load_bbbc021_profiles,
    load_repurposing_hub,
)
from cloome_sk.datasets.bbbc021_structures import HUB_NAMES
from cloome_sk.molecules import molecule_key

WELL_KNOWN = {
    "camptothecin": "VSJKWCGYPAHWDS",
    "chlorambucil": "JCKYGMPEJWAADB",
    "colchicine": "IAKHMKGGTNLKSZ",
    "methotrexate": "FBOZXECLQNJBKD",
    "mevinolin/lovastatin": "PCZOHLXUXFIOCF",
    "nocodazole": "KYRVNWMVYQXFEU",
    "simvastatin": "RYMZZMVNJRMUDD",
    "taxol": "RCINICONZNJXQF",
}
"""First blocks of the InChIKeys, as encyclopedias give them."""


@pytest.fixture(scope="module")
def joined(data_home):
    return join_bbbc021_structures(load_bbbc021_profiles(data_home), data_home)


def test_rows_and_their_order_stay(data_home, joined):
    wells = load_bbbc021_profiles(data_home)
    pd.testing.assert_frame_equal(joined.drop(columns="Metadata_smiles"), wells)


def test_well_known_molecules(joined):
    structures = joined.groupby("Metadata_compound")["Metadata_smiles"].first()
    assert structures.notna().sum() == 23
    keys = dict(zip(WELL_KNOWN, molecule_key(structures[list(WELL_KNOWN)].to_numpy()), strict=True))
    assert keys == WELL_KNOWN


def test_vehicle_and_company_names_have_none(joined):
    names = joined["Metadata_compound"]
    unknown = names.str.startswith("AZ") | (names == "DMSO")
    assert unknown.sum() > 300
    assert joined.loc[unknown, "Metadata_smiles"].isna().all()


def test_other_spellings_are_of_the_same_mechanism(data_home):
    """The hub's own words for what a compound does agree with those of BBBC021."""
    moa = load_repurposing_hub(data_home).groupby("pert_iname")["moa"].first()
    words = {
        "cycloheximide": "protein synthesis inhibitor",
        "epothilone-B": "microtubule",
        "lovastatin": "HMGCR inhibitor",
        "mitomycin-C": "DNA",
        "paclitaxel": "tubulin",
        "latrunculin-B": "actin",
    }
    assert set(words) <= set(HUB_NAMES.values())
    for name, word in words.items():
        assert word.lower() in str(moa[name]).lower(), (name, moa[name])


def test_crops_too(data_home):
    crops = join_bbbc021_structures(load_bbbc021_crops(data_home), data_home)
    assert crops["Metadata_smiles"].notna().any()


def test_another_table_is_refused(data_home):
    with pytest.raises(ValueError, match=r"no column 'Metadata_compound'.*'name'"):
        join_bbbc021_structures(pd.DataFrame({"name": ["taxol"]}), data_home)
