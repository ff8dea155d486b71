"""How a study of confidence was measured, and what its numbers of molecules allow at all."""

from __future__ import annotations

from cloome_sk.evaluation._confidence_fold import Answer
from cloome_sk.evaluation._confidence_hits import calibrating
from cloome_sk.evaluation._confidence_result import LEVELS, between, fewest_molecules
from cloome_sk.evaluation._confidence_table import ConfidenceTable


def sizes_of(table: ConfidenceTable) -> list[int]:
    """Number of molecules of each fold that were not trained on."""
    return [len(set(table.molecules[pool])) for _, pool in table.bench.folds]


def notes_of(table: ConfidenceTable, answers: list[Answer], n_draws: int) -> tuple[str, ...]:
    """Sentences for the report."""
    n_folds = len(table.bench.folds)
    n_classes = between([one.n_calibration for one in answers])
    trained = "a random half of the molecules of each class" if table.halved else "the first side"
    notes = [
        *table.notes,
        f"{n_folds} fold(s): {trained} trained the embedding and served as references. The others "
        f"were dealt {n_draws} times, the same for all models, to calibration (two thirds; "
        f"{n_classes} molecules with a class) and test.",
        "Deals are at random, so that what is promised must hold for any embedding, also for one "
        "that knows nothing: coverage and false alarms check the computation. They do not show "
        "what would hold for molecules of another library, plate or laboratory. Models differ in "
        "what they say at that price: size of sets, hits, molecules found.",
        "coverage: a coverage c takes 1/(1 - c) - 1 calibration molecules; below, sets hold every "
        "class. Sets may cover more often than promised, by up to 2/(n + 1) for n calibration "
        "molecules.",
        "ECE is above 0 by chance alone; its interval resamples molecules too.",
        "novelty: one class at a time, drawn at random, has no references and no calibration "
        "molecules; AUROC of its molecules against the test molecules of the other classes.",
    ]
    asked = [one for one in answers if one.counts is not None]
    left_out = list(dict.fromkeys(one.model for one in answers if one.counts is None))
    if left_out:
        notes.append(f"No parts on hits, as they embed no molecules: {', '.join(left_out)}.")
    if asked:
        notes += _about_hits(sizes_of(table))
    for model in dict.fromkeys(one.model for one in asked):
        n_blank = sum(one.n_blank for one in asked if one.model == model)
        if n_blank:
            notes.append(
                f"{model} has no embedding of {n_blank} structure(s), over all folds: they are no "
                "hit, have none, and calibrate nothing."
            )
    return tuple(notes)


def _about_hits(sizes: list[int]) -> list[str]:
    known = [calibrating(n) for n in sizes]
    asked = [n - calibrating(n) for n in sizes]
    can: list[str] = []
    cannot: list[str] = []
    for level in LEVELS:
        least = fewest_molecules(1.0 - level)
        (can if max(known) >= least else cannot).append(f"{level:.0%}")
    reach = f"q <= {' and '.join(can)} can be reached" if can else "No q that is asked for can be"
    if cannot and can:
        reach += f", q <= {' and '.join(cannot)} cannot"
    if not can:
        reach += f" reached (q <= {' and '.join(cannot)})"
    needed = max(asked) / (max(known) + 1)
    if can:
        reach += (
            f"; q <= a takes a p as small as that for at least {needed:.2g}/a of the queries of a "
            "deal"
        )
    return [
        f"hits: {between(sizes)} molecules that were not trained on are the candidates in a fold, "
        f"among them the one that is looked for. {between(known)} of them calibrate, by the best "
        f"hit that is not their own, {between(asked)} are asked: in a deal one random row each, "
        "or their structure. Hits are counted by molecule.",
        f"hits: with that many mismatched molecules no p is below {1 / (max(known) + 1):.3f}. "
        f"{reach}.",
        "hits: 'queries wrong' is what q promises, the share of the queries with any hit that have "
        "a wrong one, as a mean over deals, one without hits counting as 0; 'hits wrong' is of all "
        "hits of all deals. Where few deals have a hit, the one can be small and the other large. "
        "Their intervals resample molecules and deals. A hit is wrong where it is another "
        "molecule, also one that does the same. Chance of 'found': as many hits, drawn at random.",
        "hits, own molecule left out: p of the best of what are mismatched pairs, of molecules "
        "that did not calibrate. Chance: the share of ranks that is no larger than promised.",
    ]
