"""DINO on images of phenotypes: self-distillation without labels and without negatives."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from cloome_sk.baselines._phenotype_fit import PARAMETERS
from cloome_sk.baselines._self_supervised import History, SelfSupervisedEmbedder, State


class DINOEmbedder(SelfSupervisedEmbedder):
    """Train an image encoder to say the same of large and small views of an image (DINO [1]_).

    A student sees two large and several small windows of each image; a teacher, the running
    average of the student's weights, sees the large ones. Of each view the student learns to say
    what the teacher says of another, as a distribution over prototypes. That of the teacher is
    centred and sharpened, which keeps the two from agreeing on nothing. Neither labels nor
    molecules are used, and there are no negatives. The heads are thrown away after training: the
    embedding is what the encoder **of the teacher** gives.

    Parameters
    ----------
    phenotype : "auto" or encoder, default="auto"
        An `ImageEncoder`; cloned. Its ``augmentation`` is that of all views, its ``crop``, or the
        whole field, the size of large ones. There must be images.
    n_components : int, default=512
        Size of the embedding.
    n_local : int, default=4
        Small views of an image (>= 0), which the student alone sees.
    local_crop : int or None, default=None
        Pixels a side of small views. None takes about 3/7 of a large view, as in the original (96
        of 224), in steps of 8, at least 16.
    global_zoom, local_zoom : (float, float), default=(0.5, 1.0) and (0.2, 0.5)
        Shares of the side of the field that large and small views show, in (0, 1]: windows of
        random size, resized. The original's shares of the area, (0.25, 1) and (0.05, 0.25).
    hidden_size, bottleneck_size : int, default=512 and 128
        Widths in the head.
    n_prototypes : int, default=1024
        Outputs of the head.
    student_temperature : float, default=0.1
        Of what the student says.
    teacher_temperature : (float, float), default=(0.04, 0.04)
        Of what the teacher says: at the start, and after the warm-up. The original goes up to
        0.07 in long fits; in short ones that makes all answers alike (see ``information``).
    warmup : float, default=0.3
        Share of the updates over which the teacher's temperature rises, in [0, 1].
    momentum : float or "auto", default="auto"
        What of the teacher stays at an update, at the start, in [0, 1); it rises to 1 along half a
        cosine. "auto" is 0.996, as in the original, where the fit is long enough for that, and
        else 1 - 3 / number of updates, but no less than 0.9.
    center_momentum : float, default=0.9
        What of the center stays at an update, in [0, 1). In a fit of fewer than about 50 updates a
        center of 0.9 lags behind, and all answers become the same: take 0.5 there.
    lr : float, default=1e-3
        Learning rate of AdamW (the highest one, under a schedule).
    weight_decay : float, default=0.1
        Weight decay of AdamW; biases and norms are not decayed.
    schedule : {"one-cycle", "cosine", "cosine-restarts", None} or callable, default="one-cycle"
        Learning rate over the fit, as in `cloome_sk.CloomeEmbedder`.
    clip_norm : float or None, default=3.0
        Largest norm of the gradient.
    batch_size : int, default=256
        Samples in a batch (>= 2), each in 2 + n_local views.
    max_epochs : int, default=70
        How often each sample is seen (>= 1).
    controls : "auto", (column, value or values) or None, default="auto"
        Rows of negative controls.
    with_controls : bool, default=True
        Whether negative controls are trained on: they are phenotypes like any other.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="fp32"
        What the network computes in, as in `cloome_sk.CloomeEmbedder`. Loss, center and running
        average are float32.
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
        The weights of the encoder of the teacher.
    n_trained_ : int
        Number of training samples.
    skipped_rows_ : ndarray of intp
        Positions of rows whose image could not be read, where the encoder has
        ``on_error="skip"``.
    controls_ : ControlRows
        Which rows were taken for negative controls.
    molecules_seen_ : ndarray of object
        Sorted keys (`cloome_sk.molecules.molecule_key`) of the molecules whose images were
        trained on, where the table has a column of SMILES. Without such a column there is no such
        attribute, and no leakage report can know.
    history_ : DataFrame
        Mean loss of each epoch, and, in nats, ``entropy`` of what the teacher says of a view and
        ``information``, what it says of one view beyond what it says of all views of a batch on
        average. That is 0 where the two networks agree on nothing (a collapse, of which `fit`
        warns), be their outputs one prototype or all of them alike; at most the logarithm of the
        number of views or of prototypes.
    n_features_in_ : int
        Number of columns of X in `fit`.
    feature_names_in_ : ndarray of str
        Names of the columns of X in `fit`, where all are strings.

    See Also
    --------
    SimCLREmbedder : Learning from views with negatives, of images or profiles.
    SupervisedEmbedder : The same network trained on labels.
    UntrainedEmbedder : The same network without training.

    Notes
    -----
    As in the original: the gradient is clipped, prototypes stay as they are in the first epoch,
    the head has no BatchNorm and its last layer rows of length 1. Unlike there, weight decay does
    not rise. The encoder may have BatchNorm: views of one size are normalised together, and the
    teacher normalises with its own batch in training, and with its own running statistics later.

    An update costs about 2 + 2 + `n_local` times a quarter of forward passes, so compare by time
    as well as by updates.

    Several processes, as `torchrun` starts them, share center and loss.

    References
    ----------
    .. [1] Caron, Touvron, Misra, Jegou, Mairal, Bojanowski & Joulin, "Emerging properties in
       self-supervised vision transformers", ICCV 2021, arXiv 2104.14294.

    Examples
    --------
    >>> import tempfile
    >>> from cloome_sk.baselines import DINOEmbedder
    >>> from cloome_sk.datasets import make_screen
    >>> from cloome_sk.encoders import ImageEncoder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     X = make_screen(folder, n_compounds=8, n_plates=1, size=32, random_state=0)  # simulated
    ...     model = DINOEmbedder(
    ...         ImageEncoder(network="small"), n_components=8, max_epochs=2, random_state=0
    ...     ).fit(X)
    ...     model.transform(X).shape == (len(X), 8)
    True
    >>> list(model.history_.columns)
    ['epoch', 'objective', 'entropy', 'information']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PARAMETERS,
        "n_local": [Interval(Integral, 0, None, closed="left")],
        "local_crop": [Interval(Integral, 1, None, closed="left"), None],
        "global_zoom": [tuple],
        "local_zoom": [tuple],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "bottleneck_size": [Interval(Integral, 1, None, closed="left")],
        "n_prototypes": [Interval(Integral, 2, None, closed="left")],
        "student_temperature": [Interval(Real, 0, None, closed="neither")],
        "teacher_temperature": [tuple],
        "warmup": [Interval(Real, 0, 1, closed="both")],
        "momentum": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "center_momentum": [Interval(Real, 0, 1, closed="left")],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "with_controls": ["boolean"],
    }

    _collapse_measure = "information"

    def __init__(
        self,
        phenotype: Any = "auto",
        *,
        n_components: int = 512,
        n_local: int = 4,
        local_crop: int | None = None,
        global_zoom: tuple[float, float] = (0.5, 1.0),
        local_zoom: tuple[float, float] = (0.2, 0.5),
        hidden_size: int = 512,
        bottleneck_size: int = 128,
        n_prototypes: int = 1024,
        student_temperature: float = 0.1,
        teacher_temperature: tuple[float, float] = (0.04, 0.04),
        warmup: float = 0.3,
        momentum: float | str = "auto",
        center_momentum: float = 0.9,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        schedule: str | Callable[..., Any] | None = "one-cycle",
        clip_norm: float | None = 3.0,
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
        self.n_local = n_local
        self.local_crop = local_crop
        self.global_zoom = global_zoom
        self.local_zoom = local_zoom
        self.hidden_size = hidden_size
        self.bottleneck_size = bottleneck_size
        self.n_prototypes = n_prototypes
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature
        self.warmup = warmup
        self.momentum = momentum
        self.center_momentum = center_momentum
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.controls = controls
        self.with_controls = with_controls
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _check(self) -> None:
        from cloome_sk.networks.augmentation import zoom_range

        for name in ("global_zoom", "local_zoom"):
            zoom_range(getattr(self, name), f"DINOEmbedder ({name}=)")
        pair = self.teacher_temperature
        numbers = len(pair) == 2 and all(isinstance(value, Real) and value > 0 for value in pair)
        if not numbers:
            raise ValueError(
                "teacher_temperature must be two numbers above 0, at the start and after the "
                f"warm-up, got {pair!r}."
            )

    def _train(
        self, make: Callable[[], Any], inputs: tuple[Any, Any], plan: Any, **common: Any
    ) -> tuple[State, History]:
        from cloome_sk.training.dino import train_dino

        start, end = self.teacher_temperature
        return train_dino(
            make,
            phenotype=inputs,
            plan=plan,
            head=(int(self.hidden_size), int(self.bottleneck_size), int(self.n_prototypes)),
            views=(int(self.n_local), self.local_crop, self.global_zoom, self.local_zoom),
            student_temperature=float(self.student_temperature),
            teacher_temperatures=(float(start), float(end)),
            warmup=float(self.warmup),
            momentum=None if isinstance(self.momentum, str) else float(self.momentum),
            center_momentum=float(self.center_momentum),
            **common,
        )
