"""Which trainings are the same: by parameters, the kinds of encoders, and the content of files."""

from __future__ import annotations

import copy
import importlib.util
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback, EpochTimer, GradientNormClipping

from cloome_sk import CloomeEmbedder
from cloome_sk._identity import hashed, training_name
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder, ProfileEncoder
from cloome_sk.objectives import InputCWCL, LearnedObjective


class OtherProfileEncoder(ProfileEncoder):
    """The same parameters, perhaps another network."""


def name(phenotype="auto", molecule=None, checkpoint=None, **changes):
    embedder = CloomeEmbedder(phenotype, molecule, **changes)
    return training_name(embedder, 0, {"training": None}, checkpoint=checkpoint)


def test_encoders_of_equal_parameters_are_told_apart():
    bags = [
        BagEncoder(encoder(), group_by="well") for encoder in (ProfileEncoder, OtherProfileEncoder)
    ]
    assert bags[0].get_params(deep=True).keys() == bags[1].get_params(deep=True).keys()
    assert name(bags[0]) != name(bags[1])
    assert name(ProfileEncoder()) != name(OtherProfileEncoder())
    assert name(BagEncoder(ProfileEncoder())) == name(BagEncoder(ProfileEncoder()))


def test_features_of_molecules_are_told_apart_by_their_kind():
    from sklearn.feature_extraction.text import CountVectorizer

    class Other(CountVectorizer):
        pass

    one, other = (MoleculeEncoder(features=kind()) for kind in (CountVectorizer, Other))
    assert name(molecule=one) != name(molecule=other)


def test_a_checkpoint_is_known_by_its_content_alone():
    assert name(checkpoint="aa") != name(checkpoint="bb")
    moved = [CloomeEmbedder(checkpoint=path) for path in ("here.pt", "there/renamed.pt")]
    names = {training_name(embedder, 0, {}, checkpoint="aa") for embedder in moved}
    assert len(names) == 1


def test_weights_of_an_encoder_are_known_by_their_content(tmp_path):
    here, there = tmp_path / "here.pth", tmp_path / "there.pth"
    here.write_bytes(b"weights")
    there.write_bytes(b"weights")
    before = name(ImageEncoder(weights=here))
    assert before == name(ImageEncoder(weights=str(there)))
    here.write_bytes(b"others!")
    assert before != name(ImageEncoder(weights=here))
    # A word that is no file, such as the parameter `weights` of a user's own encoder.
    assert name(ImageEncoder(weights="uniform")) != name(ImageEncoder(weights="distance"))


@pytest.mark.parametrize(
    ("parameter", "value", "same"),
    [("n_jobs", 2, True), ("cache", None, True), ("size", 64, False), ("crop", 32, False)],
)
def test_what_changes_nothing_that_is_learned(parameter, value, same):
    encoder = ImageEncoder().set_params(**{parameter: value})
    assert (name(encoder) == name(ImageEncoder())) is same


def test_a_clone_is_the_same_training():
    """As in a pipeline; what the original shares between two places, the copy may not."""
    plates = pd.DataFrame({"plate": ["P1", "P2"], "low": [1.0, np.nan], "n": [1, 2]})
    encoder = ImageEncoder.published(plate_table=plates, preprocess=lambda images: images)
    assert name(clone(encoder)) == name(encoder)
    plates = plates.assign(low=[1.0, 2.0])
    assert name(clone(encoder).set_params(plate_table=plates)) != name(encoder)


@pytest.mark.parametrize(
    "value",
    [
        (np.arange(3.0),) * 2,
        {"a": (1, (2, [3])), "b": np.float32(0.5)},
        pd.DataFrame({"a": ["x", None], "b": [[1], [2]]}, index=["r", "s"]),
        [pd.Timestamp("2020-01-01")] * 2,
    ],
)
def test_copies_have_the_same_name(value):
    assert hashed(copy.deepcopy(value)) == hashed(value)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ([1, 2], (1, 2), True),
        ((np.float64(0.1),), [0.1], True),
        (np.int64(3), 3, True),
        ((1, 2), (2, 1), False),
        ("1", 1, False),
        ({"a": [1]}, {"a": [2]}, False),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), False),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}, index=[7]), False),
    ],
)
def test_equal_values_have_equal_names(one, other, equal):
    assert (hashed(one) == hashed(other)) is equal


MINE = """
import functools
import torch
MARGIN, UNREAD = 0.2, 1

def helper(value):
    return value.relu()

def margin(phenotype, molecule, inv_tau, *, positives):
    similarity = phenotype @ molecule.T
    return [helper(each - MARGIN).mean() for each in [similarity]][0]

@torch.no_grad()
def decorated(value):
    return value + 1

class Module(torch.nn.Module):
    power = 2

    def __init__(self):
        super().__init__()

    def forward(self, phenotype, molecule, inv_tau, *, positives):
        return self.scaled(phenotype) + margin(phenotype, molecule, inv_tau, positives=positives)

    def scaled(self, value):
        return value ** self.power

class Plain:
    def __call__(self, *arguments):
        return self.scaled(arguments)

    scaled = Module.scaled

    @property
    def again(self):
        return Plain, self
"""


def loaded(folder, source):
    """What is in a file of the user, as a new process would import it."""
    path = folder / "mine.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("mine", path)
    module = importlib.util.module_from_spec(spec)
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


OBJECTIVES = {
    "function": lambda mine: mine.margin,
    "partial": lambda mine: partial(mine.margin, positives=None),
    "decorated": lambda mine: mine.decorated,
    "module": lambda mine: mine.Module(),
    "object": lambda mine: mine.Plain(),
    "method": lambda mine: mine.Plain().__call__,
    "inside": lambda mine: InputCWCL("molecule", mine.margin),
}


