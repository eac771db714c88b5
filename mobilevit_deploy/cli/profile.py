"""``mvd profile``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import (
    BenchmarkBinary,
    Delegate,
    Device,
    Json,
    LoadLimit,
    Team,
    check_artifact,
    one_device,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mobilevit_deploy.cli.latency_coreml import PhoneOptions

DEFAULT_SECONDS, DEFAULT_DEPTH = 3.0, 2


def profile(
    artifact: Annotated[
        Path,
        typer.Argument(metavar="ARTIFACT", callback=check_artifact, help="An .onnx, .mlpackage or .tflite file."),
    ],
    threads: Annotated[int | None, typer.Option(min=1, help="Default: as many as there are cores.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Time to measure, after the warm-up; 100 runs at most. Default: 3.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=0, help="How far down the tree of modules is shown. Default: 2.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the runs as a Chrome trace, for ui.perfetto.dev.")
    ] = None,
    device: Device = None,
    compute_units: Annotated[
        str | None,
        typer.Option(metavar="all|cpu|cpu+gpu|cpu+ne", help="What Core ML may use for the .mlpackage. Default: all."),
    ] = None,
    require_ne: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="Exit with 3 when less of the cost is planned for the Neural Engine."
        ),
    ] = None,
    team: Team = None,
    load_limit: LoadLimit = None,
    delegate: Delegate = None,
    benchmark_binary: BenchmarkBinary = None,
    json: Json = False,
) -> None:
    """Show where the time goes: measured by module and op for ONNX and .tflite, planned for an .mlpackage."""
    if trace and (trace.is_dir() or trace.suffix in (".onnx", ".mlpackage", ".tflite") or trace == artifact):
        raise typer.BadParameter(f"--trace would write over {trace}: give it a name that ends in .json")
    place, planned = one_device(device), artifact.suffix == ".mlpackage"
    of_measuring = {"--threads": threads, "--seconds": seconds, "--depth": depth, "--trace": trace}
    of_planning = {
        "--compute-units": compute_units,
        "--require-ne": require_ne,
        "--team": team,
        "--load-limit": load_limit,
    }
    of_the_tool = {"--delegate": delegate, "--benchmark-binary": benchmark_binary}
    if artifact.suffix == ".tflite":
        from mobilevit_deploy.cli.profile_tflite import profile_file

        _refuse_options(artifact, of_planning, "an .mlpackage")
        _refuse_options(artifact, {"--trace": trace}, "an .onnx file")
        levels = DEFAULT_DEPTH if depth is None else depth
        profile_file(artifact, device, benchmark_binary, threads, delegate, seconds or DEFAULT_SECONDS, levels, json)
        return
    _refuse_options(artifact, of_the_tool, "a .tflite file")
    if planned:
        _refuse_options(artifact, of_measuring, "an .onnx file")
    else:
        _refuse_options(artifact, {"--device": device, **of_planning}, "an .mlpackage")
    if planned:
        from mobilevit_deploy.cli.latency_coreml import PhoneOptions

        _plan(artifact, PhoneOptions(place, (compute_units or "all",), team, load_limit), require_ne, json)
        return
    with console.progress() as progress:
        from mobilevit_deploy.measurement.profiling import ProfileRequest, profile_artifact
        from mobilevit_deploy.measurement.profiling.document import profile_document
        from mobilevit_deploy.measurement.profiling.trace import write_trace
        from mobilevit_deploy.report.profiling import profile_table

        report = profile_artifact(
            ProfileRequest(artifact, threads, DEFAULT_SECONDS if seconds is None else seconds), progress
        )
        if trace:
            write_trace(report.trace, trace)
    levels = DEFAULT_DEPTH if depth is None else depth
    for warning in report.warnings:
        console.warn(f"{artifact.name}: {warning}")
    if json:
        console.print_json(profile_document(report, levels))
    else:
        console.print_result(profile_table(report, levels))


def _refuse_options(artifact: Path, options: "Mapping[str, object]", kind: str) -> None:
    """Raises UsageError for an option that would be ignored."""
    from mobilevit_deploy.errors import UsageError

    if given := [name for name, value in options.items() if value is not None and value != []]:
        raise UsageError(f"{given[0]} is for {kind}, and {artifact.name} is none", "leave it out")


def _plan(artifact: Path, options: "PhoneOptions", share: float | None, json: bool) -> None:
    """Shows Core ML's compute plan of a package, and holds it to a share of the Neural Engine."""
    with console.progress() as progress:
        from mobilevit_deploy.apple.attached import OLDEST_IOS_FOR_PLAN
        from mobilevit_deploy.apple.compute_units import read_compute_units
        from mobilevit_deploy.apple.open import open_place
        from mobilevit_deploy.errors import UsageError

        units = read_compute_units(options.compute_units)
        if len(units) != 1:
            raise UsageError("a plan is of one choice of compute units", "give all, cpu, cpu+gpu or cpu+ne")
        limit_s = options.load_limit_s
        place = open_place(options.device, options.team, limit_s, progress, OLDEST_IOS_FOR_PLAN, [artifact])
        from mobilevit_deploy.apple.compute_plan import plan_package
        from mobilevit_deploy.apple.document import plan_document
        from mobilevit_deploy.report.coreml import plan_table

        report = plan_package(artifact, units[0], place, progress)
    if json:
        console.print_json(plan_document(report))
    else:
        console.print_result(plan_table(report))
    if share is not None:
        report.require(share)
