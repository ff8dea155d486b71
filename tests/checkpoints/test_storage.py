"""An embedder of published weights, saved and loaded as a folder."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import ImageEncoder
from cloome_sk.storage import load_embedder, save_embedder

CHANNELS = ("Mito", "ER", "RNA", "AGP", "DNA")


def test_published_weights_are_stored_without_their_file(published_file, tmp_path):
    settings = {"pooling": "adaptive", "crop": None, "evaluation": "full"}
    embedder = CloomeEmbedder.from_checkpoint(
        published_file, phenotype=ImageEncoder.published(**settings)
    )
    save_embedder(embedder, tmp_path / "model")
    again = load_embedder(tmp_path / "model", CloomeEmbedder)
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {f"Image_{name}": list(rng.integers(0, 4000, (2, 40, 40), np.uint16)) for name in CHANNELS}
    )
    np.testing.assert_array_equal(embedder.transform(X), again.transform(X))
    np.testing.assert_array_equal(embedder.embed_molecules(["CCO"]), again.embed_molecules(["CCO"]))
    assert again.checkpoint == published_file
    assert type(again.checkpoint) is type(published_file)
    assert again.checkpoint_sha256_ == embedder.checkpoint_sha256_
    assert again.history_.empty
    assert not len(again.molecules_seen_)
    card = (tmp_path / "model" / "README.md").read_text()
    assert embedder.checkpoint_sha256_ in card
    assert "Which molecules the published weights were trained on is not known" in card
    assert str(published_file) not in card
