"""The program as a process: what it imports, and what an interruption leaves."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

HEAVY = ("torch", "coremltools", "onnxruntime", "onnx", "onnxsim", "numpy", "scipy")


def imported_by(*arguments: str) -> set[str]:
    code = (
        "import sys\nfrom mobilevit_deploy.cli.app import app\n"
        f"try:\n    app({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        "print('imported', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy() -> None:
    assert not {*HEAVY, "pydantic"} & imported_by("--help")
    for command in ("export", "latency", "compare"):
        assert not set(HEAVY) & imported_by(command, "--help")  # typer itself asks for pydantic there


def test_listing_models_does_not_import_the_converters() -> None:
    assert not {"torch", "coremltools", "onnxruntime", "onnx"} & imported_by("list")


def workers_of(folder: Path) -> list[str]:
    """Returns the command lines of processes that still run in a folder."""
    running = psutil.process_iter(["cwd", "cmdline"])
    return [" ".join(process.info["cmdline"] or []) for process in running if process.info["cwd"] == str(folder)]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", ["capturing the graph", "converting"])
def test_an_interruption_leaves_nothing(tmp_path: Path, sent: signal.Signals, stage: str) -> None:
    command = [sys.executable, "-m", "mobilevit_deploy", "export", "cas_vit_xs", "--to", "onnx", "--input-size", "64"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if stage in line:
                break
        time.sleep(0.5)
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "interrupted; nothing unfinished was left behind" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
    assert workers_of(tmp_path) == []


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
