"""Classes without a classifier.

A class is the mean of a few reference wells, as in the CLOOME paper; or of the structures that are
known to belong to it, of which not one image need ever have been taken. No classifier is trained.
All references are from training molecules, all queries are wells of molecules the embedder has not
seen.

Run as it is on a simulated screen, or on public wells: ``python 05_zero_shot.py --data
cell-injury``, with the environment variable ``CLOOME_SK_DATA`` naming the data folder.
"""

import argparse

from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold

from cloome_sk import CloomeEmbedder, ZeroShotMoAClassifier
from cloome_sk.datasets import load_cell_injury, make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer, find_controls

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", choices=["simulated", "cell-injury"], default="simulated")
if parser.parse_args().data == "simulated":
    X, label = make_profiles(random_state=0), "Metadata_moa"
    print("A SIMULATED screen: figures show how it works, not how well.")
else:
    X, label = load_cell_injury(), "Metadata_injury_type"

controls = find_controls(X)
X = ControlNormalizer().fit_transform(X)  # before splitting: it reads control wells only
X = X[~controls.mask]
# Classes of fewer than three molecules cannot be split.
X = X[X[label].map(X.groupby(label)["Metadata_smiles"].nunique()) >= 3].reset_index(drop=True)
molecules = molecule_key(X["Metadata_smiles"])

# %%
folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
train, test = next(folds.split(X, X[label], groups=molecules))
known, new = X.iloc[train], X.iloc[test]
embedder = CloomeEmbedder(
    phenotype=ProfileEncoder(hidden_sizes=(128,)),
    molecule=MoleculeEncoder(hidden_sizes=(128,)),
    n_components=64,
    max_epochs=40,
    random_state=0,
).fit(known)

# %%
# Five wells a class, or each structure of the class once.
wells = known.groupby(label).sample(5, random_state=0)
structures = known.drop_duplicates("Metadata_smiles")
profiles = list(X.filter(regex="^(Cells|Cytoplasm|Nuclei)_"))
by_profile = ZeroShotMoAClassifier().fit(wells[profiles], wells[label])
by_wells = ZeroShotMoAClassifier(embedder).fit(wells, wells[label])
by_structures = ZeroShotMoAClassifier(embedder, reference="molecule").fit(
    structures, structures[label]
)

print(
    f"One of {X[label].nunique()} classes for {len(new)} wells of "
    f"{len(set(molecules[test]))} molecules not seen in training (balanced accuracy, one split):"
)
for name, classifier, queries in [
    ("5 wells a class, plain profiles", by_profile, new[profiles]),
    ("5 wells a class, CLOOME", by_wells, new),
    ("structures alone, CLOOME", by_structures, new),
]:
    accuracy = balanced_accuracy_score(new[label], classifier.predict(queries))
    print(f"  {name:<34}{accuracy:.3f}   chance {1 / X[label].nunique():.3f}")

# %%
# The best three classes of a well. Probabilities rank the classes; they are not calibrated.
print(f"\nA well of {new['Metadata_pert_iname'].iloc[0]} ({new[label].iloc[0]}) may be:")
print("  " + ", ".join(by_wells.top_k(new.iloc[[0]], k=3)[0]))
