"""Where a .tflite file spends its time: each type of operator alone, beside the whole file, on this machine.

LiteRT's Python package has no profile by operator (its ``benchmark_model``, which ``mvd profile`` asks, is a program of
its own). So each type's operators are put into a file of their own, with the same tensors, and all files are run in
turns in one process: medians in ms. The parts are slower together than the whole, which fuses some and keeps
tensors where they are.
Run: ``python benchmarks/litert_operators.py FILE [--seconds N] [--threads N]`` with ``pip install '.[litert]'``.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np


def main() -> None:
    """Prints a line for each type, the slowest first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    content = given.file.read_bytes()
    places = by_type(content)
    runs = {"the whole file": ready(content, given.threads)}
    for name, chosen in places.items():
        try:
            runs[name] = ready(only(content, chosen), given.threads)
        except (RuntimeError, ValueError) as error:
            print(f"{name}: does not run alone: {error}")
    times: dict[str, list[float]] = defaultdict(list)
    end = time.monotonic() + given.seconds
    while time.monotonic() < end:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    for name, found in sorted(times.items(), key=lambda item: -statistics.median(item[1])):
        print(f"{statistics.median(found):9.3f} ms  {len(places.get(name, ())) or '':4}  {name}")


def by_type(content: bytes) -> dict[str, list[int]]:
    """Returns the operators' places in the graph by their type and that of what they return."""
    schema = _schema()
    operators = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    types = {number: name.lower() for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    model = _read(content)
    graph = model.subgraphs[0]
    found: dict[str, list[int]] = defaultdict(list)
    for place, operator in enumerate(graph.operators):
        code = model.operatorCodes[operator.opcodeIndex]
        name = operators[max(code.builtinCode, code.deprecatedBuiltinCode)]
        found[f"{name} {types[graph.tensors[operator.outputs[0]].type]}"].append(place)
    return found


def only(content: bytes, places: Sequence[int]) -> bytes:
    """Returns a file with some of the operators: it takes what they read of others, and returns what they compute."""
    model = _read(content)
    graph = model.subgraphs[0]
    graph.operators = [graph.operators[place] for place in places]
    outputs = [number for operator in graph.operators for number in operator.outputs]
    read = [number for operator in graph.operators for number in operator.inputs if number >= 0]
    constant = {
        number
        for number in read
        if (data := model.buffers[graph.tensors[number].buffer].data) is not None and len(data)
    }
    graph.inputs = np.array(
        [number for number in dict.fromkeys(read) if number not in constant.union(outputs)], np.int32
    )
    graph.outputs = np.array(outputs, np.int32)
    model.signatureDefs = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def ready(content: bytes, threads: int) -> Callable[[], None]:
    """Returns what runs a file once, on random numbers."""
    from ai_edge_litert.interpreter import Interpreter  # an extra, as in _schema

    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    random = np.random.default_rng(0)
    for item in interpreter.get_input_details():
        values = random.standard_normal(item["shape"])
        scale = 1 if item["dtype"] == np.float32 else 30
        interpreter.set_tensor(item["index"], (scale * values).astype(item["dtype"]))
    return interpreter.invoke


def _schema() -> Any:
    from ai_edge_litert import schema_py_generated  # an extra that need not be there where this is imported

    return schema_py_generated


def _read(content: bytes) -> Any:
    schema = _schema()
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


if __name__ == "__main__":
    main()
