"""What a weight file holds: ``python -m cloome_sk.checkpoints info FILE``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; those of the process by default.

    Returns
    -------
    int
        Exit code: 0, or 1 for a file that cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="python -m cloome_sk.checkpoints", description="Files of weights."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    info = commands.add_parser(
        "info", help="what a file holds, and what would be assumed; no code in it runs"
    )
    info.add_argument("file", metavar="FILE", help="a file in the format of the authors' code")
    options = parser.parse_args(arguments)

    # After the arguments are known to be good: torch takes seconds to import.
    from cloome_sk.checkpoints import CheckpointError, read_checkpoint

    try:
        print(read_checkpoint(options.file).describe())
    except (CheckpointError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
