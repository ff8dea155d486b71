"""Weights and what stands beside them, described in errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def listed(names: Iterable[object], n: int = 4) -> str:
    """Give the first few of many names, and the number of the others."""
    every = [str(name) for name in names]
    more = f" and {len(every) - n} more" if len(every) > n else ""
    return ", ".join(every[:n]) + more


def described(value: object) -> str:
    """Say of what type something is, in an error."""
    empty = isinstance(value, Mapping) and not value
    return f"of type {type(value).__name__}" + (" (empty)" if empty else "")
