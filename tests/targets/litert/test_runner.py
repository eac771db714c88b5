"""LiteRT's runtime in a process of its own: with XNNPACK and without, values on the way, and what breaks it."""

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from typer.testing import Result

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.measurement.latency import LatencyRequest, measure_latency
from mobilevit_deploy.runners.base import NotMeasured, difference
from mobilevit_deploy.targets.litert import child
from mobilevit_deploy.targets.litert import convert as litert
from mobilevit_deploy.targets.litert.nodes import KEY, Held, read_nodes
from mobilevit_deploy.targets.litert.runner import LiteRTRunner, observe, takes_batch
from mobilevit_deploy.targets.litert.tflite.program import read_program
from mobilevit_deploy.targets.registry import runners_for
from tests.conftest import RESEARCH
from tests.rewrites.conftest import Of
from tests.targets.litert.conversion import IMAGES, request_of

pytestmark = pytest.mark.usefixtures("litert")
BATCH = np.zeros((1, 3, 32, 32), np.float32)
NET = f"{RESEARCH / 'additive_net.py'}:build"
WORKERS = {
    r"SIGSEGV": "import os, signal; input(); os.kill(os.getpid(), signal.SIGSEGV)",
    r"model.cc:1: no such operator \(exit 3\)": (
        "import sys; input(); print('model.cc:1: no such operator\\nI0000 00:00:17.5 4 a.cc:1] x', file=sys.stderr);"
        "sys.exit(3)"
    ),
}


def test_it_computes_with_and_without_the_delegate(tflite: Path) -> None:
    found = []
    for opener in runners_for("litert", tflite):
        assert not isinstance(opener, NotMeasured)
        runner = opener()
        first, second = runner.run(BATCH)[0], runner.run(BATCH + 1)[0]
        assert np.abs(first - second).max() > 0
        found.append((runner.settings, first))
    assert [settings for settings, _ in found] == [{"delegate": "XNNPACK"}, {"delegate": "none"}]
    assert difference(found[0][1], found[1][1]) < 1e-5


def test_its_process_ends_with_it(tflite: Path) -> None:
    runner = LiteRTRunner(tflite)
    process, folder = runner._child._process, runner._child.folder
    assert process.poll() is None
    del runner
    gc.collect()
    assert process.poll() is not None
    assert not folder.exists()


