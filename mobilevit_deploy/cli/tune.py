"""``mvd tune``."""

import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.artifacts import ANDROID, backend_of
from mobilevit_deploy.cli.model_arguments import parse_arguments
from mobilevit_deploy.cli.options import (
    DEFAULT_IMAGES,
    Batch,
    BenchmarkBinary,
    Boxes,
    Calibrate,
    Checkpoint,
    Delegate,
    Device,
    Head,
    Ignore,
    Images,
    InputSize,
    Json,
    Key,
    Layout,
    LayoutName,
    Masks,
    MaxImages,
    Model,
    ModelArg,
    NumClasses,
    Opset,
    Out,
    Output,
    Prefix,
    Pretrained,
    ReduceZeroLabel,
    Task,
    TaskName,
    To,
    Weights,
    WeightsName,
    checkpoint_as_model,
    one_device,
    parse_size,
)
from mobilevit_deploy.system.publish import DEFAULT_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from mobilevit_deploy.measurement.tuning.timing import OnPhone, Place

UNITS = {"s": 1, "m": 60, "h": 3600}


def parse_budget(text: str) -> float:
    """Returns a time such as ``90s``, ``10m`` or ``2h`` in seconds; a usage error for anything else."""
    found = re.fullmatch(r"(\d{1,6})([smh])", text)
    if not found or not int(found[1]):
        raise typer.BadParameter(f"{text!r} is no time: give 90s, 10m or 2h", param_hint="'--budget'")
    return float(int(found[1]) * UNITS[found[2]])


def tune(
    model: Model,
    to: To = None,
    budget: Annotated[
        str, typer.Option(metavar="TIME", help="Such as 90s, 10m or 2h: after it nothing new is begun.")
    ] = "10m",
    max_loss: Annotated[
        float | None,
        typer.Option(
            "--max-loss", min=0, metavar="POINTS", help="Of accuracy on --images that a file may lose against PyTorch."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME]",
            help="Precisions that are allowed. Default: the recipe's own; with --max-loss all that it writes.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Default: as many as there are cores, on an Android phone 4.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the order in which candidates are tried; another one checks a result.")
    ] = 0,
    images: Images = None,
    max_images: MaxImages = DEFAULT_IMAGES,
    calibrate: Calibrate = None,
    device: Device = None,
    delegate: Delegate = None,
    benchmark_binary: BenchmarkBinary = None,
    pin: Annotated[
        str, typer.Option(metavar="auto|none|CORES", help="auto: the least busy of the fastest cores; 0,2 or 0-3.")
    ] = "auto",
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Where the search begins. Default: named like the target."),
    ] = None,
    checkpoint: Checkpoint = None,
    weights: Weights = WeightsName.AUTO,
    key: Key = "",
    prefix: Prefix = "",
    ignore: Ignore = None,
    pretrained: Pretrained = False,
    model_arg: ModelArg = None,
    num_classes: NumClasses = None,
    input_size: InputSize = None,
    layout: Layout = LayoutName.NCHW,
    batch: Batch = 1,
    task: Task = TaskName.CLASSIFY,
    output: Output = None,
    head: Head = None,
    masks: Masks = None,
    boxes: Boxes = None,
    reduce_zero_label: ReduceZeroLabel = False,
    opset: Opset = None,
    out: Out = DEFAULT_FOLDER,
    json: Json = False,
) -> None:
    """Search for the recipe whose file is fastest where it is timed, within parity and a bound on accuracy."""
    model_file, seconds = checkpoint_as_model(model, checkpoint), parse_budget(budget)
    size, arguments = parse_size(input_size), parse_arguments(model_arg)
    precisions = tuple(name.strip() for name in precision.split(",")) if precision else ()
    if not to or len(to) > 1:
        raise typer.BadParameter(
            "a search is for one target: give --to onnx, executorch or litert", param_hint="'--to'"
        )
    with console.progress() as progress:
        from mobilevit_deploy.catalog import catalog
        from mobilevit_deploy.catalog.typed import check_typed
        from mobilevit_deploy.errors import show
        from mobilevit_deploy.measurement.tuning.precisions import allowed_precisions

        check_typed(
            None if model_file else model,
            to,
            task=task.value,
            size=size,
            recipe=recipe,
            precision=precisions[0] if precisions else None,
            versions={"--opset": opset},
        )
        allowed_precisions(
            catalog.recipe(recipe or to[0]),
            precisions,
            max_loss,
            images=images is not None,
            calibrated=calibrate is not None,
        )
        on_phone = _is_on_phone(to[0], device, delegate, benchmark_binary, pin)
        progress("importing PyTorch")
        from mobilevit_deploy.export.cache import default_folder
        from mobilevit_deploy.images.annotations import Annotations
        from mobilevit_deploy.loading.catalog_model import model_of_file
        from mobilevit_deploy.loading.checkpoint import Selection
        from mobilevit_deploy.loading.model import ModelRequest
        from mobilevit_deploy.loading.model_head import HeadOptions
        from mobilevit_deploy.measurement.tuning.document import tune_document
        from mobilevit_deploy.measurement.tuning.timing import this_machine
        from mobilevit_deploy.measurement.tuning.tune import Interrupted, TuneRequest, tune_model
        from mobilevit_deploy.pipeline.request import ExportRequest
        from mobilevit_deploy.report.tuning import tune_summary, write_plot

        if on_phone:
            place: Place = _phone(one_device(device), delegate, benchmark_binary, threads, progress)
        else:
            place = this_machine(to[0], threads, pin)
        selection = Selection(weights.value, key, prefix, tuple(ignore or ()))
        name, chosen = model, task
        if model_file:
            progress(f"looking for the model that {model_file.name} fits")
            name, fitting = model_of_file(model_file, selection)
            chosen = TaskName(fitting) if task is TaskName.CLASSIFY else task
        request = TuneRequest(
            export=ExportRequest(
                model=ModelRequest(
                    name=name,
                    task=chosen.value,
                    checkpoint=model_file or checkpoint,
                    selection=selection,
                    num_classes=num_classes,
                    size=size,
                    layout=layout.value,
                    batch=batch,
                    pretrained=pretrained,
                    arguments=arguments,
                    head=HeadOptions(
                        output.value if output else None, declaration=catalog.head_declaration(head) if head else None
                    ),
                ),
                targets=(to[0],),
                recipe=recipe,
                opset=opset,
                folder=out,
                images=images,
                largest_count=max_images,
                annotations=Annotations(masks, boxes, reduce_zero_label),
                cache=default_folder(),
                calibrate=calibrate,
            ),
            place=place,
            precisions=precisions,
            max_loss=max_loss,
            budget_s=seconds,
            seed=seed,
        )
        try:
            with redirect_stdout(sys.stderr):  # the model's own code may print; stdout is for the result
                report = tune_model(request, progress)
        except Interrupted as interrupted:
            typer.echo(show(f"mvd: {interrupted.best}"), err=True)
            typer.echo(show(f"     the same command goes on from {interrupted.trials}"), err=True)
            raise
        plot = write_plot(report)
    for warning in dict.fromkeys(report.warnings):
        console.warn(warning)
    if json:
        console.print_json(tune_document(report, plot))
    else:
        console.print_result(tune_summary(report, plot), quiet=[str(report.recipe), str(report.artifact)])


