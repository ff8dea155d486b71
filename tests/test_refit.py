from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from cloome_sk._refit import unchanged_on_error


class Fitted(BaseEstimator):
    """Changes, adds and removes attributes, then raises what it is told to."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    def fit(self, X, y=None):
        with unchanged_on_error(self):
            X = validate_data(self, X)
            self.mean_ = X.mean(axis=0)
            self.new_ = True
            if self.error is not None:
                vars(self).pop("kept_", None)
                raise self.error
        return self


def test_a_block_that_ends_well_changes_the_estimator():
    fitted = Fitted().fit(np.array([[1.0, 3.0]]))
    assert fitted.mean_.tolist() == [1.0, 3.0]
    assert fitted.n_features_in_ == 2


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_failed_refit_leaves_every_attribute(error):
    fitted = Fitted().fit(np.array([[1.0, 3.0]]))
    del fitted.new_
    fitted.kept_ = "kept"
    fitted.set_params(error=error)
    before = dict(vars(fitted))
    with pytest.raises(type(error)):
        fitted.fit(np.ones((2, 5)))
    assert list(vars(fitted)) == list(before)
    assert all(vars(fitted)[name] is value for name, value in before.items())


def test_a_failed_first_fit_leaves_nothing_fitted():
    fitted = Fitted(error=ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        fitted.fit(np.ones((2, 5)))
    assert set(vars(fitted)) == {"error"}
