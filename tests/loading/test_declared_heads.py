"""Files that declare a model's own head: what is read, and what each that does not fit is told."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.decision import LabelMap, Suppression
from mobilevit_deploy.errors import CatalogError, DoesNotRunError, MvdError, UsageError
from mobilevit_deploy.loading.class_names import ClassNames
from mobilevit_deploy.loading.declared_head import add_declared_head
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest, load_model
from mobilevit_deploy.loading.model_head import HeadOptions
from tests.conftest import RESEARCH

CODE = RESEARCH / "own_heads.py"
SIZE = (48, 64)


def text_of(name: str) -> str:
    return (RESEARCH / "heads" / f"{name}.toml").read_text(encoding="utf-8")


def load(name: str, folder: Path, *changes: tuple[str, str], task: str = "detect") -> LoadedModel:
    """Loads a model with its declaration, in which texts were replaced."""
    text = text_of(name)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "head.toml").write_text(text, encoding="utf-8")
    head = HeadOptions(declaration=catalog.head_declaration(folder / "head.toml"))
    return load_model(ModelRequest(f"{CODE}:{name}", task, size=SIZE, head=head))  # type: ignore[arg-type]


def test_a_detector(tmp_path: Path) -> None:
    model = load("ssd", tmp_path)
    assert model.head is not None
    assert (model.head.num_classes, model.head.classes) == (3, ClassNames(("cat", "dog", "bird")))
    assert isinstance(model.head.decision, Suppression)
    assert model.head.decision.level_sizes(120, *SIZE) == (120,)
    assert model.head.decision.settings == (20, 0.01, 0.55, 50, True)
    with torch.no_grad():
        found = model.module(torch.zeros(model.input_shape))
    assert {name: tuple(value.shape) for name, value in found.items()} == {"boxes": (1, 120, 4), "scores": (1, 120, 3)}


def test_a_segmenter(tmp_path: Path) -> None:
    model = load("segmenter", tmp_path, task="segment")
    assert model.head is not None
    assert (model.head.num_classes, model.head.decision) == (3, LabelMap())
    with torch.no_grad():
        assert model.module(torch.zeros(model.input_shape))["logits"].shape == (1, 3, *SIZE)


def test_boxes_of_no_levels_are_one_level(tmp_path: Path) -> None:
    text = 'task = "detect"\nscores = {output = 0, columns = [4, 8], activation = "none"}\n'
    boxes = 'boxes = {output = 0, columns = [0, 4], format = "cxcywh", unit = "fractions"}\n'
    (tmp_path / "head.toml").write_text(text + boxes)
    declaration = catalog.head_declaration(tmp_path / "head.toml")
    module = add_declared_head(Returns(torch.rand(1, 7, 8)), declaration, (1, 3, 8, 8), "boxes")
    found = HeadOptions("nms").head_of(declaration, module, ClassNames(), None)
    assert isinstance(found.decision, Suppression)
    assert found.decision.level_sizes(7, 8, 8) == (7,)


class Returns(nn.Module):
    """Returns what it was given, whatever the image."""

    def __init__(self, outputs: object) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, _x: Tensor) -> object:
        return self.outputs


MISFITS: dict[str, tuple[str, tuple[str, str], str]] = {
    "no such output": (
        "ssd", ('output = "cls_logits"', 'output = "logits"'),
        "scores.output: no output is called 'logits'; expected one of bbox_regression (1x120x4), cls_logits (1x120x4)",
    ),
    "another number of values": (
        "fcos", ('output = "bbox_regression"', 'output = "cls_logits"'),
        "boxes: cls_logits (1x60x3) has 3 values for a box; expected 4",
    ),
    "other axes": (
        "ssd", ('output = "cls_logits"', 'output = "cls_logits"\nlayout = "BCHW"'),
        "scores: cls_logits (1x120x4); expected BCHW of floating-point numbers",
    ),
    "other strides": (
        "fcos", ("strides = [8, 16]", "strides = [8, 32]"),
        "scores: 60 boxes come from its outputs; expected 1 in each cell of 6x8 + 2x2 (levels.strides, an image of "
        "48x64) are 52",
    ),
    "maps of other strides": (
        "yolo", ("strides = [8, 16]", "strides = [8, 32]"),
        "scores: 1 (1x8x3x4); expected a map of 2x2, at a stride of 32",
    ),
    "a map too few": (
        "yolo", ("output = [0, 1]\ncolumns = [5, 8]", "output = 0\ncolumns = [5, 8]"),
        "scores.output: there are 1 maps; expected 2, one for each of levels.strides",
    ),
    "columns that are not there": (
        "yolo", ("columns = [5, 8]", "columns = [5, 9]"),
        "scores.columns: 0 (1x8x6x8) has 8 values; expected at least the 9 of [5, 9]",
    ),
    "anchors that do not divide the channels": (
        "yolo", ("shapes = [[[1, 1]]]", "shapes = [[[1, 1], [2, 2], [3, 3]]]"),
        "scores: 0 (1x8x6x8); expected a multiple of 3 channels",
    ),
    "names of other classes": (
        "ssd", ('"cat", "dog", "bird"', '"cat", "dog"'),
        "classes: 2 names are declared; expected 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_the_model(case: str, tmp_path: Path) -> None:
    name, change, message = MISFITS[case]
    with pytest.raises(CatalogError) as caught:
        load(name, tmp_path, change)
    assert message in str(caught.value)


BAD: dict[str, tuple[str, tuple[str, str], str]] = {
    "an unknown key": (
        "fcos",
        ("activation", "activasion"),
        "does not declare a head for detect: scores.activasion: there is no such key; did you mean activation?",
    ),
    "an unknown activation": ("fcos", ('activation = "sigmoid"', 'activation = "relu"'), "activation: must be 'none'"),
    "no unit": ("fcos", ('unit = "strides"\n', ""), "boxes: unit: say what boxes are measured in"),
    "a unit of deltas": ("yolo", ('format = "deltas"', 'format = "deltas"\nunit = "pixels"'), "unit"),
    "corners in strides": ("fcos", ('format = "ltrb"', 'format = "xyxy"'), "boxes: unit: strides are for"),
    "stds of points": ("fcos", ('unit = "strides"', 'unit = "strides"\nstds = [1, 1, 2, 2]'), "stds"),
    "no levels": ("fcos", ("[levels]\nstrides = [8, 16]\n", ""), "levels: boxes.format = 'ltrb'"),
    "no anchors": ("ssd", ("[anchors]", "[objectness]"), "objectness."),
    "anchors of points": ("ssd", ('format = "deltas"', 'format = "ltrb"\nunit = "pixels"'), "stds"),
    "anchors of three levels": ("ssd", ("[8, 16]", "[8, 16, 32]"), "anchors: give one"),
    "levels of other anchors": ("ssd", ("[0.6, 0.4], ", ""), "shapes or sizes: each"),
    "columns backwards": ("yolo", ("[5, 8]", "[8, 5]"), "scores: columns: the second number"),
    "a class twice": ("ssd", ('"cat", "dog"', '"cat", "cat"'), "classes: two of them have one name"),
    "an anchor without width": ("ssd", ("[0.3, 0.2]", "[0, 0.2]"), "anchors.shapes[0][0][0]: must be more than 0"),
    "another task": ("ssd", ('task = "detect"', 'task = "classify"'), "declares no head: task is 'classify'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_told_its_key(case: str, tmp_path: Path) -> None:
    name, change, message = BAD[case]
    with pytest.raises(CatalogError) as caught:
        load(name, tmp_path, change)
    assert message in str(caught.value)


def test_what_does_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--head declares a head for detect"):
        load("ssd", tmp_path, task="segment")
    declaration = catalog.head_declaration(tmp_path / "head.toml")
    with pytest.raises(UsageError, match="--head, but cas_vit_xs is of the catalog"):
        load_model(ModelRequest("cas_vit_xs", "detect", head=HeadOptions(declaration=declaration)))
    with pytest.raises(UsageError, match="nobody says which of the outputs"):
        load_model(ModelRequest(f"{CODE}:ssd", "detect"))


def test_a_model_that_does_not_run() -> None:
    declaration = catalog.head_declaration(RESEARCH / "heads" / "ssd.toml")
    with pytest.raises(DoesNotRunError, match=r"does not run on an input of shape \(1, 3, 4, 4\)"):
        add_declared_head(nn.Conv2d(3, 4, 9), declaration, (1, 3, 4, 4), "nms")
    with pytest.raises(CatalogError, match="no output is called 'cls_logits'; expected one of no tensors"):
        add_declared_head(Returns(None), declaration, (1, 3, 8, 8), "nms")


@pytest.mark.parametrize("text", ["", "task = 3", "task = 'detect'", "[[[", "task = 'segment'\nlogits = 1", "\xff"])
def test_no_declaration_at_all(text: str, tmp_path: Path) -> None:
    (tmp_path / "head.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(MvdError):
        catalog.head_declaration(tmp_path / "head.toml")
