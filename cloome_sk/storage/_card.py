"""The model card: what a person should know before using a stored embedder."""

from __future__ import annotations

import inspect
from pathlib import PurePath
from typing import Any

import numpy as np

from cloome_sk.storage._config import CONFIG, FORMAT, WEIGHTS

LISTED = 12
OF_ONE_MACHINE = {
    *("cache", "checkpoint", "checkpoint_dir", "checkpoint_every", "device", "n_jobs", "verbose"),
    "weights",
}
"""Parameters that say nothing of the model, and often a path; they are in the configuration."""

_HEADER = """---
# Choose a licence before you publish this folder, and remove the sign in front of it:
# license: mit
library_name: cloome_sk
pipeline_tag: feature-extraction
tags:
- cell-painting
- contrastive-learning
- drug-discovery
- molecules
- cloome
---
"""
_SIDES = {
    "ProfileEncoder": "image-based profiles (rows of features)",
    "ImageEncoder": "microscopy images",
    "BagEncoder": "bags of samples, such as all sites of a well",
}


def card_of(embedder: Any, config: dict[str, Any], name: str) -> str:
    """Give the text of the card."""
    kind = type(embedder.phenotype_).__name__
    sections = [
        f"# {_line(name)}",
        f"A `CloomeEmbedder` of cloome_sk. It embeds {_SIDES[kind]} and chemical structures as "
        f"unit vectors in one space of {embedder.n_components_} dimensions, so that each can be "
        "searched with the other.",
        "## How to load it",
        "```python\nfrom cloome_sk import CloomeEmbedder\n\n"
        'embedder = CloomeEmbedder.load("path/of/this/folder")\n'
        "embedder.embed_phenotypes(table)       # a table with the columns named below\n"
        f"embedder.embed_molecules({_molecules(embedder)})\n```",
        f"Nothing in this folder is a program: `{WEIGHTS}` holds numbers, `{CONFIG}` "
        f"parameters (format {FORMAT}).",
        "## What it was trained on",
        *_training(embedder),
        "## What it takes",
        *_inputs(embedder),
        "## Parameters",
        "Those that are not the default; all are in `config.json`.",
        _table(("parameter", "value"), _changed(embedder, config["left_out"])),
        *_left_out(config["left_out"]),
        "## Metrics",
        _metrics(config["metrics"]),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(embedder)),
        "## Versions",
        _table(
            ("package", "version"), [(_line(k), _line(v)) for k, v in config["versions"].items()]
        ),
    ]
    return _HEADER + "\n" + "\n\n".join(sections) + "\n"


def _molecules(embedder: Any) -> str:
    return "features" if embedder.molecule_._precomputed else '["CCO", "c1ccccc1"]'


def _training(embedder: Any) -> list[str]:
    lines = []
    if embedder.checkpoint_sha256_ is not None:
        lines.append(
            "The weights come from a published file with the SHA-256 "
            f"`{embedder.checkpoint_sha256_}`, "
            + ("and were trained further." if embedder.n_pairs_ else "and were taken as they are.")
        )
    if embedder.n_pairs_:
        lines.append(
            f"{embedder.n_pairs_:,} pairs of a phenotype and a molecule. The keys of all "
            f"{len(embedder.molecules_seen_):,} molecules that were trained on or validated with "
            f"are in `{CONFIG}` (`molecules_seen_`). {len(embedder.skipped_rows_):,} further rows "
            "could not be read and were left out."
        )
    if embedder.controls_ is not None:
        lines.append(f"Controls: {_line(embedder.controls_)}")
    plates = _plates(embedder)
    lines.append(
        f"Numbers of {len(plates):,} plates are stored ({_names(plates)})."
        if plates
        else "The plates it was trained on are not recorded."
    )
    lines.append("*Add here: the assay, the cell line, where the data can be had.*")
    return lines


def _plates(embedder: Any) -> list[Any]:
    encoder = _rows_encoder(embedder)
    known = (getattr(encoder, name, {}) for name in ("plate_limits_", "plate_statistics_"))
    return list(dict.fromkeys(plate for plates in known for plate in plates))


def _rows_encoder(embedder: Any) -> Any:
    return getattr(embedder.phenotype_, "encoder_", embedder.phenotype_)


