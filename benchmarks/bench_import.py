"""How long `import cloome_sk` takes in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks._timing import Case, Comparison

ROOT = Path(__file__).parent.parent
HEAVY = "import numpy, pandas, rdkit.Chem, sklearn.base, scipy.sparse"


def rows(full: bool) -> Iterator[Case]:
    """Compare the package, and the first use of an estimator, with what they stand on."""
    yield Comparison(
        "import cloome_sk",
        "a fresh process, its start included",
        _process("import cloome_sk"),
        "bare Python",
        _process("pass"),
        number=5,
    )
    yield Comparison(
        "from cloome_sk import ...",
        "the same with CloomeEmbedder",
        _process("from cloome_sk import CloomeEmbedder"),
        "numpy, pandas, RDKit, scikit-learn, SciPy",
        _process(HEAVY),
    )


def _process(code: str) -> Callable[[], object]:
    """Run a line of Python in a new process."""
    return lambda: subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
