"""Options that the studies' subcommands share."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add ``--output``.

    Parameters
    ----------
    parser : ArgumentParser
        Of a subcommand that writes tables and figures.
    """
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("evaluation_output"),
        help="folder for tables and figures (%(default)s)",
    )


def add_data_home(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-home``.

    Parameters
    ----------
    parser : ArgumentParser
        Of a subcommand that reads public tables.
    """
    parser.add_argument("--data-home", help="data folder; by default that of CLOOME_SK_DATA")


def add_seed_and_jobs(parser: argparse.ArgumentParser, jobs: str) -> None:
    """Add ``--seed`` and ``--jobs``.

    Parameters
    ----------
    parser : ArgumentParser
        Of a subcommand.
    jobs : str
        What runs in parallel.
    """
    parser.add_argument("--seed", type=int, default=0, help="of everything (%(default)s)")
    parser.add_argument("--jobs", type=int, default=None, help=f"{jobs} at a time")


def add_study_options(parser: argparse.ArgumentParser, folds: str, jobs: str) -> None:
    """Add what a study of public tables in folds asks for.

    Parameters
    ----------
    parser : ArgumentParser
        Of a subcommand.
    folds : str
        What is dealt to folds, or what folds are.
    jobs : str
        What runs in parallel.
    """
    add_data_home(parser)
    add_output(parser)
    parser.add_argument("--folds", type=int, default=5, help=f"{folds} (%(default)s)")
    add_seed_and_jobs(parser, jobs)