@pytest.mark.parametrize("message", WORKERS)
def test_a_process_that_dies_is_an_error(tflite: Path, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    monkeypatch.setattr(child, "WORKER", (sys.executable, "-c", WORKERS[message]))
    with pytest.raises(ArtifactError, match=f"LiteRT does not load .*{message}"):
        LiteRTRunner(tflite)


def test_a_process_that_hangs_is_an_error(tflite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "WORKER", (sys.executable, "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(child, "LONGEST_REQUEST_S", 0.3)
    with pytest.raises(ArtifactError, match=r"did not finish in 0\.3 s"):
        LiteRTRunner(tflite)


def test_its_batch_is_fixed(tflite: Path) -> None:
    assert takes_batch(tflite, 1)
    assert not takes_batch(tflite, 2)


def tokens(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    y = m.conv(x).relu()  # type: ignore[operator]
    y = m.norm(y.flatten(2).mT)  # type: ignore[operator]
    found: torch.Tensor = m.last(torch.softmax(y @ y.mT, -1) @ y).mean(1)  # type: ignore[operator]
    return found


def heads(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Reads one transpose three times: the converter names it after a layer behind it, whose weights it transposes."""
    y = m.conv(x).reshape(8, 256).permute(1, 0)  # type: ignore[operator]
    q, k, v = (layer(y).view(256, 1, 2, 4).permute(1, 2, 0, 3) for layer in (m.q, m.k, m.v))  # type: ignore[operator]
    found: torch.Tensor = F.scaled_dot_product_attention(q, k, v).mean(2).flatten(1)
    return found


def best(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Takes pixels by their scores: what comes first among equal ones is the runtime's own choice."""
    y = m.conv(x).flatten(2).mT  # type: ignore[operator]
    place = y.amax(-1).topk(10).indices
    found: torch.Tensor = y.gather(1, place[..., None].expand(-1, -1, 8)).relu().flatten(1)
    return found


@pytest.mark.parametrize("model", [tokens, heads, best])
def test_every_value_has_its_nodes_name_and_layout(
    model: Callable[[nn.Module, torch.Tensor], torch.Tensor], tmp_path: Path
) -> None:
    """Set beside what PyTorch computes for the same node: what was fused is left out, and no other value is meant."""
    torch.manual_seed(0)
    parts = {"conv": nn.Conv2d(3, 8, 3, padding=1), "norm": nn.LayerNorm(8), "last": nn.Linear(8, 5)}
    parts |= {name: nn.Linear(8, 8, bias=False) for name in "qkv"}
    request = request_of(tmp_path / "a.tflite", Of(model, **parts).eval())
    litert.convert(request)
    with quiet_torch():
        graph = request.program.run_decompositions({}).graph_module
    expected: dict[str, np.ndarray] = {}

    class Watch(torch.fx.Interpreter):
        def run_node(self, node: torch.fx.Node) -> object:
            value = super().run_node(node)
            if isinstance(value, torch.Tensor):
                expected[node.name] = value.numpy(force=True)
            return value

    weights = [request.program.state_dict[spec.target] for spec in request.program.graph_signature.input_specs[:-1]]
    Watch(graph).run(*weights, torch.from_numpy(IMAGES[:1]))
    found = observe(request.path, None, IMAGES[:1], "rounded", None)
    if model is best:
        assert {"getitem", "getitem_1"} & {item.name for item in found}
    named = [item for item in found if item.name in expected]
    assert len(named) >= 6
    assert {item.name for item in found} - set(expected) == {"logits"}
    assert all(difference(expected[item.name], item.value) < 1e-5 for item in named)


def test_the_notes_of_a_file_are_read_as_they_may_be() -> None:
    assert read_nodes({KEY: '{"plain":{"a;":"a"},"channels_last":{"b;;c;":"b"}}'}) == {
        "a;": Held("a", channels_last=False),
        "b;;c;": Held("b", channels_last=True),
    }
    assert [read_nodes({KEY: text}) for text in ("[1]", "{", "[" * 100_000, '{"plain":3}')] == [{}, {}, {}, {}]


def test_a_wrong_operation_is_located(mvd: Callable[..., Result], tflite: Path) -> None:
    """A weight of the second mixer's local convolution is another: its module is named."""
    program = read_program(tflite)
    graph = program.subgraphs[0]
    readers = {number: item for item in graph.operators for number in item.inputs}
    (place,) = [
        program.buffers[value.buffer]
        for number, value in enumerate(graph.values)
        if value.shape == (1, 3, 3, 24) and readers[number].kind == "DEPTHWISE_CONV_2D"
    ]
    content = bytearray(tflite.read_bytes())
    content[place[0] : place[0] + 4] = np.float32(5).tobytes()
    Path("a.tflite").write_bytes(content)
    result = mvd("verify", "a.tflite", "--model", NET, "--locate", "--json")
    assert result.exit_code == 3
    found = json.loads(result.stdout)["divergence"]
    assert (found["module"], found["kind"]) == ("body.2.local.0", "wrong op")


@pytest.mark.usefixtures("given_times")
def test_latency(tflite: Path, mvd: Callable[..., Result]) -> None:
    (report,) = measure_latency(LatencyRequest([tflite], "litert", threads=1, seconds=0.1))
    assert (report.backend, report.provider, report.input_shape) == ("litert", None, (1, 3, 32, 32))
    assert report.environment["versions"]["ai-edge-litert"]
    result = mvd("latency", tflite, "--backend", "litert", "--threads", 1, "--seconds", 0.1)
    assert result.exit_code == 0, result.stderr
    assert f"litert {report.environment['versions']['ai-edge-litert']}" in result.stdout


def test_latency_by_the_real_worker(tflite: Path) -> None:
    (report,) = measure_latency(LatencyRequest([tflite], "litert", threads=1, seconds=0.1))
    assert 0 < report.statistics.min_ms <= report.statistics.p50_ms
    assert report.load_ms > 0
    assert report.second_load_ms > 0
