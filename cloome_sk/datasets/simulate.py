"""A small simulated Cell Painting screen, so that everything runs without any data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from cloome_sk.datasets._simulation import (
    Screen,
    choose_drugs,
    feature_names,
    lay_out,
    measure,
    plate_shape,
)
from cloome_sk.datasets.known_drugs import load_known_drugs

_DMSO = "CS(C)=O"
_DOSE_UM = 10.0
_LAYOUTS = ("scrambled", "fixed")
_ALLOCATIONS = ("spread", "by mechanism")


def make_profiles(
    n_compounds: int | None = None,
    *,
    n_plates: int = 4,
    n_replicates: int | None = None,
    n_controls: int = 16,
    n_features: int = 150,
    signal: float = 1.0,
    moa_signal: float = 1.0,
    compound_signal: float = 1.0,
    inactive_fraction: float = 0.2,
    plate_effect: float = 1.0,
    position_effect: float = 0.5,
    layout: str = "scrambled",
    allocation: str = "spread",
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    r"""Simulate the well profiles of a small Cell Painting screen of known drugs.

    The molecules are real (:func:`load_known_drugs`), every measurement is **simulated**: use it to
    learn the package, to test code and to see what an artefact does to a result, never as evidence
    about a drug.

    Parameters
    ----------
    n_compounds : int, optional
        How many of the known drugs to use, at least 2; ``None`` takes all 120. Fewer are drawn from
        as many mechanisms as leave about four drugs each.
    n_plates : int, default=4
        Number of plates. Two plates in turn make a batch.
    n_replicates : int, optional
        On how many plates a compound is, one well each; ``None``: on all. With fewer than
        `n_plates`, compounds are spread evenly over the plates.
    n_controls : int, default=16
        DMSO wells on each plate.
    n_features : int, default=150
        Number of features, at least 3.
    signal : float, default=1.0
        Size of everything a compound does, cell count included. 0: compounds do nothing at all.
    moa_signal, compound_signal : float, default=1.0
        How much of a compound's effect is shared by its mechanism, and how much is its own. Only
        their ratio matters: they are divided by their Euclidean norm.
    inactive_fraction : float, default=0.2
        Share of compounds that do nothing, in [0, 1].
    plate_effect : float, default=1.0
        Size of the shift and stretch of all features of a plate and of a batch.
    position_effect : float, default=0.5
        Size of the dependence on the position in the plate (edge, row, column).
    layout : {"scrambled", "fixed"}, default="scrambled"
        ``"scrambled"`` draws the wells anew for each plate. ``"fixed"`` gives a compound the same
        well on all its plates, as real screens often do: then position looks like replication.
    allocation : {"spread", "by mechanism"}, default="spread"
        Which plates a compound is on. ``"spread"`` deals compounds out at random. ``"by
        mechanism"`` sorts them by mechanism and fills one set of `n_replicates` plates after the
        other, as a library that arrives sorted is plated: then a plate effect looks like a
        mechanism. Only a mechanism that a set has no room left for is on two sets. `n_plates` has
        to be a multiple of `n_replicates`, of at least twice.
    random_state : int, RandomState instance or None, default=None
        Seed. One seed gives one layout, one noise and one set of effects, whatever the sizes of
        signal and artefacts, so that tables that differ in these only can be compared well by
        well. ``None`` draws a fresh seed from the operating system.

    Returns
    -------
    DataFrame, one row per well
        ``Metadata_Plate``, ``Metadata_Well`` (``A01`` ...), ``Metadata_batch``,
        ``Metadata_smiles``, ``Metadata_pert_iname``, ``Metadata_moa`` and ``Metadata_target``
        (missing for DMSO), ``Metadata_control_type`` (``negcon`` for DMSO, else missing),
        ``Metadata_conc_uM`` (10, DMSO 0), ``Metadata_active`` (bool: whether the compound was given
        an effect; drawn at random, no fact about the drug), ``Metadata_Count_Cells``,
        ``Metadata_source`` (``simulated``), then `n_features` float32 features named as
        CellProfiler names them (``Cells_``, ``Cytoplasm_``, ``Nuclei_``), in raw units of very
        different size. Rows are ordered by plate and well.
        ``table.attrs["simulated"]`` holds the parameters.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong kind or out of its range, or the wells do not fit a 1536-well
        plate.

    See Also
    --------
    load_cpjump1, load_cell_injury : Real screens.

    Notes
    -----
    For well :math:`w` with compound :math:`c` of mechanism :math:`m`, at row :math:`r` and column
    :math:`k` of plate :math:`p` in batch :math:`b`:

    .. math::

        e_c &= a_c \, \frac{\beta_m \mu_m + \beta_c \, (\phi_c + \delta_c) / \sqrt{2}}
                           {\sqrt{\beta_m^2 + \beta_c^2}}

        z_w &= s \, e_c + 0.5 \, \epsilon_w

        y_w &= \frac{1}{\sqrt{L}} \Lambda z_w + \frac{1}{2} d \, \log_2 \frac{N_w}{N_0}
               + v P(r, k) + 0.7 \, \eta_w

        x_w &= l + u \odot \bigl[ (1 + 0.15 \, g \, h_p) \odot y_w
               + g \, (q_b + q'_p) / \sqrt{2} \bigr]

        N_w &\sim \text{Poisson}\bigl(N_0 \, \gamma_w \, 2^{-s \, a_c t_m}\bigr)

    with :math:`s` = `signal`, :math:`\beta_m` = `moa_signal`, :math:`\beta_c` = `compound_signal`,
    :math:`g` = `plate_effect`, :math:`v` = `position_effect`; :math:`a_c` is 0 for inactive
    compounds and DMSO, else 1. :math:`\mu_m, \phi_c, \delta_c, \epsilon_w` have :math:`L = 20`
    entries; those of :math:`\mu, \delta, \epsilon`, the loadings :math:`\Lambda` and :math:`d`, the
    noise :math:`\eta_w` and the plate and batch terms :math:`q, q', h` are standard normal.
    :math:`\phi_c` is a random projection of the centred Morgan fingerprint, scaled to unit
    variance over the compounds, so that similar structures have similar effects and structure
    predicts phenotype a little. :math:`P(r, k)` sums three patterns, each with standard normal
    loadings on the features: 1 on the outer wells and else 0, and linear gradients from -1 to 1
    over the rows and over the columns. The toxicity :math:`t_m` of a mechanism is exponential with
    mean 0.5, :math:`\log \gamma_w` is normal with standard deviation 0.1, and :math:`N_0 = 1500`.
    :math:`l` and :math:`u` are location and unit of a feature, of very different size.

    Examples
    --------
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(random_state=0)
    >>> X.shape
    (544, 162)
    >>> X["Metadata_control_type"].value_counts().to_dict()
    {'negcon': 64}
    >>> X["Metadata_source"].unique().tolist()
    ['simulated']
    """
    drugs = load_known_drugs()
    if n_compounds is None:
        n_compounds = len(drugs)
    _check_count("n_compounds", n_compounds, 2, len(drugs))
    _check_count("n_plates", n_plates, 1)
    if n_replicates is None:
        n_replicates = n_plates
    _check_count("n_replicates", n_replicates, 1, n_plates)
    _check_count("n_controls", n_controls, 0)
    _check_count("n_features", n_features, 3)
    _check_size("inactive_fraction", inactive_fraction, 1.0)
    sizes = {
        "signal": signal,
        "moa_signal": moa_signal,
        "compound_signal": compound_signal,
        "plate_effect": plate_effect,
        "position_effect": position_effect,
    }
    for name, size in sizes.items():
        _check_size(name, size)
    if moa_signal == compound_signal == 0:
        raise ValueError(
            "moa_signal and compound_signal are both 0, which leaves no effect to scale; "
            "use signal=0 for compounds that do nothing."
        )
    if layout not in _LAYOUTS:
        raise ValueError(f"layout must be 'scrambled' or 'fixed'; got {layout!r}.")
    if allocation not in _ALLOCATIONS:
        raise ValueError(f"allocation must be 'spread' or 'by mechanism'; got {allocation!r}.")
    together = allocation == "by mechanism"
    if together and (n_plates % n_replicates or n_plates < 2 * n_replicates):
        raise ValueError(
            "allocation='by mechanism' needs n_plates to be a multiple of n_replicates, at least "
            f"twice; got n_plates={n_plates} and n_replicates={n_replicates}."
        )

    # check_random_state(None) would draw from, and so move, the caller's global generator.
    master = np.random.RandomState() if random_state is None else check_random_state(random_state)
    seeds = master.randint(np.iinfo(np.int32).max, size=4)
    choice, layout_random, effects, noise = (np.random.RandomState(seed) for seed in seeds)

    drugs = choose_drugs(drugs, n_compounds, choice)
    n_inactive = round(inactive_fraction * n_compounds)
    active = np.ones(n_compounds, dtype=bool)
    active[choice.permutation(n_compounds)[:n_inactive]] = False
    wells = lay_out(
        n_compounds,
        n_plates=n_plates,
        n_replicates=n_replicates,
        n_controls=n_controls,
        fixed=layout == "fixed",
        random=layout_random,
        order=np.argsort(drugs["moa"].to_numpy(), kind="stable") if together else None,
    )
    screen = Screen(
        drugs=drugs,
        active=active,
        wells=wells,
        shape=plate_shape(n_compounds, n_plates, n_replicates, n_controls, layout == "fixed"),
        n_features=n_features,
        sizes=sizes,
    )
    features, counts = measure(screen, effects, noise)
    table = pd.concat(
        [
            _metadata(drugs, active, wells, counts),
            pd.DataFrame(features, columns=feature_names(n_features)),
        ],
        axis=1,
    )
    table.attrs["simulated"] = {
        "by": "cloome_sk.datasets.make_profiles",
        "n_compounds": n_compounds,
        "inactive_fraction": inactive_fraction,
        "layout": layout,
        "allocation": allocation,
        **sizes,
    }
    return table


def _metadata(
    drugs: pd.DataFrame, active: np.ndarray, wells: pd.DataFrame, counts: np.ndarray
) -> pd.DataFrame:
    """What is known of each well; a compound of -1 is DMSO."""
    compound = wells["compound"].to_numpy()
    control = compound < 0
    # Row -1 of the drugs stands for DMSO until it is masked out or replaced.
    rows = drugs.iloc[compound].reset_index(drop=True)
    return pd.DataFrame(
        {
            "Metadata_Plate": [f"SIM{plate + 1:04d}" for plate in wells["plate"]],
            "Metadata_Well": wells["well"],
            "Metadata_batch": [f"batch{plate // 2 + 1}" for plate in wells["plate"]],
            "Metadata_smiles": rows["smiles"].where(~control, _DMSO),
            "Metadata_pert_iname": rows["name"].where(~control, "DMSO"),
            "Metadata_moa": rows["moa"].where(~control),
            "Metadata_target": rows["target"].where(~control),
            "Metadata_control_type": pd.Series("negcon", index=rows.index, dtype="str").where(
                control
            ),
            "Metadata_conc_uM": np.where(control, 0.0, _DOSE_UM),
            "Metadata_active": active[compound] & ~control,
            "Metadata_Count_Cells": counts,
            "Metadata_source": "simulated",
        }
    )


def _check_count(name: str, value: Any, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer; got {value!r}.")
    if value < low or (high is not None and value > high):
        upper = f" and at most {high}" if high is not None else ""
        raise ValueError(f"{name} must be at least {low}{upper}; got {value}.")


def _check_size(name: str, value: Any, high: float = np.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number; got {value!r}.")
    if not 0 <= value <= high or not np.isfinite(value):
        upper = f" and at most {high:g}" if np.isfinite(high) else " and finite"
        raise ValueError(f"{name} must be at least 0{upper}; got {value}.")
