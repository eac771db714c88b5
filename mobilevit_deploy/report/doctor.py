"""What this machine can do, as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.report.table import make_table

if TYPE_CHECKING:
    from mobilevit_deploy.targets.doctor import Diagnosis


def diagnosis_table(diagnosis: Diagnosis) -> RenderableType:
    """Returns versions and abilities."""
    versions = make_table("package", "version")
    for name, version in diagnosis.versions.items():
        versions.add_row(name, version or Text("not installed", style="yellow"))
    abilities = make_table("", "here", "why")
    for ability in diagnosis.abilities:
        abilities.add_row(ability.name, Text("yes", "green") if ability.works else Text("no", "yellow"), ability.detail)
    return Group(versions, abilities)
