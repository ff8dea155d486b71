"""How a zero-shot study was measured, and what it left out, with counts."""

from __future__ import annotations

import numpy as np

from cloome_sk._tables import shown
from cloome_sk.evaluation._zero_shot_fold import Fold
from cloome_sk.evaluation._zero_shot_plans import OWN_MAY, OWN_NOT, Plan, Question
from cloome_sk.evaluation._zero_shot_table import ZeroShotTable
from cloome_sk.evaluation._zero_shot_units import RECOGNISED


def left_out_of(folds: list[Fold], tops: tuple[int, ...]) -> list[tuple[str, str]]:
    """Part and metric of each top-t that would name all classes of some fold."""
    out = []
    for part, plans in _by_part(folds).items():
        fewest = min(len(plan.classes) for plan in plans)
        out += [(part, f"top-{top}") for top in tops if top >= fewest]
    return out


def notes_of(
    table: ZeroShotTable,
    question: Question,
    folds: list[Fold],
    few: list[tuple[str, str]],
    spread: str,
) -> tuple[str, ...]:
    """Sentences for the report."""
    keys, rows = table.bench.keys, table.rows
    n_folds = len(table.bench.folds)
    labelled = rows.classes >= 0
    notes = [
        f"{len(np.unique(keys))} molecules in {len(keys)} {question.row}s, {n_folds} folds by "
        "molecule; every model is trained on the other folds."
    ]
    if question.task == "moa":
        notes.append(
            f"{question.class_name}: {len(table.names)} classes, of "
            f"{len(np.unique(keys[labelled]))} molecules; "
            f"{table.n_unlabelled} {question.row}s have none: they are trained on where their "
            "molecule is no test molecule, and not scored."
        )
    drawn = f"{question.n_draws} seeded draws of the references, the same for all models; "
    if question.task == question.reference == "molecule":
        drawn = "Nothing is drawn: a molecule has one structure; "
    notes.append(
        f"{drawn}figures are averaged over draws, then over the {question.row}s of a molecule, "
        "then over molecules. Ties count by expectation; chance is exact."
    )
    notes.append(
        "Intervals resample molecules and hold the folds and draws fixed: with few molecules other "
        f"folds, by another random_state, may give a figure outside of them. {spread}".strip()
    )
    if any(OWN_MAY in part for part in _by_part(folds)):
        notes.append(
            f"Where {OWN_MAY}, a model that knows molecules apart and nothing of classes is right "
            f"whenever it is one, as random molecule codes may be. '{RECOGNISED}' is computed from "
            "the draws: what that alone scores, and guesses elsewhere. Only what a model has "
            f"beyond it, and the parts where {OWN_NOT}, are about classes."
        )
    if question.reference == "phenotype" and rows.plates is not None:
        notes.append(
            "References of other classes stay, also on the plate of a query that none of its own "
            "may share: a plate effect can push a figure below chance there."
        )
    elif question.reference == "phenotype":
        notes.append("Plates are not known: no part without references of a query's plate.")
    for part, plans in _by_part(folds).items():
        notes.append(_about(part, plans, table, n_folds))
    if few:
        texts = dict.fromkeys(metric for _, metric in few)
        notes.append(
            f"Left out where a fold has no more classes than that: {', '.join(texts)} "
            f"({len(few)} figure(s) of a model)."
        )
    return tuple(notes)


def controls_left_out(reference: str) -> str:
    """Which controls of other studies this one goes without on purpose, and why."""
    if reference == "molecule":
        return "Controls left out: pairs shuffled, a training for what molecules shuffled tells."
    return (
        "Controls left out: Tanimoto-kernel average and ridge to profile, which embed a phenotype "
        "as the profile that is there; pairs and molecules shuffled, each a training, which have "
        "no more chemistry than random molecule codes; sphered profile, as the table is sphered."
    )


def _about(part: str, plans: list[Plan], table: ZeroShotTable, n_folds: int) -> str:
    """Classes, molecules and folds of a part."""
    sizes = [len(plan.classes) for plan in plans]
    choice = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    molecules, labelled = table.rows.molecules, table.rows.classes >= 0
    asked = [molecules[plan.queries[plan.parts[part].any(axis=0)]] for plan in plans]
    n_asked, n_all = len(np.unique(np.concatenate(asked))), len(np.unique(molecules[labelled]))
    text = f"{part}: {choice} classes to choose from in a fold, {n_asked} of {n_all} molecules"
    if len(plans) < n_folds:
        text += f", {len(plans)} of {n_folds} folds (the others have fewer than two such classes)"
    never = np.setdiff1d(
        np.unique(table.rows.classes[labelled]), np.concatenate([plan.classes for plan in plans])
    )
    if len(never):
        text += f". Too few references of {len(never)}: {shown(table.names[never], 5)}"
    return text + "."


def _by_part(folds: list[Fold]) -> dict[str, list[Plan]]:
    out: dict[str, list[Plan]] = {}
    for fold in folds:
        for plan in fold.plans:
            for part in plan.parts:
                out.setdefault(part, []).append(plan)
    return out
