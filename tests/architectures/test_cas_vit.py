"""CAS-ViT's cards against its code."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.loading.catalog_model import _build
from mobilevit_deploy.loading.model import ModelRequest, load_model

NAMES = [name for name, card in catalog.models().items() if card.family.family == "cas_vit"]


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_macs_of_the_card(name: str) -> None:
    card = catalog.model(name)
    module = _build(card, "classify", 1000, {}).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, 3, 224, 224))
    assert sum(parameter.numel() for parameter in module.parameters()) == card.variant.parameters
    assert counter.get_total_flops() // 2 == card.variant.macs


@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
@pytest.mark.parametrize("task", ["classify", "features"])
def test_any_multiple_of_32(size: tuple[int, int], task: str) -> None:
    model = load_model(ModelRequest("cas_vit_xs", task=task, num_classes=7, size=size))  # type: ignore[arg-type]
    with torch.no_grad():
        outputs = model.module(torch.zeros(model.input_shape))
    if task == "classify":
        assert outputs.shape == (1, 7)
    else:
        assert [tuple(output.shape[2:]) for output in outputs] == [(size[0] // s, size[1] // s) for s in (4, 8, 16, 32)]


def test_untrained_outputs_depend_on_the_image() -> None:
    model = load_model(ModelRequest("cas_vit_xs", size=(64, 64)))
    with torch.no_grad():
        logits = model.module(torch.from_numpy(make_samples(8, 3, 64, 64)))
    assert logits.std(dim=0).mean() > 0.01 * logits.abs().max()
