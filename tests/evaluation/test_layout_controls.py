"""Controls by the plate map: they know what the layout tells, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from cloome_sk.datasets import make_profiles
from cloome_sk.evaluation.bioisosteres import study_bioisosteres
from cloome_sk.evaluation.layout_controls import layout_controls
from cloome_sk.evaluation.retrieval import study_retrieval

SORTED = {"n_plates": 8, "n_replicates": 2, "allocation": "by mechanism", "signal": 0.0}


@pytest.fixture(scope="module")
def by_mechanism():
    return make_profiles(**SORTED, random_state=0)


def test_what_is_made_depends_on_the_folds_and_on_the_columns(by_mechanism):
    for unseen_plates, place in ((False, "plate"), (True, "well position")):
        controls, lacking = layout_controls(by_mechanism, unseen_plates=unseen_plates)
        assert list(controls) == [place, "cell count"]
        assert lacking == []
    bare = by_mechanism.drop(columns=["Metadata_Plate", "Metadata_Well", "Metadata_Count_Cells"])
    for unseen_plates, place in ((False, "plate"), (True, "well position")):
        controls, (note,) = layout_controls(bare, unseen_plates=unseen_plates)
        assert controls == {}
        assert note == f"Left out, as the table has no column for it: {place}, cell count."


def test_a_plate_that_training_has_not_is_known(by_mechanism):
    (model, _) = layout_controls(by_mechanism, unseen_plates=False)[0].values()
    plates = by_mechanism["Metadata_Plate"]
    test = plates.isin(plates.unique()[:2])
    Z = model.fit(by_mechanism[~test]).embed_phenotypes(by_mechanism[test])
    first, second = (Z[plates[test] == plate] for plate in plates[test].unique())
    assert np.ptp(first, axis=0).max() == 0
    assert np.abs(first[0] - second[0]).max() > 0.1


def test_a_sorted_library_is_given_away_by_its_plates(by_mechanism):
    """Compounds do nothing, and stand beside those of their mechanism."""
    control = {"plate": layout_controls(by_mechanism, unseen_plates=False)[0]["plate"]}
    options = {"cv": 3, "n_bootstrap": 200, "random_state": 0}
    study = study_retrieval(by_mechanism, control, splits="molecule", n_draws=1, **options)
    ranks = study.scores[study.scores["metric"] == "relative rank"]
    assert (ranks["high"] < 0.4).all()
    found = study_bioisosteres(by_mechanism, control, shared="moa", n_permutations=99, **options)
    part = "shared moa, any other molecule"
    own = found.enrichment.set_index(["model", "part", "k", "matched"])
    assert own.loc[("plate", part, 5, "nothing"), "low"] > 1.5
    scrambled = make_profiles(**{**SORTED, "allocation": "spread"}, random_state=0)
    control = {"plate": layout_controls(scrambled, unseen_plates=False)[0]["plate"]}
    study = study_retrieval(scrambled, control, splits="molecule", n_draws=1, **options)
    ranks = study.scores[study.scores["metric"] == "relative rank"]
    assert (ranks["high"] > 0.45).all()
