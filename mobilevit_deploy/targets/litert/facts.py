"""What else there is to know of a ``.tflite`` file: the runtime that it needs, its weights, and how it is called."""

from collections.abc import Mapping
from pathlib import Path

from mobilevit_deploy.errors import printable
from mobilevit_deploy.targets.litert.tflite.app_metadata import AppNote, read_note
from mobilevit_deploy.targets.litert.tflite.operations import weights_by_type
from mobilevit_deploy.targets.litert.tflite.program import Program, Value, read_program
from mobilevit_deploy.targets.litert.tflite.runtime import minimum_runtime

LONGEST = 500  # characters of what is shown of the file's own words


def read_facts(path: Path) -> dict[str, str]:
    """Returns what ``mvd inspect`` says of a file; raises ArtifactError when it is damaged."""
    program = read_program(path)
    runtime = minimum_runtime(program)
    facts = {
        "minimum_runtime": f"TensorFlow Lite {runtime.version}" if runtime.version else "not known",
        "minimum_runtime_is_for": runtime.newest or ("what the file says itself" if runtime.noted else ""),
        "operators_of_no_known_runtime": ", ".join(runtime.unknown),
        "weights": ", ".join(f"{size:,} bytes {dtype}" for dtype, size in weights_by_type(program).items()),
        "signatures": "; ".join(_signatures(program)),
        "told_to_apps": _told(read_note(program)),
    }
    return {name: printable(text[:LONGEST]) for name, text in facts.items() if text}


def _told(note: AppNote | None) -> str:
    """Returns what Android's own tools read: the image, and how many classes have names."""
    if note is None:
        return ""
    image, count = note.image, len(note.labels)
    found = []
    if image:
        mean, std = (" ".join(f"{value:g}" for value in values[:4]) for values in (image.mean, image.std))
        size = f"{image.height}x{image.width}"
        found.append(
            f"{image.color} image {size}, values 0 to 255, then (value - mean) / std of mean {mean}, std {std}"
        )
    return "; ".join([*found, *([f"{count} names of classes"] if count else [])])


def _signatures(program: Program) -> list[str]:
    """Returns how an app calls each graph: by names, or by the place of inputs and outputs in a file without."""
    if program.signatures:
        return [
            _call(item.key, program.subgraphs[item.subgraph].values, item.inputs, item.outputs)
            for item in program.signatures
        ]
    graph = program.subgraphs[0]
    inputs, outputs = (
        dict(zip(map(str, range(len(ends))), ends, strict=True)) for ends in (graph.inputs, graph.outputs)
    )
    return [_call("", graph.values, inputs, outputs)]


def _call(key: str, values: tuple[Value, ...], inputs: Mapping[str, int], outputs: Mapping[str, int]) -> str:
    def shown(ends: Mapping[str, int]) -> str:
        found = [(name, values[number]) for name, number in ends.items()]
        return ", ".join(f"{name} {value.dtype} {'x'.join(map(str, value.shape))}" for name, value in found)

    return f"{key}({shown(inputs)}) -> {shown(outputs)}"
