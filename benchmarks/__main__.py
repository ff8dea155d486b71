"""Run the benchmarks: ``python -m benchmarks``, or some of them by name.

Each row shows a job done by the package and by a reference, timed in turn. Both lines of a repeat
meet the same load of the machine, so the ratio, the median of the repeats' ratios, says more than
the two columns of seconds on a busy machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from importlib import import_module
from time import perf_counter

from benchmarks._timing import Case, Reported, machine, table

SUBJECTS = {
    "import": "import of the package",
    "fit": "training, beside a torch loop written by hand",
    "fit_images": "training on images, beside a torch loop written by hand",
    "resume": "training that keeps its state, beside training that does not",
    "embed": "transform and embed_molecules, beside the forward pass",
    "scaling": "a site read and scaled to 8 bits, beside Pillow and float64",
    "resnet": "sites embedded by the published network, beside the authors' way",
    "sites": "an epoch of sites with and without a cache, in one process and in two",
    "molecules": "fingerprints and keys, beside RDKit",
    "objectives": "InfoNCE, InfoLOOB, SigLIP and CWCL, beside their formulas",
    "gradient_cache": "memory and time of a large batch embedded in parts, beside all at once",
    "samplers": "the batches of an epoch, beside plain shuffling",
    "metrics": "retrieval ranks and mean average precision",
    "library": "picks of a library designer, beside RDKit's MaxMin picker",
    "activity": "linear probes of many assays, beside LogisticRegressionCV in a loop",
    "series": "chemical series of more and more molecules (with --full, or by name)",
    "butina": "neighbours and clusters of molecules, beside RDKit (with --full, or by name)",
}

SLOW = ("series", "butina")
"""Not run unless asked for."""


def cases(names: Sequence[str], full: bool) -> Iterator[Case]:
    """The cases of each subject; its module is imported when its turn comes."""
    for name in names:
        if name == "butina":
            yield Reported(import_module("benchmarks.bench_butina").rows, most=1)
        else:
            yield from import_module(f"benchmarks.bench_{name}").rows(full)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time the package beside the same jobs written by hand.",
        epilog="subjects:\n" + "\n".join(f"  {name}: {what}" for name, what in SUBJECTS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="subject", help=f"which to run: {', '.join(SUBJECTS)} (all)"
    )
    parser.add_argument("--full", action="store_true", help="large sizes, which take far longer")
    parser.add_argument("--repeats", type=int, default=5, help="timings of each side (%(default)s)")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in SUBJECTS]:
        parser.error(f"no subject named {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    names = options.names or [name for name in SUBJECTS if options.full or name not in SLOW]

    start = perf_counter()
    print(machine())
    print(
        f"\nMedians of {options.repeats} repeats, both sides in turn. ratio: seconds of the package"
        " / seconds of the reference, below 1 where the package is faster.\n"
    )
    for line in table(cases(names, options.full), options.repeats):
        print(line, flush=True)
    print(f"\n{perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
