"""Reading .pte files as bytes."""

import struct
from pathlib import Path

import pytest

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.executorch.pte import read_program
from mobilevit_deploy.targets.executorch.pte.operations import macs, operations_of, shares_of
from mobilevit_deploy.targets.executorch.pte.program import Value
from mobilevit_deploy.targets.operations import Operation, Tensor
from tests.support.attacks import tenths


def test_what_a_file_holds(program: Path) -> None:
    found = read_program(program)
    assert [plan.name for plan in found.plans] == ["forward", "mvd_metadata"]
    plan = found.plan("forward")
    assert plan is not None
    assert plan.inputs == (Value((1, 3, 32, 32), "float32"),)
    assert [value.shape for value in plan.outputs] == [(1, 12)]
    (call,) = plan.calls
    assert call.delegate is not None
    assert call.delegate.backend == "XnnpackBackend"
    assert found.plan("backward") is None


def test_the_operations_of_a_delegate(program: Path) -> None:
    plan = read_program(program).plan("forward")
    assert plan is not None
    operations = list(operations_of(plan))
    first = next(operation for operation in operations if operation.kind == "Conv2d")
    assert first.inputs[0].shape == (1, 32, 32, 3)
    assert sum(operation.last for operation in operations) == 1
    assert shares_of(plan).macs == 1.0


@pytest.mark.parametrize("tenth", range(10))
def test_a_file_that_is_cut_off(program: Path, tmp_path: Path, tenth: int) -> None:
    path = tmp_path / "a.pte"
    path.write_bytes(list(tenths(program.read_bytes()))[tenth])
    with pytest.raises(ArtifactError, match=r"a\.pte is (no ExecuTorch program|damaged)"):
        read_program(path)


def test_a_buffer_without_end(program: Path, tmp_path: Path) -> None:
    """The size that the program asks for is read before anything gives it that much memory."""
    content = program.read_bytes()
    plan = read_program(program).plan("forward")
    assert plan is not None
    shape = struct.pack("<5i", 4, 1, 3, 32, 32)
    assert content.count(shape) >= 1
    path = tmp_path / "a.pte"
    path.write_bytes(content.replace(shape, struct.pack("<5i", 4, 2**30, 3, 2**30, 32)))
    with pytest.raises(ArtifactError, match="which no model for a telephone has"):
        read_program(path)


@pytest.mark.parametrize(
    ("kind", "shapes", "result", "count"),
    [
        ("Conv2d", [(1, 8, 8, 3), (16, 3, 3, 3)], (1, 4, 4, 16), 16 * 27 * 16),
        ("DepthwiseConv2d", [(1, 8, 8, 6), (1, 3, 3, 6)], (1, 8, 8, 6), 64 * 9 * 6),
        ("aten::convolution.out", [(1, 3, 8, 8), (16, 3, 3, 3)], (1, 16, 4, 4), 16 * 27 * 16),
        ("ConvTranspose2d", [(1, 4, 4, 8), (8, 2, 2, 8)], (1, 8, 8, 8), 16 * 256),
        ("FullyConnected", [(5, 7), (3, 7)], (5, 3), 5 * 7 * 3),
        ("BatchMatrixMultiply", [(2, 5, 7), (2, 7, 3)], (2, 5, 3), 2 * 5 * 7 * 3),
        ("aten::addmm.out", [(3,), (5, 7), (7, 3)], (5, 3), 5 * 7 * 3),
        ("Add", [(5, 7), (5, 7)], (5, 7), 0),
    ],
)
def test_multiply_accumulates(kind: str, shapes: list[tuple[int, ...]], result: tuple[int, ...], count: int) -> None:
    inputs = tuple(Tensor(shape, "float32") for shape in shapes)
    assert macs(Operation(kind, "", inputs, (Tensor(result, "float32"),))) == count


def test_the_host_runs_it() -> None:
    assert "executorch" in catalog.device("host").backends
