"""Which files go to a phone's tools."""

from mobilevit_deploy.cli.artifacts import ANDROID_FILES
from mobilevit_deploy.measurement.phone_tools.choose import TOOLS


def test_the_command_line_knows_the_files_of_every_tool() -> None:
    assert set(ANDROID_FILES) == set(TOOLS), "the command line imports no tool to look at a name"
