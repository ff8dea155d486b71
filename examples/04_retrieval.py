"""Retrieval across modalities.

Which wells look as this molecule should make them look? Which molecule was in this well? The
encoders are trained on some plates and asked about the others: the molecules are known, the wells
are new. For molecules that are new as well, expect little from a few hundred training molecules;
``python -m cloome_sk.demo`` measures that too.

Run as it is on a simulated screen, or on public wells: ``python 04_retrieval.py --data
cell-injury``, with the environment variable ``CLOOME_SK_DATA`` naming the data folder.
"""

import argparse

import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from cloome_sk import CloomeEmbedder, CrossModalRetriever
from cloome_sk.datasets import load_cell_injury, make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.metrics import retrieval_metrics
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer, find_controls

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", choices=["simulated", "cell-injury"], default="simulated")
if parser.parse_args().data == "simulated":
    X = make_profiles(random_state=0)
    print("A SIMULATED screen: figures show how it works, not how well.")
else:
    X = load_cell_injury()

controls = find_controls(X)
X = ControlNormalizer().fit_transform(X)  # before splitting: it reads control wells only
X = X[~controls.mask].reset_index(drop=True)
split = GroupShuffleSplit(1, test_size=0.25, random_state=0)
seen, unseen = next(split.split(X, groups=X["Metadata_Plate"]))
embedder = CloomeEmbedder(
    phenotype=ProfileEncoder(hidden_sizes=(256,)),
    molecule=MoleculeEncoder(hidden_sizes=(256,), input_dropout=0.2),
    n_components=64,
    max_epochs=30,
    random_state=0,
).fit(X.iloc[seen])

# %%
# Molecule -> wells: the best well of each molecule, on plates that were not trained on.
wells = X.iloc[unseen].reset_index(drop=True)
wells = wells[np.isin(molecule_key(wells["Metadata_smiles"]), embedder.molecules_seen_)]
wells = wells.reset_index(drop=True)
columns = ["pert_iname", "plate", "well"]
one = wells.iloc[[0]]
to_wells = CrossModalRetriever(embedder, query="molecule", database="phenotype").fit(wells)
hits = to_wells.search(one["Metadata_smiles"], n_neighbors=3, group_by="molecule", columns=columns)
print(f"\nWells for the structure of {one['Metadata_pert_iname'].item()}, one a molecule:")
print(hits.drop(columns=["query", "index"]).round(3).to_string(index=False))

# %%
# Well -> molecules. A database of molecules is a table too; the query is a row of X.
library = X.drop_duplicates("Metadata_smiles")
to_molecules = CrossModalRetriever(embedder, query="phenotype", database="molecule").fit(library)
hits = to_molecules.search(one, n_neighbors=3, group_by="molecule", columns=["pert_iname"])
print(f"\nMolecules for a well of {one['Metadata_pert_iname'].item()}:")
print(hits.drop(columns=["query", "index"]).round(3).to_string(index=False))

# %%
# Well -> wells of other plates: `exclude` leaves out what shares the plate with the query, which
# is a fairer question than "what is alike", since wells of one plate always are.
replicates = CrossModalRetriever(embedder, query="phenotype", database="phenotype").fit(
    X.iloc[seen]
)
hits = replicates.search(
    X.iloc[seen[:1]], n_neighbors=3, group_by="molecule", exclude=("plate",), columns=columns
)
name, plate = X.loc[seen[0], ["Metadata_pert_iname", "Metadata_Plate"]]
print(f"\nWells on other plates alike to {name} on {plate}:")
print(hits.drop(columns=["query", "index"]).round(3).to_string(index=False))

# %%
# One search proves nothing. Over all wells of the unseen plates, beside chance; intervals resample
# molecules, because the wells of a molecule are not independent.
keys = molecule_key(wells["Metadata_smiles"])
distinct, first = np.unique(keys, return_index=True)
metrics = retrieval_metrics(
    embedder.embed_phenotypes(wells),
    embedder.embed_molecules(wells.iloc[first]),
    query_ids=keys,
    database_ids=distinct,
    interval="bootstrap",
    groups=keys,
    random_state=0,
)
print(
    f"\nThe molecule of a well on an unseen plate, {metrics['n_queries']:.0f} wells, "
    f"{metrics['n_candidates']:.0f} molecules to choose from:"
)
for k in (1, 5, 10):
    recall, low, high, chance = metrics[[f"R@{k}", f"R@{k}_low", f"R@{k}_high", f"chance@{k}"]]
    print(f"  among the first {k:<3} {recall:.3f} [{low:.3f}, {high:.3f}]   chance {chance:.3f}")
