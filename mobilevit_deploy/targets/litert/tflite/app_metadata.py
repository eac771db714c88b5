"""What Android's own tools read of a file: how an image is normalised, and the names of classes.

Android Studio and the task libraries of TensorFlow Lite and MediaPipe read an entry ``TFLITE_METADATA`` of the model's
metadata, which is a FlatBuffer of a schema of its own. The file of names lies in a ZIP archive behind the model.
Source: https://github.com/tensorflow/tflite-support, tensorflow_lite_support/metadata/metadata_schema.fbs; the numbers
of fields are those of that file.
"""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers

from mobilevit_deploy.targets.flatbuffer import DamagedError, Table
from mobilevit_deploy.targets.litert.tflite.program import Program

ENTRY = "TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER = "1.0.0"  # that knows all that is written here
LABELS_FILE = "labels.txt"
TENSOR_AXIS_LABELS = 2  # of AssociatedFileType
IMAGE_PROPERTIES, NORMALIZATION = 2, 1  # of the unions ContentProperties and ProcessUnitOptions
COLORS = {"RGB": 1, "GRAYSCALE": 2}  # of ColorSpaceType, which has no other order
LONGEST_FILE = 4 * 2**20  # bytes of names; ImageNet-21K's, with all their synonyms, take one
MOST_FILES = 64  # of an archive; of a model from elsewhere, too
FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of ZIP archives: the same export has the same bytes on any day


@dataclass(frozen=True)
class ImageNote:
    """An image input, (B, H, W, C): sizes in pixels, and mean and std per channel of pixel values 0 to 255."""

    color: str
    width: int
    height: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class AppNote:
    """What is said to apps.

    Attributes:
        model: its name.
        description: a line.
        inputs: names of the inputs.
        outputs: names of the outputs.
        image: where the one input is one as Android has it.
        labels: of the classes along the last axis of the first output.
    """

    model: str
    description: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    image: ImageNote | None = None
    labels: tuple[str, ...] = ()


def pack(note: AppNote) -> bytes:
    """Returns the entry's FlatBuffer."""
    builder = flatbuffers.Builder(1024)
    image = _image(builder, note.image) if note.image else {}
    inputs = [_table(builder, {0: builder.CreateString(name), **image}) for name in note.inputs]
    outputs = []
    for i, name in enumerate(note.outputs):
        files = {6: _tables(builder, [_labels(builder)])} if note.labels and i == 0 else {}
        outputs.append(_table(builder, {0: builder.CreateString(name), **files}))
    graph = _table(builder, {2: _tables(builder, inputs), 3: _tables(builder, outputs)})
    texts = {0: note.model, 1: note.description, 7: PARSER}
    written = {field: builder.CreateString(text) for field, text in texts.items()}
    builder.Finish(_table(builder, {**written, 3: _tables(builder, [graph])}), IDENTIFIER)
    return bytes(builder.Output())


def with_labels(content: bytes, labels: Sequence[str]) -> bytes:
    """Returns a file with an archive behind it, whose places count from the beginning of the file, as readers do."""
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS_FILE, FIRST_DAY), "\n".join(labels))
    return file.getvalue()


def read_note(program: Program) -> AppNote | None:
    """Returns what a file says to apps; None where it says nothing, or what it says is damaged."""
    number = program.metadata.get(ENTRY)
    content = b"" if number is None else bytes(program.data(number))
    if content[4:8] != IDENTIFIER:
        return None
    try:
        root = Table.root(content)
        graph = next(root.tables(3))
        outputs = list(graph.tables(3))
        files = [item for item in outputs[0].tables(6) if item.whole(2, "b") == TENSOR_AXIS_LABELS] if outputs else []
        inputs = list(graph.tables(2))
        return AppNote(
            root.text(0),
            root.text(1),
            tuple(item.text(0) for item in inputs),
            tuple(item.text(0) for item in outputs),
            _read_image(inputs[0]) if len(inputs) == 1 else None,
            _read_labels(program.content, files[0].text(0)) if files else (),
        )
    except (DamagedError, StopIteration, struct.error):
        return None


def _table(builder: Any, offsets: Mapping[int, int], numbers: Mapping[int, tuple[str, int]] | None = None) -> int:
    """Writes a table: offsets by field, and numbers with the name of their type."""
    builder.StartObject(max([*offsets, *(numbers or {})], default=-1) + 1)
    for field, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    for field, (kind, number) in (numbers or {}).items():
        getattr(builder, f"Prepend{kind}Slot")(field, number, 0)
    return int(builder.EndObject())


def _tables(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _reals(builder: Any, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


def _labels(builder: Any) -> int:
    """Writes the file that has the names of the classes."""
    return _table(builder, {0: builder.CreateString(LABELS_FILE)}, {2: ("Int8", TENSOR_AXIS_LABELS)})


def _image(builder: Any, image: ImageNote) -> dict[int, int]:
    """Writes what an image is and how it is normalised; returns both by the field of the tensor."""
    size = _table(builder, {}, {0: ("Uint32", image.width), 1: ("Uint32", image.height)})
    properties = _table(builder, {1: size}, {0: ("Int8", COLORS[image.color])})
    content = _table(builder, {1: properties}, {0: ("Uint8", IMAGE_PROPERTIES)})
    options = _table(builder, {0: _reals(builder, image.mean), 1: _reals(builder, image.std)})
    unit = _table(builder, {1: options}, {0: ("Uint8", NORMALIZATION)})
    return {3: content, 4: _tables(builder, [unit])}


def _read_image(entry: Table) -> ImageNote | None:
    content = entry.table(3)
    if content is None or content.whole(0, "B") != IMAGE_PROPERTIES:
        return None
    properties = content.required(1)
    names = {number: name for name, number in COLORS.items()}
    size = properties.table(1)
    units = [unit.required(1) for unit in entry.tables(4) if unit.whole(0, "B") == NORMALIZATION]
    return ImageNote(
        names.get(properties.whole(0, "b"), "UNKNOWN"),
        size.whole(0, "I") if size else 0,
        size.whole(1, "I") if size else 0,
        tuple(units[0].reals(0)) if units else (),
        tuple(units[0].reals(1)) if units else (),
    )


def _read_labels(content: bytes, name: str) -> tuple[str, ...]:
    """Returns the lines of a file of the archive; nothing where there is no such file that is stored as it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = [item for item in archive.infolist()[:MOST_FILES] if item.filename == name]
            if len(found) != 1 or found[0].compress_type != zipfile.ZIP_STORED or found[0].file_size > LONGEST_FILE:
                return ()
            return tuple(archive.read(found[0]).decode().splitlines())
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError, RuntimeError, struct.error):
        return ()
