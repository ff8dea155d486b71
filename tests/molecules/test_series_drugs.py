"""Known classes of drugs come back as series when other drugs are mixed in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from cloome_sk.molecules import ChemicalSeries, invalid_smiles, molecule_key, parent_smiles

# What a textbook calls these classes; steroids by their four rings, whatever bonds are in them.
CLASSES = {
    "fluoroquinolones": "Fc1cc2c(=O)c(C(=O)[O,N])cn(*)c2[c,n]c1",
    "penicillins": "O=C1N2C(C(=O)O)C(C)(C)SC2C1N",
    "cephalosporins": "O=C1N2C(C(=O)O)=CCSC2C1N",
    "steroids": "[#6]1~[#6]~[#6]~[#6]2~[#6](~[#6]~1)~[#6]~[#6]~[#6]1~[#6]~2~[#6]~[#6]~[#6]2~[#6]"
    "~[#6]~[#6]~[#6]~1~2",
    "phenothiazines": "c1ccc2c(c1)Sc1ccccc1N2",
}


@pytest.fixture(scope="module")
def drugs(data_home):
    """Distinct drugs of the repurposing hub, and which class each belongs to."""
    path = data_home / "labels" / "repurposing_samples_20200324.txt.gz"
    table = pd.read_csv(path, sep="\t", comment="!", encoding="latin1", usecols=["smiles"])
    table = table.dropna()
    table = table.drop(table.index[list(invalid_smiles(table["smiles"]))])
    table = table[~pd.Series(molecule_key(table["smiles"]), index=table.index).duplicated()]
    molecules = [Chem.MolFromSmiles(text) for text in parent_smiles(table["smiles"])]
    for name, smarts in CLASSES.items():
        query = Chem.MolFromSmarts(smarts)
        table[name] = [molecule.HasSubstructMatch(query) for molecule in molecules]
    return table


@pytest.mark.real_data
@pytest.mark.slow
def test_classes_come_back_among_a_thousand_other_drugs(drugs):
    known = drugs[list(CLASSES)].any(axis=1)
    assert drugs[list(CLASSES)].sum().min() >= 20
    others = drugs[~known].sample(1000, random_state=20200324)
    mixed = pd.concat([drugs[known], others]).sample(frac=1, random_state=0)
    members = ChemicalSeries().fit_transform(mixed["smiles"]).toarray()
    best = {}
    for name in CLASSES:
        own = mixed[name].to_numpy()
        shared = (members & own[:, None]).sum(axis=0)
        best[name] = np.max(2 * shared / (members.sum(axis=0) + own.sum()))
    assert min(best.values()) >= 0.7, best
