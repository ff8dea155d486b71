"""What one embedding scores on each side of a transfer study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_random_state

from cloome_sk._tables import match_column
from cloome_sk.baselines import layout_test
from cloome_sk.baselines.well_features import well_positions
from cloome_sk.evaluation._transfer_align import TITLES, align
from cloome_sk.evaluation._transfer_probes import (
    Answers,
    Probe,
    Rows,
    mean_answers,
    neighbors,
    per_molecule,
    prototypes,
)
from cloome_sk.evaluation._transfer_tables import (
    FEWEST_MOLECULES,
    PURPOSE,
    Lab,
    Split,
    asked_classes,
)
from cloome_sk.evaluation.units import UNITS
from cloome_sk.metrics import profile_average_precision

SOURCE, NEW, SEEN = (
    "source, held-out molecules",
    "target, new molecules",
    "target, seen in source",
)
PARTS = (SOURCE, NEW, SEEN)
OTHER_PLATES = ", other plates"
PROBE, NEIGHBORS, ZERO_SHOT = "linear probe", "k-NN", "zero-shot"
CARRIED, CARRIED_NEIGHBORS = "source's probe", "source's k-NN"
REPLICATES = "replicate mAP"
METRICS = (
    *(PROBE, PROBE + OTHER_PLATES, NEIGHBORS, NEIGHBORS + OTHER_PLATES),
    *(ZERO_SHOT, CARRIED, CARRIED_NEIGHBORS, REPLICATES),
)
PLATE_FOLDS = 3
"""Parts that plates are dealt to, on top of the folds of molecules."""
MOST_DEALS = 10
"""How often molecules of the larger side are dealt, at the most."""


@dataclass(frozen=True)
class Plan:
    """What is asked, the same for all methods.

    Attributes
    ----------
    source, target : Lab
        The tables.
    split : Split
        Molecules held out, trained on, and their folds.
    rows : dict of str to ndarray of intp
        Treated rows of each part that has any.
    classes : dict of str to list
        Classes asked for in each part.
    zero_shot : dict of str to list
        Classes asked for from references in each part.
    deals : dict of str to list of set of str
        Molecules of each part that learn from each other: all of them, or, where the other side
        has fewer of a class, as many as there, in turn.
    carried : list
        Classes asked for of what was learned on the source.
    molecules : list of str
        All molecules.
    draws : ndarray of int, shape (n_draws, n_molecules)
        Order of the molecules as references.
    references, n_neighbors : int
        Reference molecules of a class, and neighbours.
    """

    source: Lab
    target: Lab
    split: Split
    rows: dict[str, np.ndarray]
    classes: dict[str, list[Any]]
    zero_shot: dict[str, list[Any]]
    deals: dict[str, list[set[str]]]
    carried: list[Any]
    molecules: list[str]
    draws: np.ndarray
    references: int
    n_neighbors: int

    @property
    def same_classes(self) -> bool:
        """Whether both sides are asked for the same classes, so that a drop has a meaning."""
        both = self.classes.get(SOURCE), self.classes.get(NEW)
        return both[0] == both[1] and bool(both[0])

    def lab(self, part: str) -> Lab:
        """The table that a part is of."""
        return self.source if part == SOURCE else self.target


def make_plan(
    source: Lab,
    target: Lab,
    split: Split,
    *,
    references: int,
    n_neighbors: int,
    n_draws: int,
    random_state: Any,
) -> Plan:
    """Find rows and classes of each part.

    Where source and target have two classes or more in common, both are asked for these alone:
    other classes would make another task of it.
    """
    of_target = set(target.class_of())
    rows = {
        SOURCE: source.rows_of(split.held_out),
        NEW: target.rows_of(of_target - split.trained),
        SEEN: target.rows_of(of_target & split.trained),
    }
    rows = {part: found for part, found in rows.items() if len(found)}
    labs = {SOURCE: source, NEW: target, SEEN: target}
    classes = {
        part: asked_classes(labs[part].classes[r], labs[part].molecules[r], FEWEST_MOLECULES)
        for part, r in rows.items()
    }
    common = [name for name in classes.get(SOURCE, []) if name in classes.get(NEW, [])]
    if len(common) > 1:
        classes = {part: [n for n in own if n in common] for part, own in classes.items()}
    carried = common
    if len(common) < 2:
        asked = rows.get(NEW, np.array([], dtype=np.intp))
        there = set(asked_classes(target.classes[asked], target.molecules[asked], 1))
        carried = [n for n in asked_classes(source.classes, source.molecules, 1) if n in there]
    molecules = sorted(set(source.class_of()) | of_target)
    generator = check_random_state(random_state)
    draws = np.stack([generator.permutation(len(molecules)) for _ in range(n_draws)])
    members = {
        part: _members(labs[part], r, classes[part], split, generator) for part, r in rows.items()
    }
    zero_shot = {
        part: [name for name in own if len(own[name]) > references] for part, own in members.items()
    }
    deals = {part: [set().union(*own.values())] for part, own in members.items()}
    sides = [part for part in (SOURCE, NEW) if part in rows]
    if len(sides) == 2 and classes[NEW] and classes[SOURCE] == classes[NEW]:
        fewest = {name: min(len(members[part][name]) for part in sides) for name in classes[NEW]}
        for part in sides:
            zero_shot[part] = [name for name in classes[NEW] if fewest[name] > references]
            deals[part] = _deals(members[part], fewest)
    return Plan(
        source,
        target,
        split,
        rows,
        classes,
        zero_shot,
        deals,
        carried,
        molecules,
        draws,
        references,
        n_neighbors,
    )


def _members(
    lab: Lab, rows: np.ndarray, classes: list[Any], split: Split, generator: np.random.RandomState
) -> dict[Any, list[str]]:
    """Molecules of each class, in random order, those of different folds beside each other."""
    known = [row for row in rows if lab.classes[row] is not None]
    class_of = dict(zip(lab.molecules[known], lab.classes[known], strict=True))
    out: dict[Any, list[str]] = {name: [] for name in classes}
    names = sorted(name for name, label in class_of.items() if label in out)
    for place in generator.permutation(len(names)):
        out[class_of[names[place]]].append(names[place])
    for own in out.values():
        folds = pd.Series([split.fold_of[name] for name in own], index=own)
        turn = folds.groupby(folds).cumcount()
        own.sort(key=turn.to_dict().__getitem__)
    return out


def _deals(members: dict[Any, list[str]], fewest: dict[Any, int]) -> list[set[str]]:
    """So many molecules of each class, one after the other, until each was dealt."""
    turns = [-(-len(own) // fewest[name]) for name, own in members.items()]
    return [
        {
            own[(turn * fewest[name] + place) % len(own)]
            for name, own in members.items()
            for place in range(fewest[name])
        }
        for turn in range(min(MOST_DEALS, max(turns)))
    ]


def score_units(
    vectors: dict[str, np.ndarray], plan: Plan, model: str, alignments: tuple[str, ...]
) -> pd.DataFrame:
    """Score one method: a row a part, metric and molecule, columns `UNITS`.

    Parameters
    ----------
    vectors : dict of str to ndarray, shape (n_rows, n_components)
        Embeddings of all rows of "source" and "target".
    plan : Plan
        What is asked.
    model : str
        Name of the method.
    alignments : tuple of str
        What to align by.

    Returns
    -------
    DataFrame
        A metric that nothing can be asked of has one row without a unit.
    """
    found = []
    folds = plan.split.carried_fold_of
    for how in alignments:
        sides = {lab.name: align(vectors[lab.name], lab, how) for lab in (plan.source, plan.target)}
        everywhere = np.arange(len(plan.source.table))
        of_source = _labelled(sides["source"], plan.source, folds, everywhere, plan.carried)
        carried = Probe(of_source, PLATE_FOLDS)
        for part, rows in plan.rows.items():
            for metric, means in _metrics(sides, plan, part, rows, carried):
                frame = means.reset_index()
                if frame.empty:
                    frame = pd.DataFrame({"unit": [None], "value": np.nan, "chance": np.nan})
                frame = frame.assign(part=part + TITLES[how], model=model, metric=metric)
                found.append(frame.reindex(columns=UNITS).astype({"unit": object}))
    return pd.concat(found, ignore_index=True)


def _metrics(
    sides: dict[str, np.ndarray], plan: Plan, part: str, rows: np.ndarray, carried: Probe
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each metric with its mean of each molecule."""
    lab = plan.lab(part)
    k = plan.n_neighbors
    folds = plan.split.fold_of
    own = _labelled(sides[lab.name], lab, folds, rows, plan.classes[part])
    for metric, answer in _among_themselves(own, plan.deals[part], k).items():
        yield metric, per_molecule(answer, own.molecules)
    own = _labelled(sides[lab.name], lab, folds, rows, plan.zero_shot[part])
    answer = prototypes(own, plan.draws, plan.molecules, plan.references)
    yield ZERO_SHOT, per_molecule(answer, own.molecules)
    asked = _labelled(sides[lab.name], lab, plan.split.carried_fold_of, rows, plan.carried)
    for metric, answer in {
        CARRIED: carried.ask(asked),
        CARRIED_NEIGHBORS: neighbors(carried.learn, asked, k),
    }.items():
        yield metric, per_molecule(answer, asked.molecules)
    yield REPLICATES, _replicates(sides[lab.name][rows], lab.molecules[rows], lab.plates[rows])


