from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from cloome_sk.imaging import CELL_PAINTING, Channels, channel_name

# The five images of a field as four data sets name them, in the order the stains have here.
STAINS = ["DNA", "ER", "RNA", "AGP", "Mito"]
DATA_SETS = {
    "Bray": ["Hoechst", "ERSyto", "ERSytoBleed", "Ph_golgi", "Mito"],
    "JUMP": ["OrigDNA", "OrigER", "OrigRNA", "OrigAGP", "OrigMito"],
    "lower case": ["dna", "er", "rna", "agp", "mito"],
    "stains": [
        "Hoechst 33342", "Concanavalin A", "SYTO 14", "Phalloidin/WGA", "MitoTracker Deep Red",
    ],
    "short stains": ["DAPI", "ConA", "SYTO-14", "WGA_Phalloidin", "MitoTracker"],
}  # fmt: skip


@pytest.mark.parametrize("names", DATA_SETS.values(), ids=DATA_SETS)
def test_the_names_of_each_data_set_mean_the_five_channels(names):
    assert [channel_name(name) for name in names] == STAINS
    assert Channels(names) == Channels(STAINS)


def test_the_channels_of_bbbc021_are_their_own():
    names = [channel_name(name) for name in ["DAPI", "Tubulin", "Actin"]]
    assert names == ["DNA", "Tubulin", "Actin"]
    assert channel_name("actin") == channel_name("OrigActin") == "Actin"


@pytest.mark.parametrize(
    "name",
    ["Actin", "Phalloidin", "WGA", "SYTO", "GFP", "OrigBrightfield", "OrigBrightfield_H", "Golgi"],
)
def test_a_name_that_does_not_mean_one_channel_stays_itself(name):
    assert channel_name(f"  {name} ") == name
    assert channel_name(name) not in CELL_PAINTING


def test_brightfield_planes_of_one_table_stay_apart():
    names = ["OrigBrightfield", "OrigBrightfield_H", "OrigBrightfield_L", "OrigDNA"]
    assert Channels(names).names == (*names[:3], "DNA")


def test_the_jump_table_in_the_data_folder_names_the_five(data_home):
    table = pd.read_parquet(data_home / "metadata/jump_BR00126114_load_data_with_illum.parquet")
    prefix = "FileName_Orig"
    found = Channels([name[9:] for name in table if name.startswith(prefix)])
    assert sorted(found) == sorted(CELL_PAINTING)


def test_the_bray_files_in_the_data_folder_are_the_five(data_home):
    found = Channels([file.stem for file in (data_home / "images/cloome_example").glob("*.tif")])
    assert sorted(found) == sorted(CELL_PAINTING)


def test_channels_are_a_sequence_that_keeps_its_order():
    channels = Channels(name for name in ["Ph_golgi", "Hoechst", "GFP"])
    assert channels.names == tuple(channels) == ("AGP", "DNA", "GFP")
    assert len(channels) == 3
    assert channels[0] == "AGP"
    assert channels[1:] == ("DNA", "GFP")
    assert "DNA" in channels
    assert channels.index("GFP") == 2
    assert channels != Channels(["DNA", "AGP", "GFP"])
    assert repr(channels) == "Channels('AGP', 'DNA', 'GFP')"


def test_channels_do_not_change_and_travel():
    channels = Channels(STAINS)
    with pytest.raises(AttributeError):
        channels.names = ("DNA",)
    assert pickle.loads(pickle.dumps(channels)) == copy.deepcopy(channels) == channels
    assert len({channels, Channels(DATA_SETS["Bray"])}) == 1


def test_positions_bring_any_order_into_this_one():
    field = {"Mito": 1, "ERSyto": 2, "ERSytoBleed": 3, "Ph_golgi": 4, "Hoechst": 5, "GFP": 6}
    image = np.array(list(field.values()))[:, None, None] * np.ones((1, 2, 3))
    places = Channels(["OrigDNA", "OrigMito", "OrigAGP"]).positions_in(field, purpose="a test")
    assert image[places][:, 0, 0].tolist() == [5, 1, 4]


def test_a_missing_channel_is_named_with_those_seen():
    with pytest.raises(ValueError, match=r"^transform: no channel AGP, RNA among those given") as e:
        Channels(["DNA", "AGP", "RNA"]).positions_in(["Actin", "DAPI"], purpose="transform")
    assert "(Actin, DNA)" in str(e.value)
    assert "never taken by their position" in str(e.value)


def test_two_names_of_one_channel_among_the_others_are_refused():
    with pytest.raises(
        ValueError, match="transform: 'DAPI' and 'Hoechst' are both the channel DNA"
    ):
        Channels(["DNA"]).positions_in(["DAPI", "Hoechst"], purpose="transform")


@pytest.mark.parametrize(
    ("names", "kind", "message"),
    [
        ([], ValueError, "no channel is named"),
        (["DNA", "ER", "ERSyto"], ValueError, "'ER' and 'ERSyto' are both the channel ER"),
        (["GFP", " GFP"], ValueError, "'GFP' and ' GFP' are both the channel GFP"),
        (["DNA", "  "], ValueError, "channel 1 is named '  '"),
        (["DNA|ER"], ValueError, "channel 0 is named 'DNA|ER'.*has no '|'"),
        ("DNA", TypeError, "single string 'DNA'"),
        (["DNA", 4], TypeError, r"a channel name is a string, got 4 \(int\)"),
        (["DNA", None], TypeError, "got None"),
    ],
)
def test_what_is_no_list_of_channels_is_refused(names, kind, message):
    with pytest.raises(kind, match=message.replace("|", r"\|")):
        Channels(names)
