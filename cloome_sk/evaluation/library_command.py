"""The arguments of ``python -m cloome_sk.evaluation library-design``."""

from __future__ import annotations

import argparse

from cloome_sk.evaluation.command_options import add_data_home, add_output, add_seed_and_jobs
from cloome_sk.evaluation.library_design import DATA


def add_library_design(
    studies: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add the subcommand.

    Parameters
    ----------
    studies : argparse action
        Of the studies' parser.

    Returns
    -------
    ArgumentParser
        Of the subcommand.
    """
    parser = studies.add_parser(
        "library-design", help="which assays and chemical series a feature space holds together"
    )
    parser.add_argument("--data", choices=DATA, default=DATA[0], help="compounds and assays")
    add_data_home(parser)
    add_output(parser)
    parser.add_argument(
        "--permutations", type=int, default=999, help="random sets of actives (%(default)s)"
    )
    parser.add_argument("--splits", type=int, default=10, help="decks and candidates (%(default)s)")
    add_seed_and_jobs(parser, "searches")
    return parser