def _among_themselves(own: Rows, deals: list[set[str]], k: int) -> dict[str, Answers]:
    """What the molecules of a part say of each other: means over the deals that hold a row."""
    found: dict[str, list[Answers]] = {}
    for deal in deals:
        dealt = np.flatnonzero(pd.Series(own.molecules).isin(deal).to_numpy())
        some = own.take(dealt)
        probe = Probe(some, PLATE_FOLDS)
        answers = {
            PROBE: probe.ask(some),
            PROBE + OTHER_PLATES: probe.ask_other_plates(),
            NEIGHBORS: neighbors(some, some, k),
            NEIGHBORS + OTHER_PLATES: neighbors(some, some, k, other_plates=True),
        }
        for metric, answer in answers.items():
            found.setdefault(metric, []).append(answer.placed(dealt, len(own.classes)))
    return {metric: mean_answers(given) for metric, given in found.items()}


def _labelled(
    vectors: np.ndarray,
    lab: Lab,
    fold_of: dict[str, int],
    rows: np.ndarray,
    classes: list[Any],
) -> Rows:
    """Those of the rows whose class is one of these."""
    wanted = set(classes)
    rows = np.array([row for row in rows if lab.classes[row] in wanted], dtype=np.intp)
    folds = np.array([fold_of[name] for name in lab.molecules[rows]], dtype=np.intp)
    return Rows(vectors[rows], lab.classes[rows], lab.molecules[rows], lab.plates[rows], folds)


