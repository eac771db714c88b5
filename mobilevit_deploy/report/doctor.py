"""What this machine can do, as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.report.layout import ResultTable

if TYPE_CHECKING:
    from mobilevit_deploy.targets.doctor import Diagnosis


def diagnosis_table(diagnosis: Diagnosis) -> RenderableType:
    """Returns the machine, versions, abilities and what is broken, each with the command that mends it."""
    machine = diagnosis.machine
    features = "not told by the system" if machine.features is None else ", ".join(machine.features) or "none of note"
    free = [("this folder", machine.disk_free), ("temporary files", machine.temporary_free)]
    known = ", ".join(f"{_gb(size)} in {where}" for where, size in free if size is not None)
    facts = {
        "system": f"{machine.system}, {machine.architecture}",
        "processor": f"{machine.processor}, {machine.cores} cores: {features}",
        "memory": f"{_gb(machine.memory)}, {_gb(machine.memory_available)} available",
        "disk": f"free: {known or 'not known'}",
    }
    lines = [Text(f"{name}: {text}") for name, text in facts.items()]
    versions = ResultTable("package", "version")
    for name, version in diagnosis.versions.items():
        versions.add_row(name, version or Text("not installed", style="yellow"))
    abilities = ResultTable("", "here", "why")
    for ability in diagnosis.abilities:
        abilities.add_row(ability.name, Text("yes", "green") if ability.works else Text("no", "yellow"), ability.detail)
    commands = [(ability.name, ability.command) for ability in diagnosis.abilities if ability.command]
    mend = [line for name, command in commands for line in (Text(f"to {name}:"), Text(f"  {command}"))]
    broken = [
        line
        for item in diagnosis.breaks
        for line in (Text(f"{item.name}: {item.detail}", style="red"), Text(f"  {item.command}"))
    ]
    verdict = [] if broken else [Text("nothing that mvd knows of is broken", style="green")]
    return Group(*lines, Text(""), versions, abilities, *mend, *broken, *verdict)


def _gb(size: int) -> str:
    return f"{size / 2**30:.1f} GB"
