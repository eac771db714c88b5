"""The program as a process: what it imports, and what an interruption leaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import psutil
import pytest
import typer.main

from mobilevit_deploy.cli.app import COMMANDS, app
from mobilevit_deploy.pipeline import prepare
from mobilevit_deploy.targets.onnx import convert as onnx_target
from tests.conftest import RESEARCH
from tests.support.forks import Forks

HEAVY = ("torch", "coremltools", "onnxruntime", "onnx", "onnxsim", "numpy", "scipy")


def imported_by(*commands: Sequence[str]) -> tuple[set[str], str]:
    """Returns the packages that a process has imported after command lines, and what it said."""
    code = (
        "import sys\nfrom mobilevit_deploy.cli.app import app\n"
        f"for command in {list(map(list, commands))!r}:\n"
        "    try:\n        app(command)\n"
        "    except SystemExit as end:\n        print('exit', end.code, file=sys.stderr)\n"
        "print('imported', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()), done.stderr


def test_help_imports_nothing_heavy() -> None:
    assert not {*HEAVY, "pydantic"} & imported_by(["--help"])[0]
    commands = [[command, "--help"] for command in ("export", "latency", "compare")]
    assert not set(HEAVY) & imported_by(*commands)[0]  # typer itself asks for pydantic there


def test_listing_models_does_not_import_the_converters() -> None:
    assert not {"torch", "coremltools", "onnxruntime", "onnx"} & imported_by(["list"])[0]


def test_a_file_is_read_without_what_captures_and_converts(tmp_path: Path) -> None:
    """SymPy comes with Dynamo, which takes as long as PyTorch itself; onnxscript is what writes ONNX files."""
    image, output = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("image", "output")
    )
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["image"], ["output"])], "net", [image], [output])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), tmp_path / "net.onnx")
    imported, said = imported_by(["inspect", str(tmp_path / "net.onnx")], ["snippet", str(tmp_path / "net.onnx")])
    assert "onnx" in imported, said
    assert not {"sympy", "onnxscript", "coremltools"} & imported


TAKE_A_CHECKPOINT = (
    ["export", "cas_vit_xs", "--to", "onnx"],
    ["quantize", "cas_vit_xs"],
    ["tune", "cas_vit_xs", "--to", "onnx"],
    ["verify", "a.onnx"],
    ["predict", "a.onnx", "a.png"],
)


def test_what_is_no_checkpoint_is_refused_before_anything_is_imported(tmp_path: Path) -> None:
    """By its name and its first bytes, for every command that takes one."""
    (tmp_path / "a.h5").write_bytes(b"weights")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html>")
    wrong = {
        "there is no checkpoint file": tmp_path / "missing.pth",
        "is a folder and no checkpoint file": tmp_path,
        "--checkpoint names no file": "",
        "a checkpoint ends in": tmp_path / "a.h5",
        "is a web page, and no checkpoint": tmp_path / "page.pth",
    }
    commands = [
        [*command, "--checkpoint", str(path)] for command in TAKE_A_CHECKPOINT for path in [*wrong.values(), "."]
    ]
    imported, errors = imported_by(*commands)
    assert not set(HEAVY) & imported
    assert errors.count("exit 1\n") == len(commands)
    assert all(errors.count(said) >= len(TAKE_A_CHECKPOINT) for said in wrong)


def test_what_was_typed_wrong_is_refused_before_anything_is_imported() -> None:
    export = ["export", "cas_vit_xs"]
    tasks = ("detect", "segment", "instances")
    detect, segment, instances = ([*export, "--to", "onnx", "--task", task] for task in tasks)
    wrong = {
        "did you mean 'cas_vit_xs'?": ["export", "cas_vit_x"],
        "did you mean coreml?": [*export, "--to", "onnx,coremll"],
        "there is no recipe named 'fast'": [*export, "--recipe", "fast"],
        "opset 13 is outside": [*export, "--opset", "13"],
        "iOS 14 is outside": [*export, "--to", "coreml", "--min-ios", "14"],
        "recipe onnx writes fp32": [*export, "--precision", "w8"],
        "--calibrate is for int8": [*export, "--to", "onnx", "--calibrate", "structured"],
        "--sensitivity is for int8": [*export, "--to", "onnx", "--sensitivity"],
        "int8 chooses its ranges by images": [*export, "--to", "onnx", "--precision", "int8"],
        "invalid value for '--precision': 'half' is not": [*export, "--precision", "half"],
        "takes sides divisible by 32": [*export, "--input-size", "10"],
        "--score-threshold 1.5 must be less than 1": [*detect, "--score-threshold", "1.5"],
        "--output nms with a batch of 2": [*detect, "--batch", "2"],
        "--iou-threshold is for boxes, and --task segment has none": [*segment, "--iou-threshold", "0.4"],
        "--images with --task segment, and nothing to compare with": [*segment, "--images", "."],
        "masks are the segmentation of its annotations": [*instances, "--images", ".", "--masks", "."],
        "--max-loss is of accuracy": ["tune", "cas_vit_xs", "--to", "onnx", "--max-loss", "1"],
        "iphone_15 is no Android phone": ["tune", "cas_vit_xs", "--to", "onnx", "--device", "iphone_15"],
    }
    imported, errors = imported_by(*wrong.values())
    assert not set(HEAVY) & imported
    assert errors.count("exit 2\n") == len(wrong)
    told = " ".join(errors.lower().replace("│", " ").split())
    assert [said for said in wrong if said.lower() not in told] == []


def test_a_slip_in_a_file_of_exports_is_told_before_anything_is_imported(tmp_path: Path) -> None:
    (tmp_path / "check.toml").write_text('[[check]]\nmodel = "cas_vit_xs"\nto = "onnx"\nlimits = { max_bites = 3 }\n')
    (tmp_path / "sweep.toml").write_text('[matrix]\nmodels = ["cas_vit_x"]\ntargets = ["onnx"]\n')
    commands = (["check", str(tmp_path / "check.toml")], ["sweep", str(tmp_path / "sweep.toml")])
    imported, errors = imported_by(*commands)
    assert not set(HEAVY) & imported
    assert errors.count("exit 1\n") == len(commands), errors
    assert "did you mean max_bytes?" in errors
    assert "did you mean 'cas_vit_xs'?" in errors


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m mobilevit_deploy export --help | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_help_is_a_command(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    program, called, *arguments = command.epilog.splitlines()[-1].split()
    assert (program, called) == ("mvd", name)
    command.make_context(name, arguments, resilient_parsing=True)  # raises for an option that there is not
    given = [argument for argument in arguments if argument.startswith("-")]
    assert set(given) <= {option for item in command.params for option in item.opts}


def test_every_command_that_takes_a_checkpoint_is_known() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    found = {name for name, command in commands.items() if any(item.name == "checkpoint" for item in command.params)}
    assert found == {command[0] for command in TAKE_A_CHECKPOINT}


def workers_of(folder: Path) -> list[str]:
    """Returns the command lines of processes that still run in a folder."""
    running = psutil.process_iter(["cwd", "cmdline"])
    return [" ".join(process.info["cmdline"] or []) for process in running if process.info["cwd"] == str(folder)]


def stop_where_it_captures(_: Path) -> None:
    """Makes this process, a fork, stop in the middle of a capture, until it is sent on."""
    stop_in(prepare, "capture")


def stop_where_it_converts(_: Path) -> None:
    """The same in the middle of a conversion."""
    stop_in(onnx_target, "_export")


def stop_in(module: ModuleType, name: str) -> None:
    original = getattr(module, name)

    def stopping(*given: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGSTOP)
        return original(*given, **named)

    setattr(module, name, stopping)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", ["captures", "converts"])
def test_an_interruption_leaves_nothing(forks: Forks, here: Path, log: Path, sent: signal.Signals, stage: str) -> None:
    net = f"{RESEARCH / 'tiny_net.py'}:build"
    arguments = ("export", net, "--to", "onnx", "--input-size", 8)
    run = forks.start(arguments, here, log, f"tests.cli.test_process:stop_where_it_{stage}")
    end = time.monotonic() + 60
    while psutil.Process(run.pid).status() != psutil.STATUS_STOPPED and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(run.pid, sent)
    os.kill(run.pid, signal.SIGCONT)
    done = forks.wait(run)
    assert done.code == 130, done.errors
    assert done.output == ""
    assert "interrupted; nothing unfinished was left behind" in done.errors
    assert list(here.iterdir()) == []
    assert workers_of(here) == []


@pytest.mark.parametrize(
    ("moment", "code", "said"),
    [
        ("app.typer.main.get_group", 130, "mvd: interrupted"),  # before a command begins
        ("app.list.console.print_result", 130, "mvd: interrupted"),
        ("app.gc.freeze", 0, ""),  # the work is done: that is what the exit code says
    ],
)
@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_an_interruption_has_its_exit_code_at_any_moment(sent: str, moment: str, code: int, said: str) -> None:
    program = f"""
import os, signal, sys
from mobilevit_deploy.cli import app

def interrupt(*arguments):
    os.kill(os.getpid(), signal.{sent})
    return original(*arguments)

original, {moment} = {moment}, interrupt
sys.argv = ["mvd", "list"]
app.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[: len(said)]) == (code, said), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "lost",
    [
        "weakref.finalize(Held(), interrupt)",  # Python prints what is raised there, and goes on
        "pass_over(interrupt); console.begin('the next stage')",  # a library's `except:`
    ],
)
def test_an_interruption_that_a_library_loses_is_raised_again(lost: str) -> None:
    program = f"""
import contextlib, os, signal, sys, time, weakref
from mobilevit_deploy.cli import app, console

class Held: ...

def interrupt():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)

def pass_over(call):
    with contextlib.suppress(BaseException):
        call()

def lose(*arguments):
    with console.progress() as console.begin:
        {lost}
        time.sleep(20)

app.list.console.print_result = lose
sys.argv = ["mvd", "list"]
app.main()
"""
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, "mvd: interrupted" in done.stderr) == (130, True), done.stderr
    assert time.monotonic() - begin < 15
