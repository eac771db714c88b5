"""The iPhone and coremltools' app on it: requests come as files, and answers are files.

What it answers is what the app's source says, ``ModelService.swift`` and ``DeviceCtl.swift`` of coremltools 9.0. Times
are made up: a first load of 900 ms, later ones of 45, predictions of 1.20 to 1.24 ms.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from tests.support.apple_tools.state import State

SERVICE_ERROR = -32001
FIRST_LOAD_MS, NEXT_LOAD_MS = 900.0, 45.0
PREDICTIONS_MS = (1.20, 1.21, 1.22, 1.23, 1.24)
SLOW_LOOKS = 21  # coremltools gives up after 20
UNITS = {"CPU_ONLY": ["cpu"], "CPU_AND_GPU": ["cpu", "gpu"], "CPU_AND_NE": ["cpu", "neuralEngine"]}
ALL_UNITS = ["cpu", "gpu", "neuralEngine"]
OFF_THE_ENGINE = {"gather", "cast", "classify", "resize_bilinear"}


class RefusedError(Exception):
    """A request that the app answers with an error."""


def begin(state: State) -> None:
    """Lets the app answer what came before it ran."""
    for file in (state.folder / "container").glob("**/requests/messages/*/message.json"):
        notice(state, file)


def notice(state: State, file: Path) -> None:
    """Lets the app answer when a message has come, if it runs; once."""
    if file.name != "message.json" or not runs(state) or state.has("silent"):
        return
    try:
        (file.parent / "noticed").mkdir()
    except FileExistsError:
        return
    request = json.loads(file.read_text())
    assert request["jsonrpc"] == "2.0"
    state.log(["modelrunner", request["method"], json.dumps(request["params"], sort_keys=True)])
    folder = file.parents[3]
    resource = request.get("resource")
    given = folder / "requests" / "resources" / request["id"] / resource if resource else None
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
    made = b""
    try:
        answer["result"], made = process(state, request["method"], request["params"], given)
    except RefusedError as refusal:
        answer |= {"result": {}, "error": {"code": SERVICE_ERROR, "message": str(refusal)}}
    place = folder / "responses" / request["id"]
    place.mkdir(parents=True)
    if made:
        (place / "outputs.bin").write_bytes(made)
        answer["resource"] = "outputs.bin"
    (place / "message.json").write_text(json.dumps(answer))
    if request["method"].endswith(".Load"):
        if state.has("slow_load") and not state.read("slow", None):
            state.write("slow", str(place / "message.json"))
        if state.has("endless_load"):
            os.utime(place / "message.json", (time.time(), time.time() + 1e6))


def is_ready(state: State, file: Path) -> bool:
    """Tells whether an answer is there already: its time of change says from when on, or the number of looks for it."""
    if state.read("slow", None) == str(file):
        return state.count("slow-looks") >= SLOW_LOOKS
    return file.stat().st_mtime <= time.time()


def runs(state: State) -> bool:
    pid = state.read("app", {}).get("pid")
    try:
        os.kill(pid, 0) if pid else None
    except ProcessLookupError:
        return False
    return bool(pid)


def process(state: State, method: str, params: dict[str, Any], given: Path | None) -> tuple[dict[str, Any], bytes]:
    methods = {"Load": load, "Unload": unload, "Prediction": predict, "ComputePlan": plan}
    service, _, name = method.partition(".")
    if service != "MLModelService" or name not in methods:
        raise RefusedError(f"Invalid resource: Missing parameters for '{method}'.")
    return methods[name](state, params, given)


def load(state: State, params: dict[str, Any], given: Path | None) -> tuple[dict[str, Any], bytes]:
    if params["computeUnits"] not in {*UNITS, "ALL"}:
        raise RefusedError(f"Malformed request: Invalid compute unit '{params['computeUnits']}'.")
    if given is None or given.suffix != ".mlmodelc":
        raise RefusedError("Missing resource: Model file is required but was not provided.")
    if state.has("refuses"):
        raise RefusedError("Failed to build the model execution plan using a model architecture file, error code: -4.")
    loaded = state.read("loaded", {})
    loaded[params["modelID"]] = {"units": params["computeUnits"], "model": str(given)}
    state.write("loaded", loaded)
    again = state.count(f"loads-{params['computeUnits']}") > 1
    duration = int(1e6 * (NEXT_LOAD_MS if again else FIRST_LOAD_MS))
    return {"modelID": params["modelID"], "duration": duration, "isCached": False}, b""


def find(state: State, params: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] | None = state.read("loaded", {}).get(params["modelID"])
    if found is None or params.get("computeUnits", found["units"]) != found["units"]:
        raise RefusedError(f"Missing resource: The model with ID '{params['modelID']}' is not currently loaded.")
    return found


def unload(state: State, params: dict[str, Any], _given: Path | None) -> tuple[dict[str, Any], bytes]:
    find(state, params)
    loaded = state.read("loaded", {})
    del loaded[params["modelID"]]
    state.write("loaded", loaded)
    return {"modelID": params["modelID"]}, b""


def predict(state: State, params: dict[str, Any], given: Path | None) -> tuple[dict[str, Any], bytes]:
    program = json.loads((Path(find(state, params)["model"]) / "program.json").read_text())
    if program["unsupported_outputs"]:
        raise RefusedError("Unsupported output: Incompatible output format detected.")
    assert given is not None
    data = given.read_bytes()
    for feature in program["inputs"]:
        sent = params["inputs"][feature["name"]]
        if sent["shape"] != feature["shape"] or sent["dataType"] != feature["type"]:
            raise RefusedError(
                f"Malformed request: {feature['name']} takes {feature['shape']} {feature['type']}, got {sent}"
            )
        assert sent["storage"]["offset"] + sent["storage"]["size"] <= len(data)
    number = state.count("predictions")
    if state.has("unplugged_midway") and number == 5:
        state.write("unplugged", True)
    if state.has("locked_midway") and number == 5:
        state.write("locked", True)
        state.write("app", {"ended": "when the iPhone was locked"})
    made, outputs = b"", {}
    for name in program["outputs"]:
        outputs[name] = {
            "dataType": "Float32",
            "shape": [1, 2],
            "strides": [2, 1],
            "storage": {"offset": len(made), "size": 8},
        }
        made += b"\0" * 8
    duration = int(1e6 * PREDICTIONS_MS[number % len(PREDICTIONS_MS)])
    return {"modelID": params["modelID"], "outputs": outputs, "duration": duration, "resource": "outputs.bin"}, made


def plan(state: State, params: dict[str, Any], _given: Path | None) -> tuple[dict[str, Any], bytes]:
    loaded = find(state, params)
    program = json.loads((Path(loaded["model"]) / "program.json").read_text())
    infos = [
        {
            "deviceUsage": {"preferred": device(usage[0]), "supported": [device(name) for name in usage]},
            "estimatedCost": cost,
            "path": path_of(function, name),
        }
        for function, operations in program["functions"].items()
        for (name, _), (usage, cost) in zip(operations, planned(operations, loaded["units"]), strict=True)
        if usage
    ]
    return {"modelID": params["modelID"], "infos": infos}, b""


def planned(operations: list[list[str]], units: str) -> list[tuple[list[str], float]]:
    """Returns the devices of each operation, the preferred one first, and its cost; none for constants.

    A convolution costs ten of anything else.
    """
    allowed = UNITS.get(units, ALL_UNITS)
    weights = [0.0 if kind == "const" else 10.0 if kind == "conv" else 1.0 for _, kind in operations]
    found = []
    for (_, kind), weight in zip(operations, weights, strict=True):
        devices = [name for name in allowed if name != "neuralEngine" or kind not in OFF_THE_ENGINE]
        preferred = sorted(devices, key=("neuralEngine", "cpu", "gpu").index) if kind != "const" else []
        found.append((preferred, weight / sum(weights)))
    return found


def device(name: str) -> dict[str, Any]:
    return {name: {"totalCoreCount": 16} if name == "neuralEngine" else {}}


def path_of(function: str, output: str) -> dict[str, Any]:
    block = {"programBlock": {"data": {"index": -1}}}
    names = [
        {"programFunction": {"data": {"name": function}}},
        block,
        {"programOperation": {"data": {"outputName": output}}},
    ]
    return {"components": [{"program": {}}, *names]}
