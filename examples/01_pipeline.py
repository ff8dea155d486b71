"""An embedder in a pipeline.

A table goes in, one row a well: CellProfiler features, a SMILES column, metadata. The embedder
learns from the pairs in the rows, without labels; the classifier after it learns the labels. What
is scored are molecules that neither has seen.

The screen is simulated, so the figures show how it works, not how well.
"""

from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer, find_controls

X = make_profiles(random_state=0)
controls = find_controls(X)
print(f"A SIMULATED screen of {len(X)} wells. {controls}")

# %%
# Each plate is measured against its own control wells. This comes before any split: it looks at
# control wells only, never at a treated well or a label, and a split by molecule would leave most
# folds without any control.
X = ControlNormalizer().fit_transform(X)

# %%
# Controls have no mechanism to predict. All wells of a molecule go to one side.
X = X[~controls.mask].reset_index(drop=True)
y = X["Metadata_moa"]
molecules = molecule_key(X["Metadata_smiles"])
folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
train, test = next(folds.split(X, y, groups=molecules))

# %%
# Networks smaller than the paper's, which a screen of this size does not need.
pipeline = make_pipeline(
    CloomeEmbedder(
        phenotype=ProfileEncoder(hidden_sizes=(128,)),
        molecule=MoleculeEncoder(hidden_sizes=(128,)),
        n_components=64,
        random_state=0,
    ),
    LogisticRegression(max_iter=1000),
)
pipeline.fit(X.iloc[train], y.iloc[train])

# %%
# Chance is a classifier that knows the class frequencies and nothing else.
chance = DummyClassifier().fit(X.iloc[train], y.iloc[train])
n_molecules = len(set(molecules[test]))
print(f"Naming one of {y.nunique()} mechanisms for {n_molecules} molecules not seen in training")
print("(balanced accuracy over their wells, one split):")
for name, model in [("CLOOME + logistic regression", pipeline), ("chance", chance)]:
    accuracy = balanced_accuracy_score(y.iloc[test], model.predict(X.iloc[test]))
    print(f"  {name:<30}{accuracy:.3f}")
