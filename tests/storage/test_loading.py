"""A folder that is not understood completely is refused, by file and key."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil

import numpy as np
import pytest
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from cloome_sk import CloomeEmbedder
from cloome_sk.storage import StorageError, load_embedder


@pytest.fixture(scope="module")
def stored(fitted, kit, tmp_path_factory):
    return kit.save(fitted, tmp_path_factory.mktemp("storage") / "model")


@pytest.fixture
def folder(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "model")
    return tmp_path / "model"


def refused(folder, match, file="config.json"):
    with pytest.raises(StorageError, match=match) as caught:
        load_embedder(folder, CloomeEmbedder)
    assert caught.value.path == str(folder / file)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return caught.value


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def write_config(folder, config):
    (folder / "config.json").write_text(json.dumps(config))


def put(config, path, value):
    """Set what lies at a path such as ``embedder.parameters.lr``; remove it where it is None."""
    *way, last = path.split(".")
    part = config
    for name in way:
        part = part[name]
    if value is REMOVED:
        del part[last]
    else:
        part[last] = value


REMOVED = object()
PHENOTYPE = "embedder.fitted.phenotype_.$estimator"
NUMBERS = {"dtype": "float64", "shape": [1], "values": [1.0]}


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        ("format_version", 2, "format_version: is 2, as cloome_sk .* wrote it.* reads version 1"),
        ("format_version", REMOVED, "format_version: is None"),
        ("format_version", True, "format_version: is True"),
        ("extra", 1, "the file: has extra"),
        ("versions", REMOVED, "the file: lacks versions"),
        ("versions.torch", REMOVED, "versions: lacks torch"),
        ("versions.torch", 2, "versions: should be texts"),
        ("metrics", [], "metrics: should be a dictionary"),
        ("left_out", ["lr"], "left_out"),
        ("left_out", 3, "left_out"),
        ("weights", [], "weights: should be a dictionary"),
        ("weights.file", "/etc/passwd", "weights: has file"),
        ("weights.sha256", 5, "weights: should have"),
        ("embedder", [], "embedder: should be a dictionary"),
        ("embedder.class", "os.system", "embedder.class: 'os.system' is none of the classes"),
        ("embedder.class", "ProfileEncoder", "embedder.parameters: lacks"),
        ("embedder.class", ["CloomeEmbedder"], "embedder.class"),
        ("embedder.fitted", REMOVED, "embedder: lacks fitted"),
        ("embedder.parameters.lr", REMOVED, "embedder.parameters: lacks lr"),
        ("embedder.parameters.rate", 1, "embedder.parameters: has rate"),
        ("embedder.parameters.lr", -1, "(?s)embedder.parameters: .*'lr'"),
        ("embedder.parameters.lr", {"$float": "nan"}, "(?s)embedder.parameters: .*'lr'"),
        ("embedder.parameters.objective", {"$call": "print"}, "objective: .call is no form"),
        ("embedder.parameters.phenotype.$estimator.class", "SVC", "phenotype..estimator.class"),
        ("embedder.parameters.phenotype.$estimator.fitted", {}, "phenotype..estimator: has fitted"),
        ("embedder.fitted.n_pairs_", REMOVED, "embedder.fitted: lacks n_pairs_"),
        ("embedder.fitted.transform", "text", "embedder.fitted: has transform"),
        ("embedder.fitted.__class__", "text", "embedder.fitted: has __class__"),
        ("embedder.fitted.n_pairs_", -1, "n_pairs_: should be a whole number"),
        ("embedder.fitted.n_pairs_", 2.0, "n_pairs_: should be a whole number"),
        ("embedder.fitted.inv_tau_", {"$float": "inf"}, "inv_tau_: should be a positive number"),
        ("embedder.fitted.molecules_seen_", ["a"], "molecules_seen_: should be an array of texts"),
        ("embedder.fitted._history", [{"epoch": [1]}], "_history: should be a list of epochs"),
        ("embedder.fitted.controls_", "DMSO", "controls_: should be a record"),
        ("embedder.fitted.phenotype_", "auto", "phenotype_: should be a fitted ProfileEncoder"),
        (f"{PHENOTYPE}.class", "MoleculeEncoder", "parameters: lacks features"),
        (f"{PHENOTYPE}.fitted.center_", {"$array": NUMBERS}, "center_ has 1 numbers"),
        (f"{PHENOTYPE}.fitted.scale_", REMOVED, "phenotype_..estimator.fitted: lacks scale_"),
        (f"{PHENOTYPE}.fitted.scale_", {"$array": {**NUMBERS, "dtype": "int8"}}, "scale_: should"),
        (f"{PHENOTYPE}.parameters.hidden_sizes", [0.5], r"hidden_sizes\[0\]"),
        (f"{PHENOTYPE}.parameters.columns", {"$path": 3}, "columns..path: should be a text"),
    ],
)
def test_what_is_not_understood_is_named(path, value, match, folder):
    config = config_of(folder)
    put(config, path, value)
    write_config(folder, config)
    refused(folder, match)


def test_the_same_file_written_anew_is_read(folder, fitted, wells, kit):
    write_config(folder, config_of(folder))
    np.testing.assert_array_equal(kit.load(folder).transform(wells), fitted.transform(wells))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no JSON, or is cut short"),
        ("[1]", "format_version"),
        ("null", "format_version"),
        ('{"format_version": 1, "format_version": 1}', "'format_version' stands twice"),
        ('{"format_version": NaN}', "NaN is no number of JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"format_version": ' + "9" * 10_000 + "}", "no JSON"),
    ],
)
def test_texts_that_are_no_configuration(text, match, folder):
    (folder / "config.json").write_text(text)
    refused(folder, match)


def test_bytes_that_are_no_text(folder):
    (folder / "config.json").write_bytes(b"\xff\xfe")
    refused(folder, "is no text")


def test_a_configuration_that_is_nested_without_end(folder):
    text = (folder / "config.json").read_text()
    deep = '"lr": ' + "[" * 900 + "]" * 900
    (folder / "config.json").write_text(text.replace('"lr": 0.001', deep))
    refused(folder, "embedder")


@pytest.mark.parametrize("n_bytes", [0, 1, 100, -1])
@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_files_that_are_cut_short(name, n_bytes, folder):
    content = (folder / name).read_bytes()[:n_bytes]
    (folder / name).write_bytes(content.rstrip() if name == "config.json" else content)
    if name == "config.json" and n_bytes == -1:
        (folder / name).write_bytes(content.rstrip()[:-1])
    refused(folder, "cut short", name)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_file_that_is_missing(name, folder):
    (folder / name).unlink()
    refused(folder, "is missing", name)


def test_the_card_is_for_people_alone(folder, kit):
    (folder / "README.md").unlink()
    (folder / "LICENSE").write_text("to be added")
    assert kit.load(folder).n_pairs_


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_links_are_not_followed(name, folder, tmp_path):
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    refused(folder, "is a link", name)


def test_what_is_no_file_is_not_opened(folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")  # to open it would wait for ever
    refused(folder, "is no plain file")
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    refused(folder, "is no plain file")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="model"):
        load_embedder(tmp_path / "model", CloomeEmbedder)
    (tmp_path / ".model.abc.old").mkdir()
    with pytest.raises(FileNotFoundError, match=r"left the one before: .*\.model\.abc\.old"):
        load_embedder(tmp_path / "model", CloomeEmbedder)


# ---------------------------------------------------------------------------- weights


def test_one_changed_bit_is_noticed(folder):
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "weights.safetensors").write_bytes(content)
    refused(folder, "SHA-256", "weights.safetensors")


def test_weights_of_another_embedder(folder, wells, kit, tmp_path):
    other = kit.save(kit.small(random_state=1).fit(wells), tmp_path / "other")
    shutil.copy(other / "weights.safetensors", folder)
    refused(folder, "of another embedder", "weights.safetensors")


def rewrite(folder, change):
    """Change weights, and let the configuration say that it is right so."""
    tensors = read_tensors((folder / "weights.safetensors").read_bytes())
    content = change(tensors)
    if not isinstance(content, bytes):
        content = write_tensors(tensors)
    (folder / "weights.safetensors").write_bytes(content)
    config = config_of(folder)
    config["weights"] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_config(folder, config)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.pop("log_inv_tau"), "lacks log_inv_tau"),
        (lambda t: t.update(extra=np.zeros(3)), "has extra, which is no weight"),
        (
            lambda t: t.update(log_inv_tau=np.float64([2.0])),
            r"log_inv_tau as float64\[1\] in place of float32\[\]",
        ),
        (
            lambda t: t.update({name: value.astype(np.float16) for name, value in t.items()}),
            "float16.*; and .* more",
        ),
        (lambda t: b"no tensors at all", "is no safetensors file"),
        (lambda t: pickle.dumps(t), "is no safetensors file"),
    ],
)
def test_weights_that_do_not_fit(change, match, folder):
    rewrite(folder, change)
    refused(folder, match, "weights.safetensors")


def test_weights_that_say_they_are_larger_than_the_file(folder):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
    rewrite(folder, lambda t: len(header).to_bytes(8, "little") + header.encode())
    refused(folder, "is no safetensors file", "weights.safetensors")


def test_a_network_larger_than_memory_is_not_built(folder):
    config = config_of(folder)
    for encoder in ("embedder.parameters.phenotype", "embedder.fitted.phenotype_"):
        put(config, f"{encoder}.$estimator.parameters.hidden_sizes", [2**40, 2**40])
    write_config(folder, config)
    refused(folder, "network", "weights.safetensors")


def test_the_other_class_is_not_given(folder, stored):
    with pytest.raises(TypeError, match="dict"):
        load_embedder(folder, dict)


def test_a_cache_on_another_machine_is_told(kit, sites, tmp_path):
    cache = tmp_path / "cache"
    embedder = kit.small(kit.images(cache=cache), kit.molecule()).fit(sites)
    folder = kit.save(embedder, tmp_path / "model")
    assert kit.load(folder).phenotype_.cache == cache
    shutil.rmtree(cache)
    with pytest.warns(UserWarning, match=r"cache.*no folder here.*set_params\(cache=None\)"):
        kit.load(folder)
    assert not cache.exists()


def test_channels_that_contradict_each_other(kit, sites, tmp_path):
    embedder = kit.small(kit.images(normalization="plate"), kit.molecule()).fit(sites)
    folder = kit.save(embedder, tmp_path / "model")
    fitted = "embedder.fitted.phenotype_.$estimator.fitted"
    for name, value in {
        "channels_": {"$tuple": ["DNA"]},
        "mean_": {"$array": NUMBERS},
        "site_shape_": {"$tuple": [3, 20, 24]},
        "plate_statistics_": {
            "$dict": [[7, {"$array": {"dtype": "float64", "shape": [1, 1], "values": [1.0]}}]]
        },
    }.items():
        config = config_of(folder)
        before = (folder / "config.json").read_text()
        put(config, f"{fitted}.{name}", value)
        write_config(folder, config)
        refused(folder, "not of [12] channels")
        (folder / "config.json").write_text(before)
    assert kit.load(folder).phenotype_.channels_ == ("DNA", "Mito")
