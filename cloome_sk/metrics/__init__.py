"""Metrics with their chance level and interval beside them: retrieval, replicates, calibration."""

from cloome_sk.metrics._intervals import bootstrap_interval, clopper_pearson
from cloome_sk.metrics.average_precision import average_precision_at_n, average_precision_chance
from cloome_sk.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    reliability_curve,
)
from cloome_sk.metrics.mean_ap import mean_average_precision
from cloome_sk.metrics.profile_ap import profile_average_precision
from cloome_sk.metrics.retrieval import retrieval_metrics, retrieval_ranks

__all__ = [
    "average_precision_at_n",
    "average_precision_chance",
    "bootstrap_interval",
    "brier_score",
    "clopper_pearson",
    "expected_calibration_error",
    "mean_average_precision",
    "profile_average_precision",
    "reliability_curve",
    "retrieval_metrics",
    "retrieval_ranks",
]
