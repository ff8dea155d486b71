"""A simulated Cell Painting screen: images on disk, and their table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.utils import check_random_state

from cloome_sk.datasets import _screen_folder
from cloome_sk.datasets._drawing import CHANNELS
from cloome_sk.datasets._screen_compounds import user_compounds
from cloome_sk.datasets._screen_site import make_site
from cloome_sk.datasets._screen_wells import Streams, compound_shifts, furnish, plate_optics
from cloome_sk.datasets._simulation import Screen, choose_drugs, lay_out, plate_shape
from cloome_sk.datasets.known_drugs import load_known_drugs
from cloome_sk.datasets.simulate import _LAYOUTS, _check_count, _check_size, _metadata

_SMALLEST, _LARGEST = 32, 2160


def make_screen(
    folder: str | os.PathLike[str],
    *,
    compounds: pd.DataFrame | None = None,
    n_compounds: int | None = None,
    n_plates: int = 2,
    n_replicates: int | None = None,
    n_controls: int = 16,
    n_sites: int = 1,
    size: int | tuple[int, int] = 160,
    pixel_size_um: float = 1.5,
    signal: float = 1.0,
    moa_signal: float = 1.0,
    compound_signal: float = 1.0,
    inactive_fraction: float = 0.2,
    plate_effect: float = 1.0,
    position_effect: float = 0.5,
    background: float = 1.0,
    noise: float = 1.0,
    layout: str = "scrambled",
    overwrite: bool = False,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: bool = False,
) -> pd.DataFrame:
    r"""Draw a simulated Cell Painting screen: 16-bit images of five channels, and their table.

    The molecules are real (:func:`load_known_drugs`, or a table of yours), and each mechanism
    changes number, shape and texture of the cells as the literature describes it. Every image is
    **simulated**: use it to learn the package, to test code and to see what an artefact does to a
    result, never as evidence about a drug.

    Parameters
    ----------
    folder : str or path-like
        Where the images go: a new or an empty folder. Nothing is written elsewhere.
    compounds : DataFrame, optional
        Compounds of yours, one row each: columns ``name`` (or ``pert_iname``), ``smiles``, ``moa``
        and, optionally, ``target``, in any case and with or without a leading ``Metadata_``. A
        mechanism that is not known here gets a phenotype drawn from the seed and its name; a
        compound without mechanism, one of its own. ``None``: the 120 known drugs.
    n_compounds : int, optional
        How many of the compounds to use, at least 2; ``None`` takes all. Fewer are drawn from as
        many mechanisms as leave about four compounds each.
    n_plates : int, default=2
        Number of plates. Two plates in turn make a batch.
    n_replicates : int, optional
        On how many plates a compound is, one well each; ``None``: on all.
    n_controls : int, default=16
        DMSO wells on each plate.
    n_sites : int, default=1
        Sites (fields of view) of each well, at most 99.
    size : int or (int, int), default=160
        Height and width of a site in pixels, from 32 to 2160; one number for a square.
    pixel_size_um : float, default=1.5
        Width of a pixel on the specimen in µm, from 0.25 to 4. With a 20x objective it is 0.3
        without and 0.6 with the camera's 2x2 binning (JUMP); 1.5 shows about 17 cells on
        160 x 160 pixels.
    signal : float, default=1.0
        Size of everything a compound does, cell count included. 0: compounds do nothing at all.
    moa_signal : float, default=1.0
        Size of what the compounds of a mechanism share.
    compound_signal : float, default=1.0
        Size of what is a compound's own: how strong it is, and deviations that follow its structure
        a little. 0: compounds of a mechanism are all alike.
    inactive_fraction : float, default=0.2
        Share of compounds that do nothing, in [0, 1], drawn at random.
    plate_effect : float, default=1.0
        Size of the differences between plates and between batches: brightness of each stain,
        background, focus, uneven light, number of cells.
    position_effect : float, default=0.5
        Size of the dependence on the position in the plate: fewer and paler cells, less in focus,
        on the rim, and gradients over rows and columns.
    background, noise : float, default=1.0
        Size of the background and of the camera's noise, relative to those of a real microscope.
    layout : {"scrambled", "fixed"}, default="scrambled"
        ``"scrambled"`` draws the wells anew for each plate. ``"fixed"`` gives a compound the same
        well on all its plates, as real screens often do: then position looks like replication.
    overwrite : bool, default=False
        Whether a simulated screen in `folder` may be replaced. Other files there are left alone.
    n_jobs : int or None, default=None
        Number of processes that draw, as in joblib. The images do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seed. One seed gives the same bytes on disk, and one layout and one set of effects whatever
        the sizes of signal and artefacts. ``None`` draws a fresh seed from the operating system.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    DataFrame, one row per site
        ``Metadata_Plate``, ``Metadata_Well`` (``A01`` ...), ``Metadata_Site`` (from 1),
        ``Metadata_batch``, ``Metadata_smiles``, ``Metadata_pert_iname``, ``Metadata_moa`` and
        ``Metadata_target`` (missing for DMSO), ``Metadata_control_type`` (``negcon`` for DMSO, else
        missing), ``Metadata_conc_uM`` (10, DMSO 0), ``Metadata_active`` (bool: whether the compound
        was given an effect; drawn at random, no fact about the drug), ``Metadata_Count_Cells``
        (the cells drawn whose centre is in the field, dying and dividing ones included),
        ``Metadata_source`` (``simulated``), and ``Image_DNA``, ``Image_ER``, ``Image_RNA``,
        ``Image_AGP``, ``Image_Mito``: absolute paths of the images. Rows are ordered by plate, well
        and site. ``table.attrs["simulated"]`` holds the parameters.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong kind or out of its range, the wells do not fit a 1536-well
        plate, or `compounds` lacks a column, a name or a structure.
    FileExistsError
        If `folder` is not empty and `overwrite` is false.
    NotADirectoryError
        If `folder` is a file.

    See Also
    --------
    make_profiles : The same kind of screen as a table of profiles.
    load_known_drugs : The molecules.

    Notes
    -----
    **On disk.** Each plate has a folder (``SIM0001`` ...) with one uncompressed 16-bit TIFF for
    each channel of a site, named as the Opera Phenix does in the JUMP data
    (``r01c02f03p01-ch5sk1fk1fl1.tiff``; ch1 Mito, ch2 AGP, ch3 RNA, ch4 ER, ch5 DNA). The table is
    written last, as ``screen.csv``, with paths relative to the folder. Until then the folder holds
    a file ``screen.unfinished``: where it is still there, drawing was interrupted.

    **What is drawn.** Cells of U2OS-like shape in islands with gaps; irregular outlines divide the
    ground among themselves where they touch. Nuclei carry chromatin and nucleoli, the cytoplasm
    textures of its organelles, drawn in each cell's own direction. Some cells divide, some die, in
    DMSO too. Then light from out of focus, uneven illumination, background, shot noise and the
    camera's read noise. Every trait of the cells (:math:`v`, e.g. nuclear area; :math:`\log` is the
    log odds for fractions, e.g. of dividing cells) of a well with compound :math:`c` of mechanism
    :math:`m` is

    .. math::

        \log v = \log v_\text{DMSO} + s \, a_c \, \Bigl[ \beta_m \, e^{0.3 \beta_c g_c} \, \mu_m
                 + \beta_c \, \sigma \, \frac{\phi_c + \delta_c}{\sqrt{2}} \Bigr]

    with :math:`s` = `signal`, :math:`\beta_m` = `moa_signal`, :math:`\beta_c` = `compound_signal`;
    :math:`a_c` is 0 for inactive compounds, else 1. :math:`\mu_m` are the traits of the mechanism,
    :math:`g_c` and :math:`\delta_c` are standard normal, :math:`\phi_c` is a random projection of
    the Morgan fingerprint as in :func:`make_profiles`, and :math:`\sigma` is 0.12 (0.35 for
    fractions). Several mechanisms, such as receptors that the cells lack, do next to nothing, as
    in real screens. Not drawn: bleed-through between channels, cells that overlap, and dose.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from tifffile import imread
    >>> from cloome_sk.datasets import make_screen
    >>> with TemporaryDirectory() as folder:
    ...     sites = make_screen(
    ...         folder, n_compounds=4, n_plates=1, n_controls=4, size=64, random_state=0
    ...     )
    ...     image = imread(sites["Image_DNA"][0])
    >>> len(sites), image.shape, image.dtype
    (8, (64, 64), dtype('uint16'))
    >>> sites["Metadata_source"].unique().tolist()
    ['simulated']
    """
    drugs = load_known_drugs() if compounds is None else user_compounds(compounds)
    if n_compounds is None:
        n_compounds = len(drugs)
    _check_count("n_compounds", n_compounds, 2, len(drugs))
    _check_count("n_plates", n_plates, 1)
    if n_replicates is None:
        n_replicates = n_plates
    _check_count("n_replicates", n_replicates, 1, n_plates)
    _check_count("n_controls", n_controls, 0)
    _check_count("n_sites", n_sites, 1, 99)
    shape = _as_shape(size)
    _check_size("pixel_size_um", pixel_size_um)
    if not 0.25 <= pixel_size_um <= 4:
        raise ValueError(f"pixel_size_um must be at least 0.25 and at most 4; got {pixel_size_um}.")
    _check_size("inactive_fraction", inactive_fraction, 1.0)
    sizes = {
        "signal": signal,
        "moa_signal": moa_signal,
        "compound_signal": compound_signal,
        "plate_effect": plate_effect,
        "position_effect": position_effect,
        "background": background,
        "noise": noise,
    }
    for name, value in sizes.items():
        _check_size(name, value)
    if layout not in _LAYOUTS:
        raise ValueError(f"layout must be 'scrambled' or 'fixed'; got {layout!r}.")
    fixed = layout == "fixed"
    rows_columns = plate_shape(n_compounds, n_plates, n_replicates, n_controls, fixed)

    # check_random_state(None) would draw from, and so move, the caller's global generator.
    master = np.random.RandomState() if random_state is None else check_random_state(random_state)
    seeds = master.randint(np.iinfo(np.int32).max, size=6).tolist()
    choice, layout_random = (np.random.RandomState(seed) for seed in seeds[:2])
    streams = Streams(seeds[2:])

    # A compound without mechanism counts as a mechanism of its own.
    known = drugs.assign(moa=drugs["moa"].fillna(drugs["name"]))
    chosen = choose_drugs(known, n_compounds, choice)
    drugs = drugs.set_index("name").loc[chosen["name"]].reset_index()
    active = np.ones(n_compounds, dtype=bool)
    active[choice.permutation(n_compounds)[: round(inactive_fraction * n_compounds)]] = False
    wells = lay_out(
        n_compounds,
        n_plates=n_plates,
        n_replicates=n_replicates,
        n_controls=n_controls,
        fixed=fixed,
        random=layout_random,
    )
    screen = Screen(drugs, active, wells, rows_columns, n_features=0, sizes=sizes)
    shifts = compound_shifts(drugs, active, sizes, streams)
    optics = plate_optics(n_plates, float(pixel_size_um), sizes, streams)
    furnished = furnish(screen, shifts, optics, streams)

    folder = Path(os.path.abspath(folder))
    _screen_folder.begin(folder, overwrite)
    for plate in range(n_plates):
        (folder / _screen_folder.plate_name(plate)).mkdir(exist_ok=True)
    table = _metadata(drugs, active, wells, np.zeros(len(wells), dtype=int))
    table = table.loc[table.index.repeat(n_sites)].reset_index(drop=True)
    sites = np.tile(np.arange(1, n_sites + 1), len(wells))
    table.insert(2, "Metadata_Site", sites)
    of_site = wells.loc[wells.index.repeat(n_sites)]
    places = list(zip(of_site["plate"], of_site["row"], of_site["column"], sites, strict=True))
    for channel in CHANNELS:
        table[f"Image_{channel}"] = [
            str(
                folder
                / _screen_folder.plate_name(plate)
                / _screen_folder.image_name(row, column, site, channel)
            )
            for plate, row, column, site in places
        ]
    paths = [
        dict(zip(CHANNELS, files, strict=True))
        for files in table[[f"Image_{channel}" for channel in CHANNELS]].to_numpy()
    ]
    jobs = (
        delayed(make_site)(
            paths[k], *furnished[k // n_sites], shape, streams.seed("site", *places[k])
        )
        for k in range(len(table))
    )
    counts = Parallel(n_jobs=n_jobs, return_as="generator", batch_size="auto")(jobs)
    if verbose:
        from tqdm.auto import tqdm

        counts = tqdm(counts, total=len(table), desc="make_screen", unit="site")
    table["Metadata_Count_Cells"] = np.fromiter(counts, dtype=np.int64, count=len(table))
    _screen_folder.finish(folder, table)
    table.attrs["simulated"] = {
        "by": "cloome_sk.datasets.make_screen",
        "n_compounds": n_compounds,
        "size": shape,
        "pixel_size_um": pixel_size_um,
        "inactive_fraction": inactive_fraction,
        "layout": layout,
        **sizes,
    }
    return table


def _as_shape(size: Any) -> tuple[int, int]:
    sides = (size, size) if not isinstance(size, (tuple, list)) else tuple(size)
    if len(sides) != 2:
        raise ValueError(f"size must be one number or (height, width); got {size!r}.")
    for side in sides:
        _check_count("size", side, _SMALLEST, _LARGEST)
    return int(sides[0]), int(sides[1])
