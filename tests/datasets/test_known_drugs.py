from __future__ import annotations

import pandas as pd
import pytest
from rdkit import Chem

from cloome_sk.datasets import load_known_drugs, load_repurposing_hub
from cloome_sk.molecules import molecule_key

# Controlled substances, which the Repurposing Hub leaves out: InChIKeys as in PubChem.
NOT_IN_HUB = {
    "diazepam": "AAOVKJBEBIDNHE",
    "alprazolam": "VREFGVBLTWBCJP",
    "lorazepam": "DIWRORZWFLOCLC",
    "clonazepam": "DGBIGWXXNGSACT",
    "oxazepam": "ADIMAYPTOBDMTL",
    "temazepam": "SEQDDYPDSLOBDC",
    "triazolam": "JOFWLTCLBGQGBO",
    "midazolam": "DDLIGBOFAVUZHB",
}
NAMED_OTHERWISE = {
    "atenolol": "atenolol-(+/-)",
    "flurbiprofen": "flurbiprofen-(+/-)",
    "seliciclib": "roscovitine",
}


def _keys(drugs):
    return {
        name: Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))[:14]
        for name, smiles in zip(drugs["name"], drugs["smiles"], strict=True)
    }


def test_shape_of_the_table():
    drugs = load_known_drugs()
    assert drugs.columns.tolist() == ["name", "smiles", "moa", "target"]
    assert not drugs.isna().any(axis=None)
    assert drugs["name"].is_unique
    assert len(drugs) == 120
    assert drugs["moa"].value_counts().between(4, 8).all()
    assert drugs["moa"].nunique() == 18
    assert (drugs.groupby("moa")["target"].nunique() == 1).all()


def test_every_structure_is_another_molecule():
    drugs = load_known_drugs()
    # Stereoisomers count as one molecule in the package, so no two may be among the drugs.
    assert len(set(_keys(drugs).values())) == len(drugs)
    assert molecule_key(drugs["smiles"]).tolist() == list(_keys(drugs).values())
    for smiles in drugs["smiles"]:
        assert Chem.DetectChemistryProblems(Chem.MolFromSmiles(smiles)) == ()
        assert "." not in smiles


@pytest.mark.real_data
def test_structures_are_those_of_the_repurposing_hub(data_home):
    hub = load_repurposing_hub(data_home)
    hub["key"] = hub["InChIKey"].str[:14]
    known = hub.groupby(hub["pert_iname"].str.lower())["key"].agg(set)
    for name, key in _keys(load_known_drugs()).items():
        if name in NOT_IN_HUB:
            assert key == NOT_IN_HUB[name]
        else:
            listed = NAMED_OTHERWISE.get(name, name).lower().replace(" ", "-")
            assert key in known[listed], name


@pytest.mark.real_data
def test_mechanisms_agree_with_the_repurposing_hub(data_home):
    drugs = load_known_drugs()
    hub = load_repurposing_hub(data_home).drop_duplicates("pert_iname")
    words = {
        "HMGCR inhibitor": "HMGCR inhibitor",
        "beta adrenergic receptor antagonist": "adrenergic receptor antagonist",
        "tubulin polymerization inhibitor": "tubulin|microtubule",
        "microtubule stabilizing agent": "tubulin|microtubule",
        "HDAC inhibitor": "HDAC inhibitor",
        "bacterial DNA gyrase inhibitor": "bacterial DNA gyrase inhibitor",
        "glucocorticoid receptor agonist": "glucocorticoid receptor agonist",
        "EGFR inhibitor": "EGFR inhibitor",
        "topoisomerase I inhibitor": "topoisomerase inhibitor",
        "topoisomerase II inhibitor": "topoisomerase inhibitor",
        "dihydrofolate reductase inhibitor": "dihydrofolate reductase inhibitor",
        "cyclooxygenase inhibitor": "cyclooxygenase inhibitor",
        "calcium channel blocker": "calcium channel blocker",
        "CDK inhibitor": "CDK inhibitor",
        "proteasome inhibitor": "proteasome inhibitor",
        "dopamine receptor antagonist": "dopamine receptor antagonist",
        "monoamine reuptake inhibitor": "reuptake|reputake|transporter|tricyclic|histamine",
    }
    assert set(drugs["moa"]) - set(words) == {"GABA receptor modulator"}
    listed = hub.set_index(hub["pert_iname"].str.lower())["moa"]
    checked = 0
    for name, moa in zip(drugs["name"], drugs["moa"], strict=True):
        if name in NOT_IN_HUB:
            continue
        entry = pd.Series([listed[NAMED_OTHERWISE.get(name, name).lower().replace(" ", "-")]])
        assert entry.str.contains(words[moa]).all(), (name, moa, entry[0])
        checked += 1
    assert checked == 112
