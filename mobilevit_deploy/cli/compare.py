"""``mvd compare``."""

from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import DEFAULT_IMAGES, Images, Json, MaxImages, parse_channels, parse_size


def compare(
    artifacts: Annotated[list[Path], typer.Argument(metavar="ARTIFACT", help="Exported files; the first is the base.")],
    threads: Annotated[int | None, typer.Option(min=1, help="Default: as many as there are cores.")] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Time limit of the timing; less when each ratio is known to 1 %.")
    ] = 60.0,
    input_size: Annotated[
        str | None, typer.Option(metavar="N|HxW|CxHxW", help="For sizes that an ONNX file leaves free.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="M,M,M", help="Normalisation of the images. Default: ImageNet's.")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="S,S,S", help="Likewise.")] = None,
    pin: Annotated[
        str, typer.Option(metavar="auto|none|CORES", help="auto: the least busy of the fastest cores; 0,2 or 0-3.")
    ] = "auto",
    images: Images = None,
    max_images: MaxImages = DEFAULT_IMAGES,
    json: Json = False,
) -> None:
    """Compare artifacts with the first: size, latency in alternating runs, drift of the outputs, and accuracy."""
    size, means, stds = parse_size(input_size), parse_channels(mean), parse_channels(std)
    with console.progress() as progress:
        from mobilevit_deploy.images.test_images import IMAGENET_MEAN, IMAGENET_STD
        from mobilevit_deploy.measurement.comparison import ComparisonRequest, compare_artifacts
        from mobilevit_deploy.measurement.comparison.document import comparison_document
        from mobilevit_deploy.report.comparison import comparison_table

        request = ComparisonRequest(
            artifacts,
            threads,
            seconds,
            size,
            means or IMAGENET_MEAN,
            stds or IMAGENET_STD,
            pin,
            images,
            max_images,
        )
        comparison = compare_artifacts(request, progress)
    for warning in comparison.warnings:
        console.warn(warning)
    if json:
        console.print_json(comparison_document(comparison))
    else:
        console.print_result(comparison_table(comparison))
