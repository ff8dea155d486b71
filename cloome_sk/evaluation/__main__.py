"""Studies from the command line: ``python -m cloome_sk.evaluation controls --data cell-injury``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pandas as pd

from cloome_sk.datasets import load_bbbc021_crops
from cloome_sk.evaluation.ablation import N_UPDATES, study_ablation
from cloome_sk.evaluation.ablation_report import draw, report
from cloome_sk.evaluation.activity_data import activity_of_assays
from cloome_sk.evaluation.command_options import (
    add_data_home,
    add_output,
    add_seed_and_jobs,
    add_study_options,
)
from cloome_sk.evaluation.controls import study_controls
from cloome_sk.evaluation.crops import FOLDS, study_crops
from cloome_sk.evaluation.library_command import add_library_design
from cloome_sk.evaluation.library_design import LibraryDesignStudy, library_design
from cloome_sk.evaluation.plate_batches import batch_tables, study_plate_batches
from cloome_sk.evaluation.result import StudyResult
from cloome_sk.evaluation.screens import DATA, load_screen
from cloome_sk.evaluation.transfer_command import add_transferability, asked_alignments
from cloome_sk.evaluation.transfer_labs import load_labs, transferability_of
from cloome_sk.evaluation.traps import TrapStudy, study_traps

STUDIES = {
    "retrieval": (
        "retrieval",
        "retrieval_of_screen",
        "new molecules, scaffolds, plates",
    ),
    "bioisosteres": ("bioisosteres", "bioisosteres_of_screen", "what the nearest structures share"),
    "activity": (
        "activity_data",
        "activity_of_screen",
        "linear probes of assays and of classes",
    ),
    "zero-shot": ("zero_shot", "zero_shot_of_screen", "names from a few references"),
    "confidence": ("confidence", "confidence_of_screen", "calibration, candidate sets, novelty"),
}
"""Of each study of a screen its module, its function, and what it is about."""
OPTIONS = ("task", "reference", "candidates")
"""What some of the studies can be told beside the screen."""
TABLES = ("hti", "broad6k", "chembl2k")
"""Tables of assay labels without phenotypes, which the structures alone are probed for."""
TITLES = {
    "unseen_molecules": "Molecules not seen in training (candidates: those of the fold)",
    "unseen_plates": "Seen molecules on plates not seen in training",
    "classes": "{} of molecules not seen in training (molecule level)",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a study, print its tables and, where there is an output folder, write them as CSV.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; those of the process by default.
    """
    options = _options(arguments)
    options.run(options)


def run_crops(options: argparse.Namespace) -> None:
    """Name the mechanisms of unseen compounds from single cells, and print the figures.

    Parameters
    ----------
    options : Namespace
        Of the subcommand.
    """
    study = study_crops(
        load_bbbc021_crops(options.data_home),
        folds=options.folds,
        random_state=options.seed,
        n_jobs=options.jobs,
        verbose=1,
    )
    print(study.report())


def run_controls(options: argparse.Namespace) -> None:
    """Put the embedder of a screen beside every control, print the figures and write them.

    Parameters
    ----------
    options : Namespace
        Of the subcommand.
    """
    start = time.perf_counter()
    drawn = options.output / f"{options.data}_screen"
    screen = load_screen(options.data, options.data_home, options.seed, drawn, options.jobs)
    n_pairs = len(screen.wells) * (options.folds - 1) // options.folds
    embedder = screen.make_embedder(n_pairs, options.seed)
    study = study_controls(
        screen,
        embedder,
        cv=options.folds,
        random_state=options.seed,
        n_jobs=options.jobs,
        verbose=1,
    )
    with pd.option_context("display.width", 400, "display.max_columns", 50):
        for task, title in TITLES.items():
            print_title(title.format(screen.class_name))
            for direction, table in study.tables(task).items():
                print(f"{direction}\n{table.to_string()}\n")
        print_title(
            f"Control {screen.unit}s that find their own well position on another plate (1-NN)"
        )
        print(study.layout.round(3).to_string())
    options.output.mkdir(parents=True, exist_ok=True)
    scores = options.output / f"controls_{screen.name}.csv"
    study.scores.to_csv(scores, index=False)
    study.layout.to_csv(options.output / f"controls_{screen.name}_layout.csv")
    print(f"\nWritten to {scores}. Done in {time.perf_counter() - start:.0f} s.")


