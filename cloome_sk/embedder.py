"""CloomeEmbedder: learn one space for phenotypes and molecules from pairs in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from cloome_sk._embeds import Embeds
from cloome_sk._fit import learned, taken_over, trained
from cloome_sk._measures import LARGER_IS_BETTER
from cloome_sk._parameters import check_together
from cloome_sk._refit import unchanged_on_error
from cloome_sk._start import read_start
from cloome_sk._validation import fit_table


class CloomeEmbedder(Embeds, BaseEstimator):
    """Embed phenotypes and molecules in one space, learned from matching pairs.

    Each row of X is a sample (a site, a well or a cell) and holds a pair: its phenotype in feature
    or image columns, the molecule in a SMILES column. Two encoders are trained so that the
    embeddings of matching pairs lie close (CLOOME [1]_).

    Parameters
    ----------
    phenotype : "auto" or encoder, default="auto"
        The phenotype side. "auto" takes columns of features (``Cells_``, ``Cytoplasm_``,
        ``Nuclei_``, ``Feature_``) with a default `ProfileEncoder`, columns of images with a
        default `ImageEncoder`; for a `checkpoint`, `ImageEncoder.published`.
    molecule : encoder or None, default=None
        The molecule side. None is a default `MoleculeEncoder`: a Morgan fingerprint of the
        column named ``smiles``.
    objective : {"infonce", "infoloob", "siglip", "cwcl"} or callable, default="infonce"
        InfoNCE as in CLIP and in CLOOME's retrieval model; InfoLOOB over Hopfield-retrieved
        embeddings as in CLOOB; SigLIP's sigmoid of each pair, with a learned bias; or CWCL, which
        weighs pairs by how alike their molecules are (Tanimoto of fingerprints, cosine of other
        features). A callable is called as described in `cloome_sk.objectives`.
    output : {"phenotype", "molecule", "both"}, default="phenotype"
        What `transform` gives.
    n_components : int, default=512
        Size of the embedding of one modality.
    inv_tau : "auto" or float, default="auto"
        Inverse temperature, or its start where it is learned; in [1, 100]. "auto" is 14.3, and
        10 for SigLIP, as its authors have it. A checkpoint brings its own.
    learn_inv_tau : {"auto", True, False}, default="auto"
        Whether the inverse temperature is trained. "auto" trains it for the named objectives but
        InfoLOOB, which has no lower bound in it, so True is an error there. Nothing is known of a
        callable, so "auto" leaves it fixed.
    beta : float or None, default=14.3
        Inverse temperature of the Hopfield retrieval of InfoLOOB; None leaves the retrieval out.
        Without effect for the others.
    lr : float, default=1e-3
        Learning rate of AdamW (the highest one, under a schedule).
    weight_decay : float, default=0.1
        Weight decay of AdamW; biases, norms and the temperature are not decayed.
    schedule : {"one-cycle", "cosine", "cosine-restarts", None} or callable, default="one-cycle"
        Learning rate over the fit: one cycle up and down (from ten updates on); a cosine down to
        zero after a warm-up, once or seven times; constant. A callable takes the optimizer and the
        number of updates, and gives a torch scheduler that is stepped after each update, such as
        ``functools.partial(cloome_sk.training.schedules.cosine, warmup=0.1)``.
    clip_norm : float or None, default=None
        Largest norm of the gradient of all weights; None does not clip.
    ema_decay : float or None, default=None
        Train as ever, but keep an exponential moving average of the weights of this decay.
    batch_size : int, default=256
        Pairs in a batch (>= 2). Other pairs of the batch are the negatives, so this changes the
        objective, not only the speed. Batches of an epoch are of almost equal size.
    gradient_cache : int or None, default=None
        Embed so many pairs at a time, in the memory of so small a batch, with the gradient of the
        whole batch (GradCache; BatchNorm sees a part at a time). It costs a second forward pass.
    batch_plates : str or None, default=None
        The column of plates, for batches that cannot be solved by recognising the plate: each
        comes from the replicate plates of one layout. See
        `cloome_sk.training.ReplicateSpreadingSampler`, which also tells what it costs.
    batch_labels : str or None, default=None
        A column whose values, such as active and inactive, have in each batch the shares of the
        whole table.
    max_epochs : int, default=70
        How often each pair is seen (>= 1).
    positives : "molecule", "pair", str or list of str, default="molecule"
        Which pairs of a batch count as matching. "molecule": all pairs of one molecule
        (`cloome_sk.molecules.molecule_key`); "pair": each row's own pair alone, so replicates
        are negatives of each other, as in the paper; or a list of columns that must agree, in
        which "molecule" stands for the molecule: ``["molecule", "Metadata_conc_uM"]``.
    controls : "auto", (column, value or values) or None, default="auto"
        Rows of negative controls, which are no training pairs. "auto" knows the habits of the
        field, such as ``negcon`` in ``Metadata_control_type``; see `controls_` for what it took.
    checkpoint : path-like or None, default=None
        A file of weights in the format of the authors' code
        (`cloome_sk.checkpoints.read_checkpoint`) to use or to start from. "auto" is then
        `ImageEncoder.published`, and the molecule side has the fingerprint of the published model;
        a file of another fingerprint takes precomputed ones alone. Each `fit` reads it; a fitted
        embedder, and its pickle, do without.
    trainable : {"auto", True, False}, str or list of str, default="auto"
        Which weights `fit` trains: all, none, or those whose name fits a pattern, such as
        ``["molecule", "phenotype.backbone.layer4", "*.fc"]`` (the names are those of `state_`;
        ``"molecule"`` means all under it). "auto" trains none of a checkpoint, and all without
        one. What is not trained stays as it is, running statistics of BatchNorm included; so does
        the temperature, unless ``"log_inv_tau"`` is among the names.
    lr_factors : dict of str to float, or None, default=None
        What `lr` is multiplied by for the weights that fit a pattern, for instance
        ``{"phenotype.backbone": 0.1}``. The last pattern that fits counts. With a checkpoint it
        needs `trainable`.
    validation : float, DataFrame, ndarray or None, default=None
        Share of the molecules, or a table of other molecules, that training does not see. After
        each epoch `history_` gets retrieval among all of them (``valid_R@1``, ``valid_R@5``,
        ``valid_R@10``, ``valid_relative_rank``, ``valid_median_rank``) and ``valid_objective``.
    monitor : str, default="valid_relative_rank"
        Which of these says what is better.
    early_stopping : int or None, default=None
        Stop after so many epochs without a better one.
    keep : {"last", "best"}, default="last"
        Whether the weights of the last or of the best epoch are kept.
    checkpoint_dir : path-like or None, default=None
        A folder in which the state of training is kept after each epoch, to be gone on from by
        ``fit(X, resume=True)``. Each set of parameters and data has a subfolder of its own.
    checkpoint_every : int or None, default=None
        Keep it after so many updates too, for epochs that take long.
    warm_start : bool, default=False
        Whether a further `fit` goes on from the weights, encoders and learned parameters of the
        objective of the one before. Parameters of encoders must be as they were, but for
        ``n_jobs``, ``cache`` and rates of dropout.
    callbacks : list of skorch callbacks or None, default=None
        For logging, such as ``skorch.callbacks.TensorBoard`` or ``WandbLogger``.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="fp32"
        What the networks compute in; weights, objective and embeddings are float32. "bf16" is
        faster where the processor or GPU has it, and tells embeddings apart less finely; "auto"
        takes it on GPUs that have it. "fp16" is for training on older GPUs.
    compile : bool, default=False
        Whether `fit` has torch compile the phenotype network. The first update then takes tens of
        seconds to minutes, which pays for large image networks over many epochs, typically on a
        GPU. It needs a C++ compiler on a CPU, Triton and a C compiler on CUDA. The numbers drawn
        are the same, the rounding is not; nothing is compiled in what is fitted.
    device : str, default="auto"
        "auto" takes a CUDA device where there is one, else the CPU; or the name of a device.
    random_state : int, RandomState or None, default=None
        Seed of weights, batches and dropout: the same result, to the bit, on one machine with the
        same number of torch threads.
    verbose : int, default=0
        Above 0: say which rows are controls, and show a progress bar.

    Attributes
    ----------
    phenotype_, molecule_ : encoder
        The fitted encoders.
    state_ : dict of str to ndarray
        The trained weights.
    objective_state_ : dict of str to ndarray
        What the objective learned along, such as the ``bias`` of SigLIP; a warm start goes on
        from it. Empty where it has no parameters.
    inv_tau_ : float
        The inverse temperature after training.
    controls_ : ControlRows
        Which rows were taken for negative controls; its text says so in words.
    n_pairs_ : int
        Number of training pairs: of rows, or of bags with `BagEncoder`.
    skipped_rows_ : ndarray of intp
        Positions of treated rows left out of training because their structure or image could not
        be read, where an encoder has ``on_error="skip"``; those that `validation` would have held
        out included.
    molecules_seen_ : ndarray of object
        Sorted keys (`molecule_key`) of the molecules `fit` trained on or validated with: what may
        not stand in a test set of unseen molecules. Those that a checkpoint was trained on are not
        known.
    checkpoint_sha256_ : str or None
        SHA-256 of the checkpoint's file.
    history_ : DataFrame
        Mean objective and inverse temperature of each epoch, and scalars that the objective
        learns, such as the ``bias`` of SigLIP.
    n_features_in_ : int
        Number of columns of X in `fit`.
    feature_names_in_ : ndarray of str
        Names of the columns of X in `fit`, where all are strings.

    See Also
    --------
    CrossModalRetriever : Query one modality with the other.
    ZeroShotMoAClassifier : Name classes from a few references.
    cloome_sk.preprocessing.ControlNormalizer : Remove plate effects before this.

    Notes
    -----
    `fit` ignores y, which stays free for the user's labels. In a `Pipeline` inside
    `cross_val_score` the encoder is trained again in every fold; ``memory=`` on the pipeline
    keeps those trainings, and `sklearn.frozen.FrozenEstimator` keeps one. A frozen encoder that
    saw the molecules it is scored on makes the score transductive.

    Columns chosen by name are found by name, wherever they stand, and other columns do not
    matter. Columns chosen by position need the table of `fit`, in its order.

    References
    ----------
    .. [1] Sanchez-Fernandez, Rumetshofer, Hochreiter & Klambauer, "CLOOME: contrastive learning
       unlocks bioimaging databases for queries with chemical structures", Nat Commun 14:7339
       (2023).

    Examples
    --------
    >>> from cloome_sk import CloomeEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> embedder = CloomeEmbedder(n_components=16, max_epochs=2, random_state=0).fit(X)
    >>> embedder.transform(X).shape == (len(X), 16)
    True
    >>> embedder.embed_molecules(["CCO", "c1ccccc1"]).shape
    (2, 16)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "phenotype": [StrOptions({"auto"}), HasMethods(["fit_inputs", "inputs", "make_network"])],
        "molecule": [HasMethods(["inputs", "make_network", "keys"]), None],
        "objective": [StrOptions({"infonce", "infoloob", "siglip", "cwcl"}), callable],
        "output": [StrOptions({"phenotype", "molecule", "both"})],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "inv_tau": [StrOptions({"auto"}), Interval(Real, 1, 100, closed="both")],
        "learn_inv_tau": [StrOptions({"auto"}), "boolean"],
        "beta": [Interval(Real, 0, None, closed="neither"), None],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "schedule": [StrOptions({"one-cycle", "cosine", "cosine-restarts"}), callable, None],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "ema_decay": [Interval(Real, 0, 1, closed="left"), None],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "positives": [str, list, tuple],
        "controls": [StrOptions({"auto"}), tuple, None],
        "checkpoint": [str, PathLike, None],
        "trainable": ["boolean", str, list, tuple],
        "lr_factors": [Mapping, None],
        "gradient_cache": [Interval(Integral, 1, None, closed="left"), None],
        "batch_plates": [str, None],
        "batch_labels": [str, None],
        "validation": [Interval(Real, 0, 1, closed="neither"), pd.DataFrame, np.ndarray, None],
        "monitor": [StrOptions(set(LARGER_IS_BETTER))],
        "early_stopping": [Interval(Integral, 1, None, closed="left"), None],
        "keep": [StrOptions({"last", "best"})],
        "checkpoint_dir": [str, PathLike, None],
        "checkpoint_every": [Interval(Integral, 1, None, closed="left"), None],
        "warm_start": ["boolean"],
        "callbacks": [list, tuple, None],
        "precision": [StrOptions({"auto", "fp32", "bf16", "fp16"})],
        "compile": ["boolean"],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        phenotype: Any = "auto",
        molecule: Any = None,
        *,
        objective: str | Callable[..., Any] = "infonce",
        output: str = "phenotype",
        n_components: int = 512,
        inv_tau: float | str = "auto",
        learn_inv_tau: str | bool = "auto",
        beta: float | None = 14.3,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        schedule: str | Callable[..., Any] | None = "one-cycle",
        clip_norm: float | None = None,
        ema_decay: float | None = None,
        batch_size: int = 256,
        gradient_cache: int | None = None,
        batch_plates: str | None = None,
        batch_labels: str | None = None,
        max_epochs: int = 70,
        positives: str | list[str] | tuple[str, ...] = "molecule",
        controls: Any = "auto",
        checkpoint: str | PathLike[str] | None = None,
        trainable: bool | str | Sequence[str] = "auto",
        lr_factors: Mapping[str, float] | None = None,
        validation: float | pd.DataFrame | np.ndarray | None = None,
        monitor: str = "valid_relative_rank",
        early_stopping: int | None = None,
        keep: str = "last",
        checkpoint_dir: str | PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        warm_start: bool = False,
        callbacks: Sequence[Any] | None = None,
        precision: str = "fp32",
        compile: bool = False,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.phenotype = phenotype
        self.molecule = molecule
        self.objective = objective
        self.output = output
        self.n_components = n_components
        self.inv_tau = inv_tau
        self.learn_inv_tau = learn_inv_tau
        self.beta = beta
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.ema_decay = ema_decay
        self.batch_size = batch_size
        self.gradient_cache = gradient_cache
        self.batch_plates = batch_plates
        self.batch_labels = batch_labels
        self.max_epochs = max_epochs
        self.positives = positives
        self.controls = controls
        self.checkpoint = checkpoint
        self.trainable = trainable
        self.lr_factors = lr_factors
        self.validation = validation
        self.monitor = monitor
        self.early_stopping = early_stopping
        self.keep = keep
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.precision = precision
        self.compile = compile
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------------ fit

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: pd.DataFrame | np.ndarray, y: Any = None, *, resume: bool = False
    ) -> CloomeEmbedder:
        """Train both encoders on the pairs in the rows of X; with `trainable` False, get ready.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            One row a sample. Control rows may be among them; they are not trained on.
        y : object, optional
            Ignored.
        resume : bool, default=False
            With `checkpoint_dir`, go on from the last state of a training of the same parameters
            and data, if there is one: the result is that of a training that was never
            interrupted, to the bit. By default such states are removed.

        Returns
        -------
        CloomeEmbedder
            Itself.

        Raises
        ------
        ValueError
            For missing columns, values that are not finite, structures that cannot be read,
            fewer than two pairs or two molecules, or parameters out of range.
        TypeError
            If a callable `objective` cannot be called as one.
        FloatingPointError
            If the objective stops being finite.
        OSError
            If the state of training cannot be kept.
        """
        check_together(self, resume)
        with unchanged_on_error(self):
            self.__dict__.update(learned(self, fit_table(self, X), resume))
            self.__dict__.pop("_network", None)
            self._ready_network()
        return self

    def _train(
        self, *prepared: Any
    ) -> tuple[dict[str, np.ndarray], list[dict[str, Any]], dict[str, np.ndarray]]:
        return trained(self, *prepared)

    @classmethod
    def from_checkpoint(cls, path: str | PathLike[str], **params: Any) -> CloomeEmbedder:
        """Load published weights, to be used at once, as they are.

        Parameters
        ----------
        path : path-like
            The file, see `cloome_sk.checkpoints.read_checkpoint`.
        **params : dict
            Other parameters. By default `trainable` is False and `n_components` the file's.

        Returns
        -------
        CloomeEmbedder
            Fitted. Its `clone` reads the file again in `fit`.

        Raises
        ------
        cloome_sk.checkpoints.CheckpointError
            If the file cannot be read, or does not fit the encoders that were given.
        TypeError
            If `checkpoint` is among the parameters, or a name that is none.
        ValueError
            If an encoder that was given learns from a table: `fit` is needed then; or has weights
            that are not in the file.
        """
        from cloome_sk.checkpoints import read_checkpoint

        if "checkpoint" in params:
            raise TypeError(
                "CloomeEmbedder.from_checkpoint: the file is given once, as its first argument; "
                f"got {str(path)!r} and checkpoint={params['checkpoint']!r}."
            )
        checkpoint = read_checkpoint(path)
        chosen = {"n_components": checkpoint.n_components, "trainable": False, **params}
        embedder = cls(**{**chosen, "checkpoint": path})
        embedder._validate_params()
        check_together(embedder)
        read_start(embedder, checkpoint)
        embedder.__dict__.update(taken_over(embedder, checkpoint))
        return embedder

    @property
    def _n_features_out(self) -> int:
        return self.n_components_ * (2 if self.output == "both" else 1)
