"""Checkpoints of whole models, as OpenMMLab's frameworks write them, and what is refused of tasks with a head."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.decision import Instances, LabelMap, Suppression
from mobilevit_deploy.catalog.model_card import Task
from mobilevit_deploy.errors import CatalogError, CheckpointError, UsageError
from mobilevit_deploy.loading.checkpoint import Selection
from mobilevit_deploy.loading.class_names import ClassNames, find_class_names
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest, load_model
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.loading.weights_inside import find_state_dicts
from tests.conftest import RESEARCH, small_pyramid

NAMES = ("person", "kite", "traffic light")
COLORS = ((220, 20, 60), (119, 11, 32), (0, 0, 142))
HEADS: tuple[Task, ...] = ("segment", "detect", "instances")

State = dict[str, Tensor]
Content = dict[str, Any]


@pytest.fixture(scope="module")
def states() -> dict[Task, State]:
    """Weights of a small whole model of three classes, for each head."""
    with small_pyramid():
        return {task: load("cas_vit_xs", task, num_classes=3).module.state_dict() for task in HEADS}


def load(name: str, task: Task, **options: Any) -> LoadedModel:
    return load_model(ModelRequest(name, task, size=(64, 64), **options))


def of_2(state: State) -> Content:
    """MMDetection 2 and MMSegmentation 0."""
    meta = {"epoch": 12, "CLASSES": NAMES, "PALETTE": [list(color) for color in COLORS], "config": "model = dict()"}
    return {"meta": meta, "state_dict": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}


def of_3(state: State) -> Content:
    """MMDetection 3 and MMSegmentation 1, by mmengine's runner."""
    module = sys.modules["an_engine"]
    told = {"classes": NAMES, "palette": list(COLORS)}
    return {
        "meta": {"cfg": "model = dict()", "dataset_meta": told, "mmengine_version": "0.10.7"},
        "state_dict": state,
        "message_hub": {"log_scalars": {"loss": module.HistoryBuffer()}, "runtime_info": {"iter": 3}},
        "param_schedulers": [{"last_step": 3}],
    }


def of_average(state: State) -> Content:
    """The same with mmengine's EMAHook: the average is in the place of the weights, and these under its name."""
    raw = {f"module.{name}": value + 1 if value.is_floating_point() else value for name, value in state.items()}
    return {**of_3(state), "ema_state_dict": raw | {"steps": torch.tensor(7)}}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Content], Path]:
    """Writes a checkpoint with an object of a class that is gone when it is read."""
    module = types.ModuleType("an_engine")
    exec("class HistoryBuffer:\n    pass\n", vars(module))  # noqa: S102 - a class that pickle finds by its module
    module.HistoryBuffer.__module__ = "an_engine"

    def save(content: Content) -> Path:
        path = tmp_path / "epoch_12.pth"
        torch.save(content, path)
        sys.modules.pop("an_engine", None)
        return path

    monkeypatch.setitem(sys.modules, "an_engine", module)
    return save


@pytest.mark.usefixtures("pyramid")
@pytest.mark.parametrize(
    ("task", "form"),
    [(task, form) for task in HEADS for form in (of_2, of_3, of_average) if (task, form) != ("instances", of_average)],
)
def test_checkpoints_of_openmmlab(
    task: Task, form: Callable[[State], Content], states: dict[Task, State], write: Callable[[Content], Path]
) -> None:
    model = load("cas_vit_xs", task, checkpoint=write(form(states[task])))
    assert model.head is not None
    assert (model.head.num_classes, model.head.classes) == (3, ClassNames(NAMES, COLORS))
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, states[task][name]), name
    assert set(model.weights.not_loaded) & {"optimizer", "message_hub"}


@pytest.mark.usefixtures("pyramid")
def test_the_raw_weights_beside_an_average(states: dict[Task, State], write: Callable[[Content], Path]) -> None:
    path = write(of_average(states["segment"]))
    raw = load("cas_vit_xs", "segment", checkpoint=path, selection=Selection("raw")).module.state_dict()
    bias = "decode_head.conv_seg.bias"
    assert torch.equal(raw[bias], states["segment"][bias] + 1)


