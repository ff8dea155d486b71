"""The parts of the simulated screen: which drugs, in which wells, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from string import ascii_uppercase

import numpy as np
import pandas as pd

from cloome_sk.molecules import morgan_fingerprints

_N_LATENT = 20
_N_CELLS = 1500
_NOISE_LATENT = 0.5
_NOISE_FEATURE = 0.7
_PLATE_STRETCH = 0.15
_DRUGS_PER_MECHANISM = 4
_FORMATS = ((8, 12), (16, 24), (32, 48))

_COMPARTMENTS = ("Cells", "Cytoplasm", "Nuclei")
_CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
_SHAPES = ("Area", "Compactness", "Eccentricity", "Extent", "FormFactor", "MajorAxisLength",
           "MeanRadius", "MinorAxisLength", "Perimeter", "Solidity")  # fmt: skip
_INTENSITIES = ("IntegratedIntensity", "LowerQuartileIntensity", "MADIntensity",
                "MassDisplacement", "MaxIntensity", "MeanIntensity", "StdIntensity",
                "UpperQuartileIntensity")  # fmt: skip
_TEXTURES = ("AngularSecondMoment", "Contrast", "Correlation", "DifferenceEntropy", "Entropy",
             "InfoMeas1", "InverseDifferenceMoment", "SumAverage", "Variance")  # fmt: skip


@dataclass(frozen=True)
class Screen:
    """Everything about the screen that is decided before anything is measured."""

    drugs: pd.DataFrame
    active: np.ndarray
    wells: pd.DataFrame
    shape: tuple[int, int]
    n_features: int
    sizes: Mapping[str, float]


def choose_drugs(
    drugs: pd.DataFrame, n_compounds: int, random: np.random.RandomState
) -> pd.DataFrame:
    """Draw drugs in turn from as many mechanisms as leave about four drugs each."""
    if n_compounds == len(drugs):
        return drugs
    mechanisms = drugs["moa"].unique()
    shuffled = drugs.iloc[random.permutation(len(drugs))]
    turn = shuffled.groupby("moa").cumcount()
    n_mechanisms = max(1, n_compounds // _DRUGS_PER_MECHANISM)
    while True:
        # A few mechanisms have too few drugs to fill their share: take one more in then.
        taken = shuffled["moa"].isin(mechanisms[random.permutation(len(mechanisms))][:n_mechanisms])
        if taken.sum() >= n_compounds:
            break
        n_mechanisms += 1
    chosen = turn[taken].sort_values(kind="stable").index[:n_compounds]
    return drugs.loc[np.sort(chosen)].reset_index(drop=True)


def plate_shape(
    n_compounds: int, n_plates: int, n_replicates: int, n_controls: int, fixed: bool
) -> tuple[int, int]:
    """Rows and columns of the smallest plate on which the wells fit."""
    if fixed:
        needed = n_compounds + n_controls
    else:
        # Every n_plates-th compound starts on the same plate: see lay_out.
        needed = min(n_compounds, n_replicates * -(-n_compounds // n_plates)) + n_controls
    for rows, columns in _FORMATS:
        if needed <= rows * columns:
            return rows, columns
    raise ValueError(
        f"{needed} wells a plate do not fit the largest plate (1536 wells): use fewer n_controls, "
        "or more n_plates for the same n_replicates."
    )


def lay_out(
    n_compounds: int,
    *,
    n_plates: int,
    n_replicates: int,
    n_controls: int,
    fixed: bool,
    random: np.random.RandomState,
    order: np.ndarray | None = None,
) -> pd.DataFrame:
    """Give every compound its plates and wells: columns plate, compound (-1: DMSO), row, column.

    With an `order` of the compounds, those next to each other share all their plates.
    """
    shape = plate_shape(n_compounds, n_plates, n_replicates, n_controls, fixed)
    start = random.permutation(n_compounds)
    if order is not None:
        n_sets = n_plates // n_replicates
        start[order] = n_replicates * (np.arange(n_compounds) * n_sets // n_compounds)
    shared = random.permutation(shape[0] * shape[1])
    tables = []
    for plate in range(n_plates):
        # Compounds start on the plates in turn, in random order, and go on to the next plates.
        here = np.flatnonzero((plate - start) % n_plates < n_replicates)
        own = random.permutation(shape[0] * shape[1])
        if fixed:
            position = np.concatenate([shared[:n_controls], shared[n_controls + here]])
        else:
            position = own[: n_controls + len(here)]
        tables.append(
            pd.DataFrame(
                {
                    "plate": plate,
                    "compound": np.concatenate([np.full(n_controls, -1), here]),
                    "row": position // shape[1],
                    "column": position % shape[1],
                }
            )
        )
    wells = pd.concat(tables).sort_values(["plate", "row", "column"], ignore_index=True)
    wells["well"] = [
        f"{_row_name(row)}{column + 1:02d}"
        for row, column in zip(wells["row"], wells["column"], strict=True)
    ]
    return wells


def _row_name(row: int) -> str:
    letters = ascii_uppercase
    return letters[row] if row < len(letters) else f"A{letters[row - len(letters)]}"


def feature_names(n_features: int) -> list[str]:
    """Names as CellProfiler gives them, in turn from the three compartments."""
    kinds = [f"AreaShape_{shape}" for shape in _SHAPES]
    kinds += [f"Intensity_{kind}_{ch}" for kind, ch in product(_INTENSITIES, _CHANNELS)]
    scales = 3
    while len(kinds) * len(_COMPARTMENTS) < n_features:
        kinds += [
            f"Texture_{kind}_{channel}_{scales}_00_256"
            for kind, channel in product(_TEXTURES, _CHANNELS)
        ]
        scales += 2
    names = [f"{compartment}_{kind}" for kind in kinds for compartment in _COMPARTMENTS]
    return names[:n_features]


def measure(
    screen: Screen, effects: np.random.RandomState, noise: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Features (float32, wells x features) and cell counts, by the model `make_profiles` states."""
    sizes, wells = screen.sizes, screen.wells
    n_wells, n_features = len(wells), screen.n_features
    plate = wells["plate"].to_numpy()
    compound = wells["compound"].to_numpy()
    mechanism, mechanisms = pd.factorize(screen.drugs["moa"])

    moa_effect = effects.standard_normal((len(mechanisms), _N_LATENT))
    toxicity = effects.exponential(0.5, size=len(mechanisms))
    chemistry = _chemistry(screen.drugs, effects)
    own = effects.standard_normal(chemistry.shape)
    loadings = effects.standard_normal((_N_LATENT, n_features)) / np.sqrt(_N_LATENT)
    density_loading = effects.standard_normal(n_features)
    position_loading = effects.standard_normal((3, n_features))
    location = effects.uniform(-1, 1, n_features) * 10.0 ** effects.uniform(-1, 3, n_features)
    unit = 10.0 ** effects.uniform(-2, 2, n_features)
    n_plates = plate.max() + 1
    plate_shift = effects.standard_normal((n_plates, n_features))
    batch_shift = effects.standard_normal((n_plates, n_features))
    stretch = effects.standard_normal((n_plates, n_features))

    weights = np.array([sizes["moa_signal"], sizes["compound_signal"]], dtype=float)
    weights /= np.linalg.norm(weights)
    effect = weights[0] * moa_effect[mechanism] + weights[1] * (chemistry + own) / np.sqrt(2)
    # The last row belongs to DMSO, whose compound number is -1.
    effect = np.vstack([effect * screen.active[:, None], np.zeros(_N_LATENT)])
    loss = np.append(toxicity[mechanism] * screen.active, 0.0)

    # The counts come last: how many random numbers they take depends on the signal.
    latent_noise = noise.standard_normal((n_wells, _N_LATENT))
    feature_noise = noise.standard_normal((n_wells, n_features))
    variation = np.exp(0.1 * noise.standard_normal(n_wells))
    counts = noise.poisson(_N_CELLS * variation * 2.0 ** (-sizes["signal"] * loss[compound]))

    latent = sizes["signal"] * effect[compound]
    latent += _NOISE_LATENT * latent_noise
    values = latent @ loadings
    values += 0.5 * density_loading * np.log2(np.maximum(counts, 1) / _N_CELLS)[:, None]
    values += sizes["position_effect"] * _position(wells, screen.shape) @ position_loading
    values += _NOISE_FEATURE * feature_noise

    amount = sizes["plate_effect"]
    values *= (1 + _PLATE_STRETCH * amount * stretch)[plate]
    values += amount * (plate_shift[plate] + batch_shift[plate // 2]) / np.sqrt(2)
    return (location + unit * values).astype(np.float32), counts


def _chemistry(drugs: pd.DataFrame, random: np.random.RandomState) -> np.ndarray:
    """Effects that follow structure: a random projection of centred fingerprints."""
    bits = morgan_fingerprints(drugs["smiles"]).astype(float)
    bits -= bits.mean(axis=0)
    projected = bits @ random.standard_normal((bits.shape[1], _N_LATENT))
    return projected / projected.std()


def _position(wells: pd.DataFrame, shape: tuple[int, int]) -> np.ndarray:
    """Edge, row gradient and column gradient of each well."""
    row, column = wells["row"].to_numpy(), wells["column"].to_numpy()
    last_row, last_column = shape[0] - 1, shape[1] - 1
    edge = (row == 0) | (row == last_row) | (column == 0) | (column == last_column)
    return np.column_stack([edge, 2 * row / last_row - 1, 2 * column / last_column - 1])
