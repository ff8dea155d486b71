"""A fit that fails leaves the earlier fit as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Put the attributes of an estimator back as they were when the block raises.

    The attributes are kept, not copied: the block must assign new objects and not change the old
    ones in place.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        # Interrupting a long fit from the keyboard must not leave half of it behind either.
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
