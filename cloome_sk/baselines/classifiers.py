"""Classifiers of rows that every classifier on embeddings stands beside, each a pipeline."""

from __future__ import annotations

from typing import Any

from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from cloome_sk.baselines.fusion import LateFusionClassifier
from cloome_sk.baselines.molecule_features import MorganFeatures, PhyschemDescriptors
from cloome_sk.baselines.profile_features import ProfileFeatures
from cloome_sk.baselines.well_features import CellCount, PlatePosition


def linear_probe(
    features: Any, *, C: float = 0.01, scale: bool = True, max_iter: int = 1000
) -> Pipeline:
    """Classify what a transformer gives by logistic regression, every class of equal weight.

    One classifier for all features, so that a comparison is one of features.

    Parameters
    ----------
    features : transformer
        From rows of a table to numbers: one of this module's, or a `CloomeEmbedder`.
    C : float, default=0.01
        Inverse of the L2 penalty. Small, because wells are many and molecules few.
    scale : bool, default=True
        Whether to standardise the features. Not the bits of a fingerprint: rare ones, which are
        those of single molecules, would become the largest numbers.
    max_iter : int, default=1000
        Most iterations of the solver.

    Returns
    -------
    Pipeline
        Features, `StandardScaler` if asked for, `LogisticRegression`.

    Examples
    --------
    >>> from cloome_sk.baselines import PhyschemDescriptors, linear_probe
    >>> model = linear_probe(PhyschemDescriptors()).fit(["CCCO", "CCO", "c1ccccc1"], [0, 0, 1])
    >>> model.predict(["CCCCO"]).tolist()
    [0]
    """
    regression = LogisticRegression(C=C, class_weight="balanced", max_iter=max_iter)
    return make_pipeline(features, *([StandardScaler()] if scale else []), regression)


def chance_classifier() -> DummyClassifier:
    """Give every row the frequencies of the classes in training.

    Returns
    -------
    DummyClassifier
        With ``strategy="prior"``.

    Examples
    --------
    >>> from cloome_sk.baselines import chance_classifier
    >>> chance_classifier().fit([[0], [0], [0], [0]], list("aaab")).predict_proba([[0]]).tolist()
    [[0.75, 0.25]]
    """
    return DummyClassifier(strategy="prior")


def cell_count_classifier(column: str = "auto") -> Pipeline:
    """Classify by the number of cells alone.

    Parameters
    ----------
    column : str, default="auto"
        The column, as in `CellCount`.

    Returns
    -------
    Pipeline
        The count, in a cubic spline of 5 knots, so that a class may lie between others; then the
        linear probe with a weak penalty.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.baselines import cell_count_classifier
    >>> X = pd.DataFrame({"cell_count": [900, 950, 100, 120, 480, 510]})
    >>> cell_count_classifier().fit(X, list("aabbcc")).predict(X).tolist()
    ['a', 'a', 'b', 'b', 'c', 'c']
    """
    spline = SplineTransformer(n_knots=5, include_bias=False, extrapolation="constant")
    return linear_probe(make_pipeline(CellCount(column), spline), C=1.0)


def position_classifier(plate: str = "plate", well: str = "well") -> Pipeline:
    """Classify by plate, row and column alone.

    Parameters
    ----------
    plate, well : str, default="plate", "well"
        The columns, as in `PlatePosition`.

    Returns
    -------
    Pipeline
        Indicators of plate, row and column, then the linear probe.

    Examples
    --------
    >>> from cloome_sk.baselines import position_classifier
    >>> [name for name, _ in position_classifier().steps]
    ['plateposition', 'standardscaler', 'logisticregression']
    """
    return linear_probe(PlatePosition(plate, well))


def physchem_classifier() -> Pipeline:
    """Classify by the physicochemical descriptors of the molecule.

    Returns
    -------
    Pipeline
        `PhyschemDescriptors`, then the linear probe with a weak penalty.

    Examples
    --------
    >>> from cloome_sk.baselines import physchem_classifier
    >>> physchem_classifier().fit(["CCO", "CCCCCCCC"], [0, 1]).predict(["CO"]).tolist()
    [0]
    """
    return linear_probe(PhyschemDescriptors(), C=1.0)


def morgan_classifier() -> Pipeline:
    """Classify by the Morgan fingerprint of the molecule.

    Returns
    -------
    Pipeline
        `MorganFeatures`, then the linear probe on the bits as they are.

    Examples
    --------
    >>> from cloome_sk.baselines import morgan_classifier
    >>> morgan_classifier().fit(["CCO", "c1ccccc1"], [0, 1]).predict(["CCCO"]).tolist()
    [0]
    """
    return linear_probe(MorganFeatures(), C=0.1, scale=False)


def profile_classifier(*, sphering: bool = False) -> Pipeline:
    """Classify by the profile: raw or control-normalised, as the table comes.

    Parameters
    ----------
    sphering : bool, default=False
        Whether to sphere the profiles by the covariance of the training rows.

    Returns
    -------
    Pipeline
        `ProfileFeatures`, then the linear probe.

    Examples
    --------
    >>> from cloome_sk.baselines import profile_classifier
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> X = X[X["Metadata_control_type"].isna()]
    >>> model = profile_classifier().fit(X, X["Metadata_moa"])
    >>> model.predict(X).shape == (len(X),)
    True
    """
    return linear_probe(ProfileFeatures(sphering=sphering))


def concatenation_classifier(features: dict[str, Any] | None = None) -> Pipeline:
    """Classify several features side by side.

    Parameters
    ----------
    features : dict of str to transformer, optional
        The features, taken as they are: bring them to one scale first, for example as
        ``make_pipeline(embedder, StandardScaler())``. None: profile and Morgan fingerprint.

    Returns
    -------
    Pipeline
        A `FeatureUnion`, then the linear probe.

    Examples
    --------
    >>> from cloome_sk.baselines import concatenation_classifier
    >>> [name for name, _ in concatenation_classifier().steps[0][1].transformer_list]
    ['profile', 'morgan']
    """
    if features is None:
        features = {"profile": ProfileFeatures(), "morgan": MorganFeatures()}
    return linear_probe(FeatureUnion(list(features.items())), scale=False)


def late_fusion_classifier(members: dict[str, Any] | None = None) -> LateFusionClassifier:
    """Let several classifiers decide together, by their mean log-probability.

    Parameters
    ----------
    members : dict of str to classifier, optional
        The classifiers. None: `profile_classifier` and `morgan_classifier`.

    Returns
    -------
    LateFusionClassifier
        Of the members.

    Examples
    --------
    >>> from cloome_sk.baselines import late_fusion_classifier
    >>> [name for name, _ in late_fusion_classifier().estimators]
    ['profile', 'morgan']
    """
    if members is None:
        members = {"profile": profile_classifier(), "morgan": morgan_classifier()}
    return LateFusionClassifier(list(members.items()))