@pytest.mark.parametrize(
    ("beside", "averages"),
    [
        ({"meta": {"mmengine_version": "0.10.7"}}, ["state_dict"]),
        ({"meta": {"dataset_meta": {}}}, ["state_dict"]),
        ({"message_hub": {}}, ["state_dict"]),
        ({"ema_state_dict": {"module.a": torch.ones(1), "steps": torch.tensor(7)}}, ["state_dict"]),
        ({"meta": {"CLASSES": NAMES}}, ["ema_state_dict"]),
        ({}, ["ema_state_dict"]),
    ],
)
def test_whose_average_stands_in_the_place_of_the_weights(beside: Content, averages: list[str]) -> None:
    """It is mmengine's; other frameworks keep theirs under its name."""
    content = {"state_dict": {"a": torch.zeros(1)}, "ema_state_dict": {"a": torch.ones(1)}, **beside}
    assert [item.key for item in find_state_dicts(content, "ema")] == averages
    assert find_state_dicts(content)[0].key == averages[0]


def test_curves_of_losses_are_no_weights() -> None:
    content = {"state_dict": {"a": torch.zeros(1)}, "message_hub": {"log_scalars": {"loss": np.zeros(3)}}}
    assert [item.key for item in find_state_dicts(content)] == ["state_dict"]


@pytest.mark.usefixtures("pyramid")
def test_what_training_alone_uses_is_left_aside_and_named(
    states: dict[Task, State], write: Callable[[Content], Path]
) -> None:
    extra = {"auxiliary_head.conv_seg.weight": torch.zeros(3, 8, 1, 1), "decode_head.loss_decode.weight": torch.ones(3)}
    model = load("cas_vit_xs", "segment", checkpoint=write(of_2(states["segment"] | extra)))
    assert set(extra) <= set(model.weights.not_loaded)


@pytest.mark.usefixtures("pyramid")
def test_another_head_is_named(states: dict[Task, State], write: Callable[[Content], Path]) -> None:
    with pytest.raises(CheckpointError, match="is not this model's") as caught:
        load("cas_vit_xs", "segment", checkpoint=write(of_2(states["detect"])))
    assert caught.value.hint == "these weights fit cas_vit_xs with --task detect"


@pytest.mark.usefixtures("pyramid")
def test_a_model_of_two_stages_is_known_from_one_of_one(
    states: dict[Task, State], write: Callable[[Content], Path]
) -> None:
    with pytest.raises(CheckpointError, match="is not this model's") as caught:
        load("cas_vit_xs", "detect", checkpoint=write(of_3(states["instances"])))
    assert caught.value.hint == "these weights fit cas_vit_xs with --task instances"
    backbone = load("cas_vit_xs", "features", checkpoint=write(of_2(states["instances"])))
    assert any("roi_head" in name for name in backbone.weights.not_loaded)


@pytest.mark.usefixtures("pyramid")
def test_another_number_of_classes_is_refused(states: dict[Task, State], write: Callable[[Content], Path]) -> None:
    with pytest.raises(CheckpointError, match=r"has 3 classes in bbox_head.retina_cls.weight, not the 80"):
        load("cas_vit_xs", "detect", checkpoint=write(of_2(states["detect"])), num_classes=80)


@pytest.mark.parametrize(
    "meta",
    [
        {"CLASSES": NAMES[:2]},
        {"CLASSES": ("a", "a", "b")},
        {"CLASSES": ("a", "b", "c\n")},
        {"CLASSES": ("a", "b", 3)},
        {"CLASSES": {"a": 1, "b": 2, "c": 3}},
        {"CLASSES": ("a", "b", "c" * 10_000)},
        {"PALETTE": [[0, 0, 256]] * 3},
        {"PALETTE": [[0, 0]] * 3},
        {"PALETTE": [[0, 0, True]] * 3},
        {"dataset_meta": {"classes": "abc"}},
    ],
)
def test_names_that_cannot_be_are_left_aside(meta: dict[str, Any]) -> None:
    found, notes = find_class_names(meta, 3)
    assert found == ClassNames()
    assert "left aside" in notes[0]


def test_no_names_are_no_note() -> None:
    assert find_class_names({"CLASSES": None, "epoch": 3}, 3) == (ClassNames(), ())
    assert find_class_names({"CLASSES": "cat"}, 1)[0].names == ("cat",)


@pytest.mark.usefixtures("pyramid")
def test_defaults() -> None:
    segment, detect, instances = (load("cas_vit_xs", task).head for task in HEADS)
    assert segment is not None
    assert detect is not None
    assert instances is not None
    assert (segment.num_classes, segment.decision) == (150, LabelMap())
    assert detect.num_classes == 80
    assert isinstance(detect.decision, Suppression)
    assert detect.decision.strides == (8, 16, 32, 64, 128)
    assert detect.decision.level_sizes(13464, 224, 320) == (28 * 40 * 9, 14 * 20 * 9, 7 * 10 * 9, 4 * 5 * 9, 2 * 3 * 9)
    assert (instances.output, instances.num_classes) == ("nms", 80)
    assert isinstance(instances.decision, Instances)
    assert not instances.decision.behind_model
    assert instances.decision.settings == (1000, 0.05, 0.5, 100, True)
    for task in HEADS:
        rule = catalog.input_rule(catalog.model("cas_vit_m"), task)
        assert (rule.default_size, rule.multiple_of) == (512, {task: 32})


