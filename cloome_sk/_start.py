"""Weights that training starts from, or that are used as they are: of a file, put in place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from cloome_sk._tables import shown
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder
from cloome_sk.encoders.base import Encoder

if TYPE_CHECKING:
    from torch import nn

    from cloome_sk.checkpoints import Checkpoint
    from cloome_sk.networks import DualEncoder

LISTED = 4
OF_TRAINING = (
    *(
        "objective",
        "beta",
        "lr",
        "lr_factors",
        "weight_decay",
        "schedule",
        "clip_norm",
        "ema_decay",
    ),
    *("batch_size", "gradient_cache", "batch_plates", "batch_labels", "max_epochs", "positives"),
    *("validation", "monitor", "early_stopping", "keep", "checkpoint_dir", "checkpoint_every"),
    *("warm_start", "callbacks", "compile"),
)
"""Parameters that nothing reads where nothing is trained."""


def trainable_patterns(embedder: Any) -> tuple[str, ...] | None:
    """Patterns of the weights to train: None for all, () for none."""
    given = embedder.trainable
    if _untold(embedder):
        return None if embedder.checkpoint is None else ()
    if isinstance(given, (bool, np.bool_)):
        return None if given else ()
    return (given,) if isinstance(given, str) else tuple(given)


def _untold(embedder: Any) -> bool:
    """Whether the user leaves it open what to train."""
    return isinstance(embedder.trainable, str) and embedder.trainable == "auto"


def check_start(embedder: Any, resume: bool = False) -> None:
    """Refuse patterns that are none, and to train nothing of what was never trained."""
    patterns = trainable_patterns(embedder)
    if patterns is not None and not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(
            'trainable= takes "auto", True, False, or names of weights with wildcards, such as '
            f'["molecule", "phenotype.backbone.layer4"]; got {embedder.trainable!r}.'
        )
    if patterns == () and embedder.checkpoint is None:
        raise ValueError(
            f"trainable={embedder.trainable!r} trains nothing, and without checkpoint= there are "
            "no weights but random ones."
        )
    _check_temperature(embedder, patterns)
    for pattern, factor in (embedder.lr_factors or {}).items():
        number = isinstance(factor, (int, float, np.number)) and np.isfinite(factor) and factor > 0
        if not isinstance(pattern, str) or not number:
            raise ValueError(
                "lr_factors= maps names of weights to positive factors of the learning rate, such "
                f'as {{"phenotype.backbone": 0.1}}; got {pattern!r}: {factor!r}. Weights that are '
                "not to be trained at all are left out of trainable=."
            )
    if patterns == () and _untold(embedder):
        _check_asked_to_train(embedder, resume)


def _check_asked_to_train(embedder: Any, resume: bool) -> None:
    """Refuse what is of training where the user did not say that nothing is to be trained."""
    defaults = inspect.signature(type(embedder)).parameters
    given = {name: getattr(embedder, name) for name in OF_TRAINING}
    asked = [
        f"{name}={_short(value)}"
        for name, value in given.items()
        if not _unset(value, defaults[name].default)
    ]
    asked += ["fit(resume=True)"] if resume else []
    if asked:
        raise ValueError(
            f'{", ".join(asked)}: of training alone, and trainable="auto" trains nothing of a '
            "checkpoint. Say what to train: trainable=True, or names of weights, such as "
            'trainable=["molecule", "phenotype.backbone.layer4"]; or set trainable=False, beside '
            "which they have no effect."
        )


def _unset(value: Any, default: Any) -> bool:
    if value is default or (isinstance(value, (list, tuple, Mapping)) and not value):
        return True
    return isinstance(value, (str, bool, int, float, np.generic)) and bool(value == default)


def _short(value: Any) -> str:
    """Show a value; a table by its size."""
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {value.shape}"
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."


def _check_temperature(embedder: Any, patterns: tuple[str, ...] | None) -> None:
    """Refuse to be told both to train the temperature and to leave it as it is."""
    asked = not isinstance(embedder.learn_inv_tau, str) and bool(embedder.learn_inv_tau)
    # Next to an outspoken "train nothing", as one of the choices of a search, it has no effect.
    if patterns is None or not asked or not (patterns or _untold(embedder)):
        return
    from cloome_sk.training.fine_tuning import matches

    if not any(matches("log_inv_tau", pattern) for pattern in patterns):
        raise ValueError(
            f"learn_inv_tau=True asks to train the temperature, and trainable="
            f"{embedder.trainable!r} leaves it as it is. Add its name, "
            f'trainable={[*patterns, "log_inv_tau"]!r}, or set learn_inv_tau="auto".'
        )


def read_start(embedder: Any, checkpoint: Checkpoint | None = None) -> Checkpoint | None:
    """Read the checkpoint that is asked for, and compare its embedding with the parameters."""
    if embedder.checkpoint is None:
        return None
    from cloome_sk.checkpoints import CheckpointError, read_checkpoint

    checkpoint = checkpoint or read_checkpoint(embedder.checkpoint)
    if checkpoint.n_components != embedder.n_components:
        raise CheckpointError(
            checkpoint.path,
            f"embeds in {checkpoint.n_components} components, and n_components="
            f"{embedder.n_components}: set n_components={checkpoint.n_components}.",
        )
    return checkpoint


def encoders_for(embedder: Any, checkpoint: Checkpoint) -> tuple[Encoder, MoleculeEncoder]:
    """Give the encoders that the user chose, else those of the published model."""
    from cloome_sk.checkpoints import PUBLISHED, CheckpointError

    if not isinstance(embedder.phenotype, str):
        phenotype = clone(embedder.phenotype)
    elif checkpoint.n_channels == len(PUBLISHED.channels):
        phenotype = ImageEncoder.published()
    else:
        raise CheckpointError(
            checkpoint.path,
            f"takes {checkpoint.n_channels} channels, the published model "
            f"{len(PUBLISHED.channels)}. Say which they are, and how they are scaled: "
            "CloomeEmbedder(phenotype=ImageEncoder.published(channels=[...], "
            "normalization=(mean, std)), checkpoint=...).",
        )
    if embedder.molecule is not None:
        return phenotype, clone(embedder.molecule)
    if checkpoint.n_bits == PUBLISHED.n_bits:
        molecule = MoleculeEncoder(
            radius=PUBLISHED.radius,
            n_bits=PUBLISHED.n_bits,
            use_chirality=PUBLISHED.use_chirality,
            hidden_sizes=checkpoint.hidden_sizes,
        )
    else:
        # No file says what its bits mean, and the same width can be filled in many ways.
        molecule = MoleculeEncoder(features="precomputed", hidden_sizes=checkpoint.hidden_sizes)
    return phenotype, molecule


def start_weights(
    phenotype: Encoder,
    molecule: Encoder,
    checkpoint: Checkpoint | None,
    trainable: tuple[str, ...] | None,
) -> Callable[[DualEncoder], None]:
    """Give what puts the weights of all files into a fresh network.

    With a checkpoint, what is in no file must be trained.
    """

    def put(network: DualEncoder) -> None:
        phenotype.load_weights(network.phenotype)
        molecule.load_weights(network.molecule)
        if checkpoint is not None:
            parts = (
                phenotype.pretrained_part(network.phenotype),
                molecule.pretrained_part(network.molecule),
            )
            _put(checkpoint, "phenotype", parts[0])
            _put(checkpoint, "molecule", parts[1])
            network.log_inv_tau.data.fill_(checkpoint.log_inv_tau)
            _refuse_random(network, parts, checkpoint, trainable)

    return put


def _refuse_random(
    network: DualEncoder,
    parts: tuple[nn.Module, ...],
    checkpoint: Checkpoint,
    trainable: tuple[str, ...] | None,
) -> None:
    """Refuse weights that are neither in the file nor to be trained."""
    from cloome_sk.training.fine_tuning import matches

    if trainable is None:
        return
    in_file = {id(weight) for part in parts for weight in part.parameters()}
    left = [
        name
        for name, weight in network.named_parameters()
        if id(weight) not in in_file
        and name != "log_inv_tau"
        and not any(matches(name, pattern) for pattern in trainable)
    ]
    if left:
        where = left[0].rpartition(".")[0]
        raise ValueError(
            f"{len(left)} weights, {shown(left, LISTED)}, are not in {checkpoint.path}, and would "
            f"stay random: train them, trainable={[*trainable, where]!r}, or leave out what needs "
            "them (the mean of a bag has no weights)."
        )


def _put(checkpoint: Checkpoint, side: str, part: nn.Module) -> None:
    import torch

    given: Mapping[str, np.ndarray] = getattr(checkpoint, side)
    own = {name: tuple(value.shape) for name, value in part.state_dict().items()}
    if problems := _differences(given, own):
        from cloome_sk.checkpoints import CheckpointError

        raise CheckpointError(
            checkpoint.path,
            f"its weights do not fit the network of {side}=: {'; '.join(problems)}. The file has "
            f"{_sizes(checkpoint, side)}.",
        )
    part.load_state_dict({name: torch.from_numpy(value) for name, value in given.items()})


def _differences(given: Mapping[str, np.ndarray], own: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Say how weights differ from those of a network, sizes first."""
    reshaped = [
        f"{name} is {given[name].shape} in the file and {shape} in the network"
        for name, shape in own.items()
        if name in given and given[name].shape != shape
    ]
    missing = [f"{name} is not in the file" for name in own if name not in given]
    unknown = [f"{name} is not in the network" for name in given if name not in own]
    everything = [*reshaped, *missing, *unknown]
    more = len(everything) - LISTED
    return everything[:LISTED] + ([f"and {more} more"] if more > 0 else [])


def _sizes(checkpoint: Checkpoint, side: str) -> str:
    if side == "phenotype":
        return (
            f"{checkpoint.n_channels} channels and {checkpoint.n_components} components, of "
            'network="resnet50" (ImageEncoder.published() has its settings)'
        )
    hidden = ", ".join(map(str, checkpoint.hidden_sizes))
    return (
        f"{checkpoint.n_bits:,} inputs and hidden_sizes=({hidden}), as in MoleculeEncoder(n_bits="
        f"{checkpoint.n_bits}, hidden_sizes=({hidden}))"
    )


def untrained_state(
    phenotype: Encoder, molecule: Encoder, checkpoint: Checkpoint
) -> dict[str, np.ndarray]:
    """Give the weights of the whole network when nothing of it is trained."""
    import torch

    from cloome_sk.networks import DualEncoder

    n_components = checkpoint.n_components
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.inference_mode(False):
        network = DualEncoder(
            phenotype.make_network(n_components), molecule.make_network(n_components)
        )
        start_weights(phenotype, molecule, checkpoint, trainable=())(network)
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}
