"""What the studies ask of a trained model: whether it saw the molecules that it is tested on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from sklearn.base import clone

from cloome_sk._tables import shown
from cloome_sk.evaluation.units import leakage_row
from cloome_sk.model_selection._seen import knows_digests_only, molecules_seen, parts


def check_trained_before(name: str, model: Any, purpose: str) -> None:
    """Refuse a model with a trained part of which nobody can say what molecules it saw."""
    # Of a clone, whose only trained parts are those that no fold trains again.
    for part in parts(clone(model)):
        if knows_digests_only(part):
            raise ValueError(
                f"{purpose}: model {name!r} holds a {type(part).__name__} that was trained on "
                "precomputed molecule features and knows no structures, so it cannot be checked "
                "whether it saw the test molecules. Pass an embedder that is trained in each fold."
            )


def refuse_seen(fitted: Any, keys: Iterable[str], purpose: str) -> None:
    """Refuse a fitted model, any part of which says that it was trained on test molecules.

    The whole model is to be handed over, not the embedder inside: a frozen step of a `Pipeline`
    may have seen them, too.
    """
    tested = {str(key) for key in keys}
    seen = molecules_seen(fitted) & tested
    if seen:
        raise ValueError(
            f"{purpose}: {len(seen)} of the {len(tested)} test molecules were in the training of "
            f"this model ({shown(sorted(seen), 5)}), so nothing is shown about unseen molecules. "
            "Pass an embedder that is trained in each fold instead of a frozen one."
        )


def leakage_of(
    part: str,
    fold: int,
    train: pd.DataFrame,
    test: pd.DataFrame,
    claim: str | Sequence[str],
    *,
    fitted: Any = None,
    controls: Any = "auto",
) -> dict[str, Any]:
    """The leakage report of a fold (`leakage_row`), with what the fitted model says it has seen.

    Weights of a checkpoint come from molecules that nobody knows: a claim about molecules is then
    not shown to hold, and is not ok.
    """
    every = list(parts(fitted))
    learned = [inner for inner in every if hasattr(inner, "molecules_seen_")]
    started = [sha for inner in every if (sha := getattr(inner, "checkpoint_sha256_", None))]
    claims = (claim,) if isinstance(claim, str) else tuple(claim)
    unknown = bool(started) and "molecule" in claims
    # Without a structure to compare, what the model has seen is what its training table holds.
    silent = unknown or not learned or any(map(knows_digests_only, learned))
    row = leakage_row(
        part, fold, train, test, claims, embedder=None if silent else fitted, controls=controls
    )
    if unknown:
        row["ok"] = False
        row["sentences"] = (
            f"The model starts from weights of a checkpoint (SHA-256 {str(started[0])[:8]}...), "
            "and which molecules that was trained on is not known: the claim is not shown to hold."
            f"\n{row['sentences']}"
        )
    return row
