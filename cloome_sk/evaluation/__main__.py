"""Studies from the command line: ``python -m cloome_sk.evaluation controls --data cell-injury``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cloome_sk.evaluation.controls import study_controls
from cloome_sk.evaluation.screens import load_screen, make_embedder

TITLES = {
    "unseen_molecules": "Molecules not seen in training (candidates: those of the fold)",
    "unseen_plates": "Seen molecules on plates not seen in training",
    "classes": "{} of molecules not seen in training (molecule level)",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a study, print its tables and write them as CSV.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; those of the process by default.
    """
    options = _options(arguments)
    start = time.perf_counter()
    screen = load_screen(options.data, options.data_home, options.seed)
    embedder = make_embedder(len(screen.wells) * (options.folds - 1) // options.folds, options.seed)
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
        print_title("Control wells that find their own well position on another plate (1-NN)")
        print(study.layout.round(3).to_string())
    options.output.mkdir(parents=True, exist_ok=True)
    scores = options.output / f"controls_{screen.name}.csv"
    study.scores.to_csv(scores, index=False)
    study.layout.to_csv(options.output / f"controls_{screen.name}_layout.csv")
    print(f"\nWritten to {scores}. Done in {time.perf_counter() - start:.0f} s.")


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
        "--data", choices=["simulated", "cell-injury", "cpjump1"], default="simulated"
    )
    controls.add_argument("--data-home", help="data folder; by default that of CLOOME_SK_DATA")
    controls.add_argument("--output", type=Path, default=Path("evaluation_output"))
    controls.add_argument("--folds", type=int, default=5)
    controls.add_argument("--seed", type=int, default=0)
    controls.add_argument("--jobs", type=int, default=None, help="fits at a time")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
