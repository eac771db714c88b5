"""What a ``.pte`` file says of its own weights: each is named, and what is written behind them changes nothing else."""

from pathlib import Path

import pytest

from mobilevit_deploy.targets.contents import Contents, compare
from mobilevit_deploy.targets.executorch.contents import METADATA, read_contents
from mobilevit_deploy.targets.executorch.pte import read_program
from mobilevit_deploy.targets.executorch.pte.constant_text import replace_text, without_text
from mobilevit_deploy.targets.flatbuffer import DamagedError
from tests.support.damage.kinds import KINDS
from tests.support.damage.make import caught, draw


@pytest.fixture(scope="module")
def contents(program: Path) -> Contents:
    return read_contents(program)


def test_each_kind_of_damage_is_caught_and_named(program: Path, tmp_path: Path) -> None:
    copy = tmp_path / program.name
    assert [caught(damage, program, copy) for damage in draw(program, len(KINDS), seed=0)] == [None] * len(KINDS)


def test_every_weight_has_a_name_and_a_module(contents: Contents) -> None:
    assert compare(contents).status == "intact"
    names = [tensor.name for tensor in contents.tensors]
    assert len(set(names)) == len(names) >= 10
    assert any(name.startswith("delegate 0, Conv2d") and name.endswith(", weight") for name in names)
    assert all(tensor.module is not None for tensor in contents.tensors)


def test_a_delegates_own_bytes_are_the_graph(program: Path, contents: Contents, tmp_path: Path) -> None:
    content = bytearray(program.read_bytes())
    delegate = next(call.delegate for plan in read_program(program).plans for call in plan.calls if call.delegate)
    content[content.index(delegate.content) + len(delegate.content) // 2] ^= 1
    path = tmp_path / program.name
    path.write_bytes(content)
    found = compare(read_contents(path))
    assert (found.status, found.changed, found.graph_changed) == ("changed", (), True)
    assert compare(contents).graph_changed is False


@pytest.mark.parametrize("text", ["", "a", "a" * 500, "\u00e9" * 10_001])
def test_a_text_takes_the_place_of_another(text: str, program: Path, tmp_path: Path) -> None:
    before = program.read_bytes()
    after = replace_text(before, METADATA, text)
    path = tmp_path / program.name
    path.write_bytes(after)
    plan = read_program(path).plan(METADATA)
    assert plan is not None
    assert plan.outputs[0].text == text
    assert read_program(path).segments == read_program(program).segments
    assert without_text(after, METADATA) == without_text(before, METADATA)
    assert replace_text(after, METADATA, "again") == replace_text(before, METADATA, "again"), "no text is left behind"


def test_what_has_no_such_text_is_refused(program: Path) -> None:
    content = program.read_bytes()
    with pytest.raises(DamagedError, match="no method forward returns a text"):
        replace_text(content, "forward", "text")
    with pytest.raises(DamagedError, match="no method other"):
        replace_text(content, "other", "text")
    with pytest.raises(DamagedError, match="no segments"):
        replace_text(content[:8] + bytes(4) + content[12:], METADATA, "text")
