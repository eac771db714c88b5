"""What Android's tools read of a file: written as their schema has it, read back, and damaged."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.targets.app_options import AppInterface, ImageInput
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.contents import compare
from mobilevit_deploy.targets.flatbuffer import Table
from mobilevit_deploy.targets.litert.app_note import app_note
from mobilevit_deploy.targets.litert.contents import contents_of, note_contents
from mobilevit_deploy.targets.litert.facts import read_facts
from mobilevit_deploy.targets.litert.tflite.app_metadata import (
    ENTRY,
    AppNote,
    ImageNote,
    pack,
    read_note,
    with_labels,
)
from mobilevit_deploy.targets.litert.tflite.metadata import write_metadata
from mobilevit_deploy.targets.litert.tflite.program import parse_program
from tests.targets.litert.tflite.test_program import CONTENT

IMAGE = ImageNote("RGB", 32, 24, (127.5, 100.0, 90.0), (50.0, 51.0, 52.0))
NOTE = AppNote("net", "a net; exported", ("image",), ("logits", "maps"), IMAGE, ("zero", "eins ü", "two words"))
NOTES = {"mvd.model": "net", "mvd.description": "a net"}


def noted(note: AppNote = NOTE) -> bytes:
    return note_contents(CONTENT, NOTES, "a.tflite", note)


def read(content: bytes) -> AppNote | None:
    return read_note(parse_program(content, "a.tflite"))


@pytest.mark.parametrize(
    "note", [NOTE, AppNote("", "", ("x", "z"), ("y",)), AppNote("n", "", ("x",), ("y",), labels=("a",))]
)
def test_what_is_written_is_read(note: AppNote) -> None:
    content = noted(note)
    assert read(content) == note
    assert noted(note) == content, "the same bytes twice"
    assert compare(contents_of(parse_program(content, "a.tflite"), "a.tflite")).status == "intact"


def test_the_fields_of_the_schema() -> None:
    """By their numbers in metadata_schema.fbs of tflite-support."""
    root = Table.root(pack(NOTE))
    (graph,) = root.tables(3)
    (image,), (first, second) = graph.tables(2), graph.tables(3)
    assert (root.text(0), root.text(7), image.text(0), second.text(0)) == ("net", "1.0.0", "image", "maps")
    properties = image.required(3).required(1)
    assert (image.required(3).whole(0, "B"), properties.whole(0, "b")) == (2, 1), "ImageProperties, RGB"
    assert (properties.required(1).whole(0, "I"), properties.required(1).whole(1, "I")) == (32, 24), "width, height"
    (unit,) = image.tables(4)
    assert (unit.whole(0, "B"), unit.required(1).reals(0)) == (1, [127.5, 100.0, 90.0]), "NormalizationOptions"
    (file,) = first.tables(6)
    assert (file.text(0), file.whole(2, "b")) == ("labels.txt", 2), "TENSOR_AXIS_LABELS"


def test_the_archive_counts_from_the_beginning_of_the_file() -> None:
    content = noted()
    (entry,) = zipfile.ZipFile(io.BytesIO(content)).infolist()
    assert content[entry.header_offset : entry.header_offset + 4] == b"PK\x03\x04"
    end = content.rindex(b"PK\x05\x06")
    assert int.from_bytes(content[end + 16 : end + 20], "little") == content.rindex(b"PK\x01\x02")
    assert len(content) == end + 22, "nothing lies behind it"


def test_another_name_of_a_class_is_noticed() -> None:
    content = noted().replace(b"two words", b"two words".replace(b"t", b"T"))
    assert compare(contents_of(parse_program(content, "a.tflite"), "a.tflite")).graph_changed


def test_what_is_damaged_is_none_or_another_text() -> None:
    """Each byte of the entry and of the archive, changed: nothing is raised, and nothing large is made."""
    content = noted()
    program = parse_program(content, "a.tflite")
    start, end = program.buffers[program.metadata[ENTRY]]
    archive = content.index(b"PK\x03\x04")
    for place in (*range(start, end), *range(archive, len(content))):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        found = read(bytes(changed))
        assert found is None or len(found.labels) <= 3
    assert read(write_metadata(CONTENT, ENTRY, b"")) is None
    assert read(CONTENT) is None


def test_names_that_unpack_to_more_than_they_are() -> None:
    file = io.BytesIO(write_metadata(CONTENT, ENTRY, pack(NOTE)))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", b"a\n" * 10**6)
    found = read(file.getvalue())
    assert found is not None
    assert found.labels == ()


def test_inspect_says_it(tmp_path: Path) -> None:
    (path := tmp_path / "a.tflite").write_bytes(noted())
    assert read_facts(path)["told_to_apps"] == (
        "RGB image 24x32, values 0 to 255, then (value - mean) / std of mean 127.5 100 90, std 50 51 52; "
        "3 names of classes"
    )
    path.write_bytes(with_labels(CONTENT, ["a"]))
    assert "told_to_apps" not in read_facts(path)


def request(shape: tuple[int, ...], outputs: int = 3, **app: Any) -> ConversionRequest:
    spec, outs = TensorSpec("x", shape), (TensorSpec("logits", (1, outputs)),)
    return ConversionRequest(None, None, spec, outs, "fp32", None, {}, Path(), AppInterface(**app))  # type: ignore[arg-type]


def test_what_an_export_says() -> None:
    how = {"mean": [0.5, 0.25, 0.0], "std": [0.2, 0.4, 1.0]}
    last = {"mvd.layout": "nhwc", "mvd.preprocessing": json.dumps(how), "mvd.classes": '["a", "b", "c"]'}
    found = app_note(request((1, 24, 32, 3)), last)
    assert found.image == ImageNote("RGB", 32, 24, (127.5, 63.75, 0.0), (51.0, 102.0, 255.0))
    assert found.labels == ("a", "b", "c")
    assert app_note(request((1, 24, 32, 3), 4), last).labels == (), "names of other classes"
    blue = {**last, "mvd.preprocessing": json.dumps({**how, "color": "BGR"})}
    first = {key: text for key, text in last.items() if key != "mvd.layout"}
    for shape, metadata in (((1, 24, 32, 3), blue), ((1, 3, 24, 32), first), ((1, 24, 32, 5), last)):
        assert app_note(request(shape), metadata).image is None
    inside: dict[str, Any] = {"image": ImageInput("RGB", (0.5,), (0.5,)), "labels": ("p", "q", "r")}
    found = app_note(request((1, 24, 32, 3), **inside), {})
    assert (found.image, found.labels) == (ImageNote("RGB", 32, 24, (0.0,), (1.0,)), ("p", "q", "r"))
    assert app_note(request((1, 24, 32, 3), image=ImageInput("BGR", (0.5,), (0.5,))), {}).image is None
