"""The estimators that use embeddings, held against scikit-learn's own contract."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from cloome_sk.retriever import CrossModalRetriever
from cloome_sk.zero_shot import ZeroShotMoAClassifier


@parametrize_with_checks(
    [
        CrossModalRetriever(),
        CrossModalRetriever(n_neighbors=1, query="phenotype"),
        ZeroShotMoAClassifier(),
        ZeroShotMoAClassifier(aggregate="max", inv_tau=30.0, reference="molecule"),
    ],
    xfail_strict=True,
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("module", ["cloome_sk.retriever", "cloome_sk.zero_shot"])
def test_import_needs_no_deep_learning(module):
    code = f"import sys, {module}; print(sorted({{'torch', 'skorch'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
