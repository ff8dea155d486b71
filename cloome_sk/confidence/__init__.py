"""How far predictions and hits can be trusted: learned on molecules that nothing else has seen."""

from __future__ import annotations

from cloome_sk.confidence.calibration import Calibration
from cloome_sk.confidence.nested import NestedScores
from cloome_sk.confidence.significance import Null, selective_q
from cloome_sk.confidence.temperature import fit_inv_tau

__all__ = ["Calibration", "NestedScores", "Null", "fit_inv_tau", "selective_q"]