def _inputs(embedder: Any) -> list[str]:
    encoder, molecule = _rows_encoder(embedder), embedder.molecule_
    lines = []
    if encoder is not embedder.phenotype_:
        pooling = f"Bags: rows that share {_code(embedder.phenotype_.group_by)}, pooled by "
        lines.append(pooling + f"{_code(embedder.phenotype_.pooling)}.")
    if hasattr(encoder, "channels_"):
        lines.append(
            f"Channels, in the order of the network: {_names(encoder.channels_)}. Scaling "
            f"{_code(encoder.scaling)}, normalization {_code(_plain(encoder.normalization))}."
        )
        if encoder.mean_ is not None:
            rows = [
                (_code(channel), f"{mean:.6g}", f"{std:.6g}")
                for channel, mean, std in zip(
                    encoder.channels_, encoder.mean_, encoder.std_, strict=True
                )
            ]
            lines.append(_table(("channel", "mean", "standard deviation"), rows))
    else:
        n_columns = len(encoder.column_positions_)
        columns = "" if encoder.column_names_ is None else f": {_names(encoder.column_names_)}"
        lines.append(
            f"{n_columns:,} feature columns{columns}. Scaling {_code(encoder.scaling)}, clipped at "
            f"{_code(encoder.clip)}."
        )
    if molecule._precomputed:
        lines.append(f"Molecules: {molecule.n_inputs_:,} precomputed features.")
    else:
        lines.append(
            f"Molecules: SMILES, as Morgan fingerprints of radius {molecule.radius} with "
            f"{molecule.n_bits:,} bits, {'with' if molecule.use_chirality else 'without'} "
            "stereochemistry."
        )
    return lines


def _limits(embedder: Any) -> list[str]:
    lines = [
        "For research. It is no medical device, and nothing about a patient should rest on it.",
        "Cells, stains, microscopes and plates other than those it was trained on change images "
        "more than most compounds do: check it on controls of your own first.",
        "A molecule unlike those it was trained on is embedded all the same, and no number says "
        "how far to trust that.",
    ]
    if embedder.checkpoint_sha256_ is not None:
        lines.append(
            "Which molecules the published weights were trained on is not known to it: a test on "
            "unseen molecules may contain some of them."
        )
    if embedder.n_pairs_:
        lines.append(
            "A test of it must leave out the molecules it has seen, under any salt or "
            "spelling: compare by `cloome_sk.molecules.molecule_key`."
        )
    if _plates(embedder):
        lines.append(
            "Plates that are not listed need their controls first: `embedder.phenotype_.fit_plates`"
        )
    return lines


def _changed(embedder: Any, left_out: list[str]) -> list[tuple[str, str]]:
    """Parameters that are not the default: of the embedder, and of the encoders it used."""
    rows = []
    parts = [("", embedder), ("phenotype", embedder.phenotype_), ("molecule", embedder.molecule_)]
    if _rows_encoder(embedder) is not embedder.phenotype_:
        parts.insert(2, ("phenotype__encoder", _rows_encoder(embedder)))
    for prefix, part in parts:
        defaults = inspect.signature(type(part)).parameters
        for name, value in part.get_params(deep=False).items():
            own = f"{prefix}__{name}" if prefix else name
            skipped = name in OF_ONE_MACHINE or name in left_out or isinstance(value, PurePath)
            skipped |= hasattr(value, "get_params")
            if not skipped and repr(value) != repr(defaults[name].default):
                rows.append((_code(own), _code(_plain(value))))
    return rows


def _left_out(names: list[str]) -> list[str]:
    if not names:
        return []
    return [f"Trained with another value than the default, which is not stored: {_names(names)}."]


def _metrics(metrics: dict[str, Any] | None) -> str:
    if not metrics:
        return "None were given."
    rows = [
        (_line(name), f"{value:.6g}" if isinstance(value, float) else _line(_number(value)))
        for name, value in metrics.items()
    ]
    return _table(("metric", "value"), rows)


def _number(value: Any) -> Any:
    return value["$float"] if isinstance(value, dict) else value


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_plain(part) for part in value)
    return value.item() if isinstance(value, np.generic) else value


def _names(names: Any) -> str:
    listed = [_code(_plain(name)) for name in list(names)[:LISTED]]
    more = len(names) - len(listed)
    return ", ".join(listed) + (f" and {more:,} more" if more > 0 else "")


def _line(value: Any) -> str:
    """A text that stays in its line and means no more than its letters."""
    text = " ".join(str(value).split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#~" else sign for sign in text)


def _code(value: Any) -> str:
    """A value as code; an apostrophe in place of the sign that would end it."""
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split()).replace("`", "'").replace("|", "/")
    return f"`{text[:200]}{'...' if len(text) > 200 else ''}`"


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    if not rows:
        return "None."
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
