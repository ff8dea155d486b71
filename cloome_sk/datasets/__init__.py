"""Tables of images and of profiles, assay labels, simulated screens.

``read_*`` and ``scan_images`` make a table of sites from files of yours, ``load_*`` reads a public
table from the data folder, ``fetch_*`` rebuilds one there from its public source, ``make_*``
simulates a screen that needs no data at all. Everything is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloome_sk.datasets._download import DownloadError
    from cloome_sk.datasets._home import get_data_home
    from cloome_sk.datasets.analogues import make_analogue_series, plant_assays
    from cloome_sk.datasets.assays import load_assays
    from cloome_sk.datasets.assays_fetch import fetch_assays
    from cloome_sk.datasets.bbbc021 import fetch_bbbc021_profiles, load_bbbc021_profiles
    from cloome_sk.datasets.bbbc021_crops import load_bbbc021_crops
    from cloome_sk.datasets.bbbc021_structures import join_bbbc021_structures
    from cloome_sk.datasets.bray_index import read_bray_index
    from cloome_sk.datasets.cell_injury import load_cell_injury
    from cloome_sk.datasets.cpjump1 import load_cpjump1, load_phenotype_probabilities
    from cloome_sk.datasets.cpjump1_fetch import fetch_cpjump1
    from cloome_sk.datasets.join import join_metadata
    from cloome_sk.datasets.jump_harmony import load_jump_harmony
    from cloome_sk.datasets.known_drugs import load_known_drugs
    from cloome_sk.datasets.load_data import read_load_data
    from cloome_sk.datasets.moshkov import fetch_moshkov, load_moshkov
    from cloome_sk.datasets.repurposing import fetch_repurposing_hub, load_repurposing_hub
    from cloome_sk.datasets.scan import scan_images
    from cloome_sk.datasets.screen import make_screen
    from cloome_sk.datasets.simulate import make_profiles

__all__ = [
    "DownloadError",
    "fetch_assays",
    "fetch_bbbc021_profiles",
    "fetch_cpjump1",
    "fetch_moshkov",
    "fetch_repurposing_hub",
    "get_data_home",
    "join_bbbc021_structures",
    "join_metadata",
    "load_assays",
    "load_bbbc021_crops",
    "load_bbbc021_profiles",
    "load_cell_injury",
    "load_cpjump1",
    "load_jump_harmony",
    "load_known_drugs",
    "load_moshkov",
    "load_phenotype_probabilities",
    "load_repurposing_hub",
    "make_analogue_series",
    "make_profiles",
    "make_screen",
    "plant_assays",
    "read_bray_index",
    "read_load_data",
    "scan_images",
]

_MODULE = {
    "DownloadError": "_download",
    "fetch_assays": "assays_fetch",
    "fetch_bbbc021_profiles": "bbbc021",
    "fetch_cpjump1": "cpjump1_fetch",
    "fetch_moshkov": "moshkov",
    "fetch_repurposing_hub": "repurposing",
    "get_data_home": "_home",
    "join_bbbc021_structures": "bbbc021_structures",
    "join_metadata": "join",
    "load_assays": "assays",
    "load_bbbc021_crops": "bbbc021_crops",
    "load_bbbc021_profiles": "bbbc021",
    "load_cell_injury": "cell_injury",
    "load_cpjump1": "cpjump1",
    "load_jump_harmony": "jump_harmony",
    "load_known_drugs": "known_drugs",
    "load_moshkov": "moshkov",
    "load_phenotype_probabilities": "cpjump1",
    "load_repurposing_hub": "repurposing",
    "make_analogue_series": "analogues",
    "make_profiles": "simulate",
    "make_screen": "screen",
    "plant_assays": "analogues",
    "read_bray_index": "bray_index",
    "read_load_data": "load_data",
    "scan_images": "scan",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE:
        return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE])
