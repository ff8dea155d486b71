"""A network trained on the labels themselves: what learning without labels is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils._param_validation import StrOptions

from cloome_sk._refit import unchanged_on_error
from cloome_sk._validation import fit_table
from cloome_sk.baselines._phenotype_embedder import EmbedsPhenotypes, check_reads_phenotypes
from cloome_sk.baselines._phenotype_fit import PARAMETERS
from cloome_sk.baselines._supervised_fit import learned
from cloome_sk.baselines._supervised_predict import PredictsLabels

MAYBE = ("classes_", "target_names_", "molecules_seen_")
"""Attributes that not every fit sets."""


class SupervisedEmbedder(PredictsLabels, EmbedsPhenotypes, BaseEstimator):
    """Train a phenotype encoder on labels, as predictor of them and as embedder.

    The comparison of the CLOOME paper [1]_: the same images or profiles and the same network, with
    a linear head and without structures. It predicts the labels of new rows, and what the head
    reads is an embedding that takes the place of any other: in `cloome_sk.baselines.compare`,
    behind `linear_probe`, in `cloome_sk.ZeroShotMoAClassifier` and `cloome_sk.CrossModalRetriever`
    between phenotypes. Molecules have no embedding.

    Parameters
    ----------
    phenotype : "auto" or encoder, default="auto"
        As in `cloome_sk.CloomeEmbedder`; cloned.
    target : {"classes", "assays", "regression"}, default="classes"
        What y is.

        - ``"classes"``: one class a row, by softmax and cross-entropy.
        - ``"assays"``: several yes-no results a row, many of them missing: activity, or the bits
          of a fingerprint. Binary cross-entropy, mean over the results there are.
        - ``"regression"``: one or several numbers a row, such as a profile. Mean squared error of
          the numbers there are, each target standardised over the training rows.
    n_components : int, default=512
        Size of the embedding, which a linear head follows.
    class_weight : "balanced", dict or None, default="balanced"
        Of ``target="classes"`` alone. "balanced" gives each class the same weight, as
        `linear_probe` does; a dict gives the weight of each class; None counts rows.
    lr : float, default=1e-3
        Learning rate of AdamW (the highest one, under a schedule).
    weight_decay : float, default=0.1
        Weight decay of AdamW; biases and norms are not decayed.
    schedule : {"one-cycle", "cosine", "cosine-restarts", None} or callable, default="one-cycle"
        Learning rate over the fit, as in `cloome_sk.CloomeEmbedder`.
    batch_size : int, default=256
        Samples in a batch (>= 2). Batches hold the classes in the shares of all rows.
    max_epochs : int, default=70
        How often each sample is seen (>= 1).
    controls : "auto", (column, value or values) or None, default="auto"
        Rows of negative controls. They need no label, and are trained on where they have one.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="fp32"
        What the network computes in, as in `cloome_sk.CloomeEmbedder`.
    device : str, default="auto"
        "auto" takes a CUDA device where there is one, else the CPU; or the name of a device.
    random_state : int, RandomState or None, default=None
        Seed of weights, batches and dropout: the same result, to the bit, on one machine with the
        same number of torch threads.
    verbose : int, default=0
        Above 0: say which rows are controls, and show a progress bar.

    Attributes
    ----------
    phenotype_ : encoder
        The fitted encoder.
    state_ : dict of str to ndarray
        The trained weights, of the encoder and of the head.
    classes_ : ndarray, shape (n_classes,)
        The classes, sorted. Of ``target="classes"`` alone.
    target_names_ : ndarray of object, shape (n_outputs,), or None
        Names of the columns of y, where it was a DataFrame. Of the other targets.
    n_outputs_ : int
        Number of classes, assays or numbers.
    n_trained_ : int
        Number of training samples: of rows, or of bags with `BagEncoder`.
    unlabelled_rows_ : ndarray of intp
        Positions of treated rows without any label, which were not trained on.
    skipped_rows_ : ndarray of intp
        Positions of labelled rows whose image could not be read, where the encoder has
        ``on_error="skip"``.
    controls_ : ControlRows
        Which rows were taken for negative controls.
    molecules_seen_ : ndarray of object
        Sorted keys (`cloome_sk.molecules.molecule_key`) of the molecules of the training rows,
        where the table has a column of SMILES: what may not be in a test set of unseen molecules.
        Without such a column there is no such attribute, and no leakage report can know.
    history_ : DataFrame
        Mean loss of each epoch.
    n_features_in_ : int
        Number of columns of X in `fit`.
    feature_names_in_ : ndarray of str
        Names of the columns of X in `fit`, where all are strings.

    See Also
    --------
    linear_probe : A linear classifier of any embedding, or of the profile.
    UntrainedEmbedder : The same network without training.

    Notes
    -----
    Labels of a molecule are labels of all its wells: split by molecule, or what is learned is to
    recognise compounds. In a `cloome_sk.baselines.compare` each fold trains anew.

    The head reads the embedding as it is; `transform` brings it to unit length.

    An assay without any result in the training rows is predicted as NaN, and one with results of
    one class only as that class; a warning names them.

    References
    ----------
    .. [1] Sanchez-Fernandez, Rumetshofer, Hochreiter & Klambauer, "CLOOME: contrastive learning
       unlocks bioimaging databases for queries with chemical structures", Nat Commun 14:7339
       (2023).

    Examples
    --------
    >>> from cloome_sk.baselines import SupervisedEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> X = X[X["Metadata_control_type"].isna()]
    >>> model = SupervisedEmbedder(n_components=16, max_epochs=2, random_state=0)
    >>> model = model.fit(X, X["Metadata_moa"])
    >>> model.predict_proba(X).shape == (len(X), len(model.classes_))
    True
    >>> model.transform(X).shape == (len(X), 16)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PARAMETERS,
        "target": [StrOptions({"classes", "assays", "regression"})],
        "class_weight": [StrOptions({"balanced"}), Mapping, None],
    }

    phenotype_: Any
    state_: dict[str, np.ndarray]
    classes_: np.ndarray
    n_components_: int
    n_outputs_: int

    def __init__(
        self,
        phenotype: Any = "auto",
        *,
        target: str = "classes",
        n_components: int = 512,
        class_weight: str | Mapping[Any, float] | None = "balanced",
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        schedule: str | Callable[..., Any] | None = "one-cycle",
        batch_size: int = 256,
        max_epochs: int = 70,
        controls: Any = "auto",
        precision: str = "fp32",
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.phenotype = phenotype
        self.target = target
        self.n_components = n_components
        self.class_weight = class_weight
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.controls = controls
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: pd.DataFrame | np.ndarray, y: Any = None) -> SupervisedEmbedder:
        """Train on the rows that have a label.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            One row a sample, with the phenotype's columns.
        y : array-like
            The labels, a row a sample in the order of X, whatever index they have; NaN or None
            where there is none. Classes: shape
            (n_samples,), strings or whole numbers. Assays: DataFrame or ndarray of shape
            (n_samples, n_assays), or (n_samples,) for one, of 1 (active), 0 (inactive) and NaN
            (not measured); or a scipy sparse matrix of 1 (active) and -1 (inactive), where what is
            not stored was not measured. Regression: numbers, as DataFrame or ndarray of shape
            (n_samples, n_outputs) or (n_samples,).

        Returns
        -------
        SupervisedEmbedder
            Itself.

        Raises
        ------
        ValueError
            For labels that are not what `target` says, fewer than two labelled rows or classes,
            no assay with results of both classes, a number that is missing in all rows; and for
            what the encoder refuses.
        FloatingPointError
            If the loss stops being finite.

        Warns
        -----
        UserWarning
            Of assays with fewer than two classes, and of training rows whose molecule cannot be
            named.
        """
        check_reads_phenotypes(self.phenotype)
        with unchanged_on_error(self):
            found = learned(self, fit_table(self, X), y)
            for name in MAYBE:
                self.__dict__.pop(name, None)
            self.__dict__.update(found)
            self.__dict__.pop("_network", None)
            self._ready_network()
        return self

    def _ready_network(self) -> Any:
        """Give the network of the stored weights, rebuilt after loading."""
        if not hasattr(self, "_network"):
            from cloome_sk.networks.dual import with_state
            from cloome_sk.training.supervised import SupervisedNetwork

            make = partial(self.phenotype_.make_network, self.n_components_)
            self._network = with_state(
                lambda: SupervisedNetwork(make(), self.n_components_, self.n_outputs_),
                self.state_,
                on_meta=not getattr(self.phenotype_, "custom", False),
            )
        return self._network

    def _phenotype_network(self) -> Any:
        return self._ready_network().phenotype

    def __sklearn_tags__(self) -> Any:
        """Say what is predicted, and that embeddings are float32 whatever the input."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        if self.target == "classes":
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        else:
            tags.target_tags.multi_output = True
        if self.target == "regression":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        return tags
