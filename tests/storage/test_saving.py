"""What is refused before anything is written, and what a failure leaves behind."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from cloome_sk import CloomeEmbedder
from cloome_sk.objectives import infonce
from cloome_sk.storage import _files, save_embedder

FILES = ["README.md", "config.json", "weights.safetensors"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ----------------------------------------------------------------- what cannot be stored


def half(image):
    return image / 2


def objective(phenotype, molecule, inv_tau, *, positives=None):
    return infonce(phenotype, molecule, inv_tau, positives=positives)


def test_parameters_that_are_code_are_named_before_anything_is_written(kit, wells, sites, tmp_path):
    from cloome_sk.networks import SmallCNN

    cases = {
        "phenotype__preprocess": kit.small(kit.images(preprocess=half), kit.molecule()),
        "phenotype__network": kit.small(kit.images(network=SmallCNN), kit.molecule()),
        "objective": kit.small(objective=objective),
        "molecule__features": kit.small(
            kit.profile(), kit.molecule(features=CountVectorizer(analyzer="char"))
        ),
        "phenotype__columns": kit.small(
            kit.profile(columns=lambda X: [c for c in X if c.startswith("Cells_")]), kit.molecule()
        ),
        "phenotype__plate_table": kit.small(
            kit.images(normalization="plate", plate_table=sites), kit.molecule()
        ),
    }
    for name, embedder in cases.items():
        has_images = hasattr(embedder.phenotype, "preprocess")
        embedder.fit(sites if has_images else wells)
        with pytest.raises(TypeError, match=f"^{name} is .*joblib") as caught:
            save_embedder(embedder, tmp_path / "model")
        assert ("leave_out" in str(caught.value)) == (
            name in ("objective", "phenotype__plate_table")
        )
        assert not names(tmp_path)


def test_what_fit_alone_reads_may_be_left_out(kit, wells, sites, tmp_path):
    encoder = kit.images(normalization="plate", plate_table=sites)
    embedder = kit.small(encoder, kit.molecule(), objective=objective).fit(sites)
    save_embedder(embedder, tmp_path / "model", leave_out=["plate_table", "objective"])
    again = kit.load(tmp_path / "model")
    assert again.phenotype.plate_table is again.phenotype_.plate_table is None
    assert again.objective == "infonce"
    np.testing.assert_array_equal(again.transform(sites), embedder.transform(sites))
    assert "`objective`, `plate_table`" in (tmp_path / "model" / "README.md").read_text()
    assert embedder.objective is objective
    with pytest.raises(ValueError, match=r"leave_out.*'lr'"):
        save_embedder(embedder, tmp_path / "other", leave_out=["lr"])


def test_a_table_to_validate_with_is_no_setting(kit, wells, tmp_path):
    names = wells["Metadata_pert_iname"]
    held = names.isin(names.unique()[1:5])
    embedder = kit.small(validation=wells[held]).fit(wells[~held])
    with pytest.raises(TypeError, match=r"validation is a DataFrame.*leave_out=\['validation'\]"):
        save_embedder(embedder, tmp_path / "model")
    save_embedder(embedder, tmp_path / "model", leave_out=["validation"])
    again = kit.load(tmp_path / "model")
    assert again.validation is None
    assert again.history_.equals(embedder.history_)
    embedder.validation = np.zeros((3, 4))
    with pytest.raises(TypeError, match="validation is a ndarray"):
        save_embedder(embedder, tmp_path / "other")


def test_what_needs_held_out_molecules_goes_with_them(kit, wells, tmp_path):
    names = wells["Metadata_pert_iname"]
    held = names.isin(names.unique()[1:5])
    chosen = {"validation": wells[held], "keep": "best", "early_stopping": 3}
    embedder = kit.small(**chosen).fit(wells[~held])
    save_embedder(embedder, tmp_path / "model", leave_out="validation")
    again = kit.load(tmp_path / "model")
    assert (again.keep, again.early_stopping) == ("last", None)
    assert "`early_stopping`, `keep`, `validation`" in (tmp_path / "model/README.md").read_text()
    assert again.fit(wells).n_pairs_ > embedder.n_pairs_


def test_a_class_of_ones_own_is_refused(kit, wells, tmp_path):
    class Mine(CloomeEmbedder):
        pass

    class MyEncoder(type(kit.profile())):
        pass

    mine = Mine(kit.profile(), kit.molecule(), n_components=4, max_epochs=1).fit(wells)
    with pytest.raises(TypeError, match="Mine"):
        save_embedder(mine, tmp_path / "model")
    embedder = kit.small(MyEncoder(hidden_sizes=()), kit.molecule()).fit(wells)
    with pytest.raises(TypeError, match="phenotype is a MyEncoder"):
        save_embedder(embedder, tmp_path / "model")
    assert not names(tmp_path)


def test_an_attribute_of_ones_own_is_not_dropped_silently(kit, wells, tmp_path):
    embedder = kit.small().fit(wells)
    embedder.notes = "mine"
    with pytest.raises(TypeError, match="notes is no attribute"):
        save_embedder(embedder, tmp_path / "model")
    assert not names(tmp_path)


def test_parameters_changed_after_fit_are_found_out_before_writing(kit, wells, tmp_path):
    for change in ({"lr": -1}, {"precision": "fp8"}):
        embedder = kit.small().fit(wells).set_params(**change)
        with pytest.raises(ValueError, match=rf"(?s){next(iter(change))}.*changed after fit"):
            save_embedder(embedder, tmp_path / "model")
    embedder = kit.small().fit(wells)
    embedder.phenotype_.set_params(hidden_sizes=(9,))
    with pytest.raises(ValueError, match=r"phenotype\.layers"):
        save_embedder(embedder, tmp_path / "model")
    assert not names(tmp_path)


@pytest.mark.parametrize(
    "metrics", [[("recall", 1)], {"recall": [1]}, {1: 2.0}, {"recall": None}, {"f": print}]
)
def test_metrics_that_are_none(metrics, fitted, tmp_path):
    with pytest.raises(TypeError, match="metrics="):
        save_embedder(fitted, tmp_path / "model", metrics=metrics)
    assert not names(tmp_path)


# ---------------------------------------------------------------------------- where to


def test_a_folder_that_is_not_empty_is_left_alone(fitted, wells, kit, tmp_path):
    kit.save(fitted, tmp_path / "model")
    before = content(tmp_path / "model")
    other = kit.small(random_state=1).fit(wells)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save_embedder(other, tmp_path / "model")
    assert content(tmp_path / "model") == before
    save_embedder(other, tmp_path / "model", overwrite=True)
    np.testing.assert_array_equal(
        kit.load(tmp_path / "model").transform(wells), other.transform(wells)
    )
    assert names(tmp_path) == ["model"]


def test_other_files_are_never_replaced(fitted, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "thesis.tex").write_text("all of it")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        save_embedder(fitted, folder, overwrite=True)
    assert (folder / "thesis.tex").read_text() == "all of it"


def test_an_empty_folder_is_taken(fitted, tmp_path, kit):
    (tmp_path / "model").mkdir()
    kit.save(fitted, tmp_path / "model")
    assert names(tmp_path / "model") == FILES
    assert names(tmp_path) == ["model"]


def test_places_that_are_none(fitted, tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(FileExistsError, match="is a file"):
        save_embedder(fitted, tmp_path / "file", overwrite=True)
    with pytest.raises(FileNotFoundError, match="absent"):
        save_embedder(fitted, tmp_path / "absent" / "model")
    assert names(tmp_path) == ["file"]


def test_a_link_to_a_folder_is_followed(fitted, tmp_path, kit):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    kit.save(fitted, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == FILES


def test_a_relative_path_and_a_text(fitted, tmp_path, monkeypatch, kit):
    monkeypatch.chdir(tmp_path)
    save_embedder(fitted, "model")
    assert kit.load("model").n_pairs_ == fitted.n_pairs_


def test_others_may_read_what_the_umask_lets_them(fitted, tmp_path, kit):
    before = os.umask(0o027)
    try:
        kit.save(fitted, tmp_path / "model")
    finally:
        os.umask(before)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "model" / "config.json").stat().st_mode & 0o777 == 0o640


# ------------------------------------------------------------------------- failures


class FailsAfter:
    """Do as a function does, and fail at one of its calls."""

    def __init__(self, function, n_calls, number):
        self.function, self.left, self.number = function, n_calls, number

    def __call__(self, *arguments):
        self.left -= 1
        if self.left < 0:
            raise OSError(self.number, os.strerror(self.number))
        return self.function(*arguments)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(("name", "n_calls"), [("fsync", n) for n in range(4)])
def test_a_full_disk_changes_nothing(
    name, n_calls, overwrite, fitted, wells, kit, tmp_path, monkeypatch
):
    folder = tmp_path / "model"
    if overwrite:
        kit.save(kit.small(random_state=1).fit(wells), folder)
    before = content(folder) if overwrite else None
    failing = FailsAfter(getattr(os, name), n_calls, errno.ENOSPC)
    monkeypatch.setattr(_files.os, name, failing)
    with pytest.raises(OSError, match=r"not saved.*No space left.*unchanged") as caught:
        save_embedder(fitted, folder, overwrite=overwrite)
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert failing.left == -1
    assert names(tmp_path) == (["model"] if overwrite else [])
    assert not overwrite or content(folder) == before


@pytest.mark.parametrize("at", [0, 1])
def test_a_folder_that_cannot_be_moved_changes_nothing(
    at, fitted, wells, kit, tmp_path, monkeypatch
):
    folder = kit.save(kit.small(random_state=1).fit(wells), tmp_path / "model")
    before = content(folder)
    real, calls = Path.rename, []

    def rename(self, target):
        calls.append(target)
        if len(calls) == at + 1:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(PermissionError, match="not saved"):
        save_embedder(fitted, folder, overwrite=True)
    monkeypatch.undo()
    assert content(folder) == before
    assert names(tmp_path) == ["model"]


def test_a_folder_without_permission(fitted, tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):  # the superuser may write anywhere
        make = partial(FailsAfter(None, 0, errno.EROFS))
        monkeypatch.setattr(_files.tempfile, "mkdtemp", lambda **_: make())
    with pytest.raises(OSError, match=r"not saved.*closed") as caught:
        save_embedder(fitted, closed / "model")
    assert caught.value.errno in (errno.EACCES, errno.EROFS)
    assert not names(closed)


def test_an_interrupt_from_the_keyboard_changes_nothing(fitted, wells, kit, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_embedder(fitted, tmp_path / "model")
    assert not names(tmp_path)
