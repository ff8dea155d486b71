"""The arguments of ``python -m cloome_sk.evaluation transferability``."""

from __future__ import annotations

import argparse
from pathlib import Path

from cloome_sk.evaluation._transfer_align import ALIGNMENTS, CENTRED, NONE
from cloome_sk.evaluation.command_options import add_study_options
from cloome_sk.evaluation.transfer_labs import LABS


def add_transferability(
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
        "transferability", help="what is left of an embedding in another laboratory"
    )
    parser.add_argument("--data", choices=LABS, default=LABS[0], help="two laboratories")
    parser.add_argument(
        "--align",
        nargs="*",
        choices=[how for how in ALIGNMENTS if how != NONE],
        help=f"show embeddings aligned on negative controls, too (bare: {CENTRED})",
    )
    parser.add_argument("--weights", type=Path, help="a file of ImageNet weights, for images")
    parser.add_argument("--updates", type=int, default=None, help="of each network, about")
    add_study_options(parser, "of molecules", "methods")
    return parser


def asked_alignments(given: list[str] | None) -> list[str]:
    """Say how embeddings are to be aligned: as they are, and in whatever ways were asked for.

    Parameters
    ----------
    given : list of str or None
        What stands after ``--align``; None where that is not there.

    Returns
    -------
    list of str
        For `cloome_sk.evaluation.study_transferability`.

    Examples
    --------
    >>> from cloome_sk.evaluation.transfer_command import asked_alignments
    >>> asked_alignments(None), asked_alignments([])
    (['none'], ['none', 'controls'])
    """
    return [NONE] if given is None else [NONE, *(given or [CENTRED])]
