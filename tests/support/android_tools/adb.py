"""The command line of adb, and a phone behind it; runs without site-packages, so that it starts fast.

``STAND_IN`` is a folder: ``modes`` names what goes wrong, ``calls.jsonl`` is the log, ``phone`` has the phone's files.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # this runs as a script

from tests.support.android_tools import printed
from tests.support.apple_tools.state import State

SERIAL, OTHER = "0A041FDD4000AB", "R5CW20ABCDE"
PROPERTIES = {
    "ro.build.id": "AP4A.250105.002",
    "ro.build.version.release": "15",
    "ro.build.version.sdk": "35",
    "ro.product.cpu.abilist": "arm64-v8a",
    "ro.product.device": "shiba",
    "ro.product.manufacturer": "Google",
    "ro.product.model": "Pixel 8",
    "ro.soc.manufacturer": "Google",
    "ro.soc.model": "Tensor G3",
}
BATTERY = "Current Battery Service state:\n  AC powered: false\n  USB powered: true\n  level: 93\n  temperature: 287\n"

GOVERNORS = "sched_pixel\nsched_pixel\nsched_pixel\n"


def main(state: State, arguments: list[str]) -> int:
    state.log(arguments)
    serial = None
    if arguments[:1] == ["-s"]:
        serial, arguments = arguments[1], arguments[2:]
    if arguments == ["devices", "-l"]:
        print(devices(state))
        return 0
    if serial not in serials(state) or gone(state):
        failed = "adb: error: failed to get feature set: " if arguments[0] == "push" else "error: "
        print(f"{failed}device '{serial}' not found", file=sys.stderr)
        return 1
    if arguments[0] == "push":
        return push(state, *arguments[1:])
    assert arguments[0] == "shell", arguments
    if state.has("pulled") and "--graph" in arguments[1]:
        state.write("runs", 9)
        print("INFO: Loaded model")
        return 0
    code, out, err = shell(state, shlex.split(arguments[1]))
    sys.stdout.write(out)
    sys.stderr.write(err)
    return code


def serials(state: State) -> list[str]:
    return [SERIAL, OTHER] if state.has("two_phones") else [] if state.has("no_phone") else [SERIAL]


def gone(state: State) -> bool:
    return (state.has("unplugged") or state.has("pulled")) and state.read("runs", 0) >= 2


def devices(state: State) -> str:
    lines = ["* daemon not running; starting now at tcp:5037", "* daemon started successfully"]
    lines.append("List of devices attached")
    facts = "usb:1-1 product:shiba model:Pixel_8 device:shiba transport_id:1"
    for mode in ("unauthorized", "offline"):
        if state.has(mode):
            return "\n".join([*lines, f"{SERIAL}         {mode} usb:1-1 transport_id:1", ""])
    if state.has("no_permissions"):
        told = "no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com]"
        return "\n".join([*lines, f"????????????           {told} usb:1-1 transport_id:1", ""])
    return "\n".join([*lines, *(f"{serial:22} device {facts}" for serial in serials(state)), ""])


def push(state: State, source: str, target: str) -> int:
    if state.has("full"):
        print(f"adb: error: failed to copy '{source}' to '{target}': remote No space left on device", file=sys.stderr)
        return 1
    shutil.copy(source, local(state, target))
    print(f"{source}: 1 file pushed, 0 skipped.")
    return 0


def local(state: State, path: str) -> Path:
    assert path.startswith("/data/local/tmp/"), path
    return state.folder / "phone" / path.lstrip("/")


def shell(state: State, command: list[str]) -> tuple[int, str, str]:
    """Runs a command as the phone's shell takes it apart; returns exit code, stdout and stderr."""
    if command == ["getprop"]:
        return 0, "\n".join(f"[{name}]: [{text}]" for name, text in properties(state).items()), ""
    if command[:2] == ["dumpsys", "thermalservice;"]:
        heat, power = (2 if state.has("hot") else 0), ("Asleep" if state.has("asleep") else "Awake")
        part = command[3].rstrip(";")
        return 0, f"Thermal Status: {heat}\n{part}\n{BATTERY}{part}\n  mWakefulness={power}\n{part}\n{GOVERNORS}", ""
    if command[0] == "mkdir":
        if state.has("no_folder"):
            return 1, "", f"mkdir: '{command[-1]}': Read-only file system\n"
        local(state, command[-1]).mkdir(parents=True)
        return 0, "", ""
    if command[:2] == ["rm", "-rf"]:
        shutil.rmtree(local(state, command[2]))
        return 0, "", ""
    if command[0] in ("chmod", "pkill", "true"):
        return 0, "", ""
    return tool(state, command)


def properties(state: State) -> dict[str, str]:
    found = dict(PROPERTIES)
    if state.has("old_android"):
        found |= {"ro.build.version.sdk": "25", "ro.build.version.release": "7.1.2"}
    if state.has("emulator"):
        found |= {"ro.boot.qemu": "1"}
    return found


def tool(state: State, command: list[str]) -> tuple[int, str, str]:
    """Plays the runtimes' own programs."""
    program = local(state, command[0])
    if program.name == "onnxruntime_perf_test":
        assert local(state, command[-1]).is_file()
        if state.has("tool_fails"):
            return 1, "", "Load model from model.onnx failed: Unsupported model IR version\n"
        text = printed.perf_test(12_000 + 10 * (state.count("runs") % 3), percentiles=not state.has("old_tool"))
        return 0, text, ""
    options = dict(item.split("=", 1) for item in command[1:])
    if program.name == "executor_runner":
        assert local(state, options["--model_path"]).is_file()
        if state.has("tool_fails"):
            return 134, "", "E 00:00:00.01 executorch:method.cpp:1] Backend XnnpackBackend is not registered.\n"
        runs, number = int(options["--num_executions"]), state.count("runs")
        return 0, "", printed.executor_runner(12_000 + 10 * (number % 3), runs, single=not state.has("old_tool"))
    assert program.name == "benchmark_model"
    assert local(state, options["--graph"]).is_file()
    number = state.count("runs")
    if state.has("tool_fails"):
        return 1, "INFO: Loaded model\n", "ERROR: Op builtin_code out of range: 209. Are you using old TFLite binary?\n"
    if state.has("killed"):
        return 137, "", "Killed\n"
    if state.has("silent"):
        return 0, "usage: benchmark_model\n", ""
    times: list[int] = state.read("times", [12_000, 12_010, 11_990])
    delegate = ""
    if "--use_gpu" in options:
        delegate = printed.applied("GPU", 7 if state.has("gpu_part") else 0 if state.has("gpu_nothing") else None)
    old = state.has("old_tool")
    if state.has("other_tool"):  # of LiteRT's newer interface, which knows other flags
        return 0, f"WARN: Unconsumed cmdline flags: --use_nnapi=true\n{printed.run(12_000)}", ""
    if state.has("silent_tool"):
        delegate = ""
    text = printed.run(
        times[number % len(times)], percentiles=not old, prefix="" if old else "INFO: ", delegate=delegate
    )
    if "--enable_op_profiling" in options:
        text += printed.profile([tuple(row) for row in state.read("profile", [])])
    return 0, text, ""


if __name__ == "__main__":
    sys.exit(main(State(Path(os.environ["STAND_IN"])), sys.argv[1:]))
