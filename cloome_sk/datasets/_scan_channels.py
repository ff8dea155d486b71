"""Which channel the files of a scanned folder show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.datasets._patterns import Naming
from cloome_sk.imaging.channels import Channels

ChannelMap = Mapping[int, str | None] | Mapping[str, str | None] | Sequence[str] | None


def stack_channels(channels: ChannelMap, *, purpose: str) -> tuple[str, ...]:
    """The channels of files that hold all of a site, in order."""
    if channels is None or isinstance(channels, Mapping):
        raise ValueError(
            f"{purpose}: the pattern has no group 'channel', so each file holds all channels: name "
            'them in their order, channels=["DNA", ...].'
        )
    return _canonical(channels, purpose)


def named_channels(
    files: pd.DataFrame, names: Naming, channels: ChannelMap, *, purpose: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The files of the channels to take, with a column ``name``; and these channels in order."""
    labels = files["channel"].to_numpy()
    if "stain" in files:
        stains = files["stain"].to_numpy()
        numbered = np.array([(names.channels or {}).get(label) for label in labels], dtype=object)
        files = files.assign(astray=~pd.isna(stains) & (stains != numbered))
        labels = np.where(pd.isna(stains), labels, stains)
    unnamed = pd.isna(labels)
    if unnamed.any():
        raise ValueError(
            f"{purpose}: {int(unnamed.sum())} files match the pattern without its group 'channel', "
            f"such as {files['path'].iloc[int(unnamed.argmax())]!r}."
        )
    codes, distinct = pd.factorize(labels, sort=True)
    if isinstance(channels, Mapping):
        name_of = _by_mapping(list(distinct), channels, purpose)
    else:
        name_of = _by_name(list(distinct), names.channels or {}, purpose)
    wanted = tuple(dict.fromkeys(name for name in name_of.values() if name is not None))
    if channels is not None and not isinstance(channels, Mapping):
        seen = wanted
        wanted = _canonical(channels, purpose)
        absent = [name for name in wanted if name not in seen]
        if absent:
            raise ValueError(
                f"{purpose}: no file is of channel {shown(absent)}. Channels seen: {shown(seen)}."
            )
    of_label = np.array([*(name_of[label] for label in distinct), None], dtype=object)[codes]
    taken = pd.Series(of_label).isin(wanted).to_numpy()
    return files.assign(name=of_label)[taken].reset_index(drop=True), wanted


def _by_mapping(
    labels: list[str], channels: Mapping[int, str | None] | Mapping[str, str | None], purpose: str
) -> dict[str, str | None]:
    """The channel that the user gives each label; None leaves its files out."""
    given = {_plain(label): name for label, name in channels.items()}
    seen = f"Labels seen: {shown(labels)}."
    unnamed = [label for label in labels if _plain(label) not in given]
    if unnamed:
        raise ValueError(
            f"{purpose}: channels= says nothing of {shown(unnamed)}. {seen} None as a channel "
            "leaves files out."
        )
    absent = [label for label in given if label not in set(map(_plain, labels))]
    if absent:
        raise ValueError(f"{purpose}: no file is of channel {shown(absent)}. {seen}")
    kept = {label: name for label, name in given.items() if name is not None}
    canonical = dict(zip(kept, _canonical(list(kept.values()), purpose), strict=True))
    order = list(given)
    labels = sorted(labels, key=lambda label: order.index(_plain(label)))
    return {label: canonical.get(_plain(label)) for label in labels}


def _by_name(labels: list[str], fixed: Mapping[str, str], purpose: str) -> dict[str, str | None]:
    """The channel of each label, where the naming fixes it or the label is a name."""
    named = [fixed.get(_plain(label), label) for label in labels]
    numbers = [_plain(name) for name in named if name.isdecimal()]
    if numbers:
        example = ", ".join(f'{number}: "..."' for number in numbers)
        raise ValueError(
            f"{purpose}: the file names say channels by number only ({shown(numbers)}). Say which "
            f"they are: channels={{{example}}}."
        )
    # A folder may name some channels (Hoechst) where another has numbers (w1).
    names = dict.fromkeys(named)
    canonical = dict(zip(names, _canonical(list(names), purpose), strict=True))
    return {label: canonical[name] for label, name in zip(labels, named, strict=True)}


def _canonical(channels: Sequence[str], purpose: str) -> tuple[str, ...]:
    try:
        return Channels(channels).names
    except ValueError as error:
        raise ValueError(f"{purpose}: channels: {error}.") from error


def _plain(label: object) -> str:
    """One spelling of a label: 1, "1" and "01" are the same."""
    text = str(label).strip()
    return str(int(text)) if text.isdecimal() else text
