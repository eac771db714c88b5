"""From what a check says to the export that it asks for."""

from pathlib import Path

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.checks.plan import Check
from mobilevit_deploy.images.annotations import Annotations
from mobilevit_deploy.loading.checkpoint import Selection
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.pipeline.request import ExportRequest


def export_of(check: Check, folder: Path, cache: Path | None) -> ExportRequest:
    """Returns the export of a check, into a folder, from a cache of kept ones."""
    accuracy = check.limits.accuracy
    model = ModelRequest(
        name=check.model,
        task=check.task,
        checkpoint=check.checkpoint,
        selection=Selection(check.weights, check.key, check.prefix, check.ignore),
        num_classes=check.num_classes,
        size=check.input_size,
        pretrained=check.pretrained,
        vouched=check.trained,
        arguments=check.model_args,
        layout=check.layout,
        batch=check.batch,
        head=HeadOptions(check.output, declaration=catalog.head_declaration(check.head) if check.head else None),
    )
    return ExportRequest(
        model,
        (check.to,),
        recipe=check.recipe,
        precision=check.precision,
        opset=check.opset,
        min_ios=check.min_ios,
        folder=folder,
        images=accuracy.images if accuracy else None,
        annotations=accuracy.annotations if accuracy else Annotations(),
        cache=cache,
        calibrate=check.calibrate if check.precision == "int8" else None,
    )