@pytest.mark.usefixtures("pyramid")
def test_thresholds() -> None:
    head = load("lightvit_tiny", "detect", head=HeadOptions("nms", 0.3, 0.6, 20)).head
    assert head is not None
    assert isinstance(head.decision, Suppression)
    chosen = (head.decision.score_threshold, head.decision.iou_threshold, head.decision.max_detections)
    assert chosen == (0.3, 0.6, 20)
    inside: Any = load("cas_vit_xs", "instances", head=HeadOptions("nms", 0.3, 0.6, 20)).module
    assert inside.suppression.settings == (1000, 0.3, 0.6, 20, True)
    assert load("cas_vit_xs", "instances", head=HeadOptions("raw")).module.suppression is None


REFUSED: dict[str, tuple[ModelRequest, type[Exception], str]] = {
    "a backbone without the finest map": (
        ModelRequest("lightvit_tiny", "segment"),
        CatalogError,
        "lightvit_tiny has no task segment: its maps have the strides 8, 16, 32, and Panoptic",
    ),
    "another size": (
        ModelRequest("cas_vit_xs", "detect", size=(500, 512)),
        CatalogError,
        "cas_vit_xs takes sides divisible by 32 for detect; 500x512 has 500",
    ),
    "an output of another task": (
        ModelRequest("cas_vit_xs", "detect", head=HeadOptions("labels")),
        UsageError,
        "--task detect has no output 'labels'",
    ),
    "an output of a classifier": (
        ModelRequest("cas_vit_xs", head=HeadOptions("logits")),
        UsageError,
        "--output is for the tasks that have a head (segment, detect, instances), not for classify",
    ),
    "suppression of several images": (
        ModelRequest("cas_vit_xs", "detect", batch=2),
        UsageError,
        "--output nms with a batch of 2",
    ),
    "a threshold where nothing is left out": (
        ModelRequest("cas_vit_xs", "detect", head=HeadOptions("boxes", score_threshold=0.2)),
        UsageError,
        "--score-threshold with --output boxes, which leaves all boxes",
    ),
    "a threshold that cannot be": (
        ModelRequest("cas_vit_xs", "detect", head=HeadOptions("nms", iou_threshold=1.5)),
        UsageError,
        "--iou-threshold 1.5 must be at most 1",
    ),
    "more masks than memory": (
        ModelRequest("cas_vit_xs", "instances", head=HeadOptions("nms", max_detections=2**16)),
        UsageError,
        "--max-detections 65536, each of which gets a mask",
    ),
    "labels of one class": (
        ModelRequest("cas_vit_xs", "segment", num_classes=1),
        UsageError,
        "--output labels of one class",
    ),
    "code of one's own": (
        ModelRequest(f"{RESEARCH / 'tiny_net.py'}:build", "segment"),
        UsageError,
        "--task segment, but nobody says which of the outputs of ",
    ),
    "code of one's own in two stages": (
        ModelRequest(f"{RESEARCH / 'tiny_net.py'}:build", "instances"),
        UsageError,
        "--task instances, but ",
    ),
    "a form of the boxes that instances do not have": (
        ModelRequest("cas_vit_xs", "instances", head=HeadOptions("boxes")),
        UsageError,
        "--task instances has no output 'boxes'",
    ),
}


@pytest.mark.parametrize("wrong", REFUSED)
@pytest.mark.usefixtures("pyramid")
def test_what_is_refused(wrong: str) -> None:
    request, kind, message = REFUSED[wrong]
    with pytest.raises(kind) as caught:
        load_model(request)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["cas_vit_xs", "cloformer_xxs", "lightvit_tiny", "saevit_0p8g"])
def test_maps_have_the_strides_of_the_card(name: str) -> None:
    card = catalog.model(name)
    with torch.no_grad():
        maps = load(name, "features").module(torch.zeros(1, 3, 64, 64))
    assert tuple(64 // found.shape[-1] for found in maps) == card.family.map_strides


def test_tasks_by_the_maps() -> None:
    assert catalog.tasks_of(catalog.model("cas_vit_xs")) == ("classify", "features", "segment", "detect", "instances")
    assert catalog.tasks_of(catalog.model("lightvit_tiny")) == ("classify", "features", "detect")
