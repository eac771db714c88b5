"""Which tool runs a file."""

from collections.abc import Sequence
from pathlib import Path

from mobilevit_deploy.catalog.cards import Delegate
from mobilevit_deploy.errors import MeasurementError, UsageError
from mobilevit_deploy.measurement.phone_tools import executorch, onnx, tflite
from mobilevit_deploy.measurement.phone_tools.tool import PhoneTool

TOOLS = {tool.suffix: tool for tool in (tflite.TOOL, onnx.TOOL, executorch.TOOL)}


def choose_tools(paths: Sequence[Path], delegate: Delegate, binary: Path | None) -> list[PhoneTool]:
    """Returns the tool of each file.

    Args:
        paths: of the files.
        delegate: that each graph is given to.
        binary: one tool that the user gave; None for those of the environment.

    Raises:
        MeasurementError: nothing runs a file on a phone.
        UsageError: a tool has no such delegate, or the files are for several tools and one was given.
    """
    tools = [_tool_of(path) for path in paths]
    for tool in tools:
        if delegate not in tool.delegates:
            raise UsageError(
                f"--delegate {delegate}, which {tool.name} cannot be told to use for {tool.suffix} files",
                f"it has {', '.join(tool.delegates)}",
            )
    names = list(dict.fromkeys(tool.name for tool in tools))
    if binary is not None and len(names) > 1:
        raise UsageError(
            f"--benchmark-binary is one tool, and these files are for {' and '.join(names)}",
            "measure one kind of file at a time, or name the folder of the tools in MVD_ANDROID_TOOLS",
        )
    return tools


def _tool_of(path: Path) -> PhoneTool:
    if path.suffix not in TOOLS:
        raise MeasurementError(f"nothing runs {path} on a phone", f"phones run {', '.join(TOOLS)} files here")
    return TOOLS[path.suffix]
