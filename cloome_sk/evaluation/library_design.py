"""Library design on data at hand: assays, chemical series and picks, each in two feature spaces."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.base import clone

from cloome_sk._embedding import unit_rows
from cloome_sk.baselines import (
    IntensityProfiles,
    MorganFeatures,
    ProfileFeatures,
    TanimotoKernelEmbedder,
    UntrainedEmbedder,
)
from cloome_sk.datasets import load_assays, make_analogue_series, make_screen, plant_assays
from cloome_sk.evaluation.bioactivity_overlap import study_bioactivity_overlap
from cloome_sk.evaluation.chemotype_clustering import study_chemotype_clustering
from cloome_sk.evaluation.clustering_comparison import study_clustering_comparison
from cloome_sk.evaluation.clustering_result import ClusteringStudy
from cloome_sk.evaluation.library_selection import study_library_selection
from cloome_sk.evaluation.phenotype_clustering import study_phenotype_clustering
from cloome_sk.evaluation.screens import load_screen, make_embedder
from cloome_sk.molecules import ChemicalSeries, molecule_key
from cloome_sk.preprocessing import ControlNormalizer, find_controls

DATA = ("simulated", "hti")
SCREEN = "cell-injury"
"""What the embedder of the real structures is trained on."""
PHENOTYPE, STRUCTURE = "intensity features", "Morgan fingerprint"
EMBEDDING, UNTRAINED = "CLOOME, molecules", "untrained encoder, molecules"
DRAWN: dict[str, Any] = {
    "n_plates": 4,
    "n_controls": 64,
    "size": 128,
    "pixel_size_um": 2.0,
    "inactive_fraction": 0.0,
    "compound_signal": 0.0,
}


@dataclass(frozen=True)
class LibraryDesignStudy:
    """Several studies of one set of compounds, printed and written together.

    Attributes
    ----------
    data : str
        One of `DATA`.
    notes : tuple of str
        What the data is.
    truth : dict of str to DataFrame
        What was planted beside what was found; empty for real data.
    parts : dict of str to study
        By title; each with `report` and `write`.
    """

    data: str
    notes: tuple[str, ...]
    truth: dict[str, pd.DataFrame] = field(repr=False)
    parts: dict[str, Any] = field(repr=False)

    def report(self) -> str:
        """Write everything down.

        Returns
        -------
        str
            Many lines: what the data is, what was planted and found, and each study.
        """
        lines = list(self.notes)
        for title, table in self.truth.items():
            lines += ["", f"== {title} ==", table.to_string()]
        for title, found in self.parts.items():
            lines += ["", "", f"== {title} ==", "", found.report()]
        return "\n".join(lines)

    def write(self, folder: str | PathLike[str]) -> list[Path]:
        """Write tables as CSV and figures as PNG, each study's in a folder of its own.

        Parameters
        ----------
        folder : path-like
            Made where it is not there. Files of the same names are replaced.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        written: list[Path] = []
        for title, found in self.parts.items():
            own = Path(folder) / f"library-design_{self.data}" / title.replace(", ", "_")
            written += found.write(Path(str(own).replace(" ", "-")))
        return written


