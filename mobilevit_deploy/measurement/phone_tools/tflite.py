"""``benchmark_model``, for ``.tflite`` files; see ``measurement/benchmark_model``."""

from mobilevit_deploy.measurement.benchmark_model.arguments import DELEGATES, measuring
from mobilevit_deploy.measurement.benchmark_model.binary import NAME
from mobilevit_deploy.measurement.benchmark_model.output import read_run
from mobilevit_deploy.measurement.benchmark_model.run import SUFFIX, check_file
from mobilevit_deploy.measurement.phone_tools.tool import Asked, PhoneTool


def arguments(asked: Asked) -> list[str]:
    """Returns the arguments of a process."""
    return measuring(asked.graph, asked.threads, asked.delegate, asked.seconds)


TOOL = PhoneTool(
    NAME,
    SUFFIX,
    "one run of the interpreter on random values",
    tuple(DELEGATES),
    arguments,
    read_run,
    check_file,
)
