"""The reference of the command line: one page a command, from the commands themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import typer

from mobilevit_deploy.cli.app import app
from tools.docs.markdown import code, table

FOLDER = "reference/commands"

# Where each command is explained with examples.
EXPLAINED = {
    "demo": ("The first three minutes", "../../start/demo.md"),
    "list": ("How to choose a model", "../../how-to/export.md#which-models-there-are"),
    "show": ("How to choose a model", "../../how-to/export.md#which-models-there-are"),
    "export": ("How to choose the options of an export", "../../how-to/export.md"),
    "inspect": ("How to see what a target will dislike", "../../how-to/inspect.md"),
    "verify": ("How to tell whether a file is right", "../../how-to/verify.md"),
    "predict": ("How to look at what a file says of your pictures", "../../how-to/predict.md"),
    "snippet": ("How to run a file in an app", "../../how-to/snippet.md"),
    "latency": ("How to measure latency", "../../how-to/latency.md"),
    "quantize": ("How to export int8", "../../how-to/quantize.md"),
    "profile": ("How to see where the time goes", "../../how-to/profile.md"),
    "tune": ("How to find the fastest recipe", "../../how-to/tune.md"),
    "compare": ("How to compare artifacts", "../../how-to/compare.md"),
    "check": ("How to hold exports to limits in CI", "../../how-to/ci.md"),
    "sweep": ("How to export many models, on one machine or many", "../../how-to/sweep.md"),
    "report": ("How to make one page of everything", "../../how-to/report.md"),
    "devices": ("How to measure on a phone", "../../how-to/android.md"),
    "doctor": ("The first export", "../../start/first-export.md"),
}
# The schema of what ``--json`` prints, where it is not named like the command.
SCHEMAS = {"quantize": "export"}


@dataclass(frozen=True)
class Parameter:
    """An option or argument, as its page shows it.

    Attributes:
        names: as they are typed; of an argument its placeholder.
        value: what follows it; empty for a switch.
        default: empty where there is none.
        help: as ``--help`` has it.
    """

    names: str
    value: str
    default: str
    help: str
    is_option: bool
    required: bool


def commands() -> dict[str, Any]:
    """Returns the commands of ``mvd`` by their names, in the order of ``mvd --help``."""
    found: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    return found


def parameters(command: Any) -> Iterator[Parameter]:
    """Yields a command's arguments and options in the order of its help."""
    for given in command.params:
        is_option = given.param_type_name == "option"
        names = ", ".join(given.opts) if is_option else given.metavar
        value = (given.metavar or "") if is_option else ""
        yield Parameter(names, value, _default(given), given.help or "", is_option, given.required)


def _default(given: Any) -> str:
    default = given.default
    if default is None or isinstance(default, bool | list | tuple):
        return ""
    return str(default.value if isinstance(default, Enum) else default)


def page(name: str) -> str:
    """Returns the page of one command."""
    command = commands()[name]
    found = list(parameters(command))
    arguments = [item for item in found if not item.is_option]
    options = [item for item in found if item.is_option]
    usage = " ".join([f"mvd {name}", *(item.names for item in arguments), "[OPTIONS]"])
    title, link = EXPLAINED[name]
    schema = SCHEMAS.get(name, name)
    parts = [f"# mvd {name}\n", f"{_sentence(command.help)}\n", f"```text\n{usage}\n```\n"]
    if arguments:
        rows = [(code(item.names), f"{_needed(item)}{item.help}", code(item.default)) for item in arguments]
        parts += ["## Arguments\n", table(("argument", "meaning", "default"), rows)]
    rows = [
        (code(f"{item.names} {item.value}".strip()), f"{_needed(item)}{item.help}", code(item.default))
        for item in options
    ]
    rows.append((code("-h, --help"), "Show the help and exit.", ""))
    parts += ["## Options\n", table(("option", "meaning", "default"), rows)]
    parts += [
        "## See also\n",
        f"- [{title}]({link})",
        f"- [The JSON that `--json` prints](../../schemas/{schema}.json)",
        "- [Exit codes](../exit-codes.md)\n",
    ]
    return "\n".join(parts)


def _sentence(text: str) -> str:
    return " ".join(text.split())


def _needed(item: Parameter) -> str:
    return "Required. " if item.required else ""


def index() -> str:
    """Returns the page that lists the commands."""
    rows = [(f"[`mvd {name}`]({name}.md)", _sentence(command.help)) for name, command in commands().items()]
    text = (
        "# Commands\n\nEvery page here is written from the command line itself when the site is built, so that it "
        "says what `--help` says.\n\n"
    )
    shared = (
        "\nBeside these, `mvd --version` shows the version, and `mvd COMMAND --help` the options of a command. "
        "stdout carries the result and stderr the progress; [exit codes](../exit-codes.md) say how a command ended.\n"
    )
    return text + table(("command", "what it does"), rows) + shared


def pages() -> dict[str, str]:
    """Returns every page of the commands by its path in the documentation."""
    return {f"{FOLDER}/index.md": index(), **{f"{FOLDER}/{name}.md": page(name) for name in commands()}}
