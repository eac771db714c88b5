"""What a ``.tflite`` file says of its own weights: each is named, and every other byte belongs to the graph."""

import json
from pathlib import Path

import pytest

from mobilevit_deploy.errors import ArtifactError, ConversionError
from mobilevit_deploy.targets.contents import GRAPH, compare
from mobilevit_deploy.targets.litert.contents import METADATA, contents_of, metadata_of, note_contents, read_contents
from mobilevit_deploy.targets.litert.tflite.metadata import metadata_ranges, write_metadata
from mobilevit_deploy.targets.litert.tflite.program import Program, parse_program
from tests.targets.litert.tflite.model_file import Model
from tests.targets.litert.tflite.test_program import CONTENT

CONV = "__main__.Net/torch.nn.modules.conv.Conv2d_conv;"
NOTES = {"mvd.model": "net", "mvd.modules": json.dumps({"stem.conv": [CONV + "4"], "stem.act": ["__main__.Net;3"]})}
NOTED = note_contents(CONTENT, NOTES, "a.tflite")


def read(content: bytes) -> Program:
    return parse_program(content, "a.tflite")


def test_a_file_of_others_notes_nothing() -> None:
    found = contents_of(read(CONTENT), "a.tflite")
    assert found.metadata == {}
    assert compare(found).status == "not noted"
    assert len(found.tensors) == 13


def test_what_was_noted_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(NOTED)
    found = read_contents(path)
    assert {key: found.metadata[key] for key in NOTES} == NOTES
    assert compare(found).status == "intact"
    assert note_contents(CONTENT, NOTES, "a.tflite") == NOTED
    assert note_contents(NOTED, NOTES, "a.tflite") == NOTED
    assert {tensor.module for tensor in found.tensors if tensor.name.startswith(CONV)} == {"stem.conv"}


def test_every_byte_belongs_to_a_weight_or_to_the_graph() -> None:
    """One bit of each weight, and a bit of every 80th byte of the rest: each is noticed, and a weight is named."""
    program = read(NOTED)
    ranges = {program.buffers[value.buffer]: value.name for value in program.subgraphs[0].values}
    weights = {place: name for (start, end), name in ranges.items() if end > start for place in (start, end - 1)}
    inside = {place for start, end in [*ranges, *metadata_ranges(NOTED, METADATA)] for place in range(start, end)}
    for place in [*weights, *(place for place in range(8, len(NOTED), 80) if place not in inside)]:
        content = bytearray(NOTED)
        content[place] ^= 1
        try:
            found = compare(contents_of(read(bytes(content)), "a.tflite"))
        except ArtifactError:
            continue
        assert found.status == "changed"
        assert [tensor.name for tensor in found.changed] == ([weights[place]] if place in weights else [])
        assert found.graph_changed is (place not in weights)


def test_notes_that_are_none() -> None:
    with pytest.raises(ArtifactError, match="says of its own export is malformed"):
        metadata_of(read(write_metadata(CONTENT, METADATA, b"{")), "a.tflite")
    with pytest.raises(ArtifactError, match="says of its own export is malformed"):
        metadata_of(read(write_metadata(CONTENT, METADATA, b"[" * 100_000)), "a.tflite")
    for text in (b"\xff", b"[1]", b"x" * (2**22 + 1)):
        assert metadata_of(read(write_metadata(CONTENT, METADATA, text)), "a.tflite") == {}


def test_digests_that_were_taken_away() -> None:
    notes = metadata_of(read(NOTED), "a.tflite")
    del notes[GRAPH]
    written = write_metadata(NOTED, METADATA, json.dumps(notes).encode())
    assert compare(contents_of(read(written), "a.tflite")).status == "not noted"


def test_a_file_above_two_gigabytes_has_no_place_for_notes() -> None:
    model = Model(buffers=[{}, {1: ("Q", 4096), 2: ("Q", 24)}, {0: bytes(12)}])
    with pytest.raises(ConversionError, match=r"nothing can be noted in a\.tflite"):
        note_contents(model.content().ljust(4120, b"\0"), NOTES, "a.tflite")
