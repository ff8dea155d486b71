"""The picture of hits where one side is images: which pixels are drawn, and what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from matplotlib.colors import to_rgb

from cloome_sk.imaging import ImageError
from cloome_sk.imaging.composite import COLOURS
from cloome_sk.report import plot_hits

SMILES = ["CCO", "CCN", "OCC", "c1ccccc1", None]
CHANNELS = ("DNA", "ER", "Mito")


@pytest.fixture
def sites(tmp_path: Path) -> pd.DataFrame:
    """Five sites, the channels in files: in site k a square of its own in each channel."""
    table = pd.DataFrame(
        {
            "Metadata_Plate": ["P1", "P1", "P2", "P2", "P3"],
            "Metadata_Well": ["A01", "A02", "B01", "B02", "C03"],
            "Metadata_Site": [1, 2, 1, 2, 1],
            "Metadata_smiles": SMILES,
            "Metadata_moa": ["a", "b", None, "c", "d"],
        }
    )
    rng = np.random.default_rng(0)
    for name in CHANNELS:
        paths = []
        for row in range(5):
            image = rng.integers(100, 200, (30, 40)).astype(np.uint16)
            image[5 * row : 5 * row + 5] += 2000
            path = tmp_path / f"{row}_{name}.tif"
            tifffile.imwrite(path, image)
            paths.append(str(path))
        table[f"Image_{name}"] = paths
    return table


@pytest.fixture
def hits() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "query": [0, 0, 0, 1, 1],
            "rank": [1, 2, 3, 1, 2],
            "index": [3, 0, 4, 2, 1],
            "similarity": [0.987, 0.5, -0.25, 0.75, 0.125],
        }
    )


QUERIES = ["CCO", "CCN"]


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def pixels(figure):
    """The panels of sites, which are bytes; structures are drawn as floats."""
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    return [image for image in shown if image.dtype == np.uint8]


def legend(figure):
    return figure.legends[0]


def by_hand(images: list[list[np.ndarray]], channels) -> tuple[list[np.ndarray], np.ndarray]:
    """The pictures in float64: stretch, add the colours, dim what a screen cannot show.

    An intensity is stretched to a whole number up to 255, and a percentile is the smallest
    intensity that so many percent of the pixels do not exceed.
    """

    def percentile(image, share):
        ranked = np.sort(image.ravel())
        return float(ranked[int(np.ceil(share / 100 * ranked.size)) - 1])

    limits = np.array(
        [
            [np.median([percentile(site[c], share) for site in images]) for share in (1.0, 99.8)]
            for c in range(len(channels))
        ]
    )
    pictures = []
    for site in images:
        light = np.zeros((*site[0].shape, 3))
        for plane, (low, high), name in zip(site, limits, channels, strict=True):
            stretched = np.floor((plane.astype(float) - low) * 255 / (high - low)).clip(0, 255)
            light += stretched[..., None] * np.array(COLOURS[name])
        light /= np.maximum(1, light.max(axis=-1, keepdims=True) / 255)
        pictures.append(light)
    return pictures, limits


def in_files(table: pd.DataFrame, rows) -> list[list[np.ndarray]]:
    return [[tifffile.imread(table[f"Image_{name}"][row]) for name in CHANNELS] for row in rows]


# --------------------------------------------------------------- molecules ask, sites are found


def test_a_hit_shows_the_pixels_of_its_site_and_its_structure(hits, sites):
    figure = plot_hits(hits, QUERIES, sites)
    assert len(figure.axes) == len(QUERIES) + 2 * len(hits)
    drawn = sorted(hits["index"])
    expected, _ = by_hand(in_files(sites, drawn), CHANNELS)
    for found, row in zip(pixels(figure), hits["index"], strict=True):
        np.testing.assert_allclose(found, expected[drawn.index(row)], atol=1)


def test_the_same_brightness_in_all_panels(hits, sites):
    dim = tifffile.imread(sites["Image_ER"][4]) // 8
    tifffile.imwrite(sites["Image_ER"][4], dim)
    brightest = [
        image[..., 1].max() for image in pixels(plot_hits(hits, QUERIES, sites, channels=["ER"]))
    ]
    assert max(brightest[2:3]) < 0.2 * min(brightest[:2] + brightest[3:])


def test_each_hit_says_what_it_is(hits, sites):
    assert titles(plot_hits(hits, QUERIES, sites, names=["ethanol", "ethylamine"])) == [
        "Query\nethanol",
        "1. other molecule\nP2 B02 s2   cos 0.99",
        "2. right molecule\nP1 A01 s1   cos 0.50",
        "3. molecule unknown\nP3 C03 s1   cos -0.25",
        "Query\nethylamine",
        "1. other molecule\nP2 B01 s1   cos 0.75",
        "2. right molecule\nP1 A02 s2   cos 0.12",
    ]


def test_a_column_as_label(hits, sites):
    shown = titles(plot_hits(hits, QUERIES, sites, label="moa"))
    labels = [title.split("\n")[2] for title in shown]
    assert labels == ["", "c", "a", "d", "", "", "b"]


def test_plate_well_and_site_as_far_as_they_are_there(hits, sites):
    bare = sites.drop(columns=["Metadata_Plate", "Metadata_Site"])
    assert titles(plot_hits(hits, QUERIES, bare))[1] == "1. other molecule\nB02   cos 0.99"


def test_the_legend_names_channels_limits_and_colours(hits, sites):
    figure = plot_hits(hits, QUERIES, sites)
    _, limits = by_hand(in_files(sites, sorted(hits["index"])), CHANNELS)
    assert [text.get_text() for text in legend(figure).get_texts()] == [
        f"{name} {low:,.0f} to {high:,.0f}"
        for name, (low, high) in zip(CHANNELS, limits, strict=True)
    ]
    for patch, name in zip(legend(figure).get_patches(), CHANNELS, strict=True):
        np.testing.assert_allclose(to_rgb(patch.get_facecolor()), COLOURS[name], atol=1 / 255)
    assert "One scale of brightness for all panels" in legend(figure).get_title().get_text()


def test_chosen_channels_and_colours(hits, sites):
    figure = plot_hits(
        hits, QUERIES, sites, channels=["Mito", "Hoechst"], colours={"Mito": (1, 1, 1)}
    )
    said = [text.get_text().split()[0] for text in legend(figure).get_texts()]
    assert said == ["Mito", "DNA"]
    assert to_rgb(legend(figure).get_patches()[0].get_facecolor()) == (1, 1, 1)


def test_images_win_over_profiles_and_the_picture_says_so(hits, sites):
    plain = plot_hits(hits, QUERIES, sites)
    both = plot_hits(hits, QUERIES, sites.assign(Cells_A=1.0))
    assert len(both.axes) == len(plain.axes)
    for one, other in zip(pixels(both), pixels(plain), strict=True):
        np.testing.assert_array_equal(one, other)
    assert "profiles too, which are not drawn" in legend(both).get_title().get_text()
    assert "profiles" not in legend(plain).get_title().get_text()


def test_arrays_and_stacks_of_any_order_draw_the_same(hits, sites):
    files = pixels(plot_hits(hits, QUERIES, sites, channels=CHANNELS))
    names = [f"Image_{name}" for name in CHANNELS]
    planes = in_files(sites, range(5))
    arrays = sites.drop(columns=names)
    for place, name in enumerate(names):
        arrays[name] = [site[place] for site in planes]
    stacks = sites.drop(columns=names).assign(
        Image=[np.stack(site[::-1]) for site in planes], Metadata_Channels="Mito|ERSyto|Hoechst"
    )
    for table in (arrays, stacks):
        for found, expected in zip(
            pixels(plot_hits(hits, QUERIES, table, channels=CHANNELS)), files, strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_stacks_that_nothing_describes_need_channels(hits, sites):
    stacks = sites[["Metadata_Plate", "Metadata_Well", "Metadata_smiles"]].assign(
        Image=[np.stack(site) for site in in_files(sites, range(5))]
    )
    with pytest.raises(ValueError, match="nothing says which channel is which"):
        plot_hits(hits, QUERIES, stacks)
    named = pixels(plot_hits(hits, QUERIES, stacks, channels=CHANNELS))
    np.testing.assert_array_equal(named[0], pixels(plot_hits(hits, QUERIES, sites))[0])


def test_large_sites_are_shrunk_and_keep_their_shape(hits, sites):
    rng = np.random.default_rng(0)
    large = sites[["Metadata_Plate", "Metadata_Well", "Metadata_smiles"]].assign(
        Image_DNA=[rng.integers(0, 4000, (520, 1040)).astype(np.uint16) for _ in range(5)]
    )
    shapes = {image.shape for image in pixels(plot_hits(hits, QUERIES, large))}
    assert shapes == {(240, 480, 3)}


def test_sites_of_several_shapes_and_depths(hits, sites):
    rng = np.random.default_rng(0)
    mixed = sites[["Metadata_Plate", "Metadata_Well", "Metadata_smiles"]].assign(
        Image_DNA=[
            rng.integers(0, 255, (8, 9)).astype(np.uint8),
            rng.integers(0, 255, (20, 10)).astype(np.uint16),
            (255 * rng.random((30, 30))).astype(np.float32),
            np.zeros((10, 10), np.uint16),
            rng.integers(0, 255, (8, 9)).astype(np.uint8),
        ]
    )
    shapes = [image.shape[:2] for image in pixels(plot_hits(hits, QUERIES, mixed))]
    assert shapes == [(10, 10), (8, 9), (8, 9), (30, 30), (20, 10)]


def test_only_the_sites_that_are_drawn_are_read(hits, sites):
    Path(sites["Image_ER"][1]).unlink()
    assert len(pixels(plot_hits(hits[hits["index"] != 1], QUERIES, sites))) == 4


def test_a_site_that_two_queries_found_is_read_once(hits, sites, monkeypatch):
    from cloome_sk.imaging import sources

    read: list[str] = []
    original = sources.read_image
    monkeypatch.setattr(sources, "read_image", lambda path: read.append(path) or original(path))
    plot_hits(hits.assign(index=[3, 0, 4, 3, 0]), QUERIES, sites)
    assert len(read) == len(set(read)) == 3 * len(CHANNELS)


# --------------------------------------------------------------- images ask, molecules are found


def test_the_query_shows_pixels_and_hits_show_molecules(hits, sites):
    queries = sites.iloc[[0, 1]]
    figure = plot_hits(hits, queries, sites)
    expected, _ = by_hand(in_files(sites, [0, 1]), CHANNELS)
    drawn = pixels(figure)
    assert len(drawn) == 2
    for found, picture in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(found, picture, atol=1)
    # Of each query the structure in its well, of each hit its structure.
    assert len(figure.axes) - len(drawn) == 2 + len(hits)
    assert titles(figure) == [
        "Query\nP1 A01 s1",
        "in this well\n",
        "1. other molecule\ncos 0.99",
        "2. right molecule\ncos 0.50",
        "3. molecule unknown\ncos -0.25",
        "Query\nP1 A02 s2",
        "in this well\n",
        "1. other molecule\ncos 0.75",
        "2. right molecule\ncos 0.12",
    ]


def test_a_list_of_structures_as_database(hits, sites):
    queries = sites.iloc[[0, 1]].drop(columns="Metadata_Site")
    figure = plot_hits(hits, queries, [*SMILES[:4], "CCCC"], names=["one", "two"])
    assert titles(figure)[:5] == [
        "Query\none",
        "in this well\n",
        "1. other molecule\ncos 0.99",
        "2. right molecule\ncos 0.50",
        "3. other molecule\ncos -0.25",
    ]


def test_queries_without_smiles_leave_the_verdict_open(hits, sites):
    queries = sites.iloc[[0, 1]].drop(columns="Metadata_smiles")
    figure = plot_hits(hits, queries, sites["Metadata_smiles"])
    assert titles(figure)[1] == "1. \ncos 0.99"
    assert len(figure.axes) == 2 + len(hits)
    assert "no hit is called right or other" in legend(figure).get_title().get_text()


def test_a_query_with_unknown_structure_among_others(hits, sites):
    figure = plot_hits(hits, sites.iloc[[4, 1]], sites)
    assert [title.split("\n")[0] for title in titles(figure)] == [
        *("Query", "in this well", "1. ", "2. ", "3. "),
        *("Query", "in this well", "1. other molecule", "2. right molecule"),
    ]
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["structure not known"] * 2  # the query, and the hit in row 4


def test_a_table_without_images_asks_by_its_molecules(hits, sites):
    asking = pd.DataFrame({"Metadata_SMILES": QUERIES})
    assert titles(plot_hits(hits, asking, sites)) == titles(plot_hits(hits, QUERIES, sites))


def test_nothing_passed_in_is_changed(hits, sites):
    queries = sites.iloc[[0, 1]]
    before = hits.copy(), sites.copy(), queries.copy()
    plot_hits(hits, queries, sites)
    plot_hits(hits, QUERIES, sites)
    for found, expected in zip((hits, sites, queries), before, strict=True):
        pd.testing.assert_frame_equal(found, expected)


# ----------------------------------------------------------------------------------- real images


@pytest.mark.real_data
def test_real_fields_in_both_directions(data_home, tmp_path):
    folder = data_home / "images" / "cpjump1_fields_bin2"
    fields = pd.read_csv(folder / "fields.csv")
    table = pd.DataFrame(
        {
            "Metadata_Well": fields["well"],
            "Metadata_smiles": fields["smiles"],
            "Metadata_Compound": fields["pert_iname"],
            "Image": [str(folder / name) for name in fields["file"]],
            "Metadata_Channels": "Mito|AGP|RNA|ER|DNA",
        }
    )
    compounds = ["AMG900", "FK-866"]
    asked = [table.index[table["Metadata_Compound"] == name][0] for name in compounds]
    hits = pd.DataFrame(
        {"query": [0, 0, 1, 1], "rank": [1, 2, 1, 2], "index": [0, 6, 2, 3], "similarity": 0.5}
    )
    found = plot_hits(hits, table["Metadata_smiles"][asked], table, label="compound")
    verdicts = ["right molecule" in title for title in titles(found) if "cos" in title]
    names = table["Metadata_Compound"][hits["index"]]
    assert verdicts == [
        name == compounds[query] for name, query in zip(names, hits["query"], strict=True)
    ]
    assert all(image.shape == (480, 480, 3) for image in pixels(found))
    asking = plot_hits(hits, table.iloc[asked], table, label="compound")
    assert [title.split("\n")[2] for title in titles(asking) if "cos" in title] == names.tolist()
    for figure, name in ((found, "found.png"), (asking, "asking.png")):
        figure.savefig(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 50_000


# -------------------------------------------------------------------------------------- bad input


def test_an_image_that_cannot_be_read_names_its_row(hits, sites):
    Path(sites["Image_ER"][2]).write_bytes(b"no image at all")
    with pytest.raises(ImageError, match=r"2_ER\.tif: .*\(row 2\)"):
        plot_hits(hits, QUERIES, sites)
    relabelled = sites.set_axis([9, 3, 7, 0, 1])
    with pytest.raises(ImageError, match=r"\(row 2 \(index 7\)\)"):
        plot_hits(hits, relabelled, relabelled)


def test_an_empty_cell_names_its_row(hits, sites):
    sites.loc[3, "Image_Mito"] = None
    with pytest.raises(ValueError, match=r"row 3 .* no image: column 'Image_Mito' is empty"):
        plot_hits(hits, QUERIES, sites)


def test_structures_that_cannot_be_read_and_labels_that_a_list_has_not(hits, sites):
    sites.loc[4, "Metadata_smiles"] = "C("
    with pytest.raises(ValueError, match=r"the database cannot be used: row 4 cannot be parsed"):
        plot_hits(hits, QUERIES, sites)
    with pytest.raises(ValueError, match=r"the queries cannot be used: row 1 \(index 4\) cannot"):
        plot_hits(hits, sites.iloc[[0, 4]], sites)
    with pytest.raises(ValueError, match="label='moa' names a column"):
        plot_hits(hits, sites.iloc[[0, 1]], SMILES, label="moa")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"channels": ["AGP"]}, ValueError, r"no channel AGP among those given \(DNA, ER, Mito\)"),
        ({"colours": {"Mitochondrium": (1, 0, 0)}}, ValueError, "Mitochondrium"),
        ({"label": "dose"}, ValueError, r"label='dose'.*no column 'dose'"),
        ({"database": ["CCO"] * 5}, TypeError, "find the rows of a table"),
        ({"queries": pd.DataFrame({"dose": [1, 2]})}, ValueError, "no column 'smiles'"),
    ],
    ids=["no such channel", "no such colour", "no such label", "a list of sites", "no molecules"],
)
def test_refused(hits, sites, change, error, message):
    arguments = {"queries": QUERIES, "database": sites, **change}
    with pytest.raises(error, match=message):
        plot_hits(hits, arguments.pop("queries"), arguments.pop("database"), **arguments)
