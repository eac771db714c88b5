"""Detections and label maps of exported files beside those of torchvision's and transformers' own post-processing.

Run: ``python -m benchmarks.heads [SSDLite FCOS SegFormer]``, where torchvision and transformers are installed. Nothing
is downloaded: weights are random, with last layers that spread scores and boxes as training does. The library's own
code decides in float32, on the same images; its detections and the file's are matched as ``mvd verify`` matches them.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from mobilevit_deploy.architectures.operations.suppression import overlaps
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.verification.detections import judge_detections

FOLDER = Path(__file__).parent
IMAGES = 4
THRESHOLD = 0.05  # of a score: with random weights thousands of boxes have the few thousandths that SSDLite asks for
SCORES = Tolerance(max_rel=1e-4, snr_db=0, top1_agreement=0.99, reason="float32 on both sides")

console = Console()


def spread(model: Any, image: Tensor, last: dict[str, tuple[float, float]]) -> None:
    """Gives the last layers of a head weights by which their outputs have a mean and a spread; by their names' ends."""
    seen = set()

    def hook(conv: nn.Conv2d, _inputs: object, output: Tensor, mean: float, deviation: float) -> Tensor | None:
        if conv in seen:
            return None
        seen.add(conv)
        assert conv.bias is not None
        factor = deviation / output.std()
        conv.weight.data *= factor
        conv.bias.data = mean + (conv.bias.data - output.mean()) * factor
        return mean + (output - output.mean()) * factor

    handles = []
    for name, part in model.head.named_modules():
        for end, (mean, deviation) in last.items():
            if isinstance(part, nn.Conv2d) and end in name and (name.endswith((end, ".1"))):
                handles.append(part.register_forward_hook(lambda *given, m=mean, d=deviation: hook(*given, m, d)))
    with torch.no_grad():
        model.head(list(model.backbone(image).values()))
    for handle in handles:
        handle.remove()
    assert seen


def detector(name: str, size: int, last: dict[str, tuple[float, float]], first_label: int) -> Callable[[Path], None]:
    """Returns what compares a detector of torchvision."""

    def compare(work: Path) -> None:
        import torchvision  # type: ignore[import-not-found, unused-ignore]
        from torchvision.models import get_model  # type: ignore[import-not-found, unused-ignore]
        from torchvision.models.detection.transform import (  # type: ignore[import-not-found, unused-ignore]
            GeneralizedRCNNTransform,
        )

        if not hasattr(torch.ops.torchvision, "nms"):
            torchvision.ops.boxes.nms = plain_nms
        torch.manual_seed(0)
        model = get_model(name, weights=None, weights_backbone=None).eval()
        images = torch.from_numpy(make_samples(IMAGES, 3, size, size))
        spread(model, images[:1], last)
        torch.save(model.state_dict(), work / f"{name}.pth")
        # The images are normalised already, and of the right size.
        model.transform = GeneralizedRCNNTransform(size, size, [0.0] * 3, [1.0] * 3, 1, (size, size))
        declaration = catalog.head_declaration(FOLDER / f"{name.partition('_')[0]}.toml")
        head = HeadOptions("nms", score_threshold=THRESHOLD, declaration=declaration)
        model.score_thresh = THRESHOLD
        request = ModelRequest(
            f"torchvision:{name}", "detect", checkpoint=work / f"{name}.pth", size=(size, size), head=head
        )
        (report,) = export_model(ExportRequest(request, ("onnx",), folder=work))
        session = onnxruntime.InferenceSession(str(report.artifact.path))
        missing = extra = total = 0
        for image in images:
            found = session.run(None, {"input": image[None].numpy()})
            with torch.no_grad():
                (own,) = model([image])
            expected = _filled(own, found[1].shape[1], first_label)
            judged, _ = judge_detections(expected, [part.astype(np.float64) for part in found], SCORES, ())
            total, missing, extra = total + judged.count, missing + judged.missing, extra + judged.extra
        _say(name, report.parity.status, f"{total} detections; {missing} missing, {extra} more")

    return compare


def plain_nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Returns what torchvision's operation does, which not every build of PyTorch can load: places, best first."""
    order = torch.argsort(scores, descending=True, stable=True)
    kept = []
    while len(order):
        kept.append(int(order[0]))
        overlap = overlaps(boxes[order[0]].numpy(), boxes[order[1:]].numpy())
        order = order[1:][torch.from_numpy(overlap <= iou_threshold)]
    return torch.tensor(kept, dtype=torch.long)


def _filled(own: dict[str, Tensor], places: int, first_label: int) -> list[Any]:
    """Returns torchvision's detections as a file does; those without an area are none."""
    area = (own["boxes"][:, 2:] > own["boxes"][:, :2]).all(dim=1)
    kept = {key: value[area].double().numpy() for key, value in own.items()}
    count = len(kept["scores"])
    missing = places - count
    return [
        np.pad(kept["boxes"], ((0, missing), (0, 0)))[None],
        np.pad(kept["scores"], (0, missing))[None],
        np.pad(kept["labels"] - first_label, (0, missing), constant_values=-1)[None],
        np.array([count], dtype=np.float64),
    ]


def segformer(work: Path) -> None:
    """Compares SegFormer of transformers, with random weights."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation  # type: ignore[import-not-found, unused-ignore]

    torch.manual_seed(0)
    model = SegformerForSemanticSegmentation(SegformerConfig(num_labels=19)).eval()
    nn.init.normal_(model.decode_head.classifier.weight, std=1.0)
    model.save_pretrained(work / "segformer")
    head = HeadOptions("labels", declaration=catalog.head_declaration(FOLDER / "segformer.toml"))
    request = ModelRequest(f"hf:{work / 'segformer'}", "segment", size=(128, 160), head=head)
    (report,) = export_model(ExportRequest(request, ("onnx",), folder=work))
    session = onnxruntime.InferenceSession(str(report.artifact.path))
    same = []
    for image in torch.from_numpy(make_samples(IMAGES, 3, 128, 160)):
        (labels,) = session.run(None, {"input": image[None].numpy()})
        with torch.no_grad():
            logits = model(pixel_values=image[None]).logits
        full = F.interpolate(logits, size=(128, 160), mode="bilinear", align_corners=False)  # as its processor does
        same.append((labels == full.argmax(1).numpy()).mean())
    _say("SegFormer B0", report.parity.status, f"{np.mean(same):.4%} of the labels, {len(np.unique(labels))} classes")


def _say(*cells: str) -> None:
    ROWS.append(cells)
    console.print(*cells)


ROWS: list[tuple[str, ...]] = []
CASES: dict[str, Callable[[Path], None]] = {
    "SSDLite": detector(
        "ssdlite320_mobilenet_v3_large",
        320,
        {"classification_head.module_list": (0.0, 2.0), "regression_head.module_list": (0.0, 1.0)},
        1,
    ),
    "FCOS": detector(
        "fcos_resnet50_fpn", 128, {"cls_logits": (-2.0, 2.0), "bbox_reg": (2.0, 1.0), "bbox_ctrness": (0.0, 1.0)}, 0
    ),
    "SegFormer": segformer,
}


def main() -> None:
    """Compares all of them."""
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or CASES:
            CASES[name](Path(folder))
    table = Table("model", "parity of the file", "beside the library's own decisions")
    for row in ROWS:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
