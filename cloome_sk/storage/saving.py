"""Storing a fitted embedder as a folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from cloome_sk.storage._card import card_of
from cloome_sk.storage._config import (
    CARD,
    CONFIG,
    WEIGHTS,
    build,
    classes_with,
    from_text,
    make_config,
    to_text,
    with_weights,
)
from cloome_sk.storage._errors import RefusedError
from cloome_sk.storage._files import check_target, write_folder
from cloome_sk.storage._weights import to_bytes


def save_embedder(
    embedder: Any,
    folder: str | PathLike[str],
    *,
    metrics: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    leave_out: Collection[str] = (),
) -> None:
    """Store a fitted embedder as a folder of three files, none of which can run anything.

    ``weights.safetensors`` has the weights; ``config.json`` the parameters, what was learned
    beside the weights, the keys of the training molecules, `metrics`, versions, and the SHA-256 of
    the weights; ``README.md`` is a model card to read, and to go on writing: its licence is left
    open. The three are written beside the folder and moved there when all are on the disk, so an
    interrupted call leaves what was there before, or nothing.

    Parameters
    ----------
    embedder : CloomeEmbedder
        Fitted. Encoders among its parameters are stored unfitted, as `sklearn.base.clone` has
        them; the fitted ones are stored as they are.
    folder : path-like
        The folder to be made, in one that exists.
    metrics : mapping of str to number or str, optional
        What the embedder reached, by whatever names; for ``config.json`` and the card.
    overwrite : bool, default=False
        Whether an earlier embedder in the folder is replaced. A folder that holds anything else
        never is.
    leave_out : collection of {"callbacks", "objective", "plate_table", "schedule", "validation"}
        Parameters that `fit` alone reads, of the embedder or an encoder, to be stored as their
        default: for functions, tables and other objects that no file without code can hold. With
        "validation" go `keep` and `early_stopping`, which `fit` refuses without it.

    Raises
    ------
    TypeError
        If a parameter cannot be stored without code: a function (`preprocess`, a network or an
        objective of one's own), a transformer, a table (`plate_table`). joblib stores those, and
        `leave_out` may leave out some.
    FileExistsError
        If the folder is not empty, without `overwrite`; or holds other files.
    OSError
        If it cannot be written: a full disk, a folder without permission.
    ValueError
        If parameters were changed after `fit` so that they no longer fit the weights.
    ImportError
        Without the package safetensors.
    sklearn.exceptions.NotFittedError
        If the embedder is not fitted.

    See Also
    --------
    load_embedder : Read the folder.

    Notes
    -----
    Parameters are stored as they were given: the paths `checkpoint`, `weights` and `cache` are in
    ``config.json`` by their full names, and a `RandomState` in the state that it has now, so that a
    `fit` after loading does what the next `fit` of this embedder would do.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from cloome_sk import CloomeEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.storage import load_embedder, save_embedder
    >>> X = make_profiles(n_compounds=12, random_state=0)  # simulated
    >>> embedder = CloomeEmbedder(n_components=8, max_epochs=1, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as place:
    ...     folder = Path(place, "embedder")
    ...     save_embedder(embedder, folder, metrics={"recall@10": 0.4})
    ...     print(sorted(path.name for path in folder.iterdir()))
    ...     again = load_embedder(folder, CloomeEmbedder)
    ['README.md', 'config.json', 'weights.safetensors']
    >>> bool((again.transform(X) == embedder.transform(X)).all())
    True
    """
    classes_with(type(embedder))
    check_is_fitted(embedder)
    folder = Path(folder).resolve()
    check_target(folder, {WEIGHTS, CONFIG, CARD}, overwrite)
    weights = to_bytes(embedder.state_)
    config = make_config(embedder, weights, metrics, leave_out)
    text = to_text(config)
    try:
        # What would not load is not worth storing.
        read = build(from_text(text), type(embedder))
        with_weights(read, {name: np.asarray(part) for name, part in embedder.state_.items()})
    except RefusedError as error:
        raise ValueError(
            f"The embedder cannot be stored, for what is stored could not be loaded: {error.key}: "
            f"{error.reason} Were parameters changed after fit?"
        ) from error
    card = card_of(embedder, config, folder.name)
    write_folder(folder, {WEIGHTS: weights, CONFIG: text.encode(), CARD: card.encode()})
