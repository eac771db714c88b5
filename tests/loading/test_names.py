"""Names of a checkpoint and of a model: wrappers, prefixes, and what is none of the model's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.names import PREFIXES, WRAPPERS, match_names, name_forms

MODEL = ["stem.0.weight", "stem.0.bias", "blocks.0.attn.qkv.weight", "blocks.0.norm.num_batches_tracked", "head.weight"]


@given(st.lists(st.sampled_from(PREFIXES), max_size=4))
def test_known_prefixes_in_any_order(prefixes: list[str]) -> None:
    match = match_names(["".join(prefixes) + name for name in MODEL], MODEL)
    assert match.matched == {name: "".join(prefixes) + name for name in MODEL}
    assert (match.unmatched, match.note) == ([], "")


@given(st.sampled_from(WRAPPERS), st.sampled_from(["blocks.0", "blocks", "stem"]))
def test_wrappers_inside_a_model(wrapper: str, module: str) -> None:
    names = [name.replace(f"{module}.", f"{module}.{wrapper}.", 1) for name in MODEL]
    assert list(match_names(names, MODEL).matched.values()) == names


def test_a_model_whose_own_names_are_like_wrappers() -> None:
    """Names that fit as they stand are not touched."""
    model = ["module.weight", "encoder.weight", "weight", "net.module.weight"]
    match = match_names(model, model)
    assert match.matched == {name: name for name in model}


@given(st.text("abc.", min_size=1, max_size=8).map(lambda text: f"x{text.strip('.')}."))
def test_any_one_prefix_is_found(prefix: str) -> None:
    names = [prefix + name for name in MODEL]
    match = match_names([*names, "loss.weight"], MODEL)
    assert match.matched == dict(zip(MODEL, names, strict=True))
    assert match.unmatched == ["loss.weight"]
    assert prefix.rstrip(".") in match.note


def test_a_prefix_that_the_model_has_and_the_checkpoint_has_not() -> None:
    model = [f"trunk.inner.{name}" for name in MODEL]
    match = match_names(MODEL, model)
    assert match.matched == dict(zip(model, MODEL, strict=True))
    assert match.note == "the prefix 'trunk.inner.' was put before all names"


def test_a_prefix_that_fits_in_part_is_none() -> None:
    """Otherwise a checkpoint of another model would lose its own names in the message."""
    match = match_names([f"odd.{name}" for name in MODEL[:3]], MODEL)
    assert (match.matched, match.note) == ({}, "")
    assert match.missing(MODEL) == MODEL


def test_two_models_side_by_side_are_told_apart_by_the_user() -> None:
    with pytest.raises(CheckpointError, match=r"both student.* and teacher.* could be") as error:
        match_names([f"{who}.{name}" for who in ("student", "teacher") for name in MODEL], MODEL)
    assert "--prefix" in str(error.value.hint)


def test_the_forms_of_a_name() -> None:
    assert list(name_forms("_orig_mod.module.model.a.module.weight")) == [
        "_orig_mod.module.model.a.module.weight",
        "module.model.a.module.weight",
        "model.a.module.weight",
        "a.module.weight",
        "model.a.weight",
        "a.weight",
    ]