@pytest.mark.parametrize(
    ("changed", "by", "seen_by"),
    [
        (
            "similarity = phenotype @",
            "similarity = 2 * phenotype @",
            "function partial inside module",
        ),
        ("MARGIN, UNREAD = 0.2", "MARGIN, UNREAD = 0.3", "function partial inside module"),
        ("value.relu()", "value.exp()", "function partial inside module"),
        ("value + 1", "value + 2", "decorated"),
        ("value ** self.power", "value * self.power", "module object method"),
        ("power = 2", "power = 3", "module"),
        ("return self.scaled(a", "return 2 * self.scaled(a", "object method"),
        ("import functools", "import functools  # as before", ""),
        ("UNREAD = 0.2, 1", "UNREAD = 0.2, 2", ""),
    ],
)
def test_code_of_the_user_is_part_of_the_name(tmp_path, changed, by, seen_by):
    assert changed in MINE
    before, again = loaded(tmp_path, MINE), loaded(tmp_path, MINE)
    after = loaded(tmp_path, MINE.replace(changed, by))
    for kind, objective in OBJECTIVES.items():
        assert hashed(objective(again)) == hashed(objective(before)), kind
        differs = hashed(objective(after)) != hashed(objective(before))
        assert differs is (kind in seen_by.split()), kind


def test_code_of_a_user_s_encoder_is_part_of_the_name(tmp_path):
    source = "from cloome_sk.encoders import ProfileEncoder\nclass Own(ProfileEncoder):\n"
    made = [
        name(
            loaded(tmp_path, f"{source}    def make_network(self, n):\n        return {n}\n").Own()
        )
        for n in (1, 1, 2)
    ]
    assert made[0] == made[1] != made[2]


class Held(torch.nn.Module):
    """An objective with something that is no weight."""

    def __init__(self, what):
        super().__init__()
        self.what = what


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1.0], [2.0]),
        ({0: 1.0}, {0: 2.0}),
        (torch.tensor([1.0]), torch.tensor([2.0])),
        (None, True),
        (InputCWCL("molecule"), InputCWCL("phenotype")),
        ([torch.nn.ReLU()], [torch.nn.GELU()]),
    ],
)
def test_what_a_module_holds_is_part_of_the_name(one, other):
    assert hashed(Held(one)) != hashed(Held(other))
    assert hashed(copy.deepcopy(Held(one))) == hashed(Held(one))
    assert hashed(Held(one).eval()) == hashed(Held(one))


def test_objectives_that_read_other_inputs_are_told_apart():
    one, other, again = (
        LearnedObjective(InputCWCL(side), {}) for side in ("molecule", "phenotype", "molecule")
    )
    assert hashed(one) == hashed(again) != hashed(other)


def test_buffers_that_are_not_stored_are_part_of_the_name():
    made = [Held(None) for _ in range(3)]
    for module, value in zip(made, (1.0, 1.0, 2.0), strict=True):
        module.register_buffer("own", torch.tensor(value), persistent=False)
    assert hashed(made[0]) == hashed(made[1]) != hashed(made[2])


def test_the_order_of_lr_factors_counts():
    one, other = ({"*": 0.01, "?*": 1.0}, {"?*": 1.0, "*": 0.01})
    assert name(lr_factors=one) != name(lr_factors=other)
    assert name(lr_factors=one) == name(lr_factors=dict(one))


@pytest.mark.parametrize(
    "changes",
    [{"output": "both"}, {"warm_start": True}, {"clip_norm": 1.0}, {"callbacks": [EpochTimer()]}],
)
def test_one_training_has_one_name(changes):
    assert name(**{"clip_norm": 1, **changes}) == name(clip_norm=1)


def test_callbacks_that_change_gradients_are_part_of_the_name():
    class Own(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            pass

    found = [
        name(callbacks=callbacks)
        for callbacks in (
            None,
            [GradientNormClipping(1.0)],
            [("clip", GradientNormClipping(2.0))],
            [GradientNormClipping(1.0), Own()],
            [Own(), GradientNormClipping(1.0)],
            [Own],
        )
    ]
    assert len(set(found)) == len(found)
    assert name(callbacks=[EpochTimer(), GradientNormClipping(1.0)]) == found[1]


def test_a_further_fit_is_named_by_what_it_goes_on_from():
    fitted = CloomeEmbedder(max_epochs=1, n_components=4, warm_start=True, random_state=0)
    before = training_name(fitted, 0, {})
    fitted.fit(make_profiles(n_compounds=24, random_state=0))
    assert training_name(fitted, 0, {}) != before
    assert training_name(fitted.set_params(warm_start=False), 0, {}) == before


IN_A_WORKER = """
import torch
from joblib import Parallel, delayed
from cloome_sk._identity import hashed
mean, SCALE = 3, 2.0

def helper(value):
    return value.mean() * SCALE

class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.held = torch.nn.Linear(2, 2), [1, "a"]
        with torch.no_grad():
            self.layer.weight.fill_(0.5), self.layer.bias.fill_(0.5)

    def forward(self, value):
        return helper(self.layer(value))

for value in (helper, Own(), Own().forward, Own):
    here = hashed(value)
    there, = Parallel(n_jobs=2)([delayed(hashed)(value)])
    print(here == there, here)
"""


def test_names_in_a_worker_process_are_the_same(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(IN_A_WORKER)
    outputs = [
        subprocess.run(
            [sys.executable, str(program)], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert outputs[0] == outputs[1]
    assert [line.split()[0] for line in outputs[0].splitlines()] == ["True"] * 4
