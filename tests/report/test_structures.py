"""What the picture of ranked structures says and shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

from cloome_sk.baselines import TanimotoKernelEmbedder
from cloome_sk.evaluation.ranked_structures import rank_structures
from cloome_sk.report._panels import RIGHT
from cloome_sk.report.structures import TRUTH, plot_structures


@pytest.fixture(scope="module")
def treated() -> pd.DataFrame:
    from cloome_sk.datasets import make_profiles

    X = make_profiles(n_compounds=24, random_state=0)
    return X[X["Metadata_control_type"].isna()].reset_index(drop=True)


@pytest.fixture(scope="module")
def model(treated: pd.DataFrame) -> TanimotoKernelEmbedder:
    return TanimotoKernelEmbedder().fit(treated)


@pytest.fixture(scope="module")
def ranked(model: TanimotoKernelEmbedder, treated: pd.DataFrame) -> pd.DataFrame:
    return rank_structures(model, treated.iloc[:2], treated, k=24, shared={"MoA": "moa"})


def _titles(figure: Any) -> list[str]:
    return [panel.get_title() for panel in figure.axes if panel.get_title()]


def test_every_hit_says_what_the_table_says(ranked: pd.DataFrame, treated: pd.DataFrame) -> None:
    figure = plot_structures(ranked, treated.iloc[:2], names=["first", "second"])
    titles = _titles(figure)
    assert len(titles) == 2 * (1 + 24)
    assert titles[0].startswith("first\ntrue structure\nMoA: ")
    hits = [title for title in titles if "true structure" not in title]
    for title, row in zip(hits, ranked.itertuples(), strict=True):
        kind = "the true molecule" if row.is_truth else "other molecule"
        assert title.startswith(f"{row.rank}. {kind}\n")
        assert f"cosine {row.similarity:.2f}, Tanimoto {row.tanimoto:.2f}" in title
        assert ("changed scaffold" if row.scaffold_changed else "same scaffold") in title
        assert ("shares MoA" if row.shared_MoA else "other MoA") in title
    assert ranked["is_truth"].sum() == 2
    assert ranked["shared_MoA"].any()
    assert not ranked["shared_MoA"].all()


def test_frames_tell_truth_sharing_and_other_apart(
    ranked: pd.DataFrame, treated: pd.DataFrame
) -> None:
    from matplotlib.colors import to_hex

    figure = plot_structures(ranked)
    seen = set()
    for panel in figure.axes:
        title, edge = panel.get_title(), panel.spines["left"]
        colour, dashed = to_hex(edge.get_edgecolor()), edge.get_linestyle() not in ("-", "solid")
        if "the true molecule" in title:
            assert (colour, dashed) == (TRUTH.lower(), True)
            seen.add("truth")
        elif "shares MoA" in title:
            assert (colour, dashed, edge.get_linewidth()) == (RIGHT.lower(), False, 3.0)
            seen.add("shares")
        elif "other MoA" in title:
            assert (dashed, edge.get_linewidth()) == (False, 0.8)
            seen.add("other")
    assert seen == {"truth", "shares", "other"}


def test_the_shared_terms_are_named(ranked: pd.DataFrame) -> None:
    both = ranked.head(1).assign(query_MoA="b|a|z", MoA="z|c|b", shared_MoA=True)
    assert "shares MoA b, z" in _titles(plot_structures(both))[1]
    lost = ranked.head(1).assign(MoA=None, shared_MoA=pd.array([None], dtype="boolean"))
    assert "MoA not known" in _titles(plot_structures(lost))[1]


def test_fewer_hits_and_queries_of_molecules(
    model: TanimotoKernelEmbedder, treated: pd.DataFrame
) -> None:
    ranked = rank_structures(model, ["CCO", "CC(=O)Oc1ccccc1C(=O)O"], treated, k=5)
    figure = plot_structures(ranked, n_hits=2)
    assert len(figure.axes) == 2 * 3
    assert "MoA" not in "".join(_titles(figure))


def test_a_truth_that_is_not_known(model: TanimotoKernelEmbedder, treated: pd.DataFrame) -> None:
    queries = treated.iloc[:1].drop(columns="Metadata_smiles")
    ranked = rank_structures(model, queries, treated, k=2)
    titles = _titles(plot_structures(ranked, queries))
    assert "truth not known" in titles[0]
    assert titles[1].startswith("1.\ncosine")
    assert "Tanimoto" not in "".join(titles)


def test_pictures_of_the_queries(model: TanimotoKernelEmbedder, treated: pd.DataFrame) -> None:
    ranked = rank_structures(model, treated.iloc[:2], treated, k=2)
    images = treated.iloc[:2].copy()
    rng = np.random.RandomState(0)
    for channel in ("DNA", "ER"):
        images[f"Image_{channel}"] = pd.Series(
            [rng.randint(2**12, size=(40, 50)).astype(np.uint16) for _ in range(2)],
            index=images.index,
            dtype=object,
        )
    figure = plot_structures(ranked, images)
    assert len(figure.axes) == 2 * (2 + 2)
    assert sum(title.startswith("asked") for title in _titles(figure)) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["DNA", "ER"]


def test_nothing_overlaps(ranked: pd.DataFrame, treated: pd.DataFrame, tmp_path: Path) -> None:
    figure = plot_structures(
        ranked.assign(query_MoA="a very long mechanism of action that does not fit"),
        treated.iloc[:2],
        names=["a name that is much longer than any panel is wide", "b"],
        n_hits=6,
        title="title",
    )
    figure.savefig(tmp_path / "drawn.png")
    renderer = figure._get_renderer()  # type: ignore[attr-defined]
    boxes = [panel.get_tightbbox(renderer) for panel in figure.axes]
    boxes += [text.get_window_extent(renderer) for text in figure.texts]
    for at, box in enumerate(boxes):
        for other in boxes[at + 1 :]:
            assert not box.shrunk(0.98, 0.98).overlaps(other.shrunk(0.98, 0.98))


def test_bad_input(ranked: pd.DataFrame, treated: pd.DataFrame) -> None:
    with pytest.raises(TypeError, match="must be the DataFrame that rank_structures returned"):
        plot_structures([1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"lacks the column\(s\) similarity"):
        plot_structures(ranked.drop(columns="similarity"))
    with pytest.raises(ValueError, match=r"lacks the column\(s\) MoA"):
        plot_structures(ranked.drop(columns="MoA"))
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_structures(ranked.head(0))
    with pytest.raises(ValueError, match="n_hits must be at least 1"):
        plot_structures(ranked, n_hits=0)
    with pytest.raises(ValueError, match="1 names were given for 2 queries"):
        plot_structures(ranked, names=["one"])
    with pytest.raises(TypeError, match="queries are drawn from a table"):
        plot_structures(ranked, ["CCO"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="names query 1, and the table of queries has 1 row"):
        plot_structures(ranked, treated.iloc[:1])
    with pytest.raises(ValueError, match="no CellProfiler-named feature columns"):
        plot_structures(ranked, treated.iloc[:2][["Metadata_smiles"]])
