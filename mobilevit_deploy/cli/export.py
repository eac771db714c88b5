"""``mvd export``."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.destination import OutFile, read_out
from mobilevit_deploy.cli.model_arguments import parse_arguments
from mobilevit_deploy.cli.options import (
    DEFAULT_IMAGES,
    Batch,
    Boxes,
    Calibrate,
    Checkpoint,
    ColorName,
    Head,
    Ignore,
    Images,
    Input,
    InputSize,
    Int8Io,
    IouThreshold,
    Json,
    Key,
    Layout,
    LayoutName,
    Masks,
    MaxDetections,
    MaxImages,
    Model,
    ModelArg,
    NumClasses,
    OneRuntime,
    Opset,
    Output,
    PrecisionName,
    Prefix,
    Pretrained,
    ReduceZeroLabel,
    RequireTrained,
    ScoreThreshold,
    Sensitivity,
    Task,
    TaskName,
    To,
    Trained,
    Weights,
    WeightsName,
    checkpoint_as_model,
    parse_channels,
    parse_inputs,
    parse_size,
    parse_sizes,
)
from mobilevit_deploy.system.publish import DEFAULT_FOLDER


def export(
    model: Model,
    to: To = None,
    checkpoint: Checkpoint = None,
    weights: Weights = WeightsName.AUTO,
    key: Key = "",
    prefix: Prefix = "",
    ignore: Ignore = None,
    pretrained: Pretrained = False,
    trained: Trained = None,
    model_arg: ModelArg = None,
    num_classes: NumClasses = None,
    input_size: InputSize = None,
    layout: Layout = LayoutName.NCHW,
    input_: Input = None,
    batch: Batch = 1,
    task: Task = TaskName.CLASSIFY,
    output: Output = None,
    head: Head = None,
    score_threshold: ScoreThreshold = None,
    iou_threshold: IouThreshold = None,
    max_detections: MaxDetections = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="Rewrites, tolerances and the next defaults. Default: named like the target."
        ),
    ] = None,
    precision: Annotated[
        PrecisionName | None,
        typer.Option(help="Of weights and activations. Default: fp32; for Core ML and Core AI fp16."),
    ] = None,
    opset: Opset = None,
    min_ios: Annotated[
        int | None, typer.Option("--min-ios", metavar="N", help="Oldest iOS that reads a Core ML file. Default: 16.")
    ] = None,
    image_input: Annotated[
        bool, typer.Option("--image-input", help="Core ML takes an image, normalised in the graph; ONNX an array.")
    ] = False,
    color: Annotated[
        ColorName | None,
        typer.Option(case_sensitive=False, help="Channels that the model was trained on. Default: rgb."),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="M,M,M", help="Of the image's channels, fractions of 1. Default: the card's.")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="S,S,S", help="Likewise.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|card",
            help="One class a line: Core ML returns label and probabilities, other files say the names. card: the "
            "library's.",
        ),
    ] = None,
    keep_fp32: Annotated[
        list[str] | None,
        typer.Option(
            "--keep-fp32", metavar="PATTERN", help="Modules that stay in float32: Core ML, LiteRT, int8; repeatable."
        ),
    ] = None,
    prune: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Set this share of the Core ML weights to zero, e.g. 0.5.")
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(metavar="N,HxW,...", help="Other image sizes that the Core ML package takes as well.")
    ] = None,
    calibrate: Calibrate = None,
    int8_io: Int8Io = False,
    for_: OneRuntime = None,
    sensitivity: Sensitivity = False,
    images: Images = None,
    max_images: MaxImages = DEFAULT_IMAGES,
    masks: Masks = None,
    boxes: Boxes = None,
    reduce_zero_label: ReduceZeroLabel = False,
    out: OutFile = DEFAULT_FOLDER,
    require_trained: RequireTrained = False,
    no_rewrite: Annotated[bool, typer.Option("--no-rewrite", help="Export the graph as captured.")] = False,
    allow_precision_loss: Annotated[
        bool,
        typer.Option(
            "--allow-precision-loss",
            help="Write what half precision leaves of a trained model, if that alone is wrong.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Export again, even if the same export was kept.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, metavar="N", help="Targets at once. Default: as many as cores and memory allow."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Export a model, verify what was written, and publish it: everything or nothing."""
    model_file = checkpoint_as_model(model, checkpoint)
    size, means, stds = parse_size(input_size), parse_channels(mean), parse_channels(std)
    others, arguments = parse_sizes(sizes), parse_arguments(model_arg)
    inputs = parse_inputs(input_)
    with console.progress() as progress:
        from mobilevit_deploy.catalog import catalog
        from mobilevit_deploy.catalog.formats import default_targets
        from mobilevit_deploy.catalog.typed import check_typed
        from mobilevit_deploy.images.annotations import Annotations
        from mobilevit_deploy.loading.model_head import HeadOptions

        folder, file_name, named = read_out(out, to or ())
        targets = tuple(named or to or default_targets(several_inputs=bool(inputs)))
        check_typed(
            None if model_file else model,
            targets,
            task=task.value,
            size=size,
            recipe=recipe,
            precision=precision.value if precision else None,
            versions={"--opset": opset, "--min-ios": min_ios},
            calibrated=calibrate is not None,
            sensitivity=sensitivity,
        )
        asked = HeadOptions(
            output.value if output else None,
            score_threshold,
            iou_threshold,
            max_detections,
            catalog.head_declaration(head) if head else None,
        )
        annotations = Annotations(masks, boxes, reduce_zero_label)
        if not model_file:  # which model that is, and so which task it has, a file tells later
            rule = asked.rule_of(model, task.value)
            (asked.for_targets(rule, targets) if rule else asked).check(model, task.value, batch)
            annotations.check(images, task.value, asked.output)
        progress("importing PyTorch")
        from mobilevit_deploy.export.cache import default_folder
        from mobilevit_deploy.export.document import export_document
        from mobilevit_deploy.export.export import ParityFailedError, export_model
        from mobilevit_deploy.loading.catalog_model import model_of_file
        from mobilevit_deploy.loading.checkpoint import Selection
        from mobilevit_deploy.loading.model import ModelRequest
        from mobilevit_deploy.pipeline.request import ExportRequest
        from mobilevit_deploy.report.export import export_summary
        from mobilevit_deploy.targets.app_options import AppOptions

        selection = Selection(weights.value, key, prefix, tuple(ignore or ()))
        name, chosen = model, task
        if model_file:
            progress(f"looking for the model that {model_file.name} fits")
            name, fitting = model_of_file(model_file, selection)
            chosen = TaskName(fitting) if task is TaskName.CLASSIFY else task
            progress(f"{model_file.name} fits {name}, {fitting}")
        request = ExportRequest(
            model=ModelRequest(
                name=name,
                task=chosen.value,
                checkpoint=model_file or checkpoint,
                selection=selection,
                num_classes=num_classes,
                size=size,
                layout=layout.value,
                inputs=inputs,
                batch=batch,
                require_trained=require_trained,
                pretrained=pretrained,
                vouched=trained,
                arguments=arguments,
                head=asked,
            ),
            targets=targets,
            recipe=recipe,
            precision=precision.value if precision else None,
            opset=opset,
            min_ios=min_ios,
            rewrite=not no_rewrite,
            folder=folder,
            file_name=file_name,
            images=images,
            largest_count=max_images,
            annotations=annotations,
            cache=default_folder(),
            force=force,
            jobs=jobs,
            calibrate=calibrate,
            sensitivity=sensitivity,
            allow_precision_loss=allow_precision_loss,
            app=AppOptions(
                image_input=image_input,
                channels=color.value if color else None,
                mean=means,
                std=stds,
                labels=labels,
                keep_fp32=tuple(keep_fp32 or ()),
                prune=prune,
                sizes=others,
                int8_io=int8_io,
                runtime=for_,
            ),
        )
        failure = None
        try:
            with redirect_stdout(sys.stderr):  # the model's own code may print; stdout is for the result
                reports = export_model(request, progress)
        except ParityFailedError as error:
            failure, reports = error, list(error.reports)
    for warning in dict.fromkeys(warning for report in reports for warning in report.warnings):
        console.warn(warning)
    if json:
        console.print_json(
            {"schema": 1, "published": failure is None, "artifacts": [export_document(report) for report in reports]}
        )
    else:
        shown = export_summary(reports, published=failure is None, verbose=console.verbose())
        written = [str(report.artifact.path) for report in reports] if failure is None else []
        console.print_result(shown, quiet=written)
    if failure:
        raise failure
