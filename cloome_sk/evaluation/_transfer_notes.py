"""What the report of a transfer study says about how it was made."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.evaluation._transfer_align import CENTRED, NONE, SPHERED
from cloome_sk.evaluation._transfer_scores import NEW, PLATE_FOLDS, SEEN, SOURCE, Plan
from cloome_sk.evaluation._transfer_tables import Lab, asked_classes


def notes_of(
    plan: Plan, alignments: tuple[str, ...], well: str | None, said: Sequence[str]
) -> list[str]:
    """Tables, split, classes, folds, alignment, and what methods say of themselves."""
    held, trained = plan.split.held_out, plan.split.trained
    of_target = set(plan.target.class_of())
    shared = set(plan.source.class_of()) & of_target
    notes = [
        *(_about(lab) for lab in (plan.source, plan.target)),
        f"Every method is trained once, on {len(trained)} molecules of the source. "
        f"{_held_out(plan)} {len(shared)} molecules are in both tables: "
        f"{len(shared & held)} held out, {len(shared & trained)} trained on, of which the target's "
        "figures are a part of their own. No row and no label of the target is in any training.",
        *_classes(plan),
    ]
    if any(plan.classes.values()) or plan.carried:
        notes.append(
            f"Folds: {plan.split.n_folds}, of molecules, a molecule in the same fold on both "
            f"sides; 'other plates': of plates too, {PLATE_FOLDS} (for neighbours any other "
            f"plate). Zero-shot: {plan.references} reference molecule(s) of a class, "
            f"{len(plan.draws)} draws, classes with more than {plan.references}. k-NN: k = "
            f"{plan.n_neighbors} molecule(s)."
        )
    how = {
        NONE: "as it is",
        CENTRED: "less the mean of the negative controls of its plate",
        SPHERED: "scaled and sphered by negative controls",
    }
    if alignments != (NONE,):
        ways = "; ".join(how[name] for name in alignments)
        notes.append(f"Each embedding is shown {ways}, on both sides alike.")
    if well is None:
        notes.append("No layout test was asked for.")
    for lab in (plan.source, plan.target):
        if lab.several:
            notes.append(
                f"{lab.name}: {len(lab.several)} molecule(s) bear several classes and count as "
                f"without one: {shown(lab.several, 3)}."
            )
    return [*notes, *said]


def _held_out(plan: Plan) -> str:
    held = len(plan.split.held_out)
    if not held:
        return "None is held out, so the source has no figures."
    return f"Its {held} others are held out, and the source's figures are of these alone."


def _about(lab: Lab) -> str:
    classes = len(asked_classes(lab.classes, lab.molecules, 1))
    return (
        f"{lab.name.capitalize()}: {int((~lab.control).sum()):,} treated rows of "
        f"{len(lab.class_of())} molecules in {classes} classes, {int(lab.control.sum())} negative "
        f"controls, {pd.Series(lab.plates).nunique()} plates."
    )


def _classes(plan: Plan) -> list[str]:
    if not plan.classes.get(NEW) and not plan.carried:
        return ["No class can be asked for: replicates alone are."]
    if plan.same_classes:
        names = plan.classes[NEW]
        said = [f"Both sides are asked for the same {len(names)} classes: {shown(names, 15)}."]
        n_deals = {part: len(plan.deals[part]) for part in (SOURCE, NEW)}
        if max(n_deals.values()) > 1:
            times = " and ".join(f"{n} deals ({part})" for part, n in n_deals.items() if n > 1)
            said.append(
                "What learns on each side (linear probe, k-NN) learns there from as many molecules "
                f"of each class as on the other: mean over {times}."
            )
    else:
        own = [
            f"{part}: {len(plan.classes[part])}" for part in (SOURCE, NEW) if part in plan.classes
        ]
        said = [
            "Source and target have fewer than two classes in common that both could be asked for, "
            f"so each is asked for its own ({'; '.join(own)}). Their figures are to be read "
            "against their own chance: a drop between them is not defined, and none is given but "
            "for replicates."
        ]
        if plan.carried:
            said.append(
                f"What was learned on the source is asked for {len(plan.carried)} classes that "
                f"both have any molecule of: {shown(plan.carried, 15)}."
            )
    if SEEN in plan.classes:
        said.append(f"'{SEEN}' is asked for {len(plan.classes[SEEN])} of its classes.")
    return said
