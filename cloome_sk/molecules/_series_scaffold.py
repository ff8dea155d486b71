"""The largest structure that a few molecules share, found within a number of steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem import rdFMCS


@dataclass(frozen=True)
class Common:
    """What some molecules share.

    Attributes
    ----------
    smarts : str
        The structure; empty where there is none.
    n_atoms : int
        Its atoms.
    ended : {"", "steps", "timeout"}
        What stopped the search; empty where it came to its end.
    """

    smarts: str
    n_atoms: int
    ended: str


@dataclass(frozen=True)
class CommonStructure:
    """How a common structure is searched for; the fields are parameters of `ChemicalSeries`."""

    ring_matches_ring_only: bool
    complete_rings: bool
    match_chirality: bool
    timeout: int
    max_steps: int

    def of(self, molecules: Sequence[Chem.Mol]) -> Common:
        """The largest common structure.

        A search that runs out of steps gives what it has found: common to all molecules, though
        perhaps not the largest. One that runs out of time gives nothing, since what it has found
        depends on how busy the machine is.
        """
        steps = _Steps(self.max_steps, self.timeout)
        parameters: Any = rdFMCS.MCSParameters()
        parameters.ProgressCallback = steps
        parameters.AtomCompareParameters.RingMatchesRingOnly = self.ring_matches_ring_only
        parameters.AtomCompareParameters.CompleteRingsOnly = self.complete_rings
        parameters.AtomCompareParameters.MatchChiralTag = self.match_chirality
        parameters.BondCompareParameters.RingMatchesRingOnly = self.ring_matches_ring_only
        parameters.BondCompareParameters.CompleteRingsOnly = self.complete_rings
        parameters.BondCompareParameters.MatchStereo = self.match_chirality
        with rdBase.BlockLogs():
            found = rdFMCS.FindMCS(list(molecules), parameters)
        ended = "" if not found.canceled else "steps" if steps.spent else "timeout"
        if ended == "timeout" or not found.numBonds:
            return Common("", 0, ended)
        return Common(found.smartsString, found.numAtoms, ended)


class _Steps(rdFMCS.MCSProgress):
    """Stops a search after some steps, or seconds.

    RDKit minds its own time limit only where nothing else is told of its progress.
    """

    def __init__(self, most: int, seconds: float) -> None:
        super().__init__()
        self.left = most
        self.deadline = time.monotonic() + seconds

    @property
    def spent(self) -> bool:
        """Whether it was this that stopped the search."""
        return self.left < 0

    def __call__(self, progress: Any, parameters: Any) -> bool:
        self.left -= 1
        return self.left >= 0 and time.monotonic() < self.deadline