def run_study(options: argparse.Namespace) -> None:
    """Run a study of a screen, print its report, and write its tables and figure.

    Parameters
    ----------
    options : Namespace
        Of the subcommand.
    """
    start = time.perf_counter()
    module, function, _ = STUDIES[options.study]
    given = {"folds": options.folds, "random_state": options.seed, "n_jobs": options.jobs}
    given |= {name: vars(options)[name] for name in OPTIONS if name in options}
    if options.data in TABLES:
        found = activity_of_assays(options.data, data_home=options.data_home, verbose=1, **given)
        _conclude(found, options.output, start)
        return
    if options.study == "activity":
        given["data_home"] = options.data_home
    study = getattr(import_module(f"cloome_sk.evaluation.{module}"), function)
    drawn = options.output / f"{options.data}_screen"
    screen = load_screen(options.data, options.data_home, options.seed, drawn, options.jobs)
    _conclude(study(screen, verbose=1, **given), options.output, start)


def run_traps(options: argparse.Namespace) -> None:
    """Walk into the traps of simulated screens, print what comes of it, and write it.

    Parameters
    ----------
    options : Namespace
        Of the subcommand.
    """
    start = time.perf_counter()
    print("SIMULATED screens, in which the right answer is known.\n")
    found = study_traps(random_state=options.seed, n_jobs=options.jobs, verbose=1)
    _conclude(found, options.output, start)


def run_transferability(options: argparse.Namespace) -> None:
    """Put methods to use in another laboratory, print the figures and write them.

    Parameters
    ----------
    options : Namespace
        Of the subcommand.
    """
    start = time.perf_counter()
    labs = load_labs(
        options.data,
        options.data_home,
        folder=options.output / "simulated_labs",
        weights=options.weights,
        n_updates=options.updates,
        seed=options.seed,
        n_jobs=options.jobs,
    )
    given = {"align": asked_alignments(options.align), "cv": options.folds}
    given |= {"n_jobs": options.jobs, "verbose": 1}
    _conclude(transferability_of(labs, seed=options.seed, **given), options.output, start)


def run_library_design(options: argparse.Namespace) -> None:
    """Ask feature spaces which assays and series they hold together; print and write it.

    Parameters
    ----------
    options : Namespace
        Of the subcommand.
    """
    start = time.perf_counter()
    found = library_design(
        options.data,
        options.data_home,
        folder=options.output / "library_screen",
        random_state=options.seed,
        n_permutations=options.permutations,
        n_splits=options.splits,
        n_jobs=options.jobs,
        verbose=1,
    )
    _conclude(found, options.output, start)


def _conclude(
    found: StudyResult | TrapStudy | LibraryDesignStudy, output: Path, start: float
) -> None:
    with pd.option_context("display.width", 400, "display.max_columns", 50):
        print(found.report())
    written = ", ".join(map(str, found.write(output)))
    print(f"\nWritten: {written}. Done in {time.perf_counter() - start:.0f} s.")


def run_ablation(options: argparse.Namespace) -> None:
    """Change one setting of training at a time, print what that does, and write it.

    Parameters
    ----------
    options : Namespace
        Of the subcommand.
    """
    start = time.perf_counter()
    screen = load_screen(options.data, options.data_home, options.seed)
    quick = {"n_seeds": min(2, options.seeds), "n_folds": 2, "n_updates": 10}
    full = {"n_seeds": options.seeds, "n_folds": options.folds, "n_updates": options.updates}
    study = study_ablation(
        screen,
        split=options.split,
        random_state=options.seed,
        n_jobs=options.jobs,
        verbose=1,
        **(quick if options.quick else full),
    )
    if options.quick:
        print("QUICK: too few updates, parts and seeds to conclude anything from.")
    with pd.option_context("display.width", 400, "display.max_columns", 50):
        print(report(study))
    if options.csv is not None:
        study.figures.to_csv(options.csv, index=False)
    if options.figure is not None:
        draw(study, options.figure)
    print(f"\nDone in {time.perf_counter() - start:.0f} s.")


def run_plate_batches(options: argparse.Namespace) -> None:
    """Compare kinds of batches on a simulated screen with plate effects, and print the figures.

    Parameters
    ----------
    options : Namespace
        Of the subcommand.
    """
    start = time.perf_counter()
    print(
        "A SIMULATED library, screened layout by layout; wells of the last plate of each layout "
        "look for their molecule.\nshortcut: nats of a batch that plates alone give away; named: "
        "share of its rows whose molecule they name."
    )
    quick = {"n_seeds": min(2, options.seeds), "max_epochs": 2, "n_layouts": 4}
    runs = study_plate_batches(
        random_state=options.seed,
        n_jobs=options.jobs,
        verbose=1,
        **(quick if options.quick else {"n_seeds": options.seeds}),
    )
    if options.quick:
        print("QUICK: too few updates and seeds to conclude anything from.")
    with pd.option_context("display.width", 400, "display.max_columns", 50):
        for effect, table in batch_tables(runs).items():
            print_title(
                f"Plate effect {effect:g} (mean over {runs['seed'].nunique()} seeds; differences "
                "to mixed batches, paired, 95 %)"
            )
            print(table.to_string())
    if options.csv is not None:
        runs.to_csv(options.csv, index=False)
    print(f"\nDone in {time.perf_counter() - start:.0f} s.")


