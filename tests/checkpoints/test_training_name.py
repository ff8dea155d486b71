"""Trainings that begin with a file: the folder of their states goes with its content."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import ImageEncoder

CHANNELS = ("Mito", "ER", "RNA", "AGP", "DNA")


class StoppedError(Exception):
    """Before training."""


@pytest.fixture
def sites():
    images = np.random.default_rng(0).integers(0, 2000, (4, 5, 40, 40)).astype(np.uint16)
    columns = {f"Image_{name}": list(images[:, place]) for place, name in enumerate(CHANNELS)}
    return pd.DataFrame({**columns, "Metadata_SMILES": ["CCO", "CCN", "CCC", "CCCl"]})


def test_a_changed_file_is_another_training_and_a_moved_one_the_same(
    published_file, sites, tmp_path, monkeypatch
):
    folders = []

    def stopped(*arguments):
        folders.append(arguments[5].snapshots.folder)
        raise StoppedError

    monkeypatch.setattr("cloome_sk.training.train_pairs", stopped)

    def folder(path):
        embedder = CloomeEmbedder(
            ImageEncoder.published(pooling="adaptive", crop=None, evaluation="full"),
            checkpoint=path,
            trainable="molecule",
            checkpoint_dir=tmp_path / "states",
            random_state=0,
        )
        with pytest.raises(StoppedError):
            embedder.fit(sites, resume=True)
        return folders[-1]

    path = tmp_path / "weights.pt"
    shutil.copy(published_file, path)
    first = folder(path)
    moved = path.rename(tmp_path / "moved.pt")
    assert folder(moved) == first
    content = torch.load(moved)
    content["state_dict"]["module.visual.fc.bias"][0] += 1
    torch.save(content, path)
    assert folder(path) != first


def test_a_warm_start_does_not_ignore_another_file(published_file, sites, tmp_path):
    embedder = CloomeEmbedder.from_checkpoint(
        published_file,
        phenotype=ImageEncoder.published(pooling="adaptive", crop=None, evaluation="full"),
        trainable="molecule",
        warm_start=True,
        max_epochs=1,
        random_state=0,
    )
    began = embedder.checkpoint_sha256_
    state = embedder.state_
    embedder.fit(sites)
    assert embedder.checkpoint_sha256_ == began
    assert (embedder.state_["molecule.layers.0.weight"] != state["molecule.layers.0.weight"]).any()
    content = torch.load(published_file)
    content["state_dict"]["module.visual.fc.bias"][0] += 1
    torch.save(content, tmp_path / "other.pt")
    embedder.set_params(checkpoint=tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other.pt' is not what that one began with"):
        embedder.fit(sites)
