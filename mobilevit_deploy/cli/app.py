"""The ``mvd`` program: its commands, and the one place where an error becomes a message and an exit code."""

import atexit
import gc
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from mobilevit_deploy.catalog.target_names import TARGETS
from mobilevit_deploy.cli import (
    check,
    compare,
    demo,
    devices,
    doctor,
    export,
    inspect,
    interruption,
    latency,
    list,
    predict,
    profile,
    quantize,
    report,
    snippet,
    sweep,
    tune,
    verify,
)
from mobilevit_deploy.cli import show as show_card
from mobilevit_deploy.cli.output import Command, with_output_options
from mobilevit_deploy.errors import MvdError, environment_fault, show
from mobilevit_deploy.loading.checkpoint_files import SUFFIXES
from mobilevit_deploy.system import temporary
from mobilevit_deploy.system.version import __version__

BUG = 4
EXTRA = re.compile(r"^Got unexpected extra argument(?:\(s\)|s)? \((.*)\)$", re.DOTALL)
PYDANTIC = "Value error, "  # what typer puts before a message, from the library that reads its options


class Commands(TyperGroup):
    """Turns what a command raises into a message on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MvdError as error:
            if interruption.received():
                _fail(interruption.MESSAGE, None, interruption.INTERRUPTED)
            _fail(error.message, error.hint, error.exit_code)
        except KeyboardInterrupt:
            _fail(interruption.MESSAGE, None, interruption.INTERRUPTED)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if type(error).__module__.startswith(("typer", "click")):
                if hasattr(error, "message"):
                    message = str(error.message).replace(PYDANTIC, "").replace("Input should", "it should")
                    extra = EXTRA.match(message)
                    error.message = _tell_extra(extra[1], error) if extra else message
                raise  # a usage error, which typer itself prints, with exit code 2
            if isinstance(error, BrokenPipeError):
                raise
            if interruption.received():
                _fail(interruption.MESSAGE, None, interruption.INTERRUPTED)
            if fault := environment_fault(error):
                where = f": {fault.filename}" if fault.filename else ""
                _fail(f"the system refused{where}: {fault.strerror}", None, MvdError.exit_code)
            kept = _keep_traceback()
            _fail(
                f"a bug in mvd: {type(error).__name__}: {error}",
                f"please report it with the traceback, which is in {kept}",
                BUG,
            )
        finally:
            interruption.ignore()


def _tell_extra(given: str, error: Any) -> str:
    """Returns what to say of an argument that a command does not take, with the option that it may be the value of."""
    options = {name for known in error.ctx.command.params for name in known.opts}
    first = given.partition(" ")[0]
    if first in TARGETS and "--to" in options:
        meant = "several targets have commas between them, as in --to onnx,coreml"
    elif Path(first).suffix in SUFFIXES and "--checkpoint" in options:
        meant = f"did you mean --checkpoint {first}?"
    else:
        meant = "names of options begin with --, and a text with blanks stands in quotes"
    return f"mvd {error.ctx.command.name} takes no further argument {given!r}: {meant}"


def _fail(message: str, hint: str | None, exit_code: int) -> None:
    interruption.ignore()
    typer.secho(show(f"mvd: {message}"), fg=typer.colors.RED, err=True)
    if hint:
        typer.secho(show(f"     {hint}"), err=True)
    if os.environ.get("MVD_DEBUG") == "1":
        typer.echo(traceback.format_exc(), err=True)
    raise typer.Exit(exit_code)


def _keep_traceback() -> str:
    folder = temporary.parent()
    with tempfile.NamedTemporaryFile("w", prefix="mvd-traceback-", suffix=".txt", delete=False, dir=folder) as file:
        file.write(traceback.format_exc())
    return file.name


app = typer.Typer(
    cls=Commands,
    name="mvd",
    help="Takes a trained lightweight vision transformer to a phone: export, verify, measure.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # whose boxes break words, and fill a pipe with blanks
    context_settings={"help_option_names": ["-h", "--help"]},
)

# By command: what runs it, and an example that stands below its options.
COMMANDS: Mapping[str, tuple[Callable[..., None], str]] = {
    "demo": (demo.demo, ""),
    "list": (list.list_models, ""),
    "show": (show_card.show, "cas_vit_xs"),
    "export": (export.export, "cas_vit_xs --checkpoint checkpoint_best.pth --to onnx,coreml"),
    "inspect": (inspect.inspect, "cas_vit_xs --to coreml"),
    "verify": (verify.verify, "artifacts/cas_vit_xs-224x224-fp32.onnx --locate"),
    "predict": (predict.predict, "artifacts/cas_vit_xs-224x224-fp32.onnx picture.jpg"),
    "snippet": (snippet.snippet, "artifacts/cas_vit_xs-224x224-fp16.mlpackage --lang swift"),
    "latency": (latency.latency, "artifacts/cas_vit_xs-224x224-fp32.onnx --threads 1"),
    "quantize": (quantize.quantize, "cas_vit_xs --checkpoint checkpoint_best.pth --calibrate images"),
    "profile": (profile.profile, "artifacts/cas_vit_xs-224x224-fp32.onnx --threads 1"),
    "compare": (compare.compare, "before.onnx after.onnx --threads 1"),
    "tune": (tune.tune, "cas_vit_xs --to onnx --threads 1 --budget 10m"),
    "check": (check.check, "checks.toml"),
    "sweep": (sweep.sweep, "sweep.toml --jobs 2"),
    "report": (report.report, "artifacts"),
    "devices": (devices.devices, "--json"),
    "doctor": (doctor.doctor, ""),
}
for _name, (_command, _example) in COMMANDS.items():
    app.command(
        _name,
        cls=Command,
        short_help=_command.__doc__,  # which would be cut off if it were taken from there
        epilog=f"\b\nExample:\n  mvd {_name} {_example}".rstrip(),
    )(with_output_options(_command))


def _version(value: bool) -> None:
    if value:
        typer.echo(f"mvd {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    pass


def main() -> None:
    """Runs the program."""
    interruption.install()
    # OpenMP threads that spin while they wait made an export of 8 s take 32 s on a machine that was busy otherwise.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # torch.export makes millions of small objects that live to the end: collecting less often takes 1.5 s of 15 off
    # an export (cas_vit_m, 3 % more memory), and not collecting them at exit takes another 1.5 s off.
    gc.set_threshold(50_000, 20, 100)
    try:
        temporary.use_own_folder()
        app()
    except SystemExit as end:
        if end.code == interruption.INTERRUPTED:
            _exit_at_once(interruption.INTERRUPTED)
        if isinstance(end.__context__, BrokenPipeError):  # as of `mvd --help | head`: the reader has what it wanted
            raise SystemExit(0) from None
        raise
    except KeyboardInterrupt:  # before the command began, or as it ended
        interruption.ignore()
        typer.secho(f"mvd: {interruption.MESSAGE}", fg=typer.colors.RED, err=True)
        _exit_at_once(interruption.INTERRUPTED)
    finally:
        gc.freeze()


def _exit_at_once(exit_code: int) -> None:
    """Ends the process with a code of our choice.

    When an interruption passes through ``exec()``, as it does inside torch, CPython 3.11 remembers it and ends the
    process by SIGINT in place of the exit code, although it was caught.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
