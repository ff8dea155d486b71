"""scikit-learn's own checks, run for real on the numeric form of X."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder


def small_embedder(**params):
    """An embedder of a numeric matrix [profile | fingerprint], quick to fit."""
    return CloomeEmbedder(
        phenotype=ProfileEncoder(columns=[0], hidden_sizes=(8,)),
        molecule=MoleculeEncoder(columns=slice(1, None), features="precomputed", hidden_sizes=(8,)),
        n_components=4,
        max_epochs=2,
        device="cpu",
        **params,
    )


@parametrize_with_checks(
    [
        small_embedder(),
        small_embedder(objective="infoloob"),
        small_embedder(output="both"),
    ],
    xfail_strict=True,
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)
