"""Write the stored embedder beside this file, as the release at hand stores it.

    python tests/storage/files/make.py

The files are of the first release and stay as they are, so that later ones go on reading them.
Whoever changes the format adds a folder for it, and leaves this one alone.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.storage import save_embedder

HERE = Path(__file__).parent
FOLDER = HERE / "format_1"
SMILES = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "CCCl", "OCCO"]


def table() -> pd.DataFrame:
    """Wells of six compounds and DMSO on two plates."""
    rng = np.random.default_rng(0)
    structures = (["CS(C)=O", *SMILES]) * 4
    columns = {f"Cells_Feature_{place}": rng.normal(size=28).round(3) for place in range(6)}
    return pd.DataFrame(
        {
            **columns,
            "Metadata_Plate": np.repeat(["P1", "P2"], 14),
            "Metadata_SMILES": structures,
            "Metadata_control_type": ["negcon" if s == "CS(C)=O" else "trt" for s in structures],
        }
    )


def main() -> None:
    X = table()
    embedder = CloomeEmbedder(
        ProfileEncoder(hidden_sizes=(8,)),
        MoleculeEncoder(n_bits=64, radius=2, hidden_sizes=[8]),
        n_components=4,
        max_epochs=3,
        batch_size=16,
        device="cpu",
        random_state=0,
    ).fit(X)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    save_embedder(embedder, FOLDER / "embedder", metrics={"recall@1": 0.25, "split": "none"})
    joblib.dump(embedder, FOLDER / "embedder.pkl", compress=3)
    known = {
        "table": X.to_dict(orient="list"),
        "smiles": SMILES,
        "transform": embedder.transform(X).tolist(),
        "embed_molecules": embedder.embed_molecules(SMILES).tolist(),
        "molecules_seen": embedder.molecules_seen_.tolist(),
        "n_pairs": embedder.n_pairs_,
        "controls": str(embedder.controls_),
        "history": embedder.history_.to_dict(orient="list"),
        "inv_tau": embedder.inv_tau_,
    }
    text = json.dumps(known, indent=1)
    (FOLDER / "expected.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