def library_design(
    data: str,
    data_home: str | PathLike[str] | None = None,
    *,
    folder: str | PathLike[str] | None = None,
    random_state: int = 0,
    n_permutations: int = 999,
    n_splits: int = 10,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> LibraryDesignStudy:
    """Ask two feature spaces of one set of compounds which assays and series they hold together.

    Parameters
    ----------
    data : {"simulated", "hti"}
        - ``"simulated"``: analogue series with planted mechanisms and assays, and drawn images of
          them: intensities of the images beside fingerprints. The right answer is known. Also which
          compounds a designer picks.
        - ``"hti"``: the structures and assay results of `cloome_sk.datasets.load_assays`:
          embeddings of structures by an encoder that was trained on a screen beside fingerprints,
          and the same encoder untrained. There are no phenotypes.
    data_home : path-like, optional
        Data folder.
    folder : path-like, optional
        Where simulated images are drawn; a simulated screen that is there is replaced.
    random_state : int, default=0
        Of everything.
    n_permutations : int, default=999
        As in `study_phenotype_clustering`.
    n_splits : int, default=10
        As in `study_library_selection`.
    n_jobs : int, optional
        Processes or threads.
    verbose : int, default=0
        Above 0: progress bars.

    Returns
    -------
    LibraryDesignStudy
        Phenotype and chemotype clustering of each space, their comparison, the overlap of series
        and assays, and for simulated data the selection of a library.

    Raises
    ------
    ValueError
        For unknown data, or images to be drawn without a folder.

    Examples
    --------
    >>> from cloome_sk.evaluation.library_design import library_design
    >>> study = library_design("hti")  # doctest: +SKIP
    """
    options = {"n_permutations": n_permutations, "random_state": random_state, "n_jobs": n_jobs}
    makers: dict[str, Callable[[], LibraryDesignStudy]] = {
        "simulated": lambda: _simulated(folder, options, n_splits, verbose),
        "hti": lambda: _hti(data_home, options, verbose),
    }
    if data not in makers:
        raise ValueError(f"data must be one of {', '.join(map(repr, DATA))}; got {data!r}.")
    return makers[data]()


def _simulated(
    folder: Any, options: dict[str, Any], n_splits: int, verbose: int
) -> LibraryDesignStudy:
    if folder is None:
        raise ValueError("data='simulated' draws images: name a folder for them.")
    seed = options["random_state"]
    compounds = make_analogue_series(random_state=seed)
    assays, truth = plant_assays(compounds, random_state=seed)
    wells = _drawn_wells(compounds, folder, options)
    columns = [name for name in wells.columns if str(name).startswith("Image_Intensity_")]
    treated = wells[~find_controls(wells).mask]
    profiles = treated.groupby("Metadata_pert_iname")[columns].mean()
    spaces = {
        PHENOTYPE: (profiles.loc[compounds["name"]].to_numpy(dtype=np.float64), "cosine"),
        STRUCTURE: (_fingerprints(compounds["smiles"]), "tanimoto"),
    }
    finder = ChemicalSeries(random_state=seed, n_jobs=options["n_jobs"]).fit(compounds["smiles"])
    families = truth.set_index("assay")["family"]
    parts = _studies(
        spaces,
        assays,
        finder,
        finder.transform(compounds["smiles"]),
        families,
        options,
        "simulated",
        verbose,
    )
    parts["library selection"] = _selected(wells, columns, seed, n_splits, verbose)
    n_inert = compounds.loc[compounds["series"].isin(_inert(truth)), "series"].nunique()
    notes = (
        "SIMULATED: series, mechanisms, assays and images are made up, so that the right answer is "
        "known; nothing here is about real compounds.",
        f"{len(compounds)} compounds of {compounds['series'].nunique()} planted series, "
        f"{compounds['moa'].nunique()} mechanisms, {len(treated)} treated wells. Mechanisms are "
        "shared by several series; some series do nothing, and beyond its mechanism no compound "
        "does anything.",
        f"Assays: actives of phenotype assays share mechanisms, those of chemotype assays are of "
        f"series without an effect ({n_inert} of them), those of random assays share nothing.",
        f"{PHENOTYPE}: {len(columns)} figures of the channels of each image, normalised to the "
        "controls of the plate and sphered by them, means of the wells of a compound. No network.",
    )
    planted = {
        "Planted assays, and how many were found": _found_assays(parts, truth),
        f"Planted series, and which of {len(finder.series_)} found ones fits best": _found_series(
            compounds, finder
        ),
    }
    return LibraryDesignStudy("simulated", notes, planted, parts)


def _drawn_wells(compounds: pd.DataFrame, folder: Any, options: dict[str, Any]) -> pd.DataFrame:
    """Intensities of drawn wells, normalised to the controls of their plates."""
    table = make_screen(
        folder,
        compounds=compounds[["name", "smiles", "moa"]],
        random_state=options["random_state"],
        n_jobs=options["n_jobs"],
        overwrite=True,
        **DRAWN,
    )
    measured = IntensityProfiles(n_jobs=options["n_jobs"]).fit_transform(table)
    columns = [str(name) for name in measured.columns if str(name).startswith("Image_Intensity_")]
    table = pd.concat([table, measured[columns].set_index(table.index)], axis=1)
    return ControlNormalizer(columns, sphering=True).fit_transform(table)


def _selected(
    wells: pd.DataFrame, columns: list[str], seed: int, n_splits: int, verbose: int
) -> Any:
    n_pairs = int((~find_controls(wells).mask).sum()) // 2
    embedder = make_embedder(n_pairs, seed).set_params(phenotype__columns=columns)
    kernel = TanimotoKernelEmbedder(phenotype=ProfileFeatures(columns))
    return study_library_selection(
        wells,
        {
            "CLOOME": embedder,
            "Tanimoto kernel": kernel,
        },
        mechanism="moa",
        features=columns,
        splits=["molecule", "mechanism"],
        n_splits=n_splits,
        data="simulated",
        random_state=seed,
        verbose=verbose,
    )


def _hti(data_home: Any, options: dict[str, Any], verbose: int) -> LibraryDesignStudy:
    seed = options["random_state"]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        table = load_assays("hti", data_home)
        screen = load_screen(SCREEN, data_home, seed)
    smiles = table.data["smiles"]
    embedder = screen.make_embedder(len(screen.wells), seed)
    trained = clone(embedder).fit(screen.wells)
    untrained = UntrainedEmbedder(embedder).fit(screen.wells)
    keys = molecule_key(smiles)
    spaces = {
        EMBEDDING: (unit_rows(trained.embed_molecules(smiles)), "cosine"),
        STRUCTURE: (_fingerprints(smiles), "tanimoto"),
        UNTRAINED: (unit_rows(untrained.embed_molecules(smiles)), "cosine"),
    }
    finder = ChemicalSeries(random_state=seed, n_jobs=options["n_jobs"], verbose=verbose).fit(
        smiles
    )
    shared = len(set(keys) & set(trained.molecules_seen_))
    notes = (
        f"{len(smiles):,} structures with results of {table.target.shape[1]} assays (hti). There "
        "are no phenotypes of these compounds here: all spaces are computed from structures.",
        f"{EMBEDDING}: an encoder trained on {SCREEN} ({len(trained.molecules_seen_)} molecules, "
        f"{shared} of them among these structures; no assay result takes part). {UNTRAINED}: the "
        "same network before training.",
        "Stereoisomers and salts of a molecule are no evidence for each other.",
        *(str(warning.message) for warning in said),
    )
    parts = _studies(
        spaces, table.target, finder, finder.transform(smiles), None, options, "hti", verbose, keys
    )
    return LibraryDesignStudy("hti", notes, {}, parts)


def _studies(
    spaces: dict[str, tuple[np.ndarray, str]],
    assays: pd.DataFrame,
    finder: ChemicalSeries,
    membership: csr_matrix,
    families: Any,
    options: dict[str, Any],
    data: str,
    verbose: int,
    groups: Any = None,
) -> dict[str, Any]:
    """Both clusterings of each space, overlaps of its series, and the first against the others."""
    parts: dict[str, Any] = {}
    pairs: dict[str, list[ClusteringStudy]] = {}
    given = {**options, "groups": groups, "data": data, "verbose": bool(verbose)}
    names = finder.series_["series"].tolist()
    for name, (features, metric) in spaces.items():
        own = {**given, "metric": metric, "model": name}
        pairs[name] = [
            study_phenotype_clustering(features, assays, families=families, **own),
            study_chemotype_clustering(features, membership, names=names, **own),
        ]
        parts[f"phenotype clustering, {name}"], parts[f"chemotype clustering, {name}"] = pairs[name]
    first, *others = spaces
    for name, (_, by_series) in pairs.items():
        parts[f"bioactivity overlap, {name}"] = study_bioactivity_overlap(
            membership, assays, by_series, names=names, families=families, groups=groups, data=data
        )
    for other in others:
        parts[f"comparison, {first}, {other}"] = study_clustering_comparison(
            pairs[first], pairs[other], random_state=options["random_state"]
        )
    return parts


def _fingerprints(smiles: pd.Series) -> np.ndarray:
    structures = pd.DataFrame({"smiles": smiles.to_numpy(dtype=object)})
    return np.asarray(MorganFeatures().fit_transform(structures), dtype=np.float32)


def _inert(truth: pd.DataFrame) -> set[str]:
    causes = truth.loc[truth["kind"] == "chemotype", "cause"]
    return {series for cause in causes for series in cause.split("; ")}


def _found_assays(parts: dict[str, Any], truth: pd.DataFrame) -> pd.DataFrame:
    """A row a kind of assay, a column a space: assays found, of how many."""
    kind = truth.set_index("assay")["kind"]
    out = pd.DataFrame({"planted": kind.value_counts(sort=False)})
    for title, found in parts.items():
        if title.startswith("phenotype clustering, "):
            counts = kind.loc[found.found].value_counts()
            out[found.model] = counts.reindex(out.index).fillna(0).astype(int)
    return out.rename_axis(None)


def _found_series(compounds: pd.DataFrame, finder: ChemicalSeries) -> pd.DataFrame:
    """Of each planted series the found one that fits best (F1 of the members), worst first."""
    membership = np.asarray(finder.transform(compounds["smiles"]).todense(), dtype=bool)
    rows = []
    for series in sorted(compounds["series"].unique()):
        planted = (compounds["series"] == series).to_numpy()
        both = (membership & planted[:, None]).sum(axis=0)
        scores = 2 * both / (membership.sum(axis=0) + planted.sum())
        best = int(scores.argmax()) if len(scores) and scores.max() > 0 else None
        rows.append(
            {
                "planted": series,
                "F1": 0.0 if best is None else float(scores[best]),
                "found as": "-" if best is None else finder.series_["scaffold"].iloc[best],
            }
        )
    table = pd.DataFrame(rows).sort_values("F1", kind="stable", ignore_index=True)
    return table.round({"F1": 2}).set_index("planted").rename_axis(None)
