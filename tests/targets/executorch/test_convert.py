"""ExecuTorch programs beside the whole road: what is refused, what is noted, and what is left to other kernels."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import Result

from mobilevit_deploy.catalog import formats
from mobilevit_deploy.catalog.cards import TargetFormat
from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.graph.sample import tensors_of
from mobilevit_deploy.pipeline.provenance import parse
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.executorch import convert as executorch
from mobilevit_deploy.targets.executorch.runner import ExecuTorchRunner
from mobilevit_deploy.targets.registry import describe_file
from tests.conftest import RESEARCH
from tests.rewrites.conftest import Of

NET = f"{RESEARCH / 'additive_net.py'}:build"
Mvd = Callable[..., Result]


def request_of(module: nn.Module, path: Path, *shape: int) -> ConversionRequest:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    captured = capture(module.eval(), x, "classify")
    program = recapture(captured.graph, x)
    return ConversionRequest(program, x, captured.input, captured.outputs, "fp32", None, {"mvd.model": "x"}, path)


def test_what_it_says_of_itself(program: Path) -> None:
    file = describe_file(program)
    assert file.target == "executorch"
    assert file.entries[0].shape == (1, 3, 32, 32)
    assert [(output.name, output.shape) for output in file.outputs] == [("logits", (1, 12))]
    noted = parse(file.metadata, file.path.name)
    assert noted is not None
    assert (noted.model, noted.recipe, noted.precision, noted.trained) == (
        "additive_net_build",
        "executorch",
        "fp32",
        False,
    )
    assert str(RESEARCH) not in program.read_bytes().decode("latin1"), "no path of this machine"


def test_names_and_order_of_several_outputs(tmp_path: Path) -> None:
    module = Of(lambda m, x: {"sum": x.sum((2, 3)), "map": m.conv(x)}, conv=nn.Conv2d(3, 4, 1))
    request = request_of(module, tmp_path / "a.pte", 1, 3, 8, 8)
    artifact = executorch.convert(request)
    assert [output.name for output in describe_file(artifact.path).outputs] == ["sum", "map"]
    (x,) = tensors_of(request.sample)
    found = ExecuTorchRunner(artifact.path).run(x.numpy())
    expected = module(x)
    for value, name in zip(found, ("sum", "map"), strict=True):
        assert np.abs(value - expected[name].detach().numpy()).max() < 1e-5


def test_a_weight_with_an_axis_of_length_1(tmp_path: Path) -> None:
    """Whose stride nobody needs, and XNNPACK takes for an order of the axes: it refused to run the file."""
    probe = torch.randn(3, 1, 8).as_strided((3, 1, 8), (8, 24, 1))
    module = Of(lambda m, x: torch.bmm(m.probe, x[0]))
    module.register_buffer("probe", probe)
    request = request_of(module, tmp_path / "a.pte", 1, 3, 8, 8)
    (x,) = tensors_of(request.sample)
    (found,) = ExecuTorchRunner(executorch.convert(request).path).run(x.numpy())
    assert np.abs(found - torch.bmm(probe, x[0]).numpy()).max() < 1e-5


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU())
    paths = [tmp_path / "a.pte", tmp_path / "b.pte"]
    for path in paths:
        executorch.convert(request_of(module, path, 1, 3, 8, 8))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_what_is_left_to_other_kernels_is_said(tmp_path: Path) -> None:
    layers = {"first": nn.Conv2d(3, 8, 3), "second": nn.Conv2d(8, 8, 1)}
    module = Of(lambda m, x: m.second(m.first(x).amax((2, 3), keepdim=True)), **layers)
    artifact = executorch.convert(request_of(module, tmp_path / "a.pte", 1, 3, 8, 8))
    (warning,) = artifact.warnings
    assert "XNNPACK takes 100.00% of the multiply-accumulates, in 2 parts" in warning
    assert warning.endswith("do the rest: amax.out 1")


def test_an_operation_without_kernel_is_named_with_its_module(tmp_path: Path) -> None:
    module = Of(lambda m, x: m.block(x), block=Of(lambda m, x: torch.nn.functional.max_pool3d(x, 2)))
    with pytest.raises(ConversionError, match=r"max_pool3d.*block"):
        executorch.convert(request_of(module, tmp_path / "a.pte", 1, 3, 8, 8, 8))
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_is_too_large_is_refused_before_the_memory_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the steps of LSTMs are, written out."""

    def steps(_: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        for _step in range(5):
            x = x.sigmoid()
        return x

    monkeypatch.setattr(executorch, "MOST_OPERATIONS", 4)
    with pytest.raises(ConversionError, match=r"for 6 operations: .* at most 4 \(5 are in block\)") as failure:
        executorch.convert(
            request_of(Of(lambda m, x: m.block(x).exp(), block=Of(steps)), tmp_path / "a.pte", 1, 3, 8, 8)
        )
    assert "--input-size" in str(failure.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_one_line(mvd: Mvd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        formats, "missing_packages", lambda known: ["executorch"] if known.extra == "executorch" else []
    )
    result = mvd("export", NET, "--to", "executorch")
    assert result.exit_code == 1
    message, hint = result.stderr.splitlines()[-2:]
    assert message == "mvd: ExecuTorch needs executorch, not installed here"
    assert re.fullmatch(r"     pip install 'executorch[<>=\d.,]+'", hint), "it can be typed, wherever mvd came from"
    assert isinstance(formats.format_of("executorch"), TargetFormat)


def test_a_wrong_weight_fails_the_comparison(mvd: Mvd, program: Path) -> None:
    """One weight of the first layer is changed in the file, and nothing else."""
    content = bytearray(program.read_bytes())
    start = int.from_bytes(content[24:32], "little")
    place = start + (len(content) - start) // 2 // 4 * 4
    content[place : place + 4] = np.float32(0.5).tobytes()
    Path("a.pte").write_bytes(content)
    assert mvd("verify", program, "--model", NET).exit_code == 0
    result = mvd("verify", "a.pte", "--model", NET, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["parity"]["status"] == "failed"
