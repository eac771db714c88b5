"""Outputs that are an input, or one value twice, become values of their own, and keep their numbers."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.export import ExportedProgram

from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.targets.coreai.half import convert_to_half
from mobilevit_deploy.targets.own_outputs import give_outputs_own_values
from tests.rewrites.conftest import Of
from tests.targets.coreml.conversion import LIMIT, Function, error_of

IMAGE = torch.randn(1, 4, 8, 9, generator=torch.Generator().manual_seed(0))


def several(x: Tensor) -> tuple[Tensor, ...]:
    y = x.sin()
    return x, y, y, x > 0, x


def program_of(function: Function = several) -> ExportedProgram:
    graph = capture(Of(lambda _, x: function(x)).eval(), IMAGE, "classify").graph
    with quiet_torch():
        program: ExportedProgram = recapture(graph, IMAGE).run_decompositions({})
    return program


def test_every_output_has_a_name_of_its_own() -> None:
    program = program_of()
    expected = program.module()(IMAGE)
    give_outputs_own_values(program)
    names = [spec.arg.name for spec in program.graph_signature.output_specs]
    assert len(set(names)) == 5
    assert not set(names) & set(program.graph_signature.user_inputs)
    for before, after in zip(expected, program.module()(IMAGE), strict=True):
        assert torch.equal(before, after)


def test_a_program_without_such_outputs_is_left_alone() -> None:
    program = program_of(lambda x: (x.sin(), x.cos()))
    before = str(program.graph)
    give_outputs_own_values(program)
    assert str(program.graph) == before


@pytest.mark.parametrize("function", [lambda x: x, lambda x: (x.sin(), x), lambda x: (x.detach(), x.sin().relu())])
def test_core_ml_returns_an_input(function: Function, tmp_path: Path) -> None:
    assert error_of(function, tmp_path, rewrite=False) < LIMIT


def test_an_image_that_core_ai_returns_is_not_rounded_to_half_precision() -> None:
    image, sine = convert_to_half(program_of(lambda x: (x, x.sin())), IMAGE).module()(IMAGE)
    assert torch.equal(image, IMAGE)
    assert sine.dtype == torch.float32
    assert 0 < (sine - IMAGE.sin()).abs().max() < 1e-3
