"""Which trainings are the same: by parameters, the kinds of encoders, and the content of files."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from cloome_sk import CloomeEmbedder
from cloome_sk._identity import hashed, training_name
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder, ProfileEncoder


class OtherProfileEncoder(ProfileEncoder):
    """The same parameters, perhaps another network."""


def name(phenotype="auto", molecule=None, checkpoint=None, **changes):
    embedder = CloomeEmbedder(phenotype, molecule, **changes)
    return training_name(embedder, 0, {"training": None}, checkpoint=checkpoint)


def test_encoders_of_equal_parameters_are_told_apart():
    bags = [
        BagEncoder(encoder(), group_by="well") for encoder in (ProfileEncoder, OtherProfileEncoder)
    ]
    assert bags[0].get_params(deep=True).keys() == bags[1].get_params(deep=True).keys()
    assert name(bags[0]) != name(bags[1])
    assert name(ProfileEncoder()) != name(OtherProfileEncoder())
    assert name(BagEncoder(ProfileEncoder())) == name(BagEncoder(ProfileEncoder()))


def test_features_of_molecules_are_told_apart_by_their_kind():
    from sklearn.feature_extraction.text import CountVectorizer

    class Other(CountVectorizer):
        pass

    one, other = (MoleculeEncoder(features=kind()) for kind in (CountVectorizer, Other))
    assert name(molecule=one) != name(molecule=other)


def test_a_checkpoint_is_known_by_its_content_alone():
    assert name(checkpoint="aa") != name(checkpoint="bb")
    moved = [CloomeEmbedder(checkpoint=path) for path in ("here.pt", "there/renamed.pt")]
    names = {training_name(embedder, 0, {}, checkpoint="aa") for embedder in moved}
    assert len(names) == 1


def test_weights_of_an_encoder_are_known_by_their_content(tmp_path):
    here, there = tmp_path / "here.pth", tmp_path / "there.pth"
    here.write_bytes(b"weights")
    there.write_bytes(b"weights")
    before = name(ImageEncoder(weights=here))
    assert before == name(ImageEncoder(weights=str(there)))
    here.write_bytes(b"others!")
    assert before != name(ImageEncoder(weights=here))
    # A word that is no file, such as the parameter `weights` of a user's own encoder.
    assert name(ImageEncoder(weights="uniform")) != name(ImageEncoder(weights="distance"))


@pytest.mark.parametrize(
    ("parameter", "value", "same"),
    [("n_jobs", 2, True), ("cache", None, True), ("size", 64, False), ("crop", 32, False)],
)
def test_what_changes_nothing_that_is_learned(parameter, value, same):
    encoder = ImageEncoder().set_params(**{parameter: value})
    assert (name(encoder) == name(ImageEncoder())) is same


def test_a_clone_is_the_same_training():
    """As in a pipeline; what the original shares between two places, the copy may not."""
    plates = pd.DataFrame({"plate": ["P1", "P2"], "low": [1.0, np.nan], "n": [1, 2]})
    encoder = ImageEncoder.published(plate_table=plates, preprocess=lambda images: images)
    assert name(clone(encoder)) == name(encoder)
    plates = plates.assign(low=[1.0, 2.0])
    assert name(clone(encoder).set_params(plate_table=plates)) != name(encoder)


@pytest.mark.parametrize(
    "value",
    [
        (np.arange(3.0),) * 2,
        {"a": (1, (2, [3])), "b": np.float32(0.5)},
        pd.DataFrame({"a": ["x", None], "b": [[1], [2]]}, index=["r", "s"]),
        [pd.Timestamp("2020-01-01")] * 2,
    ],
)
def test_copies_have_the_same_name(value):
    assert hashed(copy.deepcopy(value)) == hashed(value)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ([1, 2], (1, 2), True),
        ((np.float64(0.1),), [0.1], True),
        (np.int64(3), 3, True),
        ((1, 2), (2, 1), False),
        ("1", 1, False),
        ({"a": [1]}, {"a": [2]}, False),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), False),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}, index=[7]), False),
    ],
)
def test_equal_values_have_equal_names(one, other, equal):
    assert (hashed(one) == hashed(other)) is equal
