"""Entries of a .tflite file's metadata: put in, put in the place of others, and nothing else touched."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.targets.flatbuffer import DamagedError, Table
from mobilevit_deploy.targets.litert.tflite.metadata import ALIGNMENT, metadata_ranges, write_metadata
from mobilevit_deploy.targets.litert.tflite.program import Program, parse_program
from tests.targets.litert.tflite.model_file import Model
from tests.targets.litert.tflite.test_program import CONTENT

NAME = "mvd_metadata"


def held(content: bytes, name: str = NAME) -> bytes:
    program = parse_program(content, "a.tflite")
    return bytes(program.data(program.metadata[name]))


def same_model(found: Program, before: Program) -> bool:
    """Tells whether two files compute the same, from the same weights."""
    used = {value.buffer for graph in before.subgraphs for value in graph.values}
    weights = [[bytes(program.data(i)) for i in used] for program in (found, before)]
    return (found.subgraphs, found.signatures, found.description) == (
        before.subgraphs, before.signatures, before.description,
    ) and weights[0] == weights[1]  # fmt: skip


@pytest.mark.parametrize("before", [CONTENT, Model().content()], ids=["litert_torch", "plain"])
def test_an_entry_is_added(before: bytes) -> None:
    after = write_metadata(before, NAME, b'{"a": "b"}')
    program, old = parse_program(after, "a.tflite"), parse_program(before, "a.tflite")
    assert held(after) == b'{"a": "b"}'
    assert list(program.metadata) == [*old.metadata, NAME]
    assert same_model(program, old)
    pairs = zip(program.buffers, old.buffers, strict=False)
    moved = {start - old_start for (start, end), (old_start, _) in pairs if end > start}
    assert len(moved) == 1
    assert moved.pop() % ALIGNMENT == 0, "what was aligned stays so"
    assert before in after


@settings(max_examples=15)
@given(st.lists(st.binary(max_size=70), min_size=1, max_size=4))
def test_the_last_of_several_is_as_if_it_were_the_first(texts: list[bytes]) -> None:
    content = CONTENT
    for text in texts:
        content = write_metadata(content, NAME, text)
    assert content == write_metadata(CONTENT, NAME, texts[-1])
    assert held(content) == texts[-1]


def test_what_another_writer_noted_is_replaced() -> None:
    after = write_metadata(CONTENT, "min_runtime_version", b"2.19.0")
    program = parse_program(after, "a.tflite")
    assert held(after, "min_runtime_version") == b"2.19.0"
    assert held(after, "keep_stablehlo_constant") == b"true"
    assert same_model(program, parse_program(CONTENT, "a.tflite"))


def test_several_entries_beside_each_other() -> None:
    first = write_metadata(write_metadata(CONTENT, "a", b"one"), "b", b"two")
    both = write_metadata(write_metadata(first, "a", b"three" * 100), "b", b"")
    assert (held(both, "a"), held(both, "b"), held(first, "a")) == (b"three" * 100, b"", b"one")
    assert same_model(parse_program(both, "a.tflite"), parse_program(CONTENT, "a.tflite"))


@pytest.mark.parametrize("sharing", ["the buffer of a weight", "the bytes of a weight", "the name of another"])
def test_an_entry_that_is_not_alone(sharing: str) -> None:
    """What else refers to an entry's bytes, by chance or on purpose, keeps them."""
    model = Model(metadata=[{0: NAME, 1: ("I", 3)}])
    model.buffers.append({0: bytes(4)})
    if sharing == "the buffer of a weight":
        model.metadata = [{0: NAME, 1: ("I", 1)}]
    if sharing == "the name of another":
        model.metadata.append({0: NAME, 1: ("I", 3)})
    content = bytearray(model.content())
    if sharing == "the bytes of a weight":
        buffers = list(Table.root(bytes(content)).tables(4))
        place, target = buffers[3].place(0), buffers[1].target(0)
        assert place is not None
        assert target is not None
        struct.pack_into("<I", content, place, (target - place) % 2**32)
        if target < place:
            pytest.fail("the builder wrote the buffers in another order")
    after = write_metadata(bytes(content), NAME, b"a note")
    assert held(after) == b"a note"
    assert same_model(parse_program(after, "a.tflite"), parse_program(bytes(content), "a.tflite"))


def test_where_two_notes_differ() -> None:
    """Everything outside of the ranges is the same, whatever was noted."""

    def rest(content: bytes) -> bytes:
        (first, after_first), (second, end) = metadata_ranges(content, NAME)
        assert end == len(content)
        return content[:first] + content[after_first:second]

    assert rest(write_metadata(CONTENT, NAME, b"")) == rest(write_metadata(CONTENT, NAME, b"long" * 99))
    assert metadata_ranges(CONTENT, NAME) == []


def test_what_cannot_be_moved_is_refused() -> None:
    behind = Model(buffers=[{}, {1: ("Q", 4096), 2: ("Q", 24)}, {0: bytes(12)}]).content().ljust(4120, b"\0")
    with pytest.raises(DamagedError, match="behind the FlatBuffer"):
        write_metadata(behind, NAME, b"")
    with pytest.raises(DamagedError, match="behind the FlatBuffer"):
        write_metadata(Model(operators=[{0: ("I", 0), 9: ("Q", 4096)}]).content(), NAME, b"")
    with pytest.raises(DamagedError, match="schema is newer"):
        write_metadata(Model(more={10: "new"}).content(), NAME, b"")


def test_the_runtime_loads_it_and_computes_the_same() -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    image = np.arange(768).reshape(1, 3, 16, 16).astype(np.int8)

    def run(content: bytes) -> np.ndarray:
        model = interpreter(model_content=content)
        model.allocate_tensors()
        model.set_tensor(model.get_input_details()[0]["index"], image)
        model.invoke()
        return np.asarray(model.get_tensor(model.get_output_details()[0]["index"]))

    written = write_metadata(write_metadata(CONTENT, NAME, b"first"), NAME, b"second" * 1000)
    assert np.array_equal(run(written), run(CONTENT))
