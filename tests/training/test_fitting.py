"""What a training does not take from where it is called."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder


def fitted(context, **changes):
    embedder = CloomeEmbedder(
        ProfileEncoder(hidden_sizes=(16,)),
        MoleculeEncoder(hidden_sizes=(16,)),
        n_components=8,
        batch_size=30,
        max_epochs=4,
        lr=1e-2,
        schedule=None,
        validation=0.3,
        device="cpu",
        random_state=3,
        **changes,
    )
    with context:
        return embedder.fit(make_profiles(n_compounds=24, random_state=0))


@pytest.mark.parametrize("gradient_cache", [None, 7])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("cache", [True, False])
def test_an_autocast_around_a_fit_changes_nothing(precision, gradient_cache, cache):
    changes = {"precision": precision, "gradient_cache": gradient_cache}
    alone = fitted(nullcontext(), **changes)
    context = torch.autocast("cpu", torch.bfloat16, cache_enabled=cache)
    inside = fitted(context, **changes)
    for name, value in alone.state_.items():
        np.testing.assert_array_equal(inside.state_[name], value, err_msg=name)
    assert inside._history == alone._history
    assert not torch.is_autocast_enabled("cpu")


def test_an_update_in_half_precision_uses_the_weights_of_the_one_before():
    """With casts that are kept from one update to the next, objectives would fall otherwise."""
    half, full = (
        fitted(nullcontext(), precision=precision).history_ for precision in ("bf16", "fp32")
    )
    np.testing.assert_allclose(half["objective"], full["objective"], rtol=0.1)
    np.testing.assert_allclose(half["valid_objective"], full["valid_objective"], rtol=0.1)
