"""Cross-validation by molecule, beside simpler features.

Replicates of one molecule in the training and in the test part make any score look good, so folds
are split by molecule. An embedding is worth its training only if it beats what costs nothing: the
profile it was made from, and the fingerprint of the molecule.

Run as it is on a simulated screen, or on public wells: ``python 02_cross_val_score.py --data
cell-injury``, with the environment variable ``CLOOME_SK_DATA`` naming the data folder.
"""

import argparse
from tempfile import TemporaryDirectory

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import load_cell_injury, make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.molecules import molecule_key, morgan_fingerprints
from cloome_sk.preprocessing import ControlNormalizer, find_controls

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", choices=["simulated", "cell-injury"], default="simulated")
data = parser.parse_args().data
if data == "simulated":
    X, label = make_profiles(random_state=0), "Metadata_moa"
    print("A SIMULATED screen: figures show how it works, not how well.")
else:
    X, label = load_cell_injury(), "Metadata_injury_type"

controls = find_controls(X)
X = ControlNormalizer().fit_transform(X)  # before splitting: it reads control wells only
X = X[~controls.mask].reset_index(drop=True)
y = X[label]
molecules = molecule_key(X["Metadata_smiles"])
folds = GroupKFold(3, shuffle=True, random_state=0)
print(f"{len(X)} wells, {len(set(molecules))} molecules, {y.nunique()} classes ({label}).")

# %%
# Three kinds of features and chance, with the same classifier on the same folds. In the pipeline
# the embedder is trained anew in each fold, so no fold is scored by an embedder that saw its
# molecules.
profile = make_column_transformer(
    ("passthrough", make_column_selector("^(?:Cells|Cytoplasm|Nuclei)_"))
)
fingerprint = make_column_transformer((FunctionTransformer(morgan_fingerprints), "Metadata_smiles"))
embedder = CloomeEmbedder(
    phenotype=ProfileEncoder(hidden_sizes=(128,)),
    molecule=MoleculeEncoder(hidden_sizes=(128,)),
    n_components=64,
    max_epochs=30,
    random_state=0,
)
classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))


def show(name, model):
    """Print the accuracy of a model over the folds."""
    scores = cross_val_score(model, X, y, groups=molecules, cv=folds)
    print(f"  {name:<46}{scores.mean():.3f}   folds {scores.round(3)}")


print("Accuracy over the wells of molecules not seen in training:")
show("chance: any class", DummyClassifier(strategy="uniform", random_state=0))
show("chance: the most frequent class", DummyClassifier())
show("profile", make_pipeline(profile, classifier))
show("Morgan fingerprint", make_pipeline(fingerprint, classifier))
show("CLOOME, trained in each fold", make_pipeline(embedder, classifier))

# %%
# To try other classifiers without training again, give the pipeline a memory: a training is looked
# up by the parameters of the embedder and the rows of the fold. The scores stay honest.
with TemporaryDirectory() as cache:
    for C in (0.001, 0.01, 0.1):
        weaker = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
        show(f"CLOOME, trainings kept, C={C}", make_pipeline(embedder, weaker, memory=cache))

# %%
# One embedder fitted on all rows can be kept by freezing it: cross-validation clones what it is
# given, and a clone is not fitted. But this embedder has seen the molecules of every fold, their
# phenotypes and their structures, though not their labels. Such a score is *transductive*: it
# holds for a library that is complete, says nothing about the next molecule, and belongs beside
# the other with its name.
frozen = FrozenEstimator(embedder.fit(X))
show("CLOOME, saw the test molecules (transductive)", make_pipeline(frozen, classifier))
