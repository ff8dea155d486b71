"""What a checkpoint holds, in lines for a person to read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cloome_sk.checkpoints.published import LISTED_FILES, PUBLISHED

if TYPE_CHECKING:
    from cloome_sk.checkpoints.reading import Checkpoint

_NAMED = 6
"""Items of a list that are named; the others are counted."""
_NOT_TRAINED = ("running_mean", "running_var", "num_batches_tracked")


def listing(items: Iterable[str], separator: str = ", ") -> str:
    """Join items with a separator, the first few by name."""
    items = list(items)
    more = len(items) - _NAMED
    return separator.join(items[:_NAMED]) + (f"{separator}and {more} more" if more > 0 else "")


def describe(checkpoint: Checkpoint) -> str:
    """Say what is in the file, and what is assumed about what is not."""
    return "\n".join(
        [
            *_aligned(_inside(checkpoint)),
            "",
            "Not in the file; assumed to be as in the published CLOOME unless you say otherwise:",
            *_aligned(_assumed(checkpoint)),
        ]
    )


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def _inside(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    n_phenotype, n_molecule = map(_n_parameters, (checkpoint.phenotype, checkpoint.molecule))
    width = checkpoint.phenotype["conv1.weight"].shape[0]
    blocks = [len(_blocks(checkpoint, stage)) for stage in range(1, 5)]
    widths = [checkpoint.n_bits, *checkpoint.hidden_sizes, checkpoint.n_components]
    listed = LISTED_FILES.get(checkpoint.sha256)
    rows = [
        ("file", str(checkpoint.path)),
        ("sha256", checkpoint.sha256 + (f" (listed elsewhere as {listed})" if listed else "")),
        (
            "phenotype",
            f"ResNet-50 (width {width}; blocks {', '.join(map(str, blocks))}), "
            f"{checkpoint.n_channels} channels to {checkpoint.n_components} components, "
            f"{n_phenotype:,} parameters",
        ),
        (
            "molecule",
            f"multilayer perceptron {' - '.join(map(str, widths))}, {n_molecule:,} parameters",
        ),
        ("parameters", f"{n_phenotype + n_molecule + 1:,} with the temperature"),
        (
            "inverse temperature",
            f"{checkpoint.inv_tau:.4g} (stored as its logarithm, {checkpoint.log_inv_tau:.4f})",
        ),
        ("stored as", checkpoint.dtype),
        ("prefix of all names", repr(checkpoint.prefix) if checkpoint.prefix else "none"),
    ]
    if checkpoint.epoch is not None:
        rows.append(("epoch", str(checkpoint.epoch)))
    if checkpoint.name is not None:
        rows.append(("name", repr(checkpoint.name)))
    ignored = [f"{name!r} ({size / 1e6:.1f} MB)" for name, size in checkpoint.ignored.items()]
    rows.append(("ignored", listing(ignored) if ignored else "nothing"))
    return rows


def _assumed(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    n_published = len(PUBLISHED.channels)
    if checkpoint.n_channels == n_published:
        rows = [
            ("channels", f"{', '.join(PUBLISHED.channels)}, in this order"),
            ("mean", f"{', '.join(map(str, PUBLISHED.mean))} (8-bit grey levels)"),
            ("divided by", "the mean, in place of the standard deviation, as in training"),
        ]
    else:
        rows = [
            (
                "channels",
                f"this network has {checkpoint.n_channels}, the published one {n_published}: "
                "name them, with their mean and std",
            )
        ]
    if checkpoint.n_bits == PUBLISHED.n_bits:
        fingerprint = f"Morgan, {PUBLISHED.n_bits} bits, radius {PUBLISHED.radius}, chirality"
    else:
        fingerprint = (
            f"not known for {checkpoint.n_bits:,} bits: precomputed fingerprints only, of the kind "
            "it was trained with"
        )
    return [
        *rows,
        ("scaling", f"{PUBLISHED.scaling!r}, 16 to 8 bits"),
        ("crop", f"centre, {PUBLISHED.crop[0]} x {PUBLISHED.crop[1]} pixels"),
        ("pooling", f"{PUBLISHED.pooling!r}: 7 x 7 windows, then their mean"),
        ("fingerprint", fingerprint),
    ]


def _n_parameters(weights: dict) -> int:
    """Number of trained weights: without the running statistics of BatchNorm."""
    return sum(a.size for name, a in weights.items() if not name.endswith(_NOT_TRAINED))


def _blocks(checkpoint: Checkpoint, stage: int) -> set[str]:
    start = f"layer{stage}."
    return {name.split(".")[1] for name in checkpoint.phenotype if name.startswith(start)}
