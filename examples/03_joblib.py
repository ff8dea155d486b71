"""Store, reload, search.

A fitted embedder is parameters and plain arrays. It opens on a machine without a GPU and without
the table it was trained on, and gives the same embeddings there, to the bit.

The screen is simulated; the molecules searched with and for were all trained on.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import numpy as np

from cloome_sk import CloomeEmbedder, CrossModalRetriever
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.preprocessing import ControlNormalizer

X = ControlNormalizer().fit_transform(make_profiles(random_state=0))
embedder = CloomeEmbedder(
    phenotype=ProfileEncoder(hidden_sizes=(128,)),
    molecule=MoleculeEncoder(hidden_sizes=(128,)),
    n_components=64,
    random_state=0,
).fit(X)

# %%
# Loading runs code that is in the file: open only what comes from someone you trust.
with TemporaryDirectory() as folder:
    path = Path(folder) / "embedder.joblib"
    joblib.dump(embedder, path)
    print(f"Stored {path.stat().st_size / 1e6:.1f} MB.")
    again = joblib.load(path)

same = np.array_equal(again.transform(X), embedder.transform(X))
print(f"Embeddings of {len(X)} SIMULATED wells after reloading identical: {same}")

# %%
# The loaded embedder searches like the fitted one. Control wells are left out by themselves.
retriever = CrossModalRetriever(again, query="molecule", database="phenotype").fit(X)
colchicine = "COc1cc2CC[C@H](NC(C)=O)c3cc(=O)c(OC)ccc3-c2c(OC)c1OC"
hits = retriever.search([colchicine], n_neighbors=5, columns=["pert_iname", "moa", "plate", "well"])
print(f"The SIMULATED wells that fit colchicine best, of {len(retriever.candidates_)}:")
print(hits.drop(columns=["query", "index"]).round(3).to_string(index=False))