def print_title(title: str) -> None:
    """Print an underlined line.

    Parameters
    ----------
    title : str
        The line.
    """
    print(f"\n{title}\n{'-' * len(title)}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m cloome_sk.evaluation",
        description="Studies with their controls beside them.",
    )
    studies = parser.add_subparsers(required=True, metavar="study")
    controls = studies.add_parser(
        "controls", help="the embedder beside every control, on the same folds"
    )
    controls.add_argument(
        "--data", choices=DATA, default=DATA[0], help="a screen; the first is one of images"
    )
    add_study_options(controls, "test parts", "fits")
    controls.set_defaults(run=run_controls)
    added = {name: _add_study(studies, name, about) for name, (*_, about) in STUDIES.items()}
    added["zero-shot"].add_argument("--task", choices=("moa", "molecule"), default="moa")
    added["zero-shot"].add_argument(
        "--reference",
        choices=("phenotype", "molecule"),
        default="phenotype",
        help="whether references are wells or structures",
    )
    added["bioisosteres"].add_argument(
        "--candidates",
        choices=("held-out", "all"),
        default="held-out",
        help="whether molecules that were trained on can be hits",
    )
    traps = studies.add_parser("traps", help="what careless evaluations make of simulated screens")
    add_output(traps)
    add_seed_and_jobs(traps, "traps")
    traps.set_defaults(run=run_traps)
    crops = studies.add_parser(
        "bbbc021-crops", help="mechanisms of unseen compounds from single cells, beside intensities"
    )
    add_data_home(crops)
    crops.add_argument(
        "--folds",
        type=lambda text: text if text == "all" else int(text),
        default=FOLDS,
        help="number of folds by compound, or all: leave one compound out (%(default)s)",
    )
    add_seed_and_jobs(crops, "folds")
    crops.set_defaults(run=run_crops)
    add_transferability(studies).set_defaults(run=run_transferability)
    add_library_design(studies).set_defaults(run=run_library_design)
    _add_training(studies)
    return parser.parse_args(arguments)


def _add_study(
    studies: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    study = studies.add_parser(name, help=about)
    study.add_argument(
        "--data",
        choices=DATA + (TABLES if name == "activity" else ()),
        default=DATA[0],
        help="a screen; the first is one of images",
    )
    add_study_options(study, "test parts", "fits")
    study.set_defaults(run=run_study, study=name)
    return study


def _add_training(studies: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ablation = studies.add_parser(
        "ablation", help="objectives, positives, batches, schedules: one change at a time"
    )
    profiles = [name for name in DATA if name != "simulated"]
    ablation.add_argument("--data", choices=profiles, default="simulated-profiles")
    add_data_home(ablation)
    ablation.add_argument("--seeds", type=int, default=5)
    ablation.add_argument("--folds", type=int, default=4, help="test parts (%(default)s)")
    ablation.add_argument("--split", choices=("molecule", "scaffold"), default="molecule")
    ablation.add_argument(
        "--updates", type=int, default=N_UPDATES, help="of each fit, about (%(default)s)"
    )
    ablation.add_argument("--quick", action="store_true", help="see that it runs, in a minute")
    ablation.add_argument("--csv", type=Path, help="write the figures")
    ablation.add_argument("--figure", type=Path, help="draw the differences")
    ablation.add_argument("--seed", type=int, default=0, help="of the parts and resamples")
    ablation.add_argument("--jobs", type=int, default=None, help="fits at a time")
    ablation.set_defaults(run=run_ablation)
    batches = studies.add_parser(
        "plate-batches", help="batches by plate layout against mixed ones, on a simulated screen"
    )
    batches.add_argument("--seeds", type=int, default=5)
    batches.add_argument("--quick", action="store_true", help="see that it runs")
    batches.add_argument("--csv", type=Path, help="write the figures of each seed")
    batches.add_argument("--seed", type=int, default=0, help="the first seed")
    batches.add_argument("--jobs", type=int, default=None, help="fits at a time")
    batches.set_defaults(run=run_plate_batches)


if __name__ == "__main__":
    main()
