"""Every recorded model: names, shapes and order of its state dict, and its outputs."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.loading.catalog_model import _build
from tests.support.recorded import Recorded, all_recorded

# float32 rounding costs 2e-7 to 8e-7 of the largest output here; a wrong epsilon or a wrong GELU costs 1e-5 and more.
TOLERANCE = 1e-5

recorded = pytest.mark.parametrize("record", all_recorded(), ids=lambda record: record.name)


def build(record: Recorded) -> nn.Module:
    card = catalog.model(record.facts["model"])
    options = {"distillation_head": True} if record.facts.get("distillation_head") else {}
    return _build(card, record.facts["task"], 1000, options).eval()


@recorded
def test_state_dict(record: Recorded) -> None:
    state = build(record).state_dict()
    found = [[name, list(value.shape), str(value.dtype).removeprefix("torch.")] for name, value in state.items()]
    assert found == record.facts["state_dict"]


@recorded
def test_outputs(record: Recorded) -> None:
    module = build(record)
    module.load_state_dict(record.state)
    for case in record.facts["cases"]:
        with torch.no_grad():
            outputs = [leaf.numpy() for leaf in pytree.tree_leaves(module(record.input(case)))]
        assert record.largest_error(case, outputs) < TOLERANCE


@recorded
def test_a_wrong_epsilon_is_noticed(record: Recorded) -> None:
    module = build(record)
    module.load_state_dict(record.state)
    for child in module.modules():
        if hasattr(child, "eps"):
            child.eps = 1e-3  # type: ignore[assignment]
    case = record.facts["cases"][0]
    with torch.no_grad():
        outputs = [np.asarray(leaf) for leaf in pytree.tree_leaves(module(record.input(case)))]
    assert record.largest_error(case, outputs) > TOLERANCE
