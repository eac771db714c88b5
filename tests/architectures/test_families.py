"""What is special to CloFormer, LightViT and SAEViT: costs, sizes, maps, and that SAEViT is a reconstruction."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mobilevit_deploy.architectures import cloformer, saevit
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.model_card import Family, Task
from mobilevit_deploy.errors import CatalogError
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.loading.model import ModelRequest, load_model

FAMILIES = ("cloformer", "lightvit", "saevit")
MODELS = [name for name, card in catalog.models().items() if card.family.family in FAMILIES]
SMALLEST = ("cloformer_xxs", "lightvit_tiny", "saevit_0p8g")
TASKS: tuple[Task, ...] = ("classify", "features")

# parameters in millions and MACs in billions as the papers' repositories have them
PUBLISHED_COSTS = {
    "cloformer_xxs": (4.17, 0.661),
    "cloformer_xs": (7.17, 1.219),
    "cloformer_s": (12.35, 2.170),
    "lightvit_tiny": (9.38, 0.772),
    "lightvit_small": (19.20, 1.825),
    "lightvit_base": (35.20, 4.107),
}


def load(name: str, task: Task = "classify", size: tuple[int, int] | None = None) -> nn.Module:
    return load_model(ModelRequest(name, task, size=size)).module


def run(module: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        outputs = module(images)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def images(count: int, height: int, width: int) -> Tensor:
    return torch.from_numpy(make_samples(count, 3, height, width))


@pytest.mark.parametrize("name", MODELS)
def test_card_has_the_measured_parameters_and_macs(name: str) -> None:
    module = load(name)
    with FlopCounterMode(display=False) as counter:
        run(module, torch.zeros(1, 3, 224, 224))
    variant = catalog.model(name).variant
    assert variant.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert variant.macs == counter.get_total_flops() // 2


@pytest.mark.parametrize("name", PUBLISHED_COSTS)
def test_costs_round_to_the_published_ones(name: str) -> None:
    variant = catalog.model(name).variant
    assert (round(variant.parameters / 1e6, 2), round(variant.macs / 1e9, 3)) == PUBLISHED_COSTS[name]


@pytest.mark.parametrize(("name", "gmacs"), [("saevit_0p8g", 0.8), ("saevit_1p3g", 1.3)])
def test_reconstruction_costs_what_the_paper_says_and_claims_no_accuracy(name: str, gmacs: float) -> None:
    card = catalog.model(name)
    assert card.variant.macs / 1e9 == pytest.approx(gmacs, rel=0.02)
    assert card.family.reconstruction
    assert card.variant.published == ()
    assert card.family.repository is None


def test_a_reconstruction_with_published_accuracy_is_refused() -> None:
    family = catalog.model("saevit_0p8g").family.model_dump()
    family["variants"]["0p8g"]["published"] = [{"input_size": 224, "top1_percent": 76.3}]
    with pytest.raises(ValidationError, match="a reconstruction has no published accuracy"):
        Family.model_validate(family)


def test_a_task_without_a_size_rule_is_refused() -> None:
    family = catalog.model("lightvit_tiny").family.model_dump()
    del family["input"]["multiple_of"]["features"]
    with pytest.raises(ValidationError, match="must name the tasks classify, features"):
        Family.model_validate(family)


@pytest.mark.parametrize(
    ("name", "task", "size", "multiple", "nearest"),
    [
        ("lightvit_tiny", "classify", (256, 256), 224, (224, 448)),
        ("lightvit_base", "classify", (448, 320), 224, (224, 448)),
        ("lightvit_small", "classify", (112, 224), 224, (224, 448)),
        ("cloformer_xxs", "classify", (225, 224), 32, (224, 256)),
        ("cloformer_s", "features", (300, 320), 32, (288, 320)),
        ("saevit_0p8g", "classify", (16, 16), 32, (32, 64)),
        ("saevit_1p3g", "features", (224, 240), 32, (224, 256)),
        ("lightvit_tiny", "features", (0, 224), 1, (1, 2)),
    ],
)
def test_sizes_that_cannot_run_are_refused(
    name: str, task: Task, size: tuple[int, int], multiple: int, nearest: tuple[int, int]
) -> None:
    with pytest.raises(CatalogError, match=f"{name} takes sides divisible by {multiple} for {task}") as caught:
        load(name, task, size)
    assert caught.value.hint == f"the nearest are --input-size {nearest[0]} and --input-size {nearest[1]}"


@pytest.mark.parametrize("name", SMALLEST)
@pytest.mark.parametrize("size", [(32, 32), (96, 160)])
def test_every_multiple_of_32_gives_maps(name: str, size: tuple[int, int]) -> None:
    card = catalog.model(name)
    widths = card.variant.architecture["widths"]
    strides = (4, 8, 16, 32)[-len(widths) :]
    maps = run(load(name, "features", size), images(2, *size))
    assert [tuple(found.shape) for found in maps] == [
        (2, width, size[0] // stride, size[1] // stride) for width, stride in zip(widths, strides, strict=True)
    ]


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ((320, 320), [(40, 40), (20, 20), (10, 10)]),
        ((288, 288), [(36, 36), (18, 18), (9, 9)]),
        ((296, 224), [(37, 28), (19, 14), (10, 7)]),  # 37 and 19 are padded before they are merged
        ((100, 61), [(13, 8), (7, 4), (4, 2)]),
        ((8, 8), [(1, 1), (1, 1), (1, 1)]),
    ],
)
def test_lightvit_backbone_pads_to_any_size(size: tuple[int, int], sides: list[tuple[int, int]]) -> None:
    maps = run(load("lightvit_tiny", "features", size), images(1, *size))
    assert [tuple(found.shape[2:]) for found in maps] == sides
    assert all(bool(found.isfinite().all()) for found in maps)


def test_lightvit_tiny_backbone_has_more_global_tokens() -> None:
    tokens = {task: load("lightvit_tiny", task).get_parameter("global_token").shape[1] for task in TASKS}
    assert tokens == {"classify": 8, "features": 512}


@pytest.mark.parametrize("name", ["cloformer_xxs", "saevit_0p8g"])
def test_last_map_is_what_the_head_sees(name: str) -> None:
    architecture = {"cloformer_xxs": cloformer, "saevit_0p8g": saevit}[name]
    options = catalog.model(name).variant.architecture
    classifier = load(name)
    backbone = architecture.build("features", 0, **options).eval()
    unfilled = backbone.load_state_dict(classifier.state_dict(), strict=False).missing_keys
    assert all(key.startswith("norms.") for key in unfilled)
    if name == "saevit_0p8g":  # its backbone has norms of its own
        backbone.get_submodule("norms.3").load_state_dict(classifier.get_submodule("norm").state_dict())
    sample = images(1, 64, 64)
    last = run(backbone, sample)[-1]
    if name == "cloformer_xxs":
        last = classifier.get_submodule("norm")(last)
    logits = classifier.get_submodule("head")(last.flatten(2).mean(-1))
    torch.testing.assert_close(logits, run(classifier, sample)[0])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", MODELS)
def test_untrained_outputs_are_finite_and_vary_between_images(name: str, task: Task) -> None:
    for output in run(load(name, task), images(3, 224, 224)):
        assert bool(output.isfinite().all())
        differences = [(output[i] - output[j]).abs().max() / output.abs().max() for i, j in ((0, 1), (0, 2), (1, 2))]
        assert min(differences) > 0.01


def test_untrained_norms_are_not_the_identity() -> None:
    norms = [
        module
        for name in SMALLEST
        for module in load(name).modules()
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)
    ]
    assert {type(norm) for norm in norms} == {nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm}
    for norm in norms:
        assert not torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert not torch.equal(norm.bias, torch.zeros_like(norm.bias))


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", SMALLEST)
def test_exports_to_one_graph(name: str, task: Task) -> None:
    module, sample = load(name, task), images(1, 224, 224)
    with torch.no_grad():
        program = torch.export.export(module, (sample,), strict=False)
    for exported, eager in zip(run(program.module(), sample), run(module, sample), strict=True):
        torch.testing.assert_close(exported, eager)