def _is_on_phone(target: str, device: list[str] | None, delegate: str | None, binary: Path | None, pin: str) -> bool:
    """Tells whether the device is an Android phone; raises MvdError where nothing here times the target's files."""
    from mobilevit_deploy.catalog.formats import format_of, formats
    from mobilevit_deploy.errors import MeasurementError, UsageError

    known = format_of(target)
    if device and backend_of([f"a{known.suffix}"], device) == ANDROID:
        if pin != "auto":
            raise UsageError("--pin is for this machine", "leave it out")
        return True
    for option, given in (("--delegate", delegate), ("--benchmark-binary", binary)):
        if given:
            raise UsageError(f"{option} is for an Android phone", "add --device, or leave it out")
    if one_device(device) != "host":
        raise UsageError(
            f"--device {one_device(device)} is no Android phone, and mvd tune times on those and here",
            "leave --device out; mvd devices lists what is attached",
        )
    if known.worker is None:
        able = " or ".join(name for name, other in formats().items() if other.worker)
        raise MeasurementError(
            f"{known.title} cannot be tuned here: {known.no_latency}",
            f"give --to {able}; on a Mac, mvd latency times Core ML files, by one recipe and by another",
        )
    return False


def _phone(
    wanted: str, delegate: str | None, binary: Path | None, threads: int | None, progress: "Callable[[str], None]"
) -> "OnPhone":
    from mobilevit_deploy.cli.latency_android import read_delegate
    from mobilevit_deploy.measurement.android.attached import open_phone
    from mobilevit_deploy.measurement.latency.android import THREADS, AndroidRequest
    from mobilevit_deploy.measurement.tuning.timing import OnPhone

    chosen = read_delegate(delegate)
    progress(f"looking for {wanted}")
    request = AndroidRequest((), binary, THREADS if threads is None else threads, chosen)
    return OnPhone(open_phone(wanted), request)