def _replicates(vectors: np.ndarray, molecules: np.ndarray, plates: np.ndarray) -> pd.DataFrame:
    """Whether wells of a molecule on other plates come before other molecules on other plates."""
    wells = pd.DataFrame({"molecule": molecules.astype(str), "plate": plates.astype(str)})
    found = profile_average_precision(
        vectors,
        wells,
        pos_sameby="molecule",
        pos_diffby="plate",
        neg_diffby=["molecule", "plate"],
    )
    # Normalised, because the two sides have other numbers of candidates.
    value = found["normalized_average_precision"].to_numpy()
    chance = np.where(np.isnan(value), np.nan, 0.0)
    return per_molecule(Answers(value, chance), molecules)


def score_layout(
    vectors: np.ndarray, lab: Lab, well: str | None, alignments: tuple[str, ...]
) -> list[dict[str, Any]]:
    """The layout test of one side, a row an alignment; none where no controls share a position."""
    wells = lab.table[lab.control].reset_index(drop=True)
    if well is None or len(wells) < 2:
        return []
    letters, numbers = well_positions(wells, well, purpose=f"{PURPOSE}, {lab.name}")
    places = pd.Series([f"{a}{b}" for a, b in zip(letters, numbers, strict=True)])
    plates = lab.plates[lab.control].astype(str)
    if (pd.Series(plates).groupby(places).nunique() < 2).all():
        return []
    wells = wells[[match_column(wells, well, purpose=PURPOSE)]]
    marked = wells.assign(Metadata_plate_of_study=plates, Metadata_control_of_study="yes")
    out = []
    for how in alignments:
        aligned = align(vectors, lab, how)[lab.control]
        given = FunctionTransformer(lambda X, values=aligned: values)
        found = layout_test(
            marked,
            plate="Metadata_plate_of_study",
            well=well,
            controls=("Metadata_control_of_study", "yes"),
            profile=given,
            random_state=0,
        ).loc["profile"]
        row = {str(name): value for name, value in found.items()}
        out.append({"side": lab.name + TITLES[how], **row})
    return out
