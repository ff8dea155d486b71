"""One method of a transfer study: trained on the source, asked on both sides."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cloome_sk._tables import row_name, shown
from cloome_sk.baselines._fitted import embeds, phenotype_function
from cloome_sk.evaluation._training_seen import leakage_of, refuse_seen
from cloome_sk.evaluation._transfer_scores import NEW, SOURCE, Plan, score_layout, score_units
from cloome_sk.evaluation._transfer_tables import PURPOSE, Lab
from cloome_sk.model_selection._seen import frozen_parts, parts


@dataclass(frozen=True)
class Outcome:
    """What came of one method."""

    units: pd.DataFrame
    layout: list[dict[str, Any]]
    fit: dict[str, Any]
    leaks: list[dict[str, Any]]
    notes: list[str]


@dataclass(frozen=True)
class Bench:
    """What every method starts from."""

    plan: Plan
    alignments: tuple[str, ...]
    well: str | None
    controls: Any

    def run(self, name: str, method: Any) -> Outcome:
        """Train on the source's training rows and controls, embed both tables, score."""
        plan = self.plan
        kept = ~pd.Series(plan.source.molecules).isin(plan.split.held_out).to_numpy()
        train = plan.source.table[kept]
        start = time.perf_counter()
        fitted = clone(method).fit(train)
        seconds = time.perf_counter() - start
        tested = {key for part in (SOURCE, NEW) for key in self._keys(part) or ()}
        refuse_seen(fitted, tested, f"{PURPOSE}, method {name!r}")
        vectors = {lab.name: embedded(name, fitted, lab) for lab in (plan.source, plan.target)}
        layout = [
            {"model": name, **row}
            for lab in (plan.source, plan.target)
            for row in score_layout(vectors[lab.name], lab, self.well, self.alignments)
        ]
        updates, rows = n_updates(fitted)
        fit = {"model": name, "seconds": seconds, "updates": updates, "rows": rows}
        return Outcome(
            score_units(vectors, plan, name, self.alignments),
            layout,
            {**fit, "components": vectors["source"].shape[1]},
            self._leaks(name, fitted, train),
            [f"{name}: {note}" for note in getattr(fitted, "notes_", ())],
        )

    def _keys(self, part: str) -> set[str] | None:
        """Structures of a part; None where they are not all known."""
        keys = self.plan.lab(part).keys
        if keys is None or part not in self.plan.rows:
            return None
        return set(keys[self.plan.rows[part]])

    def _leaks(self, name: str, fitted: Any, train: pd.DataFrame) -> list[dict[str, Any]]:
        """Whether the molecules of each part are new to this fit."""
        out = []
        for part in (SOURCE, NEW):
            if part not in self.plan.rows:
                continue
            test = self.plan.lab(part).table.iloc[self.plan.rows[part]]
            if all(lab.keys is not None for lab in (self.plan.source, self.plan.lab(part))):
                row = leakage_of(
                    part, 0, train, test, "molecule", fitted=fitted, controls=self.controls
                )
                out.append({**row, "fold": name})
                continue
            # By name the parts are disjoint by construction: all that can be told is whether
            # something was trained elsewhere, on who knows what.
            before = trained_elsewhere(fitted)
            said = "No molecule of training, by name, is in the test set; structures are not known."
            if before:
                said = f"{shown(before, 3)} was trained before this study, on unknown molecules."
            row = {"part": part, "fold": name, "claim": "molecule", "ok": not before}
            out.append({**row, "sentences": said})
        return out


def trained_elsewhere(fitted: Any) -> list[str]:
    """Names of the parts of a model that its `fit` did not train, or not from scratch."""
    frozen = [
        type(part).__name__
        for part in frozen_parts(fitted)
        if any(name.endswith("_") and not name.startswith("_") for name in vars(part))
    ]
    started = [
        type(part).__name__ for part in parts(fitted) if getattr(part, "checkpoint_sha256_", None)
    ]
    return list(dict.fromkeys([*frozen, *started]))


def embedded(name: str, fitted: Any, lab: Lab) -> np.ndarray:
    """Embeddings of all rows of a table, none of which may be missing."""
    embed = phenotype_function(fitted) if embeds(fitted, "phenotype") else fitted.transform
    vectors = np.asarray(embed(lab.table), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(lab.table):
        raise ValueError(
            f"{PURPOSE}: method {name!r} gives an array of shape {vectors.shape} for the "
            f"{len(lab.table)} rows of the {lab.name}; it must be (n_rows, n_components)."
        )
    missing = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(missing):
        raise ValueError(
            f"{PURPOSE}: method {name!r} has no embedding for {len(missing)} row(s) of the "
            f"{lab.name}, first {row_name(lab.table, int(missing[0]))}. Drop those rows from the "
            "table, so that all methods answer for the same."
        )
    return vectors


def n_updates(fitted: Any) -> tuple[float, float]:
    """Count the updates of a fit, and the rows it was trained on, as far as it says so.

    Parameters
    ----------
    fitted : estimator
        Fitted; the part that was trained may be inside, as an attribute that ends in ``_``.

    Returns
    -------
    tuple of float
        Updates and rows; NaN where nothing says them, as for what is trained in one step.

    Examples
    --------
    >>> from cloome_sk.evaluation._transfer_fit import n_updates
    >>> from sklearn.preprocessing import StandardScaler
    >>> n_updates(StandardScaler().fit([[0.0], [1.0]]))
    (nan, nan)
    """
    steps = [step for _, step in getattr(fitted, "steps", [])]
    inside = [v for k, v in vars(fitted).items() if k.endswith("_") and hasattr(v, "get_params")]
    rows = getattr(fitted, "n_pairs_", getattr(fitted, "n_trained_", None))
    if rows is not None and hasattr(fitted, "max_epochs"):
        return float(len(fitted.history_) * -(-rows // fitted.batch_size)), float(rows)
    for part in (*steps, *inside):
        found = n_updates(part)
        if not np.isnan(found[0]):
            return found
    return np.nan, np.nan
