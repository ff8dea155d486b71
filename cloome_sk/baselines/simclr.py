"""SimCLR on phenotypes: what images say without any label."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval

from cloome_sk.baselines._phenotype_fit import PARAMETERS
from cloome_sk.baselines._self_supervised import History, SelfSupervisedEmbedder, State


class SimCLREmbedder(SelfSupervisedEmbedder):
    """Train a phenotype encoder to recognise two random views of one sample (SimCLR [1]_).

    Each sample of a batch is shown twice, each time in another random view: an image flipped,
    turned, cropped, a little brighter; a profile with other features left out. Encoder and
    projection head learn to tell the two from the views of all other samples, by
    `cloome_sk.objectives.nt_xent`. Neither labels nor molecules are used. The head is thrown away
    after training: the embedding is what the encoder gives.

    Parameters
    ----------
    phenotype : "auto" or encoder, default="auto"
        As in `cloome_sk.CloomeEmbedder`; cloned. What is random in it in training makes the views:
        ``augmentation`` and ``crop`` of an `ImageEncoder`, dropout of a `ProfileEncoder`, the
        draws of a `BagEncoder`. There must be something.
    n_components : int, default=512
        Size of the embedding, and of the hidden layer of the head.
    projection_size : int, default=128
        Size of what the loss compares, behind the head.
    temperature : float, default=0.1
        Of the loss. Lower ones look at the nearest negatives alone.
    lr : float, default=1e-3
        Learning rate of AdamW (the highest one, under a schedule).
    weight_decay : float, default=0.1
        Weight decay of AdamW; biases and norms are not decayed.
    schedule : {"one-cycle", "cosine", "cosine-restarts", None} or callable, default="one-cycle"
        Learning rate over the fit, as in `cloome_sk.CloomeEmbedder`.
    batch_size : int, default=256
        Samples in a batch (>= 2), each in two views. All others are negatives.
    max_epochs : int, default=70
        How often each sample is seen (>= 1), in two views.
    controls : "auto", (column, value or values) or None, default="auto"
        Rows of negative controls.
    with_controls : bool, default=True
        Whether negative controls are trained on: they are phenotypes like any other.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="fp32"
        What the network computes in, as in `cloome_sk.CloomeEmbedder`; the loss is float32.
    device : str, default="auto"
        "auto" takes a CUDA device where there is one, else the CPU; or the name of a device.
    random_state : int, RandomState or None, default=None
        Seed of weights, batches and views: the same result, to the bit, on one machine with the
        same number of torch threads.
    verbose : int, default=0
        Above 0: say which rows are controls, and show a progress bar.

    Attributes
    ----------
    phenotype_ : encoder
        The fitted encoder.
    state_ : dict of str to ndarray
        The trained weights of the encoder.
    n_trained_ : int
        Number of training samples: of rows, or of bags with `BagEncoder`.
    skipped_rows_ : ndarray of intp
        Positions of rows whose image could not be read, where the encoder has
        ``on_error="skip"``.
    controls_ : ControlRows
        Which rows were taken for negative controls.
    molecules_seen_ : ndarray of object
        Sorted keys (`cloome_sk.molecules.molecule_key`) of the molecules whose phenotypes were
        trained on, where the table has a column of SMILES. Without such a column there is no such
        attribute, and no leakage report can know.
    history_ : DataFrame
        Mean loss of each epoch, and ``spread``: the standard deviation of the projections as unit
        vectors around their mean, from 0 (all samples alike: a collapse, of which `fit` warns) to
        1.
    n_features_in_ : int
        Number of columns of X in `fit`.
    feature_names_in_ : ndarray of str
        Names of the columns of X in `fit`, where all are strings.

    See Also
    --------
    DINOEmbedder : Learning from views without negatives.
    SupervisedEmbedder : The same network trained on labels.
    UntrainedEmbedder : The same network without training.

    Notes
    -----
    Both views of a batch go through the network as one batch, so that BatchNorm normalises them
    together, as in the original. Replicates of a molecule in one batch are negatives of each
    other: which rows are replicates is not used. What two views of an image share includes its
    well and plate, and this is learned too.

    Several processes, as `torchrun` starts them, contrast the samples of all.

    References
    ----------
    .. [1] Chen, Kornblith, Norouzi & Hinton, "A simple framework for contrastive learning of
       visual representations", ICML 2020, arXiv 2002.05709.

    Examples
    --------
    >>> from cloome_sk.baselines import SimCLREmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> model = SimCLREmbedder(n_components=16, max_epochs=2, random_state=0).fit(X)
    >>> model.transform(X).shape == (len(X), 16)
    True
    >>> list(model.history_.columns)
    ['epoch', 'objective', 'spread']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PARAMETERS,
        "projection_size": [Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "with_controls": ["boolean"],
    }

    _collapse_measure = "spread"

    def __init__(
        self,
        phenotype: Any = "auto",
        *,
        n_components: int = 512,
        projection_size: int = 128,
        temperature: float = 0.1,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        schedule: str | Callable[..., Any] | None = "one-cycle",
        batch_size: int = 256,
        max_epochs: int = 70,
        controls: Any = "auto",
        with_controls: bool = True,
        precision: str = "fp32",
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.phenotype = phenotype
        self.n_components = n_components
        self.projection_size = projection_size
        self.temperature = temperature
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.controls = controls
        self.with_controls = with_controls
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _train(
        self, make: Callable[[], Any], inputs: tuple[Any, Any], plan: Any, **common: Any
    ) -> tuple[State, History]:
        from cloome_sk.training.simclr import train_simclr

        return train_simclr(
            make,
            phenotype=inputs,
            plan=plan,
            projection_size=int(self.projection_size),
            temperature=float(self.temperature),
            **common,
        )
