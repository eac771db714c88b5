"""From a float32 ONNX file to its int8 model, and what each module's share of the loss is."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.images.batches import batches
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.targets.onnx.module_paths import read_path
from mobilevit_deploy.targets.onnx.qdq import account, calibrate, choose_nodes, insert_pairs
from mobilevit_deploy.targets.onnx.runner import open_session
from mobilevit_deploy.targets.quantization import ModuleCost, Quantization, QuantizationResult, signal_to_noise

LARGEST_GROUPS = 40  # modules in the table: each one costs a quantisation and a session, about a second
SENSITIVITY_IMAGES = 16


def quantize(path: Path, wanted: Quantization) -> tuple[onnx.ModelProto, QuantizationResult]:
    """Returns a float32 file's model in int8, and what became of it.

    Args:
        path: of a file with the weights inside.
        wanted: which nodes, by which images.

    Raises:
        ConversionError: there is nothing to quantise, or onnxruntime refuses the graph.
    """
    model = onnx.load(path)
    paths = {node.name: read_path(node) or "" for node in model.graph.node}
    chosen = choose_nodes(model, wanted.rule, paths)
    if not chosen:
        types = ", ".join(wanted.rule.op_types)
        raise ConversionError(f"nothing to quantise: no node of {types} is left by the rule", "give --precision fp32")
    ranges = calibrate(path, wanted.calibration.images)
    costs: tuple[ModuleCost, ...] = ()
    if wanted.sensitivity:
        groups = _groups([(node.name, paths[node.name]) for node in chosen])
        costs = measure_sensitivity(path, ranges, groups, wanted)
    quantized = insert_pairs(path, ranges, [node.name for node in chosen], wanted.rule)
    return quantized, account(model, chosen, wanted, path.stat().st_size, costs)


def measure_sensitivity(
    path: Path, ranges: Any, groups: Mapping[str, Sequence[str]], wanted: Quantization
) -> tuple[ModuleCost, ...]:
    """Quantises one group of nodes at a time, with one calibration for all, and returns the costliest first.

    What rounding adds in different modules is hardly correlated, so the noise of the whole is about the sum of theirs,
    and a module's share of that sum is what leaving it in float32 would win.

    Args:
        path: of the float32 file.
        ranges: from ``calibrate``.
        groups: names of nodes by module.
        wanted: with the images.
    """
    images = wanted.calibration.images[:SENSITIVITY_IMAGES]
    expected = _run(path, path.read_bytes(), images)
    found = {}
    for module, names in groups.items():
        alone = insert_pairs(path, ranges, names, wanted.rule)
        found[module] = signal_to_noise(expected, _run(path, alone.SerializeToString(), images))
    noise = {module: 10 ** (-ratio / 10) for module, ratio in found.items()}
    whole = sum(noise.values()) or 1.0
    costs = [ModuleCost(module, len(groups[module]), found[module], noise[module] / whole) for module in groups]
    return tuple(sorted(costs, key=lambda cost: cost.snr_db))


def _groups(nodes: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Returns the names of nodes by module, as deep as there are at most ``LARGEST_GROUPS`` modules.

    Args:
        nodes: name and module path of each.
    """
    best: dict[str, list[str]] = {}
    for depth in range(1, 1 + max(path.count(".") + 1 for _, path in nodes)):
        groups: dict[str, list[str]] = defaultdict(list)
        for name, path in nodes:
            groups[".".join(path.split(".")[:depth])].append(name)
        if best and len(groups) > LARGEST_GROUPS:
            break
        best = dict(groups)
    return best


def _run(path: Path, model: bytes, images: Array) -> list[Array]:
    """Returns each output over all images, (N, ...), of a model that was made of a file."""
    session = open_session(path, model, "all")
    value = session.get_inputs()[0]
    parts = [
        [output[:count] for output in session.run(None, {value.name: batch})]
        for batch, count in batches(images, value.shape[0])
    ]
    return [np.concatenate(output) for output in zip(*parts, strict=True)]
