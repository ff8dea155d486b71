"""CPJUMP1: the compound plates of the JUMP pilot, as well profiles."""

from __future__ import annotations

import os

import pandas as pd

from cloome_sk.datasets._reading import find_file, read_parquet

WELLS = "profiles/cpjump1_compound_wells.parquet"
_PROBABILITIES = "profiles/cpjump1_phenotype_probabilities.parquet"
_REMEDY = "cloome_sk.datasets.fetch_cpjump1() rebuilds it from its public source."
_PROBABILITIES_REMEDY = (
    "No fetcher rebuilds it; its source is 3.evaluate_model/jump_phenotype_profiles/"
    "jump_phenotype_profiles.tsv.gz of the repository WayScience/phenotypic_profiling."
)


def load_cpjump1(data_home: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Load the CPJUMP1 compound wells in U2OS cells, with their structures.

    Seven 384-well plates of one layout [1]_: four imaged after 48 h, three after 24 h. The profiles
    are medians of CellProfiler features over the cells of a well, as published: divided by the MAD
    and centred at the median of the plate's negative controls, and feature-selected. The table
    comes exactly as it is on disk.

    Parameters
    ----------
    data_home : path-like, optional
        Data folder; ``None`` takes the environment variable ``CLOOME_SK_DATA``.

    Returns
    -------
    DataFrame, one row per well
        904 float32 features (``Cells_``, ``Cytoplasm_``, ``Nuclei_``; no NaN), and among the
        metadata ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_smiles``,
        ``Metadata_pert_iname``, ``Metadata_control_type`` (``negcon`` for DMSO, ``poscon_*``,
        NaN for treatments), ``Metadata_gene``, ``Metadata_target_list`` and ``Metadata_moa_list``
        (separated by ``|``), ``Metadata_timepoint_h``, ``Metadata_cell_line``,
        ``Metadata_plate_anomaly`` (a staining fault noted by the makers of the plates) and
        ``Metadata_murcko`` (Murcko scaffold).

    Raises
    ------
    FileNotFoundError
        If there is no data folder, or the table is not in it.
    ValueError
        If the file is truncated or is another table.
    ImportError
        If pyarrow is not installed.

    See Also
    --------
    fetch_cpjump1 : Rebuild the table from its public source.

    Notes
    -----
    Some features reach hundreds of MADs (from -310 to +570 in the table these figures are from),
    because a MAD over a plate's controls can be tiny. They are left in: clip them, as
    :class:`cloome_sk.preprocessing.ControlNormalizer` does. All plates share one layout, so a
    replicate always sits in the same well: similarity of replicates and similarity of well
    positions cannot be told apart on this table.

    References
    ----------
    .. [1] Chandrasekaran et al., "Three million images and morphological profiles of cells treated
       with matched chemical and genetic perturbations", Nat Methods 21:1114 (2024).

    Examples
    --------
    >>> from cloome_sk.datasets import load_cpjump1
    >>> X = load_cpjump1()  # doctest: +SKIP
    >>> X["Metadata_control_type"].value_counts(dropna=False)  # doctest: +SKIP
    """
    path = find_file(data_home, WELLS, remedy=_REMEDY)
    required = ("Metadata_Plate", "Metadata_Well", "Metadata_smiles", "Metadata_control_type")
    return read_parquet(path, required=required, remedy=_REMEDY)


def load_phenotype_probabilities(data_home: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Load the mitotic-phenotype probabilities of the CPJUMP1 compound plates.

    A second, low-dimensional view of CPJUMP1 on more plates: a classifier trained on MitoCheck
    nuclei [1]_ gave each cell of A549 and U2OS a probability for each of 15 phenotypes; here they
    are averaged over the cells of a well. The table comes exactly as it is on disk.

    Parameters
    ----------
    data_home : path-like, optional
        Data folder; ``None`` takes the environment variable ``CLOOME_SK_DATA``.

    Returns
    -------
    DataFrame, one row per well
        15 float32 probabilities (``ADCCM`` to ``SmallIrregular``), ``cell_count``,
        ``Metadata_Plate``, ``Metadata_Well``, ``treatment``, ``smiles``, ``Cell_type`` and ``Time``
        (hours).

    Raises
    ------
    FileNotFoundError
        If there is no data folder, or the table is not in it.
    ValueError
        If the file is truncated or is another table.
    ImportError
        If pyarrow is not installed.

    References
    ----------
    .. [1] Neumann et al., "Phenotypic profiling of the human genome by time-lapse microscopy
       reveals cell division genes", Nature 464:721 (2010).

    Examples
    --------
    >>> from cloome_sk.datasets import load_phenotype_probabilities
    >>> X = load_phenotype_probabilities()  # doctest: +SKIP
    """
    path = find_file(data_home, _PROBABILITIES, remedy=_PROBABILITIES_REMEDY)
    required = ("Metadata_Plate", "Metadata_Well", "smiles", "cell_count", "Interphase")
    return read_parquet(path, required=required, remedy=_PROBABILITIES_REMEDY)
