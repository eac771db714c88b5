"""What coremltools is kept from, and what it still does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.coreml.quiet import fewer_checks, quiet_coreml
from tests.conftest import RESEARCH

with quiet_coreml():
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil.block import InvalidBlockStateError
    from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY


def forget_readers(program: Any) -> None:
    """Leaves a program in which a value does not know who reads it."""
    next(op for op in program.functions["main"].operations if op.outputs[0].child_ops).outputs[0]._child_ops.clear()


def test_what_is_left_out_is_made_again_afterwards() -> None:
    two_layers = Builder.program(input_specs=[Builder.TensorSpec((2, 3))])
    program = two_layers(lambda x: Builder.relu(x=Builder.relu(x=x)))
    forget_readers(program)
    with fewer_checks():
        program.validate()
        with pytest.raises(InvalidBlockStateError):
            program.validate(check_essential_scope=True)
    with pytest.raises(InvalidBlockStateError):
        program.validate()


def test_compressed_weights_are_followed_through_the_program() -> None:
    """So that no pass puts a plain value in the place of one."""

    def layer(x: Any) -> Any:
        weight = Builder.constexpr_affine_dequantize(
            quantized_data=np.ones((3, 3), np.uint8), zero_point=np.uint8(0), scale=np.float32(0.5), axis=0
        )
        return Builder.matmul(x=x, y=weight)

    block = Builder.program(input_specs=[Builder.TensorSpec((2, 3))])(layer).functions["main"]
    result = block.outputs[0]
    result.nonreplaceable_vars_upstream = set()
    with fewer_checks(), block:
        pass
    assert [value.op.op_type for value in result.nonreplaceable_vars_upstream] == ["constexpr_affine_dequantize"]


def test_a_pass_that_leaves_a_broken_program_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = PASS_REGISTRY["common::dedup_op_and_var_names"]
    monkeypatch.setattr(type(last), "apply", lambda _, program: forget_readers(program))
    request = ExportRequest(
        ModelRequest(f"{RESEARCH / 'tiny_net.py'}:build", size=(8, 8)), ("coreml",), folder=tmp_path
    )
    with pytest.raises(ConversionError, match="should be consumed"):
        export_model(request)
    assert not list(tmp_path.iterdir())
