"""What the user sees while `fit` runs."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skorch.callbacks import Callback
from tqdm.auto import tqdm

WARM_UP, TIMED = 2, 5
"""Batches that are not timed (first use of memory and threads), and batches that are."""

LONG_FIT = 600.0
"""Seconds above which a fit on the CPU is worth a warning."""


class ProgressBar(Callback):
    """One bar for the whole fit: rate, time left, objective of the last batch, last recall."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Open the bar."""
        done = net.progress_.n_updates  # by the training that is gone on from
        self.bar_ = tqdm(total=self.n_steps, initial=done, desc=net.title, unit="batch")

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Advance by a batch."""
        if training:
            objective = net.history[-1, "batches", -1, "train_loss"]
            measured = {"objective": f"{objective:.3f}"}
            for record in net.progress_.records[-1:]:
                if "valid_R@5" in record:
                    measured["valid_R@5"] = f"{record['valid_R@5']:.3f}"
            self.bar_.set_postfix(measured, refresh=False)
            self.bar_.update()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Close the bar, at its end even where small batches were joined."""
        self.bar_.update(self.n_steps - self.bar_.n)
        self.bar_.close()


@contextmanager
def closing_bars(net: Any) -> Iterator[None]:
    """Close the bar of a training where it stands, should the training end with an error.

    Parameters
    ----------
    net : ContrastiveNet
        The training; skorch tells its callbacks nothing of errors.
    """
    try:
        yield
    finally:
        for _, callback in getattr(net, "callbacks_", []):
            if hasattr(callback, "bar_") and isinstance(callback, ProgressBar):
                callback.bar_.close()  # a second time, it does nothing


class TimeGuard(Callback):
    """Estimate the time of the whole fit from its first batches, and warn if it is long."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Start counting batches."""
        self.seen_ = 0

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Time the first batches after a warm-up."""
        self.seen_ += 1
        if self.seen_ == WARM_UP:
            self.since_ = time.perf_counter()
        elif self.seen_ == WARM_UP + TIMED:
            seconds = (time.perf_counter() - self.since_) / TIMED * self.n_steps
            if seconds > LONG_FIT:
                warnings.warn(
                    f"This fit will take about {seconds / 60:.0f} minutes on the CPU "
                    f"({self.n_steps} batches). To shorten it: lower `max_epochs`, give the "
                    "encoders smaller `hidden_sizes`, or use a GPU.",
                    stacklevel=2,
                )
