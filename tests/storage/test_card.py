"""The model card: a header that the hub can read, and what a person has to know."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cloome_sk.storage import save_embedder

yaml = pytest.importorskip("yaml")


def card_of(embedder, place, **options):
    save_embedder(embedder, place / "model", **options)
    return (place / "model" / "README.md").read_text(encoding="utf-8")


def header_of(card):
    start, header, _ = card.split("---\n", 2)
    assert start == ""
    return header


def test_the_header_is_yaml(fitted, tmp_path):
    header = header_of(card_of(fitted, tmp_path))
    found = yaml.safe_load(header)
    assert found["library_name"] == "cloome_sk"
    assert "cell-painting" in found["tags"]
    assert "license" not in found
    assert yaml.safe_load(header.replace("# license:", "license:"))["license"] == "mit"


def test_the_hub_takes_the_header(fitted, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(card_of(fitted, tmp_path))
    assert card.data.library_name == "cloome_sk"
    assert card.data.pipeline_tag == "feature-extraction"


def test_it_says_what_the_embedder_was_trained_on(fitted, tmp_path):
    card = card_of(fitted, tmp_path, metrics={"recall@10": np.float32(0.5), "split": "scaffold"})
    n_molecules = len(fitted.molecules_seen_)
    assert f"{fitted.n_pairs_:,} pairs of a phenotype and a molecule" in card
    assert f"all {n_molecules:,} molecules" in card
    assert f"{fitted.controls_.n} of {len(fitted.controls_.mask)} rows are negative" in card
    assert "| recall@10 | 0.5 |" in card
    assert "| split | scaffold |" in card
    assert "| `batch_size` | `16` |" in card
    assert "| `molecule__n_bits` | `32` |" in card
    assert "`lr`" not in card  # the default
    assert "no medical device" in card
    assert "CloomeEmbedder.load(" in card
    assert "published weights" not in card


def test_metrics_that_were_not_given_are_not_made_up(fitted, tmp_path):
    assert "## Metrics\n\nNone were given." in card_of(fitted, tmp_path)


def test_images_have_channels_and_plates(kit, sites, tmp_path):
    embedder = kit.small(kit.images(normalization="plate"), kit.molecule()).fit(sites)
    card = card_of(embedder, tmp_path)
    assert "Channels, in the order of the network: `DNA`, `Mito`" in card
    assert "Numbers of 2 plates are stored (`7`, `8`)" in card
    assert "fit_plates" in card


def test_means_of_channels_are_listed(kit, sites, tmp_path):
    embedder = kit.small(kit.images(), kit.molecule()).fit(sites)
    mean, std = embedder.phenotype_.mean_[1], embedder.phenotype_.std_[1]
    assert f"| `Mito` | {mean:.6g} | {std:.6g} |" in card_of(embedder, tmp_path)


def test_names_cannot_write_the_card(kit, wells, tmp_path):
    evil = "`x`\n\n---\nlicense: evil\n# A heading | <script>"
    X = wells.rename(columns={next(c for c in wells if c.startswith("Cells_")): f"Cells_{evil}"})
    X["Metadata_control_type"] = np.where(
        X["Metadata_control_type"] == "negcon", evil, X["Metadata_control_type"]
    )
    embedder = kit.small(controls=("Metadata_control_type", evil)).fit(X)
    card = card_of(embedder, tmp_path, metrics={evil: evil, "$tuple": 1, "nan": float("nan")})
    assert not any(line.startswith(("license:", "# A heading")) for line in card.splitlines())
    outside_of_code = re.sub(r"`[^`\n]*`", "", card)
    assert "<script>" not in outside_of_code.replace("\\<script\\>", "")
    assert yaml.safe_load(header_of(card))["library_name"] == "cloome_sk"
    assert kit.load(tmp_path / "model").controls_.values == (evil,)


def test_paths_of_ones_machine_are_not_in_the_card(kit, sites, tmp_path):
    embedder = kit.small(kit.images(cache=tmp_path / "secret"), kit.molecule()).fit(sites)
    assert "secret" not in card_of(embedder, tmp_path)


def test_no_line_ends_in_a_space(embedder_and_table, tmp_path):
    card = card_of(embedder_and_table[0], tmp_path)
    assert card.endswith("\n")
    assert not card.endswith("\n\n")
    assert all(line == line.rstrip() for line in card.splitlines())
