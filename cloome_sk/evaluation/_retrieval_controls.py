"""What stands beside the embedder of a screen in retrieval, and what is to be said of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from cloome_sk.baselines import ShuffledPairs, default_controls
from cloome_sk.baselines._fitted import embeds
from cloome_sk.evaluation._retrieval_splits import Split
from cloome_sk.evaluation.controls import MODEL, WITHIN
from cloome_sk.evaluation.layout_controls import layout_controls
from cloome_sk.evaluation.screens import Screen


def models_of(
    screen: Screen, embedder: Any, split: Split, random_state: int
) -> tuple[dict[str, Any], list[str]]:
    """The embedder and its controls, those that embed both modalities; what could not be made."""
    by_plate = split.name == "plate"
    made: dict[str, Any] = {
        MODEL: embedder,
        **default_controls(
            "unseen_plates" if by_plate else "unseen_molecules",
            embedder=embedder,
            within=None if by_plate else WITHIN,
            columns=screen.features,
            random_state=random_state,
        ),
    }
    both = {
        name.replace("profile", screen.feature_name): model
        for name, model in made.items()
        if embeds(model, "phenotype") and embeds(model, "molecule")
    }
    places, lacking = layout_controls(screen.table, unseen_plates=by_plate)
    return {**both, **places}, [f"Folds by {split.name}: {note}" for note in lacking]


def share_moved(control: ShuffledPairs, split: Split) -> float:
    """Mean over the folds of the share of training wells that are in wrong pairs."""
    bench = split.bench
    return float(
        np.mean([control.share_moved(bench.training_table(train)) for train, _ in bench.folds])
    )


def about(screen: Screen, splits: list[str]) -> list[str]:
    """What the rows and the controls of a screen are."""
    said = []
    if screen.name.startswith("simulated"):
        said.append("A SIMULATED screen: figures show how the study works, not how well a model.")
    said.append(
        f"{screen.name}: a row is a {screen.unit}; the {screen.feature_name} that controls read "
        f"{'are' if screen.has_images else 'is'} normalised and sphered by the negative controls."
    )
    if splits:
        said.append(
            f"{', '.join(map(repr, splits))}: a Tanimoto-kernel average whose phenotype is that "
            "alone. What it retrieves, the layout of the plates or toxicity gives away."
        )
    return said
