"""``mvd latency``."""

from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.artifacts import ANDROID, backend_of, find_artifacts, print_latencies, store
from mobilevit_deploy.cli.options import (
    BenchmarkBinary,
    Delegate,
    Device,
    Json,
    LoadLimit,
    Out,
    Team,
    one_device,
    parse_size,
)
from mobilevit_deploy.system.publish import DEFAULT_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping


def latency(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL|ARTIFACT",
            help="Files, or models (exported if need be). Default: every artifact in the output folder.",
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What runs the artifacts: onnxruntime, executorch, litert, coreml or android. Default: what the files "
            "are for, android with an Android phone as --device; ONNX Runtime for a model.",
        ),
    ] = None,
    input_size: Annotated[
        str | None,
        typer.Option(
            metavar="N|HxW", help="Of the files in the folder, those for images of this size; a model's, when exported."
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Default: as many as there are cores, on an Android phone 4.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images per run; a model is exported with it. Default: the file's, or 1.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Limit of an artifact's runs, beside the start of six processes; less when the median is known to "
            "2 %. Default: 20, on an Android phone 60, on an iPhone 120.",
        ),
    ] = None,
    provider: Annotated[str, typer.Option(metavar="NAME", help="Of ONNX Runtime, such as cpu.")] = "cpu",
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Session configuration entry; with the prefix `provider.` an option of the provider; repeatable.",
        ),
    ] = None,
    huge_pages: Annotated[bool, typer.Option("--huge-pages", help="Let malloc ask for huge pages (Linux).")] = False,
    recommended: Annotated[
        bool,
        typer.Option(
            "--recommended",
            help="Use what was found to help: the session's entries that mvd tune noted in a file, and huge pages.",
        ),
    ] = False,
    pin: Annotated[
        str, typer.Option(metavar="auto|none|CORES", help="auto: the least busy of the fastest cores; 0,2 or 0-3.")
    ] = "auto",
    device: Device = None,
    compute_units: Annotated[
        list[str] | None,
        typer.Option(
            metavar="all|cpu|cpu+gpu|cpu+ne|each", help="What Core ML may use; repeatable. Default: all, as in apps."
        ),
    ] = None,
    team: Team = None,
    load_limit: LoadLimit = None,
    delegate: Delegate = None,
    benchmark_binary: BenchmarkBinary = None,
    out: Out = DEFAULT_FOLDER,
    json: Json = False,
) -> None:
    """Measure latency: in fresh processes on this machine, or on an attached phone; Core ML on this Mac too."""
    from mobilevit_deploy.catalog.formats import format_of, target_run_by
    from mobilevit_deploy.errors import MeasurementError

    backend = backend or backend_of(models or (), device)
    size = parse_size(input_size)
    own_options = {"--provider": provider != "cpu", "--option": option}
    here_options = {
        "--threads": threads,
        "--huge-pages": huge_pages,
        "--pin": pin != "auto",
        "--recommended": recommended,
    }
    phone_options = {"--compute-units": compute_units, "--team": team, "--load-limit": load_limit}
    android_options = {"--delegate": delegate, "--benchmark-binary": benchmark_binary}
    if backend == ANDROID:
        from mobilevit_deploy.cli.latency_android import measure_files

        _refuse_options(
            backend,
            {**own_options, **here_options, **phone_options, "--threads": None, "--batch": batch, "--input-size": size},
        )
        measure_files(models or [], device, benchmark_binary, threads, delegate, seconds, json)
        return
    place, target = one_device(device), target_run_by(backend)
    known = format_of(target)
    _refuse_options(backend, android_options)
    _refuse_options(backend, {name: given for name, given in own_options.items() if name[2:] not in known.settings})
    _refuse_options(backend, phone_options if known.worker else here_options)
    if not known.worker and known.no_latency and target != "coreml":
        raise MeasurementError(
            f"{known.title} has no latency here: {known.no_latency}", "mvd compare has size and drift"
        )
    if not known.worker:
        from mobilevit_deploy.cli.latency_coreml import PhoneOptions, measure_packages

        phone = PhoneOptions(place, tuple(compute_units or ()), team, load_limit)
        measure_packages(models or [], out, batch, size, seconds, phone, json)
        return
    with console.progress() as progress:
        from mobilevit_deploy.measurement.latency.document import latency_document
        from mobilevit_deploy.measurement.latency.measure import SECONDS, LatencyRequest, check_backend, measure_latency
        from mobilevit_deploy.measurement.latency.settings import read_settings
        from mobilevit_deploy.report.latency import latency_table

        check_backend(backend, place)
        if known.settings:
            read_settings(provider, option or (), huge_pages)  # what cannot be is refused before anything is exported
        artifacts = find_artifacts(models or [], out, batch, target, progress, size)
        limit = SECONDS if seconds is None else seconds
        request = LatencyRequest(
            artifacts, backend, place, threads, limit, batch, provider, option or (), huge_pages, pin, recommended
        )
        reports = measure_latency(request, progress)
        store(reports, latency_document)
    print_latencies(reports, [report.artifact.name for report in reports], latency_document, latency_table, json)


def _refuse_options(backend: str, options: "Mapping[str, object]") -> None:
    """Raises UsageError for an option that the backend would ignore."""
    from mobilevit_deploy.errors import UsageError

    for name, given in options.items():
        if given:
            raise UsageError(f"{name} is for another backend, and {backend} would ignore it", "leave it out")
